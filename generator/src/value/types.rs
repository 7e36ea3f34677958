//! Go's types and kinds, as far as templates can meet or name them.
//!
//! A [`Type`] is both the dynamic type of a value and the declared type of a function's parameter.
//! Truth: Go's `reflect` package (`Type.String`, `Kind.String`, `AssignableTo`).

use super::{List, Map, Method, Str, Value};
use std::fmt;
use std::sync::Arc;

/// A Go type.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "each remaining variant is the Go type of its name")]
pub enum Type {
    /// `interface {}`: takes everything, nil too.
    Any,
    /// `reflect.Value`: what Go's own functions take; like [`Type::Any`] but for the wording of errors.
    Reflect,
    Bool,
    Int,
    Int8,
    Int16,
    Int32,
    Int64,
    Uint,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Float64,
    Complex128,
    String,
    /// `[]uint8`.
    Bytes,
    /// `time.Duration`.
    Duration,
    List(&'static ListType),
    Map(&'static MapType),
    /// A struct or pointer of the host, by its Go name.
    Object(&'static str),
}

/// A slice type.
#[derive(Debug)]
pub struct ListType {
    /// Go's name, such as `[]string`, or the declared name of a named type.
    pub name: &'static str,
    /// The type of the elements.
    pub elem: Elem,
    /// Methods of a named type; empty for most.
    pub methods: &'static [Method],
}

/// A map type; keys are always strings.
#[derive(Debug)]
pub struct MapType {
    /// Go's name, such as `map[string]interface {}`, or the declared name of a named type.
    pub name: &'static str,
    /// The type of the elements.
    pub elem: Elem,
    /// Methods of a named type; empty for most.
    pub methods: &'static [Method],
}

/// The element type of a slice or map: its name, and the value a missing map key yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each remaining variant is the Go type of its name")]
pub enum Elem {
    /// `interface {}`.
    Any,
    Bool,
    Int,
    Int64,
    Float64,
    String,
    /// `[]uint8`.
    Bytes,
    /// `[]interface {}`.
    List,
    /// `map[string]interface {}`.
    Map,
    /// A struct or pointer of the host, by its Go name; its zero value is taken to be nil.
    Object(&'static str),
}

impl Elem {
    /// Returns Go's name of the element type.
    pub fn name(self) -> &'static str {
        match self {
            Elem::Any => "interface {}",
            Elem::Bool => "bool",
            Elem::Int => "int",
            Elem::Int64 => "int64",
            Elem::Float64 => "float64",
            Elem::String => "string",
            Elem::Bytes => "[]uint8",
            Elem::List => ANY_LIST.name,
            Elem::Map => ANY_MAP.name,
            Elem::Object(name) => name,
        }
    }

    /// Returns the zero value, which `missingkey=zero` yields for a missing key.
    pub fn zero(self) -> Value {
        match self {
            Elem::Any | Elem::Object(_) => Value::Nil,
            Elem::Bool => Value::Bool(false),
            Elem::Int => Value::Int(0),
            Elem::Int64 => Value::Int64(0),
            Elem::Float64 => Value::Float(0.0),
            Elem::String => Value::String(Str::empty()),
            Elem::Bytes => Value::Bytes(Arc::default()),
            Elem::List => Value::List(List::nil(&ANY_LIST)),
            Elem::Map => Value::Map(Map::nil(&ANY_MAP)),
        }
    }
}

/// `[]interface {}`.
pub static ANY_LIST: ListType = ListType { name: "[]interface {}", elem: Elem::Any, methods: &[] };
/// `[]string`.
pub static STRING_LIST: ListType = ListType { name: "[]string", elem: Elem::String, methods: &[] };
/// `[]int`.
pub static INT_LIST: ListType = ListType { name: "[]int", elem: Elem::Int, methods: &[] };
/// `[]float64`.
pub static FLOAT_LIST: ListType = ListType { name: "[]float64", elem: Elem::Float64, methods: &[] };
/// `[][]interface {}`.
pub static LIST_LIST: ListType = ListType { name: "[][]interface {}", elem: Elem::List, methods: &[] };
/// `[]map[string]interface {}`.
pub static MAP_LIST: ListType = ListType { name: "[]map[string]interface {}", elem: Elem::Map, methods: &[] };
/// `map[string]interface {}`.
pub static ANY_MAP: MapType = MapType { name: "map[string]interface {}", elem: Elem::Any, methods: &[] };
/// `map[string]string`.
pub static STRING_MAP: MapType = MapType { name: "map[string]string", elem: Elem::String, methods: &[] };
/// `map[string][]uint8`.
pub static BYTES_MAP: MapType = MapType { name: "map[string][]uint8", elem: Elem::Bytes, methods: &[] };

/// The category of a type, Go's `reflect.Kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is the Go kind of its name")]
pub enum Kind {
    Invalid,
    Bool,
    Int,
    Int8,
    Int16,
    Int32,
    Int64,
    Uint,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Float64,
    Complex128,
    Interface,
    Map,
    Ptr,
    Slice,
    String,
    Struct,
}

impl Kind {
    /// Returns Go's name, which `kindOf` prints.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Invalid => "invalid",
            Kind::Bool => "bool",
            Kind::Int => "int",
            Kind::Int8 => "int8",
            Kind::Int16 => "int16",
            Kind::Int32 => "int32",
            Kind::Int64 => "int64",
            Kind::Uint => "uint",
            Kind::Uint8 => "uint8",
            Kind::Uint16 => "uint16",
            Kind::Uint32 => "uint32",
            Kind::Uint64 => "uint64",
            Kind::Float64 => "float64",
            Kind::Complex128 => "complex128",
            Kind::Interface => "interface",
            Kind::Map => "map",
            Kind::Ptr => "ptr",
            Kind::Slice => "slice",
            Kind::String => "string",
            Kind::Struct => "struct",
        }
    }
}

impl Type {
    /// `map[string]interface {}` as a parameter.
    pub const MAP: Type = Type::Map(&ANY_MAP);
    /// `[]interface {}` as a parameter.
    pub const LIST: Type = Type::List(&ANY_LIST);
    /// `[]string` as a parameter.
    pub const STRINGS: Type = Type::List(&STRING_LIST);

    /// Returns Go's name of the type, as `%T` and error messages print it.
    pub fn name(self) -> &'static str {
        match self {
            Type::Any => "interface {}",
            Type::Reflect => "reflect.Value",
            Type::Bytes => "[]uint8",
            Type::Duration => "time.Duration",
            Type::List(list) => list.name,
            Type::Map(map) => map.name,
            Type::Object(name) => name,
            basic => basic.kind().name(),
        }
    }

    /// Returns the kind. Of a host type only the name is known here: one that starts with `*` is a pointer.
    pub fn kind(self) -> Kind {
        match self {
            Type::Any => Kind::Interface,
            Type::Reflect => Kind::Struct,
            Type::Bool => Kind::Bool,
            Type::Int => Kind::Int,
            Type::Int8 => Kind::Int8,
            Type::Int16 => Kind::Int16,
            Type::Int32 => Kind::Int32,
            Type::Int64 | Type::Duration => Kind::Int64,
            Type::Uint => Kind::Uint,
            Type::Uint8 => Kind::Uint8,
            Type::Uint16 => Kind::Uint16,
            Type::Uint32 => Kind::Uint32,
            Type::Uint64 => Kind::Uint64,
            Type::Float64 => Kind::Float64,
            Type::Complex128 => Kind::Complex128,
            Type::String => Kind::String,
            Type::Bytes | Type::List(_) => Kind::Slice,
            Type::Map(_) => Kind::Map,
            Type::Object(name) => {
                if name.starts_with('*') {
                    Kind::Ptr
                } else {
                    Kind::Struct
                }
            }
        }
    }

    /// Returns the zero value if nil can be assigned to the type, else `None`.
    pub fn nil(self) -> Option<Value> {
        match self {
            Type::Any | Type::Reflect => Some(Value::Nil),
            Type::Bytes => Some(Value::Bytes(Arc::default())),
            Type::List(list) => Some(Value::List(List::nil(list))),
            Type::Map(map) => Some(Value::Map(Map::nil(map))),
            Type::Object(name) if name.starts_with('*') => Some(Value::Nil),
            _ => None,
        }
    }

    /// Returns the value as this type if Go would assign it without conversion, else gives it back.
    ///
    /// A named map or list passed where its unnamed twin is declared loses its name and keeps its storage.
    pub fn assign(self, value: Value) -> Result<Value, Value> {
        match (self, value) {
            (Type::Any | Type::Reflect, value) => Ok(value),
            (Type::List(to), Value::List(list)) => {
                let from = list.list_type();
                if from.name == to.name {
                    Ok(Value::List(list))
                } else if from.elem == to.elem && (is_unnamed(from.name) || is_unnamed(to.name)) {
                    Ok(Value::List(list.retyped(to)))
                } else {
                    Err(Value::List(list))
                }
            }
            (Type::Map(to), Value::Map(map)) => {
                let from = map.map_type();
                if from.name == to.name {
                    Ok(Value::Map(map))
                } else if from.elem == to.elem && (is_unnamed(from.name) || is_unnamed(to.name)) {
                    Ok(Value::Map(map.retyped(to)))
                } else {
                    Err(Value::Map(map))
                }
            }
            (to, value) => match value.type_of() {
                Some(from) if from == to => Ok(value),
                _ => Err(value),
            },
        }
    }
}

/// Reports whether a slice or map type is written out rather than declared under a name.
fn is_unnamed(name: &str) -> bool {
    name.starts_with('[') || name.starts_with("map[")
}

impl PartialEq for Type {
    fn eq(&self, other: &Type) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other) && self.name() == other.name()
    }
}

impl Eq for Type {}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
