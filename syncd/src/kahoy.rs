//! What Kahoy left behind: objects that its storage records and that the repository does not want any more.
//!
//! Kahoy keeps a Secret for each object that it applied; what that says is in annotations, and nothing else of the Secrets is read. What the
//! repository wants is taken over by the ordinary cycles; this is about the rest, which no record of ours holds and no cycle would
//! ever delete. Never writes or deletes a Secret of Kahoy. Invariants: nothing is deleted that any service wants, or may want; that
//! carries anybody's marks; or that was not named, with its uid, by the plan that people asked for.

use std::collections::{BTreeMap, BTreeSet};

use manifest::hash::Parts;
use manifest::object::{Scope, scope};
use manifest::{Hash, ObjectRef};
use serde_json::Value;

use crate::adoption::{self, Owner};
use crate::cluster::{Cluster, ClusterError, Deletion, ErrorClass, GroupKind};
use crate::config::Settings;
use crate::desired::Desired;
use crate::live::{ANNOTATION_PRUNE, PRUNE_DISABLED, annotation, is_shell, observed};
use crate::plan::order::stage_of;
use crate::state::State;

/// Label of Kahoy's Secrets that names the storage.
const LABEL_STORAGE: &str = "kahoy.slok.dev/storage-id";
/// Annotation of theirs that names the object: `group|core/version/Kind/namespace|default/name`.
const ANNOTATION_RESOURCE: &str = "kahoy.slok.dev/resource-id";

/// Where Kahoy keeps what it knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// Kahoy's `--kube-provider-namespace`.
    pub namespace: String,
    /// Kahoy's `--kube-provider-id`.
    pub id: String,
}

/// What is known of one object of the storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// A service wants it: the ordinary cycles take it over.
    Wanted {
        /// The service.
        service: String,
    },
    /// It does not exist any more.
    Gone,
    /// Nobody wants it, and nobody else's marks are on it.
    Orphan {
        /// Its uid.
        uid: String,
    },
    /// Nobody wants it, and it is kept.
    Kept(Why),
}

/// Why an object that nobody wants is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It has the marks of another tool.
    Foreign(Owner),
    /// It carries our owner label: a record of ours holds it, or did.
    Ours,
    /// It is annotated [`ANNOTATION_PRUNE`].
    PruneDisabled,
    /// It is a namespace or a definition: more would go with it.
    Shell,
    /// It could not be read.
    Unread(String),
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    /// Objects of the storage.
    pub objects: BTreeMap<ObjectRef, Fate>,
    /// What the storage says and nobody can read.
    pub unreadable: Vec<String>,
    /// A service of which it is not known what it wants: then nothing can be deleted.
    pub unproven: Option<String>,
}

impl Findings {
    /// Returns what can be deleted, with uids; nothing while it is not known what all services want.
    pub fn orphans(&self) -> Vec<(&ObjectRef, &str)> {
        let known = self.unproven.is_none();
        let orphans = self.objects.iter().filter_map(|(id, fate)| match fate {
            Fate::Orphan { uid } if known => Some((id, uid.as_str())),
            _ => None,
        });
        orphans.collect()
    }

    /// Returns the hash over exactly the deletions of [`Findings::orphans`].
    pub fn plan(&self, environment: &str) -> Hash {
        let mut parts = Parts::new("syncd kahoy deletions 1");
        parts.add("environment", environment.as_bytes());
        for (id, uid) in self.orphans() {
            parts.add("object", id.to_string().as_bytes());
            parts.add("uid", uid.as_bytes());
        }
        parts.finish()
    }
}

/// Reads the storage and what became of its objects. Changes nothing.
///
/// # Errors
/// The cluster's, of listing the storage. What cannot be read of a single object is among the findings.
pub async fn look<C: Cluster>(
    cluster: &C,
    storage: &Storage,
    desired: &Desired,
    state: &State,
    settings: &Settings,
) -> Result<Findings, ClusterError> {
    let (recorded, unreadable) = recorded(cluster, storage).await?;
    let mut wanted: BTreeMap<&ObjectRef, &String> = BTreeMap::new();
    let mut findings = Findings { unreadable, ..Findings::default() };
    for (service, claims) in desired.all_claims(state) {
        match claims {
            Some(ids) => wanted.extend(ids.map(|id| (id, service))),
            None => findings.unproven = findings.unproven.or(Some(service.clone())),
        }
    }
    let held: BTreeSet<&ObjectRef> = state.records().flat_map(|(_, record)| record.held.keys()).collect();
    for id in recorded {
        let fate = match wanted.get(&id) {
            Some(service) => Fate::Wanted { service: (*service).clone() },
            None if held.contains(&id) => Fate::Kept(Why::Ours),
            None => fate(cluster.get(&id).await, &id, &settings.environment),
        };
        findings.objects.insert(id, fate);
    }
    Ok(findings)
}

/// Decides about an object that no service wants.
fn fate(reply: Result<Option<Value>, ClusterError>, id: &ObjectRef, environment: &str) -> Fate {
    let value = match reply {
        Ok(Some(value)) => value,
        Ok(None) => return Fate::Gone,
        Err(error) if error.class == ErrorClass::NotServed => return Fate::Gone,
        Err(error) => return Fate::Kept(Why::Unread(error.message)),
    };
    let observed = observed(&value);
    if observed.environment.as_deref() == Some(environment) {
        Fate::Kept(Why::Ours)
    } else if let Some(owner) = adoption::owner(&value, environment) {
        Fate::Kept(Why::Foreign(owner))
    } else if annotation(&value, ANNOTATION_PRUNE) == Some(PRUNE_DISABLED) {
        Fate::Kept(Why::PruneDisabled)
    } else if is_shell(id) {
        Fate::Kept(Why::Shell)
    } else if observed.terminating {
        Fate::Gone
    } else {
        Fate::Orphan { uid: observed.uid.to_string() }
    }
}

/// Reads which objects the storage records, and what of it cannot be understood. Metadata of Secrets only.
async fn recorded<C: Cluster>(
    cluster: &C,
    storage: &Storage,
) -> Result<(BTreeSet<ObjectRef>, Vec<String>), ClusterError> {
    let kind = GroupKind::new("", "Secret");
    let (mut found, mut unreadable) = (BTreeSet::new(), Vec::new());
    let mut next = None;
    loop {
        let page = cluster.list_page(&kind, Some(&storage.namespace), next.as_deref()).await?;
        for (secret, value) in page.objects {
            let label =
                value.get("metadata").and_then(|m| m.get("labels")).and_then(|labels| labels.get(LABEL_STORAGE));
            if label.and_then(Value::as_str) != Some(storage.id.as_str()) {
                continue;
            }
            match annotation(&value, ANNOTATION_RESOURCE).and_then(object) {
                Some(id) => drop(found.insert(id)),
                None => unreadable.push(secret.to_string()),
            }
        }
        next = page.next;
        if next.is_none() {
            return Ok((found, unreadable));
        }
    }
}

/// Reads Kahoy's name of an object. It says `default` of what has no namespace, too.
fn object(text: &str) -> Option<ObjectRef> {
    let [group, _version, kind, namespace, name] = text.split('/').collect::<Vec<_>>().try_into().ok()?;
    if [group, kind, namespace, name].iter().any(|part| part.is_empty()) {
        return None;
    }
    let group = if group == "core" { "" } else { group };
    let namespace = if scope(group, kind) == Some(Scope::Cluster) { "" } else { namespace };
    Some(ObjectRef { group: group.into(), kind: kind.into(), namespace: namespace.into(), name: name.into() })
}

/// Deletes what a plan named, by uid, in reverse order of kinds. Returns what could not be deleted.
pub async fn delete<C: Cluster>(cluster: &C, findings: &Findings, environment: &str) -> Vec<(ObjectRef, String)> {
    let mut orphans = findings.orphans();
    orphans.sort_by_key(|(id, _)| std::cmp::Reverse(stage_of(&GroupKind::of(id))));
    let mut failed = Vec::new();
    for (id, uid) in orphans {
        // A service may have begun to want it since, and taken it over.
        let found = cluster.get(id).await;
        let version = found.as_ref().ok().and_then(Option::as_ref).map(|found| observed(found).resource_version);
        let still = match (fate(found, id, environment), version) {
            (Fate::Orphan { uid: now }, Some(version)) if now == uid => Ok(version),
            (Fate::Gone, _) => continue,
            _ => Err("it has changed meanwhile".to_owned()),
        };
        let deleted = match still {
            Ok(version) => match cluster.delete(id, uid, &version).await {
                Ok(Deletion::Gone | Deletion::Terminating) => continue,
                Err(error) if error.class == ErrorClass::Gone => continue,
                Err(error) => error.message,
            },
            Err(message) => message,
        };
        failed.push((id.clone(), deleted));
    }
    failed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_kahoy_are_read() {
        let read = |text: &str| object(text).map(|id| id.to_string());
        let cases = [
            ("apps/v1/Deployment/shop/web", Some("Deployment.apps shop/web")),
            ("core/v1/Service/default/web", Some("Service default/web")),
            ("core/v1/Namespace/default/shop", Some("Namespace shop")),
            ("rbac.authorization.k8s.io/v1/ClusterRole/default/r", Some("ClusterRole.rbac.authorization.k8s.io r")),
            ("core/v1/Service/web", None),
            ("core/v1//default/web", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text).as_deref(), expected, "{text}");
        }
    }
}
