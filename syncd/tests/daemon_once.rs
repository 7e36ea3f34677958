//! `syncd once` as a process: how it ends, and what it leaves behind.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

mod git_repository;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use manifest::index::{Entry, Sync};
use manifest::{Hash, Index, yaml};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;

use git_repository::Repository;

/// A repository, a sandbox, and where the report goes.
struct World {
    repository: Repository,
    sandbox: sandbox::Cluster,
    server: Option<sandbox::http::Server>,
    folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let namespaces = ["shop", "syncd"].map(str::to_owned).to_vec();
        let sandbox = sandbox::Cluster::new(sandbox::Settings { namespaces, ..sandbox::Settings::default() });
        let server = sandbox::http::serve(sandbox.clone(), "127.0.0.1:0".parse().unwrap(), 100.0).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("kubeconfig"), server.kubeconfig()).unwrap();
        World { repository: Repository::new(), sandbox, server: Some(server), folder }
    }

    /// Commits services with one object each, and an index that says what it likes.
    fn commit(&self, objects: &[(&str, Value)], change: impl FnOnce(&mut Index)) {
        let mut index = Index { environment: "staging".to_owned(), services: BTreeMap::new() };
        let mut files = Vec::new();
        for (service, object) in objects {
            let text = yaml::write_documents([object]);
            let hash = Hash::of(text.as_bytes());
            let (chart, version) = ("none".to_owned(), "1".to_owned());
            let entry = Entry { chart, content: hash, inputs: hash, objects: 1, sync: Sync::default(), version };
            index.services.insert((*service).to_owned(), entry);
            files.push((Index::resources_path("staging", service), text));
        }
        change(&mut index);
        files.push((Index::path("staging"), index.to_json()));
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        self.repository.commit("change", &files);
    }

    async fn stop(&mut self) {
        self.server.take().unwrap().stop().await;
    }

    fn report(&self) -> PathBuf {
        self.folder.path().join("report.json")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_syncd"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).kill_on_drop(true);
        command.args(["once", "--environment", "staging", "--repository", &self.repository.url(), "--kubeconfig"]);
        command.arg(self.folder.path().join("kubeconfig"));
        command
    }

    /// Runs it; returns the exit code and the report, which is there whatever happened.
    async fn once(&self, arguments: &[&str]) -> (i32, Value) {
        let _ = std::fs::remove_file(self.report());
        let output = self.command().arg("--report").arg(self.report()).args(arguments).output().await.unwrap();
        (code(&output), read(&self.report()))
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("killed: {}", String::from_utf8_lossy(&output.stderr)))
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop"}, "data": {"key": "1"}})
}

fn stage(report: &Value) -> &Value {
    &report["errors"][0]["stage"]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_end_has_its_code_and_its_report() {
    let mut world = World::new().await;
    let (code, report) = world.once(&[]).await;
    assert_eq!((code, stage(&report)), (3, &json!("source")), "an empty repository is no empty environment");

    world.commit(&[("app1", config_map("a"))], |_| {});
    let (code, report) = world.once(&[]).await;
    assert_eq!((code, &report["result"]), (0, &json!("synced")));
    assert_eq!(report["applied_resources"][0]["id"], "core/v1/ConfigMap/shop/a");

    world.sandbox.take_requests();
    let (code, report) = world.once(&[]).await;
    assert_eq!((code, &report["result"]), (0, &json!("unchanged")));
    assert!(world.sandbox.take_requests().iter().all(|entry| !entry.verb.is_write()));
    let (code, report) = world.once(&["--full"]).await;
    assert_eq!((code, report["applied_resources"].as_array().unwrap().len()), (0, 1));

    let mut wrong = config_map("b");
    wrong["dota"] = json!({});
    world.commit(&[("app1", config_map("a")), ("app2", wrong)], |_| {});
    let (code, report) = world.once(&[]).await;
    assert_eq!((code, &report["services"]["app2"]["state"]), (1, &json!("failed")));
    assert_eq!(report["services"]["app1"]["state"], "synced", "the other is not held up");

    world.commit(&[("app1", config_map("a"))], |_| {});
    assert_eq!(world.once(&[]).await.0, 0);
    world.commit(&[("app1", config_map("a"))], |index| index.environment = "production".to_owned());
    let (code, report) = world.once(&[]).await;
    assert_eq!((code, stage(&report)), (3, &json!("index")), "{report}");
    assert!(world.sandbox.object("", "ConfigMap", "shop", "a").is_some());

    world.stop().await;
    let before = report;
    let (code, report) = world.once(&[]).await;
    assert_ne!(before["id"], report["id"]);
    assert_eq!(code, 4, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_cannot_work_are_told_before_anything_is_done() {
    let mut world = World::new().await;
    world.commit(&[("app1", config_map("a"))], |_| {});
    let (code, report) = world.once(&["--ref", "a..b"]).await;
    assert_eq!((code, stage(&report)), (2, &json!("source")));
    let (code, report) = world.once(&["--context", "elsewhere"]).await;
    assert_eq!((code, stage(&report)), (2, &json!("live")));
    for wrong in
        [&["--concurrency", "0"][..], &["--password-file", "x"], &["--environment", "Staging"], &["--nonsense"]]
    {
        let output = world.command().args(wrong).output().await.unwrap();
        assert_eq!(self::code(&output), 2, "{wrong:?}");
    }
    assert_eq!(world.sandbox.take_requests().len(), 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_for_people_and_a_report_for_programs() {
    let mut world = World::new().await;
    world.commit(&[("app1", config_map("a"))], |_| {});
    let output = world.command().arg("--report").arg(world.report()).output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("SERVICE") && text.contains("created  "), "{text}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(world.report()).unwrap().permissions());
    assert_eq!(mode & 0o600, 0o600);
    let files = std::fs::read_dir(world.folder.path()).unwrap().count();
    assert_eq!(files, 2, "nothing half is left beside the report");
    let output = world.command().args(["--report", "-"]).output().await.unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["version"], "v1");
    let output = world.command().args(["--report", "/nowhere/at/all.json"]).output().await.unwrap();
    assert_eq!(code(&output), 2);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_stop_it_ends_its_waits_and_says_so() {
    let mut world = World::new().await;
    let template = json!({"metadata": {"labels": {"app": "a"}, "annotations": {"sandbox/behaviour": "never-ready"}},
        "spec": {"containers": [{"name": "main", "image": "a:1"}]}});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "namespace": "shop"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "a"}}, "template": template}});
    world.commit(&[("app1", deployment)], |_| {});
    let mut child = world
        .command()
        .arg("--report")
        .arg(world.report())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("an object was handled") {
        line.clear();
        assert_ne!(log.read_line(&mut line).await.unwrap(), 0, "the log ended");
    }
    let process = child.id().unwrap().to_string();
    assert!(Command::new("sh").args(["-c", &format!("kill -TERM {process}")]).status().await.unwrap().success());
    log.read_to_string(&mut line).await.unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(6), "{line}");
    let report = read(&world.report());
    assert_eq!(report["result"], "superseded");
    assert_eq!(report["applied_resources"].as_array().unwrap().len(), 1);
    world.stop().await;
}
