//! The walk of one service through its plan.
//!
//! Foundations, its turn, stages, readiness, deletions; then [`super::settle`] records what came of it. Invariant: whatever happens,
//! everything that others wait for is told, and the record gets what is known to be true and nothing else.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use litemap::LiteMap;
use manifest::index::OnFailure;
use manifest::{Hash, ObjectRef};
use smol_str::SmolStr;
use tokio::time::Instant;

use super::board::Fact;
use super::objects::{Applied, Deleted, Expected};
use super::turns::Turn;
use super::{Done, Holders, Pause, Run, Widening};
use crate::cluster::{Cluster, ClusterError, ErrorClass, GroupKind, Observed};
use crate::live::defined_kind;
use crate::plan::order::FOUNDATIONS;
use crate::plan::{ApplyStage, DeleteStage, PlannedApply, PlannedDelete, Problem, ServicePlan};
use crate::report::{Cause, Event, ObjectReport, Outcome, ServiceState, Waiting};
use crate::state::{Held, StateError, Stored};

/// Shortest and longest pause between two questions whether a new kind is served.
const SERVED_PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Why a walk ended before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// Something went wrong.
    Failed(String, Pause),
    /// What it waits for is not going to be.
    Blocked(String),
    /// Somebody has to decide.
    Held(String),
    /// People want some of it left alone.
    Suspended(String),
    /// Waiting is no longer worth it.
    Superseded,
}

/// A service under way.
pub(super) struct Walk<'a, C> {
    pub(super) run: &'a Run<'a, C>,
    pub(super) name: &'a str,
    pub(super) plan: &'a ServicePlan,
    pub(super) holders: &'a Holders,
    /// The record as it is stored.
    pub(super) stored: Option<Box<Stored>>,
    /// What is held, as far as is known now. Absent: what the record says. Thousands of services wait before there is a difference.
    pub(super) held: Option<LiteMap<ObjectRef, Held>>,
    pub(super) expected: LiteMap<ObjectRef, Expected>,
    pub(super) objects: Vec<ObjectReport>,
    pub(super) applied: Vec<&'a PlannedApply>,
    pub(super) deleted: Vec<&'a PlannedDelete>,
    pub(super) waiting_for: Vec<Waiting>,
    pub(super) causes: Vec<Cause>,
    /// Whether it ended because something is not going to be ready.
    pub(super) unready: bool,
    /// Whether objects may be in another state than `held` says.
    pub(super) look_again: bool,
    /// Objects that may still be created by a request that was not answered.
    pub(super) unanswered: BTreeSet<ObjectRef>,
    /// Whether it is not known which record is stored.
    pub(super) lost_record: bool,
    pub(super) started: Instant,
}

/// Walks one service through its plan.
pub(super) async fn walk<C: Cluster>(
    run: &Run<'_, C>,
    name: &str,
    plan: &ServicePlan,
    record: Widening,
    holders: &Holders,
) -> Done {
    let (stored, lost) = match record {
        Ok(stored) => (stored, None),
        Err(error) => (None, Some(error)),
    };
    let mut walk = Box::new(Walk {
        run,
        name,
        plan,
        holders,
        stored,
        held: None,
        expected: LiteMap::new(),
        objects: Vec::new(),
        applied: Vec::new(),
        deleted: Vec::new(),
        waiting_for: Vec::new(),
        causes: Vec::new(),
        unready: false,
        look_again: false,
        unanswered: BTreeSet::new(),
        lost_record: lost.is_some(),
        started: Instant::now(),
    });
    // What comes after another is boxed, here and below: a walk that waits holds what it waits for and not all that it may come to.
    let result = match (&plan.problem, lost) {
        (Some(problem), _) => Err(stop_of(problem)),
        (None, Some(error)) => Err(Stop::Failed(error.to_string(), pause_of_state(&error))),
        (None, None) => Box::pin(walk.all()).await,
    };
    // Whoever waits for something that did not come true hears that now.
    let wanted = if result.is_ok() { Ok(()) } else { Err(()) };
    for id in plan.foundations() {
        run.board.tell(name, plan.wave, Fact::Usable(id.clone()), wanted);
    }
    run.board.tell(name, plan.wave, Fact::Ready(name.to_owned()), wanted);
    run.board.tell(name, plan.wave, Fact::Deleted(name.to_owned()), wanted);
    let turn = Turn::new(&run.turns);
    turn.take().await;
    Box::pin(walk.settle(result)).await
}

fn stop_of(problem: &Problem) -> Stop {
    let message = problem.to_string();
    match problem {
        Problem::Blocked { .. } | Problem::BehindSuspended { .. } => Stop::Blocked(message),
        Problem::Unreadable { .. } => Stop::Held(message),
        Problem::Unread { .. } => Stop::Failed(message, Pause::Short),
        Problem::Foreign { .. }
        | Problem::Refused { .. }
        | Problem::UnknownDependency { .. }
        | Problem::DependencyCycle { .. } => Stop::Failed(message, Pause::Long),
    }
}

fn pause_of_state(error: &StateError) -> Pause {
    match error {
        StateError::Cluster { source, .. } => pause_of(source),
        StateError::Conflict { .. } | StateError::Root { .. } => Pause::Short,
    }
}

/// Tells when it makes sense to try again.
pub(super) fn pause_of(error: &ClusterError) -> Pause {
    match error.class {
        ErrorClass::Rejected | ErrorClass::Immutable | ErrorClass::Forbidden => Pause::Long,
        ErrorClass::Transient
        | ErrorClass::Ambiguous
        | ErrorClass::Conflict
        | ErrorClass::Gone
        | ErrorClass::NotServed
        | ErrorClass::NamespaceUnavailable => Pause::Short,
    }
}

impl<'a, C: Cluster> Walk<'a, C> {
    async fn all(&mut self) -> Result<(), Stop> {
        self.expect_known();
        let turn = Turn::new(&self.run.turns);
        let (foundations, stages): (Vec<&ApplyStage>, Vec<&ApplyStage>) =
            self.plan.stages.iter().partition(|stage| stage.stage == FOUNDATIONS);
        for stage in foundations {
            turn.take().await;
            Box::pin(self.apply(stage, &turn)).await?;
        }
        turn.give_back();
        Box::pin(self.prepare_foundations()).await?;
        self.wait_for_turn().await?;
        let name = self.name.to_owned();
        self.run.context.tell(&Event::ServiceStarted { service: name.clone() });
        for stage in stages {
            turn.take().await;
            Box::pin(self.apply(stage, &turn)).await?;
        }
        turn.give_back();
        self.run.desired.release(self.name);
        self.run.context.tell(&Event::ServiceApplied { service: name.clone() });
        let ready = Box::pin(self.wait_ready(&self.plan.wait)).await;
        if let (Ok(()), Some(id)) = (&ready, self.plan.suspended.first()) {
            // What it wants is not there as a whole: nothing old goes, and nobody stands on it.
            return Err(Stop::Suspended(self.run.suspended(id)));
        }
        if ready.is_ok() || self.unready && self.on_failure() == OnFailure::Continue {
            self.run.board.tell(&name, self.plan.wave, Fact::Ready(name.clone()), Ok(()));
        }
        ready?;
        Box::pin(self.prune()).await
    }

    /// Returns what follows when the service does not become ready.
    pub(super) fn on_failure(&self) -> OnFailure {
        let entry = self.run.desired.source.index.services.get(self.name);
        entry.map(|entry| entry.sync.on_failure).unwrap_or_default()
    }

    pub(super) fn timeout(&self) -> Instant {
        Instant::now() + Duration::from_secs(self.plan.timeout_seconds)
    }

    /// Notes which objects are waited for without being applied.
    fn expect_known(&mut self) {
        for id in &self.plan.wait {
            let expected = |live: &Observed| Expected { uid: live.uid.clone(), generation: live.generation };
            let known = self.run.live.present(id).map(expected).unwrap_or_default();
            self.expected.entry(id.clone()).or_insert(known);
        }
    }

    /// Records what was applied. Also what was left over and is wanted again is like any other from then on, and not before.
    fn hold(&mut self, id: &ObjectRef, api_version: SmolStr, uid: SmolStr, hash: Hash) {
        self.held().insert(id.clone(), Held { api_version, uid: Some(uid), hash: Some(hash), ..Held::default() });
    }

    /// Returns what is held, to change it.
    pub(super) fn held(&mut self) -> &mut LiteMap<ObjectRef, Held> {
        let recorded = || self.stored.as_ref().map(|stored| stored.record.held.clone()).unwrap_or_default();
        self.held.get_or_insert_with(recorded)
    }

    /// Waits for namespaces and definitions and tells those that need them.
    async fn prepare_foundations(&mut self) -> Result<(), Stop> {
        let ids: Vec<ObjectRef> = self.plan.foundations().into_iter().cloned().collect();
        if ids.is_empty() {
            return Ok(());
        }
        self.wait_ready(&ids).await?;
        let deadline = self.timeout();
        for id in &ids {
            let object = self.run.desired.object(self.name, id);
            if let Some(kind) = object.and_then(|object| defined_kind(&object.value())) {
                self.wait_served(id, &kind, deadline).await?;
            }
            self.run.board.tell(self.name, self.plan.wave, Fact::Usable(id.clone()), Ok(()));
        }
        Ok(())
    }

    /// Asks until the API serves a new kind: nothing tells when it does.
    async fn wait_served(&mut self, id: &ObjectRef, kind: &GroupKind, deadline: Instant) -> Result<(), Stop> {
        let (mut pause, longest) = SERVED_PAUSE;
        loop {
            let served = self.run.request(&[ErrorClass::Transient], || self.run.cluster.is_served(kind)).await;
            match served {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => return Err(Stop::Failed(format!("{id}: {error}"), pause_of(&error))),
            }
            if Instant::now() + pause > deadline {
                return Err(Stop::Failed(format!("{id}: the API does not serve {kind} yet"), Pause::Short));
            }
            self.run.context.unless_superseded(tokio::time::sleep(pause)).await.ok_or(Stop::Superseded)?;
            pause = (pause * 2).min(longest);
        }
    }

    /// Waits until all that must be ready before is.
    async fn wait_for_turn(&self) -> Result<(), Stop> {
        let gates = self.plan.gates.iter().cloned().map(Fact::Usable);
        let facts: Vec<Fact> = gates.chain(self.plan.after.iter().cloned().map(Fact::Ready)).collect();
        let board = &self.run.board;
        let turn = async {
            board.wait_all(&facts).await?;
            match self.plan.content {
                Some(_) => board.wait_below(self.plan.wave).await,
                None => Ok(()),
            }
        };
        let turn = self.run.context.unless_superseded(turn).await.ok_or(Stop::Superseded)?;
        turn.map_err(|by| Stop::Blocked(format!("service `{by}` must be ready before, and is not")))
    }

    /// Applies one stage: all its objects side by side; those that turn out to be gone are recorded as such and created.
    async fn apply(&mut self, stage: &'a ApplyStage, turn: &Turn<'_>) -> Result<(), Stop> {
        if self.run.context.is_superseded() {
            return Err(Stop::Superseded);
        }
        let deadline = self.timeout();
        let (run, name) = (self.run, self.name);
        let replies = join_all(stage.applies.iter().map(|planned| run.apply(name, planned, deadline, turn))).await;
        let mut failures = Vec::new();
        let mut gone = Vec::new();
        for (planned, reply) in stage.applies.iter().zip(replies) {
            match reply {
                Applied::Gone => gone.push(planned),
                reply => failures.extend(self.note_applied(planned, reply, planned.uid.is_some())),
            }
        }
        if !gone.is_empty() {
            self.record_as_gone(&gone).await?;
            let replies = join_all(gone.iter().map(|planned| run.create(name, planned))).await;
            for (planned, reply) in gone.into_iter().zip(replies) {
                failures.extend(self.note_applied(planned, reply, false));
            }
        }
        first_failure(failures)
    }

    /// Records objects that were deleted behind our back as possibly absent, before they are created again.
    async fn record_as_gone(&mut self, gone: &[&PlannedApply]) -> Result<(), Stop> {
        for planned in gone {
            let held = Held { api_version: planned.api_version.clone(), ..Held::default() };
            self.held().insert(planned.id.clone(), held);
        }
        let mut record = self.stored.as_ref().map(|stored| stored.record.clone()).unwrap_or_default();
        record.held.clone_from(self.held());
        record.intent = Some(self.run.intent(self.plan));
        match self.run.write_record(self.name, self.stored.as_deref(), record).await {
            Ok(stored) => {
                self.stored = Some(Box::new(stored));
                Ok(())
            }
            Err(error) => {
                self.lost_record = true;
                Err(Stop::Failed(error.to_string(), pause_of_state(&error)))
            }
        }
    }

    /// Notes what came of an apply. Returns why the walk ends, if it does.
    fn note_applied(&mut self, planned: &'a PlannedApply, reply: Applied, existed: bool) -> Option<Stop> {
        let (outcome, error, pause) = match reply {
            Applied::Accepted(live) => {
                let outcome = match existed {
                    true if self.run.is_unchanged(&planned.id, &live) => Outcome::Unchanged,
                    true => Outcome::Configured,
                    false => Outcome::Created,
                };
                self.hold(&planned.id, planned.api_version.clone(), live.uid.clone(), planned.hash);
                self.expected.insert(planned.id.clone(), Expected { uid: live.uid, generation: live.generation });
                self.applied.push(planned);
                (outcome, None, Pause::None)
            }
            Applied::Failed(error) => {
                let ambiguous = error.class == ErrorClass::Ambiguous;
                let is_open = |held: &&mut Held| ambiguous || held.hash == Some(planned.hash);
                if let Some(held) = self.held().get_mut(&planned.id).filter(is_open) {
                    // What is there now may be the old manifest or the new one, or what others made of the one that was recorded.
                    held.hash = None;
                }
                if ambiguous && !existed {
                    self.unanswered.insert(planned.id.clone());
                }
                self.look_again |= ambiguous || matches!(error.class, ErrorClass::Gone | ErrorClass::Conflict);
                let pause = pause_of(&error);
                (Outcome::Failed, Some(error.message), pause)
            }
            Applied::GivenUp(stop) => {
                self.look_again = true;
                let Stop::Failed(message, pause) = stop else { return Some(stop) };
                (Outcome::Failed, Some(message), pause)
            }
            Applied::Gone => {
                self.look_again = true;
                (Outcome::Failed, Some("it was deleted again and again".to_owned()), Pause::Short)
            }
        };
        self.note(&planned.id, outcome, planned.reason.to_string(), error.clone());
        error.map(|error| Stop::Failed(format!("{}: {error}", planned.id), pause))
    }

    pub(super) fn note(&mut self, object: &ObjectRef, outcome: Outcome, reason: String, error: Option<String>) {
        let report = ObjectReport { object: object.clone(), outcome, reason, error };
        self.run.context.tell(&Event::Object { service: self.name.to_owned(), object: report.clone() });
        self.objects.push(report);
    }

    /// Deletes what is to be deleted, namespaces and definitions after everything else of this plan.
    async fn prune(&mut self) -> Result<(), Stop> {
        let (run, name) = (self.run, self.name);
        let newcomers: Vec<Fact> = self.plan.deletes_after.iter().cloned().map(Fact::Ready).collect();
        run.context.unless_superseded(run.board.wait_any_outcome(&newcomers)).await.ok_or(Stop::Superseded)?;
        let (foundations, stages): (Vec<&DeleteStage>, Vec<&DeleteStage>) =
            self.plan.deletes.iter().partition(|stage| stage.stage == FOUNDATIONS);
        for stage in stages {
            self.delete(stage).await?;
        }
        run.board.tell(name, self.plan.wave, Fact::Deleted(name.to_owned()), Ok(()));
        if !foundations.is_empty() {
            let others: BTreeSet<&String> = run.plan.services.keys().filter(|other| *other != name).collect();
            let facts: Vec<Fact> = others.into_iter().cloned().map(Fact::Deleted).collect();
            run.context.unless_superseded(run.board.wait_any_outcome(&facts)).await.ok_or(Stop::Superseded)?;
        }
        for stage in foundations {
            self.delete(stage).await?;
        }
        Ok(())
    }

    /// Deletes one stage: all its objects side by side, and waits until they are gone.
    async fn delete(&mut self, stage: &'a DeleteStage) -> Result<(), Stop> {
        if self.run.context.is_superseded() {
            return Err(Stop::Superseded);
        }
        let deadline = self.timeout();
        let run = self.run;
        let replies = join_all(stage.deletes.iter().map(|planned| run.delete(self.name, planned, deadline))).await;
        let mut failures = Vec::new();
        for (planned, reply) in stage.deletes.iter().zip(replies) {
            let id = &planned.id;
            let reason = planned.reason.to_string();
            let (error, pause) = match reply {
                Deleted::Done => {
                    self.held().remove(id);
                    self.deleted.push(planned);
                    self.note(id, Outcome::Deleted, reason, None);
                    continue;
                }
                Deleted::WasGone => {
                    self.held().remove(id);
                    self.note(id, Outcome::Unchanged, "it was gone already".to_owned(), None);
                    continue;
                }
                Deleted::Failed(error) => {
                    self.look_again |= error.class == ErrorClass::Ambiguous;
                    (error.message.clone(), pause_of(&error))
                }
                Deleted::GivenUp(Stop::Failed(message, pause)) => (message, pause),
                Deleted::GivenUp(stop) => {
                    failures.push(stop);
                    continue;
                }
            };
            self.note(id, Outcome::Failed, reason, Some(error.clone()));
            failures.push(Stop::Failed(format!("{id} could not be deleted: {error}"), pause));
        }
        first_failure(failures)
    }

    /// Returns how a walk that ended so stands.
    pub(super) fn state_of(&self, result: &Result<(), Stop>) -> (ServiceState, Option<String>, Pause) {
        match result {
            Ok(()) => (ServiceState::Synced, None, Pause::None),
            Err(Stop::Failed(message, pause)) => (ServiceState::Failed, Some(message.clone()), *pause),
            Err(Stop::Blocked(message)) => (ServiceState::Blocked, Some(message.clone()), Pause::None),
            Err(Stop::Held(message)) => (ServiceState::Held, Some(message.clone()), Pause::Long),
            Err(Stop::Suspended(message)) => (ServiceState::Suspended, Some(message.clone()), Pause::Long),
            Err(Stop::Superseded) => {
                let message = "a newer revision or a change by others came, or syncd is ending".to_owned();
                (ServiceState::Superseded, Some(message), Pause::None)
            }
        }
    }
}

/// Returns the first failure, with the number of the others and the shortest pause: one that may mend by itself is tried soon. A walk that
/// is not worth going on with has not failed.
fn first_failure(stops: Vec<Stop>) -> Result<(), Stop> {
    let (mut failures, mut other) = (Vec::new(), None);
    for stop in stops {
        match stop {
            Stop::Failed(message, pause) => failures.push((message, pause)),
            stop => other = Some(stop),
        }
    }
    let pause = failures.iter().map(|(_, pause)| *pause).min().unwrap_or(Pause::None);
    let count = failures.len();
    match failures.into_iter().next() {
        None => other.map_or(Ok(()), Err),
        Some((message, _)) if count == 1 => Err(Stop::Failed(message, pause)),
        Some((message, _)) => Err(Stop::Failed(format!("{message}; and {} more failures", count - 1), pause)),
    }
}
