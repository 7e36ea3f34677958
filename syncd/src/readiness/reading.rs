//! Reads numbers, texts and conditions out of objects.
//!
//! What is not there reads as zero or empty, as Kubernetes leaves out what is. Invariant: nothing here decides.

use serde_json::Value;

/// A condition of a status. Absent fields are empty.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Condition<'a> {
    pub status: &'a str,
    pub reason: &'a str,
    pub message: &'a str,
}

impl Condition<'_> {
    pub fn is_true(&self) -> bool {
        self.status == "True"
    }

    /// Returns `: ` and the best words that it has, or nothing.
    pub fn words(&self) -> String {
        match (self.reason, self.message) {
            (reason, "") => suffix(reason),
            ("", message) => suffix(message),
            (reason, message) => format!(": {reason}: {message}"),
        }
    }

    /// Returns `: ` and its message, or its reason where there is none.
    pub fn and_message(&self) -> String {
        suffix(if self.message.is_empty() { self.reason } else { self.message })
    }
}

pub(super) fn suffix(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

/// Returns a condition by its type, whatever generation it is of.
pub(super) fn condition<'a>(value: &'a Value, of: &str) -> Option<Condition<'a>> {
    condition_in(value.pointer("/status/conditions")?, of, i64::MIN)
}

/// Returns a condition by its type. One that names an older generation than the object's is not there.
pub(super) fn fresh_condition<'a>(value: &'a Value, of: &str) -> Option<Condition<'a>> {
    condition_in(value.pointer("/status/conditions")?, of, generation(value))
}

/// Returns a condition of a list of conditions, unless it is of an older generation.
pub(super) fn condition_in<'a>(conditions: &'a Value, of: &str, generation: i64) -> Option<Condition<'a>> {
    let found =
        conditions.as_array()?.iter().find(|condition| condition.get("type").is_some_and(|found| found == of))?;
    let observed = found.get("observedGeneration").and_then(Value::as_i64);
    if observed.is_some_and(|observed| observed < generation) {
        return None;
    }
    let text = |name: &str| found.get(name).and_then(Value::as_str).unwrap_or_default();
    Some(Condition { status: text("status"), reason: text("reason"), message: text("message") })
}

pub(super) fn generation(value: &Value) -> i64 {
    number(value, "/metadata/generation").unwrap_or(0)
}

/// Returns the generation that the controller has seen, where it says so. Argo Rollouts writes it as text.
pub(super) fn observed_generation(value: &Value) -> Option<i64> {
    let observed = value.pointer("/status/observedGeneration")?;
    observed.as_i64().or_else(|| observed.as_str()?.parse().ok())
}

pub(super) fn number(value: &Value, pointer: &str) -> Option<i64> {
    value.pointer(pointer)?.as_i64()
}

pub(super) fn status(value: &Value, name: &str) -> i64 {
    value.get("status").and_then(|status| status.get(name)).and_then(Value::as_i64).unwrap_or(0)
}

pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn annotation<'a>(value: &'a Value, name: &str) -> &'a str {
    let annotations = value.get("metadata").and_then(|metadata| metadata.get("annotations"));
    annotations.and_then(|annotations| annotations.get(name)).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn is_true(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer) == Some(&Value::Bool(true))
}

pub(super) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn count(have: i64, wanted: i64, what: &str) -> String {
    format!("{have} of {wanted} {what}")
}
