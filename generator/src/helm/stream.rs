//! The stream `helm template` prints: documents split, hooks set apart, sorted by kind.
//!
//! Source: Helm v4.2.3 `pkg/release/v1/util/{manifest,manifest_sorter,kind_sorter}.go`, `pkg/cmd/template.go`, `pkg/action/action.go`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use manifest::object::{INSTALL_ORDER, install_order};
use manifest::yaml::{self, DuplicateKeys, Position};
use regex::Regex;
use serde_json::Value as Json;

use super::metadata::as_text;
use super::{Rendered, RenderedFile, path_match};
use crate::diagnostic::Diagnostic;

/// The hooks Helm knows, as written and as meant.
const HOOKS: [(&str, &str); 10] = [
    ("pre-install", "pre-install"),
    ("post-install", "post-install"),
    ("pre-delete", "pre-delete"),
    ("post-delete", "post-delete"),
    ("pre-upgrade", "pre-upgrade"),
    ("post-upgrade", "post-upgrade"),
    ("pre-rollback", "pre-rollback"),
    ("post-rollback", "post-rollback"),
    ("test", "test"),
    ("test-success", "test"),
];

/// A document of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Path of the template, the name of the chart first.
    pub path: String,
    /// The document as rendered, blanks before it cut.
    pub text: String,
    /// Its kind; empty where it has none.
    pub kind: String,
    /// The events it hooks into; empty for an ordinary document.
    pub hooks: Vec<&'static str>,
}

/// The documents of a release, in Helm's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sorted {
    /// Ordinary documents by kind.
    pub manifests: Vec<Document>,
    /// Hooks by kind, documents with unknown hooks left out, as Helm does.
    pub hooks: Vec<Document>,
}

/// A rendered document that is not YAML.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("YAML parse error on {path}: {message}")]
pub struct NotYaml {
    /// Path of the template.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// Byte offset of the document in the rendered file.
    pub offset: usize,
    /// Line in the document, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
}

impl NotYaml {
    /// Returns the error at the place in the template that wrote what is not YAML.
    pub fn diagnostic(&self, rendered: &Rendered) -> Diagnostic {
        let diagnostic = Diagnostic::error("invalid-yaml", self.to_string());
        let Some(file) = rendered.files.iter().find(|file| file.path == self.path) else { return diagnostic };
        let before = &file.text[..self.offset];
        let indent = if self.line == 1 { before.rsplit('\n').next().map_or(0, |line| line.chars().count()) } else { 0 };
        let line = before.matches('\n').count() + self.line;
        let at = Position { line, column: self.column + indent };
        diagnostic.at(file.place(at)).hint("see what the templates rendered to with `--debug`")
    }
}

/// Splits and sorts what a chart rendered to.
///
/// # Errors
/// The first document that is not YAML; Helm reads them all to find kinds and hooks.
pub fn sort(files: &[RenderedFile]) -> Result<Sorted, NotYaml> {
    let mut by_path: Vec<&RenderedFile> = files.iter().collect();
    by_path.sort_by(|a, b| a.path.cmp(&b.path));
    let mut sorted = Sorted::default();
    for file in by_path {
        let name = file.path.rsplit('/').next().unwrap_or(&file.path);
        if name.starts_with('_') {
            continue;
        }
        for (offset, text) in split(&file.text) {
            let head = Head::read(&file.path, offset, text)?;
            let Some(hook) = head.annotation("helm.sh/hook") else {
                sorted.manifests.push(document(file, text, head, Vec::new()));
                continue;
            };
            let events: Option<Vec<&'static str>> = hook.split(',').map(hook_event).collect();
            if let Some(events) = events {
                sorted.hooks.push(document(file, text, head, events));
            }
        }
    }
    sorted.manifests.sort_by(by_kind);
    sorted.hooks.sort_by(by_kind);
    Ok(sorted)
}

fn document(file: &RenderedFile, text: &str, head: Head, hooks: Vec<&'static str>) -> Document {
    Document { path: file.path.clone(), text: text.to_owned(), kind: head.kind, hooks }
}

fn hook_event(name: &str) -> Option<&'static str> {
    let name = name.trim().to_lowercase();
    HOOKS.iter().find(|(written, _)| *written == name).map(|(_, event)| *event)
}

fn by_kind(a: &Document, b: &Document) -> std::cmp::Ordering {
    let order = install_order(&a.kind).cmp(&install_order(&b.kind));
    if install_order(&a.kind) == INSTALL_ORDER.len() { order.then_with(|| a.kind.cmp(&b.kind)) } else { order }
}

/// Splits a text at lines that begin with `---`; blank documents are left out. Offsets are those of the documents in the text.
pub fn split(text: &str) -> Vec<(usize, &str)> {
    static SEPARATOR: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?:^|[\t\n\x0C\r ]*\n)---[\t\n\x0C\r ]*").expect("a fixed pattern"));
    let trimmed = text.trim_start();
    let start = text.len() - trimmed.len();
    let mut documents = Vec::new();
    let mut from = 0;
    let ends = SEPARATOR.find_iter(trimmed).map(|found| (found.start(), found.end()));
    for (end, next) in ends.chain([(trimmed.len(), trimmed.len())]) {
        let document = &trimmed[from..end];
        let kept = document.trim_start();
        if !kept.is_empty() {
            documents.push((start + from + document.len() - kept.len(), kept));
        }
        from = next;
    }
    documents
}

/// What Helm reads of a document to sort it.
struct Head {
    kind: String,
    annotations: BTreeMap<String, String>,
}

impl Head {
    fn read(path: &str, offset: usize, text: &str) -> Result<Head, NotYaml> {
        let settings = yaml::Settings { duplicate_keys: DuplicateKeys::LastWins, ..yaml::Settings::default() };
        let not_yaml = |message: String, line: usize, column: usize| NotYaml {
            path: path.to_owned(),
            message,
            offset,
            line,
            column,
        };
        let document = yaml::read_first(text, &settings).map_err(|error| {
            let message = format!("error converting YAML to JSON: yaml: line {}: {}", error.at.line, error.message);
            not_yaml(message, error.at.line, error.at.column)
        })?;
        let value = document.map(|document| document.value).unwrap_or_default();
        let misfit = |what: &str| {
            let message = format!("error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {what}");
            not_yaml(message, 1, 1)
        };
        let fields = match &value {
            Json::Object(fields) => fields,
            Json::Null => return Ok(Head { kind: String::new(), annotations: BTreeMap::new() }),
            Json::Array(_) => return Err(misfit("array into Go value of type util.SimpleHead")),
            Json::String(_) => return Err(misfit("string into Go value of type util.SimpleHead")),
            Json::Number(_) => return Err(misfit("number into Go value of type util.SimpleHead")),
            Json::Bool(_) => return Err(misfit("bool into Go value of type util.SimpleHead")),
        };
        let field = |path: &str, value: Option<&Json>| {
            let wrong = || misfit(&format!("value into Go struct field SimpleHead.{path} of type string"));
            value.map_or(Ok(String::new()), |value| as_text(value).ok_or_else(wrong))
        };
        field("apiVersion", fields.get("apiVersion"))?;
        let kind = field("kind", fields.get("kind"))?;
        let mut annotations = BTreeMap::new();
        match fields.get("metadata") {
            None | Some(Json::Null) => {}
            Some(Json::Object(metadata)) => {
                field("metadata.name", metadata.get("name"))?;
                match metadata.get("annotations") {
                    None | Some(Json::Null) => {}
                    Some(Json::Object(found)) => {
                        for (key, value) in found {
                            annotations.insert(key.clone(), field("metadata.annotations", Some(value))?);
                        }
                    }
                    Some(_) => {
                        return Err(misfit(
                            "value into Go struct field .metadata.annotations of type map[string]string",
                        ));
                    }
                }
            }
            Some(_) => return Err(misfit("value into Go struct field SimpleHead.metadata of type struct")),
        }
        Ok(Head { kind, annotations })
    }

    fn annotation(&self, name: &str) -> Option<&String> {
        self.annotations.get(name)
    }
}

/// What of a release to print.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Documents of `crds/` first.
    pub include_crds: bool,
    /// Hooks left out.
    pub no_hooks: bool,
    /// Hooks of `helm test` left out.
    pub skip_tests: bool,
}

/// No template fits a pattern of `--show-only`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("could not find template {pattern} in chart")]
pub struct NoSuchTemplate {
    /// The pattern, as given.
    pub pattern: String,
}

/// Returns what `helm template --show-only` leaves of what it prints: the documents of the templates that fit the patterns, by pattern.
/// A pattern is a path below the chart, where `*`, `?` and `[...]` stand for characters other than `/`.
///
/// # Errors
/// The first pattern that fits nothing.
pub fn show_only(output: &str, patterns: &[String]) -> Result<String, NoSuchTemplate> {
    static SOURCE: LazyLock<Regex> = LazyLock::new(|| Regex::new("# Source: [^/]+/(.+)").expect("a fixed pattern"));
    let source = |document: &str| SOURCE.captures(document).map(|found| found[1].to_owned());
    let documents: Vec<(String, &str)> =
        split(output).into_iter().filter_map(|(_, document)| Some((source(document)?, document))).collect();
    let mut shown = String::new();
    for pattern in patterns {
        let before = shown.len();
        for (_, document) in documents.iter().filter(|(path, _)| path_match::matches(pattern, path) == Ok(true)) {
            shown.push_str("---\n");
            shown.push_str(document);
            shown.push('\n');
        }
        if shown.len() == before {
            return Err(NoSuchTemplate { pattern: pattern.clone() });
        }
    }
    Ok(shown)
}

/// Where a text belongs that `helm template` gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A file of `crds/`, whole.
    Crd,
    /// An ordinary document.
    Manifest,
    /// A hook.
    Hook,
}

/// Returns what of a release is selected, in Helm's order: where it belongs, its path, its text.
///
/// # Errors
/// As [`sort`].
pub fn select(rendered: &Rendered, selection: &Selection) -> Result<Vec<(Part, String, String)>, NotYaml> {
    let sorted = sort(&rendered.files)?;
    let crds = rendered.crds.iter().filter(|_| selection.include_crds);
    let crds = crds.map(|crd| (Part::Crd, crd.path.clone(), crd.text.clone()));
    let manifests = sorted.manifests.into_iter().map(|manifest| (Part::Manifest, manifest.path, manifest.text));
    let is_selected = |hook: &Document| !(selection.no_hooks || selection.skip_tests && hook.hooks.contains(&"test"));
    let hooks = sorted.hooks.into_iter().filter(is_selected).map(|hook| (Part::Hook, hook.path, hook.text));
    Ok(crds.chain(manifests).chain(hooks).collect())
}

/// Returns a text under the line that names its template.
pub fn entry(path: &str, text: &str) -> String {
    format!("---\n# Source: {path}\n{text}\n")
}

/// Returns what `helm template` prints.
///
/// # Errors
/// As [`sort`].
pub fn template_output(rendered: &Rendered, selection: &Selection) -> Result<String, NotYaml> {
    let selected = select(rendered, selection)?;
    let print = |hooks: bool| -> String {
        let some = selected.iter().filter(|(part, ..)| (*part == Part::Hook) == hooks);
        some.map(|(_, path, text)| entry(path, text)).collect()
    };
    Ok(format!("{}\n{}", print(false).trim(), print(true)))
}

/// Returns the texts of all templates as they are, blank ones left out: what `helm template --debug` prints where one of them is not YAML.
pub fn unsorted(rendered: &Rendered) -> String {
    let files = rendered.files.iter().filter(|file| !file.text.trim().is_empty());
    let all: String = files.map(|file| entry(&file.path, &file.text)).collect();
    format!("{}\n", all.trim())
}
