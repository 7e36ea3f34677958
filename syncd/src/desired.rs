//! What a revision says: its index, and the manifests of the services that are looked at.
//!
//! Every byte is checked against the index before it is parsed, and parsed strictly. Knows no cluster and no state. Invariants: a bad
//! index yields nothing at all, a bad file nothing of its service; no object is wanted by two services; what could not be read is never
//! taken for empty.

use std::collections::{BTreeMap, BTreeSet, btree_set};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use litemap::LiteMap;
use manifest::index::{Entry, IndexError};
use manifest::object::{Scope, scope};
use manifest::yaml;
use manifest::{Hash, Index, Manifest, ObjectRef};
use serde_json::Value;
use smol_str::SmolStr;

use crate::config::{History, Limits, Settings};
use crate::ownership::may_yield;
use crate::repo::{CommitInfo, Lineage, Repo, RepoError, Revision};
use crate::sought::Sought;
use crate::state::{self, Reading, State, is_state};

/// A revision whose index can be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The revision.
    pub revision: Revision,
    /// What it says of itself.
    pub commit: CommitInfo,
    /// Its index. Shared: a source is handed around in every cycle, and an index can be large.
    pub index: Arc<Index>,
    /// The one hash of the index.
    pub root: Hash,
    /// Services that stay at an older revision because what the index named did not become ready. Their entries are of that one.
    pub kept: BTreeMap<String, Revision>,
}

impl Source {
    /// Makes the source of a revision whose index is this one.
    pub fn new(revision: Revision, commit: CommitInfo, index: Index) -> Self {
        Source { revision, commit, root: index.root(), index: Arc::new(index), kept: BTreeMap::new() }
    }

    /// Tells whether the same services are to have the same content, whatever else an index says of them.
    pub fn wants_same(&self, other: &Source) -> bool {
        self.root == other.root || self.contents().eq(other.contents())
    }

    fn contents(&self) -> impl Iterator<Item = (&String, Hash)> {
        self.index.services.iter().map(|(name, entry)| (name, entry.content))
    }

    /// Returns the source in which services that were rolled back are at what they were rolled back to.
    pub fn with_kept(mut self, state: &State) -> Source {
        for (name, record) in state.records().filter(|(_, record)| record.rolled_back.is_some()) {
            let Some(entry) = self.index.services.get(name) else { continue };
            let Some((_, settled)) = record.stays_at(&entry.content) else { continue };
            let Some(entry) = Arc::make_mut(&mut self.index).services.get_mut(name) else { continue };
            entry.content = settled.content.unwrap_or(entry.content);
            entry.version = settled.version.clone().unwrap_or_else(|| entry.version.clone());
            self.kept.insert(name.clone(), settled.commit.clone());
        }
        self
    }
}

/// What is wanted.
#[derive(Debug, PartialEq)]
pub struct Desired {
    /// The revision and its index: all services.
    pub source: Source,
    /// The manifests of the services that were read. A service that is in the index and not here was not needed.
    pub services: BTreeMap<String, Content>,
}

/// What was read of one service.
#[derive(Debug, PartialEq)]
pub enum Content {
    /// Its objects by identity.
    Objects(LiteMap<ObjectRef, Object>),
    /// Its file is not to be followed.
    Refused {
        /// Why, for people.
        reason: String,
        /// The objects that it wants, where the file could be read so far; nothing: unknown.
        claims: Option<BTreeSet<ObjectRef>>,
    },
}

/// The objects that a service wants, or a superset of them ([`Desired::claims`]).
#[derive(Debug, Clone)]
pub enum Claims<'a> {
    /// Those of its file.
    Read {
        /// All of them.
        objects: &'a LiteMap<ObjectRef, Object>,
        /// How many of them were told.
        next: usize,
    },
    /// Those of a file that is not to be followed.
    Refused(btree_set::Iter<'a, ObjectRef>),
    /// Those of its record.
    Recorded(state::Claims<'a>),
}

impl<'a> Iterator for Claims<'a> {
    type Item = &'a ObjectRef;

    fn next(&mut self) -> Option<&'a ObjectRef> {
        match self {
            Claims::Read { objects, next } => {
                let (id, _) = objects.get_indexed(*next)?;
                *next += 1;
                Some(id)
            }
            Claims::Refused(ids) => ids.next(),
            Claims::Recorded(ids) => ids.next(),
        }
    }
}

/// An object that is wanted.
#[derive(Debug)]
pub struct Object {
    /// API version that it is applied through.
    pub api_version: SmolStr,
    /// Hash of the manifest.
    pub hash: Hash,
    /// Whether it has fields that may be another's ([`crate::ownership`]).
    pub may_yield: bool,
    /// Whether it is waited for, once somebody asked.
    waited_for: OnceLock<bool>,
    /// The manifest as JSON; empty once it was released. As a value it would take twenty times the memory, and a first sync holds all of them.
    text: Mutex<Box<[u8]>>,
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        (&self.api_version, self.hash) == (&other.api_version, other.hash)
    }
}

impl Object {
    /// Keeps a manifest.
    pub fn new(manifest: &Manifest) -> Self {
        let text = serde_json::to_vec(&manifest.value).expect("a manifest has string keys only");
        Object {
            api_version: manifest.api_version.clone(),
            hash: manifest.hash(),
            may_yield: may_yield(&manifest.value),
            waited_for: OnceLock::new(),
            text: Mutex::new(text.into_boxed_slice()),
        }
    }

    /// Tells whether it is waited for; `ask` is asked once, for a plan may be made several times.
    pub fn is_waited_for(&self, ask: impl FnOnce(&Value) -> bool) -> bool {
        *self.waited_for.get_or_init(|| ask(&self.value()))
    }

    /// Returns what is to be applied, without owner labels. It is read anew each time.
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.text()).expect("it was written as JSON, and is not released")
    }

    fn text(&self) -> MutexGuard<'_, Box<[u8]>> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a revision cannot be followed. The last good one stays in force on each of them.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The repository could not answer.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// The revision is not vouched for.
    #[error("revision {revision} is refused: {source}")]
    Unverified {
        /// The revision.
        revision: Revision,
        /// Why.
        source: RepoError,
    },
    /// The ref moved to where it does not descend from what is in force.
    #[error(
        "revision {revision} does not descend from {in_force}: the history was rewritten; if that is meant: syncd approve {revision}"
    )]
    Rewritten {
        /// The revision.
        revision: Revision,
        /// The one in force.
        in_force: Revision,
    },
    /// It could not be seen where the ref came from.
    #[error(
        "revision {revision} does not descend from {in_force} within {generations} generations; if that is meant: syncd approve {revision}"
    )]
    Unproven {
        /// The revision.
        revision: Revision,
        /// The one in force.
        in_force: Revision,
        /// How far back was looked.
        generations: usize,
    },
    /// The revision has no index for the environment. Not an empty environment.
    #[error("revision {revision} has no `{path}`")]
    NoIndex {
        /// The revision.
        revision: Revision,
        /// The path that was looked for.
        path: String,
    },
    /// The index is larger than allowed.
    #[error("`{path}` of revision {revision} has {bytes} bytes; the limit is {bytes_max}")]
    IndexTooLarge {
        /// The revision.
        revision: Revision,
        /// Its path.
        path: String,
        /// Its size.
        bytes: usize,
        /// What is allowed.
        bytes_max: usize,
    },
    /// The index says something that cannot be followed.
    #[error("`{path}` of revision {revision} is refused: {}", chain(source))]
    Index {
        /// The revision.
        revision: Revision,
        /// Its path.
        path: String,
        /// Why.
        source: IndexError,
    },
}

/// Why the file of one service cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("`{path}` is missing although the index names it")]
    Missing { path: String },
    #[error("{0}")]
    NotAcceptable(String),
    #[error("`{path}` has {bytes} bytes; the limit is {bytes_max}")]
    TooLarge { path: String, bytes: usize, bytes_max: usize },
    #[error("`{path}` does not match the index: its hash is {found}, the index says {expected}")]
    Hash { path: String, found: Hash, expected: Hash },
    #[error("`{path}` is not UTF-8 text")]
    NotText { path: String },
    // Without the reader's words: they may quote a value, and the file may hold a Secret.
    #[error("`{path}` is not canonical YAML at line {line}, column {column}; `generator check` says why")]
    Yaml { path: String, line: usize, column: usize },
    #[error("`{path}`, document {document}: {message}")]
    Manifest { path: String, document: usize, message: String },
    #[error("`{path}` has {found} objects; the index says {expected}")]
    Count { path: String, found: usize, expected: usize },
    #[error("`{path}` has {found} objects; the limit is {limit}")]
    TooMany { path: String, found: usize, limit: usize },
    #[error("`{path}` has {object} twice")]
    Duplicate { path: String, object: ObjectRef },
    #[error("{object} is part of syncd's own state; give it another name")]
    State { object: ObjectRef },
}

/// Returns an error with its causes, outermost first. JSON errors name a place, never a value that could be secret.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Checks that a fetched revision may take the place of the one in force: it is vouched for, and descends from that one.
///
/// # Errors
/// See [`SourceError`].
pub async fn check_revision<R: Repo>(
    repo: &R,
    revision: &Revision,
    in_force: Option<&Revision>,
    history: &History,
) -> Result<(), SourceError> {
    match repo.verify(revision).await {
        Err(source @ RepoError::Unverified(_)) => {
            return Err(SourceError::Unverified { revision: revision.clone(), source });
        }
        verified => verified?,
    }
    let Some(in_force) = in_force.filter(|_| history.binds(revision)) else { return Ok(()) };
    let (revision, earlier) = (revision.clone(), in_force.clone());
    match repo.lineage(&revision, in_force).await? {
        Lineage::Descends => Ok(()),
        Lineage::Rewritten => Err(SourceError::Rewritten { revision, in_force: earlier }),
        Lineage::Unproven { generations } => Err(SourceError::Unproven { revision, in_force: earlier, generations }),
    }
}

/// Reads the index of a fetched revision; over one that is `known`, where there is one, of which most is usually taken over.
///
/// # Errors
/// See [`SourceError`].
pub async fn read_index<R: Repo>(
    repo: &R,
    revision: &Revision,
    commit: CommitInfo,
    (environment, known): (&str, Option<&Index>),
    limits: &Limits,
) -> Result<Source, SourceError> {
    let path = Index::path(environment);
    let mut files = repo.read(revision, vec![path.clone()]).await?;
    let Some(bytes) = files.pop().flatten() else {
        return Err(SourceError::NoIndex { revision: revision.clone(), path });
    };
    if bytes.len() > limits.index_bytes {
        let (bytes, bytes_max) = (bytes.len(), limits.index_bytes);
        return Err(SourceError::IndexTooLarge { revision: revision.clone(), path, bytes, bytes_max });
    }
    let revision = revision.clone();
    match Index::parse_over(&bytes, environment, known) {
        Ok((index, root)) => Ok(Source { revision, commit, index: Arc::new(index), root, kept: BTreeMap::new() }),
        Err(source) => Err(SourceError::Index { revision, path, source }),
    }
}

/// Most files that are read at once.
const READ_AT_ONCE: usize = 500;

/// Reads the manifests of `names`, which are services of the index, and refuses what is wanted twice.
///
/// `state` says what the services want that are not read.
///
/// # Errors
/// Those of the repository as a whole. A bad file is a [`Content::Refused`].
pub async fn read_services<R: Repo>(
    repo: &R,
    source: &Source,
    names: &BTreeSet<String>,
    state: &State,
    settings: &Settings,
) -> Result<Desired, RepoError> {
    let environment = &settings.environment;
    let mut services = BTreeMap::new();
    let (kept, names): (Vec<&String>, Vec<&String>) = names.iter().partition(|name| source.kept.contains_key(*name));
    // Not all at once: what was read is larger than what is kept of it.
    for names in names.chunks(READ_AT_ONCE) {
        let paths: Vec<String> = names.iter().map(|name| Index::resources_path(environment, name)).collect();
        let files = read_files(repo, &source.revision, &paths).await?;
        for ((name, path), file) in names.iter().zip(&paths).zip(files) {
            let entry = &source.index.services[*name];
            let content = match file.and_then(|bytes| parse(path, bytes, entry, Some(entry.objects), settings)) {
                Ok(objects) => Content::Objects(objects),
                Err(refusal) => Content::Refused { reason: refusal.to_string(), claims: None },
            };
            services.insert((*name).clone(), content);
        }
    }
    for name in kept {
        services.insert(name.clone(), read_kept(repo, source, name, settings).await);
    }
    let mut desired = Desired { source: source.clone(), services };
    refuse_shared(&mut desired, state);
    Ok(desired)
}

/// Reads what a service was rolled back to. That it cannot be read concerns this service alone.
async fn read_kept<R: Repo>(repo: &R, source: &Source, name: &str, settings: &Settings) -> Content {
    let (entry, revision) = (&source.index.services[name], &source.kept[name]);
    let path = Index::resources_path(&settings.environment, name);
    let refused = |why: String| {
        let reason = format!("what it was rolled back to cannot be read at revision {}: {why}", revision.short());
        Content::Refused { reason, claims: None }
    };
    let file = match repo.fetch(revision).await {
        Ok(_) => repo.read(revision, vec![path.clone()]).await,
        Err(error) => Err(error),
    };
    let parsed = match file {
        Ok(mut file) => {
            parse(&path, file.pop().flatten(), entry, None, settings).map_err(|refusal| refusal.to_string())
        }
        Err(error) => Err(error.to_string()),
    };
    parsed.map_or_else(refused, Content::Objects)
}

type File = Result<Option<Vec<u8>>, Refusal>;

/// Reads files, all at once where possible; a path that is not acceptable must not hide the others.
async fn read_files<R: Repo>(repo: &R, revision: &Revision, paths: &[String]) -> Result<Vec<File>, RepoError> {
    match repo.read(revision, paths.to_vec()).await {
        Ok(files) => return Ok(files.into_iter().map(Ok).collect()),
        Err(RepoError::NotAcceptable { .. }) => {}
        Err(error) => return Err(error),
    }
    let mut files = Vec::new();
    for path in paths {
        files.push(match repo.read(revision, vec![path.clone()]).await {
            Ok(mut file) => Ok(file.pop().flatten()),
            Err(error @ RepoError::NotAcceptable { .. }) => Err(Refusal::NotAcceptable(error.to_string())),
            Err(error) => return Err(error),
        });
    }
    Ok(files)
}

fn parse(
    path: &str,
    bytes: Option<Vec<u8>>,
    entry: &Entry,
    count: Option<usize>,
    settings: &Settings,
) -> Result<LiteMap<ObjectRef, Object>, Refusal> {
    let path = path.to_owned();
    let limits = &settings.limits;
    let Some(bytes) = bytes else { return Err(Refusal::Missing { path }) };
    if bytes.len() > limits.resources_bytes {
        return Err(Refusal::TooLarge { path, bytes: bytes.len(), bytes_max: limits.resources_bytes });
    }
    let found = Hash::of(&bytes);
    if found != entry.content {
        return Err(Refusal::Hash { path, found, expected: entry.content });
    }
    if entry.objects > limits.objects {
        return Err(Refusal::TooMany { path, found: entry.objects, limit: limits.objects });
    }
    let Ok(text) = String::from_utf8(bytes) else { return Err(Refusal::NotText { path }) };
    let documents = yaml::read(&text, &yaml_settings(limits)).map_err(|error| Refusal::Yaml {
        path: path.clone(),
        line: error.at.line,
        column: error.at.column,
    })?;
    let mut objects = LiteMap::new();
    let documents = documents.into_iter().map(|document| document.value).filter(|value| !value.is_null());
    for (number, value) in documents.enumerate() {
        let fault = |message: String| Refusal::Manifest { path: path.clone(), document: number + 1, message };
        let manifest = manifest(value).map_err(fault)?;
        if is_state(&manifest.id, &settings.environment, &settings.namespace) {
            return Err(Refusal::State { object: manifest.id });
        }
        let id = manifest.id.clone();
        if objects.insert(id.clone(), Object::new(&manifest)).is_some() {
            return Err(Refusal::Duplicate { path, object: id });
        }
    }
    if let Some(expected) = count.filter(|expected| *expected != objects.len()) {
        return Err(Refusal::Count { path, found: objects.len(), expected });
    }
    Ok(objects)
}

fn yaml_settings(limits: &Limits) -> yaml::Settings {
    let bounds = yaml::Limits {
        bytes: limits.resources_bytes,
        depth: limits.depth,
        nodes: yaml::Settings::default().limits.nodes,
        documents: limits.objects.saturating_add(1),
    };
    yaml::Settings { duplicate_keys: yaml::DuplicateKeys::Refuse, marks: false, limits: bounds }
}

/// Reads one manifest and completes its identity: an object of one of Kubernetes' own namespaced kinds without a namespace is in
/// `default`, as for `kubectl`.
fn manifest(mut value: Value) -> Result<Manifest, String> {
    let join = |errors: Vec<manifest::object::ManifestError>| {
        errors.into_iter().map(|error| error.message).collect::<Vec<_>>().join("; ")
    };
    let mut manifest = Manifest::from_value(value.clone()).map_err(join)?;
    let id = &manifest.id;
    match scope(&id.group, &id.kind) {
        Some(Scope::Namespaced) if id.namespace.is_empty() => {
            value["metadata"]["namespace"] = Value::String("default".to_owned());
            manifest = Manifest::from_value(value).map_err(join)?;
        }
        Some(Scope::Cluster) if !id.namespace.is_empty() => {
            return Err(format!("{id} has a namespace, but its kind is in none"));
        }
        _ => {}
    }
    check_metadata(&manifest)?;
    Ok(manifest)
}

/// Refuses what would change the meaning of an apply, or break the owner labels.
fn check_metadata(manifest: &Manifest) -> Result<(), String> {
    let metadata = &manifest.value["metadata"];
    for field in ["uid", "resourceVersion", "managedFields"] {
        if metadata.get(field).is_some_and(|value| !value.is_null()) {
            return Err(format!("{} sets `metadata.{field}`, which is the server's", manifest.id));
        }
    }
    for field in ["labels", "annotations"] {
        if metadata.get(field).is_some_and(|value| !value.is_object() && !value.is_null()) {
            return Err(format!("`metadata.{field}` of {} is not a mapping", manifest.id));
        }
    }
    Ok(())
}

/// Refuses every service that was read and wants an object that another service wants too. What only others want is looked up and not
/// gathered: there may be many of them.
fn refuse_shared(desired: &mut Desired, state: &State) {
    let read: Sought<'_> =
        desired.services.keys().flat_map(|service| desired.claims(service, state)).flatten().collect();
    let mut wanted_by: BTreeMap<&ObjectRef, &String> = BTreeMap::new();
    let mut shared: BTreeMap<ObjectRef, Vec<String>> = BTreeMap::new();
    for (service, claims) in desired.all_claims(state) {
        for id in claims.into_iter().flatten().filter(|id| read.contains(id)) {
            if let Some(first) = wanted_by.insert(id, service) {
                shared.entry(id.clone()).or_insert_with(|| vec![first.clone()]).push(service.clone());
            }
        }
    }
    for (id, services) in shared {
        for service in &services {
            let others: Vec<String> =
                services.iter().filter(|other| *other != service).map(|o| format!("`{o}`")).collect();
            let Some(content) = desired.services.get_mut(service) else { continue };
            if let Content::Objects(objects) = content {
                let claims = Some(objects.keys().cloned().collect());
                let reason = format!("{id} is also in service {}; remove it from one of them", others.join(", "));
                *content = Content::Refused { reason, claims };
            }
        }
    }
}

impl Desired {
    /// Returns the objects that a service of the index wants, or a superset of them; nothing if that is not known.
    pub fn claims<'a>(&'a self, service: &str, state: &'a State) -> Option<Claims<'a>> {
        self.claims_by(service, self.source.index.services.get(service)?, state.services.get(service))
    }

    /// Returns what [`Desired::claims`] says of every service of the index, in order.
    pub fn all_claims<'a>(&'a self, state: &'a State) -> impl Iterator<Item = (&'a String, Option<Claims<'a>>)> {
        let services = state.beside(&self.source.index);
        services.filter_map(|(name, entry, reading)| Some((name, self.claims_by(name, entry?, reading))))
    }

    /// As [`Desired::claims`], of a service of which is at hand what the index says and what was read.
    pub fn claims_by<'a>(&'a self, service: &str, entry: &Entry, reading: Option<&'a Reading>) -> Option<Claims<'a>> {
        let recorded = || reading.and_then(Reading::record).and_then(|record| record.claims(&entry.content));
        match self.services.get(service) {
            Some(Content::Objects(objects)) => Some(Claims::Read { objects, next: 0 }),
            Some(Content::Refused { claims: Some(claims), .. }) => Some(Claims::Refused(claims.iter())),
            Some(Content::Refused { claims: None, .. }) | None => recorded().map(Claims::Recorded),
        }
    }

    /// Lets the manifests of a service go, of which all were applied: what they say is not asked for any more, but for Secrets, whose values are
    /// kept out of what is told of failures.
    pub fn release(&self, service: &str) {
        let Some(Content::Objects(objects)) = self.services.get(service) else { return };
        for (_, object) in objects.iter().filter(|(id, _)| id.kind != "Secret") {
            *object.text() = Box::default();
        }
    }

    /// Returns an object of a service that was read.
    pub fn object(&self, service: &str, id: &ObjectRef) -> Option<&Object> {
        match self.services.get(service) {
            Some(Content::Objects(objects)) => objects.get(id),
            _ => None,
        }
    }
}
