//! One more environment in `generator.yaml`, with every comment of it left as it is.
//!
//! Works on the text and trusts itself only after reading the result back. Invariant: the new text means what the old one did and one
//! environment more, or there is none.

use manifest::yaml::{self, Document, Position};
use serde_json::Value;

use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::file;
use crate::service::Catalog;
use crate::settings::{self, FILE};
use crate::source::SourceTree;

const KEY: &str = "environments";

/// Returns the new text; nothing where no list is needed, because services say which environments there are.
///
/// # Errors
/// A file that is written in a way that only its author can go on with.
pub(super) fn add(
    tree: &SourceTree,
    catalog: &Catalog,
    name: &str,
    from: Option<&str>,
) -> Result<Option<String>, Box<Diagnostic>> {
    let bytes = tree.get(FILE).unwrap_or_default();
    let old = std::str::from_utf8(bytes).unwrap_or_default();
    let document = yaml::read(old, &yaml::Settings { marks: true, ..yaml::Settings::default() }).unwrap_or_default();
    let document = document.into_iter().find(|document| !document.value.is_null());
    let listed = document.as_ref().and_then(|document| document.value.get(KEY));
    let settings = match (from, listed) {
        (Some(from), Some(listed)) => listed.get(from).filter(|own| !own.is_null()).cloned(),
        (Some(_), None) => return Ok(None),
        (None, _) => None,
    };
    let settings = settings.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    let new = match (&document, listed) {
        (Some(document), Some(Value::Object(entries))) if !entries.is_empty() => insert(old, document, name, &settings),
        _ => {
            let all = catalog.environments.iter().map(String::as_str).chain([name]);
            let mut lines: Vec<String> = all.map(|name| format!("  {name}: {{}}\n")).collect();
            lines.sort();
            let break_ = if old.is_empty() || old.ends_with('\n') { "" } else { "\n" };
            listed.is_none().then(|| format!("{old}{break_}{KEY}:\n{}", lines.concat()))
        }
    };
    let expected = catalog.environments.iter().map(String::as_str).chain([name]);
    match new.filter(|new| means(new, catalog, expected)) {
        Some(new) => Ok(Some(new)),
        None => {
            let message = format!("`{name}` has to be added to `{KEY}` in {FILE} by hand");
            Err(Box::new(
                Diagnostic::error("cannot-edit", message)
                    .at(Place::file(FILE))
                    .hint(format!("add `{name}: {{}}` to it")),
            ))
        }
    }
}

/// Puts an entry in front of the first one, or of the first that comes after it in order.
fn insert(old: &str, document: &Document, name: &str, settings: &Value) -> Option<String> {
    let entries = document.value.get(KEY)?.as_object()?;
    let next = entries.keys().find(|other| other.as_str() > name).or_else(|| entries.keys().next())?;
    let at = document.marks.keys.get(&format!("/{KEY}/{}", file::escape(next)))?;
    let offset = offset(old, *at)?;
    let line_start = old[..offset].rfind('\n').map_or(0, |newline| newline + 1);
    let indent = &old[line_start..offset];
    let entry = format!("{name}: {settings}");
    let entry = if indent.trim().is_empty() { format!("{entry}\n{indent}") } else { format!("{entry}, ") };
    Some(format!("{}{entry}{}", &old[..offset], &old[offset..]))
}

fn offset(text: &str, at: Position) -> Option<usize> {
    let start: usize = text.split_inclusive('\n').take(at.line.checked_sub(1)?).map(str::len).sum();
    text[start..].char_indices().nth(at.column.checked_sub(1)?).map(|(column, _)| start + column)
}

/// Tells whether a text lists these environments, and says otherwise what the settings of the catalog say.
fn means<'n>(text: &str, catalog: &Catalog, names: impl Iterator<Item = &'n str>) -> bool {
    let tree: SourceTree = [(FILE, text)].into_iter().collect();
    let mut wrong = Diagnostics::new();
    let mut now = settings::read(&tree, &mut wrong);
    let listed = now.environments.take().unwrap_or_default();
    let old = settings::Settings { environments: None, ..catalog.settings.clone() };
    let mut before = catalog.settings.environments.iter().flatten();
    !wrong.has_errors()
        && now == old
        && listed.len() == names.filter(|name| listed.contains_key(*name)).count()
        && before.all(|(name, own)| listed.get(name) == Some(own))
}
