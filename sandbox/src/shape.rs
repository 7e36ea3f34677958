//! Brings a value into the shape the server stores: unknown fields found or removed, zero values dropped or written.
//!
//! Only about presence and types; defaults that depend on other fields are `defaults`'. Invariant: normalising twice changes nothing.

use serde_json::{Map as Object, Value};

use schema::{Items, Map, Scalar, Schema, Type, TypeId, Zero};

/// Deepest nesting that is looked at; deeper values are left alone.
const DEPTH_MAX: usize = 128;

/// A field that the type does not have, or whose value is of another type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// Dotted path, with list indexes in brackets.
    pub path: String,
    /// What was expected and found; empty for a field that does not exist.
    pub mismatch: String,
}

/// Lists the fields of `value` that its type does not declare, and values of a wrong type, in the order of the document.
pub fn unknown_fields(schema: &Schema, of: TypeId, value: &Value) -> Vec<Unknown> {
    let mut found = Vec::new();
    find_unknown(schema, of, value, "", &mut found, 0);
    found
}

fn find_unknown(schema: &Schema, of: TypeId, value: &Value, path: &str, found: &mut Vec<Unknown>, depth: usize) {
    if value.is_null() || depth > DEPTH_MAX {
        return;
    }
    match (schema.get(of), value) {
        (Type::Any, _) => {}
        (Type::Map(map), Value::Object(object)) => {
            for (name, value) in object {
                let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                match map.type_of(name) {
                    Some(of) => find_unknown(schema, of, value, &inner, found, depth + 1),
                    None => found.push(Unknown { path: inner, mismatch: String::new() }),
                }
            }
        }
        (Type::List(list), Value::Array(items)) => {
            for (index, value) in items.iter().enumerate() {
                find_unknown(schema, list.item, value, &format!("{path}[{index}]"), found, depth + 1);
            }
        }
        (Type::Scalar(scalar), value) if fits(*scalar, value) => {}
        (of, value) => {
            let mismatch = format!("cannot unmarshal {} into field of type {}", word(value), expected(of));
            found.push(Unknown { path: path.to_owned(), mismatch });
        }
    }
}

/// Whether a leaf of this kind may hold `value`.
fn fits(scalar: Scalar, value: &Value) -> bool {
    match scalar {
        Scalar::String | Scalar::Bytes | Scalar::Time | Scalar::MicroTime => value.is_string(),
        Scalar::Int | Scalar::Int32 => value.is_i64() || value.is_u64(),
        Scalar::Number => value.is_number(),
        Scalar::Bool => value.is_boolean(),
        Scalar::Quantity => value.is_string() || value.is_number(),
        Scalar::IntOrString => value.is_string() || value.is_i64(),
    }
}

fn word(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn expected(of: &Type) -> &'static str {
    match of {
        Type::Scalar(Scalar::Int | Scalar::Int32) => "int",
        Type::Scalar(Scalar::Number) => "float64",
        Type::Scalar(Scalar::Bool) => "bool",
        Type::Scalar(_) => "string",
        Type::List(_) => "list",
        Type::Map(_) => "object",
        Type::Any => "any",
    }
}

/// Removes the fields that the type does not declare.
pub fn prune(schema: &Schema, of: TypeId, value: &mut Value) {
    walk_pruning(schema, of, value, 0);
}

fn walk_pruning(schema: &Schema, of: TypeId, value: &mut Value, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    match (schema.get(of), value) {
        (Type::Map(map), Value::Object(object)) => {
            object.retain(|name, _| map.type_of(name).is_some());
            for (name, value) in object.iter_mut() {
                if let Some(of) = map.type_of(name) {
                    walk_pruning(schema, of, value, depth + 1);
                }
            }
        }
        (Type::List(list), Value::Array(items)) => {
            for value in items {
                walk_pruning(schema, list.item, value, depth + 1);
            }
        }
        _ => {}
    }
}

/// Brings a built-in object into its stored form: no nulls, no empty lists or maps, zero values as the API's types write them, quantities
/// as text.
pub fn normalize(schema: &Schema, of: TypeId, value: &mut Value) {
    walk_normalizing(schema, of, value, 0);
}

fn walk_normalizing(schema: &Schema, of: TypeId, value: &mut Value, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    match (schema.get(of), value) {
        (Type::Map(map), Value::Object(object)) => normalize_object(schema, map, object, depth),
        (Type::List(list), Value::Array(items)) => {
            for value in items.iter_mut() {
                walk_normalizing(schema, list.item, value, depth + 1);
            }
            if list.items == Items::Set {
                items.retain(|item| !item.is_null());
            }
        }
        (Type::Scalar(Scalar::Quantity), value @ Value::Number(_)) => *value = Value::String(value.to_string()),
        _ => {}
    }
}

fn normalize_object(schema: &Schema, map: &Map, object: &mut Object<String, Value>, depth: usize) {
    object.retain(|name, value| match (map.fields.get(name), &*value) {
        (Some(field), Value::Null) => field.zero == Zero::Written && zero_of(schema, field.of) == Some(Value::Null),
        (Some(field), Value::Array(items)) => field.required || !items.is_empty(),
        (Some(field), Value::Object(inner)) => !inner.is_empty() || field.required || !is_free_map(schema, field.of),
        (Some(field), leaf) => field.zero != Zero::Dropped || !is_zero(leaf),
        (None, _) => true,
    });
    for (name, value) in object.iter_mut() {
        if let Some(of) = map.type_of(name) {
            walk_normalizing(schema, of, value, depth + 1);
        }
    }
    for (name, field) in &map.fields {
        if field.zero != Zero::Written || object.contains_key(name) {
            continue;
        }
        let Some(mut zero) = zero_of(schema, field.of) else { continue };
        walk_normalizing(schema, field.of, &mut zero, depth + 1);
        object.insert(name.clone(), zero);
    }
}

/// Returns what the server writes for a value that is not there; `None` where it writes nothing.
fn zero_of(schema: &Schema, of: TypeId) -> Option<Value> {
    match schema.get(of) {
        Type::Map(map) if !map.fields.is_empty() => Some(Value::Object(Object::new())),
        Type::Map(_) | Type::List(_) | Type::Scalar(Scalar::Time | Scalar::MicroTime) => Some(Value::Null),
        Type::Scalar(Scalar::Int | Scalar::Int32 | Scalar::Number) => Some(Value::from(0)),
        Type::Scalar(Scalar::Bool) => Some(Value::Bool(false)),
        Type::Scalar(Scalar::String) => Some(Value::String(String::new())),
        Type::Scalar(_) | Type::Any => None,
    }
}

/// A map without declared fields, such as labels: the server drops an empty one.
fn is_free_map(schema: &Schema, of: TypeId) -> bool {
    matches!(schema.get(of), Type::Map(map) if map.fields.is_empty())
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(value) => value.as_f64() == Some(0.0),
        Value::String(value) => value.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(object) => object.is_empty(),
    }
}

/// Writes the defaults that a custom kind's definition declares, wherever the field is missing.
pub(crate) fn write_defaults(schema: &Schema, of: TypeId, value: &mut Value) {
    walk_defaults(schema, of, value, 0);
}

fn walk_defaults(schema: &Schema, of: TypeId, value: &mut Value, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    match (schema.get(of), value) {
        (Type::Map(map), Value::Object(object)) => {
            for (name, field) in &map.fields {
                if let Some(default) = &field.default {
                    object.entry(name.clone()).or_insert_with(|| default.clone());
                }
            }
            for (name, value) in object.iter_mut() {
                if let Some(of) = map.type_of(name) {
                    walk_defaults(schema, of, value, depth + 1);
                }
            }
        }
        (Type::List(list), Value::Array(items)) => {
            for value in items {
                walk_defaults(schema, list.item, value, depth + 1);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment() -> (std::sync::Arc<Schema>, TypeId) {
        let schema = crate::kinds::built_in();
        let of = schema.named("apps.v1.Deployment").expect("listed");
        (schema, of)
    }

    #[test]
    fn unknown_and_mistyped_fields_are_named_by_path() {
        let (schema, of) = deployment();
        let value = json!({"spec": {"replicas": "2", "foo": 1, "template": {"spec": {"containers": [{"nam": "a"}]}}}});
        let paths: Vec<String> = unknown_fields(&schema, of, &value).into_iter().map(|unknown| unknown.path).collect();
        assert_eq!(paths, ["spec.foo", "spec.replicas", "spec.template.spec.containers[0].nam"]);
    }

    #[test]
    fn the_stored_form_has_no_empty_maps_and_all_written_structs() {
        let (schema, of) = deployment();
        let mut value = json!({"metadata": {"labels": {}, "annotations": null}, "spec": {"replicas": 0, "paused": false,
            "template": {"spec": {"containers": [{"name": "a", "args": []}], "volumes": [{"name": "v", "emptyDir": {}}]}}}});
        normalize(&schema, of, &mut value);
        let expected = json!({"metadata": {}, "status": {}, "spec": {"replicas": 0, "strategy": {}, "template": {"metadata": {}, "spec": {
            "containers": [{"name": "a", "resources": {}}], "volumes": [{"name": "v", "emptyDir": {}}]}}}});
        assert_eq!(value["spec"]["template"]["spec"], expected["spec"]["template"]["spec"]);
        assert_eq!(value["metadata"], expected["metadata"]);
        assert_eq!(value["spec"]["replicas"], 0);
        let again = value.clone();
        normalize(&schema, of, &mut value);
        assert_eq!(value, again);
    }
}
