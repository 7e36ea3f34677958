//! From `syncd bootstrap` to a syncd that keeps itself up to date, on a real control plane, with the rights that it printed and no others.
//!
//! `SYNCD_TEST_KUBECONFIG` names a fresh one; it says that it did not run without. No container runs there, so that the process is started
//! here, with the variables of the Deployment and a token of its service account. The API server says 403 of whatever is not granted, and
//! one such answer is a failure.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]
#![expect(clippy::disallowed_methods, reason = "tests run their servers beside them")]

mod example;
mod git_repository;
#[expect(dead_code, reason = "what was served is not counted here")]
mod git_server;
#[expect(dead_code, reason = "not everything that can be asked of it is asked here")]
mod running_daemon;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use example::{copy, project, render};
use git_repository::Repository;
use git_server::HttpsServer;
use manifest::yaml;
use running_daemon::Daemon;
use serde_json::{Value, json};
use syncd::bootstrap::Key;

const PASSWORD: &str = "very-secret-password";

struct Plane {
    kubeconfig: PathBuf,
}

impl Plane {
    /// Runs `kubectl`, with something on its standard input; returns what it printed.
    fn kubectl(&self, arguments: &[&str], input: &str) -> String {
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "kubectl {arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Returns an object of syncd's namespace.
    fn own(&self, kind: &str, name: &str) -> Value {
        let text = self.kubectl(&["--namespace", "syncd", "get", kind, name, "--output", "json"], "");
        serde_json::from_str(&text).unwrap()
    }

    /// Writes a kubeconfig with a token of syncd's service account, as its pods have it.
    fn as_syncd(&self, folder: &Path) -> PathBuf {
        let token = self.kubectl(&["--namespace", "syncd", "create", "token", "syncd"], "");
        let view = self.kubectl(&["config", "view", "--raw", "--minify", "--flatten", "--output", "json"], "");
        let mut view: Value = serde_json::from_str(&view).unwrap();
        view["users"][0]["user"] = json!({"token": token.trim()});
        let file = folder.join("kubeconfig-of-the-account");
        std::fs::write(&file, view.to_string()).unwrap();
        file
    }
}

fn bootstrap(arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_syncd")).arg("bootstrap").args(arguments).output().unwrap();
    let said = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
    assert!(output.status.success(), "{said}");
    assert!(!said.contains(PASSWORD), "{said}");
    output
}

/// What of the Prometheus Operator the API server has to know.
fn operator() -> String {
    let definition = |kind: &str, plural: &str| {
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.monitoring.coreos.com")},
            "spec": {"group": "monitoring.coreos.com", "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema":
                    {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}})
    };
    yaml::write_documents([
        &definition("ServiceMonitor", "servicemonitors"),
        &definition("PrometheusRule", "prometheusrules"),
    ])
}

/// The variables of the pod, with the files where they are here.
fn variables(deployment: &Value, files: &[(Key, &Path)]) -> Vec<(String, String)> {
    let variables = deployment.pointer("/spec/template/spec/containers/0/env").unwrap().as_array().unwrap();
    let mut found = Vec::new();
    for variable in variables {
        let [name, value] = ["name", "value"].map(|key| variable[key].as_str().unwrap());
        let key = Key::ALL.iter().find(|(_, _, of)| *of == name);
        let value = match key {
            Some((key, entry, _)) => {
                assert_eq!(value, format!("/etc/syncd/source/{entry}"));
                files.iter().find(|(of, _)| of == key).unwrap().1.to_str().unwrap()
            }
            None => value,
        };
        found.push((name.to_owned(), value.to_owned()));
    }
    found
}

/// Waits until as many services as are changed by a revision have ended, and the cycle with one of these results. The log is listened to
/// first: asking all the time takes the processor from those who are waited for.
async fn reaches(daemon: &mut Daemon, revision: &str, services: usize, results: &[&str]) -> Value {
    daemon.line(|line| line["message"] == "a new revision came" && line["revision"] == revision).await;
    for _ in 0..services {
        daemon.line(|line| line["message"] == "the service ended").await;
    }
    let text = daemon.page("/api/v1/status", |text| {
        let status: Value = serde_json::from_str(text).unwrap_or_default();
        status["revision"] == revision && results.iter().any(|result| status["result"] == *result)
    });
    serde_json::from_str(&text.await).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_is_enough_and_no_more_and_syncd_keeps_itself_up_to_date() {
    let Some(kubeconfig) = std::env::var_os("SYNCD_TEST_KUBECONFIG").map(PathBuf::from) else {
        eprintln!("NOT RUN: SYNCD_TEST_KUBECONFIG names no control plane");
        return;
    };
    let plane = Plane { kubeconfig };
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::new();
    for part in ["services", "charts", "generator.yaml"] {
        copy(part, repository.path());
    }
    render(repository.path());
    let first = repository.commit("start", &[]);
    let Some(server) = HttpsServer::start(&repository, Some(&format!("bot:{PASSWORD}")), false).await else {
        eprintln!("NOT RUN: git comes without http-backend here");
        return;
    };
    let password_file = folder.path().join("password");
    std::fs::write(&password_file, PASSWORD).unwrap();
    let ca_file = server.ca_file.as_path();

    // Printed, and applied as it is. The namespace of the apps is theirs, and there before.
    let flags = [
        ["--environment", "production"],
        ["--repository", &server.url],
        ["--username", "bot"],
        ["--password-file", password_file.to_str().unwrap()],
        ["--ca-file", ca_file.to_str().unwrap()],
    ];
    let mut flags = flags.concat();
    flags.push("--prometheus-operator");
    let output = bootstrap(&flags);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("kubectl create secret generic syncd-source --namespace syncd --from-file=password="),
        "{said}"
    );
    let printed = String::from_utf8(output.stdout).unwrap();
    plane.kubectl(&["apply", "--filename", "-"], &operator());
    plane.kubectl(&["wait", "--for=condition=Established", "customresourcedefinitions", "--all", "--timeout=60s"], "");
    plane.kubectl(&["create", "namespace", "kahoy-helm-example"], "");
    println!("+ syncd bootstrap | kubectl apply -f -");
    print!("{}", plane.kubectl(&["apply", "--filename", "-"], &printed));
    let installed = plane.own("deployment", "syncd");
    let uid = installed["metadata"]["uid"].clone();

    // As the pod would be: its variables, its account.
    let files = [(Key::Password, password_file.as_path()), (Key::Authorities, ca_file)];
    let mut variables = variables(&installed, &files);
    let account = plane.as_syncd(folder.path());
    variables.push(("SYNCD_KUBECONFIG".to_owned(), account.to_str().unwrap().to_owned()));
    let mut daemon = Daemon::with(variables).await;
    let status = reaches(&mut daemon, &first, 3, &["synced", "unchanged"]).await;
    let services = status["services"].as_object().unwrap();
    assert_eq!(services.keys().collect::<Vec<_>>(), ["app1", "app2", "syncd"]);
    println!("the example is ready at {first}: {} services", services.len());
    let kept = plane.own("deployment", "syncd");
    assert_eq!((&kept["metadata"]["uid"], &kept["metadata"]["labels"]["syncd/service"]), (&uid, &json!("syncd")));

    // Its next version is a commit like any other.
    std::fs::write(repository.path().join("services/syncd/version"), "0.2.0\n").unwrap();
    render(repository.path());
    let second = repository.commit("a new syncd", &[]);
    reaches(&mut daemon, &second, 1, &["synced", "unchanged"]).await;
    let updated = plane.own("deployment", "syncd");
    let image = updated.pointer("/spec/template/spec/containers/0/image").unwrap();
    assert_eq!((image, &updated["metadata"]["uid"]), (&json!("syncd:0.2.0"), &uid));
    println!("syncd has applied its own new version: {image}");

    // Out of the repository is not out of the cluster: not this one.
    std::fs::remove_dir_all(repository.path().join("services/syncd")).unwrap();
    render(repository.path());
    let third = repository.commit("no syncd", &[]);
    reaches(&mut daemon, &third, 1, &["synced", "unchanged", "held"]).await;
    for (kind, name) in [
        ("deployment", "syncd"),
        ("service", "syncd"),
        ("networkpolicy", "syncd"),
        ("poddisruptionbudget", "syncd"),
        ("configmap", "syncd-dashboard"),
        ("serviceaccount", "syncd"),
        ("role", "syncd-production-state"),
    ] {
        assert_eq!(plane.own(kind, name)["metadata"]["deletionTimestamp"], Value::Null, "{kind} {name}");
    }
    assert_eq!(plane.own("deployment", "syncd")["metadata"]["uid"], uid);
    println!("taken out of the repository, syncd has deleted nothing of itself");

    let (_, metrics) = daemon.get("/metrics").await;
    let denied: Vec<&str> = metrics.lines().filter(|line| line.contains("code=\"403\"")).collect();
    assert_eq!(denied, Vec::<&str>::new(), "the roles are not enough");
    let answered = metrics.lines().filter(|line| line.starts_with("syncd_k8s_request_duration_seconds_count")).count();
    println!("requests by verb and code: {answered} series, none of them 403");
    daemon.signal("TERM").await;
    daemon.says("syncd stopped").await;
    for line in &daemon.heard {
        assert!(!line.to_lowercase().contains("forbidden") && !line.contains(PASSWORD), "{line}");
    }
    // Again, by itself: nothing of it hinders what is there.
    let again = [flags, vec!["--apply", "--kubeconfig", plane.kubeconfig.to_str().unwrap()]].concat();
    let output = bootstrap(&again);
    assert!(String::from_utf8(output.stdout).unwrap().contains("Deployment.apps syncd/syncd applied\n"));
    // What is committed here is taken as well.
    let deploy = project("deploy/production");
    plane.kubectl(&["apply", "--kustomize", deploy.to_str().unwrap(), "--dry-run=server"], "");
}
