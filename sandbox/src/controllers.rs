//! What the control plane does by itself, in virtual time.
//!
//! Every controller is level-triggered: it is told which object to look at, reads what is stored, and writes the next step. Work is due a
//! reaction time after a change, or when a controller asks to be called again. Knows no requests. Invariant: with time standing still
//! nothing happens, and the order of work depends on its due time and the order in which it arose, on nothing else.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::api::Status;
use crate::cluster::State;
use crate::log::Verb;
use crate::route::Target;
use crate::store::{ObjectKey, owner_uids};

mod autoscaler;
mod behaviour;
mod bootstrap;
mod daemon_set;
mod definition;
mod deployment;
mod disruption;
mod events;
mod garbage;
mod job;
mod namespace;
mod pod;
mod replica_set;
mod revision;
mod stateful_set;
mod storage;

pub use behaviour::{ANNOTATION, Behaviour};
pub(crate) use pod::log;

/// The manager of what the controllers write.
pub(crate) const MANAGER: &str = "kube-controller-manager";
/// The manager of what nodes write.
pub(crate) const KUBELET: &str = "kubelet";
/// Steps that one move of time may take; a loop of controllers ends here.
const STEPS_MAX: usize = 2_000_000;

/// Something to look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Item {
    /// The object, by the controller of its kind.
    Reconcile(ObjectKey),
    /// The object, by the garbage collector: its owners may be gone.
    Collect(ObjectKey),
    /// The event, whose time is over.
    Expire(ObjectKey),
}

/// What is to be done, and when.
#[derive(Debug, Default)]
pub(crate) struct Work {
    due: BTreeMap<(Timestamp, u64), Item>,
    pending: BTreeMap<Item, (Timestamp, u64)>,
    sequence: u64,
    /// When the present state of a pod began, by uid.
    pub pods: BTreeMap<String, pod::Runtime>,
    /// Which node gets the next pod.
    pub next_node: u32,
    /// The event of an object's uid, reason and message.
    pub events: BTreeMap<(String, String, String), ObjectKey>,
}

impl Work {
    /// Adds an item; one that is pending already is done at the earlier time.
    fn add(&mut self, item: Item, at: Timestamp) {
        if let Some(slot) = self.pending.get(&item).copied() {
            if slot.0 <= at {
                return;
            }
            self.due.remove(&slot);
        }
        self.sequence += 1;
        let slot = (at, self.sequence);
        self.due.insert(slot, item.clone());
        self.pending.insert(item, slot);
    }

    fn take(&mut self, until: Timestamp) -> Option<(Timestamp, Item)> {
        let (slot, _) = self.due.first_key_value().filter(|((at, _), _)| *at <= until)?;
        let slot = *slot;
        let item = self.due.remove(&slot)?;
        self.pending.remove(&item);
        Some((slot.0, item))
    }
}

impl State {
    /// Stores an object and tells the controllers.
    pub(crate) fn put(&mut self, key: &ObjectKey, mut object: Value) -> std::sync::Arc<Value> {
        crate::write::convert::to_stored(&mut object);
        let stored = self.store.put(key, object);
        self.notice(key, &stored, false);
        stored
    }

    /// Removes an object for good and tells the controllers.
    pub(crate) fn take_away(&mut self, key: &ObjectKey) -> Option<std::sync::Arc<Value>> {
        let gone = self.store.remove(key)?;
        self.notice(key, &gone, true);
        Some(gone)
    }

    /// Has the controllers look again at everything that is being deleted, for a fault may have held it.
    pub(crate) fn look_at_deleted(&mut self) {
        let at = self.after(self.settings.reaction);
        let mut held = Vec::new();
        for (resource, collection) in self.store.collections() {
            let deleted = collection.list("").filter(|object| !object["metadata"]["deletionTimestamp"].is_null());
            if let Some(kind) = self.kinds.stored(resource) {
                held.extend(deleted.map(|object| self.key_of(kind, object)));
            }
        }
        for key in held {
            self.work.add(Item::Reconcile(key), at);
        }
    }

    fn notice(&mut self, key: &ObjectKey, object: &Value, is_gone: bool) {
        let at = self.after(self.settings.reaction);
        self.work.add(Item::Reconcile(key.clone()), at);
        for owner in owner_uids(object) {
            let item = match self.store.by_uid(owner) {
                Some(owner) => Item::Reconcile(owner.clone()),
                None if is_gone => continue,
                None => Item::Collect(key.clone()),
            };
            self.work.add(item, at);
        }
        self.notice_scaled(key, object, at);
        self.notice_budgets(key, object, at);
        if !is_gone {
            return;
        }
        for volume in object["spec"]["volumes"].as_array().into_iter().flatten() {
            let claim = volume["persistentVolumeClaim"]["claimName"].as_str();
            if let Some(claim) = claim.and_then(|name| self.key("", "PersistentVolumeClaim", &key.namespace, name)) {
                self.work.add(Item::Reconcile(claim), at);
            }
        }
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
        self.work.pods.remove(uid);
        for dependent in self.store.dependents(uid) {
            self.work.add(Item::Collect(dependent), at);
        }
        if let Some(namespace) = self.key("", "Namespace", "", &key.namespace)
            && !key.namespace.is_empty()
        {
            self.work.add(Item::Reconcile(namespace), at);
        }
        let custom = self.kinds.stored(key.resource).filter(|kind| kind.custom.is_some());
        if let Some(name) = custom.map(|kind| format!("{}.{}", kind.plural, kind.group))
            && let Some(definition) = self.key("apiextensions.k8s.io", "CustomResourceDefinition", "", &name)
        {
            self.work.add(Item::Reconcile(definition), at);
        }
    }

    /// Returns the key of an object of a built-in kind, whether it exists or not.
    pub(crate) fn key(&self, group: &str, kind: &str, namespace: &str, name: &str) -> Option<ObjectKey> {
        let resource = self.kinds.of_kind(group, kind)?.id;
        Some(ObjectKey { resource, namespace: namespace.to_owned(), name: name.to_owned() })
    }

    /// Returns the time `by` from now.
    pub(crate) fn after(&self, by: std::time::Duration) -> Timestamp {
        let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
        self.now.saturating_add(by).unwrap_or(Timestamp::MAX)
    }

    /// Asks to look at an object again at a time.
    pub(crate) fn again(&mut self, key: &ObjectKey, at: Timestamp) {
        self.work.add(Item::Reconcile(key.clone()), at);
    }

    /// Returns when the next item is due; `None` where there is none or nothing may move.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        if self.faults.freeze_controllers {
            return None;
        }
        self.work.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// Does all that is due until `until`, and moves time there.
    pub(crate) fn run_until(&mut self, until: Timestamp) {
        let mut steps = 0;
        while !self.faults.freeze_controllers {
            let Some((at, item)) = self.work.take(until) else { break };
            self.now = self.now.max(at);
            self.run(&item);
            steps += 1;
            if steps == STEPS_MAX {
                tracing::error!(steps, "controllers did not come to rest");
                break;
            }
        }
        self.now = self.now.max(until);
    }

    fn run(&mut self, item: &Item) {
        match item {
            Item::Reconcile(key) => self.reconcile(key),
            Item::Collect(key) => self.collect(key),
            Item::Expire(key) => self.expire(key),
        }
    }

    fn reconcile(&mut self, key: &ObjectKey) {
        let Some(kind) = self.kinds.stored(key.resource).cloned() else { return };
        let Some(object) = self.store.get(key).cloned() else { return };
        if !object["metadata"]["deletionTimestamp"].is_null() {
            self.reconcile_finalizers(key, &object);
        }
        if kind.custom.is_some() {
            return;
        }
        match (kind.group.as_str(), kind.kind.as_str()) {
            ("", "Namespace") => self.reconcile_namespace(key, &object),
            ("", "Pod") => self.reconcile_pod(key, &object),
            ("", "PersistentVolumeClaim") => self.reconcile_claim(key, &object),
            ("", "PersistentVolume") => self.reconcile_volume(key, &object),
            ("", "Service") => self.reconcile_service(key, &object),
            ("apps", "Deployment") => self.reconcile_deployment(key, &object),
            ("apps", "ReplicaSet") => self.reconcile_replica_set(key, &object),
            ("apps", "StatefulSet") => self.reconcile_stateful_set(key, &object),
            ("apps", "DaemonSet") => self.reconcile_daemon_set(key, &object),
            ("batch", "Job") => self.reconcile_job(key, &object),
            ("autoscaling", "HorizontalPodAutoscaler") => self.reconcile_autoscaler(key, &object),
            ("policy", "PodDisruptionBudget") => self.reconcile_budget(key, &object),
            ("apiextensions.k8s.io", "CustomResourceDefinition") => self.reconcile_definition(key, &object),
            ("apiregistration.k8s.io", "APIService") => self.reconcile_api_service(key),
            _ => {}
        }
    }

    /// Makes an object for a controller, unless a fault denies it.
    pub(crate) fn make_or_denied(
        &mut self,
        group: &str,
        kind: &str,
        mut object: Value,
    ) -> Result<std::sync::Arc<Value>, Status> {
        let known = self.kinds.of_kind(group, kind).cloned().ok_or_else(Status::no_resource)?;
        // A name that is generated is there before anybody is asked.
        self.name_object(&mut object);
        let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
        let target = Target {
            group: known.group.clone(),
            version: known.version.clone(),
            resource: known.plural.clone(),
            namespace: text("namespace"),
            name: text("name"),
            subresource: String::new(),
        };
        if let Some(status) = self.faults.check(Verb::Create, &target) {
            return Err(status);
        }
        self.make(group, kind, object, MANAGER)
    }

    /// Lists what an object controls of one kind, by name.
    pub(crate) fn controlled(&self, owner: &Value, group: &str, kind: &str) -> Vec<(ObjectKey, std::sync::Arc<Value>)> {
        let uid = owner["metadata"]["uid"].as_str().unwrap_or_default();
        let Some(resource) = self.kinds.of_kind(group, kind).map(|kind| kind.id) else { return Vec::new() };
        let keys = self.store.dependents(uid).into_iter().filter(|key| key.resource == resource);
        keys.filter_map(|key| self.store.get(&key).cloned().map(|object| (key, object))).collect()
    }
}

/// Returns the owner reference of a controller.
pub(crate) fn owner_reference(owner: &Value) -> Value {
    serde_json::json!({"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true})
}

/// Returns a condition of a status.
pub(crate) fn condition<'v>(object: &'v Value, of: &str) -> Option<&'v Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"].as_str() == Some(of))
}

/// Sets a condition of `status`; `lastTransitionTime` moves only when the status does. Returns whether anything changed.
pub(crate) fn set_condition(status: &mut Value, of: &str, state: &str, reason: &str, message: &str, now: &str) -> bool {
    let mut condition = serde_json::json!({"type": of, "status": state, "lastTransitionTime": now});
    for (name, text) in [("reason", reason), ("message", message)] {
        if !text.is_empty() {
            condition[name] = text.into();
        }
    }
    put_condition(status, condition)
}

/// Puts a condition in the place of the one of its type, keeping its transition time where the status stays.
pub(crate) fn put_condition(status: &mut Value, mut condition: Value) -> bool {
    if !status["conditions"].is_array() {
        status["conditions"] = Value::Array(Vec::new());
    }
    let Some(conditions) = status["conditions"].as_array_mut() else { return false };
    match conditions.iter_mut().find(|known| known["type"] == condition["type"]) {
        Some(known) => {
            if known["status"] == condition["status"] && known.get("lastTransitionTime").is_some() {
                condition["lastTransitionTime"] = known["lastTransitionTime"].clone();
            }
            let is_changed = *known != condition;
            *known = condition;
            is_changed
        }
        None => {
            conditions.push(condition);
            true
        }
    }
}

/// Reads a whole number; absent counts as 0.
pub(crate) fn count(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

/// Resolves a number or percentage of `total`, rounding up or down.
pub(crate) fn share(value: &Value, total: i64, round_up: bool) -> i64 {
    match value {
        Value::String(text) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or_default();
            let scaled = percent * total;
            if round_up { scaled.div_euclid(100) + i64::from(scaled % 100 != 0) } else { scaled / 100 }
        }
        other => count(other),
    }
}
