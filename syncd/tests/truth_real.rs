//! Waiting tells the truth on a real control plane too: what fails is told within seconds of its signal in the API, with its cause, and
//! what only takes its time is not.
//!
//! Needs `SYNCD_TEST_KUBECONFIG`, a control plane with the fake nodes of `conformance/kubernetes`; says that it did not run without.
//! Every scenario is a service in a namespace of its own, all of them in one cycle.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]
#![expect(clippy::disallowed_methods, reason = "a control plane has a clock of its own")]

#[path = "model/repo.rs"]
#[expect(dead_code, reason = "not everything that can go wrong does here")]
mod repo;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use manifest::index::{Entry, Sync};
use manifest::{Hash, Index, ObjectRef, yaml};
use serde_json::{Value, json};
use syncd::cluster::{Apply, Cluster, GroupKind, WatchEvent};
use syncd::config::Settings;
use syncd::cycle::{Clock, Context, Memory, Mode, Request, run};
use syncd::kube::{Connection, KubeCluster, Timeouts};
use syncd::report::{Event, Observer, Report, ServiceState};
use tokio::sync::watch;
use tokio::time::Instant;

use repo::{Files, TestRepo};

const ENVIRONMENT: &str = "truth";
const HOME: &str = "syncd";
const SOON: Duration = Duration::from_secs(5);

/// A service in the namespace of its name.
struct Scenario {
    name: &'static str,
    objects: Vec<Value>,
    sync: Sync,
}

fn scenario(name: &'static str, objects: Vec<Value>) -> Scenario {
    Scenario { name, objects, sync: Sync { timeout_seconds: 120, ..Sync::default() } }
}

/// Returns a Deployment of two replicas whose pods do what their annotations say.
fn deployment(annotations: &Value, pod: &Value) -> Value {
    let mut spec = json!({"containers": [{"name": "app", "image": "app:1"}]});
    spec.as_object_mut().unwrap().extend(pod.as_object().unwrap().clone());
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {
        "replicas": 2, "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}, "annotations": annotations}, "spec": spec}}})
}

fn behaves(behaviour: &str) -> Value {
    deployment(&json!({"fakenodes/behaviour": behaviour}), &json!({}))
}

fn files(scenarios: &[Scenario]) -> Files {
    let mut files = Files::new();
    let mut index = Index { environment: ENVIRONMENT.to_owned(), services: BTreeMap::new() };
    for scenario in scenarios {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": scenario.name}});
        let objects = scenario.objects.iter().cloned().map(|mut object| {
            object["metadata"]["namespace"] = json!(scenario.name);
            object
        });
        let documents: Vec<String> =
            std::iter::once(namespace).chain(objects).map(|object| yaml::write(&object)).collect();
        let text = documents.join("---\n");
        let entry = Entry {
            chart: "generic".to_owned(),
            content: Hash::of(text.as_bytes()),
            inputs: Hash::of(b"inputs"),
            objects: documents.len(),
            sync: scenario.sync.clone(),
            version: "1".to_owned(),
        };
        files.insert(Index::resources_path(ENVIRONMENT, scenario.name), text.into_bytes());
        index.services.insert(scenario.name.to_owned(), entry);
    }
    files.insert(Index::path(ENVIRONMENT), index.to_json().into_bytes());
    files
}

struct Now;

impl Clock for Now {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }
}

/// Notes when each service ended.
#[derive(Default)]
struct Ends(Mutex<BTreeMap<String, Instant>>);

impl Observer for Ends {
    fn observe(&self, event: &Event) {
        if let Event::ServiceFinished { service, .. } = event {
            self.0.lock().unwrap().insert(service.clone(), Instant::now());
        }
    }
}

/// Tells whether an object is the signal of the scenario in its namespace.
fn is_signal(object: &Value) -> bool {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let waits = text("/status/containerStatuses/0/state/waiting/reason");
    let runs = object.pointer("/status/containerStatuses/0/state/running").is_some();
    let has = |of: &str, status: &str| {
        let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
        conditions.into_iter().flatten().any(|condition| condition["type"] == of && condition["status"] == status)
    };
    match text("/metadata/namespace") {
        "image" => waits == "ImagePullBackOff",
        "crash" => waits == "CrashLoopBackOff",
        "missing" => waits == "CreateContainerConfigError",
        "memory" => waits == "CrashLoopBackOff",
        "quota" => object["kind"] == "ReplicaSet" && has("ReplicaFailure", "True"),
        "nowhere" => has("PodScheduled", "False"),
        "unready" => runs,
        "job" => object["kind"] == "Job" && (has("FailureTarget", "True") || has("Failed", "True")),
        _ => false,
    }
}

type Signals = Arc<Mutex<BTreeMap<String, Instant>>>;

/// Notes when the first signal of each namespace is in the API, for ever.
async fn listen(kube: &KubeCluster, kind: GroupKind, signals: Signals) {
    let mut events = kube.watch_around(&kind, None).await.unwrap();
    while let Some(event) = events.next().await {
        if let Ok(WatchEvent::Present(id, object)) = event
            && is_signal(&object)
        {
            signals.lock().unwrap().entry(id.namespace).or_insert_with(Instant::now);
        }
    }
}

fn kind(group: &str, kind: &str) -> GroupKind {
    GroupKind { group: group.to_owned(), kind: kind.to_owned() }
}

async fn cycle(repo: &TestRepo, kube: &KubeCluster, memory: &mut Memory, ends: &Ends) -> Report {
    let settings = Settings::new(ENVIRONMENT, HOME);
    let superseded = watch::Sender::new(false);
    let context = Context { clock: &Now, observer: ends, superseded: superseded.subscribe() };
    let request = Request { id: "01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned(), mode: Mode::Auto };
    run(repo, kube, &settings, memory, &request, &context).await
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_told_soon_and_what_takes_its_time_is_not() {
    let Some(kubeconfig) = std::env::var_os("SYNCD_TEST_KUBECONFIG") else {
        eprintln!("NOT RUN: SYNCD_TEST_KUBECONFIG names no control plane");
        return;
    };
    let connection = Connection { kubeconfig: Some(PathBuf::from(kubeconfig)), context: None };
    let kube = KubeCluster::connect(&connection, HOME, Timeouts::default(), Arc::new(|_| {})).await.unwrap();
    let home = ObjectRef {
        group: String::new(),
        kind: "Namespace".to_owned(),
        namespace: String::new(),
        name: HOME.to_owned(),
    };
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": HOME}});
    kube.apply(Apply { id: home, api_version: "v1".to_owned(), body, uid: None, dry_run: false }).await.unwrap();

    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}});
    let probed = json!({"containers": [{"name": "app", "image": "app:1", "readinessProbe": {"periodSeconds": 1, "failureThreshold": 2, "httpGet": {"path": "/", "port": 80}}}]});
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "migrate"}, "spec": {"backoffLimit": 1, "template": {
        "metadata": {"annotations": {"fakenodes/behaviour": "crash"}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "app", "image": "app:1"}]}}}});
    let nowhere = Sync { unschedulable_seconds: 0, timeout_seconds: 120, ..Sync::default() };
    let slow = |after: &str| deployment(&json!({"fakenodes/ready-after": after}), &probed);
    let scenarios = [
        scenario("image", vec![behaves("image-pull-error")]),
        scenario("crash", vec![behaves("crash")]),
        scenario("missing", vec![behaves("config-error")]),
        scenario("memory", vec![behaves("out-of-memory")]),
        scenario("quota", vec![quota, behaves("run")]),
        Scenario {
            sync: nowhere,
            ..scenario("nowhere", vec![deployment(&json!({}), &json!({"nodeSelector": {"no": "node"}}))])
        },
        scenario("unready", vec![deployment(&json!({"fakenodes/behaviour": "not-ready"}), &probed)]),
        scenario("job", vec![job]),
        scenario("drained", vec![deployment(&json!({"fakenodes/ready-after": "5s"}), &json!({}))]),
        scenario("slow", vec![slow("3s")]),
    ];
    let repo = TestRepo::default();
    let (mut memory, ends, signals) = (Memory::default(), Ends::default(), Signals::default());
    repo.commit(files(&scenarios));
    let ears = [kind("", "Pod"), kind("apps", "ReplicaSet"), kind("batch", "Job")]
        .map(|kind| listen(&kube, kind, Arc::clone(&signals)));
    let drain = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let mut pods = kube.watch_around(&kind("", "Pod"), Some("drained")).await.unwrap();
        while let Some(Ok(event)) = pods.next().await {
            match event {
                WatchEvent::Present(id, pod) => drop(kube.delete(&id, pod["metadata"]["uid"].as_str().unwrap()).await),
                WatchEvent::Synchronized => break,
                WatchEvent::Restarted | WatchEvent::Absent(_) => {}
            }
        }
        std::future::pending::<()>().await;
    };
    let report = tokio::select! {
        report = cycle(&repo, &kube, &mut memory, &ends) => report,
        _ = futures::future::join_all(ears) => unreachable!("watches do not end"),
        () = drain => unreachable!("it never ends"),
    };
    let expected = [
        ("image", "ImagePullBackOff", SOON),
        ("crash", "CrashLoopBackOff", SOON),
        ("missing", "CreateContainerConfigError", SOON),
        ("memory", "OOMKilled", SOON),
        ("quota", "FailedCreate", SOON),
        ("nowhere", "Unschedulable", SOON),
        // Two failures a second apart and one more are spared.
        ("unready", "ReadinessProbeFailed", Duration::from_millis(4500) + SOON),
        ("job", "Error", SOON),
    ];
    let (ends, signals) = (ends.0.lock().unwrap().clone(), signals.lock().unwrap().clone());
    for (name, reason, soon) in expected {
        let service = &report.services[name];
        assert_eq!(service.state, ServiceState::Failed, "{name}: {service:#?}");
        let cause = service.causes.first().unwrap_or_else(|| panic!("{name} has no cause: {service:#?}"));
        let late =
            ends[name].saturating_duration_since(*signals.get(name).unwrap_or_else(|| panic!("{name}: no signal")));
        println!("{name}: {} {:.2} s after its signal: {}", cause.reason, late.as_secs_f64(), cause.message);
        assert_eq!(cause.reason, reason, "{name}: {cause:#?}");
        assert!(late <= soon, "{name}: {late:?}");
        assert!(!service.error.as_deref().unwrap_or_default().contains("not ready after"), "{name}: {service:#?}");
    }
    for name in ["drained", "slow"] {
        assert_eq!(report.services[name].state, ServiceState::Synced, "{name}: {:#?}", report.services[name]);
        println!("{name}: ready after {:.1} s", report.services[name].seconds);
    }

    // A good revision after a crash loop is not blamed for the old pods.
    let mut fixed = scenarios;
    for scenario in &mut fixed {
        if scenario.name != "quota" && scenario.name != "job" {
            scenario.objects = vec![deployment(&json!({"fixed": "yes"}), &json!({}))];
        }
    }
    repo.commit(files(&fixed));
    let none = Ends::default();
    let report = cycle(&repo, &kube, &mut memory, &none).await;
    for name in ["image", "crash", "missing", "memory", "nowhere", "unready"] {
        assert_eq!(report.services[name].state, ServiceState::Synced, "{name}: {:#?}", report.services[name]);
        println!("{name}: mended in {:.1} s", report.services[name].seconds);
    }
}
