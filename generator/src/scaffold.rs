//! New services and new environments: the files that make one.
//!
//! Decides what is to be written and writes nothing. Whatever a chart requires and the command line does not say gets a placeholder, found by
//! trying: a value whose default is empty is given one where that changes what is missing. Invariant: what comes out renders; what would
//! not is refused with the diagnostics it would have got, and a file that is there is never part of it, but for a line in `generator.yaml`.

use std::collections::{BTreeMap, BTreeSet};

use manifest::object::{DNS_LABEL_RULE, is_dns_label};
use manifest::yaml;
use serde_json::{Map, Value};

use crate::diagnostic::{Diagnostic, Diagnostics, Place, suggest};
use crate::service::{self, CHARTS, DEFAULT_CHART, DEFAULTS, FOLDER};
use crate::source::SourceTree;
use crate::{generate, settings};

mod listing;

/// Times that something is found missing and given a placeholder.
const PLACEHOLDERS_MAX: usize = 12;
/// Values that are tried, each time.
const CANDIDATES_MAX: usize = 400;

/// What is to be written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scaffold {
    /// Files that are not there yet, by path.
    pub new: BTreeMap<String, String>,
    /// `generator.yaml` with one more environment, where it lists them.
    pub changed: BTreeMap<String, String>,
    /// Paths of the values that got placeholders.
    pub placeholders: Vec<String>,
}

/// A service to be made.
#[derive(Debug, Clone, Default)]
pub struct NewService {
    /// Its name.
    pub name: String,
    /// Its chart; nothing for the default one.
    pub chart: Option<String>,
    /// Its environments; empty for all there are.
    pub environments: Vec<String>,
    /// Its version.
    pub version: String,
    /// Values: a dotted path, and YAML.
    pub values: Vec<(String, String)>,
}

/// Makes a service.
///
/// # Errors
/// A name that is taken or invalid, an unknown chart or environment, a value that cannot be set; and what would be wrong with the render.
pub fn service(tree: &SourceTree, wanted: &NewService) -> Result<Scaffold, Diagnostics> {
    let folder = format!("{FOLDER}/{}", wanted.name);
    let mut wrong = Diagnostics::new();
    check_name(&wanted.name, "service", &mut wrong);
    if tree.below(&folder).next().is_some() {
        let diagnostic = Diagnostic::error("exists", format!("there is a service `{}` already", wanted.name));
        wrong.push(diagnostic.at(Place::file(&folder)).hint("choose another name; nothing is overwritten"));
    }
    let chart = wanted.chart.as_deref().unwrap_or(DEFAULT_CHART);
    if !tree.folders(CHARTS).contains(&chart) {
        wrong.push(unknown("chart", chart, tree.folders(CHARTS)));
    }
    let (catalog, _) = service::read(tree);
    let environments: Vec<String> = match wanted.environments.as_slice() {
        [] => catalog.environments.iter().cloned().collect(),
        some => some.to_vec(),
    };
    if environments.is_empty() {
        let message = "there is no environment yet";
        wrong.push(Diagnostic::error("no-environment", message).hint("name one: --environment staging"));
    }
    for environment in &environments {
        check_name(environment, "environment", &mut wrong);
        if catalog.settings.environments.as_ref().is_some_and(|listed| !listed.contains_key(environment)) {
            wrong.push(unknown("environment", environment, catalog.environments.iter().map(String::as_str)));
        }
    }
    let mut values = Value::Object(Map::new());
    for (path, text) in &wanted.values {
        if let Err(diagnostic) = set(&mut values, path, text) {
            wrong.push(*diagnostic);
        }
    }
    if wrong.has_errors() {
        return Err(wrong);
    }
    let mut new = BTreeMap::from([(format!("{folder}/version"), format!("{}\n", wanted.version))]);
    if chart != DEFAULT_CHART {
        new.insert(format!("{folder}/chart"), format!("{chart}\n"));
    }
    for environment in &environments {
        let text = format!("# Values of {} in {environment} that differ from ../config.yaml.\n", wanted.name);
        new.insert(format!("{folder}/{environment}/config.yaml"), text);
    }
    let mut trial = Trial { tree: alone(tree), folder, name: &wanted.name, new };
    let placeholders = trial.complete(&mut values, &candidates(tree, chart))?;
    trial.put(&values, &placeholders);
    Ok(Scaffold { new: trial.new, changed: BTreeMap::new(), placeholders })
}

/// Returns the repository without its services: one new service does not need the others to be tried.
fn alone(tree: &SourceTree) -> SourceTree {
    let services = format!("{FOLDER}/");
    let defaults = format!("{FOLDER}/{DEFAULTS}/");
    let kept = tree.iter().filter(|(path, _)| !path.starts_with(&services) || path.starts_with(&defaults));
    kept.filter(|(path, _)| !path.starts_with(&format!("{defaults}README"))).collect()
}

struct Trial<'n> {
    tree: SourceTree,
    folder: String,
    name: &'n str,
    new: BTreeMap<String, String>,
}

impl Trial<'_> {
    /// Gives what is missing a placeholder, until everything renders.
    fn complete(&mut self, values: &mut Value, candidates: &[Vec<String>]) -> Result<Vec<String>, Diagnostics> {
        let mut placeholders = Vec::new();
        let mut missing = self.wrong(values);
        while !missing.is_empty() && placeholders.len() < PLACEHOLDERS_MAX {
            let untried = candidates.iter().filter(|path| at(values, path).is_none());
            let better = untried.take(CANDIDATES_MAX).find_map(|path| {
                let mut trial = values.clone();
                put(&mut trial, path, placeholder(self.name, path));
                let now = self.wrong(&trial);
                missing.iter().any(|one| !now.contains(one)).then_some((path, trial, now))
            });
            let Some((path, trial, now)) = better else { break };
            placeholders.push(path.join("."));
            (*values, missing) = (trial, now);
        }
        if missing.is_empty() { Ok(placeholders) } else { Err(self.told(missing)) }
    }

    fn told(&self, missing: BTreeSet<Diagnostic>) -> Diagnostics {
        let hint = "say what the chart needs with `--set path=value`";
        let named = |one: Diagnostic| if one.hint.is_some() { one } else { one.hint(hint) };
        missing.into_iter().map(named).collect()
    }

    /// Returns the errors of a render with these values.
    fn wrong(&mut self, values: &Value) -> BTreeSet<Diagnostic> {
        self.put(values, &[]);
        for (path, text) in &self.new {
            self.tree.insert(path.as_str(), text.as_bytes());
        }
        let errors = generate(&self.tree).err().into_iter().flatten();
        errors.filter(|one| one.severity == crate::diagnostic::Severity::Error).collect()
    }

    fn put(&mut self, values: &Value, placeholders: &[String]) {
        let about = match placeholders {
            [] => String::new(),
            some => format!("# Placeholders, to be replaced by what is right: {}.\n", some.join(", ")),
        };
        let content = if values.as_object().is_some_and(Map::is_empty) { String::new() } else { yaml::write(values) };
        let text = format!("# What {} is, wherever it runs.\n{about}{content}", self.name);
        self.new.insert(format!("{}/config.yaml", self.folder), text);
    }
}

/// Returns the paths of the chart's values whose default is empty text or null, the shortest first.
fn candidates(tree: &SourceTree, chart: &str) -> Vec<Vec<String>> {
    fn walk(value: &Value, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    path.push(key.clone());
                    walk(value, path, found);
                    path.pop();
                }
            }
            Value::Null => found.push(path.clone()),
            Value::String(text) if text.is_empty() => found.push(path.clone()),
            _ => {}
        }
    }
    let text = tree.get(&format!("{CHARTS}/{chart}/values.yaml")).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let documents = text.and_then(|text| yaml::read(text, &yaml::Settings::default()).ok()).unwrap_or_default();
    let mut found = Vec::new();
    for document in documents {
        walk(&document.value, &mut Vec::new(), &mut found);
    }
    found.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    found
}

fn placeholder(name: &str, path: &[String]) -> Value {
    match path.last().map(String::as_str) {
        Some("image" | "repository") => Value::String(format!("registry.example.com/{name}")),
        Some("host" | "hostname") => Value::String(format!("{name}.example.com")),
        _ => Value::String(name.to_owned()),
    }
}

fn at<'v>(values: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(values, |value, key| value.get(key))
}

fn put(values: &mut Value, path: &[String], value: Value) {
    let Some((last, above)) = path.split_last() else { return };
    let mut map = values;
    for key in above {
        map = match map {
            Value::Object(entries) => entries.entry(key.clone()).or_insert_with(|| Value::Object(Map::new())),
            _ => return,
        };
    }
    if let Value::Object(entries) = map {
        entries.insert(last.clone(), value);
    }
}

fn set(values: &mut Value, path: &str, text: &str) -> Result<(), Box<Diagnostic>> {
    let fail = |message: String| {
        Box::new(Diagnostic::error("bad-value-path", message).hint("write it like --set httpService.internalPort=80"))
    };
    let parts: Vec<String> = path.split('.').map(str::to_owned).collect();
    if parts.iter().any(String::is_empty) {
        return Err(fail(format!("`{path}` is no path of a value")));
    }
    let documents = yaml::read(text, &yaml::Settings::default());
    let documents = documents.map_err(|error| fail(format!("the value of `{path}` is not YAML: {}", error.message)))?;
    let value = documents.into_iter().next().map_or(Value::Null, |document| document.value);
    put(values, &parts, value.clone());
    if at(values, &parts) == Some(&value) {
        Ok(())
    } else {
        Err(fail(format!("`{path}` is below a value that is no map")))
    }
}

/// Makes an environment: everything that runs in `from` runs in it, too; without one, nothing does yet.
///
/// # Errors
/// A name that is taken or invalid, an unknown `from`, a `generator.yaml` that has to be changed by hand; and what would be wrong with the
/// render.
pub fn environment(tree: &SourceTree, name: &str, from: Option<&str>) -> Result<Scaffold, Diagnostics> {
    let mut wrong = Diagnostics::new();
    check_name(name, "environment", &mut wrong);
    let (catalog, broken) = service::read(tree);
    if broken.has_errors() {
        return Err(broken);
    }
    if catalog.environments.contains(name) {
        let diagnostic = Diagnostic::error("exists", format!("there is an environment `{name}` already"));
        wrong.push(diagnostic.hint("choose another name; nothing is overwritten"));
    }
    if let Some(from) = from.filter(|from| !catalog.environments.contains(*from)) {
        wrong.push(unknown("environment", from, catalog.environments.iter().map(String::as_str)));
    }
    if wrong.has_errors() {
        return Err(wrong);
    }
    let mut scaffold = Scaffold::default();
    for folder in from.iter().flat_map(|_| tree.folders(FOLDER)) {
        let (old, new) =
            (format!("{FOLDER}/{folder}/{}", from.unwrap_or_default()), format!("{FOLDER}/{folder}/{name}"));
        for (below, content) in tree.below(&old) {
            let text = String::from_utf8_lossy(content).into_owned();
            scaffold.new.insert(format!("{new}/{below}"), text);
        }
    }
    if let Some(text) = listing::add(tree, &catalog, name, from).map_err(|wrong| Diagnostics::from(*wrong))? {
        let files = if tree.get(settings::FILE).is_some() { &mut scaffold.changed } else { &mut scaffold.new };
        files.insert(settings::FILE.to_owned(), text);
    }
    let mut trial = tree.clone();
    for (path, text) in scaffold.new.iter().chain(&scaffold.changed) {
        trial.insert(path.as_str(), text.as_bytes());
    }
    generate(&trial).map(|_| scaffold)
}

fn check_name(name: &str, what: &str, wrong: &mut Diagnostics) {
    if !is_dns_label(name) {
        let message = format!("`{name}` is not a valid {what} name");
        wrong.push(Diagnostic::error("bad-name", message).hint(format!("choose another: {DNS_LABEL_RULE}")));
    }
}

fn unknown<'n>(what: &str, name: &str, known: impl IntoIterator<Item = &'n str>) -> Diagnostic {
    let known: Vec<&str> = known.into_iter().collect();
    let diagnostic = Diagnostic::error("unknown-name", format!("there is no {what} `{name}`"));
    match suggest(name, known.iter().copied()) {
        Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
        None if known.is_empty() => diagnostic,
        None => diagnostic.hint(format!("there are {}", known.join(", "))),
    }
}
