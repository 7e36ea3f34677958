//! What really happened: commits as they were made, objects by who created them, and what the records say, read by nobody's code but this.
//!
//! Everything here is seen from outside of `syncd`: it is told each request that was carried out, and looks at the model. Invariant: nothing
//! here is believed because a `syncd` said so; of what it writes, only the text is.

use std::collections::{BTreeMap, BTreeSet};

use manifest::{Manifest, ObjectRef};
use sandbox::Cluster as Model;
use serde_json::Value;
use syncd::cluster::{Apply, StateObject};
use syncd::repo::Revision;
use tokio::time::Instant;

use crate::model::services::{Service, manifest};
use crate::model::{ENVIRONMENT, HOME, list_state};

/// A request that changes something.
#[derive(Debug, Clone)]
pub enum Deed {
    Apply(Apply),
    Fields(ObjectRef),
    Delete(ObjectRef, String),
    Write(StateObject),
    Forget(String),
    Say(Value),
    Lease,
}

impl Deed {
    /// Returns the object that it is about, if it is no state.
    pub fn object(&self) -> Option<&ObjectRef> {
        match self {
            Deed::Apply(apply) => Some(&apply.id),
            Deed::Fields(id) | Deed::Delete(id, _) => Some(id),
            Deed::Write(_) | Deed::Forget(_) | Deed::Say(_) | Deed::Lease => None,
        }
    }

    pub fn is_dry(&self) -> bool {
        matches!(self, Deed::Apply(apply) if apply.dry_run)
    }
}

/// What one service of a commit wants.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    pub objects: BTreeMap<ObjectRef, Value>,
    /// Hash of each, as its annotation is to say.
    pub hashes: BTreeMap<ObjectRef, String>,
    pub depends_on: Vec<String>,
    pub wave: i32,
}

/// A commit.
#[derive(Debug, Clone)]
pub struct Commit {
    pub parent: Option<Revision>,
    pub services: BTreeMap<String, Wanted>,
}

impl Commit {
    pub fn new(parent: Option<Revision>, services: &[Service]) -> Self {
        let wanted = |service: &Service| {
            let mut wanted =
                Wanted { depends_on: service.sync.depends_on.clone(), wave: service.sync.wave, ..Wanted::default() };
            for (text, content) in &service.objects {
                let manifest = Manifest::from_value(manifest(text, content)).expect("a manifest");
                wanted.hashes.insert(manifest.id.clone(), manifest.hash().to_string());
                wanted.objects.insert(manifest.id, manifest.value);
            }
            (service.name.clone(), wanted)
        };
        Commit { parent, services: services.iter().map(wanted).collect() }
    }

    /// Returns the service that wants an object.
    pub fn wants(&self, id: &ObjectRef) -> Option<&str> {
        let wanting = self.services.iter().find(|(_, wanted)| wanted.objects.contains_key(id));
        wanting.map(|(name, _)| name.as_str())
    }

    pub fn objects(&self) -> impl Iterator<Item = (&String, &ObjectRef, &Value)> {
        self.services.iter().flat_map(|(name, wanted)| wanted.objects.iter().map(move |(id, value)| (name, id, value)))
    }
}

/// Who created an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// `syncd`, or it took it over from nobody.
    Ours,
    /// Somebody, and nobody owns it.
    Nobodys,
    /// It has the marks of another tool.
    Marked,
}

/// What a record says of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub uid: Option<String>,
    pub hash: Option<String>,
    pub is_leftover: bool,
    /// A request that creates it may be under way, whatever its uid.
    pub unanswered: bool,
}

impl Entry {
    /// Tells whether an object with this uid may be the one that is recorded.
    pub fn may_be(&self, uid: &str) -> bool {
        self.unanswered || self.uid.as_deref().is_none_or(|recorded| recorded == uid)
    }
}

/// What the record of one service says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    pub held: BTreeMap<ObjectRef, Entry>,
    /// Something is under way.
    pub is_open: bool,
    pub epoch: u64,
}

/// What is recorded, by the texts in the cluster.
#[derive(Debug, Clone, Default)]
pub struct Records {
    pub commit: Option<Revision>,
    pub epoch: u64,
    /// When the last full sync ended; absent while one is under way.
    pub full_sync_at: Option<jiff::Timestamp>,
    /// The plan that is held, for approval.
    pub held_plan: Option<String>,
    pub services: BTreeMap<String, Record>,
    /// Records that cannot be read, with why.
    pub broken: Vec<String>,
    /// Parts that no record names.
    pub strays: Vec<String>,
}

impl Records {
    /// Returns who holds an object.
    pub fn holders<'a>(&'a self, id: &'a ObjectRef) -> impl Iterator<Item = (&'a str, &'a Entry)> {
        self.services.iter().filter_map(move |(name, record)| Some((name.as_str(), record.held.get(id)?)))
    }

    fn read(model: &Model) -> Records {
        let mut records = Records::default();
        let maps: BTreeMap<String, StateObject> =
            list_state(model, ENVIRONMENT).into_iter().map(|map| (map.name.clone(), map)).collect();
        let json = |name: &str, key: &str| {
            let text = maps.get(name)?.data.get(key)?;
            serde_json::from_str::<Value>(text).ok()
        };
        let root = format!("syncd-{ENVIRONMENT}");
        if let Some(value) = json(&root, "root.json") {
            records.commit = value["commit"].as_str().map(|text| Revision(text.to_owned()));
            records.epoch = value["epoch"].as_u64().unwrap_or(0);
            let open = value["fullSyncOpen"] == true;
            records.full_sync_at = value["fullSyncAt"].as_str().filter(|_| !open).and_then(|text| text.parse().ok());
            records.held_plan = value["held"]["id"].as_str().map(str::to_owned);
        }
        let mut used = BTreeSet::new();
        for name in maps.keys() {
            let Some(service) = name.strip_prefix(&format!("{root}-")).filter(|rest| !rest.contains('.')) else {
                continue;
            };
            let Some(value) = json(name, "record.json") else {
                records.broken.push(format!("{name} cannot be read"));
                continue;
            };
            let mut record = Record {
                is_open: !value["intent"].is_null() || !value["condition"].is_null(),
                epoch: value["epoch"].as_u64().unwrap_or(0),
                ..Record::default()
            };
            let mut entries = value["held"].as_array().cloned().unwrap_or_default();
            for part in value["parts"].as_array().into_iter().flatten() {
                let part = part["name"].as_str().unwrap_or_default();
                used.insert(part.to_owned());
                match json(part, "part.json") {
                    Some(part) => entries.extend(part["held"].as_array().cloned().unwrap_or_default()),
                    None => records.broken.push(format!("{name} has lost {part}")),
                }
            }
            for entry in &entries {
                let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
                let id = ObjectRef {
                    group: text("group").into(),
                    kind: text("kind").into(),
                    namespace: text("namespace").into(),
                    name: text("name").into(),
                };
                let entry = Entry {
                    uid: entry["uid"].as_str().map(str::to_owned),
                    hash: entry["hash"].as_str().map(str::to_owned),
                    is_leftover: !entry["leftover"].is_null(),
                    unanswered: entry["unanswered"] == true,
                };
                record.held.insert(id, entry);
            }
            records.services.insert(service.to_owned(), record);
        }
        let is_part =
            |name: &&String| name.contains('.') && !name.ends_with(".approved") && !name.ends_with(".suspended");
        records.strays = maps.keys().filter(is_part).filter(|name| !used.contains(*name)).cloned().collect();
        records
    }
}

/// Everything that really happened.
#[derive(Default)]
pub struct Truth {
    pub commits: BTreeMap<Revision, Commit>,
    pub tip: Option<Revision>,
    pub records: Records,
    /// By uid.
    pub origins: BTreeMap<String, Origin>,
    /// Objects of ours that exist, with their uids.
    pub ours: BTreeMap<ObjectRef, String>,
    /// Objects that somebody else changed or deleted, or to which something came late: their order is not ours alone any more.
    pub disturbed: BTreeSet<ObjectRef>,
    /// How often people approved something since the last commit.
    pub approvals: usize,
    /// The history was rewritten at some time: people have to approve the tip.
    pub elsewhere: bool,
    /// What is suspended, and since when.
    pub suspended: Option<(String, Instant)>,
    /// Something was suspended at some time: what comes before what, and who fails of whom, is not the same any more.
    pub was_suspended: bool,
}

impl Truth {
    /// Returns the commit in force, by the root.
    pub fn in_force(&self) -> Option<&Commit> {
        self.commits.get(self.records.commit.as_ref()?)
    }

    pub fn tip(&self) -> Option<&Commit> {
        self.commits.get(self.tip.as_ref()?)
    }

    /// Tells whether a commit has another one among its ancestors, or is it.
    pub fn descends(&self, revision: &Revision, from: &Revision) -> bool {
        let mut at = Some(revision);
        while let Some(revision) = at {
            if revision == from {
                return true;
            }
            at = self.commits.get(revision).and_then(|commit| commit.parent.as_ref());
        }
        false
    }

    /// Takes over what a request of ours did; `late`: its sender did not wait for it any more.
    pub fn done(&mut self, model: &Model, deed: &Deed, before: Option<&Value>, after: Option<&Value>, late: bool) {
        if deed.is_dry() {
            return;
        }
        match deed {
            Deed::Write(_) | Deed::Forget(_) => self.records = Records::read(model),
            Deed::Apply(_) | Deed::Fields(_) | Deed::Delete(..) => {
                let id = deed.object().expect("it is about one");
                if late {
                    self.disturbed.insert(id.clone());
                }
                match after {
                    Some(after) => {
                        let uid = uid(after);
                        if before.is_none_or(|before| self::uid(before) != uid) {
                            self.origins.insert(uid.clone(), Origin::Ours);
                        }
                        if matches!(deed, Deed::Apply(_)) {
                            if self.origins.get(&uid) == Some(&Origin::Nobodys) {
                                self.origins.insert(uid.clone(), Origin::Ours);
                            }
                            self.ours.insert(id.clone(), uid);
                        }
                    }
                    None => drop(self.ours.remove(id)),
                }
            }
            Deed::Say(_) | Deed::Lease => {}
        }
    }

    /// Takes over that somebody else did something to an object.
    pub fn disturb(&mut self, id: &ObjectRef) {
        self.disturbed.insert(id.clone());
    }
}

/// Returns `metadata.uid`.
pub fn uid(value: &Value) -> String {
    value["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

/// Returns an object as it is.
pub fn object(model: &Model, id: &ObjectRef) -> Option<Value> {
    model.object(&id.group, &id.kind, &id.namespace, &id.name)
}

/// Returns who holds the Lease; empty: nobody.
pub fn holder(model: &Model) -> String {
    let lease = model.object("coordination.k8s.io", "Lease", HOME, &format!("syncd-{ENVIRONMENT}"));
    lease.and_then(|lease| lease["spec"]["holderIdentity"].as_str().map(str::to_owned)).unwrap_or_default()
}
