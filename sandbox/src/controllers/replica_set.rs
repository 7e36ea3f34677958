//! Replica sets: as many pods as asked for.
//!
//! Source of the rules: the Kubernetes documentation of ReplicaSet and the order in which its controller removes pods. Invariant: pods that
//! are being deleted do not count.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::pod::{is_active, is_ready, ready_since};
use super::{MANAGER, condition, count, owner_reference, set_condition};
use crate::cluster::State;
use crate::remove::Options;
use crate::store::ObjectKey;
use crate::write::Part;

const COMPONENT: &str = "replicaset-controller";
/// Pause before pods that were denied are tried again.
const RETRY: Duration = Duration::from_secs(5);

impl State {
    pub(super) fn reconcile_replica_set(&mut self, key: &ObjectKey, set: &Arc<Value>) {
        let mut failure = None;
        if set["metadata"]["deletionTimestamp"].is_null() {
            failure = self.scale_pods(key, set);
        }
        self.report_replica_set(key, set, failure.as_deref());
    }

    fn scale_pods(&mut self, key: &ObjectKey, set: &Arc<Value>) -> Option<String> {
        let mut pods = self.controlled(set, "", "Pod");
        pods.retain(|(_, pod)| is_active(pod));
        let wanted = usize::try_from(count(&set["spec"]["replicas"])).unwrap_or_default();
        for _ in pods.len()..wanted {
            let pod = pod_of(set, &set["spec"]["template"], &json!({"generateName": format!("{}-", key.name)}));
            match self.make_or_denied("", "Pod", pod) {
                Ok(pod) => {
                    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
                    self.tell(set, COMPONENT, "Normal", "SuccessfulCreate", &format!("Created pod: {name}"));
                }
                Err(error) => {
                    self.tell(set, COMPONENT, "Warning", "FailedCreate", &format!("Error creating: {error}"));
                    let at = self.after(RETRY);
                    self.again(key, at);
                    return Some(error.to_string());
                }
            }
        }
        if pods.len() > wanted {
            // Those that are not ready go first, then the youngest.
            pods.sort_by_key(|(key, pod)| {
                (is_ready(pod), std::cmp::Reverse(pod["metadata"]["creationTimestamp"].to_string()), key.name.clone())
            });
            for (key, _) in &pods[..pods.len() - wanted] {
                self.delete_pod(key);
                self.tell(set, COMPONENT, "Normal", "SuccessfulDelete", &format!("Deleted pod: {}", key.name));
            }
        }
        None
    }

    /// Deletes a pod as a controller does.
    pub(super) fn delete_pod(&mut self, key: &ObjectKey) {
        let Some(kind) = self.kinds.stored(key.resource).cloned() else { return };
        if let Err(error) = self.remove_object(&kind, key, &Options::default(), false) {
            tracing::debug!(%error, name = key.name, "not deleted");
        }
    }

    fn report_replica_set(&mut self, key: &ObjectKey, set: &Arc<Value>, failure: Option<&str>) {
        let mut pods = self.controlled(set, "", "Pod");
        let terminating = pods.iter().filter(|(_, pod)| !pod["metadata"]["deletionTimestamp"].is_null()).count();
        pods.retain(|(_, pod)| is_active(pod));
        let (ready, available, next) = self.readiness(&pods, count(&set["spec"]["minReadySeconds"]));
        if let Some(next) = next {
            self.again(key, next);
        }
        let (total, now) = (pods.len(), self.now_text());
        let generation = set["metadata"]["generation"].clone();
        self.edit(key, MANAGER, Part::Status, |set| {
            let fails_already = condition(set, "ReplicaFailure").is_some();
            let status = &mut set["status"];
            status["replicas"] = total.into();
            status["fullyLabeledReplicas"] = total.into();
            status["readyReplicas"] = ready.into();
            status["availableReplicas"] = available.into();
            status["terminatingReplicas"] = terminating.into();
            status["observedGeneration"] = generation;
            match failure {
                // The first one stays as it was told: each names another pod, and a write would have this set looked at again at once.
                Some(_) if fails_already => {}
                Some(message) => {
                    set_condition(status, "ReplicaFailure", "True", "FailedCreate", message, &now);
                }
                None => {
                    if let Some(conditions) = status["conditions"].as_array_mut() {
                        conditions.retain(|condition| condition["type"] != "ReplicaFailure");
                    }
                }
            }
        });
    }

    /// Counts the pods that are ready, and those that are for `min_seconds`; and says when the next becomes available.
    pub(super) fn readiness(
        &self,
        pods: &[(ObjectKey, Arc<Value>)],
        min_seconds: i64,
    ) -> (usize, usize, Option<Timestamp>) {
        let (mut ready, mut available, mut next) = (0, 0, None);
        for (_, pod) in pods {
            let Some(since) = ready_since(pod) else { continue };
            ready += 1;
            let due = since.saturating_add(jiff::SignedDuration::from_secs(min_seconds)).unwrap_or(Timestamp::MAX);
            if due <= self.now {
                available += 1;
            } else {
                next = Some(next.map_or(due, |next: Timestamp| next.min(due)));
            }
        }
        (ready, available, next)
    }
}

/// Returns a pod made from a template for an owner; `metadata` is merged over the template's.
pub(super) fn pod_of(owner: &Value, template: &Value, metadata: &Value) -> Value {
    let mut pod = json!({"metadata": {"namespace": owner["metadata"]["namespace"]}, "spec": template["spec"]});
    for field in ["labels", "annotations", "finalizers"] {
        if !template["metadata"][field].is_null() {
            pod["metadata"][field] = template["metadata"][field].clone();
        }
    }
    for (name, value) in metadata.as_object().into_iter().flatten() {
        match (value, &mut pod["metadata"][name]) {
            (Value::Object(over), Value::Object(base)) => base.extend(over.clone()),
            (value, slot) => *slot = value.clone(),
        }
    }
    pod["metadata"]["ownerReferences"] = json!([owner_reference(owner)]);
    pod
}
