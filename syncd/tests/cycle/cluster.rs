//! The seam over the sandbox's model: every call is counted, and can be lost, denied, or be the last thing that a process does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use manifest::ObjectRef;
use serde_json::Value;
use syncd::cluster::{
    Apply, Cluster, ClusterError, Deletion, ErrorClass, GroupKind, Lease, Leases, LogTail, Observed, Page, StateObject,
};
use syncd::election::Fence;
use tokio::sync::Notify;

use crate::model::{self, Watching, error};
pub use crate::model::{HOME, list_state as state_objects};

/// How long the real client waits for an answer.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(30);

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
    /// Tells whether the watches of pods begin to tell something.
    pods: Mutex<Option<Begin>>,
}

type Begin = Arc<dyn Fn(&sandbox::Cluster) -> bool + Send + Sync>;

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
            pods: Mutex::default(),
        }
    }

    /// Lets the watches of pods tell nothing before the model is in a state, and half a second longer.
    pub fn tell_pods_after(&self, begin: impl Fn(&sandbox::Cluster) -> bool + Send + Sync + 'static) {
        *self.pods.lock().expect("nobody panics while holding it") = Some(Arc::new(begin));
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
}

impl Cluster for TestCluster {
    async fn apply(&self, apply: Apply) -> Result<Observed, ClusterError> {
        self.call(format!("apply {}", apply.id), || model::apply(&self.model, &apply)).await
    }

    async fn take_fields(&self, id: &ObjectRef, patch: Value) -> Result<(), ClusterError> {
        self.call(format!("fields {id}"), || model::take_fields(&self.model, id, patch)).await
    }

    async fn delete(&self, id: &ObjectRef, uid: &str, resource_version: &str) -> Result<Deletion, ClusterError> {
        self.call(format!("delete {id}"), || model::delete(&self.model, id, uid, resource_version)).await
    }

    async fn get(&self, id: &ObjectRef) -> Result<Option<Value>, ClusterError> {
        self.call(format!("get {id}"), || model::get(&self.model, id)).await
    }

    async fn list_owned(
        &self,
        kind: &GroupKind,
        environment: &str,
    ) -> Result<Vec<(ObjectRef, Observed)>, ClusterError> {
        self.call(format!("list {kind}"), || Ok(model::list_owned(&self.model, kind, environment))).await
    }

    async fn list_page(
        &self,
        kind: &GroupKind,
        namespace: Option<&str>,
        after: Option<&str>,
    ) -> Result<Page, ClusterError> {
        let at = namespace.map(|namespace| format!(" in {namespace}")).unwrap_or_default();
        let more = if after.is_some() { ", more" } else { "" };
        self.call(format!("page {kind}{at}{more}"), || model::list_page(&self.model, kind, namespace, after)).await
    }

    async fn kinds_in_namespaces(&self) -> Result<Vec<GroupKind>, ClusterError> {
        self.call("kinds".to_owned(), || model::kinds_in_namespaces(&self.model)).await
    }

    async fn watch_owned(
        &self,
        kind: &GroupKind,
        environment: &str,
        services: &[String],
    ) -> Result<Watching, ClusterError> {
        self.call(format!("watch {kind}"), || model::watch_owned(&self.model, kind, environment, services)).await
    }

    async fn watch_metadata(&self, kind: &GroupKind, environment: &str) -> Result<Watching, ClusterError> {
        let what = format!("watch metadata of {kind}");
        self.call(what, || model::watch_metadata(&self.model, kind, environment)).await
    }

    async fn watch_around(&self, kind: &GroupKind, namespace: Option<&str>) -> Result<Watching, ClusterError> {
        let at = namespace.map(|namespace| format!(" in {namespace}")).unwrap_or_default();
        let watch =
            self.call(format!("watch {kind}{at}"), || model::watch_around(&self.model, kind, namespace)).await?;
        let begin = self.pods.lock().expect("nobody panics while holding it").clone();
        let Some(begin) = begin.filter(|_| kind.kind == "Pod") else { return Ok(watch) };
        let model = self.model.clone();
        let late = async move {
            while !begin(&model) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
            watch
        };
        Ok(late.into_stream().flatten().boxed())
    }

    async fn watch_state(&self, name: &str) -> Result<Watching, ClusterError> {
        self.call(format!("watch {name}"), || model::watch_state(&self.model, name)).await
    }

    async fn events_of(&self, namespace: &str, uid: &str) -> Result<Vec<Value>, ClusterError> {
        self.call("events".to_owned(), || model::events_of(&self.model, namespace, uid)).await
    }

    async fn log(&self, tail: &LogTail) -> Result<String, ClusterError> {
        let previous = if tail.previous { " previous" } else { "" };
        let what = format!("log {}/{} {}{previous}", tail.namespace, tail.pod, tail.container);
        self.call(what, || model::log(&self.model, tail)).await
    }

    async fn say(&self, event: Value) -> Result<(), ClusterError> {
        self.call("event".to_owned(), || model::say(&self.model, event)).await
    }

    async fn is_served(&self, kind: &GroupKind) -> Result<bool, ClusterError> {
        self.call(format!("served {kind}"), || Ok(model::is_served(&self.model, kind))).await
    }

    async fn list_state(&self, environment: &str) -> Result<Vec<StateObject>, ClusterError> {
        self.call("list state".to_owned(), || Ok(model::list_state(&self.model, environment))).await
    }

    async fn write_state(&self, object: StateObject) -> Result<String, ClusterError> {
        self.call(format!("write {}", object.name), || model::write_state(&self.model, &object)).await
    }

    async fn delete_state(&self, name: &str, resource_version: &str) -> Result<(), ClusterError> {
        self.call(format!("delete state {name}"), || model::delete_state(&self.model, name, resource_version)).await
    }
}

impl Leases for TestCluster {
    async fn read_lease(&self, name: &str) -> Result<Option<Lease>, ClusterError> {
        self.call("get lease".to_owned(), || Ok(model::read_lease(&self.model, name))).await
    }

    async fn write_lease(&self, lease: Lease) -> Result<String, ClusterError> {
        self.call("put lease".to_owned(), || model::write_lease(&self.model, &lease)).await
    }
}
