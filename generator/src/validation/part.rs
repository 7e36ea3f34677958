//! A part of an object, and the way to it.
//!
//! Lets a rule walk down an object as it would index it, and name where it is only when it has something to say. Invariant: a part that
//! is not there is null, and so has no parts.

use schema::check::path;
use serde_json::Value;

use super::{End, Finding};
use crate::diagnostic::Diagnostic;
use crate::file;

static NOTHING: Value = Value::Null;

/// A part of an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'p, 'v> {
    /// What stands there; null for nothing.
    pub(super) value: &'v Value,
    step: Step<'p>,
    parent: Option<&'p Part<'p, 'v>>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'p> {
    Root,
    Key(&'p str),
    Index(usize),
}

impl<'p, 'v> Part<'p, 'v> {
    /// Returns the whole of an object.
    pub(super) fn whole(value: &'v Value) -> Part<'p, 'v> {
        Part { value, step: Step::Root, parent: None }
    }

    /// Returns the part below a key.
    pub(super) fn field<'c>(&'c self, key: &'c str) -> Part<'c, 'v> {
        let value = self.value.get(key).unwrap_or(&NOTHING);
        Part { value, step: Step::Key(key), parent: Some(self) }
    }

    /// Returns the parts of a list; none of anything else.
    pub(super) fn items<'c>(&'c self) -> impl Iterator<Item = Part<'c, 'v>> {
        let items = self.value.as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().enumerate().map(move |(index, value)| Part { value, step: Step::Index(index), parent: Some(self) })
    }

    /// Returns the parts of a mapping, with their keys; none of anything else.
    pub(super) fn entries<'c>(&'c self) -> impl Iterator<Item = (&'v str, Part<'c, 'v>)> {
        let entries = self.value.as_object().into_iter().flatten();
        entries.map(move |(key, value)| (key.as_str(), Part { value, step: Step::Key(key), parent: Some(self) }))
    }

    /// Whether anything stands there.
    pub(super) fn is_there(&self) -> bool {
        !self.value.is_null()
    }

    /// Returns the text that stands there; empty for anything else.
    pub(super) fn text(&self) -> &'v str {
        self.value.as_str().unwrap_or_default()
    }

    /// Returns the whole number that stands there.
    pub(super) fn number(&self) -> Option<i64> {
        self.value.as_i64()
    }

    /// Returns the JSON pointer of the part.
    pub(super) fn pointer(&self) -> String {
        let above = self.parent.map(Part::pointer).unwrap_or_default();
        match self.step {
            Step::Root => above,
            Step::Key(key) => format!("{above}/{}", file::escape(key)),
            Step::Index(index) => format!("{above}/{index}"),
        }
    }

    /// Returns how people write the way to the part.
    pub(super) fn path(&self) -> String {
        path(&self.pointer())
    }

    /// Returns what is wrong with the value that stands there: `must be ...`.
    pub(super) fn must(&self, what: &str) -> Finding {
        self.wrong("bad-value", format!("`{}` {what}", self.path()))
    }

    /// Returns what is wrong with the part.
    pub(super) fn wrong(&self, code: &'static str, message: String) -> Finding {
        Finding { pointer: self.pointer(), end: End::Value, diagnostic: Diagnostic::error(code, message) }
    }

    /// Returns that a field of the part is missing.
    pub(super) fn misses(&self, field: &str) -> Finding {
        let message = format!("`{}` is missing", self.field(field).path());
        Finding { pointer: self.pointer(), end: End::Key, diagnostic: Diagnostic::error("missing-field", message) }
    }
}

impl Finding {
    /// Returns the same with a hint.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Finding {
        self.diagnostic.hint = Some(hint.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_know_their_way() {
        let object = json!({"spec": {"ports": [{"port": 1}], "labels": {"a/b": "c"}}});
        let whole = Part::whole(&object);
        let spec = whole.field("spec");
        let ports = spec.field("ports");
        let first = ports.items().next().expect("a port");
        assert_eq!(
            (first.field("port").path(), first.field("port").number()),
            ("spec.ports[0].port".to_owned(), Some(1))
        );
        let labels = spec.field("labels");
        let (_, label) = labels.entries().next().expect("a label");
        assert_eq!(
            (label.pointer(), label.path()),
            ("/spec/labels/a~1b".to_owned(), "spec.labels[\"a/b\"]".to_owned())
        );
        assert!(!whole.field("no").field("where").is_there());
    }
}
