//! Walks values along their schema: checks them, lists their fields, merges, compares and removes.
//!
//! The rules are those of structured merge and diff, v6: leaves, atomic lists and atomic maps are one field each; keyed lists and sets are
//! walked item by item. Knows no managers. Invariant: `compare(a, merge(a, b))` removes nothing.

use std::collections::BTreeMap;

use serde_json::{Map as Object, Value};

use super::set::{Literal, PathElement, Set};
use schema::{Items, List, Map, Scalar, Schema, Type, TypeId};

/// A value with the schema it follows.
#[derive(Clone, Copy)]
pub struct Shape<'a> {
    /// The types.
    pub schema: &'a Schema,
    /// The type of the value.
    pub of: TypeId,
}

/// What differs between two values; a field is in one set at most.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Only in the first.
    pub removed: Set,
    /// In both, with other values.
    pub modified: Set,
    /// Only in the second.
    pub added: Set,
}

/// Deepest nesting that is walked.
pub const DEPTH_MAX: usize = 128;

/// What a schema allows at one place, narrowed to one value.
enum Atom<'a> {
    Map(Option<&'a Map>),
    List(Option<&'a List>),
    Scalar(Option<Scalar>),
}

impl PartialEq for Atom<'_> {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl<'a> Shape<'a> {
    /// Narrows the type to what `value` is; where the value does not fit, the type stands and the walk finds the error.
    fn atom(self, value: Option<&Value>) -> Atom<'a> {
        match (self.schema.get(self.of), value) {
            (Type::Map(map), _) => Atom::Map(Some(map)),
            (Type::List(list), _) => Atom::List(Some(list)),
            (Type::Scalar(scalar), _) => Atom::Scalar(Some(*scalar)),
            (Type::Any, Some(Value::Array(_))) => Atom::List(None),
            (Type::Any, Some(Value::Bool(_) | Value::Number(_) | Value::String(_))) => Atom::Scalar(None),
            (Type::Any, Some(Value::Null | Value::Object(_)) | None) => Atom::Map(None),
        }
    }

    fn child(self, map: Option<&Map>, name: &str) -> Option<Shape<'a>> {
        let of = match map {
            Some(map) => map.type_of(name)?,
            None => self.of,
        };
        Some(Shape { of, ..self })
    }

    fn item(self, list: &List) -> Shape<'a> {
        Shape { of: list.item, ..self }
    }

    /// Lists what is wrong with `value`: fields the schema lacks, other types, list keys missing or (unless allowed) twice.
    pub fn validate(self, value: &Value, allow_duplicates: bool) -> Vec<String> {
        let mut errors = Vec::new();
        self.walk_validation(value, "", allow_duplicates, &mut errors, 0);
        errors
    }

    fn walk_validation(self, value: &Value, path: &str, twice: bool, errors: &mut Vec<String>, depth: usize) {
        if depth > DEPTH_MAX {
            errors.push(format!("{path}: nested too deeply"));
            return;
        }
        let at = |message: String| if path.is_empty() { message } else { format!("{path}: {message}") };
        match (self.atom(Some(value)), value) {
            (Atom::Map(_) | Atom::List(_) | Atom::Scalar(_), Value::Null) => {}
            (Atom::Map(map), Value::Object(object)) => {
                for (name, value) in object {
                    let path = format!("{path}.{name}");
                    match self.child(map, name) {
                        Some(shape) => shape.walk_validation(value, &path, twice, errors, depth + 1),
                        None => errors.push(format!("{path}: field not declared in schema")),
                    }
                }
            }
            (Atom::List(None), Value::Array(_)) => {}
            (Atom::List(Some(list)), Value::Array(items)) => {
                let mut seen: Vec<PathElement> = Vec::new();
                for (index, value) in items.iter().enumerate() {
                    let element = match element_of(list, value) {
                        Some(Ok(element)) => element,
                        Some(Err(error)) => {
                            errors.push(at(format!("element {index}: {error}")));
                            return;
                        }
                        None => PathElement::Index(index),
                    };
                    if !twice && list.items != Items::Atomic && seen.contains(&element) {
                        errors.push(at(format!("duplicate entries for key {element}")));
                    }
                    self.item(list).walk_validation(value, &format!("{path}{element}"), twice, errors, depth + 1);
                    seen.push(element);
                }
            }
            (Atom::Scalar(scalar), value) => {
                if let Some(error) = scalar_error(scalar, value) {
                    errors.push(at(error));
                }
            }
            (Atom::Map(_), value) => errors.push(at(format!("expected map, got {}", shown(value)))),
            (Atom::List(_), value) => errors.push(at(format!("expected list, got {}", shown(value)))),
        }
    }

    /// Lists the fields of `value`: leaves, list items, map keys, and empty objects.
    pub fn fields(self, value: &Value) -> Set {
        let mut set = Set::default();
        self.walk_fields(value, &mut Vec::new(), &mut set);
        set
    }

    fn walk_fields(self, value: &Value, path: &mut Vec<PathElement>, set: &mut Set) {
        if path.len() > DEPTH_MAX {
            return;
        }
        match self.atom(Some(value)) {
            Atom::Scalar(_) | Atom::List(None) => set.insert(path),
            Atom::Map(Some(map)) if map.atomic => set.insert(path),
            Atom::List(Some(list)) if list.items == Items::Atomic => set.insert(path),
            Atom::List(Some(list)) => self.walk_item_fields(list, value, path, set),
            Atom::Map(map) => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    let Some(shape) = self.child(map, name) else { continue };
                    path.push(PathElement::Field(name.clone()));
                    shape.walk_fields(value, path, set);
                    let empty = value.is_null() || value.as_object().is_some_and(Object::is_empty);
                    let declared = map.is_some_and(|map| map.fields.contains_key(name));
                    if empty || !declared {
                        set.insert(path);
                    }
                    path.pop();
                }
            }
        }
    }

    fn walk_item_fields(self, list: &List, value: &Value, path: &mut Vec<PathElement>, set: &mut Set) {
        let items = indexed(list, value);
        for (element, item) in &items {
            path.push(element.clone());
            let twice = items.iter().filter(|(other, _)| other == element).count() > 1;
            if !twice {
                self.item(list).walk_fields(item, path, set);
            }
            set.insert(path);
            path.pop();
        }
    }

    /// Merges `over` onto `base`: leaves of `over` win, nothing is removed, items keep the order of `over` where it names them.
    pub fn merge(self, base: Option<&Value>, over: Option<&Value>) -> Option<Value> {
        self.walk_merge(base, over, 0)
    }

    fn walk_merge(self, base: Option<&Value>, over: Option<&Value>, depth: usize) -> Option<Value> {
        let leaf = || over.or(base).cloned();
        let atom = if over.is_some() { self.atom(over) } else { self.atom(base) };
        if depth > DEPTH_MAX {
            return leaf();
        }
        match atom {
            Atom::Scalar(_) | Atom::List(None) => leaf(),
            Atom::Map(map) => {
                let (left, right) = (base.and_then(Value::as_object), over.and_then(Value::as_object));
                if map.is_some_and(|map| map.atomic) || (is_bare(left) && is_bare(right)) {
                    return leaf();
                }
                let mut merged = Object::new();
                let names = left.into_iter().chain(right).flat_map(Object::keys);
                for name in names {
                    if merged.contains_key(name) {
                        continue;
                    }
                    let (left, right) = (left.and_then(|left| left.get(name)), right.and_then(|right| right.get(name)));
                    let value = match self.child(map, name) {
                        Some(shape) => shape.walk_merge(left, right, depth + 1),
                        None => right.or(left).cloned(),
                    };
                    if let Some(value) = value {
                        merged.insert(name.clone(), value);
                    }
                }
                (!merged.is_empty()).then_some(Value::Object(merged))
            }
            Atom::List(Some(list)) => {
                let (left, right) = (base.and_then(Value::as_array), over.and_then(Value::as_array));
                let bare = left.is_none_or(Vec::is_empty) && right.is_none_or(Vec::is_empty);
                if list.items == Items::Atomic || bare {
                    return leaf();
                }
                self.merge_items(list, base, over, depth)
            }
        }
    }

    /// Merges two keyed lists. Items only in `base` stay before the shared item they stood before.
    fn merge_items(self, list: &List, base: Option<&Value>, over: Option<&Value>, depth: usize) -> Option<Value> {
        let left = base.map_or_else(Vec::new, |base| indexed(list, base));
        let right = over.map_or_else(Vec::new, |over| indexed(list, over));
        let find = |items: &[(PathElement, &Value)], element: &PathElement| -> Option<Value> {
            let mut found = items.iter().filter(|(other, _)| other == element);
            let first = found.next()?;
            // Items that occur twice are not merged with what is applied.
            if found.next().is_some() { Some(Value::Null) } else { Some(first.1.clone()) }
        };
        let mut shared = right.iter().map(|(element, _)| element).filter(|element| find(&left, element).is_some());
        let mut next_shared = shared.next();
        let mut merged = Vec::new();
        let mut done: Vec<&PathElement> = Vec::new();
        let (mut l, mut r) = (0, 0);
        let item = self.item(list);
        while l < left.len() || r < right.len() {
            if let (Some((ours, _)), Some((theirs, _))) = (left.get(l), right.get(r)) {
                if ours == theirs {
                    let base = find(&left, ours);
                    merged.extend(item.walk_merge(base.as_ref(), Some(right[r].1), depth + 1));
                    done.push(theirs);
                    (l, r) = (l + 1, r + 1);
                    next_shared = shared.next();
                    continue;
                }
                if find(&right, ours).is_some() && next_shared.is_some_and(|next| next != ours) {
                    l += 1;
                    continue;
                }
            }
            if let Some((ours, value)) = left.get(l) {
                if find(&right, ours).is_none() {
                    merged.extend(item.walk_merge(Some(value), None, depth + 1));
                    l += 1;
                    continue;
                }
                if done.contains(&ours) {
                    l += 1;
                }
            }
            if let Some((theirs, value)) = right.get(r) {
                let base = find(&left, theirs);
                merged.extend(item.walk_merge(base.as_ref(), Some(value), depth + 1));
                done.push(theirs);
                r += 1;
                if next_shared == Some(theirs) {
                    next_shared = shared.next();
                }
            }
        }
        (!merged.is_empty()).then_some(Value::Array(merged))
    }

    /// Compares two values field by field.
    pub fn compare(self, old: &Value, new: &Value) -> Comparison {
        let mut comparison = Comparison::default();
        self.walk_compare(Some(old), Some(new), &mut Vec::new(), &mut comparison);
        comparison
    }

    fn walk_compare(self, old: Option<&Value>, new: Option<&Value>, path: &mut Vec<PathElement>, out: &mut Comparison) {
        if path.len() > DEPTH_MAX {
            return;
        }
        let (left, right) = (self.atom(old), self.atom(new));
        let is_leaf = if new.is_none() {
            self.compare_as(&left, old, new, path, out)
        } else if old.is_none() || left == right {
            self.compare_as(&right, old, new, path, out)
        } else {
            self.compare_as(&left, old, new, path, out);
            self.compare_as(&right, old, new, path, out)
        };
        if !is_leaf {
            match (old, new) {
                (None, _) => out.added.insert(path),
                (_, None) => out.removed.insert(path),
                _ => {}
            }
        }
    }

    /// Compares under one reading of the type; says whether the place is a leaf.
    fn compare_as(
        self,
        atom: &Atom<'_>,
        old: Option<&Value>,
        new: Option<&Value>,
        path: &mut Vec<PathElement>,
        out: &mut Comparison,
    ) -> bool {
        let leaf = match atom {
            Atom::Scalar(_) | Atom::List(None) => true,
            Atom::Map(map) => {
                let bare = is_bare(old.and_then(Value::as_object)) && is_bare(new.and_then(Value::as_object));
                bare || map.is_some_and(|map| map.atomic)
            }
            Atom::List(Some(list)) => {
                let bare = |value: Option<&Value>| value.and_then(Value::as_array).is_none_or(Vec::is_empty);
                list.items == Items::Atomic || (bare(old) && bare(new))
            }
        };
        if leaf {
            match (old, new) {
                (None, _) => out.added.insert(path),
                (_, None) => out.removed.insert(path),
                (Some(old), Some(new)) if old != new => out.modified.insert(path),
                _ => {}
            }
            return true;
        }
        match atom {
            Atom::Map(map) => {
                let (left, right) = (old.and_then(Value::as_object), new.and_then(Value::as_object));
                let names: std::collections::BTreeSet<&String> =
                    left.into_iter().chain(right).flat_map(Object::keys).collect();
                for name in names {
                    let Some(shape) = self.child(*map, name) else { continue };
                    path.push(PathElement::Field(name.clone()));
                    let (left, right) = (left.and_then(|left| left.get(name)), right.and_then(|right| right.get(name)));
                    shape.walk_compare(left, right, path, out);
                    path.pop();
                }
            }
            Atom::List(Some(list)) => self.compare_items(list, old, new, path, out),
            Atom::List(None) | Atom::Scalar(_) => {}
        }
        false
    }

    fn compare_items(
        self,
        list: &List,
        old: Option<&Value>,
        new: Option<&Value>,
        path: &mut Vec<PathElement>,
        out: &mut Comparison,
    ) {
        let mut items: BTreeMap<PathElement, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
        for (element, value) in old.map_or_else(Vec::new, |old| indexed(list, old)) {
            items.entry(element).or_default().0.push(value);
        }
        for (element, value) in new.map_or_else(Vec::new, |new| indexed(list, new)) {
            items.entry(element).or_default().1.push(value);
        }
        let item = self.item(list);
        for (element, (left, right)) in items {
            path.push(element);
            match (left.as_slice(), right.as_slice()) {
                ([] | [_], [] | [_]) => item.walk_compare(left.first().copied(), right.first().copied(), path, out),
                ([_, _, ..], [_, _, ..]) => {
                    if left != right {
                        out.modified.insert(path);
                    }
                }
                ([_, _, ..], once) => {
                    if let Some(value) = once.first() {
                        item.walk_compare(None, Some(value), path, out);
                    }
                    out.removed.insert(path);
                }
                (once, _) => {
                    if let Some(value) = once.first() {
                        item.walk_compare(Some(value), None, path, out);
                    }
                    out.added.insert(path);
                }
            }
            path.pop();
        }
    }

    /// Removes the list items and map keys that `items` names. What is emptied by it becomes `null`; leaves at the root stay.
    pub fn remove(self, value: &Value, items: &Set) -> Value {
        match (self.atom(Some(value)), value) {
            (Atom::Scalar(_), value) => value.clone(),
            (Atom::List(Some(list)), Value::Array(_)) if list.items != Items::Atomic => {
                let mut kept = Vec::new();
                for (element, item) in indexed(list, value) {
                    if items.contains(&element) {
                        continue;
                    }
                    match items.below(&element) {
                        Some(below) => kept.push(self.item(list).remove(item, below)),
                        None => kept.push(item.clone()),
                    }
                }
                if kept.is_empty() { Value::Null } else { Value::Array(kept) }
            }
            (Atom::Map(map), Value::Object(object)) if !map.is_some_and(|map| map.atomic) => {
                let mut kept = Object::new();
                for (name, value) in object {
                    let element = PathElement::Field(name.clone());
                    if items.contains(&element) {
                        continue;
                    }
                    let value = match (items.below(&element), self.child(map, name)) {
                        (Some(below), Some(shape)) => shape.remove(value, below),
                        _ => value.clone(),
                    };
                    kept.insert(name.clone(), value);
                }
                if kept.is_empty() { Value::Null } else { Value::Object(kept) }
            }
            _ => Value::Null,
        }
    }
}

/// Returns how an item is told apart, or why it cannot be; `None` for an atomic list.
fn element_of(list: &List, item: &Value) -> Option<Result<PathElement, String>> {
    match &list.items {
        Items::Atomic => None,
        Items::Set => Some(match item {
            Value::Object(_) => Err("associative list without keys has an element that's a map type".to_owned()),
            Value::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
            Value::Null => Err("associative list without keys has an element that's an explicit null".to_owned()),
            leaf => Ok(PathElement::Value(Literal::of(leaf))),
        }),
        Items::Keyed(keys) => {
            let object = match item {
                Value::Object(object) => object,
                Value::Null => return Some(Err("associative list with keys may not have a null element".to_owned())),
                _ => return Some(Err("associative list with keys may not have non-map elements".to_owned())),
            };
            let mut fields: Vec<(String, Literal)> = keys
                .iter()
                .filter_map(|key| {
                    let value = object.get(&key.name).or(key.default.as_ref())?;
                    Some((key.name.clone(), Literal::of(value)))
                })
                .collect();
            if fields.is_empty() {
                let names: Vec<String> = keys.iter().map(|key| format!("{:?}", key.name)).collect();
                return Some(Err(format!(
                    "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
                    names.join(" ")
                )));
            }
            fields.sort();
            Some(Ok(PathElement::Key(fields)))
        }
    }
}

/// Lists the items that can be told apart, in order.
fn indexed<'v>(list: &List, value: &'v Value) -> Vec<(PathElement, &'v Value)> {
    let items = value.as_array().into_iter().flatten();
    items.filter_map(|item| Some((element_of(list, item)?.ok()?, item))).collect()
}

fn is_bare(object: Option<&Object<String, Value>>) -> bool {
    object.is_none_or(Object::is_empty)
}

fn scalar_error(scalar: Option<Scalar>, value: &Value) -> Option<String> {
    let fits = match scalar {
        Some(Scalar::Int | Scalar::Int32 | Scalar::Number) => value.is_number(),
        Some(Scalar::String | Scalar::Bytes) => value.is_string(),
        Some(Scalar::Bool) => value.is_boolean(),
        Some(Scalar::Time | Scalar::MicroTime | Scalar::Quantity | Scalar::IntOrString) | None => {
            !value.is_array() && !value.is_object()
        }
    };
    if fits {
        return None;
    }
    Some(match scalar {
        Some(Scalar::Int | Scalar::Int32 | Scalar::Number) => {
            format!("expected numeric (int or float), got {}", go_type(value))
        }
        Some(Scalar::String | Scalar::Bytes) => format!("expected string, got {}", go_value(value)),
        Some(Scalar::Bool) => format!("expected boolean, got {}", shown(value)),
        _ => format!("expected any scalar, got {}", shown(value)),
    })
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_i64() => "int64",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

fn go_value(value: &Value) -> String {
    match value {
        Value::Number(_) | Value::Bool(_) => format!("&value.valueUnstructured{{Value:{value}}}"),
        other => format!("&value.valueUnstructured{{Value:{}}}", go_type(other)),
    }
}

/// Writes a value as the server's merge errors do.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Object(_) | Value::Array(_) => format!("&{{{value}}}"),
        other => other.to_string(),
    }
}
