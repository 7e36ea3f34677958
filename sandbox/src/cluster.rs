//! The cluster as one value: a handle that is cheap to clone, virtual time, and the way from a request to an answer.
//!
//! READ FIRST. A request is routed, may meet a fault, is served by `read`, `write` or `remove`, and is logged. Controllers do nothing until
//! time moves ([`Cluster::advance`]). Knows no sockets and no wall clock. Invariant: the same settings and the same calls in the same order
//! give the same answers, uids and versions, on any machine.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::Notify;

use crate::api::{Request, Response, Status};
use crate::controllers::Work;
use crate::discovery;
use crate::faults::Faults;
use crate::identity::Identities;
use crate::kinds::{Kind, Kinds};
use crate::log::{Entry, Log, Verb};
use crate::represent;
use crate::route::{Route, Target, route};
use crate::store::{ObjectKey, Store};
use crate::watch::{Watch, WatchLimits};

/// What a cluster is like.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// From which uids and generated names are drawn.
    pub seed: u64,
    /// When virtual time begins.
    pub start: Timestamp,
    /// Changes of every resource that are kept for watches; older ones answer 410.
    pub history_max: usize,
    /// Nodes, named `node-1` and so on.
    pub nodes: u32,
    /// Namespaces that exist beside `default` and the `kube-` ones.
    pub namespaces: Vec<String>,
    /// How long controllers take to see a change.
    pub reaction: Duration,
    /// How long a scheduled pod takes to be ready.
    pub pod_ready_after: Duration,
    /// How long a deleted pod takes to stop.
    pub pod_stop_after: Duration,
    /// How long the pod of a job runs.
    pub job_runs_for: Duration,
    /// How long a definition takes to be established.
    pub established_after: Duration,
    /// How long a deleted namespace waits before it is emptied; the real server's waits 5 s.
    pub namespace_emptied_after: Duration,
    /// The version the server says it is.
    pub server_version: String,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            seed: 0,
            start: Timestamp::from_second(1_767_225_600).expect("2026-01-01 is in range"),
            history_max: 5_000,
            nodes: 3,
            namespaces: Vec::new(),
            reaction: Duration::from_millis(10),
            pod_ready_after: Duration::from_millis(500),
            pod_stop_after: Duration::from_millis(200),
            job_runs_for: Duration::from_secs(1),
            established_after: Duration::from_millis(50),
            namespace_emptied_after: Duration::from_secs(1),
            server_version: "v1.35.4".to_owned(),
        }
    }
}

/// A cluster; clones are the same cluster.
#[derive(Clone)]
pub struct Cluster {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

/// Everything a cluster is.
pub(crate) struct State {
    pub settings: Settings,
    pub now: Timestamp,
    pub kinds: Kinds,
    pub store: Store,
    pub faults: Faults,
    pub log: Log,
    pub identities: Identities,
    pub work: Work,
    pub watches: WatchLimits,
    /// Counts what discovery serves, so that clients see it change.
    pub discovery_version: u64,
}

/// A request to objects whose kind is known.
pub(crate) struct Call<'a> {
    pub kind: Arc<Kind>,
    pub target: &'a Target,
    pub request: &'a Request,
}

impl Call<'_> {
    pub fn key(&self) -> ObjectKey {
        ObjectKey { resource: self.kind.id, namespace: self.target.namespace.clone(), name: self.target.name.clone() }
    }

    pub fn not_found(&self) -> Status {
        Status::not_found(self.kind.resource(), &self.target.name)
    }
}

impl Default for Cluster {
    fn default() -> Cluster {
        Cluster::new(Settings::default())
    }
}

impl Cluster {
    /// Returns a new cluster with its nodes and first namespaces.
    pub fn new(settings: Settings) -> Cluster {
        let mut state = State {
            now: settings.start,
            kinds: Kinds::default(),
            store: Store::new(settings.history_max),
            faults: Faults::default(),
            log: Log::default(),
            identities: Identities::new(settings.seed),
            work: Work::default(),
            watches: WatchLimits::default(),
            discovery_version: 1,
            settings,
        };
        state.bootstrap();
        Cluster { shared: Arc::new(Shared { state: Mutex::new(state), changed: Notify::new() }) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn changed(&self) -> &Notify {
        &self.shared.changed
    }

    /// Answers a request. A watch is refused here: it is no single answer, see [`Cluster::watch`].
    pub fn handle(&self, request: &Request) -> Response {
        let mut state = self.lock();
        let before = state.store.version();
        let response = state.serve(request);
        let has_changed = state.store.version() != before;
        drop(state);
        if has_changed {
            self.changed().notify_waiters();
        }
        response
    }

    /// Opens a watch on the collection, or the object, that the request names. Errors are answers to send as they are.
    pub fn watch(&self, request: &Request) -> Result<Watch, Box<Response>> {
        let mut state = self.lock();
        if let Route::Objects(target) = route(&request.path)
            && state.faults.is_down(&target.group)
        {
            let refused = Response::out_of_service();
            state.note(Verb::Watch, &target, request, refused.code);
            return Err(Box::new(refused));
        }
        let opened = state.open_watch(request);
        let code = opened.as_ref().map_or_else(|status| status.code, |_| 200);
        if let Route::Objects(target) = route(&request.path) {
            state.note(Verb::Watch, &target, request, code);
        }
        drop(state);
        match opened {
            Ok(opened) => Ok(Watch::new(self.clone(), opened)),
            Err(status) => Err(Box::new(Response::from(status))),
        }
    }

    /// Moves time forward; controllers do what is due until then.
    pub fn advance(&self, by: Duration) {
        let mut state = self.lock();
        let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
        let until = state.now.saturating_add(by).unwrap_or(Timestamp::MAX);
        let before = (state.store.version(), state.now.as_second());
        state.run_until(until);
        // Bookmarks and ends of watches are due by the second.
        let has_changed = before != (state.store.version(), state.now.as_second());
        drop(state);
        if has_changed {
            self.changed().notify_waiters();
        }
    }

    /// Moves time forward to where controllers have nothing more to do, at most by `limit`. Returns how far it went.
    pub fn settle(&self, limit: Duration) -> Duration {
        let mut state = self.lock();
        let start = state.now;
        let limit = start.saturating_add(SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX));
        let limit = limit.unwrap_or(Timestamp::MAX);
        while let Some(due) = state.next_due().filter(|due| *due <= limit) {
            let until = due.max(state.now);
            state.run_until(until);
        }
        let went = state.now.duration_since(start);
        drop(state);
        self.changed().notify_waiters();
        Duration::try_from(went).unwrap_or_default()
    }

    /// Returns when a controller has something to do next; `None` where nothing is pending.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.lock().next_due()
    }

    /// Returns the virtual time.
    pub fn now(&self) -> Timestamp {
        self.lock().now
    }

    /// Returns the version of the last write.
    pub fn version(&self) -> u64 {
        self.lock().store.version()
    }

    /// Returns an object by group, kind, namespace (empty for cluster-wide kinds) and name.
    pub fn object(&self, group: &str, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let state = self.lock();
        let resource = state.kinds.of_kind(group, kind)?.id;
        let key = ObjectKey { resource, namespace: namespace.to_owned(), name: name.to_owned() };
        state.store.get(&key).map(|object| Value::clone(object))
    }

    /// Lists the objects of a kind by namespace and name; in one namespace only where `namespace` is not empty.
    pub fn objects(&self, group: &str, kind: &str, namespace: &str) -> Vec<Value> {
        let state = self.lock();
        let Some(kind) = state.kinds.of_kind(group, kind) else { return Vec::new() };
        let Some(collection) = state.store.collection(kind.id) else { return Vec::new() };
        collection.list(namespace).map(|object| Value::clone(object)).collect()
    }

    /// Returns the path of an object of a kind, or of its collection where `name` is empty.
    pub fn path(&self, group: &str, kind: &str, namespace: &str, name: &str) -> Option<String> {
        self.lock().kinds.of_kind(group, kind).map(|kind| kind.path(namespace, name))
    }

    /// Lists the answered requests, oldest first.
    pub fn requests(&self) -> Vec<Entry> {
        self.lock().log.entries().cloned().collect()
    }

    /// Lists the answered requests and forgets them.
    pub fn take_requests(&self) -> Vec<Entry> {
        let mut state = self.lock();
        let entries = state.log.entries().cloned().collect();
        state.log.clear();
        entries
    }

    /// Returns the faults in force.
    pub fn faults(&self) -> Faults {
        self.lock().faults.clone()
    }

    /// Changes the faults in force.
    pub fn set_faults(&self, change: impl FnOnce(&mut Faults)) {
        let mut state = self.lock();
        change(&mut state.faults);
        state.discovery_version += 1;
        state.look_at_deleted();
    }

    /// Ends every open watch, as a restarted server does.
    pub fn drop_watches(&self) {
        self.lock().watches.drop_all();
        self.changed().notify_waiters();
    }

    /// Forgets all history: a watch from an older version is answered 410.
    pub fn compact(&self) {
        self.lock().store.compact();
    }
}

impl State {
    /// Answers a request and logs it.
    fn serve(&mut self, request: &Request) -> Response {
        match route(&request.path) {
            Route::Objects(target) => {
                let verb = verb_of(request, &target);
                let response = match verb {
                    Some(_) if self.faults.is_down(&target.group) => Response::out_of_service(),
                    Some(verb) => {
                        let answer = self.serve_objects(verb, &target, request);
                        answer.unwrap_or_else(|refused| refused.into_response())
                    }
                    None => Response::from(Status::method_not_allowed()),
                };
                self.note(verb.unwrap_or(Verb::Get), &target, request, response.code);
                response
            }
            other => {
                let response = if request.method == "GET" {
                    discovery::serve(self, &other, request)
                } else {
                    Response::from(Status::method_not_allowed())
                };
                let target = Target { resource: request.path.clone(), ..Target::default() };
                self.note(Verb::Get, &target, request, response.code);
                response
            }
        }
    }

    fn serve_objects(&mut self, verb: Verb, target: &Target, request: &Request) -> Result<Response, Refused> {
        let kind = self.resolve(target)?;
        if let Some(status) = self.faults.check(verb, target) {
            return Err(status.into());
        }
        request.check_content_type()?;
        let call = Call { kind, target, request };
        if request.flag("watch") && verb != Verb::Get {
            return Err(Status::bad_request("a watch is not answered as one body").into());
        }
        let response = match verb {
            Verb::Get => self.get(&call)?,
            Verb::List => self.list(&call)?,
            Verb::Watch => return Err(Status::bad_request("a watch is not answered as one body").into()),
            Verb::Create => self.create(&call)?,
            Verb::Update => self.update(&call)?,
            Verb::Apply => self.apply(&call)?,
            Verb::Patch => self.patch(&call)?,
            Verb::Delete => self.delete(&call)?,
            Verb::DeleteCollection => self.delete_collection(&call)?,
        };
        Ok(represent::shaped(self, &call, response)?)
    }

    /// Finds the kind a path names; unknown groups and versions are answered in plain text, as by the real server's router.
    pub fn resolve(&self, target: &Target) -> Result<Arc<Kind>, Refused> {
        match self.kinds.find(&target.group, &target.version, &target.resource) {
            Some(kind) if kind.namespaced || target.namespace.is_empty() => Ok(kind.clone()),
            Some(_) => Err(Status::no_resource().into()),
            None => {
                let is_known =
                    self.kinds.served().any(|kind| kind.group == target.group && kind.version == target.version);
                if is_known { Err(Status::no_resource().into()) } else { Err(Refused::PageNotFound) }
            }
        }
    }

    /// Logs an answered request.
    pub fn note(&mut self, verb: Verb, target: &Target, request: &Request, code: u16) {
        self.log.add(Entry {
            verb,
            group: target.group.clone(),
            resource: target.resource.clone(),
            namespace: target.namespace.clone(),
            name: target.name.clone(),
            subresource: target.subresource.clone(),
            manager: request.manager().to_owned(),
            user_agent: request.user_agent.clone(),
            dry_run: request.dry_run(),
            code,
        });
    }

    /// Returns the time as metadata has it: RFC 3339, whole seconds.
    pub fn now_text(&self) -> String {
        time_text(self.now)
    }
}

/// Writes a time as the API does: RFC 3339 in UTC, whole seconds.
pub(crate) fn time_text(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

/// Why a request to objects was not carried out.
pub(crate) enum Refused {
    /// The router knows no such path.
    PageNotFound,
    /// Anything else.
    Status(Status),
}

impl From<Status> for Refused {
    fn from(status: Status) -> Refused {
        Refused::Status(status)
    }
}

impl Refused {
    fn into_response(self) -> Response {
        match self {
            Refused::PageNotFound => Response::text(404, "404 page not found\n"),
            Refused::Status(status) => Response::from(status),
        }
    }
}

fn verb_of(request: &Request, target: &Target) -> Option<Verb> {
    let is_collection = target.name.is_empty();
    Some(match (request.method.as_str(), is_collection) {
        ("GET", true) => Verb::List,
        ("GET", false) => Verb::Get,
        ("POST", true) => Verb::Create,
        ("POST", false) if !target.subresource.is_empty() => Verb::Create,
        ("PUT", false) => Verb::Update,
        ("PATCH", false) if request.content_type.starts_with("application/apply-patch") => Verb::Apply,
        ("PATCH", false) => Verb::Patch,
        ("DELETE", false) => Verb::Delete,
        ("DELETE", true) => Verb::DeleteCollection,
        _ => return None,
    })
}
