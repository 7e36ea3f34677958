//! A repository, a cluster, and a `syncd` between them, in virtual time.
//!
//! What is committed is written as [`crate::model::services`] says.

use std::collections::BTreeMap;
use std::time::Duration;

use manifest::ObjectRef;
use sandbox::Request as ModelRequest;
use serde_json::Value;
use syncd::cluster::{LABEL_ENVIRONMENT, LABEL_SERVICE};
use syncd::config::Settings;
use syncd::cycle::{Clock, Context, Memory, Mode, Request, run};
use syncd::repo::Revision;
use syncd::report::{CycleResult, Event, Observer, Report, ServiceState};
use syncd::state::{Reading, State, decode};
use syncd::suspension::Heard;
use tokio::sync::watch;

use crate::cluster::{HOME, TestCluster, state_objects};
use crate::model::repo::TestRepo;
pub use crate::model::services::{Service, files, id, manifest, service};
pub use crate::model::{ENVIRONMENT, without_hashes};

pub struct World {
    pub repo: TestRepo,
    pub cluster: TestCluster,
    pub settings: Settings,
    pub memory: Memory,
    pub events: Events,
    pub superseded: watch::Sender<bool>,
    /// What was heard of suspensions. There is no watch: a test tells it.
    pub heard: Heard,
    /// Looks at the cluster at every tick of the next cycles, with the time since the first.
    pub watchful: Option<Watchful>,
}

/// See [`World::watchful`].
pub type Watchful = Box<dyn FnMut(&sandbox::Cluster, Duration) + Send>;

/// Hears and keeps everything.
#[derive(Default)]
pub struct Events(std::sync::Mutex<Vec<Event>>);

impl Observer for Events {
    fn observe(&self, event: &Event) {
        self.0.lock().expect("nobody panics while holding it").push(event.clone());
    }
}

impl Events {
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.lock().expect("nobody panics while holding it"))
    }
}

/// The model's virtual time is the time of day.
struct ModelClock<'a>(&'a sandbox::Cluster);

impl Clock for ModelClock<'_> {
    fn now(&self) -> jiff::Timestamp {
        self.0.now()
    }
}

impl World {
    pub fn new() -> Self {
        let namespaces = vec!["n".to_owned(), "other".to_owned(), HOME.to_owned()];
        let model = sandbox::Cluster::new(sandbox::Settings {
            namespaces,
            history_max: 50_000,
            ..sandbox::Settings::default()
        });
        let mut settings = Settings::new(ENVIRONMENT, HOME);
        settings.concurrency = 4;
        World {
            repo: TestRepo::default(),
            cluster: TestCluster::new(model),
            settings,
            memory: Memory::default(),
            events: Events::default(),
            superseded: watch::Sender::new(false),
            heard: Heard::default(),
            watchful: None,
        }
    }

    pub fn commit(&self, services: &[Service]) -> Revision {
        self.repo.commit(files(services))
    }

    /// Runs a cycle to its end.
    pub async fn cycle(&mut self) -> Report {
        self.cycle_of(Mode::Auto).await.expect("no crash was planned")
    }

    /// Runs a cycle to its end, or to a crash that was planned.
    pub async fn cycle_of(&mut self, mode: Mode) -> Option<Report> {
        let clock = ModelClock(&self.cluster.model);
        let superseded = self.superseded.subscribe();
        let context = Context { clock: &clock, observer: &self.events, superseded, heard: &self.heard };
        let request = Request { id: "01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned(), mode };
        let mut watchful = self.watchful.take();
        let time = async {
            let start = tokio::time::Instant::now();
            loop {
                tokio::time::sleep(TICK).await;
                self.cluster.model.advance(TICK);
                watchful.iter_mut().for_each(|watchful| watchful(&self.cluster.model, start.elapsed()));
            }
        };
        let report = tokio::select! {
            biased;
            () = self.cluster.crashed.notified() => None,
            report = run(&self.repo, &self.cluster, &self.settings, &mut self.memory, &request, &context) => Some(report),
            () = time => unreachable!("time does not end"),
        };
        if report.is_none() {
            self.memory = Memory::default();
        }
        report
    }

    /// Runs a cycle and expects it to sync everything.
    #[track_caller]
    pub fn synced(&mut self) -> impl Future<Output = Report> {
        let at = std::panic::Location::caller();
        async move {
            let report = self.cycle().await;
            assert!(report.result <= CycleResult::Synced, "{at}: {report:#?}");
            report
        }
    }

    /// Lets time pass.
    pub async fn wait(&self, time: Duration) {
        tokio::time::sleep(time).await;
        self.cluster.model.advance(time);
    }

    /// Returns the state as it is stored.
    pub fn state(&self) -> State {
        state(&self.cluster.model)
    }

    /// Returns all objects of a service, as the model has them, by its label.
    pub fn owned(&self) -> Vec<String> {
        owned(&self.cluster.model).into_iter().map(|(id, service, _)| format!("{service}: {id}")).collect()
    }

    /// Returns one object.
    pub fn object(&self, text: &str) -> Option<Value> {
        let id = id(text);
        self.cluster.model.object(&id.group, &id.kind, &id.namespace, &id.name)
    }

    pub fn uid(&self, text: &str) -> Option<String> {
        self.object(text).map(|object| object["metadata"]["uid"].as_str().expect("a uid").to_owned())
    }

    /// Does something to the cluster that is not `syncd`'s doing.
    pub fn somebody(&self, request: ModelRequest) -> Value {
        let response = self.cluster.model.handle(&request.agent("somebody"));
        assert!(response.is_success(), "{response:?}");
        response.body
    }

    /// Returns the path of an object.
    pub fn path(&self, text: &str) -> String {
        let id = id(text);
        self.cluster.model.path(&id.group, &id.kind, &id.namespace, &id.name).expect("a kind that is served")
    }

    /// Returns the calls that changed objects since the last time, without those on records.
    pub fn writes(&self) -> Vec<String> {
        let calls = self.cluster.take_calls();
        calls
            .into_iter()
            .filter(|call| {
                call.starts_with("apply ") || call.starts_with("delete ") && !call.starts_with("delete state")
            })
            .collect()
    }
}

/// How far time moves at once.
pub const TICK: Duration = Duration::from_millis(100);

/// Kinds that the tests use.
const KINDS: [(&str, &str); 14] = [
    ("", "ConfigMap"),
    ("", "Namespace"),
    ("", "Secret"),
    ("", "Service"),
    ("", "ServiceAccount"),
    ("", "PersistentVolumeClaim"),
    ("apps", "Deployment"),
    ("apps", "StatefulSet"),
    ("apps", "DaemonSet"),
    ("batch", "Job"),
    ("autoscaling", "HorizontalPodAutoscaler"),
    ("networking.k8s.io", "Ingress"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("example.org", "Widget"),
];

/// Returns every object with our owner label, with its service and uid, but the state.
pub fn owned(model: &sandbox::Cluster) -> Vec<(ObjectRef, String, String)> {
    let mut found = Vec::new();
    for (group, kind) in KINDS {
        for value in model.objects(group, kind, "") {
            let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            let labels = &value["metadata"]["labels"];
            let namespace = text("/metadata/namespace");
            if labels[LABEL_ENVIRONMENT] != ENVIRONMENT || (kind == "ConfigMap" && namespace == HOME) {
                continue;
            }
            let id = ObjectRef {
                group: group.into(),
                kind: kind.into(),
                namespace: namespace.into(),
                name: text("/metadata/name").into(),
            };
            found.push((id, labels[LABEL_SERVICE].as_str().unwrap_or_default().to_owned(), text("/metadata/uid")));
        }
    }
    found.sort();
    found
}

/// Returns the state as it is stored.
pub fn state(model: &sandbox::Cluster) -> State {
    decode(state_objects(model, ENVIRONMENT), ENVIRONMENT).expect("a root that can be read")
}

/// Returns how every service stands.
pub fn states(report: &Report) -> BTreeMap<&str, ServiceState> {
    report.services.iter().map(|(name, service)| (name.as_str(), service.state)).collect()
}

/// Returns the objects with our label that no record holds.
pub fn unrecorded(model: &sandbox::Cluster) -> Vec<String> {
    let state = state(model);
    let broken = state.services.iter().filter(|(_, reading)| matches!(reading, Reading::Unreadable { .. }));
    let broken: Vec<String> = broken.map(|(name, reading)| format!("record of {name}: {reading:?}")).collect();
    let held = |id: &ObjectRef, uid: &str| {
        let mut entries = state.records().filter_map(|(_, record)| record.held.get(id));
        entries.any(|held| held.uid.as_deref().is_none_or(|recorded| recorded == uid))
    };
    let lost = owned(model).into_iter().filter(|(id, _, uid)| !held(id, uid));
    broken.into_iter().chain(lost.map(|(id, service, _)| format!("{service}: {id}"))).collect()
}
