//! The charts of one render: which subcharts take part, under which names, with which values of their own.
//!
//! Aliases, tags, conditions and imported values are settled here, per release, on copies. Source: Helm v4.2.3
//! `pkg/chart/v2/util/dependencies.go`.

use std::borrow::Cow;

use serde_json::Value as Json;

use super::metadata::{Dependency, Metadata};
use super::package::Package;
use super::values::{self, Misfit, Nulls};
use crate::value::{Map, Oversized, Str, Value, Walk};

/// A chart that takes part in a render.
#[derive(Debug, Clone)]
pub(super) struct Node<'c> {
    pub(super) package: &'c Package,
    /// The chart's own, but for an alias as name and the dependencies that are left.
    pub(super) metadata: Cow<'c, Metadata>,
    /// The chart's own values with what it imports, where dependencies were processed.
    imported: Option<Map>,
    dependencies: Vec<Node<'c>>,
}

impl<'c> Node<'c> {
    /// Returns the tree of all charts, nothing settled yet.
    pub(super) fn new(package: &'c Package) -> Node<'c> {
        Node {
            package,
            metadata: Cow::Borrowed(&package.metadata),
            imported: None,
            dependencies: package.subcharts.iter().map(Node::new).collect(),
        }
    }

    /// Returns the name, or the alias.
    pub(super) fn name(&self) -> &str {
        &self.metadata.name
    }

    /// Returns the subcharts.
    pub(super) fn dependencies(&self) -> &[Node<'c>] {
        &self.dependencies
    }

    /// Returns the chart's own values with what it imports, where dependencies were processed.
    pub(super) fn imported(&self) -> Option<&Map> {
        self.imported.as_ref()
    }

    /// Settles which subcharts take part, given the user's values.
    ///
    /// # Errors
    /// Where the values of a subchart are no table.
    pub(super) fn process_dependencies(&mut self, user: &Map) -> Result<(), Misfit> {
        self.enable(user, "")?;
        self.import_values()
    }

    fn enable(&mut self, above: &Map, path: &str) -> Result<(), Misfit> {
        let Some(mut requirements) = self.metadata.dependencies.clone() else { return Ok(()) };
        self.dependencies = self.required(&mut requirements);
        for requirement in &mut requirements {
            requirement.enabled = true;
        }
        self.metadata.to_mut().dependencies = Some(requirements.clone());
        let all = copied(above);
        values::coalesce(self, &all, Nulls::Delete)?;
        apply_tags(&mut requirements, &all);
        apply_conditions(&mut requirements, &all, path);
        let disabled: Vec<&str> = requirements.iter().filter(|r| !r.enabled).map(|r| r.name.as_str()).collect();
        self.dependencies.retain(|subchart| !disabled.contains(&subchart.name()));
        let disabled: Vec<String> = disabled.into_iter().map(str::to_owned).collect();
        requirements.retain(|requirement| !disabled.contains(&requirement.name));
        for subchart in &mut self.dependencies {
            let below = format!("{path}{}.", subchart.name());
            subchart.enable(&all, &below)?;
        }
        // Helm keeps no empty list.
        self.metadata.to_mut().dependencies = (!requirements.is_empty()).then_some(requirements);
        Ok(())
    }

    /// Returns the charts that are not listed, then one for each listed dependency that is there; lists take the aliases as names.
    fn required(&self, requirements: &mut [Dependency]) -> Vec<Node<'c>> {
        let listing = &self.package.listing;
        let mut charts: Vec<Node<'c>> = listing.unlisted.iter().map(|at| self.dependencies[*at].clone()).collect();
        for (requirement, meant) in requirements.iter_mut().zip(&listing.listed) {
            if let Some(at) = meant {
                let mut chart = self.dependencies[*at].clone();
                if !requirement.alias.is_empty() {
                    chart.metadata.to_mut().name.clone_from(&requirement.alias);
                }
                charts.push(chart);
            }
            if !requirement.alias.is_empty() {
                requirement.name.clone_from(&requirement.alias);
            }
        }
        charts
    }

    fn import_values(&mut self) -> Result<(), Misfit> {
        for subchart in &mut self.dependencies {
            subchart.import_values()?;
        }
        let Some(mut requirements) = self.metadata.dependencies.clone() else { return Ok(()) };
        let all = Map::new();
        values::coalesce(self, &all, Nulls::Keep)?;
        let imported = Map::new();
        for requirement in &mut requirements {
            let mut processed = Vec::new();
            for entry in std::mem::take(&mut requirement.import_values) {
                let Some((child, parent)) = import_paths(&entry) else { continue };
                processed.push(serde_json::json!({ "child": child.as_str(), "parent": parent.as_str() }));
                let Ok(table) = values::table(&all, &format!("{}.{child}", requirement.name)) else { continue };
                let table = if table.is_empty() { Map::new() } else { table };
                values::coalesce_tables(&imported, &below(&parent, table), Nulls::Keep);
                // Tables are shared, not copied, so one can be put into itself; Helm does not survive that.
                if is_endless(&imported) {
                    return Err(Misfit::Endless { subchart: requirement.name.clone(), child, parent });
                }
            }
            requirement.import_values = processed;
        }
        let own = copied(&all);
        values::coalesce_tables(&own, &imported, Nulls::Keep);
        self.imported = Some(own);
        self.metadata.to_mut().dependencies = Some(requirements);
        Ok(())
    }
}

/// Returns where an entry of `import-values` takes from and where it puts.
pub(super) fn import_paths(entry: &Json) -> Option<(String, String)> {
    match entry {
        Json::String(name) => Some((format!("exports.{name}"), ".".to_owned())),
        Json::Object(paths) => {
            let text = |key: &str| match paths.get(key) {
                Some(Json::String(text)) => text.clone(),
                other => other
                    .map(crate::value::from_json)
                    .and_then(|value| crate::gotemplate::print::to_text(&value).ok())
                    .map_or_else(|| "<nil>".to_owned(), |text| text.to_str_lossy().into_owned()),
            };
            Some((text("child"), text("parent")))
        }
        _ => None,
    }
}

/// Wraps a table so that it stands at a dotted path.
fn below(path: &str, table: Map) -> Map {
    if path == "." {
        return table;
    }
    path.rsplit('.').fold(table, |table, key| [(Str::from(key), Value::Map(table))].into_iter().collect())
}

fn apply_tags(requirements: &mut [Dependency], values: &Map) {
    let Ok(tags) = values::table(values, "tags") else { return };
    for requirement in requirements {
        let set: Vec<bool> = requirement
            .tags
            .iter()
            .filter_map(|tag| match tags.get(tag) {
                Some(Value::Bool(on)) => Some(on),
                _ => None,
            })
            .collect();
        requirement.enabled = set.is_empty() || set.contains(&true);
    }
}

/// The first path of a condition that leads to a boolean decides.
fn apply_conditions(requirements: &mut [Dependency], values: &Map, path: &str) {
    for requirement in requirements {
        let paths: Vec<String> =
            requirement.condition.trim().split(',').filter(|c| !c.is_empty()).map(|c| format!("{path}{c}")).collect();
        let decided = paths.iter().find_map(|path| match values::path_value(values, path) {
            Some(Value::Bool(on)) => Some(on),
            _ => None,
        });
        requirement.enabled = decided.unwrap_or(requirement.enabled);
    }
}

/// Reports whether a map holds itself.
fn is_endless(map: &Map) -> bool {
    fn visit(map: &Map, walk: &mut Walk) -> Result<(), Oversized> {
        walk.enter()?;
        for value in map.borrow().values() {
            if let Value::Map(map) = value {
                visit(map, walk)?;
            }
        }
        walk.leave();
        Ok(())
    }
    visit(map, &mut Walk::new()).is_err()
}

/// Copies a map and every map and list in it.
pub(super) fn copied(map: &Map) -> Map {
    fn copy(value: &Value) -> Value {
        match value {
            Value::Map(map) => Value::Map(copied(map)),
            Value::List(list) => Value::list(list.borrow().iter().map(copy).collect()),
            other => other.clone(),
        }
    }
    map.borrow().iter().map(|(key, value)| (key.clone(), copy(value))).collect()
}
