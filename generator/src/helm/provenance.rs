//! Who set a value: which line of which file of values, or which single value of the request.
//!
//! Answers for any path of what the charts of a release see as `.Values`, by asking again, from high to low, everything that could have set
//! it: single values, layers, the chart's values.yaml, those of its subcharts, what it imports from them, and what they get of its globals.
//! Nothing is recorded while rendering, so a render pays nothing for it; files are read once more when somebody asks. Knows no template:
//! what templates write into the values (`set`, `merge`) has no line here. Invariant: what is said to have set a value says that very value,
//! which coalescing has settled before; the order of the sources only chooses between several that agree.

use serde_json::Value as Json;

use manifest::yaml::{self, Marks};

use super::package::{self, Package};
use super::values::{self, GLOBAL};
use super::{Chart, Request, Setting, strvals, tree};
use crate::diagnostic::{Diagnostics, Place};
use crate::value::{Map, Value};

/// What set a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setter {
    /// A key in a file of values: a layer, or the values.yaml of a chart.
    File(Place),
    /// The entry of [`Request::set`] with this path.
    Single(String),
}

/// A value as one of its sources has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Set {
    /// What set it.
    pub setter: Setter,
    /// What it was set to: of a map only what this source says; null where it takes away what lower sources say.
    pub value: Json,
}

/// Everything that can set a value of one release.
#[derive(Debug)]
pub struct Provenance {
    values: Json,
    /// Over the charts' own values, high to low.
    over: Vec<Source>,
    chart: Defaults,
}

/// The values of a chart itself.
#[derive(Debug)]
struct Defaults {
    /// The documents of values.yaml, high to low.
    own: Vec<Source>,
    /// By name, or alias.
    subcharts: Vec<(String, Defaults)>,
    /// Paths that are taken from (the name of the subchart first), and where to.
    imports: Vec<(Vec<String>, Vec<String>)>,
}

#[derive(Debug)]
struct Source {
    value: Json,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    File { file: String, marks: Marks },
    Single(String),
}

impl Chart {
    /// Returns what knows where each value of a release of this chart was set.
    ///
    /// # Errors
    /// As [`super::values`].
    pub fn provenance(&self, request: &Request) -> Result<Provenance, Diagnostics> {
        let singles = request.set.iter().rev().filter_map(Setting::single).filter_map(|(path, value)| {
            let single = Map::new();
            strvals::set_path(path, &values::from_json(value), &single).ok()?;
            Some(Source { value: Value::Map(single).to_json().ok()?, kind: Kind::Single(path.to_owned()) })
        });
        let layers = request.layers.iter().rev().map(|layer| Source {
            value: layer.value.clone(),
            kind: Kind::File { file: layer.file.clone(), marks: layer.marks.get().clone() },
        });
        let over = singles.chain(layers).collect();
        Ok(Provenance { values: super::values(self, request)?, over, chart: Defaults::of(&self.root) })
    }
}

impl Provenance {
    /// Returns the values: what the templates of the chart see as `.Values`.
    pub fn values(&self) -> &Json {
        &self.values
    }

    /// Returns what set the value at a path - keys and list indices, from the `.Values` of the chart itself; those of a subchart are below
    /// its name. For a map it is the highest source with an entry in it; where there is no value, the null that took it away. Nothing where
    /// nobody set it: then it is absent, or an empty map that Helm makes.
    pub fn of<P: AsRef<str>>(&self, path: &[P]) -> Option<Set> {
        let value = path.iter().try_fold(&self.values, |value, part| child(value, part.as_ref()));
        let all = self.all(path);
        let found = all.iter().find(|set| match value {
            Some(Json::Object(_)) => set.value.is_object(),
            Some(value) => same(&set.value, value),
            None => set.value.is_null(),
        });
        // A single value may have changed one element of a list.
        let part_of_list = || all.iter().find(|set| set.value.is_array() && value.is_some_and(Json::is_array));
        found.or_else(part_of_list).cloned()
    }

    /// Returns what every source says about a path, the highest first, whether or not it counts.
    pub fn all<P: AsRef<str>>(&self, path: &[P]) -> Vec<Set> {
        let mut found = Vec::new();
        self.collect(&path.iter().map(AsRef::as_ref).collect::<Vec<_>>(), &mut found);
        found
    }

    fn collect(&self, path: &[&str], found: &mut Vec<Set>) {
        // The globals of a subchart are those of the chart above, and then its own.
        if let Some(at) = path.iter().skip(1).position(|part| *part == GLOBAL)
            && self.chart.has_subchart(&path[..=at])
        {
            self.collect(&[&path[..at], &path[at + 1..]].concat(), found);
        }
        found.extend(self.over.iter().filter_map(|source| source.set(path)));
        self.chart.collect(path, found);
    }
}

impl Defaults {
    fn of(package: &Package) -> Defaults {
        let own = package.values_file.iter().flat_map(|file| {
            let text = std::str::from_utf8(&file.content).unwrap_or_default();
            let documents = yaml::read(text, &package::settings()).unwrap_or_default();
            documents.into_iter().rev().map(|document| Source {
                value: document.value,
                kind: Kind::File { file: format!("{}/{}", package.folder, file.path), marks: document.marks },
            })
        });
        let mut defaults = Defaults { own: own.collect(), subcharts: Vec::new(), imports: Vec::new() };
        let listed = package.metadata.dependencies.as_deref().unwrap_or_default();
        for subchart in &package.subcharts {
            let name = &subchart.metadata.name;
            let entries: Vec<_> = listed.iter().filter(|entry| entry.name == *name).collect();
            if entries.is_empty() {
                defaults.subcharts.push((name.clone(), Defaults::of(subchart)));
            }
            for entry in entries {
                let seen_as = if entry.alias.is_empty() { name } else { &entry.alias };
                for (child, parent) in entry.import_values.iter().filter_map(tree::import_paths) {
                    let parts = |path: &str| -> Vec<String> {
                        path.split('.').filter(|part| !part.is_empty()).map(str::to_owned).collect()
                    };
                    defaults.imports.push(([vec![seen_as.clone()], parts(&child)].concat(), parts(&parent)));
                }
                defaults.subcharts.push((seen_as.clone(), Defaults::of(subchart)));
            }
        }
        defaults
    }

    /// Reports whether these names lead from chart to chart.
    fn has_subchart(&self, names: &[&str]) -> bool {
        let Some((first, rest)) = names.split_first() else { return true };
        self.subcharts.iter().any(|(name, below)| name == first && below.has_subchart(rest))
    }

    fn collect(&self, path: &[&str], found: &mut Vec<Set>) {
        found.extend(self.own.iter().filter_map(|source| source.set(path)));
        for (from, to) in &self.imports {
            if let Some(rest) = strip(path, to) {
                let from: Vec<&str> = from.iter().map(String::as_str).chain(rest.iter().copied()).collect();
                found.extend(self.own.iter().filter_map(|source| source.set(&from)));
                self.below(&from, found);
            }
        }
        self.below(path, found);
    }

    fn below(&self, path: &[&str], found: &mut Vec<Set>) {
        let Some((name, rest)) = path.split_first() else { return };
        if let Some((_, below)) = self.subcharts.iter().find(|(known, _)| known == name) {
            below.collect(rest, found);
        }
    }
}

fn strip<'p, 'a>(path: &'p [&'a str], prefix: &[String]) -> Option<&'p [&'a str]> {
    let (first, rest) = path.split_at_checked(prefix.len())?;
    (first.iter().zip(prefix).all(|(a, b)| a == b)).then_some(rest)
}

impl Source {
    fn set(&self, path: &[&str]) -> Option<Set> {
        let value = path.iter().try_fold(&self.value, |value, part| child(value, part))?;
        let setter = match &self.kind {
            Kind::Single(path) => Setter::Single(path.clone()),
            Kind::File { file, marks } => {
                let pointer: String = path.iter().map(|part| format!("/{}", escape(part))).collect();
                let key = marks.keys.get(&pointer);
                let length = path.last().filter(|_| key.is_some()).map_or(0, |key| key.chars().count());
                // Not everything that becomes a layer is a file.
                let at = key.or_else(|| marks.values.get(&pointer));
                Setter::File(
                    at.map_or_else(|| Place::file(file), |at| Place::at(file, at.line, at.column).length(length)),
                )
            }
        };
        Some(Set { setter, value: value.clone() })
    }
}

/// Writes a key as a part of a JSON pointer (RFC 6901).
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn child<'v>(value: &'v Json, part: &str) -> Option<&'v Json> {
    match value {
        Json::Object(fields) => fields.get(part),
        Json::Array(items) => items.get(part.parse::<usize>().ok()?),
        _ => None,
    }
}

/// Compares values, numbers by what they are: those of files become floats.
fn same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => a.as_f64() == b.as_f64(),
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((key, a), (other, b))| key == other && same(a, b))
        }
        (a, b) => a == b,
    }
}
