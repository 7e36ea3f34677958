//! Go's own template functions.
//!
//! Truth: Go's `text/template` `funcs.go`. `and`, `or` and the nil case of `len` are instructions; the rows here give
//! them their names and argument counts.

use super::function::{Call, Function, FunctionError};
use super::print::{self, is_print, sprint, sprint_action, sprintf, sprintln};
use crate::value::{Integer, List, Str, Text, Type, Value, runes};
use std::cmp::Ordering;

type Result<T = Value> = std::result::Result<T, FunctionError>;

pub(super) const AND: &str = "and";
pub(super) const OR: &str = "or";
pub(super) const LEN: &str = "len";
pub(super) const CALL: &str = "call";

/// The table.
pub(super) static FUNCTIONS: &[Function] = &[
    Function::variadic(AND, &[Type::Reflect], Type::Reflect, by_instruction),
    Function::variadic(CALL, &[Type::String, Type::Reflect], Type::Reflect, call),
    Function::variadic("eq", &[Type::Reflect], Type::Reflect, |_, args| eq(args).map(Value::Bool)),
    Function::new("ge", &[Type::Reflect, Type::Reflect], |_, args| less(args).map(|less| Value::Bool(!less))),
    Function::new("gt", &[Type::Reflect, Type::Reflect], |_, args| less_or_equal(args).map(|le| Value::Bool(!le))),
    Function::variadic("html", &[], Type::Any, html),
    Function::variadic("index", &[Type::Reflect], Type::Reflect, index),
    Function::variadic("js", &[], Type::Any, js),
    Function::new("le", &[Type::Reflect, Type::Reflect], |_, args| less_or_equal(args).map(Value::Bool)),
    Function::new(LEN, &[Type::Reflect], len),
    Function::new("lt", &[Type::Reflect, Type::Reflect], |_, args| less(args).map(Value::Bool)),
    Function::new("ne", &[Type::Reflect, Type::Reflect], |_, args| eq(args).map(|equal| Value::Bool(!equal))),
    Function::new("not", &[Type::Reflect], |_, args| Ok(Value::Bool(!args.iter().any(Value::truth)))),
    Function::variadic(OR, &[Type::Reflect], Type::Reflect, by_instruction),
    Function::variadic("print", &[], Type::Any, |_, args| Ok(Value::String(sprint(args)?))),
    Function::variadic("printf", &[Type::String], Type::Any, printf),
    Function::variadic("println", &[], Type::Any, |_, args| Ok(Value::String(sprintln(args)?))),
    Function::variadic("slice", &[Type::Reflect], Type::Reflect, slice),
    Function::variadic("urlquery", &[], Type::Any, urlquery),
];

fn by_instruction(_: &mut Call<'_>, _: &[Value]) -> Result {
    Err(FunctionError::shape())
}

fn printf(_: &mut Call<'_>, args: &[Value]) -> Result {
    let [Value::String(format), args @ ..] = args else { return Err(FunctionError::shape()) };
    Ok(Value::String(sprintf(format, args)?))
}

/// No value a template can meet is a function.
fn call(_: &mut Call<'_>, args: &[Value]) -> Result {
    let [Value::String(name), callee, ..] = args else { return Err(FunctionError::shape()) };
    if let Value::Nil = callee {
        return Err("call of nil".into());
    }
    // Without arguments Go names the callee by `reflect.Value.String`.
    let name = match callee {
        Value::String(text) if name.is_empty() => text.to_string(),
        other if name.is_empty() => format!("<{} Value>", other.type_name()),
        _ => name.to_string(),
    };
    Err(format!("non-function {name} of type {}", callee.type_name()).into())
}

fn len(_: &mut Call<'_>, args: &[Value]) -> Result {
    let [item] = args else { return Err(FunctionError::shape()) };
    let len = match item {
        Value::Nil => return Err("reflect: call of reflect.Value.Type on zero Value".into()),
        Value::String(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        other => return Err(format!("len of type {}", pointed_type(other)).into()),
    };
    Ok(Value::Int(i64::try_from(len).unwrap_or(i64::MAX)))
}

/// Returns the name of the type behind a pointer.
fn pointed_type(value: &Value) -> &'static str {
    value.type_name().trim_start_matches('*')
}

// Indexing.

/// Returns an index into something of that length; the length itself is let through, as in Go.
fn position(index: &Value, len: usize) -> Result<usize> {
    let number = match (index.as_integer(), index) {
        (Some(Integer::Signed(n)), _) => n,
        (Some(Integer::Unsigned(n)), _) => n.cast_signed(),
        (None, Value::Nil) => return Err("cannot index slice/array with nil".into()),
        (None, other) => return Err(format!("cannot index slice/array with type {}", other.type_name()).into()),
    };
    usize::try_from(number).ok().filter(|&at| at <= len).ok_or_else(|| format!("index out of range: {number}").into())
}

fn index(_: &mut Call<'_>, args: &[Value]) -> Result {
    let Some((first, indexes)) = args.split_first() else { return Err(FunctionError::shape()) };
    let mut item = first.clone();
    if let Value::Nil = item {
        return Err("index of untyped nil".into());
    }
    for index in indexes {
        item = match &item {
            Value::Nil => return Err("index of nil pointer".into()),
            Value::List(list) => {
                let at = position(index, list.len())?;
                list.get(at).ok_or("reflect: slice index out of range")?
            }
            Value::Bytes(bytes) => byte(bytes, position(index, bytes.len())?, "slice")?,
            Value::String(text) => byte(text.as_bytes(), position(index, text.len())?, "string")?,
            Value::Map(map) => match index {
                Value::String(key) => map.get(key).unwrap_or_else(|| map.map_type().elem.zero()),
                Value::Nil => return Err("value is nil; should be of type string".into()),
                other => return Err(format!("value has type {}; should be string", other.type_name()).into()),
            },
            other => return Err(format!("can't index item of type {}", pointed_type(other)).into()),
        };
    }
    Ok(item)
}

fn byte(bytes: &[u8], at: usize, what: &str) -> Result {
    match bytes.get(at) {
        Some(&byte) => Ok(Value::Sized(crate::value::SizedInt::Uint8(byte))),
        None => Err(format!("reflect: {what} index out of range").into()),
    }
}

fn slice(_: &mut Call<'_>, args: &[Value]) -> Result {
    let Some((item, indexes)) = args.split_first() else { return Err(FunctionError::shape()) };
    if let Value::Nil = item {
        return Err("slice of untyped nil".into());
    }
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()).into());
    }
    let len = match item {
        Value::String(_) if indexes.len() == 3 => return Err("cannot 3-index slice a string".into()),
        Value::String(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(list) => list.len(),
        other => return Err(format!("can't slice item of type {}", pointed_type(other)).into()),
    };
    let mut bounds = [0, len, len];
    for (bound, index) in bounds.iter_mut().zip(indexes) {
        *bound = position(index, len)?;
    }
    let [start, end, cap] = bounds;
    if start > end {
        return Err(format!("invalid slice index: {start} > {end}").into());
    }
    if indexes.len() == 3 && end > cap {
        return Err(format!("invalid slice index: {end} > {cap}").into());
    }
    Ok(match item {
        Value::String(text) => Value::String(text.slice(start, end)),
        Value::Bytes(bytes) => Value::Bytes(bytes[start..end].into()),
        Value::List(list) => Value::List(List::typed(list.list_type(), list.borrow()[start..end].to_vec())),
        _ => return Err(FunctionError::shape()),
    })
}

// Comparison.

/// Groups of types that compare with each other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Basic {
    Bool,
    Int,
    Uint,
    Float,
    Complex,
    String,
}

fn basic(value: &Value) -> Option<Basic> {
    Some(match value {
        Value::Bool(_) => Basic::Bool,
        Value::Float(_) => Basic::Float,
        Value::Complex(..) => Basic::Complex,
        Value::String(_) => Basic::String,
        other => match other.as_integer()? {
            Integer::Signed(_) => Basic::Int,
            Integer::Unsigned(_) => Basic::Uint,
        },
    })
}

/// Orders two integers of any sign.
fn compare_integers(a: Integer, b: Integer) -> Ordering {
    match (a, b) {
        (Integer::Signed(a), Integer::Signed(b)) => a.cmp(&b),
        (Integer::Unsigned(a), Integer::Unsigned(b)) => a.cmp(&b),
        (Integer::Signed(a), Integer::Unsigned(b)) => u64::try_from(a).map_or(Ordering::Less, |a| a.cmp(&b)),
        (Integer::Unsigned(a), Integer::Signed(b)) => u64::try_from(b).map_or(Ordering::Greater, |b| a.cmp(&b)),
    }
}

fn incompatible(a: &Value, b: &Value) -> FunctionError {
    let error = format!("incompatible types for comparison: {} and {}", a.type_name(), b.type_name());
    let number = |value: &Value| matches!(basic(value), Some(Basic::Int | Basic::Uint | Basic::Float));
    if number(a) && number(b) {
        return FunctionError::new(error).hint("numbers from values are float64: convert one side with `int`");
    }
    FunctionError::new(error)
}

/// Reports whether the first value equals any of the others.
fn eq(args: &[Value]) -> Result<bool> {
    let Some((first, others)) = args.split_first() else { return Err(FunctionError::shape()) };
    if others.is_empty() {
        return Err("missing argument for comparison".into());
    }
    for other in others {
        if equal(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equal(a: &Value, b: &Value) -> Result<bool> {
    if let (Some(a), Some(b)) = (a.as_integer(), b.as_integer()) {
        return Ok(compare_integers(a, b) == Ordering::Equal);
    }
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Float(a), Value::Float(b)) => Ok(a == b),
        (Value::Complex(a, x), Value::Complex(b, y)) => Ok(a == b && x == y),
        (Value::String(a), Value::String(b)) => Ok(a == b),
        (Value::Nil, Value::Nil) => Ok(true),
        (Value::Nil, other) | (other, Value::Nil) => Ok(basic(other).is_none() && other.is_nil()),
        (a, b) if basic(a).is_some() || basic(b).is_some() => Err(incompatible(a, b)),
        (a, b) => equal_composite(a, b),
    }
}

/// Lists, maps and structs compare only with nil; pointers with pointers.
fn equal_composite(a: &Value, b: &Value) -> Result<bool> {
    if a.kind() != b.kind() {
        let (a_text, b_text) = (as_string_verb(a)?, print::to_text(b)?);
        let (a, b) = (a.type_name(), b.type_name());
        return Err(format!("non-comparable types {a_text}: {a}, {b}: {b_text}").into());
    }
    if a.is_nil() || b.is_nil() {
        return Ok(a.is_nil() == b.is_nil());
    }
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => Ok(a.type_name() == b.type_name() && a.equals(b.as_ref())),
        (_, b) => Err(format!("non-comparable type {}: {}", as_string_verb(b)?, b.type_name()).into()),
    }
}

fn as_string_verb(value: &Value) -> Result<Str> {
    Ok(sprintf("%s", std::slice::from_ref(value))?)
}

fn less(args: &[Value]) -> Result<bool> {
    let [a, b] = args else { return Err(FunctionError::shape()) };
    let bad = "invalid type for comparison";
    let (Some(a_basic), Some(b_basic)) = (basic(a), basic(b)) else { return Err(bad.into()) };
    if let (Some(a), Some(b)) = (a.as_integer(), b.as_integer()) {
        return Ok(compare_integers(a, b) == Ordering::Less);
    }
    if a_basic != b_basic {
        return Err(incompatible(a, b));
    }
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => Ok(a < b),
        (Value::String(a), Value::String(b)) => Ok(a < b),
        _ => Err(bad.into()),
    }
}

fn less_or_equal(args: &[Value]) -> Result<bool> {
    Ok(less(args)? || eq(args)?)
}

// Escaping.

fn html(_: &mut Call<'_>, args: &[Value]) -> Result {
    let text = sprint_action(args)?;
    let mut out = Text::with_capacity(text.len());
    for piece in text.as_bytes().split_inclusive(|b| matches!(b, 0 | b'"' | b'\'' | b'&' | b'<' | b'>')) {
        let (last, before) = piece.split_last().unwrap_or((&b' ', piece));
        let escaped = match last {
            0 => "\u{fffd}",
            b'"' => "&#34;",
            b'\'' => "&#39;",
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            _ => {
                out.push_bytes(piece);
                continue;
            }
        };
        out.push_bytes(before);
        out.push_str(escaped);
    }
    Ok(Value::String(out.into()))
}

fn js(_: &mut Call<'_>, args: &[Value]) -> Result {
    let text = sprint_action(args)?;
    let bytes = text.as_bytes();
    let mut out = Text::with_capacity(bytes.len());
    for (at, rune, width) in runes(bytes) {
        match rune {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' | '>' | '&' | '=' | '\0'..' ' => out.push_str(&format!("\\u{:04X}", u32::from(rune))),
            ' '..='\x7f' => out.push(rune),
            _ if is_print(rune) => out.push_bytes(&bytes[at..at + width]),
            _ => out.push_str(&format!("\\u{:04X}", u32::from(rune))),
        }
    }
    Ok(Value::String(out.into()))
}

fn urlquery(_: &mut Call<'_>, args: &[Value]) -> Result {
    let text = sprint_action(args)?;
    let mut out = String::with_capacity(text.len());
    for &byte in text.as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    Ok(Value::from(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_complete() {
        let names: Vec<_> = FUNCTIONS.iter().map(|f| f.name).collect();
        assert!(names.is_sorted());
        assert_eq!(names.len(), 19);
    }

    #[test]
    fn integers_compare_across_signs() {
        let uint = |n| Value::Sized(crate::value::SizedInt::Uint64(n));
        assert!(equal(&Value::Int(3), &uint(3)).expect("comparable"));
        assert!(!equal(&Value::Int(-1), &uint(u64::MAX)).expect("comparable"));
        assert!(less(&[Value::Int(-1), uint(0)]).expect("comparable"));
        assert!(!less(&[uint(u64::MAX), Value::Int(-1)]).expect("comparable"));
        assert!(equal(&Value::Duration(1), &Value::Int64(1)).expect("comparable"));
    }
}
