//! What is asked of a value beyond its type: enumerations, bounds, patterns, and alternatives of these.
//!
//! Built-in types have enumerations only; definitions of custom kinds have all of it. Knows no object. A pattern that cannot be
//! compiled, and rules in CEL, ask for nothing. Invariant: a message names the rule, never the value, unless the rule is a list of
//! values and the value one word.

use std::fmt;

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

/// What a value is asked for and is not.
#[derive(Debug, Clone, PartialEq)]
pub enum Breach {
    /// A number below this.
    Least(f64),
    /// A number that is this or below.
    LeastExclusive(f64),
    /// A number above this.
    Most(f64),
    /// A number that is this or above.
    MostExclusive(f64),
    /// A number that is no multiple of this.
    MultipleOf(f64),
    /// A text, list or map with less in it than this.
    TooFew {
        /// What it has at least.
        least: u64,
        /// What it has.
        found: u64,
        /// `characters`, `items`, `entries`.
        of: &'static str,
    },
    /// A text, list or map with more in it than this.
    TooMany {
        /// What it has at most.
        most: u64,
        /// What it has.
        found: u64,
        /// `characters`, `items`, `entries`.
        of: &'static str,
    },
    /// A text that does not match this expression.
    Pattern(String),
}

/// What must be: `must be at least 1`.
impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Breach::Least(limit) => write!(f, "must be at least {limit}"),
            Breach::LeastExclusive(limit) => write!(f, "must be more than {limit}"),
            Breach::Most(limit) => write!(f, "must be at most {limit}"),
            Breach::MostExclusive(limit) => write!(f, "must be less than {limit}"),
            Breach::MultipleOf(factor) => write!(f, "must be a multiple of {factor}"),
            Breach::TooFew { least, found, of } => write!(f, "must have at least {least} {of}, not {found}"),
            Breach::TooMany { most, found, of } => write!(f, "must have at most {most} {of}, not {found}"),
            Breach::Pattern(pattern) => write!(f, "must match `{pattern}`"),
        }
    }
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

    /// Says what is wrong with a value, other than that it is not in the list.
    pub fn broken(&self, value: &Value) -> Vec<Breach> {
        let mut found = Vec::new();
        if let Some(number) = value.as_f64() {
            match self.minimum {
                Some((limit, false)) if number < limit => found.push(Breach::Least(limit)),
                Some((limit, true)) if number <= limit => found.push(Breach::LeastExclusive(limit)),
                _ => {}
            }
            match self.maximum {
                Some((limit, false)) if number > limit => found.push(Breach::Most(limit)),
                Some((limit, true)) if number >= limit => found.push(Breach::MostExclusive(limit)),
                _ => {}
            }
            let factor = self.multiple_of.filter(|factor| *factor > 0.0 && (number / factor).fract() != 0.0);
            found.extend(factor.map(Breach::MultipleOf));
        }
        let (length, of) = match value {
            Value::String(text) => (text.chars().count() as u64, "characters"),
            Value::Array(items) => (items.len() as u64, "items"),
            Value::Object(entries) => (entries.len() as u64, "entries"),
            Value::Null | Value::Bool(_) | Value::Number(_) => return found,
        };
        let least = self.length.least.filter(|least| length < *least);
        found.extend(least.map(|least| Breach::TooFew { least, found: length, of }));
        let most = self.length.most.filter(|most| length > *most);
        found.extend(most.map(|most| Breach::TooMany { most, found: length, of }));
        if let (Some(pattern), Value::String(text)) = (&self.pattern, value)
            && !pattern.is_match(text)
        {
            found.push(Breach::Pattern(pattern.to_string()));
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
