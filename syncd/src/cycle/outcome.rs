//! The report of a cycle, out of what happened and what is remembered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use manifest::Index;
use manifest::index::Entry;

use super::memory::Told;
use super::{Memory, Walk};
use crate::config::Settings;
use crate::execute::Done;
use crate::report::{CycleResult, Report, ServiceReport, ServiceState, Services, Stage, Trigger, VERSION};
use crate::state::{Reading, State};

/// Makes the report; times and id are the caller's.
pub(super) fn report(settings: &Settings, memory: &Memory, mut walk: Walk) -> Report {
    let services = walk.unchanged.clone().unwrap_or_else(|| services(memory, &walk));
    let source = memory.source.as_ref();
    let result = result(memory, &walk, &services);
    Report {
        version: VERSION.to_owned(),
        id: String::new(),
        started_at: String::new(),
        ended_at: String::new(),
        applied_resources: walk.done.values_mut().flat_map(|done| std::mem::take(&mut done.applied)).collect(),
        deleted_resources: walk.done.values_mut().flat_map(|done| std::mem::take(&mut done.deleted)).collect(),
        environment: settings.environment.clone(),
        revision: source.map(|source| source.revision.clone()),
        commit: source.map(|source| source.commit.clone()),
        index: source.map(|source| source.root),
        plan: walk.plan.as_ref().map(super::Plan::id),
        trigger: walk.trigger.unwrap_or(Trigger::None),
        result,
        seconds: 0.0,
        phases: walk.phases,
        services,
        held: memory.held.clone(),
        suspended: memory.suspended.clone(),
        orphans: memory.orphans.clone(),
        fights: Vec::new(),
        errors: walk.errors,
    }
}

/// Puts together what was done in two passes: what failed in the first is why there was a second.
pub(super) fn merge(done: &mut BTreeMap<String, Done>, first: BTreeMap<String, Done>) {
    for (name, mut before) in first {
        let Some(after) = done.get_mut(&name) else {
            done.insert(name, before);
            continue;
        };
        before.applied.append(&mut after.applied);
        before.deleted.append(&mut after.deleted);
        after.report.objects = before.report.objects.iter().chain(&*after.report.objects).cloned().collect();
        (after.applied, after.deleted) = (before.applied, before.deleted);
        after.report.applied += before.report.applied;
        after.report.deleted += before.report.deleted;
        after.report.seconds += before.report.seconds;
        if after.report.causes.is_empty() {
            after.report.causes = before.report.causes;
        }
    }
}

/// Says how all services stand. Where nothing was read anew, most stand as they did.
fn services(memory: &Memory, walk: &Walk) -> Services {
    let nothing = Index { environment: String::new(), services: BTreeMap::new() };
    let index = memory.source.as_ref().map_or(&nothing, |source| &source.index);
    let state = memory.state.as_ref().or(walk.lost.as_ref());
    let standings = Standings { memory, walk, index, state };
    // A second look reads what is recorded as well.
    let is_read = walk.read_anew || walk.second_look;
    match (&memory.told, state.filter(|_| !is_read)) {
        (Some(told), Some(state)) => standings.over(told, state),
        _ => standings.all(),
    }
}

/// What it follows from how services stand: those of this plan as they ended, of the others those that are not synced as they were last, the
/// rest as recorded.
struct Standings<'a> {
    memory: &'a Memory,
    walk: &'a Walk,
    index: &'a Index,
    state: Option<&'a State>,
}

/// A service with what the index says of it, and what is recorded.
struct Service<'a>(&'a String, Option<&'a Entry>, Option<&'a Reading>);

impl Standings<'_> {
    fn all(&self) -> Services {
        let nothing = State::default();
        let known = self.state.unwrap_or(&nothing).beside(self.index);
        let known = known.map(|(name, entry, reading)| (name, self.one(&Service(name, entry, reading))));
        let mut services: Services = known.collect();
        // What is gone is in neither.
        let gone: Vec<&String> = self.walk.done.keys().filter(|name| services.get(name).is_none()).collect();
        gone.into_iter().for_each(|name| services.insert(name, self.one(&Service(name, None, None))));
        services
    }

    /// Takes over what was told last, but for what may stand otherwise since.
    fn over(&self, told: &Told, state: &State) -> Services {
        let open = told.open.iter().chain(self.memory.reports.keys()).chain(self.walk.done.keys());
        let is_other = !std::ptr::eq(self.index, &*told.index);
        let changed = is_other.then(|| self.index.differing(&told.index)).into_iter().flatten();
        let touched: BTreeSet<&String> = open.chain(changed).collect();
        let mut services = self.memory.last.clone();
        for name in touched {
            let (entry, reading) = (self.index.services.get(name), state.services.get(name));
            match entry.is_some() || reading.is_some() || self.walk.done.contains_key(name) {
                true => services.insert(name, self.one(&Service(name, entry, reading))),
                false => services.remove(name),
            }
        }
        debug_assert_eq!(services, self.all(), "as if all were told anew");
        services
    }

    fn one(&self, service: &Service<'_>) -> ServiceReport {
        let Service(name, ..) = *service;
        let ended = self.walk.done.get(name);
        let ended = ended.map(|done| ServiceReport { failures: self.memory.failures(name), ..done.report.clone() });
        // Without the state nothing new is known of those that were not planned for.
        let last = || self.memory.last.get(name).filter(|_| self.state.is_none());
        let rests = || self.memory.reports.get(name).or_else(last).cloned();
        let report = ended.or_else(rests).unwrap_or_else(|| settled(service));
        or_suspended(or_rolled_back(report, service), name, self.memory)
    }
}

/// What people want left alone is not synced, however well it is; what a suspended environment does not have any more is gone all the same.
fn or_suspended(report: ServiceReport, name: &str, memory: &Memory) -> ServiceReport {
    match memory.suspended.service(name).filter(|_| report.state != ServiceState::Removed) {
        Some(suspension) => {
            ServiceReport { state: ServiceState::Suspended, error: Some(suspension.to_string()), failures: 0, ..report }
        }
        // That an object of it is left alone is no failure.
        None if report.state == ServiceState::Suspended => ServiceReport { failures: 0, ..report },
        None => report,
    }
}

/// What stays at older content is not synced, however well it is.
fn or_rolled_back(report: ServiceReport, Service(_, entry, reading): &Service<'_>) -> ServiceReport {
    let record = reading.and_then(Reading::record);
    let stays = entry.zip(record).and_then(|(entry, record)| record.stays_at(&entry.content).zip(Some(record)));
    let Some(((rolled_back, settled), record)) = stays else { return report };
    if !record.is_settled(settled.content.as_ref()) {
        return report;
    }
    let error = format!("rolled back to revision {}: {}", settled.commit.short(), rolled_back.message);
    ServiceReport { state: ServiceState::RolledBack, version: settled.version.clone(), error: Some(error), ..report }
}

/// A service of which nothing else is known than its record.
fn settled(Service(_, entry, reading): &Service<'_>) -> ServiceReport {
    let stored = reading.and_then(Reading::stored);
    let record = stored.map(|stored| &stored.record);
    let is_settled = record.is_some_and(|record| record.is_settled(entry.map(|entry| &entry.content)));
    let held = |leftover: bool| {
        record.map_or(0, |record| record.held.values().filter(|held| held.leftover.is_some() == leftover).count())
    };
    let (state, error) = match is_settled {
        true => (ServiceState::Synced, None),
        false => (ServiceState::Failed, Some("it was not looked at".to_owned())),
    };
    ServiceReport {
        state,
        version: entry.map(|entry| entry.version.clone()),
        applied: 0,
        deleted: 0,
        unchanged: held(false),
        failed: 0,
        withheld: held(true),
        seconds: 0.0,
        error,
        waiting_for: Vec::new(),
        causes: Vec::new(),
        objects: Arc::default(),
        failures: 0,
        state_bytes: stored.map_or(0, |stored| stored.bytes),
    }
}

/// The worst thing that happened.
fn result(memory: &Memory, walk: &Walk, services: &Services) -> CycleResult {
    let of_state = |service: &ServiceReport| match service.state {
        ServiceState::Synced | ServiceState::Removed => CycleResult::Unchanged,
        ServiceState::Superseded => CycleResult::Superseded,
        ServiceState::Held | ServiceState::Suspended => CycleResult::Held,
        ServiceState::RolledBack | ServiceState::Blocked | ServiceState::Failed => CycleResult::Failed,
    };
    let of_stage = |stage: Stage| match stage {
        Stage::Source | Stage::Revision | Stage::History | Stage::Index => CycleResult::Held,
        Stage::State | Stage::Live | Stage::Plan => CycleResult::Failed,
    };
    let left = if memory.suspended.is_empty() { CycleResult::Unchanged } else { CycleResult::Held };
    let acted = if walk.executed { CycleResult::Synced } else { CycleResult::Unchanged };
    let lost = if memory.source.is_none() { CycleResult::Failed } else { acted };
    let services = services.values().map(of_state);
    let errors = walk.errors.iter().map(|error| of_stage(error.stage));
    services.chain(errors).chain([lost, left]).max().unwrap_or(CycleResult::Failed)
}
