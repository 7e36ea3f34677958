//! Patches other than server-side apply: JSON merge patch, JSON patch, strategic merge patch.
//!
//! Pure: an object and a patch give an object. Sources: RFC 7386, RFC 6902, and the Kubernetes documentation of strategic merge patch.
//! Invariant: a patch never changes the object it is given when it fails.

use serde_json::{Map as Object, Value};

use crate::api::Status;
use crate::apply::Shape;
use schema::{PatchStrategy, Type, TypeId};

/// Most operations of one JSON patch.
pub const OPERATIONS_MAX: usize = 10_000;
/// Deepest nesting that is patched.
const DEPTH_MAX: usize = 128;

/// Applies a patch of this content type. Only built-in kinds have a `shape`; without it strategic merge patch is refused.
pub(crate) fn patched(
    content_type: &str,
    shape: Option<Shape<'_>>,
    object: &Value,
    patch: &Value,
) -> Result<Value, Status> {
    match (content_type, shape) {
        ("application/merge-patch+json", _) => {
            if !patch.is_object() {
                return Err(Status::bad_request("the merge patch is not an object"));
            }
            let mut object = object.clone();
            merge(&mut object, patch, 0);
            Ok(object)
        }
        ("application/json-patch+json", _) => json_patch(object, patch),
        ("application/strategic-merge-patch+json", Some(shape)) => {
            if !patch.is_object() {
                return Err(Status::bad_request("the strategic merge patch is not an object"));
            }
            let mut object = object.clone();
            strategic(shape, shape.of, &mut object, patch, 0)?;
            Ok(object)
        }
        _ => Err(Status::unsupported_patch()),
    }
}

/// RFC 7386.
fn merge(object: &mut Value, patch: &Value, depth: usize) {
    let Some(patch) = patch.as_object().filter(|_| depth < DEPTH_MAX) else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = Value::Object(Object::new());
    }
    let Some(object) = object.as_object_mut() else { return };
    for (name, value) in patch {
        if value.is_null() {
            object.remove(name);
        } else {
            merge(object.entry(name.clone()).or_insert(Value::Null), value, depth + 1);
        }
    }
}

/// RFC 6902.
fn json_patch(object: &Value, patch: &Value) -> Result<Value, Status> {
    let operations = patch.as_array().ok_or_else(|| Status::bad_request("the JSON patch is not a list"))?;
    if operations.len() > OPERATIONS_MAX {
        let message =
            format!("The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {}", operations.len());
        return Err(Status { code: 413, reason: "RequestEntityTooLarge", ..Status::bad_request(message) });
    }
    let mut object = object.clone();
    for operation in operations {
        operate(&mut object, operation).map_err(|why| {
            tracing::debug!(why, "a JSON patch cannot be applied");
            Status::inapplicable_patch()
        })?;
    }
    Ok(object)
}

fn operate(object: &mut Value, operation: &Value) -> Result<(), String> {
    let text = |name: &str| operation[name].as_str().ok_or_else(|| format!("operation without {name}"));
    let path = text("path")?;
    let value = || operation.get("value").cloned().ok_or_else(|| "operation without value".to_owned());
    match text("op")? {
        "add" => add(object, path, value()?),
        "remove" => remove(object, path).map(|_| ()),
        "replace" => {
            let at = object.pointer_mut(path).ok_or_else(|| missing("replace", path))?;
            *at = value()?;
            Ok(())
        }
        "test" => {
            let expected = value()?;
            let found = object.pointer(path).unwrap_or(&Value::Null);
            if *found == expected { Ok(()) } else { Err(format!("testing path {path} failed")) }
        }
        "move" => {
            let value = remove(object, text("from")?)?;
            add(object, path, value)
        }
        "copy" => {
            let from = text("from")?;
            let value = object.pointer(from).cloned().ok_or_else(|| missing("copy", from))?;
            add(object, path, value)
        }
        other => Err(format!("unexpected operation {other:?}")),
    }
}

fn missing(operation: &str, path: &str) -> String {
    format!("{operation} operation does not apply: doc is missing path: {path}")
}

fn split(path: &str) -> Option<(&str, String)> {
    let (parent, last) = path.rsplit_once('/')?;
    Some((parent, last.replace("~1", "/").replace("~0", "~")))
}

fn add(object: &mut Value, path: &str, value: Value) -> Result<(), String> {
    let Some((parent, last)) = split(path) else {
        *object = value;
        return Ok(());
    };
    match object.pointer_mut(parent).ok_or_else(|| missing("add", path))? {
        Value::Object(parent) => {
            parent.insert(last, value);
            Ok(())
        }
        Value::Array(items) => {
            let index = if last == "-" { items.len() } else { last.parse().map_err(|_| missing("add", path))? };
            if index > items.len() {
                return Err(missing("add", path));
            }
            items.insert(index, value);
            Ok(())
        }
        _ => Err(missing("add", path)),
    }
}

fn remove(object: &mut Value, path: &str) -> Result<Value, String> {
    let (parent, last) = split(path).ok_or_else(|| missing("remove", path))?;
    let removed = match object.pointer_mut(parent).ok_or_else(|| missing("remove", path))? {
        Value::Object(parent) => parent.remove(&last),
        Value::Array(items) => {
            last.parse::<usize>().ok().filter(|index| *index < items.len()).map(|index| items.remove(index))
        }
        _ => None,
    };
    removed.ok_or_else(|| missing("remove", path))
}

/// Strategic merge patch: lists with a merge key are merged, directives are followed.
fn strategic(shape: Shape<'_>, of: TypeId, object: &mut Value, patch: &Value, depth: usize) -> Result<(), Status> {
    let Some(patch) = patch.as_object().filter(|_| depth < DEPTH_MAX) else {
        *object = patch.clone();
        return Ok(());
    };
    let map = match shape.schema.get(of) {
        Type::Map(map) => Some(map),
        _ => None,
    };
    match patch.get("$patch").and_then(Value::as_str) {
        Some("replace") => {
            let kept = patch.iter().filter(|(name, _)| *name != "$patch");
            *object = Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect());
            return Ok(());
        }
        Some("delete") => {
            *object = Value::Object(Object::new());
            return Ok(());
        }
        _ => {}
    }
    if !object.is_object() {
        *object = Value::Object(Object::new());
    }
    let Some(object) = object.as_object_mut() else { return Ok(()) };
    if let Some(kept) = patch.get("$retainKeys").and_then(Value::as_array) {
        object.retain(|name, _| kept.iter().any(|kept| kept.as_str() == Some(name)));
    }
    for (name, value) in patch {
        if name == "$patch" || name == "$retainKeys" {
            continue;
        }
        if let Some(field) = name.strip_prefix("$deleteFromPrimitiveList/") {
            let gone = value.as_array().map(Vec::as_slice).unwrap_or_default();
            if let Some(items) = object.get_mut(field).and_then(Value::as_array_mut) {
                items.retain(|item| !gone.contains(item));
            }
            continue;
        }
        if let Some(field) = name.strip_prefix("$setElementOrder/") {
            let strategy =
                map.and_then(|map| map.fields.get(field)).map(|field| field.patch.clone()).unwrap_or_default();
            let key = strategy.merge.as_ref().and_then(Option::as_deref);
            if !patch.contains_key(field)
                && let (Some(items), Some(order)) =
                    (object.get_mut(field).and_then(Value::as_array_mut), value.as_array())
            {
                let before = items.clone();
                arrange(items, order, &before, key);
            }
            continue;
        }
        if value.is_null() {
            object.remove(name);
            continue;
        }
        let field = map.and_then(|map| map.fields.get(name));
        let inner = map.and_then(|map| map.type_of(name)).unwrap_or(of);
        let slot = object.entry(name.clone()).or_insert(Value::Null);
        match (field.map(|field| &field.patch), value) {
            (Some(PatchStrategy { merge: Some(key), .. }), Value::Array(items)) => {
                let before = slot.as_array().cloned().unwrap_or_default();
                merge_list(shape, inner, slot, items, key.as_deref(), depth)?;
                let order = patch.get(&format!("$setElementOrder/{name}")).and_then(Value::as_array).unwrap_or(items);
                if let Some(items) = slot.as_array_mut() {
                    arrange(items, order, &before, key.as_deref());
                }
            }
            (_, Value::Object(_)) if map.is_some() => strategic(shape, inner, slot, value, depth + 1)?,
            (_, Value::Object(_)) => merge(slot, value, depth + 1),
            (_, value) => *slot = value.clone(),
        }
    }
    Ok(())
}

fn merge_list(
    shape: Shape<'_>,
    of: TypeId,
    slot: &mut Value,
    patch: &[Value],
    key: Option<&str>,
    depth: usize,
) -> Result<(), Status> {
    if !slot.is_array() {
        *slot = Value::Array(Vec::new());
    }
    let Some(items) = slot.as_array_mut() else { return Ok(()) };
    let item_type = match shape.schema.get(of) {
        Type::List(list) => list.item,
        _ => of,
    };
    let Some(key) = key else {
        for value in patch {
            if !items.contains(value) {
                items.push(value.clone());
            }
        }
        return Ok(());
    };
    if patch.iter().any(|item| item["$patch"].as_str() == Some("replace")) {
        let kept = patch.iter().filter(|item| item["$patch"].as_str() != Some("replace"));
        *items = kept.cloned().collect();
        return Ok(());
    }
    for value in patch {
        let id = &value[key];
        if id.is_null() {
            return Err(Status::bad_request(format!("map: {value} does not contain declared merge key: {key}")));
        }
        if value["$patch"].as_str() == Some("delete") {
            items.retain(|item| item[key] != *id);
            continue;
        }
        match items.iter_mut().find(|item| item[key] == *id) {
            Some(item) => strategic(shape, item_type, item, value, depth + 1)?,
            None => {
                let mut item = Value::Object(Object::new());
                strategic(shape, item_type, &mut item, value, depth + 1)?;
                items.push(item);
            }
        }
    }
    Ok(())
}

/// Arranges a merged list: what `order` names comes in that order, and the rest keeps its place of before among it as far as both had one.
fn arrange(items: &mut Vec<Value>, order: &[Value], before: &[Value], key: Option<&str>) {
    let same = |item: &Value, other: &Value| match key {
        Some(key) => item[key] == other[key],
        None => item == other,
    };
    let place = |list: &[Value], item: &Value| list.iter().position(|other| same(item, other));
    let (mut named, rest): (Vec<Value>, Vec<Value>) =
        std::mem::take(items).into_iter().partition(|item| place(order, item).is_some());
    named.sort_by_key(|item| place(order, item));
    let mut rest = rest.into_iter().peekable();
    for item in named {
        while let Some(other) = rest.peek() {
            match (place(before, other), place(before, &item)) {
                (Some(other), Some(item)) if other < item => items.extend(rest.next()),
                _ => break,
            }
        }
        items.push(item);
    }
    items.extend(rest);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(patch: &Value) -> Value {
        let schema = crate::kinds::built_in();
        let of = schema.named("apps.v1.Deployment").expect("listed");
        let object = json!({"metadata": {"finalizers": ["a", "b"], "labels": {"x": "1", "y": "2"}}, "spec": {"template": {"spec": {
            "containers": [{"name": "one", "image": "a", "args": ["x"]}, {"name": "two", "image": "b"}]}}}});
        let shape = Shape { schema: &schema, of };
        patched("application/strategic-merge-patch+json", Some(shape), &object, patch).expect("applies")
    }

    #[test]
    fn strategic_lists_merge_by_key_and_follow_directives() {
        let patch = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "labels": {"x": null}}, "spec": {"template": {"spec": {
            "$setElementOrder/containers": [{"name": "two"}, {"name": "one"}],
            "containers": [{"name": "one", "image": "c"}, {"name": "two", "$patch": "delete"}, {"name": "three"}]}}}});
        let patched = deployment(&patch);
        assert_eq!(patched["metadata"], json!({"finalizers": ["b"], "labels": {"y": "2"}}));
        let expected = json!([{"name": "one", "image": "c", "args": ["x"]}, {"name": "three"}]);
        assert_eq!(patched["spec"]["template"]["spec"]["containers"], expected);
    }

    #[test]
    fn json_patch_operations_follow_the_rfc() {
        let object = json!({"a": {"b": [1, 2]}, "c/d": 1});
        let patch = json!([
            {"op": "test", "path": "/c~1d", "value": 1},
            {"op": "add", "path": "/a/b/1", "value": 9},
            {"op": "remove", "path": "/a/b/0"},
            {"op": "move", "from": "/c~1d", "path": "/e"},
            {"op": "copy", "from": "/e", "path": "/a/b/-"},
        ]);
        let patched = patched("application/json-patch+json", None, &object, &patch).expect("applies");
        assert_eq!(patched, json!({"a": {"b": [9, 2, 1]}, "e": 1}));
        let wrong = json!([{"op": "remove", "path": "/nope"}]);
        assert_eq!(
            super::patched("application/json-patch+json", None, &object, &wrong).map_err(|status| status.code),
            Err(422)
        );
    }
}
