//! What `syncd` knows to hold: one record a service, kept in ConfigMaps.
//!
//! A record is widened before objects are created and narrowed after they are known to be gone, so at every moment it lists at least
//! what exists. Knows nothing of what should exist. Invariants: every write is a compare-and-set; a record that cannot be read whole
//! is an error and never an empty one; a record that is split over several ConfigMaps changes at one point, the write of its main one.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use litemap::LiteMap;
use manifest::index::Entry as IndexEntry;
use manifest::{Hash, Index, ObjectRef};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::cluster::{Cluster, ClusterError, ErrorClass, LABEL_ENVIRONMENT, LABEL_SERVICE, StateObject};
use crate::repo::Revision;
use crate::report::HeldDeletions;

/// The format that this version reads and writes. Another format is another version's and is left alone.
pub const FORMAT: u32 = 1;
/// Number of results that a record keeps.
pub const RESULTS_MAX: usize = 10;

const KEY_RECORD: &str = "record.json";
const KEY_ROOT: &str = "root.json";
const KEY_PART: &str = "part.json";
/// Label of every ConfigMap of the state.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// What is known of one service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// Every object that exists, or may exist, because of this service.
    pub held: LiteMap<ObjectRef, Held>,
    /// What was last reached.
    pub settled: Option<Settled>,
    /// What is being reached for. Absent when nothing is under way.
    pub intent: Option<Intent>,
    /// Why it is not settled, for people.
    pub condition: Option<Condition>,
    /// Which content it was rolled back from, to what was last reached. Absent when it was not.
    pub rolled_back: Option<RolledBack>,
    /// Whether its settings said that nothing is to be deleted; still true when it has left the index.
    pub prune_off: bool,
    /// The last results, newest first; at most [`RESULTS_MAX`].
    pub results: Vec<Finished>,
    /// [`Root::epoch`] of the leader that wrote it.
    pub epoch: u64,
}

/// One object of a record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Held {
    /// API version that it was, or is to be, applied through.
    pub api_version: SmolStr,
    /// Its uid; absent as long as no reply told it. Then it may or may not exist.
    pub uid: Option<SmolStr>,
    /// Hash of the manifest that was applied and confirmed.
    pub hash: Option<Hash>,
    /// Why it is kept although it is no longer wanted; absent for what is wanted.
    pub leftover: Option<String>,
    /// Whether a request was sent that creates it and was not answered, also if it is there by now: what created it may have been another one,
    /// and it may come once more after it was deleted. Whoever reads this waits as if it had sent the request itself.
    pub unanswered: bool,
}

/// What a service last reached: applied, ready, pruned and recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settled {
    /// Hash of its `resources.yaml`; absent when it left the index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Hash>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<SmolStr>,
    /// The revision.
    pub commit: Revision,
}

/// What is being reached for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Intent {
    /// The plan.
    pub plan: Hash,
    /// Hash of its `resources.yaml`; absent when it left the index. All its objects are in the record already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Hash>,
    /// The revision.
    pub commit: Revision,
}

/// Why a service is not settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Condition {
    /// A [`crate::report::ServiceState`], as a word.
    pub state: String,
    /// What went wrong.
    pub message: String,
    /// When it was first seen; RFC 3339, UTC.
    pub since: String,
}

/// Content that did not become ready, and was replaced by what was last reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RolledBack {
    /// Hash of the `resources.yaml` that is not tried again.
    pub content: Hash,
    /// What went wrong.
    pub message: String,
    /// When; RFC 3339, UTC.
    pub at: String,
}

/// One result of the past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Finished {
    /// RFC 3339, UTC.
    pub at: String,
    /// The revision.
    pub commit: Revision,
    /// A [`crate::report::ServiceState`], as a word.
    pub state: String,
    /// Objects applied.
    pub applied: usize,
    /// Objects deleted.
    pub deleted: usize,
}

/// What is known of the environment as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Root {
    /// Always [`FORMAT`].
    pub format: u32,
    /// The environment.
    pub environment: String,
    /// The revision that was last adopted: its index was good, its work was begun.
    pub commit: Revision,
    /// Hash over its index.
    pub index: Hash,
    /// When the last full sync ended; RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_sync_at: Option<String>,
    /// Whether a full sync is under way.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub full_sync_open: bool,
    /// Deletions that wait for approval, as last planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldDeletions>,
    /// Rises with each leader: whoever takes over writes a higher one before anything else, so that nobody before can write any more. A process that
    /// did not write the root last, or does not know whether it did, raises it before it carries out a plan.
    #[serde(default)]
    pub epoch: u64,
}

impl Held {
    /// Tells whether an object with this uid may be the recorded one: where no reply told its uid, or one that was not answered may have created
    /// another one since, its marks have to tell.
    pub fn may_be(&self, uid: &str) -> bool {
        self.unanswered || self.is(uid) || self.uid.is_none()
    }

    /// Tells whether it is known to exist and is to stay.
    fn stays(&self) -> bool {
        self.leftover.is_none() && self.uid.is_some()
    }

    /// Tells whether an object with this uid is the recorded one.
    pub fn is(&self, uid: &str) -> bool {
        self.uid.as_deref() == Some(uid)
    }
}

impl Record {
    /// Tells whether the service has reached `content` and nothing is under way. `None`: it has left the index for good.
    pub fn is_settled(&self, content: Option<&Hash>) -> bool {
        self.intent.is_none() && self.settled.as_ref().is_some_and(|settled| settled.content.as_ref() == content)
    }

    /// Returns what it stays at, where `content` is what it was rolled back from.
    pub fn stays_at(&self, content: &Hash) -> Option<(&RolledBack, &Settled)> {
        let rolled_back = self.rolled_back.as_ref().filter(|rolled_back| rolled_back.content == *content)?;
        let settled = self.settled.as_ref().filter(|settled| settled.content.is_some())?;
        Some((rolled_back, settled))
    }

    /// Returns the objects that are wanted by `content`, or a superset of them; nothing if the record does not know them.
    pub fn claims(&self, content: &Hash) -> Option<Claims<'_>> {
        let settled = self.is_settled(Some(content));
        let leftovers = self.intent.as_ref().is_some_and(|intent| intent.content.as_ref() == Some(content));
        (settled || leftovers).then_some(Claims { held: &self.held, next: 0, leftovers })
    }

    /// Returns the objects that are known to exist and are to stay.
    pub fn staying(&self) -> impl Iterator<Item = &ObjectRef> {
        self.held.iter().filter(|(_, held)| held.stays()).map(|(id, _)| id)
    }

    /// Adds a result in front and forgets the oldest.
    pub fn finish(&mut self, finished: Finished) {
        self.results.insert(0, finished);
        self.results.truncate(RESULTS_MAX);
    }
}

/// What a record says that is wanted ([`Record::claims`]).
#[derive(Debug, Clone)]
pub struct Claims<'a> {
    held: &'a LiteMap<ObjectRef, Held>,
    next: usize,
    leftovers: bool,
}

impl<'a> Iterator for Claims<'a> {
    type Item = &'a ObjectRef;

    fn next(&mut self) -> Option<&'a ObjectRef> {
        loop {
            let (id, held) = self.held.get_indexed(self.next)?;
            self.next += 1;
            if self.leftovers || held.leftover.is_none() {
                return Some(id);
            }
        }
    }
}

/// A record as it is in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// What it says.
    pub record: Record,
    /// `metadata.resourceVersion` of its main ConfigMap.
    pub resource_version: String,
    /// The ConfigMaps that hold the rest of it, name to resourceVersion; empty for a record that is not split.
    pub parts: BTreeMap<String, String>,
    /// Generation of its parts.
    pub generation: u64,
    /// Size of its largest ConfigMap.
    pub bytes: usize,
    /// Parts of records before it that could not be removed, name to resourceVersion.
    pub stale: BTreeMap<String, String>,
}

/// The root as it is in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRoot {
    /// What it says.
    pub root: Root,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
}

/// What was read of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// Its record.
    Stored(Box<Stored>),
    /// There is a record, and it cannot be read. Never to be treated as an empty one, nor overwritten.
    Unreadable {
        /// Why.
        reason: String,
    },
}

impl Reading {
    /// Returns the record as it is in the cluster, if it can be read.
    pub fn stored(&self) -> Option<&Stored> {
        match self {
            Reading::Stored(stored) => Some(stored),
            Reading::Unreadable { .. } => None,
        }
    }

    /// Returns the record, if it can be read.
    pub fn record(&self) -> Option<&Record> {
        self.stored().map(|stored| &stored.record)
    }
}

/// Services that were acted for: what is recorded of the others is what it was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Acted {
    /// Their names.
    pub services: BTreeSet<String>,
    /// Whether one of them has let an object go, which another service may have recorded too.
    pub let_go: bool,
}

impl Acted {
    /// Notes that a service was acted for, and what was recorded of it before and is now.
    pub fn note(&mut self, service: &str, before: Option<&Record>, now: Option<&Record>) {
        let stays = |id: &ObjectRef| now.and_then(|now| now.held.get(id)).is_some_and(Held::stays);
        self.let_go |= before.is_some_and(|before| !before.staying().all(stays));
        self.services.insert(service.to_owned());
    }
}

/// Everything that was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// The root; absent before the first cycle that did something.
    pub root: Option<StoredRoot>,
    /// Services by name.
    pub services: BTreeMap<String, Reading>,
    /// Parts that no record names, name to resourceVersion: left by a write or a delete that was cut short.
    pub stray_parts: BTreeMap<String, String>,
    /// The ConfigMap in which people say what is to be left alone, as it was when all of this was read ([`crate::suspension`]).
    pub suspensions: Option<StateObject>,
}

/// Why the state could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The cluster did not answer as hoped.
    #[error("the state could not be {doing}: {source}{}", hint(source))]
    Cluster {
        /// `read`, `written` or `deleted`.
        doing: &'static str,
        /// What it answered.
        source: ClusterError,
    },
    /// Somebody else wrote the record since it was read. Read again before anything else.
    #[error("ConfigMap `{name}` was written by somebody else; is another syncd running for this environment?")]
    Conflict {
        /// The ConfigMap.
        name: String,
    },
    /// The root says something that this version cannot know the meaning of.
    #[error("ConfigMap `{name}` cannot be read: {reason}; nothing is done until it can, or is deleted")]
    Root {
        /// The ConfigMap.
        name: String,
        /// Why.
        reason: String,
    },
}

fn hint(error: &ClusterError) -> &'static str {
    match error.class {
        ErrorClass::NamespaceUnavailable => {
            "; `syncd bootstrap` prints it with all that belongs to it, `kubectl create namespace` makes it alone"
        }
        _ => "",
    }
}

impl State {
    /// Returns the readable record of a service.
    pub fn record(&self, service: &str) -> Option<&Record> {
        self.services.get(service)?.record()
    }

    /// Returns the highest epoch in which something was recorded; 0 where nothing ever was.
    pub fn epoch(&self) -> u64 {
        let root = self.root.as_ref().map_or(0, |stored| stored.root.epoch);
        self.records().map(|(_, record)| record.epoch).fold(root, u64::max)
    }

    /// Returns the recorded objects that are known to exist and are to stay, with their services: of two the last one.
    pub fn objects(&self) -> BTreeMap<ObjectRef, SmolStr> {
        staying(self.records())
    }

    /// As [`State::objects`], as if there were no services but these.
    pub fn objects_of(&self, services: &BTreeSet<String>) -> BTreeMap<ObjectRef, SmolStr> {
        staying(services.iter().filter_map(|service| Some((service, self.record(service)?))))
    }

    /// Returns every service that is in the index, or recorded, or both, in order ([`Index::beside`]).
    pub fn beside<'a>(
        &'a self,
        index: &'a Index,
    ) -> impl Iterator<Item = (&'a String, Option<&'a IndexEntry>, Option<&'a Reading>)> {
        index.beside(&self.services)
    }

    /// Returns all readable records by service.
    pub fn records(&self) -> impl Iterator<Item = (&String, &Record)> {
        self.services.iter().filter_map(|(service, reading)| Some((service, reading.record()?)))
    }
}

fn staying<'a>(records: impl Iterator<Item = (&'a String, &'a Record)>) -> BTreeMap<ObjectRef, SmolStr> {
    let mut objects = BTreeMap::new();
    for (service, record) in records {
        let service = SmolStr::from(service);
        objects.extend(record.staying().map(|id| (id.clone(), service.clone())));
    }
    objects
}

/// Returns the name of the root's ConfigMap.
pub fn root_name(environment: &str) -> String {
    format!("syncd-{environment}")
}

/// Returns the name of a service's main ConfigMap. Two DNS labels always fit.
pub fn record_name(environment: &str, service: &str) -> String {
    format!("syncd-{environment}-{service}")
}

/// Returns the name of the `number`th further ConfigMap of a record. No service's name has a dot, so it is nobody else's.
fn part_name(environment: &str, service: &str, generation: u64, number: usize) -> String {
    format!("{}.{generation}-{number}", record_name(environment, service))
}

/// Tells whether an object is, or by its name could be, a ConfigMap of the state of `environment` in `namespace`.
pub fn is_state(id: &ObjectRef, environment: &str, namespace: &str) -> bool {
    let root = root_name(environment);
    let named = id.name.strip_prefix(&root).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.']));
    id.group.is_empty() && id.kind == "ConfigMap" && id.namespace == namespace && named
}

// ---------------------------------------------------------------------------------------------------------------- text form

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    format: u32,
    environment: String,
    service: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settled: Option<Settled>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    intent: Option<Intent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    condition: Option<Condition>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rolled_back: Option<RolledBack>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    prune_off: bool,
    held: Vec<Entry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    results: Vec<Finished>,
    #[serde(default, skip_serializing_if = "is_zero")]
    epoch: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    generation: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parts: Vec<PartRef>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartRef {
    name: String,
    hash: Hash,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    format: u32,
    held: Vec<Entry>,
}

/// An object and what is known of it, side by side: a field that is not known is refused, which `flatten` could not.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    #[serde(default, skip_serializing_if = "SmolStr::is_empty")]
    group: SmolStr,
    kind: SmolStr,
    #[serde(default, skip_serializing_if = "SmolStr::is_empty")]
    namespace: SmolStr,
    name: SmolStr,
    api_version: SmolStr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uid: Option<SmolStr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hash: Option<Hash>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    leftover: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    unanswered: bool,
}

impl Entry {
    fn new(id: &ObjectRef, held: &Held) -> Self {
        let ObjectRef { group, kind, namespace, name } = id.clone();
        let Held { api_version, uid, hash, leftover, unanswered } = held.clone();
        Entry { group, kind, namespace, name, api_version, uid, hash, leftover, unanswered }
    }

    fn into_pair(self) -> (ObjectRef, Held) {
        let Entry { group, kind, namespace, name, api_version, uid, hash, leftover, unanswered } = self;
        (ObjectRef { group, kind, namespace, name }, Held { api_version, uid, hash, leftover, unanswered })
    }
}

/// The ConfigMap texts of a record.
struct Texts {
    main: String,
    parts: Vec<(String, String)>,
}

/// Writes a record as one text, or as several when it is larger than `bytes_max`: then the main one names the others by hash.
fn encode(environment: &str, service: &str, record: &Record, generation: u64, bytes_max: usize) -> Texts {
    let entries: Vec<Entry> = record.held.iter().map(|(id, held)| Entry::new(id, held)).collect();
    let mut file = File {
        format: FORMAT,
        environment: environment.to_owned(),
        service: service.to_owned(),
        settled: record.settled.clone(),
        intent: record.intent.clone(),
        condition: record.condition.clone(),
        rolled_back: record.rolled_back.clone(),
        prune_off: record.prune_off,
        held: entries,
        results: record.results.clone(),
        epoch: record.epoch,
        generation: 0,
        parts: Vec::new(),
    };
    let whole = pretty(&file);
    if whole.len() <= bytes_max {
        return Texts { main: whole, parts: Vec::new() };
    }
    file.generation = generation;
    let entries = std::mem::take(&mut file.held);
    let mut parts = Vec::new();
    for held in chunks(entries, bytes_max) {
        let name = part_name(environment, service, generation, parts.len() + 1);
        let text = pretty(&Part { format: FORMAT, held });
        file.parts.push(PartRef { name: name.clone(), hash: Hash::of(text.as_bytes()) });
        parts.push((name, text));
    }
    Texts { main: pretty(&file), parts }
}

/// Divides entries so that each division's text stays below `bytes_max`; at least one entry each.
fn chunks(entries: Vec<Entry>, bytes_max: usize) -> Vec<Vec<Entry>> {
    const FRAME_BYTES: usize = 64;
    let mut chunks: Vec<Vec<Entry>> = Vec::new();
    let mut bytes = usize::MAX;
    for entry in entries {
        // Indented by two levels more inside the list than alone.
        let entry_bytes = pretty(&entry).lines().map(|line| line.len() + 6).sum::<usize>();
        if bytes.saturating_add(entry_bytes) > bytes_max {
            chunks.push(Vec::new());
            bytes = FRAME_BYTES;
        }
        bytes += entry_bytes;
        chunks.last_mut().expect("one was just pushed when there was none").push(entry);
    }
    chunks
}

fn pretty(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("a record has string keys only");
    text.push('\n');
    text
}

/// Reads everything that was recorded out of the ConfigMaps that carry the environment's label.
///
/// # Errors
/// Only [`StateError::Root`]: without it nothing is known of the environment. A bad record is a [`Reading::Unreadable`].
pub fn decode(objects: Vec<StateObject>, environment: &str) -> Result<State, StateError> {
    let mut state = State::default();
    let mut objects: BTreeMap<String, StateObject> =
        objects.into_iter().map(|object| (object.name.clone(), object)).collect();
    if let Some(object) = objects.remove(&root_name(environment)) {
        state.root = Some(decode_root(&object, environment)?);
    }
    state.suspensions = objects.remove(&crate::suspension::name(environment));
    let (parts, mains): (BTreeMap<_, _>, BTreeMap<_, _>) =
        objects.into_iter().partition(|(name, _)| name.contains('.'));
    let mut used = BTreeSet::new();
    for (name, object) in &mains {
        let Some(service) = name.strip_prefix(&format!("{}-", root_name(environment))) else { continue };
        let reading = match decode_record(object, environment, service, &parts) {
            Ok(stored) => {
                used.extend(stored.parts.keys().cloned());
                Reading::Stored(Box::new(stored))
            }
            Err(reason) => {
                // Whatever may belong to it stays as it is.
                let prefix = format!("{name}.");
                used.extend(parts.keys().filter(|part| part.starts_with(&prefix)).cloned());
                Reading::Unreadable { reason: format!("ConfigMap `{name}`: {reason}") }
            }
        };
        state.services.insert(service.to_owned(), reading);
    }
    let prefix = format!("{}-", root_name(environment));
    let ours = |name: &str, object: &StateObject| name.starts_with(&prefix) && object.data.contains_key(KEY_PART);
    let stray = parts.into_iter().filter(|(name, object)| !used.contains(name) && ours(name, object));
    state.stray_parts = stray.map(|(name, object)| (name, object.resource_version.unwrap_or_default())).collect();
    Ok(state)
}

fn decode_root(object: &StateObject, environment: &str) -> Result<StoredRoot, StateError> {
    let fault = |reason: String| StateError::Root { name: object.name.clone(), reason };
    let root: Root = object.document(KEY_ROOT, FORMAT).map_err(fault)?;
    if root.environment != environment {
        return Err(fault(format!("it is of environment `{}`", root.environment)));
    }
    Ok(StoredRoot { root, resource_version: object.resource_version.clone().unwrap_or_default() })
}

fn decode_record(
    object: &StateObject,
    environment: &str,
    service: &str,
    parts: &BTreeMap<String, StateObject>,
) -> Result<Stored, String> {
    let file: File = object.document(KEY_RECORD, FORMAT)?;
    if file.environment != environment || file.service != service {
        return Err(format!("it is of service `{}` of environment `{}`", file.service, file.environment));
    }
    let mut bytes = object.data[KEY_RECORD].len();
    let mut entries = file.held;
    let mut versions = BTreeMap::new();
    for part in &file.parts {
        let object = parts.get(&part.name).ok_or_else(|| format!("its part `{}` is missing", part.name))?;
        let text =
            object.data.get(KEY_PART).ok_or_else(|| format!("its part `{}` has no key `{KEY_PART}`", part.name))?;
        if Hash::of(text.as_bytes()) != part.hash {
            return Err(format!("its part `{}` is not the one that it names", part.name));
        }
        let content: Part = object.document(KEY_PART, FORMAT)?;
        bytes = bytes.max(text.len());
        entries.extend(content.held);
        versions.insert(part.name.clone(), object.resource_version.clone().unwrap_or_default());
    }
    let count = entries.len();
    let held: LiteMap<ObjectRef, Held> = entries.into_iter().map(Entry::into_pair).collect();
    if held.len() != count {
        return Err("it holds an object twice".to_owned());
    }
    let File { settled, intent, condition, rolled_back, prune_off, results, epoch, .. } = file;
    let record = Record { held, settled, intent, condition, rolled_back, prune_off, results, epoch };
    let resource_version = object.resource_version.clone().unwrap_or_default();
    let prefix = format!("{}.", object.name);
    let seen = parts.keys().filter_map(|name| name.strip_prefix(&prefix)?.split_once('-')?.0.parse().ok()).max();
    let generation = file.generation.max(seen.unwrap_or(0));
    Ok(Stored { record, resource_version, parts: versions, generation, bytes, stale: BTreeMap::new() })
}

// ------------------------------------------------------------------------------------------------------------------- requests

/// Reads everything that was recorded: one request.
///
/// # Errors
/// The cluster's, and those of [`decode`].
pub async fn read<C: Cluster>(cluster: &C, environment: &str) -> Result<State, StateError> {
    let objects = cluster.list_state(environment).await;
    decode(objects.map_err(|source| StateError::Cluster { doing: "read", source })?, environment)
}

/// Writes one record over the one that was read; one request, more only for a split record. Returns it as it is stored now.
///
/// # Errors
/// On any of them it is not known which of the two records is stored: read again before deciding anything for this service.
pub async fn write<C: Cluster>(
    cluster: &C,
    environment: &str,
    service: &str,
    previous: Option<&Stored>,
    record: Record,
    bytes_max: usize,
) -> Result<Stored, StateError> {
    let generation = previous.map_or(0, |stored| stored.generation) + 1;
    let texts = encode(environment, service, &record, generation, bytes_max);
    let largest = texts.parts.iter().map(|(_, text)| text.len()).max().unwrap_or(0);
    let bytes = texts.main.len().max(largest);
    let labels = labels(environment, Some(service));
    let mut parts = BTreeMap::new();
    for (name, text) in texts.parts {
        let data = [(KEY_PART.to_owned(), text)].into();
        let object = StateObject { name: name.clone(), labels: labels.clone(), data, resource_version: None };
        parts.insert(name, put(cluster, object).await?);
    }
    let object = StateObject {
        name: record_name(environment, service),
        labels,
        data: [(KEY_RECORD.to_owned(), texts.main)].into(),
        resource_version: previous.map(|stored| stored.resource_version.clone()),
    };
    let resource_version = put(cluster, object).await?;
    let mut stale = BTreeMap::new();
    if let Some(previous) = previous {
        // The new record names them no longer.
        for (name, version) in previous.parts.iter().chain(&previous.stale) {
            if remove(cluster, name, version).await.is_err() {
                stale.insert(name.clone(), version.clone());
            }
        }
    }
    let generation = if parts.is_empty() { generation - 1 } else { generation };
    Ok(Stored { record, resource_version, parts, generation, bytes, stale })
}

/// Deletes the record of a service that holds nothing any more.
///
/// # Errors
/// The record may or may not be there: read again.
pub async fn delete<C: Cluster>(
    cluster: &C,
    environment: &str,
    service: &str,
    stored: &Stored,
) -> Result<(), StateError> {
    assert!(stored.record.held.is_empty(), "a record is deleted only when it holds nothing");
    let name = record_name(environment, service);
    remove(cluster, &name, &stored.resource_version).await?;
    for (name, version) in &stored.parts {
        remove(cluster, name, version).await?;
    }
    Ok(())
}

/// Deletes a ConfigMap that may be gone already.
///
/// # Errors
/// See [`delete`].
pub async fn remove<C: Cluster>(cluster: &C, name: &str, resource_version: &str) -> Result<(), StateError> {
    match cluster.delete_state(name, resource_version).await {
        Ok(()) => Ok(()),
        Err(error) if error.class == ErrorClass::Gone => Ok(()),
        Err(error) if error.class == ErrorClass::Conflict => Err(StateError::Conflict { name: name.to_owned() }),
        Err(source) => Err(StateError::Cluster { doing: "deleted", source }),
    }
}

/// Writes the root over the one that was read: one request.
///
/// # Errors
/// See [`write`].
pub async fn write_root<C: Cluster>(
    cluster: &C,
    previous: Option<&StoredRoot>,
    root: Root,
) -> Result<StoredRoot, StateError> {
    let object = StateObject {
        name: root_name(&root.environment),
        labels: labels(&root.environment, None),
        data: [(KEY_ROOT.to_owned(), pretty(&root))].into(),
        resource_version: previous.map(|stored| stored.resource_version.clone()),
    };
    let resource_version = put(cluster, object).await?;
    Ok(StoredRoot { root, resource_version })
}

/// Begins a new epoch, so that nobody who read the state before can write it any more. Where the one before may still be acting
/// (`cleanly` is false), every record is written again: its compare-and-set then fails for all of them.
///
/// # Errors
/// Some of it may have been written: read again, then take over again.
pub async fn take_over<C: Cluster>(
    cluster: &C,
    environment: &str,
    mut state: State,
    cleanly: bool,
    (bytes_max, concurrency): (usize, usize),
) -> Result<State, StateError> {
    let epoch = state.epoch() + 1;
    if let Some(stored) = &state.root {
        let root = Root { epoch, ..stored.root.clone() };
        state.root = Some(write_root(cluster, Some(stored), root).await?);
    }
    if cleanly {
        return Ok(state);
    }
    let mut writes = Vec::new();
    for (service, reading) in &state.services {
        let Reading::Stored(stored) = reading else { continue };
        let record = Record { epoch, ..stored.record.clone() };
        writes.push(async move {
            let written = write(cluster, environment, service, Some(stored), record, bytes_max).await;
            written.map(|stored| (service.clone(), Reading::Stored(Box::new(stored))))
        });
    }
    let mut writes = futures::stream::iter(writes).buffer_unordered(concurrency.max(1));
    let mut written = Vec::new();
    while let Some(one) = writes.next().await {
        written.push(one?);
    }
    drop(writes);
    state.services.extend(written);
    Ok(state)
}

async fn put<C: Cluster>(cluster: &C, object: StateObject) -> Result<String, StateError> {
    let name = object.name.clone();
    cluster.write_state(object).await.map_err(|source| match source.class {
        ErrorClass::Conflict | ErrorClass::Gone => StateError::Conflict { name },
        _ => StateError::Cluster { doing: "written", source },
    })
}

/// Returns the labels of a ConfigMap of the state.
pub fn labels(environment: &str, service: Option<&str>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        (LABEL_MANAGED_BY.to_owned(), "syncd".to_owned()),
        (LABEL_ENVIRONMENT.to_owned(), environment.to_owned()),
    ]);
    labels.extend(service.map(|service| (LABEL_SERVICE.to_owned(), service.to_owned())));
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_namespace_is_told_with_what_makes_it() {
        let message = "namespaces \"syncd\" not found".to_owned();
        let source = ClusterError { class: ErrorClass::NamespaceUnavailable, code: 404, message };
        let text = StateError::Cluster { doing: "written", source }.to_string();
        assert!(text.contains("\"syncd\" not found; `syncd bootstrap`"), "{text}");
    }
}
