//! Reads `_gen` back: indexes and manifests as they are committed, or were.
//!
//! Knows no disk and no git: files come in as a [`SourceTree`]. Invariant: what cannot be read is said with file and line, and never
//! taken for empty; conflict markers of an unfinished merge are the likely reason, and rendering the way out.

use manifest::index::{Index, IndexError};
use manifest::object::{Manifest, ObjectRef, group_of};
use manifest::yaml::{self, DuplicateKeys};
use serde_json::Value;

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

/// The identity of an object as it stands in the canonical form; the parts are texts of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity<'t> {
    /// API group; empty for the core group.
    pub group: &'t str,
    /// Kind.
    pub kind: &'t str,
    /// Namespace; empty for a cluster-scoped object.
    pub namespace: &'t str,
    /// Name.
    pub name: &'t str,
}

impl<'t> From<&'t ObjectRef> for Identity<'t> {
    fn from(id: &'t ObjectRef) -> Self {
        let ObjectRef { group, kind, namespace, name } = id;
        Identity { group, kind, namespace, name }
    }
}

/// Splits a text in canonical form into its documents, without their last line break: nothing but a document begins with `---` in the first
/// column.
pub fn documents(text: &str) -> impl Iterator<Item = &str> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    (!text.is_empty()).then(|| text.split("\n---\n")).into_iter().flatten()
}

/// Reads one document; nothing where it is not YAML.
pub fn value(document: &str) -> Option<Value> {
    yaml::read(document, &yaml::Settings::default()).ok()?.into_iter().next().map(|document| document.value)
}

/// Reads off who the objects of a `resources.yaml` are, without reading what they say: in the canonical form the first lines of a document are its
/// version and kind, then comes `metadata`. Nothing where the text has not this form.
pub fn identities(bytes: &[u8]) -> Option<Vec<Identity<'_>>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let ends_well = text.ends_with('\n') && text.len() > 1 && !text.ends_with("\n---\n");
    if !(ends_well || text.is_empty()) {
        return None;
    }
    documents(text).map(identity).collect()
}

fn identity(document: &str) -> Option<Identity<'_>> {
    let mut lines = document.split('\n');
    let api_version = scalar(lines.next()?.strip_prefix("apiVersion: ")?)?;
    let kind = scalar(lines.next()?.strip_prefix("kind: ")?)?;
    if lines.next()? != "metadata:" {
        return None;
    }
    let (mut name, mut namespace) = (None, "");
    for line in lines.take_while(|line| line.is_empty() || line.starts_with(' ')) {
        let Some(key) = line.strip_prefix("  ") else { continue };
        if let Some(value) = key.strip_prefix("name: ") {
            name = Some(value);
        } else if let Some(value) = key.strip_prefix("namespace: ") {
            namespace = value;
        }
    }
    Some(Identity { group: group_of(api_version), kind, namespace: scalar(namespace)?, name: scalar(name?)? })
}

/// Returns the text of a scalar in canonical form: plain, or in double quotes without an escape in them.
fn scalar(written: &str) -> Option<&str> {
    match written.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"').filter(|text| !text.contains(['"', '\\'])),
        None => (!written.starts_with(['|', '>', '\'', '{', '['])).then_some(written),
    }
}

fn unreadable(message: String, place: Place) -> Diagnostic {
    Diagnostic::error("unreadable-gen", message)
        .at(place)
        .hint("`generator render` writes _gen anew, also after a conflicting merge")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn identities_are_those_of_the_objects() {
        let tricky = "a: |\n  ---\n  apiVersion: v1\n---\nname: no\n";
        let values = [
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n"}, "data": {"x": tricky, "": ""}}),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "1e3", "namespace": "123", "annotations": {"name": tricky, "y": "\n\n"}}}),
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"labels": {"name": "no", "namespace": "no"}, "name": "b"}, "spec": tricky}),
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "system:true"}, "rules": []}),
            json!({"apiVersion": "example.com/v1", "kind": "Yes", "metadata": {"name": "y", "ownerReferences": [{"name": "no"}]}}),
        ];
        let manifest = |value: &serde_json::Value| Manifest::from_value(value.clone()).expect("valid");
        for count in 0..=values.len() {
            let manifests: Vec<Manifest> = values[..count].iter().map(manifest).collect();
            let text = yaml::write_documents(manifests.iter().map(|manifest| &manifest.value));
            let read = identities(text.as_bytes()).expect("canonical");
            let expected: Vec<Identity<'_>> = manifests.iter().map(|manifest| Identity::from(&manifest.id)).collect();
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_canonical_has_no_identities() {
        let good = "apiVersion: v1\nkind: A\nmetadata:\n  name: a\n";
        assert!(identities(good.as_bytes()).is_some_and(|read| read.len() == 1));
        for text in [
            "\n",
            "---\n",
            "kind: A\napiVersion: v1\nmetadata:\n  name: a\n",
            "apiVersion: v1\nkind: A\nmetadata: {name: a}\n",
            "apiVersion: v1\nkind: A\nmetadata:\n  name: 'a'\n",
            "apiVersion: v1\nkind: A\nmetadata:\n  name: \"\\x61\"\n",
            "apiVersion: v1\nkind: A\nmetadata:\n  labels: {}\n",
            &format!("{good}---\n"),
            &format!("{good}---\n---\n{good}"),
            &format!("{good}<<<<<<< HEAD\n---\nmore\n"),
        ] {
            assert_eq!(identities(text.as_bytes()), None, "{text}");
        }
    }
}
