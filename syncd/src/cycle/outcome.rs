//! The report of a cycle, out of what happened and what is remembered.

use std::collections::{BTreeMap, BTreeSet};

use super::{Memory, Walk};
use crate::config::Settings;
use crate::report::{CycleResult, Report, ServiceReport, ServiceState, Stage, Trigger, VERSION};
use crate::state::{Reading, State};

/// Makes the report; times and id are the caller's.
pub(super) fn report(settings: &Settings, memory: &Memory, walk: Walk) -> Report {
    let services = services(memory, &walk);
    let source = memory.source.as_ref();
    let result = result(memory, &walk, &services);
    Report {
        version: VERSION.to_owned(),
        id: String::new(),
        started_at: String::new(),
        ended_at: String::new(),
        applied_resources: walk.done.values().flat_map(|done| done.applied.clone()).collect(),
        deleted_resources: walk.done.values().flat_map(|done| done.deleted.clone()).collect(),
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
        orphans: memory.orphans.clone(),
        errors: walk.errors,
    }
}

/// Services of this plan as they ended; of the others those that are not synced as they were last, the rest as recorded.
fn services(memory: &Memory, walk: &Walk) -> BTreeMap<String, ServiceReport> {
    let indexed = memory.source.iter().flat_map(|source| source.index.services.keys());
    let recorded = memory.state.iter().flat_map(|state| state.services.keys());
    let names: BTreeSet<&String> = indexed.chain(recorded).chain(walk.done.keys()).collect();
    let one = |name: &String| {
        if let Some(done) = walk.done.get(name) {
            return ServiceReport { failures: memory.failures(name), ..done.report.clone() };
        }
        // Without the state nothing new is known of those that were not planned for.
        let last = || memory.last.get(name).filter(|_| memory.state.is_none());
        memory.reports.get(name).or_else(last).cloned().unwrap_or_else(|| settled(name, memory))
    };
    names.into_iter().map(|name| (name.clone(), one(name))).collect()
}

/// A service of which nothing else is known than its record.
fn settled(name: &str, memory: &Memory) -> ServiceReport {
    let entry = memory.source.as_ref().and_then(|source| source.index.services.get(name));
    let stored = match memory.state.as_ref().and_then(|state: &State| state.services.get(name)) {
        Some(Reading::Stored(stored)) => Some(stored),
        Some(Reading::Unreadable { .. }) | None => None,
    };
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
        objects: Vec::new(),
        failures: 0,
        state_bytes: stored.map_or(0, |stored| stored.bytes),
    }
}

/// The worst thing that happened.
fn result(memory: &Memory, walk: &Walk, services: &BTreeMap<String, ServiceReport>) -> CycleResult {
    let of_state = |service: &ServiceReport| match service.state {
        ServiceState::Synced | ServiceState::Removed => CycleResult::Unchanged,
        ServiceState::Superseded => CycleResult::Superseded,
        ServiceState::Held => CycleResult::Held,
        ServiceState::Blocked | ServiceState::Failed => CycleResult::Failed,
    };
    let of_stage = |stage: Stage| match stage {
        Stage::Source | Stage::Index => CycleResult::Held,
        Stage::State | Stage::Live | Stage::Plan => CycleResult::Failed,
    };
    let acted = if walk.executed { CycleResult::Synced } else { CycleResult::Unchanged };
    let lost = if memory.source.is_none() { CycleResult::Failed } else { acted };
    let services = services.values().map(of_state);
    let errors = walk.errors.iter().map(|error| of_stage(error.stage));
    services.chain(errors).chain([lost]).max().unwrap_or(CycleResult::Failed)
}
