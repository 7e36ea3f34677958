//! Deployments: one replica set per template, rolled over step by step.
//!
//! Source of the rules: the Kubernetes documentation of Deployment and the observable steps of its controller. Invariant: while rolling, never
//! more pods than replicas + maxSurge, and available pods are taken from old sets only above replicas - maxUnavailable.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{MANAGER, condition, count, owner_reference, put_condition, share};
use crate::cluster::State;
use crate::identity::hash_text;
use crate::remove::Options;
use crate::store::ObjectKey;
use crate::write::Part;

const COMPONENT: &str = "deployment-controller";
const REVISION: &str = "deployment.kubernetes.io/revision";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MAX: &str = "deployment.kubernetes.io/max-replicas";
const HASH: &str = "pod-template-hash";
const LAST_APPLIED: &str = crate::apply::LAST_APPLIED;

type Sets = Vec<(ObjectKey, Arc<Value>)>;

/// The numbers that a rollout keeps to.
struct Bounds {
    replicas: i64,
    surge: i64,
    unavailable: i64,
}

impl Bounds {
    fn of(deployment: &Value) -> Bounds {
        let spec = &deployment["spec"];
        let replicas = count(&spec["replicas"]);
        if spec["strategy"]["type"].as_str() != Some("RollingUpdate") {
            return Bounds { replicas, surge: 0, unavailable: 0 };
        }
        let rolling = &spec["strategy"]["rollingUpdate"];
        let surge = share(&rolling["maxSurge"], replicas, true);
        let unavailable = share(&rolling["maxUnavailable"], replicas, false);
        // Both zero could never move.
        let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable.min(replicas) };
        Bounds { replicas, surge, unavailable }
    }
}

impl State {
    pub(super) fn reconcile_deployment(&mut self, key: &ObjectKey, deployment: &Arc<Value>) {
        if deployment["metadata"]["deletionTimestamp"].is_null() {
            let bounds = Bounds::of(deployment);
            let is_paused = deployment["spec"]["paused"] == Value::Bool(true);
            let new = self.new_set(key, deployment, is_paused);
            let (new_key, old) = self.split(deployment, new);
            if is_paused {
                self.scale_active(deployment, new_key.as_ref(), &old, &bounds);
            } else if let Some(new_key) = &new_key {
                match deployment["spec"]["strategy"]["type"].as_str() {
                    Some("Recreate") => self.recreate(deployment, new_key, &old, &bounds),
                    _ => self.roll(deployment, new_key, &old, &bounds),
                }
                self.forget_old(deployment, &old);
            }
        }
        self.report_deployment(key);
    }

    /// Splits the sets into the new one and the old ones, oldest first.
    fn split(&self, deployment: &Value, new: Option<ObjectKey>) -> (Option<ObjectKey>, Vec<ObjectKey>) {
        let mut sets = self.controlled(deployment, "apps", "ReplicaSet");
        sets.sort_by_key(|(key, set)| (revision(set), key.name.clone()));
        let old = sets.into_iter().map(|(key, _)| key).filter(|key| Some(key) != new.as_ref()).collect();
        (new, old)
    }

    /// Finds the set of the present template, or makes it.
    fn new_set(&mut self, key: &ObjectKey, deployment: &Arc<Value>, is_paused: bool) -> Option<ObjectKey> {
        let template = &deployment["spec"]["template"];
        let hash = hash_text(&template.to_string());
        let sets = self.controlled(deployment, "apps", "ReplicaSet");
        let newest = sets.iter().map(|(_, set)| revision(set)).max().unwrap_or_default();
        let found = sets.iter().find(|(_, set)| set["metadata"]["labels"][HASH].as_str() == Some(hash.as_str()));
        if let Some((set_key, set)) = found {
            let set_key = set_key.clone();
            let number = if revision(set) < newest { newest + 1 } else { revision(set) };
            self.note_revision(key, deployment, Some(&set_key), number);
            return Some(set_key);
        }
        if is_paused {
            return None;
        }
        let bounds = Bounds::of(deployment);
        let name = format!("{}-{hash}", key.name);
        let total: i64 = sets.iter().map(|(_, set)| count(&set["spec"]["replicas"])).sum();
        let first = match deployment["spec"]["strategy"]["type"].as_str() {
            Some("Recreate") if total > 0 => 0,
            Some("Recreate") => bounds.replicas,
            _ => (bounds.replicas + bounds.surge - total).clamp(0, bounds.replicas),
        };
        let set = new_set_of(deployment, &name, &hash, first, newest + 1, &bounds);
        match self.make_or_denied("apps", "ReplicaSet", set) {
            Ok(_) => {
                let set_key = self.key("apps", "ReplicaSet", &key.namespace, &name)?;
                self.note_revision(key, deployment, None, newest + 1);
                if first > 0 {
                    let message = format!("Scaled up replica set {name} from 0 to {first}");
                    self.tell(deployment, COMPONENT, "Normal", "ScalingReplicaSet", &message);
                }
                let message = format!("Created new replica set \"{name}\"");
                self.note_progress(key, "NewReplicaSetCreated", &message);
                Some(set_key)
            }
            Err(error) => {
                tracing::debug!(%error, name, "no new replica set");
                None
            }
        }
    }

    fn note_revision(&mut self, key: &ObjectKey, deployment: &Value, set: Option<&ObjectKey>, number: i64) {
        let text = number.to_string();
        if let Some(set) = set {
            self.edit(set, MANAGER, Part::Main, |set| set["metadata"]["annotations"][REVISION] = text.as_str().into());
        }
        if deployment["metadata"]["annotations"][REVISION].as_str() != Some(text.as_str()) {
            self.edit(key, MANAGER, Part::Status, |deployment| {
                deployment["metadata"]["annotations"][REVISION] = text.as_str().into();
            });
        }
    }

    fn note_progress(&mut self, key: &ObjectKey, reason: &str, message: &str) {
        let now = self.now_text();
        self.edit(key, MANAGER, Part::Status, |deployment| {
            put_progress(&mut deployment["status"], "True", reason, message, &now);
        });
    }

    fn scale_set(&mut self, deployment: &Value, key: &ObjectKey, to: i64, bounds: &Bounds) {
        let Some(set) = self.store.get(key).cloned() else { return };
        let from = count(&set["spec"]["replicas"]);
        let (desired, max) = (bounds.replicas.to_string(), (bounds.replicas + bounds.surge).to_string());
        self.edit(key, MANAGER, Part::Main, |set| {
            set["spec"]["replicas"] = to.into();
            set["metadata"]["annotations"][DESIRED] = desired.into();
            set["metadata"]["annotations"][MAX] = max.into();
        });
        if from != to {
            let direction = if to > from { "up" } else { "down" };
            let message = format!("Scaled {direction} replica set {} from {from} to {to}", key.name);
            self.tell(deployment, COMPONENT, "Normal", "ScalingReplicaSet", &message);
        }
    }

    fn replicas_of(&self, key: &ObjectKey) -> i64 {
        self.store.get(key).map(|set| count(&set["spec"]["replicas"])).unwrap_or_default()
    }

    fn available_of(&self, key: &ObjectKey) -> i64 {
        self.store.get(key).map(|set| count(&set["status"]["availableReplicas"])).unwrap_or_default()
    }

    /// While paused, only the number of replicas is followed, by the newest set that has any.
    fn scale_active(&mut self, deployment: &Value, new: Option<&ObjectKey>, old: &[ObjectKey], bounds: &Bounds) {
        let active = old.iter().rev().chain(new).filter(|key| self.replicas_of(key) > 0);
        let mut active: Vec<ObjectKey> = active.cloned().collect();
        if let (Some(only), true) = (active.pop(), active.is_empty()) {
            self.scale_set(deployment, &only, bounds.replicas, bounds);
        }
    }

    fn recreate(&mut self, deployment: &Value, new: &ObjectKey, old: &[ObjectKey], bounds: &Bounds) {
        for key in old {
            if self.replicas_of(key) > 0 {
                self.scale_set(deployment, key, 0, bounds);
            }
        }
        let is_any_left =
            old.iter().any(|key| self.store.get(key).is_some_and(|set| !self.controlled(set, "", "Pod").is_empty()));
        if !is_any_left {
            self.scale_set(deployment, new, bounds.replicas, bounds);
        }
    }

    fn roll(&mut self, deployment: &Value, new: &ObjectKey, old: &[ObjectKey], bounds: &Bounds) {
        let total: i64 = old.iter().chain([new]).map(|key| self.replicas_of(key)).sum();
        let present = self.replicas_of(new);
        if present > bounds.replicas {
            self.scale_set(deployment, new, bounds.replicas, bounds);
            return;
        }
        if present < bounds.replicas {
            let room = (bounds.replicas + bounds.surge - total).max(0);
            if room > 0 {
                let to = present + room.min(bounds.replicas - present);
                self.scale_set(deployment, new, to, bounds);
                return;
            }
        }
        let minimum = bounds.replicas - bounds.unavailable;
        let new_unavailable = self.replicas_of(new) - self.available_of(new);
        let mut budget = total - minimum - new_unavailable;
        for key in old {
            let replicas = self.replicas_of(key);
            let unhealthy = (replicas - self.available_of(key)).clamp(0, budget.max(0));
            if unhealthy > 0 {
                self.scale_set(deployment, key, replicas - unhealthy, bounds);
                budget -= unhealthy;
            }
        }
        let available: i64 = old.iter().chain([new]).map(|key| self.available_of(key)).sum();
        let mut spare = (available - minimum).min(budget).max(0);
        for key in old {
            let replicas = self.replicas_of(key);
            let down = replicas.min(spare);
            if down > 0 {
                self.scale_set(deployment, key, replicas - down, bounds);
                spare -= down;
            }
        }
    }

    /// Removes sets that are no longer needed for a rollback.
    fn forget_old(&mut self, deployment: &Value, old: &[ObjectKey]) {
        let limit = usize::try_from(count(&deployment["spec"]["revisionHistoryLimit"])).unwrap_or_default();
        let idle = |set: &Value| {
            ["spec", "status"].iter().all(|part| count(&set[*part]["replicas"]) == 0)
                && count(&set["status"]["observedGeneration"]) >= count(&set["metadata"]["generation"])
        };
        let is_idle = |key: &&ObjectKey| self.store.get(key).is_some_and(|set| idle(set));
        let idle: Vec<ObjectKey> = old.iter().filter(is_idle).cloned().collect();
        let excess = old.len().saturating_sub(limit).min(idle.len());
        for key in &idle[..excess] {
            if let Some(kind) = self.kinds.stored(key.resource).cloned()
                && let Err(error) = self.remove_object(&kind, key, &Options::default(), false)
            {
                tracing::debug!(%error, name = key.name, "old replica set stays");
            }
        }
    }

    fn report_deployment(&mut self, key: &ObjectKey) {
        let Some(deployment) = self.store.get(key).cloned() else { return };
        let sets: Sets = self.controlled(&deployment, "apps", "ReplicaSet");
        let hash = hash_text(&deployment["spec"]["template"].to_string());
        let new = sets.iter().find(|(_, set)| set["metadata"]["labels"][HASH].as_str() == Some(hash.as_str()));
        let bounds = Bounds::of(&deployment);
        let sum = |field: &str| -> i64 { sets.iter().map(|(_, set)| count(&set["status"][field])).sum() };
        let wanted: i64 = sets.iter().map(|(_, set)| count(&set["spec"]["replicas"])).sum();
        let (replicas, ready, available) = (sum("replicas"), sum("readyReplicas"), sum("availableReplicas"));
        let updated = new.map(|(_, set)| count(&set["status"]["replicas"])).unwrap_or_default();
        let now = self.now_text();
        let mut status = deployment["status"].clone();
        let before = status.clone();
        status["observedGeneration"] = deployment["metadata"]["generation"].clone();
        let counts = [
            ("replicas", replicas),
            ("updatedReplicas", updated),
            ("readyReplicas", ready),
            ("availableReplicas", available),
            ("unavailableReplicas", (wanted - available).max(0)),
            ("terminatingReplicas", sum("terminatingReplicas")),
        ];
        for (field, number) in counts {
            status[field] = number.into();
        }
        let is_available = available >= bounds.replicas - bounds.unavailable;
        put_available(&mut status, is_available, &now);
        put_failure(&mut status, new.map(|(_, set)| set.as_ref()), &now);
        let is_paused = deployment["spec"]["paused"] == Value::Bool(true);
        let name = new.map(|(key, _)| key.name.clone());
        let is_complete = updated == bounds.replicas && replicas == bounds.replicas && available == bounds.replicas;
        let next = self.judge_progress(&deployment, &before, &mut status, name, is_complete, is_paused, &now);
        if let Some(next) = next {
            self.again(key, next);
        }
        self.edit(key, MANAGER, Part::Status, |deployment| deployment["status"] = status);
    }

    /// Writes the condition `Progressing`; says when to judge again.
    #[expect(clippy::too_many_arguments, reason = "each is one independent fact that the verdict rests on")]
    fn judge_progress(
        &self,
        deployment: &Value,
        before: &Value,
        status: &mut Value,
        set: Option<String>,
        is_complete: bool,
        is_paused: bool,
        now: &str,
    ) -> Option<Timestamp> {
        let old = condition(deployment, "Progressing").cloned().unwrap_or(Value::Null);
        let was = old["reason"].as_str().unwrap_or_default();
        let name = set.map_or_else(|| "Deployment".to_owned(), |set| format!("ReplicaSet \"{set}\""));
        if is_paused {
            put_progress(status, "Unknown", "DeploymentPaused", "Deployment is paused", now);
            return None;
        }
        if is_complete {
            if was != "NewReplicaSetAvailable" {
                let message = format!("{name} has successfully progressed.");
                put_progress(status, "True", "NewReplicaSetAvailable", &message, now);
            }
            return None;
        }
        let field = |status: &Value, field: &str| count(&status[field]);
        let progressed = field(status, "updatedReplicas") > field(before, "updatedReplicas")
            || field(status, "readyReplicas") > field(before, "readyReplicas")
            || field(status, "availableReplicas") > field(before, "availableReplicas")
            || field(status, "replicas") - field(status, "updatedReplicas")
                < field(before, "replicas") - field(before, "updatedReplicas");
        let is_new_rollout =
            was == "NewReplicaSetAvailable" && deployment["metadata"]["generation"] != before["observedGeneration"];
        if progressed || was.is_empty() || is_new_rollout {
            let message = format!("{name} is progressing.");
            put_progress(status, "True", "ReplicaSetUpdated", &message, now);
        }
        let since = condition(&json!({"status": status}), "Progressing")
            .filter(|progress| progress["reason"] != "NewReplicaSetAvailable" && progress["status"] == "True")
            .and_then(|progress| progress["lastUpdateTime"].as_str()?.parse::<Timestamp>().ok())?;
        let deadline = count(&deployment["spec"]["progressDeadlineSeconds"]);
        let due = since.saturating_add(jiff::SignedDuration::from_secs(deadline)).ok()?;
        if self.now < due {
            return Some(due);
        }
        let message = format!("{name} has timed out progressing.");
        put_progress(status, "False", "ProgressDeadlineExceeded", &message, now);
        None
    }
}

fn revision(set: &Value) -> i64 {
    set["metadata"]["annotations"][REVISION].as_str().and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn new_set_of(deployment: &Value, name: &str, hash: &str, replicas: i64, revision: i64, bounds: &Bounds) -> Value {
    let spec = &deployment["spec"];
    let mut template = spec["template"].clone();
    template["metadata"]["labels"][HASH] = hash.into();
    let mut selector = spec["selector"].clone();
    selector["matchLabels"][HASH] = hash.into();
    let mut annotations = deployment["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
    annotations.remove(LAST_APPLIED);
    annotations.insert(REVISION.to_owned(), revision.to_string().into());
    annotations.insert(DESIRED.to_owned(), bounds.replicas.to_string().into());
    annotations.insert(MAX.to_owned(), (bounds.replicas + bounds.surge).to_string().into());
    let mut set = json!({
        "metadata": {"name": name, "namespace": deployment["metadata"]["namespace"], "labels": template["metadata"]["labels"],
            "annotations": annotations, "ownerReferences": [owner_reference(deployment)]},
        "spec": {"replicas": replicas, "selector": selector, "template": template},
    });
    if !spec["minReadySeconds"].is_null() {
        set["spec"]["minReadySeconds"] = spec["minReadySeconds"].clone();
    }
    set
}

fn put_available(status: &mut Value, is_available: bool, now: &str) {
    let (state, reason, message) = if is_available {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    let known =
        status["conditions"].as_array().into_iter().flatten().find(|condition| condition["type"] == "Available");
    if known.is_some_and(|known| known["status"] == state && known["reason"] == reason) {
        return;
    }
    put_condition(
        status,
        json!({"type": "Available", "status": state, "reason": reason, "message": message, "lastTransitionTime": now, "lastUpdateTime": now}),
    );
}

/// Copies the failure of the new set, or removes it.
fn put_failure(status: &mut Value, set: Option<&Value>, now: &str) {
    let failure = set.and_then(|set| condition(set, "ReplicaFailure"));
    match failure {
        Some(failure) => {
            let (reason, message) = (failure["reason"].clone(), failure["message"].clone());
            let known = status["conditions"].as_array().into_iter().flatten();
            let known = known.into_iter().find(|known| known["type"] == "ReplicaFailure");
            if known.is_none_or(|known| known["message"] != message) {
                put_condition(
                    status,
                    json!({"type": "ReplicaFailure", "status": "True", "reason": reason, "message": message, "lastTransitionTime": now, "lastUpdateTime": now}),
                );
            }
        }
        None => {
            if let Some(conditions) = status["conditions"].as_array_mut() {
                conditions.retain(|condition| condition["type"] != "ReplicaFailure");
            }
        }
    }
}

fn put_progress(status: &mut Value, state: &str, reason: &str, message: &str, now: &str) {
    put_condition(
        status,
        json!({"type": "Progressing", "status": state, "reason": reason, "message": message, "lastTransitionTime": now, "lastUpdateTime": now}),
    );
}
