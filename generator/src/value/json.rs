//! Between template values and `serde_json::Value`.
//!
//! Into templates every number becomes `float64`, as in Helm, whose values pass through `encoding/json`.

use super::{List, Map, Oversized, Str, Value, Walk};
use crate::value::SizedInt;
use base64::Engine;

/// Returns the template value of a JSON document: numbers are `float64`, lists `[]interface {}`, maps
/// `map[string]interface {}`, null is nil.
pub fn from_json(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Nil,
        serde_json::Value::Bool(b) => Value::Bool(*b),
        serde_json::Value::Number(n) => Value::Float(n.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(s) => Value::String(s.into()),
        serde_json::Value::Array(items) => Value::List(items.iter().map(from_json).collect()),
        serde_json::Value::Object(fields) => {
            Value::Map(fields.iter().map(|(key, value)| (Str::from(key), from_json(value))).collect())
        }
    }
}

/// Why a value has no JSON form.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ToJsonError {
    /// Cyclic, too deep or too large.
    #[error(transparent)]
    Oversized(#[from] Oversized),
    /// JSON has no infinities, NaN or complex numbers.
    #[error("json: unsupported value: {0}")]
    Unsupported(String),
}

impl Value {
    /// Returns the JSON document Go's `encoding/json` would write: nil lists and maps are null, `[]uint8` is
    /// base64, bytes that are not UTF-8 become U+FFFD, whole floats are integers where they fit.
    ///
    /// # Errors
    /// [`ToJsonError`] for cycles, infinities and NaN.
    pub fn to_json(&self) -> Result<serde_json::Value, ToJsonError> {
        to_json(self, &mut Walk::new())
    }
}

fn to_json(value: &Value, walk: &mut Walk) -> Result<serde_json::Value, ToJsonError> {
    walk.enter()?;
    let json = contents_to_json(value, walk);
    walk.leave();
    json
}

fn contents_to_json(value: &Value, walk: &mut Walk) -> Result<serde_json::Value, ToJsonError> {
    Ok(match value {
        Value::Nil => serde_json::Value::Null,
        Value::Bool(b) => (*b).into(),
        Value::Int(n) | Value::Int64(n) | Value::Duration(n) => (*n).into(),
        Value::Sized(n) => sized(*n),
        Value::Float(x) => float(*x)?,
        Value::Complex(re, im) => return Err(ToJsonError::Unsupported(format!("({re}+{im}i)"))),
        Value::String(s) => s.to_str_lossy().into_owned().into(),
        Value::Bytes(bytes) => base64::engine::general_purpose::STANDARD.encode(bytes).into(),
        Value::List(list) => list_to_json(list, walk)?,
        Value::Map(map) => map_to_json(map, walk)?,
        Value::Object(object) => match object.json() {
            Some(json) => json?,
            None => serde_json::Value::Object(
                object
                    .fields()
                    .iter()
                    .map(|(name, value)| Ok(((*name).to_owned(), to_json(value, walk)?)))
                    .collect::<Result<_, ToJsonError>>()?,
            ),
        },
    })
}

fn sized(n: SizedInt) -> serde_json::Value {
    match n.widen() {
        super::Integer::Signed(n) => n.into(),
        super::Integer::Unsigned(n) => n.into(),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked first")]
fn float(x: f64) -> Result<serde_json::Value, ToJsonError> {
    // 2^53: past it a float no longer names one integer, and Go writes it as a float, too.
    if x.fract() == 0.0 && x.abs() < 9_007_199_254_740_992.0 && !(x == 0.0 && x.is_sign_negative()) {
        return Ok((x as i64).into());
    }
    serde_json::Number::from_f64(x).map(serde_json::Value::Number).ok_or_else(|| {
        ToJsonError::Unsupported(if x.is_nan() {
            "NaN".into()
        } else {
            format!("{}Inf", if x > 0.0 { "+" } else { "-" })
        })
    })
}

fn list_to_json(list: &List, walk: &mut Walk) -> Result<serde_json::Value, ToJsonError> {
    if list.is_nil() {
        return Ok(serde_json::Value::Null);
    }
    let items: Result<Vec<_>, _> = list.borrow().iter().map(|item| to_json(item, walk)).collect();
    Ok(serde_json::Value::Array(items?))
}

fn map_to_json(map: &Map, walk: &mut Walk) -> Result<serde_json::Value, ToJsonError> {
    if map.is_nil() {
        return Ok(serde_json::Value::Null);
    }
    let fields: Result<serde_json::Map<_, _>, _> = map
        .borrow()
        .iter()
        .map(|(key, value)| Ok((key.to_str_lossy().into_owned(), to_json(value, walk)?)))
        .collect::<Result<_, ToJsonError>>();
    Ok(serde_json::Value::Object(fields?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_in_as_floats_and_leave_as_integers() {
        let value = from_json(&serde_json::json!({"a": [1, 2.5, null, "x"]}));
        let list = value.as_map().and_then(|m| m.get("a")).expect("a");
        assert!(matches!(list.as_list().and_then(|l| l.get(0)), Some(Value::Float(x)) if x == 1.0));
        assert_eq!(value.to_json(), Ok(serde_json::json!({"a": [1, 2.5, null, "x"]})));
    }

    #[test]
    fn nil_lists_are_null_and_bytes_are_base64() {
        assert_eq!(Value::List(List::nil(&crate::value::STRING_LIST)).to_json(), Ok(serde_json::Value::Null));
        assert_eq!(Value::Bytes(b"\xff\x00"[..].into()).to_json(), Ok("/wA=".into()));
        assert!(Value::Float(f64::INFINITY).to_json().is_err());
    }
}
