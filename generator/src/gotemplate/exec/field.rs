//! Looking things up in values: variables, fields, map entries and methods.
//!
//! Whether Go would hold a value in an `interface {}` decides how a failed look-up is worded, so it is carried along.

use super::{Failure, Machine, MissingKey, Step};
use crate::gotemplate::ast::NodeRef;
use crate::gotemplate::function::FunctionError;
use crate::gotemplate::print;
use crate::value::{Elem, Map, Method, Str, Type, Value};

impl Machine<'_> {
    pub(super) fn first_var(&mut self, candidates: &[u32], certain: bool) {
        let found = candidates.iter().map(|&slot| &self.slots[self.base + slot as usize]).find(|slot| slot.set);
        if let Some(slot) = found {
            self.held = slot.held;
            self.stack.push(slot.value.clone());
            self.ip += usize::from(!certain);
        }
    }

    /// Follows field names from a value; returns what they lead to and whether it is held in an interface.
    pub(super) fn path(&self, from: &Value, held: bool, names: &[Str]) -> Step<(Value, bool)> {
        let Some((first, rest)) = names.split_first() else { return Ok((from.clone(), held)) };
        let (mut value, mut held) = self.field(from, held, first)?;
        for (index, name) in rest.iter().enumerate() {
            (value, held) = self.field(&value, held, name).map_err(|mut failure| {
                failure.unreached = if failure.code == "nil-pointer" { rest.len() - index } else { 0 };
                failure
            })?;
        }
        Ok((value, held))
    }

    /// Returns a field, a map's entry, or the result of a method without arguments.
    pub(super) fn field(&self, receiver: &Value, held: bool, name: &Str) -> Step<(Value, bool)> {
        if let Value::Nil = receiver {
            return match (held, self.options.missing_key) {
                (true, _) => Err(nil_pointer(name)),
                (false, MissingKey::Error) => {
                    Err(Failure::new(format!("nil data; no entry for key {}", print::quote(name.as_bytes()))))
                }
                (false, _) => Ok((Value::Nil, false)),
            };
        }
        if let Some(method) = name.as_str().and_then(|name| receiver.method(name)) {
            check_count(method, 0, false)?;
            let result = (method.call)(receiver, &[]);
            return result.map(|value| (value, false)).map_err(|e| Failure::of(method.name, FunctionError::new(e)));
        }
        match receiver {
            Value::Map(map) => self.entry(map, name),
            Value::Object(object) => match name.as_str().and_then(|name| object.field(name)) {
                Some(value) => Ok((value, name.as_str().is_some_and(|name| object.holds_any(name)))),
                None => Err(no_field(receiver, held, name)),
            },
            _ => Err(no_field(receiver, held, name)),
        }
    }

    pub(super) fn entry(&self, map: &Map, name: &Str) -> Step<(Value, bool)> {
        let elem = map.map_type().elem;
        if let Some(value) = map.get(name) {
            return Ok((value, elem == Elem::Any));
        }
        match self.options.missing_key {
            MissingKey::Zero => Ok((elem.zero(), elem == Elem::Any)),
            MissingKey::Invalid => Ok((Value::Nil, false)),
            MissingKey::Error => {
                let keys = map.keys();
                let meant = name
                    .as_str()
                    .and_then(|name| crate::diagnostic::suggest(name, keys.iter().filter_map(Str::as_str)));
                let message = format!("map has no entry for key {}", print::quote(name.as_bytes()));
                Err(Failure::new(message).suggest(meant))
            }
        }
    }

    /// Finds the method of the receiver on the top; false where there is no receiver, and nil is the result.
    pub(super) fn method(&mut self, name: &Str, args: usize, piped: bool) -> Step<bool> {
        let receiver = self.pop();
        let held = self.held;
        if let Value::Nil = receiver {
            let (nothing, _) = self.field(&receiver, held, name)?;
            if piped {
                self.stack.pop();
            }
            self.held = false;
            self.stack.push(nothing);
            return Ok(false);
        }
        let Some(method) = name.as_str().and_then(|name| receiver.method(name)) else {
            return Err(match &receiver {
                Value::Map(_) => Failure::new(format!("{name} is not a method but has arguments")),
                Value::Object(object) if name.as_str().is_some_and(|name| object.field(name).is_some()) => {
                    Failure::new(format!("{name} has arguments but cannot be invoked as function"))
                }
                other => no_field(other, held, name),
            });
        };
        check_count(method, args, piped)?;
        self.methods.push((receiver, method));
        Ok(true)
    }

    /// Returns the type of a parameter of the method about to be called.
    pub(super) fn method_type(&self, arg: u16) -> Type {
        let Some((_, method)) = self.methods.last() else { return Type::Any };
        method.params.get(usize::from(arg)).copied().or(method.variadic).unwrap_or(Type::Any)
    }

    pub(super) fn call_method(&mut self, node: NodeRef, args: usize, piped: bool) -> Step<()> {
        if piped {
            // The value before the pipe is the last argument.
            self.held = false;
            self.check(self.method_type(u16::try_from(args).unwrap_or(u16::MAX)), args)?;
        }
        let base = self.arguments(args, piped);
        let Some((receiver, method)) = self.methods.pop() else { return Ok(()) };
        let result = (method.call)(&receiver, &self.stack[base..]);
        self.stack.truncate(base);
        let value = result.map_err(|error| {
            self.at = node;
            Failure::of(method.name, FunctionError::new(error))
        })?;
        self.push(value);
        Ok(())
    }
}

fn nil_pointer(name: &Str) -> Box<Failure> {
    Failure::new(format!("nil pointer evaluating interface {{}}.{name}")).code("nil-pointer")
}

fn no_field(receiver: &Value, held: bool, name: &Str) -> Box<Failure> {
    let of = if held { "interface {}" } else { receiver.type_name() };
    let failure = Failure::new(format!("can't evaluate field {name} in type {of}")).code("no-field");
    match receiver {
        Value::Object(object) => {
            let fields = object.fields();
            let known = fields.iter().map(|&(field, _)| field).chain(object.methods().iter().map(|m| m.name));
            failure.suggest(name.as_str().and_then(|name| crate::diagnostic::suggest(name, known)))
        }
        other => failure.hint(Some(format!("the value is of type {}, which has no fields", other.type_name()))),
    }
}

fn check_count(method: &Method, args: usize, piped: bool) -> Step<()> {
    let (name, want, given) = (method.name, method.params.len(), args + usize::from(piped));
    if method.variadic.is_some() {
        if given < want {
            return Err(Failure::new(format!("wrong number of args for {name}: want at least {want} got {args}")));
        }
    } else if given != want {
        return Err(Failure::new(format!("wrong number of args for {name}: want {want} got {given}")));
    }
    Ok(())
}
