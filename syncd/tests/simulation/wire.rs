//! The two seams as one process sees them: every call goes through the world.
//!
//! Decides nothing: it says what a call is about, and what it would do to the model. Invariant: a process that is dead or stands still makes
//! no call.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use futures::StreamExt;
use manifest::ObjectRef;
use serde_json::Value;
use syncd::cluster::{
    Apply, Cluster, ClusterError, Deletion, GroupKind, Lease, Leases, LogTail, Observed, Page, StateObject,
};
use syncd::election::Fence;
use syncd::repo::{CommitInfo, Lineage, Repo, RepoError, Revision};

use crate::model::{self, Watching};
use crate::truth::Deed;
use crate::world::Shared;

/// Where a process stands between the world and its code.
pub struct Station {
    pub name: String,
    pub fence: Fence,
    dead: AtomicBool,
    /// Whoever waits for it to go on.
    paused: Mutex<Option<Vec<Waker>>>,
    pub cut: AtomicBool,
}

impl Station {
    pub fn new(name: String, fence: Fence) -> Self {
        Station { name, fence, dead: AtomicBool::new(false), paused: Mutex::default(), cut: AtomicBool::new(false) }
    }

    pub fn die(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    pub fn pause(&self) {
        self.paused.lock().expect("whole").get_or_insert_default();
    }

    pub fn go_on(&self) {
        let waiting = self.paused.lock().expect("whole").take();
        waiting.into_iter().flatten().for_each(Waker::wake);
    }

    /// Polls what is inside only while the process runs.
    pub async fn running<T>(&self, inner: impl Future<Output = T>) -> T {
        let mut inner = std::pin::pin!(inner);
        std::future::poll_fn(|context| {
            if self.stands_still(context.waker()) { Poll::Pending } else { inner.as_mut().poll(context) }
        })
        .await
    }

    /// Waits until the process runs; a dead one never does.
    pub async fn alive(&self) {
        std::future::poll_fn(
            |context| if self.stands_still(context.waker()) { Poll::Pending } else { Poll::Ready(()) },
        )
        .await;
    }

    fn stands_still(&self, waker: &Waker) -> bool {
        let mut paused = self.paused.lock().expect("whole");
        if let Some(waiting) = &mut *paused {
            waiting.push(waker.clone());
            return true;
        }
        self.is_dead()
    }
}

/// What a call is.
pub struct What {
    pub text: String,
    /// API group that has to answer.
    pub group: String,
    pub deed: Option<Deed>,
    /// The object that is asked about.
    pub object: Option<ObjectRef>,
}

impl What {
    fn deed(text: String, deed: Deed) -> Self {
        let object = deed.object().cloned();
        let group = match &deed {
            Deed::Lease => "coordination.k8s.io".to_owned(),
            _ => object.as_ref().map(|id| id.group.clone()).unwrap_or_default().to_string(),
        };
        What { text, group, deed: Some(deed), object }
    }

    fn read(text: String, group: &str) -> Self {
        What { text, group: group.to_owned(), deed: None, object: None }
    }
}

/// The Kubernetes API, for one process.
pub struct Wire {
    pub world: Arc<Shared>,
    pub station: Arc<Station>,
}

impl Wire {
    async fn call<T: Send + 'static>(
        &self,
        what: What,
        act: impl FnOnce(&sandbox::Cluster) -> Result<T, ClusterError> + Send + 'static,
    ) -> Result<T, ClusterError> {
        self.world.call(&self.station, what, act).await
    }

    async fn watch(
        &self,
        what: String,
        kind: &GroupKind,
        act: impl FnOnce(&sandbox::Cluster) -> Result<Watching, ClusterError> + Send + 'static,
    ) -> Result<Watching, ClusterError> {
        let events = self.call(What::read(what, &kind.group), act).await?;
        // A broken connection ends it; the code above begins anew.
        let station = Arc::clone(&self.station);
        Ok(Box::pin(events.take_while(move |_| std::future::ready(!station.cut.load(Ordering::Relaxed)))))
    }
}

impl Cluster for Wire {
    async fn apply(&self, apply: Apply) -> Result<Observed, ClusterError> {
        let text = format!("apply {}{}", apply.id, if apply.uid.is_some() { "" } else { ", may create" });
        let what = What::deed(text, Deed::Apply(apply.clone()));
        self.call(what, move |model| model::apply(model, &apply)).await
    }

    async fn take_fields(&self, id: &ObjectRef, patch: Value) -> Result<(), ClusterError> {
        let (what, id) = (What::deed(format!("take fields of {id}"), Deed::Fields(id.clone())), id.clone());
        self.call(what, move |model| model::take_fields(model, &id, patch)).await
    }

    async fn delete(&self, id: &ObjectRef, uid: &str, resource_version: &str) -> Result<Deletion, ClusterError> {
        let what = What::deed(format!("delete {id}"), Deed::Delete(id.clone(), uid.to_owned()));
        let (id, uid, version) = (id.clone(), uid.to_owned(), resource_version.to_owned());
        self.call(what, move |model| model::delete(model, &id, &uid, &version)).await
    }

    async fn get(&self, id: &ObjectRef) -> Result<Option<Value>, ClusterError> {
        let what = What { object: Some(id.clone()), ..What::read(format!("get {id}"), &id.group) };
        let id = id.clone();
        self.call(what, move |model| model::get(model, &id)).await
    }

    async fn list_owned(
        &self,
        kind: &GroupKind,
        environment: &str,
    ) -> Result<Vec<(ObjectRef, Observed)>, ClusterError> {
        let what = What::read(format!("list {kind}"), &kind.group);
        let (kind, environment) = (kind.clone(), environment.to_owned());
        self.call(what, move |model| Ok(model::list_owned(model, &kind, &environment))).await
    }

    async fn list_page(
        &self,
        kind: &GroupKind,
        namespace: Option<&str>,
        after: Option<&str>,
    ) -> Result<Page, ClusterError> {
        let what = What::read(format!("list all {kind}"), &kind.group);
        let (kind, namespace, after) = (kind.clone(), namespace.map(str::to_owned), after.map(str::to_owned));
        self.call(what, move |model| model::list_page(model, &kind, namespace.as_deref(), after.as_deref())).await
    }

    async fn kinds_in_namespaces(&self) -> Result<Vec<GroupKind>, ClusterError> {
        self.call(What::read("discover kinds".to_owned(), ""), model::kinds_in_namespaces).await
    }

    async fn watch_owned(
        &self,
        kind: &GroupKind,
        environment: &str,
        services: &[String],
    ) -> Result<Watching, ClusterError> {
        let (of, environment, services) = (kind.clone(), environment.to_owned(), services.to_vec());
        let what = format!("watch {kind}");
        self.watch(what, kind, move |model| model::watch_owned(model, &of, &environment, &services)).await
    }

    async fn watch_metadata(&self, kind: &GroupKind, environment: &str) -> Result<Watching, ClusterError> {
        let (of, environment) = (kind.clone(), environment.to_owned());
        let what = format!("watch metadata of {kind}");
        self.watch(what, kind, move |model| model::watch_metadata(model, &of, &environment)).await
    }

    async fn watch_around(&self, kind: &GroupKind, namespace: Option<&str>) -> Result<Watching, ClusterError> {
        let (of, namespace) = (kind.clone(), namespace.map(str::to_owned));
        let what = format!("watch {kind} around");
        self.watch(what, kind, move |model| model::watch_around(model, &of, namespace.as_deref())).await
    }

    async fn watch_state(&self, name: &str) -> Result<Watching, ClusterError> {
        let of = name.to_owned();
        // Where nobody suspends anything it is no part of the history: no call, and nothing that goes wrong.
        if !self.world.suspends {
            return model::watch_state(&self.world.model, name);
        }
        let kind = GroupKind::new("", "ConfigMap");
        self.watch(format!("watch {name}"), &kind, move |model| model::watch_state(model, &of)).await
    }

    async fn events_of(&self, namespace: &str, uid: &str) -> Result<Vec<Value>, ClusterError> {
        let (namespace, uid) = (namespace.to_owned(), uid.to_owned());
        self.call(What::read("list events".to_owned(), ""), move |model| model::events_of(model, &namespace, &uid))
            .await
    }

    async fn log(&self, tail: &LogTail) -> Result<String, ClusterError> {
        let tail = tail.clone();
        self.call(What::read("read a log".to_owned(), ""), move |model| model::log(model, &tail)).await
    }

    async fn say(&self, event: Value) -> Result<(), ClusterError> {
        let what = What::deed("create an event".to_owned(), Deed::Say(event.clone()));
        self.call(what, move |model| model::say(model, event)).await
    }

    async fn is_served(&self, kind: &GroupKind) -> Result<bool, ClusterError> {
        let of = kind.clone();
        self.call(What::read(format!("is {kind} served"), ""), move |model| Ok(model::is_served(model, &of))).await
    }

    async fn list_state(&self, environment: &str) -> Result<Vec<StateObject>, ClusterError> {
        let environment = environment.to_owned();
        let what = What::read("list state".to_owned(), "");
        self.call(what, move |model| Ok(model::list_state(model, &environment))).await
    }

    async fn write_state(&self, object: StateObject) -> Result<String, ClusterError> {
        let what = What::deed(format!("write {}", object.name), Deed::Write(object.clone()));
        self.call(what, move |model| model::write_state(model, &object)).await
    }

    async fn delete_state(&self, name: &str, resource_version: &str) -> Result<(), ClusterError> {
        let what = What::deed(format!("remove {name}"), Deed::Forget(name.to_owned()));
        let (name, version) = (name.to_owned(), resource_version.to_owned());
        self.call(what, move |model| model::delete_state(model, &name, &version)).await
    }
}

impl Leases for Wire {
    async fn read_lease(&self, name: &str) -> Result<Option<Lease>, ClusterError> {
        let name = name.to_owned();
        let what = What::read("read the Lease".to_owned(), "coordination.k8s.io");
        self.call(what, move |model| Ok(model::read_lease(model, &name))).await
    }

    async fn write_lease(&self, lease: Lease) -> Result<String, ClusterError> {
        let what = What::deed("write the Lease".to_owned(), Deed::Lease);
        self.call(what, move |model| model::write_lease(model, &lease)).await
    }
}

/// The repository, for one process.
pub struct Clone {
    pub world: Arc<Shared>,
    pub station: Arc<Station>,
}

impl Clone {
    async fn ask<T>(&self, what: &str, answer: impl Future<Output = Result<T, RepoError>>) -> Result<T, RepoError> {
        match self.world.repository(&self.station, what).await {
            Some(takes) => tokio::time::sleep(takes).await,
            None => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                return Err(RepoError::Unreachable("nobody answers".to_owned()));
            }
        }
        self.station.alive().await;
        answer.await
    }
}

impl Repo for Clone {
    async fn tip(&self) -> Result<Revision, RepoError> {
        self.ask("tip", self.world.repo.tip()).await
    }

    async fn fetch(&self, revision: &Revision) -> Result<CommitInfo, RepoError> {
        self.ask("fetch", self.world.repo.fetch(revision)).await
    }

    async fn verify(&self, revision: &Revision) -> Result<(), RepoError> {
        self.world.repo.verify(revision).await
    }

    async fn lineage(&self, revision: &Revision, earlier: &Revision) -> Result<Lineage, RepoError> {
        let descends = std::future::ready(Ok(self.world.descends(revision, earlier)));
        let descends = self.ask("lineage", descends).await?;
        Ok(if descends { Lineage::Descends } else { Lineage::Rewritten })
    }

    async fn read(&self, revision: &Revision, paths: Vec<String>) -> Result<Vec<Option<Vec<u8>>>, RepoError> {
        self.ask("read files", self.world.repo.read(revision, paths)).await
    }
}
