//! What is in the cluster, as far as it was looked at.
//!
//! Metadata of owned objects by kind, and single objects where a decision needs more. Knows nothing of what should be there. Invariant:
//! what was not looked at is [`Presence::Unknown`], never absent.

mod inside;
mod newcomers;

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use manifest::ObjectRef;
use serde_json::Value;
use smol_str::SmolStr;

use crate::adoption::{self, Owner};
use crate::cluster::{
    ANNOTATION_HASH, Cluster, ClusterError, GroupKind, LABEL_ENVIRONMENT, LABEL_SERVICE, Observed, side_by_side,
};
use crate::config::Settings;
use crate::state::is_state;

pub use inside::{Inside, Resident, is_shell, look_inside, residents};
pub use newcomers::look_for;

/// Annotation on an object that keeps it from being deleted, with the value [`PRUNE_DISABLED`].
pub const ANNOTATION_PRUNE: &str = "syncd/prune";
/// See [`ANNOTATION_PRUNE`].
pub const PRUNE_DISABLED: &str = "disabled";

/// An object that was read alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What a list tells of it too.
    pub observed: Observed,
    /// Whether the object itself asks not to be deleted ([`ANNOTATION_PRUNE`]).
    pub prune_disabled: bool,
    /// The other tool that it belongs to ([`adoption::owner`]).
    pub owner: Option<Owner>,
    /// The kind that it defines, if it is a definition ([`defined_kind`]).
    pub defines: Option<GroupKind>,
    /// Whether it is a StatefulSet that has claims made: with it would go who looks after their data.
    pub claims: bool,
}

/// What is known of the existence of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence<'a> {
    /// It was not looked at.
    Unknown,
    /// It does not exist.
    Absent,
    /// It does not exist with our owner label; without it, it might.
    Unowned,
    /// It exists.
    Present(&'a Observed),
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Live {
    /// Kinds of which all owned objects are in `owned`.
    pub listed: BTreeSet<GroupKind>,
    /// Kinds that could not be listed; they are not asked for twice.
    pub unlisted: BTreeSet<GroupKind>,
    /// Objects with the environment's owner label; `syncd`'s own state is not among them.
    pub owned: BTreeMap<ObjectRef, Observed>,
    /// Objects that were asked for one by one; `None`: does not exist.
    pub seen: BTreeMap<ObjectRef, Option<Box<Seen>>>,
    /// Objects of which it could not be read whether they exist and whose they are, with why.
    pub unread: BTreeMap<ObjectRef, String>,
    /// Objects that a request may still create although nobody waits for its answer any more.
    pub may_come: BTreeSet<ObjectRef>,
    /// What is in namespaces, and instances of definitions, that would be deleted ([`look_inside`]).
    pub inside: BTreeMap<ObjectRef, Inside>,
    /// Objects of which somebody else changed what we applied.
    pub drifted: BTreeSet<ObjectRef>,
}

impl Live {
    /// Returns what is known of the existence of an object.
    pub fn presence(&self, id: &ObjectRef) -> Presence<'_> {
        match self.seen.get(id) {
            Some(Some(seen)) => return Presence::Present(&seen.observed),
            Some(None) => return Presence::Absent,
            None => {}
        }
        match self.owned.get(id) {
            Some(observed) => Presence::Present(observed),
            None if self.listed.contains(&GroupKind::of(id)) => Presence::Unowned,
            None => Presence::Unknown,
        }
    }

    /// Tells whether nothing is known of any object.
    pub fn is_blank(&self) -> bool {
        self.listed.is_empty() && self.owned.is_empty() && self.seen.is_empty()
    }

    /// Returns an object that is known to exist. Nothing: it is not there, or that is not known.
    pub fn present(&self, id: &ObjectRef) -> Option<&Observed> {
        match self.presence(id) {
            Presence::Present(observed) => Some(observed),
            Presence::Unknown | Presence::Absent | Presence::Unowned => None,
        }
    }
}

/// Lists the owned objects of `kinds` that were not asked for yet: one request a kind. Returns the kinds that could not be listed: what is
/// of them stays unknown.
pub async fn list<C: Cluster>(
    cluster: &C,
    live: &mut Live,
    kinds: &BTreeSet<GroupKind>,
    settings: &Settings,
) -> Vec<(GroupKind, ClusterError)> {
    let environment = &settings.environment;
    let known = |kind: &&GroupKind| live.listed.contains(*kind) || live.unlisted.contains(*kind);
    let missing: Vec<GroupKind> = kinds.iter().filter(|kind| !known(kind)).cloned().collect();
    let mut requests = Vec::new();
    for kind in &missing {
        requests.push(async move { (kind.clone(), cluster.list_owned(kind, environment).await) });
    }
    let mut replies = futures::stream::iter(requests).buffer_unordered(settings.concurrency.max(1));
    let mut failed = Vec::new();
    while let Some((kind, reply)) = replies.next().await {
        match reply {
            Ok(objects) => {
                let others = objects.into_iter().filter(|(id, _)| !is_state(id, environment, &settings.namespace));
                live.owned.extend(others);
                live.listed.insert(kind.clone());
            }
            Err(error) => {
                live.unlisted.insert(kind.clone());
                failed.push((kind.clone(), error));
            }
        }
    }
    failed.sort_by(|a, b| a.0.cmp(&b.0));
    failed
}

/// Reads single objects: one request each. Returns those that could not be read: they stay unknown.
pub async fn look_at<C: Cluster>(
    cluster: &C,
    live: &mut Live,
    ids: &BTreeSet<ObjectRef>,
    settings: &Settings,
) -> Vec<(ObjectRef, ClusterError)> {
    let look = async |id: &ObjectRef| {
        let found = cluster.get(id).await?;
        Ok(found.map(|value| Box::new(seen(&value, &settings.environment))))
    };
    let replies = side_by_side(settings.concurrency, ids, async |id| (id, look(id).await)).await;
    let mut failed = Vec::new();
    for (id, reply) in replies {
        match reply {
            Ok(found) => drop(live.seen.insert(id.clone(), found)),
            Err(error) => failed.push((id.clone(), error)),
        }
    }
    failed.sort_by(|a, b| a.0.cmp(&b.0));
    failed
}

/// Reads what matters of a whole object.
pub fn seen(value: &Value, environment: &str) -> Seen {
    let disabled = annotation(value, ANNOTATION_PRUNE).is_some_and(|value| value == PRUNE_DISABLED);
    let owner = adoption::owner(value, environment);
    let defines = defined_kind(value);
    Seen { observed: observed(value), prune_disabled: disabled, owner, defines, claims: has_claims(value) }
}

/// Tells whether an object is a StatefulSet with claims of its own.
fn has_claims(value: &Value) -> bool {
    let templates = value.pointer("/spec/volumeClaimTemplates").and_then(Value::as_array);
    value.get("kind").is_some_and(|kind| kind == "StatefulSet") && templates.is_some_and(|list| !list.is_empty())
}

/// Returns the kind that a CustomResourceDefinition defines.
pub fn defined_kind(value: &Value) -> Option<GroupKind> {
    let is_definition = value.get("kind")? == "CustomResourceDefinition";
    let spec = value.get("spec")?;
    let kind = spec.get("names")?.get("kind")?.as_str()?;
    let group = spec.get("group")?.as_str()?;
    is_definition.then_some(GroupKind::new(group, kind))
}

/// Returns what a whole object tells of itself. What it does not tell is empty.
pub fn observed(value: &Value) -> Observed {
    let metadata = value.get("metadata");
    let text =
        |name: &str| SmolStr::new(metadata.and_then(|m| m.get(name)).and_then(Value::as_str).unwrap_or_default());
    let label = |name: &str| metadata?.get("labels")?.get(name)?.as_str().map(SmolStr::new);
    Observed {
        uid: text("uid"),
        resource_version: text("resourceVersion"),
        generation: metadata.and_then(|m| m.get("generation")).and_then(Value::as_i64).unwrap_or(0),
        terminating: metadata.and_then(|m| m.get("deletionTimestamp")).is_some_and(|time| !time.is_null()),
        environment: label(LABEL_ENVIRONMENT),
        service: label(LABEL_SERVICE),
        hash: annotation(value, ANNOTATION_HASH).map(SmolStr::new),
    }
}

/// Returns an annotation of an object.
pub fn annotation<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get("metadata")?.get("annotations")?.get(name)?.as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_not_looked_at_is_unknown() {
        let id = |kind: &str, name: &str| ObjectRef {
            group: "".into(),
            kind: kind.into(),
            namespace: "n".into(),
            name: name.into(),
        };
        let mut live = Live::default();
        live.listed.insert(GroupKind::new("", "Service"));
        live.owned.insert(id("Service", "a"), observed(&json!({"metadata": {"uid": "1"}})));
        live.seen.insert(id("Pod", "a"), None);
        assert!(matches!(live.presence(&id("Service", "a")), Presence::Present(observed) if observed.uid == "1"));
        assert_eq!(live.presence(&id("Service", "b")), Presence::Unowned);
        assert_eq!(live.presence(&id("Pod", "a")), Presence::Absent);
        assert_eq!(live.presence(&id("Pod", "b")), Presence::Unknown);
    }

    #[test]
    fn a_whole_object_tells_of_itself() {
        let value = json!({"metadata": {
            "uid": "u", "resourceVersion": "7", "generation": 3, "deletionTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"syncd/environment": "staging", "syncd/service": "app1"},
            "annotations": {"syncd/hash": "h", "syncd/prune": "disabled"},
        }});
        let expected = Observed {
            uid: "u".into(),
            resource_version: "7".into(),
            generation: 3,
            terminating: true,
            environment: Some("staging".into()),
            service: Some("app1".into()),
            hash: Some("h".into()),
        };
        assert_eq!(
            seen(&value, "staging"),
            Seen { observed: expected, prune_disabled: true, owner: None, defines: None, claims: false }
        );
        assert_eq!(observed(&json!({})).uid, "");
    }
}
