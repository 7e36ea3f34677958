//! Objects, versions and the bounded history of changes.
//!
//! Every write gets the next resourceVersion of the whole store and is kept in the history of its collection, from which watches and lists
//! at older versions are served. Knows no rules about objects beyond metadata. Invariant: a collection and its history agree: undoing the
//! history from the newest change gives every older state back to its first kept version.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use crate::kinds::ResourceId;

/// Which object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Its resource.
    pub resource: ResourceId,
    /// Its namespace; empty for cluster-wide objects.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What a change did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It made the object.
    Added,
    /// It changed the object.
    Modified,
    /// It removed the object.
    Deleted,
}

/// One write.
#[derive(Debug, Clone)]
pub struct Change {
    /// Its version.
    pub version: u64,
    /// What it did.
    pub kind: ChangeKind,
    /// The object after it; for a removal as it last was, at the version of the removal.
    pub object: Arc<Value>,
    /// The object before it.
    pub previous: Option<Arc<Value>>,
}

/// Objects of one resource, by namespace and name.
pub type Objects = BTreeMap<(String, String), Arc<Value>>;

/// Objects of one resource.
#[derive(Debug, Default)]
pub struct Collection {
    objects: Objects,
    history: VecDeque<Change>,
    /// Versions below this one are forgotten.
    compacted: u64,
}

/// All objects.
#[derive(Debug)]
pub struct Store {
    collections: BTreeMap<ResourceId, Collection>,
    version: u64,
    history_max: usize,
    /// Owner uid -> what names it as owner.
    dependents: BTreeMap<String, BTreeSet<ObjectKey>>,
    uids: BTreeMap<String, ObjectKey>,
}

/// A version that is asked for but no longer known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    /// The oldest version that is known.
    pub oldest: u64,
}

impl Collection {
    /// Returns an object.
    pub fn get(&self, namespace: &str, name: &str) -> Option<&Arc<Value>> {
        self.objects.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// Lists objects by namespace and name; one namespace only where `namespace` is not empty.
    pub fn list<'a>(&'a self, namespace: &'a str) -> Box<dyn Iterator<Item = &'a Arc<Value>> + 'a> {
        if namespace.is_empty() {
            return Box::new(self.objects.values());
        }
        let first = (namespace.to_owned(), String::new());
        Box::new(self.objects.range(first..).take_while(move |((of, _), _)| of == namespace).map(|(_, object)| object))
    }

    /// Returns how many objects there are.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Returns the objects as they were at `version`: without a copy, if nothing has changed since.
    pub fn at(&self, version: u64) -> Result<Cow<'_, Objects>, Compacted> {
        self.check(version)?;
        let mut since = self.history.iter().rev().take_while(|change| change.version > version).peekable();
        if since.peek().is_none() {
            return Ok(Cow::Borrowed(&self.objects));
        }
        let mut objects = self.objects.clone();
        for change in since {
            let key = key_of(&change.object);
            match &change.previous {
                Some(previous) => objects.insert(key, previous.clone()),
                None => objects.remove(&key),
            };
        }
        Ok(Cow::Owned(objects))
    }

    /// Lists the changes after `version`, oldest first.
    pub fn since(&self, version: u64) -> Result<impl Iterator<Item = &Change>, Compacted> {
        self.check(version)?;
        let start = self.history.partition_point(|change| change.version <= version);
        Ok(self.history.range(start..))
    }

    fn check(&self, version: u64) -> Result<(), Compacted> {
        if version < self.compacted { Err(Compacted { oldest: self.compacted }) } else { Ok(()) }
    }
}

fn key_of(object: &Value) -> (String, String) {
    let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}

impl Store {
    /// Returns an empty store that keeps `history_max` changes of every resource.
    pub fn new(history_max: usize) -> Store {
        Store {
            collections: BTreeMap::new(),
            version: 1,
            history_max,
            dependents: BTreeMap::new(),
            uids: BTreeMap::new(),
        }
    }

    /// Returns the version of the last write.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns the objects of a resource; `None` where there never were any.
    pub fn collection(&self, resource: ResourceId) -> Option<&Collection> {
        self.collections.get(&resource)
    }

    /// Lists all collections by resource.
    pub fn collections(&self) -> impl Iterator<Item = (ResourceId, &Collection)> {
        self.collections.iter().map(|(id, collection)| (*id, collection))
    }

    /// Returns an object.
    pub fn get(&self, key: &ObjectKey) -> Option<&Arc<Value>> {
        self.collections.get(&key.resource)?.get(&key.namespace, &key.name)
    }

    /// Returns which object has this uid.
    pub fn by_uid(&self, uid: &str) -> Option<&ObjectKey> {
        self.uids.get(uid)
    }

    /// Lists the objects that name this uid among their owners, by resource, namespace and name.
    pub fn dependents(&self, uid: &str) -> Vec<ObjectKey> {
        self.dependents.get(uid).into_iter().flatten().cloned().collect()
    }

    /// Stores an object under its key, with the next version written into it, and returns it as stored.
    pub fn put(&mut self, key: &ObjectKey, mut object: Value) -> Arc<Value> {
        self.version += 1;
        object["metadata"]["resourceVersion"] = Value::from(self.version.to_string());
        let object = Arc::new(object);
        let collection = self.collections.entry(key.resource).or_default();
        let previous = collection.objects.insert((key.namespace.clone(), key.name.clone()), object.clone());
        if let Some(previous) = &previous {
            self.unlink(key, &previous.clone());
        }
        self.link(key, &object);
        let kind = if previous.is_some() { ChangeKind::Modified } else { ChangeKind::Added };
        self.remember(key.resource, Change { version: self.version, kind, object: object.clone(), previous });
        object
    }

    /// Removes an object and returns it as it last was, at the version of the removal.
    pub fn remove(&mut self, key: &ObjectKey) -> Option<Arc<Value>> {
        let collection = self.collections.get_mut(&key.resource)?;
        let previous = collection.objects.remove(&(key.namespace.clone(), key.name.clone()))?;
        self.version += 1;
        let mut last = Value::clone(&previous);
        last["metadata"]["resourceVersion"] = Value::from(self.version.to_string());
        let object = Arc::new(last);
        self.unlink(key, &previous);
        let change = Change {
            version: self.version,
            kind: ChangeKind::Deleted,
            object: object.clone(),
            previous: Some(previous),
        };
        self.remember(key.resource, change);
        Some(object)
    }

    /// Forgets all history, so that every older version is gone.
    pub fn compact(&mut self) {
        for collection in self.collections.values_mut() {
            collection.history.clear();
            collection.compacted = self.version;
        }
    }

    fn remember(&mut self, resource: ResourceId, change: Change) {
        let collection = self.collections.entry(resource).or_default();
        collection.history.push_back(change);
        while collection.history.len() > self.history_max {
            if let Some(forgotten) = collection.history.pop_front() {
                collection.compacted = forgotten.version;
            }
        }
    }

    fn link(&mut self, key: &ObjectKey, object: &Value) {
        if let Some(uid) = object["metadata"]["uid"].as_str() {
            self.uids.insert(uid.to_owned(), key.clone());
        }
        for owner in owner_uids(object) {
            self.dependents.entry(owner.to_owned()).or_default().insert(key.clone());
        }
    }

    fn unlink(&mut self, key: &ObjectKey, object: &Value) {
        if let Some(uid) = object["metadata"]["uid"].as_str() {
            self.uids.remove(uid);
        }
        for owner in owner_uids(object) {
            if let Some(keys) = self.dependents.get_mut(owner) {
                keys.remove(key);
                if keys.is_empty() {
                    self.dependents.remove(owner);
                }
            }
        }
    }
}

/// Lists the uids of an object's owners.
pub fn owner_uids(object: &Value) -> impl Iterator<Item = &str> {
    object["metadata"]["ownerReferences"].as_array().into_iter().flatten().filter_map(|owner| owner["uid"].as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::Kinds;

    #[test]
    fn an_older_state_is_rebuilt_and_a_forgotten_one_refused() {
        let resource = Kinds::default().of_kind("", "ConfigMap").expect("listed").id;
        let mut store = Store::new(3);
        let key = |name: &str| ObjectKey { resource, namespace: "a".into(), name: name.into() };
        let object = |name: &str, n: u32| json!({"metadata": {"namespace": "a", "name": name, "uid": name}, "n": n});
        store.put(&key("x"), object("x", 1));
        let before = store.version();
        store.put(&key("x"), object("x", 2));
        store.put(&key("y"), object("y", 1));
        store.remove(&key("x"));
        let collection = store.collection(resource).expect("used");
        let old = collection.at(before).expect("kept");
        assert_eq!(old.len(), 1);
        assert_eq!(old.values().next().expect("one")["n"], 1);
        assert_eq!(collection.since(before).expect("kept").count(), 3);
        assert!(collection.at(before - 1).is_err());
    }
}
