//! Go's `reflect.DeepEqual`: same type, same contents, all the way down.

use super::{Oversized, Value, Walk};

/// Reports whether two values are deeply equal by Go's rules.
///
/// Types must match (`int` 1 is not `float64` 1, `[]string` is not `[]interface {}`), a nil list is not an empty
/// one, and NaN equals nothing. Two holders of one list or map are equal without looking inside.
///
/// # Errors
/// [`Oversized`] for cycles and the like.
pub fn deep_equal(a: &Value, b: &Value) -> Result<bool, Oversized> {
    equal(a, b, &mut Walk::new())
}

fn equal(a: &Value, b: &Value, walk: &mut Walk) -> Result<bool, Oversized> {
    walk.enter()?;
    let verdict = contents_equal(a, b, walk);
    walk.leave();
    verdict
}

fn contents_equal(a: &Value, b: &Value, walk: &mut Walk) -> Result<bool, Oversized> {
    if a.type_of() != b.type_of() {
        return Ok(false);
    }
    Ok(match (a, b) {
        (Value::Nil, Value::Nil) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a), Value::Int(b))
        | (Value::Int64(a), Value::Int64(b))
        | (Value::Duration(a), Value::Duration(b)) => a == b,
        (Value::Sized(a), Value::Sized(b)) => a == b,
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::Complex(a, x), Value::Complex(b, y)) => a == b && x == y,
        (Value::String(a), Value::String(b)) => a == b,
        (Value::Bytes(a), Value::Bytes(b)) => a == b,
        (Value::List(a), Value::List(b)) => {
            if a.same(b) {
                return Ok(true);
            }
            let (a_items, b_items) = (a.borrow(), b.borrow());
            if a.is_nil() != b.is_nil() || a_items.len() != b_items.len() {
                return Ok(false);
            }
            for (a, b) in a_items.iter().zip(b_items.iter()) {
                if !equal(a, b, walk)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Map(a), Value::Map(b)) => {
            if a.same(b) {
                return Ok(true);
            }
            let (a_entries, b_entries) = (a.borrow(), b.borrow());
            if a.is_nil() != b.is_nil() || a_entries.len() != b_entries.len() {
                return Ok(false);
            }
            for ((a_key, a), (b_key, b)) in a_entries.iter().zip(b_entries.iter()) {
                if a_key != b_key || !equal(a, b, walk)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Object(a), Value::Object(b)) => {
            if a.equals(b.as_ref()) {
                return Ok(true);
            }
            let (a_fields, b_fields) = (a.fields(), b.fields());
            if a_fields.len() != b_fields.len() || a_fields.is_empty() {
                return Ok(false);
            }
            for ((_, a), (_, b)) in a_fields.iter().zip(&b_fields) {
                if !equal(a, b, walk)? {
                    return Ok(false);
                }
            }
            true
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{ANY_LIST, List, Map};

    #[test]
    fn types_decide_before_contents() {
        let same = |a: Value, b: Value| deep_equal(&a, &b).expect("shallow");
        assert!(!same(Value::Int(1), Value::Float(1.0)));
        assert!(!same(Value::Int(1), Value::Int64(1)));
        assert!(!same(Value::strings(["a"]), Value::list(vec!["a".into()])));
        assert!(!same(Value::list(vec![]), Value::List(List::nil(&ANY_LIST))));
        assert!(same(
            Value::map([("a", Value::list(vec![Value::Nil]))]),
            Value::map([("a", Value::list(vec![Value::Nil]))])
        ));
        assert!(!same(Value::Float(f64::NAN), Value::Float(f64::NAN)));
    }

    #[test]
    fn a_cycle_is_an_error_not_a_hang() {
        let (a, b) = (Map::new(), Map::new());
        a.insert("x", Value::Map(a.clone()));
        b.insert("x", Value::Map(b.clone()));
        assert_eq!(deep_equal(&Value::Map(a.clone()), &Value::Map(b.clone())), Err(Oversized));
        a.remove("x");
        b.remove("x");
    }
}
