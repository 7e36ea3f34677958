//! Every metric that there is: its name, its labels, and what it says. The one list, of which the code and `docs/metrics.md` are made.
//!
//! Knows no values. Invariant: each label of a metric is in [`labels`], which says what bounds it: the services of the index, the kinds of
//! their objects, and words of this program; never a name of an object, a message, or a revision.

use prometheus::core::Collector;
use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

use super::source::POLL_RESULTS;
use super::{APPLYING, WAITING};
use crate::report::{ServiceState, Stage, SuspendedScope};

/// First part of every name.
pub const PREFIX: &str = "syncd";
/// Label of every series.
pub const ENVIRONMENT: &str = "environment";

/// Bounds of the buckets for single requests, in seconds.
const REQUEST: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];
/// Bounds of the buckets for phases of a cycle, in seconds.
const PHASE: &[f64] = &[0.01, 0.05, 0.25, 1.0, 5.0, 15.0, 60.0, 180.0, 600.0, 1800.0];
/// Bounds of the buckets for the way from a push to the cluster, in seconds.
const PUSH: &[f64] = &[1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];
/// For what has no buckets.
const NONE: &[f64] = &[];

/// One metric, as it is described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// Name without [`PREFIX`].
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Labels beside [`ENVIRONMENT`].
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

impl Family {
    fn opts(&self) -> Opts {
        Opts::new(self.name, self.help)
    }
}

/// Gauges of every service. They are written from what is known of services when somebody asks: a series of the library takes 400 bytes,
/// and each service has sixteen.
pub(super) struct OfServices(pub &'static Family);

/// What a metric is kept in.
trait Kept: Sized {
    const KIND: &'static str;

    fn register(registry: &Registry, family: &'static Family, buckets: &[f64]) -> Self;
}

/// Names and labels are constants, so that failing is a mistake in this file.
fn registered<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    let metric = made.expect("a valid name and valid labels");
    registry.register(Box::new(metric.clone())).expect("a new name");
    metric
}

impl Kept for IntCounterVec {
    const KIND: &'static str = "counter";

    fn register(registry: &Registry, family: &'static Family, _: &[f64]) -> Self {
        registered(registry, IntCounterVec::new(family.opts(), family.labels))
    }
}

impl Kept for GaugeVec {
    const KIND: &'static str = "gauge";

    fn register(registry: &Registry, family: &'static Family, _: &[f64]) -> Self {
        registered(registry, GaugeVec::new(family.opts(), family.labels))
    }
}

impl Kept for OfServices {
    const KIND: &'static str = "gauge";

    fn register(_: &Registry, family: &'static Family, _: &[f64]) -> Self {
        OfServices(family)
    }
}

impl Kept for HistogramVec {
    const KIND: &'static str = "histogram";

    fn register(registry: &Registry, family: &'static Family, buckets: &[f64]) -> Self {
        let opts = HistogramOpts::from(family.opts()).buckets(buckets.to_vec());
        registered(registry, HistogramVec::new(opts, family.labels))
    }
}

/// Makes the table, the struct of all metrics, and what registers them, from one list.
macro_rules! families {
    ($($field:ident: $kind:ty, $name:literal, $labels:expr, $buckets:expr, $help:literal;)*) => {
        /// Every metric, in the order of the documentation.
        pub const TABLE: &[Family] =
            &[$(Family { name: $name, kind: <$kind as Kept>::KIND, labels: &$labels, help: $help }),*];

        /// Every metric, to be set.
        pub(super) struct Families {
            $(pub $field: $kind),*
        }

        impl Families {
            pub fn register(registry: &Registry) -> Self {
                let mut table = TABLE.iter();
                $(let $field = Kept::register(registry, table.next().expect("as many as fields"), $buckets);)*
                Families { $($field),* }
            }
        }
    };
}

families! {
    build: GaugeVec, "build_info", ["version"], NONE, "Version of syncd; always 1.";
    leader: GaugeVec, "leader", [], NONE, "1 while this process leads, 0 while it stands by.";
    terms: IntCounterVec, "leader_terms_total", ["takeover"], NONE,
        "Times that this process became leader; clean: the one before had given the Lease back.";
    terms_lost: IntCounterVec, "leader_terms_lost_total", [], NONE,
        "Times that this process lost the Lease and stopped at once.";
    heartbeat: GaugeVec, "loop_heartbeat_timestamp_seconds", [], NONE, "When the loop last gave a sign of life.";
    polls: IntCounterVec, "source_poll_total", ["result"], NONE, "Questions for the tip of the ref, by result.";
    source_seconds: HistogramVec, "source_request_duration_seconds", ["request", "result"], REQUEST,
        "Duration of requests to the Git repository.";
    source_success: GaugeVec, "source_last_success_timestamp_seconds", [], NONE,
        "When the tip of the ref was last told; 0: never by this process.";
    verified: GaugeVec, "source_verified", [], NONE,
        "1 while the tip of the ref is followed; 0 while it is refused for its signature, its history or its index. Absent until the first is read.";
    rewritten: GaugeVec, "source_history_rewritten", [], NONE,
        "1 while the tip of the ref is refused because it does not descend from the revision in force, or that cannot be proved.";
    commit_time: GaugeVec, "index_commit_timestamp_seconds", [], NONE,
        "Date of the commit in force. Absent until the first is read.";
    cycles: IntCounterVec, "cycles_total", ["trigger", "result"], NONE, "Cycles, by what set them off and how they ended.";
    errors: GaugeVec, "cycle_errors", ["stage"], NONE, "Errors of the last cycle, by the part of it that failed.";
    phase_seconds: HistogramVec, "sync_duration_seconds", ["phase"], PHASE,
        "Duration of the phases of cycles that had something to do.";
    synced: GaugeVec, "last_synced_timestamp_seconds", [], NONE,
        "When a cycle last ended with every service synced; 0: never by this process.";
    push_applied: HistogramVec, "push_to_applied_seconds", [], PUSH,
        "From a push until the server has accepted the last object of a service that it changed. A push is dated by its commit, but not before the last poll without it; not of the first revision that a process reads.";
    push_ready: HistogramVec, "push_to_ready_seconds", [], PUSH,
        "The same until the service is ready, pruned and recorded.";
    state: OfServices, "service_state", ["service", "state"], NONE, "State of each service: 1 for the one it is in.";
    failures: OfServices, "service_failures", ["service"], NONE,
        "Failures in a row of each service; stays while it is tried again.";
    lag: OfServices, "service_commit_lag_seconds", ["service"], NONE,
        "How long what the revision in force says of a service has not been reached; 0 when it is.";
    withheld: OfServices, "service_withheld_objects", ["service"], NONE,
        "Objects of each service that are no longer wanted and were kept.";
    intent: OfServices, "intent_open_seconds", ["service"], NONE,
        "How long the work on a service has been begun and not ended, as far as this process has seen it; 0: nothing is open.";
    inventory: OfServices, "inventory_bytes", ["service"], NONE,
        "Size of the largest ConfigMap of the record of each service.";
    inventory_ratio: OfServices, "inventory_ratio", ["service"], NONE,
        "The same as a share of 1 MiB, where the API server stops.";
    applied: IntCounterVec, "apply_total", ["kind", "result"], NONE, "Objects applied, by kind and result.";
    pruned: IntCounterVec, "prune_total", ["kind", "result"], NONE,
        "Objects no longer wanted: deleted, or withheld and told so once a plan.";
    failed: IntCounterVec, "object_failures_total", ["kind"], NONE,
        "Objects on which something failed: an apply, a delete, or becoming ready.";
    held: GaugeVec, "prune_held_objects", [], NONE, "Deletions that wait for approval.";
    limit: GaugeVec, "prune_limit_objects", [], NONE,
        "Deletions that would have been let through when some were held; absent when none are.";
    suspended: GaugeVec, "suspended", ["scope"], NONE,
        "Suspensions in force, by what they are of.";
    orphans: GaugeVec, "orphan_objects", [], NONE, "Objects with our owner label that no record holds.";
    drift: IntCounterVec, "drift_total", ["kind", "action"], NONE,
        "Objects that somebody else changed or removed, by kind and what was done; backed-off: it is fought over.";
    fights: GaugeVec, "fight_active", [], NONE, "Objects that somebody keeps changing after they were corrected.";
    kubernetes_seconds: HistogramVec, "k8s_request_duration_seconds", ["verb", "code"], REQUEST,
        "Duration of requests to the Kubernetes API until the head of the answer; code 0: no answer.";
    in_flight: GaugeVec, "k8s_inflight", [], NONE,
        "Requests to the Kubernetes API that wait for the head of the answer.";
    watch_restarts: IntCounterVec, "watch_restarts_total", [], NONE,
        "Times that a watch broke, or had to begin anew.";
    notifications: IntCounterVec, "notifications_total", ["receiver", "result"], NONE,
        "Messages to others; retried: an attempt that failed and is made again.";
}

/// Returns the states that a service is shown in: one that is gone has no series.
pub(super) fn states() -> Vec<&'static str> {
    let states = ServiceState::ALL.iter().filter(|state| **state != ServiceState::Removed);
    [APPLYING, WAITING].into_iter().chain(states.map(|state| state.as_str())).collect()
}

/// Every label, with the values it can have.
pub fn labels() -> Vec<(&'static str, String)> {
    let words = |words: &[&str]| words.join(", ");
    let stages: Vec<&str> = Stage::ALL.iter().map(|stage| stage.as_str()).collect();
    let result = format!(
        "of polls and requests to the repository: {}; of cycles: unchanged, synced, superseded, held, failed; of applies: \
         created, configured, unchanged; of prunes: deleted, withheld; \
         of notifications: told, retried, dropped",
        words(&POLL_RESULTS)
    );
    vec![
        (ENVIRONMENT, "the environment: one a process; on every series".to_owned()),
        ("service", "services of the index in force, and those that left it and still hold objects".to_owned()),
        ("kind", "kinds of the objects of the environment: `Deployment.apps`, `ConfigMap`".to_owned()),
        ("version", "of the running program: one a process".to_owned()),
        ("takeover", "clean, forced".to_owned()),
        ("request", "tip, fetch, verify, lineage, read".to_owned()),
        ("result", result),
        ("receiver", "names in the file of receivers".to_owned()),
        ("trigger", "none, start, changed, retry, drift, full".to_owned()),
        ("stage", words(&stages)),
        ("phase", "source, read, plan, execute".to_owned()),
        ("scope", words(&SuspendedScope::KINDS)),
        ("state", words(&states())),
        ("action", "corrected, backed-off, reported".to_owned()),
        ("verb", "apply, get, list, watch, create, update, patch, delete, discover, other".to_owned()),
        ("code", "HTTP status; 0: no answer".to_owned()),
    ]
}
