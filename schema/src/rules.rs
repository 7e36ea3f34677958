//! What is asked of a value beyond its type: enumerations, bounds, patterns, and alternatives of these.
//!
//! Built-in types have enumerations only; definitions of custom kinds have all of it. Knows no object. A pattern that cannot be
//! compiled, and rules in CEL, ask for nothing. Invariant: a message names the rule, never the value, unless the rule is a list of
//! values and the value one word.

use regex::Regex;
use serde_json::Value;

use super::TypeId;

/// What is asked of a value.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// The values there may be; empty for any.
    pub one_of: Vec<Value>,
    /// Whether null is a value; elsewhere null is as if it were not there.
    pub nullable: bool,
    /// Bounds of numbers: limit, and whether the limit itself is out.
    pub minimum: Option<(f64, bool)>,
    /// See `minimum`.
    pub maximum: Option<(f64, bool)>,
    /// What a number is a multiple of.
    pub multiple_of: Option<f64>,
    /// Characters of a text, items of a list, entries of a map.
    pub length: Range,
    /// What a text looks like.
    pub pattern: Option<Regex>,
    /// Further types a value has to fit: all of these,
    pub all_of: Vec<TypeId>,
    /// at least one of these,
    pub any_of: Vec<TypeId>,
    /// exactly one of these,
    pub exactly_one_of: Vec<TypeId>,
    /// and not this.
    pub not: Option<TypeId>,
}

/// How many there may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Range {
    /// At least.
    pub least: Option<u64>,
    /// At most.
    pub most: Option<u64>,
}

impl Rules {
    /// Returns the rule that a value is one of these.
    pub fn one_of(values: Vec<Value>) -> Rules {
        Rules { one_of: values, ..Rules::default() }
    }

    /// Whether anything is asked.
    pub fn is_empty(&self) -> bool {
        let has_junctors = !(self.all_of.is_empty() && self.any_of.is_empty() && self.exactly_one_of.is_empty());
        !has_junctors
            && self.not.is_none()
            && self.one_of.is_empty()
            && !self.nullable
            && self.minimum.is_none()
            && self.maximum.is_none()
            && self.multiple_of.is_none()
            && self.length == Range::default()
            && self.pattern.is_none()
    }

    /// Says what is wrong with a value, other than that it is not in the list: `must be at least 1`.
    pub fn broken(&self, value: &Value) -> Vec<String> {
        let mut found = Vec::new();
        if let Some(number) = value.as_f64() {
            match self.minimum {
                Some((limit, false)) if number < limit => found.push(format!("must be at least {limit}")),
                Some((limit, true)) if number <= limit => found.push(format!("must be more than {limit}")),
                _ => {}
            }
            match self.maximum {
                Some((limit, false)) if number > limit => found.push(format!("must be at most {limit}")),
                Some((limit, true)) if number >= limit => found.push(format!("must be less than {limit}")),
                _ => {}
            }
            if self.multiple_of.is_some_and(|factor| factor > 0.0 && (number / factor).fract() != 0.0) {
                found.push(format!("must be a multiple of {}", self.multiple_of.unwrap_or_default()));
            }
        }
        let (length, what) = match value {
            Value::String(text) => (text.chars().count(), "characters"),
            Value::Array(items) => (items.len(), "items"),
            Value::Object(entries) => (entries.len(), "entries"),
            Value::Null | Value::Bool(_) | Value::Number(_) => return found,
        };
        if let Some(least) = self.length.least.filter(|least| (length as u64) < *least) {
            found.push(format!("must have at least {least} {what}, not {length}"));
        }
        if let Some(most) = self.length.most.filter(|most| (length as u64) > *most) {
            found.push(format!("must have at most {most} {what}, not {length}"));
        }
        if let (Some(pattern), Value::String(text)) = (&self.pattern, value)
            && !pattern.is_match(text)
        {
            found.push(format!("must match `{pattern}`"));
        }
        found
    }
}

/// Whether two values are the same to a definition: `1` and `1.0` are.
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}
