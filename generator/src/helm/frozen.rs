//! A chart's own values between renders: read once, shared by threads, thawed where a release takes them over.
//!
//! A render puts the defaults of a chart under the values of its user. Most of the defaults come through, some are overridden, so what is
//! thawed is what is taken and nothing else. Invariant: what is thawed is what [`from_json`](crate::value::from_json) makes of the same
//! document, in storage of its own.

use serde_json::Value as Json;

use super::values::Nulls;
use crate::value::{List, Map, Str, Value};

/// A value that nobody can change.
#[derive(Debug)]
pub(super) enum Frozen {
    Nil,
    Bool(bool),
    Float(f64),
    String(Str),
    List(Vec<Frozen>),
    Map(Vec<(Str, Frozen)>),
}

impl Frozen {
    /// Freezes a document, in which every number is a float.
    pub(super) fn new(json: &Json) -> Frozen {
        match json {
            Json::Null => Frozen::Nil,
            Json::Bool(b) => Frozen::Bool(*b),
            Json::Number(n) => Frozen::Float(n.as_f64().unwrap_or(f64::NAN)),
            Json::String(text) => Frozen::String(text.into()),
            Json::Array(items) => Frozen::List(items.iter().map(Frozen::new).collect()),
            Json::Object(fields) => {
                Frozen::Map(fields.iter().map(|(key, value)| (Str::from(key), Frozen::new(value))).collect())
            }
        }
    }

    /// Returns the entries, of anything but a map none.
    pub(super) fn entries(&self) -> &[(Str, Frozen)] {
        match self {
            Frozen::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Returns a copy to work with; nulls of maps that are not inside a list are left out where they delete.
    pub(super) fn thaw(&self, nulls: Nulls) -> Value {
        match self {
            Frozen::Nil => Value::Nil,
            Frozen::Bool(b) => Value::Bool(*b),
            Frozen::Float(x) => Value::Float(*x),
            Frozen::String(text) => Value::String(text.clone()),
            Frozen::List(items) => Value::List(items.iter().map(|item| item.thaw(Nulls::Keep)).collect::<List>()),
            Frozen::Map(entries) => Value::Map(thawed(entries, nulls)),
        }
    }

    /// Reports whether it is a null that deletes.
    pub(super) fn deletes(&self, nulls: Nulls) -> bool {
        nulls == Nulls::Delete && matches!(self, Frozen::Nil)
    }
}

/// Returns a copy of the entries to work with.
pub(super) fn thawed(entries: &[(Str, Frozen)], nulls: Nulls) -> Map {
    let kept = entries.iter().filter(|(_, value)| !value.deletes(nulls));
    kept.map(|(key, value)| (key.clone(), value.thaw(nulls))).collect()
}
