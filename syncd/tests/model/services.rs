//! What a commit says, in a few words: services with objects written as `Kind name` or `Kind.group name` with a content, in
//! namespace `n`, or as `Kind namespace/name`.
//!
//! Invariant: the same words give the same bytes.

use std::collections::BTreeMap;

use manifest::index::{Entry, Sync};
use manifest::{Hash, Index, ObjectRef, yaml};
use serde_json::{Value, json};

use super::ENVIRONMENT;
use super::repo::Files;

/// One service of a commit.
#[derive(Debug, Clone)]
pub struct Service {
    pub name: String,
    pub objects: Vec<(String, String)>,
    pub sync: Sync,
}

/// A service with objects and their contents.
pub fn service(name: &str, objects: &[(&str, &str)]) -> Service {
    let objects = objects.iter().map(|(id, content)| ((*id).to_owned(), (*content).to_owned())).collect();
    Service { name: name.to_owned(), objects, sync: Sync::default() }
}

impl Service {
    pub fn sync(mut self, sync: Sync) -> Self {
        self.sync = sync;
        self
    }
}

/// Returns a manifest that the model accepts.
pub fn manifest(text: &str, content: &str) -> Value {
    let (kind, name) = text.split_once(' ').expect("`Kind name`");
    let (kind, group) = kind.split_once('.').unwrap_or((kind, ""));
    let version = if group == "autoscaling" { "v2" } else { "v1" };
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let (namespace, name) = name.split_once('/').unwrap_or(("n", name));
    let mut value =
        json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": namespace}});
    match kind {
        "ConfigMap" => {
            value["data"] = json!({"content": content});
            if name == "ignores" {
                value["metadata"]["annotations"] = json!({"syncd/ignore": "/data/content"});
            }
        }
        "Secret" => value["stringData"] = json!({"content": content}),
        "ServiceAccount" => value["metadata"]["annotations"] = json!({"content": content}),
        "Service" => {
            value["spec"] =
                json!({"selector": {"app": name}, "ports": [{"name": "http", "port": 80}], "sessionAffinity": "None"});
            value["metadata"]["annotations"] = json!({"content": content});
        }
        // `behaviour`, or `behaviour|text of the log`; a log means that the containers see the Secret `s`.
        "Deployment" | "StatefulSet" | "DaemonSet" | "Job" => {
            let (behaviour, log) = content.split_once('|').unwrap_or((content, ""));
            let mut container = json!({"name": "app", "image": format!("app:{behaviour}")});
            if kind == "Job" {
                container["command"] = json!(["true"]);
            }
            if ["never-ready", "ready-after"].iter().any(|probed| behaviour.starts_with(probed)) {
                container["readinessProbe"] =
                    json!({"httpGet": {"path": "/", "port": 80}, "periodSeconds": 2, "failureThreshold": 3});
            }
            let mut annotations = json!({sandbox::ANNOTATION: behaviour});
            if !log.is_empty() {
                annotations["sandbox/logs"] = json!(log);
                container["envFrom"] = json!([{"secretRef": {"name": "s"}}]);
            }
            let labels = json!({"app": name});
            let template = json!({"metadata": {"labels": labels, "annotations": annotations}, "spec": {"containers": [container], "restartPolicy": if kind == "Job" { "Never" } else { "Always" }}});
            value["spec"] = json!({"template": template});
            if kind == "Job" && behaviour == "fail" {
                value["spec"]["backoffLimit"] = json!(1);
            }
            if kind == "Deployment" || kind == "StatefulSet" {
                value["spec"]["replicas"] = json!(2);
            }
            if kind != "Job" {
                value["spec"]["selector"] = json!({"matchLabels": labels});
            }
            if kind == "StatefulSet" {
                value["spec"]["serviceName"] = json!(name);
                if name == "claims" {
                    let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
                    value["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "data"}, "spec": spec}]);
                }
            }
        }
        "HorizontalPodAutoscaler" => {
            value["spec"] = json!({
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                "minReplicas": 1, "maxReplicas": 10,
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}],
            });
            value["metadata"]["annotations"] = json!({"content": content});
        }
        "Ingress" => {
            value["spec"] = json!({"rules": [{"host": content, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": name, "port": {"number": 80}}}}]}}]});
        }
        "CustomResourceDefinition" => {
            value["metadata"] = json!({"name": name});
            let (plural, group) = name.split_once('.').expect("plural.group");
            let singular = plural.trim_end_matches('s');
            let mut kind = singular.to_owned();
            kind[..1].make_ascii_uppercase();
            let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
            value["spec"] = json!({
                "group": group, "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural, "singular": singular, "listKind": format!("{kind}List")},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}],
            });
        }
        "Namespace" => value["metadata"] = json!({"name": name}),
        _ => value["spec"] = json!({"content": content}),
    }
    value
}

/// Returns the object of `Kind name`, in namespace `n`.
pub fn id(text: &str) -> ObjectRef {
    manifest::Manifest::from_value(manifest(text, "x")).expect("a manifest").id
}

/// Returns the files of a commit.
pub fn files(services: &[Service]) -> Files {
    let mut files = Files::new();
    let mut index = Index { environment: ENVIRONMENT.to_owned(), services: BTreeMap::new() };
    for service in services {
        let documents = service.objects.iter().map(|(id, content)| yaml::write(&manifest(id, content)));
        let text = documents.collect::<Vec<_>>().join("---\n");
        let entry = Entry {
            chart: "generic".into(),
            content: Hash::of(text.as_bytes()),
            inputs: Hash::of(b"inputs"),
            objects: service.objects.len(),
            sync: service.sync.clone(),
            version: "1.0".into(),
        };
        files.insert(Index::resources_path(ENVIRONMENT, &service.name), text.into_bytes());
        index.services.insert(service.name.clone(), entry);
    }
    files.insert(Index::path(ENVIRONMENT), index.to_json().into_bytes());
    files
}
