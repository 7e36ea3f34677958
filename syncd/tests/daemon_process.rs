//! `syncd run` as a process: from its start to SIGTERM, over a real repository and the sandbox.
//!
//! Nothing is waited for by time: the test reads the log lines of the process and asks its pages.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

mod git_repository;
mod running_daemon;

use std::sync::Arc;

use manifest::ObjectRef;
use serde_json::{Value, json};
use syncd::cluster::{Apply, Cluster, Leases};
use syncd::kube::{Connection, KubeCluster, Timeouts};
use tokio::process::Command;

use git_repository::Repository;
use running_daemon::{Daemon, commit};

/// Adds up the counters of a name with a label.
fn sum(text: &str, name: &str, label: (&str, &str)) -> f64 {
    let scrape = prometheus_parse::Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).unwrap();
    let samples =
        scrape.samples.iter().filter(|sample| sample.metric == name && sample.labels.get(label.0) == Some(label.1));
    let values =
        samples.map(|sample| if let prometheus_parse::Value::Counter(value) = sample.value { value } else { 0.0 });
    values.sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_syncs_follows_rests_and_stops() {
    let repository = Repository::new();
    let first = commit(&repository, "one");
    let namespaces = ["shop", "syncd"].map(str::to_owned).to_vec();
    let sandbox = sandbox::Cluster::new(sandbox::Settings { namespaces, ..sandbox::Settings::default() });
    let server = sandbox::http::serve(sandbox.clone(), "127.0.0.1:0".parse().unwrap(), 100.0).await.unwrap();
    let kubeconfig = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(kubeconfig.path(), server.kubeconfig()).unwrap();
    let data = || sandbox.object("", "ConfigMap", "shop", "a").map(|map| map["data"]["key"].clone());

    let mut daemon = Daemon::start(&repository, kubeconfig.path().to_str().unwrap()).await;
    daemon.line(|line| line["message"] == "the service ended" && line["state"] == "synced").await;
    assert_eq!(data(), Some(json!("one")));
    daemon.page("/readyz", |text| text == "ok\n").await;
    assert_eq!(daemon.get("/healthz").await, (200, "ok\n".to_owned()));
    let status: Value = serde_json::from_str(&daemon.get("/api/v1/status").await.1).unwrap();
    assert_eq!((&status["revision"], &status["environment"]), (&json!(first), &json!("staging")));

    // The same for people, and by the command.
    let shows = |text: &str| text.starts_with("staging: ") && text.contains("app1     one      synced");
    daemon.page("/status", shows).await;
    let asked = async |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_syncd"));
        let output = command.arg("status").args(arguments).output().await.unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text, error) = asked(&["--address", &daemon.address]).await;
    assert_eq!((code, shows(&text), error.as_str()), (Some(0), true, ""), "{text}");
    let (code, json, _) = asked(&["--address", &daemon.address, "--output", "json"]).await;
    assert_eq!((code, &serde_json::from_str::<Value>(&json).unwrap()["revision"]), (Some(0), &json!(first)));
    let (code, out, error) = asked(&["--address", "127.0.0.1:1"]).await;
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(error.contains("there is no status at http://127.0.0.1:1"), "{error}");

    // Polls that find nothing new ask nothing of the cluster.
    let polls = |text: &str| sum(text, "syncd_source_poll_total", ("result", "ok"));
    let now = polls(&daemon.get("/metrics").await.1);
    daemon.page("/metrics", |text| polls(text) > now + 1.0).await;
    sandbox.take_requests();
    let now = polls(&daemon.get("/metrics").await.1);
    daemon.page("/metrics", |text| polls(text) > now + 3.0).await;
    let mut asked: Vec<String> = sandbox.take_requests().iter().map(ToString::to_string).collect();
    asked.retain(|request| !request.contains("/leases/"));
    assert_eq!(asked, Vec::<String>::new());

    let second = commit(&repository, "two");
    daemon.line(|line| line["message"] == "a new revision came" && line["revision"] == json!(second)).await;
    daemon.line(|line| line["message"] == "the service ended" && line["state"] == "synced").await;
    assert_eq!(data(), Some(json!("two")));
    let metrics = daemon.page("/metrics", |text| sum(text, "syncd_cycles_total", ("trigger", "changed")) == 1.0).await;
    assert_eq!(sum(&metrics, "syncd_apply_total", ("result", "created")), 1.0);
    assert_eq!(sum(&metrics, "syncd_apply_total", ("result", "configured")), 1.0);

    daemon.signal("TERM").await;
    daemon.line(|line| line["message"] == "syncd stopped").await;
    assert_eq!(daemon.child.wait().await.unwrap().code(), Some(0));
    server.stop().await;
}

/// Reads what the object of the service says.
async fn key(kube: &KubeCluster) -> Option<Value> {
    let found = kube.get(&object("ConfigMap", "shop", "a")).await.unwrap();
    found.map(|map| map["data"]["key"].clone())
}

fn object(kind: &str, namespace: &str, name: &str) -> ObjectRef {
    let [kind, namespace, name] = [kind, namespace, name].map(str::to_owned);
    ObjectRef { group: String::new(), kind, namespace, name }
}

/// Two processes: the leader is stopped, goes on too late, and leads again when the other one is asked to stop.
async fn two(kubeconfig: &str) {
    let repository = Repository::new();
    commit(&repository, "one");
    let connection = Connection { kubeconfig: Some(kubeconfig.into()), context: None };
    let kube = KubeCluster::connect(&connection, "syncd", Timeouts::default(), Arc::new(|_| {})).await.unwrap();
    for name in ["shop", "syncd"] {
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let id = object("Namespace", "", name);
        kube.apply(Apply { id, api_version: "v1".to_owned(), body, uid: None, dry_run: false }).await.unwrap();
    }
    let mut a = Daemon::start(&repository, kubeconfig).await;
    a.says("leads").await;
    a.synced().await;
    let mut b = Daemon::start(&repository, kubeconfig).await;
    b.says("stands by").await;
    b.page("/readyz", |text| text == "ok\n").await;
    assert!(b.get("/metrics").await.1.contains("syncd_leader{environment=\"staging\"} 0"));

    a.signal("STOP").await;
    commit(&repository, "two");
    b.says("leads: the Lease was not given back").await;
    b.synced().await;
    assert_eq!(key(&kube).await, Some(json!("two")));

    commit(&repository, "three");
    b.synced().await;
    a.signal("CONT").await;
    a.says("leads no longer").await;
    a.says("stands by").await;
    assert_eq!(key(&kube).await, Some(json!("three")), "who goes on too late changes nothing");
    assert!(a.get("/metrics").await.1.contains("syncd_leader{environment=\"staging\"} 0"));
    let lease = kube.read_lease("syncd-staging").await.unwrap().unwrap();
    assert_eq!(lease.transitions, 1);

    b.signal("TERM").await;
    b.says("syncd stopped").await;
    assert_eq!(b.child.wait().await.unwrap().code(), Some(0));
    commit(&repository, "four");
    a.says("leads").await;
    a.synced().await;
    assert_eq!(key(&kube).await, Some(json!("four")));
    let root = kube.get(&object("ConfigMap", "syncd", "syncd-staging")).await.unwrap().unwrap();
    let root: Value = serde_json::from_str(root["data"]["root.json"].as_str().unwrap()).unwrap();
    assert_eq!(root["epoch"], 3, "each leader has its own");

    a.child.kill().await.unwrap();
    commit(&repository, "five");
    let mut c = Daemon::start(&repository, kubeconfig).await;
    c.says("stands by").await;
    c.says("leads: the Lease was not given back").await;
    c.synced().await;
    assert_eq!(key(&kube).await, Some(json!("five")));
    c.signal("TERM").await;
    c.child.wait().await.unwrap();
    let lease = kube.read_lease("syncd-staging").await.unwrap().unwrap();
    assert_eq!(lease.holder, "", "who stops gives it back");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_one_leads() {
    let server = sandbox::Cluster::new(sandbox::Settings::default());
    let server = sandbox::http::serve(server, "127.0.0.1:0".parse().unwrap(), 100.0).await.unwrap();
    let kubeconfig = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(kubeconfig.path(), server.kubeconfig()).unwrap();
    two(kubeconfig.path().to_str().unwrap()).await;
    server.stop().await;
}

/// The same on a real control plane: `SYNCD_TEST_KUBECONFIG`. It says that it did not run without.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_one_leads_on_a_real_control_plane() {
    match std::env::var_os("SYNCD_TEST_KUBECONFIG") {
        Some(kubeconfig) => two(kubeconfig.to_str().unwrap()).await,
        None => eprintln!("NOT RUN: SYNCD_TEST_KUBECONFIG names no control plane"),
    }
}
