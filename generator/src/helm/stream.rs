//! The stream `helm template` prints: documents split, hooks set apart, sorted by kind.
//!
//! Source: Helm v4.2.3 `pkg/release/v1/util/{manifest,manifest_sorter,kind_sorter}.go`, `pkg/cmd/template.go`, `pkg/action/action.go`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use manifest::object::{INSTALL_ORDER, install_order};
use manifest::yaml::{self, DuplicateKeys};
use regex::Regex;
use serde_json::Value as Json;

use super::metadata::as_text;
use super::{Rendered, RenderedFile, path_match};

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
        let documents = yaml::read(text, &settings).map_err(|error| {
            let message = format!("error converting YAML to JSON: yaml: line {}: {}", error.at.line, error.message);
            not_yaml(message, error.at.line, error.at.column)
        })?;
        let value = documents.into_iter().next().map(|document| document.value).unwrap_or_default();
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
    let source = |document: &str| {
        let line =
            document.lines().find_map(|line| line.split_once("# Source: ").map(|(_, source)| source.to_owned()))?;
        line.split_once('/').map(|(_, path)| path.to_owned())
    };
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

/// Returns what `helm template` prints.
///
/// # Errors
/// As [`sort`].
pub fn template_output(rendered: &Rendered, selection: &Selection) -> Result<String, NotYaml> {
    let sorted = sort(&rendered.files)?;
    let mut out = String::new();
    let mut push = |path: &str, text: &str| {
        out.push_str("---\n# Source: ");
        out.push_str(path);
        out.push('\n');
        out.push_str(text);
        out.push('\n');
    };
    if selection.include_crds {
        for crd in &rendered.crds {
            push(&crd.path, &crd.text);
        }
    }
    for manifest in &sorted.manifests {
        push(&manifest.path, &manifest.text);
    }
    let mut out = format!("{}\n", out.trim());
    if !selection.no_hooks {
        for hook in sorted.hooks.iter().filter(|hook| !(selection.skip_tests && hook.hooks.contains(&"test"))) {
            out.push_str(&format!("---\n# Source: {}\n{}\n", hook.path, hook.text));
        }
    }
    Ok(out)
}
