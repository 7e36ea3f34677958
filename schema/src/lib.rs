//! The shape of Kubernetes objects: which kinds there are, which fields they have, and what may stand in them.
//!
//! One home for these facts: the generator holds what it renders to them, the sandbox stores by them. Built-in kinds come from
//! recorded data, by version of Kubernetes ([`table`]); a custom kind is read from its definition ([`custom`]). [`check`] says what
//! is wrong with an object. Knows no request, no default that needs thought, no cluster and no file. Invariant: a [`TypeId`] is only
//! valid in the [`Schema`] that gave it, and every id a schema holds resolves in it.

use std::collections::BTreeMap;

use serde_json::Value;

mod notation;

pub mod table;

pub mod rules;

pub mod lifecycle;

mod custom;

pub mod check;

pub use custom::custom;
pub use rules::Rules;
pub use table::{Minor, NEWEST, OLDEST};

/// A set of types that refer to each other.
#[derive(Debug, Default, Clone)]
pub struct Schema {
    types: Vec<Type>,
    names: BTreeMap<String, TypeId>,
    /// What is asked of values beyond their type.
    rules: BTreeMap<TypeId, Rules>,
}

/// The type of one kind of objects, with all it refers to.
#[derive(Debug, Clone)]
pub struct Shape {
    /// The types.
    pub schema: Schema,
    /// That of the object.
    pub root: TypeId,
}

/// A type in one [`Schema`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TypeId(u32);

/// What a value may be.
#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    /// A leaf.
    Scalar(Scalar),
    /// A list.
    List(List),
    /// An object: named fields, any number of further keys of one type, or both.
    Map(Map),
    /// Anything; owned leaf by leaf where it is an object, as a whole where it is a list.
    Any,
}

/// The kinds of leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    /// Text.
    String,
    /// A whole number.
    Int,
    /// A whole number of 32 bits.
    Int32,
    /// Any number.
    Number,
    /// `true` or `false`.
    Bool,
    /// Base64.
    Bytes,
    /// RFC 3339, whole seconds.
    Time,
    /// RFC 3339, microseconds.
    MicroTime,
    /// A number with a unit, as text or number.
    Quantity,
    /// A whole number or text.
    IntOrString,
}

/// A list and how its items are told apart.
#[derive(Debug, Clone, PartialEq)]
pub struct List {
    /// Type of the items.
    pub item: TypeId,
    /// How items are told apart.
    pub items: Items,
}

/// How the items of a list are told apart.
#[derive(Debug, Clone, PartialEq)]
pub enum Items {
    /// Not at all: the list is one value.
    Atomic,
    /// By their value.
    Set,
    /// By these fields of theirs, in this order.
    Keyed(Vec<Key>),
}

/// A field that tells list items apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// Name of the field.
    pub name: String,
    /// What a missing field counts as.
    pub default: Option<Value>,
}

/// An object type.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Map {
    /// The declared fields.
    pub fields: BTreeMap<String, Field>,
    /// Type of all other keys; `None` where there are none.
    pub values: Option<TypeId>,
    /// Owned and replaced as one value.
    pub atomic: bool,
}

/// A declared field.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its type.
    pub of: TypeId,
    /// Whether the API asks for it.
    pub required: bool,
    /// What the server does with its zero value.
    pub zero: Zero,
    /// What a missing field counts as.
    pub default: Option<Value>,
    /// How a strategic merge patch treats it.
    pub patch: PatchStrategy,
}

/// What the server writes for the zero value (`""`, `0`, `false`, `{}`) of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zero {
    /// What was sent.
    Kept,
    /// Nothing.
    Dropped,
    /// The zero value, even where nothing was sent.
    Written,
}

/// How a strategic merge patch treats a field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PatchStrategy {
    /// List items are merged, not replaced; the key that tells objects apart (primitives: none).
    pub merge: Option<Option<String>>,
    /// Only the keys that the patch lists are kept.
    pub retain: bool,
}

impl Schema {
    /// Returns the type of this name, such as `apps.v1.Deployment`.
    pub fn named(&self, name: &str) -> Option<TypeId> {
        self.names.get(name).copied()
    }

    /// Returns the type behind an id of this schema.
    pub fn get(&self, id: TypeId) -> &Type {
        &self.types[id.0 as usize]
    }

    /// Returns what is asked of values of this type beyond the type itself.
    pub fn rules(&self, id: TypeId) -> Option<&Rules> {
        self.rules.get(&id)
    }

    /// Returns the name of a type that has one.
    pub fn name_of(&self, id: TypeId) -> Option<&str> {
        self.names.iter().find(|(_, named)| **named == id).map(|(name, _)| name.as_str())
    }

    fn add(&mut self, of: Type) -> TypeId {
        let id = TypeId(u32::try_from(self.types.len()).expect("bounded by the size of a definition"));
        self.types.push(of);
        id
    }

    /// Copies the type `id` of `from`, and all it refers to, into this schema.
    fn import(&mut self, from: &Schema, id: TypeId, known: &mut BTreeMap<TypeId, TypeId>) -> TypeId {
        if let Some(id) = known.get(&id) {
            return *id;
        }
        let slot = self.add(Type::Any);
        known.insert(id, slot);
        let copy = match from.get(id).clone() {
            Type::List(mut list) => {
                list.item = self.import(from, list.item, known);
                Type::List(list)
            }
            Type::Map(mut map) => {
                for field in map.fields.values_mut() {
                    field.of = self.import(from, field.of, known);
                }
                map.values = map.values.map(|id| self.import(from, id, known));
                Type::Map(map)
            }
            leaf @ (Type::Scalar(_) | Type::Any) => leaf,
        };
        self.types[slot.0 as usize] = copy;
        if let Some(rules) = from.rules.get(&id) {
            self.rules.insert(slot, rules.clone());
        }
        slot
    }
}

impl Map {
    /// Returns the type of the key `name`, declared or not.
    pub fn type_of(&self, name: &str) -> Option<TypeId> {
        self.fields.get(name).map(|field| field.of).or(self.values)
    }
}

impl Field {
    fn plain(of: TypeId) -> Field {
        Field { of, required: false, zero: Zero::Kept, default: None, patch: PatchStrategy::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn container_ports_are_keyed_by_port_and_protocol_with_its_default() {
        let schema = table::all(Minor(35));
        let container = schema.named("core.v1.Container").expect("listed");
        let Type::Map(container) = schema.get(container) else { panic!("an object") };
        let Type::List(ports) = schema.get(container.fields["ports"].of) else { panic!("a list") };
        let Items::Keyed(keys) = &ports.items else { panic!("keyed") };
        assert_eq!(keys[0], Key { name: "containerPort".into(), default: None });
        assert_eq!(keys[1], Key { name: "protocol".into(), default: Some("TCP".into()) });
    }

    #[test]
    fn selectors_are_atomic_where_the_type_says_so() {
        let schema = table::all(Minor(35));
        let Type::Map(selector) = schema.get(schema.named("meta.v1.LabelSelector").expect("listed")) else { panic!() };
        assert!(selector.atomic);
    }
}
