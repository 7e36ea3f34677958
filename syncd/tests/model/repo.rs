//! A repository in memory: commits are maps of files, and anything can go wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use manifest::Hash;
use syncd::repo::{CommitInfo, Lineage, Repo, RepoError, Revision};

pub type Files = BTreeMap<String, Vec<u8>>;

#[derive(Default)]
pub struct TestRepo {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    commits: BTreeMap<Revision, Files>,
    tip: Option<Revision>,
    broken: Option<RepoError>,
    /// Commits that nobody vouches for, with the reason.
    unverified: BTreeMap<Revision, String>,
    /// Commits that do not simply descend from every other one.
    lineages: BTreeMap<Revision, Lineage>,
    /// Pairs of commits that were asked about.
    asked: Vec<(Revision, Revision)>,
    /// Paths that cannot be read alone.
    refused: Vec<String>,
    tips: usize,
    fetches: usize,
}

impl TestRepo {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nobody panics while holding it")
    }

    /// Adds a commit and moves the ref there.
    pub fn commit(&self, files: Files) -> Revision {
        let mut inner = self.inner();
        let text = format!("{} {files:?}", inner.commits.len());
        let revision = Revision(Hash::of(text.as_bytes()).to_string()[..40].to_owned());
        inner.commits.insert(revision.clone(), files);
        inner.tip = Some(revision.clone());
        revision
    }

    /// Moves the ref.
    pub fn point_at(&self, revision: &Revision) {
        self.inner().tip = Some(revision.clone());
    }

    /// Loses a commit.
    pub fn forget(&self, revision: &Revision) {
        self.inner().commits.remove(revision);
    }

    /// Makes every question fail; `None`: mends it.
    pub fn break_with(&self, error: Option<RepoError>) {
        self.inner().broken = error;
    }

    /// Lets nobody vouch for a commit.
    pub fn refuse_signature(&self, revision: &Revision, reason: &str) {
        self.inner().unverified.insert(revision.clone(), reason.to_owned());
    }

    /// Gives a commit another relation to all that were before.
    pub fn set_lineage(&self, revision: &Revision, lineage: Lineage) {
        self.inner().lineages.insert(revision.clone(), lineage);
    }

    /// Returns the pairs of commits, the later one first, that were asked about since the last call.
    pub fn take_asked(&self) -> Vec<(Revision, Revision)> {
        std::mem::take(&mut self.inner().asked)
    }

    /// Makes a path not acceptable, as a symlink is not.
    pub fn refuse(&self, path: &str) {
        self.inner().refused.push(path.to_owned());
    }

    /// Returns how often the tip was asked for, and how often something was fetched.
    pub fn counts(&self) -> (usize, usize) {
        let inner = self.inner();
        (inner.tips, inner.fetches)
    }
}

impl Repo for TestRepo {
    async fn tip(&self) -> Result<Revision, RepoError> {
        let mut inner = self.inner();
        inner.tips += 1;
        if let Some(error) = &inner.broken {
            return Err(error.clone());
        }
        inner.tip.clone().ok_or_else(|| RepoError::NoRef("refs/heads/main".to_owned()))
    }

    async fn fetch(&self, revision: &Revision) -> Result<CommitInfo, RepoError> {
        let mut inner = self.inner();
        inner.fetches += 1;
        match inner.commits.contains_key(revision) {
            true => Ok(CommitInfo { subject: format!("commit {}", revision.short()), ..CommitInfo::default() }),
            false => Err(RepoError::Corrupt(format!("no commit {revision}"))),
        }
    }

    async fn verify(&self, revision: &Revision) -> Result<(), RepoError> {
        match self.inner().unverified.get(revision) {
            Some(reason) => Err(RepoError::Unverified(reason.clone())),
            None => Ok(()),
        }
    }

    async fn lineage(&self, revision: &Revision, earlier: &Revision) -> Result<Lineage, RepoError> {
        let mut inner = self.inner();
        inner.asked.push((revision.clone(), earlier.clone()));
        Ok(inner.lineages.get(revision).copied().unwrap_or(Lineage::Descends))
    }

    async fn read(&self, revision: &Revision, paths: Vec<String>) -> Result<Vec<Option<Vec<u8>>>, RepoError> {
        let inner = self.inner();
        let files = inner.commits.get(revision).ok_or_else(|| RepoError::Local("not fetched".to_owned()))?;
        let read = |path: String| match inner.refused.contains(&path) {
            true => Err(RepoError::NotAcceptable { path, reason: "it is a symbolic link".to_owned() }),
            false => Ok(files.get(&path).cloned()),
        };
        paths.into_iter().map(read).collect()
    }
}

/// A repository of several owners.
#[derive(Clone)]
pub struct Shared(pub Arc<TestRepo>);

impl Repo for Shared {
    async fn tip(&self) -> Result<Revision, RepoError> {
        self.0.tip().await
    }

    async fn fetch(&self, revision: &Revision) -> Result<CommitInfo, RepoError> {
        self.0.fetch(revision).await
    }

    async fn verify(&self, revision: &Revision) -> Result<(), RepoError> {
        self.0.verify(revision).await
    }

    async fn lineage(&self, revision: &Revision, earlier: &Revision) -> Result<Lineage, RepoError> {
        self.0.lineage(revision, earlier).await
    }

    async fn read(&self, revision: &Revision, paths: Vec<String>) -> Result<Vec<Option<Vec<u8>>>, RepoError> {
        self.0.read(revision, paths).await
    }
}
