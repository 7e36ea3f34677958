//! Helm charts: loaded once, rendered many times, equal to Helm 4.2.
//!
//! [`load`] reads a chart out of a [`SourceTree`]; [`render`] executes its templates for one release and returns the text of each file
//! exactly as Helm's engine gives it. Knows no service, environment or disk, and never asks a clock, a cluster or a network.
//! Invariant: the same chart and the same [`Request`] give the same [`Rendered`], whatever the thread or the order of rendering.

mod archive;
mod blame;
mod frozen;
mod glob;
mod ignore;
mod metadata;
mod objects;
mod package;
mod path_match;
mod provenance;
mod reads;
mod release_name;
mod render;
mod schema;
pub mod stream;
pub mod strvals;
mod tree;
mod values;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use manifest::yaml::{self, Marks, Position};
use serde_json::Value;

use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::gotemplate::{Functions, Origins, Source};
use crate::source::{Content, SourceTree};
pub use ignore::{BadRule, Rules as IgnoreRules};
use package::Package;
pub use provenance::{Provenance, Set, Setter};
pub use reads::ValueRead;
pub use release_name::{RELEASE_NAME_BYTES_MAX, check_release_name, release_name};
use render::Prepared;

/// A chart with its subcharts. `Send + Sync`; one chart serves any number of concurrent renders.
#[derive(Debug)]
pub struct Chart {
    root: Package,
    annotations: BTreeMap<String, String>,
    /// Path in the chart's folder -> content.
    files: Vec<(String, Vec<u8>)>,
    functions: Arc<Functions>,
    /// Parsed templates by the charts they are of, which differ with the subcharts that take part.
    sets: Mutex<BTreeMap<String, Arc<Prepared>>>,
}

impl Chart {
    /// Returns the name given in Chart.yaml.
    pub fn name(&self) -> &str {
        &self.root.metadata.name
    }

    /// Returns the version given in Chart.yaml.
    pub fn version(&self) -> &str {
        &self.root.metadata.version
    }

    /// Returns the annotations given in Chart.yaml.
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        &self.annotations
    }

    /// Iterates over every file that a render can depend on, by path relative to the folder of the chart: ignored files are left out.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(path, content)| (path.as_str(), content.as_slice()))
    }
}

/// One file of values. Every number in it is a float, as Helm reads them.
#[derive(Debug, Clone, Default)]
pub struct Layer {
    /// The path of the file, for messages.
    pub file: String,
    /// Its content: an object, or null for an empty file.
    pub value: Value,
    /// Where its parts stand in the file.
    pub marks: LazyMarks,
}

/// Where the parts of a file stand. Found out when somebody asks, which is when something is to be said about them.
#[derive(Debug, Clone, Default)]
pub struct LazyMarks {
    /// The text of the file.
    text: Content,
    read: OnceLock<Marks>,
}

impl LazyMarks {
    /// Returns those of a text that was read without them: one document, with no key twice.
    pub fn of(text: Content) -> Self {
        LazyMarks { text, read: OnceLock::new() }
    }

    /// Returns the marks.
    pub fn get(&self) -> &Marks {
        self.read.get_or_init(|| {
            let settings = yaml::Settings { marks: true, ..yaml::Settings::default() };
            let documents = std::str::from_utf8(&self.text).ok().and_then(|text| yaml::read(text, &settings).ok());
            let document = documents.into_iter().flatten().find(|document| !document.value.is_null());
            document.map(|document| document.marks).unwrap_or_default()
        })
    }
}

impl From<Marks> for LazyMarks {
    fn from(marks: Marks) -> Self {
        LazyMarks { text: Content::default(), read: OnceLock::from(marks) }
    }
}

/// What `.Capabilities` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// The version of Kubernetes, with or without the leading `v`.
    pub kube_version: String,
    /// The API versions the cluster serves besides those that Helm takes for granted: `group/version` or `group/version/Kind`.
    pub api_versions: Vec<String>,
}

impl Default for Capabilities {
    /// The capabilities that `helm template` of Helm 4.2 assumes.
    fn default() -> Self {
        Capabilities { kube_version: "v1.36.0".to_owned(), api_versions: Vec::new() }
    }
}

/// A value that goes over all files of values.
#[derive(Debug, Clone)]
pub enum Setting {
    /// A path in the notation of `helm --set` (`image.tag`, `hosts[0].name`, `a\.b`), and a value.
    Value {
        /// The path.
        path: String,
        /// The value.
        value: Value,
    },
    /// What stands behind one of the flags of `helm template`; see [`strvals`].
    Line {
        /// The flag, as messages name it: `--set`.
        flag: &'static str,
        /// How the line is written.
        notation: strvals::Notation,
        /// The line.
        line: String,
    },
    /// An object behind `--set-json`: its maps merge, the rest replaces. Every number is a float.
    Object(Value),
}

impl Setting {
    /// Returns path and value, unless it is a flag that is still to be read.
    pub fn single(&self) -> Option<(&str, &Value)> {
        match self {
            Setting::Value { path, value } => Some((path, value)),
            Setting::Line { .. } | Setting::Object(_) => None,
        }
    }
}

/// One release to render.
#[derive(Debug, Clone)]
pub struct Request {
    /// `.Release.Name`.
    pub release_name: String,
    /// `.Release.Namespace`.
    pub namespace: String,
    /// Files of values, low to high; they go over the chart's own values.
    pub layers: Vec<Arc<Layer>>,
    /// Single values over all layers, in order. Here, and only here, an integer stays an integer.
    pub set: Vec<Setting>,
    /// `.Capabilities`.
    pub capabilities: Capabilities,
    /// `.Release.IsUpgrade`; `.Release.IsInstall` is its opposite.
    pub is_upgrade: bool,
}

/// How to render.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Lets random and clock functions run instead of refusing them.
    pub allow_nondeterministic: bool,
    /// Leaves `values.schema.json` out.
    pub skip_schema_validation: bool,
    /// Follows texts through functions and values to their lines, see [`RenderedFile::blame`]: for a second render, when something is wrong
    /// with what the first one gave.
    pub follow: bool,
}

/// What a chart rendered to.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// One entry a template, by path; files that are blank included, partials and NOTES.txt not.
    pub files: Vec<RenderedFile>,
    /// The files below `crds/` of the chart and its subcharts, untemplated.
    pub crds: Vec<RenderedFile>,
    /// The text of NOTES.txt of the chart itself.
    pub notes: Option<String>,
}

/// What is known of the values of a render that is followed.
#[derive(Debug, Clone)]
struct Followed {
    provenance: Arc<Provenance>,
    reads: Arc<Vec<ValueRead>>,
    /// Path of the chart in the tree.
    chart: String,
}

/// A part of a rendered object.
#[derive(Debug, Clone, Copy)]
pub struct RenderedPart<'p> {
    /// Its JSON pointer.
    pub pointer: &'p str,
    /// What stands there.
    pub value: Option<&'p Value>,
}

/// The text one template rendered to.
#[derive(Debug, Clone)]
pub struct RenderedFile {
    /// Path with the name of the chart first: `generic/templates/deployment.yaml`.
    pub path: String,
    /// The text, exactly as Helm's engine gives it; bytes that are not UTF-8 replaced.
    pub text: String,
    /// Which template wrote which bytes; nothing for a file that is no template.
    origins: Option<Arc<Origins>>,
    /// Where values were set and read; only where they are followed.
    values: Option<Followed>,
    /// Repository paths by template name.
    files: Arc<BTreeMap<String, String>>,
}

impl RenderedFile {
    /// Returns the repository path of the template, or of the file itself.
    pub fn source(&self) -> &str {
        self.files.get(&self.path).map_or(&self.path, String::as_str)
    }

    /// Returns the place in a template, or in the file itself, that wrote what stands at a place of the text.
    pub fn place(&self, at: Position) -> Place {
        let Some(origins) = &self.origins else { return Place::at(self.source(), at.line, at.column) };
        let offset = offset(&self.text, at);
        let written = origins.locate(offset).and_then(|(source, byte)| self.place_in(source, byte));
        // What stands in no file - a text given to `tpl` - was printed by something that does.
        let printed = || origins.way(offset)?.calls.iter().find_map(|(source, byte)| self.place_in(source, *byte));
        written.or_else(printed).unwrap_or_else(|| Place::file(self.source()))
    }

    /// Returns the diagnostic at the place that wrote what stands at a place of the text; where the render followed texts, with the actions
    /// that printed it and the line that set the value. Where it is not known which value was printed there, `part` finds those that the
    /// template line reads and that can have become this part.
    pub fn blame(&self, diagnostic: Diagnostic, at: Position, part: Option<RenderedPart<'_>>) -> Diagnostic {
        let place = self.place(at);
        let mut diagnostic = diagnostic.at(place.clone());
        let way = self.origins.as_ref().and_then(|origins| origins.way(offset(&self.text, at)));
        for (source, byte) in way.into_iter().flat_map(|way| &way.calls) {
            if let Some(printed) = self.place_in(source, *byte).filter(|printed| *printed != place) {
                diagnostic = diagnostic.related(printed, "printed here");
            }
        }
        let Some(Followed { provenance, reads, chart }) = &self.values else { return diagnostic };
        let printed = way.and_then(|way| way.value.as_ref());
        let set = match (printed.and_then(|path| blame::set_at(provenance, chart, path)), part) {
            (Some(set), _) => vec![set],
            (None, Some(part)) if self.is_printed(at) => blame::set_near(provenance, reads, &place, part),
            (None, _) => Vec::new(),
        };
        for (name, place) in set {
            diagnostic = diagnostic.related(place, format!("`{name}` is set here"));
        }
        diagnostic
    }

    /// Whether what stands at a place was printed by an action, and is no text of the template.
    fn is_printed(&self, at: Position) -> bool {
        self.origins.as_ref().is_some_and(|origins| origins.is_printed(offset(&self.text, at)))
    }

    fn place_in(&self, source: &Source, byte: usize) -> Option<Place> {
        let file = self.files.get(&*source.name.to_str_lossy())?;
        Some(Place::of_bytes(file, source.text.as_bytes(), byte, byte))
    }
}

/// Returns the byte offset of a position; past the end of a line its end.
fn offset(text: &str, at: Position) -> usize {
    let start: usize = text.split_inclusive('\n').take(at.line.saturating_sub(1)).map(str::len).sum();
    let line = text[start..].split('\n').next().unwrap_or_default();
    start + line.char_indices().nth(at.column.saturating_sub(1)).map_or(line.len(), |(offset, _)| offset)
}

/// Loads the chart in `folder` of `tree`.
///
/// # Errors
/// Everything that is wrong with the files of the chart, templates that do not parse included.
pub fn load(tree: &SourceTree, folder: &str) -> Result<Chart, Diagnostics> {
    load_files(folder, package::kept(folder, tree.below(folder))?)
}

/// Loads the chart in `folder` of `tree`, where it was put from an archive by [`unpack`]: an archive has no use for a `.helmignore`.
///
/// # Errors
/// As [`load`].
pub fn load_unpacked(tree: &SourceTree, folder: &str) -> Result<Chart, Diagnostics> {
    let file = |(path, content): (&str, &[u8])| package::File { path: path.to_owned(), content: content.into() };
    load_files(folder, tree.below(folder).map(file).collect())
}

/// Unpacks a packed chart: its files by path, the folder they are all in left out.
///
/// # Errors
/// Why it is refused, in Helm's words.
pub fn unpack(archive: &[u8]) -> Result<Vec<(String, Vec<u8>)>, String> {
    let files = archive::unpack(archive).map_err(|error| error.to_string())?;
    Ok(files.into_iter().map(|file| (file.path, file.content.to_vec())).collect())
}

fn load_files(folder: &str, kept: Vec<package::File>) -> Result<Chart, Diagnostics> {
    let mut diagnostics = Diagnostics::new();
    let files = kept.iter().map(|file| (file.path.clone(), file.content.to_vec())).collect();
    let functions = render::functions();
    if let Some(root) = package::read(folder, kept, 0, &mut diagnostics) {
        if !diagnostics.has_errors() {
            // A subchart that could not be read is not a missing one.
            check_installable(&root, &mut diagnostics);
        }
        render::check_templates(&root, &functions, &mut diagnostics);
        if !diagnostics.has_errors() {
            let annotations = root.metadata.annotations.clone().unwrap_or_default();
            return Ok(Chart { root, annotations, files, functions, sets: Mutex::default() });
        }
    }
    Err(diagnostics)
}

/// What `helm template` refuses before it renders anything.
fn check_installable(root: &Package, diagnostics: &mut Diagnostics) {
    let place = Place::file(format!("{}/Chart.yaml", root.folder));
    if root.metadata.is_library() {
        let hint = "a library chart only lends templates to charts that depend on it";
        diagnostics.push(
            Diagnostic::error("library-chart", "library charts are not installable").at(place.clone()).hint(hint),
        );
    }
    for dependency in root.metadata.dependencies.iter().flatten() {
        if !root.subcharts.iter().any(|subchart| subchart.metadata.name == dependency.name) {
            let message = format!("found in Chart.yaml, but missing in charts/ directory: {}", dependency.name);
            let hint = "vendor the dependency: nothing is downloaded while rendering";
            diagnostics.push(Diagnostic::error("missing-dependency", message).at(place.clone()).hint(hint));
        }
    }
}

/// Renders one release.
///
/// # Errors
/// Values that do not fit the chart's schema, and the first template that fails, as Helm stops there too.
pub fn render(chart: &Chart, request: &Request, options: &Options) -> Result<Rendered, Diagnostics> {
    render::render(chart, request, options)
}

/// Returns what the templates of the chart see as `.Values`: those of a subchart that takes part are below its name.
///
/// # Errors
/// Where the values of a subchart are no map, and where values have no JSON form.
pub fn values(chart: &Chart, request: &Request) -> Result<Value, Diagnostics> {
    let (_, values) = render::settle(chart, request)?;
    let json = crate::value::Value::Map(values).to_json();
    json.map_err(|error| Diagnostic::error("invalid-values", error.to_string()).into())
}
