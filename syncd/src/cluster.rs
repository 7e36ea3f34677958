//! SEAM: the Kubernetes API, as `syncd` needs it.
//!
//! Every request that `syncd` sends is a call of this trait, so that a simulator can lose, delay, deny or repeat each of them and a
//! test can count them. Knows no connection, token or wire format; [`crate::kube`] is the real one. Invariants: a write that may have
//! happened although its reply did not come is [`ErrorClass::Ambiguous`], never a plain failure; an error text never carries a
//! manifest's values.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{BoxStream, FuturesUnordered};
use manifest::ObjectRef;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use smol_str::SmolStr;

/// Label that names the environment that owns an object.
pub const LABEL_ENVIRONMENT: &str = "syncd/environment";
/// Label that names the service that owns an object.
pub const LABEL_SERVICE: &str = "syncd/service";
/// Annotation with the hash of the manifest that was last applied ([`manifest::Manifest::hash`]).
pub const ANNOTATION_HASH: &str = "syncd/hash";
/// Field manager of every apply.
pub const FIELD_MANAGER: &str = "syncd";

/// A kind, without version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupKind {
    /// API group; empty for the core group.
    #[serde(default, skip_serializing_if = "SmolStr::is_empty")]
    pub group: SmolStr,
    /// Kind.
    pub kind: SmolStr,
}

impl GroupKind {
    /// Makes a kind.
    pub fn new(group: &str, kind: &str) -> Self {
        GroupKind { group: group.into(), kind: kind.into() }
    }

    /// Returns the kind of an object.
    pub fn of(object: &ObjectRef) -> Self {
        GroupKind { group: object.group.clone(), kind: object.kind.clone() }
    }
}

impl fmt::Display for GroupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() { f.write_str(&self.kind) } else { write!(f, "{}.{}", self.kind, self.group) }
    }
}

/// One server-side apply.
#[derive(Debug, Clone, PartialEq)]
pub struct Apply {
    /// The object.
    pub id: ObjectRef,
    /// API version to apply through.
    pub api_version: SmolStr,
    /// The whole body: the manifest with owner labels and hash annotation.
    pub body: Value,
    /// The object must exist with this uid; the apply can then never create (answer: [`ErrorClass::Gone`]). `None`: it may create.
    pub uid: Option<SmolStr>,
    /// Only ask what would happen.
    pub dry_run: bool,
}

/// What is known of an object that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// `metadata.uid`.
    pub uid: SmolStr,
    /// `metadata.resourceVersion`.
    pub resource_version: SmolStr,
    /// `metadata.generation`; 0 where the kind has none.
    pub generation: i64,
    /// Whether `metadata.deletionTimestamp` is set.
    pub terminating: bool,
    /// Value of [`LABEL_ENVIRONMENT`].
    pub environment: Option<SmolStr>,
    /// Value of [`LABEL_SERVICE`].
    pub service: Option<SmolStr>,
    /// Value of [`ANNOTATION_HASH`].
    pub hash: Option<SmolStr>,
}

/// What an accepted delete means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// The object is gone.
    Gone,
    /// The object is being deleted: finalizers or grace keep it for a while.
    Terminating,
}

/// One page of a list of all objects of a kind.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Page {
    /// Objects as `{"metadata": ...}`, without `managedFields`.
    pub objects: Vec<(ObjectRef, Value)>,
    /// What the next page is asked for with; absent: there is none.
    pub next: Option<String>,
}

/// A change that a watch tells.
#[derive(Debug, Clone, PartialEq)]
pub enum WatchEvent {
    /// Telling what exists begins: always the first event, and again after each break.
    Restarted,
    /// An object exists, with this content. Objects that exist at the start are told first.
    Present(ObjectRef, Value),
    /// An object is gone.
    Absent(ObjectRef),
    /// Everything that existed at the last [`WatchEvent::Restarted`] has been told. What was not told since then is gone.
    Synchronized,
}

/// The end of the log of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogTail {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// Of its run before the present one.
    pub previous: bool,
    /// Number of lines.
    pub lines: usize,
}

/// One ConfigMap of `syncd`'s own state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateObject {
    /// Name, in `syncd`'s namespace.
    pub name: String,
    /// Labels.
    pub labels: std::collections::BTreeMap<String, String>,
    /// `data`.
    pub data: std::collections::BTreeMap<String, String>,
    /// `metadata.resourceVersion` it was read at; `None`: it does not exist yet and must not when it is written.
    pub resource_version: Option<String>,
}

impl StateObject {
    /// Reads the JSON text under a key. Its format is read before anything else, so that a newer one is named as such.
    ///
    /// # Errors
    /// The key is missing, or its text is of another format or cannot be read.
    pub fn document<T: serde::de::DeserializeOwned>(&self, key: &str, format: u32) -> Result<T, String> {
        #[derive(Deserialize)]
        struct Header {
            format: u64,
        }
        let text = self.data.get(key).ok_or_else(|| format!("it has no key `{key}`"))?;
        let header: Header = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if header.format != u64::from(format) {
            return Err(format!("format {} is unknown; this version reads format {format}", header.format));
        }
        serde_json::from_str(text).map_err(|error| error.to_string())
    }
}

/// Who may act for an environment: a `Lease` of `coordination.k8s.io/v1`, in `syncd`'s namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Name.
    pub name: String,
    /// Who holds it; empty: nobody.
    pub holder: String,
    /// How long it is to be left to its holder after each renewal.
    pub duration: Duration,
    /// How often it changed hands.
    pub transitions: u32,
    /// When its holder took it, RFC 3339, UTC. For people: nobody decides by another one's clock.
    pub acquired_at: String,
    /// When its holder renewed it, likewise for people.
    pub renewed_at: String,
    /// `metadata.resourceVersion` it was read at; `None`: it does not exist yet and must not when it is written.
    pub resource_version: Option<String>,
}

/// What the caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ErrorClass {
    /// Nothing happened; try again later (connection refused, 429, 500, 503 before the request was taken).
    Transient,
    /// Nobody knows whether it happened (time-out, connection lost after the request was sent). Read before deciding.
    Ambiguous,
    /// Somebody else was faster: read again (409 on resourceVersion or uid precondition).
    Conflict,
    /// The object is not there, or not with that uid (404, or the uid precondition of an apply).
    Gone,
    /// The API does not serve this kind (yet).
    NotServed,
    /// The namespace does not exist or is being deleted.
    NamespaceUnavailable,
    /// The content is wrong (400, 422): a new manifest is needed.
    Rejected,
    /// The object cannot be changed into this one (422 on a field that is immutable): only another object can be it.
    Immutable,
    /// Not allowed (401, 403): someone must change permissions or an admission policy.
    Forbidden,
}

/// A failed request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct ClusterError {
    /// What to do about it.
    pub class: ErrorClass,
    /// HTTP status; 0 where none came.
    pub code: u16,
    /// The server's words, without values of Secrets.
    pub message: String,
}

/// The Kubernetes API of one cluster.
pub trait Cluster: Send + Sync + 'static {
    /// Applies one object, forcing conflicts, as [`FIELD_MANAGER`].
    fn apply(&self, apply: Apply) -> impl Future<Output = Result<Observed, ClusterError>> + Send;

    /// Writes only who owns which fields of an object, by a merge patch that names its resourceVersion ([`crate::adoption::patch`]).
    fn take_fields(&self, id: &ObjectRef, patch: Value) -> impl Future<Output = Result<(), ClusterError>> + Send;

    /// Deletes one object if it has `uid` and is as it was at `resource_version`: what lands late is not to take what others have made of it
    /// since. [`ErrorClass::Gone`]: it was not there; [`ErrorClass::Conflict`]: it was changed, or has another uid.
    fn delete(
        &self,
        id: &ObjectRef,
        uid: &str,
        resource_version: &str,
    ) -> impl Future<Output = Result<Deletion, ClusterError>> + Send;

    /// Reads one object.
    fn get(&self, id: &ObjectRef) -> impl Future<Output = Result<Option<Value>, ClusterError>> + Send;

    /// Lists all objects of one kind, in all namespaces, that carry [`LABEL_ENVIRONMENT`] = `environment`. Metadata only.
    /// A kind that is not served has none ([`ErrorClass::NotServed`] only when discovery itself cannot tell).
    fn list_owned(
        &self,
        kind: &GroupKind,
        environment: &str,
    ) -> impl Future<Output = Result<Vec<(ObjectRef, Observed)>, ClusterError>> + Send;

    /// Lists one page of all objects of one kind, whoever owns them, in one namespace or in all. Metadata only. `after`: [`Page::next`] of the
    /// page before; [`ErrorClass::Transient`] with code 410: the server has forgotten the place, begin anew. A kind that is not served is
    /// [`ErrorClass::NotServed`].
    fn list_page(
        &self,
        kind: &GroupKind,
        namespace: Option<&str>,
        after: Option<&str>,
    ) -> impl Future<Output = Result<Page, ClusterError>> + Send;

    /// Asks the API anew which kinds of objects it has in namespaces, as far as they can be listed. [`ErrorClass::NotServed`]: it cannot tell
    /// of a group.
    fn kinds_in_namespaces(&self) -> impl Future<Output = Result<Vec<GroupKind>, ClusterError>> + Send;

    /// Watches all objects of one kind that carry [`LABEL_ENVIRONMENT`] = `environment` and, if any are named, [`LABEL_SERVICE`] = one of
    /// `services`, whole objects, for ever: breaks are mended inside, and told by a new [`WatchEvent::Synchronized`].
    fn watch_owned(
        &self,
        kind: &GroupKind,
        environment: &str,
        services: &[String],
    ) -> impl Future<Output = Result<BoxStream<'static, Result<WatchEvent, ClusterError>>, ClusterError>> + Send;

    /// Watches as [`Cluster::watch_owned`] does, but metadata only: what drift is seen by. Objects are told as `{"metadata": ...}`.
    fn watch_metadata(
        &self,
        kind: &GroupKind,
        environment: &str,
    ) -> impl Future<Output = Result<BoxStream<'static, Result<WatchEvent, ClusterError>>, ClusterError>> + Send;

    /// Watches all objects of one kind in one namespace, or in all, whoever owns them, whole objects, for ever, as
    /// [`Cluster::watch_owned`] does. Of Events only warnings.
    fn watch_around(
        &self,
        kind: &GroupKind,
        namespace: Option<&str>,
    ) -> impl Future<Output = Result<BoxStream<'static, Result<WatchEvent, ClusterError>>, ClusterError>> + Send;

    /// Lists what was said of the object with this uid, in its namespace: whole Events, in no order.
    fn events_of(&self, namespace: &str, uid: &str) -> impl Future<Output = Result<Vec<Value>, ClusterError>> + Send;

    /// Reads the end of the log of one container. [`ErrorClass::Gone`] or [`ErrorClass::Rejected`]: there is none.
    fn log(&self, tail: &LogTail) -> impl Future<Output = Result<String, ClusterError>> + Send;

    /// Creates an Event. [`ErrorClass::Conflict`]: the same was said before.
    fn say(&self, event: Value) -> impl Future<Output = Result<(), ClusterError>> + Send;

    /// Asks the API anew which kinds it serves, and tells whether it serves this one.
    fn is_served(&self, kind: &GroupKind) -> impl Future<Output = Result<bool, ClusterError>> + Send;

    /// Lists `syncd`'s own ConfigMaps of `environment` (by label), in `syncd`'s namespace.
    fn list_state(&self, environment: &str) -> impl Future<Output = Result<Vec<StateObject>, ClusterError>> + Send;

    /// Watches one of these ConfigMaps by its name, for ever, as [`Cluster::watch_owned`] does.
    fn watch_state(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<BoxStream<'static, Result<WatchEvent, ClusterError>>, ClusterError>> + Send;

    /// Creates or replaces one ConfigMap, compare-and-set on its resourceVersion; returns the new one. [`ErrorClass::Conflict`]:
    /// somebody else wrote it.
    fn write_state(&self, object: StateObject) -> impl Future<Output = Result<String, ClusterError>> + Send;

    /// Deletes one ConfigMap if it still has this resourceVersion.
    fn delete_state(&self, name: &str, resource_version: &str)
    -> impl Future<Output = Result<(), ClusterError>> + Send;
}

/// The part of the Kubernetes API by which several `syncd`s of an environment agree on one of them.
pub trait Leases: Send + Sync + 'static {
    /// Reads a Lease; `None`: there is none.
    fn read_lease(&self, name: &str) -> impl Future<Output = Result<Option<Lease>, ClusterError>> + Send;

    /// Creates or replaces a Lease, compare-and-set on its resourceVersion; returns the new one. [`ErrorClass::Conflict`]: somebody else
    /// wrote it. [`ErrorClass::Gone`]: somebody deleted it.
    fn write_lease(&self, lease: Lease) -> impl Future<Output = Result<String, ClusterError>> + Send;
}

/// The part of the Kubernetes API that only people ask: what is, and what would be. No cycle does, and nothing of it writes.
pub trait Inspect: Send + Sync + 'static {
    /// Returns the whole object that an apply would make, forced as [`Cluster::apply`] is. A dry run, whatever [`Apply::dry_run`] says.
    fn preview(&self, apply: Apply) -> impl Future<Output = Result<Value, ClusterError>> + Send;

    /// Asks the API anew which kinds of objects it has, in namespaces or not, as far as they can be listed; and which groups do not answer.
    fn kinds(&self) -> impl Future<Output = Result<(Vec<GroupKind>, Vec<String>), ClusterError>> + Send;
}

/// Makes a request for each item, at most `limit` under way, and returns the answers as they came. A request is made when there is room for it:
/// thousands would hold what they are going to send.
pub async fn side_by_side<I, F: Future>(
    limit: usize,
    items: impl IntoIterator<Item = I>,
    request: impl Fn(I) -> F,
) -> Vec<F::Output> {
    let (mut items, mut under_way, mut answers) = (items.into_iter(), FuturesUnordered::new(), Vec::new());
    loop {
        while under_way.len() < limit.max(1)
            && let Some(item) = items.next()
        {
            under_way.push(request(item));
        }
        match under_way.next().await {
            Some(answer) => answers.push(answer),
            None => return answers,
        }
    }
}
