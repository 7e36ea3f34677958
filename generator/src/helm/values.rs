//! Values: layers merged, defaults of charts and subcharts coalesced under them, globals handed down.
//!
//! Works on template values, whose maps are shared and mutable as Go's are: where Helm lets two charts see one map, so do we. What a null
//! does depends on where it stands. Source: Helm v4.2.3 `pkg/chart/common/util/coalesce.go`, `pkg/chart/v2/loader/load.go`
//! (`MergeMaps`), `pkg/chart/common/values.go`.

use serde_json::Value as Json;

use super::frozen::Frozen;
use super::tree::Node;
use crate::value::{Elem, Map, MapType, Method, Str, Type, Value};

/// Key of the values that every chart of a tree sees.
pub(super) const GLOBAL: &str = "global";

/// The type of `.Values`, and of the dot itself.
pub(super) static VALUES: MapType = MapType {
    name: "common.Values",
    elem: Elem::Any,
    methods: &[
        Method::new("AsMap", &[], |values, _| Ok(as_map(values))),
        Method::new("YAML", &[], yaml),
        Method::new("Table", &[Type::String], table_method),
        Method::new("PathValue", &[Type::String], path_value_method),
    ],
};

fn as_map(values: &Value) -> Value {
    match values {
        Value::Map(map) if !map.is_empty() => Value::Map(map.retyped(&crate::value::ANY_MAP)),
        _ => Value::Map(Map::new()),
    }
}

fn yaml(values: &Value, _: &[Value]) -> Result<Value, String> {
    crate::sprig::yaml::marshal(values).map(Value::from).map_err(|error| error.to_string())
}

fn table_method(values: &Value, args: &[Value]) -> Result<Value, String> {
    let path = text_argument(args);
    let map = values.as_map().cloned().unwrap_or_default();
    match table(&map, &path) {
        Ok(table) => Ok(Value::Map(table.retyped(&VALUES))),
        Err(part) => Err(format!("\"{part}\" is not a table")),
    }
}

fn path_value_method(values: &Value, args: &[Value]) -> Result<Value, String> {
    let path = text_argument(args);
    if path.is_empty() {
        return Err("YAML path cannot be empty".to_owned());
    }
    let map = values.as_map().cloned().unwrap_or_default();
    let last = path.rsplit('.').next().unwrap_or(&path);
    path_value(&map, &path).ok_or_else(|| format!("\"{last}\" is not a value"))
}

fn text_argument(args: &[Value]) -> String {
    args.first().and_then(Value::as_string).map(|text| text.to_str_lossy().into_owned()).unwrap_or_default()
}

/// Returns the table at a dotted path.
///
/// # Errors
/// The part of the path that is no table.
pub(super) fn table(values: &Map, path: &str) -> Result<Map, String> {
    let mut table = values.clone();
    for part in path.split('.') {
        table = match table.get(part) {
            Some(Value::Map(map)) if is_table_type(&map) => map,
            _ => return Err(part.to_owned()),
        };
    }
    Ok(table)
}

/// Returns the value at a dotted path, unless it is a table or not there.
pub(super) fn path_value(values: &Map, path: &str) -> Option<Value> {
    let found = match path.rsplit_once('.') {
        Some((tables, key)) => table(values, tables).ok()?.get(key),
        None => values.get(path),
    };
    found.filter(|value| !is_table(value))
}

fn is_table_type(map: &Map) -> bool {
    let name = map.map_type().name;
    name == crate::value::ANY_MAP.name || name == VALUES.name
}

/// Reports whether a value is a `map[string]interface {}`.
fn is_table(value: &Value) -> bool {
    matches!(value, Value::Map(map) if map.map_type().name == crate::value::ANY_MAP.name)
}

/// Returns the template value of a document: integers stay integers here, unlike in [`crate::value::from_json`].
pub(super) fn from_json(json: &Json) -> Value {
    match json {
        Json::Number(n) if !n.is_f64() => match n.as_i64() {
            Some(n) => Value::Int64(n),
            None => Value::Float(n.as_f64().unwrap_or(f64::NAN)),
        },
        Json::Array(items) => Value::list(items.iter().map(from_json).collect()),
        Json::Object(_) => Value::Map(map_from_json(json, from_json)),
        other => crate::value::from_json(other),
    }
}

/// Returns the map of a document of values, in which every number is a float; of anything but an object an empty one.
pub(super) fn map_of_layer(json: &Json) -> Map {
    map_from_json(json, crate::value::from_json)
}

fn map_from_json(json: &Json, convert: fn(&Json) -> Value) -> Map {
    json.as_object().into_iter().flatten().map(|(key, value)| (Str::from(key), convert(value))).collect()
}

/// Merges `over` into `base`: maps merge, everything else replaces, and a null is a value.
pub(super) fn merge_maps(base: &Map, over: &Map) {
    for (key, value) in over.entries() {
        if let (Value::Map(over), Some(Value::Map(base))) = (&value, base.get(&key)) {
            merge_maps(&base, over);
        } else {
            base.insert(key, value);
        }
    }
}

/// What coalescing does with nulls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nulls {
    /// A null deletes what it stands over (`CoalesceValues`).
    Delete,
    /// A null is kept for a later round (`MergeValues`).
    Keep,
}

/// Why values cannot be brought together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Misfit {
    /// A subchart's values are no table.
    NotATable {
        /// Name of the subchart, with the charts above it.
        path: String,
        /// Name of the subchart.
        name: String,
        /// What stands there, as Go prints it.
        found: String,
    },
    /// What `import-values` takes from a subchart comes to hold itself.
    Endless {
        /// Name of the subchart.
        subchart: String,
        /// The path it takes from.
        child: String,
        /// The path it puts to.
        parent: String,
    },
}

/// Puts the defaults of a chart and its subcharts under `values`, in place.
///
/// # Errors
/// Where the values of a subchart are no table.
pub(super) fn coalesce(chart: &Node<'_>, values: &Map, nulls: Nulls) -> Result<(), Misfit> {
    coalesce_chart(chart, values, "", nulls)
}

fn coalesce_chart(chart: &Node<'_>, values: &Map, prefix: &str, nulls: Nulls) -> Result<(), Misfit> {
    coalesce_defaults(chart, values, nulls);
    let path = if prefix.is_empty() { chart.name().to_owned() } else { format!("{prefix}.{}", chart.name()) };
    for subchart in chart.dependencies() {
        let name = subchart.name();
        let below = match values.get(name) {
            None => {
                let empty = Map::new();
                values.insert(name, Value::Map(empty.clone()));
                empty
            }
            Some(Value::Map(map)) if is_table_type(&map) => map,
            Some(other) => {
                let found = crate::gotemplate::print::sprintf("%t", &[other]).map(|t| t.to_str_lossy().into_owned());
                return Err(Misfit::NotATable { path, name: name.to_owned(), found: found.unwrap_or_default() });
            }
        };
        coalesce_globals(&below, values);
        coalesce_chart(subchart, &below, &path, nulls)?;
    }
    Ok(())
}

/// Hands the globals of a chart down to a subchart: the chart's own win.
fn coalesce_globals(below: &Map, above: &Map) {
    let table_at = |values: &Map| match values.get(GLOBAL) {
        None => Some(Map::new()),
        Some(Value::Map(map)) if is_table_type(&map) => Some(map),
        Some(_) => None,
    };
    let (Some(into), Some(from)) = (table_at(below), table_at(above)) else { return };
    for (key, value) in from.entries() {
        match (&value, into.get(&key)) {
            (Value::Map(table), old) if is_table(&value) => {
                let copy: Map = table.entries().into_iter().collect();
                match old {
                    None => into.insert(key, Value::Map(copy)),
                    Some(Value::Map(old)) if is_table_type(&old) => {
                        coalesce_tables(&copy, &old, Nulls::Keep);
                        into.insert(key, Value::Map(copy));
                    }
                    Some(_) => {}
                }
            }
            (_, Some(old)) if is_table(&old) => {}
            _ => into.insert(key, value),
        }
    }
    below.insert(GLOBAL, Value::Map(into));
}

/// Puts a chart's own defaults under `values`.
fn coalesce_defaults(chart: &Node<'_>, values: &Map, nulls: Nulls) {
    // Nulls meant for a subchart are kept for the subchart's own round.
    let below = |key: &Str| {
        let is_subchart = chart.dependencies().iter().any(|subchart| *key == *subchart.name());
        if is_subchart { Nulls::Keep } else { nulls }
    };
    let Some(imported) = chart.imported() else {
        for (key, default) in chart.package.values.entries() {
            match values.get(key) {
                Some(Value::Nil) if nulls == Nulls::Delete => drop(values.remove(key)),
                Some(Value::Map(over)) if is_table_type(&over) => {
                    coalesce_frozen(&over, default.entries(), below(key));
                }
                Some(_) => {}
                None if default.deletes(nulls) => {}
                None => values.insert(key.clone(), default.thaw(nulls)),
            }
        }
        return;
    };
    for (key, default) in super::tree::copied(imported).entries() {
        match values.get(&key) {
            Some(Value::Nil) if nulls == Nulls::Delete => drop(values.remove(&key)),
            Some(Value::Map(over)) if is_table_type(&over) => {
                let Value::Map(default) = default else { continue };
                let nulls = below(&key);
                if nulls == Nulls::Delete {
                    remove_nulls(&default);
                }
                coalesce_tables(&over, &default, nulls);
            }
            Some(_) => {}
            None => {
                if nulls == Nulls::Delete {
                    match &default {
                        Value::Nil => continue,
                        Value::Map(map) => remove_nulls(map),
                        _ => {}
                    }
                }
                values.insert(key, default);
            }
        }
    }
}

/// Puts entries below those of `over`, in place: what [`coalesce_tables`] does with a copy of them, its nulls removed where they delete.
fn coalesce_frozen(over: &Map, under: &[(Str, Frozen)], nulls: Nulls) {
    for (key, value) in under.iter().filter(|(_, value)| !value.deletes(nulls)) {
        match (over.get(key), value) {
            // The user's null removes a default, and stays where there is none.
            (Some(Value::Nil), _) if nulls == Nulls::Delete => drop(over.remove(key)),
            (None, value) => over.insert(key.clone(), value.thaw(nulls)),
            (Some(Value::Map(over)), Frozen::Map(under)) => coalesce_frozen(&over, under, nulls),
            (Some(_), _) => {}
        }
    }
}

/// Puts the entries of `under` below those of `over`, in place. `under` may be changed.
pub(super) fn coalesce_tables(over: &Map, under: &Map, nulls: Nulls) {
    let had_value: Vec<Str> =
        under.borrow().iter().filter(|(_, value)| !matches!(value, Value::Nil)).map(|(key, _)| key.clone()).collect();
    let overridden: Vec<Str> =
        over.borrow().iter().filter(|(_, value)| matches!(value, Value::Nil)).map(|(key, _)| key.clone()).collect();
    for key in overridden {
        under.insert(key, Value::Nil);
    }
    for (key, value) in under.entries() {
        match (over.get(&key), &value) {
            // The user's null removes a default, and stays where there is none.
            (Some(Value::Nil), _) if nulls == Nulls::Delete && had_value.binary_search(&key).is_ok() => {
                over.remove(&key);
            }
            (None, _) => over.insert(key, value),
            (Some(Value::Map(over)), Value::Map(under)) => coalesce_tables(&over, under, nulls),
            (Some(_), _) => {}
        }
    }
}

/// Removes null entries, in place and all the way down.
pub(super) fn remove_nulls(map: &Map) {
    for (key, value) in map.entries() {
        match value {
            Value::Nil => drop(map.remove(&key)),
            Value::Map(map) => remove_nulls(&map),
            _ => {}
        }
    }
}
