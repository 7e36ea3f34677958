//! `/metrics` as Prometheus reads it, and the other pages, built from reports and events alone.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use manifest::{Hash, ObjectRef};
use prometheus_parse::{Scrape, Value};
use syncd::cycle::{Clock, Mode};
use syncd::daemon::{Listener, failed_report};
use syncd::http::{Face, router};
use syncd::metrics::table::{PREFIX, TABLE, labels};
use syncd::metrics::{CountedRepo, Form, Metrics};
use syncd::repo::{CommitInfo, Lineage, Repo, RepoError, Revision};
use syncd::report::{
    CycleError, CycleResult, Event, HeldDeletions, ObjectReport, Observer, Outcome, Phases, Report, ServiceReport,
    ServiceState, Services, Stage, Trigger,
};
use tower::ServiceExt;

/// A clock that stands until somebody moves it.
struct Fixed(AtomicI64);

impl Fixed {
    fn at(seconds: i64) -> Arc<Fixed> {
        Arc::new(Fixed(AtomicI64::new(seconds)))
    }

    fn pass(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for Fixed {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::from_second(self.0.load(Ordering::Relaxed)).unwrap()
    }
}

const NOW: i64 = 1_700_000_000;

fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new("staging", Fixed::at(NOW)))
}

fn service(state: ServiceState, failures: u32) -> ServiceReport {
    ServiceReport {
        state,
        version: Some("1".into()),
        applied: 0,
        deleted: 0,
        unchanged: 0,
        failed: 0,
        withheld: 2,
        seconds: 1.0,
        error: None,
        waiting_for: Vec::new(),
        causes: Vec::new(),
        objects: [].into(),
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
        ..failed_report(&request, "staging", &*Fixed::at(0), error)
    }
}

/// Every series with its value; of histograms the count, as `name_count`.
fn scrape(metrics: &Metrics) -> BTreeMap<String, f64> {
    let text = metrics.text(Form::Classic);
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
    let object = ObjectRef { group: "apps".into(), kind: kind.into(), namespace: "shop".into(), name: "a".into() };
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
    let expected = [
        (format!("syncd_build_info{{version={}}}", env!("CARGO_PKG_VERSION")), 1.0),
        ("syncd_index_commit_timestamp_seconds{}".to_owned(), 1_600_000_000.0),
        ("syncd_service_state{service=app1,state=synced}".to_owned(), 1.0),
        ("syncd_service_state{service=app1,state=failed}".to_owned(), 0.0),
        ("syncd_service_state{service=app2,state=failed}".to_owned(), 1.0),
        ("syncd_service_state{service=app2,state=waiting}".to_owned(), 0.0),
        ("syncd_service_commit_lag_seconds{service=app1}".to_owned(), 0.0),
        ("syncd_service_withheld_objects{service=app1}".to_owned(), 2.0),
        ("syncd_inventory_bytes{service=app1}".to_owned(), 1234.0),
        ("syncd_inventory_ratio{service=app1}".to_owned(), 1234.0 / 1_048_576.0),
        ("syncd_apply_total{kind=Deployment.apps,result=created}".to_owned(), 1.0),
        ("syncd_apply_total{kind=Deployment.apps,result=configured}".to_owned(), 1.0),
        ("syncd_apply_total{kind=Deployment.apps,result=unchanged}".to_owned(), 1.0),
        ("syncd_prune_total{kind=Deployment.apps,result=deleted}".to_owned(), 1.0),
        ("syncd_prune_total{kind=Deployment.apps,result=withheld}".to_owned(), 1.0),
        ("syncd_object_failures_total{kind=Deployment.apps}".to_owned(), 1.0),
        ("syncd_cycles_total{result=synced,trigger=changed}".to_owned(), 1.0),
        ("syncd_sync_duration_seconds{phase=execute}".to_owned(), 1.0),
        ("syncd_k8s_request_duration_seconds{code=200,verb=apply}".to_owned(), 1.0),
        ("syncd_k8s_request_duration_seconds{code=0,verb=apply}".to_owned(), 1.0),
        ("syncd_prune_held_objects{}".to_owned(), 17.0),
        ("syncd_prune_limit_objects{}".to_owned(), 10.0),
        ("syncd_last_synced_timestamp_seconds{}".to_owned(), 1_700_000_000.0),
        ("syncd_loop_heartbeat_timestamp_seconds{}".to_owned(), 1_700_000_000.0),
        ("syncd_source_poll_total{result=unreachable}".to_owned(), 0.0),
    ];
    for (name, value) in expected {
        assert_eq!(series.get(&name), Some(&value), "{name} in {series:#?}");
    }
    assert!(
        !series.contains_key("syncd_sync_duration_seconds{phase=plan}"),
        "a phase that did not happen took no time"
    );
}

#[test]
fn names_follow_the_rules() {
    let metrics = metrics();
    metrics.observe(&object("Deployment", Outcome::Created));
    metrics.cycle(&report(&[("app1", ServiceState::Synced)]));
    let text = metrics.text(Form::Classic);
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
}

#[test]
fn a_failed_poll_hides_no_service() {
    let metrics = metrics();
    metrics.cycle(&report(&[("app1", ServiceState::Synced)]));
    let blind = Report {
        index: None,
        revision: None,
        services: Services::default(),
        result: CycleResult::Failed,
        ..report(&[])
    };
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
        ("syncd_source_poll_total{result=ok}", 1.0),
        ("syncd_source_poll_total{result=unreachable}", 1.0),
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
    let face = Arc::new(Face::new(metrics(), Fixed::at(0), Duration::from_secs(60)));
    assert_eq!(get(&face, "/healthz").await.0, StatusCode::OK);
    assert_eq!(get(&face, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(get(&face, "/api/v1/status").await.0, StatusCode::SERVICE_UNAVAILABLE);
    let (code, _, text) = get(&face, "/none").await;
    assert_eq!(code, StatusCode::NOT_FOUND);
    assert!(text.contains("/api/v1"));

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
    let face = Arc::new(Face::new(metrics(), Fixed::at(0), Duration::from_secs(60)));
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(get(&face, "/healthz").await.0, StatusCode::OK);
    tokio::time::advance(Duration::from_secs(1)).await;
    let (code, _, text) = get(&face, "/healthz").await;
    assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("61 s"), "{text}");
    face.observe(&object("Deployment", Outcome::Created));
    assert_eq!(get(&face, "/healthz").await.0, StatusCode::OK);
}

#[test]
fn every_metric_is_in_the_table_with_its_labels_and_nothing_is_unbounded() {
    let metrics = metrics();
    let commit = CommitInfo { committed_at_seconds: NOW, ..CommitInfo::default() };
    metrics.observe(&Event::Revision { revision: Revision("a".repeat(40)), commit });
    for outcome in Outcome::ALL {
        metrics.observe(&object("Deployment", outcome));
    }
    metrics.request("apply", 200, Duration::ZERO);
    metrics.notifications("chat", "told", 1);
    metrics.cycle(&report(&[("app1", ServiceState::Synced)]));
    let documented: BTreeSet<&str> = labels().iter().map(|(name, _)| *name).collect();
    for family in TABLE {
        assert!(family.labels.iter().all(|label| documented.contains(label)), "{family:?}");
        assert!(!family.help.contains('"') && !family.help.contains('|'), "{family:?}");
    }
    let used: BTreeSet<&str> = TABLE.iter().flat_map(|family| family.labels).copied().chain(["environment"]).collect();
    assert_eq!(documented, used, "a label that is described is used");

    let text = metrics.text(Form::Classic);
    let mut seen = BTreeSet::new();
    for sample in Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).unwrap().samples {
        let name = sample.metric.trim_start_matches("syncd_");
        let part_of = |family: &str| matches!(name.strip_prefix(family), Some("" | "_sum" | "_count"));
        let family =
            TABLE.iter().find(|family| part_of(family.name)).unwrap_or_else(|| panic!("{name} is not described"));
        let expected: BTreeSet<&str> = family.labels.iter().copied().chain(["environment"]).collect();
        let found: BTreeSet<&str> = sample.labels.keys().map(String::as_str).filter(|label| *label != "le").collect();
        assert_eq!(found, expected, "{name}");
        seen.insert(family.name);
    }
    // Those that begin with an event of their own are shown by the other tests.
    let rest: Vec<&str> = TABLE.iter().map(|family| family.name).filter(|name| !seen.contains(name)).collect();
    let later = [
        "leader_terms_total",
        "source_request_duration_seconds",
        "push_to_applied_seconds",
        "push_to_ready_seconds",
        "drift_total",
    ];
    assert_eq!(rest, later);
}

#[test]
fn the_documentation_is_the_table() {
    let mut tables = String::from("| metric | type | labels | what it says |\n|---|---|---|---|\n");
    for family in TABLE {
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = labels.join(", ");
        writeln!(tables, "| `{PREFIX}_{}` | {} | {labels} | {} |", family.name, family.kind, family.help).unwrap();
    }
    tables.push_str("\n| label | values |\n|---|---|\n");
    for (name, values) in labels() {
        writeln!(tables, "| `{name}` | {values} |").unwrap();
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (begin, end) = ("<!-- metrics -->\n", "<!-- end -->");
    let (before, rest) = page.split_once(begin).unwrap();
    let (found, after) = rest.split_once(end).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, format!("{before}{begin}{tables}{end}{after}")).unwrap();
        return;
    }
    assert_eq!(found, tables, "docs/metrics.md is not current: UPDATE_DOCS=1 cargo test -p syncd --test metrics");
}

#[tokio::test]
async fn open_metrics_is_for_whoever_asks_for_it() {
    let face = Arc::new(Face::new(metrics(), Fixed::at(0), Duration::from_secs(60)));
    face.report(&report(&[("app1", ServiceState::Synced)]));
    let request =
        Request::get("/metrics").header("accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
    let response = router(face).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert!(text.ends_with("# EOF\n"), "{text}");
    assert!(
        text.contains("# TYPE syncd_source_poll counter\n") && text.contains("\nsyncd_source_poll_total{"),
        "{text}"
    );
}

fn started() -> Event {
    Event::ServiceStarted { service: "app1".to_owned() }
}

fn finished(state: ServiceState) -> Event {
    Event::ServiceFinished { service: "app1".to_owned(), report: service(state, 0) }
}

fn planned(trigger: Trigger) -> Event {
    Event::Planned { plan: Hash::of(b"plan"), trigger, services: 1, applies: 1, deletes: 0, withheld: 0 }
}

/// Metrics of a process that has synced `app1`, and has polled twice before a push that it adopts now, 10 s after.
async fn pushed(clock: &Arc<Fixed>) -> Arc<Metrics> {
    let metrics = Arc::new(Metrics::new("staging", Arc::clone(clock) as Arc<dyn Clock>));
    let (first, second) = (Revision("a".repeat(40)), Revision("b".repeat(40)));
    let tips = vec![Ok(second.clone()), Ok(first.clone()), Ok(first.clone())];
    let repo = CountedRepo::new(Tips(tips.into()), Arc::clone(&metrics));
    repo.tip().await.unwrap();
    // A commit that was made long before it was pushed.
    let commit = CommitInfo { committed_at_seconds: NOW - 100_000, ..CommitInfo::default() };
    metrics.observe(&Event::Revision { revision: first.clone(), commit: commit.clone() });
    metrics.observe(&planned(Trigger::Start));
    metrics.observe(&started());
    metrics.observe(&finished(ServiceState::Synced));
    metrics.cycle(&Report { revision: Some(first), ..report(&[("app1", ServiceState::Synced)]) });
    clock.pass(60);
    repo.tip().await.unwrap();
    clock.pass(10);
    repo.tip().await.unwrap();
    metrics.observe(&Event::Revision { revision: second, commit });
    metrics
}

/// Sum and count of a histogram without labels.
fn histogram(metrics: &Metrics, name: &str) -> (f64, f64) {
    let text = metrics.text(Form::Classic);
    let value = |part: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("syncd_{name}_{part}{{")));
        line.map_or(0.0, |line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
    };
    (value("sum"), value("count"))
}

#[tokio::test]
async fn a_push_is_followed_until_it_is_applied_and_ready() {
    let clock = Fixed::at(NOW);
    let metrics = pushed(&clock).await;
    assert_eq!(
        histogram(&metrics, "push_to_ready_seconds"),
        (0.0, 0.0),
        "when the first revision was pushed is not known"
    );
    metrics.observe(&planned(Trigger::Changed));
    metrics.observe(&started());
    let state = |metrics: &Metrics| {
        let series = scrape(metrics);
        let of = |name: &str| series[&format!("syncd_{name}_seconds{{service=app1}}")];
        let times = (of("service_commit_lag"), of("intent_open"));
        let on = series.iter().filter(|(name, value)| name.starts_with("syncd_service_state") && **value == 1.0);
        let on: Vec<&str> = on.map(|(name, _)| name.split_once("state=").unwrap().1.trim_end_matches('}')).collect();
        (on.join(","), times)
    };
    assert_eq!(state(&metrics), ("applying".to_owned(), (10.0, 0.0)));
    clock.pass(5);
    metrics.observe(&Event::ServiceApplied { service: "app1".to_owned() });
    metrics.observe(&Event::Waiting { service: "app1".to_owned(), waiting_for: Vec::new() });
    assert_eq!(state(&metrics), ("waiting".to_owned(), (15.0, 5.0)));
    clock.pass(600);
    // It fails, is tried again, and comes true: one push, once ready.
    metrics.observe(&finished(ServiceState::Failed));
    metrics.cycle(&report(&[("app1", ServiceState::Failed)]));
    assert_eq!(state(&metrics), ("failed".to_owned(), (615.0, 605.0)));
    metrics.observe(&planned(Trigger::Retry));
    metrics.observe(&started());
    clock.pass(1);
    metrics.observe(&finished(ServiceState::Synced));
    assert_eq!(state(&metrics), ("synced".to_owned(), (0.0, 0.0)));
    assert_eq!(histogram(&metrics, "push_to_applied_seconds"), (15.0, 1.0));
    assert_eq!(histogram(&metrics, "push_to_ready_seconds"), (616.0, 1.0));
    // A repair and a full sync are nobody's push.
    for trigger in [Trigger::Drift, Trigger::Full] {
        metrics.observe(&planned(trigger));
        metrics.observe(&started());
        assert_eq!(state(&metrics), ("applying".to_owned(), (0.0, 0.0)));
        metrics.observe(&Event::ServiceApplied { service: "app1".to_owned() });
        metrics.observe(&finished(ServiceState::Synced));
    }
    assert_eq!(histogram(&metrics, "push_to_ready_seconds"), (616.0, 1.0));
}

#[tokio::test]
async fn a_service_that_waits_for_its_turn_lags_since_the_push() {
    let clock = Fixed::at(NOW);
    let metrics = pushed(&clock).await;
    clock.pass(7);
    metrics.cycle(&report(&[("app1", ServiceState::Blocked), ("app2", ServiceState::RolledBack)]));
    clock.pass(3);
    let series = scrape(&metrics);
    for (name, value) in [
        ("syncd_service_commit_lag_seconds{service=app1}", 20.0),
        ("syncd_intent_open_seconds{service=app1}", 3.0),
        ("syncd_service_commit_lag_seconds{service=app2}", 3.0),
        ("syncd_intent_open_seconds{service=app2}", 0.0),
    ] {
        assert_eq!(series.get(name), Some(&value), "{name}");
    }
}

#[tokio::test]
async fn a_refused_tip_is_told_until_the_ref_is_as_it_was() {
    let metrics = metrics();
    let (good, bad) = (Revision("a".repeat(40)), Revision("b".repeat(40)));
    let told = |metrics: &Metrics| {
        let series = scrape(metrics);
        let of = |name: &str| series.get(&format!("syncd_source_{name}{{}}")).copied();
        (of("verified"), of("history_rewritten"))
    };
    assert_eq!(told(&metrics), (None, None));
    metrics.observe(&Event::Revision { revision: good.clone(), commit: CommitInfo::default() });
    metrics.cycle(&Report { revision: Some(good.clone()), ..report(&[]) });
    assert_eq!(told(&metrics), (Some(1.0), Some(0.0)));
    let repo = CountedRepo::new(Tips(vec![Ok(good), Ok(bad)].into()), Arc::clone(&metrics));
    repo.tip().await.unwrap();
    for (stage, expected) in [
        (Stage::Source, (Some(1.0), Some(0.0))),
        (Stage::Revision, (Some(0.0), Some(0.0))),
        (Stage::History, (Some(0.0), Some(1.0))),
        (Stage::Index, (Some(0.0), Some(0.0))),
        (Stage::Live, (Some(0.0), Some(0.0))),
    ] {
        metrics.observe(&Event::Failed(CycleError { stage, message: String::new() }));
        assert_eq!(told(&metrics), expected, "{stage:?}");
    }
    repo.tip().await.unwrap();
    assert_eq!(told(&metrics), (Some(1.0), Some(0.0)));
}

#[test]
fn requests_under_way_are_counted_up_and_down() {
    let metrics = metrics();
    for change in [1.0, 1.0, -1.0] {
        metrics.in_flight(change);
    }
    metrics.watch_restarted();
    let series = scrape(&metrics);
    assert_eq!((series["syncd_k8s_inflight{}"], series["syncd_watch_restarts_total{}"]), (1.0, 1.0));
}
