//! The world of a history: virtual time, processes that come and go, and the way from a call to the model and back.
//!
//! A request that has left its process belongs to the world: it is carried out when it is due, whether its sender lives or not. Time moves
//! only when nobody has anything to do, to the next moment at which somebody has. Knows the weather, asks the checkers, and decides nothing
//! of its own. Invariant: all that happens follows from the history; a second run is the same.

mod play;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use manifest::ObjectRef;
use sandbox::{Cluster as Model, Request};
use serde_json::Value;
use syncd::cluster::{ClusterError, ErrorClass};
use syncd::cycle::Clock;
use syncd::daemon::Listener;
use syncd::repo::Revision;
use syncd::report::{Event, Observer, Report, ServiceState};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep};

use crate::checkers::{self, Checker, Done, Scene, Sent};
use crate::model::repo::TestRepo;
use crate::model::{ENVIRONMENT, HOME, error};
use crate::script::History;
use crate::truth::{Deed, Truth, object};
use crate::weather::{Fault, Weather};
use crate::wire::{Station, What};

pub use play::play;

/// Deletions that one plan may ask for unasked.
pub const FUSE: usize = 4;
/// How long the real client waits for an answer.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a dead process is away.
const RESTART: Duration = Duration::from_secs(2);
/// Longest time from the end of all faults until everything is as it should be.
pub const SETTLES: Duration = Duration::from_secs(400);
/// How long it takes at most until somebody leads and has looked, for the second time too, a minute later at the poll that follows; and the last
/// answer of the repository has come.
const LANDS: Duration = Duration::from_secs(80);
/// How long it takes at most until one that acts alone has looked.
const POLLS: Duration = Duration::from_secs(20);
/// How long nothing may be written when nothing is to be done.
const QUIET: Duration = Duration::from_secs(40);

/// What a checker did not like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Its name.
    pub checker: &'static str,
    pub message: String,
    /// The call before, from 0.
    pub call: usize,
}

/// How a history went.
#[derive(Debug, Default)]
pub struct Outcome {
    pub violation: Option<Violation>,
    pub calls: usize,
    /// Calls until nothing goes wrong any more.
    pub exposed: usize,
    pub simulated: Duration,
    /// What went wrong, by number of the call.
    pub faults: BTreeMap<usize, Fault>,
    /// What happened, where it was asked for.
    pub transcript: Vec<String>,
}

/// What all processes and the world itself share.
pub struct Shared {
    pub model: Model,
    pub repo: TestRepo,
    inner: Mutex<Inner>,
    wake: Notify,
    /// Seconds that the time of day is ahead of the model's.
    jumped: AtomicI64,
    start: Instant,
    alone: bool,
    /// Something is suspended in the history.
    pub suspends: bool,
}

type Errand = Box<dyn FnOnce(&Shared) + Send>;

struct Inner {
    weather: Weather,
    calls: usize,
    exposed: usize,
    faults: BTreeMap<usize, Fault>,
    transcript: Option<Vec<String>>,
    /// Requests under way, by when they arrive.
    queue: BTreeMap<(Instant, usize), Errand>,
    truth: Truth,
    checkers: Vec<Box<dyn Checker>>,
    violation: Option<Violation>,
    denied: Vec<ObjectRef>,
    /// API groups that are out, until when; `*`: all, and nobody answers at all.
    outages: BTreeMap<String, Instant>,
    repository_down: Option<Instant>,
    /// How far the model's time has come.
    synced: Instant,
    /// Requests that changed something, since they were last taken.
    writes: Vec<String>,
    bad: Vec<String>,
    reports: usize,
    /// Whether a cycle has come to its end since nothing goes wrong any more.
    well: bool,
}

/// Everybody, for outages.
const ALL: &str = "*";

impl Shared {
    fn new(history: &History, record: bool) -> Self {
        let settings = sandbox::Settings {
            namespaces: vec!["n".to_owned(), HOME.to_owned()],
            nodes: 1,
            history_max: 500,
            ..sandbox::Settings::default()
        };
        let inner = Inner {
            weather: history.weather.clone(),
            calls: 0,
            exposed: 0,
            faults: BTreeMap::new(),
            transcript: record.then(Vec::new),
            queue: BTreeMap::new(),
            truth: Truth::default(),
            checkers: checkers::all(),
            violation: None,
            denied: Vec::new(),
            outages: BTreeMap::new(),
            repository_down: None,
            synced: Instant::now(),
            writes: Vec::new(),
            bad: history.bad.clone(),
            reports: 0,
            well: false,
        };
        Shared {
            model: Model::new(settings),
            repo: TestRepo::default(),
            inner: Mutex::new(inner),
            wake: Notify::new(),
            jumped: AtomicI64::new(0),
            start: Instant::now(),
            alone: history.processes == 1,
            suspends: history.suspends(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nobody panics while holding it")
    }

    fn note(&self, who: &str, text: impl FnOnce() -> String) {
        let mut inner = self.inner();
        if let Some(transcript) = &mut inner.transcript {
            let at = self.start.elapsed().as_secs_f64();
            transcript.push(format!("{at:6.1} {who:<3} {}", text()));
        }
    }

    fn violated(&self) -> bool {
        self.inner().violation.is_some()
    }

    /// Asks the checkers. The first that is not content ends the history.
    fn check(&self, mut ask: impl FnMut(&mut dyn Checker, &Scene<'_>) -> checkers::Verdict) {
        let mut inner = self.inner();
        let inner = &mut *inner;
        let scene = Scene { model: &self.model, truth: &inner.truth, alone: self.alone, bad: &inner.bad };
        for checker in &mut inner.checkers {
            if let Err(message) = ask(&mut **checker, &scene)
                && inner.violation.is_none()
            {
                inner.violation = Some(Violation { checker: checker.name(), message, call: inner.calls });
            }
        }
        if inner.violation.is_some() {
            self.wake.notify_one();
        }
    }

    fn violate(&self, checker: &'static str, message: String) {
        let mut inner = self.inner();
        let call = inner.calls;
        inner.violation.get_or_insert(Violation { checker, message, call });
    }

    /// Lets the model's time come to the present.
    fn catch_up(&self) {
        let by = {
            let mut inner = self.inner();
            let by = Instant::now().duration_since(inner.synced);
            inner.synced += by;
            by
        };
        if !by.is_zero() {
            self.model.advance(by);
        }
    }

    // ------------------------------------------------------------------------------------------------------------------ calls

    /// Makes a call of a process.
    pub async fn call<T: Send + 'static>(
        self: &Arc<Self>,
        station: &Arc<Station>,
        what: What,
        act: impl FnOnce(&Model) -> Result<T, ClusterError> + Send + 'static,
    ) -> Result<T, ClusterError> {
        station.alive().await;
        let (number, fault) = self.begin(&what.text);
        if fault == Some(Fault::CrashBefore) {
            return self.crash(station, &what.text, Fault::CrashBefore).await;
        }
        if let Some(Fault::Paused(takes)) = fault {
            self.pause(station, number, takes);
        }
        // A real request takes a moment: others come in between.
        tokio::task::yield_now().await;
        station.alive().await;
        let writes = what.deed.is_some();
        let is_lease = matches!(what.deed, Some(Deed::Lease));
        if writes && !is_lease && !station.fence.is_open() {
            return Err(error(ErrorClass::Transient, 0, "not sent"));
        }
        if let Some(deed) = &what.deed {
            let sent = Sent { by: &station.name, deed };
            self.check(|checker, scene| checker.sent(scene, &sent));
            if !is_lease {
                self.inner().writes.push(what.text.clone());
            }
        }
        if let Some(fault) = fault {
            self.note(&station.name, || format!("~ {fault}: {}", what.text));
        }
        let text = what.text.clone();
        let about = what.object.clone();
        let state = match &what.deed {
            Some(Deed::Write(object)) => Some(object.name.clone()),
            Some(Deed::Forget(name)) => Some(name.clone()),
            _ => None,
        };
        let reply = self.send(station, what, act, (number, fault)).await;
        if let Err(error) = &reply {
            self.hurt(&station.name, about.as_ref(), state.as_deref());
            self.note(&station.name, || format!("{text}: {:?}, {}", error.class, error.message));
        }
        station.alive().await;
        reply
    }

    fn begin(&self, text: &str) -> (usize, Option<Fault>) {
        let mut inner = self.inner();
        let number = inner.calls;
        inner.calls += 1;
        let fault = inner.weather.at(number, text);
        inner.faults.extend(fault.map(|fault| (number, fault)));
        (number, fault)
    }

    /// Has a process stand still for a while.
    fn pause(&self, station: &Arc<Station>, number: usize, takes: Duration) {
        station.pause();
        let station = Arc::clone(station);
        let goes_on = move |world: &Shared| {
            world.note(&station.name, || "goes on".to_owned());
            station.go_on();
        };
        self.inner().queue.insert((Instant::now() + takes, number), Box::new(goes_on));
        self.wake.notify_one();
    }

    async fn crash<T>(&self, station: &Station, what: &str, fault: Fault) -> T {
        self.note(&station.name, || format!("~ {fault}: {what}"));
        station.die();
        self.wake.notify_one();
        std::future::pending().await
    }

    /// Sends a request, and waits for its answer.
    async fn send<T: Send + 'static>(
        self: &Arc<Self>,
        station: &Arc<Station>,
        what: What,
        act: impl FnOnce(&Model) -> Result<T, ClusterError> + Send + 'static,
        (number, fault): (usize, Option<Fault>),
    ) -> Result<T, ClusterError> {
        let unanswered = if what.deed.is_some() { ErrorClass::Ambiguous } else { ErrorClass::Transient };
        let lost = || error(unanswered, 0, "the connection was lost");
        if station.cut.load(Ordering::Relaxed) {
            sleep(CLIENT_TIMEOUT).await;
            return Err(error(unanswered, 0, "nobody answered"));
        }
        if let Some(refusal) = self.refusal(&what) {
            return Err(refusal);
        }
        match fault {
            None | Some(Fault::Paused(_)) => self.carry_out(&station.name, &what, act, false),
            Some(Fault::CrashBefore) => unreachable!("it was not sent"),
            Some(Fault::CrashAfter) => {
                drop(self.carry_out(&station.name, &what, act, false));
                station.die();
                self.wake.notify_one();
                std::future::pending().await
            }
            Some(Fault::LostBefore) => Err(lost()),
            Some(Fault::LostAfter) => {
                drop(self.carry_out(&station.name, &what, act, false));
                Err(lost())
            }
            Some(Fault::Slow(takes)) => {
                let answer = self.later(station, what, act, (number, takes / 2));
                let reply = answer.await.unwrap_or_else(|_| Err(lost()));
                sleep(takes / 2).await;
                reply
            }
            Some(Fault::Late(after)) => {
                let answer = self.later(station, what, act, (number, after));
                match tokio::time::timeout(CLIENT_TIMEOUT, answer).await {
                    Ok(reply) => reply.unwrap_or_else(|_| Err(lost())),
                    Err(_) => Err(error(unanswered, 0, "nobody answered")),
                }
            }
            Some(Fault::CrashLate(after)) => {
                drop(self.later(station, what, act, (number, after)));
                station.die();
                self.wake.notify_one();
                std::future::pending().await
            }
            Some(Fault::Denied) => Err(error(ErrorClass::Forbidden, 403, "admission says no")),
            Some(Fault::Throttled) => Err(error(ErrorClass::Transient, 429, "too many requests")),
            Some(Fault::Broken) => Err(error(unanswered, 500, "internal error")),
            Some(Fault::BrokenAfter) => {
                drop(self.carry_out(&station.name, &what, act, false));
                Err(error(unanswered, 500, "internal error"))
            }
        }
    }

    /// Has a request carried out later, whatever becomes of its sender.
    fn later<T: Send + 'static>(
        self: &Arc<Self>,
        station: &Arc<Station>,
        what: What,
        act: impl FnOnce(&Model) -> Result<T, ClusterError> + Send + 'static,
        (number, after): (usize, Duration),
    ) -> oneshot::Receiver<Result<T, ClusterError>> {
        let (answer, waits) = oneshot::channel();
        let by = station.name.clone();
        let errand = move |world: &Shared| {
            let reply = match world.refusal(&what) {
                Some(refusal) => Err(refusal),
                None => world.carry_out(&by, &what, act, answer.is_closed()),
            };
            let _ = answer.send(reply);
        };
        self.inner().queue.insert((Instant::now() + after, number), Box::new(errand));
        self.wake.notify_one();
        waits
    }

    /// Tells why the API server does not take a request now.
    fn refusal(&self, what: &What) -> Option<ClusterError> {
        let inner = self.inner();
        let now = Instant::now();
        let is_out = |group: &str| inner.outages.get(group).is_some_and(|until| now < *until);
        if is_out(ALL) {
            return Some(error(ErrorClass::Transient, 0, "connection refused"));
        }
        if !what.group.is_empty() && is_out(&what.group) {
            return Some(error(ErrorClass::Transient, 503, "service unavailable"));
        }
        let Some(Deed::Apply(apply)) = &what.deed else { return None };
        inner.denied.contains(&apply.id).then(|| error(ErrorClass::Forbidden, 403, "admission says no"))
    }

    /// Carries a request out, and has it looked at.
    fn carry_out<T>(
        &self,
        by: &str,
        what: &What,
        act: impl FnOnce(&Model) -> Result<T, ClusterError>,
        late: bool,
    ) -> Result<T, ClusterError> {
        self.catch_up();
        let Some(deed) = &what.deed else { return act(&self.model) };
        let look = || deed.object().and_then(|id| object(&self.model, id));
        let before = look();
        let reply = act(&self.model);
        let after = look();
        if reply.is_ok() {
            self.inner().truth.done(&self.model, deed, before.as_ref(), after.as_ref(), late);
        }
        if !matches!(deed, Deed::Lease) || reply.is_err() {
            let how = if late { "late, " } else { "" };
            let result = reply.as_ref().err().map_or_else(|| "ok".to_owned(), |error| format!("{:?}", error.class));
            self.note(by, || format!("{}: {how}{result}", what.text));
        }
        let (sent, error) = (Sent { by, deed }, reply.as_ref().err());
        let done = Done { before: before.as_ref(), after: after.as_ref(), error };
        self.check(|checker, scene| checker.done(scene, &sent, &done));
        self.wake.notify_one();
        reply
    }

    fn hurt(&self, by: &str, object: Option<&ObjectRef>, state: Option<&str>) {
        let mut inner = self.inner();
        let inner = &mut *inner;
        // Whoever wants it, by any commit: a cycle may be at another one than the root says.
        let of_object = object.into_iter().flat_map(|id| {
            let wanting = inner.truth.commits.values().filter_map(|commit| commit.wants(id));
            wanting.chain(inner.truth.records.holders(id).map(|(service, _)| service))
        });
        let root = format!("syncd-{ENVIRONMENT}-");
        let of_state = state.and_then(|name| name.strip_prefix(&root)).and_then(|rest| rest.split('.').next());
        let mut about: Vec<Option<&str>> = of_object.chain(of_state).map(Some).collect();
        if about.is_empty() {
            about.push(None);
        }
        for about in about {
            inner.checkers.iter_mut().for_each(|checker| checker.hurt(by, about));
        }
    }

    /// Lets a question to the repository pass: how long it takes; nothing: nobody answers.
    pub async fn repository(&self, station: &Station, what: &str) -> Option<Duration> {
        station.alive().await;
        let (_, fault) = self.begin(what);
        tokio::task::yield_now().await;
        if let Some(fault) = fault {
            self.note(&station.name, || format!("~ {fault}: repository, {what}"));
        }
        let down = self.inner().repository_down.is_some_and(|until| Instant::now() < until);
        match fault {
            Some(Fault::CrashBefore | Fault::CrashAfter | Fault::CrashLate(_)) => {
                station.die();
                self.wake.notify_one();
                std::future::pending().await
            }
            Some(Fault::Slow(takes) | Fault::Late(takes) | Fault::Paused(takes)) => Some(takes),
            Some(_) => {
                self.hurt(&station.name, None, None);
                None
            }
            None if down => {
                self.hurt(&station.name, None, None);
                None
            }
            None => Some(Duration::ZERO),
        }
    }

    /// Tells whether a commit has another one among its ancestors.
    pub fn descends(&self, revision: &Revision, from: &Revision) -> bool {
        self.inner().truth.descends(revision, from)
    }

    // -------------------------------------------------------------------------------------------------------- what is heard

    fn reported(&self, by: &str, report: &Report) {
        let mut inner = self.inner();
        inner.reports += 1;
        // Who still goes by a suspension that is over, or has not asked for the tip, has not looked.
        let follows = report.suspended.is_empty() && report.revision == inner.truth.tip;
        inner.well |= report.errors.is_empty() && follows;
        drop(inner);
        self.note(by, || {
            let open = report.services.iter().filter(|(_, service)| service.state != ServiceState::Synced);
            let open: Vec<String> = open
                .map(|(name, service)| {
                    let error = service.error.as_ref().map(|error| format!(" ({error})")).unwrap_or_default();
                    format!("; {name} {}{error}", service.state.as_str())
                })
                .collect();
            let errors: Vec<String> = report.errors.iter().map(|error| format!("; {}", error.message)).collect();
            format!("= {}{}{}", report.result.as_str(), open.concat(), errors.concat())
        });
        self.check(|checker, scene| checker.reported(scene, by, report));
    }

    /// Does what somebody else does.
    fn somebody(&self, request: Request) -> Option<Value> {
        self.catch_up();
        let response = self.model.handle(&request.query("fieldManager", "kubectl-edit").agent("kubectl"));
        self.wake.notify_one();
        response.is_success().then_some(response.body)
    }
}

struct Today(Arc<Shared>);

impl Clock for Today {
    fn now(&self) -> jiff::Timestamp {
        self.0.catch_up();
        let ahead = jiff::SignedDuration::from_secs(self.0.jumped.load(Ordering::Relaxed));
        self.0.model.now().checked_add(ahead).expect("a time of day")
    }
}

struct Ears {
    world: Arc<Shared>,
    name: String,
}

impl Listener for Ears {
    fn beat(&self) {}

    fn last_event(&self) -> Option<Instant> {
        None
    }

    fn report(&self, report: &Report) {
        self.world.reported(&self.name, report);
    }
}

impl Observer for Ears {
    fn observe(&self, event: &Event) {
        if let Event::Drift { object, what, .. } = event {
            self.world.note(&self.name, || format!("drift of {object}: {what}"));
        }
    }
}
