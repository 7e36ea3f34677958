//! A repository whose requests are counted.
//!
//! Passes everything on as it is. Invariant: whatever a request ends with, it is counted once.

use std::sync::Arc;

use tokio::time::Instant;

use super::Metrics;
use crate::repo::{CommitInfo, Lineage, Repo, RepoError, Revision};

/// A repository whose requests are counted.
pub struct CountedRepo<R> {
    repo: R,
    metrics: Arc<Metrics>,
}

impl<R> CountedRepo<R> {
    /// Counts the requests to `repo`.
    pub fn new(repo: R, metrics: Arc<Metrics>) -> Self {
        CountedRepo { repo, metrics }
    }

    async fn counted<T>(
        &self,
        request: &str,
        answer: impl Future<Output = Result<T, RepoError>> + Send,
    ) -> Result<T, RepoError> {
        let begun = Instant::now();
        let result = answer.await;
        self.metrics.source(request, result_word(&result), begun.elapsed());
        result
    }
}

impl<R: Repo> Repo for CountedRepo<R> {
    async fn tip(&self) -> Result<Revision, RepoError> {
        let result = self.counted("tip", self.repo.tip()).await;
        self.metrics.polled(result_word(&result), result.as_ref().ok());
        result
    }

    async fn fetch(&self, revision: &Revision) -> Result<CommitInfo, RepoError> {
        self.counted("fetch", self.repo.fetch(revision)).await
    }

    async fn verify(&self, revision: &Revision) -> Result<(), RepoError> {
        self.counted("verify", self.repo.verify(revision)).await
    }

    async fn lineage(&self, revision: &Revision, earlier: &Revision) -> Result<Lineage, RepoError> {
        self.counted("lineage", self.repo.lineage(revision, earlier)).await
    }

    async fn read(&self, revision: &Revision, paths: Vec<String>) -> Result<Vec<Option<Vec<u8>>>, RepoError> {
        self.counted("read", self.repo.read(revision, paths)).await
    }
}

/// Every result of a request to the repository: shown from the start, so that the first failure is a rise and not a new series.
pub(super) const POLL_RESULTS: [&str; 11] = [
    "ok",
    "unreachable",
    "unauthorized",
    "untrusted",
    "not_found",
    "no_ref",
    "corrupt",
    "unverified",
    "not_acceptable",
    "too_large",
    "local",
];

fn result_word<T>(result: &Result<T, RepoError>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(RepoError::Unreachable(_)) => "unreachable",
        Err(RepoError::Unauthorized(_)) => "unauthorized",
        Err(RepoError::Untrusted(_)) => "untrusted",
        Err(RepoError::NotFound(_)) => "not_found",
        Err(RepoError::NoRef(_)) => "no_ref",
        Err(RepoError::Corrupt(_)) => "corrupt",
        Err(RepoError::Unverified(_)) => "unverified",
        Err(RepoError::NotAcceptable { .. }) => "not_acceptable",
        Err(RepoError::TooLarge(_)) => "too_large",
        Err(RepoError::Local(_)) => "local",
    }
}
