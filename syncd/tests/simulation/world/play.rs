//! A history under way: its steps, its processes, and the quiet at its end.
//!
//! Starts, stops and pauses processes, does what people and other programs do, and waits for the end. Knows no call: how one gets to the model
//! is [`super::Shared`]'s. Invariant: time passes only between two steps, to the next moment at which somebody has something to do.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use manifest::Hash;
use sandbox::Request;
use serde_json::{Value, json};
use syncd::config::{Fuse, Retry, Settings};
use syncd::cycle::Clock;
use syncd::daemon::{self, Pace, Reconciler};
use syncd::election::{Election, Fence};
use syncd::leader::{Leadership, Surroundings, lead};
use syncd::repo::Revision;
use syncd::report::Observer;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use ulid::Ulid;

use crate::chance::Chance;
use crate::checkers::{self, Scene};
use crate::model::services::{Service, files, id, manifest};
use crate::model::{ENVIRONMENT, HOME};
use crate::script::{History, Step};
use crate::truth::{Commit, Origin, object, uid};
use crate::weather::Weather;
use crate::wire::{Clone as Repository, Station, Wire};

use super::{ALL, Ears, FUSE, LANDS, Outcome, POLLS, QUIET, RESTART, SETTLES, Shared, Today};

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
        if self.history.suspends() {
            self.suspend(None);
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
        let ended = Arc::clone(&self.world);
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
        let task = tokio::spawn(async move {
            inside.running(run).await;
            ended.wake.notify_one();
        });
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
            Step::Suspend(what) => self.suspend(Some(what)),
            Step::Resume => self.suspend(None),
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
        self.say("approved", &json!({"format": 1, "environment": ENVIRONMENT, "plans": plans}).to_string());
    }

    /// Suspends one thing and nothing else; or nothing.
    fn suspend(&self, what: Option<&String>) {
        let scope = |what: &String| match what.strip_prefix("service ") {
            Some(service) => json!({"service": service}),
            None if what == "environment" => json!("environment"),
            None => json!({"object": id(what)}),
        };
        let one = |what| json!({"scope": scope(what), "reason": "a history", "since": "2026-01-01T00:00:00Z"});
        let all: Vec<Value> = what.map(one).into_iter().collect();
        {
            let mut inner = self.world.inner();
            inner.truth.suspended = what.map(|what| (what.clone(), Instant::now()));
            inner.truth.was_suspended |= what.is_some();
        }
        self.say("suspended", &json!({"format": 1, "environment": ENVIRONMENT, "suspensions": all}).to_string());
    }

    /// Writes what people say into its ConfigMap.
    fn say(&self, what: &str, text: &str) {
        let (name, key) = (format!("syncd-{ENVIRONMENT}.{what}"), format!("{what}.json"));
        let labels = json!({"syncd/environment": ENVIRONMENT, "app.kubernetes.io/managed-by": "syncd"});
        let metadata = json!({"name": name, "namespace": HOME, "labels": labels});
        let folder = format!("/api/v1/namespaces/{HOME}/configmaps");
        let data = json!({key.as_str(): text});
        let request = match self.world.model.object("", "ConfigMap", HOME, &name) {
            Some(there) if there["data"][&key] == text => return,
            Some(_) => Request::merge_patch(&format!("{folder}/{name}"), json!({"data": data})),
            None => {
                let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data});
                Request::create(&folder, body)
            }
        };
        self.world.somebody(request);
    }

    /// Lets nothing go wrong any more.
    fn calm(&mut self) {
        let mut inner = self.world.inner();
        inner.weather = Weather::Calm;
        inner.well = false;
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

    /// Tells whether somebody has looked since nothing goes wrong any more, and at everything where that was due.
    fn has_looked(&self) -> checkers::Verdict {
        let now = Today(Arc::clone(&self.world)).now();
        let inner = self.world.inner();
        let truth = &inner.truth;
        let interval = Settings::new(ENVIRONMENT, HOME).full_sync_interval;
        let is_done = |at: jiff::Timestamp| {
            // None falls due while it is looked whether all is quiet either.
            at <= now && Duration::try_from(now.duration_since(at)).is_ok_and(|ago| ago + QUIET < interval)
        };
        match () {
            () if truth.tip.is_none() => Ok(()),
            () if !inner.well => Err("nobody has looked".to_owned()),
            () if !truth.records.services.is_empty() && !truth.records.full_sync_at.is_some_and(is_done) => {
                Err("a full sync is due".to_owned())
            }
            () => Ok(()),
        }
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
            // Somebody looked since, or what he does next is still to come.
            let verdict = verdict.and_then(|()| self.has_looked());
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
