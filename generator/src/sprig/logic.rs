//! Defaults, choices, types, and the functions that stop a render.
//!
//! Source: Sprig v3.3.0 `defaults.go`, `reflect.go`; Helm v4.2.3 `pkg/engine/engine.go`.

use super::{Outcome, is_empty};
use crate::gotemplate::{Call, FunctionError};
use crate::value::{Map, Value, deep_equal};

pub(super) fn default(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [default, given @ ..] = args else { return Err(FunctionError::shape()) };
    Ok(given.first().filter(|given| !is_empty(given)).unwrap_or(default).clone())
}

pub(super) fn empty(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [value] = args else { return Err(FunctionError::shape()) };
    Ok(Value::Bool(is_empty(value)))
}

pub(super) fn coalesce(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    Ok(args.iter().find(|value| !is_empty(value)).cloned().unwrap_or_default())
}

pub(super) fn all(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    Ok(Value::Bool(!args.iter().any(is_empty)))
}

pub(super) fn any(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    Ok(Value::Bool(!args.iter().all(is_empty)))
}

pub(super) fn ternary(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [yes, no, Value::Bool(condition)] = args else { return Err(FunctionError::shape()) };
    Ok(if *condition { yes.clone() } else { no.clone() })
}

pub(super) fn type_of(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [value] = args else { return Err(FunctionError::shape()) };
    Ok(Value::from(value.type_name()))
}

pub(super) fn type_is(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(name), value] = args else { return Err(FunctionError::shape()) };
    Ok(Value::Bool(*name == value.type_name()))
}

/// Like `typeIs`, and a pointer is like what it points to.
pub(super) fn type_is_like(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(name), value] = args else { return Err(FunctionError::shape()) };
    let found = value.type_name();
    Ok(Value::Bool(*name == found || found.strip_prefix('*').is_some_and(|found| *name == found)))
}

pub(super) fn kind_of(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [value] = args else { return Err(FunctionError::shape()) };
    Ok(Value::from(value.kind().name()))
}

pub(super) fn kind_is(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(name), value] = args else { return Err(FunctionError::shape()) };
    Ok(Value::Bool(*name == value.kind().name()))
}

pub(super) fn are_deep_equal(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [a, b] = args else { return Err(FunctionError::shape()) };
    Ok(Value::Bool(deep_equal(a, b)?))
}

pub(super) fn hello(_: &mut Call<'_>, _: &[Value]) -> Outcome {
    Ok(Value::from("Hello!"))
}

/// `fail`: the author of the chart speaks; the message stands alone.
pub(super) fn fail(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(message)] = args else { return Err(FunctionError::shape()) };
    Err(FunctionError::new(message.to_str_lossy()).code("chart-failed"))
}

pub(super) fn required(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(message), value] = args else { return Err(FunctionError::shape()) };
    let missing = match value {
        Value::Nil => true,
        Value::String(text) => text.is_empty(),
        _ => false,
    };
    if missing {
        return Err(FunctionError::new(message.to_str_lossy()).code("value-required"));
    }
    Ok(value.clone())
}

/// `lookup`: there is no cluster to ask, so nothing is found, as under `helm template`.
pub(super) fn lookup(_: &mut Call<'_>, _: &[Value]) -> Outcome {
    Ok(Value::Map(Map::new()))
}

/// `getHostByName`: Helm answers nothing unless DNS is switched on, and we have none.
pub(super) fn get_host_by_name(_: &mut Call<'_>, _: &[Value]) -> Outcome {
    Ok(Value::from(""))
}
