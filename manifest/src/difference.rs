//! Which fields of two objects differ: what both programs show to people.
//!
//! Mappings are compared key by key. Lists of mappings that name their items (`name`, `mountPath`, ...) are compared by name, as
//! Kubernetes merges them, so that one more container in front does not show all the others as changed; other lists by what was
//! taken out and put in. Knows no schema. Invariant: no change for equal values, and at least one for values that differ.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};
use similar::{Algorithm, DiffOp, capture_diff_slices};

use crate::yaml;

pub mod text;

/// What stands for a secret value that was.
pub const MASK_BEFORE: &str = "*** (before)";
/// What stands for a secret value that is to be.
pub const MASK_AFTER: &str = "*** (after)";

/// Keys that name an item of a list, the likeliest first. An item of the API's own lists has one of them.
const NAMES: [&str; 10] =
    ["name", "mountPath", "devicePath", "containerPort", "key", "topologyKey", "type", "host", "path", "port"];
/// Where a Secret keeps its values.
const SECRET_FIELDS: [&str; 2] = ["data", "stringData"];
/// An annotation that repeats a whole object, values included.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldChange {
    /// Which, such as `spec.template.spec.containers[app].image` or `metadata.annotations["checksum/config"]`.
    pub path: String,
    /// What it was; nothing where it is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What it is; nothing where it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    #[serde(skip)]
    steps: Vec<String>,
}

impl FieldChange {
    /// Replaces what is secret in a field of a Secret by [`MASK_BEFORE`] and [`MASK_AFTER`]: that it changed, and nothing of what it was or is,
    /// not even a hash, which could be guessed against.
    pub fn mask(&mut self) {
        let is_value = self.steps.first().is_some_and(|first| SECRET_FIELDS.contains(&first.as_str()));
        let sides = [(&mut self.before, MASK_BEFORE), (&mut self.after, MASK_AFTER)];
        for (side, mask) in sides {
            let Some(value) = side else { continue };
            if is_value || self.steps.last().is_some_and(|last| last == LAST_APPLIED) {
                mask_leaves(value, mask);
            } else {
                mask_annotation(value, mask);
            }
        }
    }
}

fn mask_leaves(value: &mut Value, mask: &str) {
    match value {
        Value::Object(map) => map.values_mut().for_each(|value| mask_leaves(value, mask)),
        Value::Array(items) => items.iter_mut().for_each(|value| mask_leaves(value, mask)),
        leaf => *leaf = Value::String(mask.to_owned()),
    }
}

/// Masks the annotation in a mapping that came or went with it.
fn mask_annotation(value: &mut Value, mask: &str) {
    let Value::Object(map) = value else { return };
    for (key, value) in map {
        if key == LAST_APPLIED {
            mask_leaves(value, mask);
        } else {
            mask_annotation(value, mask);
        }
    }
}

/// Returns every field that differs, in the order in which manifests are written.
pub fn between(before: &Value, after: &Value) -> Vec<FieldChange> {
    let mut walk = Walk { found: Vec::new(), path: String::new(), steps: Vec::new() };
    walk.compare(before, after);
    walk.found
}

struct Walk {
    found: Vec<FieldChange>,
    path: String,
    steps: Vec<String>,
}

impl Walk {
    fn compare(&mut self, before: &Value, after: &Value) {
        match (before, after) {
            (before, after) if before == after => {}
            (Value::Object(before), Value::Object(after)) => self.mappings(before, after),
            (Value::Array(before), Value::Array(after)) => match name_key(before, after) {
                Some(key) => self.named(before, after, key),
                None => self.sequences(before, after),
            },
            _ => self.push(Some(before), Some(after)),
        }
    }

    fn push(&mut self, before: Option<&Value>, after: Option<&Value>) {
        self.found.push(FieldChange {
            path: self.path.clone(),
            before: before.cloned(),
            after: after.cloned(),
            steps: self.steps.clone(),
        });
    }

    fn below(&mut self, shown: &str, step: &str, inner: impl FnOnce(&mut Walk)) {
        let length = self.path.len();
        self.path.push_str(shown);
        self.steps.push(step.to_owned());
        inner(self);
        self.steps.pop();
        self.path.truncate(length);
    }

    fn either(&mut self, before: Option<&Value>, after: Option<&Value>) {
        match (before, after) {
            (Some(before), Some(after)) => self.compare(before, after),
            (before, after) => self.push(before, after),
        }
    }

    fn mappings(&mut self, before: &Map<String, Value>, after: &Map<String, Value>) {
        let first = |key: &&String| match key.as_str() {
            "apiVersion" => 0,
            "kind" => 1,
            "metadata" => 2,
            _ => 3,
        };
        let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect::<BTreeSet<_>>().into_iter().collect();
        if self.steps.is_empty() {
            keys.sort_by_key(first);
        }
        for key in keys {
            let shown = shown_key(key, self.path.is_empty());
            self.below(&shown, key, |walk| walk.either(before.get(key), after.get(key)));
        }
    }

    fn named(&mut self, before: &[Value], after: &[Value], key: &str) {
        let find =
            |items: &'_ [Value], name: &str| items.iter().position(|item| name_of(item, key).as_deref() == Some(name));
        let names = |items: &[Value]| items.iter().filter_map(|item| name_of(item, key)).collect::<Vec<_>>();
        let (old, new) = (names(before), names(after));
        let added = new.iter().filter(|name| !old.contains(name));
        for name in old.iter().chain(added) {
            let [before, after] = [before, after].map(|items| find(items, name).map(|at| &items[at]));
            let shown = if key == NAMES[0] { format!("[{name}]") } else { format!("[{key}={name}]") };
            self.below(&shown, name, |walk| walk.either(before, after));
        }
        let common = |names: &[String], others: &[String]| {
            names.iter().filter(|name| others.contains(name)).cloned().collect::<Vec<_>>()
        };
        let (old, new) = (common(&old, &new), common(&new, &old));
        if old != new {
            let list = |names: Vec<String>| Value::Array(names.into_iter().map(Value::String).collect());
            let (old, new) = (list(old), list(new));
            self.below(" (order)", "", |walk| walk.push(Some(&old), Some(&new)));
        }
    }

    fn sequences(&mut self, before: &[Value], after: &[Value]) {
        let texts = |items: &[Value]| items.iter().map(yaml::write).collect::<Vec<_>>();
        for op in capture_diff_slices(Algorithm::Myers, &texts(before), &texts(after)) {
            match op {
                DiffOp::Equal { .. } => {}
                DiffOp::Delete { old_index, old_len, .. } => {
                    for (at, item) in before.iter().enumerate().skip(old_index).take(old_len) {
                        self.item(at, |walk| walk.push(Some(item), None));
                    }
                }
                DiffOp::Insert { new_index, new_len, .. } => {
                    for (at, item) in after.iter().enumerate().skip(new_index).take(new_len) {
                        self.item(at, |walk| walk.push(None, Some(item)));
                    }
                }
                DiffOp::Replace { old_index, old_len, new_index, new_len } => {
                    for step in 0..old_len.max(new_len) {
                        let old = (step < old_len).then(|| &before[old_index + step]);
                        let new = (step < new_len).then(|| &after[new_index + step]);
                        self.item(if step < new_len { new_index } else { old_index } + step, |walk| {
                            walk.either(old, new);
                        });
                    }
                }
            }
        }
    }

    fn item(&mut self, at: usize, inner: impl FnOnce(&mut Walk)) {
        self.below(&format!("[{at}]"), &at.to_string(), inner);
    }
}

/// Returns the key that names every item of both lists, and each item once.
fn name_key(before: &[Value], after: &[Value]) -> Option<&'static str> {
    let names = |items: &[Value], key: &str| {
        let names: Vec<String> = items.iter().map_while(|item| name_of(item, key)).collect();
        let unique: BTreeSet<&String> = names.iter().collect();
        names.len() == items.len() && unique.len() == items.len()
    };
    NAMES.into_iter().find(|key| names(before, key) && names(after, key))
}

fn name_of(item: &Value, key: &str) -> Option<String> {
    match item.get(key)? {
        Value::String(name) => Some(name.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn shown_key(key: &str, is_first: bool) -> String {
    let plain = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    match (plain, is_first) {
        (true, true) => key.to_owned(),
        (true, false) => format!(".{key}"),
        (false, _) => format!("[{}]", Value::String(key.to_owned())),
    }
}
