//! The alerts, their runbooks and the dashboard: held to each other, to the metrics, to Prometheus' own tools, and to a running Prometheus.
//!
//! What needs `promtool` or `prometheus` says that it did not run where they are not installed (Debian: `prometheus`).

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

mod git_repository;
#[expect(dead_code, reason = "not everything that can be asked of it is asked here")]
mod running_daemon;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use manifest::yaml;
use regex::Regex;
use serde_json::Value;
use syncd::metrics::table::{ENVIRONMENT, TABLE};

use git_repository::Repository;
use running_daemon::{Daemon, commit};

/// All there are, in the order of the file.
const ALERTS: [&str; 16] = [
    "SyncdDown",
    "SyncdNoLeader",
    "SyncdLoopStuck",
    "SyncdSourceStale",
    "SyncdVerificationFailed",
    "SyncdHistoryRewritten",
    "SyncdServiceFailed",
    "SyncdServiceLagging",
    "SyncdPruneHeld",
    "SyncdMassPruneBlocked",
    "SyncdFieldFight",
    "SyncdDriftStorm",
    "SyncdOrphans",
    "SyncdIntentStuck",
    "SyncdInventoryLarge",
    "SyncdApiThrottled",
];

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(project(path)).unwrap()
}

fn read_yaml(path: &str) -> Value {
    yaml::read_first(&read(path), &yaml::Settings::default()).unwrap().unwrap().value
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().unwrap_or_else(|| panic!("no list `{key}` in {value}"))
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_else(|| panic!("no text `{key}` in {value}"))
}

fn rules() -> Vec<Value> {
    let file = read_yaml("charts/syncd/alerts.yaml");
    let [group] = list(&file, "groups") else { panic!("one group") };
    list(group, "rules").to_vec()
}

/// Every expression of the dashboard, with the title of its panel.
fn panels() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&read("charts/syncd/dashboard.json")).unwrap();
    let of_panel = |panel: &Value| -> Vec<(String, String)> {
        let title = text(panel, "title").to_owned();
        list(panel, "targets").iter().map(|target| (title.clone(), text(target, "expr").to_owned())).collect()
    };
    list(&dashboard, "panels").iter().flat_map(of_panel).collect()
}

/// Fails where an expression uses a metric or a label that does not exist.
fn check_names(of: &str, expression: &str) {
    let metric = Regex::new(r"syncd_([a-z0-9_]+)(?:\{([^}]*)\})?").unwrap();
    let matcher = Regex::new(r"([a-zA-Z_]+)\s*(?:=~|!~|!=|=)").unwrap();
    let grouping = Regex::new(r"(?:by|on|without|ignoring)\s*\(([^)]*)\)").unwrap();
    let mut everywhere: Option<BTreeSet<&str>> = None;
    for found in metric.captures_iter(expression) {
        let name = &found[1];
        let is = |family: &str, kind: &str| match kind {
            "histogram" => ["_bucket", "_sum", "_count"].iter().any(|part| name == format!("{family}{part}")),
            _ => name == family,
        };
        let family = TABLE.iter().find(|family| is(family.name, family.kind));
        let family = family.unwrap_or_else(|| panic!("{of}: there is no metric syncd_{name}"));
        let own = [ENVIRONMENT, "instance"].into_iter().chain((family.kind == "histogram").then_some("le"));
        let labels: BTreeSet<&str> = family.labels.iter().copied().chain(own).collect();
        for label in matcher.captures_iter(found.get(2).map_or("", |labels| labels.as_str())) {
            assert!(labels.contains(&label[1]), "{of}: syncd_{name} has no label `{}`", &label[1]);
        }
        everywhere = Some(everywhere.map_or(labels.clone(), |all| &all & &labels));
    }
    let everywhere = everywhere.unwrap_or_else(|| panic!("{of} looks at no metric: {expression}"));
    for labels in grouping.captures_iter(expression) {
        for label in labels[1].split(',').map(str::trim).filter(|label| !label.is_empty()) {
            assert!(everywhere.contains(label), "{of}: not every metric has the label `{label}`");
        }
    }
}

#[test]
fn each_alert_is_complete_and_has_a_runbook() {
    let names: Vec<String> = rules().iter().map(|rule| text(rule, "alert").to_owned()).collect();
    assert_eq!(names, ALERTS);
    let contents = read("docs/runbooks/README.md");
    for rule in rules() {
        let (name, annotations) = (text(&rule, "alert"), &rule["annotations"]);
        let severity = text(&rule["labels"], "severity");
        assert!(["page", "warning"].contains(&severity), "{name}");
        for part in ["summary", "description"] {
            let said = text(annotations, part);
            assert!(said.ends_with('.') && said.len() > 20, "{name}: {part}: {said}");
        }
        let url = format!("https://example.com/syncd/docs/runbooks/{name}.md");
        assert_eq!(text(annotations, "runbook_url"), url);
        let page = read(&format!("docs/runbooks/{name}.md"));
        assert!(page.starts_with(&format!("# {name}\n\nSeverity: {severity}\n\n")), "{name}");
        assert!(page.contains("\n## Look\n") && page.contains("\n## Do\n"), "{name}");
        assert!(contents.contains(&format!("- [{name}]({name}.md), {severity}\n")), "{name}");
    }
    let pages = std::fs::read_dir(project("docs/runbooks")).unwrap();
    let pages: BTreeSet<String> = pages.map(|page| page.unwrap().file_name().into_string().unwrap()).collect();
    let expected = ALERTS.map(|name| format!("{name}.md")).into_iter().chain(["README.md".to_owned()]).collect();
    assert_eq!(pages, expected, "a runbook without an alert");
}

#[test]
fn each_expression_looks_at_metrics_and_labels_that_exist() {
    for rule in rules() {
        check_names(text(&rule, "alert"), text(&rule, "expr"));
    }
    for (title, expression) in panels() {
        check_names(&title, &expression);
    }
}

#[test]
fn a_metric_or_label_that_does_not_exist_is_found() {
    for wrong in [
        "syncd_nothing > 0",
        "syncd_service_state{kind=\"a\"} > 0",
        "sum by (service) (syncd_leader)",
        "syncd_push_to_ready_seconds > 0",
        "vector(1)",
    ] {
        assert!(std::panic::catch_unwind(|| check_names("it", wrong)).is_err(), "{wrong}");
    }
}

#[test]
fn each_alert_has_a_case_in_which_it_fires_and_is_looked_at_while_all_is_well() {
    let file = read_yaml("charts/syncd/alerts_test.yaml");
    let mut fires: BTreeMap<&str, usize> = BTreeMap::new();
    let mut silent: BTreeMap<&str, usize> = BTreeMap::new();
    for case in list(&file, "tests") {
        for test in list(case, "alert_rule_test") {
            let name = text(test, "alertname");
            match (text(case, "name"), list(test, "exp_alerts").len()) {
                ("healthy", 0) => *silent.entry(name).or_default() += 1,
                ("healthy", _) => panic!("{name} fires while all is well"),
                (case, 1) => {
                    assert!(case.starts_with(name), "{name} fires in the case {case}");
                    *fires.entry(name).or_default() += 1;
                }
                (_, count) => assert_eq!(count, 0, "{name}"),
            }
        }
    }
    let all: BTreeSet<&str> = ALERTS.into();
    assert_eq!((fires.keys().copied().collect(), silent.keys().copied().collect()), (all.clone(), all));
}

#[test]
fn the_dashboard_shows_what_it_has_to() {
    let dashboard: Value = serde_json::from_str(&read("charts/syncd/dashboard.json")).unwrap();
    let mut places = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in list(&dashboard, "panels") {
        let title = text(panel, "title");
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: a second panel with this id");
        assert!(!text(panel, "description").is_empty(), "{title}");
        assert_eq!(text(&panel["datasource"], "uid"), "${datasource}", "{title}");
        let number = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        for x in number("x")..number("x") + number("w") {
            for y in number("y")..number("y") + number("h") {
                assert!(x < 24 && places.insert((x, y)), "{title} lies over another panel");
            }
        }
    }
    let variables: Vec<&str> = list(&dashboard["templating"], "list").iter().map(|one| text(one, "name")).collect();
    assert_eq!(variables, ["datasource", "environment"]);
    let all: String = panels().into_iter().map(|(_, expression)| expression + "\n").collect();
    for metric in [
        "syncd_service_commit_lag_seconds",
        "syncd_push_to_ready_seconds_bucket",
        "syncd_service_state",
        "syncd_drift_total",
        "syncd_fight_active",
        "syncd_prune_held_objects",
        "syncd_k8s_request_duration_seconds_count",
        "syncd_k8s_inflight",
    ] {
        assert!(all.contains(metric), "{metric}");
    }
}

/// Runs one of Prometheus' programs; nothing where it is not installed.
fn tool(name: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new(name).args(arguments).output() {
        Ok(output) => Some(output),
        Err(error) => {
            eprintln!("NOT RUN: there is no {name} here (Debian: apt-get install prometheus): {error}");
            None
        }
    }
}

fn promtool(arguments: &[&str]) -> Option<String> {
    let output = tool("promtool", arguments)?;
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert!(output.status.success(), "promtool {arguments:?}\n{said}");
    Some(said)
}

#[test]
fn promtool_takes_the_rules_and_their_tests() {
    let rules = project("charts/syncd/alerts.yaml");
    let Some(said) = promtool(&["check", "rules", rules.to_str().unwrap()]) else { return };
    assert!(said.contains("16 rules found"), "{said}");
    promtool(&["test", "rules", project("charts/syncd/alerts_test.yaml").to_str().unwrap()]);
}

#[test]
fn promtool_takes_each_expression_of_the_dashboard() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("panels.yaml");
    let mut rules = String::from("groups:\n  - name: panels\n    rules:\n");
    for (number, (_, expression)) in panels().into_iter().enumerate() {
        let expression = expression.replace("$__rate_interval", "5m").replace("$environment", ".*");
        rules +=
            &format!("      - record: panel:{number}\n        expr: {}\n", serde_json::to_string(&expression).unwrap());
    }
    std::fs::write(&file, rules).unwrap();
    promtool(&["check", "rules", file.to_str().unwrap()]);
}

/// The rules with short times: nobody waits ten minutes in a test. `for` is a second, and the source is stale after two.
fn hurried() -> String {
    let rules =
        Regex::new(r"for: \d+m").unwrap().replace_all(&read("charts/syncd/alerts.yaml"), "for: 1s").into_owned();
    assert!(rules.contains("_last_success_timestamp_seconds) > 450"));
    rules.replace("_last_success_timestamp_seconds) > 450", "_last_success_timestamp_seconds) > 2")
}

/// A Prometheus that scrapes one address and ends with the test.
struct Prometheus {
    child: std::process::Child,
    url: String,
    client: reqwest::Client,
    _folder: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    fn start(target: &str, rules: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("rules.yaml"), rules).unwrap();
        let config = format!(
            "global: {{scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}}\nrule_files: [rules.yaml]\n\
             scrape_configs: [{{job_name: syncd, static_configs: [{{targets: ['{target}']}}]}}]\n"
        );
        let file = folder.path().join("prometheus.yaml");
        std::fs::write(&file, config).unwrap();
        // It says nowhere which port it was given, so one is looked for: it is free in this moment.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Prometheus { child, url: format!("http://{address}"), client: reqwest::Client::new(), _folder: folder }
    }

    async fn ask(&self, path: &str) -> Option<Value> {
        let response = self.client.get(format!("{}{path}", self.url)).send().await.ok()?;
        serde_json::from_str(&response.text().await.ok()?).ok()
    }

    /// Asks until the answer fits.
    async fn until(&mut self, path: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let mut last = None;
        for _ in 0..TRIES_MAX {
            if let Some(answer) = self.ask(path).await {
                if fits(&answer) {
                    return answer;
                }
                last = Some(answer);
            }
            assert!(self.child.try_wait().unwrap().is_none(), "Prometheus has ended");
            // An answer takes less than the next evaluation: the loop is not to take its processor.
            tokio::task::yield_now().await;
        }
        panic!("{path} never showed what it should: {last:#?}");
    }
}

/// An answer takes a good part of a millisecond; what is waited for, some seconds.
const TRIES_MAX: usize = 300_000;

fn firing(answer: &Value) -> Vec<&Value> {
    let alerts = answer["data"]["alerts"].as_array();
    alerts.into_iter().flatten().filter(|alert| alert["state"] == "firing").collect()
}

fn fires(answer: &Value, name: &str) -> bool {
    firing(answer).iter().any(|alert| alert["labels"]["alertname"] == name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_fires_on_a_service_that_failed_and_a_source_that_is_gone() {
    if tool("prometheus", &["--version"]).is_none() {
        return;
    }
    let repository = Repository::new();
    commit(&repository, "one");
    let namespaces = ["shop", "syncd"].map(str::to_owned).to_vec();
    let sandbox = sandbox::Cluster::new(sandbox::Settings { namespaces, ..sandbox::Settings::default() });
    let server = sandbox::http::serve(sandbox.clone(), "127.0.0.1:0".parse().unwrap(), 100.0).await.unwrap();
    let kubeconfig = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(kubeconfig.path(), server.kubeconfig()).unwrap();
    let mut daemon = Daemon::start(&repository, kubeconfig.path().to_str().unwrap()).await;
    daemon.synced().await;

    let mut prometheus = Prometheus::start(&daemon.address, &hurried());
    // It takes what it is given, as OpenMetrics, and all is well: nothing fires, though everything is looked at.
    let up = |answer: &Value| answer["data"]["activeTargets"][0]["health"] == "up";
    prometheus.until("/api/v1/targets", up).await;
    let synced =
        "/api/v1/query?query=syncd_service_state%7Bservice%3D%22app1%22%2Cstate%3D%22synced%22%7D%20%3D%3D%201";
    prometheus.until(synced, |answer| answer["data"]["result"][0]["metric"]["environment"] == "staging").await;
    let evaluated = |answer: &Value| {
        let rules = answer["data"]["groups"][0]["rules"].as_array().cloned().unwrap_or_default();
        rules.len() == ALERTS.len() && rules.iter().all(|rule| rule["health"] == "ok" && rule["state"] != "firing")
    };
    prometheus.until("/api/v1/rules", evaluated).await;

    // An object that the cluster refuses, whatever is tried.
    let broken = std::fs::read_to_string(repository.path().join("_gen/staging/app1/resources.yaml")).unwrap();
    let broken = broken.replace("namespace: shop", "namespace: nowhere");
    running_daemon::commit_text(&repository, "two", &broken);
    let alerts = prometheus.until("/api/v1/alerts", |answer| fires(answer, "SyncdServiceFailed")).await;
    let [alert] = firing(&alerts)[..] else { panic!("{alerts:#}") };
    assert_eq!((&alert["labels"]["service"], &alert["labels"]["environment"]), (&"app1".into(), &"staging".into()));
    assert_eq!(alert["labels"]["severity"], "warning");
    let summary = "Service app1 of environment staging has failed and does not recover.";
    assert_eq!(alert["annotations"]["summary"], summary);

    // The repository is gone; and comes back with what is right.
    let (git, away) = (repository.path().join(".git"), repository.path().join("away"));
    std::fs::rename(&git, &away).unwrap();
    prometheus.until("/api/v1/alerts", |answer| fires(answer, "SyncdSourceStale")).await;
    std::fs::rename(&away, &git).unwrap();
    commit(&repository, "three");
    prometheus.until("/api/v1/alerts", |answer| firing(answer).is_empty()).await;
    drop(prometheus);
    daemon.signal("TERM").await;
    daemon.says("syncd stopped").await;
    server.stop().await;
}
