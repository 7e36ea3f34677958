//! The values the server writes where the author wrote none.
//!
//! One function a kind, each from the published API documentation. Pure; what needs the state of the cluster (addresses, uids) is
//! `write`'s. Invariant: writing defaults twice changes nothing.

use serde_json::{Map as Object, Value, json};

use crate::kinds::Kind;

/// Writes the defaults of a built-in kind into `object`.
pub(crate) fn write(kind: &Kind, object: &mut Value) {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Pod") => pod(object),
        ("", "Service") => service(object),
        ("", "Secret") => secret(object),
        ("", "Namespace") => namespace(object),
        ("", "PersistentVolumeClaim") => or(&mut object["spec"], "volumeMode", "Filesystem".into()),
        ("", "PersistentVolume") => {
            or(&mut object["spec"], "volumeMode", "Filesystem".into());
            or(&mut object["spec"], "persistentVolumeReclaimPolicy", "Retain".into());
        }
        ("", "LimitRange") => limit_range(object),
        ("", "PodTemplate") => pod_spec(&mut object["template"]["spec"]),
        ("apps", "Deployment") => deployment(object),
        ("apps", "ReplicaSet") | ("", "ReplicationController") => {
            or(&mut object["spec"], "replicas", 1.into());
            pod_spec(&mut object["spec"]["template"]["spec"]);
        }
        ("apps", "StatefulSet") => stateful_set(object),
        ("apps", "DaemonSet") => daemon_set(object),
        ("batch", "Job") => job(object),
        ("batch", "CronJob") => cron_job(object),
        ("networking.k8s.io", "NetworkPolicy") => network_policy(object),
        ("autoscaling", "HorizontalPodAutoscaler") if kind.version == "v1" => {
            or(&mut object["spec"], "minReplicas", 1.into());
        }
        ("autoscaling", "HorizontalPodAutoscaler") => autoscaler(object),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => binding(object),
        ("storage.k8s.io", "StorageClass") => {
            or(object, "reclaimPolicy", "Delete".into());
            or(object, "volumeBindingMode", "Immediate".into());
        }
        ("scheduling.k8s.io", "PriorityClass") => or(object, "preemptionPolicy", "PreemptLowerPriority".into()),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(object),
        ("apiregistration.k8s.io", "APIService") if object["spec"]["service"].is_object() => {
            or(&mut object["spec"]["service"], "port", 443.into());
        }
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration") => {
            webhooks(object);
        }
        _ => {}
    }
}

/// Sets `name` where it is absent; makes an object of an absent parent.
fn or(object: &mut Value, name: &str, value: Value) {
    if object.is_null() {
        *object = Value::Object(Object::new());
    }
    if let Some(object) = object.as_object_mut() {
        object.entry(name.to_owned()).or_insert(value);
    }
}

fn each(list: &mut Value) -> impl Iterator<Item = &mut Value> {
    list.as_array_mut().into_iter().flatten()
}

/// Returns a field that exists, without making it.
fn field<'v>(object: &'v mut Value, name: &str) -> Option<&'v mut Value> {
    object.as_object_mut()?.get_mut(name).filter(|value| !value.is_null())
}

fn pod(object: &mut Value) {
    let Some(spec) = field(object, "spec") else { return };
    pod_spec(spec);
    or(spec, "enableServiceLinks", true.into());
    for list in ["containers", "initContainers"] {
        for container in field(spec, list).into_iter().flat_map(each) {
            let limits = container["resources"]["limits"].as_object().cloned().unwrap_or_default();
            for (name, limit) in limits {
                or(&mut container["resources"]["requests"], &name, limit);
            }
        }
    }
}

/// Writes the defaults of a pod's specification, in a pod or in a template.
fn pod_spec(spec: &mut Value) {
    if !spec.is_object() {
        return;
    }
    or(spec, "restartPolicy", "Always".into());
    or(spec, "dnsPolicy", "ClusterFirst".into());
    or(spec, "schedulerName", "default-scheduler".into());
    or(spec, "terminationGracePeriodSeconds", 30.into());
    or(spec, "securityContext", json!({}));
    if let Some(account) = spec["serviceAccountName"].as_str().map(str::to_owned) {
        or(spec, "serviceAccount", account.into());
    }
    for list in ["containers", "initContainers"] {
        for container in field(spec, list).into_iter().flat_map(each) {
            self::container(container);
        }
    }
    for volume in field(spec, "volumes").into_iter().flat_map(each) {
        self::volume(volume);
    }
}

fn container(container: &mut Value) {
    if !container.is_object() {
        return;
    }
    or(container, "terminationMessagePath", "/dev/termination-log".into());
    or(container, "terminationMessagePolicy", "File".into());
    let image = container["image"].as_str().unwrap_or_default();
    let tag = image.rsplit('/').next().and_then(|last| last.split_once(':')).map(|(_, tag)| tag);
    let is_latest = !image.contains('@') && tag.is_none_or(|tag| tag == "latest");
    let policy = if is_latest { "Always" } else { "IfNotPresent" };
    or(container, "imagePullPolicy", policy.into());
    for port in field(container, "ports").into_iter().flat_map(each) {
        or(port, "protocol", "TCP".into());
    }
    for variable in field(container, "env").into_iter().flat_map(each) {
        if let Some(reference) = field(variable, "valueFrom").and_then(|from| field(from, "fieldRef")) {
            or(reference, "apiVersion", "v1".into());
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = field(container, probe) else { continue };
        or(probe, "timeoutSeconds", 1.into());
        or(probe, "periodSeconds", 10.into());
        or(probe, "successThreshold", 1.into());
        or(probe, "failureThreshold", 3.into());
        http_get(probe);
    }
    for hook in ["postStart", "preStop"] {
        if let Some(hook) = field(container, "lifecycle").and_then(|lifecycle| field(lifecycle, hook)) {
            http_get(hook);
        }
    }
}

fn http_get(handler: &mut Value) {
    if let Some(get) = field(handler, "httpGet") {
        or(get, "path", "/".into());
        or(get, "scheme", "HTTP".into());
    }
}

fn volume(volume: &mut Value) {
    for source in ["configMap", "secret", "projected", "downwardAPI"] {
        if let Some(source) = field(volume, source) {
            or(source, "defaultMode", 420.into());
        }
    }
    if let Some(path) = field(volume, "hostPath") {
        or(path, "type", "".into());
    }
}

fn deployment(object: &mut Value) {
    let Some(spec) = field(object, "spec") else { return };
    or(spec, "replicas", 1.into());
    or(spec, "revisionHistoryLimit", 10.into());
    or(spec, "progressDeadlineSeconds", 600.into());
    or(&mut spec["strategy"], "type", "RollingUpdate".into());
    if spec["strategy"]["type"].as_str() == Some("RollingUpdate") {
        or(&mut spec["strategy"]["rollingUpdate"], "maxUnavailable", "25%".into());
        or(&mut spec["strategy"]["rollingUpdate"], "maxSurge", "25%".into());
    }
    pod_spec(&mut spec["template"]["spec"]);
}

fn stateful_set(object: &mut Value) {
    let Some(spec) = field(object, "spec") else { return };
    or(spec, "replicas", 1.into());
    or(spec, "podManagementPolicy", "OrderedReady".into());
    or(spec, "revisionHistoryLimit", 10.into());
    or(&mut spec["updateStrategy"], "type", "RollingUpdate".into());
    if spec["updateStrategy"]["type"].as_str() == Some("RollingUpdate") {
        or(&mut spec["updateStrategy"]["rollingUpdate"], "partition", 0.into());
    }
    let retention = &mut spec["persistentVolumeClaimRetentionPolicy"];
    or(retention, "whenDeleted", "Retain".into());
    or(retention, "whenScaled", "Retain".into());
    pod_spec(&mut spec["template"]["spec"]);
    for claim in field(spec, "volumeClaimTemplates").into_iter().flat_map(each) {
        or(claim, "apiVersion", "v1".into());
        or(claim, "kind", "PersistentVolumeClaim".into());
        or(&mut claim["spec"], "volumeMode", "Filesystem".into());
        or(&mut claim["status"], "phase", "Pending".into());
    }
}

fn daemon_set(object: &mut Value) {
    let Some(spec) = field(object, "spec") else { return };
    or(spec, "revisionHistoryLimit", 10.into());
    or(&mut spec["updateStrategy"], "type", "RollingUpdate".into());
    if spec["updateStrategy"]["type"].as_str() == Some("RollingUpdate") {
        or(&mut spec["updateStrategy"]["rollingUpdate"], "maxUnavailable", 1.into());
        or(&mut spec["updateStrategy"]["rollingUpdate"], "maxSurge", 0.into());
    }
    pod_spec(&mut spec["template"]["spec"]);
}

fn job(object: &mut Value) {
    let Some(spec) = field(object, "spec") else { return };
    if spec["completions"].is_null() && spec["parallelism"].is_null() {
        or(spec, "completions", 1.into());
    }
    or(spec, "parallelism", 1.into());
    or(spec, "backoffLimit", 6.into());
    or(spec, "completionMode", "NonIndexed".into());
    or(spec, "suspend", false.into());
    or(spec, "manualSelector", false.into());
    or(spec, "podReplacementPolicy", "TerminatingOrFailed".into());
    pod_spec(&mut spec["template"]["spec"]);
}

fn cron_job(object: &mut Value) {
    let Some(spec) = field(object, "spec") else { return };
    or(spec, "concurrencyPolicy", "Allow".into());
    or(spec, "suspend", false.into());
    or(spec, "successfulJobsHistoryLimit", 3.into());
    or(spec, "failedJobsHistoryLimit", 1.into());
    if let Some(template) = field(spec, "jobTemplate").and_then(|job| field(job, "spec")) {
        pod_spec(&mut template["template"]["spec"]);
    }
}

fn service(object: &mut Value) {
    let Some(spec) = field(object, "spec") else { return };
    or(spec, "type", "ClusterIP".into());
    or(spec, "sessionAffinity", "None".into());
    if spec["sessionAffinity"].as_str() == Some("ClientIP") {
        or(&mut spec["sessionAffinityConfig"]["clientIP"], "timeoutSeconds", 10_800.into());
    }
    for port in field(spec, "ports").into_iter().flat_map(each) {
        or(port, "protocol", "TCP".into());
        let same = port["port"].clone();
        if port["targetPort"].is_null() || port["targetPort"] == "" {
            port["targetPort"] = same;
        }
    }
    let kind = spec["type"].as_str().unwrap_or_default().to_owned();
    if kind != "ExternalName" {
        or(spec, "internalTrafficPolicy", "Cluster".into());
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        or(spec, "externalTrafficPolicy", "Cluster".into());
    }
    if kind == "LoadBalancer" {
        or(spec, "allocateLoadBalancerNodePorts", true.into());
    }
}

fn limit_range(object: &mut Value) {
    for limit in field(object, "spec").and_then(|spec| field(spec, "limits")).into_iter().flat_map(each) {
        if limit["type"].as_str() != Some("Container") {
            continue;
        }
        for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")] {
            for (name, value) in limit[from].as_object().cloned().unwrap_or_default() {
                or(&mut limit[to], &name, value);
            }
        }
    }
}

fn secret(object: &mut Value) {
    use base64::Engine as _;
    or(object, "type", "Opaque".into());
    let Some(object) = object.as_object_mut() else { return };
    let Some(Value::Object(plain)) = object.remove("stringData") else { return };
    let data = object.entry("data").or_insert_with(|| json!({}));
    for (key, value) in plain {
        let encoded = base64::engine::general_purpose::STANDARD.encode(value.as_str().unwrap_or_default());
        if let Some(data) = data.as_object_mut() {
            data.insert(key, encoded.into());
        }
    }
}

fn namespace(object: &mut Value) {
    let name = object["metadata"]["name"].clone();
    if name.is_string() {
        or(&mut object["metadata"]["labels"], "kubernetes.io/metadata.name", name);
    }
}

fn network_policy(object: &mut Value) {
    let Some(spec) = field(object, "spec") else { return };
    let types = if spec["egress"].is_null() { json!(["Ingress"]) } else { json!(["Ingress", "Egress"]) };
    or(spec, "policyTypes", types);
    for direction in ["ingress", "egress"] {
        for rule in field(spec, direction).into_iter().flat_map(each) {
            for port in field(rule, "ports").into_iter().flat_map(each) {
                or(port, "protocol", "TCP".into());
            }
        }
    }
}

fn autoscaler(object: &mut Value) {
    let Some(spec) = field(object, "spec") else { return };
    or(spec, "minReplicas", 1.into());
    let usage = json!([{"type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]);
    or(spec, "metrics", usage);
}

fn binding(object: &mut Value) {
    const GROUP: &str = "rbac.authorization.k8s.io";
    if let Some(role) = field(object, "roleRef")
        && role["apiGroup"].as_str().unwrap_or_default().is_empty()
    {
        role["apiGroup"] = GROUP.into();
    }
    for subject in field(object, "subjects").into_iter().flat_map(each) {
        if matches!(subject["kind"].as_str(), Some("User" | "Group")) {
            or(subject, "apiGroup", GROUP.into());
        }
    }
}

fn definition(object: &mut Value) {
    let Some(spec) = field(object, "spec") else { return };
    let kind = spec["names"]["kind"].as_str().unwrap_or_default().to_owned();
    or(&mut spec["names"], "singular", kind.to_lowercase().into());
    or(&mut spec["names"], "listKind", format!("{kind}List").into());
    or(&mut spec["conversion"], "strategy", "None".into());
}

fn webhooks(object: &mut Value) {
    let is_mutating = object["kind"].as_str() == Some("MutatingWebhookConfiguration");
    for webhook in field(object, "webhooks").into_iter().flat_map(each) {
        or(webhook, "failurePolicy", "Fail".into());
        or(webhook, "matchPolicy", "Equivalent".into());
        or(webhook, "namespaceSelector", json!({}));
        or(webhook, "objectSelector", json!({}));
        or(webhook, "timeoutSeconds", 10.into());
        if is_mutating {
            or(webhook, "reinvocationPolicy", "Never".into());
        }
        if let Some(service) = field(webhook, "clientConfig").and_then(|config| field(config, "service")) {
            or(service, "port", 443.into());
        }
        for rule in field(webhook, "rules").into_iter().flat_map(each) {
            or(rule, "scope", "*".into());
        }
    }
}
