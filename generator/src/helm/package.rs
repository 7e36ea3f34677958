//! A chart as it lies in its folder or archive: files sorted into what they are, Chart.yaml and values read.
//!
//! Source: Helm v4.2.3 `pkg/chart/v2/loader/{load,directory}.go`, `pkg/chart/loader/archive`. Knows no release.
//! Invariant: [`Package`] is `Send + Sync`; what a render changes, it changes in its own copies.

use std::collections::BTreeMap;
use std::sync::Arc;

use manifest::yaml::{self, DuplicateKeys, Limits, Marks, ReadError};
use serde_json::{Map as JsonMap, Value as Json};

use super::archive;
use super::frozen::Frozen;
use super::ignore::Rules;
use super::metadata::{Dependency, Metadata, Misfit};
use super::schema::Schema;
use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::sprig::semver::is_compatible_range;
use crate::value::Str;

/// Bytes of one file at most; Helm's own limit.
pub const FILE_BYTES_MAX: usize = 5 << 20;
/// Charts inside charts at most.
pub const SUBCHART_DEPTH_MAX: usize = 32;

/// A chart and the charts below it.
#[derive(Debug)]
pub(super) struct Package {
    /// Folder (or archive) it was loaded from, for places in messages.
    pub(super) folder: String,
    pub(super) metadata: Metadata,
    /// The chart's own values.yaml, documents merged; every number a float.
    pub(super) values: Frozen,
    /// Where `values` come from.
    pub(super) values_file: Option<File>,
    pub(super) schema: Option<Schema>,
    /// Paths begin with `templates/`.
    pub(super) templates: Vec<File>,
    /// What `.Files` sees, by path.
    pub(super) files: Vec<File>,
    /// The paths of `files`, as templates have them.
    pub(super) file_names: Vec<Str>,
    pub(super) subcharts: Vec<Package>,
    /// Which of the subcharts are listed as dependencies.
    pub(super) listing: Listing,
}

/// Which subcharts of a chart are listed in its Chart.yaml.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// For each listed dependency the subchart that it means, where that is there.
    pub(super) listed: Vec<Option<usize>>,
    /// The subcharts that no dependency could mean.
    pub(super) unlisted: Vec<usize>,
}

impl Listing {
    fn new(package: &Package) -> Listing {
        let fits = |requirement: &Dependency, chart: &Package| {
            chart.metadata.name == requirement.name
                && is_compatible_range(&requirement.version, &chart.metadata.version)
        };
        let requirements = package.metadata.dependencies.as_deref().unwrap_or_default();
        let meant = |requirement: &Dependency| package.subcharts.iter().position(|chart| fits(requirement, chart));
        let is_unlisted =
            |at: &usize| !requirements.iter().any(|requirement| fits(requirement, &package.subcharts[*at]));
        Listing {
            listed: requirements.iter().map(meant).collect(),
            unlisted: (0..package.subcharts.len()).filter(is_unlisted).collect(),
        }
    }
}

impl Package {
    /// Reports whether there is anything to settle about its subcharts.
    pub(super) fn has_dependencies(&self) -> bool {
        self.metadata.dependencies.is_some() || self.subcharts.iter().any(Package::has_dependencies)
    }
}

/// One file of a chart, by its path in the chart.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub(super) path: String,
    pub(super) content: Arc<[u8]>,
}

/// Sorts the files of a chart's folder into a package; ignored files are gone already.
pub(super) fn read(folder: &str, files: Vec<File>, depth: usize, diagnostics: &mut Diagnostics) -> Option<Package> {
    if depth > SUBCHART_DEPTH_MAX {
        let message = format!("charts are nested more than {SUBCHART_DEPTH_MAX} deep");
        diagnostics.push(Diagnostic::error("limit", message).at(Place::file(folder)));
        return None;
    }
    let mut reader = Reader { folder, diagnostics, failed: false };
    let mut package = Package {
        folder: folder.to_owned(),
        metadata: Metadata::default(),
        values: Frozen::Map(Vec::new()),
        values_file: None,
        schema: None,
        templates: Vec::new(),
        files: Vec::new(),
        file_names: Vec::new(),
        subcharts: Vec::new(),
        listing: Listing::default(),
    };
    match files.iter().find(|file| file.path == "Chart.yaml") {
        Some(file) => reader.fill(&mut package.metadata, file),
        None => {
            let missing = Diagnostic::error("chart-missing", "Chart.yaml file is missing").at(Place::file(folder));
            diagnostics
                .push(missing.hint("a chart is a folder with a Chart.yaml that gives apiVersion, name and version"));
            return None;
        }
    }
    if package.metadata.api_version.is_empty() {
        package.metadata.api_version = "v1".to_owned();
    }
    let mut subcharts: BTreeMap<String, Vec<File>> = BTreeMap::new();
    for file in files {
        if file.content.len() > FILE_BYTES_MAX {
            reader.refuse(
                &file.path,
                "limit",
                format!("chart file is larger than the maximum file size {FILE_BYTES_MAX}"),
            );
            continue;
        }
        reader.sort(file, &mut package, &mut subcharts);
    }
    package.file_names = package.files.iter().map(|file| Str::from(&file.path)).collect();
    reader.validate(&mut package.metadata);
    let failed = reader.failed;
    for (name, files) in subcharts {
        let subchart = read_subchart(folder, &name, files, depth + 1, diagnostics);
        package.subcharts.extend(subchart);
    }
    package.listing = Listing::new(&package);
    (!failed).then_some(package)
}

fn read_subchart(
    folder: &str,
    name: &str,
    mut files: Vec<File>,
    depth: usize,
    diagnostics: &mut Diagnostics,
) -> Option<Package> {
    let below = format!("{folder}/charts/{name}");
    if name.starts_with(['_', '.']) {
        return None;
    }
    if !name.ends_with(".tgz") {
        // Files directly in charts/ are not charts.
        let strip = |file: File| file.path.split_once('/').map(|(_, rest)| File { path: rest.to_owned(), ..file });
        let files: Vec<File> = files.into_iter().filter_map(strip).collect();
        return read(&below, files, depth, diagnostics);
    }
    let file = files.swap_remove(0);
    if file.path != name {
        let message = format!("error unpacking subchart tar: expected {name}, got {}", file.path);
        diagnostics.push(Diagnostic::error("bad-archive", message).at(Place::file(below)));
        return None;
    }
    match archive::unpack(&file.content) {
        Ok(files) => read(&below, files, depth, diagnostics),
        Err(error) => {
            let hint = "pack it with `helm package`, or unpack it into a folder of `charts`";
            diagnostics.push(Diagnostic::error("bad-archive", error.to_string()).at(Place::file(below)).hint(hint));
            None
        }
    }
}

struct Reader<'r> {
    folder: &'r str,
    diagnostics: &'r mut Diagnostics,
    failed: bool,
}

impl Reader<'_> {
    fn sort(&mut self, file: File, package: &mut Package, subcharts: &mut BTreeMap<String, Vec<File>>) {
        match file.path.as_str() {
            "Chart.yaml" => {}
            "values.yaml" => {
                package.values = Frozen::new(&self.values(&file));
                package.values_file = Some(file);
            }
            "values.schema.json" => package.schema = self.schema(&file),
            // Locks are only checked for being YAML.
            "Chart.lock" => drop(self.document(&file)),
            "requirements.yaml" | "requirements.lock" => {
                if file.path == "requirements.yaml" {
                    self.fill(&mut package.metadata, &file);
                } else {
                    drop(self.document(&file));
                }
                if package.metadata.api_version == "v1" {
                    package.files.push(file);
                }
            }
            path if path.starts_with("templates/") => package.templates.push(file),
            path => match path.strip_prefix("charts/") {
                Some(rest) if !path.ends_with(".prov") => {
                    let name = rest.split('/').next().unwrap_or(rest).to_owned();
                    subcharts.entry(name).or_default().push(File { path: rest.to_owned(), ..file });
                }
                _ => package.files.push(file),
            },
        }
    }

    fn place(&self, path: &str) -> String {
        format!("{}/{path}", self.folder)
    }

    fn refuse(&mut self, path: &str, code: &'static str, message: String) {
        self.failed = true;
        self.diagnostics.push(Diagnostic::error(code, message).at(Place::file(self.place(path))));
    }

    /// Reads the first document of a file.
    fn document(&mut self, file: &File) -> Option<(Json, Marks)> {
        let document = self.documents(file)?.into_iter().next();
        Some(document.map_or_else(Default::default, |document| (document.value, document.marks)))
    }

    fn documents(&mut self, file: &File) -> Option<Vec<yaml::Document>> {
        let wrong = match std::str::from_utf8(&file.content) {
            Ok(text) => match yaml::read(text, &settings()) {
                Ok(documents) => return Some(documents),
                Err(error) => error,
            },
            Err(_) => {
                ReadError { message: "the file is not UTF-8".to_owned(), at: yaml::Position { line: 1, column: 1 } }
            }
        };
        self.failed = true;
        let message = format!("cannot load {}: {}", file.path, wrong.message);
        let place = Place::at(self.place(&file.path), wrong.at.line, wrong.at.column);
        self.diagnostics.push(Diagnostic::error("invalid-yaml", message).at(place));
        None
    }

    fn fill(&mut self, metadata: &mut Metadata, file: &File) {
        let Some((document, marks)) = self.document(file) else { return };
        if let Err(misfit) = metadata.fill(&document) {
            let message = format!("cannot load {}: {}", file.path, misfit.message);
            self.misfit(&file.path, &Misfit { message, ..misfit }, &marks);
        }
    }

    fn misfit(&mut self, path: &str, misfit: &Misfit, marks: &Marks) {
        self.failed = true;
        let position = marks.values.get(&misfit.pointer).or_else(|| marks.keys.get(&misfit.pointer)).copied();
        let file = self.place(path);
        let place =
            position.map_or_else(|| Place::file(file.clone()), |at| Place::at(file.clone(), at.line, at.column));
        let hint = if misfit.message.contains("version") {
            "write `version: 1.0.0`: three numbers, and perhaps `-` and more"
        } else {
            "a chart says at least `apiVersion: v2`, `name` and `version`"
        };
        self.diagnostics.push(Diagnostic::error("bad-chart", misfit.message.clone()).at(place).hint(hint));
    }

    fn validate(&mut self, metadata: &mut Metadata) {
        if self.failed {
            return;
        }
        if let Err(misfit) = metadata.validate() {
            self.misfit("Chart.yaml", &misfit, &Marks::default());
        }
    }

    /// Reads values: documents are merged, every number is a float.
    fn values(&mut self, file: &File) -> Json {
        let mut merged = JsonMap::new();
        for document in self.documents(file).into_iter().flatten() {
            match document.value {
                Json::Object(fields) => merge(&mut merged, fields),
                Json::Null => {}
                other => {
                    self.failed = true;
                    let kind = if other.is_array() { "a list" } else { "a single value" };
                    let message = format!("cannot load values.yaml: the document is {kind}, not a map");
                    let place = Place::at(self.place(&file.path), document.start.line, document.start.column);
                    self.diagnostics.push(Diagnostic::error("invalid-values", message).at(place));
                }
            }
        }
        Json::Object(merged)
    }

    fn schema(&mut self, file: &File) -> Option<Schema> {
        Some(Schema::new(self.place(&file.path), &file.content))
    }
}

fn merge(base: &mut JsonMap<String, Json>, over: JsonMap<String, Json>) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Json::Object(base)), Json::Object(over)) => merge(base, over),
            (_, value) => drop(base.insert(key, value)),
        }
    }
}

/// Reads YAML as Helm does: the last of several equal keys wins.
pub(super) fn settings() -> yaml::Settings {
    let limits = Limits { bytes: FILE_BYTES_MAX, ..yaml::Settings::default().limits };
    yaml::Settings { duplicate_keys: DuplicateKeys::LastWins, marks: true, limits }
}

/// Returns the files of a folder that belong to the chart.
///
/// # Errors
/// A line of `.helmignore` that is no rule.
pub(super) fn kept<'t>(
    folder: &str,
    files: impl Iterator<Item = (&'t str, &'t [u8])>,
) -> Result<Vec<File>, Diagnostics> {
    const IGNORE: &str = ".helmignore";
    let all: Vec<(&str, &[u8])> = files.collect();
    let text = all
        .iter()
        .find(|(path, _)| *path == IGNORE)
        .map_or(String::new(), |(_, content)| String::from_utf8_lossy(content).into_owned());
    let rules = Rules::parse(&text).map_err(|bad| {
        let place = Place::at(format!("{folder}/{IGNORE}"), bad.line, 1);
        let hint = "one pattern a line, such as `*.md` or `docs/`; `!` before it keeps what it matches";
        Diagnostics::from(Diagnostic::error("bad-helmignore", bad.message).at(place).hint(hint))
    })?;
    let kept = all.into_iter().filter(|(path, _)| !rules.ignore(path));
    let mut files: Vec<File> =
        kept.map(|(path, content)| File { path: path.to_owned(), content: without_bom(content).into() }).collect();
    // Helm walks folder by folder: names are compared, not whole paths.
    files.sort_by(|a, b| a.path.split('/').cmp(b.path.split('/')));
    Ok(files)
}

/// Drops a byte order mark.
pub(super) fn without_bom(content: &[u8]) -> &[u8] {
    content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content)
}
