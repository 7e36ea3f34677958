//! Where a value comes from, and where it goes: for one service in one environment.
//!
//! Every effective value with the line that set it, the lines it overrides, and the template lines that read it. Renders nothing that is
//! written anywhere. The setters are exact; the readers are what can be told from the templates as they stand, see
//! [`crate::gotemplate::reads`]: a line that reads "all of" something, or "one of" its parts, is said to.
//!
//! Invariant: no value that reaches a Secret is shown, nor one whose name says that it is secret: [`MASK`] stands in its place.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::diagnostic::{Diagnostic, Diagnostics, Place, suggest};
use crate::gotemplate::Part;
use crate::helm::{Provenance, Request, Set, Setter, Setting, ValueRead};
use crate::service::{self, Service};
use crate::source::SourceTree;
use crate::{file, release};

mod secret;
mod text;

pub use secret::MASK;
pub use text::write as to_text;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question<'q> {
    /// Name of the service.
    pub service: &'q str,
    /// Name of the environment.
    pub environment: &'q str,
    /// Path of a value, such as `httpService.public.host`; nothing for all of them.
    pub path: Option<&'q str>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// Name of the service.
    pub service: String,
    /// Name of the environment.
    pub environment: String,
    /// Name of its chart.
    pub chart: String,
    /// Its version.
    pub version: String,
    /// Every value that was asked for: scalars, lists, and maps without entries; sorted by path.
    pub values: Vec<Explained>,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    /// Path in the values, `\.` for a dot in a key.
    pub path: String,
    /// What it is, [`MASK`] for what is secret; nothing where a null took it away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// What set it, or took it away; nothing for an empty map that Helm makes for a subchart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_by: Option<Origin>,
    /// What else sets it, without effect: the nearest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Origin>,
    /// The template lines that read it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub read_by: Vec<Reader>,
}

/// A line that sets a value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Origin {
    /// Where: a line of a file of values, the file `version`, or the folder of the environment.
    pub place: Place,
    /// What it is set to there, [`MASK`] for what is secret.
    pub value: Value,
}

/// A line that reads a value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reader {
    /// Where.
    pub place: Place,
    /// How much of it.
    pub extent: Extent,
}

/// How much a line reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Extent {
    /// This very value.
    Value,
    /// Something in it.
    Part,
    /// All of a map or list that it is in.
    Around,
    /// By a key that is computed: perhaps this value, perhaps another beside it.
    Perhaps,
}

/// Answers a question about a repository.
///
/// # Errors
/// A service, environment or path that is not there, and whatever is wrong with the files that the answer needs.
pub fn explain(tree: &SourceTree, question: &Question<'_>) -> Result<Explanation, Diagnostics> {
    let (mut catalog, diagnostics) = service::read(tree);
    let found = catalog
        .services
        .iter()
        .position(|service| service.name == question.service && service.environment == question.environment);
    let Some(found) = found else { return Err(not_found(&catalog.services, tree, question, diagnostics)) };
    let service = catalog.services.swap_remove(found);
    catalog.services.clear();
    let (chart_name, version) = (service.chart.clone(), service.version.clone());
    catalog.services.push(service);
    let mut wrong = Diagnostics::new();
    let mut charts = release::load_charts(tree, &catalog, &mut wrong);
    let (Some(chart), Some(service)) = (charts.remove(&chart_name), catalog.services.pop()) else { return Err(wrong) };
    let request = release::prepare(&service, &chart, &catalog).request;
    let provenance = chart.chart.provenance(&request)?;
    let answer = Answer {
        secrets: secret::Secrets::of(&chart.chart, &request),
        reads: chart.chart.reads(&request)?,
        places: injected(tree, question, &request),
        provenance,
    };
    let values = match question.path {
        None => answer.all(),
        Some(path) => answer.below(path)?,
    };
    let (service, environment) = (question.service.to_owned(), question.environment.to_owned());
    Ok(Explanation { service, environment, chart: chart_name, version, values })
}

/// Says what is not there. Where the service is, but something is wrong with it, that is the answer.
fn not_found(services: &[Service], tree: &SourceTree, question: &Question<'_>, all: Diagnostics) -> Diagnostics {
    let Question { service, environment, .. } = *question;
    let folders = tree.folders(service::FOLDER);
    let names = || folders.iter().copied().filter(|name| *name != service::DEFAULTS);
    let folder = format!("{}/{service}", service::FOLDER);
    let (message, near) = if !folders.contains(&service) {
        (format!("there is no service `{service}`"), suggest(service, names()))
    } else if !tree.folders(&folder).contains(&environment) {
        let near = suggest(environment, tree.folders(&folder));
        (format!("service `{service}` does not run in `{environment}`"), near)
    } else {
        return all;
    };
    let known = services.iter().find(|known| known.name == service).map(|known| known.environment.as_str());
    let hint =
        near.map(|near| format!("did you mean `{near}`?")).or(known.map(|known| format!("it runs in `{known}`")));
    let diagnostic = Diagnostic::error("unknown-name", message);
    match hint {
        Some(hint) => diagnostic.hint(hint).into(),
        None => diagnostic.into(),
    }
}

/// Returns where what the generator sets by itself stands, by path of the value.
fn injected(tree: &SourceTree, question: &Question<'_>, request: &Request) -> BTreeMap<String, Place> {
    let service = format!("{}/{}", service::FOLDER, question.service);
    let folder = format!("{service}/{}", question.environment);
    let versions = [&folder, &service].map(|folder| format!("{folder}/version"));
    let version = versions.iter().find(|path| tree.get(path).is_some());
    let place = |value: &Value| match version {
        Some(version) if value.as_str() != Some(question.environment) => Place::at(version, 1, 1),
        _ => Place::file(&folder),
    };
    // The version comes first, also where it is called as the environment is.
    let first = request.set.first().filter(|_| request.set.len() > 1).zip(version);
    let mut places: BTreeMap<String, Place> =
        request.set.iter().filter_map(Setting::single).map(|(path, value)| (path.to_owned(), place(value))).collect();
    if let Some((path, version)) = first.and_then(|(setting, version)| Some((setting.single()?.0, version))) {
        places.insert(path.to_owned(), Place::at(version, 1, 1));
    }
    places
}

struct Answer {
    provenance: Provenance,
    reads: Vec<ValueRead>,
    secrets: secret::Secrets,
    places: BTreeMap<String, Place>,
}

type Path<'p> = Vec<&'p str>;

impl Answer {
    fn all(&self) -> Vec<Explained> {
        let mut found = Vec::new();
        self.walk(self.provenance.values(), &mut Vec::new(), &mut found);
        found
    }

    fn below(&self, path: &str) -> Result<Vec<Explained>, Diagnostics> {
        let parts = split(path);
        let mut path: Path<'_> = parts.iter().map(String::as_str).collect();
        let value = path.iter().try_fold(self.provenance.values(), |value, part| child(value, part));
        let Some(value) = value else { return self.absent(&path).map(|one| vec![one]) };
        let mut found = Vec::new();
        self.walk(value, &mut path, &mut found);
        Ok(found)
    }

    /// Collects the values in `value`.
    fn walk<'v>(&'v self, value: &'v Value, path: &mut Path<'v>, found: &mut Vec<Explained>) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                for (key, value) in map {
                    path.push(key);
                    self.walk(value, path, found);
                    path.pop();
                }
            }
            _ => found.push(self.one(value, path)),
        }
    }

    fn one(&self, value: &Value, path: &Path<'_>) -> Explained {
        let set = self.provenance.of(path);
        let below = self.provenance.all(path).into_iter().skip_while(|other| Some(other) != set.as_ref()).skip(1);
        Explained {
            path: join(path),
            value: Some(self.secrets.masked(path, value)),
            overrides: below.map(|set| self.origin(path, set)).collect(),
            set_by: set.map(|set| self.origin(path, set)),
            read_by: self.readers(path),
        }
    }

    fn origin(&self, path: &Path<'_>, set: Set) -> Origin {
        let place = match set.setter {
            Setter::File(place) => place,
            Setter::Single(path) => self.places.get(&path).cloned().unwrap_or_else(|| Place::file(path)),
        };
        Origin { place, value: self.secrets.masked(path, &set.value) }
    }

    /// Explains what is not there: taken away by a null, or never set.
    fn absent(&self, path: &Path<'_>) -> Result<Explained, Diagnostics> {
        let all = self.provenance.all(path);
        if let Some(removed) = all.iter().position(|set| set.value.is_null()) {
            let mut sets = all.into_iter().skip(removed).map(|set| self.origin(path, set));
            let set_by = sets.next();
            let overrides = sets.collect();
            return Ok(Explained { path: join(path), value: None, set_by, overrides, read_by: self.readers(path) });
        }
        let mut value = self.provenance.values();
        let mut known = 0;
        while let Some(below) = path.get(known).and_then(|part| child(value, part)) {
            value = below;
            known += 1;
        }
        let names: Vec<&str> =
            value.as_object().into_iter().flat_map(serde_json::Map::keys).map(String::as_str).collect();
        let message = format!("nothing sets the value `{}`", join(path));
        let near = path.get(known).and_then(|part| suggest(part, names.iter().copied()));
        let hint = match near {
            Some(near) => {
                let meant: Path<'_> = path[..known].iter().copied().chain([near]).collect();
                format!("did you mean `{}`?", join(&meant))
            }
            None if known == 0 => format!("there are {}", names.join(", ")),
            None if names.is_empty() => format!("`{}` is no map with entries", join(&path[..known].to_vec())),
            None => format!("`{}` has {}", join(&path[..known].to_vec()), names.join(", ")),
        };
        let readers = self.readers(path);
        let diagnostic = Diagnostic::error("unknown-value", message).hint(hint);
        let is_exact = |reader: &Reader| matches!(reader.extent, Extent::Value | Extent::Part);
        let read = readers.into_iter().filter(is_exact).map(|reader| (reader.place, "read here"));
        Err(read.fold(diagnostic, |diagnostic, (place, label)| diagnostic.related(place, label)).into())
    }

    fn readers(&self, path: &Path<'_>) -> Vec<Reader> {
        let mut found: Vec<Reader> = Vec::new();
        for read in &self.reads {
            let Some(extent) = extent(read, path) else { continue };
            match found.last_mut().filter(|last| last.place == read.place) {
                // The nearest of what one line does.
                Some(last) if (extent as u8) < (last.extent as u8) => last.extent = extent,
                Some(_) => {}
                None => found.push(Reader { place: read.place.clone(), extent }),
            }
        }
        found
    }
}

fn extent(read: &ValueRead, path: &Path<'_>) -> Option<Extent> {
    let mut perhaps = false;
    for (part, name) in read.path.iter().zip(path) {
        match part {
            Part::Key(key) if key == name => {}
            Part::Key(_) => return None,
            Part::Any => perhaps = true,
        }
    }
    match read.path.len().cmp(&path.len()) {
        std::cmp::Ordering::Less => read.whole.then_some(Extent::Around),
        std::cmp::Ordering::Equal if perhaps => Some(Extent::Perhaps),
        std::cmp::Ordering::Equal => Some(Extent::Value),
        std::cmp::Ordering::Greater => Some(Extent::Part),
    }
}

fn child<'v>(value: &'v Value, part: &str) -> Option<&'v Value> {
    match value {
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        other => other.pointer(&format!("/{}", file::escape(part))),
    }
}

/// Splits a path at its dots; `\.` is a dot in a key.
fn split(path: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut characters = path.chars().peekable();
    while let Some(c) = characters.next() {
        let last = parts.last_mut().expect("there is a first part");
        match c {
            '\\' if matches!(characters.peek(), Some('.' | '\\')) => last.extend(characters.next()),
            '.' => parts.push(String::new()),
            other => last.push(other),
        }
    }
    parts
}

fn join(path: &Path<'_>) -> String {
    let parts: Vec<String> = path.iter().map(|part| part.replace('\\', "\\\\").replace('.', "\\.")).collect();
    parts.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_with_dots_in_keys() {
        for (path, parts) in [("a.b", vec!["a", "b"]), (r"a\.b.c", vec!["a.b", "c"]), (r"a\\.b", vec!["a\\", "b"])] {
            assert_eq!(split(path), parts);
            assert_eq!(join(&parts), path);
        }
        assert_eq!(split(""), [""]);
    }
}
