//! TOML as Helm writes and reads it.
//!
//! Source: BurntSushi/toml v1.6.0 `encode.go`, `decode.go`; reading is left to the `toml` crate, whose error texts are its own.

use super::number;
use crate::gotemplate::print::format_duration;
use crate::value::{ANY_LIST, List, MAP_LIST, Map, Object, Oversized, Str, Value, Walk};

/// Why a value has no TOML form, in upstream's words.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("toml: top-level values must be Go maps or structs")]
    NoKey,
    #[error("toml: cannot encode array with nil element")]
    NilElement,
    #[error("unsupported type for key '': {0}")]
    UnsupportedKey(&'static str),
    #[error("unsupported type: {0}")]
    Unsupported(&'static str),
    #[error(transparent)]
    Oversized(#[from] Oversized),
}

/// Writes a value.
pub(super) fn write(value: &Value) -> Result<String, Error> {
    let mut writer = Writer { out: String::new(), walk: Walk::new() };
    writer.entry(&[], value)?;
    Ok(writer.out)
}

/// What a value is to TOML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nothing,
    Simple,
    Table,
    TableList,
}

struct Writer {
    out: String,
    walk: Walk,
}

impl Writer {
    /// Writes a value under a key; the key is empty for the whole document.
    fn entry(&mut self, key: &[&Str], value: &Value) -> Result<(), Error> {
        self.walk.enter()?;
        if key.is_empty() && matches!(value, Value::Complex(..)) {
            return Err(Error::UnsupportedKey(value.kind().name()));
        }
        match (self.kind(value)?, value) {
            (Kind::Nothing, Value::List(_)) if key.is_empty() => self.out.push_str("[]"),
            (Kind::Nothing, _) => {}
            (Kind::TableList, Value::List(list)) => {
                if key.is_empty() {
                    return Err(Error::NoKey);
                }
                for table in list.borrow().iter() {
                    self.newline();
                    self.header(key, "[[", "]]");
                    self.newline();
                    self.table(key, table)?;
                }
            }
            (Kind::Table, table) => {
                if key.len() == 1 {
                    self.newline();
                }
                if !key.is_empty() {
                    self.header(key, "[", "]");
                    self.newline();
                }
                self.table(key, table)?;
            }
            (_, simple) => {
                if let Some(name) = key.last() {
                    self.indent(key);
                    self.out.push_str(&key_text(name));
                    self.out.push_str(" = ");
                    self.element(simple)?;
                    self.newline();
                } else {
                    self.element(simple)?;
                }
            }
        }
        self.walk.leave();
        Ok(())
    }

    fn kind(&mut self, value: &Value) -> Result<Kind, Error> {
        Ok(match value {
            Value::Nil => Kind::Nothing,
            Value::Map(map) if map.is_nil() => Kind::Nothing,
            Value::Map(_) => Kind::Table,
            Value::List(list) if list.is_nil() => Kind::Nothing,
            Value::List(list) => {
                self.walk.enter()?;
                let mut all_tables = !list.is_empty();
                for item in list.borrow().iter() {
                    match self.kind(item)? {
                        Kind::Nothing => return Err(Error::NilElement),
                        kind => all_tables &= kind == Kind::Table,
                    }
                }
                self.walk.leave();
                if all_tables { Kind::TableList } else { Kind::Simple }
            }
            Value::Object(object) if text_of(object.as_ref()).is_none() => Kind::Table,
            Value::Complex(..) => return Err(Error::Unsupported("complex128")),
            _ => Kind::Simple,
        })
    }

    fn newline(&mut self) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
    }

    fn indent(&mut self, key: &[&Str]) {
        self.out.extend(std::iter::repeat_n("  ", key.len() - 1));
    }

    fn header(&mut self, key: &[&Str], open: &str, close: &str) {
        self.indent(key);
        let parts: Vec<String> = key.iter().map(|part| key_text(part)).collect();
        self.out.push_str(&format!("{open}{}{close}", parts.join(".")));
    }

    /// Writes the entries of a table: simple ones first.
    fn table(&mut self, key: &[&Str], table: &Value) -> Result<(), Error> {
        let entries = entries(table);
        for sub_tables in [false, true] {
            for (name, value) in &entries {
                let is_table = matches!(self.kind(value)?, Kind::Table | Kind::TableList);
                if is_table == sub_tables {
                    let below: Vec<&Str> = key.iter().copied().chain([name]).collect();
                    self.entry(&below, value)?;
                }
            }
        }
        Ok(())
    }

    fn element(&mut self, value: &Value) -> Result<(), Error> {
        self.walk.enter()?;
        match value {
            Value::Bool(b) => self.out.push_str(if *b { "true" } else { "false" }),
            Value::Float(x) => self.out.push_str(&float(*x)),
            Value::String(text) => self.quoted(&text.to_str_lossy()),
            Value::Duration(nanoseconds) => self.quoted(&format_duration(*nanoseconds)),
            Value::Bytes(bytes) => {
                let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
                self.out.push_str(&format!("[{}]", numbers.join(", ")));
            }
            Value::List(list) => {
                self.out.push('[');
                for (n, item) in list.borrow().iter().enumerate() {
                    if n > 0 {
                        self.out.push_str(", ");
                    }
                    self.element(item)?;
                }
                self.out.push(']');
            }
            Value::Object(object) => match (super::dates::toml_text(value), text_of(object.as_ref())) {
                (Some(time), _) => self.out.push_str(&time),
                (None, Some(text)) => self.quoted(&text.to_str_lossy()),
                (None, None) => self.inline_table(value)?,
            },
            Value::Map(_) => self.inline_table(value)?,
            integer => match integer.as_integer() {
                Some(crate::value::Integer::Signed(n)) => self.out.push_str(&n.to_string()),
                Some(crate::value::Integer::Unsigned(n)) => self.out.push_str(&n.to_string()),
                None => return Err(Error::Unsupported(integer.kind().name())),
            },
        }
        self.walk.leave();
        Ok(())
    }

    /// Commas are counted before nil entries are left out, as upstream counts them.
    fn inline_table(&mut self, table: &Value) -> Result<(), Error> {
        let entries = entries(table);
        let mut groups: [Vec<&(Str, Value)>; 2] = [Vec::new(), Vec::new()];
        for entry in &entries {
            let is_table = matches!(self.kind(&entry.1)?, Kind::Table | Kind::TableList);
            groups[usize::from(is_table)].push(entry);
        }
        self.out.push('{');
        let has_tables = !groups[1].is_empty();
        for (trailing, group) in [(has_tables, &groups[0]), (false, &groups[1])] {
            for (n, (name, value)) in group.iter().enumerate() {
                if value.is_nil() {
                    continue;
                }
                self.out.push_str(&key_text(name));
                self.out.push_str(" = ");
                self.element(value)?;
                if trailing || n + 1 != group.len() {
                    self.out.push_str(", ");
                }
            }
        }
        self.out.push('}');
        Ok(())
    }

    fn quoted(&mut self, text: &str) {
        self.out.push_str(&quoted(text));
    }
}

/// Returns the text of a type that has one for documents, as versions and times do; not every type that prints has.
fn text_of(object: &dyn Object) -> Option<Str> {
    match object.json() {
        Some(Ok(serde_json::Value::String(text))) => Some(Str::from(text)),
        _ => None,
    }
}

fn entries(table: &Value) -> Vec<(Str, Value)> {
    match table {
        Value::Map(map) => map.entries(),
        Value::Object(object) => object.fields().into_iter().map(|(name, value)| (Str::from(name), value)).collect(),
        _ => Vec::new(),
    }
}

fn key_text(key: &Str) -> String {
    let text = key.to_str_lossy();
    let is_bare = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if is_bare { text.into_owned() } else { quoted(&text) }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\0'..='\u{1f}' | '\u{7f}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn float(x: f64) -> String {
    if x.is_nan() {
        return if x.is_sign_negative() { "-nan" } else { "nan" }.to_owned();
    }
    if x.is_infinite() {
        return if x < 0.0 { "-inf" } else { "inf" }.to_owned();
    }
    let text = number::go_g(x);
    if text.contains(['e', '.']) { text } else { format!("{text}.0") }
}

/// Reads a document.
pub(super) fn read(text: &str) -> Result<Map, String> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| format!("toml: {}", error.message()))?;
    Ok(map(&table))
}

fn map(table: &toml::Table) -> Map {
    table.iter().map(|(key, value)| (Str::from(key), value_of(value))).collect()
}

fn value_of(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::from(text.as_str()),
        toml::Value::Integer(n) => Value::Int64(*n),
        toml::Value::Float(x) => Value::Float(*x),
        toml::Value::Boolean(b) => Value::Bool(*b),
        toml::Value::Datetime(time) => super::dates::of_toml(&time.to_string()),
        toml::Value::Array(items) => {
            // A list of tables has a type of its own.
            let all_tables = !items.is_empty() && items.iter().all(toml::Value::is_table);
            let list_type = if all_tables { &MAP_LIST } else { &ANY_LIST };
            Value::List(List::typed(list_type, items.iter().map(value_of).collect()))
        }
        toml::Value::Table(table) => Value::Map(map(table)),
    }
}
