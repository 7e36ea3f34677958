//! `syncd run` as a process: started, heard by its log, asked by its pages.
//!
//! Nothing is waited for by time. Invariant: a process ends with the test that started it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use manifest::index::{Entry, Sync};
use manifest::{Hash, Index, yaml};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use crate::git_repository::Repository;

/// Commits `app1` of the environment `staging`: one ConfigMap in the namespace `shop`.
pub fn commit(repository: &Repository, value: &str) -> String {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop"}, "data": {"key": value}});
    commit_text(repository, value, &yaml::write_documents([&object]))
}

/// Commits `app1` with one object, in a version.
pub fn commit_text(repository: &Repository, version: &str, text: &str) -> String {
    let entry = Entry {
        chart: "none".into(),
        content: Hash::of(text.as_bytes()),
        inputs: Hash::of(text.as_bytes()),
        objects: 1,
        sync: Sync::default(),
        version: version.into(),
    };
    let index = Index { environment: "staging".to_owned(), services: BTreeMap::from([("app1".to_owned(), entry)]) };
    let json = index.to_json();
    let path = Index::resources_path("staging", "app1");
    repository.commit(version, &[(Index::path("staging").as_str(), json.as_str()), (path.as_str(), text)])
}

/// A process `syncd run` that polls every 20 ms.
pub struct Daemon {
    pub child: Child,
    log: Lines<BufReader<ChildStderr>>,
    pub address: String,
    client: reqwest::Client,
    /// The lines of its log that were read.
    pub heard: Vec<String>,
}

impl Daemon {
    /// Starts it for the environment `staging`. Returns when it runs.
    pub async fn start(repository: &Repository, kubeconfig: &str) -> Self {
        Daemon::start_for(repository, kubeconfig.as_ref(), ("staging", "syncd")).await
    }

    /// Starts it for an environment, with its state in a namespace. Returns when it runs.
    pub async fn start_for(repository: &Repository, kubeconfig: &Path, (environment, namespace): (&str, &str)) -> Self {
        let (url, kubeconfig) = (repository.url(), kubeconfig.to_str().unwrap());
        let variables =
            [("ENVIRONMENT", environment), ("NAMESPACE", namespace), ("REPOSITORY", &url), ("KUBECONFIG", kubeconfig)];
        Daemon::with(variables.map(|(name, value)| (format!("SYNCD_{name}"), value.to_owned()))).await
    }

    /// Starts one with these variables, and a quick pace. Returns when it runs.
    pub async fn with(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut command = Command::new(env!("CARGO_BIN_EXE_syncd"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).envs(variables);
        command.env("SYNCD_POLL_INTERVAL", "20ms").env("SYNCD_LISTEN", "127.0.0.1:0").env("SYNCD_LOG_FORMAT", "json");
        command.env("SYNCD_LEASE_DURATION", LEASE);
        let mut child = command.arg("run").kill_on_drop(true).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        let (address, client) = (String::new(), reqwest::Client::new());
        let mut daemon = Daemon { child, log, address, client, heard: Vec::new() };
        let started = daemon.line(|line| line["message"] == "syncd started").await;
        daemon.address = started["listen"].as_str().unwrap().to_owned();
        daemon
    }

    /// Reads the log until a line that fits.
    pub async fn line(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        while let Some(line) = self.log.next_line().await.unwrap() {
            let value: Value = serde_json::from_str(&line).expect("each line is one JSON object");
            self.heard.push(line);
            if fits(&value) {
                return value;
            }
        }
        panic!("the log ended:\n{}", self.heard.join("\n"));
    }

    pub async fn signal(&self, signal: &str) {
        let kill = format!("kill -{signal} {}", self.child.id().unwrap());
        assert!(Command::new("sh").args(["-c", &kill]).status().await.unwrap().success());
    }

    pub async fn synced(&mut self) {
        self.line(|line| line["message"] == "the service ended" && line["state"] == "synced").await;
    }

    pub async fn says(&mut self, message: &str) {
        self.line(|line| line["message"].as_str().is_some_and(|text| text.starts_with(message))).await;
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        let response = self.client.get(format!("http://{}{path}", self.address)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Asks a page until its text fits.
    pub async fn page(&self, path: &str, fits: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        for _ in 0..PAGE_TRIES_MAX {
            last = self.get(path).await.1;
            if fits(&last) {
                return last;
            }
        }
        panic!("{path} never showed what it should, but: {last}");
    }
}

/// Shorter than in production, and long enough for a machine that is busy with other tests.
const LEASE: &str = "5s";

/// A poll comes every 20 ms, and an answer takes longer than a hundredth of that.
const PAGE_TRIES_MAX: usize = 100_000;
