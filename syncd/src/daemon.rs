//! When the next cycle begins, and when one that runs has to stop.
//!
//! Polls at an even pace with jitter, more slowly while the source or the cluster cannot be read; the schedule of failed services and of
//! full syncs is the cycle's own. While a cycle runs, the tip is still asked for: a newer revision ends its waits. Knows no repository,
//! cluster or clock of the day ([`Work`], [`Tip`]); all time is tokio's. Invariants: there is never more than one cycle; whatever a
//! cycle does - fail, panic, hang - another one follows, until the stop is asked for.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use ulid::Ulid;

use crate::cluster::Cluster;
use crate::config::Settings;
use crate::cycle::{self, Clock, Context, Memory, Mode, Request, Takeover};
use crate::drift::{self, Drift};
use crate::repo::{CommitInfo, Lineage, Repo, RepoError, Revision};
use crate::report::{CycleError, CycleResult, Event, Observer, Phases, Report, Stage, Suspended, Trigger, VERSION};
use crate::suspension::Heard;

/// How fast to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// Time between two polls, give or take a fifth.
    pub poll: Duration,
    /// Longest time between two polls while nothing can be read.
    pub slowest: Duration,
    /// Longest time without an event after which a cycle is given up.
    pub silence: Duration,
    /// Shortest time between two polls that somebody asks for.
    pub nudge: Duration,
    /// Longest time that a running cycle has left after a stop was asked for.
    pub grace: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            poll: Duration::from_secs(15),
            slowest: Duration::from_secs(5 * 60),
            silence: Duration::from_secs(60 * 60),
            nudge: Duration::from_secs(1),
            grace: Duration::from_secs(25),
        }
    }
}

impl Pace {
    /// Returns the pause before the next poll, after `failures` cycles in a row that could not read. `random` is in 0..1.
    pub fn pause(&self, failures: u32, random: f64) -> Duration {
        let even = self.poll.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX));
        even.min(self.slowest.max(self.poll)).mul_f64(0.8 + 0.4 * random)
    }

    /// Returns the longest time without a sign of life of a healthy loop.
    pub fn silence_max(&self) -> Duration {
        self.silence.saturating_add(self.slowest.max(self.poll).saturating_mul(3))
    }
}

/// Does one cycle at a time.
pub trait Work: Send {
    /// Runs a cycle. It is given up by dropping the future.
    fn cycle(&mut self, request: Request, superseded: watch::Receiver<bool>) -> impl Future<Output = Report> + Send;

    /// Makes the report of a cycle that could not make its own.
    fn failed(&mut self, request: &Request, message: String) -> Report;
}

/// Tells whether a cycle is out of date.
pub trait Tip: Send + Sync {
    /// Asks the repository; tells whether the ref points elsewhere than when the running cycle asked.
    fn has_moved(&self) -> impl Future<Output = bool> + Send;

    /// Waits until somebody asks for a poll now.
    fn asked(&self) -> impl Future<Output = ()> + Send;

    /// Waits until there is something that others changed, or suspended, or resumed, to be answered with the revision in force.
    fn drifted(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }
}

/// Who hears of the loop.
pub trait Listener: Send + Sync {
    /// The loop is alive.
    fn beat(&self);
    /// When the running cycle last had an event; `None`: not yet.
    fn last_event(&self) -> Option<Instant>;
    /// A cycle ended.
    fn report(&self, report: &Report);
}

/// Nobody.
impl Listener for () {
    fn beat(&self) {}

    fn last_event(&self) -> Option<Instant> {
        None
    }

    fn report(&self, _report: &Report) {}
}

/// Runs cycles until `stop` becomes true (or its sender is gone). `next_id` also gives the randomness of the pauses.
pub async fn run<W: Work, T: Tip>(
    work: &mut W,
    tip: &T,
    pace: &Pace,
    listener: &dyn Listener,
    mut next_id: impl FnMut() -> Ulid,
    mut stop: watch::Receiver<bool>,
) {
    let mut failures = 0_u32;
    let (mut mode, mut polled) = (Mode::Auto, Instant::now());
    while !is_stopped(&stop) {
        let (id, begun) = (next_id(), Instant::now());
        listener.beat();
        // A repair asks nobody: the next poll is due when it was.
        let asked = Mutex::new(if mode == Mode::Repair { polled } else { Instant::now() });
        let (report, moved) =
            one_cycle(work, &Asked { tip, last: &asked }, pace, listener, (id, mode), &mut stop).await;
        // A revision that is refused was read: its mending is a commit like any other, and not to be noticed late.
        let is_refusal = |stage: Stage| matches!(stage, Stage::Revision | Stage::History | Stage::Index);
        let blind = report.errors.iter().any(|error| !is_refusal(error.stage));
        failures = match (blind, mode) {
            (_, Mode::Repair) => failures,
            (true, _) => failures.saturating_add(1),
            (false, _) => 0,
        };
        polled = *asked.lock().unwrap_or_else(PoisonError::into_inner);
        listener.report(&report);
        listener.beat();
        if report.result == CycleResult::Superseded && !is_stopped(&stop) {
            // What superseded it is known to be there.
            mode = if moved == Some(Moved::Drift) { Mode::Repair } else { Mode::Auto };
            continue;
        }
        // Polls are an interval apart, however long the cycle between them took; while nothing can be read, the pause is a whole one.
        let since = if failures == 0 || mode == Mode::Repair { polled } else { Instant::now() };
        mode = Mode::Auto;
        tokio::select! {
            biased;
            () = stopped(&mut stop) => {}
            () = sleep_until(since + pace.pause(failures, share(id))) => {}
            () = nudged(tip, begun + pace.nudge) => {}
            () = drifts(tip, begun + pace.nudge.min(DRIFT_APART)) => mode = Mode::Repair,
        }
    }
}

/// A tip, and when it was last asked for.
struct Asked<'a, T> {
    tip: &'a T,
    last: &'a Mutex<Instant>,
}

/// Ends when somebody asks for a poll, but not before `earliest`.
async fn nudged<T: Tip>(tip: &T, earliest: Instant) {
    // In this order: who is dropped meanwhile has not taken the question away.
    sleep_until(earliest).await;
    tip.asked().await;
}

/// Shortest time between the beginnings of two cycles that correct drift.
const DRIFT_APART: Duration = Duration::from_millis(200);

/// Ends when there is something that others changed, but not before `earliest`.
async fn drifts<T: Tip>(tip: &T, earliest: Instant) {
    sleep_until(earliest).await;
    tip.drifted().await;
}

/// What makes a running cycle out of date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moved {
    /// A newer revision.
    Tip,
    /// Others changed something.
    Drift,
}

/// Runs one cycle to its end, whatever that is.
async fn one_cycle<W: Work, T: Tip>(
    work: &mut W,
    tip: &Asked<'_, T>,
    pace: &Pace,
    listener: &dyn Listener,
    (id, mode): (Ulid, Mode),
    stop: &mut watch::Receiver<bool>,
) -> (Report, Option<Moved>) {
    let request = Request { id: id.to_string(), mode };
    let mut out_of_date = None;
    let (supersede, superseded) = watch::channel(false);
    let end = {
        let mut cycle = pin!(AssertUnwindSafe(work.cycle(request.clone(), superseded)).catch_unwind());
        tokio::select! {
            biased;
            end = &mut cycle => End::of(end),
            why = moved(tip, pace, id) => {
                out_of_date = Some(why);
                supersede.send_replace(true);
                tokio::select! {
                    biased;
                    end = &mut cycle => End::of(end),
                    () = silent(pace, listener) => End::Silent,
                    () = stopped(stop) => End::of_last(timeout(pace.grace, &mut cycle).await),
                }
            }
            () = stopped(stop) => {
                supersede.send_replace(true);
                End::of_last(timeout(pace.grace, &mut cycle).await)
            }
            () = silent(pace, listener) => End::Silent,
        }
    };
    let report =
        match end {
            End::Report(report) => *report,
            End::Panicked => work.failed(&request, "the cycle panicked: a fault of syncd".to_owned()),
            End::Silent => work
                .failed(&request, format!("the cycle was given up: nothing happened for {} s", pace.silence.as_secs())),
            End::Late => work
                .failed(&request, format!("the cycle was given up: it did not stop within {} s", pace.grace.as_secs())),
        };
    (report, out_of_date)
}

/// How a cycle ended.
enum End {
    Report(Box<Report>),
    Panicked,
    Silent,
    Late,
}

impl End {
    fn of<P>(end: Result<Report, P>) -> Self {
        end.map_or(End::Panicked, |report| End::Report(Box::new(report)))
    }

    fn of_last<P, E>(end: Result<Result<Report, P>, E>) -> Self {
        end.map_or(End::Late, End::of)
    }
}

/// Ends when a newer revision is there, after one poll interval at the latest and never later by chance; or when others changed something.
async fn moved<T: Tip>(tip: &Asked<'_, T>, pace: &Pace, id: Ulid) -> Moved {
    let begun = Instant::now();
    tokio::select! {
        biased;
        () = tip_moved(tip, pace, id) => Moved::Tip,
        () = drifts(tip.tip, begun + pace.nudge.min(DRIFT_APART)) => Moved::Drift,
    }
}

async fn tip_moved<T: Tip>(tip: &Asked<'_, T>, pace: &Pace, id: Ulid) {
    loop {
        let begun = Instant::now();
        tokio::select! {
            biased;
            () = sleep(pace.pause(0, share(id)).min(pace.poll)) => {}
            () = nudged(tip.tip, begun + pace.nudge) => {}
        }
        *tip.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        if tip.tip.has_moved().await {
            return;
        }
    }
}

/// Ends when nothing has happened for too long.
async fn silent(pace: &Pace, listener: &dyn Listener) {
    let begun = Instant::now();
    loop {
        let last = listener.last_event().map_or(begun, |event| event.max(begun));
        let end = last + pace.silence;
        if end <= Instant::now() {
            return;
        }
        sleep_until(end).await;
    }
}

/// Ends when the stop is asked for, or nobody is left who could ask.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

fn is_stopped(stop: &watch::Receiver<bool>) -> bool {
    *stop.borrow() || stop.has_changed().is_err()
}

/// Returns the random part of an id as a share in 0..1.
#[expect(clippy::cast_precision_loss, reason = "a share needs no 80 bits")]
fn share(id: Ulid) -> f64 {
    id.random() as f64 / (1_u128 << Ulid::RAND_BITS) as f64
}

/// The real work: cycles over a repository and a cluster.
pub struct Reconciler<R, C> {
    repo: Arc<Tracked<R>>,
    cluster: Arc<C>,
    settings: Settings,
    memory: Memory,
    clock: Arc<dyn Clock>,
    drift: Arc<Drift>,
    heard: Arc<Heard>,
}

impl<R: Repo, C: Cluster> Reconciler<R, C> {
    /// Prepares cycles with an empty memory.
    pub fn new(repo: R, cluster: C, settings: Settings, clock: Arc<dyn Clock>, observer: Arc<dyn Observer>) -> Self {
        let drift = Arc::new(Drift::new(settings.drift, observer));
        let tip = Mutex::new(None);
        let heard = Arc::new(Heard::default());
        let poll_now = Arc::default();
        let repo = Arc::new(Tracked { repo, tip, poll_now, drift: Arc::clone(&drift), heard: Arc::clone(&heard) });
        Reconciler { repo, cluster: Arc::new(cluster), settings, memory: Memory::default(), clock, drift, heard }
    }

    /// For a process that does not live long enough to wait for what one before may have left under way: what is not there now is gone.
    pub fn expecting_nothing_late(mut self) -> Self {
        self.settings.expects_late_requests = false;
        self
    }

    /// Returns what can tell whether a cycle is out of date.
    pub fn tip(&self) -> Arc<Tracked<R>> {
        Arc::clone(&self.repo)
    }

    /// Returns what the cycles are told.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the cluster.
    pub fn cluster(&self) -> Arc<C> {
        Arc::clone(&self.cluster)
    }

    /// Returns what watches for changes that others make, and for what they suspend, for ever.
    pub fn watches(&self) -> impl Future<Output = Infallible> + Send + 'static {
        let (drift, cluster, clock) = (Arc::clone(&self.drift), Arc::clone(&self.cluster), Arc::clone(&self.clock));
        let (environment, heard) = (self.settings.environment.clone(), Arc::clone(&self.heard));
        async move {
            tokio::select! {
                biased;
                never = heard.follow(&*cluster, &environment) => never,
                never = drift::watching::drive(&drift, &*cluster, &environment, &*clock) => never,
            }
        }
    }

    /// Forgets everything: this process begins to lead. The state is taken over from the leader before.
    pub fn begin(&mut self, takeover: Takeover) {
        self.memory = Memory::of_new_leader(takeover);
        self.drift.forget();
        self.heard.forget();
    }

    /// Tells whether another process may go by the state as it is: nothing that this one sent can still write it.
    pub fn leaves_the_state_at_rest(&self) -> bool {
        self.memory.leaves_the_state_at_rest()
    }

    /// Runs one cycle.
    pub async fn reconcile(&mut self, request: &Request, superseded: watch::Receiver<bool>) -> Report {
        self.memory.note_drifted(self.drift.take());
        let observer = self.drift.listening();
        let context = Context { clock: &*self.clock, observer: &observer, superseded, heard: &self.heard };
        let mut report =
            cycle::run(&*self.repo, &*self.cluster, &self.settings, &mut self.memory, request, &context).await;
        let acted = self.memory.take_acted();
        match self.memory.is_at_rest() {
            // What is recorded was told when it changed.
            true => self.drift.cycle_rested(),
            false => self.drift.cycle_ended(self.memory.state(), &acted),
        }
        report.fights = self.drift.fights();
        report
    }
}

impl<R: Repo, C: Cluster> Work for Reconciler<R, C> {
    async fn cycle(&mut self, request: Request, superseded: watch::Receiver<bool>) -> Report {
        self.reconcile(&request, superseded).await
    }

    fn failed(&mut self, request: &Request, message: String) -> Report {
        // What a broken cycle remembered is not to be trusted.
        self.memory = Memory::of_given_up_cycle();
        self.drift.forget();
        let error = CycleError { stage: Stage::Plan, message };
        self.drift.listening().observe(&Event::Failed(error.clone()));
        failed_report(request, &self.settings.environment, &*self.clock, error)
    }
}

/// Returns the report of a cycle that came to nothing.
pub fn failed_report(request: &Request, environment: &str, clock: &dyn Clock, error: CycleError) -> Report {
    let now = clock.now().to_string();
    Report {
        version: VERSION.to_owned(),
        id: request.id.clone(),
        started_at: now.clone(),
        ended_at: now,
        applied_resources: Vec::new(),
        deleted_resources: Vec::new(),
        environment: environment.to_owned(),
        revision: None,
        commit: None,
        index: None,
        plan: None,
        trigger: Trigger::None,
        result: CycleResult::Failed,
        seconds: 0.0,
        phases: Phases::default(),
        services: Default::default(),
        held: None,
        suspended: Suspended::default(),
        orphans: Vec::new(),
        fights: Vec::new(),
        errors: vec![error],
    }
}

/// A repository that remembers which tip it told last.
pub struct Tracked<R> {
    repo: R,
    tip: Mutex<Option<Revision>>,
    poll_now: Arc<Notify>,
    drift: Arc<Drift>,
    heard: Arc<Heard>,
}

impl<R> Tracked<R> {
    /// Returns what asks for a poll now when it is notified.
    pub fn poll_now(&self) -> Arc<Notify> {
        Arc::clone(&self.poll_now)
    }
}

impl<R: Repo> Repo for Tracked<R> {
    async fn tip(&self) -> Result<Revision, RepoError> {
        let tip = self.repo.tip().await?;
        *self.tip.lock().unwrap_or_else(PoisonError::into_inner) = Some(tip.clone());
        Ok(tip)
    }

    async fn fetch(&self, revision: &Revision) -> Result<CommitInfo, RepoError> {
        self.repo.fetch(revision).await
    }

    async fn verify(&self, revision: &Revision) -> Result<(), RepoError> {
        self.repo.verify(revision).await
    }

    async fn lineage(&self, revision: &Revision, earlier: &Revision) -> Result<Lineage, RepoError> {
        self.repo.lineage(revision, earlier).await
    }

    async fn read(&self, revision: &Revision, paths: Vec<String>) -> Result<Vec<Option<Vec<u8>>>, RepoError> {
        self.repo.read(revision, paths).await
    }
}

impl<R: Repo> Tip for Tracked<R> {
    async fn has_moved(&self) -> bool {
        // A poll that fails says nothing about the cycle.
        let Ok(now) = self.repo.tip().await else { return false };
        self.tip.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(|then| *then != now)
    }

    async fn asked(&self) {
        self.poll_now.notified().await;
    }

    async fn drifted(&self) {
        tokio::select! {
            biased;
            () = self.heard.changed() => {}
            () = self.drift.due() => {}
        }
    }
}
