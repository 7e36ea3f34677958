//! Documents to values and back: YAML, JSON, TOML.
//!
//! Readers that may not fail put the error where the document would be. Source: Helm v4.2.3 `pkg/engine/funcs.go`, Sprig v3.3.0
//! `defaults.go`, sigs.k8s.io/yaml v1.6.0.

use manifest::yaml::{DuplicateKeys, Limits, Settings};
use serde_json::Value as Json;

use super::json::read::{Document, misfit};
use super::json::{self, Form};
use super::{Outcome, toml_text, yaml};
use crate::gotemplate::{Call, FunctionError};
use crate::value::{ANY_MAP, List, MAX_DEPTH, Map, Oversized, Str, Value, from_json, knot};

const ANY_MAP_NAME: &str = "map[string]interface {}";
const ANY_LIST_NAME: &str = "[]interface {}";

fn text(args: &[Value]) -> Result<&Str, FunctionError> {
    match args {
        [Value::String(text)] => Ok(text),
        _ => Err(FunctionError::shape()),
    }
}

fn value(args: &[Value]) -> Result<&Value, FunctionError> {
    match args {
        [value] => Ok(value),
        _ => Err(FunctionError::shape()),
    }
}

fn without_newline(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
    }
    text
}

/// `toYaml`: without the final newline; nothing at all where there is no YAML form.
pub(super) fn to_yaml(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let value = value(args)?;
    match yaml::marshal(value) {
        Err(yaml::ToYamlError::Oversized(error)) => empty_if_knotted(value, error),
        result => Ok(Value::from(result.map(without_newline).unwrap_or_default())),
    }
}

/// What contains itself has no text in Go, and that error is dropped; what is only too large for us has one, and must not be lost.
fn empty_if_knotted(value: &Value, error: Oversized) -> Outcome {
    if knot(value).is_some() { Ok(Value::from("")) } else { Err(error.into()) }
}

pub(super) fn must_to_yaml(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    Ok(Value::from(yaml::marshal(value(args)?).map(without_newline).map_err(|error| error.to_string())?))
}

pub(super) fn to_yaml_pretty(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    match yaml::marshal_pretty(value(args)?) {
        // Upstream drops errors, but this one is a panic.
        Err(error @ yaml::ToYamlError::UnsupportedType(_)) => Err(error.to_string().into()),
        Err(yaml::ToYamlError::Oversized(error)) => Err(error.into()),
        result => Ok(Value::from(result.map(without_newline).unwrap_or_default())),
    }
}

/// Reads the first document of a YAML text.
fn read_yaml(text: &Str) -> Result<Value, String> {
    let limits = Limits { depth: MAX_DEPTH - 2, ..Settings::default().limits };
    let settings = Settings { duplicate_keys: DuplicateKeys::LastWins, marks: false, limits };
    let text = text.to_str_lossy();
    if let Some(value) = read_open_block(&text, &settings) {
        return Ok(from_json(&value));
    }
    let document = manifest::yaml::read_first(&text, &settings)
        .map_err(|error| format!("error converting YAML to JSON: yaml: line {}: {}", error.at.line, error.message))?;
    Ok(document.map(|document| from_json(&document.value)).unwrap_or_default())
}

/// Reads a text that ends inside a block scalar, without a final newline: Helm's reader takes it without one, the manifests' reader as if
/// it had one. Returns nothing where the text is not of that kind.
fn read_open_block(text: &str, settings: &Settings) -> Option<Json> {
    /// Written after the text: where the text of a block ends with it and a newline, the text ended inside that block.
    const END: char = '\u{10fffd}';
    if text.ends_with('\n') || !text.contains(['|', '>']) || text.contains(END) {
        return None;
    }
    let documents = manifest::yaml::read(&format!("{text}{END}"), settings).ok()?;
    let [document] = &documents[..] else { return None };
    let mut value = document.value.clone();
    cut_end(&mut value, &format!("{END}\n")).then_some(value)
}

/// Cuts `end` off the one text that has it, and reports whether there is one.
fn cut_end(value: &mut Json, end: &str) -> bool {
    match value {
        Json::String(text) => match text.strip_suffix(end) {
            Some(kept) => {
                *text = kept.to_owned();
                true
            }
            None => false,
        },
        Json::Array(items) => items.iter_mut().any(|item| cut_end(item, end)),
        Json::Object(fields) => fields.iter_mut().any(|(_, field)| cut_end(field, end)),
        _ => false,
    }
}

fn error_map(message: String) -> Value {
    Value::map([("Error", Value::from(message))])
}

fn error_list(message: String) -> Value {
    Value::list(vec![Value::from(message)])
}

const FROM_YAML: &str = "error unmarshaling JSON: while decoding JSON: ";

/// `fromYaml`: an empty document is an empty map.
pub(super) fn from_yaml(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    Ok(match read_yaml(text(args)?) {
        Ok(Value::Map(map)) => Value::Map(map),
        Ok(Value::Nil) => Value::Map(Map::new()),
        Ok(other) => error_map(format!("{FROM_YAML}{}", misfit(&other, ANY_MAP_NAME))),
        Err(message) => error_map(message),
    })
}

pub(super) fn from_yaml_array(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    Ok(match read_yaml(text(args)?) {
        Ok(Value::List(list)) => Value::List(list),
        Ok(Value::Nil) => Value::list(Vec::new()),
        Ok(other) => error_list(format!("{FROM_YAML}{}", misfit(&other, ANY_LIST_NAME))),
        Err(message) => error_list(message),
    })
}

/// `fromJson`: null is a nil map.
pub(super) fn from_json_map(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    Ok(match json::read::read(text(args)?.as_bytes()) {
        Ok(Document { value: Value::Map(map), wrong }) => {
            if let Some(message) = wrong {
                map.insert("Error", Value::from(message));
            }
            Value::Map(map)
        }
        Ok(Document { value: Value::Nil, wrong: None }) => Value::Map(Map::nil(&ANY_MAP)),
        Ok(Document { value, wrong }) => error_map(misfit_or_number(&value, wrong.as_ref(), ANY_MAP_NAME)),
        Err(message) => error_map(message),
    })
}

pub(super) fn from_json_array(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    Ok(match json::read::read(text(args)?.as_bytes()) {
        Ok(Document { value: Value::List(_), wrong: Some(message) }) => error_list(message),
        Ok(Document { value: Value::List(list), wrong: None }) => Value::List(list),
        Ok(Document { value: Value::Nil, wrong: None }) => Value::List(List::nil(&crate::value::ANY_LIST)),
        Ok(Document { value, wrong }) => error_list(misfit_or_number(&value, wrong.as_ref(), ANY_LIST_NAME)),
        Err(message) => error_list(message),
    })
}

/// A number that is no float stands as null, and is still a number to Go.
fn misfit_or_number(value: &Value, wrong: Option<&String>, wanted: &str) -> String {
    match (value, wrong) {
        (Value::Nil, Some(_)) => misfit(&Value::Int(0), wanted),
        _ => misfit(value, wanted),
    }
}

/// `mustFromJson`: of any type.
pub(super) fn must_from_json(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let Document { value, wrong } = json::read::read(text(args)?.as_bytes())?;
    match wrong {
        Some(message) => Err(message.into()),
        None => Ok(value),
    }
}

pub(super) fn to_json(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    json_or_empty(value(args)?, Form::Compact)
}

pub(super) fn to_pretty_json(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    json_or_empty(value(args)?, Form::Pretty)
}

pub(super) fn must_to_json(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    written(value(args)?, Form::Compact)
}

pub(super) fn must_to_pretty_json(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    written(value(args)?, Form::Pretty)
}

/// `toRawJson` and `mustToRawJson`.
pub(super) fn to_raw_json(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    written(value(args)?, Form::Raw)
}

fn json_or_empty(value: &Value, form: Form) -> Outcome {
    match json::write(value, form) {
        Err(json::Error::Oversized(error)) => empty_if_knotted(value, error),
        result => Ok(Value::from(result.unwrap_or_default())),
    }
}

fn written(value: &Value, form: Form) -> Outcome {
    match json::write(value, form) {
        Ok(text) => Ok(Value::from(text)),
        Err(json::Error::Oversized(error)) => Err(knot(value).map_or_else(
            || error.into(),
            |knot| format!("json: unsupported value: encountered a cycle via {}", knot.type_name()).into(),
        )),
        Err(error) => Err(error.to_string().into()),
    }
}

const NO_TYPE: &str = "reflect: call of reflect.Value.Type on zero Value";

/// `toToml`: where there is no TOML form, the error is the result.
pub(super) fn to_toml(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    match value(args)? {
        Value::Nil => Err(NO_TYPE.into()),
        value => Ok(Value::from(toml_text::write(value).unwrap_or_else(|error| error.to_string()))),
    }
}

pub(super) fn must_to_toml(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    match value(args)? {
        Value::Nil => Err(NO_TYPE.into()),
        value => Ok(Value::from(toml_text::write(value).map_err(|error| error.to_string())?)),
    }
}

pub(super) fn from_toml(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    Ok(match toml_text::read(&text(args)?.to_str_lossy()) {
        Ok(map) => Value::Map(map),
        Err(message) => error_map(message),
    })
}
