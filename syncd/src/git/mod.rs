//! The real [`Repo`]: one ref of one Git repository, through gix.
//!
//! - `source`: which repository, with which credentials; a connection to it
//! - `ssh`: that connection, where it goes through the program `ssh`
//! - `copy`: the local copy, bare and shallow; objects out of it
//! - `signature`: who signed a commit; `history`: what came before it
//!
//! gix blocks, so everything runs on blocking threads. Asking for the tip costs two small requests (protocol v2, one ref) and touches no
//! disk; a commit that is here is not fetched again. Nothing is ever checked out: files are read as blobs by walking trees. Invariant:
//! every call ends within its limit of time, and one that ended is not waited for by the next.

mod copy;
mod history;
mod signature;
mod source;
mod ssh;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, TryLockError};
use std::time::Duration;

pub use self::signature::Signers;
pub use self::source::{Access, Credentials, SourceError};
pub use self::ssh::SshAccess;

use self::copy::LocalCopy;
use self::source::Source;
use crate::repo::{CommitInfo, Lineage, Repo, RepoError, Revision};

/// Which ref of which repository, and within which bounds.
#[derive(Debug, Clone)]
pub struct GitSettings {
    /// `https://…`, `ssh://…`, `file:///…`, or `http://…` under the conditions of [`Access`]. Without credentials in it.
    pub url: String,
    /// Full name of a ref (`refs/heads/main`), name of a branch (`main`), or `refs/tags/v*`: the tag with the highest version.
    pub reference: String,
    /// How to be let in.
    pub access: Access,
    /// Who may sign commits; nobody: they need no signature.
    pub signers: Signers,
    /// Folder for the local copy, used by nobody else. `None`: a temporary one, removed at the end.
    pub cache: Option<PathBuf>,
    /// Bounds.
    pub limits: GitLimits,
}

/// Bounds on what a server can do to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GitLimits {
    /// Longest time to ask for the tip.
    pub tip: Duration,
    /// Longest time to fetch a commit.
    pub fetch: Duration,
    /// Most bytes of one fetch.
    pub fetch_bytes: u64,
    /// Most objects of one fetch.
    pub fetch_objects: usize,
    /// Most bytes of all objects of one fetch, unpacked.
    pub unpacked_bytes: u64,
    /// Most bytes of one file.
    pub file_bytes: u64,
    /// Most generations between two revisions that are fetched to see whether one descends from the other.
    pub generations: usize,
    /// Most packs of a local copy; when there are more, the next fetch begins a new copy.
    pub packs: usize,
    /// Most bytes of the packs of a local copy without the largest one, and at least as many as that one has; when there are more, the next fetch
    /// begins a new copy as well.
    pub added_bytes: u64,
}

impl Default for GitLimits {
    fn default() -> Self {
        GitLimits {
            tip: Duration::from_secs(30),
            fetch: Duration::from_secs(300),
            fetch_bytes: 1 << 30,
            fetch_objects: 2_000_000,
            unpacked_bytes: 8 << 30,
            file_bytes: 16 << 20,
            generations: 1_000,
            packs: 50,
            added_bytes: 256 << 20,
        }
    }
}

/// A Git repository.
pub struct GitRepo {
    source: Arc<Source>,
    copy: Arc<Mutex<LocalCopy>>,
    signers: Arc<Signers>,
    limits: GitLimits,
}

impl GitRepo {
    /// Prepares the local copy. Sends nothing.
    ///
    /// # Errors
    /// See [`SourceError`]: settings that cannot work, or a folder that cannot be used.
    pub fn open(settings: GitSettings) -> Result<Self, SourceError> {
        // Without a provider TLS panics; one that is there already stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let source = Source::new(&settings.url, &settings.reference, settings.access)?;
        let copy = LocalCopy::open(settings.cache.as_deref(), &settings.url).map_err(SourceError::Cache)?;
        Ok(GitRepo {
            source: Arc::new(source),
            copy: Arc::new(Mutex::new(copy)),
            signers: Arc::new(settings.signers),
            limits: settings.limits,
        })
    }

    /// Runs blocking work, and gives it up after a while. The network side of the work has the same limit and ends soon after.
    async fn run<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce(&Source, &Mutex<LocalCopy>) -> Result<T, RepoError> + Send + 'static,
    ) -> Result<T, RepoError> {
        let source = Arc::clone(&self.source);
        let copy = Arc::clone(&self.copy);
        let work = tokio::task::spawn_blocking(move || work(&source, &copy));
        match tokio::time::timeout(limit, work).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => Err(RepoError::Local(format!("the Git library failed: {panic}"))),
            Err(_) => Err(RepoError::Unreachable(format!("no answer within {} s", limit.as_secs()))),
        }
    }
}

impl Repo for GitRepo {
    async fn tip(&self) -> Result<Revision, RepoError> {
        let limit = self.limits.tip;
        self.run(limit, move |source, copy| {
            let repository = lock(copy)?.repository();
            source.tip(&repository, limit)
        })
        .await
    }

    async fn fetch(&self, revision: &Revision) -> Result<CommitInfo, RepoError> {
        let (limits, revision) = (self.limits, revision.clone());
        self.run(limits.fetch, move |source, copy| lock(copy)?.fetch(source, &revision, &limits)).await
    }

    async fn verify(&self, revision: &Revision) -> Result<(), RepoError> {
        if !self.signers.are_named() {
            return Ok(());
        }
        let (revision, signers, limit) = (revision.clone(), Arc::clone(&self.signers), self.limits.tip);
        self.run(limit, move |_, copy| lock(copy)?.verify(&revision, &signers, limit)).await
    }

    async fn lineage(&self, revision: &Revision, earlier: &Revision) -> Result<Lineage, RepoError> {
        let (limits, revision, earlier) = (self.limits, revision.clone(), earlier.clone());
        self.run(limits.fetch, move |source, copy| lock(copy)?.lineage(source, &revision, &earlier, &limits)).await
    }

    async fn read(&self, revision: &Revision, paths: Vec<String>) -> Result<Vec<Option<Vec<u8>>>, RepoError> {
        let (limits, revision) = (self.limits, revision.clone());
        self.run(limits.fetch, move |source, copy| lock(copy)?.read(source, &revision, &paths, &limits)).await
    }
}

/// Takes the local copy, or says that an earlier call that was given up still holds it.
fn lock(copy: &Mutex<LocalCopy>) -> Result<std::sync::MutexGuard<'_, LocalCopy>, RepoError> {
    match copy.try_lock() {
        Ok(copy) => Ok(copy),
        // A panic left the files as a crash would have: consistent.
        Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => Err(RepoError::Unreachable("an earlier fetch has not ended yet".to_owned())),
    }
}
