//! What is in a namespace, or is an instance of a definition, that nobody wants any more.
//!
//! Read only when such an object is about to be deleted: a page of metadata after the other, of which identities are kept. Knows not which of
//! it may go: that is decided in [`crate::plan`]. Invariants: what could not be read to its end is [`Inside::Unread`], never empty; what is
//! left out was made by Kubernetes itself, or goes with something that is not left out.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use manifest::ObjectRef;
use serde_json::Value;
use smol_str::SmolStr;

use super::{Live, observed};
use crate::cluster::{Cluster, ClusterError, GroupKind, Page};
use crate::config::Settings;

/// Objects that are looked at in one namespace, or of one definition; more than that cannot be told.
const OBJECTS_MAX: usize = 10_000;
/// Times that a list is begun anew because the server forgot its place between two pages.
const RESTARTS_MAX: u32 = 3;

/// Kinds that tell of other objects and are not missed.
const TOLD: [(&str, &str); 3] = [("", "Event"), ("events.k8s.io", "Event"), ("metrics.k8s.io", "PodMetrics")];
/// What Kubernetes makes in every namespace.
const MADE: [(&str, &str); 2] = [("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt")];

/// What is known of what is in a namespace, or is an instance of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inside {
    /// All of it.
    Known(Vec<Resident>),
    /// It could not be read.
    Unread {
        /// Why.
        reason: String,
    },
}

/// An object that would go too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resident {
    /// The object.
    pub id: ObjectRef,
    /// Its uid.
    pub uid: String,
    /// Whether it is being deleted already, or is to be when its owner is gone.
    pub leaving: bool,
}

/// Tells whether deleting an object takes others along, by its kind: what is in it, its instances.
pub fn is_shell(id: &ObjectRef) -> bool {
    matches!(
        (id.group.as_str(), id.kind.as_str()),
        ("", "Namespace") | ("apiextensions.k8s.io", "CustomResourceDefinition")
    )
}

/// Looks into namespaces and definitions: about one request a kind that the API serves for a namespace, one for a definition.
pub async fn look_inside<C: Cluster>(cluster: &C, live: &mut Live, shells: &BTreeSet<ObjectRef>, settings: &Settings) {
    for id in shells {
        let defines = live.seen.get(id).and_then(Option::as_ref).and_then(|seen| seen.defines.clone());
        let inside = match residents(cluster, id, defines, settings.concurrency).await {
            Ok(residents) => Inside::Known(residents),
            Err(reason) => Inside::Unread { reason },
        };
        live.inside.insert(id.clone(), inside);
    }
}

/// Returns what is in a namespace, or the instances of a definition, of which `defines` is the kind.
///
/// # Errors
/// Why it cannot be told.
pub async fn residents<C: Cluster>(
    cluster: &C,
    id: &ObjectRef,
    defines: Option<GroupKind>,
    concurrency: usize,
) -> Result<Vec<Resident>, String> {
    let (kinds, namespace) = match (id.kind.as_str(), defines) {
        ("Namespace", _) => {
            let kinds = cluster.kinds_in_namespaces().await.map_err(|error| error.message)?;
            let is_told = |kind: &GroupKind| TOLD.contains(&(kind.group.as_str(), kind.kind.as_str()));
            (kinds.into_iter().filter(|kind| !is_told(kind)).collect(), Some(id.name.as_str()))
        }
        (_, Some(kind)) => (vec![kind], None),
        (_, None) => return Err("it is not known which kind it defines".to_owned()),
    };
    let mut requests = Vec::new();
    for kind in &kinds {
        requests.push(async move { (kind, found(cluster, kind, namespace).await) });
    }
    let mut replies = futures::stream::iter(requests).buffer_unordered(concurrency.max(1));
    let mut all = Vec::new();
    while let Some((kind, reply)) = replies.next().await {
        all.extend(reply.map_err(|reason| format!("{kind}: {reason}"))?);
        if all.len() > OBJECTS_MAX {
            return Err(too_many());
        }
    }
    Ok(without_followers(all))
}

/// An object of a list.
struct Found {
    resident: Resident,
    owners: Vec<String>,
}

async fn found<C: Cluster>(cluster: &C, kind: &GroupKind, namespace: Option<&str>) -> Result<Vec<Found>, String> {
    let mut found: Vec<Found> = Vec::new();
    let (mut next, mut restarts) = (None, 0);
    loop {
        let page: Result<Page, ClusterError> = cluster.list_page(kind, namespace, next.as_deref()).await;
        let page = match page {
            Err(error) if error.code == 410 && restarts < RESTARTS_MAX => {
                restarts += 1;
                next = None;
                found.clear();
                continue;
            }
            page => page.map_err(|error| error.message)?,
        };
        found.extend(page.objects.into_iter().map(|(id, value)| of(id, &value)));
        if found.len() > OBJECTS_MAX {
            return Err(too_many());
        }
        next = page.next;
        if next.is_none() {
            return Ok(found);
        }
    }
}

fn too_many() -> String {
    format!("there are more than {OBJECTS_MAX} objects")
}

fn of(id: ObjectRef, value: &Value) -> Found {
    let owners = value.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let uid = |owner: &Value| owner.get("uid").and_then(Value::as_str).map(str::to_owned);
    let owners: Vec<String> = owners.into_iter().flatten().filter_map(uid).collect();
    let observed = observed(value);
    let leaving = observed.terminating || !owners.is_empty();
    Found { resident: Resident { id, uid: observed.uid.to_string(), leaving }, owners }
}

/// Leaves out what Kubernetes makes by itself, and what is owned by something else that is inside. The same object under two groups is one.
fn without_followers(found: Vec<Found>) -> Vec<Resident> {
    let uids: BTreeSet<String> = found.iter().map(|found| found.resident.uid.clone()).collect();
    let is_of = |id: &ObjectRef, kind: &str| id.group.is_empty() && id.kind == kind;
    let services: BTreeSet<SmolStr> = found
        .iter()
        .map(|found| &found.resident.id)
        .filter(|id| is_of(id, "Service"))
        .map(|id| id.name.clone())
        .collect();
    let follows = |found: &Found| {
        let id = &found.resident.id;
        MADE.iter().any(|(kind, name)| is_of(id, kind) && id.name == *name)
            || is_of(id, "Endpoints") && services.contains(&id.name)
            || found.owners.iter().any(|owner| *owner != found.resident.uid && uids.contains(owner))
    };
    let residents = found.into_iter().filter(|found| !follows(found)).map(|found| found.resident);
    let by_uid: BTreeMap<String, Resident> = residents.map(|resident| (resident.uid.clone(), resident)).collect();
    let mut residents: Vec<Resident> = by_uid.into_values().collect();
    residents.sort();
    residents
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_follows_something_else_is_no_resident_of_its_own() {
        let object = |kind: &str, name: &str, uid: &str, owners: &[&str]| {
            let id = ObjectRef { group: "".into(), kind: kind.into(), namespace: "n".into(), name: name.into() };
            let owners: Vec<Value> = owners.iter().map(|uid| json!({"uid": uid})).collect();
            of(id, &json!({"metadata": {"uid": uid, "ownerReferences": owners}}))
        };
        let found = vec![
            object("ServiceAccount", "default", "1", &[]),
            object("ServiceAccount", "mine", "2", &[]),
            object("ConfigMap", "kube-root-ca.crt", "3", &[]),
            object("Pod", "of-a-set", "4", &["5"]),
            object("ReplicaSet", "set", "5", &["6"]),
            object("Deployment", "d", "6", &[]),
            object("Pod", "of-something-outside", "7", &["elsewhere"]),
            object("Service", "s", "8", &[]),
            object("Endpoints", "s", "9", &[]),
            object("Endpoints", "by-hand", "10", &[]),
            object("ConfigMap", "of-itself", "11", &["11"]),
        ];
        let residents = without_followers(found);
        let told: Vec<(&str, bool)> =
            residents.iter().map(|resident| (resident.id.name.as_str(), resident.leaving)).collect();
        let expected = [
            ("of-itself", true),
            ("d", false),
            ("by-hand", false),
            ("of-something-outside", true),
            ("s", false),
            ("mine", false),
        ];
        assert_eq!(told, expected);
    }
}
