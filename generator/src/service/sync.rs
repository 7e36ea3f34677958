//! `sync.yaml`: how `syncd` is to treat a service, and what services may say about each other.
//!
//! ```yaml
//! dependsOn: [database]    # services of the same environment that are ready before this one is applied
//! drift: correct           # what is done about changes that others make: correct, report, ignore; by default what syncd was started with
//! failuresAllowed: 1       # failures of one pod that are let pass: ends of a container, failed pulls, failed probes
//! noActivitySeconds: 240   # how long nothing may happen to what is waited for; by default only custom resources are held to it
//! onFailure: hold          # when it does not become ready: hold, rollback (to what was ready last) or continue (with what waits for it)
//! prune: true              # whether objects that are no longer generated are deleted
//! timeoutSeconds: 600      # how long to wait until everything is ready
//! unschedulableSeconds: 60 # how long a pod may find no node
//! wave: 0                  # services of lower waves are ready before this one is applied
//! ```
//!
//! A key that an environment names replaces the service's. Knows nothing of values and charts. Invariant: where [`check`] finds nothing
//! wrong, there is an order in which every service comes after those it waits for.

use std::collections::BTreeMap;

use manifest::index::{DriftPolicy, OnFailure, Sync};
use serde::Deserialize;

use crate::diagnostic::{Diagnostic, Diagnostics, Place, suggest};
use crate::file::{self, Parsed};
use crate::source::SourceTree;

/// The longest that a service may be waited for: a day.
const TIMEOUT_SECONDS_MAX: u64 = 24 * 60 * 60;

/// One file: the keys that it has.
pub type File = Parsed<Keys>;

/// See the module.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Keys {
    depends_on: Option<Vec<String>>,
    drift: Option<DriftPolicy>,
    failures_allowed: Option<u32>,
    no_activity_seconds: Option<u64>,
    on_failure: Option<OnFailure>,
    prune: Option<bool>,
    timeout_seconds: Option<u64>,
    unschedulable_seconds: Option<u64>,
    wave: Option<i32>,
}

/// What holds for a service in one environment.
#[derive(Debug, Default)]
pub struct Effective {
    /// What the index says.
    pub sync: Sync,
    /// Where each entry of `dependsOn` stands.
    places: BTreeMap<String, Place>,
}

/// One service among those of its environment.
#[derive(Debug)]
pub struct Node<'n> {
    /// Its name.
    pub name: &'n str,
    /// What it says.
    pub sync: &'n Effective,
}

/// Reads a file; nothing where it is absent or empty. What is wrong goes to `diagnostics`, and is left out.
pub fn read(tree: &SourceTree, path: &str, diagnostics: &mut Diagnostics) -> Option<File> {
    const KEYS: &[&str] = &[
        "dependsOn",
        "drift",
        "failuresAllowed",
        "noActivitySeconds",
        "onFailure",
        "prune",
        "timeoutSeconds",
        "unschedulableSeconds",
        "wave",
    ];
    let mut file = match file::parse::<Keys>(tree, path, |_| vec![(String::new(), KEYS)]) {
        Ok(file) => file?,
        Err(wrong) => {
            diagnostics.extend(wrong);
            return None;
        }
    };
    let Keys { timeout_seconds, no_activity_seconds, unschedulable_seconds, .. } = &mut file.value;
    let times = [
        ("timeoutSeconds", timeout_seconds, 1, "600"),
        ("noActivitySeconds", no_activity_seconds, 1, "240 for custom resources, none for the others"),
        ("unschedulableSeconds", unschedulable_seconds, 0, "60"),
    ];
    let mut wrong = Vec::new();
    for (key, seconds, least, default) in times {
        if seconds.is_some_and(|seconds| !(least..=TIMEOUT_SECONDS_MAX).contains(&seconds)) {
            wrong.push((key, least, default));
            *seconds = None;
        }
    }
    for (key, least, default) in wrong {
        let message = format!("{key} must be between {least} and {TIMEOUT_SECONDS_MAX}");
        let hint = format!("leave it out for the default, {default}");
        diagnostics.push(Diagnostic::error("bad-timeout", message).at(file.place(&format!("/{key}"))).hint(hint));
    }
    Some(file)
}

/// Returns what holds where an environment's file stands over a service's.
pub fn effective(service: Option<&File>, environment: Option<&File>) -> Effective {
    let mut effective = Effective::default();
    for file in [service, environment].into_iter().flatten() {
        let Keys { depends_on, prune, timeout_seconds, wave, .. } = &file.value;
        let sync = &mut effective.sync;
        sync.drift = file.value.drift.or(sync.drift);
        sync.failures_allowed = file.value.failures_allowed.unwrap_or(sync.failures_allowed);
        sync.no_activity_seconds = file.value.no_activity_seconds.or(sync.no_activity_seconds);
        sync.on_failure = file.value.on_failure.unwrap_or(sync.on_failure);
        sync.unschedulable_seconds = file.value.unschedulable_seconds.unwrap_or(sync.unschedulable_seconds);
        sync.prune = prune.unwrap_or(sync.prune);
        sync.timeout_seconds = timeout_seconds.unwrap_or(sync.timeout_seconds);
        sync.wave = wave.unwrap_or(sync.wave);
        if let Some(names) = depends_on {
            let places = names.iter().enumerate().map(|(i, name)| {
                let place = file.place(&format!("/dependsOn/{i}"));
                (name.clone(), place.length(name.chars().count()))
            });
            effective.places = places.collect();
            sync.depends_on = effective.places.keys().cloned().collect();
        }
    }
    effective
}

/// Reports what the services of one environment say about each other that cannot be: a dependency on a service that is not there or that
/// comes in a later wave, and services that wait for each other.
pub fn check(environment: &str, nodes: &[Node<'_>], diagnostics: &mut Diagnostics) {
    let by_name: BTreeMap<&str, &Effective> = nodes.iter().map(|node| (node.name, node.sync)).collect();
    for node in nodes {
        for (name, place) in &node.sync.places {
            let Some(other) = by_name.get(name.as_str()) else {
                let message = format!("environment `{environment}` has no service `{name}`");
                let near = suggest(name, by_name.keys().copied().filter(|other| *other != node.name));
                let hint = near.map_or_else(|| "remove it".to_owned(), |near| format!("did you mean `{near}`?"));
                diagnostics.push(Diagnostic::error("unknown-service", message).at(place.clone()).hint(hint));
                continue;
            };
            let (own, others) = (node.sync.sync.wave, other.sync.wave);
            if others > own {
                let message = format!("`{name}` is in wave {others}, which comes after wave {own} of `{}`", node.name);
                let hint = format!("give `{}` a wave of at least {others}", node.name);
                diagnostics.push(Diagnostic::error("later-wave", message).at(place.clone()).hint(hint));
            }
        }
    }
    for cycle in cycles(&by_name) {
        diagnostics.push(cycle_diagnostic(environment, &cycle, &by_name));
    }
}

/// Returns a cycle for each way back to a service that is waited for already, in the order of names.
fn cycles<'n>(by_name: &BTreeMap<&'n str, &'n Effective>) -> Vec<Vec<&'n str>> {
    enum Visit {
        /// Being walked: its place on the path.
        Open(usize),
        Done,
    }
    let mut visits: BTreeMap<&str, Visit> = BTreeMap::new();
    let mut found = Vec::new();
    for (start, effective) in by_name {
        if visits.contains_key(start) {
            continue;
        }
        // Depth first, on a stack of our own: a chain of services may be as long as there are services.
        visits.insert(*start, Visit::Open(0));
        let mut path = vec![(*start, effective.places.keys())];
        while let Some((name, dependencies)) = path.last_mut() {
            let Some(dependency) = dependencies.next() else {
                visits.insert(*name, Visit::Done);
                path.pop();
                continue;
            };
            match (visits.get(dependency.as_str()), by_name.get_key_value(dependency.as_str())) {
                (Some(Visit::Open(first)), _) => found.push(path[*first..].iter().map(|(name, _)| *name).collect()),
                (None, Some((name, effective))) => {
                    visits.insert(*name, Visit::Open(path.len()));
                    path.push((*name, effective.places.keys()));
                }
                (Some(Visit::Done), _) | (None, None) => {}
            }
        }
    }
    found
}

fn cycle_diagnostic(environment: &str, cycle: &[&str], by_name: &BTreeMap<&str, &Effective>) -> Diagnostic {
    let next = |i: usize| cycle[(i + 1) % cycle.len()];
    let place = |i: usize| by_name[cycle[i]].places[next(i)].clone();
    let walk: Vec<String> = cycle.iter().chain(cycle.first()).map(|name| format!("`{name}`")).collect();
    let message = match cycle {
        [alone] => format!("`{alone}` waits for itself in environment `{environment}`"),
        _ => format!("services of environment `{environment}` wait for each other: {}", walk.join(" -> ")),
    };
    let mut diagnostic =
        Diagnostic::error("dependency-cycle", message).at(place(0)).hint("remove one of these dependencies");
    for i in 1..cycle.len() {
        diagnostic = diagnostic.related(place(i), "and here");
    }
    diagnostic
}
