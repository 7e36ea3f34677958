//! What Prometheus can know: `/metrics`, built from reports, events and requests.
//!
//! Knows no cycle and decides nothing. Counters come from events and requests (each happens once), gauges from the report at the end of a
//! cycle (what holds now) and, for a service that is worked on, from events. Names follow Prometheus' rules: base units, `_total` for
//! counters, `_timestamp_seconds` for points in time; all of them are in [`table::TABLE`]. Invariant: the number of series is bounded by the
//! services of the index, the kinds of their objects and constants; what is no longer in the report has no series any more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::{GaugeVec, HistogramVec, IntCounterVec, Registry};

use crate::cluster::GroupKind;
use crate::cycle::{Clock, Takeover};
use crate::leader::Leadership;
use crate::repo::{CommitInfo, Revision};
use crate::report::{
    CycleResult, Event, Observer, Outcome, Report, ServiceReport, ServiceState, Services, Stage, Suspended,
    SuspendedScope, Trigger,
};

mod services;
mod source;
pub mod table;
mod text;

pub use source::CountedRepo;
pub use text::Form;

use source::POLL_RESULTS;
use table::{ENVIRONMENT, Families, PREFIX};

/// State of a service whose objects are being applied.
const APPLYING: &str = "applying";
/// State of a service whose objects are applied and not ready yet.
const WAITING: &str = "waiting";
/// Largest object that the API server takes, in bytes.
const OBJECT_BYTES_MAX: f64 = 1_048_576.0;

/// All metrics of one process.
pub struct Metrics {
    environment: String,
    registry: Registry,
    clock: Arc<dyn Clock>,
    all: Families,
    known: Mutex<Known>,
}

/// What has to be remembered to tell durations.
#[derive(Default)]
struct Known {
    polled: Option<Polled>,
    in_force: Option<Revision>,
    /// When the revision in force was pushed; absent for the first one of a process.
    pushed_at: Option<f64>,
    /// Why the plan that is carried out was made.
    trigger: Option<Trigger>,
    services: BTreeMap<String, Service>,
    /// How all services stood in the last report: what did not change since is not shown anew.
    told: Services,
}

/// The last answer about the tip of the ref, and when the one before it was last given.
struct Polled {
    revision: Revision,
    at: f64,
    before: Option<f64>,
}

/// One service; times in seconds since 1970.
#[derive(Default)]
struct Service {
    state: Option<&'static str>,
    synced_at: Option<f64>,
    /// Since when what is wanted is not reached.
    behind_since: Option<f64>,
    /// Since when work on it is open.
    open_since: Option<f64>,
    /// When what is worked on was pushed.
    pushed_at: Option<f64>,
}

impl Metrics {
    /// Makes the metrics of one environment; every series carries its name.
    pub fn new(environment: &str, clock: Arc<dyn Clock>) -> Self {
        let labels = [(ENVIRONMENT.to_owned(), environment.to_owned())].into();
        let registry = Registry::new_custom(Some(PREFIX.to_owned()), Some(labels)).expect("the prefix is a valid name");
        let all = Families::register(&registry);
        set(&all.build, &[env!("CARGO_PKG_VERSION")], 1.0);
        // Shown from the start, so that the first time is a rise and not a new series.
        for gauge in [
            &all.leader,
            &all.heartbeat,
            &all.source_success,
            &all.synced,
            &all.held,
            &all.orphans,
            &all.fights,
            &all.in_flight,
        ] {
            set(gauge, &[], 0.0);
        }
        for kind in SuspendedScope::KINDS {
            set(&all.suspended, &[kind], 0.0);
        }
        for counter in [&all.terms_lost, &all.watch_restarts] {
            counter.with_label_values::<&str>(&[]);
        }
        for result in POLL_RESULTS {
            all.polls.with_label_values(&[result]);
        }
        for stage in Stage::ALL {
            all.errors.with_label_values(&[stage.as_str()]);
        }
        Metrics { environment: environment.to_owned(), registry, clock, all, known: Mutex::default() }
    }

    /// Returns everything in a text form.
    pub fn text(&self, form: Form) -> String {
        let services = services::families(&self.all, &self.known(), &self.environment, self.now());
        form.write(&self.registry, services)
    }

    /// Notes a sign of life of the loop.
    pub fn beat(&self) {
        set(&self.all.heartbeat, &[], self.now());
    }

    /// Notes how this process stands. What a leader knew of services is no longer told once it stands by: another one tells it.
    pub fn leadership(&self, leadership: &Leadership) {
        let all = &self.all;
        set(&all.leader, &[], f64::from(u8::from(matches!(leadership, Leadership::Leads { .. }))));
        match leadership {
            Leadership::Leads { takeover } => {
                let takeover = if *takeover == Takeover::Clean { "clean" } else { "forced" };
                count(&all.terms, &[takeover]);
            }
            Leadership::Lost { .. } => {
                count(&all.terms_lost, &[]);
                *self.known() = Known::default();
                [&all.verified, &all.rewritten, &all.commit_time, &all.limit].into_iter().for_each(GaugeVec::reset);
                for gauge in [&all.held, &all.orphans, &all.fights] {
                    set(gauge, &[], 0.0);
                }
                self.suspended(&Suspended::default());
            }
            Leadership::Standby { .. } => {}
        }
    }

    /// Notes that a request to the Kubernetes API begins (1), or that its answer does or will never (-1).
    pub fn in_flight(&self, change: f64) {
        self.all.in_flight.with_label_values::<&str>(&[]).add(change);
    }

    /// Counts messages to others; none shows that there is the receiver.
    pub fn notifications(&self, receiver: &str, result: &'static str, number: u64) {
        self.all.notifications.with_label_values(&[receiver, result]).inc_by(number);
    }

    /// Notes a request to the Kubernetes API, answered with an HTTP status; 0: not answered.
    pub fn request(&self, verb: &str, code: u16, duration: Duration) {
        observe(&self.all.kubernetes_seconds, &[verb, &code.to_string()], duration.as_secs_f64());
    }

    /// Notes that a watch broke, or had to begin anew.
    pub fn watch_restarted(&self) {
        count(&self.all.watch_restarts, &[]);
    }

    /// Notes the end of a cycle.
    pub fn cycle(&self, report: &Report) {
        let all = &self.all;
        count(&all.cycles, &[report.trigger.as_str(), report.result.as_str()]);
        for stage in Stage::ALL {
            let errors = report.errors.iter().filter(|error| error.stage == stage).count();
            set(&all.errors, &[stage.as_str()], number(errors));
        }
        let phases = &report.phases;
        let phases =
            [("source", phases.source), ("read", phases.read), ("plan", phases.plan), ("execute", phases.execute)];
        for (phase, seconds) in phases {
            if seconds > 0.0 && report.trigger != Trigger::None {
                observe(&all.phase_seconds, &[phase], seconds);
            }
        }
        if matches!(report.result, CycleResult::Synced | CycleResult::Unchanged) {
            set(&all.synced, &[], self.now());
        }
        all.limit.reset();
        if let Some(held) = &report.held {
            set(&all.limit, &[], number(held.limit));
        }
        set(&all.held, &[], report.held.as_ref().map_or(0.0, |held| number(held.deletions)));
        self.suspended(&report.suspended);
        set(&all.orphans, &[], number(report.orphans.len()));
        set(&all.fights, &[], number(report.fights.len()));
        // Without an index nothing is known of services: what was known before still holds.
        if let (Some(revision), Some(_)) = (&report.revision, &report.index) {
            if let Some(commit) = &report.commit {
                set(&all.commit_time, &[], seconds(commit.committed_at_seconds));
            }
            self.known().in_force = Some(revision.clone());
            self.services(report);
        }
    }

    fn services(&self, report: &Report) {
        let (now, mut known) = (self.now(), self.known());
        let known = &mut *known;
        let told = std::mem::replace(&mut known.told, report.services.clone());
        if !report.services.is_same(&told) {
            let (pushed_at, stays) = (known.pushed_at, |found: &ServiceReport| found.state != ServiceState::Removed);
            for (name, found) in report.services.since(&told).filter(|(_, found)| stays(found)) {
                known.services.entry(name.to_string()).or_default().ended(found.state, pushed_at, now);
            }
            let mut names = report.services.iter().filter(|(_, found)| stays(found)).map(|(name, _)| name).peekable();
            known.services.retain(|name, _| {
                while names.next_if(|other| other.as_str() < name.as_str()).is_some() {}
                names.next_if(|other| *other == name).is_some()
            });
        }
        // What is synced still is; whoever is not has told since when.
        let synced = known.services.values_mut().filter(|service| service.behind_since.is_none());
        synced.filter_map(|service| service.synced_at.as_mut()).for_each(|synced_at| *synced_at = now);
    }

    fn suspended(&self, suspended: &Suspended) {
        for kind in SuspendedScope::KINDS {
            let count = suspended.0.iter().filter(|suspension| suspension.scope.kind() == kind).count();
            set(&self.all.suspended, &[kind], number(count));
        }
    }

    /// Notes the result of a request to the repository.
    fn source(&self, request: &str, result: &str, duration: Duration) {
        observe(&self.all.source_seconds, &[request, result], duration.as_secs_f64());
    }

    /// Notes what came of a question for the tip: the loop is alive, whatever it was.
    fn polled(&self, result: &str, tip: Option<&Revision>) {
        self.beat();
        count(&self.all.polls, &[result]);
        let Some(tip) = tip else { return };
        let (now, mut known) = (self.now(), self.known());
        set(&self.all.source_success, &[], now);
        if known.in_force.as_ref() == Some(tip) {
            self.trust(true, false);
        }
        let before = match known.polled.take() {
            Some(polled) if polled.revision == *tip => polled.before,
            Some(polled) => Some(polled.at),
            None => None,
        };
        known.polled = Some(Polled { revision: tip.clone(), at: now, before });
    }

    /// Notes whether the tip is followed.
    fn trust(&self, verified: bool, rewritten: bool) {
        set(&self.all.verified, &[], f64::from(u8::from(verified)));
        set(&self.all.rewritten, &[], f64::from(u8::from(rewritten)));
    }

    fn adopted(&self, revision: &Revision, commit: &CommitInfo) {
        self.trust(true, false);
        let (now, mut known) = (self.now(), self.known());
        let before =
            known.polled.as_ref().filter(|polled| polled.revision == *revision).and_then(|polled| polled.before);
        known.pushed_at = before.map(|before| seconds(commit.committed_at_seconds).max(before).min(now));
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> f64 {
        let now = self.clock.now();
        seconds(now.as_second()) + f64::from(now.subsec_millisecond()) / 1000.0
    }
}

impl Service {
    /// Notes the end of the work on it, or how it stands where there was none.
    fn ended(&mut self, state: ServiceState, pushed_at: Option<f64>, now: f64) {
        self.state = Some(state.as_str());
        if matches!(state, ServiceState::Synced | ServiceState::Removed) {
            *self = Service { state: self.state, synced_at: Some(now), ..Service::default() };
            return;
        }
        let pushed_at = pushed_at.filter(|pushed_at| self.synced_at.is_some_and(|synced_at| *pushed_at >= synced_at));
        // Of what is left alone nobody asks whether it is behind.
        if state != ServiceState::Suspended {
            self.behind_since.get_or_insert(pushed_at.unwrap_or(now));
        }
        match state {
            // The older content is reached and recorded.
            ServiceState::RolledBack | ServiceState::Suspended => self.open_since = None,
            _ => drop(self.open_since.get_or_insert(now)),
        }
    }
}

impl Observer for Metrics {
    fn observe(&self, event: &Event) {
        self.beat();
        let all = &self.all;
        match event {
            Event::Revision { revision, commit } => self.adopted(revision, commit),
            Event::Planned { trigger, .. } => self.known().trigger = Some(*trigger),
            Event::ServiceStarted { service } => {
                let (now, mut known) = (self.now(), self.known());
                let changed = known.trigger == Some(Trigger::Changed);
                let pushed_at = known.pushed_at;
                let service = known.services.entry(service.clone()).or_default();
                service.state = Some(APPLYING);
                service.open_since.get_or_insert(now);
                if changed {
                    service.behind_since.get_or_insert(pushed_at.unwrap_or(now));
                    service.pushed_at = pushed_at;
                }
            }
            Event::ServiceApplied { service } => {
                let pushed_at = self.known().services.get(service).and_then(|service| service.pushed_at);
                if let Some(pushed_at) = pushed_at {
                    observe(&all.push_applied, &[], self.now() - pushed_at);
                }
            }
            Event::Waiting { service, .. } => {
                self.known().services.entry(service.clone()).or_default().state = Some(WAITING);
            }
            Event::ServiceFinished { service: name, report } => {
                let (now, mut known) = (self.now(), self.known());
                let revision_pushed_at = known.pushed_at;
                let service = known.services.entry(name.clone()).or_default();
                let pushed_at = service.pushed_at.filter(|_| report.state == ServiceState::Synced);
                service.ended(report.state, revision_pushed_at, now);
                if let Some(pushed_at) = pushed_at {
                    observe(&all.push_ready, &[], now - pushed_at);
                }
                if report.state == ServiceState::Removed {
                    known.services.remove(name);
                }
            }
            Event::Object { object, .. } => {
                let kind = GroupKind::of(&object.object).to_string();
                let outcome = object.outcome;
                match outcome {
                    Outcome::Created | Outcome::Configured | Outcome::Unchanged => {
                        count(&all.applied, &[&kind, outcome.as_str()]);
                    }
                    Outcome::Deleted | Outcome::Withheld => count(&all.pruned, &[&kind, outcome.as_str()]),
                    Outcome::Failed => count(&all.failed, &[&kind]),
                }
            }
            Event::Drift { object, action, .. } => {
                count(&all.drift, &[&GroupKind::of(object).to_string(), action.as_str()]);
            }
            Event::Failed(error) => match error.stage {
                Stage::Revision | Stage::Index => self.trust(false, false),
                Stage::History => self.trust(false, true),
                Stage::Source | Stage::State | Stage::Live | Stage::Plan => {}
            },
            Event::Held(_) => {}
            Event::Suspended(suspended) => self.suspended(suspended),
        }
    }
}

fn set(gauge: &GaugeVec, labels: &[&str], value: f64) {
    gauge.with_label_values(labels).set(value);
}

fn count(counter: &IntCounterVec, labels: &[&str]) {
    counter.with_label_values(labels).inc();
}

fn observe(histogram: &HistogramVec, labels: &[&str], value: f64) {
    histogram.with_label_values(labels).observe(value);
}

#[expect(clippy::cast_precision_loss, reason = "2^53 objects are enough")]
fn number(count: usize) -> f64 {
    count as f64
}

/// Seconds since 1970 as Prometheus has them: exact until the year 285 million.
#[expect(clippy::cast_precision_loss, reason = "2^53 seconds are enough")]
fn seconds(whole: i64) -> f64 {
    whole as f64
}
