//! Secrets that are planted everywhere turn up nowhere: one process through synced, failed, drifted and held, and all that it says to anybody.
//!
//! Each value is first shown to be in play (the cluster, the server or the receiver has it), and the search to find one that is there: a
//! test that looks in the wrong place cannot pass. Nothing is waited for by time.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]
#![expect(clippy::disallowed_methods, reason = "the receiver of notifications is a task of its own")]

mod git_repository;
#[expect(dead_code, reason = "what is served is not counted here")]
mod git_server;
#[expect(dead_code, reason = "other processes are looked at elsewhere")]
mod running_daemon;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Uri};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use manifest::index::{Entry, Sync};
use manifest::{Hash, Index, yaml};
use sandbox::{Answer, Request, Rule};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::Notify;

use git_repository::Repository;
use git_server::HttpsServer;
use running_daemon::Daemon;

/// What is planted, each with characters that encodings change.
const DATA: &str = "pLanted/data+0aZ7qW3k";
const TEXT: &str = "pLanted/text+1bY8eR4j";
const DENIED: &str = "pLanted/denied+2cX9tT5h";
const EDITED: &str = "pLanted/edited+3dW0yU6g";
const PASSWORD: &str = "pLanted/git+4eV1uI7f";
const USERINFO: &str = "pLantedurl5fU2iO8d";
const HOOK: &str = "pLanted/hook+6gT3oP9s";
const ADDRESS: &str = "pLantedaddress7hS4pA0a";
const SIGNER: &str = "pLanted/signer+8iR5aS1m";
const FORGE: &str = "pLantedforge9jQ6sD2n";
const ALL: [&str; 10] = [DATA, TEXT, DENIED, EDITED, PASSWORD, USERINFO, HOOK, ADDRESS, SIGNER, FORGE];

/// Returns the forms in which a value may turn up.
fn forms(value: &str) -> Vec<String> {
    let percent: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
    let mut forms = vec![value.to_owned(), percent, value.replace('/', "\\/")];
    // In base64 a text looks in three ways, by where it begins; its edges hang on what is around it.
    for shift in 0..3 {
        let shifted = [vec![b' '; shift], value.as_bytes().to_vec()].concat();
        for encoded in [STANDARD_NO_PAD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)] {
            let (begin, end) = (if shift == 0 { 0 } else { 4 }, encoded.len() - 2);
            forms.push(encoded[begin..end].to_owned());
        }
    }
    forms
}

/// Returns which of the values are in a text.
fn found(text: &str) -> Vec<&'static str> {
    ALL.into_iter().filter(|value| forms(value).iter().any(|form| text.contains(form.as_str()))).collect()
}

#[test]
fn the_search_finds_what_is_there_in_every_form() {
    for value in ALL {
        let encoded = |prefix: &str| STANDARD_NO_PAD.encode(format!("{prefix}{value} and more"));
        let percent: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
        let texts = [
            format!("token={value};"),
            json!({"a": value}).to_string(),
            format!("https://host/?q={percent}"),
            encoded(""),
            encoded("x"),
            encoded("xy"),
            encoded("xyz"),
            URL_SAFE_NO_PAD.encode(value),
        ];
        for text in texts {
            assert_eq!(found(&text), [value], "{text}");
        }
    }
    assert_eq!(found("nothing of it"), Vec::<&str>::new());
}

/// What somebody was told, by whom.
#[derive(Default)]
struct Outputs(Vec<(String, String)>);

impl Outputs {
    fn add(&mut self, from: impl Into<String>, text: impl Into<String>) {
        self.0.push((from.into(), text.into()));
    }

    /// Asks all that a running syncd answers.
    async fn of_pages(&mut self, daemon: &Daemon, when: &str) {
        let services = ["good", "refused", "crashing"]
            .map(|name| [format!("/services/{name}"), format!("/api/v1/services/{name}")]);
        let fixed = [
            "/",
            "/?state=failed",
            "/history",
            "/drift",
            "/metrics",
            "/status",
            "/readyz",
            "/healthz",
            "/api/v1/overview",
            "/api/v1/status",
            "/api/v1/services",
            "/api/v1/history",
            "/api/v1/drift",
        ];
        for path in fixed.map(str::to_owned).into_iter().chain(services.into_iter().flatten()) {
            let (code, text) = daemon.get(&path).await;
            assert!(code < 500 && !text.is_empty(), "{path}: {code}");
            self.add(format!("{path}, {when}"), text);
        }
        let client = reqwest::Client::new();
        let address = format!("http://{}", daemon.address);
        let open = client.get(format!("{address}/metrics")).header("accept", "application/openmetrics-text").send();
        let open = open.await.unwrap().text().await.unwrap();
        assert!(open.ends_with("# EOF\n"));
        self.add(format!("/metrics as OpenMetrics, {when}"), open);
        for form in ["text", "json", "yaml"] {
            self.of_command(when, &["status", "--address", &daemon.address, "--output", form]).await;
        }
    }

    /// Runs a command, and takes all that it says.
    async fn of_command(&mut self, when: &str, arguments: &[&str]) -> Option<i32> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_syncd"));
        let output = command.args(arguments).output().await.unwrap();
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        self.add(format!("syncd {}, {when}", arguments[0]), text);
        output.status.code()
    }
}

fn commit(repository: &Repository, subject: &str, services: &[(&str, Vec<Value>)]) -> String {
    let mut index = Index { environment: "staging".to_owned(), services: BTreeMap::new() };
    let mut files = Vec::new();
    for (name, objects) in services {
        let text = yaml::write_documents(objects.iter());
        let hash = Hash::of(text.as_bytes());
        let (chart, version) = ("none".into(), subject.into());
        let (objects, sync) = (objects.len(), Sync { timeout_seconds: 300, ..Sync::default() });
        index.services.insert((*name).to_owned(), Entry { chart, content: hash, inputs: hash, objects, sync, version });
        files.push((Index::resources_path("staging", name), text));
    }
    files.push((Index::path("staging"), index.to_json()));
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    repository.commit(subject, &files)
}

fn object(api_version: &str, kind: &str, name: &str, rest: &Value) -> Value {
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": "shop"}});
    object.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    object
}

fn secret(name: &str, data: &str, text: &str) -> Value {
    let encoded = STANDARD.encode(data);
    object("v1", "Secret", name, &json!({"type": "Opaque", "data": {"data": encoded}, "stringData": {"text": text}}))
}

/// Crashes, and says in its log what it knows.
fn crashing() -> Value {
    let log = format!("starting\nFATAL: cannot log in with {DATA} at postgres://app:{TEXT}@db/");
    let annotations = json!({sandbox::ANNOTATION: "crash-loop", "sandbox/logs": log});
    let container = json!({"name": "app", "image": "app:1", "envFrom": [{"secretRef": {"name": "keys"}}]});
    let template = json!({"metadata": {"labels": {"app": "web"}, "annotations": annotations}, "spec": {"containers": [container]}});
    object(
        "apps/v1",
        "Deployment",
        "web",
        &json!({"spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template}}),
    )
}

fn file(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// What a receiver of notifications got: its address and headers, and the body.
#[derive(Default)]
struct Received {
    all: Mutex<Vec<(String, String)>>,
    more: Notify,
}

impl Received {
    /// Waits until it has got something.
    async fn hears(&self, fits: impl Fn(&(String, String)) -> bool) {
        while !self.all.lock().unwrap().iter().any(&fits) {
            self.more.notified().await;
        }
    }
}

async fn receiver() -> (String, Arc<Received>) {
    let received: Arc<Received> = Arc::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let kept = Arc::clone(&received);
    let router = Router::new().fallback(async move |uri: Uri, headers: HeaderMap, body: Bytes| {
        let got = (format!("{uri} {headers:?}"), String::from_utf8_lossy(&body).into_owned());
        kept.all.lock().unwrap().push(got);
        kept.more.notify_one();
        "{}"
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, received)
}

fn text_of(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn planted_secrets_turn_up_nowhere() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (repository, folder) = (Repository::new(), tempfile::tempdir().unwrap());
    let maps = |count: usize| {
        (0..count).map(|number| object("v1", "ConfigMap", &format!("m{number}"), &json!({"data": {"a": "b"}})))
    };
    let good = |count| [vec![secret("keys", DATA, TEXT)], maps(count).collect()].concat();
    commit(&repository, "one", &[("good", good(15))]);
    let git = HttpsServer::start(&repository, Some(&format!("bot:{PASSWORD}")), false).await.expect("git http-backend");
    let namespaces = ["shop", "syncd"].map(str::to_owned).to_vec();
    let sandbox = sandbox::Cluster::new(sandbox::Settings { namespaces, ..sandbox::Settings::default() });
    let server = sandbox::http::serve(sandbox.clone(), "127.0.0.1:0".parse().unwrap(), 100.0).await.unwrap();
    let kubeconfig = text_of(&file(&folder, "kubeconfig", &server.kubeconfig()));
    let (address, received) = receiver().await;
    let receivers = json!({"receivers": [
        {"type": "slack", "name": "chat", "urlFile": file(&folder, "address", &format!("{address}/{ADDRESS}"))},
        {"type": "webhook", "name": "ops", "url": format!("{address}/ops"), "secretFile": file(&folder, "signer", SIGNER)},
        {"type": "gitea", "name": "forge", "repository": "a/b", "api": format!("{address}/api"), "tokenFile": file(&folder, "forge", FORGE)},
    ]});
    let variables = [
        ("ENVIRONMENT", "staging".to_owned()),
        ("REPOSITORY", git.url.clone()),
        ("CA_FILE", text_of(&git.ca_file)),
        ("USERNAME", "bot".to_owned()),
        ("PASSWORD_FILE", text_of(&file(&folder, "password", PASSWORD))),
        ("KUBECONFIG", kubeconfig.clone()),
        ("NOTIFY_CONFIG", text_of(&file(&folder, "receivers.yaml", &receivers.to_string()))),
        ("WEBHOOK_LISTEN", "127.0.0.1:0".to_owned()),
        ("WEBHOOK_SECRET_FILE", text_of(&file(&folder, "hook", HOOK))),
        ("LOG_LEVEL", "trace".to_owned()),
    ];
    let variables = variables.map(|(name, value)| (format!("SYNCD_{name}"), value));
    let mut outputs = Outputs::default();
    let mut daemon = Daemon::with(variables.clone()).await;

    // Synced; the secrets are in play. The stream of changes is heard from here on.
    daemon.synced().await;
    let kept = sandbox.object("", "Secret", "shop", "keys").unwrap();
    assert_eq!(found(&kept["data"].to_string()), [DATA, TEXT], "the cluster has them");
    let stream = reqwest::Client::new().get(format!("http://{}/api/v1/events", daemon.address)).send().await.unwrap();
    let told = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&told);
    tokio::spawn(async move {
        let mut stream = stream;
        while let Ok(Some(part)) = stream.chunk().await {
            kept.lock().unwrap().push_str(&String::from_utf8_lossy(&part));
        }
    });
    outputs.of_pages(&daemon, "synced").await;

    // Drifted: what somebody writes into a Secret is taken back, and not told.
    let edited = STANDARD.encode(EDITED);
    let path = sandbox.path("", "Secret", "shop", "keys").unwrap();
    let patch = Request::merge_patch(&path, json!({"data": {"data": edited}})).agent("kubectl-edit");
    assert!(sandbox.handle(&patch).is_success());
    assert_eq!(found(&patch.body.to_string()), [EDITED]);
    daemon.says("somebody changed an object").await;
    daemon.page("/drift", |text| text.contains("kubectl-edit")).await;
    outputs.of_pages(&daemon, "drifted").await;

    // Failed: admission echoes what it denies, and a container logs what it was given.
    let denied = secret("denied", DENIED, DENIED);
    let message = format!("refusing {denied} as it is, with {DENIED} in it");
    assert_eq!(found(&message), [DENIED], "the server's words have it");
    let answer = Answer::DeniedByWebhook { webhook: "policy.example.org".to_owned(), message };
    sandbox.set_faults(|faults| faults.rules = vec![Rule::new(&["apply"], &["secrets"], answer).named("denied")]);
    let all = [("good", good(15)), ("refused", vec![denied]), ("crashing", vec![crashing()])];
    commit(&repository, "two", &all);
    let failed = |service: &'static str| move |line: &Value| line["service"] == service && line["state"] == "failed";
    daemon.line(failed("refused")).await;
    daemon.line(failed("crashing")).await;
    received.hears(|(to, body)| to.starts_with("/ops") && body.contains("refused")).await;
    let crashing = daemon.get("/api/v1/services/crashing").await.1;
    assert!(crashing.contains("FATAL: cannot log in with"), "the log is shown: {crashing}");
    outputs.of_pages(&daemon, "failed").await;

    // Held: more deletions than are let through.
    commit(&repository, "three", &[("good", good(1))]);
    daemon.says("deletions are held until they are approved").await;
    daemon.page("/", |text| text.contains("deletions are held")).await;
    outputs.of_pages(&daemon, "held").await;

    // Somebody without the secret of the webhook, and one with it in the wrong place.
    let listened = daemon.heard.iter().find(|line| line.contains("the webhook is listened for")).unwrap();
    let hook = serde_json::from_str::<Value>(listened).unwrap()["address"].as_str().unwrap().to_owned();
    let client = reqwest::Client::new();
    for token in ["wrong", HOOK] {
        let asked = client.post(format!("http://{hook}/webhook")).header("x-gitlab-token", token).body("{}").send();
        let asked = asked.await.unwrap();
        outputs.add("the webhook", format!("{} {}", asked.status(), asked.text().await.unwrap()));
    }
    daemon.signal("TERM").await;
    daemon.says("syncd stopped").await;

    // The commands, and their mistakes.
    let report = text_of(&folder.path().join("report.json"));
    let repository_of = ["--repository", &git.url, "--ca-file", git.ca_file.to_str().unwrap(), "--username", "bot"];
    let password = text_of(&folder.path().join("password"));
    let cluster = ["--environment", "staging", "--kubeconfig", &kubeconfig];
    let with_password = [&repository_of[..], &["--password-file", &password]].concat();
    let once = [
        &["once"],
        &cluster[..],
        &with_password[..],
        &["--report", &report, "--log-level", "trace", "--no-leader-election"],
    ];
    assert!(outputs.of_command("held", &once.concat()).await.is_some_and(|code| code != 2));
    outputs.add("the report", std::fs::read_to_string(&report).unwrap());
    let wrong = text_of(&file(&folder, "wrong", HOOK));
    let refused = [&["once"], &cluster[..], &repository_of[..], &["--password-file", &wrong, "--log-level", "trace"]];
    outputs.of_command("with a wrong password", &refused.concat()).await;
    for url in [format!("https://bot:{USERINFO}@127.0.0.1:1/a.git"), format!("https://{USERINFO}@127.0.0.1:1/a.git")] {
        let arguments = [&["once"], &cluster[..], &["--repository", &url, "--log-level", "trace"]].concat();
        assert_ne!(outputs.of_command("with a login in the URL", &arguments).await, Some(0));
    }
    outputs.of_command("", &[&["suspend"], &cluster[..]].concat()).await;
    outputs.of_command("", &[&["approve", "0123456789abcdef"], &cluster[..]].concat()).await;

    // What it wrote into the cluster, its log, and what others were told.
    outputs.add("the log", daemon.heard.join("\n"));
    outputs.add("the stream of changes", told.lock().unwrap().clone());
    for kind in ["Event", "ConfigMap"] {
        let all = sandbox.objects("", kind, "");
        let ours = all.iter().filter(|one| kind == "Event" || one["metadata"]["namespace"] == "syncd");
        let texts: Vec<String> = ours.map(Value::to_string).collect();
        assert!(!texts.is_empty(), "{kind}");
        outputs.add(kind, texts.join("\n"));
    }
    let received = received.all.lock().unwrap().clone();
    let heads: String = received.iter().map(|(head, _)| head.as_str()).collect();
    for value in [ADDRESS, FORGE] {
        assert!(found(&heads).contains(&value), "the receivers are reached by it: {heads}");
    }
    assert!(heads.contains("x-syncd-signature-256"), "signed: {heads}");
    outputs.add("notifications", received.iter().map(|(_, body)| body.as_str()).collect::<Vec<_>>().join("\n"));

    assert!(outputs.0.len() > 80, "{}", outputs.0.len());
    let mut leaks = Vec::new();
    for (from, text) in &outputs.0 {
        for value in found(text) {
            let at = forms(value).iter().find_map(|form| text.find(form.as_str())).unwrap_or(0);
            let line = text[text[..at].rfind('\n').map_or(0, |end| end + 1)..].lines().next().unwrap_or_default();
            leaks.push(format!("{value} in {from}: {}", line.chars().take(600).collect::<String>()));
        }
    }
    assert_eq!(leaks, Vec::<String>::new(), "\n{}", leaks.join("\n"));
}
