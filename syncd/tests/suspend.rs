//! `syncd suspend` and `syncd resume` as processes, beside a running `syncd` over the sandbox: what they say, what follows, and mistakes.
//!
//! Nothing is waited for by time: the test reads the log lines of the daemon and asks its pages.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

mod git_repository;
mod running_daemon;

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use tokio::process::Command;

use git_repository::Repository;
use running_daemon::{Daemon, commit};

async fn world() -> (sandbox::Cluster, sandbox::http::Server, tempfile::NamedTempFile) {
    let namespaces = ["shop", "syncd"].map(str::to_owned).to_vec();
    let sandbox = sandbox::Cluster::new(sandbox::Settings { namespaces, ..sandbox::Settings::default() });
    let server = sandbox::http::serve(sandbox.clone(), "127.0.0.1:0".parse().unwrap(), 100.0).await.unwrap();
    let kubeconfig = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(kubeconfig.path(), server.kubeconfig()).unwrap();
    (sandbox, server, kubeconfig)
}

/// Runs a command; returns exit code, standard output and standard error.
async fn syncd(kubeconfig: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_syncd"));
    command.env_clear().args(arguments).args(["--environment", "staging", "--kubeconfig"]).arg(kubeconfig);
    let Output { status, stdout, stderr } = command.output().await.unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// Marks times.
fn untimed(text: &str) -> String {
    let word = |word: &str| {
        let end = word.trim_end_matches([':', ',']);
        let is_time = end.parse::<jiff::Timestamp>().is_ok();
        if is_time { word.replace(end, "<time>") } else { word.to_owned() }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_suspended_shown_survives_a_restart_and_is_resumed() {
    let repository = Repository::new();
    commit(&repository, "one");
    let (sandbox, _server, kubeconfig) = world().await;
    let kubeconfig = kubeconfig.path();
    let data = || sandbox.object("", "ConfigMap", "shop", "a").unwrap()["data"]["key"].clone();
    let mut daemon = Daemon::start(&repository, kubeconfig.to_str().unwrap()).await;
    daemon.synced().await;

    assert_eq!(syncd(kubeconfig, &["suspend"]).await, (Some(0), "nothing is suspended\n".to_owned(), String::new()));
    let suspend = ["suspend", "--service", "app1", "--reason", " incident 7 ", "--for", "2h"];
    let (code, out, error) = syncd(kubeconfig, &suspend).await;
    assert_eq!((code, error.as_str()), (Some(0), ""));
    assert_eq!(untimed(&out), "service `app1` is suspended since <time> until <time>: incident 7\n");
    daemon.line(|line| line["message"] == "suspended: nothing of it is written").await;
    let object = ["suspend", "--object", "ConfigMap shop/other", "--reason", "mistyped"];
    let (code, out, error) = syncd(kubeconfig, &object).await;
    assert_eq!(
        (code, untimed(&out)),
        (Some(0), "ConfigMap shop/other is suspended since <time>: mistyped\n".to_owned())
    );
    assert_eq!(error, "syncd: ConfigMap shop/other is in no record: it is new, or mistyped\n");

    let revision = commit(&repository, "two");
    daemon.line(|line| line["message"] == "a new revision came" && line["revision"] == json!(revision)).await;
    daemon.page("/metrics", |text| text.contains("syncd_suspended{scope=\"object\",environment=\"staging\"} 1")).await;
    // The cycle of the revision tells it at its end.
    let state = "syncd_service_state{service=\"app1\",state=\"suspended\",environment=\"staging\"} 1";
    daemon.page("/metrics", |text| text.contains(state)).await;
    let metrics = daemon.get("/metrics").await.1;
    assert!(metrics.contains("syncd_suspended{scope=\"service\",environment=\"staging\"} 1"), "{metrics}");
    assert!(metrics.contains(state), "{metrics}");
    daemon.page("/status", |text| text.contains("suspended") && text.contains(": incident 7")).await;
    // The metrics tell it as soon as it is heard.
    daemon.page("/api/v1/overview", |text| text.contains("mistyped")).await;
    let overview: Value = serde_json::from_str(&daemon.get("/api/v1/overview").await.1).unwrap();
    assert_eq!(overview["suspended"][0]["scope"], json!({"service": "app1"}), "{overview:#}");
    assert_eq!(overview["suspended"][1]["reason"], "mistyped");
    let page = daemon.get("/").await.1;
    assert!(page.contains("Suspended: nothing of it is written") && page.contains("incident 7"), "{page}");
    let (code, out, _) = {
        let mut command = Command::new(env!("CARGO_BIN_EXE_syncd"));
        let output = command.args(["status", "--address", &daemon.address]).output().await.unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), output.stderr)
    };
    assert_eq!(code, Some(1), "suspended is not synced: {out}");
    assert!(out.contains("incident 7"), "{out}");

    let (code, out, _) = syncd(kubeconfig, &["suspend"]).await;
    let lines: Vec<String> = out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(code, Some(0));
    assert_eq!(lines[0], "WHAT SINCE UNTIL REASON");
    assert_eq!(untimed(&lines[1]), "service `app1` <time> <time> incident 7");
    assert_eq!(untimed(&lines[2]), "ConfigMap shop/other <time> resumed mistyped");
    let listed: Value = serde_json::from_str(&syncd(kubeconfig, &["suspend", "-o", "json"]).await.1).unwrap();
    assert_eq!(listed, overview["suspended"]);
    let yaml = syncd(kubeconfig, &["suspend", "-o", "yaml"]).await.1;
    assert!(yaml.contains("reason: incident 7\n"), "{yaml}");

    // A new process finds it, and polls that find nothing new ask nothing of the cluster.
    daemon.signal("TERM").await;
    daemon.says("syncd stopped").await;
    let mut daemon = Daemon::start(&repository, kubeconfig.to_str().unwrap()).await;
    daemon.line(|line| line["message"] == "suspended: nothing of it is written").await;
    daemon.page("/status", |text| text.contains(": incident 7")).await;
    assert_eq!(data(), json!("one"));

    let (code, out, _) = syncd(kubeconfig, &["resume", "--service", "app1"]).await;
    assert_eq!(
        (code, untimed(out.trim_end()).as_str()),
        (Some(0), "service `app1` is resumed; it was suspended since <time>")
    );
    daemon.synced().await;
    assert_eq!(data(), json!("two"));
    let (code, out, _) = syncd(kubeconfig, &["resume", "--all"]).await;
    assert_eq!((code, out.lines().count()), (Some(0), 1));
    daemon.line(|line| line["message"] == "nothing is suspended any more").await;
    daemon.page("/metrics", |text| text.contains("syncd_suspended{scope=\"object\",environment=\"staging\"} 0")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn once_tells_that_something_is_held_and_leaves_a_suspended_environment() {
    let repository = Repository::new();
    commit(&repository, "one");
    let (sandbox, _server, kubeconfig) = world().await;
    let kubeconfig = kubeconfig.path();
    let (code, out, _) = syncd(kubeconfig, &["suspend", "--reason", "freeze", "--until", "2999-01-01T00:00:00Z"]).await;
    assert_eq!(code, Some(0));
    assert_eq!(untimed(&out), "the environment is suspended since <time> until <time>: freeze\n");
    let url = repository.url();
    let once = ["once", "--repository", &url, "--no-leader-election"];
    let (code, out, error) = syncd(kubeconfig, &once).await;
    assert_eq!(code, Some(5), "{out}{error}");
    assert!(out.contains("app1") && out.contains("suspended") && out.contains(": freeze"), "{out}");
    assert_eq!(sandbox.object("", "ConfigMap", "shop", "a"), None);
    let (code, out, _) = syncd(kubeconfig, &["resume"]).await;
    assert_eq!((code, out.starts_with("the environment is resumed")), (Some(0), true), "{out}");
    assert_eq!(syncd(kubeconfig, &once).await.0, Some(0));
    assert!(sandbox.object("", "ConfigMap", "shop", "a").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_told_with_what_to_do_instead() {
    let (sandbox, _server, kubeconfig) = world().await;
    let kubeconfig = kubeconfig.path();
    let cases: [(&[&str], i32, &str); 13] = [
        (&["suspend", "--service", "a"], 2, "--reason <TEXT>"),
        (&["suspend", "--service", "a", "--reason", " "], 2, "say why, so that others know"),
        (&["suspend", "--service", "A b", "--reason", "r"], 2, "lower-case letters"),
        (&["suspend", "--service", "a", "--object", "ConfigMap n/a", "--reason", "r"], 2, "cannot be used with"),
        (&["suspend", "--object", "n/a", "--reason", "r"], 2, "such as `Deployment.apps shop/web`"),
        (&["suspend", "--object", "Deployment n/a", "--reason", "r"], 2, "`Deployment.apps n/a`"),
        (&["suspend", "--reason", "r", "--for", "2h", "--until", "2999-01-01T00:00:00Z"], 2, "cannot be used with"),
        (&["suspend", "--reason", "r", "--for=-2h"], 2, "a time cannot be negative"),
        (
            &["suspend", "--reason", "r", "--until", "2001-01-01T00:00:00Z"],
            2,
            "--until 2001-01-01T00:00:00Z is over: now is 2",
        ),
        (&["suspend", "--reason", "r", "--until", "tomorrow"], 2, "such as `2026-01-31T12:00:00Z`"),
        (&["resume"], 1, "the environment is not suspended by itself; nothing is"),
        (&["resume", "--all", "--service", "a"], 2, "cannot be used with"),
        (&["resume", "--service", "a"], 1, "service `a` is not suspended by itself; nothing is"),
    ];
    for (arguments, expected, text) in cases {
        let (code, out, error) = syncd(kubeconfig, arguments).await;
        assert_eq!((code, out.as_str()), (Some(expected), ""), "{arguments:?}: {error}");
        assert!(error.contains(text), "{arguments:?}: {error}");
    }
    assert_eq!(sandbox.object("", "ConfigMap", "syncd", "syncd-staging.suspended"), None, "nothing was written");

    assert_eq!(syncd(kubeconfig, &["suspend", "--service", "a", "--reason", "r"]).await.0, Some(0));
    let (code, _, error) = syncd(kubeconfig, &["resume", "--service", "b"]).await;
    assert_eq!(code, Some(1));
    assert!(error.contains("service `b` is not suspended by itself; what is: service `a`; --all resumes"), "{error}");

    let path = "/api/v1/namespaces/syncd/configmaps/syncd-staging.suspended";
    let newer = json!({"data": {"suspended.json": "{\"format\": 2}"}});
    assert!(sandbox.handle(&sandbox::Request::merge_patch(path, newer)).is_success());
    for arguments in [["suspend", "--reason", "r"].as_slice(), &["resume", "--all"], &["suspend"]] {
        let (code, _, error) = syncd(kubeconfig, arguments).await;
        assert_eq!(code, Some(4), "{error}");
        assert!(error.contains("format 2 is unknown; this version reads format 1"), "{error}");
    }
}
