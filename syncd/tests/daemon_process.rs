//! `syncd run` as a process: from its start to SIGTERM, over a real repository and the sandbox.
//!
//! Nothing is waited for by time: the test reads the log lines of the process and asks its pages.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

mod git_repository;
#[expect(dead_code, reason = "who leads is looked at in the scenarios of `parity`")]
mod running_daemon;

use serde_json::{Value, json};
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
