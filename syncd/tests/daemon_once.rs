//! `syncd once` as a process: how it ends, and what it leaves behind.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

mod command_world;
mod git_repository;

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;

use command_world::{World, code, config_map, read, stage};

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
        assert_eq!(command_world::code(&output), 2, "{wrong:?}");
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
