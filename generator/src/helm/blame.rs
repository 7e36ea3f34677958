//! What a failed template has to do with the values: which of them it read, and which line set them.
//!
//! The engine says which paths of its data the failing action read; here they become paths of the values of the whole chart, and
//! [`super::provenance`] finds their lines. Runs only when something failed. Invariant: names keys and lines, never what a value is.

use std::collections::BTreeMap;

use serde_json::Value;

use super::provenance::{Provenance, Setter};
use super::values::GLOBAL;
use super::{Chart, RenderedPart, Request, ValueRead};
use crate::diagnostic::{Diagnostic, Place};
use crate::gotemplate::{ExecError, Involved, Part};

/// Values of one action that are told about.
const TOLD_MAX: usize = 4;

/// Returns the diagnostic of a failed template, with the lines that set the values it is about.
///
/// `files` has the repository path of each template, `path` is that of the chart in the tree: `root/charts/sub`.
pub(super) fn diagnostic(
    error: &ExecError,
    files: &BTreeMap<String, String>,
    path: &str,
    (chart, request): (&Chart, &Request),
) -> Diagnostic {
    let mut diagnostic = error.diagnostic(&|name| files.get(name).cloned());
    let prefix: Vec<&str> = path.split("/charts/").skip(1).collect();
    let provenance = chart.provenance(request).ok();
    if let Some((involved, hint)) =
        error.involved.iter().find_map(|involved| Some((involved, missing(involved, error.code)?)))
    {
        let of_text = error.levels.first().is_some_and(|level| files.contains_key(&*level.source.name.to_str_lossy()));
        let what = format!("`{}` is not set", absent(involved).0);
        diagnostic.hint = Some(if of_text { hint } else { format!("{what}: {hint}") });
        if of_text {
            diagnostic.label = what;
        }
    }
    if let Some(hint) = lost_dot(error) {
        diagnostic.hint = Some(hint);
    }
    let Some(provenance) = provenance else { return diagnostic };
    for level in &error.levels {
        let path = level.text.as_ref().and_then(|path| path_of_values(path, &prefix));
        if let Some((path, place)) = path.and_then(|path| Some((path.clone(), file(&provenance, &path)?))) {
            diagnostic = diagnostic.related(place, format!("the text is `{}`, set here", path.join(".")));
        }
    }
    for involved in error.involved.iter().take(TOLD_MAX) {
        let Some(path) = path_of_values(&involved.path, &prefix) else { continue };
        let unreached = involved.path.len() - involved.reached.min(involved.path.len());
        let above = path.len() - unreached.min(path.len());
        // The value itself, or a null that took it away; else what is around it.
        let end = if unreached == 0 { path.len() } else { above + 1 };
        let told = match file(&provenance, &path[..end]) {
            Some(place) if unreached == 0 && involved.found != NIL => Some((place, "is set here".to_owned(), end)),
            Some(place) => Some((place, "is left empty here".to_owned(), end)),
            None if unreached > 0 && above > prefix.len() => file(&provenance, &path[..above]).map(|place| {
                let label = match TEXTS.contains(&involved.found) {
                    true => format!("is set here, to {}", kind(involved.found)),
                    false => format!("is set here, without `{}`", path[above]),
                };
                (place, label, above)
            }),
            None => None,
        };
        if let Some((place, label, end)) = told {
            diagnostic = diagnostic.related(place, format!("`{}` {label}", path[..end].join(".")));
        }
    }
    diagnostic
}

/// Returns the name of a value of the data of a template, and the line that set it.
pub(super) fn set_at(provenance: &Provenance, chart: &str, path: &[String]) -> Option<(String, Place)> {
    let prefix: Vec<&str> = chart.split("/charts/").skip(1).collect();
    let path = path_of_values(path, &prefix)?;
    Some((path.join("."), file(provenance, &path)?))
}

/// Returns the values that a template line prints and that can have become a part of an object, with the lines that set them: of a map or
/// list that is printed as a whole the entry that the part is, of the elements that a template walks over those that say the same.
pub(super) fn set_near(
    provenance: &Provenance,
    reads: &[ValueRead],
    place: &Place,
    part: RenderedPart<'_>,
) -> Vec<(String, Place)> {
    let here = |read: &&ValueRead| read.whole && read.place.file == place.file && read.place.line == place.line;
    let mut found = Vec::new();
    for read in reads.iter().filter(here) {
        for (path, is_element) in paths(provenance.values(), &read.path) {
            let path = entry(provenance.values(), path, part.pointer);
            let value = path.iter().try_fold(provenance.values(), |value, part| child(value, part));
            let says_it = || value.map(text_of).zip(part.value.map(text_of)).is_some_and(|(a, b)| a == b);
            if is_element && !says_it() {
                continue;
            }
            let name = path.join(".");
            if let Some(place) = file(provenance, &path).filter(|_| !found.iter().any(|(known, _)| *known == name)) {
                found.push((name, place));
            }
        }
    }
    found.truncate(TOLD_MAX);
    found
}

/// Returns the paths that a read can mean among the values, and whether they are elements that it walks over.
fn paths(values: &Value, read: &[Part]) -> Vec<(Vec<String>, bool)> {
    let mut paths = vec![(Vec::new(), values)];
    for part in read {
        paths = paths.into_iter().flat_map(|(path, value)| below(&path, value, part)).take(ELEMENTS_MAX).collect();
    }
    let is_element = read.contains(&Part::Any);
    paths.into_iter().map(|(path, _)| (path, is_element)).collect()
}

/// Returns what a step of a read can lead to.
fn below<'v>(path: &[String], value: &'v Value, step: &Part) -> Vec<(Vec<String>, &'v Value)> {
    let with = |key: String| path.iter().cloned().chain([key]).collect::<Vec<String>>();
    match (step, value) {
        (Part::Key(key), _) => child(value, key).map(|below| (with(key.clone()), below)).into_iter().collect(),
        (Part::Any, Value::Object(map)) => map.iter().map(|(key, below)| (with(key.clone()), below)).collect(),
        (Part::Any, Value::Array(items)) => {
            items.iter().enumerate().map(|(at, below)| (with(at.to_string()), below)).collect()
        }
        (Part::Any, _) => Vec::new(),
    }
}

/// Elements of values that are looked at for one line.
const ELEMENTS_MAX: usize = 1000;

/// Follows the end of a pointer into a value: `resources` and `/spec/containers/0/resources/limit` are `resources.limit`, where that is there.
fn entry(values: &Value, path: Vec<String>, pointer: &str) -> Vec<String> {
    let steps: Vec<String> =
        pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~")).collect();
    let Some(value) = path.iter().try_fold(values, |value, part| child(value, part)) else { return path };
    let leads = |from: &usize| steps[*from..].iter().try_fold(value, |value, step| child(value, step)).is_some();
    match (0..steps.len()).find(leads) {
        Some(from) => [path, steps[from..].to_vec()].concat(),
        None => path,
    }
}

fn child<'v>(value: &'v Value, part: &str) -> Option<&'v Value> {
    match value {
        Value::Object(map) => map.get(part),
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        _ => None,
    }
}

/// What a template prints of a value, near enough to tell elements apart: numbers of values are floats, and print without a fraction.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => {
            let text = number.to_string();
            text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
        }
        other => other.to_string(),
    }
}

/// What [`Involved::found`] calls no value.
const NIL: &str = "<nil>";
/// Types without entries.
const TEXTS: [&str; 3] = ["string", "bool", "float64"];

fn kind(name: &str) -> &str {
    match name {
        "string" => "a text",
        "float64" => "a number",
        "bool" => "true or false",
        other => other,
    }
}

/// What the data of every template has, and an item of a list has not.
const OF_THE_DOT: [&str; 5] = ["Values", "Release", "Chart", "Files", "Capabilities"];

/// Returns what to do about a template that forgets what the dot is.
fn lost_dot(error: &ExecError) -> Option<String> {
    let node = &error.levels.first()?.node;
    let name = node.strip_prefix('.')?.split('.').next().filter(|name| OF_THE_DOT.contains(name))?;
    let is_elsewhere = match error.involved.first() {
        Some(involved) => involved.path.first().is_none_or(|first| first != name),
        None => false,
    };
    let is_nested =
        error.involved.first().is_some_and(|involved| involved.path.iter().skip(1).any(|part| part == name));
    let is_no_field = error.message.starts_with(&format!("can't evaluate field {name} in type"));
    (is_elsewhere || is_nested || is_no_field).then(|| {
        format!("the dot is something else here: inside `range` and `with`, and in a template that is given something else; `${node}` is always there")
    })
}

/// Returns what to do about a value that is not there, where that is what failed.
fn missing(involved: &Involved, code: &str) -> Option<String> {
    let is_about_nothing = matches!(code, "nil-pointer" | "nil-value" | "value-required");
    let is_there = involved.reached == involved.path.len() && involved.found != NIL;
    if !is_about_nothing || is_there {
        return None;
    }
    let dotted = |parts: &[String]| parts.iter().map(|part| format!(".{part}")).collect::<String>();
    let (absent, parent) = absent(involved);
    Some(match &involved.meant {
        Some(meant) => format!("did you mean `{}.{meant}`?", dotted(parent)),
        None if code == "value-required" => format!("set `{}` in a config.yaml", absent.trim_start_matches(".Values.")),
        None => "set it, or guard its use with `if`, `with` or `default`".to_owned(),
    })
}

/// Returns the first part of the path that is not there, and what is around it.
fn absent(involved: &Involved) -> (String, &[String]) {
    let end = (involved.reached + 1).min(involved.path.len());
    let dotted = involved.path[..end].iter().map(|part| format!(".{part}")).collect();
    (dotted, &involved.path[..end.saturating_sub(1)])
}

/// Returns a path of the data of a template as one of the values of the whole chart, nothing where it is no value.
fn path_of_values(path: &[String], prefix: &[&str]) -> Option<Vec<String>> {
    let (first, rest) = path.split_first()?;
    if first != "Values" || rest.is_empty() {
        return None;
    }
    let prefix = if rest[0] == GLOBAL { &[] } else { prefix };
    Some(prefix.iter().map(|part| (*part).to_owned()).chain(rest.iter().cloned()).collect())
}

fn file(provenance: &Provenance, path: &[String]) -> Option<Place> {
    match provenance.of(path)?.setter {
        Setter::File(place) => Some(place),
        Setter::Single(_) => None,
    }
}
