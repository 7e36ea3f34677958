//! What can be set, and what it is when nobody sets it.
//!
//! Plain values, checked where they are read ([`crate::cycle`] trusts them). Knows no command line, file or environment variable:
//! those are turned into [`Settings`] at the edge. Invariant: two cycles over the same world with the same settings do the same.

use std::collections::BTreeSet;
use std::time::Duration;

use manifest::index::DriftPolicy;

use crate::cluster::GroupKind;
use crate::repo::Revision;
use crate::rules::Rules;

/// Everything that a cycle can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Environment to keep; a DNS label. The folder of `_gen`, and the value of the owner label.
    pub environment: String,
    /// Namespace of `syncd`'s own state and, by assumption, of `syncd` itself.
    pub namespace: String,
    /// Time between two full syncs, each of which applies every object again. Zero: every cycle is one.
    pub full_sync_interval: Duration,
    /// Requests in flight at the same time, watches not counted; at least 1.
    pub concurrency: usize,
    /// Bounds on what the repository may hold.
    pub limits: Limits,
    /// Where the ref may move.
    pub history: History,
    /// How many deletions one revision may ask for.
    pub fuse: Fuse,
    /// Kinds whose objects are deleted only if that was approved.
    pub protected: BTreeSet<GroupKind>,
    /// Whether a process that was here before may have left requests that arrive yet: what it wrote ahead is then kept for a minute, although
    /// it is not there.
    pub expects_late_requests: bool,
    /// Tools whose objects are taken over without asking ([`crate::adoption::TOOLS`]).
    pub adopt: BTreeSet<String>,
    /// When to try again.
    pub retry: Retry,
    /// How custom kinds say that they are ready.
    pub rules: Rules,
    /// What is done about changes that others make to what was applied, where a service says nothing of it.
    pub drift: DriftPolicy,
}

/// Bounds on what the repository may hold, checked before anything is parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of `index.json`.
    pub index_bytes: usize,
    /// Bytes of one `resources.yaml`.
    pub resources_bytes: usize,
    /// Objects of one service.
    pub objects: usize,
    /// Nesting of one manifest.
    pub depth: usize,
    /// Bytes of one ConfigMap of state; a larger record is split. The API server stops at 1 MiB, etcd grows slow long before.
    pub state_bytes: usize,
}

/// Where the ref may move from the revision in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum History {
    /// To commits that descend from it, and to those that somebody named.
    Descendants {
        /// Revisions that are accepted wherever they come from.
        accepted: BTreeSet<Revision>,
    },
    /// Anywhere.
    Any,
}

impl History {
    /// Tells whether a revision has to descend from the one in force.
    pub fn binds(&self, revision: &Revision) -> bool {
        match self {
            History::Descendants { accepted } => !accepted.contains(revision),
            History::Any => false,
        }
    }
}

impl Default for History {
    fn default() -> Self {
        History::Descendants { accepted: BTreeSet::new() }
    }
}

/// How many deletions are let through without asking: the larger of the two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fuse {
    /// Objects.
    pub objects: usize,
    /// Percent of the objects that the environment holds.
    pub percent: usize,
}

/// When to try again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Tries of one request in one cycle when the server is busy or somebody else was faster; at least 1.
    pub tries: u32,
    /// Pause before the second try of a request; doubled for each further one.
    pub pause: Duration,
    /// Pause before a failed service is tried again; doubled for each further failure.
    pub service_first: Duration,
    /// Longest pause before a failed service is tried again.
    pub service_longest: Duration,
    /// Pause after a failure that only people can mend: a rejected manifest, a missing permission, a held deletion.
    pub service_permanent: Duration,
}

impl Settings {
    /// Returns the settings of an environment when nothing else is set.
    pub fn new(environment: &str, namespace: &str) -> Self {
        Settings {
            environment: environment.to_owned(),
            namespace: namespace.to_owned(),
            full_sync_interval: Duration::from_secs(12 * 60 * 60),
            concurrency: 32,
            expects_late_requests: true,
            limits: Limits::default(),
            history: History::default(),
            fuse: Fuse::default(),
            protected: protected_by_default(),
            adopt: BTreeSet::new(),
            retry: Retry::default(),
            rules: Rules::default(),
            drift: DriftPolicy::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits { index_bytes: 16 << 20, resources_bytes: 16 << 20, objects: 10_000, depth: 100, state_bytes: 200 << 10 }
    }
}

impl Default for Fuse {
    fn default() -> Self {
        Fuse { objects: 10, percent: 10 }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Retry {
            tries: 4,
            pause: Duration::from_millis(250),
            service_first: Duration::from_secs(15),
            service_longest: Duration::from_secs(5 * 60),
            service_permanent: Duration::from_secs(10 * 60),
        }
    }
}

impl Fuse {
    /// Returns how many deletions are let through in an environment that holds `held` objects.
    pub fn limit(&self, held: usize) -> usize {
        self.objects.max(held.saturating_mul(self.percent) / 100)
    }
}

/// Returns the kinds whose deletion takes more with it than the object itself: what is in a namespace, all instances of a
/// definition, the data of a volume.
pub fn protected_by_default() -> BTreeSet<GroupKind> {
    [
        ("", "Namespace"),
        ("", "PersistentVolume"),
        ("", "PersistentVolumeClaim"),
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ]
    .map(|(group, kind)| GroupKind::new(group, kind))
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fuse_is_the_larger_of_number_and_share() {
        let fuse = Fuse { objects: 10, percent: 10 };
        for (held, limit) in [(0, 10), (12, 10), (100, 10), (109, 10), (110, 11), (5000, 500)] {
            assert_eq!(fuse.limit(held), limit, "{held} held");
        }
    }
}
