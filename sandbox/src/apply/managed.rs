//! `metadata.managedFields`: who owns which fields, read and written.
//!
//! Knows the wire form and the order of entries, not the rules by which fields change hands. Invariant: no entry is empty.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use serde_json::{Map as Object, Value};

use super::set::{PathElement, Set};
use super::typed::Shape;

/// How a manager wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// By server-side apply.
    Apply,
    /// By any other write.
    Update,
}

/// Who owns fields. Two entries with the same id are one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ManagerId {
    /// How it wrote.
    pub operation: Operation,
    /// The name it gave.
    pub name: String,
    /// The version it spoke; empty for [`Operation::Apply`], where the version does not tell managers apart.
    pub api_version: String,
    /// The subresource it wrote; empty for the object itself.
    pub subresource: String,
}

/// What one manager owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    /// The fields.
    pub set: Set,
    /// The version in which their paths are meant.
    pub api_version: String,
    /// When it last changed something, RFC 3339; absent where it never did.
    pub time: Option<String>,
}

/// All owners of one object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Managed(BTreeMap<ManagerId, Owned>);

impl fmt::Display for ManagerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.name)?;
        if !self.subresource.is_empty() {
            write!(formatter, " with subresource {:?}", self.subresource)?;
        }
        match self.operation {
            Operation::Apply => Ok(()),
            Operation::Update => write!(formatter, " using {}", self.api_version),
        }
    }
}

/// Fields that nobody is said to own: identity and what the server alone writes.
pub(super) fn untracked() -> &'static Set {
    static UNTRACKED: OnceLock<Set> = OnceLock::new();
    UNTRACKED.get_or_init(|| {
        let mut set = Set::default();
        let field = |name: &str| PathElement::Field(name.to_owned());
        for name in ["apiVersion", "kind", "metadata"] {
            set.insert(&[field(name)]);
        }
        let below = [
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "clusterName",
            "generation",
            "managedFields",
            "resourceVersion",
        ];
        for name in below {
            set.insert(&[field("metadata"), field(name)]);
        }
        set
    })
}

impl Managed {
    /// Reads the entries of `metadata.managedFields`; `null` has none. The error is in the server's words.
    pub fn decode(entries: &Value) -> Result<Managed, String> {
        let mut managed = Managed::default();
        for (index, entry) in entries.as_array().into_iter().flatten().enumerate() {
            let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
            let operation = match entry["operation"].as_str() {
                Some("Apply") => Operation::Apply,
                Some("Update") => Operation::Update,
                _ => return Err("operation must be `Apply` or `Update`".to_owned()),
            };
            let api_version = text("apiVersion");
            if api_version.is_empty() {
                return Err("apiVersion must not be empty".to_owned());
            }
            match entry["fieldsType"].as_str() {
                Some("FieldsV1") => {}
                None | Some("") => return Err(format!("missing fieldsType in managed fields entry {index}")),
                Some(other) => return Err(format!("invalid fieldsType {other:?} in managed fields entry {index}")),
            }
            let set = match &entry["fieldsV1"] {
                Value::Null => Set::default(),
                fields => Set::from_json(fields).map_err(|error| format!("error decoding set: {error}"))?,
            };
            let id = ManagerId {
                operation,
                name: text("manager"),
                api_version: if operation == Operation::Apply { String::new() } else { api_version.clone() },
                subresource: text("subresource"),
            };
            let time = entry["time"].as_str().map(str::to_owned);
            managed.0.insert(id, Owned { set, api_version, time });
        }
        Ok(managed)
    }

    /// Writes the entries into an object: applies first, then by time, name, version and subresource.
    pub fn encode_into(&self, object: &mut Value) {
        let mut entries: Vec<(&ManagerId, &Owned)> = self.0.iter().collect();
        entries.sort_by(|(a, ours), (b, theirs)| {
            let key = |id: &ManagerId, owned: &Owned| {
                (id.operation, owned.time.clone(), id.name.clone(), owned.api_version.clone(), id.subresource.clone())
            };
            key(a, ours).cmp(&key(b, theirs))
        });
        let entries: Vec<Value> = entries.into_iter().map(|(id, owned)| encode(id, owned)).collect();
        let Some(object) = object.as_object_mut() else { return };
        let metadata = object.entry("metadata").or_insert_with(|| Value::Object(Object::new()));
        let Some(metadata) = metadata.as_object_mut() else { return };
        if entries.is_empty() {
            metadata.remove("managedFields");
        } else {
            metadata.insert("managedFields".to_owned(), Value::Array(entries));
        }
    }

    /// Whether nobody owns anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns what `id` owns.
    pub fn get(&self, id: &ManagerId) -> Option<&Owned> {
        self.0.get(id)
    }

    /// Lists the owners, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&ManagerId, &Owned)> {
        self.0.iter()
    }

    pub(super) fn get_mut(&mut self, id: &ManagerId) -> Option<&mut Owned> {
        self.0.get_mut(id)
    }

    pub(super) fn insert(&mut self, id: ManagerId, owned: Owned) {
        self.0.insert(id, owned);
    }

    pub(super) fn remove(&mut self, id: &ManagerId) {
        self.0.remove(id);
    }

    /// Changes every entry, and forgets those that end up empty.
    pub(super) fn update_each(&mut self, change: impl Fn(&ManagerId, &mut Owned)) {
        for (id, owned) in &mut self.0 {
            change(id, owned);
        }
        self.0.retain(|_, owned| !owned.set.is_empty());
    }

    /// Forgets the entries in versions that are no longer served.
    pub(super) fn retain_versions(&mut self, shapes: &BTreeMap<String, Shape<'_>>) {
        self.0.retain(|_, owned| shapes.contains_key(&owned.api_version));
    }

    /// Keeps at most `max` entries of updates: the oldest are merged into one per version, under the name `merged`.
    pub(super) fn cap_updates(&mut self, max: usize, merged: &str) {
        let mut updates: Vec<(Option<String>, ManagerId)> = self
            .0
            .iter()
            .filter(|(id, _)| id.operation == Operation::Update)
            .map(|(id, owned)| (owned.time.clone(), id.clone()))
            .collect();
        if updates.len() <= max {
            return;
        }
        updates.sort();
        let mut firsts: BTreeMap<String, ManagerId> = BTreeMap::new();
        let mut count = updates.len();
        for (_, id) in updates {
            if count <= max {
                return;
            }
            let Some(version) = self.0.get(&id).map(|owned| owned.api_version.clone()) else { continue };
            let Some(first) = firsts.get(&version).cloned() else {
                firsts.insert(version, id);
                continue;
            };
            let bucket = ManagerId {
                operation: Operation::Update,
                name: merged.to_owned(),
                api_version: version,
                subresource: String::new(),
            };
            let Some(owned) = self.0.remove(&id) else { continue };
            let older = self.0.remove(&bucket).or_else(|| self.0.remove(&first));
            let set = older.map_or_else(|| owned.set.clone(), |older| older.set.union(&owned.set));
            self.0.insert(bucket, Owned { set, ..owned });
            count -= 1;
        }
    }
}

fn encode(id: &ManagerId, owned: &Owned) -> Value {
    let mut entry = Object::new();
    entry.insert("apiVersion".to_owned(), owned.api_version.as_str().into());
    entry.insert("fieldsType".to_owned(), "FieldsV1".into());
    entry.insert("fieldsV1".to_owned(), owned.set.to_json());
    entry.insert("manager".to_owned(), id.name.as_str().into());
    let operation = match id.operation {
        Operation::Apply => "Apply",
        Operation::Update => "Update",
    };
    entry.insert("operation".to_owned(), operation.into());
    if !id.subresource.is_empty() {
        entry.insert("subresource".to_owned(), id.subresource.as_str().into());
    }
    if let Some(time) = &owned.time {
        entry.insert("time".to_owned(), time.as_str().into());
    }
    Value::Object(entry)
}
