//! What runs where: reads `services/` into one [`Service`] for each service and environment.
//!
//! ```text
//! services/<service>/config.yaml           values of the service; must exist, may be empty
//! services/<service>/version               its version: one line
//! services/<service>/chart                 name of its chart: one line; default `generic`
//! services/<service>/sync.yaml             how syncd treats it, see [`sync`]
//! services/<service>/<env>/config.yaml     values in one environment; must exist, may be empty
//! services/<service>/<env>/{version,chart,sync.yaml}    instead of the service's; sync.yaml key by key
//! services/_defaults/config.yaml           values of every service
//! services/_defaults/<env>/config.yaml     values of every service in one environment
//! ```
//!
//! Besides these, `README.md` may stand in any folder, and names that begin with a dot are not looked at. Everything else is a mistake
//! and is said: nothing is skipped silently. Knows no chart but its name, and renders nothing. Invariant: a [`Service`] that comes out has
//! valid names, a version, an existing chart, and values that are mappings; all that is wrong with a tree comes out of one call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use manifest::hash::Hash;
use manifest::index::Sync;
use manifest::object::{DNS_LABEL_RULE, is_dns_label};
use manifest::yaml::Marks;
use rayon::prelude::*;
use serde_json::Value;

use crate::diagnostic::{Diagnostic, Diagnostics, Place, suggest};
use crate::file;
use crate::helm::{Layer, LazyMarks};
use crate::settings::{self, Settings};
use crate::source::SourceTree;

pub mod sync;

/// Folder of the services, from the root of the repository.
pub const FOLDER: &str = "services";
/// Folder of the charts, from the root of the repository.
pub const CHARTS: &str = "charts";
/// The chart of a service that names none.
pub const DEFAULT_CHART: &str = "generic";

/// Folder in [`FOLDER`] of what every service inherits; no service can be called so.
pub const DEFAULTS: &str = "_defaults";
const CONFIG: &str = "config.yaml";
const VERSION: &str = "version";
const CHART: &str = "chart";
const SYNC: &str = "sync.yaml";
/// Files that may stand in the folder of a service and of an environment of it.
const FILES: [&str; 4] = [CONFIG, VERSION, CHART, SYNC];
/// Longest name of a release: Helm's limit, so that charts can add to it and still have a DNS label.
const RELEASE_NAME_BYTES_MAX: usize = 53;
/// Longest version: as long as the tag of an image can be.
const VERSION_BYTES_MAX: usize = 128;

/// Everything under `services/`, and `generator.yaml`.
#[derive(Debug)]
pub struct Catalog {
    /// Settings of the repository.
    pub settings: Settings,
    /// Every environment: those in which a service runs and those that `generator.yaml` lists.
    pub environments: BTreeSet<String>,
    /// By environment, then name. Those in which something is wrong are left out.
    pub services: Vec<Service>,
}

/// One service in one environment.
#[derive(Debug)]
pub struct Service {
    /// Name, a DNS label.
    pub name: String,
    /// Environment, a DNS label.
    pub environment: String,
    /// Version: printable, without white space, not empty.
    pub version: String,
    /// Name of the chart, a folder in `charts/` with a `Chart.yaml`.
    pub chart: String,
    /// How `syncd` treats it.
    pub sync: Sync,
    /// Files of values, low to high. At least that of the service and that of the environment.
    pub layers: Vec<Values>,
}

/// A file of values.
#[derive(Debug, Clone)]
pub struct Values {
    /// What it says, and where.
    pub layer: Arc<Layer>,
    /// The hash of what it says, however that is written; nothing where it says nothing.
    pub hash: Option<Hash>,
}

impl Values {
    fn new(layer: Arc<Layer>) -> Self {
        let text = || serde_json::to_string(&layer.value).expect("values have string keys only");
        let hash = (!is_empty(&layer)).then(|| Hash::of(text().as_bytes()));
        Values { layer, hash }
    }
}

/// Reads the whole tree. What is wrong is in the diagnostics; what is right is in the catalog all the same, so that the rest of the
/// work can find its own mistakes in it.
pub fn read(tree: &SourceTree) -> (Catalog, Diagnostics) {
    let mut diagnostics = Diagnostics::new();
    let settings = settings::read(tree, &mut diagnostics);
    let listed = settings.environments.as_ref().map(|all| all.keys().collect());
    let mut reader = Reader { tree, charts: tree.folders(CHARTS), listed, diagnostics };
    if tree.below(FOLDER).next().is_none() && tree.get(settings::FILE).is_none() {
        reader.fail(
            Diagnostic::error(
                "no-services",
                format!("there is neither a folder `{FOLDER}` nor a file `{}`", settings::FILE),
            )
            .hint("start in the root of the repository, or name it with --root"),
        );
    }
    for (name, _) in tree.below(FOLDER).filter(|(path, _)| !path.contains('/')) {
        reader.unknown_file(FOLDER, name, &[], &format!("a service is a folder: {FOLDER}/<service>/{CONFIG}"));
    }
    let defaults = reader.defaults();
    let folders = tree.folders(FOLDER).into_iter().filter(|name| *name != DEFAULTS && !is_hidden(name));
    let read: Vec<(Vec<Draft>, Diagnostics)> = folders
        .collect::<Vec<_>>()
        .into_par_iter()
        .map(|name| reader.beside(|own| own.service(name, &defaults)))
        .collect();
    let mut drafts = Vec::new();
    for (found, wrong) in read {
        drafts.extend(found);
        reader.diagnostics.extend(wrong);
    }

    let listed = settings.environments.iter().flat_map(BTreeMap::keys).cloned();
    let environments: BTreeSet<String> = drafts.iter().map(|draft| draft.environment.clone()).chain(listed).collect();
    // Where the environments are listed, the list has been looked at already.
    let inherited =
        defaults.environments.keys().filter(|name| settings.environments.is_none() && !environments.contains(*name));
    for environment in inherited {
        let message = format!("no service has an environment `{environment}`");
        let hint = suggest(environment, environments.iter().map(String::as_str));
        let hint = hint.map_or_else(|| "remove the folder".to_owned(), |near| format!("did you mean `{near}`?"));
        let place = Place::file(format!("{FOLDER}/{DEFAULTS}/{environment}"));
        reader.fail(Diagnostic::error("unknown-environment", message).at(place).hint(hint));
    }
    for environment in &environments {
        let nodes = drafts.iter().filter(|draft| draft.environment == *environment);
        let nodes: Vec<sync::Node<'_>> =
            nodes.map(|draft| sync::Node { name: &draft.name, sync: &draft.sync }).collect();
        sync::check(environment, &nodes, &mut reader.diagnostics);
    }
    let diagnostics = reader.diagnostics;
    let mut services: Vec<Service> = drafts.into_iter().filter_map(Draft::finish).collect();
    services.sort_by(|a, b| (&a.environment, &a.name).cmp(&(&b.environment, &b.name)));
    (Catalog { settings, environments, services }, diagnostics)
}

/// What `_defaults` gives.
#[derive(Default)]
struct Defaults {
    everywhere: Option<Values>,
    environments: BTreeMap<String, Option<Values>>,
}

/// A service in one environment of which not everything need be right.
struct Draft {
    name: String,
    environment: String,
    sync: sync::Effective,
    /// Version, chart and layers, where nothing is wrong with any of them.
    rest: Option<(String, String, Vec<Values>)>,
}

impl Draft {
    fn finish(self) -> Option<Service> {
        let Draft { name, environment, sync, rest } = self;
        let (version, chart, layers) = rest?;
        Some(Service { name, environment, version, chart, sync: sync.sync, layers })
    }
}

/// A line out of a file.
#[derive(Clone)]
struct Line {
    text: String,
    place: Place,
}

struct Reader<'t> {
    tree: &'t SourceTree,
    /// Names of the folders in [`CHARTS`].
    charts: Vec<&'t str>,
    /// Names of the environments, where `generator.yaml` lists them.
    listed: Option<BTreeSet<&'t String>>,
    diagnostics: Diagnostics,
}

impl<'t> Reader<'t> {
    /// Does work that other work runs beside; returns its result and what it found wrong.
    fn beside<T>(&self, work: impl FnOnce(&mut Self) -> T) -> (T, Diagnostics) {
        let (charts, listed) = (self.charts.clone(), self.listed.clone());
        let mut own = Reader { tree: self.tree, charts, listed, diagnostics: Diagnostics::new() };
        let result = work(&mut own);
        (result, own.diagnostics)
    }

    fn fail(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    fn defaults(&mut self) -> Defaults {
        let folder = format!("{FOLDER}/{DEFAULTS}");
        self.unknown_files(&folder, &[CONFIG], &format!("{DEFAULTS} has {CONFIG} and a folder for each environment"));
        let everywhere = self.layer(&format!("{folder}/{CONFIG}"), false).unwrap_or_default();
        let mut environments = BTreeMap::new();
        for name in self.environment_folders(&folder) {
            let folder = format!("{folder}/{name}");
            self.unknown_files(
                &folder,
                &[CONFIG],
                &format!("an environment of {DEFAULTS} has {CONFIG} and nothing else"),
            );
            self.unknown_folders(&folder);
            environments.insert(name.to_owned(), self.layer(&format!("{folder}/{CONFIG}"), true).unwrap_or_default());
        }
        Defaults { everywhere, environments }
    }

    fn service(&mut self, name: &str, defaults: &Defaults) -> Vec<Draft> {
        let folder = format!("{FOLDER}/{name}");
        let named = self.check_name(name, "service", &folder);
        self.unknown_files(&folder, &FILES, &known_files());
        let layer = self.layer(&format!("{folder}/{CONFIG}"), true);
        let version = self.line(&format!("{folder}/{VERSION}"));
        let chart = self.chart(&format!("{folder}/{CHART}"));
        let sync = self.sync(&format!("{folder}/{SYNC}"));
        let environments = self.environment_folders(&folder);
        if environments.is_empty() {
            let hint = format!("make a folder for each: {folder}/<environment>/{CONFIG}, which may be empty");
            let message = format!("service `{name}` has no environment");
            self.fail(Diagnostic::error("no-environment", message).at(Place::file(&folder)).hint(hint));
        }
        let own = Own { name, named, layer, version, chart, sync };
        environments.into_iter().map(|environment| self.placement(&own, environment, defaults)).collect()
    }

    fn placement(&mut self, own: &Own<'_>, environment: &str, defaults: &Defaults) -> Draft {
        let folder = format!("{FOLDER}/{}/{environment}", own.name);
        self.unknown_files(&folder, &FILES, &known_files());
        self.unknown_folders(&folder);
        let layer = self.layer(&format!("{folder}/{CONFIG}"), true);
        let version = self.line(&format!("{folder}/{VERSION}"));
        let chart = self.chart(&format!("{folder}/{CHART}"));
        let sync = self.sync(&format!("{folder}/{SYNC}"));
        let named = own.named && is_dns_label(environment) && self.check_release_name(own.name, environment, &folder);
        let version = match version.transpose().or_else(|| own.version.clone().transpose()) {
            Some(version) => version.ok(),
            None => {
                let message = format!("service `{}` has no version in environment `{environment}`", own.name);
                let hint = format!(
                    "write it to {folder}/{VERSION}, or for all environments to {FOLDER}/{}/{VERSION}",
                    own.name
                );
                self.fail(Diagnostic::error("missing-version", message).at(Place::file(&folder)).hint(hint));
                None
            }
        };
        let chart = match chart.transpose().or_else(|| own.chart.clone().transpose()) {
            Some(chart) => chart.ok().map(|line| line.text),
            None => self.default_chart(&folder),
        };
        let layers = match (&own.layer, layer) {
            (Ok(Some(service)), Ok(Some(environment_layer))) => {
                let inherited = [&defaults.everywhere, defaults.environments.get(environment).unwrap_or(&None)];
                let mut layers: Vec<Values> = inherited.into_iter().flatten().cloned().collect();
                layers.extend([service.clone(), environment_layer]);
                Some(layers)
            }
            _ => None,
        };
        let rest = match (named, version, chart, layers) {
            (true, Some(version), Some(chart), Some(layers)) => Some((version.text, chart, layers)),
            _ => None,
        };
        let sync = sync::effective(own.sync.as_ref(), sync.as_ref());
        Draft { name: own.name.to_owned(), environment: environment.to_owned(), sync, rest }
    }

    /// Returns the layer of a file. `Ok(None)` where it is absent, which is reported if it must not be.
    fn layer(&mut self, path: &str, required: bool) -> Result<Option<Values>, Reported> {
        if self.tree.get(path).is_none() {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            if required && !self.has_near_name(folder, CONFIG) {
                let hint = "make it; it may be empty";
                self.fail(
                    Diagnostic::error("missing-config", format!("there is no `{path}`"))
                        .at(Place::file(folder))
                        .hint(hint),
                );
            }
            return Ok(None);
        }
        let layer = read_layer(self.tree, path).map_err(|wrong| self.report(wrong))?;
        Ok(layer.map(Values::new))
    }

    /// Returns the one line of a file; `Ok(None)` where the file is absent.
    fn line(&mut self, path: &str) -> Result<Option<Line>, Reported> {
        read_line(self.tree, path).map_err(|wrong| self.report(wrong))
    }

    /// Returns the name of a chart that exists; `Ok(None)` where the file is absent.
    fn chart(&mut self, path: &str) -> Result<Option<Line>, Reported> {
        let Some(line) = self.line(path)? else { return Ok(None) };
        match self.missing_chart(&line.text) {
            None => Ok(Some(line)),
            Some(diagnostic) => Err(self.report(diagnostic.at(line.place))),
        }
    }

    fn default_chart(&mut self, folder: &str) -> Option<String> {
        match self.missing_chart(DEFAULT_CHART) {
            None => Some(DEFAULT_CHART.to_owned()),
            Some(diagnostic) => {
                let hint = format!(
                    "`{DEFAULT_CHART}` is the chart of a service that names none; name another one in `{CHART}`"
                );
                self.fail(diagnostic.at(Place::file(folder)).hint(hint));
                None
            }
        }
    }

    /// Returns what is wrong with the name of a chart.
    fn missing_chart(&self, name: &str) -> Option<Diagnostic> {
        let charts = &self.charts;
        if charts.binary_search(&name).is_err() {
            let message = format!("there is no chart `{name}` in {CHARTS}/");
            let hint = match suggest(name, charts.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if charts.is_empty() => format!("{CHARTS}/ is empty"),
                None => format!("{CHARTS}/ has {}", list(charts.iter().copied())),
            };
            return Some(Diagnostic::error("unknown-chart", message).hint(hint));
        }
        let path = format!("{CHARTS}/{name}/Chart.yaml");
        self.tree.get(&path).is_none().then(|| {
            let message = format!("{CHARTS}/{name} is not a chart: it has no Chart.yaml");
            Diagnostic::error("unknown-chart", message).hint(format!("make {path}"))
        })
    }

    fn sync(&mut self, path: &str) -> Option<sync::File> {
        sync::read(self.tree, path, &mut self.diagnostics)
    }

    /// Returns the folders below a folder that are environments, after a look at their names.
    fn environment_folders(&mut self, folder: &str) -> Vec<&'t str> {
        let names: Vec<&str> = self.tree.folders(folder).into_iter().filter(|name| !is_hidden(name)).collect();
        for name in &names {
            let folder = format!("{folder}/{name}");
            if !self.check_name(name, "environment", &folder) {
                continue;
            }
            let listed = self.listed.iter().flatten().map(|listed| listed.as_str());
            if self.listed.as_ref().is_some_and(|listed| !listed.iter().any(|listed| listed == name)) {
                let hint = match suggest(name, listed.clone()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("add it to `environments` in {}, which has {}", settings::FILE, list(listed)),
                };
                let message = format!("`{name}` is not an environment that {} lists", settings::FILE);
                self.fail(Diagnostic::error("unknown-environment", message).at(Place::file(folder)).hint(hint));
            }
        }
        names
    }

    fn check_name(&mut self, name: &str, what: &str, folder: &str) -> bool {
        if is_dns_label(name) {
            return true;
        }
        let better: String =
            name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let better = better.trim_matches('-');
        let hint = if is_dns_label(better) {
            format!("rename it, for example to `{better}`: {DNS_LABEL_RULE}")
        } else {
            format!("rename it: {DNS_LABEL_RULE}")
        };
        let message = format!("`{name}` is not a valid {what} name");
        self.fail(Diagnostic::error("bad-name", message).at(Place::file(folder)).hint(hint));
        false
    }

    fn check_release_name(&mut self, service: &str, environment: &str, folder: &str) -> bool {
        let length = service.len() + 1 + environment.len();
        if length <= RELEASE_NAME_BYTES_MAX {
            return true;
        }
        let message = format!(
            "the name of the release, `{service}-{environment}`, has {length} characters; at most {RELEASE_NAME_BYTES_MAX} are possible"
        );
        let hint = "shorten the name of the service or of the environment";
        self.fail(Diagnostic::error("bad-name", message).at(Place::file(folder)).hint(hint));
        false
    }

    fn unknown_files(&mut self, folder: &str, known: &[&str], hint: &str) {
        let names: Vec<&str> = self.files_in(folder).filter(|name| !known.contains(name)).collect();
        for name in names {
            self.unknown_file(folder, name, known, hint);
        }
    }

    fn unknown_file(&mut self, folder: &str, name: &str, known: &[&str], hint: &str) {
        if is_hidden(name) || name == "README.md" {
            return;
        }
        let hint = match suggest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => hint.to_owned(),
        };
        let message = format!("unknown file `{name}`");
        self.fail(Diagnostic::error("unknown-file", message).at(Place::file(format!("{folder}/{name}"))).hint(hint));
    }

    fn unknown_folders(&mut self, folder: &str) {
        for name in self.tree.folders(folder).into_iter().filter(|name| !is_hidden(name)) {
            let message = format!("unknown folder `{name}`");
            let hint = "an environment has files and no folders";
            self.fail(
                Diagnostic::error("unknown-file", message).at(Place::file(format!("{folder}/{name}"))).hint(hint),
            );
        }
    }

    /// Tells whether an unknown file in the folder is `name`, mistyped: it is reported as that, and one report is enough.
    fn has_near_name(&self, folder: &str, name: &str) -> bool {
        self.files_in(folder).any(|file| !is_hidden(file) && suggest(file, FILES) == Some(name))
    }

    /// Iterates over the names of the files directly in a folder.
    fn files_in(&self, folder: &str) -> impl Iterator<Item = &'t str> + use<'t> {
        self.tree.below(folder).map(|(path, _)| path).filter(|path| !path.contains('/'))
    }

    fn report(&mut self, wrong: impl Into<Diagnostics>) -> Reported {
        self.diagnostics.extend(wrong.into());
        Reported
    }
}

/// What stands directly in the folder of a service.
struct Own<'n> {
    name: &'n str,
    named: bool,
    layer: Result<Option<Values>, Reported>,
    version: Result<Option<Line>, Reported>,
    chart: Result<Option<Line>, Reported>,
    sync: Option<sync::File>,
}

/// Something is wrong with it, and has been said.
#[derive(Debug, Clone, Copy)]
struct Reported;

/// Reads a file of values; nothing where it is absent.
///
/// # Errors
/// Text that is not UTF-8 or not YAML, a key that comes twice, anything but one mapping, a key that YAML takes for a boolean.
pub fn read_layer(tree: &SourceTree, path: &str) -> Result<Option<Arc<Layer>>, Diagnostics> {
    let Some(bytes) = tree.shared(path) else { return Ok(None) };
    let text = file::text(path, &bytes)?;
    // Most files never need to know where in them something stands.
    let Some(document) = file::document(path, text, false)? else {
        return Ok(Some(Arc::new(Layer { file: path.to_owned(), ..Layer::default() })));
    };
    let marks = LazyMarks::of(bytes.clone());
    if has_boolean_key(&document.value) {
        let wrong = boolean_keys(path, text, marks.get());
        if !wrong.is_empty() {
            return Err(wrong);
        }
    }
    Ok(Some(Arc::new(Layer { file: path.to_owned(), value: document.value, marks })))
}

fn has_boolean_key(value: &Value) -> bool {
    match value {
        Value::Object(map) => {
            map.iter().any(|(key, value)| matches!(key.as_str(), "true" | "false") || has_boolean_key(value))
        }
        Value::Array(items) => items.iter().any(has_boolean_key),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Returns every key like `on` or `N`: Helm reads `true` and `false`, so what it is meant to name does not get the value.
fn boolean_keys(path: &str, text: &str, marks: &Marks) -> Diagnostics {
    let suspects = marks.keys.iter().filter_map(|(pointer, at)| {
        let read = pointer.rsplit('/').next().filter(|key| matches!(*key, "true" | "false"))?;
        let line = text.lines().nth(at.line.checked_sub(1)?)?;
        let written: String =
            line.chars().skip(at.column.checked_sub(1)?).take_while(char::is_ascii_alphabetic).collect();
        (!written.is_empty() && written != read).then_some((written, read, at))
    });
    suspects
        .map(|(written, read, at)| {
            let place = Place::at(path, at.line, at.column).length(written.len());
            Diagnostic::error("boolean-key", format!("YAML reads the key `{written}` as `{read}`"))
                .at(place)
                .hint(format!("write it in quotes: '{written}'"))
        })
        .collect()
}

/// Tells whether a layer says anything.
pub fn is_empty(layer: &Layer) -> bool {
    match &layer.value {
        Value::Object(map) => map.is_empty(),
        other => other.is_null(),
    }
}

fn read_line(tree: &SourceTree, path: &str) -> Result<Option<Line>, Diagnostics> {
    let Some(bytes) = tree.get(path) else { return Ok(None) };
    let text = file::text(path, bytes)?;
    let line = text.trim_end_matches(['\n', '\r']);
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    let place = |offset: usize| Place::of_bytes(path, bytes, offset, offset);
    if line.trim().is_empty() {
        let (folder, name) = path.rsplit_once('/').unwrap_or_default();
        let of_service = folder.rsplit_once('/').map_or("", |(above, _)| above);
        let hint = match (of_service, name) {
            (FOLDER, VERSION) => "write one line, like 1.0.0".to_owned(),
            (FOLDER, _) => format!("write one line, or delete the file for the chart `{DEFAULT_CHART}`"),
            _ => format!("write one line, or delete the file to inherit {of_service}/{name}"),
        };
        return Err(Diagnostic::error("empty-file", format!("the {name} is empty")).at(place(0)).hint(hint).into());
    }
    if let Some(newline) = line.find('\n') {
        let message = format!("the {name} has more than one line");
        return Err(Diagnostic::error("bad-line", message)
            .at(place(newline + 1))
            .hint("leave the first line only")
            .into());
    }
    if let Some((offset, c)) =
        line.char_indices().find(|(_, c)| c.is_whitespace() || c.is_control() || *c == '\u{feff}')
    {
        let what =
            if c.is_whitespace() { "white space".to_owned() } else { format!("the character U+{:04X}", u32::from(c)) };
        let message = format!("the {name} contains {what}");
        return Err(Diagnostic::error("bad-line", message).at(place(offset)).hint("remove it").into());
    }
    if line.len() > VERSION_BYTES_MAX {
        let message = format!("the {name} is longer than {VERSION_BYTES_MAX} bytes");
        return Err(Diagnostic::error("bad-line", message).at(place(0)).hint("shorten it").into());
    }
    Ok(Some(Line { text: line.to_owned(), place: place(0).length(line.chars().count()) }))
}

fn is_hidden(name: &str) -> bool {
    name.starts_with('.')
}

fn known_files() -> String {
    format!("known here: {}", list(FILES))
}

/// `a`, `b` and `c`, in back-quotes.
fn list<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let mut names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    let last = names.pop().unwrap_or_else(|| "nothing".to_owned());
    if names.is_empty() { last } else { format!("{} and {last}", names.join(", ")) }
}
