//! A repository, one of the two clusters, and a `syncd` between them that talks to it over HTTP.
//!
//! A scenario commits, runs cycles, and does things to the cluster; everything that follows is written down. Environment and namespace are
//! named after the scenario, so that many of them share one control plane. Invariant: every request is told, those of each service in order,
//! its objects side by side as they are applied; but for discovery, watches, logs, the Lease and Events, whose number time decides.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};

use manifest::index::{Entry, Sync};
use manifest::{Hash, Index, Manifest, ObjectRef, yaml};
use sandbox::route::{Route, Target, route};
use serde_json::{Value, json};
use syncd::cluster::{Cluster, GroupKind};
use syncd::config::Settings;
use syncd::cycle::{Clock, Context, Memory, Mode, Request, run};
use syncd::kube::{Connection, KubeCluster, OnTraffic, RequestFact, Timeouts, Traffic};
use syncd::repo::Revision;
use syncd::report::{Observer, Report};
use syncd::state;
use syncd::suspension::Heard;
use tokio::process::Command;
use tokio::sync::watch;

use crate::git_repository::Repository;
use crate::plane::{self, Plane};
use crate::repo::{Files, TestRepo};
use crate::transcript::{Seen, Transcript};

/// One service of a commit.
#[derive(Clone)]
pub struct Service {
    pub name: String,
    pub objects: Vec<Value>,
    pub sync: Sync,
}

/// A service with objects.
pub fn service(name: &str, objects: &[Value]) -> Service {
    Service { name: name.to_owned(), objects: objects.to_vec(), sync: Sync::default() }
}

impl Service {
    pub fn sync(mut self, change: impl FnOnce(&mut Sync)) -> Self {
        change(&mut self.sync);
        self
    }
}

/// The time of day.
pub struct Now;

impl Clock for Now {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }
}

/// The requests that a `syncd` sent.
#[derive(Clone, Default)]
pub struct Requests(Arc<Mutex<Vec<Sent>>>);

/// How many requests a cycle sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub all: usize,
    pub applies: usize,
    pub deletes: usize,
    /// Writes of state.
    pub state: usize,
}

/// One request.
pub struct Sent {
    verb: &'static str,
    target: Target,
    dry_run: bool,
    code: u16,
}

impl Requests {
    pub fn listener(&self) -> OnTraffic {
        let noted = Arc::clone(&self.0);
        Arc::new(move |traffic: Traffic| {
            if let Traffic::Answered(fact) = &traffic {
                noted.lock().unwrap().extend(Sent::new(fact));
            }
        })
    }

    pub fn take(&self) -> Vec<Sent> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Sent {
    /// Reads a request, if it is one that scenarios tell.
    fn new(fact: &RequestFact) -> Option<Self> {
        let Route::Objects(target) = route(fact.uri.path()) else { return None };
        let is_untold = fact.verb == "watch"
            || ["events", "leases"].contains(&target.resource.as_str())
            || !target.subresource.is_empty();
        let asks = |what: &str| fact.uri.query().is_some_and(|query| query.contains(what));
        // What is around the objects that are waited for is listed where it is watched.
        if is_untold || fact.verb == "list" && !asks("labelSelector") {
            return None;
        }
        Some(Sent { verb: fact.verb, target, dry_run: asks("dryRun"), code: fact.code })
    }

    /// Returns the service that it is about, if that can be told.
    fn service<'a>(&'a self, objects: &'a BTreeMap<Target, String>, root: &str) -> &'a str {
        let known = objects.get(&key(&self.target));
        known.map_or_else(|| self.target.name.strip_prefix(root).unwrap_or_default(), String::as_str)
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sent { verb, target, dry_run, code } = self;
        let group = if target.group.is_empty() { String::new() } else { format!(".{}", target.group) };
        let place = match (target.namespace.as_str(), target.name.as_str()) {
            ("", "") => String::new(),
            ("", name) => format!(" {name}"),
            (namespace, "") => format!(" {namespace}/"),
            (namespace, name) => format!(" {namespace}/{name}"),
        };
        let dry = if *dry_run { " (dry run)" } else { "" };
        write!(f, "{verb} {}{group}{place}{dry} {code}", target.resource)
    }
}

/// Puts requests in the order of kinds, then of names, between two writes of state: objects of one stage are applied side by side.
fn object_by_object(sent: &[&Sent], home: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for run in sent.chunk_by(|a, b| (a.target.namespace == home) == (b.target.namespace == home)) {
        let mut run = run.to_vec();
        let mut kinds: Vec<&str> = run.iter().map(|sent| sent.target.resource.as_str()).collect();
        kinds.dedup();
        if run[0].target.namespace != home {
            let place = |sent: &&Sent| kinds.iter().position(|kind| *kind == sent.target.resource);
            run.sort_by(|a, b| (place(a), &a.target.name).cmp(&(place(b), &b.target.name)));
        }
        lines.extend(run.iter().map(ToString::to_string));
    }
    lines
}

/// Names an object whatever the version it is asked for in.
fn key(target: &Target) -> Target {
    Target { version: String::new(), subresource: String::new(), ..target.clone() }
}

pub struct World {
    pub plane: Plane,
    /// Environment, and namespace of its objects.
    pub name: String,
    pub repo: Arc<TestRepo>,
    pub settings: Settings,
    pub memory: Memory,
    /// Who hears what happens in a cycle.
    pub observer: Arc<dyn Observer>,
    /// Ends the waits of cycles.
    pub superseded: watch::Sender<bool>,
    /// What was heard of suspensions.
    pub heard: Heard,
    pub requests: Requests,
    counts: Counts,
    /// Whose the objects are that were ever committed.
    objects: BTreeMap<Target, String>,
    pub transcript: Transcript,
    pub is_skipped: bool,
    /// Custom kinds of the scenario: no other one asks for them, as they may not be served.
    pub custom: Vec<(&'static str, &'static str)>,
    /// `syncd`'s way to the cluster.
    pub kube: KubeCluster,
    /// The scenario's own.
    pub reader: KubeCluster,
}

impl World {
    /// Prepares a scenario: its namespaces exist, and nothing else.
    pub async fn new(plane: Plane, scenario: &str) -> Self {
        let name = scenario.replace('_', "-");
        let home = format!("syncd-{name}");
        for namespace in [&name, &home] {
            let id = ObjectRef { kind: "Namespace".into(), name: namespace.as_str().into(), ..nobody() };
            assert!(plane.get(&id).await.is_none(), "namespace {namespace} is there: a scenario needs a fresh cluster");
            let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            plane.apply("somebody", &object).await;
        }
        let requests = Requests::default();
        let kube = connect(&plane, &home, requests.listener()).await;
        let reader = connect(&plane, &home, Arc::new(|_| {})).await;
        let mut settings = Settings::new(&name, &home);
        // One at a time: then their order is the same twice.
        settings.concurrency = 1;
        World {
            plane,
            name: name.clone(),
            repo: Arc::default(),
            settings,
            memory: Memory::default(),
            observer: Arc::new(()),
            superseded: watch::Sender::new(false),
            heard: Heard::default(),
            requests,
            counts: Counts::default(),
            objects: BTreeMap::new(),
            transcript: Transcript::new(&name),
            is_skipped: false,
            custom: Vec::new(),
            kube,
            reader,
        }
    }

    /// Returns one more way of a `syncd` to the cluster; its requests are told too.
    pub async fn connect(&self) -> KubeCluster {
        connect(&self.plane, &self.settings.namespace, self.requests.listener()).await
    }

    /// Returns the files of a commit, as the generator lays them out.
    pub fn files(&self, services: &[Service]) -> Files {
        let mut files = Files::new();
        let mut index = Index { environment: self.name.clone(), services: BTreeMap::new() };
        for Service { name, objects, sync } in services {
            let text = yaml::write_documents(objects);
            let hash = Hash::of(text.as_bytes());
            let (chart, version) = ("none".into(), "1".into());
            let entry =
                Entry { chart, content: hash, inputs: hash, objects: objects.len(), sync: sync.clone(), version };
            files.insert(Index::resources_path(&self.name, name), text.into_bytes());
            index.services.insert(name.clone(), entry);
        }
        files.insert(Index::path(&self.name), index.to_json().into_bytes());
        files
    }

    /// Pushes a commit; tells its letter.
    pub fn commit(&mut self, services: &[Service]) -> Revision {
        for service in services {
            let targets = service.objects.iter().map(|object| plane::target(&id_of(object)));
            self.objects.extend(targets.map(|target| (target, service.name.clone())));
        }
        let revision = self.repo.commit(self.files(services));
        let letter = self.transcript.name_revision(&revision);
        self.transcript.line(&format!("pushed: {letter}"));
        revision
    }

    /// Pushes a commit to a real repository, for real processes; tells its letter.
    pub fn push(&mut self, repository: &Repository, services: &[Service]) -> String {
        let files = self.files(services);
        let text = |content: &Vec<u8>| String::from_utf8(content.clone()).unwrap();
        let files: Vec<(String, String)> = files.iter().map(|(path, content)| (path.clone(), text(content))).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let id = repository.commit("change", &files);
        let letter = self.transcript.name_revision(&Revision(id.clone()));
        self.transcript.line(&format!("pushed: {letter}"));
        id
    }

    /// Runs `syncd once` on a real repository, tells its exit code, and returns its report.
    pub async fn once(&mut self, repository: &Repository, arguments: &[&str]) -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_syncd"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.args(["once", "--report", "-", "--environment", &self.name, "--repository", &repository.url()]);
        command.args(["--namespace", &self.settings.namespace]).arg("--kubeconfig").arg(self.plane.kubeconfig());
        let output = command.args(arguments).output().await.unwrap();
        self.transcript.line(&format!("syncd once: exit code {}", output.status.code().unwrap()));
        let error = || String::from_utf8_lossy(&output.stderr).into_owned();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|why| panic!("no report: {why}: {}", error()))
    }

    /// Says that the scenario cannot be played here.
    pub fn skip(&mut self, reason: &str) {
        eprintln!("NOT RUN: {reason}");
        self.is_skipped = true;
    }

    /// Begins a part of the story.
    pub fn title(&mut self, text: &str) {
        self.transcript.title(text);
    }

    /// Runs a cycle and tells it: requests, report, cluster, records.
    pub async fn cycle(&mut self) -> Report {
        self.cycle_of(Mode::Auto).await
    }

    pub async fn cycle_of(&mut self, mode: Mode) -> Report {
        let report = self.quiet_cycle(mode).await;
        self.tell_requests();
        self.transcript.report(&report);
        self.look().await;
        report
    }

    /// Counts the requests of the last cycle that was told: all of them, applies, deletions and writes of state.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Tells the requests since the last time: what was listed, then service by service.
    pub fn tell_requests(&mut self) {
        let root = format!("{}-", state::root_name(&self.name));
        let sent = self.requests.take();
        let count = |of: &dyn Fn(&Sent) -> bool| sent.iter().filter(|sent| of(sent)).count();
        let is_state = |sent: &Sent| sent.target.namespace == self.settings.namespace;
        let writes = |sent: &Sent| !["get", "list"].contains(&sent.verb);
        self.counts = Counts {
            all: sent.len(),
            applies: count(&|sent| sent.verb == "apply" && !sent.dry_run),
            deletes: count(&|sent| sent.verb == "delete" && !is_state(sent)),
            state: count(&|sent| is_state(sent) && writes(sent)),
        };
        let (lists, others): (Vec<Sent>, Vec<Sent>) = sent.into_iter().partition(|sent| sent.verb == "list");
        let lists: BTreeSet<String> = lists.iter().map(ToString::to_string).collect();
        let mut services: BTreeMap<&str, Vec<&Sent>> = BTreeMap::new();
        for sent in &others {
            services.entry(sent.service(&self.objects, &root)).or_default().push(sent);
        }
        let services =
            services.into_iter().map(|(service, sent)| (service, object_by_object(&sent, &self.settings.namespace)));
        let with_name = |(service, lines): (&str, Vec<String>)| {
            let head = if service.is_empty() { String::new() } else { format!("{service}: ") };
            lines.into_iter().map(move |line| format!("{head}{line}"))
        };
        let lines: Vec<String> = lists.into_iter().chain(services.flat_map(with_name)).collect();
        self.transcript.requests(&lines);
    }

    /// Runs a cycle of which nothing is told.
    pub async fn quiet_cycle(&mut self, mode: Mode) -> Report {
        let mut memory = std::mem::take(&mut self.memory);
        let report = self.cycle_with(&mut memory, mode).await;
        self.memory = memory;
        report
    }

    /// Runs a cycle with a memory of the caller's, who may do something else meanwhile.
    pub async fn cycle_with(&self, memory: &mut Memory, mode: Mode) -> Report {
        let superseded = self.superseded.subscribe();
        let context = Context { clock: &Now, observer: &*self.observer, superseded, heard: &self.heard };
        let request = Request { id: "01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned(), mode };
        run(&*self.repo, &self.kube, &self.settings, memory, &request, &context).await
    }

    /// The process ends and starts again.
    pub async fn restart(&mut self) {
        self.transcript.line("syncd is started again");
        self.memory = Memory::default();
        self.kube = self.connect().await;
    }

    /// Tells what is in the cluster and in the records.
    pub async fn look(&mut self) {
        let mut seen = Vec::new();
        for (group, kind) in KINDS.into_iter().chain(self.custom.iter().copied()) {
            let kind = GroupKind::new(group, kind);
            for (id, observed) in self.reader.list_owned(&kind, &self.name).await.unwrap() {
                if id.namespace == self.settings.namespace {
                    continue;
                }
                // Between the two it may have gone.
                if let Some(value) = self.reader.get(&id).await.unwrap() {
                    seen.push(Seen { service: observed.service.unwrap_or_default().to_string(), id, value });
                }
            }
        }
        seen.sort_by(|a, b| (&a.service, &a.id).cmp(&(&b.service, &b.id)));
        self.transcript.cluster(&seen);
        match state::read(&self.reader, &self.name).await {
            Ok(state) => self.transcript.records(&state),
            Err(error) => self.transcript.line(&format!("records: {error}")),
        }
    }

    /// Approves with the real program, as a person does, and tells what it says.
    pub async fn approve(&mut self, what: &str) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_syncd"));
        command.env_clear().args(["approve", what, "--environment", &self.name]);
        command.args(["--namespace", &self.settings.namespace]).arg("--kubeconfig").arg(self.plane.kubeconfig());
        let output = command.output().await.unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        self.transcript.line(&format!(
            "syncd approve {what}: {} (exit code {})",
            text.trim(),
            output.status.code().unwrap()
        ));
    }

    /// Tells all of one object that others may have a hand in.
    pub async fn tell_object(&mut self, group: &str, kind: &str, name: &str) {
        let id = self.id(group, kind, name);
        let found = self.plane.get(&id).await;
        self.transcript.object(&id, found.as_ref());
    }

    /// Returns the object of this name in the scenario's namespace.
    pub fn id(&self, group: &str, kind: &str, name: &str) -> ObjectRef {
        let [group, kind, name] = [group, kind, name].map(str::to_owned);
        ObjectRef { group: group.into(), kind: kind.into(), namespace: self.name.as_str().into(), name: name.into() }
    }

    pub fn config_map(&self, name: &str, content: &str) -> Value {
        let metadata = json!({"name": name, "namespace": self.name});
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"content": content}})
    }

    /// Returns a Deployment of two replicas whose pods do what is said, on either cluster.
    pub fn deployment(&self, name: &str, behaviour: Behaviour, image: &str) -> Value {
        let template = template(name, behaviour, image);
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": self.name},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": template}})
    }

    pub fn service_object(&self, name: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": self.name},
            "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}})
    }

    pub fn ingress(&self, name: &str, host: &str) -> Value {
        let backend = json!({"service": {"name": name, "port": {"number": 80}}});
        let paths = json!([{"path": "/", "pathType": "Prefix", "backend": backend}]);
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name, "namespace": self.name},
            "spec": {"rules": [{"host": host, "http": {"paths": paths}}]}})
    }
}

async fn connect(plane: &Plane, home: &str, listener: OnTraffic) -> KubeCluster {
    let connection = Connection { kubeconfig: Some(plane.kubeconfig().to_owned()), context: None };
    KubeCluster::connect(&connection, home, Timeouts::default(), listener).await.unwrap()
}

/// What pods do. The two clusters are told by annotations of their own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    Run,
    NeverReady,
    CrashLoop,
    ImagePullError,
    ConfigError,
    OutOfMemory,
}

/// Returns a pod template.
pub fn template(app: &str, behaviour: Behaviour, image: &str) -> Value {
    let (sandbox, real) = match behaviour {
        Behaviour::Run => ("healthy", "run"),
        Behaviour::NeverReady => ("never-ready", "not-ready"),
        Behaviour::CrashLoop => ("crash-loop", "crash"),
        Behaviour::ImagePullError => ("image-pull-error", "image-pull-error"),
        Behaviour::ConfigError => ("config-error", "config-error"),
        Behaviour::OutOfMemory => ("out-of-memory", "out-of-memory"),
    };
    let annotations = json!({sandbox::ANNOTATION: sandbox, "fakenodes/behaviour": real});
    json!({"metadata": {"labels": {"app": app}, "annotations": annotations}, "spec": {"containers": [{"name": "app", "image": image}]}})
}

fn nobody() -> ObjectRef {
    ObjectRef { group: "".into(), kind: "".into(), namespace: "".into(), name: "".into() }
}

/// Returns the identity of an object.
pub fn id_of(object: &Value) -> ObjectRef {
    Manifest::from_value(object.clone()).unwrap().id
}

/// Kinds that scenarios use, beside their own.
const KINDS: [(&str, &str); 13] = [
    ("", "ConfigMap"),
    ("", "Namespace"),
    ("", "PersistentVolumeClaim"),
    ("", "Secret"),
    ("", "Service"),
    ("", "ServiceAccount"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("apps", "Deployment"),
    ("apps", "StatefulSet"),
    ("autoscaling", "HorizontalPodAutoscaler"),
    ("batch", "Job"),
    ("networking.k8s.io", "Ingress"),
    ("rbac.authorization.k8s.io", "RoleBinding"),
];
