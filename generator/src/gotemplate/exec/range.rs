//! Iterating: what `range` accepts, in which order, and what it puts into dot and variables.
//!
//! Maps are walked over a copy of their entries, lists by index up to the length they had, as Go does.

use super::{Failure, Machine, Slot, Step};
use crate::gotemplate::code::RangeVars;
use crate::gotemplate::print;
use crate::value::{Elem, Integer, Kind, List, SizedInt, Str, Value};
use std::sync::Arc;

/// An iteration under way.
#[derive(Debug)]
pub(super) enum Iteration {
    List {
        list: List,
        at: usize,
        len: usize,
    },
    Bytes {
        bytes: Arc<[u8]>,
        at: usize,
    },
    Map {
        entries: std::vec::IntoIter<(Str, Value)>,
        any: bool,
    },
    /// An integer of the type of the last value, which is the bound.
    Count {
        at: i64,
        end: i64,
        of: Value,
    },
}

impl Machine<'_> {
    /// Starts to iterate over the top; false where there is nothing to iterate over.
    pub(super) fn start_range(&mut self, vars: RangeVars) -> Step<bool> {
        let iteration = match self.pop() {
            Value::Nil => return Ok(false),
            Value::List(list) if list.is_empty() => return Ok(false),
            Value::List(list) => Iteration::List { len: list.len(), list, at: 0 },
            Value::Bytes(bytes) if bytes.is_empty() => return Ok(false),
            Value::Bytes(bytes) => Iteration::Bytes { bytes, at: 0 },
            Value::Map(map) if map.is_empty() => return Ok(false),
            Value::Map(map) => {
                Iteration::Map { entries: map.entries().into_iter(), any: map.map_type().elem == Elem::Any }
            }
            value => {
                let end = match (value.as_integer(), &value) {
                    (Some(Integer::Signed(n)), _) => n,
                    (Some(Integer::Unsigned(n)), _) => i64::try_from(n).unwrap_or(i64::MAX),
                    (None, Value::Object(object)) if object.kind() == Kind::Ptr => {
                        let text = print::struct_text(object.as_ref())?;
                        return Err(Failure::new(format!("range can't iterate over {text}")));
                    }
                    (None, _) => {
                        return Err(Failure::new(format!("range can't iterate over {}", print::to_text(&value)?)));
                    }
                };
                if vars.index.is_some() {
                    let text = print::to_text(&value)?;
                    return Err(Failure::new(format!("can't use {text} to iterate over more than one variable")));
                }
                if end <= 0 {
                    return Ok(false);
                }
                Iteration::Count { at: 0, end, of: value }
            }
        };
        self.ranges.push(iteration);
        self.dots.push(std::mem::take(&mut self.dot));
        Ok(true)
    }

    /// Takes the next element into dot and the variables; false at the end.
    pub(super) fn next(&mut self, vars: RangeVars) -> bool {
        let (index, value, held) = match self.ranges.last_mut() {
            Some(Iteration::List { list, at, len }) if *at < *len => {
                let (index, any) = (*at, list.is_any());
                *at += 1;
                (Value::Int(i64::try_from(index).unwrap_or(i64::MAX)), list.get(index).unwrap_or_default(), any)
            }
            Some(Iteration::Bytes { bytes, at }) if *at < bytes.len() => {
                let index = *at;
                *at += 1;
                let index_value = Value::Int(i64::try_from(index).unwrap_or(i64::MAX));
                (index_value, Value::Sized(SizedInt::Uint8(bytes[index])), false)
            }
            Some(Iteration::Map { entries, any }) => match entries.next() {
                Some((key, value)) => (Value::String(key), value, *any),
                None => return false,
            },
            Some(Iteration::Count { at, end, of }) if *at < *end => {
                let value = integer_like(of, *at);
                *at += 1;
                (Value::Nil, value, false)
            }
            _ => return false,
        };
        if let Some(slot) = vars.element {
            *self.slot(slot) = Slot { value: value.clone(), held, set: true };
        }
        if let Some(slot) = vars.index {
            *self.slot(slot) = Slot { value: index, held: false, set: true };
        }
        self.dot = Slot { value, held, set: true };
        true
    }

    pub(super) fn end_range(&mut self) {
        self.ranges.pop();
        self.dot = self.dots.pop().unwrap_or_default();
    }
}

/// Returns an integer of the type of another value.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below a bound of the same type")]
fn integer_like(of: &Value, n: i64) -> Value {
    match of {
        Value::Int64(_) => Value::Int64(n),
        Value::Duration(_) => Value::Duration(n),
        Value::Sized(sized) => Value::Sized(match sized {
            SizedInt::Int8(_) => SizedInt::Int8(n as i8),
            SizedInt::Int16(_) => SizedInt::Int16(n as i16),
            SizedInt::Int32(_) => SizedInt::Int32(n as i32),
            SizedInt::Uint(_) => SizedInt::Uint(n as u64),
            SizedInt::Uint8(_) => SizedInt::Uint8(n as u8),
            SizedInt::Uint16(_) => SizedInt::Uint16(n as u16),
            SizedInt::Uint32(_) => SizedInt::Uint32(n as u32),
            SizedInt::Uint64(_) => SizedInt::Uint64(n as u64),
        }),
        _ => Value::Int(n),
    }
}
