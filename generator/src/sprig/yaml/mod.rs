//! YAML as go-yaml writes it: `toYaml` (version 2, by way of JSON) and `toYamlPretty` (version 3, directly).
//!
//! Checksums are taken over this text, so every byte counts: key order, quoting, folding at 80 columns, block scalars with their hints.
//! Written from the emitter's observable rules (go.yaml.in/yaml v2.4.3 and v3.0.4, sigs.k8s.io/yaml v1.6.0). Not the canonical form of
//! [`manifest::yaml`], which is ours.
//! Invariant: a [`Writer`] never recurses deeper than [`MAX_DEPTH`].

mod order;
mod resolve;
mod scalar;

use base64::Engine;
use serde_json::Value as Json;

use super::number;
use crate::value::{Integer, MAX_DEPTH, Oversized, Str, Value};
use scalar::{Analysis, Style};

/// Which go-yaml.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// `go.yaml.in/yaml/v2` through `sigs.k8s.io/yaml`.
    V2,
    /// `go.yaml.in/yaml/v3` with an indent of 2.
    V3,
}

/// Why a value has no YAML form.
#[derive(Debug, thiserror::Error)]
pub enum ToYamlError {
    /// Nested too deep, or a cycle.
    #[error(transparent)]
    Oversized(#[from] Oversized),
    /// JSON cannot carry the value.
    #[error("error marshaling into JSON: json: unsupported value: {0}")]
    Unsupported(String),
    /// JSON cannot carry the type.
    #[error("error marshaling into JSON: json: unsupported type: {0}")]
    JsonType(&'static str),
    /// JSON cannot carry this value of a type that it has a form for.
    #[error("error marshaling into JSON: json: {0}")]
    Unfit(&'static str),
    /// Version 3 cannot carry the type.
    #[error("cannot marshal type: {0}")]
    UnsupportedType(&'static str),
    /// The YAML reader between JSON and YAML refuses the text.
    #[error("yaml: control characters are not allowed")]
    Control,
}

/// Returns what `sigs.k8s.io/yaml.Marshal` writes, with its final newline.
///
/// # Errors
/// [`ToYamlError`]: `toYaml` turns it into an empty string, `mustToYaml` fails with it.
pub fn marshal(value: &Value) -> Result<String, ToYamlError> {
    let mut writer = Writer::new(Version::V2);
    writer.node(value, Context::Root, MAX_DEPTH)?;
    Ok(writer.finish())
}

/// Returns what go-yaml version 3 writes with an indent of 2, with its final newline.
///
/// # Errors
/// [`ToYamlError`]: `toYamlPretty` turns it into an empty string.
pub fn marshal_pretty(value: &Value) -> Result<String, ToYamlError> {
    let mut writer = Writer::new(Version::V3);
    writer.node(value, Context::Root, MAX_DEPTH)?;
    Ok(writer.finish())
}

/// Where a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Context {
    Root,
    Item,
    /// A key short enough to stand before its colon.
    SimpleKey,
    /// The value of a mapping, or a key after `?`.
    Mapping,
}

/// Lines longer than this are folded at the next space (version 2 only).
const WIDTH: usize = 80;

/// The text so far and where the next character would stand.
struct Writer {
    version: Version,
    out: String,
    column: usize,
    /// Columns of the block at hand; negative before the first.
    indent: isize,
    /// The last character was a space or begins a line.
    whitespace: bool,
    /// Only indentation stands on the line so far.
    indention: bool,
    /// An item of a block sequence is being written, directly (version 3 indents by it).
    in_item: bool,
}

impl Writer {
    fn new(version: Version) -> Writer {
        Writer { version, out: String::new(), column: 0, indent: -1, whitespace: true, indention: true, in_item: false }
    }

    fn finish(mut self) -> String {
        self.write_indent();
        self.out
    }

    fn put(&mut self, c: char) {
        self.out.push(c);
        self.column += 1;
    }

    fn put_break(&mut self) {
        self.out.push('\n');
        self.column = 0;
        if self.version == Version::V3 {
            self.indention = true;
        }
    }

    fn write_indent(&mut self) {
        let indent = usize::try_from(self.indent).unwrap_or(0);
        if !self.indention || self.column > indent || (self.column == indent && !self.whitespace) {
            self.put_break();
        }
        while self.column < indent {
            self.put(' ');
        }
        self.whitespace = true;
        if self.version == Version::V2 {
            self.indention = true;
        }
    }

    fn indicator(&mut self, text: &str, need_whitespace: bool, is_whitespace: bool, is_indention: bool) {
        if need_whitespace && !self.whitespace {
            self.put(' ');
        }
        self.out.push_str(text);
        self.column += text.chars().count();
        self.whitespace = is_whitespace;
        self.indention = self.indention && is_indention;
    }

    /// Enters a block and returns the indent to restore.
    fn deeper(&mut self, flow: bool, indentless: bool) -> isize {
        let old = self.indent;
        if self.indent < 0 {
            self.indent = if flow { 2 } else { 0 };
        } else if !indentless {
            self.indent = match self.version {
                Version::V3 if !self.in_item => 2 * ((self.indent + 2) / 2),
                Version::V2 | Version::V3 => self.indent + 2,
            };
        }
        old
    }

    fn node(&mut self, value: &Value, context: Context, depth: usize) -> Result<(), ToYamlError> {
        let depth = depth.checked_sub(1).ok_or(Oversized)?;
        match value {
            Value::List(list) if !list.is_nil() => {
                let items = list.borrow();
                self.sequence(items.iter(), context, |writer, item, context| writer.node(item, context, depth))
            }
            Value::Map(map) if !map.is_nil() => {
                let entries = map.borrow();
                let mut entries: Vec<(String, &Value)> = entries
                    .iter()
                    .map(|(key, value)| Ok((self.text_of(key)?, value)))
                    .collect::<Result<_, ToYamlError>>()?;
                entries.sort_by(|(a, _), (b, _)| order::compare(a, b, self.version));
                self.mapping(entries.iter().map(|(key, value)| (key.as_str(), *value)), |writer, value| {
                    writer.node(value, Context::Mapping, depth)
                })
            }
            Value::Object(object) => match self.version {
                Version::V2 => match (object.unfit_for_json(), object.json()) {
                    (Some(reason), _) => Err(ToYamlError::Unfit(reason)),
                    (None, Some(json)) => self.json(&json?, context, depth),
                    (None, None) => {
                        let fields: Vec<_> = object.fields();
                        let mut fields: Vec<(&str, &Value)> =
                            fields.iter().map(|(name, value)| (*name, value)).collect();
                        fields.sort_by(|(a, _), (b, _)| order::compare(a, b, self.version));
                        self.mapping(fields.into_iter(), |writer, value| writer.node(value, Context::Mapping, depth))
                    }
                },
                Version::V3 => {
                    if let Some(Ok(Json::String(text))) = object.json() {
                        // Times are written as they are, other texts as strings.
                        if object.type_name() == "time.Time" {
                            self.plain(&text, context);
                        } else {
                            self.string(&text, context, false);
                        }
                        return Ok(());
                    }
                    let fields: Vec<(String, Value)> =
                        object.fields().into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
                    self.mapping(fields.iter().map(|(name, value)| (name.as_str(), value)), |writer, value| {
                        writer.node(value, Context::Mapping, depth)
                    })
                }
            },
            scalar => self.scalar_value(scalar, context),
        }
    }

    fn scalar_value(&mut self, value: &Value, context: Context) -> Result<(), ToYamlError> {
        match value {
            Value::String(text) => {
                let (text, binary) = match (self.version, text.as_str()) {
                    (Version::V3, None) => (base64_lines(text.as_bytes()), true),
                    _ => (self.text_of(text)?, false),
                };
                if binary {
                    self.indicator("!!binary", true, false, false);
                }
                self.string(&text, context, binary);
            }
            Value::Bytes(bytes) => match self.version {
                Version::V2 => {
                    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
                    self.string(&text, context, false);
                }
                // Version 3 knows no bytes: a list of numbers.
                Version::V3 => {
                    self.sequence(bytes.iter(), context, |writer, number, context| {
                        writer.plain(&number.to_string(), context);
                        Ok(())
                    })?;
                }
            },
            Value::Bool(b) => self.plain(if *b { "true" } else { "false" }, context),
            Value::Duration(n) if self.version == Version::V3 => {
                self.string(&crate::gotemplate::print::format_duration(*n), context, false);
            }
            Value::Float(x) => self.float(*x, context)?,
            Value::Complex(..) => {
                let name = value.type_name();
                return Err(match self.version {
                    Version::V2 => ToYamlError::JsonType(name),
                    Version::V3 => ToYamlError::UnsupportedType(name),
                });
            }
            Value::List(_) if self.version == Version::V3 => self.plain("[]", context),
            Value::Map(_) if self.version == Version::V3 => self.plain("{}", context),
            other => match other.as_integer() {
                Some(Integer::Signed(n)) => self.plain(&n.to_string(), context),
                Some(Integer::Unsigned(n)) => self.plain(&n.to_string(), context),
                None => self.plain("null", context),
            },
        }
        Ok(())
    }

    fn float(&mut self, x: f64, context: Context) -> Result<(), ToYamlError> {
        if self.version == Version::V3 {
            let text = match number::go_g(x).as_str() {
                "+Inf" => ".inf".to_owned(),
                "-Inf" => "-.inf".to_owned(),
                "NaN" => ".nan".to_owned(),
                text => text.to_owned(),
            };
            self.plain(&text, context);
            return Ok(());
        }
        if !x.is_finite() {
            return Err(ToYamlError::Unsupported(number::go_g(x)));
        }
        /// Up to here JSON writes whole numbers with all their digits.
        const PLAIN_MAX: f64 = 1e15;
        if x.fract() == 0.0 && x.abs() < PLAIN_MAX {
            #[expect(clippy::cast_possible_truncation, reason = "the range is checked first")]
            let whole = x as i64;
            self.plain(&whole.to_string(), context);
            return Ok(());
        }
        // JSON carries the digits; the YAML reader then finds an integer wherever one fits.
        let json = number::json(x);
        let text = match (json.parse::<i64>(), json.parse::<u64>()) {
            (Ok(n), _) => n.to_string(),
            (_, Ok(n)) => n.to_string(),
            _ => number::go_g(x),
        };
        self.plain(&text, context);
        Ok(())
    }

    /// Writes a document an object gives of itself (version 2 only).
    fn json(&mut self, value: &Json, context: Context, depth: usize) -> Result<(), ToYamlError> {
        let depth = depth.checked_sub(1).ok_or(Oversized)?;
        match value {
            Json::Null => self.plain("null", context),
            Json::Bool(b) => self.plain(if *b { "true" } else { "false" }, context),
            Json::Number(n) if n.is_f64() => self.float(n.as_f64().unwrap_or(f64::NAN), context)?,
            Json::Number(n) => self.plain(&n.to_string(), context),
            Json::String(text) => {
                let text = reread(text)?;
                self.string(&text, context, false);
            }
            Json::Array(items) => {
                self.sequence(items.iter(), context, |writer, item, context| writer.json(item, context, depth))?;
            }
            Json::Object(fields) => {
                let mut fields: Vec<(&str, &Json)> = fields.iter().map(|(key, value)| (key.as_str(), value)).collect();
                fields.sort_by(|(a, _), (b, _)| order::compare(a, b, self.version));
                self.mapping(fields.into_iter(), |writer, value| writer.json(value, Context::Mapping, depth))?;
            }
        }
        Ok(())
    }

    fn sequence<'v, T: 'v>(
        &mut self,
        items: impl ExactSizeIterator<Item = &'v T>,
        context: Context,
        mut write: impl FnMut(&mut Writer, &'v T, Context) -> Result<(), ToYamlError>,
    ) -> Result<(), ToYamlError> {
        if items.len() == 0 {
            self.empty("[", "]");
            return Ok(());
        }
        // Version 2 keeps the dashes of a list at the column of its key.
        let indentless = self.version == Version::V2 && context == Context::Mapping && !self.indention;
        let old = self.deeper(false, indentless);
        for item in items {
            self.write_indent();
            self.indicator("-", true, false, true);
            self.in_item = true;
            write(self, item, Context::Item)?;
            self.in_item = false;
        }
        self.indent = old;
        Ok(())
    }

    fn mapping<'k, 'v, T: 'v>(
        &mut self,
        entries: impl ExactSizeIterator<Item = (&'k str, &'v T)>,
        mut write: impl FnMut(&mut Writer, &'v T) -> Result<(), ToYamlError>,
    ) -> Result<(), ToYamlError> {
        if entries.len() == 0 {
            self.empty("{", "}");
            return Ok(());
        }
        let old = self.deeper(false, false);
        self.in_item = false;
        for (key, value) in entries {
            self.write_indent();
            if scalar::is_simple_key(key) {
                self.string(key, Context::SimpleKey, false);
                self.indicator(":", false, false, false);
            } else {
                self.indicator("?", true, false, true);
                self.string(key, Context::Mapping, false);
                self.write_indent();
                self.indicator(":", true, false, true);
            }
            write(self, value)?;
        }
        self.indent = old;
        Ok(())
    }

    fn empty(&mut self, open: &str, close: &str) {
        self.in_item = false;
        self.indicator(open, true, true, false);
        self.indicator(close, false, false, false);
    }

    /// Writes a scalar that is safe without quotes.
    fn plain(&mut self, text: &str, context: Context) {
        let old = self.deeper(true, false);
        self.in_item = false;
        self.write_plain(text, context != Context::SimpleKey);
        self.indent = old;
    }

    fn string(&mut self, text: &str, context: Context, binary: bool) {
        let analysis = Analysis::of(text, self.version);
        let simple_key = context == Context::SimpleKey;
        let style = if text.contains('\n') {
            Style::Literal
        } else if binary || resolve::is_plain_string(text, self.version) {
            Style::Plain
        } else {
            Style::DoubleQuoted
        };
        let style = analysis.allowed(style, simple_key, text.is_empty());
        let old = self.deeper(true, false);
        self.in_item = false;
        match style {
            Style::Plain => self.write_plain(text, !simple_key),
            Style::SingleQuoted => self.write_single_quoted(text, !simple_key),
            Style::DoubleQuoted => self.write_double_quoted(text, !simple_key),
            Style::Literal => self.write_literal(text),
        }
        self.indent = old;
    }

    /// Returns the string as it arrives at the emitter.
    fn text_of(&self, text: &Str) -> Result<String, ToYamlError> {
        let lossy = text.to_str_lossy();
        match self.version {
            Version::V2 => reread(&lossy),
            Version::V3 => Ok(lossy.into_owned()),
        }
    }
}

/// Returns what the YAML reader makes of a string that JSON wrote: it refuses some characters JSON leaves bare, and folds a bare U+0085
/// as the line break it takes it for.
fn reread(text: &str) -> Result<String, ToYamlError> {
    if text.is_ascii() {
        return if text.contains('\u{7f}') { Err(ToYamlError::Control) } else { Ok(text.to_owned()) };
    }
    let refused = |c: char| matches!(c, '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}');
    if text.contains(refused) {
        return Err(ToYamlError::Control);
    }
    if !text.contains('\u{85}') {
        return Ok(text.to_owned());
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\u{85}') {
        // Blanks written bare around the break are lost; a tab is written as an escape and stays.
        out.push_str(rest[..at].trim_end_matches(' '));
        let mut breaks = 0;
        rest = &rest[at..];
        while let Some(after) = rest.strip_prefix('\u{85}') {
            breaks += 1;
            rest = after.trim_start_matches(' ');
        }
        if breaks == 1 {
            out.push(' ');
        } else {
            out.extend(std::iter::repeat_n('\n', breaks - 1));
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Base64 in lines of 70, as version 3 writes strings that are not UTF-8.
fn base64_lines(bytes: &[u8]) -> String {
    const LINE: usize = 70;
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    if text.len() < LINE {
        return text;
    }
    text.as_bytes().chunks(LINE).flat_map(|line| line.iter().copied().chain([b'\n'])).map(char::from).collect()
}

#[cfg(test)]
mod tests;
