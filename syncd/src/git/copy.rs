//! The local copy: bare, shallow, ours alone; and the objects in it.
//!
//! gix never collects garbage, so each fetch leaves one pack; after [`GitLimits::packs`] of them, or [`GitLimits::added_bytes`], the next
//! fetch goes into a new copy beside the old one, which is kept until the one after. Locks and half packs that a killed process left are
//! removed at the start; a lock on the folder keeps a second process out. Knows no network (`source`). Invariant: what is read is verified against its object
//! id on the way, from the commit to the blob.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File};
use std::num::NonZeroU32;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use gix::ObjectId;
use gix::bstr::{BStr, ByteSlice};
use gix::objs::tree::EntryKind;
use gix::objs::{Kind, TreeRefIter};
use gix::remote::fetch::Shallow;
use gix::remote::ref_map;
use gix::utils::progress::{Id, MessageLevel, Step, StepShared, UNKNOWN, Unit};
use manifest::Hash;
use tempfile::TempDir;

use super::GitLimits;
use super::history::{self, Search};
use super::signature::{self, Signers};
use super::source::{Source, local, told};
use super::ssh::Said;
use crate::repo::{CommitInfo, Lineage, RepoError, Revision};

/// Longest text that is taken over from a commit, in characters.
const TEXT_CHARACTERS_MAX: usize = 200;
/// Bytes of a pack cache: repeated bases of deltas.
const PACK_CACHE_BYTES: usize = 16 << 20;
/// Packs of a copy that can be in use: many more than it comes to, those between two revisions among them. gix makes room when a copy is opened, for
/// hardly more than are there, and takes no pack beyond it.
const PACKS_IN_USE_MAX: u16 = 512;
const LOCK_FILE: &str = "lock";
/// What the name of a copy ends with until it is whole.
const HALF: &str = ".half";

pub(super) struct LocalCopy {
    root: PathBuf,
    name: String,
    number: u64,
    /// Packs of it at which a new one is begun, if there are too many; more where that failed last.
    anew_at: usize,
    current: gix::ThreadSafeRepository,
    /// What was last found out about two commits; it never changes, and a refused revision is asked about at every poll.
    known: Option<(ObjectId, ObjectId, Lineage)>,
    /// The commit for which a damaged copy was last begun anew. Once must be enough.
    mended: Option<ObjectId>,
    /// Trees of the root that was read last: a commit is read twice, its index first.
    trees: Option<(ObjectId, Trees)>,
    /// The copy before this one: what it holds may still be in force.
    previous: Option<(PathBuf, gix::ThreadSafeRepository)>,
    _lock: File,
    _temporary: Option<TempDir>,
}

impl LocalCopy {
    /// Opens the copy of `url` in `folder`, or begins one; other copies there are removed.
    pub fn open(folder: Option<&Path>, url: &str) -> Result<Self, RepoError> {
        let temporary = match folder {
            Some(_) => None,
            None => Some(
                tempfile::Builder::new()
                    .prefix("syncd-")
                    .tempdir()
                    .map_err(|error| io("a temporary folder", &error))?,
            ),
        };
        let root = folder.or(temporary.as_ref().map(TempDir::path)).expect("one of them is there").to_owned();
        fs::create_dir_all(&root).map_err(|error| io(&root.display().to_string(), &error))?;
        let lock = lock(&root.join(LOCK_FILE))?;
        let name = Hash::of(url.as_bytes()).to_string();
        let name = name.get(..16).unwrap_or(&name).to_owned();
        let whole = copies(&root)?.into_iter().filter(|copy| copy.name == name && !copy.is_half);
        let number = whole.map(|copy| copy.number).max().unwrap_or(1);
        let path = root.join(folder_name(&name, number));
        for other in copies(&root)?.iter().filter(|copy| copy.path != path) {
            remove(&other.path)?;
        }
        let current = open_or_begin(&path)?;
        Ok(LocalCopy {
            root,
            name,
            number,
            anew_at: 0,
            current,
            known: None,
            mended: None,
            trees: None,
            previous: None,
            _lock: lock,
            _temporary: temporary,
        })
    }

    /// Returns a handle on the current copy.
    pub fn repository(&self) -> gix::Repository {
        self.current.to_thread_local()
    }

    /// Brings a commit here, unless it is.
    pub fn fetch(&mut self, source: &Source, revision: &Revision, limits: &GitLimits) -> Result<CommitInfo, RepoError> {
        let id = object_id(revision)?;
        if let Some(repository) = self.holder(id) {
            return match describe(&repository, id) {
                Err(error) => self.mend(source, revision, limits, error),
                described => described,
            };
        }
        let (packs, largest, added_bytes) = packs(self.current.path());
        let is_full = packs > limits.packs || added_bytes > limits.added_bytes.max(largest);
        if is_full && packs >= self.anew_at {
            match self.fetch_anew(source, revision, limits) {
                // What is new is little, and may come although all of it does not.
                Err(error) if packs < usize::from(PACKS_IN_USE_MAX / 2) => {
                    self.anew_at = packs + limits.packs.max(1);
                    tracing::warn!(%error, "a new local copy of the repository could not be begun; the old one is used on");
                }
                fetched => return fetched,
            }
        }
        let mut repository = self.repository();
        if packs > 0 {
            // What comes after the first time is little: threads would mostly wait for each other.
            let alone = repository.config_snapshot_mut().set_value(&gix::config::tree::Pack::THREADS, "1").map(drop);
            alone.map_err(|error| local(&error))?;
        }
        receive(source, &repository, revision, id, limits)?;
        // Each pack that something was ever read from stays mapped into memory as long as it is known to be there.
        self.current = open(self.current.path()).map_err(|error| local(&error))?;
        describe(&self.repository(), id)
    }

    /// Fetches a commit into a new copy, which takes the place of the current one when it is whole.
    fn fetch_anew(
        &mut self,
        source: &Source,
        revision: &Revision,
        limits: &GitLimits,
    ) -> Result<CommitInfo, RepoError> {
        let id = object_id(revision)?;
        let number = self.number + 1;
        let half = self.root.join(format!("{}{HALF}", folder_name(&self.name, number)));
        remove(&half)?;
        let received = open_or_begin(&half).and_then(|begun| {
            let repository = begun.to_thread_local();
            receive(source, &repository, revision, id, limits)?;
            describe(&repository, id)
        });
        let described = match received {
            Ok(described) => described,
            Err(error) => {
                remove(&half)?;
                return Err(error);
            }
        };
        let path = self.root.join(folder_name(&self.name, number));
        remove(&path)?;
        fs::rename(&half, &path).map_err(|error| io(&path.display().to_string(), &error))?;
        let begun = open_or_begin(&path)?;
        let old = std::mem::replace(&mut self.current, begun);
        let old_path = self.root.join(folder_name(&self.name, self.number));
        (self.number, self.anew_at) = (number, 0);
        if let Some((path, _)) = self.previous.replace((old_path, old))
            && let Err(error) = remove(&path)
        {
            tracing::warn!(%error, "an old copy of the repository could not be removed");
        }
        Ok(described)
    }

    /// Begins a damaged copy anew, once for each commit; fetches one again that is not here any more.
    fn mend(
        &mut self,
        source: &Source,
        revision: &Revision,
        limits: &GitLimits,
        damage: RepoError,
    ) -> Result<CommitInfo, RepoError> {
        let id = object_id(revision)?;
        let is_damage = matches!(damage, RepoError::Corrupt(_) | RepoError::Local(_));
        if is_damage && self.holder(id).is_none() {
            return self.fetch(source, revision, limits).map_err(|_| damage);
        }
        if !is_damage || self.mended == Some(id) {
            return Err(damage);
        }
        tracing::warn!(error = %damage, "the local copy of the repository is damaged and is begun anew");
        // What is wrong with the copy says more than what is wrong with the server; a server that does not answer is asked again.
        let described = self.fetch_anew(source, revision, limits).map_err(|_| damage)?;
        self.mended = Some(id);
        Ok(described)
    }

    /// Checks the signature of a commit that is here.
    pub fn verify(&self, revision: &Revision, signers: &Signers, limit: Duration) -> Result<(), RepoError> {
        let (repository, id) = self.fetched(revision)?;
        signature::verify(&object(&repository, id, Kind::Commit)?, id.kind(), signers, &self.root, limit)
    }

    /// Tells how a commit that is here stands to an earlier one. Fetches ever more of what lies between, up to a limit.
    pub fn lineage(
        &mut self,
        source: &Source,
        revision: &Revision,
        earlier: &Revision,
        limits: &GitLimits,
    ) -> Result<Lineage, RepoError> {
        let (repository, id) = self.fetched(revision)?;
        let goal = object_id(earlier)?;
        if let Some((_, _, lineage)) = self.known.filter(|(of, to, _)| (*of, *to) == (id, goal)) {
            return Ok(lineage);
        }
        let parents = |id: ObjectId| match repository.has_object(id) {
            true => parents(&object(&repository, id, Kind::Commit)?, id).map(Some),
            false => Ok(None),
        };
        let mut depths = history::depths(limits.generations);
        let lineage = loop {
            match history::search(id, goal, limits.generations, parents)? {
                Search::Found => break Lineage::Descends,
                Search::NotThere => break Lineage::Rewritten,
                Search::Cut => {}
            }
            let Some(depth) = depths.next() else {
                break Lineage::Unproven { generations: limits.generations };
            };
            receive_one(source, &repository, &revision.0, depth, limits)?;
        };
        self.known = Some((id, goal, lineage));
        Ok(lineage)
    }

    fn fetched(&self, revision: &Revision) -> Result<(gix::Repository, ObjectId), RepoError> {
        let id = object_id(revision)?;
        let repository = self.holder(id);
        let repository = repository.ok_or_else(|| RepoError::Local(format!("commit {revision} was not fetched")))?;
        Ok((repository, id))
    }

    /// Reads regular files of a commit. One that is not here any more, as it stays in force while others come and are refused, is fetched again; a copy
    /// that turns out to be damaged is begun anew, once.
    pub fn read(
        &mut self,
        source: &Source,
        revision: &Revision,
        paths: &[String],
        limits: &GitLimits,
    ) -> Result<Vec<Option<Vec<u8>>>, RepoError> {
        match self.read_here(revision, paths, limits) {
            Err(error) => {
                self.mend(source, revision, limits, error)?;
                self.read_here(revision, paths, limits)
            }
            read => read,
        }
    }

    fn read_here(
        &mut self,
        revision: &Revision,
        paths: &[String],
        limits: &GitLimits,
    ) -> Result<Vec<Option<Vec<u8>>>, RepoError> {
        let (mut repository, id) = self.fetched(revision)?;
        repository
            .objects
            .set_pack_cache(|| Box::new(gix::odb::pack::cache::lru::MemoryCappedHashmap::new(PACK_CACHE_BYTES)));
        let root = tree_of(&repository, id)?;
        let (_, mut trees) = self.trees.take().filter(|(of, _)| *of == root).unwrap_or((root, Trees::default()));
        let files =
            paths.iter().map(|path| read_file(&repository, &mut trees, root, path, limits.file_bytes)).collect();
        self.trees = Some((root, trees));
        files
    }

    /// Returns the copy that holds a commit.
    fn holder(&self, id: ObjectId) -> Option<gix::Repository> {
        let copies = [Some(&self.current), self.previous.as_ref().map(|(_, copy)| copy)];
        copies.into_iter().flatten().map(gix::ThreadSafeRepository::to_thread_local).find(|copy| copy.has_object(id))
    }
}

/// One copy on disk.
struct Copy {
    name: String,
    number: u64,
    is_half: bool,
    path: PathBuf,
}

fn folder_name(name: &str, number: u64) -> String {
    format!("{name}-{number}.git")
}

/// Lists our copies in a folder, whole ones and half ones; anything else in it is left alone.
fn copies(root: &Path) -> Result<Vec<Copy>, RepoError> {
    let fail = |error: &std::io::Error| io(&root.display().to_string(), error);
    let mut found = Vec::new();
    for entry in fs::read_dir(root).map_err(|error| fail(&error))? {
        let path = entry.map_err(|error| fail(&error))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let whole = name.strip_suffix(HALF);
        let (name, is_half) = (whole.unwrap_or(name), whole.is_some());
        let stem = name.strip_suffix(".git");
        let Some((name, number)) = stem.and_then(|stem| stem.split_once('-')) else { continue };
        let is_ours = name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        if let (true, Ok(number)) = (is_ours, number.parse()) {
            let name = name.to_owned();
            found.push(Copy { name, number, is_half, path });
        }
    }
    Ok(found)
}

fn lock(path: &Path) -> Result<File, RepoError> {
    let file = File::options().create(true).truncate(false).write(true).open(path);
    let file = file.map_err(|error| io(&path.display().to_string(), &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            Err(RepoError::Local(format!("{} is in use by another process", path.with_file_name("").display())))
        }
        Err(fs::TryLockError::Error(error)) => Err(io(&path.display().to_string(), &error)),
    }
}

/// Opens a copy; one that cannot be opened is replaced by an empty one.
fn open_or_begin(path: &Path) -> Result<gix::ThreadSafeRepository, RepoError> {
    if path.exists() {
        remove_leftovers(path)?;
        match open(path) {
            Ok(repository) => return Ok(repository),
            Err(error) => {
                tracing::warn!(error = %told(&error), "the local copy of the repository was not readable and is begun anew");
                remove(path)?;
            }
        }
    }
    fs::create_dir_all(path).map_err(|error| io(&path.display().to_string(), &error))?;
    let kind = gix::create::Kind::Bare;
    gix::ThreadSafeRepository::init_opts(path, kind, gix::create::Options::default(), options())
        .map_err(|error| local(&error))
}

fn open(path: &Path) -> Result<gix::ThreadSafeRepository, gix::Error> {
    gix::ThreadSafeRepository::open_opts(path, options())
}

/// Settings of a repository that nothing outside can influence. What a pack leaves out because it is here is added to it as it is: to compress
/// the index of thousands of services anew with each change, and to unpack it each time it is looked at, is most of what a change costs.
fn options() -> gix::open::Options {
    let settings = [
        "core.looseCompression=0",
        "core.logAllRefUpdates=false",
        "protocol.version=2",
        "committer.name=syncd",
        "committer.email=syncd@localhost",
    ];
    let slots = gix::odb::store::init::Slots::Given(PACKS_IN_USE_MAX);
    gix::open::Options::isolated().config_overrides(settings).object_store_slots(slots)
}

/// Removes what a killed process can leave: locks, which would stop every later fetch, and half packs.
fn remove_leftovers(path: &Path) -> Result<(), RepoError> {
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if name.ends_with(".lock") || name.starts_with(".tmp") || name.ends_with(".keep") {
                fs::remove_file(&path).map_err(|error| io(&path.display().to_string(), &error))?;
            }
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), RepoError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(&path.display().to_string(), &error)),
        _ => Ok(()),
    }
}

/// Returns the number of packs of a repository, the bytes of the largest, and of all others: of what has come since the first fetch, where that
/// was the largest.
fn packs(repository: &Path) -> (usize, u64, u64) {
    let entries = fs::read_dir(repository.join("objects/pack")).into_iter().flatten().flatten();
    let packs = entries.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "pack"));
    let sizes: Vec<u64> = packs.map(|pack| pack.metadata().map_or(0, |metadata| metadata.len())).collect();
    let largest = sizes.iter().copied().max().unwrap_or_default();
    (sizes.len(), largest, sizes.iter().sum::<u64>() - largest)
}

/// Fetches the ref; where it has moved on in the meantime, the commit itself.
fn receive(
    source: &Source,
    repository: &gix::Repository,
    revision: &Revision,
    id: ObjectId,
    limits: &GitLimits,
) -> Result<(), RepoError> {
    const TIP_ONLY: NonZeroU32 = NonZeroU32::MIN;
    if let Some(reference) = source.reference() {
        receive_one(source, repository, reference, TIP_ONLY, limits)?;
    }
    if !repository.has_object(id) {
        receive_one(source, repository, &revision.0, TIP_ONLY, limits)?;
    }
    if repository.has_object(id) { Ok(()) } else { Err(RepoError::Corrupt(format!("commit {revision} did not come"))) }
}

fn receive_one(
    source: &Source,
    repository: &gix::Repository,
    wanted: &str,
    depth: NonZeroU32,
    limits: &GitLimits,
) -> Result<(), RepoError> {
    let remote = source.remote(repository, wanted)?;
    let (connection, said) = source.connect(&remote, repository, limits.fetch)?;
    let progress = Received::new(limits);
    let prepared = connection.prepare_fetch(progress.clone(), ref_map::Options::default());
    let prepared = prepared.map_err(|error| source.refused(&error, said.as_ref()))?;
    if prepared.ref_map().is_missing_required_mapping() {
        return Err(RepoError::NoRef(wanted.to_owned()));
    }
    // Only the new protocol honours this; servers of the old ones send the whole history, which is correct, and more.
    let received = prepared.with_shallow(Shallow::DepthAtRemote(depth)).receive(progress.clone(), &progress.stop);
    match received {
        Ok(_) => Ok(()),
        Err(error) => Err(match progress.excess() {
            Some(excess) => RepoError::TooLarge(format!("the fetch was stopped at {excess}")),
            None => said.as_ref().and_then(Said::reason).unwrap_or_else(|| interrupted(&error)),
        }),
    }
}

/// Reads an error of receiving a pack: of the network, of what came, or of the disk.
fn interrupted(error: &gix::Error) -> RepoError {
    use std::io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let of_disk = error.iter_errors().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    if of_disk
        .into_iter()
        .any(|cause| matches!(cause.kind(), PermissionDenied | QuotaExceeded | ReadOnlyFilesystem | StorageFull))
    {
        return local(error);
    }
    if error.is_corrupted() { RepoError::Corrupt(told(error)) } else { RepoError::Unreachable(told(error)) }
}

fn object_id(revision: &Revision) -> Result<ObjectId, RepoError> {
    let id = ObjectId::from_hex(revision.0.as_bytes());
    id.map_err(|_| RepoError::Corrupt(format!("`{revision}` is not the id of a commit that can be read here")))
}

/// Reads an object and verifies that it is the one that was asked for.
fn object(repository: &gix::Repository, id: ObjectId, kind: Kind) -> Result<Vec<u8>, RepoError> {
    let mut object = repository.find_object(id).map_err(|error| local(&error))?.detach();
    let computed = gix::objs::compute_hash(id.kind(), object.kind, &object.data).map_err(|error| local(&error))?;
    if computed != id {
        return Err(RepoError::Corrupt(format!("object {id} has the content of {computed}")));
    }
    if object.kind != kind {
        return Err(RepoError::Corrupt(format!("object {id} is a {}, not a {kind}", object.kind)));
    }
    // Room was made for all that it was put together from.
    object.data.shrink_to_fit();
    Ok(object.data)
}

fn describe(repository: &gix::Repository, id: ObjectId) -> Result<CommitInfo, RepoError> {
    let data = object(repository, id, Kind::Commit)?;
    let unreadable = |_| RepoError::Corrupt(format!("commit {id} cannot be read"));
    let commit = gix::objs::CommitRef::from_bytes(&data, id.kind()).map_err(unreadable)?;
    let author = commit.author().map_err(unreadable)?;
    let committer = commit.committer().map_err(unreadable)?;
    let subject = commit.message.lines().next().unwrap_or_default();
    Ok(CommitInfo {
        author: text(author.name),
        subject: text(subject.as_bstr()),
        committed_at_seconds: committer.time().map_err(unreadable)?.seconds,
    })
}

fn parents(commit: &[u8], id: ObjectId) -> Result<Vec<ObjectId>, RepoError> {
    let commit = gix::objs::CommitRef::from_bytes(commit, id.kind());
    commit
        .map(|commit| commit.parents().collect())
        .map_err(|_| RepoError::Corrupt(format!("commit {id} cannot be read")))
}

fn text(bytes: &BStr) -> String {
    bytes.to_str_lossy().trim().chars().filter(|c| !c.is_control()).take(TEXT_CHARACTERS_MAX).collect()
}

fn tree_of(repository: &gix::Repository, commit: ObjectId) -> Result<ObjectId, RepoError> {
    let data = object(repository, commit, Kind::Commit)?;
    let commit_ref = gix::objs::CommitRef::from_bytes(&data, commit.kind());
    commit_ref.map(|commit| commit.tree()).map_err(|_| RepoError::Corrupt(format!("commit {commit} cannot be read")))
}

/// Trees that were read and verified, by their ids: the folder of an environment has an entry for each service, and is asked for as often.
type Trees = BTreeMap<ObjectId, Entries>;

/// What is in a tree, sorted by name. Of two with one name, which git does not write, the first counts.
struct Entries {
    /// All names, one after the other: most of them are never asked for.
    names: Vec<u8>,
    list: Vec<Listed>,
}

struct Listed {
    /// Where its name is among the names.
    name: Range<u32>,
    kind: EntryKind,
    id: ObjectId,
}

impl Entries {
    fn of(repository: &gix::Repository, tree: ObjectId) -> Result<Self, RepoError> {
        let data = object(repository, tree, Kind::Tree)?;
        let unreadable = || RepoError::Corrupt(format!("tree {tree} cannot be read"));
        let end = |names: &Vec<u8>| u32::try_from(names.len()).map_err(|_| unreadable());
        let (mut names, mut list) = (Vec::new(), Vec::new());
        for entry in TreeRefIter::from_bytes(&data, tree.kind()) {
            let entry = entry.map_err(|_| unreadable())?;
            let begin = end(&names)?;
            names.extend_from_slice(entry.filename);
            list.push(Listed { name: begin..end(&names)?, kind: entry.mode.kind(), id: entry.oid.to_owned() });
        }
        // git sorts folders as if a slash followed: nearly the same.
        list.sort_by(|one, other| one.of(&names).cmp(other.of(&names)));
        names.shrink_to_fit();
        list.shrink_to_fit();
        Ok(Entries { names, list })
    }

    fn get(&self, name: &str) -> Option<(EntryKind, ObjectId)> {
        let at = self.list.partition_point(|listed| listed.of(&self.names) < name.as_bytes());
        let listed = self.list.get(at).filter(|listed| listed.of(&self.names) == name.as_bytes())?;
        Some((listed.kind, listed.id))
    }
}

impl Listed {
    fn of<'a>(&self, names: &'a [u8]) -> &'a [u8] {
        &names[self.name.start as usize..self.name.end as usize]
    }
}

/// Walks from the root tree to a file.
fn read_file(
    repository: &gix::Repository,
    trees: &mut Trees,
    root: ObjectId,
    path: &str,
    bytes_max: u64,
) -> Result<Option<Vec<u8>>, RepoError> {
    let refuse = |reason: String| RepoError::NotAcceptable { path: path.to_owned(), reason };
    let mut tree = root;
    let mut names = path.split('/').peekable();
    while let Some(name) = names.next() {
        let Some((kind, id)) = entry(repository, trees, tree, name)? else { return Ok(None) };
        let is_last = names.peek().is_none();
        match kind {
            EntryKind::Tree if is_last => return Err(refuse("it is a folder".to_owned())),
            EntryKind::Tree => tree = id,
            EntryKind::Blob | EntryKind::BlobExecutable if !is_last => return Ok(None),
            EntryKind::Blob | EntryKind::BlobExecutable => {
                let size = repository.find_header(id).map_err(|error| local(&error))?.size();
                if size > bytes_max {
                    return Err(refuse(format!("it has {size} bytes, more than {bytes_max}")));
                }
                return object(repository, id, Kind::Blob).map(Some);
            }
            EntryKind::Link => return Err(refuse(format!("`{name}` is a symlink"))),
            EntryKind::Commit => return Err(refuse(format!("`{name}` is a submodule"))),
        }
    }
    Ok(None)
}

fn entry(
    repository: &gix::Repository,
    trees: &mut Trees,
    tree: ObjectId,
    name: &str,
) -> Result<Option<(EntryKind, ObjectId)>, RepoError> {
    let entries = match trees.entry(tree) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(unknown) => unknown.insert(Entries::of(repository, tree)?),
    };
    Ok(entries.get(name))
}

fn io(what: &str, error: &std::io::Error) -> RepoError {
    RepoError::Local(format!("{what}: {error}"))
}

/// Counts what comes, and stops the fetch when it is too much.
#[derive(Clone)]
struct Received {
    counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
    /// What this instance counts: the name of the step decides.
    what: What,
    step: StepShared,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    PackBytes,
    Objects,
    UnpackedBytes,
    Nothing,
}

/// What came so far of what is counted, and how much of it may.
struct Counts {
    pack_bytes: Bounded,
    objects: Bounded,
    unpacked_bytes: Bounded,
}

struct Bounded {
    so_far: AtomicU64,
    most: u64,
    /// How a reason calls it.
    name: &'static str,
}

impl Bounded {
    fn new(most: u64, name: &'static str) -> Self {
        Bounded { so_far: AtomicU64::new(0), most, name }
    }

    fn is_over(&self) -> bool {
        self.so_far.load(Ordering::Relaxed) > self.most
    }
}

impl Received {
    fn new(limits: &GitLimits) -> Self {
        let counts = Counts {
            pack_bytes: Bounded::new(limits.fetch_bytes, "bytes"),
            objects: Bounded::new(limits.fetch_objects as u64, "objects"),
            unpacked_bytes: Bounded::new(limits.unpacked_bytes, "bytes of unpacked objects"),
        };
        let (counts, step) = (Arc::new(counts), Arc::new(AtomicUsize::new(0)));
        Received { counts, stop: Arc::default(), what: What::Nothing, step }
    }

    /// Returns what was too much.
    fn excess(&self) -> Option<String> {
        let Counts { pack_bytes, objects, unpacked_bytes } = &*self.counts;
        let over = [pack_bytes, objects, unpacked_bytes].into_iter().find(|bounded| bounded.is_over())?;
        Some(format!("more than {} {}", over.most, over.name))
    }

    fn child(&self, name: &str) -> Self {
        // The names that gix gives to its steps.
        let what = match name {
            "read pack" => What::PackBytes,
            "indexing" => What::Objects,
            "decompressing" | "Decoding" => What::UnpackedBytes,
            _ => What::Nothing,
        };
        Received { what, step: Arc::new(AtomicUsize::new(0)), ..self.clone() }
    }

    fn add(&self, number: u64) {
        let bounded = match self.what {
            What::PackBytes => &self.counts.pack_bytes,
            What::Objects => &self.counts.objects,
            What::UnpackedBytes => &self.counts.unpacked_bytes,
            What::Nothing => return,
        };
        bounded.so_far.fetch_add(number, Ordering::Relaxed);
        if bounded.is_over() {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

impl gix::Count for Received {
    fn set(&self, step: Step) {
        self.step.store(step, Ordering::Relaxed);
    }

    fn step(&self) -> Step {
        self.step.load(Ordering::Relaxed)
    }

    fn inc_by(&self, step: Step) {
        self.step.fetch_add(step, Ordering::Relaxed);
        self.add(step as u64);
    }

    fn counter(&self) -> StepShared {
        Arc::clone(&self.step)
    }
}

impl gix::Progress for Received {
    fn init(&mut self, _max: Option<Step>, _unit: Option<Unit>) {}

    fn set_name(&mut self, _name: String) {}

    fn name(&self) -> Option<String> {
        None
    }

    fn id(&self) -> Id {
        UNKNOWN
    }

    fn message(&self, _level: MessageLevel, _message: String) {}
}

impl gix::NestedProgress for Received {
    type SubProgress = Received;

    fn add_child(&mut self, name: impl Into<String>) -> Received {
        self.child(&name.into())
    }

    fn add_child_with_id(&mut self, name: impl Into<String>, _id: Id) -> Received {
        self.child(&name.into())
    }
}
