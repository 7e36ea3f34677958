//! Functions over lists. None changes the list it is given but `sortAlpha`, which sorts a `[]string` in place as Go does.
//!
//! Source: Sprig v3.3.0 `list.go`. Each function has a `must` twin; in a template both fail alike.

use super::{Outcome, cast, is_empty};
use crate::gotemplate::{Call, FunctionError};
use crate::value::{ANY_LIST, LIST_LIST, List, Oversized, SizedInt, Value, deep_equal};

/// What Go says where a function looks at the type of nil.
const NIL_DEREFERENCE: &str = "runtime error: invalid memory address or nil pointer dereference";

/// Returns the elements of a list; of anything else an error that begins with `refusal`.
fn items(value: &Value, refusal: &str) -> Result<Vec<Value>, FunctionError> {
    match value {
        Value::List(list) => Ok(list.to_vec()),
        Value::Bytes(bytes) => Ok(bytes.iter().map(|b| Value::Sized(SizedInt::Uint8(*b))).collect()),
        Value::Nil => Err(NIL_DEREFERENCE.into()),
        other => Err(format!("{refusal} {}", other.kind().name()).into()),
    }
}

/// The nil `[]interface {}` that some functions return for an empty list.
fn nil_list() -> Value {
    Value::List(List::nil(&ANY_LIST))
}

/// `list` and `tuple`.
pub(super) fn list(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    Ok(Value::list(args.to_vec()))
}

/// `append` and `push`.
pub(super) fn append(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [list, value] = args else { return Err(FunctionError::shape()) };
    let mut items = items(list, "Cannot push on type")?;
    items.push(value.clone());
    Ok(Value::list(items))
}

pub(super) fn prepend(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [list, value] = args else { return Err(FunctionError::shape()) };
    let mut items = items(list, "Cannot prepend on type")?;
    items.insert(0, value.clone());
    Ok(Value::list(items))
}

pub(super) fn first(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [list] = args else { return Err(FunctionError::shape()) };
    Ok(items(list, "Cannot find first on type")?.into_iter().next().unwrap_or_default())
}

pub(super) fn last(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [list] = args else { return Err(FunctionError::shape()) };
    Ok(items(list, "Cannot find last on type")?.pop().unwrap_or_default())
}

pub(super) fn rest(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [list] = args else { return Err(FunctionError::shape()) };
    let mut items = items(list, "Cannot find rest on type")?;
    if items.is_empty() {
        return Ok(nil_list());
    }
    items.remove(0);
    Ok(Value::list(items))
}

pub(super) fn initial(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [list] = args else { return Err(FunctionError::shape()) };
    let mut items = items(list, "Cannot find initial on type")?;
    if items.pop().is_none() {
        return Ok(nil_list());
    }
    Ok(Value::list(items))
}

pub(super) fn reverse(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [list] = args else { return Err(FunctionError::shape()) };
    let mut items = items(list, "Cannot find reverse on type")?;
    items.reverse();
    Ok(Value::list(items))
}

pub(super) fn compact(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [list] = args else { return Err(FunctionError::shape()) };
    let mut items = items(list, "Cannot compact on type")?;
    items.retain(|item| !is_empty(item));
    Ok(Value::list(items))
}

pub(super) fn uniq(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [list] = args else { return Err(FunctionError::shape()) };
    let mut unique: Vec<Value> = Vec::new();
    for item in items(list, "Cannot find uniq on type")? {
        if !holds(&unique, &item)? {
            unique.push(item);
        }
    }
    Ok(Value::list(unique))
}

fn holds(haystack: &[Value], needle: &Value) -> Result<bool, Oversized> {
    for item in haystack {
        if deep_equal(needle, item)? {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn without(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [list, omit @ ..] = args else { return Err(FunctionError::shape()) };
    let mut kept = Vec::new();
    for item in items(list, "Cannot find without on type")? {
        if !holds(omit, &item)? {
            kept.push(item);
        }
    }
    Ok(Value::list(kept))
}

pub(super) fn has(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [needle, haystack] = args else { return Err(FunctionError::shape()) };
    if matches!(haystack, Value::Nil) {
        return Ok(Value::Bool(false));
    }
    Ok(Value::Bool(holds(&items(haystack, "Cannot find has on type")?, needle)?))
}

/// `slice`: nil for an empty list, else a part of the same type.
pub(super) fn slice(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [list, indices @ ..] = args else { return Err(FunctionError::shape()) };
    let items = items(list, "list should be type of slice or array but")?;
    if items.is_empty() {
        return Ok(Value::Nil);
    }
    let start = indices.first().map_or(0, cast::to_int64);
    let end = indices.get(1).map(cast::to_int64);
    let range = usize::try_from(start).ok().zip(end.map_or(Some(items.len()), |end| usize::try_from(end).ok()));
    let part = range.and_then(|(start, end)| items.get(start..end));
    let part = part.ok_or("reflect.Value.Slice: slice index out of bounds")?;
    Ok(match list {
        Value::List(list) => Value::List(List::typed(list.list_type(), part.to_vec())),
        Value::Bytes(bytes) => {
            let from = usize::try_from(start).unwrap_or(0);
            Value::Bytes(bytes[from..from + part.len()].into())
        }
        _ => Value::Nil,
    })
}

pub(super) fn concat(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let mut all = Vec::new();
    for list in args {
        match list {
            Value::List(_) | Value::Bytes(_) | Value::Nil => all.extend(items(list, "")?),
            other => return Err(format!("Cannot concat type {} as list", other.kind().name()).into()),
        }
    }
    // Go appends to a nil slice: without elements it stays nil.
    Ok(if all.is_empty() { nil_list() } else { Value::list(all) })
}

pub(super) fn chunk(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::Int(size), list] = args else { return Err(FunctionError::shape()) };
    let items = items(list, "Cannot chunk type")?;
    let out_of_range = || FunctionError::from("runtime error: makeslice: len out of range");
    let len = i64::try_from(items.len()).unwrap_or(i64::MAX);
    if *size == 0 {
        return Err(out_of_range());
    }
    // floor((len - 1) / size) + 1, which for a negative size is one chunk for one element and nonsense for more.
    let count = (len - 1).div_euclid(size.saturating_abs()) * size.signum() + 1;
    let count = if *size < 0 { negative_count(len, *size) } else { count };
    match usize::try_from(count) {
        Err(_) => Err(out_of_range()),
        Ok(0) => Ok(Value::List(List::typed(&LIST_LIST, Vec::new()))),
        // The one chunk has the rest of its length by the size, or else the size itself, which no length can be.
        Ok(_) if *size < 0 && len % *size == 0 => Err(out_of_range()),
        Ok(_) if *size < 0 => Ok(Value::List(List::typed(&LIST_LIST, vec![Value::list(items)]))),
        Ok(_) => {
            let size = usize::try_from(*size).unwrap_or(usize::MAX);
            let chunks = items.chunks(size).map(|chunk| Value::list(chunk.to_vec())).collect();
            Ok(Value::List(List::typed(&LIST_LIST, chunks)))
        }
    }
}

/// floor((len - 1) / size) + 1 for a negative size.
fn negative_count(len: i64, size: i64) -> i64 {
    let (n, d) = (len - 1, size);
    let quotient = n.wrapping_div(d);
    let floor = if n.wrapping_rem(d) != 0 && (n < 0) != (d < 0) { quotient - 1 } else { quotient };
    floor + 1
}
