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
const NOTES: &str = "NOTES.txt";

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
    pub(super) templates: Vec<Template>,
}

/// A template of a chart that takes part.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) name: String,
    /// Path of the chart in the tree.
    pub(super) chart: String,
    /// Which chart of the tree that is, which says what the template sees.
    of: usize,
    /// What the template sees of itself: its name, and the folder of the templates of its chart.
    about: [Str; 2],
    kind: Kind,
}

/// What becomes of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Manifest,
    /// It only lends its definitions.
    Partial,
    /// Notes of the chart itself.
    Notes,
    /// Notes of a subchart: executed, for they may fail, and not shown.
    NotesBelow,
}

impl Template {
    /// Reports whether what it writes are manifests.
    pub(super) fn is_manifest(&self) -> bool {
        self.kind == Kind::Manifest
    }
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

    let release = objects::release(request);
    let mut dots = Vec::new();
    collect(&root, Some(user), true, (&release, &capabilities), &mut dots);
    let prepared = chart.prepared(&root)?;
    execute(&prepared, &dots, options, (chart, request), &root)
}

/// Returns the templates of the charts that take part in a release, parsed.
pub(super) fn prepare(chart: &Chart, request: &Request) -> Result<Arc<Prepared>, Diagnostics> {
    let (root, _) = settle(chart, request)?;
    chart.prepared(&root)
}

fn chart_place(chart: &Chart) -> Place {
    Place::file(format!("{}/Chart.yaml", chart.root.folder))
}

/// Returns the charts that take part, and the values of the chart itself with those of the others in them.
pub(super) fn settle<'c>(chart: &'c Chart, request: &Request) -> Result<(Node<'c>, Map), Diagnostics> {
    let user = user_values(request)?;
    let mut root = Node::new(&chart.root);
    let misfit = |error: Misfit| misfit(&error, request, &chart_place(chart));
    if chart.root.has_dependencies() {
        root.process_dependencies(&user).map_err(misfit)?;
    }
    values::coalesce(&root, &user, Nulls::Delete).map_err(misfit)?;
    Ok((root, user))
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

/// Collects what the templates of a chart and of its subcharts see, the chart itself first; returns what its own see, for `.Subcharts`.
fn collect(
    chart: &Node<'_>,
    values: Option<Map>,
    is_root: bool,
    (release, capabilities): (&Value, &Value),
    dots: &mut Vec<Map>,
) -> Map {
    let subcharts = Map::new();
    let values = values.unwrap_or_default();
    let dot: Map = [
        ("Capabilities", capabilities.clone()),
        ("Chart", Value::Map(chart.metadata.to_template(is_root))),
        ("Files", objects::files(chart.package)),
        ("Release", release.clone()),
        ("Subcharts", Value::Map(subcharts.clone())),
        ("Values", Value::Map(values.retyped(&VALUES))),
    ]
    .into_iter()
    .map(|(key, value)| (Str::constant(key), value))
    .collect();
    dots.push(dot.clone());
    for subchart in chart.dependencies() {
        // A dot in the name of a chart hides its values, in Helm too.
        let own = values::table(&values, subchart.name()).ok();
        let seen = collect(subchart, own, false, (release, capabilities), dots);
        subcharts.insert(subchart.name(), Value::Map(seen));
    }
    dot
}

/// Visits the charts of a tree in the order of [`collect`], each with its path.
fn visit<'n, 'c>(chart: &'n Node<'c>, path: &str, each: &mut impl FnMut(&'n Node<'c>, &str)) {
    each(chart, path);
    for subchart in chart.dependencies() {
        visit(subchart, &format!("{path}/charts/{}", subchart.name()), each);
    }
}

impl Chart {
    /// Returns the templates of a tree of charts; parsed once for every such tree.
    fn prepared(&self, root: &Node<'_>) -> Result<Arc<Prepared>, Diagnostics> {
        let mut tree = String::new();
        visit(root, root.name(), &mut |chart, path| tree.extend([path, "\0", chart.package.folder.as_str(), "\n"]));
        let mut sets = self.sets.lock().expect("no code panics while it holds the lock");
        if let Some(prepared) = sets.get(&tree) {
            return Ok(Arc::clone(prepared));
        }
        let prepared = Arc::new(Prepared::new(root, &self.functions)?);
        sets.insert(tree, Arc::clone(&prepared));
        Ok(prepared)
    }
}

impl Prepared {
    fn new(root: &Node<'_>, functions: &Arc<Functions>) -> Result<Prepared, Diagnostics> {
        let mut templates: Vec<(Template, &File)> = Vec::new();
        let mut files = BTreeMap::new();
        // Of charts with one path the last one counts.
        let mut places = BTreeMap::new();
        let mut charts = 0;
        visit(root, root.name(), &mut |chart, path| {
            places.insert(path.to_owned(), charts);
            charts += 1;
            for file in &chart.package.templates {
                let is_partial = file.path.rsplit('/').next().is_some_and(|base| base.starts_with('_'));
                if chart.metadata.is_library() && !is_partial {
                    continue;
                }
                let name = format!("{path}/{}", file.path);
                files.insert(name.clone(), format!("{}/{}", chart.package.folder, file.path));
                let kind = match (is_partial, name.ends_with(NOTES)) {
                    (true, _) => Kind::Partial,
                    (false, false) => Kind::Manifest,
                    (false, true) if name == format!("{}/templates/{NOTES}", root.name()) => Kind::Notes,
                    (false, true) => Kind::NotesBelow,
                };
                let about = [Str::from(&name), Str::from(format!("{path}/templates"))];
                templates.push((Template { name, chart: path.to_owned(), of: 0, about, kind }, file));
            }
        });
        for (template, _) in &mut templates {
            template.of = places.get(&template.chart).copied().unwrap_or_default();
        }
        // Helm's order is reversed: by depth, then by name.
        let order = |template: &Template| (template.name.matches('/').count(), template.name.clone());
        templates.sort_by_cached_key(|(template, _)| std::cmp::Reverse(order(template)));
        let mut diagnostics = Diagnostics::new();
        let mut set = TemplateSet::new(SET, Arc::clone(functions));
        for (template, file) in &templates {
            match parse(&template.name, &file.content, functions) {
                Ok(parsed) => set.add(&parsed),
                Err(error) => diagnostics.push(error.diagnostic(&|name| files.get(name).cloned())),
            }
        }
        if diagnostics.has_errors() {
            return Err(diagnostics);
        }
        let templates = templates.into_iter().map(|(template, _)| template).collect();
        Ok(Prepared { set: Arc::new(set), files: Arc::new(files), templates })
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
    dots: &[Map],
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
    let (mut files, mut notes) = (Vec::new(), None);
    for template in prepared.templates.iter().filter(|template| template.kind != Kind::Partial) {
        let dot = &dots[template.of];
        let [name, base_path] = template.about.clone().map(Value::String);
        let about = [("BasePath", base_path), ("Name", name)].map(|(key, value)| (Str::constant(key), value));
        let about: Map = about.into_iter().collect();
        dot.insert(Str::constant("Template"), Value::Map(about.retyped(&VALUES)));
        let mut output = executor.execute(&template.name, Value::Map(dot.retyped(&VALUES))).map_err(|error| {
            Diagnostics::from(blame::diagnostic(&error, &prepared.files, &template.chart, (chart, request)))
        })?;
        output.remove("<no value>");
        let text = match output.text.into_string() {
            Ok(text) => text,
            Err(bytes) => Str::from(bytes).to_str_lossy().into_owned(),
        };
        match template.kind {
            Kind::Notes => notes = Some(text),
            Kind::NotesBelow => {}
            Kind::Manifest | Kind::Partial => {
                files.push(RenderedFile {
                    path: template.name.clone(),
                    text,
                    origins: Some(Arc::new(output.origins)),
                    values: followed.clone().map(|(provenance, reads)| Followed {
                        provenance,
                        reads,
                        chart: template.chart.clone(),
                    }),
                    files: Arc::clone(&prepared.files),
                });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Rendered { files, crds: crds(root), notes })
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
