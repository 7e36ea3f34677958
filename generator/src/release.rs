//! A release: one service in one environment through its chart.
//!
//! Puts together what a render reads - values low to high, what the generator injects, what the cluster is said to be - and says by
//! one hash whether any of it changed. Knows no template and no YAML. Invariant: two releases with the same `inputs` render to the same
//! objects and the same is said about them, so whatever can change either is in the hash: the meaning of files, not their bytes, where a file
//! is values. A render about which something is said has another hash beside it ([`with_warnings`]).
//!
//! Injected, over all values: the version as `tag` and the name of the environment as `environmentType`. A chart whose values are called
//! otherwise says so in the annotations of its `Chart.yaml`, in the notation of `helm --set`; empty text injects nothing:
//!
//! ```yaml
//! annotations:
//!   generator/version-path: image.tag
//!   generator/environment-path: ""
//! ```
//!
//! The namespace of a release is its value `namespace`, where that is text, and otherwise the name of the release.

use std::collections::BTreeMap;

use manifest::hash::{Hash, Parts};
use manifest::yaml::{self, DuplicateKeys, Position};
use rayon::prelude::*;
use serde_json::Value;

use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::helm::{self, Request, Setting};
use crate::service::{self, Catalog, Service};
use crate::source::SourceTree;

/// Which meaning this version gives to its input. Raised whenever the same input renders to other objects than before, or something else is
/// said about them, so that every `inputs` hash changes with it. `tests/engine.rs` notices the former.
pub const ENGINE: &str = "1";

const VERSION_PATH: &str = "generator/version-path";
const ENVIRONMENT_PATH: &str = "generator/environment-path";

/// A chart, with what the generator itself has to know of it.
#[derive(Debug)]
pub struct Chart {
    /// The chart.
    pub chart: helm::Chart,
    /// Over every file that a render can depend on.
    pub hash: Hash,
    /// Where the version goes; nothing where it goes nowhere.
    version_path: Option<String>,
    /// Where the name of the environment goes.
    environment_path: Option<String>,
    /// The chart's own value `namespace`.
    namespace: Option<String>,
}

/// A release, ready to be rendered.
#[derive(Debug)]
pub struct Release {
    /// What the engine is asked for.
    pub request: Request,
    /// Values that have no effect, because the generator sets them.
    pub warnings: Diagnostics,
}

/// Loads every chart that a service uses, by name. What is wrong with one goes to `diagnostics`, and it is left out.
pub fn load_charts(tree: &SourceTree, catalog: &Catalog, diagnostics: &mut Diagnostics) -> BTreeMap<String, Chart> {
    let mut names: Vec<&str> = catalog.services.iter().map(|service| service.chart.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let loaded: Vec<_> = names.into_par_iter().map(|name| (name, load_chart(tree, name))).collect();
    let mut charts = BTreeMap::new();
    for (name, result) in loaded {
        match result {
            Ok(chart) => drop(charts.insert(name.to_owned(), chart)),
            Err(wrong) => diagnostics.extend(wrong),
        }
    }
    charts
}

fn load_chart(tree: &SourceTree, name: &str) -> Result<Chart, Diagnostics> {
    let folder = format!("{}/{name}", service::CHARTS);
    let chart = helm::load(tree, &folder)?;
    let mut parts = Parts::new("generator chart 1");
    for (path, content) in chart.files() {
        parts.add(path, content);
    }
    let path = |annotation: &str, default: &str| {
        let path = chart.annotations().get(annotation).map_or(default, String::as_str);
        (!path.is_empty()).then(|| path.to_owned())
    };
    let version_path = path(VERSION_PATH, "tag");
    let environment_path = path(ENVIRONMENT_PATH, "environmentType");
    let namespace =
        chart.files().find(|(path, _)| *path == "values.yaml").and_then(|(_, content)| default_namespace(content));
    Ok(Chart { hash: parts.finish(), version_path, environment_path, namespace, chart })
}

/// Reads `namespace` out of a chart's own values; the engine reports a file that cannot be read.
fn default_namespace(values: &[u8]) -> Option<String> {
    let settings = yaml::Settings { duplicate_keys: DuplicateKeys::LastWins, ..yaml::Settings::default() };
    let documents = yaml::read(std::str::from_utf8(values).ok()?, &settings).ok()?;
    let namespace = documents.iter().rev().find_map(|document| document.value.get("namespace"))?;
    namespace.as_str().map(str::to_owned)
}

/// Puts a release together.
pub fn prepare(service: &Service, chart: &Chart, catalog: &Catalog) -> Release {
    let release_name = format!("{}-{}", service.name, service.environment);
    let capabilities = catalog.settings.capabilities(&service.environment);
    let namespace =
        namespace(service, chart).filter(|namespace| !namespace.is_empty()).unwrap_or_else(|| release_name.clone());
    let mut set = Vec::new();
    for (path, value) in injected(service, chart) {
        set.push(Setting::Value { path: path.to_owned(), value: Value::String(value.to_owned()) });
    }
    let layers = service.layers.iter().map(|values| values.layer.clone()).collect();
    let request = Request { release_name, namespace, layers, set, capabilities, is_upgrade: false };
    Release { request, warnings: warnings(service, chart) }
}

/// Returns what the generator sets: paths and values.
fn injected<'s>(service: &'s Service, chart: &'s Chart) -> impl Iterator<Item = (&'s str, &'s str)> {
    let all = [(&chart.version_path, &service.version), (&chart.environment_path, &service.environment)];
    all.into_iter().filter_map(|(path, value)| Some((path.as_deref()?, value.as_str())))
}

/// Returns what can be said about a release without rendering it: values that have no effect, because the generator sets them.
pub fn warnings(service: &Service, chart: &Chart) -> Diagnostics {
    injected(service, chart).flat_map(|(path, _)| overridden(service, path)).collect()
}

/// Returns the hash over everything a render reads. `settings` is that of the environment, see [`Settings::hash`](crate::settings::Settings::hash).
pub fn inputs(service: &Service, chart: &Chart, settings: &Hash) -> Hash {
    // Every field is named, so that whoever adds one decides whether a render depends on it.
    let Service { name, environment, version, chart: _, sync, layers } = service;
    let mut parts = Parts::new("generator inputs 2");
    parts.add("engine", ENGINE.as_bytes());
    parts.add("chart", chart.hash.to_string().as_bytes());
    parts.add("service", name.as_bytes());
    parts.add("environment", environment.as_bytes());
    parts.add("version", version.as_bytes());
    for hash in layers.iter().filter_map(|values| values.hash) {
        parts.add("values", hash.to_string().as_bytes());
    }
    parts.add("settings", settings.to_string().as_bytes());
    let sync = serde_json::to_string(sync).expect("sync has string keys only");
    parts.add("sync", sync.as_bytes());
    parts.finish()
}

/// Returns the hash that the index has in the place of `inputs` where a release has objects of custom kinds: what is said about them depends on
/// every definition of the environment, too.
pub fn with_definitions(inputs: &Hash, definitions: &Hash) -> Hash {
    let mut parts = Parts::new("generator inputs with definitions 1");
    parts.add("inputs", inputs.to_string().as_bytes());
    parts.add("definitions", definitions.to_string().as_bytes());
    parts.finish()
}

/// Returns the hash over definitions: each with the name of where it is.
pub fn definitions<'d>(texts: impl IntoIterator<Item = (&'d str, &'d [u8])>) -> Hash {
    let mut parts = Parts::new("generator definitions 1");
    for (place, text) in texts {
        parts.add(place, text);
    }
    parts.finish()
}

/// Returns the hash that the index has in the place of `inputs` where the render gave warnings. It equals no `inputs`, so that such a service
/// is rendered every time, and the warnings are said every time.
pub fn with_warnings(inputs: &Hash) -> Hash {
    let mut parts = Parts::new("generator inputs with warnings 1");
    parts.add("inputs", inputs.to_string().as_bytes());
    parts.finish()
}

/// Returns the value `namespace` that the release will see, where it is text.
fn namespace(service: &Service, chart: &Chart) -> Option<String> {
    match service.layers.iter().rev().find_map(|values| values.layer.value.get("namespace")) {
        Some(value) => value.as_str().map(str::to_owned),
        None => chart.namespace.clone(),
    }
}

/// Returns a warning for every place where a file of values sets what the generator sets anyway.
fn overridden(service: &Service, path: &str) -> Vec<Diagnostic> {
    let pointer = format!("/{}", path.replace('.', "/"));
    let layers = service.layers.iter().map(|values| &values.layer);
    let set_in = layers.filter(|layer| layer.value.pointer(&pointer).is_some());
    set_in
        .map(|layer| {
            let Position { line, column } = layer.marks.get().keys.get(&pointer).copied().unwrap_or_default();
            let length = path.rsplit('.').next().unwrap_or(path).chars().count();
            Diagnostic::warning("no-effect", format!("`{path}` has no effect here: the generator sets it"))
                .at(Place::at(&layer.file, line, column).length(length))
                .hint("remove it; the version is in the file `version`, and the environment is the name of the folder")
        })
        .collect()
}
