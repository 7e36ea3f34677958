//! JSON as Go's `encoding/json` writes it, and in [`read`] as it reads it.
//!
//! Maps are written in byte order of their keys, structs in the order of their fields; `<`, `>` and `&` are escaped unless asked
//! otherwise. Source: Go 1.26 `encoding/json`.

pub(crate) mod read;

use base64::Engine;
use serde_json::Value as Json;

use super::number;
use crate::value::{Integer, Oversized, Str, Value, Walk};

/// How to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `json.Marshal`.
    Compact,
    /// `json.MarshalIndent` with two spaces.
    Pretty,
    /// Compact, with `<`, `>` and `&` as they are.
    Raw,
}

/// Why a value has no JSON form.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Oversized(#[from] Oversized),
    #[error("json: unsupported value: {0}")]
    Unsupported(String),
    #[error("json: unsupported type: {0}")]
    UnsupportedType(&'static str),
    #[error("json: {0}")]
    Unfit(&'static str),
}

/// Writes a value.
pub(super) fn write(value: &Value, form: Form) -> Result<String, Error> {
    let mut writer = Writer { out: String::new(), form, depth: 0, walk: Walk::new() };
    writer.value(value)?;
    Ok(writer.out)
}

struct Writer {
    out: String,
    form: Form,
    depth: usize,
    walk: Walk,
}

impl Writer {
    fn value(&mut self, value: &Value) -> Result<(), Error> {
        self.walk.enter()?;
        match value {
            Value::Nil => self.out.push_str("null"),
            Value::Bool(b) => self.out.push_str(if *b { "true" } else { "false" }),
            Value::Float(x) => self.float(*x)?,
            Value::Complex(..) => return Err(Error::UnsupportedType("complex128")),
            Value::String(text) => self.go_string(text),
            Value::Bytes(bytes) => {
                let text = base64::engine::general_purpose::STANDARD.encode(bytes);
                self.string(&text);
            }
            Value::List(list) if list.is_nil() => self.out.push_str("null"),
            Value::List(list) => {
                let items = list.borrow();
                self.items(('[', ']'), items.iter(), Writer::value)?;
            }
            Value::Map(map) if map.is_nil() => self.out.push_str("null"),
            Value::Map(map) => {
                let entries = map.borrow();
                self.items(('{', '}'), entries.iter(), |writer, (key, value)| {
                    writer.go_string(key);
                    writer.colon();
                    writer.value(value)
                })?;
            }
            Value::Object(object) => {
                match (object.unfit_for_json(), object.json().filter(|_| object.json_fields().is_none())) {
                    (Some(reason), _) => return Err(Error::Unfit(reason)),
                    (None, Some(json)) => self.json(&json?)?,
                    (None, None) => {
                        let fields = object.json_fields().unwrap_or_else(|| object.fields());
                        self.items(('{', '}'), fields.iter(), |writer, (name, value)| {
                            writer.key(name);
                            writer.value(value)
                        })?;
                    }
                }
            }
            integer => match integer.as_integer() {
                Some(Integer::Signed(n)) => self.out.push_str(&n.to_string()),
                Some(Integer::Unsigned(n)) => self.out.push_str(&n.to_string()),
                None => self.out.push_str("null"),
            },
        }
        self.walk.leave();
        Ok(())
    }

    fn json(&mut self, json: &Json) -> Result<(), Error> {
        match json {
            Json::Null => self.out.push_str("null"),
            Json::Bool(b) => self.out.push_str(if *b { "true" } else { "false" }),
            Json::Number(n) if n.is_f64() => self.float(n.as_f64().unwrap_or(f64::NAN))?,
            Json::Number(n) => self.out.push_str(&n.to_string()),
            Json::String(text) => self.string(text),
            Json::Array(items) => self.items(('[', ']'), items.iter(), Writer::json)?,
            Json::Object(fields) => self.items(('{', '}'), fields.iter(), |writer, (key, value)| {
                writer.key(key);
                writer.json(value)
            })?,
        }
        Ok(())
    }

    fn float(&mut self, x: f64) -> Result<(), Error> {
        if !x.is_finite() {
            return Err(Error::Unsupported(number::go_g(x)));
        }
        self.out.push_str(&number::json(x));
        Ok(())
    }

    fn items<T>(
        &mut self,
        (open, close): (char, char),
        items: impl ExactSizeIterator<Item = T>,
        mut write: impl FnMut(&mut Writer, T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.out.push(open);
        let count = items.len();
        self.depth += 1;
        for (n, item) in items.enumerate() {
            if n > 0 {
                self.out.push(',');
            }
            self.line();
            write(self, item)?;
        }
        self.depth -= 1;
        if count > 0 {
            self.line();
        }
        self.out.push(close);
        Ok(())
    }

    fn line(&mut self) {
        if self.form == Form::Pretty {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', 2 * self.depth));
        }
    }

    fn key(&mut self, key: &str) {
        self.string(key);
        self.colon();
    }

    fn colon(&mut self) {
        self.out.push_str(if self.form == Form::Pretty { ": " } else { ":" });
    }

    /// Writes a string; a byte that is not UTF-8 is written as an escape, unlike a U+FFFD that is there.
    fn go_string(&mut self, text: &Str) {
        if let Some(text) = text.as_str() {
            return self.string(text);
        }
        self.out.push('"');
        for (_, rune, width) in text.runes() {
            if rune == char::REPLACEMENT_CHARACTER && width == 1 {
                self.out.push_str("\\ufffd");
            } else {
                self.character(rune);
            }
        }
        self.out.push('"');
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        text.chars().for_each(|c| self.character(c));
        self.out.push('"');
    }

    fn character(&mut self, c: char) {
        match c {
            '"' => self.out.push_str("\\\""),
            '\\' => self.out.push_str("\\\\"),
            '\u{8}' => self.out.push_str("\\b"),
            '\u{c}' => self.out.push_str("\\f"),
            '\n' => self.out.push_str("\\n"),
            '\r' => self.out.push_str("\\r"),
            '\t' => self.out.push_str("\\t"),
            '\0'..='\u{1f}' | '\u{2028}' | '\u{2029}' => self.out.push_str(&format!("\\u{:04x}", u32::from(c))),
            '<' | '>' | '&' if self.form != Form::Raw => self.out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => self.out.push(c),
        }
    }
}
