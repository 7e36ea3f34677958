//! The values of a command line: `-f`, `--set` and its sisters, in Helm's order, whatever the order in which they were typed.
//!
//! Source: Helm v4.2.3 `pkg/cli/values/options.go`. Invariant: no value appears in a message, only flags, keys and files.

use std::io::{self, Read};
use std::path::Path;

use clap::Args;
use manifest::yaml::{self, DuplicateKeys};
use serde_json::Value;

use super::flags::separated;
use super::shown;
use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::disk::chart::{PACKED_BYTES_MAX, read_file};
use crate::helm::strvals::{self, Notation};
use crate::helm::{Layer, Setting};
use crate::source::SourceTree;

#[derive(Debug, Args)]
pub(super) struct ValueFlags {
    /// A file of values, - for standard input; several, or several with commas between them, the last one wins
    #[arg(short = 'f', long = "values", value_name = "FILES", allow_hyphen_values = true)]
    values: Vec<String>,
    /// Values: key1=val1,key2=val2
    #[arg(long, value_name = "VALUES", allow_hyphen_values = true)]
    set: Vec<String>,
    /// Values that are text
    #[arg(long, value_name = "VALUES", allow_hyphen_values = true)]
    set_string: Vec<String>,
    /// Values that are the content of files: key1=path1,key2=path2
    #[arg(long, value_name = "VALUES", allow_hyphen_values = true)]
    set_file: Vec<String>,
    /// Values in JSON: key1=jsonval1,key2=jsonval2, or one object
    #[arg(long, value_name = "VALUES", allow_hyphen_values = true)]
    set_json: Vec<String>,
    /// A value that is text to its end, whatever it contains: key=val
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    set_literal: Vec<String>,
}

impl ValueFlags {
    /// Reads the files and takes the lines apart. The texts go to `tree`, for the lines that messages show.
    pub(super) fn read(
        &self,
        root: &Path,
        tree: &mut SourceTree,
        wrong: &mut Diagnostics,
    ) -> (Vec<Layer>, Vec<Setting>) {
        let mut layers = Vec::new();
        for path in separated("-f, --values", &self.values, wrong) {
            match content(root, &path) {
                Ok(text) => {
                    let file =
                        if path.trim() == "-" { "standard input".to_owned() } else { shown(Path::new(&path), root) };
                    match documents(&file, &path, &text) {
                        Ok(more) => layers.extend(more),
                        Err(diagnostic) => wrong.push(*diagnostic),
                    }
                    tree.insert(file, text);
                }
                Err(message) => wrong.push(Diagnostic::error("unreadable-values", message)),
            }
        }
        let mut set = Vec::new();
        for line in &self.set_json {
            let line = line.clone();
            if !line.trim_start().starts_with('{') {
                set.push(Setting::Line { flag: "--set-json", notation: Notation::Json, line });
                continue;
            }
            match serde_json::from_str::<Value>(line.trim()) {
                Ok(object) => set.push(Setting::Object(object)),
                Err(error) => {
                    let message = format!("failed parsing --set-json data JSON: {error}");
                    wrong.push(Diagnostic::error("bad-value-path", message));
                }
            }
        }
        let lines = |flag: &'static str, notation, lines: &[String]| {
            lines.iter().map(move |line| Setting::Line { flag, notation, line: line.clone() }).collect::<Vec<_>>()
        };
        set.extend(lines("--set", Notation::Typed, &self.set));
        set.extend(lines("--set-string", Notation::Text, &self.set_string));
        for line in &self.set_file {
            match file_values(root, line) {
                Ok(more) => set.extend(more),
                Err(error) => {
                    let message = format!("failed parsing --set-file data: {error}");
                    wrong.push(Diagnostic::error("bad-value-path", message));
                }
            }
        }
        set.extend(lines("--set-literal", Notation::Literal, &self.set_literal));
        (layers, set)
    }
}

/// Reads a file of the command line.
fn content(root: &Path, path: &str) -> Result<Vec<u8>, String> {
    if path.trim() == "-" {
        let mut text = Vec::new();
        let read = io::stdin().lock().take(PACKED_BYTES_MAX).read_to_end(&mut text);
        return read.map(|_| text).map_err(|error| format!("cannot read standard input: {error}"));
    }
    let scheme = path.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    if scheme.is_some_and(|scheme| matches!(scheme.as_str(), "http" | "https" | "oci")) {
        return Err("a file of values is at an address: nothing is downloaded".to_owned());
    }
    let path = if root == Path::new(".") { path.into() } else { root.join(path) };
    read_file(&path, PACKED_BYTES_MAX)
}

fn documents(file: &str, typed: &str, text: &[u8]) -> Result<Vec<Layer>, Box<Diagnostic>> {
    let refuse = |message: &str, line: usize, column: usize| {
        let message = format!("failed to parse {typed}: {message}");
        Box::new(Diagnostic::error("invalid-values", message).at(Place::at(file, line, column)))
    };
    let settings = yaml::Settings { marks: true, duplicate_keys: DuplicateKeys::LastWins, ..yaml::Settings::default() };
    let read = yaml::decode(text).and_then(|text| yaml::read(&text, &settings));
    let documents = read.map_err(|error| refuse(&error.message, error.at.line, error.at.column))?;
    let layer = |document: yaml::Document| match document.value {
        Value::Object(_) | Value::Null => {
            Ok(Layer { file: file.to_owned(), value: document.value, marks: document.marks.into() })
        }
        _ => Err(refuse("the document is not a map", document.start.line, document.start.column)),
    };
    documents.into_iter().map(layer).collect()
}

/// Takes a line of `--set-file` apart, and puts the contents in the place of the paths.
fn file_values(root: &Path, line: &str) -> Result<Vec<Setting>, String> {
    let mut found = strvals::parse(line, Notation::Text).map_err(|error| error.to_string())?;
    // A line that ends after the sign of equality sets an empty text; anywhere else no path is a path that is not there.
    let empty_end = line.ends_with('=').then(|| found.pop()).flatten();
    let read = |value: &Value| match value {
        Value::String(path) => {
            content(root, path).map(|bytes| Value::String(String::from_utf8_lossy(&bytes).into_owned()))
        }
        other => Ok(other.clone()),
    };
    let setting = |(path, value): (String, Value)| {
        let value = match value {
            Value::Array(paths) => paths.iter().map(read).collect::<Result<Value, String>>()?,
            one => read(&one)?,
        };
        Ok(Setting::Value { path, value })
    };
    let mut set = found.into_iter().map(setting).collect::<Result<Vec<_>, String>>()?;
    set.extend(empty_end.map(|(path, value)| Setting::Value { path, value }));
    Ok(set)
}
