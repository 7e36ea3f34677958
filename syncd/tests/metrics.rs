//! `/metrics` as Prometheus reads it, and the other pages, built from reports and events alone.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use manifest::{Hash, ObjectRef};
use prometheus_parse::{Scrape, Value};
use syncd::cycle::{Clock, Mode};
use syncd::daemon::{Listener, failed_report};
use syncd::http::{Face, router};
use syncd::metrics::{CountedRepo, Metrics};
use syncd::repo::{CommitInfo, Lineage, Repo, RepoError, Revision};
use syncd::report::{
    CycleError, CycleResult, Event, HeldDeletions, ObjectReport, Observer, Outcome, Phases, Report, ServiceReport,
    ServiceState, Stage, Trigger,
};
use tower::ServiceExt;

struct Fixed(i64);

impl Clock for Fixed {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::from_second(self.0).unwrap()
    }
}

fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new("staging", Arc::new(Fixed(1_700_000_000))))
}

fn service(state: ServiceState, failures: u32) -> ServiceReport {
    ServiceReport {
        state,
        version: Some("1".to_owned()),
        applied: 0,
        deleted: 0,
        unchanged: 0,
        failed: 0,
        withheld: 2,
        seconds: 1.0,
        error: None,
        waiting_for: Vec::new(),
        causes: Vec::new(),
        objects: Vec::new(),
        failures,
        state_bytes: 1234,
    }
}

fn report(services: &[(&str, ServiceState)]) -> Report {
    let error = CycleError { stage: Stage::Source, message: String::new() };
    let request = syncd::cycle::Request { id: "id".to_owned(), mode: Mode::Auto };
    Report {
        revision: Some(Revision("0123456789abcdef0123456789abcdef01234567".to_owned())),
        commit: Some(CommitInfo { committed_at_seconds: 1_600_000_000, ..CommitInfo::default() }),
        index: Some(Hash::of(b"index")),
        trigger: Trigger::Changed,
        result: CycleResult::Synced,
        phases: Phases { source: 0.5, read: 0.2, plan: 0.0, execute: 3.0 },
        services: services.iter().map(|(name, state)| ((*name).to_owned(), service(*state, 0))).collect(),
        held: Some(HeldDeletions { id: Hash::of(b"plan"), deletions: 17, limit: 10 }),
        errors: Vec::new(),
        ..failed_report(&request, "staging", &Fixed(0), error)
    }
}

/// Every series with its value; of histograms the count, as `name_count`.
fn scrape(metrics: &Metrics) -> BTreeMap<String, f64> {
    let text = metrics.text();
    let scrape = Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).unwrap();
    let samples = scrape.samples.iter().map(|sample| {
        let labels: BTreeMap<&String, &String> =
            sample.labels.iter().filter(|(name, _)| *name != "environment").collect();
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let name = format!("{}{{{}}}", sample.metric, labels.join(","));
        match &sample.value {
            Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => (name, *value),
            Value::Histogram(buckets) => (name, buckets.last().unwrap().count),
            Value::Summary(_) => panic!("{name} is a summary"),
        }
    });
    samples.collect()
}

fn object(kind: &str, outcome: Outcome) -> Event {
    let object = ObjectRef {
        group: "apps".to_owned(),
        kind: kind.to_owned(),
        namespace: "shop".to_owned(),
        name: "a".to_owned(),
    };
    let object = ObjectReport { object, outcome, reason: String::new(), error: None };
    Event::Object { service: "app1".to_owned(), object }
}

#[test]
fn everything_is_there_and_parses() {
    let metrics = metrics();
    for outcome in Outcome::ALL {
        metrics.observe(&object("Deployment", outcome));
    }
    metrics.request("apply", 200, Duration::from_millis(3));
    metrics.request("apply", 0, Duration::from_secs(30));
    metrics.cycle(&report(&[("app1", ServiceState::Synced), ("app2", ServiceState::Failed)]));
    let series = scrape(&metrics);
    let revision = format!(
        "syncd_revision_info{{index={},revision=0123456789abcdef0123456789abcdef01234567}}",
        Hash::of(b"index")
    );
    let expected = [
        (format!("syncd_build_info{{version={}}}", env!("CARGO_PKG_VERSION")), 1.0),
        (revision, 1.0),
        ("syncd_revision_commit_timestamp_seconds{}".to_owned(), 1_600_000_000.0),
        ("syncd_service_state{service=app1,state=synced}".to_owned(), 1.0),
        ("syncd_service_state{service=app1,state=failed}".to_owned(), 0.0),
        ("syncd_service_state{service=app2,state=failed}".to_owned(), 1.0),
        ("syncd_service_unsettled_since_timestamp_seconds{service=app2}".to_owned(), 1_700_000_000.0),
        ("syncd_service_withheld_objects{service=app1}".to_owned(), 2.0),
        ("syncd_inventory_bytes{service=app1}".to_owned(), 1234.0),
        ("syncd_applied_objects_total{kind=Deployment.apps,result=created}".to_owned(), 1.0),
        ("syncd_applied_objects_total{kind=Deployment.apps,result=configured}".to_owned(), 1.0),
        ("syncd_applied_objects_total{kind=Deployment.apps,result=unchanged}".to_owned(), 1.0),
        ("syncd_pruned_objects_total{kind=Deployment.apps}".to_owned(), 1.0),
        ("syncd_failed_objects_total{kind=Deployment.apps}".to_owned(), 1.0),
        ("syncd_cycles_total{result=synced,trigger=changed}".to_owned(), 1.0),
        ("syncd_cycle_duration_seconds{phase=execute}".to_owned(), 1.0),
        ("syncd_kubernetes_request_duration_seconds{code=200,verb=apply}".to_owned(), 1.0),
        ("syncd_kubernetes_request_duration_seconds{code=0,verb=apply}".to_owned(), 1.0),
        ("syncd_prune_held_objects{}".to_owned(), 17.0),
        ("syncd_last_synced_timestamp_seconds{}".to_owned(), 1_700_000_000.0),
        ("syncd_loop_heartbeat_timestamp_seconds{}".to_owned(), 1_700_000_000.0),
        ("syncd_source_polls_total{result=unreachable}".to_owned(), 0.0),
    ];
    for (name, value) in expected {
        assert_eq!(series.get(&name), Some(&value), "{name} in {series:#?}");
    }
    assert!(
        !series.contains_key("syncd_cycle_duration_seconds{phase=plan}"),
        "a phase that did not happen took no time"
    );
    assert!(!series.contains_key("syncd_service_unsettled_since_timestamp_seconds{service=app1}"));
}

#[test]
fn names_follow_the_rules() {
    let metrics = metrics();
    metrics.observe(&object("Deployment", Outcome::Created));
    metrics.cycle(&report(&[("app1", ServiceState::Synced)]));
    let text = metrics.text();
    let mut seen = BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
        let [name, kind] = line.trim_start_matches("# TYPE ").split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        assert!(name.starts_with("syncd_"), "{name}");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        assert!(kind != "histogram" || name.ends_with("_seconds"), "{name}");
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
        seen.insert(name);
    }
    assert!(seen.len() > 15, "{seen:?}");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        assert!(line.contains("environment=\"staging\""), "{line}");
    }
}

#[test]
fn what_is_gone_has_no_series() {
    let metrics = metrics();
    metrics.cycle(&report(&[("app1", ServiceState::Synced), ("app2", ServiceState::Failed)]));
    metrics.cycle(&report(&[("app1", ServiceState::Failed), ("app2", ServiceState::Removed)]));
    let series = scrape(&metrics);
    assert!(series.keys().all(|name| !name.contains("service=app2")), "{series:#?}");
    assert_eq!(series["syncd_service_state{service=app1,state=failed}"], 1.0);
    assert_eq!(series.keys().filter(|name| name.starts_with("syncd_revision_info")).count(), 1);

    let newer = Report { revision: Some(Revision("f".repeat(40))), ..report(&[]) };
    metrics.cycle(&newer);
    let series = scrape(&metrics);
    let revisions: Vec<&String> = series.keys().filter(|name| name.starts_with("syncd_revision_info")).collect();
    assert_eq!(revisions.len(), 1);
    assert!(revisions[0].contains(&"f".repeat(40)));
}

#[test]
fn a_failed_poll_hides_no_service() {
    let metrics = metrics();
    metrics.cycle(&report(&[("app1", ServiceState::Synced)]));
    let blind =
        Report { index: None, revision: None, services: BTreeMap::new(), result: CycleResult::Failed, ..report(&[]) };
    metrics.cycle(&blind);
    let series = scrape(&metrics);
    assert_eq!(series["syncd_service_state{service=app1,state=synced}"], 1.0);
    assert_eq!(series["syncd_cycles_total{result=failed,trigger=changed}"], 1.0);
}

struct Tips(std::sync::Mutex<Vec<Result<Revision, RepoError>>>);

impl Repo for Tips {
    async fn tip(&self) -> Result<Revision, RepoError> {
        self.0.lock().unwrap().pop().unwrap()
    }

    async fn fetch(&self, _: &Revision) -> Result<CommitInfo, RepoError> {
        Err(RepoError::Corrupt(String::new()))
    }

    async fn verify(&self, _: &Revision) -> Result<(), RepoError> {
        Err(RepoError::Unverified(String::new()))
    }

    async fn lineage(&self, _: &Revision, _: &Revision) -> Result<Lineage, RepoError> {
        Ok(Lineage::Descends)
    }

    async fn read(&self, _: &Revision, paths: Vec<String>) -> Result<Vec<Option<Vec<u8>>>, RepoError> {
        Ok(vec![None; paths.len()])
    }
}

#[tokio::test]
async fn requests_to_the_repository_are_counted() {
    let metrics = metrics();
    let tip = Revision("a".repeat(40));
    let tips = vec![Err(RepoError::Unreachable(String::new())), Ok(tip.clone())];
    let repo = CountedRepo::new(Tips(tips.into()), Arc::clone(&metrics));
    repo.tip().await.unwrap();
    repo.tip().await.unwrap_err();
    repo.fetch(&tip).await.unwrap_err();
    repo.read(&tip, vec!["a".to_owned()]).await.unwrap();
    repo.verify(&tip).await.unwrap_err();
    repo.lineage(&tip, &tip).await.unwrap();
    let series = scrape(&metrics);
    for (name, value) in [
        ("syncd_source_polls_total{result=ok}", 1.0),
        ("syncd_source_polls_total{result=unreachable}", 1.0),
        ("syncd_source_last_success_timestamp_seconds{}", 1_700_000_000.0),
        ("syncd_source_request_duration_seconds{request=tip,result=ok}", 1.0),
        ("syncd_source_request_duration_seconds{request=fetch,result=corrupt}", 1.0),
        ("syncd_source_request_duration_seconds{request=read,result=ok}", 1.0),
        ("syncd_source_request_duration_seconds{request=verify,result=unverified}", 1.0),
        ("syncd_source_request_duration_seconds{request=lineage,result=ok}", 1.0),
    ] {
        assert_eq!(series.get(name), Some(&value), "{name}");
    }
}

async fn get(face: &Arc<Face>, path: &str) -> (StatusCode, String, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = router(Arc::clone(face)).oneshot(request).await.unwrap();
    let content_type =
        response.headers().get("content-type").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, content_type, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn pages_show_what_they_were_given() {
    let face = Arc::new(Face::new(metrics(), Duration::from_secs(60)));
    assert_eq!(get(&face, "/healthz").await.0, StatusCode::OK);
    assert_eq!(get(&face, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(get(&face, "/api/v1/status").await.0, StatusCode::SERVICE_UNAVAILABLE);
    let (code, _, text) = get(&face, "/").await;
    assert_eq!(code, StatusCode::NOT_FOUND);
    assert!(text.contains("/api/v1/status"));

    let unread = CycleError { stage: Stage::State, message: "no".to_owned() };
    face.report(&Report { errors: vec![unread], ..report(&[]) });
    assert_eq!(get(&face, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE, "the state is not known yet");
    face.report(&report(&[("app1", ServiceState::Synced)]));
    assert_eq!(get(&face, "/readyz").await.0, StatusCode::OK);
    let (code, content_type, text) = get(&face, "/api/v1/status").await;
    assert_eq!((code, content_type.as_str()), (StatusCode::OK, "application/json"));
    let status: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status["services"]["app1"]["state"], "synced");
    let (_, content_type, text) = get(&face, "/metrics").await;
    assert!(content_type.starts_with("text/plain; version=0.0.4"));
    assert!(text.contains("syncd_service_state"));
}

#[tokio::test(start_paused = true)]
async fn a_loop_without_a_sign_of_life_is_ill_until_it_gives_one() {
    let face = Arc::new(Face::new(metrics(), Duration::from_secs(60)));
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(get(&face, "/healthz").await.0, StatusCode::OK);
    tokio::time::advance(Duration::from_secs(1)).await;
    let (code, _, text) = get(&face, "/healthz").await;
    assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("61 s"), "{text}");
    face.observe(&object("Deployment", Outcome::Created));
    assert_eq!(get(&face, "/healthz").await.0, StatusCode::OK);
}
