//! The values templates compute with: a model of the Go types that reach a Helm template.
//!
//! Equality with Helm is decided by Go's dynamic types (`int` is not `float64`, `common.Values` is not
//! `map[string]interface {}`, a nil list prints `[]` but marshals to `null`), so every value knows its Go type.
//! Knows nothing of templates, functions, charts or YAML text.
//! Invariant: cloning is cheap (a counter or a copy), lists and maps are shared mutable trees, maps iterate in byte
//! order of their keys, and dropping a value never recurses deeper than a few levels, however deep it is nested.
//! Every walk over a value is bounded by [`MAX_DEPTH`] and [`MAX_VISITS`], because `set $d "self" $d` makes a cycle.

mod cycle;
mod entries;
mod equal;
mod json;
mod list;
mod map;
mod object;
mod text;
mod types;

pub(crate) use cycle::knot;
pub use entries::Entries;
pub use equal::deep_equal;
pub use json::{ToJsonError, from_json};
pub use list::List;
pub use map::Map;
pub use object::{Method, Object};
pub use text::{Str, Text};
pub(crate) use text::{first_rune, runes};
pub use types::{
    ANY_LIST, ANY_MAP, BYTES_MAP, Elem, FLOAT_LIST, INT_LIST, Kind, LIST_LIST, ListType, MAP_LIST, MapType,
    STRING_LIST, STRING_MAP, Type,
};

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

/// The deepest nesting any walk over a value follows before it reports [`Oversized`].
pub const MAX_DEPTH: usize = 512;

/// The most values any walk visits before it reports [`Oversized`]: shared lists can unfold exponentially.
pub const MAX_VISITS: usize = 1 << 23;

/// A value contains itself, or is too deep or too large to be walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "value contains itself, is nested more than {MAX_DEPTH} levels deep, or unfolds to more than {MAX_VISITS} values"
)]
pub struct Oversized;

/// What is left of the two bounds during one walk.
#[derive(Debug)]
pub(crate) struct Walk {
    visits: usize,
    depth: usize,
}

impl Walk {
    pub(crate) fn new() -> Walk {
        Walk { visits: MAX_VISITS, depth: MAX_DEPTH }
    }

    /// Enters one value; [`Walk::leave`] it afterwards.
    pub(crate) fn enter(&mut self) -> Result<(), Oversized> {
        self.visits = self.visits.checked_sub(1).ok_or(Oversized)?;
        self.depth = self.depth.checked_sub(1).ok_or(Oversized)?;
        Ok(())
    }

    pub(crate) fn leave(&mut self) {
        self.depth += 1;
    }
}

/// One dynamic Go value.
///
/// `Int` is Go's `int`, the type of integer constants, `len` and loop counters; numbers from YAML or JSON are
/// `Float`. Sizes of integers other than `int` and `int64` are rare and live in [`Value::Sized`].
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// Untyped nil: a missing key, `nil`, YAML `null`.
    #[default]
    Nil,
    /// `bool`.
    Bool(bool),
    /// `int`.
    Int(i64),
    /// `int64`, what Sprig's arithmetic returns.
    Int64(i64),
    /// Any other integer size.
    Sized(SizedInt),
    /// `float64`, every number of a YAML or JSON document.
    Float(f64),
    /// `complex128`, only ever a literal such as `1i`.
    Complex(f64, f64),
    /// `time.Duration` in nanoseconds; its kind is `int64`.
    Duration(i64),
    /// `string`: bytes, usually but not always UTF-8.
    String(Str),
    /// `[]uint8`.
    Bytes(Arc<[u8]>),
    /// A slice of anything but bytes.
    List(List),
    /// A map with string keys.
    Map(Map),
    /// A value of the host with its own fields and methods: a struct, or a pointer to one.
    Object(Rc<dyn Object>),
}

/// An integer of one of Go's rarer sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is the Go type of its name")]
pub enum SizedInt {
    Int8(i8),
    Int16(i16),
    Int32(i32),
    Uint(u64),
    Uint8(u8),
    Uint16(u16),
    Uint32(u32),
    Uint64(u64),
}

/// An integer of any Go type, widened: what arithmetic and comparison need to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Integer {
    /// One of `int`, `int8` .. `int64`, `time.Duration`.
    Signed(i64),
    /// One of `uint`, `uint8` .. `uint64`.
    Unsigned(u64),
}

impl SizedInt {
    /// Returns the number widened to 64 bits.
    pub fn widen(self) -> Integer {
        match self {
            SizedInt::Int8(n) => Integer::Signed(n.into()),
            SizedInt::Int16(n) => Integer::Signed(n.into()),
            SizedInt::Int32(n) => Integer::Signed(n.into()),
            SizedInt::Uint(n) | SizedInt::Uint64(n) => Integer::Unsigned(n),
            SizedInt::Uint8(n) => Integer::Unsigned(n.into()),
            SizedInt::Uint16(n) => Integer::Unsigned(n.into()),
            SizedInt::Uint32(n) => Integer::Unsigned(n.into()),
        }
    }

    /// Returns the Go type.
    pub fn type_of(self) -> Type {
        match self {
            SizedInt::Int8(_) => Type::Int8,
            SizedInt::Int16(_) => Type::Int16,
            SizedInt::Int32(_) => Type::Int32,
            SizedInt::Uint(_) => Type::Uint,
            SizedInt::Uint8(_) => Type::Uint8,
            SizedInt::Uint16(_) => Type::Uint16,
            SizedInt::Uint32(_) => Type::Uint32,
            SizedInt::Uint64(_) => Type::Uint64,
        }
    }
}

impl Value {
    /// Returns a string value.
    pub fn string(text: impl Into<Str>) -> Value {
        Value::String(text.into())
    }

    /// Returns a `[]interface {}`.
    pub fn list(items: Vec<Value>) -> Value {
        Value::List(List::new(items))
    }

    /// Returns a `[]string`.
    pub fn strings<S: Into<Str>>(items: impl IntoIterator<Item = S>) -> Value {
        Value::List(List::strings(items))
    }

    /// Returns a `map[string]interface {}`.
    pub fn map<K: Into<Str>>(entries: impl IntoIterator<Item = (K, Value)>) -> Value {
        Value::Map(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    /// Returns a `map[string]interface {}` of names that are part of the program.
    pub fn record<const N: usize>(fields: [(&'static str, Value); N]) -> Value {
        Value::Map(fields.into_iter().map(|(name, value)| (Str::constant(name), value)).collect())
    }

    /// Returns the dynamic Go type; `None` for untyped nil, which has none.
    pub fn type_of(&self) -> Option<Type> {
        Some(match self {
            Value::Nil => return None,
            Value::Bool(_) => Type::Bool,
            Value::Int(_) => Type::Int,
            Value::Int64(_) => Type::Int64,
            Value::Sized(n) => n.type_of(),
            Value::Float(_) => Type::Float64,
            Value::Complex(..) => Type::Complex128,
            Value::Duration(_) => Type::Duration,
            Value::String(_) => Type::String,
            Value::Bytes(_) => Type::Bytes,
            Value::List(list) => Type::List(list.list_type()),
            Value::Map(map) => Type::Map(map.map_type()),
            Value::Object(object) => Type::Object(object.type_name()),
        })
    }

    /// Returns the name of the dynamic type as `%T` prints it; `<nil>` for untyped nil.
    pub fn type_name(&self) -> &'static str {
        self.type_of().map_or("<nil>", Type::name)
    }

    /// Returns the kind of the dynamic type; [`Kind::Invalid`] for untyped nil.
    pub fn kind(&self) -> Kind {
        match self {
            Value::Object(object) => object.kind(),
            other => other.type_of().map_or(Kind::Invalid, Type::kind),
        }
    }

    /// Returns what `if` makes of the value: false for nil, zero, and whatever is empty. Structs are true.
    pub fn truth(&self) -> bool {
        match self {
            Value::Nil => false,
            Value::Bool(b) => *b,
            Value::Int(n) | Value::Int64(n) | Value::Duration(n) => *n != 0,
            Value::Sized(n) => !matches!(n.widen(), Integer::Signed(0) | Integer::Unsigned(0)),
            Value::Float(x) => *x != 0.0,
            Value::Complex(re, im) => *re != 0.0 || *im != 0.0,
            Value::String(s) => !s.is_empty(),
            Value::Bytes(bytes) => !bytes.is_empty(),
            Value::List(list) => !list.is_empty(),
            Value::Map(map) => !map.is_empty(),
            Value::Object(_) => true,
        }
    }

    /// Reports whether the value is nil: untyped, or a nil list or map.
    pub fn is_nil(&self) -> bool {
        match self {
            Value::Nil => true,
            Value::List(list) => list.is_nil(),
            Value::Map(map) => map.is_nil(),
            _ => false,
        }
    }

    /// Returns the integer behind a value of any integer kind, else `None` (a float is not an integer).
    pub fn as_integer(&self) -> Option<Integer> {
        match self {
            Value::Int(n) | Value::Int64(n) | Value::Duration(n) => Some(Integer::Signed(*n)),
            Value::Sized(n) => Some(n.widen()),
            _ => None,
        }
    }

    /// Returns the string if the value is one.
    pub fn as_string(&self) -> Option<&Str> {
        match self {
            Value::String(s) => Some(s),
            _ => None,
        }
    }

    /// Returns the map if the value is one, of whatever element type.
    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// Returns the list if the value is one, of whatever element type (`[]uint8` is [`Value::Bytes`]).
    pub fn as_list(&self) -> Option<&List> {
        match self {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    /// Returns the host object if it is a `T`.
    pub fn as_object<T: Object>(&self) -> Option<&T> {
        match self {
            Value::Object(object) => object.as_any().downcast_ref(),
            _ => None,
        }
    }

    /// Reports whether dropping or walking the value may descend further.
    fn is_container(&self) -> bool {
        matches!(self, Value::List(_) | Value::Map(_))
    }
}

/// How many containers inside each other are dropped by recursion, which is quicker than the list of [`drop_flat`].
const DROPS_NESTED_MAX: usize = 32;

/// Drops what a container holds; `flat` gives the containers among it where there are too many inside each other already.
fn drop_held<T>(held: T, flat: impl FnOnce(T) -> Vec<Value>) {
    thread_local! {
        static NESTED: Cell<usize> = const { Cell::new(0) };
    }
    let nested = NESTED.get();
    if nested >= DROPS_NESTED_MAX {
        drop_flat(flat(held));
    } else {
        NESTED.set(nested + 1);
        drop(held);
        NESTED.set(nested);
    }
}

/// Drops the collected containers without recursion: children of whatever dies here are collected in turn.
fn drop_flat(mut pending: Vec<Value>) {
    while let Some(value) = pending.pop() {
        match value {
            Value::List(list) => list.drain_if_last(&mut pending),
            Value::Map(map) => map.drain_if_last(&mut pending),
            _ => {}
        }
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Value {
        Value::Bool(b)
    }
}

impl From<f64> for Value {
    fn from(x: f64) -> Value {
        Value::Float(x)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::String(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::String(text.into())
    }
}

impl From<Str> for Value {
    fn from(text: Str) -> Value {
        Value::String(text)
    }
}

impl From<List> for Value {
    fn from(list: List) -> Value {
        Value::List(list)
    }
}

impl From<Map> for Value {
    fn from(map: Map) -> Value {
        Value::Map(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_small() {
        assert!(size_of::<Value>() <= 24, "{}", size_of::<Value>());
    }

    #[test]
    fn dropping_a_deep_tree_does_not_recurse() {
        let mut tree = Value::Nil;
        for n in 0..300_000 {
            tree = if n % 2 == 0 { Value::map([("a", tree)]) } else { Value::list(vec![tree]) };
        }
        drop(tree);
    }
}
