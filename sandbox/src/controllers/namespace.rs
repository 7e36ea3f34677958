//! Namespaces: what every new one holds, and how a deleted one is emptied.
//!
//! Invariant: a namespace goes only when nothing is left in it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{MANAGER, set_condition};
use crate::cluster::State;
use crate::kinds::Kind;
use crate::remove::Options;
use crate::store::ObjectKey;
use crate::write::Part;

/// How long it takes to look again at a namespace that something keeps.
const RETRY: Duration = Duration::from_secs(5);

impl State {
    pub(super) fn reconcile_namespace(&mut self, key: &ObjectKey, namespace: &Arc<Value>) {
        if namespace["metadata"]["deletionTimestamp"].is_null() {
            self.furnish_namespace(&key.name);
            return;
        }
        if self.faults.hold_finalizers {
            return;
        }
        let grace = SignedDuration::try_from(self.settings.namespace_emptied_after).unwrap_or(SignedDuration::MAX);
        let marked =
            namespace["metadata"]["deletionTimestamp"].as_str().and_then(|time| time.parse::<Timestamp>().ok());
        let due = marked.unwrap_or(self.now).saturating_add(grace).unwrap_or(Timestamp::MAX);
        if self.now < due {
            self.again(key, due);
            return;
        }
        let mut left: Vec<(Arc<Kind>, Arc<Value>)> = Vec::new();
        for (kind, object) in self.contents(&key.name) {
            let of = self.key_of(&kind, &object);
            if let Err(error) = self.remove_object(&kind, &of, &Options::default(), false) {
                tracing::debug!(%error, name = of.name, "not removed with its namespace");
            }
            if let Some(object) = self.store.get(&of).cloned() {
                left.push((kind, object));
            }
        }
        if left.is_empty() {
            self.take_away(key);
            return;
        }
        let (now, at) = (self.now_text(), self.after(RETRY));
        self.edit(key, MANAGER, Part::Status, |namespace| tell_what_is_left(&mut namespace["status"], &left, &now));
        self.again(key, at);
    }

    /// Lists everything in a namespace.
    pub(crate) fn contents(&self, namespace: &str) -> Vec<(Arc<Kind>, Arc<Value>)> {
        let mut contents = Vec::new();
        for (resource, collection) in self.store.collections() {
            let Some(kind) = self.kinds.stored(resource).filter(|kind| kind.namespaced) else { continue };
            contents.extend(collection.list(namespace).map(|object| (kind.clone(), object.clone())));
        }
        contents
    }

    /// Makes what every namespace has: the account `default` and the certificate of the cluster.
    pub(super) fn furnish_namespace(&mut self, name: &str) {
        let account = json!({"metadata": {"name": "default", "namespace": name}});
        let certificate = json!({"metadata": {"name": "kube-root-ca.crt", "namespace": name,
            "annotations": {"kubernetes.io/description": "Certificate of the API server, for pods. A sandbox serves plain HTTP."}},
            "data": {"ca.crt": ""}});
        for (kind, object) in [("ServiceAccount", account), ("ConfigMap", certificate)] {
            let name_of = object["metadata"]["name"].as_str().unwrap_or_default();
            let exists = self.key("", kind, name, name_of).is_some_and(|key| self.store.get(&key).is_some());
            if !exists && let Err(error) = self.make("", kind, object, MANAGER) {
                tracing::debug!(%error, namespace = name, "not furnished");
            }
        }
    }
}

fn tell_what_is_left(status: &mut Value, left: &[(Arc<Kind>, Arc<Value>)], now: &str) {
    let fine = [
        ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        (
            "NamespaceDeletionContentFailure",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
    ];
    for (of, reason, message) in fine {
        set_condition(status, of, "False", reason, message, now);
    }
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    let mut finalizers: BTreeMap<String, usize> = BTreeMap::new();
    for (kind, object) in left {
        *kinds.entry(kind.resource().to_string()).or_default() += 1;
        for name in object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            *finalizers.entry(name.to_owned()).or_default() += 1;
        }
    }
    let kinds: Vec<String> =
        kinds.iter().map(|(kind, count)| format!("{kind}. has {count} resource instances")).collect();
    let message = format!("Some resources are remaining: {}", kinds.join(", "));
    set_condition(status, "NamespaceContentRemaining", "True", "SomeResourcesRemain", &message, now);
    let texts: Vec<String> =
        finalizers.iter().map(|(name, count)| format!("{name} in {count} resource instances")).collect();
    if texts.is_empty() {
        let message = "All content-preserving finalizers finished";
        set_condition(status, "NamespaceFinalizersRemaining", "False", "ContentHasNoFinalizers", message, now);
    } else {
        let message = format!("Some content in the namespace has finalizers remaining: {}", texts.join(", "));
        set_condition(status, "NamespaceFinalizersRemaining", "True", "SomeFinalizersRemain", &message, now);
    }
}
