//! The world of a history: virtual time, processes that come and go, and the way from a call to the model and back.
//!
//! A request that has left its process belongs to the world: it is carried out when it is due, whether its sender lives or not. Time moves
//! only when nobody has anything to do, to the next moment at which somebody has. Knows the weather, asks the checkers, and decides nothing
//! of its own. Invariant: all that happens follows from the history; a second run is the same.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use manifest::{Hash, ObjectRef};
use sandbox::{Cluster as Model, Request};
use serde_json::{Value, json};
use syncd::cluster::{ClusterError, ErrorClass};
use syncd::config::{Fuse, Retry, Settings};
use syncd::cycle::Clock;
use syncd::daemon::{self, Listener, Pace, Reconciler};
use syncd::election::{Election, Fence};
use syncd::leader::{Leadership, Surroundings, lead};
use syncd::repo::Revision;
use syncd::report::{Event, Observer, Report, ServiceState};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};
use ulid::Ulid;

use crate::chance::Chance;
use crate::checkers::{self, Checker, Done, Scene, Sent};
use crate::model::repo::TestRepo;
use crate::model::services::{Service, files, id, manifest};
use crate::model::{ENVIRONMENT, HOME, error};
use crate::script::{History, Step};
use crate::truth::{Commit, Deed, Origin, Truth, object, uid};
use crate::weather::{Fault, Weather};
use crate::wire::{Clone as Repository, Station, What, Wire};

/// Deletions that one plan may ask for unasked.
pub const FUSE: usize = 4;
/// How long the real client waits for an answer.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a dead process is away.
const RESTART: Duration = Duration::from_secs(2);
/// Longest time from the end of all faults until everything is as it should be.
pub const SETTLES: Duration = Duration::from_secs(400);
/// How long it takes at most until somebody leads and has looked, and the last answer of the repository has come.
const LANDS: Duration = Duration::from_secs(65);
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
        };
        Shared {
            model: Model::new(settings),
            repo: TestRepo::default(),
            inner: Mutex::new(inner),
            wake: Notify::new(),
            jumped: AtomicI64::new(0),
            start: Instant::now(),
            alone: history.processes == 1,
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
        let of_object = object.and_then(|id| {
            let wanting = inner.truth.in_force().and_then(|commit| commit.wants(id));
            wanting.or_else(|| inner.truth.records.holders(id).map(|(service, _)| service).next())
        });
        let root = format!("syncd-{ENVIRONMENT}-");
        let of_state = state.and_then(|name| name.strip_prefix(&root)).and_then(|rest| rest.split('.').next());
        let about = of_object.or(of_state);
        inner.checkers.iter_mut().for_each(|checker| checker.hurt(by, about));
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
        self.inner().reports += 1;
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

/// One `syncd`.
struct Process {
    station: Arc<Station>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// A process's place: who is there, who comes next.
#[derive(Default)]
struct Slot {
    process: Option<Process>,
    born: usize,
    /// When the next one starts.
    due: Option<Instant>,
    /// When it goes on, or is reached again.
    goes_on: Option<Instant>,
    reached: Option<Instant>,
}

/// A history under way.
struct Play<'a> {
    history: &'a History,
    world: Arc<Shared>,
    slots: Vec<Slot>,
}

/// Plays a history to its end, or to what a checker does not like. `record`: with a transcript.
pub fn play(history: &History, record: bool) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let world = Arc::new(Shared::new(history, record));
        let slots = (0..history.processes).map(|_| Slot::default()).collect();
        let mut play = Play { history, world: Arc::clone(&world), slots };
        play.all().await;
        for slot in play.slots {
            slot.process.iter().for_each(|process| process.task.abort());
        }
        let mut inner = world.inner();
        Outcome {
            violation: inner.violation.take(),
            calls: inner.calls,
            exposed: inner.exposed,
            simulated: world.start.elapsed(),
            faults: std::mem::take(&mut inner.faults),
            transcript: inner.transcript.take().unwrap_or_default(),
        }
    })
}

impl Play<'_> {
    async fn all(&mut self) {
        self.prepare();
        for slot in &mut self.slots {
            slot.due = Some(Instant::now());
        }
        for step in &self.history.steps {
            self.step(step).await;
            if self.world.violated() {
                return;
            }
        }
        self.calm();
        // What is under way still lands, and somebody leads: the time to be well again begins then.
        while !self.world.violated() && !self.world.inner().queue.is_empty() {
            self.pass(Duration::from_secs(1)).await;
        }
        let delays = |step: &Step| {
            use Step::{Jump, Kill, Pause, RepositoryDown, Restart, Stop};
            matches!(step, Jump(_) | Kill(_) | Pause(..) | RepositoryDown(_) | Restart(_) | Stop(_))
        };
        let delayed = self.history.steps.iter().any(delays) || !self.world.inner().faults.is_empty();
        let fair = self.world.alone && !delayed;
        self.pass(if fair { POLLS } else { LANDS }).await;
        self.settle("converged").await;
        if self.world.violated() {
            return;
        }
        self.world.inner().writes.clear();
        self.pass(QUIET).await;
        let quiet = checkers::is_quiet(&self.world.inner().writes);
        if let Err(message) = quiet {
            self.world.violate("quiet", message);
        }
        self.settle("converged").await;
    }

    /// Makes objects that are not ours, and never will be.
    fn prepare(&self) {
        for (name, environment) in [("foreign", "production"), ("stray", ENVIRONMENT)] {
            let labels = json!({"syncd/environment": environment, "syncd/service": "a"});
            let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "n", "labels": labels}});
            let made = self.world.somebody(Request::create("/api/v1/namespaces/n/configmaps", body));
            let made = made.expect("a new one");
            self.world.inner().truth.origins.insert(uid(&made), Origin::Marked);
        }
    }

    // ------------------------------------------------------------------------------------------------------------------- time

    /// Lets time pass, with all that happens in it.
    async fn pass(&mut self, time: Duration) {
        let end = Instant::now() + time;
        loop {
            self.happen();
            let now = Instant::now();
            if now >= end || self.world.violated() {
                return;
            }
            let next = self.next_moment().min(end).max(now + Duration::from_millis(1));
            tokio::select! {
                biased;
                () = self.world.wake.notified() => {}
                () = sleep_until(next) => {}
            }
        }
    }

    fn next_moment(&self) -> Instant {
        let never = Instant::now() + Duration::from_secs(3600);
        let inner = self.world.inner();
        let arrives = inner.queue.first_key_value().map(|((at, _), _)| *at);
        let ahead = self.world.model.next_due().map(|due| due.duration_since(self.world.model.now()));
        let due = ahead.map(|ahead| inner.synced + Duration::try_from(ahead).unwrap_or_default());
        let slots = self.slots.iter().flat_map(|slot| [slot.due, slot.goes_on, slot.reached]).flatten();
        slots.chain(arrives).chain(due).fold(never, Instant::min)
    }

    /// Does what is due now.
    fn happen(&mut self) {
        let now = Instant::now();
        self.world.catch_up();
        loop {
            let errand = {
                let mut inner = self.world.inner();
                let is_due = inner.queue.first_key_value().is_some_and(|((at, _), _)| *at <= now);
                if is_due { inner.queue.pop_first() } else { None }
            };
            let Some((_, errand)) = errand else { break };
            errand(&self.world);
        }
        for number in 0..self.slots.len() {
            let slot = &mut self.slots[number];
            if slot.process.as_ref().is_some_and(|process| process.station.is_dead() || process.task.is_finished()) {
                let process = slot.process.take().expect("it is there");
                if process.task.is_finished() && !*process.stop.borrow() {
                    self.world.violate("panic", "a process ended by itself".to_owned());
                }
                process.task.abort();
                (slot.goes_on, slot.reached) = (None, None);
                slot.due = Some(now + RESTART);
            }
            if slot.goes_on.take_if(|at| *at <= now).is_some()
                && let Some(process) = &slot.process
            {
                self.world.note(&process.station.name, || "goes on".to_owned());
                process.station.go_on();
            }
            if slot.reached.take_if(|at| *at <= now).is_some()
                && let Some(process) = &slot.process
            {
                process.station.cut.store(false, Ordering::Relaxed);
            }
            if slot.due.take_if(|at| *at <= now).is_some() {
                self.start(number);
            }
        }
    }

    fn start(&mut self, number: usize) {
        let slot = &mut self.slots[number];
        slot.born += 1;
        let letter = ["a", "b", "c"][number];
        let name = if slot.born == 1 { letter.to_owned() } else { format!("{letter}{}", slot.born) };
        let fence = if self.world.alone { Fence::none() } else { Fence::shut() };
        let station = Arc::new(Station::new(name.clone(), fence.clone()));
        let mut settings = Settings::new(ENVIRONMENT, HOME);
        settings.concurrency = 4;
        settings.limits.state_bytes = self.history.state_bytes;
        settings.fuse = Fuse { objects: FUSE, percent: 0 };
        settings.retry = Retry {
            service_first: Duration::from_secs(5),
            service_longest: Duration::from_secs(30),
            service_permanent: Duration::from_secs(60),
            ..Retry::default()
        };
        let wire = Wire { world: Arc::clone(&self.world), station: Arc::clone(&station) };
        let repo = Repository { world: Arc::clone(&self.world), station: Arc::clone(&station) };
        let clock: Arc<dyn Clock> = Arc::new(Today(Arc::clone(&self.world)));
        let ears = Arc::new(Ears { world: Arc::clone(&self.world), name: name.clone() });
        let observer: Arc<dyn Observer> = Arc::clone(&ears) as _;
        let mut reconciler = Reconciler::new(repo, wire, settings, Arc::clone(&clock), observer);
        let (stop, stopped) = watch::channel(false);
        let mut chance = Chance::new(0).branch(&name);
        let next_id = move || Ulid::from_parts(0, u128::from(chance.next()) << 16);
        let (world, alone, inside) = (Arc::clone(&self.world), self.world.alone, Arc::clone(&station));
        let run = async move {
            let pace = Pace::default();
            if alone {
                let (tip, watches) = (reconciler.tip(), reconciler.watches());
                tokio::select! {
                    biased;
                    () = daemon::run(&mut reconciler, &*tip, &pace, &*ears, next_id, stopped) => {}
                    never = watches => match never {},
                }
                return;
            }
            let tell = |stand: &Leadership| world.note(&name, || format!("{stand:?}"));
            let election = Election {
                lease: format!("syncd-{ENVIRONMENT}"),
                identity: name.clone(),
                duration: Duration::from_secs(15),
            };
            let around = Surroundings {
                election: &election,
                fence: &fence,
                pace: &pace,
                clock: &*clock,
                listener: &*ears,
                tell: &tell,
            };
            lead(&mut reconciler, &around, next_id, stopped).await;
        };
        #[expect(clippy::disallowed_methods, reason = "a process is what a task is here: it can be killed")]
        let task = tokio::spawn(async move { inside.running(run).await });
        self.world.note(&station.name, || "starts".to_owned());
        slot.process = Some(Process { station, stop, task });
    }

    // ------------------------------------------------------------------------------------------------------------------ steps

    async fn step(&mut self, step: &Step) {
        if !matches!(step, Step::Wait(_) | Step::Settle) {
            self.world.note("", || format!("* {}", describe(step)));
        }
        let now = Instant::now();
        let after = |seconds: u64| now + Duration::from_secs(seconds);
        match step {
            Step::Commit(services) => {
                let parent = self.world.inner().truth.tip.clone();
                self.commit(services, parent);
            }
            Step::Rewrite(services) => {
                let parent = {
                    let inner = self.world.inner();
                    inner.truth.tip().and_then(|commit| commit.parent.clone())
                };
                self.commit(services, parent);
                self.world.inner().truth.elsewhere = true;
            }
            Step::Back => {
                let mut inner = self.world.inner();
                if let Some(parent) = inner.truth.tip().and_then(|commit| commit.parent.clone()) {
                    self.world.repo.point_at(&parent);
                    inner.truth.tip = Some(parent);
                    inner.truth.approvals = 0;
                    inner.truth.elsewhere = true;
                }
            }
            Step::Wait(seconds) => self.pass(Duration::from_secs(*seconds)).await,
            Step::Settle => self.settle("converged").await,
            Step::Kill(number) => {
                if let Some(process) = self.process(*number) {
                    process.station.die();
                }
                self.pass(Duration::from_millis(1)).await;
            }
            Step::Stop(number) => {
                if let Some(process) = self.process(*number) {
                    process.stop.send_replace(true);
                }
            }
            Step::Pause(number, seconds) => {
                if let Some(process) = self.process(*number) {
                    process.station.pause();
                    let number = number % self.slots.len();
                    self.slots[number].goes_on = Some(after(*seconds));
                }
            }
            Step::Cut(number, seconds) => {
                if let Some(process) = self.process(*number) {
                    process.station.cut.store(true, Ordering::Relaxed);
                    let number = number % self.slots.len();
                    self.slots[number].reached = Some(after(*seconds));
                }
            }
            Step::Remove(text) => self.others(text, |path, _| Some(Request::delete(path)), None),
            Step::Edit(text) => self.others(text, edit, None),
            Step::Unlabel(text) => {
                let labels = json!({"metadata": {"labels": {"syncd/environment": null, "syncd/service": null}}});
                self.others(text, |path, _| Some(Request::merge_patch(path, labels.clone())), None);
            }
            Step::Create(text) => self.create(text, Origin::Nobodys),
            Step::CreateMarked(text) => self.create(text, Origin::Marked),
            Step::Deny(text) => self.world.inner().denied.push(id(text)),
            Step::Allow => self.world.inner().denied.clear(),
            Step::Outage(group, seconds) => drop(self.world.inner().outages.insert(group.clone(), after(*seconds))),
            Step::RepositoryDown(seconds) => self.world.inner().repository_down = Some(after(*seconds)),
            Step::DropWatches => self.world.model.drop_watches(),
            Step::Compact => {
                self.world.model.compact();
                self.world.model.drop_watches();
            }
            Step::Restart(seconds) => {
                self.world.inner().outages.insert(ALL.to_owned(), after(*seconds));
                self.world.model.drop_watches();
            }
            Step::Jump(seconds) => drop(self.world.jumped.fetch_add(*seconds, Ordering::Relaxed)),
            Step::Approve => self.approve(),
        }
    }

    fn process(&self, number: usize) -> Option<&Process> {
        self.slots[number % self.slots.len()].process.as_ref()
    }

    fn commit(&self, services: &[Service], parent: Option<Revision>) {
        let mut inner = self.world.inner();
        let revision = self.world.repo.commit(files(services));
        inner.truth.commits.insert(revision.clone(), Commit::new(parent, services));
        inner.truth.tip = Some(revision);
        inner.truth.approvals = 0;
    }

    /// Has somebody else change an object, if it is there.
    fn others(&self, text: &str, request: impl Fn(&str, &Value) -> Option<Request>, origin: Option<Origin>) {
        let id = id(text);
        let Some(live) = object(&self.world.model, &id) else { return };
        let path = self.world.model.path(&id.group, &id.kind, &id.namespace, &id.name).expect("it is there");
        let Some(request) = request(&path, &live) else { return };
        self.world.somebody(request);
        let mut inner = self.world.inner();
        inner.truth.disturb(&id);
        inner.truth.origins.extend(origin.map(|origin| (uid(&live), origin)));
        if object(&self.world.model, &id).is_none() {
            inner.truth.ours.remove(&id);
        }
    }

    fn create(&self, text: &str, origin: Origin) {
        let mut body = manifest(text, "theirs");
        if origin == Origin::Marked {
            body["metadata"]["labels"] = json!({"app.kubernetes.io/managed-by": "Helm"});
            body["metadata"]["annotations"] =
                json!({"meta.helm.sh/release-name": "theirs", "meta.helm.sh/release-namespace": "n"});
        }
        let id = id(text);
        let path = self.world.model.path(&id.group, &id.kind, &id.namespace, "").expect("a kind that is served");
        if let Some(made) = self.world.somebody(Request::create(&path, body)) {
            let mut inner = self.world.inner();
            inner.truth.disturb(&id);
            inner.truth.origins.insert(uid(&made), origin);
        }
    }

    /// Approves what is held: deletions, and a ref that went elsewhere.
    fn approve(&self) {
        let plans: Vec<String> = {
            let mut inner = self.world.inner();
            inner.truth.approvals += 1;
            let truth = &inner.truth;
            let elsewhere = truth.tip.as_ref().filter(|_| truth.elsewhere);
            let elsewhere = elsewhere.map(|tip| Hash::of(format!("revision {tip}").as_bytes()).to_string());
            truth.records.held_plan.iter().cloned().chain(elsewhere).collect()
        };
        if plans.is_empty() {
            return;
        }
        let name = format!("syncd-{ENVIRONMENT}.approved");
        let text = json!({"format": 1, "environment": ENVIRONMENT, "plans": plans}).to_string();
        let labels = json!({"syncd/environment": ENVIRONMENT, "app.kubernetes.io/managed-by": "syncd"});
        let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": HOME, "labels": labels}, "data": {"approved.json": text}});
        let folder = format!("/api/v1/namespaces/{HOME}/configmaps");
        let there = self.world.model.object("", "ConfigMap", HOME, &name);
        let request = match there {
            Some(there) if there["data"]["approved.json"] == text.as_str() => return,
            Some(_) => Request::merge_patch(&format!("{folder}/{name}"), json!({"data": {"approved.json": text}})),
            None => Request::create(&folder, body),
        };
        self.world.somebody(request);
    }

    /// Lets nothing go wrong any more.
    fn calm(&mut self) {
        let mut inner = self.world.inner();
        inner.weather = Weather::Calm;
        inner.exposed = inner.calls;
        inner.denied.clear();
        inner.outages.clear();
        inner.repository_down = None;
        drop(inner);
        for slot in &mut self.slots {
            slot.goes_on = slot.goes_on.map(|_| Instant::now());
            slot.reached = slot.reached.map(|_| Instant::now());
        }
        self.world.note("", || "* nothing goes wrong any more".to_owned());
    }

    /// Lets time pass until everything is as the tip wants it.
    async fn settle(&mut self, checker: &'static str) {
        let end = Instant::now() + SETTLES;
        loop {
            self.pass(Duration::from_secs(1)).await;
            if self.world.violated() {
                return;
            }
            let verdict = {
                let inner = self.world.inner();
                let truth = &inner.truth;
                checkers::converged(&Scene {
                    model: &self.world.model,
                    truth,
                    alone: self.world.alone,
                    bad: &inner.bad,
                })
            };
            let Err(message) = verdict else { return };
            if Instant::now() >= end {
                return self.world.violate(checker, message);
            }
            // People look, and approve what is held.
            self.approve();
        }
    }
}

/// Changes a field that we apply.
fn edit(path: &str, live: &Value) -> Option<Request> {
    let body = match live["kind"].as_str()? {
        "ConfigMap" => json!({"data": {"content": "edited"}}),
        "Secret" => json!({"data": {"content": "ZWRpdGVk"}}),
        "Deployment" | "StatefulSet" => json!({"spec": {"replicas": 1}}),
        "Service" => json!({"spec": {"sessionAffinity": "ClientIP"}}),
        _ => return None,
    };
    Some(Request::merge_patch(path, body))
}

/// Returns a step in few words.
fn describe(step: &Step) -> String {
    match step {
        Step::Commit(services) | Step::Rewrite(services) => {
            let objects = |service: &Service| {
                let objects = service.objects.iter().map(|(id, content)| format!("{id}={content}"));
                format!("{}[{}]", service.name, objects.collect::<Vec<_>>().join(", "))
            };
            let verb = if matches!(step, Step::Commit(_)) { "commit" } else { "force-push" };
            format!("{verb} {}", services.iter().map(objects).collect::<Vec<_>>().join(" "))
        }
        other => format!("{other:?}"),
    }
}
