//! How far a custom resource is: by the rule of its kind, or by the conventions that most follow.
//!
//! Conventions, in this order: `status.observedGeneration`; the conditions `Stalled` and `Reconciling` (kstatus); a `Failed` that is true;
//! the first of [`READY`] that it has, by its exact name (a comparison without regard to case is how Kubedog came to match none); a
//! phase or state in one word. A condition that names an older generation is not there. Invariant: a kind without a rule fails only by
//! its own word.

use serde_json::Value;

use super::Readiness::{self, Current, Failed, InProgress, Unknown};
use super::reading::{self, Condition, fresh_condition, generation, is_true, list, observed_generation, suffix};
use crate::cluster::GroupKind;
use crate::rules::{self, Rule, Rules, Test, Values};

/// Conditions that say that an object does what it is for, the most telling first.
const READY: [&str; 15] = [
    "Ready",
    "Available",
    "Healthy",
    "Established",
    "Programmed",
    "Succeeded",
    "Complete",
    "Completed",
    "Running",
    "Active",
    "Deployed",
    "Reconciled",
    "Synced",
    "Initialized",
    "Accepted",
];
/// Fields that say it in one word.
const WORDS: [&str; 8] =
    ["phase", "currentPhase", "state", "currentState", "status", "currentStatus", "health", "currentHealth"];
const GOOD: [&str; 26] = [
    "ready",
    "success",
    "succeeded",
    "successful",
    "complete",
    "completed",
    "finished",
    "finalized",
    "done",
    "available",
    "running",
    "ok",
    "active",
    "live",
    "healthy",
    "started",
    "initialized",
    "approved",
    "valid",
    "green",
    "yellow",
    "bound",
    "established",
    "enabled",
    "synced",
    "provisioned",
];
const BAD: [&str; 15] = [
    "failure",
    "failed",
    "abort",
    "aborted",
    "terminated",
    "error",
    "errored",
    "rejection",
    "rejected",
    "invalid",
    "red",
    "degraded",
    "denied",
    "unavailable",
    "faulted",
];

pub(super) fn readiness(kind: &GroupKind, value: &Value, rules: &Rules) -> Readiness {
    if observed_generation(value).is_some_and(|observed| observed < generation(value)) {
        return InProgress("its controller has not seen the change yet".to_owned());
    }
    match rules.of(kind) {
        Some(rule) => by_rule(rule, value),
        None => by_convention(value),
    }
}

// ------------------------------------------------------------------------------------------------------------------- by rule

fn by_rule(rule: &Rule, value: &Value) -> Readiness {
    let any = |tests: &[Test]| tests.iter().any(|test| holds(test, value));
    let words = || words_for(rule, value);
    if any(&rule.failed) {
        return Failed(format!("it failed{}", words()));
    }
    if any(&rule.progressing) || !any(&rule.current) {
        return InProgress(format!("it is not ready{}", words()));
    }
    Current
}

fn holds(test: &Test, value: &Value) -> bool {
    test.iter().all(|(place, Values(wanted))| {
        let found = read(place, value);
        wanted.iter().any(|wanted| match wanted.as_str() {
            "*" => !found.is_empty(),
            text => match text.strip_prefix('=') {
                Some(other) => !found.is_empty() && found == read(other, value),
                None => found == *text,
            },
        })
    })
}

/// Returns what stands at a place, as text; empty where nothing does. Lists and maps that have something read as `*`.
fn read(place: &str, value: &Value) -> String {
    let condition = |of: &str| fresh_condition(value, of).unwrap_or_default();
    match place.split_once('/') {
        Some(("condition", of)) => condition(of).status.to_owned(),
        Some(("reason", of)) => condition(of).reason.to_owned(),
        Some(("message", of)) => condition(of).message.to_owned(),
        _ => match value.pointer(place) {
            None | Some(Value::Null) => String::new(),
            Some(Value::Array(list)) if list.is_empty() => String::new(),
            Some(Value::Object(map)) if map.is_empty() => String::new(),
            Some(Value::Array(_) | Value::Object(_)) => "*".to_owned(),
            Some(scalar) => rules::text(scalar).unwrap_or_default(),
        },
    }
}

fn words_for(rule: &Rule, value: &Value) -> String {
    let shown = rule.show.iter().map(|place| read(place, value)).find(|text| !text.is_empty());
    match shown {
        Some(text) => suffix(&text),
        None => amiss(value).map(|condition| condition.words()).unwrap_or_default(),
    }
}

/// Returns the first condition that is not true and has something to say, the telling ones first.
fn amiss(value: &Value) -> Option<Condition<'_>> {
    let telling = READY.iter().filter_map(|of| fresh_condition(value, of));
    let all =
        list(value, "/status/conditions").iter().filter_map(|c| fresh_condition(value, reading::text(c, "/type")));
    telling.chain(all).find(|condition| !condition.is_true() && !condition.words().is_empty())
}

// -------------------------------------------------------------------------------------------------------------- by convention

fn by_convention(value: &Value) -> Readiness {
    let is = |of: &str| fresh_condition(value, of).filter(|c| c.is_true());
    if let Some(stalled) = is("Stalled").or_else(|| is("Failed")) {
        return Failed(format!("it failed{}", stalled.words()));
    }
    if let Some(reconciling) = is("Reconciling") {
        return InProgress(format!("it is being reconciled{}", reconciling.words()));
    }
    if is_true(value, "/spec/suspend") || is_true(value, "/spec/paused") {
        return Current;
    }
    for of in READY {
        match fresh_condition(value, of) {
            Some(condition) if condition.is_true() => return Current,
            Some(condition) => return InProgress(format!("{of} is {}{}", condition.status, condition.words())),
            None if has_condition(value, of) => return InProgress(format!("{of} is of an older generation")),
            None => {}
        }
    }
    if let Some(verdict) = by_word(value) {
        return verdict;
    }
    if observed_generation(value).is_some() {
        return Current; // Its controller has seen it and has nothing to add.
    }
    let status = value.get("status").filter(|status| status.as_object().is_some_and(|status| !status.is_empty()));
    Unknown(if status.is_some() { "its status says nothing about readiness" } else { "it has no status" }.to_owned())
}

fn has_condition(value: &Value, of: &str) -> bool {
    reading::condition(value, of).is_some()
}

fn by_word(value: &Value) -> Option<Readiness> {
    for field in WORDS {
        let word = value.get("status").and_then(|status| status.get(field)).and_then(Value::as_str).unwrap_or_default();
        if word.is_empty() {
            continue;
        }
        let lower = word.to_ascii_lowercase();
        let message = suffix(reading::text(value, "/status/message"));
        return Some(match () {
            () if GOOD.contains(&lower.as_str()) => Current,
            () if BAD.contains(&lower.as_str()) => Failed(format!("its {field} is {word}{message}")),
            () => InProgress(format!("its {field} is {word}{message}")),
        });
    }
    None
}
