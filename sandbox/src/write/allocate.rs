//! What only the server decides of an object: identity, addresses, ports, first statuses, finalizers.
//!
//! Draws from the cluster's state. Invariant: what is allocated once is kept by every later write.

use serde_json::{Value, json};

use super::remove_key;
use crate::cluster::State;
use crate::kinds::Kind;

/// The annotation that counts the templates of a DaemonSet.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";
/// The finalizer of definitions: their objects go first.
pub(crate) const DEFINITION_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";
/// The finalizer of claims: the pods that use them go first.
pub(crate) const CLAIM_FINALIZER: &str = "kubernetes.io/pvc-protection";
/// The finalizer of volumes: their claims go first.
pub(crate) const VOLUME_FINALIZER: &str = "kubernetes.io/pv-protection";

impl State {
    /// Writes what only the server decides of a new object.
    pub(super) fn give_identity(&mut self, kind: &Kind, object: &mut Value) {
        let uid = self.identities.uid();
        let now = self.now_text();
        let Some(metadata) = object["metadata"].as_object_mut() else { return };
        for field in ["resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"] {
            metadata.remove(field);
        }
        metadata.insert("uid".to_owned(), uid.into());
        metadata.insert("creationTimestamp".to_owned(), now.into());
        if kind.generation {
            metadata.insert("generation".to_owned(), 1.into());
        }
        if kind.status && !kind.is("", "Node") {
            remove_key(object, "status");
        }
        if kind.is("apps", "DaemonSet") {
            object["metadata"]["annotations"][TEMPLATE_GENERATION] = "1".into();
        }
    }

    /// Writes what depends on the state of the cluster: addresses, ports, first statuses, selectors of jobs.
    pub(super) fn allocate(&mut self, kind: &Kind, old: Option<&Value>, object: &mut Value) {
        match (kind.group.as_str(), kind.kind.as_str()) {
            ("", "Service") => self.allocate_service(old, object),
            ("", "Namespace") if old.is_none() => {
                object["spec"]["finalizers"] = json!(["kubernetes"]);
                object["status"] = json!({"phase": "Active"});
            }
            ("", "Pod") if old.is_none() => {
                object["status"] = json!({"phase": "Pending", "qosClass": "BestEffort"});
                admit_pod(&mut object["spec"]);
            }
            ("", "PersistentVolumeClaim" | "PersistentVolume") if old.is_none() => {
                object["status"] = json!({"phase": "Pending"});
                let guard = if kind.kind == "PersistentVolume" { VOLUME_FINALIZER } else { CLAIM_FINALIZER };
                add_finalizer(object, guard);
            }
            ("batch", "Job") if old.is_none() => {
                let uid = object["metadata"]["uid"].clone();
                if object["spec"]["manualSelector"] != Value::Bool(true) {
                    object["spec"]["selector"]["matchLabels"]["batch.kubernetes.io/controller-uid"] = uid.clone();
                    let name = object["metadata"]["name"].clone();
                    for (key, value) in [("controller-uid", &uid), ("job-name", &name)] {
                        for key in [key.to_owned(), format!("batch.kubernetes.io/{key}")] {
                            object["metadata"]["labels"][&key] = value.clone();
                            object["spec"]["template"]["metadata"]["labels"][&key] = value.clone();
                        }
                    }
                }
            }
            ("apps", "DaemonSet") => {
                let Some(old) = old else { return };
                let before = old["metadata"]["annotations"][TEMPLATE_GENERATION].as_str();
                let before: u64 = before.and_then(|text| text.parse().ok()).unwrap_or_default();
                let now = before + u64::from(old["spec"]["template"] != object["spec"]["template"]);
                object["metadata"]["annotations"][TEMPLATE_GENERATION] = now.to_string().into();
            }
            ("apiextensions.k8s.io", "CustomResourceDefinition") if old.is_none() => {
                add_finalizer(object, DEFINITION_FINALIZER);
                let versions = object["spec"]["versions"].as_array().into_iter().flatten();
                let stored = versions.filter(|version| version["storage"] == Value::Bool(true));
                let stored: Vec<Value> = stored.map(|version| version["name"].clone()).collect();
                object["status"] = json!({"acceptedNames": {"kind": "", "plural": ""}, "storedVersions": stored});
            }
            _ => {}
        }
    }

    fn allocate_service(&mut self, old: Option<&Value>, object: &mut Value) {
        let kind = object["spec"]["type"].as_str().unwrap_or_default().to_owned();
        if kind == "ExternalName" {
            for field in ["clusterIP", "clusterIPs"] {
                remove_key(&mut object["spec"], field);
            }
            return;
        }
        if object["spec"]["clusterIP"].as_str().unwrap_or_default().is_empty() {
            let (high, low) = self.identities.address();
            object["spec"]["clusterIP"] = format!("10.96.{high}.{low}").into();
        }
        object["spec"]["clusterIPs"] = json!([object["spec"]["clusterIP"]]);
        if object["spec"]["ipFamilies"].is_null() {
            object["spec"]["ipFamilies"] = json!(["IPv4"]);
        }
        if object["spec"]["ipFamilyPolicy"].is_null() {
            object["spec"]["ipFamilyPolicy"] = "SingleStack".into();
        }
        if !matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
            return;
        }
        let ports = object["spec"]["ports"].as_array_mut().map(Vec::as_mut_slice).unwrap_or_default();
        for port in ports {
            if port["nodePort"].as_i64().unwrap_or_default() == 0 {
                let before = old.into_iter().flat_map(|old| old["spec"]["ports"].as_array().into_iter().flatten());
                let before = before.filter(|old| old["port"] == port["port"] && old["protocol"] == port["protocol"]);
                let kept = before.map(|old| old["nodePort"].clone()).find(|port| !port.is_null());
                port["nodePort"] = kept.unwrap_or_else(|| (30_000 + self.identities.below(2_768)).into());
            }
        }
    }
}

/// Adds what admission plugins add to every pod: an account, a priority, and tolerations for a node that is lost for a while.
fn admit_pod(spec: &mut Value) {
    let Some(spec) = spec.as_object_mut() else { return };
    let account = spec.entry("serviceAccountName").or_insert_with(|| "default".into()).clone();
    spec.entry("serviceAccount").or_insert(account);
    spec.entry("priority").or_insert_with(|| 0.into());
    spec.entry("preemptionPolicy").or_insert_with(|| "PreemptLowerPriority".into());
    let tolerations = spec.entry("tolerations").or_insert_with(|| json!([]));
    let Some(tolerations) = tolerations.as_array_mut() else { return };
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        if !tolerations.iter().any(|known| known["key"] == key && known["effect"] != "NoSchedule") {
            tolerations
                .push(json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}));
        }
    }
}

fn add_finalizer(object: &mut Value, finalizer: &str) {
    let mut finalizers = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    if !finalizers.iter().any(|name| name == finalizer) {
        finalizers.push(finalizer.into());
    }
    object["metadata"]["finalizers"] = Value::Array(finalizers);
}
