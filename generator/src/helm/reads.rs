//! Which lines of which templates read a value.
//!
//! What [`gotemplate::reads`] finds in the data of a template, said in paths of the values of the whole chart: what a subchart calls
//! `.Values.a` is `sub.a`, and a global that it sees is the one above it, too. NOTES.txt is left out: nobody gets to see it.

use super::render;
use super::{Chart, Request};
use crate::diagnostic::{Diagnostics, Place};
use crate::gotemplate::{self, Part};

use super::values::GLOBAL;

/// A template line, and what of the values it reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ValueRead {
    /// The line; it has no column.
    pub place: Place,
    /// Path from the values of the chart itself.
    pub path: Vec<Part>,
    /// Whether everything below the path goes on.
    pub whole: bool,
}

impl Chart {
    /// Returns what the templates read that take part in a release, sorted by place.
    ///
    /// # Errors
    /// Values that do not fit together, and templates of subcharts that do not parse.
    pub fn reads(&self, request: &Request) -> Result<Vec<ValueRead>, Diagnostics> {
        let prepared = render::prepare(self, request)?;
        let mut found = Vec::new();
        for template in prepared.templates.iter().filter(|template| template.is_manifest()) {
            let prefix = subcharts(&template.chart);
            for read in gotemplate::reads(&prepared.set, [template.name.as_str()]) {
                let Some(path) = path_of_values(&read.path, &prefix, read.whole) else { continue };
                let Some(file) = prepared.files.get(&*read.source.name.to_str_lossy()) else { continue };
                let place = Place::at(file, read.line, 0);
                let global = global(&path, prefix.len());
                found.push(ValueRead { place: place.clone(), path, whole: read.whole });
                found.extend(global.map(|path| ValueRead { place, path, whole: read.whole }));
            }
        }
        found.sort();
        found.dedup();
        Ok(found)
    }
}

/// `[sub, below]` of `chart/charts/sub/charts/below`.
fn subcharts(chart: &str) -> Vec<Part> {
    chart.split("/charts/").skip(1).map(|name| Part::Key(name.to_owned())).collect()
}

/// Returns the path within the values of what is read of the data of a template, if that is a value at all.
fn path_of_values(read: &[Part], prefix: &[Part], whole: bool) -> Option<Vec<Part>> {
    let key = |part: &Part, name: &str| matches!(part, Part::Key(key) if key == name);
    match read {
        [] if whole => Some(prefix.to_vec()),
        [values, rest @ ..] if key(values, "Values") => Some([prefix, rest].concat()),
        [subcharts, name @ Part::Key(_), rest @ ..] if key(subcharts, "Subcharts") => {
            path_of_values(rest, &[prefix, std::slice::from_ref(name)].concat(), whole)
        }
        _ => None,
    }
}

/// Returns the path of the chart's own global for one that a subchart sees.
fn global(path: &[Part], depth: usize) -> Option<Vec<Part>> {
    let is_global = depth > 0 && matches!(path.get(depth), Some(Part::Key(key)) if key == GLOBAL);
    is_global.then(|| path[depth..].to_vec())
}
