//! Functions over maps. `set`, `unset`, `merge` and `mergeOverwrite` change the map they are given, for all who hold it.
//!
//! Where Go's random map order would reach a result (`keys`, `values`), keys come sorted. Source: Sprig v3.3.0 `dict.go`, dario.cat/mergo
//! v1.0.1 `merge.go`, mitchellh/copystructure v1.2.0.

use super::strings::text_of;
use super::{Outcome, is_empty};
use crate::gotemplate::{Call, FunctionError};
use crate::value::{ANY_MAP, Elem, List, Map, Oversized, Str, Value, Walk};

const NIL_MAP: &str = "assignment to entry in nil map";

pub(super) fn dict(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let map = Map::new();
    for pair in args.chunks(2) {
        let value = pair.get(1).cloned().unwrap_or_else(|| Value::from(""));
        map.insert(text_of(&pair[0])?, value);
    }
    Ok(Value::Map(map))
}

pub(super) fn get(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::Map(map), Value::String(key)] = args else { return Err(FunctionError::shape()) };
    Ok(map.get(key).unwrap_or_else(|| Value::from("")))
}

pub(super) fn set(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::Map(map), Value::String(key), value] = args else { return Err(FunctionError::shape()) };
    if map.is_nil() {
        return Err(NIL_MAP.into());
    }
    map.insert(key.clone(), value.clone());
    Ok(Value::Map(map.clone()))
}

pub(super) fn unset(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::Map(map), Value::String(key)] = args else { return Err(FunctionError::shape()) };
    map.remove(key);
    Ok(Value::Map(map.clone()))
}

pub(super) fn has_key(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::Map(map), Value::String(key)] = args else { return Err(FunctionError::shape()) };
    Ok(Value::Bool(map.contains_key(key)))
}

pub(super) fn pluck(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(key), maps @ ..] = args else { return Err(FunctionError::shape()) };
    Ok(Value::list(maps.iter().filter_map(Value::as_map).filter_map(|map| map.get(key)).collect()))
}

pub(super) fn keys(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    Ok(Value::List(List::strings(args.iter().filter_map(Value::as_map).flat_map(Map::keys))))
}

pub(super) fn values(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::Map(map)] = args else { return Err(FunctionError::shape()) };
    Ok(Value::list(map.entries().into_iter().map(|(_, value)| value).collect()))
}

pub(super) fn pick(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::Map(map), keys @ ..] = args else { return Err(FunctionError::shape()) };
    let picked = keys.iter().filter_map(Value::as_string).filter_map(|key| Some((key.clone(), map.get(key)?)));
    Ok(Value::Map(picked.collect()))
}

pub(super) fn omit(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::Map(map), keys @ ..] = args else { return Err(FunctionError::shape()) };
    let omitted = |key: &Str| keys.iter().any(|omit| omit.as_string() == Some(key));
    Ok(Value::Map(map.entries().into_iter().filter(|(key, _)| !omitted(key)).collect()))
}

/// `merge` and `mustMerge`: fills what is missing or empty in the first map.
pub(super) fn merge(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    merge_all(args, false)
}

/// `mergeOverwrite` and `mustMergeOverwrite`: later maps win, even with empty values.
pub(super) fn merge_overwrite(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    merge_all(args, true)
}

fn merge_all(args: &[Value], overwrite: bool) -> Outcome {
    let [Value::Map(target), sources @ ..] = args else { return Err(FunctionError::shape()) };
    let mut target = target.clone();
    for source in sources.iter().filter_map(Value::as_map) {
        if target.is_nil() && !source.is_nil() {
            target = Map::new();
        }
        merge_maps(&target, source, overwrite, &mut Walk::new())?;
    }
    Ok(Value::Map(target))
}

/// Merges `source` into `target`. A map or list taken over is shared, not copied, as in Go.
fn merge_maps(target: &Map, source: &Map, overwrite: bool, walk: &mut Walk) -> Result<(), FunctionError> {
    walk.enter()?;
    if target.same(source) {
        walk.leave();
        return Ok(());
    }
    for (key, value) in source.entries() {
        if matches!(value, Value::Nil) {
            if overwrite {
                target.insert(key, value);
            }
            continue;
        }
        let old = target.get(&key);
        if let (Value::Map(from), Some(Value::Map(into))) = (&value, &old) {
            // Overwriting or not, two maps merge; only an empty one that stays empty is replaced.
            if !into.is_nil() {
                merge_maps(into, from, overwrite, walk)?;
            }
            if !into.is_empty() {
                continue;
            }
        }
        if overwrite || old.is_none_or(|old| is_empty(&old)) {
            let (into, from) = (target.map_type().elem, source.map_type().elem);
            if into != Elem::Any && into != from {
                let (from, into) = (from.name(), into.name());
                let message =
                    format!("reflect.Value.SetMapIndex: value of type {from} is not assignable to type {into}");
                return Err(message.into());
            }
            target.insert(key, value);
        }
    }
    walk.leave();
    Ok(())
}

pub(super) fn deep_copy(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [value] = args else { return Err(FunctionError::shape()) };
    if matches!(value, Value::Nil) {
        return Err("reflect: call of reflect.Value.Type on zero Value".into());
    }
    Ok(copied(value, &mut Walk::new())?)
}

fn copied(value: &Value, walk: &mut Walk) -> Result<Value, Oversized> {
    walk.enter()?;
    let copy = match value {
        Value::List(list) if !list.is_nil() => {
            let items: Result<Vec<Value>, Oversized> = list.borrow().iter().map(|item| copied(item, walk)).collect();
            Value::List(List::typed(list.list_type(), items?))
        }
        Value::Map(map) if !map.is_nil() => {
            let entries: Result<_, Oversized> =
                map.borrow().iter().map(|(key, value)| Ok((key.clone(), copied(value, walk)?))).collect();
            Value::Map(Map::typed(map.map_type(), entries?))
        }
        Value::Object(object) => object.deeply_copied().unwrap_or_else(|| value.clone()),
        other => other.clone(),
    };
    walk.leave();
    Ok(copy)
}

/// `dig "a" "b" default map`: any type that does not fit is a failed type assertion, in Go's words.
pub(super) fn dig(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [path @ .., default, map] = args else { return Err("dig needs at least three arguments".into()) };
    if path.is_empty() {
        return Err("dig needs at least three arguments".into());
    }
    let mut map = asserted_map(map)?;
    let keys: Result<Vec<&Str>, String> =
        path.iter().map(|key| key.as_string().ok_or_else(|| assertion(key, "string"))).collect();
    let keys = keys?;
    for (n, key) in keys.iter().enumerate() {
        let Some(step) = map.get(key) else { return Ok(default.clone()) };
        if n + 1 == keys.len() {
            return Ok(step);
        }
        map = asserted_map(&step)?;
    }
    Ok(default.clone())
}

fn asserted_map(value: &Value) -> Result<Map, String> {
    match value {
        Value::Map(map) if map.map_type().name == ANY_MAP.name => Ok(map.clone()),
        other => Err(assertion(other, ANY_MAP.name)),
    }
}

fn assertion(value: &Value, wanted: &str) -> String {
    let found = match value {
        Value::Nil => "nil",
        other => other.type_name(),
    };
    format!("interface conversion: interface {{}} is {found}, not {wanted}")
}
