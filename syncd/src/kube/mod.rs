//! The real [`Cluster`]: a Kubernetes API server, through kube.
//!
//! - `connect`: where it is, who we are, what is told about every request
//! - `call`: one request with its limits and repeats; `error`: what a failure means
//! - `discovery`: which kinds are served, and where
//! - `watch`, `state`, `lease`: watches; `syncd`'s own ConfigMaps, and its Lease
//!
//! Translates, decides nothing. Bodies are sent and read as JSON values, not through typed objects, which would drop fields they do not
//! know. Every apply asks for strict field validation: a field that the API does not know is an error of the manifest and never silently
//! dropped. For server-side apply the server is strict of itself, in custom kinds too; asking for it adds duplicate keys and says what we mean. Invariant: one method, one request, but for discovery, pages and the
//! repeats that [`Timeouts`]' module bounds.

mod call;
mod connect;
mod discovery;
mod error;
mod lease;
mod state;
mod watch;
mod window;

use std::collections::BTreeMap;
use std::sync::Arc;

use ::kube::Client;
use ::kube::api::{DeleteParams, DynamicObject, GetParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use ::kube::core::{PartialObjectMeta, Request};
use futures::StreamExt;
use futures::stream::BoxStream;
use manifest::ObjectRef;
use serde::Deserialize;
use serde_json::{Value, json};
use smol_str::SmolStr;

pub use self::call::Timeouts;
pub use self::connect::{ConnectError, Connection, OnTraffic, RequestFact, Traffic};

use self::call::{Caller, Reply};
use self::discovery::{Catalogue, Lookup, Served};
use self::error::Subject;
use self::lease::LeaseStore;
use self::state::StateStore;
use self::watch::{Told, Which, Whole};
use crate::cluster::{
    ANNOTATION_HASH, Apply, Cluster, ClusterError, Deletion, ErrorClass, FIELD_MANAGER, GroupKind, Inspect,
    LABEL_ENVIRONMENT, LABEL_SERVICE, Lease, Leases, LogTail, Observed, Page, StateObject, WatchEvent,
};
use crate::election::Fence;

/// Objects a page of a list.
const PAGE_OBJECTS: u32 = 250;
/// Longest end of a log that is read.
const LOG_BYTES: usize = 64 << 10;
/// Times that a list is begun anew because the server forgot its place between two pages.
const LIST_RESTARTS_MAX: u32 = 3;
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/// An API server.
pub struct KubeCluster {
    caller: Caller,
    catalogue: Arc<Catalogue>,
    state: StateStore,
    leases: LeaseStore,
}

impl KubeCluster {
    /// Prepares the connection to an API server; `namespace` is `syncd`'s own. Sends nothing yet.
    ///
    /// # Errors
    /// See [`ConnectError`]: settings that cannot work.
    pub async fn connect(
        connection: &Connection,
        namespace: &str,
        timeouts: Timeouts,
        on_traffic: OnTraffic,
    ) -> Result<Self, ConnectError> {
        let client = connect::client(connection, timeouts, Arc::clone(&on_traffic)).await?;
        Ok(KubeCluster::told(client, namespace, timeouts, on_traffic))
    }

    /// Uses a client that is there already.
    pub fn new(client: Client, namespace: &str, timeouts: Timeouts) -> Self {
        KubeCluster::told(client, namespace, timeouts, Arc::new(|_| {}))
    }

    fn told(client: Client, namespace: &str, timeouts: Timeouts, on_traffic: OnTraffic) -> Self {
        let caller = Caller::new(client, timeouts, on_traffic);
        let state = StateStore::new(caller.clone(), namespace.to_owned());
        let leases = LeaseStore::new(caller.unhindered(), namespace.to_owned());
        KubeCluster { caller, catalogue: Arc::default(), state, leases }
    }

    /// Lets through what changes something only while `fence` is open; but for the Lease, which opens it.
    pub fn fenced(self, fence: &Fence) -> Self {
        let (caller, state) = (self.caller.fenced(fence.clone()), self.state.fenced(fence));
        KubeCluster { caller, state, ..self }
    }

    /// Finds how a kind is served: in `version`, or in the version that the server prefers.
    async fn served(&self, kind: &GroupKind, version: Option<&str>) -> Result<Served, ClusterError> {
        match self.lookup(kind, version).await? {
            Lookup::Served(served) => Ok(served),
            Lookup::Absent(offered) => Err(not_served(kind, version, &offered)),
            Lookup::Unknown => Err(unknown(kind)),
        }
    }

    /// Looks in the latest discovery, and in a fresh one before anything but "served" is answered.
    async fn lookup(&self, kind: &GroupKind, version: Option<&str>) -> Result<Lookup, ClusterError> {
        let find = |snapshot: &discovery::Snapshot| match version {
            Some(version) => snapshot.exact(kind, version),
            None => snapshot.preferred(kind),
        };
        if let found @ Lookup::Served(_) = find(&*self.catalogue.latest(&self.caller).await?) {
            return Ok(found);
        }
        Ok(find(&*self.catalogue.fresh(&self.caller).await?))
    }

    async fn send_apply(&self, apply: Apply, subject: &Subject<'_>) -> Result<Reply, ClusterError> {
        let kind = subject.kind;
        let version = apply.api_version.rsplit_once('/').map_or(apply.api_version.as_str(), |(_, version)| version);
        let served = self.served(kind, Some(version)).await?;
        let path = collection(&apply.id, &served)?;
        let mut body = apply.body;
        if let Some(uid) = apply.uid {
            body["metadata"]["uid"] = Value::String(uid.to_string());
        }
        let mut parameters = PatchParams::apply(FIELD_MANAGER).force().validation_strict();
        parameters.dry_run = apply.dry_run;
        let request = built(Request::new(path).patch(&segment(&apply.id.name), &parameters, &Patch::Apply(&body)))?;
        let reply = self.checked(self.caller.call("apply", request, subject).await).await?;
        if !(kind.group.is_empty() && kind.kind == "Secret") {
            for warning in &reply.warnings {
                tracing::warn!(object = %apply.id, warning, "the API server warned");
            }
        }
        Ok(reply)
    }

    /// Passes an answer on. A path that is not served any more makes the next look at discovery a fresh one.
    async fn checked<T>(&self, result: Result<T, ClusterError>) -> Result<T, ClusterError> {
        if matches!(&result, Err(error) if error.class == ErrorClass::NotServed) {
            self.catalogue.forget().await;
        }
        result
    }

    async fn find_fresh(&self, kind: &GroupKind) -> Result<Lookup, ClusterError> {
        Ok(self.catalogue.fresh(&self.caller).await?.preferred(kind))
    }

    /// Watches what is told of a kind: objects, or their metadata. Where it is served no more, the watch ends and the next one looks anew where it is:
    /// the version of a kind may go while another one stays.
    async fn follow<K: Told>(
        &self,
        kind: &GroupKind,
        which: Which<'_>,
    ) -> Result<BoxStream<'static, Result<WatchEvent, ClusterError>>, ClusterError> {
        let events = watch::watch::<K>(&self.caller, self.served(kind, None).await?, which);
        let catalogue = Arc::clone(&self.catalogue);
        let events = events.then(move |event| {
            let catalogue = Arc::clone(&catalogue);
            async move {
                let is_last = matches!(&event, Err(error) if error.class == ErrorClass::NotServed);
                if is_last {
                    catalogue.forget().await;
                }
                (event, is_last)
            }
        });
        let until_last = events.scan(false, |ended, (event, is_last)| {
            let has_ended = std::mem::replace(ended, is_last);
            std::future::ready((!has_ended).then_some(event))
        });
        Ok(until_last.boxed())
    }

    async fn list_where(
        &self,
        lookup: Lookup,
        kind: &GroupKind,
        selector: &str,
    ) -> Result<Vec<(ObjectRef, Observed)>, ClusterError> {
        match lookup {
            Lookup::Served(served) if served.listable => self.list_all(&served, selector).await,
            Lookup::Served(_) | Lookup::Absent(_) => Ok(Vec::new()),
            Lookup::Unknown => Err(unknown(kind)),
        }
    }

    async fn list_items(&self, served: &Served, parameters: &ListParams) -> Result<PageOf<Item>, ClusterError> {
        let kind = GroupKind::new(&served.group, &served.kind);
        let subject = Subject { kind: &kind, writes: false };
        let request = metadata_list(&served.path(""), parameters)?;
        read(&self.caller.call("list", request, &subject).await?, &subject)
    }

    async fn list_all(&self, served: &Served, selector: &str) -> Result<Vec<(ObjectRef, Observed)>, ClusterError> {
        let first = ListParams::default().labels(selector).limit(PAGE_OBJECTS);
        let mut restarts = 0;
        let mut parameters = first.clone();
        let mut found = Vec::new();
        loop {
            let page = match self.list_items(served, &parameters).await {
                Err(error) if error.code == 410 && restarts < LIST_RESTARTS_MAX => {
                    restarts += 1;
                    parameters = first.clone();
                    found.clear();
                    continue;
                }
                page => page?,
            };
            found.extend(
                page.items
                    .into_iter()
                    .flatten()
                    .map(|item| (identity(served, &item.metadata), item.metadata.observed())),
            );
            match page.metadata.next() {
                Some(token) => parameters = parameters.continue_token(&token),
                None => return Ok(found),
            }
        }
    }
}

impl Cluster for KubeCluster {
    async fn apply(&self, apply: Apply) -> Result<Observed, ClusterError> {
        let kind = GroupKind::of(&apply.id);
        let subject = Subject { kind: &kind, writes: !apply.dry_run };
        let reply = self.send_apply(apply, &subject).await?;
        Ok(read::<Item>(&reply, &subject)?.metadata.observed())
    }

    async fn take_fields(&self, id: &ObjectRef, patch: Value) -> Result<(), ClusterError> {
        let kind = GroupKind::of(id);
        let served = self.served(&kind, None).await?;
        let path = collection(id, &served)?;
        let subject = Subject { kind: &kind, writes: true };
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let request = built(Request::new(path).patch(&segment(&id.name), &parameters, &Patch::Merge(&patch)))?;
        self.checked(self.caller.call("patch", request, &subject).await).await.map(drop)
    }

    async fn delete(&self, id: &ObjectRef, uid: &str, resource_version: &str) -> Result<Deletion, ClusterError> {
        let kind = GroupKind::of(id);
        let served = self.served(&kind, None).await?;
        let path = collection(id, &served)?;
        let subject = Subject { kind: &kind, writes: true };
        let (uid, resource_version) = (Some(uid.to_owned()), Some(resource_version.to_owned()));
        let preconditions = Preconditions { uid, resource_version };
        // Background, said aloud: a Job's own default would leave its pods.
        let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
        let request = built(Request::new(path).delete(&segment(&id.name), &parameters))?;
        let reply = self.checked(self.caller.call("delete", request, &subject).await).await?;
        // A `Status`, or the object: as it was if it is gone, with a deletion timestamp if something keeps it.
        let object: Item = read(&reply, &subject)?;
        Ok(if object.metadata.deletion_timestamp.is_some() { Deletion::Terminating } else { Deletion::Gone })
    }

    async fn get(&self, id: &ObjectRef) -> Result<Option<Value>, ClusterError> {
        let kind = GroupKind::of(id);
        let served = self.served(&kind, None).await?;
        let path = collection(id, &served)?;
        let subject = Subject { kind: &kind, writes: false };
        let request = built(Request::new(path).get(&segment(&id.name), &GetParams::default()))?;
        match self.checked(self.caller.call("get", request, &subject).await).await {
            Ok(reply) => read(&reply, &subject).map(Some),
            Err(error)
                if matches!(error.class, ErrorClass::Gone | ErrorClass::NamespaceUnavailable) && error.code == 404 =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn list_owned(
        &self,
        kind: &GroupKind,
        environment: &str,
    ) -> Result<Vec<(ObjectRef, Observed)>, ClusterError> {
        let selector = owned_by(environment);
        let first = self.list_where(self.lookup(kind, None).await?, kind, &selector).await;
        match first {
            // Removed, or moved to another version, since discovery was read: look again, once.
            Err(error) if error.class == ErrorClass::NotServed && error.code == 404 => {
                self.list_where(self.find_fresh(kind).await?, kind, &selector).await
            }
            other => other,
        }
    }

    async fn list_page(
        &self,
        kind: &GroupKind,
        namespace: Option<&str>,
        after: Option<&str>,
    ) -> Result<Page, ClusterError> {
        let served = self.served(kind, None).await?;
        let subject = Subject { kind, writes: false };
        let mut parameters = ListParams::default().limit(PAGE_OBJECTS);
        parameters.continue_token = after.map(str::to_owned);
        let path = served.path(namespace.unwrap_or_default());
        let request = metadata_list(&path, &parameters)?;
        let reply = self.checked(self.caller.call("list", request, &subject).await).await?;
        let page: PageOf<Value> = read(&reply, &subject)?;
        let objects = page.items.into_iter().flatten().map(|item| told(&served, item, (&reply, &subject)));
        Ok(Page { objects: objects.collect::<Result<_, _>>()?, next: page.metadata.next() })
    }

    async fn kinds_in_namespaces(&self) -> Result<Vec<GroupKind>, ClusterError> {
        let kinds = self.catalogue.fresh(&self.caller).await?.in_namespaces();
        kinds.map_err(|group| {
            let message = format!("the API server of group `{group}` does not answer");
            ClusterError { class: ErrorClass::NotServed, code: 0, message }
        })
    }

    async fn watch_owned(
        &self,
        kind: &GroupKind,
        environment: &str,
        services: &[String],
    ) -> Result<BoxStream<'static, Result<WatchEvent, ClusterError>>, ClusterError> {
        let of_some = || format!(",{LABEL_SERVICE} in ({})", services.join(","));
        let labels = owned_by(environment) + &if services.is_empty() { String::new() } else { of_some() };
        self.follow::<Whole>(kind, Which { labels: &labels, ..Which::default() }).await
    }

    async fn watch_metadata(
        &self,
        kind: &GroupKind,
        environment: &str,
    ) -> Result<BoxStream<'static, Result<WatchEvent, ClusterError>>, ClusterError> {
        let labels = owned_by(environment);
        self.follow::<PartialObjectMeta<DynamicObject>>(kind, Which { labels: &labels, ..Which::default() }).await
    }

    async fn watch_state(
        &self,
        name: &str,
    ) -> Result<BoxStream<'static, Result<WatchEvent, ClusterError>>, ClusterError> {
        let kind = GroupKind::new("", "ConfigMap");
        let (namespace, fields) = (Some(self.state.namespace()), format!("metadata.name={name}"));
        self.follow::<Whole>(&kind, Which { namespace, fields: &fields, labels: "" }).await
    }

    async fn watch_around(
        &self,
        kind: &GroupKind,
        namespace: Option<&str>,
    ) -> Result<BoxStream<'static, Result<WatchEvent, ClusterError>>, ClusterError> {
        let is_event = kind.group.is_empty() && kind.kind == "Event";
        let fields = if is_event { "type!=Normal" } else { "" };
        self.follow::<Whole>(kind, Which { namespace, fields, labels: "" }).await
    }

    async fn events_of(&self, namespace: &str, uid: &str) -> Result<Vec<Value>, ClusterError> {
        let kind = event_kind();
        let served = self.served(&kind, None).await?;
        let subject = Subject { kind: &kind, writes: false };
        let namespace = if namespace.is_empty() { "default" } else { namespace };
        let parameters = ListParams::default().fields(&format!("involvedObject.uid={uid}")).limit(PAGE_OBJECTS);
        let request = built(Request::new(served.path(namespace)).list(&parameters))?;
        let list: Value = read(&self.caller.call("list", request, &subject).await?, &subject)?;
        Ok(list.get("items").and_then(Value::as_array).cloned().unwrap_or_default())
    }

    async fn log(&self, tail: &LogTail) -> Result<String, ClusterError> {
        let kind = GroupKind::new("", "Pod");
        let served = self.served(&kind, None).await?;
        let subject = Subject { kind: &kind, writes: false };
        let (path, pod, container) = (served.path(&tail.namespace), segment(&tail.pod), segment(&tail.container));
        let query =
            format!("container={container}&previous={}&tailLines={}&limitBytes={LOG_BYTES}", tail.previous, tail.lines);
        let request = http::Request::get(format!("{path}/{pod}/log?{query}")).body(Vec::new());
        let request = request.map_err(|cause| rejected(cause.to_string()))?;
        let reply = self.caller.call("log", request, &subject).await?;
        Ok(String::from_utf8_lossy(&reply.body).into_owned())
    }

    async fn say(&self, event: Value) -> Result<(), ClusterError> {
        let kind = event_kind();
        let served = self.served(&kind, None).await?;
        let subject = Subject { kind: &kind, writes: true };
        let namespace = event.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or("default");
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let request = built(Request::new(served.path(namespace)).create(&parameters, event.to_string().into_bytes()))?;
        self.caller.call("create", request, &subject).await.map(drop)
    }

    async fn is_served(&self, kind: &GroupKind) -> Result<bool, ClusterError> {
        match self.find_fresh(kind).await? {
            Lookup::Served(_) => Ok(true),
            Lookup::Absent(_) => Ok(false),
            Lookup::Unknown => Err(unknown(kind)),
        }
    }

    async fn list_state(&self, environment: &str) -> Result<Vec<StateObject>, ClusterError> {
        self.state.list(&owned_by(environment)).await
    }

    async fn write_state(&self, object: StateObject) -> Result<String, ClusterError> {
        self.state.write(object).await
    }

    async fn delete_state(&self, name: &str, resource_version: &str) -> Result<(), ClusterError> {
        self.state.delete(name, resource_version).await
    }
}

impl Inspect for KubeCluster {
    async fn preview(&self, mut apply: Apply) -> Result<Value, ClusterError> {
        apply.dry_run = true;
        let kind = GroupKind::of(&apply.id);
        let subject = Subject { kind: &kind, writes: false };
        read(&self.send_apply(apply, &subject).await?, &subject)
    }

    async fn kinds(&self) -> Result<(Vec<GroupKind>, Vec<String>), ClusterError> {
        Ok(self.catalogue.fresh(&self.caller).await?.all())
    }
}

impl Leases for KubeCluster {
    async fn read_lease(&self, name: &str) -> Result<Option<Lease>, ClusterError> {
        self.leases.read(name).await
    }

    async fn write_lease(&self, lease: Lease) -> Result<String, ClusterError> {
        self.leases.write(lease).await
    }
}

/// What is read of an object.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: String,
    namespace: String,
    uid: String,
    resource_version: String,
    generation: i64,
    deletion_timestamp: Option<String>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

impl Metadata {
    fn observed(mut self) -> Observed {
        Observed {
            terminating: self.deletion_timestamp.is_some(),
            environment: self.labels.remove(LABEL_ENVIRONMENT).map(SmolStr::from),
            service: self.labels.remove(LABEL_SERVICE).map(SmolStr::from),
            hash: self.annotations.remove(ANNOTATION_HASH).map(SmolStr::from),
            uid: self.uid.into(),
            resource_version: self.resource_version.into(),
            generation: self.generation,
        }
    }
}

#[derive(Debug, Deserialize)]
struct Item {
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Debug, Deserialize)]
struct PageOf<T> {
    #[serde(default)]
    metadata: PageMetadata,
    /// `null` where there are none, as a real server says of metadata.
    items: Option<Vec<T>>,
}

#[derive(Debug, Default, Deserialize)]
struct PageMetadata {
    #[serde(rename = "continue", default)]
    continue_: Option<String>,
}

impl PageMetadata {
    /// Returns what the next page is asked for with.
    fn next(self) -> Option<String> {
        self.continue_.filter(|token| !token.is_empty())
    }
}

/// Returns the identity of an item of a list of metadata, and what it tells.
fn told(served: &Served, mut item: Value, of: (&Reply, &Subject<'_>)) -> Result<(ObjectRef, Value), ClusterError> {
    let metadata = item.get_mut("metadata").map(Value::take).and_then(|value| match value {
        Value::Object(metadata) => Some(metadata),
        _ => None,
    });
    let Some(mut metadata) = metadata else { return Err(error::from_unreadable(of.0.code, of.1)) };
    metadata.remove("managedFields");
    let text = |name: &str| metadata.get(name).and_then(Value::as_str).unwrap_or_default().into();
    let id = ObjectRef {
        group: served.group.as_str().into(),
        kind: served.kind.as_str().into(),
        namespace: text("namespace"),
        name: text("name"),
    };
    Ok((id, json!({"metadata": metadata})))
}

/// Returns the request for a page of metadata.
fn metadata_list(path: &str, parameters: &ListParams) -> Result<http::Request<Vec<u8>>, ClusterError> {
    let mut request = built(Request::new(path).list(parameters))?;
    request.headers_mut().insert(http::header::ACCEPT, http::HeaderValue::from_static(METADATA_LIST));
    Ok(request)
}

fn read<T: serde::de::DeserializeOwned>(reply: &Reply, subject: &Subject<'_>) -> Result<T, ClusterError> {
    serde_json::from_slice(&reply.body).map_err(|_| error::from_unreadable(reply.code, subject))
}

fn identity(served: &Served, metadata: &Metadata) -> ObjectRef {
    ObjectRef {
        group: served.group.as_str().into(),
        kind: served.kind.as_str().into(),
        namespace: metadata.namespace.as_str().into(),
        name: metadata.name.as_str().into(),
    }
}

fn event_kind() -> GroupKind {
    GroupKind::new("", "Event")
}

fn owned_by(environment: &str) -> String {
    format!("{LABEL_ENVIRONMENT}={environment}")
}

/// Returns the path of the collection that an object is in.
fn collection(id: &ObjectRef, served: &Served) -> Result<String, ClusterError> {
    match (served.namespaced, id.namespace.is_empty()) {
        (true, true) => Err(rejected(format!(
            "`{id}` has no namespace, but objects of kind {} live in one; set metadata.namespace",
            id.kind
        ))),
        (false, false) => Err(rejected(format!(
            "`{id}` has a namespace, but objects of kind {} live in none; remove metadata.namespace",
            id.kind
        ))),
        _ => Ok(served.path(&id.namespace)),
    }
}

/// Returns a name as a segment of a path. Names of some kinds may contain what a path may not.
fn segment(name: &str) -> String {
    let mut segment = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    segment
}

fn built(
    request: Result<http::Request<Vec<u8>>, ::kube::core::request::Error>,
) -> Result<http::Request<Vec<u8>>, ClusterError> {
    request.map_err(|cause| rejected(cause.to_string()))
}

fn rejected(message: String) -> ClusterError {
    ClusterError { class: ErrorClass::Rejected, code: 0, message }
}

fn not_served(kind: &GroupKind, version: Option<&str>, offered: &[String]) -> ClusterError {
    let message = match version {
        Some(version) if !offered.is_empty() => {
            format!("the API serves {kind} as {}, not in version `{version}`", offered.join(", "))
        }
        _ => format!("the API does not serve {kind}"),
    };
    ClusterError { class: ErrorClass::NotServed, code: 0, message }
}

fn unknown(kind: &GroupKind) -> ClusterError {
    let message =
        format!("whether the API serves {kind} cannot be told: the server of its group does not answer discovery");
    ClusterError { class: ErrorClass::NotServed, code: 0, message }
}
