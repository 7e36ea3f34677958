//! What two states of `_gen` mean to a cluster: object by object, field by field.
//!
//! Text that is equal is not even parsed, so the cost is that of what changed. An object is who its identity says (group, kind, namespace,
//! name): in another service it has moved, in another version of its API it has changed, and neither is a delete and a create, as it is
//! neither to `syncd`. Which fields differ is said by [`manifest::difference`]. Knows no disk, no git and no chart.
//!
//! Invariant: no value of a Secret leaves this module. What stands in `data` and `stringData` is compared in the clear and told as
//! [`MASK_BEFORE`] and [`MASK_AFTER`]: that it changed, and nothing of what it was or is, not even a hash, which could be guessed against.

use std::collections::{BTreeMap, BTreeSet};

use manifest::difference as fields;
use manifest::index::{Entry, Index, ROOT};
use manifest::object::{Manifest, ObjectRef};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::committed;
use crate::diagnostic::Diagnostics;
use crate::source::SourceTree;

mod markdown;
mod text;

pub use manifest::difference::{FieldChange, MASK_AFTER, MASK_BEFORE};
pub use markdown::{BYTES_MAX as MARKDOWN_BYTES_MAX, write as to_markdown};
pub use text::write as to_text;

/// What is compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Only this environment.
    pub environment: Option<String>,
    /// Only this service. An object that moves to or from it is shown.
    pub service: Option<String>,
}

/// Everything that differs. Environments, services and objects in which nothing does are left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Difference {
    /// By name.
    pub environments: BTreeMap<String, Environment>,
}

/// What differs in one environment.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Environment {
    /// By name: the service that has an object now, or had it where it is removed.
    pub services: BTreeMap<String, Service>,
}

/// What differs in one service.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Service {
    /// Version, chart and sync settings, as the index has them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<FieldChange>,
    /// In install order.
    pub objects: Vec<ObjectChange>,
}

/// What happens to one object.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectChange {
    /// Who it is.
    pub object: ObjectRef,
    /// What happens to it.
    pub action: Action,
    /// The service that had it, where another has it now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved_from: Option<String>,
    /// What differs in it; empty where it is added or removed, or moved as it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
}

/// What happens to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is new.
    Added,
    /// It is there before and after, with other content.
    Changed,
    /// Another service has it now; its content may differ, too.
    Moved,
    /// It is gone.
    Removed,
}

impl Action {
    /// Every action, in the order of tables.
    pub const ALL: [Action; 4] = [Action::Added, Action::Changed, Action::Moved, Action::Removed];

    /// Returns the word for it.
    pub fn name(self) -> &'static str {
        match self {
            Action::Added => "added",
            Action::Changed => "changed",
            Action::Moved => "moved",
            Action::Removed => "removed",
        }
    }
}

impl Difference {
    /// Tells whether a cluster would get the same.
    pub fn is_empty(&self) -> bool {
        self.environments.is_empty()
    }

    /// Returns how many objects each action has.
    pub fn counts(&self) -> BTreeMap<Action, usize> {
        let services = self.environments.values().flat_map(|environment| environment.services.values());
        services.fold(BTreeMap::new(), |mut counts, service| {
            for (action, count) in service.counts() {
                *counts.entry(action).or_default() += count;
            }
            counts
        })
    }
}

impl Service {
    /// Returns how many objects each action has.
    pub fn counts(&self) -> BTreeMap<Action, usize> {
        self.objects.iter().fold(BTreeMap::new(), |mut counts, object| {
            *counts.entry(object.action).or_default() += 1;
            counts
        })
    }
}

/// `2 changed, 1 removed`; empty for nothing.
fn counted(counts: &BTreeMap<Action, usize>) -> String {
    let parts: Vec<String> = counts.iter().map(|(action, count)| format!("{count} {}", action.name())).collect();
    parts.join(", ")
}

/// Compares two states of `_gen`, each by path from the root of the repository. Files that are neither an index nor manifests are
/// not looked at.
///
/// # Errors
/// What cannot be read: an index or manifests that are not in the format, such as those of an unfinished merge. `which` says, for
/// messages, where each of the two states is.
pub fn between(
    before: &SourceTree,
    after: &SourceTree,
    scope: &Scope,
    which: [&str; 2],
) -> Result<Difference, Diagnostics> {
    let mut diagnostics = Diagnostics::new();
    let names: BTreeSet<&str> = before.folders(ROOT).into_iter().chain(after.folders(ROOT)).collect();
    let mut difference = Difference::default();
    for name in names.into_iter().filter(|name| scope.environment.as_deref().is_none_or(|only| only == *name)) {
        let sides =
            [Side::read(before, name, which[0], &mut diagnostics), Side::read(after, name, which[1], &mut diagnostics)];
        let environment = compare(name, &sides, scope, &mut diagnostics);
        if !environment.services.is_empty() {
            difference.environments.insert(name.to_owned(), environment);
        }
    }
    if diagnostics.has_errors() { Err(diagnostics) } else { Ok(difference) }
}

/// One environment of one of the two states.
struct Side<'t> {
    tree: &'t SourceTree,
    which: &'t str,
    entries: BTreeMap<String, Entry>,
}

/// An object and the service that has it.
type Owned = BTreeMap<ObjectRef, (String, Manifest)>;

impl<'t> Side<'t> {
    fn read(tree: &'t SourceTree, name: &str, which: &'t str, diagnostics: &mut Diagnostics) -> Self {
        let entries = match committed::index(tree, name, which) {
            Ok(index) => index.map(|index| index.services).unwrap_or_default(),
            Err(diagnostic) => {
                diagnostics.push(*diagnostic);
                BTreeMap::new()
            }
        };
        Side { tree, which, entries }
    }

    fn text(&self, environment: &str, service: &str) -> Option<&'t [u8]> {
        self.tree.get(&Index::resources_path(environment, service))
    }

    fn objects(&self, environment: &str, services: &BTreeSet<&str>, diagnostics: &mut Diagnostics) -> Owned {
        let mut owned = Owned::new();
        for service in services {
            let Some(bytes) = self.text(environment, service) else { continue };
            let path = Index::resources_path(environment, service);
            match committed::manifests(&path, bytes, self.which) {
                Ok(manifests) => {
                    for manifest in manifests {
                        owned.entry(manifest.id.clone()).or_insert_with(|| ((*service).to_owned(), manifest));
                    }
                }
                Err(diagnostic) => diagnostics.push(*diagnostic),
            }
        }
        owned
    }
}

fn compare(name: &str, sides: &[Side<'_>; 2], scope: &Scope, diagnostics: &mut Diagnostics) -> Environment {
    let folders = |side: &Side<'_>| -> Vec<String> {
        side.tree.folders(&format!("{ROOT}/{name}")).into_iter().map(str::to_owned).collect()
    };
    let all: BTreeSet<String> =
        sides.iter().flat_map(|side| folders(side).into_iter().chain(side.entries.keys().cloned())).collect();
    let differing: BTreeSet<&str> = all
        .iter()
        .map(String::as_str)
        .filter(|service| sides[0].text(name, service) != sides[1].text(name, service))
        .collect();
    let [before, after] = [&sides[0], &sides[1]].map(|side| side.objects(name, &differing, diagnostics));
    let mut services: BTreeMap<String, Service> = BTreeMap::new();
    for service in &all {
        let settings = of_entries(sides[0].entries.get(service), sides[1].entries.get(service));
        if !settings.is_empty() {
            services.entry(service.clone()).or_default().settings = settings;
        }
    }
    for id in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
        if let Some((service, change)) = object_change(id, before.get(id), after.get(id)) {
            services.entry(service).or_default().objects.push(change);
        }
    }
    for service in services.values_mut() {
        service
            .objects
            .sort_by_key(|change| (manifest::object::install_order(&change.object.kind), change.object.clone()));
    }
    if let Some(only) = &scope.service {
        let concerns = |change: &ObjectChange| change.moved_from.as_ref() == Some(only);
        services.retain(|name, service| {
            if name != only {
                service.settings.clear();
                service.objects.retain(concerns);
            }
            !service.settings.is_empty() || !service.objects.is_empty()
        });
    }
    Environment { services }
}

fn object_change(
    id: &ObjectRef,
    before: Option<&(String, Manifest)>,
    after: Option<&(String, Manifest)>,
) -> Option<(String, ObjectChange)> {
    let change = |action, moved_from, fields| ObjectChange { object: id.clone(), action, moved_from, fields };
    match (before, after) {
        (None, None) => None,
        (None, Some((service, _))) => Some((service.clone(), change(Action::Added, None, Vec::new()))),
        (Some((service, _)), None) => Some((service.clone(), change(Action::Removed, None, Vec::new()))),
        (Some((old_service, old)), Some((service, new))) => {
            let mut fields = fields::between(&old.value, &new.value);
            if is_secret(id) {
                fields.iter_mut().for_each(FieldChange::mask);
            }
            let moved_from = (old_service != service).then(|| old_service.clone());
            let action = if moved_from.is_some() { Action::Moved } else { Action::Changed };
            (moved_from.is_some() || !fields.is_empty()).then(|| (service.clone(), change(action, moved_from, fields)))
        }
    }
}

fn is_secret(id: &ObjectRef) -> bool {
    id.group.is_empty() && id.kind == "Secret"
}

/// Returns what differs in the entries of two indexes, but for hashes and counts, which say only that something does.
fn of_entries(before: Option<&Entry>, after: Option<&Entry>) -> Vec<FieldChange> {
    let settings = |entry: Option<&Entry>| {
        entry.map_or(
            Value::Object(Map::new()),
            |entry| serde_json::json!({ "chart": entry.chart, "sync": entry.sync, "version": entry.version }),
        )
    };
    fields::between(&settings(before), &settings(after))
}

#[cfg(test)]
mod tests;
