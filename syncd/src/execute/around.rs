//! What is around the workloads that are waited for: their ReplicaSets and pods, and warnings about all of them.
//!
//! Kept small: of every object only what [`crate::readiness::pods`] reads, by the uid of what it belongs to. Knows no request. Invariant:
//! objects in namespaces without a workload that is waited for are not kept.

use std::collections::{BTreeMap, BTreeSet};

use litemap::LiteMap;
use manifest::ObjectRef;
use serde_json::Value;
use smol_str::SmolStr;

use crate::cluster::{ClusterError, GroupKind, WatchEvent};
use crate::readiness::pods::{Evidence, controller};

/// What can be around a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kin {
    ReplicaSet,
    Pod,
    Event,
}

impl Kin {
    pub(super) fn kind(self) -> GroupKind {
        let (group, kind) = match self {
            Kin::ReplicaSet => ("apps", "ReplicaSet"),
            Kin::Pod => ("", "Pod"),
            Kin::Event => ("", "Event"),
        };
        GroupKind::new(group, kind)
    }

    /// Returns the uid of what an object of this kind belongs to.
    fn parent(self, object: &Value) -> &str {
        match self {
            Kin::ReplicaSet | Kin::Pod => controller(object),
            Kin::Event => object.pointer("/involvedObject/uid").and_then(Value::as_str).unwrap_or_default(),
        }
    }
}

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Around {
    namespaces: BTreeSet<SmolStr>,
    /// Objects, as JSON, by kind and by what they belong to.
    children: BTreeMap<(Kin, SmolStr), LiteMap<ObjectRef, Box<str>>>,
    /// What an object belongs to.
    parents: BTreeMap<(Kin, ObjectRef), SmolStr>,
    /// What was told since telling began anew.
    told: BTreeMap<Kin, BTreeSet<ObjectRef>>,
}

impl Around {
    pub(super) fn new(namespaces: BTreeSet<SmolStr>) -> Self {
        Around { namespaces, ..Around::default() }
    }

    /// Returns the one namespace that everything is in; absent where there are more.
    pub(super) fn namespace(&self) -> Option<&str> {
        let mut all = self.namespaces.iter();
        all.next().filter(|_| all.next().is_none()).map(SmolStr::as_str)
    }

    /// Takes an event over. Returns whether anything of interest changed.
    pub(super) fn apply(&mut self, kin: Kin, event: Result<WatchEvent, ClusterError>) -> bool {
        match event {
            Err(_) => false,
            Ok(WatchEvent::Restarted) => {
                self.told.insert(kin, BTreeSet::new());
                false
            }
            Ok(WatchEvent::Present(id, value)) => {
                if !self.namespaces.contains(&id.namespace) {
                    return false;
                }
                if let Some(told) = self.told.get_mut(&kin) {
                    told.insert(id.clone());
                }
                self.forget(kin, &id);
                let parent = SmolStr::new(kin.parent(&value));
                if parent.is_empty() {
                    return false;
                }
                self.parents.insert((kin, id.clone()), parent.clone());
                self.children
                    .entry((kin, parent))
                    .or_default()
                    .insert(id, slim(kin, value).to_string().into_boxed_str());
                true
            }
            Ok(WatchEvent::Absent(id)) => self.forget(kin, &id),
            Ok(WatchEvent::Synchronized) => {
                let Some(told) = self.told.remove(&kin) else { return false };
                let known = self.parents.keys().filter(|(of, id)| *of == kin && !told.contains(id));
                let gone: Vec<ObjectRef> = known.map(|(_, id)| id.clone()).collect();
                for id in &gone {
                    self.forget(kin, id);
                }
                true
            }
        }
    }

    fn forget(&mut self, kin: Kin, id: &ObjectRef) -> bool {
        let Some(parent) = self.parents.remove(&(kin, id.clone())) else { return false };
        let key = (kin, parent);
        if let Some(siblings) = self.children.get_mut(&key) {
            siblings.remove(id);
            if siblings.is_empty() {
                self.children.remove(&key);
            }
        }
        true
    }

    fn of(&self, kin: Kin, parent: &str) -> Vec<Value> {
        let read = |text: &str| serde_json::from_str(text).expect("it was written as JSON");
        let children = self.children.get(&(kin, parent.into()));
        children.into_iter().flat_map(LiteMap::values).map(|text| read(text)).collect()
    }

    /// Returns what is known around a workload.
    pub(super) fn surroundings(&self, kind: &GroupKind, workload: &Value) -> Surroundings {
        let own = uid(workload);
        let (mut sets, mut pods) = (Vec::new(), Vec::new());
        match kind.kind.as_str() {
            "Deployment" => {
                sets = self.of(Kin::ReplicaSet, own);
                pods = sets.iter().flat_map(|set| self.of(Kin::Pod, uid(set))).collect();
            }
            "Pod" => pods.push(workload.clone()),
            _ => pods = self.of(Kin::Pod, own),
        }
        let all: BTreeSet<&str> = pods.iter().chain(&sets).chain([workload]).map(uid).collect();
        let events = all.into_iter().map(|uid| (uid.to_owned(), self.of(Kin::Event, uid)));
        let events = events.filter(|(_, events)| !events.is_empty()).collect();
        Surroundings { sets, pods, events }
    }
}

/// What was known around a workload.
pub(super) struct Surroundings {
    sets: Vec<Value>,
    pods: Vec<Value>,
    /// By the uid of what they are about.
    events: BTreeMap<String, Vec<Value>>,
}

impl Surroundings {
    pub(super) fn evidence(&self) -> Evidence<'_> {
        Evidence {
            pods: self.pods.iter().collect(),
            sets: self.sets.iter().collect(),
            events: self.events.iter().map(|(uid, events)| (uid.as_str(), events.iter().collect())).collect(),
        }
    }
}

fn uid(object: &Value) -> &str {
    object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default()
}

/// Keeps of an object what is read of it.
fn slim(kin: Kin, mut value: Value) -> Value {
    let Some(object) = value.as_object_mut() else { return value };
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        if kin == Kin::Pod {
            metadata.remove("annotations");
        }
    }
    match kin {
        Kin::Event => {}
        Kin::ReplicaSet => {
            object.retain(|key, _| matches!(key.as_str(), "metadata" | "status"));
        }
        Kin::Pod => {
            object.retain(|key, _| matches!(key.as_str(), "metadata" | "spec" | "status"));
            if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
                spec.retain(|key, _| key == "containers");
                for container in spec.values_mut().filter_map(Value::as_array_mut).flatten() {
                    if let Some(fields) = container.as_object_mut() {
                        fields.retain(|key, _| matches!(key.as_str(), "name" | "readinessProbe"));
                    }
                }
            }
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, owner: &str) -> WatchEvent {
        let id = ObjectRef { group: "".into(), kind: "Pod".into(), namespace: "n".into(), name: name.into() };
        let owners = json!([{"uid": "other"}, {"uid": owner, "controller": true}]);
        let containers = json!([{"name": "app", "env": [{"name": "A", "value": "secret"}]}]);
        WatchEvent::Present(
            id,
            json!({"metadata": {"name": name, "uid": name, "ownerReferences": owners}, "spec": {"containers": containers, "nodeName": "x"}}),
        )
    }

    #[test]
    fn pods_are_found_by_their_owner_and_kept_small() {
        let mut around = Around::new(["n".into()].into());
        assert_eq!(around.namespace(), Some("n"));
        assert!(around.apply(Kin::Pod, Ok(pod("a", "set"))));
        assert!(around.apply(Kin::Pod, Ok(pod("b", "set"))));
        let kind = GroupKind::new("apps", "StatefulSet");
        let workload = json!({"metadata": {"uid": "set"}});
        let names = |around: &Around| {
            let surroundings = around.surroundings(&kind, &workload);
            surroundings
                .pods
                .iter()
                .map(|pod| pod["metadata"]["name"].as_str().unwrap_or_default().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&around), ["a", "b"]);
        assert_eq!(around.surroundings(&kind, &workload).pods[0]["spec"], json!({"containers": [{"name": "app"}]}));
        around.apply(Kin::Pod, Ok(WatchEvent::Restarted));
        around.apply(Kin::Pod, Ok(pod("b", "set")));
        around.apply(Kin::Pod, Ok(WatchEvent::Synchronized));
        assert_eq!(names(&around), ["b"]);
        assert!(around.apply(Kin::Pod, Ok(pod("b", "another set"))));
        assert_eq!(names(&around), Vec::<String>::new());
    }

    #[test]
    fn other_namespaces_are_not_kept() {
        let mut around = Around::new(["m".into(), "o".into()].into());
        assert_eq!(around.namespace(), None);
        assert!(!around.apply(Kin::Pod, Ok(pod("a", "set"))));
    }
}
