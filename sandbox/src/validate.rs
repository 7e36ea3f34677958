//! What the server refuses: names, labels, required and immutable fields.
//!
//! The rules that users of manifests meet, in the server's words; not every rule of every kind. Pure: an object and what it was before are
//! the arguments. Invariant: an object that was accepted is accepted again unchanged.

use schema::check::quantity;
use serde_json::Value;

use crate::api::Cause;
use crate::kinds::Kind;
use crate::select::Labels;

mod custom;

pub(crate) use custom::check as check_custom;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const CONFIG_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
/// Total size of all annotations, in bytes.
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;
/// Total size of the values of a ConfigMap or Secret, in bytes.
const DATA_BYTES_MAX: usize = 1024 * 1024;

/// How often an update's metadata is looked at, and so how often a cause is listed.
const UPDATE_LAYERS: usize = 4;

/// Returns the cause for a value that breaks a rule.
pub(crate) fn invalid(field: &str, value: &Value, why: &str) -> Cause {
    let shown = match value {
        Value::String(text) => format!("{text:?}"),
        other => other.to_string(),
    };
    Cause { reason: "FieldValueInvalid", message: format!("Invalid value: {shown}: {why}"), field: field.to_owned() }
}

/// Returns the cause for a missing value.
pub(crate) fn required(field: &str, why: &str) -> Cause {
    let message = if why.is_empty() { "Required value".to_owned() } else { format!("Required value: {why}") };
    Cause { reason: "FieldValueRequired", message, field: field.to_owned() }
}

/// Returns the cause for a value that may not be there.
pub(crate) fn forbidden(field: &str, why: &str) -> Cause {
    Cause { reason: "FieldValueForbidden", message: format!("Forbidden: {why}"), field: field.to_owned() }
}

/// Returns the cause for a value that is none of those known.
pub(crate) fn unsupported(field: &str, value: &str, known: &[&str]) -> Cause {
    let known: Vec<String> = known.iter().map(|known| format!("{known:?}")).collect();
    let message = format!("Unsupported value: {value:?}: supported values: {}", known.join(", "));
    Cause { reason: "FieldValueNotSupported", message, field: field.to_owned() }
}

/// Lists what is wrong with an object that is to be made.
pub(crate) fn create(kind: &Kind, object: &Value) -> Vec<Cause> {
    let mut causes = metadata(kind, object);
    causes.extend(content(kind, object));
    causes
}

/// Lists what is wrong with `new` in place of `old`.
pub(crate) fn update(kind: &Kind, old: &Value, new: &Value) -> Vec<Cause> {
    // The server looks at labels once for every layer that an update passes.
    let mut causes: Vec<Cause> = labels(new).into_iter().flat_map(|cause| vec![cause; UPDATE_LAYERS]).collect();
    if !new["metadata"]["deletionTimestamp"].is_null() {
        let had: Vec<&Value> = old["metadata"]["finalizers"].as_array().into_iter().flatten().collect();
        let added: Vec<String> = new["metadata"]["finalizers"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|finalizer| !had.contains(finalizer))
            .map(ToString::to_string)
            .collect();
        if !added.is_empty() && !old["metadata"]["deletionTimestamp"].is_null() {
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.join(", ")
            );
            let cause = forbidden("metadata.finalizers", &why);
            causes.extend([cause.clone(), cause]);
        }
    }
    causes.extend(content(kind, new));
    causes.extend(immutable(kind, old, new));
    causes
}

fn metadata(kind: &Kind, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    if name.is_empty() {
        causes.push(required("metadata.name", "name or generateName is required"));
    } else {
        causes.extend(name_problem(kind, name).map(|why| invalid("metadata.name", &name.into(), &why)));
    }
    if let Some(namespace) = object["metadata"]["namespace"].as_str()
        && !is_label(namespace)
    {
        causes.push(invalid("metadata.namespace", &namespace.into(), LABEL));
    }
    causes.extend(labels(object));
    causes
}

/// Says what is wrong with the name of an object of this kind.
fn name_problem(kind: &Kind, name: &str) -> Option<String> {
    let (max, rule, fits): (usize, &str, bool) = match (kind.group.as_str(), kind.kind.as_str()) {
        ("rbac.authorization.k8s.io", _) => {
            if matches!(name, "." | "..") {
                return Some(format!("may not be '{name}'"));
            }
            let bad = ['/', '%'].into_iter().find(|bad| name.contains(*bad))?;
            return Some(format!("may not contain '{bad}'"));
        }
        ("", "Service") => {
            let starts = name.starts_with(|first: char| first.is_ascii_lowercase());
            (63, LABEL_1035, is_label_text(name) && starts)
        }
        ("", "Namespace") => (63, LABEL, is_label_text(name)),
        _ => (253, SUBDOMAIN, is_subdomain_text(name)),
    };
    if name.len() > max {
        return Some(format!("must be no more than {max} characters"));
    }
    (!fits).then(|| rule.to_owned())
}

fn is_label_text(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|byte| fits(*byte))
        && bytes.last().is_some_and(|byte| fits(*byte))
        && bytes.iter().all(|byte| fits(*byte) || *byte == b'-')
}

/// Whether `text` may be the name of a namespace.
pub(crate) fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_label_text(text)
}

fn is_subdomain_text(text: &str) -> bool {
    text.split('.').all(is_label_text)
}

fn is_name_text(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

/// Says what is wrong with the key of a label or annotation.
fn key_problem(key: &str) -> Option<String> {
    let name = match key.split_once('/') {
        None => key,
        Some(("", _)) => return Some("prefix part must be non-empty".to_owned()),
        Some((prefix, name)) => {
            if prefix.len() > 253 || !is_subdomain_text(prefix) {
                return Some(format!("prefix part {SUBDOMAIN}"));
            }
            name
        }
    };
    match name {
        "" => Some("name part must be non-empty".to_owned()),
        name if name.len() > 63 => Some("name part must be no more than 63 characters".to_owned()),
        name => (!is_name_text(name)).then(|| QUALIFIED.to_owned()),
    }
}

fn labels(object: &Value) -> Vec<Cause> {
    let mut causes = label_map("metadata.labels", &object["metadata"]["labels"]);
    let mut size = 0;
    for (key, value) in object["metadata"]["annotations"].as_object().into_iter().flatten() {
        size += key.len() + value.as_str().map_or(0, str::len);
        let lower = key.to_lowercase();
        causes.extend(key_problem(&lower).map(|why| invalid("metadata.annotations", &key.as_str().into(), &why)));
    }
    if size > ANNOTATIONS_BYTES_MAX {
        let message = format!("Too long: may not be more than {ANNOTATIONS_BYTES_MAX} bytes");
        causes.push(Cause { reason: "FieldValueTooLong", message, field: "metadata.annotations".to_owned() });
    }
    causes
}

fn label_map(field: &str, labels: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (key, value) in labels.as_object().into_iter().flatten() {
        causes.extend(key_problem(key).map(|why| invalid(field, &key.as_str().into(), &why)));
        let text = value.as_str().unwrap_or_default();
        if text.len() > 63 {
            causes.push(invalid(field, value, "must be no more than 63 characters"));
        } else if !text.is_empty() && !is_name_text(text) {
            causes.push(invalid(field, value, LABEL_VALUE));
        }
    }
    causes
}

/// Lists what is wrong with the content of a built-in object, whatever it was before.
fn content(kind: &Kind, object: &Value) -> Vec<Cause> {
    let spec = &object["spec"];
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("apps", "Deployment") => {
            let mut causes = workload(spec);
            let strategy = &spec["strategy"];
            if strategy["type"].as_str() == Some("Recreate") && !strategy["rollingUpdate"].is_null() {
                let why = "may not be specified when strategy `type` is 'Recreate'";
                causes.push(forbidden("spec.strategy.rollingUpdate", why));
            }
            causes
        }
        ("apps", "ReplicaSet" | "StatefulSet" | "DaemonSet") => workload(spec),
        ("batch", "Job") => pod_template(&spec["template"], "spec.template", &["OnFailure", "Never"]),
        ("batch", "CronJob") => {
            let mut causes = Vec::new();
            if spec["schedule"].as_str().unwrap_or_default().is_empty() {
                causes.push(required("spec.schedule", ""));
            }
            let template = &spec["jobTemplate"]["spec"]["template"];
            causes.extend(pod_template(template, "spec.jobTemplate.spec.template", &["OnFailure", "Never"]));
            causes
        }
        ("", "Pod") => pod_spec(spec, "spec"),
        ("", "Service") => service(spec),
        ("", "ConfigMap" | "Secret") => data(object),
        ("networking.k8s.io", "Ingress") => ingress(spec),
        ("autoscaling", "HorizontalPodAutoscaler") => autoscaler(spec),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(object),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            let is_missing = object["roleRef"]["name"].as_str().unwrap_or_default().is_empty();
            if is_missing { vec![required("roleRef.name", "")] } else { Vec::new() }
        }
        _ => Vec::new(),
    }
}

fn workload(spec: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if let Some(replicas) = spec["replicas"].as_i64()
        && replicas < 0
    {
        causes.push(invalid("spec.replicas", &spec["replicas"], "must be greater than or equal to 0"));
    }
    match Labels::of_object(&spec["selector"]) {
        None => {
            causes.push(required("spec.selector", ""));
            let why = "`selector` does not match template `labels`";
            causes.push(invalid("spec.template.metadata.labels", &spec["template"]["metadata"]["labels"], why));
        }
        Some(selector) if selector.is_empty() => {
            causes.push(invalid("spec.selector", &spec["selector"], "empty selector is invalid for deployment"));
        }
        Some(selector) => {
            let labels = &spec["template"]["metadata"]["labels"];
            if !selector.match_labels(labels) {
                let why = "`selector` does not match template `labels`";
                let labels = if labels.is_null() { Value::Object(serde_json::Map::new()) } else { labels.clone() };
                causes.push(invalid("spec.template.metadata.labels", &labels, why));
            }
        }
    }
    causes.extend(pod_template(&spec["template"], "spec.template", &["Always"]));
    causes
}

fn pod_template(template: &Value, field: &str, policies: &[&str]) -> Vec<Cause> {
    let mut causes = label_map(&format!("{field}.labels"), &template["metadata"]["labels"]);
    causes.extend(pod_spec(&template["spec"], &format!("{field}.spec")));
    let policy = template["spec"]["restartPolicy"].as_str().unwrap_or_default();
    if !policies.contains(&policy) {
        let field = format!("{field}.spec.restartPolicy");
        if policies == ["OnFailure", "Never"] && policy == "Always" {
            let message = "Required value: valid values: \"OnFailure\", \"Never\"".to_owned();
            causes.push(Cause { reason: "FieldValueRequired", message, field });
        } else {
            causes.push(unsupported(&field, policy, policies));
        }
    }
    causes
}

fn pod_spec(spec: &Value, field: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    let volumes: Vec<&str> =
        spec["volumes"].as_array().into_iter().flatten().filter_map(|volume| volume["name"].as_str()).collect();
    let mut seen: Vec<&str> = Vec::new();
    for list in ["initContainers", "containers"] {
        let containers = spec[list].as_array().map(Vec::as_slice).unwrap_or_default();
        if list == "containers" && containers.is_empty() {
            causes.push(required(&format!("{field}.containers"), ""));
        }
        for (index, container) in containers.iter().enumerate() {
            let field = format!("{field}.{list}[{index}]");
            causes.extend(self::container(container, &field, &volumes));
            let name = container["name"].as_str().unwrap_or_default();
            if !name.is_empty() && seen.contains(&name) {
                let message = format!("Duplicate value: {name:?}");
                causes.push(Cause { reason: "FieldValueDuplicate", message, field: format!("{field}.name") });
            }
            seen.push(name);
        }
    }
    causes
}

fn container(container: &Value, field: &str, volumes: &[&str]) -> Vec<Cause> {
    let mut causes = Vec::new();
    let name = container["name"].as_str().unwrap_or_default();
    if name.is_empty() {
        causes.push(required(&format!("{field}.name"), ""));
    } else if !is_label(name) {
        causes.push(invalid(&format!("{field}.name"), &container["name"], LABEL));
    }
    if container["image"].as_str().unwrap_or_default().is_empty() {
        causes.push(required(&format!("{field}.image"), ""));
    }
    for (index, port) in container["ports"].as_array().into_iter().flatten().enumerate() {
        let field = format!("{field}.ports[{index}].containerPort");
        let number = port["containerPort"].as_i64().unwrap_or_default();
        if number == 0 {
            causes.push(required(&field, ""));
        } else if !(1..=65535).contains(&number) {
            causes.push(invalid(&field, &port["containerPort"], "must be between 1 and 65535, inclusive"));
        }
    }
    for (index, mount) in container["volumeMounts"].as_array().into_iter().flatten().enumerate() {
        let name = mount["name"].as_str().unwrap_or_default();
        if !volumes.contains(&name) {
            let message = format!("Not found: {name:?}");
            let field = format!("{field}.volumeMounts[{index}].name");
            causes.push(Cause { reason: "FieldValueNotFound", message, field });
        }
    }
    causes
}

fn service(spec: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let types = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    let kind = spec["type"].as_str().unwrap_or_default();
    if !types.contains(&kind) {
        causes.push(unsupported("spec.type", kind, &types));
    }
    let ports = spec["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
    if ports.is_empty() && kind != "ExternalName" && spec["clusterIP"].as_str() != Some("None") {
        causes.push(required("spec.ports", ""));
    }
    for (index, port) in ports.iter().enumerate() {
        if !(1..=65535).contains(&port["port"].as_i64().unwrap_or_default()) {
            let field = format!("spec.ports[{index}].port");
            causes.push(invalid(&field, &port["port"], "must be between 1 and 65535, inclusive"));
        }
        if ports.len() > 1 && port["name"].as_str().unwrap_or_default().is_empty() {
            causes.push(required(&format!("spec.ports[{index}].name"), ""));
        }
    }
    causes
}

fn data(object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut size = 0;
    for field in ["data", "binaryData"] {
        for (key, value) in object[field].as_object().into_iter().flatten() {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            size += value.as_str().map_or(0, str::len);
            if key.is_empty() || !key.bytes().all(fits) {
                causes.push(invalid(&format!("{field}[{key}]"), &key.as_str().into(), CONFIG_KEY));
            }
        }
    }
    if size > DATA_BYTES_MAX {
        let message = format!("Too long: may not be more than {DATA_BYTES_MAX} bytes");
        causes.push(Cause { reason: "FieldValueTooLong", message, field: "[]".to_owned() });
    }
    causes
}

fn ingress(spec: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let rules = spec["rules"].as_array().map(Vec::as_slice).unwrap_or_default();
    if rules.is_empty() && spec["defaultBackend"].is_null() {
        causes.push(invalid("spec", &Value::Null, "either `defaultBackend` or `rules` must be specified"));
    }
    for (index, rule) in rules.iter().enumerate() {
        if let Some(host) = rule["host"].as_str() {
            let bare = host.strip_prefix("*.").unwrap_or(host);
            if !is_subdomain_text(bare) {
                causes.push(invalid(&format!("spec.rules[{index}].host"), &rule["host"], SUBDOMAIN));
            }
        }
        for (at, path) in rule["http"]["paths"].as_array().into_iter().flatten().enumerate() {
            let field = format!("spec.rules[{index}].http.paths[{at}]");
            match path["pathType"].as_str() {
                None => causes.push(required(&format!("{field}.pathType"), "pathType must be specified")),
                Some("Exact" | "Prefix" | "ImplementationSpecific") => {}
                Some(other) => {
                    let known = ["Exact", "ImplementationSpecific", "Prefix"];
                    causes.push(unsupported(&format!("{field}.pathType"), other, &known));
                }
            }
        }
    }
    causes
}

fn autoscaler(spec: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let max = spec["maxReplicas"].as_i64().unwrap_or_default();
    if max < 1 {
        causes.push(invalid("spec.maxReplicas", &max.into(), "must be greater than 0"));
    }
    if spec["minReplicas"].as_i64().is_some_and(|min| min > max) {
        let why = "must be greater than or equal to `minReplicas`";
        causes.push(invalid("spec.maxReplicas", &max.into(), why));
    }
    let target = &spec["scaleTargetRef"];
    for name in ["kind", "name"] {
        if target[name].as_str().unwrap_or_default().is_empty() {
            causes.push(required(&format!("spec.scaleTargetRef.{name}"), ""));
        }
    }
    if target["apiVersion"].as_str().unwrap_or_default().is_empty() {
        let why = "apiVersion must specify API group";
        causes.push(invalid("spec.scaleTargetRef.apiVersion", &"".into(), why));
    }
    causes
}

fn definition(object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let spec = &object["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let expected = format!("{}.{}", text(&spec["names"]["plural"]), text(&spec["group"]));
    if text(&object["metadata"]["name"]) != expected {
        let why = "must be spec.names.plural+\".\"+spec.group";
        causes.push(invalid("metadata.name", &object["metadata"]["name"], why));
    }
    for name in ["plural", "kind"] {
        if text(&spec["names"][name]).is_empty() {
            causes.push(required(&format!("spec.names.{name}"), ""));
        }
    }
    let scope = text(&spec["scope"]);
    if !matches!(scope.as_str(), "Namespaced" | "Cluster") {
        causes.push(unsupported("spec.scope", &scope, &["Cluster", "Namespaced"]));
    }
    let versions = spec["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let stored = versions.iter().filter(|version| version["storage"].as_bool() == Some(true)).count();
    if stored != 1 {
        let why = "must have exactly one version marked as storage version";
        causes.push(invalid("spec.versions", &Value::Array(versions.to_vec()), why));
    }
    for (index, version) in versions.iter().enumerate() {
        if version["schema"]["openAPIV3Schema"].is_null() {
            let field = format!("spec.versions[{index}].schema.openAPIV3Schema");
            causes.push(required(&field, "schemas are required"));
        }
    }
    causes
}

/// Lists the fields that changed and may not.
fn immutable(kind: &Kind, old: &Value, new: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut fixed = |path: &[&str]| {
        let (mut before, mut after) = (old, new);
        for part in path {
            (before, after) = (&before[*part], &after[*part]);
        }
        if before != after {
            causes.push(invalid(&path.join("."), after, "field is immutable"));
        }
    };
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("apps", "Deployment" | "ReplicaSet" | "DaemonSet") => fixed(&["spec", "selector"]),
        ("apps", "StatefulSet") => stateful_set(old, new, &mut causes),
        ("batch", "Job") => {
            if old["spec"]["suspend"] != Value::Bool(true) {
                fixed(&["spec", "template"]);
            }
            fixed(&["spec", "selector"]);
            fixed(&["spec", "completionMode"]);
            if old["spec"]["completionMode"].as_str() != Some("Indexed") {
                fixed(&["spec", "completions"]);
            }
        }
        ("", "Pod") => pod(old, new, &mut causes),
        ("", "Service") => {
            let (before, after) = (&old["spec"]["clusterIP"], &new["spec"]["clusterIP"]);
            let stays = new["spec"]["type"].as_str() != Some("ExternalName");
            if stays && before.as_str().is_some_and(|ip| !ip.is_empty()) && before != after {
                let shown = if after.is_null() { Value::from("") } else { after.clone() };
                causes.push(invalid("spec.clusterIPs[0]", &Value::Array(vec![shown]), "may not change once set"));
            }
        }
        ("", "ConfigMap" | "Secret") => {
            if old["immutable"] == Value::Bool(true) {
                if new["immutable"] != Value::Bool(true) {
                    causes.push(forbidden("immutable", "field is immutable when `immutable` is set"));
                }
                for field in ["data", "binaryData"] {
                    if old[field] != new[field] {
                        causes.push(forbidden(field, "field is immutable when `immutable` is set"));
                    }
                }
            } else if kind.kind == "Secret" {
                fixed(&["type"]);
            }
        }
        ("", "PersistentVolumeClaim") => claim(old, new, &mut causes),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") if old["roleRef"] != new["roleRef"] => {
            let role = &new["roleRef"];
            // Shown as the server's own type has it.
            let shown = serde_json::json!({"APIGroup": role["apiGroup"], "Kind": role["kind"], "Name": role["name"]});
            causes.push(invalid("roleRef", &shown, "cannot change roleRef"));
        }
        ("storage.k8s.io", "StorageClass") => {
            if old["provisioner"] != new["provisioner"] {
                causes.push(forbidden("provisioner", "updates to provisioner are forbidden."));
            }
            if old["parameters"] != new["parameters"] {
                causes.push(forbidden("parameters", "updates to parameters are forbidden."));
            }
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            fixed(&["spec", "scope"]);
            fixed(&["spec", "names", "kind"]);
            fixed(&["spec", "names", "plural"]);
            fixed(&["spec", "group"]);
        }
        _ => {}
    }
    causes
}

fn stateful_set(old: &Value, new: &Value, causes: &mut Vec<Cause>) {
    let mutable = [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    if without(&old["spec"], &mutable) != without(&new["spec"], &mutable) {
        let why = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
        causes.push(forbidden("spec", why));
    }
}

fn pod(old: &Value, new: &Value, causes: &mut Vec<Cause>) {
    let mutable = ["activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "schedulingGates"];
    let bare = |spec: &Value| {
        let mut spec = without(spec, &mutable);
        for list in ["containers", "initContainers"] {
            for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(container) = container.as_object_mut() {
                    container.remove("image");
                }
            }
        }
        spec
    };
    if bare(&old["spec"]) != bare(&new["spec"]) && !is_binding(old, new) {
        let why = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
        causes.push(forbidden("spec", why));
    }
}

fn is_binding(old: &Value, new: &Value) -> bool {
    old["spec"]["nodeName"].is_null() && without(&old["spec"], &[]) == without(&new["spec"], &["nodeName"])
}

fn claim(old: &Value, new: &Value, causes: &mut Vec<Cause>) {
    // What is not bound yet cannot change its size either.
    let is_bound = new["status"]["phase"] == "Bound";
    let mutable = ["volumeName", "volumeAttributesClassName", "resources"];
    let mutable = if is_bound { &mutable[..] } else { &mutable[..1] };
    if without(&old["spec"], mutable) != without(&new["spec"], mutable) {
        let why =
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        causes.push(forbidden("spec", why));
    }
    let size = |object: &Value| quantity(object["spec"]["resources"]["requests"]["storage"].as_str()?);
    if let (true, Some(before), Some(after)) = (is_bound, size(old), size(new))
        && after < before
    {
        causes.push(forbidden("spec.resources.requests.storage", "field can not be less than status.capacity"));
    }
}

fn without(spec: &Value, names: &[&str]) -> Value {
    let mut spec = spec.clone();
    if let Some(spec) = spec.as_object_mut() {
        spec.retain(|name, _| !names.contains(&name.as_str()));
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_labels_follow_the_rules_of_qualified_names() {
        for good in ["a", "a.b/c", "A_b-9", "x.io/Part.of"] {
            assert_eq!(key_problem(good), None, "{good}");
        }
        for bad in ["", "-a", "a/", "/a", "a b", "A!/b"] {
            assert!(key_problem(bad).is_some(), "{bad}");
        }
    }
}
