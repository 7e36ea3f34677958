//! Drift on a real control plane: what `kubectl` does to objects of ours is taken back within two seconds, what a HorizontalPodAutoscaler does
//! is not, and who keeps fighting is named.
//!
//! Needs `SYNCD_TEST_KUBECONFIG`, a control plane of `conformance/kubernetes`, and `kubectl`; says that it did not run without.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]
#![expect(clippy::disallowed_methods, reason = "a control plane has a clock of its own")]

#[path = "model/repo.rs"]
#[expect(dead_code, reason = "not everything that can go wrong does here")]
mod repo;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use manifest::index::{Entry, Sync};
use manifest::{Hash, Index, ObjectRef, yaml};
use serde_json::{Value, json};
use syncd::cluster::{Apply, Cluster};
use syncd::config::Settings;
use syncd::cycle::Clock;
use syncd::daemon::{self, Listener, Pace, Reconciler};
use syncd::kube::{Connection, KubeCluster, Timeouts, Traffic};
use syncd::report::{DriftAction, Event, Observer, Report};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use ulid::Ulid;

use repo::{Files, Shared, TestRepo};

const NAME: &str = "drifting";
const HOME: &str = "syncd";
const SOON: Duration = Duration::from_secs(2);

struct Now;

impl Clock for Now {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }
}

/// What was told of drift.
#[derive(Default)]
struct Told(Mutex<Vec<(String, DriftAction)>>);

impl Observer for Told {
    fn observe(&self, event: &Event) {
        if let Event::Drift { object, what, action, .. } = event {
            self.0.lock().unwrap().push((format!("{object}: {what}"), *action));
        }
    }
}

impl Told {
    fn take(&self) -> Vec<(String, DriftAction)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

struct Deaf;

impl Listener for Deaf {
    fn beat(&self) {}

    fn last_event(&self) -> Option<Instant> {
        None
    }

    fn report(&self, _report: &Report) {}
}

/// Returns the commit; the Deployment says 2 replicas although the autoscaler of `scaled` wants at least 4.
fn files(image: &str) -> Files {
    let meta = |name: &str| json!({"name": name, "namespace": NAME});
    let deployment = |name: &str| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta(name), "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "app", "image": image}]}}}})
    };
    let objects = [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAME}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta("settings"), "data": {"content": "ours"}}),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": meta("secret"), "stringData": {"content": "ours"}}),
        deployment("web"),
        deployment("scaled"),
        json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": meta("scaled"), "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "scaled"},
            "minReplicas": 4, "maxReplicas": 8}}),
    ];
    let documents: Vec<String> = objects.iter().map(yaml::write).collect();
    let text = documents.join("---\n");
    let entry = Entry {
        chart: "generic".to_owned(),
        content: Hash::of(text.as_bytes()),
        inputs: Hash::of(b"inputs"),
        objects: documents.len(),
        sync: Sync::default(),
        version: "1".to_owned(),
    };
    let index = Index { environment: NAME.to_owned(), services: BTreeMap::from([("shop".to_owned(), entry)]) };
    let resources = (Index::resources_path(NAME, "shop"), text.into_bytes());
    [resources, (Index::path(NAME), index.to_json().into_bytes())].into_iter().collect()
}

fn id(group: &str, kind: &str, name: &str) -> ObjectRef {
    let namespace = if kind == "Namespace" { "" } else { NAME };
    ObjectRef { group: group.to_owned(), kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
}

/// Somebody at a terminal.
struct Somebody {
    kubeconfig: PathBuf,
    kube: Arc<KubeCluster>,
}

impl Somebody {
    async fn kubectl(&self, arguments: &[&str], editor: &'static str) {
        let kubeconfig = self.kubeconfig.clone();
        let words: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        let run = move || {
            let mut command = Command::new("kubectl");
            command.arg("--namespace").arg(NAME).args(words);
            command.env("KUBECONFIG", kubeconfig).env("KUBE_EDITOR", editor).output().unwrap()
        };
        let output = tokio::task::spawn_blocking(run).await.unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    async fn at(&self, id: &ObjectRef, pointer: &str) -> Value {
        let found = self.kube.get(id).await.unwrap();
        found.and_then(|object| object.pointer(pointer).cloned()).unwrap_or_default()
    }

    /// Waits until a field has a value; at most a minute. Returns how long it took.
    async fn until(&self, id: &ObjectRef, pointer: &str, so: impl Fn(&Value) -> bool) -> Duration {
        let begun = Instant::now();
        loop {
            let value = self.at(id, pointer).await;
            if so(&value) {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{id} {pointer} stays {value}");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kubectl_changes_is_taken_back_and_what_an_autoscaler_changes_is_not() {
    let kubeconfig = std::env::var_os("SYNCD_TEST_KUBECONFIG").map(PathBuf::from);
    let Some(kubeconfig) = kubeconfig.filter(|_| Command::new("kubectl").arg("help").output().is_ok()) else {
        eprintln!("NOT RUN: SYNCD_TEST_KUBECONFIG names no control plane, or there is no kubectl");
        return;
    };
    let connection = Connection { kubeconfig: Some(kubeconfig.clone()), context: None };
    let requests: Arc<Mutex<Vec<&'static str>>> = Arc::default();
    let noted = Arc::clone(&requests);
    let note = Arc::new(move |traffic: Traffic| {
        if let Traffic::Answered(fact) = traffic {
            noted.lock().unwrap().push(fact.verb);
        }
    });
    let theirs = KubeCluster::connect(&connection, HOME, Timeouts::default(), Arc::new(|_| {})).await.unwrap();
    let ours = KubeCluster::connect(&connection, HOME, Timeouts::default(), note).await.unwrap();
    let somebody = Somebody { kubeconfig, kube: Arc::new(theirs) };
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": HOME}});
    let home = Apply { id: id("", "Namespace", HOME), api_version: "v1".to_owned(), body, uid: None, dry_run: false };
    somebody.kube.apply(home).await.unwrap();

    let repo = TestRepo::default();
    repo.commit(files("app:1"));
    let repo = Arc::new(repo);
    let told = Arc::new(Told::default());
    let mut reconciler = Reconciler::new(
        Shared(Arc::clone(&repo)),
        ours,
        Settings::new(NAME, HOME),
        Arc::new(Now),
        Arc::<Told>::clone(&told),
    );
    let (tip, watches) = (reconciler.tip(), reconciler.watches());
    let (_stop, stopped) = watch::channel(false);
    let pace = Pace::default();
    let daemon = daemon::run(&mut reconciler, &*tip, &pace, &Deaf, Ulid::new, stopped);
    tokio::select! {
        () = daemon => panic!("it ended"),
        never = watches => match never {},
        () = story(&somebody, &repo, &told, &requests) => {}
    }
}

async fn story(somebody: &Somebody, repo: &TestRepo, told: &Told, requests: &Mutex<Vec<&'static str>>) {
    let (settings, web) = (id("", "ConfigMap", "settings"), id("apps", "Deployment", "web"));
    let scaled = id("apps", "Deployment", "scaled");
    let took = somebody.until(&scaled, "/spec/replicas", |replicas| *replicas == 4).await;
    println!("the autoscaler scaled from 2 to 4, {:.1} s after the start", took.as_secs_f64());
    sleep(Duration::from_secs(8)).await;
    assert_eq!(told.take(), [], "our own writes and the autoscaler's are no drift");

    requests.lock().unwrap().clear();
    sleep(Duration::from_secs(20)).await;
    assert_eq!(*requests.lock().unwrap(), Vec::<&str>::new(), "nothing changed");
    println!("requests in 20 s in which nothing changed: 0");

    let is_back = |took: Duration, what: &str| {
        println!("{what}: back {:.2} s after the command had ended", took.as_secs_f64());
        assert!(took <= SOON, "{what}: {took:?}");
    };
    somebody.kubectl(&["edit", "configmap", "settings"], "sed -i s/ours/theirs/").await;
    is_back(somebody.until(&settings, "/data/content", |content| content == "ours").await, "kubectl edit");
    somebody.kubectl(&["scale", "deployment", "web", "--replicas=5"], "").await;
    is_back(somebody.until(&web, "/spec/replicas", |replicas| *replicas == 2).await, "kubectl scale");
    somebody.kubectl(&["delete", "configmap", "settings"], "").await;
    is_back(somebody.until(&settings, "/data/content", |content| content == "ours").await, "kubectl delete configmap");
    somebody.kubectl(&["delete", "deployment", "web"], "").await;
    is_back(somebody.until(&web, "/spec/replicas", |replicas| *replicas == 2).await, "kubectl delete deployment");
    somebody.kubectl(&["label", "configmap", "settings", "syncd/environment-"], "").await;
    let label = "/metadata/labels/syncd~1environment";
    is_back(somebody.until(&settings, label, |label| label == NAME).await, "kubectl label");
    let secret = id("", "Secret", "secret");
    somebody.kubectl(&["patch", "secret", "secret", "-p", r#"{"data":{"content":"dGhlaXJz"}}"#], "").await;
    let text = "a Secret that was written as stringData";
    is_back(somebody.until(&secret, "/data/content", |content| content == "b3Vycw==").await, text);
    sleep(Duration::from_secs(3)).await;
    for (what, action) in told.take() {
        println!("told: {what}: {}", action.as_str());
        assert_eq!(action, DriftAction::Corrected);
    }

    assert_eq!(somebody.at(&scaled, "/spec/replicas").await, 4);
    repo.commit(files("app:2"));
    let image = "/spec/template/spec/containers/0/image";
    somebody.until(&scaled, image, |image| image == "app:2").await;
    assert_eq!(somebody.at(&scaled, "/spec/replicas").await, 4, "the manifest says 2, and is applied without them");
    println!("a new image was applied, and the autoscaler's replicas stayed 4");
    sleep(Duration::from_secs(5)).await;

    let begun = Instant::now();
    let backed_off = loop {
        let patch =
            ["patch", "configmap", "settings", "--field-manager=rival", "-p", r#"{"data":{"content":"rival"}}"#];
        somebody.kubectl(&patch, "").await;
        let found = told.take().into_iter().find(|(_, action)| matches!(action, DriftAction::BackedOff { .. }));
        if let Some(found) = found {
            break found;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "nobody noticed the fight");
        sleep(Duration::from_millis(300)).await;
    };
    println!("a fight was noticed after {:.1} s: {} {:?}", begun.elapsed().as_secs_f64(), backed_off.0, backed_off.1);
    assert_eq!(backed_off.0, format!("ConfigMap {NAME}/settings: data.content changed by `rival`"));
}
