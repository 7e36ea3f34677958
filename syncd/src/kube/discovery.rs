//! Which kinds the API serves, in which versions, under which paths.
//!
//! Read by aggregated discovery (two requests), kept until a kind is missed. Knows no object. Invariant: "not served" is only said when
//! discovery was read after the question was asked and the kind's group is fresh; a group whose API server is down is
//! [`Lookup::Unknown`], never absent, because pruning believes an absence.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::kube::client::{APIGroupDiscovery, APIGroupDiscoveryList};
use serde_json::Value;
use tokio::sync::Mutex;

use super::call::Caller;
use super::error::{self, Subject};
use crate::cluster::{ClusterError, ErrorClass, GroupKind};

const ACCEPT: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// One kind in one version of its API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Served {
    /// Group; empty for the core group.
    pub group: String,
    /// Version, without group.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Plural name, as paths have it.
    pub plural: String,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Whether objects can be listed.
    pub listable: bool,
}

impl Served {
    /// Returns `group/version`, or the version alone for the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Returns the path of the collection: of one namespace, or of all where `namespace` is empty.
    pub fn path(&self, namespace: &str) -> String {
        let root = if self.group.is_empty() { "/api" } else { "/apis" };
        let scope = if namespace.is_empty() { String::new() } else { format!("namespaces/{namespace}/") };
        format!("{root}/{}/{scope}{}", self.api_version(), self.plural)
    }
}

/// What is known about a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lookup {
    /// It is served so.
    Served(Served),
    /// It is not served. The versions of its group that serve the kind, if another version was asked for.
    Absent(Vec<String>),
    /// The server of its group does not answer, so nobody can tell.
    Unknown,
}

/// One reading of discovery.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    groups: BTreeMap<String, Vec<Version>>,
}

#[derive(Debug)]
struct Version {
    name: String,
    stale: bool,
    kinds: BTreeMap<String, Served>,
}

impl Snapshot {
    fn add(&mut self, group: &APIGroupDiscovery) {
        let name = group.metadata.as_ref().and_then(|metadata| metadata.name.clone()).unwrap_or_default();
        let versions = group.versions.iter().map(|version| {
            let version_name = version.version.clone().unwrap_or_default();
            let mut kinds = BTreeMap::new();
            for resource in &version.resources {
                let kind = resource.response_kind.as_ref().and_then(|kind| kind.kind.clone());
                let (Some(kind), Some(plural)) = (kind, resource.resource.clone()) else { continue };
                let served = Served {
                    group: name.clone(),
                    version: version_name.clone(),
                    kind: kind.clone(),
                    plural,
                    namespaced: resource.scope.as_deref() == Some("Namespaced"),
                    listable: resource.verbs.iter().any(|verb| verb == "list"),
                };
                kinds.entry(kind).or_insert(served);
            }
            Version { name: version_name, stale: version.freshness.as_deref() == Some("Stale"), kinds }
        });
        self.groups.entry(name.clone()).or_default().extend(versions);
    }

    /// Looks a kind up in the version that the server prefers.
    pub fn preferred(&self, kind: &GroupKind) -> Lookup {
        self.find(kind, |_| true)
    }

    /// Looks a kind up in one version.
    pub fn exact(&self, kind: &GroupKind, version: &str) -> Lookup {
        self.find(kind, |candidate| candidate == version)
    }

    /// Returns the kinds whose objects live in namespaces and can be listed, or the first group that does not answer.
    pub fn in_namespaces(&self) -> Result<Vec<GroupKind>, String> {
        let mut found = BTreeSet::new();
        for (group, versions) in &self.groups {
            if versions.iter().any(|version| version.stale) {
                return Err(group.clone());
            }
            let served = versions.iter().flat_map(|version| version.kinds.values());
            let listable = served.filter(|served| served.namespaced && served.listable);
            found.extend(listable.map(|served| GroupKind::new(group, &served.kind)));
        }
        Ok(found.into_iter().collect())
    }

    /// Returns the kinds whose objects can be listed, and the groups that do not answer.
    pub fn all(&self) -> (Vec<GroupKind>, Vec<String>) {
        let (mut found, mut unanswered) = (BTreeSet::new(), Vec::new());
        for (group, versions) in &self.groups {
            if versions.iter().any(|version| version.stale) {
                unanswered.push(group.clone());
            }
            let served = versions.iter().flat_map(|version| version.kinds.values()).filter(|served| served.listable);
            found.extend(served.map(|served| GroupKind::new(group, &served.kind)));
        }
        (found.into_iter().collect(), unanswered)
    }

    fn find(&self, kind: &GroupKind, wanted: impl Fn(&str) -> bool) -> Lookup {
        let versions = self.groups.get(kind.group.as_str()).map_or(&[][..], Vec::as_slice);
        let mut offered = Vec::new();
        for version in versions {
            if let Some(served) = version.kinds.get(kind.kind.as_str()) {
                if wanted(&version.name) {
                    return Lookup::Served(served.clone());
                }
                offered.push(served.api_version());
            }
        }
        if versions.iter().any(|version| version.stale && wanted(&version.name)) {
            Lookup::Unknown
        } else {
            Lookup::Absent(offered)
        }
    }
}

/// The latest reading, and the right to make a new one.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    latest: Mutex<(u64, Option<Arc<Snapshot>>)>,
    readings: AtomicU64,
}

impl Catalogue {
    /// Returns the latest reading, or makes the first.
    pub async fn latest(&self, caller: &Caller) -> Result<Arc<Snapshot>, ClusterError> {
        let mut latest = self.latest.lock().await;
        match &latest.1 {
            Some(snapshot) => Ok(Arc::clone(snapshot)),
            None => self.read(&mut latest, caller).await,
        }
    }

    /// Returns a reading that was begun after this call was. Callers that come together share one.
    pub async fn fresh(&self, caller: &Caller) -> Result<Arc<Snapshot>, ClusterError> {
        let begun = self.readings.load(Ordering::SeqCst);
        let mut latest = self.latest.lock().await;
        match &latest.1 {
            Some(snapshot) if latest.0 > begun => Ok(Arc::clone(snapshot)),
            _ => self.read(&mut latest, caller).await,
        }
    }

    /// Makes the next question read anew.
    pub async fn forget(&self) {
        self.latest.lock().await.1 = None;
    }

    async fn read(
        &self,
        latest: &mut (u64, Option<Arc<Snapshot>>),
        caller: &Caller,
    ) -> Result<Arc<Snapshot>, ClusterError> {
        let number = self.readings.fetch_add(1, Ordering::SeqCst) + 1;
        let mut snapshot = Snapshot::default();
        for path in ["/api", "/apis"] {
            for group in &discover(caller, path).await?.items {
                snapshot.add(group);
            }
        }
        let snapshot = Arc::new(snapshot);
        *latest = (number, Some(Arc::clone(&snapshot)));
        Ok(snapshot)
    }
}

async fn discover(caller: &Caller, path: &str) -> Result<APIGroupDiscoveryList, ClusterError> {
    let kind = GroupKind::new("apidiscovery.k8s.io", "APIGroupDiscoveryList");
    let subject = Subject { kind: &kind, writes: false };
    let request = http::Request::get(path)
        .header(http::header::ACCEPT, ACCEPT)
        .body(Vec::new())
        .expect("a constant path and header make a request");
    let reply = caller.call("discover", request, &subject).await?;
    let value: Value = serde_json::from_slice(&reply.body).map_err(|_| error::from_unreadable(reply.code, &subject))?;
    if value.get("kind").and_then(Value::as_str) != Some("APIGroupDiscoveryList") {
        let message =
            "the API server does not offer aggregated discovery; Kubernetes 1.27 or newer is needed".to_owned();
        return Err(ClusterError { class: ErrorClass::NotServed, code: reply.code, message });
    }
    serde_json::from_value(value).map_err(|_| error::from_unreadable(reply.code, &subject))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn snapshot() -> Snapshot {
        let resource = |plural: &str, kind: &str, scope: &str| json!({"resource": plural, "responseKind": {"kind": kind}, "scope": scope, "verbs": ["get", "list"]});
        let groups = json!([
            {"metadata": {}, "versions": [{"version": "v1", "freshness": "Current", "resources": [
                resource("configmaps", "ConfigMap", "Namespaced"), resource("namespaces", "Namespace", "Cluster")]}]},
            {"metadata": {"name": "shop.example"}, "versions": [
                {"version": "v2", "freshness": "Current", "resources": [resource("orders", "Order", "Namespaced")]},
                {"version": "v1", "freshness": "Current", "resources": [
                    resource("orders", "Order", "Namespaced"), resource("carts", "Cart", "Namespaced")]}]},
            {"metadata": {"name": "down.example"}, "versions": [{"version": "v1", "freshness": "Stale", "resources": []}]},
        ]);
        let groups: Vec<APIGroupDiscovery> = serde_json::from_value(groups).expect("discovery");
        let mut snapshot = Snapshot::default();
        for group in &groups {
            snapshot.add(group);
        }
        snapshot
    }

    fn kind(group: &str, kind: &str) -> GroupKind {
        GroupKind::new(group, kind)
    }

    fn path(lookup: Lookup, namespace: &str) -> String {
        match lookup {
            Lookup::Served(served) => served.path(namespace),
            other => panic!("not served: {other:?}"),
        }
    }

    #[test]
    fn the_preferred_version_is_the_first_that_serves_the_kind() {
        let snapshot = snapshot();
        assert_eq!(
            path(snapshot.preferred(&kind("shop.example", "Order")), "a"),
            "/apis/shop.example/v2/namespaces/a/orders"
        );
        assert_eq!(path(snapshot.preferred(&kind("shop.example", "Cart")), ""), "/apis/shop.example/v1/carts");
        assert_eq!(path(snapshot.preferred(&kind("", "Namespace")), ""), "/api/v1/namespaces");
        assert_eq!(
            path(snapshot.exact(&kind("shop.example", "Order"), "v1"), "a"),
            "/apis/shop.example/v1/namespaces/a/orders"
        );
    }

    #[test]
    fn kinds_in_namespaces_are_not_told_while_a_group_does_not_answer() {
        let mut snapshot = snapshot();
        assert_eq!(snapshot.in_namespaces(), Err("down.example".to_owned()));
        snapshot.groups.remove("down.example");
        let expected = vec![kind("", "ConfigMap"), kind("shop.example", "Cart"), kind("shop.example", "Order")];
        assert_eq!(snapshot.in_namespaces(), Ok(expected));
    }

    #[test]
    fn a_group_that_does_not_answer_is_unknown_not_absent() {
        let snapshot = snapshot();
        assert_eq!(snapshot.preferred(&kind("down.example", "Thing")), Lookup::Unknown);
        assert_eq!(snapshot.preferred(&kind("nowhere.example", "Thing")), Lookup::Absent(Vec::new()));
        assert_eq!(snapshot.preferred(&kind("", "Thing")), Lookup::Absent(Vec::new()));
        let offered = vec!["shop.example/v1".to_owned()];
        assert_eq!(snapshot.exact(&kind("shop.example", "Cart"), "v2"), Lookup::Absent(offered));
    }
}
