//! What one process remembers between cycles.
//!
//! Only what saves requests or keeps failures from becoming a hot loop; all of it can be lost at any time. Invariant: what is
//! remembered of the state is what is stored; when that is not certain, nothing is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use manifest::{Hash, Index, ObjectRef};
use tokio::time::Instant;

use crate::config::Retry;
use crate::desired::Source;
use crate::drift::Drifted;
use crate::execute::{After, Done, Pause};
use crate::plan::{Plan, PlannedApply, Selection, ServicePlan};
use crate::report::{HeldDeletions, ServiceReport, ServiceState, Services, Suspended};
use crate::state::{Acted, Held, Reading, State, StoredRoot};

/// What one process remembers between cycles. Empty at its start.
#[derive(Debug, Default)]
pub struct Memory {
    /// The source in force.
    pub(super) source: Option<Source>,
    /// The state as it is stored; nothing: to be read.
    pub(super) state: Option<State>,
    /// Whether what exists is to be compared with what is recorded.
    pub(super) fresh: bool,
    /// Services whose objects may be in another state than their records say.
    pub(super) look_again: BTreeSet<String>,
    /// Objects that others changed and that are not corrected yet.
    pub(super) drifted: BTreeMap<ObjectRef, Drifted>,
    /// Services that are tried for the sake of these, once, although they failed and are not due.
    woken: BTreeSet<String>,
    /// Services that failed.
    rests: BTreeMap<String, Rest>,
    /// How services that are not synced stand.
    pub(super) reports: BTreeMap<String, ServiceReport>,
    /// How all services stood at the end of the last cycle.
    pub(super) last: Services,
    /// What that followed from, where the state was known: as long as no more than that changes, the others stand as they did.
    pub(super) told: Option<Told>,
    /// Whether the last cycle found nothing to do, so that `last` is true as long as nothing comes to be known.
    pub(super) at_rest: bool,
    /// Whether the recorded revision may be another than the one in force, although nothing is to be done: what it wanted beside was never come
    /// to, or people let this one begin another history.
    pub(super) owes_root: bool,
    /// Whether a revision may have been recorded behind the back of this process, which knows what is in force.
    pub(super) may_be_passed_over: bool,
    /// Version of the root that this process wrote last, where the answer came.
    own_root: Option<String>,
    /// Index of the last plan, or that needed none.
    pub(super) planned_index: Option<Hash>,
    /// Deletions that wait for approval.
    pub(super) held: Option<HeldDeletions>,
    /// Services of which deletions wait for approval: they are planned for together, or the fuse would count each alone.
    held_services: BTreeSet<String>,
    /// Objects that belong to nobody, as last seen.
    pub(super) orphans: Vec<ObjectRef>,
    /// What is suspended, as the last cycle knew it.
    pub(super) suspended: Suspended,
    /// That the state is to be taken over from another leader before anything is done.
    pub(super) takeover: Option<Takeover>,
    /// When to look once more at everything: requests that nobody waits for any more have landed by then, whoever sent them.
    second_look: Option<Instant>,
    /// Objects that such a request may create, until when.
    may_come: BTreeMap<ObjectRef, Instant>,
    /// Parts that no record names, and until when a request may be under way that writes one which does.
    strays: BTreeMap<String, Instant>,
    /// When all of the state was read last.
    read_at: Option<Instant>,
    /// Services that were acted for since somebody asked: what is recorded of the others is what it was, or was told when it was read.
    acted: Acted,
    /// Until when a write of the state may land whose answer did not come.
    unwritten: Option<Instant>,
}

/// What it was told from how all services stand.
#[derive(Debug)]
pub(super) struct Told {
    pub index: Arc<Index>,
    /// Services that were not synced, or were acted for: of them, more is told at the end of the cycle than afterwards.
    pub open: BTreeSet<String>,
}

/// How the state comes from one leader to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takeover {
    /// The one before said that it has stopped, or there was none.
    Clean,
    /// The one before fell silent: it may be paused or cut off, and believe that it still leads.
    Forced,
}

/// How long a request that was not answered may be under way: the API server gives up a request after a minute.
const LATE_REQUESTS: Duration = Duration::from_secs(60);

/// A service that failed and waits for its next try.
#[derive(Debug)]
struct Rest {
    failures: u32,
    until: Instant,
    /// Its content then: another one is tried at once.
    content: Option<Hash>,
    /// The index then, if people have to mend it: another one is tried at once.
    index: Option<Hash>,
}

impl Memory {
    /// Returns the memory of a leader that begins: empty, and the state is to be taken over.
    pub fn of_new_leader(takeover: Takeover) -> Self {
        Memory { takeover: Some(takeover), ..Memory::default() }
    }

    /// Returns the memory after a cycle that was given up: empty, and the state is to be taken over from it as from a leader that fell
    /// silent. What it had sent may be under way.
    pub fn of_given_up_cycle() -> Self {
        Memory::of_new_leader(Takeover::Forced)
    }

    /// Tells whether another process may go by the state as it is: none of its records can be written any more by this one, nor by one
    /// that led before.
    pub fn leaves_the_state_at_rest(&self) -> bool {
        let lands = self.unwritten.is_some_and(|until| Instant::now() < until);
        !lands && self.takeover != Some(Takeover::Forced)
    }

    /// Notes that a cycle ended: if the state is not known then, a write of it may be under way.
    pub(super) fn note_end(&mut self) {
        if self.state.is_none() {
            self.unwritten = Some(Instant::now() + LATE_REQUESTS);
        }
    }

    /// Notes objects that others changed.
    pub fn note_drifted(&mut self, drifted: BTreeMap<ObjectRef, Drifted>) {
        self.woken.extend(drifted.values().map(|drifted| drifted.service.clone()));
        self.drifted.extend(drifted);
    }

    /// Returns the state as it is stored, if that is known.
    pub fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// Notes what is suspended from now on. What is not any more is looked at as at the start, and what waited for that waits no longer.
    pub(super) fn note_suspended(&mut self, suspended: Suspended) {
        if suspended.lifts(&self.suspended) {
            self.fresh = true;
            let reports = &self.reports;
            let waits = |name: &String| reports.get(name).is_some_and(|one| one.state == ServiceState::Suspended);
            self.rests.retain(|name, _| !waits(name));
        }
        self.suspended = suspended;
        self.at_rest = false;
        self.told = None;
    }

    /// Returns the services that were acted for since this was asked last.
    pub fn take_acted(&mut self) -> Acted {
        std::mem::take(&mut self.acted)
    }

    /// Tells whether the last cycle found nothing to do and learned nothing.
    pub fn is_at_rest(&self) -> bool {
        self.at_rest
    }

    /// Notes that the state was taken over.
    pub(super) fn took_over(&mut self) {
        self.takeover = None;
    }

    /// Notes that the state was read without knowing who wrote it last: whoever it was may have left requests without an answer.
    pub(super) fn note_unanswered(&mut self, state: &State) {
        let open = |(id, held): (&ObjectRef, &Held)| (held.uid.is_none() || held.unanswered).then(|| id.clone());
        let may_come = state.records().flat_map(|(_, record)| record.held.iter().filter_map(open));
        self.note_late(may_come.collect());
    }

    /// Returns the version of the root as it was last read or written; nothing where there was none, or nothing is known.
    pub(super) fn root_version(&self) -> Option<String> {
        Some(self.state.as_ref()?.root.as_ref()?.resource_version.clone())
    }

    /// Notes the root as it was read, where it was known as `before`: another one was written by somebody else, and may be of a revision that
    /// is not in force.
    pub(super) fn note_root(&mut self, before: Option<&str>, read: &State) {
        let version = read.root.as_ref().map(|stored| stored.resource_version.as_str());
        self.may_be_passed_over |= self.source.is_some() && version != before;
    }

    /// Notes the root that this process wrote; nothing: one may be under way.
    pub(super) fn note_own_root(&mut self, written: Option<&StoredRoot>) {
        self.own_root = written.map(|stored| stored.resource_version.clone());
    }

    /// Tells whether this process wrote the root last: by compare-and-set, so nothing that was sent before can take its place.
    pub(super) fn is_own_root(&self, stored: &StoredRoot) -> bool {
        self.own_root.as_ref() == Some(&stored.resource_version)
    }

    /// Notes that the root says what is in force.
    pub(super) fn recorded_root(&mut self) {
        (self.owes_root, self.may_be_passed_over) = (false, false);
    }

    /// Notes that requests were not answered, some of which may create these.
    fn note_late(&mut self, may_come: BTreeSet<ObjectRef>) {
        let landed = Instant::now() + LATE_REQUESTS;
        self.second_look = Some(landed);
        self.may_come.extend(may_come.into_iter().map(|id| (id, landed)));
    }

    /// Notes which parts no record names.
    pub(super) fn note_strays(&mut self, state: &State, expects_late_requests: bool) {
        let now = Instant::now();
        self.read_at = Some(now);
        let landed = if expects_late_requests { now + LATE_REQUESTS } else { now };
        self.strays.retain(|name, _| state.stray_parts.contains_key(name));
        for name in
            state.stray_parts.keys().filter(|name| !self.strays.contains_key(*name)).cloned().collect::<Vec<_>>()
        {
            self.strays.insert(name, landed);
            self.second_look = Some(landed);
        }
    }

    /// Returns the parts that no record names and none is going to: all was read again since a request could name them.
    pub(super) fn dead_parts(&mut self) -> Vec<String> {
        let (dead, kept) = self.strays.clone().into_iter().partition(|(_, until)| self.was_read_since(*until));
        self.strays = kept;
        BTreeMap::into_keys(dead).collect()
    }

    fn was_read_since(&self, time: Instant) -> bool {
        self.read_at.is_some_and(|read_at| time <= read_at)
    }

    /// Notes that a part is to be removed that nothing names since this process read or wrote its record.
    pub(super) fn keep_part(&mut self, name: String) {
        self.strays.insert(name, self.read_at.unwrap_or_else(Instant::now));
    }

    /// Tells, once, that it is time for the second look. What is recorded is to be read again then, and what was kept because it might come
    /// to be let go.
    pub(super) fn takes_second_look(&mut self) -> bool {
        let now = Instant::now();
        let may_be_named = self.strays.values().any(|until| *until <= now && !self.was_read_since(*until));
        if self.second_look.take_if(|at| *at <= now).is_none() && !may_be_named {
            return false;
        }
        self.state = None;
        if !self.may_come.is_empty() {
            self.woken.extend(self.rests.keys().cloned());
        }
        true
    }

    /// Returns the objects that a request may still create although nobody waits for its answer any more.
    pub(super) fn may_come(&mut self) -> BTreeSet<ObjectRef> {
        let now = Instant::now();
        self.may_come.retain(|_, until| now < *until);
        self.may_come.keys().cloned().collect()
    }

    /// Returns the services that failed and are not due yet.
    pub(super) fn resting(&self, source: &Source, full: bool) -> BTreeSet<String> {
        let now = Instant::now();
        let rests = |name: &str, rest: &Rest| {
            let content = source.index.services.get(name).map(|entry| entry.content);
            !full
                && !self.woken.contains(name)
                && now < rest.until
                && rest.content == content
                && rest.index.is_none_or(|index| index == source.root)
        };
        self.rests.iter().filter(|(name, rest)| rests(name, rest)).map(|(name, _)| name.clone()).collect()
    }

    /// Ends the rest of all services whose deletions are held.
    pub(super) fn wake_held(&mut self) {
        self.rests.retain(|name, _| !self.held_services.contains(name));
    }

    /// Tells whether a service of which deletions are held would be left out of a plan for others.
    pub(super) fn leaves_out_held(&self, selection: &Selection) -> bool {
        !selection.act.is_empty() && selection.resting.iter().any(|name| self.held_services.contains(name))
    }

    /// Forgets the failures of services that need nothing any more: a lost answer may have been a good one. Returns whether there were any.
    pub(super) fn forget_settled(&mut self, selection: &Selection) -> bool {
        let remembered =
            |memory: &Memory| (memory.rests.len(), memory.reports.len(), memory.look_again.len(), memory.drifted.len());
        let before = remembered(self);
        let waits = |name: &String| selection.resting.contains(name) || selection.suspended.contains(name);
        let open = |name: &String| selection.act.contains(name) || waits(name);
        self.rests.retain(|name, _| open(name));
        self.reports.retain(|name, _| open(name));
        self.look_again.retain(open);
        self.drifted.retain(|_, drifted| open(&drifted.service));
        remembered(self) != before
    }

    /// Tells whether nothing is open of which only time or the cluster could tell more: no service failed, none is to be looked at.
    pub(super) fn waits_for_nothing(&self) -> bool {
        let failed = !self.rests.is_empty() || !self.reports.is_empty();
        !failed && self.look_again.is_empty() && self.drifted.is_empty() && self.strays.is_empty()
    }

    /// Takes over what became of the services of a plan, their records from what was done. Returns whether the state is known.
    pub(super) fn remember(
        &mut self,
        state: &mut State,
        plan: &Plan,
        done: &mut BTreeMap<String, Done>,
        source: &Source,
        retry: &Retry,
    ) -> bool {
        let mut known = true;
        for (name, done) in done {
            self.woken.remove(name);
            let stored = std::mem::replace(&mut done.stored, After::Untouched);
            let now = match &stored {
                After::Stored(stored) => Some(&stored.record),
                After::Nothing => None,
                After::Untouched | After::Unknown => state.record(name),
            };
            self.acted.note(name, state.record(name), now);
            match stored {
                After::Stored(mut stored) => {
                    // From now on they are strays like any other, or the next write of the record would ask for them again.
                    let stale = std::mem::take(&mut stored.stale);
                    stale.keys().for_each(|part| self.keep_part(part.clone()));
                    state.stray_parts.extend(stale);
                    state.services.insert(name.clone(), Reading::Stored(stored));
                }
                After::Nothing => drop(state.services.remove(name)),
                After::Untouched => {}
                After::Unknown => known = false,
            }
            if done.look_again {
                self.note_late(done.unanswered.clone());
            }
            // Who could not be acted for is where it was, and what was seen of it is forgotten with this cycle. Whose record is open is planned for
            // anyhow.
            let is_settled = |service: &ServicePlan| {
                state.record(name).is_some_and(|record| record.is_settled(service.content.as_ref()))
            };
            let planned = plan.services.get(name);
            let is_stuck = planned.is_some_and(|service| service.problem.is_some() && is_settled(service));
            match done.look_again || is_stuck {
                true => self.look_again.insert(name.clone()),
                false => self.look_again.remove(name),
            };
            self.drifted.retain(|id, drifted| {
                let planned = plan.services.get(name).and_then(|plan| plan.applies().find(|apply| apply.id == *id));
                let is_open = |apply: &PlannedApply| !done.applied.iter().any(|applied| applied.object == apply.id);
                // A service that was not come to has nothing planned for it; what is suspended is left as it is.
                let ended = matches!(done.report.state, ServiceState::Synced | ServiceState::Removed);
                let left = plan.services.get(name).is_some_and(|plan| plan.suspended.contains(id));
                drifted.service != *name || left || planned.map_or(!ended, is_open)
            });
            let content = plan.services.get(name).and_then(|service| service.content);
            let rest = self.rests.remove(name);
            self.rests
                .extend(next_rest(rest, done.pause, content, source.root, retry).map(|rest| (name.clone(), rest)));
            match done.report.state {
                ServiceState::Synced | ServiceState::Removed => self.reports.remove(name),
                _ => {
                    let failures = self.failures(name);
                    self.reports.insert(name.clone(), at_rest(ServiceReport { failures, ..done.report.clone() }))
                }
            };
        }
        known
    }

    /// Takes over what a plan says of the environment as a whole.
    pub(super) fn note_plan(&mut self, plan: &Plan, full: bool) {
        self.held.clone_from(&plan.held);
        let is_held = |service: &ServicePlan| service.withheld.iter().any(|kept| kept.withheld.waits_for_approval());
        let held = plan.services.iter().filter(|(_, service)| is_held(service));
        self.held_services = held.map(|(name, _)| name.clone()).collect();
        if full || plan.trigger == crate::report::Trigger::Start {
            self.orphans.clone_from(&plan.orphans);
        }
    }

    /// Takes over how all services stand, some of which were acted for: of what was done for them nothing is told again.
    pub(super) fn note_services(&mut self, services: &Services, acted: &BTreeSet<String>) {
        self.last = services.clone();
        for name in acted {
            match services.get(name).filter(|report| report.state != ServiceState::Removed) {
                Some(report) => self.last.insert(name, at_rest(report.clone())),
                None => self.last.remove(name),
            }
        }
        let known = self.source.as_ref().filter(|_| self.state.is_some());
        let open = || acted.iter().chain(self.reports.keys()).cloned().collect();
        self.told = known.map(|source| Told { index: Arc::clone(&source.index), open: open() });
    }

    /// Returns how often a service failed in a row.
    pub(super) fn failures(&self, name: &str) -> u32 {
        self.rests.get(name).map_or(0, |rest| rest.failures)
    }
}

fn next_rest(rest: Option<Rest>, pause: Pause, content: Option<Hash>, index: Hash, retry: &Retry) -> Option<Rest> {
    let failures = rest.map_or(0, |rest| rest.failures) + 1;
    let growing = retry.service_first.saturating_mul(2_u32.saturating_pow(failures - 1)).min(retry.service_longest);
    let (pause, index) = match pause {
        Pause::None => return None,
        Pause::Short => (growing, None),
        Pause::Long => (retry.service_permanent, Some(index)),
    };
    Some(Rest { failures, until: Instant::now() + pause, content, index })
}

/// A service that is not planned for did nothing.
fn at_rest(report: ServiceReport) -> ServiceReport {
    let unchanged = report.unchanged + report.applied;
    ServiceReport { applied: 0, deleted: 0, unchanged, seconds: 0.0, objects: Arc::default(), ..report }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let retry = Retry {
            service_first: Duration::from_secs(10),
            service_longest: Duration::from_secs(60),
            service_permanent: Duration::from_secs(600),
            ..Retry::default()
        };
        let hash = Hash::of(b"");
        let mut rest = None;
        let mut pauses = Vec::new();
        for _ in 0..40 {
            let before = Instant::now();
            rest = next_rest(rest, Pause::Short, None, hash, &retry);
            pauses.push(rest.as_ref().map_or(0, |rest| rest.until.duration_since(before).as_secs()));
        }
        assert_eq!(pauses[..5], [10, 20, 40, 60, 60]);
        assert_eq!(pauses[39], 60);
        assert!(next_rest(rest, Pause::None, None, hash, &retry).is_none());
    }
}
