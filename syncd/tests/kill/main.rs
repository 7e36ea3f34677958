//! `syncd once` is killed at its N-th request, before or after the API server has heard it, and started again.
//!
//! The real program, a real Git repository, the sandbox over HTTP with a proxy in front that counts requests. After every kill each
//! object with our owner label must be in a record; after the next run the cluster must hold exactly what the revision says.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]
#![expect(clippy::disallowed_methods, reason = "the proxy's requests must live on when the killed client's do not")]

mod eyes;
#[path = "../git_repository/mod.rs"]
mod git_repository;
mod matrix;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use manifest::index::{Entry, Sync};
use manifest::{Hash, Index, yaml};
use serde_json::{Value, json};
use syncd::kube::{Connection, KubeCluster, Timeouts};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::{Semaphore, watch};

use eyes::Eyes;
use git_repository::Repository;

const ENVIRONMENT: &str = "staging";

/// What each service of a revision wants.
type Revision = BTreeMap<&'static str, Vec<Value>>;

/// Sandboxes; each sees two kills, one in the first sync and one in a change.
const ROUNDS: u64 = 12;

/// When a client is killed, counted in its requests.
#[derive(Debug, Clone, Copy)]
struct Kill {
    request: usize,
    /// The API server has carried the request out, and the answer is lost. Otherwise the request is lost.
    heard: bool,
}

/// Forwards requests to the sandbox.
#[derive(Clone)]
struct Proxy {
    upstream: String,
    client: reqwest::Client,
    seen: Arc<AtomicUsize>,
    kill: Arc<Mutex<Option<Kill>>>,
    killed: Arc<watch::Sender<bool>>,
    /// One permit for each request that is under way, watches not counted.
    idle: Arc<Semaphore>,
}

const REQUESTS_MAX: usize = 1000;

async fn forward(State(proxy): State<Proxy>, request: Request) -> Response<Body> {
    let number = proxy.seen.fetch_add(1, Ordering::SeqCst) + 1;
    let kill = proxy.kill.lock().unwrap().filter(|kill| kill.request == number);
    if kill.is_some_and(|kill| !kill.heard) {
        proxy.killed.send_replace(true);
        std::future::pending::<()>().await;
    }
    // In a task of its own: what was sent happens, whether or not the client lives to hear of it.
    let (upstream, killed) = (proxy.clone(), Arc::clone(&proxy.killed));
    let response = tokio::spawn(send_on(upstream, request)).await.unwrap();
    if kill.is_some() {
        killed.send_replace(true);
        std::future::pending::<()>().await;
    }
    response
}

async fn send_on(proxy: Proxy, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let is_watch = parts.uri.query().is_some_and(|query| query.contains("watch=true"));
    let permit = if is_watch { None } else { Some(Arc::clone(&proxy.idle).acquire_owned().await.unwrap()) };
    let body = axum::body::to_bytes(body, 4 << 20).await.unwrap_or_default();
    let mut onward = proxy.client.request(parts.method, format!("{}{}", proxy.upstream, parts.uri));
    for name in ["accept", "content-type"] {
        if let Some(value) = parts.headers.get(name) {
            onward = onward.header(name, value);
        }
    }
    let answer = onward.body(body).send().await.unwrap();
    let mut response = Response::builder().status(answer.status());
    if let Some(value) = answer.headers().get("content-type") {
        response = response.header("content-type", value);
    }
    if is_watch {
        let chunks = futures::stream::unfold(answer, |mut answer| async {
            let chunk = answer.chunk().await.transpose()?;
            Some((chunk, answer))
        });
        return response.body(Body::from_stream(chunks)).unwrap();
    }
    let bytes = answer.bytes().await.unwrap();
    drop(permit);
    response.body(Body::from(bytes)).unwrap()
}

/// A sandbox with a proxy in front of it.
struct World {
    proxy: Proxy,
    kubeconfig: tempfile::NamedTempFile,
    /// Reads what is there, past the proxy.
    eyes: Eyes,
    server: sandbox::http::Server,
}

impl World {
    async fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let settings = sandbox::Settings { namespaces: vec!["syncd".to_owned()], ..sandbox::Settings::default() };
        let server =
            sandbox::http::serve(sandbox::Cluster::new(settings), "127.0.0.1:0".parse().unwrap(), 200.0).await.unwrap();
        let proxy = Proxy {
            upstream: server.url(),
            client: reqwest::Client::new(),
            seen: Arc::default(),
            kill: Arc::default(),
            killed: Arc::new(watch::channel(false).0),
            idle: Arc::new(Semaphore::new(REQUESTS_MAX)),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let kubeconfig = written(&sandbox::http::kubeconfig(&format!("http://{}", listener.local_addr().unwrap())));
        let router = Router::new().fallback(forward).with_state(proxy.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let direct = written(&server.kubeconfig());
        let connection = Connection { kubeconfig: Some(direct.path().to_owned()), context: None };
        let kube = KubeCluster::connect(&connection, "syncd", Timeouts::default(), Arc::new(|_| {})).await.unwrap();
        World { proxy, kubeconfig, eyes: Eyes(kube), server }
    }

    /// Runs `syncd once` at a branch. Returns its exit code, or nothing if it was killed.
    async fn once(&self, repository: &Repository, branch: &str, kill: Option<Kill>) -> Option<i32> {
        self.proxy.seen.store(0, Ordering::SeqCst);
        *self.proxy.kill.lock().unwrap() = kill;
        self.proxy.killed.send_replace(false);
        let mut killed = self.proxy.killed.subscribe();
        let mut command = Command::new(env!("CARGO_BIN_EXE_syncd"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.args([
            "once",
            "--environment",
            ENVIRONMENT,
            "--repository",
            &repository.url(),
            "--ref",
            branch,
            "--kubeconfig",
        ]);
        command.arg(self.kubeconfig.path()).kill_on_drop(true).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let output = async {
            let read = tokio::join!(
                tokio::io::AsyncReadExt::read_to_end(&mut stdout, &mut out),
                tokio::io::AsyncReadExt::read_to_end(&mut stderr, &mut err),
            );
            read.0.and(read.1).unwrap();
        };
        let end = tokio::select! {
            ((), status) = futures::future::join(output, child.wait()) => Some(status.unwrap()),
            _ = killed.wait_for(|killed| *killed) => None,
        };
        let Some(status) = end else {
            child.kill().await.unwrap();
            // What was under way arrives before anybody looks.
            let _ = self.proxy.idle.acquire_many(u32::try_from(REQUESTS_MAX).unwrap()).await.unwrap();
            return None;
        };
        let code = status.code();
        if code != Some(0) {
            println!("{}{}", String::from_utf8_lossy(&out), String::from_utf8_lossy(&err));
        }
        Some(code.unwrap_or(-1))
    }

    async fn assert_nothing_is_forgotten(&self, case: &str) {
        assert_eq!(self.eyes.forgotten().await.unwrap(), Vec::<String>::new(), "{case}");
    }

    async fn assert_is(&self, revision: &Revision, case: &str) {
        assert_eq!(self.eyes.differs(revision).await.unwrap(), None, "{case}");
    }
}

fn written(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn config_map(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop"}, "data": {"key": value}})
}

fn service(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"},
        "spec": {"ports": [{"name": "http", "port": 80, "protocol": "TCP"}], "selector": {"app": name}}})
}

fn deployment(name: &str, image: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "shop"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": image}]}}}})
}

/// What is there first.
fn one() -> Revision {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    BTreeMap::from([
        ("base", vec![namespace, config_map("base", "1")]),
        ("leaving", vec![config_map("leaving", "1"), service("leaving"), deployment("leaving", "leaving:1")]),
        ("web", vec![config_map("web", "1"), service("web"), deployment("web", "web:1")]),
        ("worker", vec![config_map("worker", "1"), config_map("moving", "1"), deployment("worker", "worker:1")]),
    ])
}

/// And then: changed, added, removed, moved from one service to another; a service that comes, and one that leaves.
fn two() -> Revision {
    let mut services = one();
    services.remove("leaving");
    services.insert("fresh", vec![config_map("fresh", "2"), deployment("fresh", "fresh:2")]);
    services.insert("web", vec![config_map("web", "2"), config_map("moving", "1"), deployment("web", "web:2")]);
    services
        .insert("worker", vec![config_map("worker", "1"), config_map("added", "2"), deployment("worker", "worker:1")]);
    services
}

/// Commits an environment, as the generator lays it out.
fn commit(repository: &Repository, branch: &str, services: &Revision) {
    let mut index = Index { environment: ENVIRONMENT.to_owned(), services: BTreeMap::new() };
    let mut files = Vec::new();
    for (name, objects) in services {
        let text = yaml::write_documents(objects);
        let sync = match *name {
            "base" => Sync { wave: -1, ..Sync::default() },
            "worker" => Sync { depends_on: vec!["web".to_owned()], ..Sync::default() },
            _ => Sync::default(),
        };
        let entry = Entry {
            chart: "none".into(),
            content: Hash::of(text.as_bytes()),
            inputs: Hash::of(text.as_bytes()),
            objects: objects.len(),
            sync,
            version: "1".into(),
        };
        index.services.insert((*name).to_owned(), entry);
        files.push((Index::resources_path(ENVIRONMENT, name), text));
    }
    files.push((Index::path(ENVIRONMENT), index.to_json()));
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let folder: PathBuf = repository.path().join(manifest::index::ROOT);
    if folder.exists() {
        std::fs::remove_dir_all(folder).unwrap();
    }
    repository.commit(branch, &files);
    repository.git(&["branch", "--force", branch]);
}

fn repository() -> Repository {
    let repository = Repository::new();
    commit(&repository, "one", &one());
    commit(&repository, "two", &two());
    repository
}

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

/// Runs without a kill, and tells how many requests each sync takes.
async fn requests(repository: &Repository) -> [usize; 2] {
    let world = World::new().await;
    let mut counts = [0; 2];
    for (branch, revision, count) in [("one", one(), 0), ("two", two(), 1)] {
        assert_eq!(world.once(repository, branch, None).await, Some(0), "{branch}");
        counts[count] = world.proxy.seen.load(Ordering::SeqCst);
        world.assert_is(&revision, branch).await;
    }
    world.server.stop().await;
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_sync_forgets_nothing_and_is_finished_by_the_next() {
    let repository = repository();
    let counts = requests(&repository).await;
    let mut dice = Dice(20_260_102);
    let mut kills = 0;
    for round in 0..ROUNDS {
        let world = World::new().await;
        for (branch, revision, count) in [("one", one(), counts[0]), ("two", two(), counts[1])] {
            let kill = Kill { request: 1 + dice.below(count), heard: dice.below(2) == 0 };
            let case = format!("round {round}, {branch}, {kill:?} of {count}");
            let end = world.once(&repository, branch, Some(kill)).await;
            kills += usize::from(end.is_none());
            assert!(matches!(end, None | Some(0)), "{case}: {end:?}");
            world.assert_nothing_is_forgotten(&case).await;
            assert_eq!(world.once(&repository, branch, None).await, Some(0), "{case}: the next run");
            world.assert_is(&revision, &case).await;
        }
        world.server.stop().await;
    }
    println!("{kills} kills; a first sync takes {} requests, the change {}", counts[0], counts[1]);
    assert!(kills >= 20, "only {kills} processes were really killed");
}
