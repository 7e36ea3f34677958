//! The only module that touches the disk: reads the whole input into a [`SourceTree`], and replaces `_gen` in one step.
//!
//! Reads `services/`, `charts/`, `crds/` and `generator.yaml` and nothing else, so nothing else can reach an output. What is no regular file, leads
//! out of the repository or is too large is refused by name, never followed or skipped. Knows no content.
//!
//! Invariant: at every moment `_gen` is either what it was or what it becomes. The new tree is made beside it, as `_gen.new`; then the two
//! change places in one step (`renameat2` with RENAME_EXCHANGE on Linux, `renameatx_np` with RENAME_SWAP on macOS). A file system that cannot do
//! that gets two steps, with `_gen.old` between them; what a crash between the two leaves behind is put right by the next [`Lock::acquire`].
//! This holds for processes that die, not for a machine that loses power: there, Git is what is durable.

#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "this is the file that touches the disk")]

pub mod chart;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, FileType, TryLockError};
use std::io::{self, Read as _, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use manifest::index::ROOT;
use rayon::prelude::*;

use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::source::{Content, SourceTree};
use crate::{service, settings, validation};

/// Largest input file: Helm's limit for a file of a chart.
pub const FILE_BYTES_MAX: u64 = 5 << 20;
/// Largest input: more than any repository of text has.
pub const TREE_BYTES_MAX: u64 = 1 << 30;
/// Deepest folder below the root: charts in charts in charts need six for each level.
pub const DEPTH_MAX: usize = 32;

/// Where the new tree is made.
const STAGED: &str = "_gen.new";
/// Where the old tree waits, on a file system that cannot swap.
const REPLACED: &str = "_gen.old";

/// What the disk did not do.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// A call failed; try again when its cause is gone.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried, such as `read`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// `_gen` is a link or a file: whoever made it so has to say what is meant.
    #[error("{path} is not a folder")]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// Another process is at work; try again.
    #[error("another generator is writing to {path}")]
    Locked {
        /// The root of the repository.
        path: PathBuf,
    },
}

trait At<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, DiskError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, DiskError> {
        self.map_err(|source| DiskError::Io { action, path: path.to_owned(), source })
    }
}

/// The input, and what of it was refused.
#[derive(Debug, Default)]
pub struct Input {
    /// Every file that was read.
    pub tree: SourceTree,
    /// What was not, and why.
    pub diagnostics: Diagnostics,
}

/// Reads the input of the repository in `root`. What is missing is left out. Runs in the current rayon pool.
///
/// # Errors
/// [`DiskError::Io`] where the system refuses; what the author of the repository has to mend is in [`Input::diagnostics`].
pub fn read(root: &Path) -> Result<Input, DiskError> {
    read_within(root, TREE_BYTES_MAX)
}

fn read_within(root: &Path, bytes_max: u64) -> Result<Input, DiskError> {
    let root = fs::canonicalize(root).at("open", root)?;
    let mut found = Found::default();
    for name in [service::FOLDER, service::CHARTS, validation::FOLDER, settings::FILE] {
        let real = root.join(name);
        if let Some(metadata) = lookup(&real)? {
            found.append(Walk { root: &root }.entry(name, real, metadata.file_type(), 1)?);
        }
    }
    found.files.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let Found { files, mut refused } = found;
    let Read { contents, too_large, is_whole } = contents(&files, Limits { file: FILE_BYTES_MAX, all: bytes_max })?;
    for path in too_large {
        let message = format!("the file is larger than {} MiB", FILE_BYTES_MAX >> 20);
        let hint = "keep large files out of services/ and charts/";
        refused.push(Diagnostic::error("too-large", message).at(Place::file(path)).hint(hint));
    }
    if !is_whole {
        let message = format!("the files of the repository are larger than {} MiB together", bytes_max >> 20);
        let hint = "keep large files out of services/ and charts/";
        refused.push(Diagnostic::error("too-large", message).hint(hint));
    }
    Ok(Input { tree: contents.into_iter().collect(), diagnostics: refused.into_iter().collect() })
}

/// What was read of many files.
struct Read {
    contents: Vec<(String, Content)>,
    /// Paths of those that are too large.
    too_large: Vec<String>,
    /// Whether there was room for all others.
    is_whole: bool,
}

/// How many bytes are let in.
#[derive(Clone, Copy)]
struct Limits {
    file: u64,
    all: u64,
}

impl Limits {
    const NONE: Limits = Limits { file: u64::MAX, all: u64::MAX };
}

/// Reads files. Which are left out where they are more does not depend on threads: then they are read one after
/// the other.
fn contents(files: &[(String, PathBuf)], limits: Limits) -> Result<Read, DiskError> {
    let room = AtomicU64::new(limits.all);
    let chunks = files.par_iter().fold(Chunk::default, |mut chunk, (path, real)| {
        if chunk.stopped.is_none() {
            chunk.read(path, real, limits.file, &room);
        }
        chunk
    });
    let chunks: Vec<Chunk> = chunks.collect();
    if chunks.iter().any(|chunk| matches!(chunk.stopped, Some(Stopped::NoRoom))) {
        drop(chunks);
        let (room, mut chunk) = (AtomicU64::new(limits.all), Chunk::default());
        for (path, real) in files {
            chunk.read(path, real, limits.file, &room);
            if let Some(Stopped::Failed(error)) = chunk.stopped {
                return Err(error);
            }
        }
        return Ok(Chunk::join([chunk], false));
    }
    let mut read = Vec::with_capacity(chunks.len());
    for mut chunk in chunks {
        // The first error by path, whichever came first.
        if let Some(Stopped::Failed(error)) = chunk.stopped.take() {
            return Err(error);
        }
        read.push(chunk);
    }
    Ok(Chunk::join(read, true))
}

/// Files that one thread has read one after the other, into one text: so many small ones are cheaper than each by itself.
#[derive(Default)]
struct Chunk {
    whole: Vec<u8>,
    parts: Vec<(String, Range<usize>)>,
    too_large: Vec<String>,
    stopped: Option<Stopped>,
}

/// Why a file was not read.
enum Stopped {
    NoRoom,
    Failed(DiskError),
}

impl Chunk {
    fn read(&mut self, path: &str, real: &Path, bytes_max: u64, room: &AtomicU64) {
        let start = self.whole.len();
        // One byte more than allowed tells a file that is too large, also one that grows meanwhile.
        let read =
            File::open(real).and_then(|file| file.take(bytes_max.saturating_add(1)).read_to_end(&mut self.whole));
        let length = match read.at("read", real) {
            Ok(length) => u64::try_from(length).expect("a length in memory fits 64 bits"),
            Err(error) => {
                self.stopped = Some(Stopped::Failed(error));
                return;
            }
        };
        if length > bytes_max {
            self.whole.truncate(start);
            self.too_large.push(path.to_owned());
        } else if room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(length)).is_err() {
            self.whole.truncate(start);
            self.stopped = Some(Stopped::NoRoom);
        } else {
            self.parts.push((path.to_owned(), start..self.whole.len()));
        }
    }

    fn join(chunks: impl IntoIterator<Item = Chunk>, is_whole: bool) -> Read {
        let mut read = Read { contents: Vec::new(), too_large: Vec::new(), is_whole };
        for mut chunk in chunks {
            let whole = Arc::new(chunk.whole);
            let content = |(path, part)| (path, Content::of(Arc::clone(&whole), part));
            read.contents.extend(chunk.parts.into_iter().map(content));
            read.too_large.append(&mut chunk.too_large);
        }
        read
    }
}

/// Returns what stands in a folder.
fn entries(folder: &Path) -> Result<Vec<(OsString, FileType)>, DiskError> {
    let entries = fs::read_dir(folder).at("list", folder)?.map(|entry| {
        let entry = entry.at("list", folder)?;
        let kind = entry.file_type().at("read", &entry.path())?;
        Ok((entry.file_name(), kind))
    });
    entries.collect()
}

/// Files of the input by path, each with where it really is, and what was refused. In no order.
#[derive(Default)]
struct Found {
    files: Vec<(String, PathBuf)>,
    refused: Vec<Diagnostic>,
}

impl Found {
    fn append(&mut self, mut other: Found) {
        self.files.append(&mut other.files);
        self.refused.append(&mut other.refused);
    }

    fn file(path: &str, real: PathBuf) -> Found {
        Found { files: vec![(path.to_owned(), real)], ..Found::default() }
    }

    fn refused(diagnostic: Diagnostic, path: &str) -> Found {
        Found { refused: vec![diagnostic.at(Place::file(path))], ..Found::default() }
    }
}

#[derive(Clone, Copy)]
struct Walk<'r> {
    root: &'r Path,
}

impl Walk<'_> {
    /// Finds what stands at `real` under the name `path`, which may differ where links were followed.
    fn entry(self, path: &str, real: PathBuf, kind: FileType, depth: usize) -> Result<Found, DiskError> {
        if kind.is_symlink() {
            return match self.follow(&real) {
                Ok(target) => {
                    let kind = fs::symlink_metadata(&target).at("read", &target)?.file_type();
                    self.entry(path, target, kind, depth)
                }
                Err(diagnostic) => Ok(Found::refused(*diagnostic, path)),
            };
        }
        if kind.is_dir() {
            return self.folder(path, &real, depth);
        }
        if kind.is_file() {
            return Ok(Found::file(path, real));
        }
        let hint = "only files, folders and links to them can be input";
        Ok(Found::refused(Diagnostic::error("not-a-file", "this is neither a file nor a folder").hint(hint), path))
    }

    fn folder(self, path: &str, real: &Path, depth: usize) -> Result<Found, DiskError> {
        if depth > DEPTH_MAX {
            let message = format!("the folder is more than {DEPTH_MAX} levels deep");
            let hint = "is there a link to a folder that contains it?";
            return Ok(Found::refused(Diagnostic::error("too-deep", message).hint(hint), path));
        }
        let mut entries = entries(real)?;
        if entries.is_empty() && path.starts_with(&format!("{}/", service::FOLDER)) {
            let hint = "git keeps no empty folders: give it a config.yaml, or remove it";
            return Ok(Found::refused(Diagnostic::error("empty-folder", "the folder is empty").hint(hint), path));
        }
        // The first error by name is the one that counts.
        entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let mut found = Found::default();
        let mut folders = Vec::new();
        for (name, kind) in entries {
            match name.to_str() {
                // What git keeps in the folder of a submodule.
                Some(".git") => {}
                Some(text) if !text.contains(char::is_control) => {
                    let (path, real) = (format!("{path}/{text}"), real.join(&name));
                    if kind.is_file() {
                        found.files.push((path, real));
                    } else {
                        folders.push((path, real, kind));
                    }
                }
                _ => found.append(Found::refused(bad_name(&name), path)),
            }
        }
        let below = folders.into_par_iter().map(|(path, real, kind)| self.entry(&path, real, kind, depth + 1));
        for below in below.collect::<Vec<_>>() {
            found.append(below?);
        }
        Ok(found)
    }

    /// Returns what a link leads to, if that is inside the repository, is not an output, and does not contain the link.
    fn follow(self, link: &Path) -> Result<PathBuf, Box<Diagnostic>> {
        let wrong = |message: &str, hint: &str| Err(Box::new(Diagnostic::error("bad-link", message).hint(hint)));
        let Ok(target) = fs::canonicalize(link) else {
            return wrong("the link leads nowhere", "remove the link, or make what it should lead to");
        };
        let folder = link.parent().and_then(|parent| fs::canonicalize(parent).ok());
        let inside = target.strip_prefix(self.root).ok();
        let message = match inside.map(|inside| inside.components().next().map(|first| first.as_os_str().to_owned())) {
            None => "the link leads out of the repository",
            Some(None) => "the link leads to a folder that contains it",
            Some(Some(first)) if first == OsStr::new(ROOT) || first == OsStr::new(".git") => {
                "the link leads to what is not input"
            }
            Some(Some(_)) if folder.is_some_and(|folder| folder.starts_with(&target)) => {
                "the link leads to a folder that contains it"
            }
            Some(Some(_)) => return Ok(target),
        };
        wrong(message, "copy what it leads to, so that the repository has all that it renders from")
    }
}

fn bad_name(name: &OsStr) -> Diagnostic {
    let message = format!("a name in this folder is not plain UTF-8 text: {:?}", name.to_string_lossy());
    Diagnostic::error("bad-file-name", message).hint("rename it")
}

/// What stands in `_gen`.
#[derive(Debug, Default)]
pub struct Committed {
    /// Its files, by path from the root of the repository.
    pub files: SourceTree,
    /// Paths of what can never have been generated: links, devices, names that are not UTF-8 (made so for display).
    pub foreign: Vec<String>,
}

/// Reads `_gen`. Where there is none, nothing is in it. Runs in the current rayon pool.
///
/// # Errors
/// [`DiskError::NotAFolder`] where `_gen` itself is a link or a file; [`DiskError::Io`] where the system refuses.
pub fn read_generated(root: &Path) -> Result<Committed, DiskError> {
    let folder = root.join(ROOT);
    let Some(metadata) = lookup(&folder)? else { return Ok(Committed::default()) };
    if !metadata.is_dir() {
        return Err(DiskError::NotAFolder { path: folder });
    }
    let Generated { mut files, mut foreign } = generated(ROOT, &folder)?;
    files.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    foreign.sort_unstable();
    Ok(Committed { files: contents(&files, Limits::NONE)?.contents.into_iter().collect(), foreign })
}

/// Files by path, each with where it really is, and what is no file.
#[derive(Default)]
struct Generated {
    files: Vec<(String, PathBuf)>,
    foreign: Vec<String>,
}

fn generated(path: &str, real: &Path) -> Result<Generated, DiskError> {
    let mut found = Generated::default();
    let mut folders = Vec::new();
    for (name, kind) in entries(real)? {
        let path = format!("{path}/{}", name.to_string_lossy());
        if name.to_str().is_none() || !(kind.is_dir() || kind.is_file()) {
            found.foreign.push(path);
        } else if kind.is_dir() {
            folders.push((path, real.join(name)));
        } else {
            found.files.push((path, real.join(name)));
        }
    }
    let below = folders.into_par_iter().map(|(path, real)| generated(&path, &real));
    for below in below.collect::<Vec<_>>() {
        let mut below = below?;
        found.files.append(&mut below.files);
        found.foreign.append(&mut below.foreign);
    }
    Ok(found)
}

/// Adds files to the repository in `root`, and puts others in the place of those that are there: all of them, or none of the new ones.
///
/// # Errors
/// [`DiskError::Io`], also where a new file is there already; then what was added so far is removed again.
pub fn add(root: &Path, new: &BTreeMap<String, String>, changed: &BTreeMap<String, String>) -> Result<(), DiskError> {
    let mut added: Vec<PathBuf> = Vec::new();
    let result = new.iter().try_for_each(|(path, text)| {
        let path = root.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).at("make", folder)?;
        }
        let mut file = File::create_new(&path).at("make", &path)?;
        added.push(path.clone());
        file.write_all(text.as_bytes()).at("write", &path)
    });
    let result = result.and_then(|()| {
        changed.iter().try_for_each(|(path, text)| {
            let (path, beside) = (root.join(path), root.join(format!("{path}.new")));
            fs::write(&beside, text).at("write", &beside)?;
            fs::rename(&beside, &path).at("replace", &path)
        })
    });
    if result.is_err() {
        for path in &added {
            fs::remove_file(path).at("remove", path)?;
        }
    }
    result
}

/// Reads a script that may not be there; bytes that are no text are replaced.
///
/// # Errors
/// [`DiskError::Io`].
pub fn read_script(path: &Path) -> Result<Option<String>, DiskError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).at("read", path),
    }
}

/// Writes a script that can be run, or removes it where there is no text.
///
/// # Errors
/// [`DiskError::Io`].
pub fn write_script(path: &Path, text: Option<&str>) -> Result<(), DiskError> {
    let Some(text) = text else { return fs::remove_file(path).at("remove", path) };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).at("make", folder)?;
    }
    fs::write(path, text).at("write", path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(path).at("read", path)?.permissions().mode() | 0o111;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).at("make executable", path)?;
    }
    Ok(())
}

/// The right to replace `_gen`. One process at a time has it, from before it reads `_gen` until it has replaced it.
#[derive(Debug)]
pub struct Lock {
    root: PathBuf,
    /// The folder of the repository itself, so that no file is left behind.
    _held: File,
}

impl Lock {
    /// Takes the lock on the repository in `root`, and clears up after a process that died with it.
    ///
    /// # Errors
    /// [`DiskError::Locked`] where another process has it: this one does not wait.
    pub fn acquire(root: &Path) -> Result<Self, DiskError> {
        let held = File::open(root).at("open", root)?;
        match held.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DiskError::Locked { path: root.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(source).at("lock", root),
        }
        let lock = Lock { root: root.to_owned(), _held: held };
        let (current, replaced) = (root.join(ROOT), root.join(REPLACED));
        if lookup(&current)?.is_none() && lookup(&replaced)?.is_some() {
            fs::rename(&replaced, &current).at("restore", &current)?;
        }
        lock.clear()?;
        Ok(lock)
    }

    /// Makes `_gen` consist of `files`, by path from the root of the repository, and of the files that stood directly in it.
    /// A file that `committed`, read under this lock, has with the same content stays the same file.
    ///
    /// # Errors
    /// [`DiskError::Io`]; then `_gen` is what it was.
    pub fn replace(&self, files: &SourceTree, committed: &Committed) -> Result<(), DiskError> {
        self.stage(files, committed)?;
        self.swap(exchange)?;
        self.clear()
    }

    fn stage(&self, files: &SourceTree, committed: &Committed) -> Result<(), DiskError> {
        let staged = self.root.join(STAGED);
        fs::create_dir(&staged).at("make", &staged)?;
        let files: Vec<(&str, &[u8])> = files.iter().collect();
        let placed = files.into_par_iter().map(|(path, content)| {
            let kept = committed.files.get(path).filter(|old| *old == content);
            self.place(path, content, kept.is_some())
        });
        // The first error by path, whichever came first.
        placed.collect::<Vec<_>>().into_iter().collect::<Result<(), DiskError>>()?;
        for (name, content) in committed.files.below(ROOT).filter(|(below, _)| !below.contains('/')) {
            self.place(&format!("{ROOT}/{name}"), content, true)?;
        }
        Ok(())
    }

    /// Puts one file into the new tree; one that is there already, by a second link to it.
    fn place(&self, path: &str, content: &[u8], kept: bool) -> Result<(), DiskError> {
        let below =
            path.strip_prefix(ROOT).and_then(|below| below.strip_prefix('/')).expect("generated files are in _gen");
        let new = self.root.join(STAGED).join(below);
        if let Some(folder) = new.parent() {
            fs::create_dir_all(folder).at("make", folder)?;
        }
        // A file system without links gets a copy.
        if kept && fs::hard_link(self.root.join(path), &new).is_ok() {
            return Ok(());
        }
        fs::write(&new, content).at("write", &new)
    }

    /// Makes what is staged current, in one step where `exchange` can do that.
    fn swap(&self, exchange: fn(&Path, &Path) -> io::Result<()>) -> Result<(), DiskError> {
        let (current, staged, replaced) = (self.root.join(ROOT), self.root.join(STAGED), self.root.join(REPLACED));
        if lookup(&current)?.is_none() {
            return fs::rename(&staged, &current).at("make", &current);
        }
        match exchange(&staged, &current) {
            Ok(()) => return Ok(()),
            Err(error) if cannot_exchange(&error) => {}
            Err(error) => return Err(error).at("replace", &current),
        }
        fs::rename(&current, &replaced).at("replace", &current)?;
        if let Err(error) = fs::rename(&staged, &current) {
            fs::rename(&replaced, &current).at("restore", &current)?;
            return Err(error).at("replace", &current);
        }
        Ok(())
    }

    /// Removes what is beside `_gen`.
    fn clear(&self) -> Result<(), DiskError> {
        for path in [self.root.join(STAGED), self.root.join(REPLACED)] {
            if lookup(&path)?.is_some_and(|metadata| metadata.is_dir()) {
                for environment in folders(&path)? {
                    let services = folders(&environment)?;
                    let removed = services.par_iter().map(|folder| fs::remove_dir_all(folder).at("remove", folder));
                    removed.collect::<Vec<_>>().into_iter().collect::<Result<(), DiskError>>()?;
                }
                fs::remove_dir_all(&path).at("remove", &path)?;
            }
        }
        Ok(())
    }
}

/// Returns the folders in a folder, without links to such.
fn folders(path: &Path) -> Result<Vec<PathBuf>, DiskError> {
    let folders = entries(path)?.into_iter().filter(|(_, kind)| kind.is_dir());
    Ok(folders.map(|(name, _)| path.join(name)).collect())
}

fn lookup(path: &Path) -> Result<Option<fs::Metadata>, DiskError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).at("read", path),
    }
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).map_err(io::Error::from)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn exchange(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Tells whether the file system, or the system, has no such operation.
fn cannot_exchange(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn files(text: &str) -> SourceTree {
        ["_gen/a/index.json", "_gen/a/s/resources.yaml"].map(|path| (path, text)).into_iter().collect()
    }

    fn rendered(text: &str) -> TempDir {
        let root = TempDir::new().expect("a scratch folder");
        let lock = Lock::acquire(root.path()).expect("free");
        lock.replace(&files(text), &Committed::default()).expect("written");
        root
    }

    fn current(root: &TempDir) -> SourceTree {
        read_generated(root.path()).expect("read").files
    }

    fn names(root: &TempDir) -> Vec<String> {
        let entries = fs::read_dir(root.path()).expect("listed");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
        names.sort();
        names
    }

    #[test]
    fn a_death_before_the_swap_leaves_the_old_tree() {
        let root = rendered("old");
        let lock = Lock::acquire(root.path()).expect("free");
        lock.stage(&files("new"), &Committed::default()).expect("staged");
        drop(lock);
        assert_eq!((current(&root), names(&root)), (files("old"), vec!["_gen".to_owned(), "_gen.new".to_owned()]));

        let lock = Lock::acquire(root.path()).expect("the lock of the dead is free");
        lock.replace(&files("new"), &Committed::default()).expect("written");
        assert_eq!((current(&root), names(&root)), (files("new"), vec!["_gen".to_owned()]));
    }

    #[test]
    fn a_death_after_the_swap_leaves_the_new_tree() {
        let root = rendered("old");
        let lock = Lock::acquire(root.path()).expect("free");
        lock.stage(&files("new"), &Committed::default()).expect("staged");
        lock.swap(exchange).expect("swapped");
        drop(lock);
        assert_eq!(current(&root), files("new"));
        drop(Lock::acquire(root.path()).expect("free"));
        assert_eq!((current(&root), names(&root)), (files("new"), vec!["_gen".to_owned()]));
    }

    #[test]
    fn a_file_system_that_cannot_swap_gets_two_steps() {
        let root = rendered("old");
        let lock = Lock::acquire(root.path()).expect("free");
        lock.stage(&files("new"), &Committed::default()).expect("staged");
        lock.swap(|_, _| Err(io::ErrorKind::InvalidInput.into())).expect("swapped");
        lock.clear().expect("cleared");
        assert_eq!((current(&root), names(&root)), (files("new"), vec!["_gen".to_owned()]));

        lock.stage(&files("newer"), &Committed::default()).expect("staged");
        let refused = lock.swap(|_, _| Err(io::ErrorKind::PermissionDenied.into()));
        assert!(matches!(refused, Err(DiskError::Io { action: "replace", .. })), "{refused:?}");
        assert_eq!(current(&root), files("new"));
    }

    #[test]
    fn two_processes_do_not_write_at_once() {
        let root = rendered("old");
        let first = Lock::acquire(root.path()).expect("free");
        assert!(matches!(Lock::acquire(root.path()), Err(DiskError::Locked { .. })));
        drop(first);
        Lock::acquire(root.path()).expect("free again");
    }

    #[test]
    fn the_whole_input_has_a_limit_too() {
        let root = TempDir::new().expect("a scratch folder");
        fs::create_dir(root.path().join("services")).expect("made");
        for name in ["a", "b", "c"] {
            fs::write(root.path().join("services").join(name), "12345").expect("written");
        }
        let input = read_within(root.path(), 10).expect("read");
        let read: Vec<&str> = input.tree.iter().map(|(path, _)| path).collect();
        assert_eq!(read, ["services/a", "services/b"]);
        assert_eq!(input.diagnostics.count(crate::diagnostic::Severity::Error), 1);
    }
}
