//! Reads `_gen` back: indexes and manifests as they are committed, or were.
//!
//! Knows no disk and no git: files come in as a [`SourceTree`]. Invariant: what cannot be read is said with file and line, and never
//! taken for empty; conflict markers of an unfinished merge are the likely reason, and rendering the way out.

use manifest::index::{Index, IndexError};
use manifest::object::Manifest;
use manifest::yaml::{self, DuplicateKeys};

use crate::diagnostic::{Diagnostic, Place};
use crate::source::SourceTree;

/// Reads the index of an environment; nothing where it has none. `which` says of which state of `_gen`, in front of a verb: `on the disk`.
///
/// # Errors
/// An index that this version cannot read.
pub fn index(tree: &SourceTree, environment: &str, which: &str) -> Result<Option<Index>, Box<Diagnostic>> {
    let path = Index::path(environment);
    let Some(bytes) = tree.get(&path) else { return Ok(None) };
    Index::parse(bytes, environment).map(Some).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        let place = match &error {
            IndexError::Syntax(syntax) if syntax.line() > 0 => Place::at(path, syntax.line(), syntax.column().max(1)),
            _ => Place::file(path),
        };
        Box::new(unreadable(format!("the index {which} cannot be read: {error}{cause}"), place))
    })
}

/// Reads a `resources.yaml`.
///
/// # Errors
/// Text that is not what `render` writes: not YAML, not objects.
pub fn manifests(path: &str, bytes: &[u8], which: &str) -> Result<Vec<Manifest>, Box<Diagnostic>> {
    let settings = yaml::Settings { duplicate_keys: DuplicateKeys::Refuse, ..yaml::Settings::default() };
    let fail = |message: String, place: Place| {
        Box::new(unreadable(format!("the manifests {which} cannot be read: {message}"), place))
    };
    let text = std::str::from_utf8(bytes).map_err(|_| fail("not UTF-8 text".to_owned(), Place::file(path)))?;
    let documents = yaml::read(text, &settings)
        .map_err(|error| fail(error.message, Place::at(path, error.at.line, error.at.column)))?;
    let documents = documents.into_iter().filter(|document| !document.value.is_null());
    documents
        .map(|document| {
            let start = document.start;
            Manifest::from_value(document.value).map_err(|errors| {
                let message = errors.into_iter().next().map_or_else(String::new, |error| error.message);
                fail(message, Place::at(path, start.line, start.column))
            })
        })
        .collect()
}

fn unreadable(message: String, place: Place) -> Diagnostic {
    Diagnostic::error("unreadable-gen", message)
        .at(place)
        .hint("`generator render` writes _gen anew, also after a conflicting merge")
}
