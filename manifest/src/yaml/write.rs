//! Writes the one canonical form of a value.
//!
//! Block style, keys sorted by their bytes (but for `apiVersion`, `kind` and `metadata`, which come first in the root mapping), two spaces,
//! lists not indented below their key, text of several lines as a literal block, no folding, no anchor, no comment. Text is plain only where
//! `plain` says that every reader of YAML 1.1 and 1.2 takes it for text, and in double quotes otherwise. Knows no object of Kubernetes.
//!
//! Invariant: the same value gives the same bytes, and reading them gives the value back. Numbers come back as Kubernetes holds them: a
//! float without a fraction is an integer where it fits 64 signed bits, and an integer that does not is a float.

use std::fmt::Write;

use serde_json::{Map, Number, Value};

use super::plain::{self, Class};
use super::resolve;

/// Keys that come first in the root mapping, in this order.
const FIRST_KEYS: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Longest key, in bytes as written, that stands before its `:` on one line. Readers look no further than 1024 characters.
const SIMPLE_KEY_BYTES_MAX: usize = 1_000;

/// Writes one value in canonical form: one document, no `---`, LF, one final newline (more only where the last text ends in empty lines).
pub fn write(value: &Value) -> String {
    let mut out = String::new();
    write_document(value, &mut out);
    out
}

/// Writes a stream of documents in canonical form, with a line `---` between them; nothing for no values.
pub fn write_documents<'v>(values: impl IntoIterator<Item = &'v Value>) -> String {
    let mut out = String::new();
    for value in values {
        if !out.is_empty() {
            out.push_str("---\n");
        }
        write_document(value, &mut out);
    }
    out
}

fn write_document(value: &Value, out: &mut String) {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            let first = FIRST_KEYS.iter().filter_map(|key| entries.get_key_value(*key));
            let rest = sorted(entries).into_iter().filter(|(key, _)| !FIRST_KEYS.contains(&key.as_str()));
            write_entries(first.chain(rest), 0, false, out);
        }
        Value::Array(items) if !items.is_empty() => write_items(items, 0, false, out),
        // A block scalar at the root has no parent to be indented from; quotes need none.
        Value::String(text) => {
            if plain::class(text) == Class::Plain {
                out.push_str(text);
            } else {
                write_quoted(text, out);
            }
            out.push('\n');
        }
        scalar => write_scalar(scalar, 0, out),
    }
}

/// Returns the entries sorted by the bytes of their keys, whatever order the map has.
fn sorted(entries: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut entries: Vec<_> = entries.iter().collect();
    entries.sort_by(|(a, _), (b, _)| a.as_bytes().cmp(b.as_bytes()));
    entries
}

/// Writes the entries of a mapping whose keys stand at column `indent`; the first one where the text is now, if `inline`.
fn write_entries<'v>(
    entries: impl Iterator<Item = (&'v String, &'v Value)>,
    indent: usize,
    inline: bool,
    out: &mut String,
) {
    for (at, (key, value)) in entries.enumerate() {
        if at > 0 || !inline {
            pad(indent, out);
        }
        write_key(key, indent, out);
        match value {
            Value::Object(entries) if !entries.is_empty() => {
                out.push('\n');
                write_entries(sorted(entries).into_iter(), indent + 2, false, out);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                write_items(items, indent, false, out);
            }
            scalar => {
                out.push(' ');
                write_scalar(scalar, indent + 2, out);
            }
        }
    }
}

/// Writes the items of a list whose hyphens stand at column `indent`; the first one where the text is now, if `inline`.
fn write_items(items: &[Value], indent: usize, inline: bool, out: &mut String) {
    for (at, item) in items.iter().enumerate() {
        if at > 0 || !inline {
            pad(indent, out);
        }
        out.push_str("- ");
        match item {
            Value::Object(entries) if !entries.is_empty() => {
                write_entries(sorted(entries).into_iter(), indent + 2, true, out);
            }
            Value::Array(items) if !items.is_empty() => write_items(items, indent + 2, true, out),
            scalar => write_scalar(scalar, indent + 2, out),
        }
    }
}

/// Writes a key and its `:`.
fn write_key(key: &str, indent: usize, out: &mut String) {
    let start = out.len();
    if plain::class(key) == Class::Plain {
        out.push_str(key);
    } else {
        write_quoted(key, out);
    }
    if out.len() - start > SIMPLE_KEY_BYTES_MAX {
        out.insert_str(start, "? ");
        out.push('\n');
        pad(indent, out);
    }
    out.push(':');
}

/// Writes what is not a collection with anything in it, and ends the line. Lines of a block stand at column `indent`.
fn write_scalar(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => write_number(number, out),
        Value::String(text) => match plain::class(text) {
            Class::Plain => out.push_str(text),
            Class::Lines => return write_block(text, indent, out),
            Class::Quoted => write_quoted(text, out),
        },
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
    }
    out.push('\n');
}

/// Writes an integer with all its digits and a float such that every reader sees a float: `0.5`, `1.0e+20`, `1.5e-07`.
fn write_number(number: &Number, out: &mut String) {
    let float = match number.as_i64() {
        Some(int) => return append(out, format_args!("{int}")),
        None => number.as_f64().expect("a JSON number is a signed integer or has a float"),
    };
    match resolve::number_from_float(float).and_then(|number| number.as_i64()) {
        Some(int) => append(out, format_args!("{int}")),
        None if (1e-5..1e18).contains(&float.abs()) => append(out, format_args!("{float}")),
        None => {
            let scientific = format!("{float:e}");
            let (mantissa, exponent) = scientific.split_once('e').expect("scientific notation has an exponent");
            let point = if mantissa.contains('.') { "" } else { ".0" };
            let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
            append(out, format_args!("{mantissa}{point}e{sign}{exponent:0>2}"));
        }
    }
}

/// Writes text of several lines as a literal block whose lines stand at column `indent`.
fn write_block(text: &str, indent: usize, out: &mut String) {
    out.push('|');
    // Without a number, a reader takes the indentation from the first line that is not empty.
    if text.starts_with([' ', '\t', '\n']) {
        out.push('2');
    }
    if !text.ends_with('\n') {
        out.push('-');
    } else if text.ends_with("\n\n") {
        out.push('+');
    }
    out.push('\n');
    for line in text.split_inclusive('\n') {
        if line != "\n" {
            pad(indent, out);
        }
        out.push_str(line);
    }
    if !text.ends_with('\n') {
        out.push('\n');
    }
}

/// Writes text in double quotes, on one line.
fn write_quoted(text: &str, out: &mut String) {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            _ if plain::is_visible(char) => out.push(char),
            _ => match u32::from(char) {
                code @ ..=0xff => append(out, format_args!("\\x{code:02x}")),
                code @ ..=0xffff => append(out, format_args!("\\u{code:04x}")),
                code => append(out, format_args!("\\U{code:08x}")),
            },
        }
    }
    out.push('"');
}

fn pad(columns: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', columns));
}

fn append(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("writing to a string does not fail");
}
