//! Server-side apply and the tracking of who owns which field.
//!
//! [`Tracker::apply`] merges an applied configuration into a live object; [`Tracker::update`] records what any other write changed. Both
//! keep `metadata.managedFields` as the real server does (apimachinery `managedfields`, structured-merge-diff v6). Knows no storage, no
//! requests, no clock: the time of a write is an argument. Invariant: applying the same configuration again by the same manager changes
//! nothing, not even a timestamp.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

mod managed;
mod set;
mod typed;

pub use managed::{Managed, ManagerId, Operation, Owned};
pub use set::{Literal, ParseError, PathElement, Set, path_text};
pub use typed::{Comparison, Shape};

/// The annotation in which client-side apply keeps what it applied last.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The manager whose conflicts with client-side apply are solved by that annotation.
const KUBECTL: &str = "kubectl";
/// Who is said to own the fields of an object that was never tracked.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";
/// Who gets the fields of the oldest updates when there are more than [`UPDATE_MANAGERS_MAX`].
const ANCIENT_CHANGES: &str = "ancient-changes";
/// Entries of updates that one object keeps.
const UPDATE_MANAGERS_MAX: usize = 10;

/// All that a write needs to know to track fields.
pub struct Tracker<'a> {
    /// The version the request speaks, such as `apps/v1`.
    pub api_version: &'a str,
    /// The subresource the request writes; empty for the object itself.
    pub subresource: &'a str,
    /// Fields that this endpoint resets, such as `status`; never owned through it.
    pub ignored: Set,
    /// Every served version of the kind with its shape.
    pub shapes: BTreeMap<String, Shape<'a>>,
    /// The time of the write, RFC 3339 in whole seconds; absent for writes through `scale`, whose entries carry none.
    pub now: Option<&'a str>,
}

/// A field that another manager owns with another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Its owner.
    pub manager: ManagerId,
    /// The field.
    pub path: Vec<PathElement>,
}

/// Why an apply was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// Others own fields with other values; the caller may force.
    #[error("{}", conflict_text(.0))]
    Conflicts(Vec<Conflict>),
    /// The configuration, or the live object, does not follow its schema.
    #[error("{0}")]
    Schema(String),
    /// The request is no valid apply.
    #[error("{0}")]
    BadRequest(String),
}

/// Writes conflicts in the server's words.
fn conflict_text(conflicts: &[Conflict]) -> String {
    if let [conflict] = conflicts {
        let path = path_text(&conflict.path);
        return format!("Apply failed with 1 conflict: conflict with {}: {path}", conflict.manager);
    }
    let mut lines = Vec::new();
    let mut by_manager: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for conflict in conflicts {
        by_manager.entry(conflict.manager.to_string()).or_default().push(path_text(&conflict.path));
    }
    for (manager, paths) in by_manager {
        lines.push(format!("conflicts with {manager}:"));
        lines.extend(paths.into_iter().map(|path| format!("- {path}")));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}

impl fmt::Display for Conflict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "conflict with {}", self.manager)
    }
}

impl<'a> Tracker<'a> {
    fn shape(&self) -> Shape<'a> {
        self.shapes[self.api_version]
    }

    /// Records in `new` who owns what after a write that is no apply turned `live` (`{}` when creating) into `new`.
    ///
    /// An empty `metadata.managedFields` in `new`, or one empty entry, forgets all owners, as the server documents.
    pub fn update(&self, live: &Value, new: &mut Value, manager: &str) {
        let mut managed = self.decode_for_update(live, new);
        drop_managed(new);
        if managed.is_empty() && live["metadata"]["uid"].is_string() {
            return;
        }
        self.track(live, new, &mut managed, manager);
        managed.encode_into(new);
    }

    fn decode_for_update(&self, live: &Value, new: &Value) -> Managed {
        let of_live = || Managed::decode(&live["metadata"]["managedFields"]).unwrap_or_default();
        if !self.subresource.is_empty() {
            return of_live();
        }
        let sent = &new["metadata"]["managedFields"];
        if let Some(entries) = sent.as_array() {
            let is_reset = entries.is_empty() || (entries.len() == 1 && entries[0] == json!({}));
            if is_reset {
                return Managed::default();
            }
        }
        match Managed::decode(sent) {
            Ok(managed) if !managed.is_empty() => managed,
            _ => of_live(),
        }
    }

    /// Gives the fields that differ between `live` and `new` to `manager`.
    fn track(&self, live: &Value, new: &Value, managed: &mut Managed, manager: &str) {
        let id = ManagerId {
            operation: Operation::Update,
            name: if manager.is_empty() { "unknown".to_owned() } else { manager.to_owned() },
            api_version: self.api_version.to_owned(),
            subresource: self.subresource.to_owned(),
        };
        managed.retain_versions(&self.shapes);
        let comparison = self.release(live, new, managed, None).expect("a forced write has no conflicts");
        let taken = comparison.modified.union(&comparison.added);
        let taken = taken.recursive_difference(&self.ignored).difference(managed::untracked());
        if taken.is_empty() {
            return;
        }
        let before = managed.get(&id).map(|owned| owned.set.clone()).unwrap_or_default();
        let owned = Owned {
            set: before.union(&taken),
            api_version: self.api_version.to_owned(),
            time: self.now.map(str::to_owned),
        };
        managed.insert(id, owned);
        managed.cap_updates(UPDATE_MANAGERS_MAX, ANCIENT_CHANGES);
    }

    /// Takes from everyone but `applying` what changed between `live` and `new`.
    ///
    /// With `applying` set and not forced, fields that others own are conflicts and nothing is taken.
    fn release(
        &self,
        live: &Value,
        new: &Value,
        managed: &mut Managed,
        applying: Option<(&ManagerId, bool)>,
    ) -> Result<Comparison, ApplyError> {
        let mut comparisons: BTreeMap<&str, (Comparison, Set)> = BTreeMap::new();
        for (version, shape) in &self.shapes {
            let is_needed =
                version == self.api_version || managed.iter().any(|(_, owned)| owned.api_version == *version);
            if !is_needed {
                continue;
            }
            let all = shape.compare(live, new);
            let kept = Comparison {
                removed: all.removed.recursive_difference(&self.ignored),
                modified: all.modified.recursive_difference(&self.ignored),
                added: all.added.recursive_difference(&self.ignored),
            };
            let set = kept.modified.union(&kept.added);
            comparisons.insert(version, (kept, set));
        }
        let others = |id: &ManagerId| applying.is_none_or(|(applying, _)| applying != id);
        let mut conflicts = Vec::new();
        for (id, owned) in managed.iter().filter(|(id, _)| others(id)) {
            let taken = owned.set.intersection(&comparisons[owned.api_version.as_str()].1);
            conflicts.extend(taken.paths().into_iter().map(|path| Conflict { manager: id.clone(), path }));
        }
        if applying.is_some_and(|(_, force)| !force) && !conflicts.is_empty() {
            return Err(ApplyError::Conflicts(conflicts));
        }
        managed.update_each(|id, owned| {
            if others(id) {
                let (comparison, set) = &comparisons[owned.api_version.as_str()];
                if !set.is_empty() || !comparison.removed.is_empty() {
                    owned.set = owned.set.difference(set).difference(&comparison.removed);
                }
            }
        });
        Ok(comparisons.remove(self.api_version).expect("our own version is served").0)
    }

    /// Merges `config` into `live` (`{}` when creating) for `manager`, and returns the object with its new owners.
    ///
    /// `finish` brings the merged object into its stored form (defaults, dropped zero values).
    pub fn apply(
        &self,
        live: &Value,
        config: &Value,
        manager: &str,
        force: bool,
        finish: &dyn Fn(&mut Value),
    ) -> Result<Value, ApplyError> {
        if !config["metadata"]["managedFields"].is_null() {
            return Err(ApplyError::BadRequest("metadata.managedFields must be nil".to_owned()));
        }
        self.check_configuration(config)?;
        let mut managed = Managed::decode(&live["metadata"]["managedFields"])
            .map_err(|error| ApplyError::Schema(format!("failed to decode managed fields: {error}")))?;
        let mut bare = live.clone();
        drop_managed(&mut bare);
        self.check("live", &bare, true)?;
        if managed.is_empty() {
            self.track(&Value::Object(serde_json::Map::new()), &bare, &mut managed, BEFORE_FIRST_APPLY);
        }
        managed.retain_versions(&self.shapes);
        let merged = match self.apply_once(&bare, config, managed.clone(), manager, force) {
            Err(ApplyError::Conflicts(conflicts)) if manager == KUBECTL => {
                let left = self.without_last_applied(&bare, conflicts);
                if !left.is_empty() {
                    return Err(ApplyError::Conflicts(left));
                }
                self.apply_once(&bare, config, managed, manager, true)?
            }
            other => other?,
        };
        let (mut object, managed) = match merged {
            (Some(mut object), managed) => {
                finish(&mut object);
                (object, managed)
            }
            (None, managed) => (bare, managed),
        };
        if manager == KUBECTL && object["metadata"]["annotations"][LAST_APPLIED].is_string() {
            object["metadata"]["annotations"][LAST_APPLIED] = Value::String(last_applied(config));
        }
        managed.encode_into(&mut object);
        Ok(object)
    }

    /// Holds a configuration to its schema, as it was sent: the error names it by what it says of itself.
    pub fn check_configuration(&self, config: &Value) -> Result<(), ApplyError> {
        self.check("patch", config, false)
    }

    fn check(&self, what: &str, object: &Value, allow_duplicates: bool) -> Result<(), ApplyError> {
        let errors = self.shape().validate(object, allow_duplicates);
        if errors.is_empty() {
            return Ok(());
        }
        let text = match errors.as_slice() {
            [error] => error.clone(),
            errors => format!("errors:\n  {}", errors.join("\n  ")),
        };
        let text_of = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
        let kind = object["kind"].as_str().unwrap_or_default();
        let (namespace, name) = (text_of("namespace"), text_of("name"));
        let slash = if self.api_version.contains('/') { "" } else { "/" };
        let version = self.api_version;
        let what = format!("failed to create typed {what} object ({namespace}/{name}; {slash}{version}, Kind={kind})");
        Err(ApplyError::Schema(format!("{what}: {text}")))
    }

    /// The object is `None` where nothing changed but perhaps the owners.
    fn apply_once(
        &self,
        live: &Value,
        config: &Value,
        mut managed: Managed,
        manager: &str,
        force: bool,
    ) -> Result<(Option<Value>, Managed), ApplyError> {
        let id = ManagerId {
            operation: Operation::Apply,
            name: if manager.is_empty() { "unknown".to_owned() } else { manager.to_owned() },
            api_version: String::new(),
            subresource: self.subresource.to_owned(),
        };
        let shape = self.shape();
        let merged = shape.merge(Some(live), Some(config)).unwrap_or(Value::Null);
        let last = managed.get(&id).cloned();
        let set = shape.fields(config).recursive_difference(&self.ignored);
        let time = last.as_ref().and_then(|last| last.time.clone());
        managed.insert(id.clone(), Owned { set, api_version: self.api_version.to_owned(), time });
        let merged = match &last {
            Some(last) => self.prune(merged, &managed, last),
            None => merged,
        };
        self.release(live, &merged, &mut managed, Some((&id, force)))?;
        let changed = *live != merged;
        let mut is_empty = true;
        if let Some(owned) = managed.get_mut(&id) {
            owned.set = owned.set.difference(managed::untracked());
            is_empty = owned.set.is_empty();
            if changed {
                owned.time = self.now.map(str::to_owned);
            }
        }
        if is_empty {
            managed.remove(&id);
        }
        Ok((changed.then_some(merged), managed))
    }

    /// Removes what the manager applied last time and no longer does, unless someone else owns it.
    fn prune(&self, merged: Value, managed: &Managed, last: &Owned) -> Value {
        let Some(shape) = self.shapes.get(&last.api_version) else { return merged };
        if last.set.is_empty() {
            return merged;
        }
        let declared = |set: &Set, shape: &Shape<'_>| set.with_declared_parents(shape.schema, Some(shape.of));
        let mut pruned = shape.remove(&merged, &declared(&last.set, shape));
        for (version, shape) in &self.shapes {
            let mut owned = Set::default();
            for (_, other) in managed.iter().filter(|(_, other)| other.api_version == *version) {
                owned = owned.union(&other.set);
            }
            if owned.is_empty() {
                continue;
            }
            let kept = declared(&shape.fields(&pruned), shape).union(&declared(&owned, shape));
            pruned = shape.remove(&merged, &declared(&shape.fields(&merged), shape).difference(&kept));
        }
        let gone = declared(&shape.fields(&merged), shape).difference(&declared(&shape.fields(&pruned), shape));
        shape.remove(&merged, &gone.intersection(&declared(&last.set, shape)))
    }

    /// Drops the conflicts over fields that client-side apply set and nobody changed since.
    fn without_last_applied(&self, live: &Value, conflicts: Vec<Conflict>) -> Vec<Conflict> {
        let allowed = || -> Option<Set> {
            let text = live["metadata"]["annotations"][LAST_APPLIED].as_str()?;
            let last: Value = serde_json::from_str(text).ok()?;
            if last["apiVersion"].as_str() != Some(self.api_version) {
                return None;
            }
            let shape = self.shape();
            if !shape.validate(&last, false).is_empty() || !shape.validate(live, false).is_empty() {
                return None;
            }
            let comparison = shape.compare(&last, live);
            let fields = shape.fields(&last).difference(&comparison.modified);
            Some(fields.difference(&comparison.added).difference(&comparison.removed))
        };
        match allowed() {
            Some(allowed) => conflicts.into_iter().filter(|conflict| !allowed.has(&conflict.path)).collect(),
            None => conflicts,
        }
    }
}

fn drop_managed(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
}

/// Writes a configuration as the annotation holds it: without the annotation itself.
fn last_applied(config: &Value) -> String {
    let mut config = config.clone();
    if let Some(annotations) = config["metadata"].get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED);
    }
    format!("{config}\n")
}
