//! StatefulSets: pods with ordinals, made, updated and removed in order.
//!
//! Source of the rules: the Kubernetes documentation of StatefulSet. Invariant: with `OrderedReady` at most one pod is being made or replaced.

use std::sync::Arc;

use serde_json::{Value, json};

use super::pod::{is_active, is_ready};
use super::replica_set::pod_of;
use super::revision::REVISION_LABEL;
use super::{MANAGER, count, owner_reference};
use crate::cluster::State;
use crate::store::{ObjectKey, owner_uids};
use crate::write::Part;

const COMPONENT: &str = "statefulset-controller";
const RETRY: std::time::Duration = std::time::Duration::from_secs(5);

impl State {
    pub(super) fn reconcile_stateful_set(&mut self, key: &ObjectKey, set: &Arc<Value>) {
        let (update, _) = self.revise(key, set);
        if set["metadata"]["deletionTimestamp"].is_null() {
            self.step_stateful_set(key, set, &update);
        }
        self.report_stateful_set(key, &update);
    }

    /// Does one step; the change it makes brings the next.
    fn step_stateful_set(&mut self, key: &ObjectKey, set: &Arc<Value>, update: &str) {
        let spec = &set["spec"];
        let is_ordered = spec["podManagementPolicy"].as_str() != Some("Parallel");
        let start = count(&spec["ordinals"]["start"]);
        let end = start + count(&spec["replicas"]);
        let current = set["status"]["currentRevision"].as_str().unwrap_or(update).to_owned();
        let partition = count(&spec["updateStrategy"]["rollingUpdate"]["partition"]);
        let rolls = spec["updateStrategy"]["type"].as_str() == Some("RollingUpdate");
        for ordinal in start..end {
            let pod = self.ordinal(key, set, ordinal);
            match pod {
                None => {
                    let revision = if rolls && ordinal < partition { &current } else { update };
                    if !self.make_ordinal(key, set, ordinal, revision) || is_ordered {
                        return;
                    }
                }
                Some((pod_key, pod)) if matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded")) => {
                    self.delete_pod(&pod_key);
                    return;
                }
                Some((_, pod)) if is_ordered && !(is_ready(&pod) && is_active(&pod)) => {
                    // A pod of an old revision that never gets ready is not waited for; it is replaced below.
                    let is_old = revision_of(&pod) != update && rolls && ordinal >= partition && is_active(&pod);
                    if !is_old {
                        return;
                    }
                    break;
                }
                Some(_) => {}
            }
        }
        let mut beyond: Vec<(i64, ObjectKey, Arc<Value>)> = self.ordinals(set);
        beyond.retain(|(ordinal, _, _)| *ordinal >= end || *ordinal < start);
        beyond.sort_by_key(|(ordinal, _, _)| std::cmp::Reverse(*ordinal));
        for (_, pod_key, pod) in beyond {
            if is_active(&pod) {
                self.delete_pod(&pod_key);
                let message = format!("Delete Pod {} in StatefulSet {} successful", pod_key.name, key.name);
                self.tell(set, COMPONENT, "Normal", "SuccessfulDelete", &message);
            }
            if is_ordered {
                return;
            }
        }
        if rolls {
            self.roll_ordinals(key, set, update, partition.max(start), end);
        }
    }

    /// Replaces the highest pod that is not of the present revision, once all above it are ready.
    fn roll_ordinals(&mut self, key: &ObjectKey, set: &Value, update: &str, from: i64, to: i64) {
        for ordinal in (from..to).rev() {
            let Some((pod_key, pod)) = self.ordinal(key, set, ordinal) else { return };
            if revision_of(&pod) != update {
                if is_active(&pod) {
                    self.delete_pod(&pod_key);
                    let message = format!("Delete Pod {} in StatefulSet {} successful", pod_key.name, key.name);
                    self.tell(set, COMPONENT, "Normal", "SuccessfulDelete", &message);
                }
                return;
            }
            if !is_ready(&pod) {
                return;
            }
        }
    }

    /// Returns a pod of the set. One that a set of the same name has left, and that still goes, is not its: to make its own fails until then.
    fn ordinal(&self, key: &ObjectKey, set: &Value, ordinal: i64) -> Option<(ObjectKey, Arc<Value>)> {
        let pod = self.key("", "Pod", &key.namespace, &format!("{}-{ordinal}", key.name))?;
        let object = self.store.get(&pod)?.clone();
        let is_its = owner_uids(&object).any(|uid| set["metadata"]["uid"] == uid);
        is_its.then_some((pod, object))
    }

    fn ordinals(&self, set: &Value) -> Vec<(i64, ObjectKey, Arc<Value>)> {
        let pods = self.controlled(set, "", "Pod").into_iter();
        pods.filter_map(|(key, pod)| Some((key.name.rsplit_once('-')?.1.parse().ok()?, key, pod))).collect()
    }

    fn make_ordinal(&mut self, key: &ObjectKey, set: &Arc<Value>, ordinal: i64, revision: &str) -> bool {
        let name = format!("{}-{ordinal}", key.name);
        let hash = revision.rsplit('-').next().unwrap_or_default();
        self.make_claims(set, &name);
        let template = self.template_of(set, &key.namespace, revision);
        let labels = json!({REVISION_LABEL: format!("{}-{hash}", key.name), "statefulset.kubernetes.io/pod-name": name,
            "apps.kubernetes.io/pod-index": ordinal.to_string()});
        let mut pod =
            pod_of(set, &template, &json!({"name": name, "generateName": format!("{}-", key.name), "labels": labels}));
        pod["spec"]["hostname"] = name.as_str().into();
        if let Some(service) = set["spec"]["serviceName"].as_str() {
            pod["spec"]["subdomain"] = service.into();
        }
        for claim in set["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten() {
            let volume = claim["metadata"]["name"].as_str().unwrap_or_default();
            let volume = json!({"name": volume, "persistentVolumeClaim": {"claimName": format!("{volume}-{name}")}});
            match pod["spec"]["volumes"].as_array_mut() {
                Some(volumes) => volumes.push(volume),
                None => pod["spec"]["volumes"] = json!([volume]),
            }
        }
        match self.make_or_denied("", "Pod", pod) {
            Ok(_) => {
                let message = format!("Create Pod {name} in StatefulSet {} successful", key.name);
                self.tell(set, COMPONENT, "Normal", "SuccessfulCreate", &message);
                true
            }
            Err(error) => {
                let message = format!("Create Pod {name} in StatefulSet {} failed error: {error}", key.name);
                self.tell(set, COMPONENT, "Warning", "FailedCreate", &message);
                let at = self.after(RETRY);
                self.again(key, at);
                false
            }
        }
    }

    /// Returns the template of a revision: the present one unless an older one is asked for and kept.
    fn template_of(&self, set: &Value, namespace: &str, revision: &str) -> Value {
        let kept =
            self.key("apps", "ControllerRevision", namespace, revision).and_then(|key| self.store.get(&key).cloned());
        let template = kept.map(|kept| kept["data"]["spec"]["template"].clone()).filter(Value::is_object);
        let template = template.map(|mut template| {
            if let Some(template) = template.as_object_mut() {
                template.remove("$patch");
            }
            template
        });
        template.unwrap_or_else(|| set["spec"]["template"].clone())
    }

    fn make_claims(&mut self, set: &Value, pod: &str) {
        let namespace = set["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
        for template in set["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten() {
            let name = format!("{}-{pod}", template["metadata"]["name"].as_str().unwrap_or_default());
            let exists = self
                .key("", "PersistentVolumeClaim", &namespace, &name)
                .is_some_and(|key| self.store.get(&key).is_some());
            if exists {
                continue;
            }
            let mut claim = json!({"metadata": {"name": name, "namespace": namespace,
                "labels": set["spec"]["selector"]["matchLabels"]}, "spec": template["spec"]});
            let retention = &set["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"];
            if retention.as_str() == Some("Delete") {
                claim["metadata"]["ownerReferences"] = json!([owner_reference(set)]);
            }
            if let Err(error) = self.make_or_denied("", "PersistentVolumeClaim", claim) {
                tracing::debug!(%error, name, "no claim");
            }
        }
    }

    fn report_stateful_set(&mut self, key: &ObjectKey, update: &str) {
        let Some(set) = self.store.get(key).cloned() else { return };
        let pods = self.controlled(&set, "", "Pod");
        let active: Vec<(ObjectKey, Arc<Value>)> = pods.into_iter().filter(|(_, pod)| is_active(pod)).collect();
        let (ready, available, next) = self.readiness(&active, count(&set["spec"]["minReadySeconds"]));
        if let Some(next) = next {
            self.again(key, next);
        }
        let replicas = active.len();
        let updated = active.iter().filter(|(_, pod)| revision_of(pod) == update).count();
        let wanted = usize::try_from(count(&set["spec"]["replicas"])).unwrap_or_default();
        let rolls = set["spec"]["updateStrategy"]["type"].as_str() == Some("RollingUpdate");
        let partition = count(&set["spec"]["updateStrategy"]["rollingUpdate"]["partition"]);
        let is_done = rolls && partition == 0 && updated == wanted && ready == wanted && replicas == wanted;
        let current = match set["status"]["currentRevision"].as_str() {
            Some(current) if !is_done => current.to_owned(),
            _ => update.to_owned(),
        };
        let of_current = active.iter().filter(|(_, pod)| revision_of(pod) == current).count();
        let generation = set["metadata"]["generation"].clone();
        self.edit(key, MANAGER, Part::Status, |set| {
            set["status"] = json!({"observedGeneration": generation, "replicas": replicas, "readyReplicas": ready,
                "availableReplicas": available, "currentReplicas": of_current, "updatedReplicas": updated,
                "currentRevision": current, "updateRevision": update, "collisionCount": 0});
        });
    }
}

/// Returns the revision a pod was made from.
fn revision_of(pod: &Value) -> &str {
    pod["metadata"]["labels"][REVISION_LABEL].as_str().unwrap_or_default()
}
