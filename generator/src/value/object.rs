//! Values of the host: Go structs and pointers with their own fields and methods.
//!
//! `.Chart`, `.Capabilities`, `semver` results, `time.Time` and the like are objects; the engine asks them for
//! fields and methods by name and knows nothing else of them.

use super::{Kind, Oversized, Str, Type, Value};
use std::any::Any;
use std::fmt;
use std::rc::Rc;

/// A Go struct, or a pointer to one.
pub trait Object: Any + fmt::Debug {
    /// Returns the Go type name as `%T` prints it, such as `*semver.Version` or `time.Time`.
    fn type_name(&self) -> &'static str;

    /// Returns the kind: a pointer where the name starts with `*`, else a struct.
    fn kind(&self) -> Kind {
        Type::Object(self.type_name()).kind()
    }

    /// Returns the exported fields in the order of declaration: what `%v` prints and JSON carries.
    fn fields(&self) -> Vec<(&'static str, Value)>;

    /// Returns one field, `None` where there is none.
    fn field(&self, name: &str) -> Option<Value> {
        self.fields().into_iter().find_map(|(field, value)| (field == name).then_some(value))
    }

    /// Reports whether a field is declared `interface {}`, which shows in error messages only.
    fn holds_any(&self, _field: &str) -> bool {
        false
    }

    /// Returns the methods; a method hides a field of the same name.
    fn methods(&self) -> &'static [Method] {
        &[]
    }

    /// Returns what the type's `String()` or `Error()` method prints, `None` where it has neither.
    fn text(&self) -> Option<Str> {
        None
    }

    /// Returns what a function receives instead, `None` for the object itself: Go copies a struct for a call, and methods of a pointer to
    /// it, `String()` among them, do not come along.
    fn copied(&self) -> Option<Value> {
        None
    }

    /// Returns what JSON and YAML see, `None` for the fields by name.
    fn json(&self) -> Option<Result<serde_json::Value, Oversized>> {
        None
    }

    /// Returns the fields in order by their names in JSON, where these are others than their own.
    fn json_fields(&self) -> Option<Vec<(&'static str, Value)>> {
        None
    }

    /// Returns why JSON cannot carry it, in the words of `encoding/json` after `json: `; `None` where it can.
    fn unfit_for_json(&self) -> Option<&'static str> {
        None
    }

    /// Returns a deep copy where it is another value than a plain one, `None` for a plain one: it goes by exported fields only.
    fn deeply_copied(&self) -> Option<Value> {
        None
    }

    /// Returns all fields of the struct, hidden ones too: what verbs of `printf` other than those that ask for `String()` print.
    fn all_fields(&self) -> Vec<(&'static str, Value)> {
        self.fields()
    }

    /// Reports what Go's `==` finds: the same pointer, unless a struct type compares its fields.
    fn equals(&self, other: &dyn Object) -> bool {
        std::ptr::addr_eq(std::ptr::from_ref(self.as_any()), std::ptr::from_ref(other.as_any()))
    }

    /// Returns itself for downcasting; always `self`.
    fn as_any(&self) -> &dyn Any;
}

/// A method of an object or of a named list or map type.
#[derive(Debug)]
pub struct Method {
    /// The name, as templates write it.
    pub name: &'static str,
    /// Types of the fixed parameters.
    pub params: &'static [Type],
    /// Type of the repeated last parameter, if any.
    pub variadic: Option<Type>,
    /// What it does with the receiver and its arguments; the error is the text of Go's `error`.
    pub call: fn(&Value, &[Value]) -> Result<Value, String>,
}

impl Method {
    /// Returns a method with fixed parameters.
    pub const fn new(
        name: &'static str,
        params: &'static [Type],
        call: fn(&Value, &[Value]) -> Result<Value, String>,
    ) -> Method {
        Method { name, params, variadic: None, call }
    }
}

impl Value {
    /// Returns a host object as a value.
    pub fn object(object: impl Object) -> Value {
        Value::Object(Rc::new(object))
    }

    /// Returns the method of that name, of an object or of a named list or map type.
    pub fn method(&self, name: &str) -> Option<&'static Method> {
        let methods = match self {
            Value::Object(object) => object.methods(),
            Value::Map(map) => map.map_type().methods,
            Value::List(list) => list.list_type().methods,
            _ => return None,
        };
        methods.iter().find(|method| method.name == name)
    }
}
