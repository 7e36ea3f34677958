//! The seam over the sandbox's model: every call is counted, and can be lost, denied, or be the last thing that a process does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use manifest::ObjectRef;
use manifest::object::group_of;
use sandbox::{EventKind, Request, Response};
use serde_json::{Value, json};
use syncd::cluster::{
    Apply, Cluster, ClusterError, Deletion, ErrorClass, FIELD_MANAGER, GroupKind, LABEL_ENVIRONMENT, Lease, Leases,
    LogTail, Observed, StateObject, WatchEvent,
};
use syncd::election::Fence;
use syncd::live::observed;
use tokio::sync::Notify;

/// How long the real client waits for an answer.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(30);
/// The namespace of `syncd`'s own state.
pub const HOME: &str = "syncd";

/// What happens at one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process ends before the request is sent.
    CrashBefore,
    /// The process ends after the request was carried out, before its answer.
    CrashAfter,
    /// The request was carried out, its answer is lost.
    LostReply,
    /// The request never arrived; nobody can tell that from a lost answer.
    LostRequest,
    /// Nothing happened, for a reason that may pass.
    Busy,
    /// Nothing happened, and will not.
    Denied,
}

/// A cluster that is asked through the seam.
pub struct TestCluster {
    pub model: sandbox::Cluster,
    calls: Mutex<Calls>,
    pub crashed: Notify,
    /// What requests that change something pass, as at the real edge.
    pub fence: Fence,
    /// Requests that begin with one of these never arrive, and nobody answers.
    cut: Mutex<Vec<&'static str>>,
}

#[derive(Default)]
struct Calls {
    log: Vec<String>,
    /// Number of calls ever made.
    count: usize,
    faults: BTreeMap<usize, Fault>,
    denied: BTreeSet<String>,
    /// Called after every call that was carried out.
    check: Option<Check>,
    /// Called before every call is carried out, with its number.
    before: Option<Before>,
}

type Before = Arc<dyn Fn(usize) + Send + Sync>;

/// Is told the call that was carried out; panics if the world is not as it must be at every moment.
type Check = Arc<dyn Fn(&str) + Send + Sync>;

impl TestCluster {
    pub fn new(model: sandbox::Cluster) -> Self {
        TestCluster {
            model,
            calls: Mutex::default(),
            crashed: Notify::new(),
            fence: Fence::none(),
            cut: Mutex::default(),
        }
    }

    /// Loses all requests that begin with one of these, from now on.
    pub fn cut(&self, requests: &[&'static str]) {
        *self.cut.lock().expect("nobody panics while holding it") = requests.to_vec();
    }

    fn is_cut(&self, what: &str) -> bool {
        self.cut.lock().expect("nobody panics while holding it").iter().any(|begin| what.starts_with(begin))
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().expect("nobody panics while holding it")
    }

    /// Returns the calls since the last time, oldest first.
    pub fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.calls().log)
    }

    /// Returns the number of calls ever made.
    pub fn count(&self) -> usize {
        self.calls().count
    }

    /// Makes the call with that number, from 0, go wrong.
    pub fn fault_at(&self, number: usize, fault: Fault) {
        self.calls().faults.insert(number, fault);
    }

    /// Forbids a call, as the log writes it, from now on.
    pub fn deny(&self, call: &str) {
        self.calls().denied.insert(call.to_owned());
    }

    /// Lets nothing go wrong any more.
    pub fn calm(&self) {
        self.calls().faults.clear();
    }

    pub fn allow_all(&self) {
        self.calls().denied.clear();
    }

    /// Sets what is checked after every call.
    pub fn check(&self, check: impl Fn(&str) + Send + Sync + 'static) {
        self.calls().check = Some(Arc::new(check));
    }

    /// Sets what happens before every call, which is told by its number.
    pub fn before(&self, before: impl Fn(usize) + Send + Sync + 'static) {
        self.calls().before = Some(Arc::new(before));
    }

    /// Makes a call: logs it, lets it go wrong as planned.
    async fn call<T>(&self, what: String, answer: impl FnOnce() -> Result<T, ClusterError>) -> Result<T, ClusterError> {
        let (fault, check) = {
            let mut calls = self.calls();
            let number = calls.count;
            calls.count += 1;
            calls.log.push(what.clone());
            let denied = calls.denied.contains(&what).then_some(Fault::Denied);
            calls.before.iter().for_each(|before| before(number));
            (calls.faults.get(&number).copied().or(denied), calls.check.clone())
        };
        // A real request takes a moment: others come in between.
        tokio::task::yield_now().await;
        if self.is_cut(&what) {
            tokio::time::sleep(CLIENT_TIMEOUT).await;
            return Err(error(ErrorClass::Ambiguous, 0, "the API server did not answer"));
        }
        let changes = ["apply ", "delete ", "fields ", "write ", "event"].iter().any(|begin| what.starts_with(begin));
        if changes && !self.fence.is_open() {
            return Err(error(ErrorClass::Transient, 0, "not sent"));
        }
        let checked = |answer| {
            check.iter().for_each(|check| check(&what));
            answer
        };
        match fault {
            None => checked(answer()),
            Some(Fault::CrashBefore) => self.crash().await,
            Some(Fault::CrashAfter) => {
                drop(checked(answer()));
                self.crash().await
            }
            Some(Fault::LostReply) => {
                drop(checked(answer()));
                Err(error(ErrorClass::Ambiguous, 504, "the connection was lost"))
            }
            Some(Fault::LostRequest) => Err(error(ErrorClass::Ambiguous, 504, "the connection was lost")),
            Some(Fault::Busy) => Err(error(ErrorClass::Transient, 429, "too many requests")),
            Some(Fault::Denied) => Err(error(ErrorClass::Forbidden, 403, "forbidden by a test")),
        }
    }

    async fn crash<T>(&self) -> T {
        self.crashed.notify_one();
        std::future::pending().await
    }

    fn path(&self, id: &ObjectRef, api_version: Option<&str>) -> Result<String, ClusterError> {
        let path = self.model.path(&id.group, &id.kind, &id.namespace, &id.name);
        let path =
            path.ok_or_else(|| error(ErrorClass::NotServed, 404, &format!("{} is not served", GroupKind::of(id))))?;
        let Some(version) = api_version else { return Ok(path) };
        let rest = path.split('/').skip(if id.group.is_empty() { 3 } else { 4 }).collect::<Vec<_>>().join("/");
        Ok(if group_of(version).is_empty() {
            format!("/api/{version}/{rest}")
        } else {
            format!("/apis/{version}/{rest}")
        })
    }

    fn ask(&self, request: &Request) -> Result<Value, ClusterError> {
        let response = self.model.handle(request);
        if response.is_success() { Ok(response.body) } else { Err(refused(&response)) }
    }

    /// Opens a watch of the model.
    fn open(
        &self,
        kind: &GroupKind,
        namespace: &str,
        selectors: &[(&str, &str)],
    ) -> Result<BoxStream<'static, Result<WatchEvent, ClusterError>>, ClusterError> {
        let id = ObjectRef {
            group: kind.group.clone(),
            kind: kind.kind.clone(),
            namespace: namespace.to_owned(),
            name: String::new(),
        };
        let request = Request::get(&self.path(&id, None)?)
            .query("watch", "true")
            .query("allowWatchBookmarks", "true")
            .query("sendInitialEvents", "true")
            .query("resourceVersionMatch", "NotOlderThan");
        let request = selectors.iter().fold(request, |request, (name, value)| request.query(name, value));
        let watch = self.model.watch(&request).map_err(|response| refused(&response))?;
        let events = futures::stream::unfold((watch, false), |(mut watch, begun)| async move {
            if !begun {
                return Some((Ok(WatchEvent::Restarted), (watch, true)));
            }
            loop {
                let event = watch.next().await?;
                let id = identity(&event.object);
                let told = match event.kind {
                    EventKind::Added | EventKind::Modified => WatchEvent::Present(id, event.object),
                    EventKind::Deleted => WatchEvent::Absent(id),
                    EventKind::Bookmark if event.object["metadata"]["annotations"].is_object() => {
                        WatchEvent::Synchronized
                    }
                    EventKind::Bookmark => continue,
                    EventKind::Error => return None,
                };
                return Some((Ok(told), (watch, true)));
            }
        });
        Ok(Box::pin(events))
    }

    fn config_map(name: &str) -> String {
        format!("/api/v1/namespaces/{HOME}/configmaps/{name}")
    }
}

pub fn error(class: ErrorClass, code: u16, message: &str) -> ClusterError {
    ClusterError { class, code, message: message.to_owned() }
}

/// See the real edge: `kube::error`.
const IMMUTABLE: [&str; 4] = [
    "field is immutable",
    "updates to statefulset spec",
    "may not change once set",
    "can not be less than status.capacity",
];

/// Says what can be done about an answer, as the real edge does.
fn refused(response: &Response) -> ClusterError {
    let message = response.body["message"].as_str().unwrap_or_default().to_owned();
    let of_namespace = response.body["details"]["kind"] == "namespaces";
    let class = match response.code {
        403 | 404 if of_namespace || message.contains("being terminated") => ErrorClass::NamespaceUnavailable,
        401 | 403 => ErrorClass::Forbidden,
        404 | 410 => ErrorClass::Gone,
        409 => ErrorClass::Conflict,
        422 if IMMUTABLE.iter().any(|words| message.contains(words)) => ErrorClass::Immutable,
        429 | 500 | 503 => ErrorClass::Transient,
        504 => ErrorClass::Ambiguous,
        _ => ErrorClass::Rejected,
    };
    ClusterError { class, code: response.code, message }
}

fn identity(value: &Value) -> ObjectRef {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    ObjectRef {
        group: group_of(&text("/apiVersion")).to_owned(),
        kind: text("/kind"),
        namespace: text("/metadata/namespace"),
        name: text("/metadata/name"),
    }
}

impl Cluster for TestCluster {
    async fn apply(&self, apply: Apply) -> Result<Observed, ClusterError> {
        self.call(format!("apply {}", apply.id), || {
            let path = self.path(&apply.id, Some(&apply.api_version))?;
            let mut body = apply.body.clone();
            if let Some(uid) = &apply.uid {
                body["metadata"]["uid"] = json!(uid);
            }
            let request = Request::apply(&path, FIELD_MANAGER, body).query("force", "true");
            let applied = self.ask(&request).map_err(|error| {
                let about_uid = apply.uid.is_some()
                    && matches!(error.code, 404 | 409 | 422)
                    && error.message.contains("uid")
                    && error.class != ErrorClass::Immutable;
                if about_uid { ClusterError { class: ErrorClass::Gone, ..error } } else { error }
            })?;
            Ok(observed(&applied))
        })
        .await
    }

    async fn take_fields(&self, id: &ObjectRef, patch: Value) -> Result<(), ClusterError> {
        self.call(format!("fields {id}"), || {
            let request = Request::merge_patch(&self.path(id, None)?, patch).query("fieldManager", FIELD_MANAGER);
            self.ask(&request).map(drop)
        })
        .await
    }

    async fn delete(&self, id: &ObjectRef, uid: &str) -> Result<Deletion, ClusterError> {
        self.call(format!("delete {id}"), || {
            let path = self.path(id, None)?;
            let body = json!({"preconditions": {"uid": uid}, "propagationPolicy": "Background"});
            self.ask(&Request { body, ..Request::delete(&path) })?;
            let left = self.model.object(&id.group, &id.kind, &id.namespace, &id.name);
            Ok(if left.is_some() { Deletion::Terminating } else { Deletion::Gone })
        })
        .await
    }

    async fn get(&self, id: &ObjectRef) -> Result<Option<Value>, ClusterError> {
        self.call(format!("get {id}"), || match self.ask(&Request::get(&self.path(id, None)?)) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.class == ErrorClass::Gone => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    async fn list_owned(
        &self,
        kind: &GroupKind,
        environment: &str,
    ) -> Result<Vec<(ObjectRef, Observed)>, ClusterError> {
        self.call(format!("list {kind}"), || {
            let objects = self.model.objects(&kind.group, &kind.kind, "");
            let owned = |value: &&Value| value["metadata"]["labels"][LABEL_ENVIRONMENT] == environment;
            Ok(objects.iter().filter(owned).map(|value| (identity(value), observed(value))).collect())
        })
        .await
    }

    async fn watch_owned(
        &self,
        kind: &GroupKind,
        environment: &str,
    ) -> Result<BoxStream<'static, Result<WatchEvent, ClusterError>>, ClusterError> {
        let labels = format!("{LABEL_ENVIRONMENT}={environment}");
        self.call(format!("watch {kind}"), || self.open(kind, "", &[("labelSelector", &labels)])).await
    }

    async fn watch_metadata(
        &self,
        kind: &GroupKind,
        environment: &str,
    ) -> Result<BoxStream<'static, Result<WatchEvent, ClusterError>>, ClusterError> {
        let labels = format!("{LABEL_ENVIRONMENT}={environment}");
        let events = self
            .call(format!("watch metadata of {kind}"), || self.open(kind, "", &[("labelSelector", &labels)]))
            .await?;
        let events = events.map(|event| match event {
            Ok(WatchEvent::Present(id, value)) => Ok(WatchEvent::Present(id, json!({"metadata": value["metadata"]}))),
            other => other,
        });
        Ok(Box::pin(events))
    }

    async fn watch_around(
        &self,
        kind: &GroupKind,
        namespace: Option<&str>,
    ) -> Result<BoxStream<'static, Result<WatchEvent, ClusterError>>, ClusterError> {
        let fields: &[(&str, &str)] = if kind.kind == "Event" { &[("fieldSelector", "type!=Normal")] } else { &[] };
        let at = namespace.map(|namespace| format!(" in {namespace}")).unwrap_or_default();
        self.call(format!("watch {kind}{at}"), || self.open(kind, namespace.unwrap_or_default(), fields)).await
    }

    async fn events_of(&self, namespace: &str, uid: &str) -> Result<Vec<Value>, ClusterError> {
        self.call("events".to_owned(), || {
            let request = Request::get(&format!("/api/v1/namespaces/{namespace}/events"));
            let list = self.ask(&request.query("fieldSelector", &format!("involvedObject.uid={uid}")))?;
            Ok(list["items"].as_array().cloned().unwrap_or_default())
        })
        .await
    }

    async fn log(&self, tail: &LogTail) -> Result<String, ClusterError> {
        self.call(
            format!(
                "log {}/{} {}{}",
                tail.namespace,
                tail.pod,
                tail.container,
                if tail.previous { " previous" } else { "" }
            ),
            || {
                let request = Request::get(&format!("/api/v1/namespaces/{}/pods/{}/log", tail.namespace, tail.pod))
                    .query("container", &tail.container)
                    .query("tailLines", &tail.lines.to_string())
                    .query("previous", &tail.previous.to_string());
                let response = self.model.handle(&request);
                if !response.is_success() {
                    return Err(refused(&response));
                }
                Ok(response.body.as_str().unwrap_or_default().to_owned())
            },
        )
        .await
    }

    async fn say(&self, event: Value) -> Result<(), ClusterError> {
        self.call("event".to_owned(), || {
            let namespace = event["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
            self.ask(&Request::create(&format!("/api/v1/namespaces/{namespace}/events"), event)).map(drop)
        })
        .await
    }

    async fn is_served(&self, kind: &GroupKind) -> Result<bool, ClusterError> {
        self.call(format!("served {kind}"), || Ok(self.model.path(&kind.group, &kind.kind, "", "").is_some())).await
    }

    async fn list_state(&self, environment: &str) -> Result<Vec<StateObject>, ClusterError> {
        self.call("list state".to_owned(), || Ok(state_objects(&self.model, environment))).await
    }

    async fn write_state(&self, object: StateObject) -> Result<String, ClusterError> {
        self.call(format!("write {}", object.name), || {
            let mut body = json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": object.name, "namespace": HOME, "labels": object.labels},
                "data": object.data,
            });
            let request = match &object.resource_version {
                None => Request::create(&format!("/api/v1/namespaces/{HOME}/configmaps"), body),
                Some(version) => {
                    body["metadata"]["resourceVersion"] = json!(version);
                    Request::update(&Self::config_map(&object.name), body)
                }
            };
            let written = self.ask(&request)?;
            Ok(observed(&written).resource_version)
        })
        .await
    }

    async fn delete_state(&self, name: &str, resource_version: &str) -> Result<(), ClusterError> {
        self.call(format!("delete state {name}"), || {
            let body = json!({"preconditions": {"resourceVersion": resource_version}});
            self.ask(&Request { body, ..Request::delete(&Self::config_map(name)) }).map(drop)
        })
        .await
    }
}

impl Leases for TestCluster {
    async fn read_lease(&self, name: &str) -> Result<Option<Lease>, ClusterError> {
        self.call("get lease".to_owned(), || {
            let found = self.model.object("coordination.k8s.io", "Lease", HOME, name);
            Ok(found.map(|value| lease_of(name, &value)))
        })
        .await
    }

    async fn write_lease(&self, lease: Lease) -> Result<String, ClusterError> {
        self.call("put lease".to_owned(), || {
            let mut body = json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": lease.name, "namespace": HOME},
                "spec": {
                    "holderIdentity": lease.holder, "leaseDurationSeconds": lease.duration.as_secs(),
                    "leaseTransitions": lease.transitions,
                    "acquireTime": lease.acquired_at, "renewTime": lease.renewed_at,
                },
            });
            let collection = format!("/apis/coordination.k8s.io/v1/namespaces/{HOME}/leases");
            let request = match &lease.resource_version {
                None => Request::create(&collection, body),
                Some(version) => {
                    body["metadata"]["resourceVersion"] = json!(version);
                    Request::update(&format!("{collection}/{}", lease.name), body)
                }
            };
            Ok(observed(&self.ask(&request)?).resource_version)
        })
        .await
    }
}

fn lease_of(name: &str, value: &Value) -> Lease {
    let text = |name: &str| value["spec"][name].as_str().unwrap_or_default().to_owned();
    let number = |name: &str| value["spec"][name].as_u64().unwrap_or(0);
    Lease {
        name: name.to_owned(),
        holder: text("holderIdentity"),
        duration: Duration::from_secs(number("leaseDurationSeconds")),
        transitions: u32::try_from(number("leaseTransitions")).expect("few"),
        acquired_at: text("acquireTime"),
        renewed_at: text("renewTime"),
        resource_version: value["metadata"]["resourceVersion"].as_str().map(str::to_owned),
    }
}

/// Returns the ConfigMaps of the state as they are now; not a call.
pub fn state_objects(model: &sandbox::Cluster, environment: &str) -> Vec<StateObject> {
    let texts = |value: &Value| serde_json::from_value(value.clone()).unwrap_or_default();
    let maps = model.objects("", "ConfigMap", HOME);
    let ours = maps.iter().filter(|map| map["metadata"]["labels"][LABEL_ENVIRONMENT] == environment);
    ours.map(|map| StateObject {
        name: map["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
        labels: texts(&map["metadata"]["labels"]),
        data: texts(&map["data"]),
        resource_version: map["metadata"]["resourceVersion"].as_str().map(str::to_owned),
    })
    .collect()
}
