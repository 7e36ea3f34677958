//! SEAM: the Git repository, as `syncd` needs it.
//!
//! One ref of one repository, read-only, without a work tree: ask for the tip, bring a commit here, ask who vouches for it and what came
//! before it, read files out of it. Knows no protocol and no credential; [`crate::git`] is the real one, tests have others. Invariant: what `read` returns is what the commit
//! holds, byte for byte, or an error; a failure is never an absence, an absence never a failure.

use std::fmt;
use std::future::Future;

/// A commit id: 40 or 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Revision(pub String);

impl Revision {
    /// Returns the first 12 digits, for people.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a commit says of itself. Text from outside: to be escaped wherever it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct CommitInfo {
    /// Name of the author, without address.
    pub author: String,
    /// First line of the message.
    pub subject: String,
    /// Seconds since 1970-01-01T00:00:00Z of the committer's date.
    pub committed_at_seconds: i64,
}

/// How a commit stands to an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lineage {
    /// The earlier one is among its ancestors, or is itself.
    Descends,
    /// The earlier one is not: the history was rewritten, or is another one.
    Rewritten,
    /// It is not among the nearest ancestors, as many generations back as were looked at.
    Unproven {
        /// How many.
        generations: usize,
    },
}

/// Why the repository could not answer. The last good revision stays in force on each of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RepoError {
    /// Network, server or time-out: try again later.
    #[error("the repository could not be reached: {0}")]
    Unreachable(String),
    /// Credentials missing or not accepted.
    #[error("the repository refused access: {0}")]
    Unauthorized(String),
    /// The server is not the one that was pinned, or nobody who is trusted vouches for it.
    #[error("the repository's server could not prove who it is: {0}")]
    Untrusted(String),
    /// The repository does not exist there, or not for us. Not an empty repository.
    #[error("there is no such repository: {0}")]
    NotFound(String),
    /// The ref does not exist there. Not an empty repository.
    #[error("the repository has no ref `{0}`")]
    NoRef(String),
    /// The commit is not the one that was announced, or its objects do not hash to their ids.
    #[error("the repository sent something else than it announced: {0}")]
    Corrupt(String),
    /// The commit carries no good signature of somebody who may sign.
    #[error("the commit is not vouched for: {0}")]
    Unverified(String),
    /// A path that is a symlink, a submodule or a folder, or a file over the limit.
    #[error("`{path}` is not acceptable: {reason}")]
    NotAcceptable {
        /// The path in the commit.
        path: String,
        /// Why.
        reason: String,
    },
    /// More came than is let in.
    #[error("the repository is too large: {0}")]
    TooLarge(String),
    /// The local copy is broken or the disk is full.
    #[error("the local copy of the repository failed: {0}")]
    Local(String),
}

/// One ref of one repository.
pub trait Repo: Send + Sync + 'static {
    /// Asks the server which commit the ref points at. One small request, nothing is fetched.
    fn tip(&self) -> impl Future<Output = Result<Revision, RepoError>> + Send;

    /// Makes the commit's objects readable here. Does nothing when they already are.
    fn fetch(&self, revision: &Revision) -> impl Future<Output = Result<CommitInfo, RepoError>> + Send;

    /// Checks that a fetched commit is signed by somebody who may sign, where that is asked for.
    fn verify(&self, revision: &Revision) -> impl Future<Output = Result<(), RepoError>> + Send;

    /// Tells how a fetched commit stands to an earlier one, which need not be here. May fetch what lies between.
    fn lineage(
        &self,
        revision: &Revision,
        earlier: &Revision,
    ) -> impl Future<Output = Result<Lineage, RepoError>> + Send;

    /// Reads regular files of a fetched commit. One answer a path, in their order; `None` where there is no such file.
    fn read(
        &self,
        revision: &Revision,
        paths: Vec<String>,
    ) -> impl Future<Output = Result<Vec<Option<Vec<u8>>>, RepoError>> + Send;
}
