//! What does not fit a schema, said to the author of a template.
//!
//! Turns a [`Problem`] into words: the field as people write it, what was probably meant, what to change in a template. Invariant: no value
//! is repeated, but a word that is not in the list of those there may be.

use manifest::object::type_name;
use schema::check::{Form, Problem, What, path};
use serde_json::Value;

use super::{End, Finding};
use crate::diagnostic::{Diagnostic, suggest};

/// Longest list of fields that is told.
const FIELDS_MAX: usize = 12;

/// Returns what is wrong with an object in words.
pub(super) fn finding(problem: Problem, object: &Value) -> Finding {
    let Problem { pointer, what } = problem;
    let name = path(&pointer);
    let (end, diagnostic) = match what {
        What::Unknown { known } => (End::Key, unknown(&pointer, &known)),
        What::WrongType { expected } => {
            let found = object.pointer(&pointer);
            let word = match found {
                Some(Value::Number(number)) if expected == Form::Whole && number.is_f64() => "a fraction",
                Some(found) => type_name(found),
                None => "nothing",
            };
            let message = format!("`{name}` must be {expected}, not {word}");
            let diagnostic = Diagnostic::error("wrong-type", message);
            let hint = found.and_then(|found| quotes(expected, found));
            (
                End::Value,
                match hint {
                    Some(hint) => diagnostic.hint(hint),
                    None => diagnostic,
                },
            )
        }
        What::Malformed { expected } => {
            (End::Value, Diagnostic::error("bad-value", format!("`{name}` must be {expected}")))
        }
        What::NotOneOf { allowed, found } => (End::Value, not_one_of(&name, &allowed, found.as_deref())),
        What::Missing { name: field } => {
            let path = if name.is_empty() { field } else { format!("{name}.{field}") };
            (End::Key, Diagnostic::error("missing-field", format!("`{path}` is missing")))
        }
        What::Duplicate { keys, first } => {
            let what = match keys.as_slice() {
                [] => "is the same as".to_owned(),
                [key] => format!("has the `{key}` of"),
                keys => {
                    format!("has {} of", keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(" and "))
                }
            };
            let list = pointer.rsplit_once('/').map_or("", |(list, _)| list);
            let message = format!("`{name}` {what} `{}[{first}]`", path(list));
            (End::Value, Diagnostic::error("duplicate-item", message))
        }
        What::Broken(must) => (End::Value, Diagnostic::error("bad-value", format!("`{name}` {must}"))),
        What::Other(must) => (End::Value, Diagnostic::error("bad-value", format!("`{name}` {must}"))),
    };
    Finding { pointer, end, diagnostic }
}

fn unknown(pointer: &str, known: &[String]) -> Diagnostic {
    let (above, key) = pointer.rsplit_once('/').unwrap_or(("", pointer));
    let key = key.replace("~1", "/").replace("~0", "~");
    let message = match above {
        "" => format!("there is no field `{key}` at the top of this kind"),
        above => format!("there is no field `{key}` in `{}`", path(above)),
    };
    let diagnostic = Diagnostic::error("unknown-field", message);
    match suggest(&key, known.iter().map(String::as_str)) {
        Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
        None if known.is_empty() => diagnostic,
        None if known.len() <= FIELDS_MAX => diagnostic.hint(format!("it has {}", known.join(", "))),
        None => diagnostic,
    }
}

/// Says what quotes in a template have to do with it.
fn quotes(expected: Form, found: &Value) -> Option<&'static str> {
    match (expected, found) {
        (Form::Text, Value::Number(_) | Value::Bool(_)) => Some("put it in quotes: `| quote` in a template"),
        (Form::Whole | Form::Number, Value::String(_)) => {
            Some("write it without quotes; in a template `| int` makes a number of a text")
        }
        (Form::Truth, Value::String(_)) => Some("write it without quotes"),
        _ => None,
    }
}

fn not_one_of(name: &str, allowed: &[String], found: Option<&str>) -> Diagnostic {
    let found_word = found.map(|found| format!(", not `{found}`")).unwrap_or_default();
    let message = match allowed {
        [one] => format!("`{name}` must be `{one}`{found_word}"),
        many => format!("`{name}` must be one of {}{found_word}", many.join(", ")),
    };
    let diagnostic = Diagnostic::error("bad-value", message);
    match found.and_then(|found| suggest(found, allowed.iter().map(String::as_str))) {
        Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
        None => diagnostic,
    }
}
