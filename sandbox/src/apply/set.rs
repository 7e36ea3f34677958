//! Sets of fields: which fields of an object someone owns.
//!
//! A set is a tree of path elements, so `spec.replicas` and `spec.template` share `spec`. Written and read in the `FieldsV1` form of
//! `metadata.managedFields`. Knows no values and no managers. Invariant: a child set is never empty.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map as Object, Value};

use schema::{Schema, Type, TypeId};

/// One step from an object, or a list, to what is in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathElement {
    /// The field of this name.
    Field(String),
    /// The list item whose fields have these values; sorted by field name.
    Key(Vec<(String, Literal)>),
    /// The item of a set that has this value.
    Value(Literal),
    /// The item at this position, from 0.
    Index(usize),
}

/// A leaf value that tells list items apart, ordered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Literal {
    /// A whole number.
    Int(i64),
    /// Any other number, as JSON.
    Number(String),
    /// Text.
    String(String),
    /// `true` or `false`.
    Bool(bool),
    /// `null`, or something that is no leaf.
    Null,
}

/// A set of fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Set {
    members: BTreeSet<PathElement>,
    children: BTreeMap<PathElement, Set>,
}

/// Why a text is no `FieldsV1` set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A key of the set has no known prefix.
    #[error("{0:?} is no path element")]
    Element(String),
    /// The set is not an object of objects.
    #[error("a field set must be an object")]
    Shape,
    /// Nested deeper than [`DEPTH_MAX`].
    #[error("a field set is nested too deeply")]
    Depth,
}

/// Deepest nesting of a set that is read.
pub const DEPTH_MAX: usize = 128;

impl Literal {
    /// Returns the leaf `value`; [`Literal::Null`] for anything else.
    pub fn of(value: &Value) -> Literal {
        match value {
            Value::Number(number) => number.as_i64().map_or_else(|| Literal::Number(number.to_string()), Literal::Int),
            Value::String(text) => Literal::String(text.clone()),
            Value::Bool(value) => Literal::Bool(*value),
            Value::Null | Value::Array(_) | Value::Object(_) => Literal::Null,
        }
    }

    fn json(&self) -> Value {
        match self {
            Literal::Int(number) => Value::from(*number),
            Literal::Number(text) => serde_json::from_str(text).unwrap_or(Value::Null),
            Literal::String(text) => Value::from(text.as_str()),
            Literal::Bool(value) => Value::from(*value),
            Literal::Null => Value::Null,
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.json())
    }
}

impl fmt::Display for PathElement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathElement::Field(name) => write!(formatter, ".{name}"),
            PathElement::Key(fields) => {
                let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
                write!(formatter, "[{}]", fields.join(","))
            }
            PathElement::Value(value) => write!(formatter, "[={value}]"),
            PathElement::Index(index) => write!(formatter, "[{index}]"),
        }
    }
}

/// Writes a path as the server does in conflicts: `.spec.containers[name="app"].image`.
pub fn path_text(path: &[PathElement]) -> String {
    path.iter().map(ToString::to_string).collect()
}

impl PathElement {
    fn serialize(&self) -> String {
        match self {
            PathElement::Field(name) => format!("f:{name}"),
            PathElement::Key(fields) => {
                let object: Object<String, Value> =
                    fields.iter().map(|(name, value)| (name.clone(), value.json())).collect();
                format!("k:{}", Value::Object(object))
            }
            PathElement::Value(value) => format!("v:{value}"),
            PathElement::Index(index) => format!("i:{index}"),
        }
    }

    fn parse(text: &str) -> Result<PathElement, ParseError> {
        let error = || ParseError::Element(text.to_owned());
        let (kind, rest) = text.split_once(':').ok_or_else(error)?;
        match kind {
            "f" => Ok(PathElement::Field(rest.to_owned())),
            "v" => Ok(PathElement::Value(Literal::of(&serde_json::from_str(rest).map_err(|_| error())?))),
            "k" => {
                let Value::Object(object) = serde_json::from_str(rest).map_err(|_| error())? else {
                    return Err(error());
                };
                Ok(PathElement::Key(object.iter().map(|(name, value)| (name.clone(), Literal::of(value))).collect()))
            }
            "i" => Ok(PathElement::Index(rest.parse().map_err(|_| error())?)),
            _ => Err(error()),
        }
    }
}

impl Set {
    /// Whether no field is in the set.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.is_empty()
    }

    /// Whether exactly this path is in the set; the empty path never is.
    pub fn has(&self, path: &[PathElement]) -> bool {
        match path {
            [] => false,
            [last] => self.members.contains(last),
            [first, rest @ ..] => self.children.get(first).is_some_and(|set| set.has(rest)),
        }
    }

    /// Adds a path; the empty path is ignored, for nobody owns a whole object.
    pub fn insert(&mut self, path: &[PathElement]) {
        match path {
            [] => {}
            [last] => {
                self.members.insert(last.clone());
            }
            [first, rest @ ..] => self.children.entry(first.clone()).or_default().insert(rest),
        }
    }

    /// Returns what is below `element`, without it; `None` where nothing is.
    pub fn below(&self, element: &PathElement) -> Option<&Set> {
        self.children.get(element)
    }

    /// Whether `element` itself is a member.
    pub fn contains(&self, element: &PathElement) -> bool {
        self.members.contains(element)
    }

    /// Returns the fields in either set.
    pub fn union(&self, other: &Set) -> Set {
        let mut union = self.clone();
        union.members.extend(other.members.iter().cloned());
        for (element, child) in &other.children {
            let merged = union.children.get(element).map_or_else(|| child.clone(), |ours| ours.union(child));
            union.children.insert(element.clone(), merged);
        }
        union
    }

    /// Returns the fields in both sets.
    pub fn intersection(&self, other: &Set) -> Set {
        let members = self.members.intersection(&other.members).cloned().collect();
        let children = self.children.iter().filter_map(|(element, child)| {
            let both = child.intersection(other.children.get(element)?);
            (!both.is_empty()).then(|| (element.clone(), both))
        });
        Set { members, children: children.collect() }
    }

    /// Returns the fields that are not in `other`; a field below a member of `other` stays.
    pub fn difference(&self, other: &Set) -> Set {
        let members = self.members.difference(&other.members).cloned().collect();
        let children = self.children.iter().filter_map(|(element, child)| {
            let rest = other.children.get(element).map_or_else(|| child.clone(), |theirs| child.difference(theirs));
            (!rest.is_empty()).then(|| (element.clone(), rest))
        });
        Set { members, children: children.collect() }
    }

    /// Returns the fields that are neither in `other` nor below a member of it.
    pub fn recursive_difference(&self, other: &Set) -> Set {
        let members = self.members.difference(&other.members).cloned().collect();
        let children = self.children.iter().filter(|(element, _)| !other.members.contains(element));
        let children = children.filter_map(|(element, child)| {
            let rest =
                other.children.get(element).map_or_else(|| child.clone(), |theirs| child.recursive_difference(theirs));
            (!rest.is_empty()).then(|| (element.clone(), rest))
        });
        Set { members, children: children.collect() }
    }

    /// Returns the set with every declared field that something is owned below of as a member too: owning `spec.replicas` then means
    /// owning `spec`, which is declared, but owning `metadata.labels.a` never means owning a whole list item or map key.
    pub fn with_declared_parents(&self, schema: &Schema, of: Option<TypeId>) -> Set {
        let of = of.map(|of| schema.get(of));
        let mut members = self.members.clone();
        let mut children = BTreeMap::new();
        for (element, child) in &self.children {
            let inner = match (element, of) {
                (PathElement::Field(name), Some(Type::Map(map))) => {
                    if map.fields.contains_key(name) {
                        members.insert(element.clone());
                    }
                    map.type_of(name)
                }
                (PathElement::Key(_), Some(Type::List(list))) => Some(list.item),
                _ => None,
            };
            children.insert(element.clone(), child.with_declared_parents(schema, inner));
        }
        Set { members, children }
    }

    /// Lists every member, those of one level before those below it.
    pub fn paths(&self) -> Vec<Vec<PathElement>> {
        let mut paths = Vec::new();
        self.collect(&mut Vec::new(), &mut paths);
        paths
    }

    fn collect(&self, prefix: &mut Vec<PathElement>, paths: &mut Vec<Vec<PathElement>>) {
        for element in &self.members {
            let mut path = prefix.clone();
            path.push(element.clone());
            paths.push(path);
        }
        for (element, child) in &self.children {
            prefix.push(element.clone());
            child.collect(prefix, paths);
            prefix.pop();
        }
    }

    /// Writes the set as `FieldsV1`.
    pub fn to_json(&self) -> Value {
        let mut object = Object::new();
        for element in &self.members {
            if !self.children.contains_key(element) {
                object.insert(element.serialize(), Value::Object(Object::new()));
            }
        }
        for (element, child) in &self.children {
            let mut inner = child.to_json();
            if let (true, Value::Object(inner)) = (self.members.contains(element), &mut inner) {
                inner.insert(".".to_owned(), Value::Object(Object::new()));
            }
            object.insert(element.serialize(), inner);
        }
        Value::Object(object)
    }

    /// Reads a set from `FieldsV1`.
    pub fn from_json(value: &Value) -> Result<Set, ParseError> {
        read(value, 0).map(|(set, _)| set)
    }
}

/// Reads one level; the flag says whether it names itself as a member (`.`), or is empty and thereby one.
fn read(value: &Value, depth: usize) -> Result<(Set, bool), ParseError> {
    if depth > DEPTH_MAX {
        return Err(ParseError::Depth);
    }
    let Value::Object(object) = value else { return Err(ParseError::Shape) };
    let mut set = Set::default();
    let mut is_member = object.is_empty();
    for (text, inner) in object {
        if text == "." {
            is_member = true;
            continue;
        }
        let element = PathElement::parse(text)?;
        let (child, member) = read(inner, depth + 1)?;
        if member {
            set.members.insert(element.clone());
        }
        if !child.is_empty() {
            set.children.insert(element, child);
        }
    }
    Ok((set, is_member))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_v1_reads_back_as_written() {
        let fields = json!({"f:metadata": {"f:finalizers": {".": {}, "v:\"a/b\"": {}}}, "f:spec": {"f:ports": {
            ".": {}, "k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}}}});
        let set = Set::from_json(&fields).expect("a set");
        assert_eq!(set.to_json(), fields);
        let texts: Vec<String> = set.paths().iter().map(|path| path_text(path)).collect();
        assert_eq!(
            texts,
            [
                ".metadata.finalizers",
                ".metadata.finalizers[=\"a/b\"]",
                ".spec.ports",
                ".spec.ports[port=80,protocol=\"TCP\"]",
                ".spec.ports[port=80,protocol=\"TCP\"].port"
            ]
        );
    }

    #[test]
    fn difference_keeps_children_and_recursive_difference_does_not() {
        let all = Set::from_json(&json!({"f:a": {".": {}, "f:b": {}}})).expect("a set");
        let parent = Set::from_json(&json!({"f:a": {}})).expect("a set");
        assert_eq!(all.difference(&parent).to_json(), json!({"f:a": {"f:b": {}}}));
        assert!(all.recursive_difference(&parent).is_empty());
        assert_eq!(all.difference(&all), Set::default());
        assert_eq!(parent.union(&all.difference(&parent)), all);
    }
}
