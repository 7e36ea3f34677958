//! The log of requests, so that a test can say: exactly these and nothing else.
//!
//! Knows what was asked and answered, never a body. Invariant: requests are in the order in which they were answered, and the log never
//! grows beyond [`ENTRIES_MAX`]: the oldest go first and are counted.

use std::collections::VecDeque;
use std::fmt;

/// Requests that are kept.
pub const ENTRIES_MAX: usize = 100_000;

/// What a request asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// One object, or discovery.
    Get,
    /// A collection.
    List,
    /// Changes.
    Watch,
    /// A new object.
    Create,
    /// An object in place of another.
    Update,
    /// Server-side apply.
    Apply,
    /// Any other patch.
    Patch,
    /// Removal of one object.
    Delete,
    /// Removal of a collection.
    DeleteCollection,
}

/// One answered request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What was asked for.
    pub verb: Verb,
    /// API group; empty for the core group and for paths that mean no objects.
    pub group: String,
    /// The plural; the path where it means no objects.
    pub resource: String,
    /// Namespace; empty for none.
    pub namespace: String,
    /// Name; empty for a collection.
    pub name: String,
    /// Subresource; empty for the object itself.
    pub subresource: String,
    /// Field manager of a write; else the user agent's first word.
    pub manager: String,
    /// The whole user agent.
    pub user_agent: String,
    /// Whether nothing was to be stored.
    pub dry_run: bool,
    /// Status code of the answer.
    pub code: u16,
}

/// The requests of a cluster.
#[derive(Debug, Default)]
pub struct Log {
    entries: VecDeque<Entry>,
    dropped: u64,
}

impl Verb {
    /// Returns the verb as authorization rules name it; apply is a `patch`.
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Apply | Verb::Patch => "patch",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
        }
    }

    /// Whether the request may change something.
    pub fn is_write(self) -> bool {
        !matches!(self, Verb::Get | Verb::List | Verb::Watch)
    }
}

impl fmt::Display for Entry {
    /// Writes one line: `apply deployments.apps team/web 200`, with the subresource and `(dry run)` where there is one.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.verb == Verb::Apply { "apply" } else { self.verb.as_str() };
        write!(formatter, "{verb} {}", self.resource)?;
        if !self.group.is_empty() {
            write!(formatter, ".{}", self.group)?;
        }
        match (self.namespace.as_str(), self.name.as_str()) {
            ("", "") => {}
            ("", name) => write!(formatter, " {name}")?,
            (namespace, "") => write!(formatter, " {namespace}/")?,
            (namespace, name) => write!(formatter, " {namespace}/{name}")?,
        }
        if !self.subresource.is_empty() {
            write!(formatter, " {}", self.subresource)?;
        }
        if self.dry_run {
            formatter.write_str(" (dry run)")?;
        }
        write!(formatter, " {}", self.code)
    }
}

impl Log {
    /// Adds an answered request.
    pub fn add(&mut self, entry: Entry) {
        if self.entries.len() == ENTRIES_MAX {
            self.entries.pop_front();
            self.dropped += 1;
        }
        self.entries.push_back(entry);
    }

    /// Lists the requests that are kept, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Returns how many requests were dropped for lack of room since the last [`Log::clear`].
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Forgets all requests.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.dropped = 0;
    }
}
