//! One release through one chart: values coalesced, templates executed in Helm's order.
//!
//! Source: Helm v4.2.3 `pkg/engine/engine.go`, `pkg/action/{install,action}.go`.

use std::collections::BTreeMap;
use std::sync::Arc;

use manifest::yaml::Position;

use super::blame;
use super::objects;
use super::package::{File, Package};
use super::tree::Node;
use super::values::{self, Misfit, Nulls, VALUES};
use super::{Chart, Followed, Options, Rendered, RenderedFile, Request, Setting, strvals};
use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::gotemplate::{self, Executor, Functions, Parsed, TemplateSet};
use crate::sprig::semver::is_compatible_range;
use crate::sprig::{FUNCTIONS, Host};
use crate::value::{Map, Str, Value};

/// The name of the set of all templates, which Helm's error messages show.
const SET: &str = "gotpl";
/// Templates with this end are notes for people, not manifests.
pub(super) const NOTES: &str = "NOTES.txt";

/// Returns the functions templates may call.
pub(super) fn functions() -> Arc<Functions> {
    Arc::new(Functions::new(&[FUNCTIONS]))
}

/// The templates of the charts that take part, in Helm's order.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) set: Arc<TemplateSet>,
    /// Repository path of a template, by its name.
    pub(super) files: Arc<BTreeMap<String, String>>,
}

/// A template to be executed.
pub(super) struct Template<'c> {
    pub(super) name: String,
    /// Number of folders above it.
    depth: usize,
    file: &'c File,
    /// Path of the chart in the tree, which says what the template sees.
    pub(super) chart: String,
    /// Repository path.
    path: String,
}

pub(super) fn render(chart: &Chart, request: &Request, options: &Options) -> Result<Rendered, Diagnostics> {
    let (kube_version, capabilities) = objects::capabilities(&request.capabilities).map_err(|message| {
        let message = format!("invalid kube version '{}': {message}", request.capabilities.kube_version);
        Diagnostic::error("bad-kubernetes-version", message)
    })?;
    let constraint = &chart.root.metadata.kube_version;
    if !constraint.is_empty() && !is_compatible_range(constraint, &kube_version.normalized) {
        let version = &kube_version.version;
        let message =
            format!("chart requires kubeVersion: {constraint} which is incompatible with Kubernetes {version}");
        return Err(Diagnostic::error("kubernetes-version", message)
            .at(chart_place(chart))
            .hint("`kubernetesVersion` in generator.yaml says which version to render for")
            .into());
    }
    let (root, user) = settle(chart, request)?;
    let mut diagnostics = Diagnostics::new();
    if !options.skip_schema_validation {
        check_schemas(&root, &user, "", request, &mut diagnostics);
    }
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }

    let mut templates = Vec::new();
    let mut dots = BTreeMap::new();
    let release = objects::release(request);
    collect(&root, root.name(), Some(user), true, (&release, &capabilities), &mut templates, &mut dots);
    sort(&mut templates);
    let prepared = chart.prepared(&templates)?;
    execute(&prepared, &templates, &dots, options, (chart, request), &root)
}

/// Returns the templates of the charts that take part in a release, parsed.
pub(super) fn prepare<'c>(
    chart: &'c Chart,
    request: &Request,
) -> Result<(Arc<Prepared>, Vec<Template<'c>>), Diagnostics> {
    let (root, user) = settle(chart, request)?;
    let mut templates = Vec::new();
    collect(&root, root.name(), Some(user), true, (&Value::Nil, &Value::Nil), &mut templates, &mut BTreeMap::new());
    sort(&mut templates);
    Ok((chart.prepared(&templates)?, templates))
}

fn chart_place(chart: &Chart) -> Place {
    Place::file(format!("{}/Chart.yaml", chart.root.folder))
}

/// Returns the charts that take part, and the values of the chart itself with those of the others in them.
pub(super) fn settle<'c>(chart: &'c Chart, request: &Request) -> Result<(Node<'c>, Map), Diagnostics> {
    let user = user_values(request)?;
    let mut root = Node::new(&chart.root);
    let misfit = |error: Misfit| misfit(&error, request, &chart_place(chart));
    if has_dependencies(&chart.root) {
        root.process_dependencies(&user).map_err(misfit)?;
    }
    values::coalesce(&root, &user, Nulls::Delete).map_err(misfit)?;
    Ok((root, user))
}

fn has_dependencies(package: &Package) -> bool {
    package.metadata.dependencies.is_some() || package.subcharts.iter().any(has_dependencies)
}

/// The user's values: layers merged low to high, then the single ones.
fn user_values(request: &Request) -> Result<Map, Diagnostics> {
    let values = Map::new();
    for layer in &request.layers {
        values::merge_maps(&values, &values::map_of_layer(&layer.value));
    }
    for setting in &request.set {
        set(setting, &values).map_err(|message| Diagnostic::error("bad-value-path", message))?;
    }
    Ok(values)
}

fn set(setting: &Setting, values: &Map) -> Result<(), String> {
    match setting {
        Setting::Value { path, value } => strvals::set_path(path, &values::from_json(value), values)
            .map_err(|error| format!("cannot set `{path}`: {error}")),
        Setting::Line { flag, notation, line } => {
            strvals::apply(line, *notation, values).map_err(|error| format!("failed parsing {flag} data: {error}"))
        }
        Setting::Object(object) => {
            values::merge_maps(values, &values::map_of_layer(object));
            Ok(())
        }
    }
}

fn misfit(error: &Misfit, request: &Request, chart: &Place) -> Diagnostics {
    let (path, name, found) = match error {
        Misfit::NotATable { path, name, found } => (path, name, found),
        Misfit::Endless { subchart, child, parent } => {
            let message = format!("`import-values` puts `{child}` of subchart {subchart} into itself, at `{parent}`");
            let hint = "import it to a path that is not part of what another entry imports";
            return Diagnostic::error("invalid-values", message).at(chart.clone()).hint(hint).into();
        }
    };
    let keys: Vec<&str> = path.split('.').skip(1).chain([name.as_str()]).collect();
    let pointer = format!("/{}", keys.join("/"));
    let message = format!("type mismatch on {name}: {found}");
    let place = origin(request, &pointer).unwrap_or_else(|| chart.clone());
    let hint = format!("`{name}` is a subchart, so its values have to be a map");
    Diagnostic::error("invalid-values", message).at(place).hint(hint).into()
}

/// Returns where the user's values set a value, or else the nearest value around it: the highest layer counts.
fn origin(request: &Request, pointer: &str) -> Option<Place> {
    let mut pointer = pointer;
    loop {
        for layer in request.layers.iter().rev() {
            let marks = layer.marks.get();
            let position = marks.keys.get(pointer).or_else(|| marks.values.get(pointer));
            if let Some(Position { line, column }) = position.filter(|_| !pointer.is_empty()) {
                let length = pointer.rsplit('/').next().map_or(0, |key| key.chars().count());
                return Some(Place::at(&layer.file, *line, *column).length(length));
            }
        }
        pointer = &pointer[..pointer.rfind('/')?];
    }
}

fn check_schemas(chart: &Node<'_>, values: &Map, pointer: &str, request: &Request, diagnostics: &mut Diagnostics) {
    if let Some(schema) = &chart.package.schema {
        match Value::Map(values.clone()).to_json().map_err(|e| e.to_string()).and_then(|json| schema.violations(&json))
        {
            Ok(violations) => {
                for violation in violations {
                    let at = format!("{pointer}{}", violation.pointer);
                    let path = if at.is_empty() {
                        "the values".to_owned()
                    } else {
                        format!("`{}`", at[1..].replace('/', "."))
                    };
                    let message = format!("{path}: {}", violation.message);
                    let key = violation.key.map(|key| format!("/{}", key.replace('~', "~0").replace('/', "~1")));
                    let at = format!("{at}{}", key.unwrap_or_default());
                    let place = origin(request, &at).unwrap_or_else(|| Place::file(&schema.file));
                    let schema = Place::file(&schema.file);
                    let diagnostic = Diagnostic::error("schema", message).at(place).related(schema, "required by");
                    diagnostics.push(Diagnostic { hint: violation.hint, ..diagnostic });
                }
            }
            Err(message) => diagnostics.push(Diagnostic::error("bad-schema", message).at(Place::file(&schema.file))),
        }
    }
    for subchart in chart.dependencies() {
        if let Some(Value::Map(values)) = values.get(subchart.name()) {
            let below = format!("{pointer}/{}", subchart.name());
            check_schemas(subchart, &values, &below, request, diagnostics);
        }
    }
}

/// Sorts into Helm's order, which is reversed: by depth, then by name.
fn sort(templates: &mut [Template<'_>]) {
    templates.sort_by(|a, b| (b.depth, &b.name).cmp(&(a.depth, &a.name)));
}

/// Collects the templates of a chart and its subcharts, and what they see; returns the latter for `.Subcharts`.
fn collect<'c>(
    chart: &Node<'c>,
    path: &str,
    values: Option<Map>,
    is_root: bool,
    (release, capabilities): (&Value, &Value),
    templates: &mut Vec<Template<'c>>,
    dots: &mut BTreeMap<String, Map>,
) -> Map {
    let subcharts = Map::new();
    let values = values.unwrap_or_default();
    let dot: Map = [
        ("Chart", Value::Map(chart.metadata.to_template(is_root))),
        ("Files", objects::files(&chart.package.files)),
        ("Release", release.clone()),
        ("Capabilities", capabilities.clone()),
        ("Values", Value::Map(values.retyped(&VALUES))),
        ("Subcharts", Value::Map(subcharts.clone())),
    ]
    .into_iter()
    .map(|(key, value)| (Str::from(key), value))
    .collect();
    for subchart in chart.dependencies() {
        let below = format!("{path}/charts/{}", subchart.name());
        // A dot in the name of a chart hides its values, in Helm too.
        let own = values::table(&values, subchart.name()).ok();
        let seen = collect(subchart, &below, own, false, (release, capabilities), templates, dots);
        subcharts.insert(subchart.name(), Value::Map(seen));
    }
    let is_library = chart.metadata.is_library();
    for file in &chart.package.templates {
        let base = file.path.rsplit('/').next().unwrap_or(&file.path);
        if is_library && !base.starts_with('_') {
            continue;
        }
        let name = format!("{path}/{}", file.path);
        templates.push(Template {
            depth: name.matches('/').count(),
            name,
            file,
            chart: path.to_owned(),
            path: format!("{}/{}", chart.package.folder, file.path),
        });
    }
    dots.insert(path.to_owned(), dot.clone());
    dot
}

impl Chart {
    /// Returns the set of these templates; parsed once for every list of names.
    fn prepared(&self, templates: &[Template<'_>]) -> Result<Arc<Prepared>, Diagnostics> {
        let names: Vec<String> = templates.iter().map(|template| template.name.clone()).collect();
        let mut sets = self.sets.lock().expect("no code panics while it holds the lock");
        if let Some(prepared) = sets.get(&names) {
            return Ok(Arc::clone(prepared));
        }
        let mut diagnostics = Diagnostics::new();
        let files: BTreeMap<String, String> =
            templates.iter().map(|template| (template.name.clone(), template.path.clone())).collect();
        let mut set = TemplateSet::new(SET, Arc::clone(&self.functions));
        for template in templates {
            match parse(&template.name, &template.file.content, &self.functions) {
                Ok(parsed) => set.add(&parsed),
                Err(error) => diagnostics.push(error.diagnostic(&|name| files.get(name).cloned())),
            }
        }
        if diagnostics.has_errors() {
            return Err(diagnostics);
        }
        let prepared = Arc::new(Prepared { set: Arc::new(set), files: Arc::new(files) });
        sets.insert(names, Arc::clone(&prepared));
        Ok(prepared)
    }
}

fn parse(name: &str, content: &[u8], functions: &Functions) -> Result<Parsed, gotemplate::ParseError> {
    Parsed::new(name, Str::from(content), functions)
}

/// Parses the chart's own templates and reports every one that is broken. Those of subcharts wait until they take part.
pub(super) fn check_templates(package: &Package, functions: &Functions, diagnostics: &mut Diagnostics) {
    for file in &package.templates {
        let name = format!("{}/{}", package.metadata.name, file.path);
        if let Err(error) = parse(&name, &file.content, functions) {
            let path = format!("{}/{}", package.folder, file.path);
            diagnostics.push(error.diagnostic(&|found| (found == name).then(|| path.clone())));
        }
    }
}

fn execute(
    prepared: &Prepared,
    templates: &[Template<'_>],
    dots: &BTreeMap<String, Map>,
    options: &Options,
    (chart, request): (&Chart, &Request),
    root: &Node<'_>,
) -> Result<Rendered, Diagnostics> {
    let mut host = Host::new(options.allow_nondeterministic);
    let engine_options =
        gotemplate::Options { origins: true, follow: options.follow, ..gotemplate::Options::default() };
    let followed = if options.follow { chart.provenance(request).ok().zip(chart.reads(request).ok()) } else { None };
    let followed = followed.map(|(provenance, reads)| (Arc::new(provenance), Arc::new(reads)));
    let mut executor = Executor::new(Arc::clone(&prepared.set), &mut host, engine_options);
    let mut rendered = Rendered { files: Vec::new(), crds: crds(root), notes: None };
    for template in templates {
        let base = template.name.rsplit('/').next().unwrap_or(&template.name);
        if base.starts_with('_') {
            continue;
        }
        let dot = dots.get(&template.chart).expect("every template belongs to a chart of the tree");
        let about = Map::new();
        about.insert("Name", Value::from(template.name.as_str()));
        about.insert("BasePath", Value::from(format!("{}/templates", template.chart)));
        dot.insert("Template", Value::Map(about.retyped(&VALUES)));
        let mut output = executor.execute(&template.name, Value::Map(dot.retyped(&VALUES))).map_err(|error| {
            Diagnostics::from(blame::diagnostic(&error, &prepared.files, &template.chart, (chart, request)))
        })?;
        output.remove("<no value>");
        let text = match output.text.into_string() {
            Ok(text) => text,
            Err(bytes) => Str::from(bytes).to_str_lossy().into_owned(),
        };
        if template.name.ends_with(NOTES) {
            if template.name == format!("{}/templates/{NOTES}", chart.name()) {
                rendered.notes = Some(text);
            }
            continue;
        }
        let origins = Some(Arc::new(output.origins));
        rendered.files.push(RenderedFile {
            path: template.name.clone(),
            text,
            origins,
            values: followed.clone().map(|(provenance, reads)| Followed {
                provenance,
                reads,
                chart: template.chart.clone(),
            }),
            files: Arc::clone(&prepared.files),
        });
    }
    rendered.files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(rendered)
}

/// The files of `crds/`, of the chart first.
fn crds(chart: &Node<'_>) -> Vec<RenderedFile> {
    fn add(chart: &Node<'_>, path: &str, crds: &mut Vec<RenderedFile>) {
        for file in &chart.package.files {
            let extension = file.path.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
            if file.path.starts_with("crds/") && matches!(extension.as_str(), "yaml" | "yml" | "json") {
                let name = format!("{path}/{}", file.path);
                let source = format!("{}/{}", chart.package.folder, file.path);
                let files = Arc::new(BTreeMap::from([(name.clone(), source)]));
                let text = String::from_utf8_lossy(&file.content).into_owned();
                crds.push(RenderedFile { path: name, text, origins: None, values: None, files });
            }
        }
        for subchart in chart.dependencies() {
            add(subchart, &format!("{path}/charts/{}", subchart.name()), crds);
        }
    }
    let mut crds = Vec::new();
    add(chart, chart.name(), &mut crds);
    crds
}
