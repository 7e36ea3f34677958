//! One reconciliation, READ FIRST: source, state, live, plan, verify, execute, report.
//!
//! Straight-line code over the two seams; what is decided is decided in [`crate::plan`], what is done is done in [`crate::execute`].
//! Knows when to look, and remembers between cycles what need not be asked again. Invariants: an index that did not change, with nothing
//! open, costs no request to the cluster; a source that fails is never an empty one; there is always a report.

mod foresight;
mod memory;
mod outcome;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use manifest::index::DriftPolicy;
use manifest::{Hash, ObjectRef};
use serde_json::json;
use smol_str::SmolStr;
use tokio::time::Instant;

use crate::approval;
use crate::cluster::{Cluster, ErrorClass, GroupKind};
use crate::config::{History, Settings};
use crate::desired::{self, Content, Desired, Source, SourceError};
use crate::drift::Drifted;
use crate::execute::{Done, execute};
use crate::live::{self, Live, Presence};
use crate::plan::{self, Plan, Policy, Scope, Selection, verify};
use crate::repo::{CommitInfo, Repo, Revision};
use crate::report::{CycleError, Event, HeldDeletions, Phases, Report, Services, Stage, Trigger};
use crate::state::{self, Root, State, StateError, StoredRoot};
use crate::suspension;

pub use crate::context::{Clock, Context};
pub use foresight::{Foresight, foresee};
pub use memory::{Memory, Takeover};

/// Which cycle to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// ULID, for the report.
    pub id: String,
    /// How much to do.
    pub mode: Mode,
}

/// How much a cycle is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What is new, failed, or due.
    Auto,
    /// Everything: every object is applied again.
    Full,
    /// As [`Mode::Auto`], with the revision in force: what others changed is not to wait for the repository.
    Repair,
}

/// Runs one cycle. Never fails as a whole: whatever happens is in the report. Dropping the future is a crash, and safe.
pub async fn run<R: Repo, C: Cluster>(
    repo: &R,
    cluster: &C,
    settings: &Settings,
    memory: &mut Memory,
    request: &Request,
    context: &Context<'_>,
) -> Report {
    let started = Instant::now();
    let started_at = context.now();
    let mut cycle = Cycle { repo, cluster, settings, context, memory, walk: Walk::default() };
    cycle.all(request.mode).await;
    let walk = std::mem::take(&mut cycle.walk);
    let acted: BTreeSet<String> = walk.done.keys().cloned().collect();
    let at_rest = walk.at_rest && acted.is_empty();
    let mut report = outcome::report(settings, memory, walk);
    memory.note_services(&report.services, &acted);
    memory.at_rest = at_rest;
    memory.note_end();
    report.id.clone_from(&request.id);
    report.started_at = started_at;
    report.ended_at = context.now();
    report.seconds = started.elapsed().as_secs_f64();
    report
}

struct Cycle<'a, R, C> {
    repo: &'a R,
    cluster: &'a C,
    settings: &'a Settings,
    context: &'a Context<'a>,
    memory: &'a mut Memory,
    walk: Walk,
}

/// What happened in a cycle.
#[derive(Default)]
struct Walk {
    trigger: Option<Trigger>,
    plan: Option<Plan>,
    done: BTreeMap<String, Done>,
    errors: Vec<CycleError>,
    phases: Phases,
    /// Whether a plan was carried out.
    executed: bool,
    /// Whether the new revision was let in by name, wherever it comes from.
    begins_history: bool,
    /// Whether everything is looked at once more, for what may have landed late.
    second_look: bool,
    /// Whether nothing was known any more of what is stored.
    read_anew: bool,
    /// Services some of whose objects could not be seen.
    unseen: BTreeSet<String>,
    /// Whether nothing was known that was not known before, and nothing is to be done about what was.
    at_rest: bool,
    /// How all services stand, where the last cycle found nothing to do and this one does neither.
    unchanged: Option<Services>,
    /// The state as it was before a write went wrong: what is told of services that had nothing to do with it.
    lost: Option<State>,
}

/// What is to be done, and all that it follows from.
struct Survey {
    plan: Plan,
    desired: Desired,
    live: Live,
}

/// What came of looking for something to do.
enum Surveyed {
    /// There is nothing.
    Nothing(Live),
    /// It could not be found out; the reason is in the errors.
    Blind,
    /// This.
    Planned(Box<Survey>),
}

/// It is not known any more what is stored; the reason is in the errors and reports.
struct Lost;

impl<R: Repo, C: Cluster> Cycle<'_, R, C> {
    async fn all(&mut self, mode: Mode) {
        let clock = Instant::now();
        let new = if mode == Mode::Repair { None } else { self.ask_source().await };
        self.walk.phases.source += clock.elapsed().as_secs_f64();
        self.walk.read_anew = self.memory.state().is_none();
        let root_before = self.memory.root_version();
        let second_look = self.memory.takes_second_look();
        self.walk.second_look = second_look;
        // Taken out while it is not certain: whoever drops this cycle leaves nothing wrong in memory.
        let read = self.memory.state.take();
        let fresh = read.is_none();
        let clock = Instant::now();
        let state = match read {
            Some(state) => Ok(state),
            None => state::read(self.cluster, &self.settings.environment).await,
        };
        if let Err(reason) = self.hear_suspensions(state.as_ref().ok().filter(|_| fresh)).await {
            self.walk.phases.read += clock.elapsed().as_secs_f64();
            self.memory.fresh |= fresh;
            self.memory.state = state.ok().filter(|_| !fresh);
            return self.fail(Stage::State, &reason);
        }
        let rested = std::mem::take(&mut self.memory.at_rest);
        let state = match state {
            Ok(state) => self.take_over(state).await,
            error => error,
        };
        self.walk.phases.read += clock.elapsed().as_secs_f64();
        let state = match state {
            Ok(state) => state,
            Err(error) => return self.fail(Stage::State, &error.to_string()),
        };
        if fresh {
            self.memory.note_root(root_before.as_deref(), &state);
            self.context.observer.recorded(state.objects());
        }
        // A look that is only the second one has waited for them.
        if fresh && (self.walk.read_anew || !second_look) && self.settings.expects_late_requests {
            self.memory.note_unanswered(&state);
        }
        if fresh {
            self.memory.note_strays(&state, self.settings.expects_late_requests);
        }
        if mode != Mode::Repair {
            self.hear_approval().await;
        }
        let clock = Instant::now();
        let new = self.check_source(new, &state).await;
        self.walk.phases.source += clock.elapsed().as_secs_f64();
        let known = self.memory.source.is_some() && new.is_none();
        let Some(source) = self.adopt_source(new, &state).await else {
            self.memory.state = Some(state);
            self.memory.fresh |= fresh;
            return;
        };
        if !known {
            self.context.observer.drift_policies(drift_policies(&source));
        }
        let mut state = state;
        if self.note_new_history(&mut state, &source).await.is_err() {
            self.memory.fresh = true;
            return;
        }
        if self.memory.suspended.environment().is_some() {
            self.memory.state = Some(state);
            self.memory.fresh |= fresh;
            return;
        }
        let fresh = std::mem::take(&mut self.memory.fresh) || fresh;
        let rested = rested && known && !fresh;
        if rested && self.memory.waits_for_nothing() && mode != Mode::Full && !self.is_full_sync_due(&state) {
            // Nothing has come to be known since nothing was to be done.
            self.walk.trigger = Some(Trigger::None);
            self.walk.at_rest = true;
            self.walk.unchanged = Some(self.memory.last.clone());
            self.memory.state = Some(state);
            return;
        }
        let reconciled = self.reconcile(source, state, fresh, mode).await;
        self.memory.look_again.append(&mut self.walk.unseen);
        match reconciled {
            Ok(state) => {
                let state = self.sweep(state).await;
                self.memory.state = Some(state);
            }
            Err(Lost) => self.memory.fresh = true,
        }
    }

    /// Begins a new epoch, if a new leader has begun to act.
    async fn take_over(&mut self, state: State) -> Result<State, StateError> {
        let Some(takeover) = self.memory.takeover else { return Ok(state) };
        let limits = (self.settings.limits.state_bytes, self.settings.concurrency);
        let environment = &self.settings.environment;
        let state = state::take_over(self.cluster, environment, state, takeover == Takeover::Clean, limits).await?;
        self.memory.took_over();
        self.memory.note_own_root(state.root.as_ref());
        Ok(state)
    }

    /// Finds out what people want left alone: it is in what was just `read`, or known by the watch, or asked for. A change is told; what is
    /// not suspended any more is looked at as at the start.
    async fn hear_suspensions(&mut self, read: Option<&State>) -> Result<(), String> {
        let (environment, namespace) = (&self.settings.environment, &self.settings.namespace);
        let object = match (read, self.context.heard.known()) {
            (Some(state), _) => state.suspensions.clone(),
            (None, Some(known)) => known,
            (None, None) => suspension::ask(self.cluster, environment, namespace).await.map_err(|error| {
                format!("what is suspended could not be read: {error}; nothing is written until it can")
            })?,
        };
        let object = self.context.heard.act_on(object);
        let record = suspension::Record::read(object.as_ref(), environment)?;
        let suspended = record.in_force(self.context.clock.now());
        if suspended != self.memory.suspended {
            self.context.tell(&Event::Suspended(suspended.clone()));
            self.context.observer.suspended(&suspended);
            self.memory.note_suspended(suspended);
        }
        Ok(())
    }

    // ---------------------------------------------------------------------------------------------------------------- source

    /// Asks for the tip and fetches it if it is new. Nothing: what is in force stays so.
    async fn ask_source(&mut self) -> Option<(Revision, CommitInfo)> {
        let in_force = self.memory.source.as_ref().map(|source| source.revision.clone());
        let tip = match self.repo.tip().await {
            Ok(tip) => tip,
            Err(error) => {
                self.keep_source(&error.into(), in_force.as_ref());
                return None;
            }
        };
        if in_force.as_ref() == Some(&tip) {
            return None;
        }
        match self.repo.fetch(&tip).await {
            Ok(commit) => Some((tip, commit)),
            Err(error) => {
                self.keep_source(&error.into(), in_force.as_ref());
                None
            }
        }
    }

    /// Reads the index of a revision that was fetched, if it may take the place of the one in force, which the state may know best.
    async fn check_source(&mut self, new: Option<(Revision, CommitInfo)>, state: &State) -> Option<Source> {
        let (revision, commit) = new?;
        let in_force = self.memory.source.as_ref().map(|source| source.revision.clone());
        let in_force = in_force.or_else(|| state.root.as_ref().map(|stored| stored.root.commit.clone()));
        let history = &self.settings.history;
        let checked = match in_force.as_ref() == Some(&revision) {
            // It was checked when it came into force.
            true => Ok(()),
            false => desired::check_revision(self.repo, &revision, in_force.as_ref(), history).await,
        };
        let is_named = matches!(history, History::Descendants { accepted } if accepted.contains(&revision));
        let (checked, is_named) = match checked {
            Err(SourceError::Rewritten { .. } | SourceError::Unproven { .. })
                if self.is_approved(&approval::of_revision(&revision)).await =>
            {
                (Ok(()), true)
            }
            checked => (checked, is_named),
        };
        let read = match checked {
            Ok(()) => self.read_index(&revision, commit).await,
            Err(error) => Err(error),
        };
        self.walk.begins_history = is_named && read.is_ok();
        read.map_err(|error| self.keep_source(&error, in_force.as_ref())).ok()
    }

    /// Records a revision that people let begin another history, also where its index is known: what comes next descends from this one and
    /// from nothing before, after a restart as well.
    async fn note_new_history(&mut self, state: &mut State, source: &Source) -> Result<(), Lost> {
        let is_new = |root: &Root| root.index == source.root && root.commit != source.revision;
        match state.root.as_ref().map(|stored| stored.root.clone()).filter(is_new) {
            Some(root) if self.walk.begins_history => {
                self.write_root(state, Root { commit: source.revision.clone(), ..root }).await
            }
            _ => Ok(()),
        }
    }

    async fn read_source(&self, revision: &Revision) -> Result<Source, SourceError> {
        let commit = self.repo.fetch(revision).await?;
        self.read_index(revision, commit).await
    }

    async fn read_index(&self, revision: &Revision, commit: CommitInfo) -> Result<Source, SourceError> {
        let (environment, limits) = (&self.settings.environment, &self.settings.limits);
        let known = self.memory.source.as_ref().map(|source| &*source.index);
        desired::read_index(self.repo, revision, commit, (environment, known), limits).await
    }

    fn keep_source(&mut self, error: &SourceError, in_force: Option<&Revision>) {
        let stage = match error {
            SourceError::Repo(_) => Stage::Source,
            SourceError::Unverified { .. } => Stage::Revision,
            SourceError::Rewritten { .. } | SourceError::Unproven { .. } => Stage::History,
            SourceError::NoIndex { .. } | SourceError::IndexTooLarge { .. } | SourceError::Index { .. } => Stage::Index,
        };
        let kept = match in_force {
            Some(revision) => format!("; revision {} stays in force", revision.short()),
            None => String::new(),
        };
        self.fail(stage, &format!("{error}{kept}"));
    }

    /// Returns the source in force: the new one, the one in memory, or the one that was last adopted according to the state.
    async fn adopt_source(&mut self, new: Option<Source>, state: &State) -> Option<Source> {
        if let Some(source) = new {
            let (revision, commit) = (source.revision.clone(), source.commit.clone());
            self.context.tell(&Event::Revision { revision, commit });
            let goes_on = self.memory.source.as_ref().is_some_and(|before| before.wants_same(&source));
            self.memory.owes_root |= self.walk.begins_history || !goes_on;
            self.memory.source = Some(source);
        }
        if self.memory.source.is_none()
            && let Some(root) = &state.root
        {
            let clock = Instant::now();
            match self.read_source(&root.root.commit).await {
                Ok(source) => self.memory.source = Some(source),
                Err(error) => {
                    let revision = root.root.commit.short();
                    self.fail(
                        Stage::Source,
                        &format!("revision {revision}, the last one in force, cannot be read: {error}"),
                    );
                }
            }
            self.walk.phases.source += clock.elapsed().as_secs_f64();
        }
        self.memory.source.clone()
    }

    // ------------------------------------------------------------------------------------------------------------- reconcile

    /// Makes the cluster what `source` says; where a service is to be rolled back, what it said before. Returns the state as it is then.
    async fn reconcile(&mut self, source: Source, state: State, fresh: bool, mode: Mode) -> Result<State, Lost> {
        let state = self.pass(source.clone().with_kept(&state), state, fresh, mode).await?;
        if !self.walk.done.values().any(|done| done.rolls_back) || self.context.is_superseded() {
            return Ok(state);
        }
        let (first, trigger) = (std::mem::take(&mut self.walk.done), self.walk.trigger);
        let again = self.pass(source.with_kept(&state), state, false, Mode::Auto).await;
        self.walk.trigger = trigger;
        outcome::merge(&mut self.walk.done, first);
        again
    }

    /// Makes the cluster what `source` says, once.
    async fn pass(&mut self, source: Source, state: State, fresh: bool, mode: Mode) -> Result<State, Lost> {
        let acts = |name: &String| self.memory.suspended.service(name).is_none();
        let full = source.index.services.keys().chain(state.services.keys()).any(acts) && self.is_full(mode, &state);
        let Survey { plan, desired, live } = match self.survey(&source, &state, fresh, full).await {
            Surveyed::Planned(survey) => *survey,
            Surveyed::Nothing(_) => {
                let mut state = state;
                // All is as it says, and another revision may be recorded.
                let owes = self.memory.owes_root;
                let differs = |root: &Root| owes && root.index != source.root || self.is_passed_over(root, &source);
                if state.root.as_ref().is_some_and(|stored| differs(&stored.root)) {
                    self.adopt_root(&mut state, &source, full).await?;
                }
                self.memory.recorded_root();
                self.memory.planned_index = Some(source.root);
                return Ok(state);
            }
            Surveyed::Blind => {
                self.memory.fresh = fresh;
                return Ok(state);
            }
        };
        let clock = Instant::now();
        let carried_out = self.carry_out(plan, &desired, state, &live, full).await;
        self.walk.phases.execute += clock.elapsed().as_secs_f64();
        self.memory.planned_index = carried_out.is_ok().then_some(source.root);
        carried_out
    }

    /// Finds out what is to be done, and does nothing. `full`: as if every object were applied again.
    async fn survey(&mut self, source: &Source, state: &State, fresh: bool, full: bool) -> Surveyed {
        let suspended = self.memory.suspended.clone();
        let scope = if full { Scope::Full } else { Scope::Needed };
        let clock = Instant::now();
        let mut live = Live { may_come: self.memory.may_come(), ..Live::default() };
        let resting = self.memory.resting(source, full);
        // What is known to be open and not due is left alone, whatever exists.
        let waits = |name: &String| {
            let content = source.index.services.get(name).map(|entry| &entry.content);
            let open = !state.record(name).is_some_and(|record| record.is_settled(content));
            suspended.service(name).is_some() || resting.contains(name) && open
        };
        let again: BTreeSet<String> = self.memory.look_again.iter().filter(|name| !waits(name)).cloned().collect();
        self.list(&mut live, recorded_kinds(state, (!fresh && !full).then_some(&again)), state).await;
        self.look_at_drifted(&mut live, state).await;
        let mut selection = plan::select(&source.index, state, &live, &resting, &suspended, scope);
        if self.memory.leaves_out_held(&selection) {
            self.memory.wake_held();
            let resting = self.memory.resting(source, full);
            selection = plan::select(&source.index, state, &live, &resting, &suspended, scope);
        }
        let forgot = self.memory.forget_settled(&selection);
        self.walk.phases.read += clock.elapsed().as_secs_f64();
        let changed = self.memory.planned_index != Some(source.root);
        self.walk.trigger = Some(match () {
            () if full => Trigger::Full,
            () if selection.act.is_empty() && (!fresh || self.walk.second_look) => Trigger::None,
            () if fresh && !self.walk.second_look => Trigger::Start,
            () if changed => Trigger::Changed,
            () if !live.drifted.is_empty() => Trigger::Drift,
            () => Trigger::Retry,
        });
        if selection.act.is_empty() {
            self.walk.at_rest = !fresh && !changed && !forgot;
            return Surveyed::Nothing(live);
        }
        let Some((desired, mut live)) = self.look(source, state, live, &selection, fresh || full).await else {
            return Surveyed::Blind;
        };
        match self.plan(&desired, state, &mut live, &selection).await {
            Some(plan) => Surveyed::Planned(Box::new(Survey { plan, desired, live })),
            None => Surveyed::Blind,
        }
    }

    /// Reads what the plan needs to know: manifests of the selected services, and the objects that it may delete.
    async fn look(
        &mut self,
        source: &Source,
        state: &State,
        mut live: Live,
        selection: &Selection,
        widely: bool,
    ) -> Option<(Desired, Live)> {
        let clock = Instant::now();
        let read = desired::read_services(self.repo, source, &selection.load, state, self.settings).await;
        self.walk.phases.source += clock.elapsed().as_secs_f64();
        let desired = match read {
            Ok(desired) => desired,
            Err(error) => {
                self.fail(Stage::Source, &error.to_string());
                return None;
            }
        };
        let clock = Instant::now();
        let again = &self.memory.look_again;
        let kinds = desired.services.iter().filter(|(name, _)| widely || again.contains(*name));
        let kinds = kinds.filter_map(|(_, content)| match content {
            Content::Objects(objects) => Some(objects.keys().map(GroupKind::of)),
            Content::Refused { .. } => None,
        });
        let kinds = kinds.flatten().collect();
        self.list(&mut live, kinds, state).await;
        let candidates = plan::candidates(&desired, state, selection);
        for (id, error) in live::look_at(self.cluster, &mut live, &candidates, self.settings).await {
            if error.class == ErrorClass::NotServed && self.never_was(&id, state).await {
                live.seen.insert(id, None);
                continue;
            }
            self.fail(Stage::Live, &format!("{id} could not be read: {error}"));
        }
        self.walk.phases.read += clock.elapsed().as_secs_f64();
        Some((desired, live))
    }

    /// Tells whether an object was only going to be created, when its kind was not served, and still is not.
    async fn never_was(&self, id: &ObjectRef, state: &State) -> bool {
        let mut entries = state.records().filter_map(|(_, record)| record.held.get(id));
        entries.all(|held| held.uid.is_none()) && self.cluster.is_served(&GroupKind::of(id)).await == Ok(false)
    }

    /// Looks whether what is new to the services is there already, and whose it is. Nothing is in a namespace that does not exist, or of a
    /// kind that is not served.
    async fn look_at_newcomers(&mut self, newcomers: BTreeSet<ObjectRef>, live: &mut Live) {
        let is_namespace = |id: &ObjectRef| id.group.is_empty() && id.kind == "Namespace";
        let (namespaces, mut others): (BTreeSet<_>, BTreeSet<_>) = newcomers.into_iter().partition(is_namespace);
        let mut failed = live::look_for(self.cluster, live, &namespaces, self.settings).await;
        let absent: BTreeSet<SmolStr> = namespaces
            .into_iter()
            .filter(|id| matches!(live.presence(id), Presence::Absent))
            .map(|id| id.name)
            .collect();
        others.retain(|id| !absent.contains(&id.namespace));
        failed.extend(live::look_for(self.cluster, live, &others, self.settings).await);
        let is_absence = |class: ErrorClass| matches!(class, ErrorClass::NotServed | ErrorClass::NamespaceUnavailable);
        let unread = failed.into_iter().filter(|(_, error)| !is_absence(error.class));
        live.unread.extend(unread.map(|(id, error)| (id, error.message)));
    }

    /// Takes over what is known of objects that others changed; asks about those that are not seen by label any more, and about those that
    /// are recorded with another uid: a watch that was interrupted may not have told yet that what it saw is gone.
    async fn look_at_drifted(&mut self, live: &mut Live, state: &State) {
        let suspended = &self.memory.suspended;
        let is_known = |id: &ObjectRef, drifted: &Drifted| {
            let held = state.record(&drifted.service).and_then(|record| record.held.get(id));
            let recorded = held.and_then(|held| held.uid.as_ref());
            let observed = drifted.observed.as_ref().map(|observed| &observed.uid);
            observed.is_some() && recorded.is_none_or(|uid| Some(uid) == observed)
        };
        let is_left = |id: &ObjectRef, drifted: &Drifted| {
            suspended.object(id).is_some() || suspended.service(&drifted.service).is_some()
        };
        let missing = |id: &ObjectRef, drifted: &Drifted| !is_known(id, drifted) && !is_left(id, drifted);
        let ids = self.memory.drifted.iter().filter(|(id, drifted)| missing(id, drifted)).map(|(id, _)| id.clone());
        for (id, error) in live::look_at(self.cluster, live, &ids.collect(), self.settings).await {
            self.walk.unseen.extend(self.memory.drifted.get(&id).map(|drifted| drifted.service.clone()));
            self.fail(Stage::Live, &format!("{id} could not be read: {error}"));
        }
        for (id, drifted) in &self.memory.drifted {
            live.drifted.insert(id.clone());
            if let Some(observed) = drifted.observed.as_ref().filter(|_| is_known(id, drifted)) {
                live.owned.entry(id.clone()).or_insert_with(|| observed.clone());
            }
        }
    }

    /// Lists kinds. Services that hold objects of a kind that could not be listed are looked at again in the next cycle.
    async fn list(&mut self, live: &mut Live, kinds: BTreeSet<GroupKind>, state: &State) {
        for (kind, error) in live::list(self.cluster, live, &kinds, self.settings).await {
            let holds = |id: &ObjectRef| GroupKind::of(id) == kind;
            let affected = state.records().filter(|(_, record)| record.held.keys().any(holds));
            self.walk.unseen.extend(affected.map(|(name, _)| name.clone()));
            self.fail(Stage::Live, &format!("{kind} could not be listed: {error}"));
        }
    }

    async fn plan(&mut self, desired: &Desired, state: &State, live: &mut Live, selection: &Selection) -> Option<Plan> {
        let mut policy = Policy {
            namespace: self.settings.namespace.clone(),
            fuse: self.settings.fuse.clone(),
            approved: BTreeSet::new(),
            protected: self.settings.protected.clone(),
            adopt: self.settings.adopt.clone(),
            suspended: self.memory.suspended.clone(),
            trigger: self.walk.trigger.unwrap_or(Trigger::None),
        };
        let clock = Instant::now();
        let mut plan = plan::plan(desired, state, live, selection, &policy);
        let newcomers = plan.newcomers(live);
        if !newcomers.is_empty() {
            self.look_at_newcomers(newcomers, live).await;
            plan = plan::plan(desired, state, live, selection, &policy);
        }
        let shells = plan.unexplored(live);
        if !shells.is_empty() {
            live::look_inside(self.cluster, live, &shells, self.settings).await;
            plan = plan::plan(desired, state, live, selection, &policy);
        }
        if let Some(held) = &plan.held
            && self.is_approved(&held.id).await
        {
            policy.approved.insert(held.id);
            plan = plan::plan(desired, state, live, selection, &policy);
        }
        let verdict = verify::verify(&plan, desired, state, live, &policy);
        self.walk.phases.plan += clock.elapsed().as_secs_f64();
        let Err(violations) = verdict else { return Some(plan) };
        for violation in violations {
            self.fail(Stage::Plan, &format!("plan {} is not carried out: {violation}", plan.id().short()));
        }
        self.walk.plan = Some(plan);
        None
    }

    /// Asks whether exactly this was approved.
    async fn is_approved(&mut self, id: &Hash) -> bool {
        let (environment, namespace) = (&self.settings.environment, &self.settings.namespace);
        match approval::read(self.cluster, environment, namespace).await {
            Ok(approvals) => approvals.has(id),
            Err(error) => {
                self.fail(Stage::State, &format!("approvals could not be read: {error}"));
                false
            }
        }
    }

    /// Asks, as long as deletions are held, whether they were approved meanwhile: then their services are planned for now.
    async fn hear_approval(&mut self) {
        let Some(held) = self.memory.held.clone() else { return };
        if self.is_approved(&held.id).await {
            self.memory.wake_held();
        }
    }

    /// Records and tells which deletions are held, where they are others than before.
    async fn note_held(&mut self, state: &mut State) -> Result<(), Lost> {
        let held = self.memory.held.clone();
        let Some(root) = state.root.as_ref().map(|stored| stored.root.clone()).filter(|root| root.held != held) else {
            return Ok(());
        };
        let released = held.is_none();
        if let Some(held) = &held {
            self.context.tell(&Event::Held(held.clone()));
            self.say_held(held).await;
        }
        self.write_root(state, Root { held, ..root }).await?;
        let (environment, namespace) = (&self.settings.environment, &self.settings.namespace);
        if released && let Ok(approvals) = approval::read(self.cluster, environment, namespace).await {
            approval::forget(self.cluster, environment, &approvals).await;
        }
        Ok(())
    }

    /// Says as an Event of the root that deletions are held. That it cannot be said changes nothing.
    async fn say_held(&self, held: &HeldDeletions) {
        let (name, namespace) = (state::root_name(&self.settings.environment), &self.settings.namespace);
        let id = &held.id;
        let message = format!("held: {held}: syncd approve {id}");
        let now = self.context.now();
        let event = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": format!("{name}.{}", id.short()), "namespace": namespace},
            "involvedObject": {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "namespace": namespace},
            "reason": "DeletionsHeld", "message": message, "type": "Warning", "count": 1, "source": {"component": "syncd"},
            "firstTimestamp": now, "lastTimestamp": now, "reportingComponent": "syncd", "reportingInstance": "syncd",
        });
        let _ = self.cluster.say(event).await;
    }

    /// Adopts the revision, executes the plan, and remembers what came of it.
    async fn carry_out(
        &mut self,
        plan: Plan,
        desired: &Desired,
        mut state: State,
        live: &Live,
        full: bool,
    ) -> Result<State, Lost> {
        if plan.services.values().any(|service| service.problem.is_none()) {
            self.context.tell(&planned(&plan));
            self.adopt_root(&mut state, &desired.source, full).await?;
            self.memory.recorded_root();
        }
        self.walk.executed = true;
        let before = &self.memory.reports;
        let mut done = execute(self.cluster, self.settings, self.context, &plan, desired, &state, live, before).await;
        let known = self.memory.remember(&mut state, &plan, &mut done, &desired.source, &self.settings.retry);
        self.memory.note_plan(&plan, full);
        self.walk.done = done;
        self.walk.plan = Some(plan);
        if known {
            self.note_held(&mut state).await?;
        }
        if full && !self.context.is_superseded() {
            self.end_full_sync(&mut state).await?;
        }
        if known {
            return Ok(state);
        }
        self.walk.lost = Some(state);
        Err(Lost)
    }

    // ------------------------------------------------------------------------------------------------------------------ root

    fn is_full(&self, mode: Mode, state: &State) -> bool {
        mode == Mode::Full || mode == Mode::Auto && self.is_full_sync_due(state)
    }

    fn is_full_sync_due(&self, state: &State) -> bool {
        let Some(root) = state.root.as_ref().map(|stored| &stored.root) else { return false };
        let Some(last) = root.full_sync_at.as_ref().and_then(|at| at.parse::<jiff::Timestamp>().ok()) else {
            return true;
        };
        let elapsed = Duration::try_from(self.context.clock.now().duration_since(last));
        // A last time in the future is a clock that was wrong: better once too often.
        root.full_sync_open || elapsed.map_or(true, |elapsed| elapsed >= self.settings.full_sync_interval)
    }

    /// Tells whether a revision was recorded behind the back of this process, by a write that came late: the next one has to descend from what
    /// is in force and not from that one.
    fn is_passed_over(&self, root: &Root, source: &Source) -> bool {
        self.memory.may_be_passed_over && root.commit != source.revision
    }

    /// Records which revision is in force from now on, before anything of it is done. A root that this process did not write is written even
    /// so: what was sent by one before it may be under way, and would bring another revision into force behind its back.
    async fn adopt_root(&mut self, state: &mut State, source: &Source, full: bool) -> Result<(), Lost> {
        let (commit, index) = (source.revision.clone(), source.root);
        let root = match &state.root {
            // A commit that changed nothing for this environment is not worth a request.
            Some(StoredRoot { root, .. })
                if root.index == index
                    && (root.full_sync_open || !full)
                    && !self.is_passed_over(root, source)
                    && self.is_own_root(state) =>
            {
                return Ok(());
            }
            // Only its end ends a full sync.
            Some(StoredRoot { root, .. }) => {
                Root { commit, index, full_sync_open: full || root.full_sync_open, ..root.clone() }
            }
            None => Root {
                format: state::FORMAT,
                environment: self.settings.environment.clone(),
                commit,
                index,
                // The first sync applies everything as well.
                full_sync_at: Some(self.context.now()),
                full_sync_open: false,
                held: None,
                epoch: state.epoch().max(1),
            },
        };
        self.write_root(state, root).await
    }

    /// Removes parts that no record names. What cannot be removed is tried again in the next cycle.
    async fn sweep(&mut self, mut state: State) -> State {
        for name in self.memory.dead_parts() {
            let Some(version) = state.stray_parts.get(&name) else { continue };
            match state::remove(self.cluster, &name, version).await {
                // Somebody else wrote it: it is to be read again first.
                Ok(()) | Err(StateError::Conflict { .. }) => drop(state.stray_parts.remove(&name)),
                Err(_) => self.memory.keep_part(name),
            }
        }
        state
    }

    /// Records that a full sync has ended.
    async fn end_full_sync(&mut self, state: &mut State) -> Result<(), Lost> {
        let Some(StoredRoot { root, .. }) = &state.root else { return Ok(()) };
        let root = Root { full_sync_at: Some(self.context.now()), full_sync_open: false, ..root.clone() };
        self.write_root(state, root).await
    }

    /// Tells whether the root that is there is one that this process wrote; where there is none, nobody did.
    fn is_own_root(&self, state: &State) -> bool {
        state.root.as_ref().is_none_or(|stored| self.memory.is_own_root(stored))
    }

    /// Writes the root. That another process does is a change in itself: a write that changes nothing would fail no other.
    async fn write_root(&mut self, state: &mut State, root: Root) -> Result<(), Lost> {
        let epoch = if self.is_own_root(state) { root.epoch } else { state.epoch() + 1 };
        let root = Root { epoch, ..root };
        self.memory.note_own_root(None);
        match state::write_root(self.cluster, state.root.as_ref(), root).await {
            Ok(stored) => {
                self.memory.note_own_root(Some(&stored));
                state.root = Some(stored);
                Ok(())
            }
            Err(error) => {
                self.fail(Stage::State, &error.to_string());
                Err(Lost)
            }
        }
    }

    fn fail(&mut self, stage: Stage, message: &str) {
        let error = CycleError { stage, message: message.to_owned() };
        self.context.tell(&Event::Failed(error.clone()));
        self.walk.errors.push(error);
    }
}

/// Returns the kinds of all recorded objects, or only those of some services.
fn recorded_kinds(state: &State, of: Option<&BTreeSet<String>>) -> BTreeSet<GroupKind> {
    match of {
        Some(of) => {
            let records = of.iter().filter_map(|name| state.record(name));
            records.flat_map(|record| record.held.keys().map(GroupKind::of)).collect()
        }
        None => state.records().flat_map(|(_, record)| record.held.keys().map(GroupKind::of)).collect(),
    }
}

/// Returns what services say themselves about drift.
fn drift_policies(source: &Source) -> BTreeMap<String, DriftPolicy> {
    let said = source.index.services.iter().filter_map(|(name, entry)| entry.sync.drift.map(|drift| (name, drift)));
    said.map(|(name, drift)| (name.clone(), drift)).collect()
}

fn planned(plan: &Plan) -> Event {
    Event::Planned {
        plan: plan.id(),
        trigger: plan.trigger,
        services: plan.services.len(),
        applies: plan.applies().count(),
        deletes: plan.deletes().count(),
        withheld: plan.services.values().map(|service| service.withheld.len()).sum(),
    }
}
