//! The cluster that is measured on, and what sends to it without being `syncd`: the load generator whose rate is the limit.
//!
//! Counts requests by kind and the processor time of the servers. Invariant: nothing is ever sent but to loopback.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::fleet::{Fleet, path};
use crate::process::Usage;

/// Longest time that is given a cluster to rest: the controller of autoscalers never does.
const REST: Duration = Duration::from_secs(15);
/// Longest time in which nobody is to ask any more.
const QUIET: Duration = Duration::from_secs(300);

/// Requests by kind, such as `apply deployments`.
pub type Counts = BTreeMap<String, u64>;

/// The cluster.
pub struct Plane {
    pub kubeconfig: PathBuf,
    client: reqwest::Client,
    url: String,
    token: String,
    /// Processes that serve, by name.
    parts: Vec<(String, u32)>,
    sandbox: Option<(Child, tempfile::TempDir)>,
}

/// What a load generator saw.
pub struct Load {
    pub wall: f64,
    /// Processor time of this process.
    pub cpu: f64,
    pub failed: usize,
}

impl Plane {
    /// Opens the control plane that the environment names, else a fresh sandbox.
    pub async fn open() -> Plane {
        let kubeconfig = std::env::var_os("KUBECONFIG").map(PathBuf::from);
        let real = kubeconfig.zip(std::env::var_os("CONTROL_PLANE_DIR").map(PathBuf::from));
        let plane = match real {
            Some((kubeconfig, folder)) => Plane::at(kubeconfig, parts(&folder), None),
            None => Plane::sandbox().await,
        };
        plane.namespace("syncd").await;
        plane
    }

    /// Starts a sandbox, whatever the environment names.
    pub async fn sandbox() -> Plane {
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        let mut command = Command::new(std::env::current_exe().unwrap());
        let child = command.arg("sandbox").arg(&kubeconfig).stdin(Stdio::null()).spawn().unwrap();
        while std::fs::read_to_string(&kubeconfig).map_or(true, |text| text.is_empty()) {
            sleep(Duration::from_millis(5)).await;
        }
        let parts = vec![("sandbox".to_owned(), child.id())];
        let plane = Plane::at(kubeconfig, parts, Some((child, folder)));
        plane.namespace("syncd").await;
        plane
    }

    fn at(kubeconfig: PathBuf, parts: Vec<(String, u32)>, sandbox: Option<(Child, tempfile::TempDir)>) -> Plane {
        // Its own lines, as both write them: one cluster, one user, a token.
        let text = std::fs::read_to_string(&kubeconfig).unwrap();
        let field = |name: &str| {
            let value = text
                .lines()
                .find_map(|line| line.trim().trim_start_matches("- ").strip_prefix(name)?.strip_prefix(':'));
            value.map(|value| value.trim().trim_matches('"').to_owned())
        };
        let mut builder = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(1000);
        let decoded = |data| base64::Engine::decode(&base64::engine::general_purpose::STANDARD, data).unwrap();
        let authority = field("certificate-authority-data").map(decoded);
        let authority = authority.or_else(|| field("certificate-authority").map(|path| std::fs::read(path).unwrap()));
        if let Some(pem) = authority {
            builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(&pem).unwrap());
        }
        let (url, token) = (field("server").unwrap(), field("token").unwrap_or_default());
        let client = builder.build().unwrap();
        Plane { kubeconfig, client, url, token, parts, sandbox }
    }

    /// Says which one it is.
    pub fn name(&self) -> &'static str {
        if self.is_real() { "kube-apiserver and etcd" } else { "sandbox" }
    }

    pub fn is_real(&self) -> bool {
        self.sandbox.is_none()
    }

    /// Sends one request; returns its status and what came back.
    pub async fn send(&self, method: &str, path: &str, content_type: &str, body: Vec<u8>) -> (u16, Vec<u8>) {
        self.ask(method, path, content_type, "application/json", body).await
    }

    async fn ask(&self, method: &str, path: &str, content_type: &str, accept: &str, body: Vec<u8>) -> (u16, Vec<u8>) {
        let request = self.client.request(method.parse().unwrap(), format!("{}{path}", self.url));
        let request = request.bearer_auth(&self.token).header("content-type", content_type).header("accept", accept);
        match request.body(body).send().await {
            Ok(answer) => (answer.status().as_u16(), answer.bytes().await.unwrap_or_default().to_vec()),
            Err(error) => (0, error.to_string().into_bytes()),
        }
    }

    pub async fn get(&self, path: &str) -> (u16, Vec<u8>) {
        self.send("GET", path, "application/json", Vec::new()).await
    }

    /// Lists a collection to its end, in pages; returns how many objects there are and how many bytes came.
    pub async fn list(&self, path: &str, metadata_only: bool) -> (usize, usize) {
        let accept = match metadata_only {
            true => "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
            false => "application/json",
        };
        let (mut objects, mut bytes, mut next) = (0, 0, String::new());
        loop {
            let (_, body) =
                self.ask("GET", &format!("{path}?limit=500{next}"), "application/json", accept, Vec::new()).await;
            let page: Value = serde_json::from_slice(&body).unwrap_or_default();
            objects += page["items"].as_array().map_or(0, Vec::len);
            bytes += body.len();
            match page["metadata"]["continue"].as_str().filter(|token| !token.is_empty()) {
                Some(token) => next = format!("&continue={token}"),
                None => return (objects, bytes),
            }
        }
    }

    pub async fn namespace(&self, name: &str) {
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        self.send("POST", "/api/v1/namespaces", "application/json", body.to_string().into_bytes()).await;
    }

    /// Makes the namespaces of a fleet.
    pub async fn prepare(&self, fleet: &Fleet) {
        for name in fleet.namespaces() {
            self.namespace(&name).await;
        }
    }

    /// The load generator: applies every object of a fleet once, with so many requests under way, and does nothing else.
    pub async fn load(&self, fleet: &Fleet, concurrency: usize, dry_run: bool) -> Load {
        let dry_run = if dry_run { "&dryRun=All" } else { "" };
        let bodies: Vec<(String, Vec<u8>)> = (0..fleet.services())
            .flat_map(|number| fleet.objects(number))
            .map(|object| {
                let query = format!("?fieldManager=load&force=true&fieldValidation=Strict{dry_run}");
                (format!("{}{query}", path(&object, false)), object.to_string().into_bytes())
            })
            .collect();
        self.fire(&bodies, concurrency).await
    }

    /// Sends patches, so many at the same time.
    pub async fn fire(&self, bodies: &[(String, Vec<u8>)], concurrency: usize) -> Load {
        let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let before = Usage::of(std::process::id()).unwrap_or_default().cpu;
        let began = Instant::now();
        let workers = (0..concurrency).map(|_| async {
            while let Some((path, body)) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                let (code, answer) = self.send("PATCH", path, "application/apply-patch+yaml", body.clone()).await;
                if !(200..300).contains(&code) && failed.fetch_add(1, Ordering::Relaxed) == 0 {
                    eprintln!("{path}: {code} {}", String::from_utf8_lossy(&answer));
                }
            }
        });
        futures::future::join_all(workers).await;
        let wall = began.elapsed().as_secs_f64();
        let cpu = Usage::of(std::process::id()).unwrap_or_default().cpu - before;
        Load { wall, cpu, failed: failed.into_inner() }
    }

    /// Removes what a fleet left, and `syncd`'s records, and waits until nothing is to be done any more.
    pub async fn clean(&self, fleet: &Fleet) {
        let mut collections: Vec<String> = Vec::new();
        for namespace in fleet.namespaces() {
            for (api, plural) in [
                ("apis/autoscaling/v2", "horizontalpodautoscalers"),
                ("apis/apps/v1", "deployments"),
                ("api/v1", "services"),
                ("api/v1", "configmaps"),
                ("api/v1", "events"),
            ] {
                collections.push(format!("/{api}/namespaces/{namespace}/{plural}"));
            }
        }
        collections.push("/api/v1/namespaces/syncd/configmaps".to_owned());
        for collection in &collections {
            let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"});
            self.send("DELETE", collection, "application/json", options.to_string().into_bytes()).await;
        }
        self.rest().await;
    }

    /// Waits until the servers have little to do.
    pub async fn rest(&self) {
        let begun = Instant::now();
        let mut before = self.cpu();
        while begun.elapsed() < REST {
            sleep(Duration::from_secs(1)).await;
            let now = self.cpu();
            if now - before < 0.12 {
                return;
            }
            before = now;
        }
    }

    /// Waits until nobody asks anything any more: after a start, watches list what there is. Returns the seconds.
    pub async fn quiet(&self) -> f64 {
        let begun = Instant::now();
        while begun.elapsed() < QUIET {
            let from = self.count_from().await;
            sleep(Duration::from_secs(2)).await;
            if self.counted(&from).await.is_empty() {
                break;
            }
        }
        begun.elapsed().as_secs_f64()
    }

    /// Returns the processor time of all servers so far, in seconds.
    pub fn cpu(&self) -> f64 {
        self.parts.iter().filter_map(|(_, pid)| Usage::of(*pid)).map(|usage| usage.cpu).sum()
    }

    /// Returns that of those that answer requests.
    pub fn cpu_of_api(&self) -> f64 {
        let api = |name: &str| matches!(name, "KUBE_APISERVER" | "ETCD" | "sandbox");
        self.parts
            .iter()
            .filter(|(name, _)| api(name))
            .filter_map(|(_, pid)| Usage::of(*pid))
            .map(|usage| usage.cpu)
            .sum()
    }

    /// Returns the requests so far that may be `syncd`'s: of its kinds, by the verbs that nobody else uses for them.
    pub async fn counts(&self) -> Counts {
        let mut counts = Counts::new();
        let mut count = |what: String, number: u64| *counts.entry(what).or_default() += number;
        if !self.is_real() {
            let (_, body) = self.get("/sandbox/requests").await;
            let log: Value = serde_json::from_slice(&body).unwrap_or_default();
            for line in log["requests"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                let mut words = line.split(' ');
                let (verb, resource) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                let resource = resource.split('.').next().unwrap_or_default();
                if !resource.starts_with('/') {
                    count(format!("{verb} {resource}"), 1);
                }
            }
            return counts;
        }
        let (_, body) = self.get("/metrics").await;
        for line in String::from_utf8_lossy(&body).lines().filter(|line| line.starts_with("apiserver_request_total{")) {
            let label = |name: &str| {
                line.split_once(&format!("{name}=\"")).and_then(|(_, rest)| rest.split('"').next()).unwrap_or_default()
            };
            let (verb, resource, subresource) = (label("verb"), label("resource"), label("subresource"));
            let number = line.rsplit(' ').next().and_then(|number| number.parse::<f64>().ok()).unwrap_or_default();
            let verb = match verb {
                "APPLY" => "apply",
                "POST" => "create",
                "PUT" => "update",
                "LIST" => "list",
                "GET" => "get",
                "DELETE" => "delete",
                _ => continue,
            };
            let is_ours = matches!(resource, "configmaps" | "services" | "deployments" | "horizontalpodautoscalers");
            if is_ours && subresource.is_empty() {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
                count(format!("{verb} {resource}"), number as u64);
            }
        }
        counts
    }

    /// Forgets the requests so far, where that is possible; returns those from which to count.
    pub async fn count_from(&self) -> Counts {
        if self.is_real() {
            return self.counts().await;
        }
        self.send("DELETE", "/sandbox/requests", "application/json", Vec::new()).await;
        Counts::new()
    }

    /// Returns what was asked since.
    pub async fn counted(&self, from: &Counts) -> Counts {
        let now = self.counts().await;
        let since = |(what, number): (&String, &u64)| {
            let number = number - from.get(what).copied().unwrap_or_default();
            (number > 0).then(|| (what.clone(), number))
        };
        now.iter().filter_map(since).collect()
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.sandbox {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Reads which processes serve.
fn parts(folder: &Path) -> Vec<(String, u32)> {
    let text = std::fs::read_to_string(folder.join("env")).unwrap();
    let pid = |line: &str| {
        let (name, pid) = line.trim_start_matches("export ").split_once("_PID=")?;
        Some((name.to_owned(), pid.trim_matches(['\'', '"']).parse().ok()?))
    };
    text.lines().filter_map(pid).collect()
}

/// Serves a sandbox until it is killed.
pub async fn serve_sandbox(kubeconfig: &Path) {
    let cluster = sandbox::Cluster::new(sandbox::Settings {
        start: jiff::Timestamp::now(),
        namespaces: vec!["syncd".to_owned()],
        history_max: 500_000,
        ..sandbox::Settings::default()
    });
    let server = sandbox::http::serve(cluster, "127.0.0.1:0".parse().unwrap(), 1.0).await.unwrap();
    std::fs::write(kubeconfig, server.kubeconfig()).unwrap();
    std::future::pending::<()>().await;
}

/// Writes counts in one cell.
pub fn told(counts: &Counts) -> String {
    let total: u64 = counts.values().sum();
    let each: Vec<String> = counts.iter().map(|(what, number)| format!("{what} {number}")).collect();
    format!("{total}: {}", each.join(", "))
}
