//! Reads one file of the repository: as text, as YAML, as one of our own types.
//!
//! The floor under [`crate::settings`] and [`crate::service`]: knows no path and no key by itself. Invariant: whatever is wrong with a file is
//! said with the line and column where it is.

use manifest::object::type_name;
use manifest::yaml::{self, Document, DuplicateKeys, Marks};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::diagnostic::{Diagnostic, Diagnostics, Place, suggest};
use crate::source::SourceTree;

/// A file of our own.
#[derive(Debug, Clone)]
pub struct Parsed<T> {
    /// What it says.
    pub value: T,
    /// Path, from the root of the repository.
    pub path: String,
    marks: Marks,
}

impl<T> Parsed<T> {
    /// Returns where the value with this JSON pointer stands, or the file where it has none.
    pub fn place(&self, pointer: &str) -> Place {
        place(&self.path, self.marks.values.get(pointer))
    }

    /// Returns where the key of the value with this JSON pointer stands, or the file where it has none.
    pub fn key_place(&self, pointer: &str) -> Place {
        place(&self.path, self.marks.keys.get(pointer))
    }
}

/// A mapping in a file of our own, by JSON pointer, and every key it may have.
pub type Mapping = (String, &'static [&'static str]);

/// Reads a file of our own; nothing where it is absent or empty. `mappings` names those that the file has, from what it says.
///
/// # Errors
/// Text that is not UTF-8 or not YAML, a key that comes twice, every key that is not known, a value of the wrong type.
pub fn parse<T: DeserializeOwned>(
    tree: &SourceTree,
    path: &str,
    mappings: impl Fn(&Value) -> Vec<Mapping>,
) -> Result<Option<Parsed<T>>, Diagnostics> {
    let Some(bytes) = tree.get(path) else { return Ok(None) };
    let text = text(path, bytes)?;
    let Some(Document { value, marks, .. }) = document(path, text, true)? else { return Ok(None) };
    let unknown: Diagnostics = mappings(&value)
        .iter()
        .flat_map(|(pointer, known)| unknown_keys(path, &value, &marks, pointer, known))
        .collect();
    if !unknown.is_empty() {
        return Err(unknown);
    }
    // The type is read from the text once more, not from the value: there, 1.30 is still a text to who wants one.
    match serde_yaml::from_str::<Option<T>>(text) {
        Ok(value) => Ok(value.map(|value| Parsed { value, path: path.to_owned(), marks })),
        Err(error) => {
            let message = error.to_string();
            let Some((line, column)) = error.location().map(|at| (at.line(), at.column())) else {
                return Err(Diagnostic::error("bad-value", message).at(Place::file(path)).into());
            };
            let message = message.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&message);
            Err(Diagnostic::error("bad-value", message).at(Place::at(path, line, column)).into())
        }
    }
}

fn unknown_keys(path: &str, document: &Value, marks: &Marks, pointer: &str, known: &[&str]) -> Vec<Diagnostic> {
    let keys = document.pointer(pointer).and_then(Value::as_object).into_iter().flat_map(serde_json::Map::keys);
    let unknown = keys.filter(|key| !known.contains(&key.as_str()));
    unknown
        .map(|key| {
            let at = marks.keys.get(&format!("{pointer}/{}", escape(key)));
            let hint = match suggest(key, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", known.join(", ")),
            };
            Diagnostic::error("unknown-key", format!("unknown key `{key}`"))
                .at(place(path, at).length(key.chars().count()))
                .hint(hint)
        })
        .collect()
}

/// Returns the text of a file.
///
/// # Errors
/// Bytes that are not UTF-8, with the place of the first of them.
pub fn text<'t>(path: &str, bytes: &'t [u8]) -> Result<&'t str, Diagnostics> {
    std::str::from_utf8(bytes).map_err(|error| {
        let start = error.valid_up_to();
        Diagnostic::error("not-utf8", "the file is not UTF-8 text")
            .at(Place::of_bytes(path, bytes, start, start))
            .hint("save it as UTF-8")
            .into()
    })
}

/// Returns the one document of a file, a mapping; nothing where it is empty. Whether with marks, `marks` says.
///
/// # Errors
/// Text that is not YAML, a key that comes twice, a second document, something else than a mapping.
pub fn document(path: &str, text: &str, marks: bool) -> Result<Option<Document>, Diagnostics> {
    let settings = yaml::Settings { duplicate_keys: DuplicateKeys::Refuse, marks, ..yaml::Settings::default() };
    let documents = yaml::read(text, &settings).map_err(|error| {
        let diagnostic =
            Diagnostic::error("invalid-yaml", error.message).at(Place::at(path, error.at.line, error.at.column));
        let has_conflict = text.lines().any(|line| line.starts_with("<<<<<<< "));
        if has_conflict {
            diagnostic.hint("a merge left its marks in this file: resolve the conflict")
        } else {
            diagnostic
        }
    })?;
    let mut documents = documents.into_iter().filter(|document| !document.value.is_null());
    let Some(document) = documents.next() else { return Ok(None) };
    if let Some(second) = documents.next() {
        let message = "the file is one document, and this is the second";
        let diagnostic = Diagnostic::error("several-documents", message).at(place(path, Some(&second.start)));
        return Err(diagnostic.hint("remove the line `---` before it").into());
    }
    if !document.value.is_object() {
        let at = document.marks.values.get("").unwrap_or(&document.start);
        let message = format!("the file must be a mapping, not {}", type_name(&document.value));
        return Err(Diagnostic::error("not-a-mapping", message)
            .at(place(path, Some(at)))
            .hint("write `key: value`, one a line")
            .into());
    }
    Ok(Some(document))
}

/// Writes a key as a part of a JSON pointer (RFC 6901).
pub fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn place(path: &str, at: Option<&yaml::Position>) -> Place {
    at.map_or_else(|| Place::file(path), |at| Place::at(path, at.line, at.column))
}
