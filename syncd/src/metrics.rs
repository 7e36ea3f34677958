//! What Prometheus can know: `/metrics`, built from reports, events and requests.
//!
//! Knows no cycle and decides nothing. Counters come from events and requests (each happens once), gauges from the report at the end of a
//! cycle (what holds now). Names follow Prometheus' rules: base units, `_total` for counters, `_timestamp_seconds` for points in time,
//! which an alert compares with `time()`. Invariant: the number of series is bounded by the services of the index, the kinds of their
//! objects and constants; what is no longer in the report has no series any more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::{
    Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use tokio::time::Instant;

use crate::cluster::GroupKind;
use crate::cycle::{Clock, Takeover};
use crate::leader::Leadership;
use crate::repo::{CommitInfo, Lineage, Repo, RepoError, Revision};
use crate::report::{CycleResult, Event, Observer, Outcome, Report, ServiceState, Stage, Trigger};

/// Bounds of the buckets for single requests, in seconds.
const REQUEST_SECONDS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];
/// Bounds of the buckets for phases of a cycle, in seconds.
const PHASE_SECONDS: [f64; 10] = [0.01, 0.05, 0.25, 1.0, 5.0, 15.0, 60.0, 180.0, 600.0, 1800.0];

/// All metrics of one process.
pub struct Metrics {
    registry: Registry,
    clock: Arc<dyn Clock>,
    polls: IntCounterVec,
    source_seconds: HistogramVec,
    source_success: Gauge,
    revision: IntGaugeVec,
    commit_time: Gauge,
    cycles: IntCounterVec,
    errors: IntGaugeVec,
    phase_seconds: HistogramVec,
    synced: Gauge,
    heartbeat: Gauge,
    service_state: IntGaugeVec,
    service_failures: IntGaugeVec,
    service_unsettled: GaugeVec,
    service_withheld: IntGaugeVec,
    inventory_bytes: IntGaugeVec,
    applied: IntCounterVec,
    pruned: IntCounterVec,
    failed: IntCounterVec,
    held: IntGauge,
    orphans: IntGauge,
    drift: IntCounterVec,
    fights: IntGauge,
    leader: IntGauge,
    terms: IntCounterVec,
    terms_lost: IntCounter,
    kubernetes_seconds: HistogramVec,
    /// Since when each service is not settled, in seconds since 1970.
    unsettled: Mutex<BTreeMap<String, f64>>,
}

impl Metrics {
    /// Makes the metrics of one environment; every series carries its name.
    pub fn new(environment: &str, clock: Arc<dyn Clock>) -> Self {
        let labels = [("environment".to_owned(), environment.to_owned())].into();
        let registry =
            Registry::new_custom(Some("syncd".to_owned()), Some(labels)).expect("the prefix is a valid name");
        let make = Maker(&registry);
        make.int_gauges("build_info", "Version of syncd; always 1.", &["version"])
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        let metrics = Metrics {
            polls: make.counters("source_polls_total", "Questions for the tip of the ref, by result.", &["result"]),
            source_seconds: make.histograms(
                "source_request_duration_seconds",
                "Duration of requests to the Git repository.",
                &["request", "result"],
                &REQUEST_SECONDS,
            ),
            source_success: make
                .gauge("source_last_success_timestamp_seconds", "When the tip of the ref was last told."),
            revision: make.int_gauges(
                "revision_info",
                "Revision in force and hash of its index; always 1.",
                &["revision", "index"],
            ),
            commit_time: make.gauge("revision_commit_timestamp_seconds", "Date of the commit in force."),
            cycles: make.counters(
                "cycles_total",
                "Cycles, by what set them off and how they ended.",
                &["trigger", "result"],
            ),
            errors: make.int_gauges(
                "cycle_errors",
                "Errors of the last cycle, by the part of it that failed; revision: a signature or the history was refused.",
                &["stage"],
            ),
            phase_seconds: make.histograms(
                "cycle_duration_seconds",
                "Duration of the phases of cycles that had something to do.",
                &["phase"],
                &PHASE_SECONDS,
            ),
            synced: make.gauge("last_synced_timestamp_seconds", "When a cycle last ended with every service synced."),
            heartbeat: make.gauge("loop_heartbeat_timestamp_seconds", "When the loop last gave a sign of life."),
            service_state: make.int_gauges(
                "service_state",
                "State of each service: 1 for the one it is in.",
                &["service", "state"],
            ),
            service_failures: make.int_gauges("service_failures", "Failures in a row of each service.", &["service"]),
            service_unsettled: make.gauges(
                "service_unsettled_since_timestamp_seconds",
                "Since when a service is not synced and its intent is open; absent when it is synced.",
                &["service"],
            ),
            service_withheld: make.int_gauges(
                "service_withheld_objects",
                "Objects of each service that are no longer wanted and were kept.",
                &["service"],
            ),
            inventory_bytes: make.int_gauges(
                "inventory_bytes",
                "Size of the record of each service in the cluster.",
                &["service"],
            ),
            applied: make.counters(
                "applied_objects_total",
                "Objects applied, by kind and result.",
                &["kind", "result"],
            ),
            pruned: make.counters(
                "pruned_objects_total",
                "Objects deleted because they are no longer wanted.",
                &["kind"],
            ),
            failed: make.counters("failed_objects_total", "Objects on which something failed.", &["kind"]),
            held: make.int_gauge("prune_held_objects", "Deletions that wait for approval."),
            orphans: make.int_gauge("orphan_objects", "Objects with our owner label that no record holds."),
            drift: make.counters(
                "drift_total",
                "Objects that somebody else changed or removed, by kind and what was done; backed-off: it is fought over.",
                &["kind", "action"],
            ),
            fights: make
                .int_gauge("drift_fights", "Objects that somebody keeps changing after they were corrected."),
            leader: make.int_gauge("leader", "1 while this process leads, 0 while it stands by."),
            terms: make.counters(
                "leader_terms_total",
                "Times that this process became leader; clean: the one before had given the Lease back.",
                &["takeover"],
            ),
            terms_lost: make
                .counter("leader_terms_lost_total", "Times that this process lost the Lease and stopped at once."),
            kubernetes_seconds: make.histograms(
                "kubernetes_request_duration_seconds",
                "Duration of requests to the Kubernetes API until the head of the answer; code 0: no answer.",
                &["verb", "code"],
                &REQUEST_SECONDS,
            ),
            unsettled: Mutex::default(),
            registry: registry.clone(),
            clock,
        };
        for result in POLL_RESULTS {
            metrics.polls.with_label_values(&[result]);
        }
        for stage in Stage::ALL {
            metrics.errors.with_label_values(&[stage.as_str()]);
        }
        metrics
    }

    /// Returns everything in Prometheus' text format.
    pub fn text(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).expect("registered metrics can be written")
    }

    /// Notes a sign of life of the loop.
    pub fn beat(&self) {
        self.heartbeat.set(self.now());
    }

    /// Notes how this process stands. What a leader knew of services is no longer told once it stands by: another one tells it.
    pub fn leadership(&self, leadership: &Leadership) {
        let leads = matches!(leadership, Leadership::Leads { .. });
        self.leader.set(i64::from(leads));
        match leadership {
            Leadership::Leads { takeover } => {
                let takeover = if *takeover == Takeover::Clean { "clean" } else { "forced" };
                self.terms.with_label_values(&[takeover]).inc();
            }
            Leadership::Lost { .. } => {
                self.terms_lost.inc();
                for vector in
                    [&self.service_state, &self.service_failures, &self.service_withheld, &self.inventory_bytes]
                {
                    vector.reset();
                }
                self.service_unsettled.reset();
                self.revision.reset();
                self.unsettled.lock().unwrap_or_else(PoisonError::into_inner).clear();
                self.held.set(0);
                self.orphans.set(0);
                self.fights.set(0);
            }
            Leadership::Standby { .. } => {}
        }
    }

    /// Notes a request to the Kubernetes API, answered with an HTTP status; 0: not answered.
    pub fn request(&self, verb: &str, code: u16, duration: Duration) {
        let labels = [verb, &code.to_string()];
        self.kubernetes_seconds.with_label_values(&labels).observe(duration.as_secs_f64());
    }

    /// Notes the end of a cycle.
    pub fn cycle(&self, report: &Report) {
        self.cycles.with_label_values(&[report.trigger.as_str(), report.result.as_str()]).inc();
        for stage in Stage::ALL {
            let errors = report.errors.iter().filter(|error| error.stage == stage).count();
            self.errors.with_label_values(&[stage.as_str()]).set(count(errors));
        }
        let phases = &report.phases;
        let phases =
            [("source", phases.source), ("read", phases.read), ("plan", phases.plan), ("execute", phases.execute)];
        for (phase, seconds) in phases {
            if seconds > 0.0 && report.trigger != Trigger::None {
                self.phase_seconds.with_label_values(&[phase]).observe(seconds);
            }
        }
        if matches!(report.result, CycleResult::Synced | CycleResult::Unchanged) {
            self.synced.set(self.now());
        }
        self.held.set(report.held.as_ref().map_or(0, |held| count(held.deletions)));
        self.orphans.set(count(report.orphans.len()));
        self.fights.set(count(report.fights.len()));
        // Without an index nothing is known of services: what was known before still holds.
        if let (Some(revision), Some(index)) = (&report.revision, &report.index) {
            self.revision.reset();
            self.revision.with_label_values(&[&revision.0, &index.to_string()]).set(1);
            if let Some(commit) = &report.commit {
                self.commit_time.set(seconds(commit.committed_at_seconds));
            }
            self.services(report);
        }
    }

    fn services(&self, report: &Report) {
        let mut unsettled = self.unsettled.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.now();
        for vector in [&self.service_state, &self.service_failures, &self.service_withheld, &self.inventory_bytes] {
            vector.reset();
        }
        self.service_unsettled.reset();
        let left =
            |service: &str| report.services.get(service).is_none_or(|found| found.state == ServiceState::Removed);
        unsettled.retain(|service, _| !left(service));
        for (service, found) in &report.services {
            if found.state == ServiceState::Removed {
                continue;
            }
            for state in ServiceState::ALL {
                self.service_state.with_label_values(&[service, state.as_str()]).set(i64::from(state == found.state));
            }
            self.service_failures.with_label_values(&[service]).set(i64::from(found.failures));
            self.service_withheld.with_label_values(&[service]).set(count(found.withheld));
            self.inventory_bytes.with_label_values(&[service]).set(count(found.state_bytes));
            if found.state == ServiceState::Synced {
                unsettled.remove(service);
            } else {
                let since = *unsettled.entry(service.clone()).or_insert(now);
                self.service_unsettled.with_label_values(&[service]).set(since);
            }
        }
    }

    fn source<T>(&self, request: &str, begun: Instant, result: &Result<T, RepoError>) {
        let labels = [request, result_word(result)];
        self.source_seconds.with_label_values(&labels).observe(begun.elapsed().as_secs_f64());
    }

    fn now(&self) -> f64 {
        let now = self.clock.now();
        seconds(now.as_second()) + f64::from(now.subsec_millisecond()) / 1000.0
    }
}

impl Observer for Metrics {
    fn observe(&self, event: &Event) {
        self.beat();
        if let Event::Drift { object, action, .. } = event {
            self.drift.with_label_values(&[&GroupKind::of(object).to_string(), action.as_str()]).inc();
        }
        let Event::Object { object, .. } = event else { return };
        let kind = GroupKind::of(&object.object).to_string();
        match object.outcome {
            Outcome::Created | Outcome::Configured | Outcome::Unchanged => {
                self.applied.with_label_values(&[&kind, object.outcome.as_str()]).inc();
            }
            Outcome::Deleted => self.pruned.with_label_values(&[&kind]).inc(),
            Outcome::Failed => self.failed.with_label_values(&[&kind]).inc(),
            Outcome::Withheld => {}
        }
    }
}

/// A repository whose requests are counted.
pub struct CountedRepo<R> {
    repo: R,
    metrics: Arc<Metrics>,
}

impl<R> CountedRepo<R> {
    /// Counts the requests to `repo`.
    pub fn new(repo: R, metrics: Arc<Metrics>) -> Self {
        CountedRepo { repo, metrics }
    }
}

impl<R: Repo> Repo for CountedRepo<R> {
    async fn tip(&self) -> Result<Revision, RepoError> {
        let begun = Instant::now();
        let result = self.repo.tip().await;
        self.metrics.source("tip", begun, &result);
        self.metrics.polls.with_label_values(&[result_word(&result)]).inc();
        if result.is_ok() {
            self.metrics.source_success.set(self.metrics.now());
        }
        result
    }

    async fn fetch(&self, revision: &Revision) -> Result<CommitInfo, RepoError> {
        let begun = Instant::now();
        let result = self.repo.fetch(revision).await;
        self.metrics.source("fetch", begun, &result);
        result
    }

    async fn verify(&self, revision: &Revision) -> Result<(), RepoError> {
        let begun = Instant::now();
        let result = self.repo.verify(revision).await;
        self.metrics.source("verify", begun, &result);
        result
    }

    async fn lineage(&self, revision: &Revision, earlier: &Revision) -> Result<Lineage, RepoError> {
        let begun = Instant::now();
        let result = self.repo.lineage(revision, earlier).await;
        self.metrics.source("lineage", begun, &result);
        result
    }

    async fn read(&self, revision: &Revision, paths: Vec<String>) -> Result<Vec<Option<Vec<u8>>>, RepoError> {
        let begun = Instant::now();
        let result = self.repo.read(revision, paths).await;
        self.metrics.source("read", begun, &result);
        result
    }
}

/// Every result of a request to the repository: shown from the start, so that the first failure is a rise and not a new series.
const POLL_RESULTS: [&str; 11] = [
    "ok",
    "unreachable",
    "unauthorized",
    "untrusted",
    "not_found",
    "no_ref",
    "corrupt",
    "unverified",
    "not_acceptable",
    "too_large",
    "local",
];

fn result_word<T>(result: &Result<T, RepoError>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(RepoError::Unreachable(_)) => "unreachable",
        Err(RepoError::Unauthorized(_)) => "unauthorized",
        Err(RepoError::Untrusted(_)) => "untrusted",
        Err(RepoError::NotFound(_)) => "not_found",
        Err(RepoError::NoRef(_)) => "no_ref",
        Err(RepoError::Corrupt(_)) => "corrupt",
        Err(RepoError::Unverified(_)) => "unverified",
        Err(RepoError::NotAcceptable { .. }) => "not_acceptable",
        Err(RepoError::TooLarge(_)) => "too_large",
        Err(RepoError::Local(_)) => "local",
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Seconds since 1970 as Prometheus has them: exact until the year 285 million.
#[expect(clippy::cast_precision_loss, reason = "2^53 seconds are enough")]
fn seconds(whole: i64) -> f64 {
    whole as f64
}

/// Makes and registers metrics. Names and labels are constants, so that failing is a mistake in this file.
struct Maker<'a>(&'a Registry);

impl Maker<'_> {
    fn register<M: prometheus::core::Collector + Clone + 'static>(&self, metric: prometheus::Result<M>) -> M {
        let metric = metric.expect("a valid name and valid labels");
        self.0.register(Box::new(metric.clone())).expect("a new name");
        metric
    }

    fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.register(Gauge::new(name, help))
    }

    fn int_gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::new(name, help))
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::new(name, help))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.register(GaugeVec::new(Opts::new(name, help), labels))
    }

    fn int_gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str], bounds: &[f64]) -> HistogramVec {
        self.register(HistogramVec::new(HistogramOpts::new(name, help).buckets(bounds.to_vec()), labels))
    }
}
