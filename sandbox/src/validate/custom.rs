//! Holds a custom object to the schema of its definition, in the server's words.
//!
//! What is wrong is [`schema::check`]'s to say; formats and CEL rules are not looked at. Invariant: a field that the schema does not mention is
//! never an error here; unknown fields are removed before.

use schema::check::{Form, Origin, Problem, What, path};
use schema::rules::Breach;
use serde_json::Value;

use super::{invalid, required, unsupported};
use crate::api::Cause;
use crate::kinds::Kind;

/// Most causes that are listed.
const CAUSES_MAX: usize = 64;

/// Lists what is wrong with `object` by the `openAPIV3Schema` of its version; nothing for a built-in kind.
pub(crate) fn check(kind: &Kind, object: &Value) -> Vec<Cause> {
    if kind.custom.is_none() {
        return Vec::new();
    }
    let problems = schema::check::check(&kind.schema, kind.root, object, Origin::Custom);
    // What stands in metadata is the same for all kinds, and looked at with theirs.
    let own = problems.into_iter().filter(|problem| !problem.pointer.starts_with("/metadata"));
    let mut causes: Vec<Cause> = own.filter_map(|problem| cause(&problem, object)).take(CAUSES_MAX).collect();
    if let Some(scale) = &kind.scale {
        let replicas = scale.spec.iter().fold(object, |value, part| &value[part.as_str()]);
        if !replicas.is_null() && !replicas.is_i64() {
            let path = format!(".{}", scale.spec.join("."));
            let shown = replicas.as_str().map_or_else(|| replicas.to_string(), str::to_owned);
            let why = format!("{path} accessor error: {shown} is of the type {}, expected int64", found(replicas));
            causes.push(invalid(&path, &0.into(), &why));
        }
    }
    causes
}

fn cause(problem: &Problem, object: &Value) -> Option<Cause> {
    let path = path(&problem.pointer);
    let value = object.pointer(&problem.pointer).unwrap_or(&Value::Null);
    Some(match &problem.what {
        What::Unknown { .. } => return None,
        What::WrongType { expected } => {
            let found = found(value);
            let expected = type_name(*expected);
            let message = format!("Invalid value: {found:?}: {path} in body must be of type {expected}: {found:?}");
            Cause { reason: "FieldValueTypeInvalid", message, field: path }
        }
        What::NotOneOf { allowed, .. } => {
            let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
            unsupported(&path, value.as_str().unwrap_or_default(), &allowed)
        }
        What::Missing { name } => {
            let field = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            required(&field, "")
        }
        What::Broken(breach) => broken(breach, &path, value),
        What::Malformed { expected } => invalid(&path, value, &format!("{path} in body must be {expected}")),
        What::Duplicate { .. } => {
            let message = format!("Duplicate value: {value}");
            Cause { reason: "FieldValueDuplicate", message, field: path }
        }
        What::Other(must) => invalid(&path, value, &format!("{path} in body {must}")),
    })
}

fn broken(breach: &Breach, path: &str, value: &Value) -> Cause {
    let why = |what: String| format!("{path} in body should {what}");
    let count = || match value {
        Value::Array(items) => items.len().into(),
        other => other.clone(),
    };
    match breach {
        Breach::Least(limit) => invalid(path, value, &why(format!("be greater than or equal to {limit}"))),
        Breach::LeastExclusive(limit) => invalid(path, value, &why(format!("be greater than {limit}"))),
        Breach::Most(limit) => invalid(path, value, &why(format!("be less than or equal to {limit}"))),
        Breach::MostExclusive(limit) => invalid(path, value, &why(format!("be less than {limit}"))),
        Breach::MultipleOf(factor) => invalid(path, value, &why(format!("be a multiple of {factor}"))),
        Breach::TooFew { least, of: "characters", .. } => {
            invalid(path, value, &why(format!("be at least {least} chars long")))
        }
        Breach::TooFew { least, .. } => invalid(path, &count(), &why(format!("have at least {least} items"))),
        Breach::TooMany { most, of, .. } => {
            let unit = if *of == "characters" { "bytes" } else { "items" };
            let message = format!("Too long: may not be more than {most} {unit}");
            Cause { reason: "FieldValueTooLong", message, field: path.to_owned() }
        }
        Breach::Pattern(pattern) => invalid(path, value, &why(format!("match '{pattern}'"))),
    }
}

fn type_name(form: Form) -> &'static str {
    match form {
        Form::Text | Form::Quantity | Form::Any => "string",
        Form::Whole => "integer",
        Form::Number => "number",
        Form::Truth => "boolean",
        Form::WholeOrText => "integer,string",
        Form::List => "array",
        Form::Mapping => "object",
    }
}

fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
