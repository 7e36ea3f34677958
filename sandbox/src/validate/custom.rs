//! Holds a custom object to the schema of its definition.
//!
//! Types, required fields, enumerations, bounds and lengths; patterns, formats and CEL rules are not looked at. Invariant: a field that the
//! schema does not mention is never an error here; unknown fields are removed before.

use serde_json::Value;

use super::{invalid, required, unsupported};
use crate::api::Cause;
use crate::kinds::Kind;

/// Deepest nesting that is looked at.
const DEPTH_MAX: usize = 64;
/// Most causes that are listed.
const CAUSES_MAX: usize = 64;

/// Lists what is wrong with `object` by the `openAPIV3Schema` of its version; nothing for a built-in kind.
pub(crate) fn check(kind: &Kind, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let Some(version) = &kind.custom else { return causes };
    walk(&version["schema"]["openAPIV3Schema"], object, "", &mut causes, 0);
    causes.truncate(CAUSES_MAX);
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

fn walk(schema: &Value, value: &Value, path: &str, causes: &mut Vec<Cause>, depth: usize) {
    if depth > DEPTH_MAX || causes.len() > CAUSES_MAX || matches!(path, "metadata" | "apiVersion" | "kind") {
        return;
    }
    let nullable = schema["nullable"].as_bool() == Some(true);
    if value.is_null() && nullable {
        return;
    }
    if let Some(expected) = type_error(schema, value) {
        let found = found(value);
        let message = format!("Invalid value: {found:?}: {path} in body must be of type {expected}: {found:?}");
        causes.push(Cause { reason: "FieldValueTypeInvalid", message, field: path.to_owned() });
        return;
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        let allowed: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
        causes.push(unsupported(path, value.as_str().unwrap_or_default(), &allowed));
    }
    bounds(schema, value, path, causes);
    match value {
        Value::Object(object) => {
            for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                if !object.contains_key(name) {
                    causes.push(required(&join(path, name), ""));
                }
            }
            for (name, value) in object {
                let inner = match schema["properties"].get(name) {
                    Some(inner) => inner,
                    None => &schema["additionalProperties"],
                };
                if inner.is_object() {
                    walk(inner, value, &join(path, name), causes, depth + 1);
                }
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                walk(&schema["items"], value, &format!("{path}[{index}]"), causes, depth + 1);
            }
        }
        _ => {}
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn type_error<'s>(schema: &'s Value, value: &Value) -> Option<&'s str> {
    if schema["x-kubernetes-int-or-string"].as_bool() == Some(true) {
        return (!value.is_i64() && !value.is_string()).then_some("integer,string");
    }
    let expected = schema["type"].as_str()?;
    let fits = match expected {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        _ => true,
    };
    (!fits).then_some(expected)
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

fn bounds(schema: &Value, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    if let Some(number) = value.as_f64() {
        if schema["minimum"].as_f64().is_some_and(|minimum| number < minimum) {
            let why = format!("{path} in body should be greater than or equal to {}", schema["minimum"]);
            causes.push(invalid(path, value, &why));
        }
        if schema["maximum"].as_f64().is_some_and(|maximum| number > maximum) {
            let why = format!("{path} in body should be less than or equal to {}", schema["maximum"]);
            causes.push(invalid(path, value, &why));
        }
    }
    if let Some(text) = value.as_str() {
        let length = text.chars().count() as u64;
        if schema["minLength"].as_u64().is_some_and(|minimum| length < minimum) {
            let why = format!("{path} in body should be at least {} chars long", schema["minLength"]);
            causes.push(invalid(path, value, &why));
        }
        if schema["maxLength"].as_u64().is_some_and(|maximum| length > maximum) {
            let message = format!("Too long: may not be more than {} bytes", schema["maxLength"]);
            causes.push(Cause { reason: "FieldValueTooLong", message, field: path.to_owned() });
        }
    }
    if let Some(items) = value.as_array() {
        let count = items.len() as u64;
        if schema["minItems"].as_u64().is_some_and(|minimum| count < minimum) {
            let why = format!("{path} in body should have at least {} items", schema["minItems"]);
            causes.push(invalid(path, &count.into(), &why));
        }
    }
}
