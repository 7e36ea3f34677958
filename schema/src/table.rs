//! Answers which kinds a version of Kubernetes has, and where their shape is written.
//!
//! The data is `data/kinds.txt` and `data/types.txt`, recorded by `conformance/shapes` from what each release publishes. Only lines
//! that are asked for are read further than their name. Invariant: what is not between [`OLDEST`] and [`NEWEST`] is answered as the
//! nearest of the two, and [`Minor::is_recorded`] says so.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};

use super::{Schema, Shape, notation};

/// The oldest minor version whose kinds are known.
pub const OLDEST: Minor = Minor(29);
/// The newest minor version whose kinds are known.
pub const NEWEST: Minor = Minor(37);

const VERSIONS: usize = (NEWEST.0 - OLDEST.0 + 1) as usize;
const KINDS: &str = include_str!("../data/kinds.txt");
const TYPES: &str = include_str!("../data/types.txt");

/// A minor version of Kubernetes 1: 35 of 1.35.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Minor(pub u16);

impl fmt::Display for Minor {
    /// `1.35`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.0)
    }
}

impl Minor {
    /// Reads `v1.35.4`, `1.35` and the like; nothing for another major version.
    pub fn parse(version: &str) -> Option<Minor> {
        let rest = version.strip_prefix('v').unwrap_or(version).strip_prefix("1.")?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok().map(Minor)
    }

    /// Whether the kinds of this very version are known.
    pub fn is_recorded(self) -> bool {
        (OLDEST..=NEWEST).contains(&self)
    }

    fn nearest(self) -> Minor {
        self.clamp(OLDEST, NEWEST)
    }

    fn index(self) -> usize {
        usize::from(self.nearest().0 - OLDEST.0)
    }
}

/// A built-in kind in one version of its API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Whether its objects live in a namespace.
    pub namespaced: bool,
    /// Name of its type, such as `apps.v1.Deployment`.
    pub of: &'static str,
}

/// Returns a kind as this version of Kubernetes has it; nothing where it does not.
pub fn kind(minor: Minor, api_version: &str, kind: &str) -> Option<Kind> {
    let kinds = kinds(minor);
    let at = kinds.binary_search_by(|row| (row.api_version, row.kind).cmp(&(api_version, kind))).ok()?;
    Some(kinds[at].is)
}

/// Lists the API versions in which this version of Kubernetes has a kind, stable ones first.
pub fn api_versions(minor: Minor, group: &str, kind: &str) -> Vec<&'static str> {
    let rows = kinds(minor).iter().filter(|row| row.kind == kind && group_of(row.api_version) == group);
    let mut found: Vec<&str> = rows.map(|row| row.api_version).collect();
    found.sort_by_key(|api_version| (api_version.contains("alpha"), api_version.contains("beta")));
    found
}

/// Lists all kinds of an API version in this version of Kubernetes, or of all where `api_version` is empty.
pub fn kind_names(minor: Minor, api_version: &str) -> impl Iterator<Item = &'static str> {
    kinds(minor).iter().filter(move |row| api_version.is_empty() || row.api_version == api_version).map(|row| row.kind)
}

/// Lists the API versions that this version of Kubernetes has for a kind of any group.
pub fn api_versions_of_kind(minor: Minor, kind: &str) -> impl Iterator<Item = &'static str> {
    kinds(minor).iter().filter(move |row| row.kind == kind).map(|row| row.api_version)
}

/// Whether a group is Kubernetes' own in any version: its kinds are all known, so a kind that is not does not exist.
pub fn is_own_group(group: &str) -> bool {
    // `apiextensions.k8s.io` and the like; groups below `k8s.io` that are no part of Kubernetes exist, too.
    const FORMER: [&str; 1] = ["extensions"];
    FORMER.contains(&group)
        || rows(KINDS).any(|(_, rest)| group_of(rest.split(' ').next().unwrap_or_default()) == group)
}

/// Returns the shape of a type and all it refers to, read once.
///
/// # Panics
/// Never for a type that [`kind`] named.
pub fn shape(minor: Minor, of: &str) -> Arc<Shape> {
    static READ: Mutex<BTreeMap<(Minor, String), Arc<Shape>>> = Mutex::new(BTreeMap::new());
    let key = (minor.nearest(), of.to_owned());
    let mut read = READ.lock().expect("no code panics while it holds the lock");
    let shape = read.entry(key).or_insert_with(|| {
        let schema = notation::read(types(minor), &[of]).expect("the recorded table is ours");
        let root = schema.named(of).expect("asked for");
        Arc::new(Shape { schema, root })
    });
    Arc::clone(shape)
}

/// Returns all types of a version of Kubernetes, read once.
pub fn all(minor: Minor) -> Arc<Schema> {
    static READ: [OnceLock<Arc<Schema>>; VERSIONS] = [const { OnceLock::new() }; VERSIONS];
    let schema = READ[minor.index()].get_or_init(|| {
        let types = types(minor);
        let names: Vec<&str> = types.iter().map(|line| line.name).collect();
        Arc::new(notation::read(types, &names).expect("the recorded table is ours"))
    });
    Arc::clone(schema)
}

struct Row {
    api_version: &'static str,
    kind: &'static str,
    is: Kind,
}

fn group_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// Splits the lines of a file into their range of versions and the rest.
fn rows(text: &'static str) -> impl Iterator<Item = ((u16, u16), &'static str)> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (first, last) = range.split_once('-')?;
        Some(((first.parse().ok()?, last.parse().ok()?), rest))
    })
}

fn rows_of(text: &'static str, minor: Minor) -> impl Iterator<Item = &'static str> {
    let minor = minor.nearest().0;
    rows(text).filter(move |((first, last), _)| (*first..=*last).contains(&minor)).map(|(_, rest)| rest)
}

/// Sorted by API version and kind.
fn kinds(minor: Minor) -> &'static [Row] {
    static READ: [OnceLock<Vec<Row>>; VERSIONS] = [const { OnceLock::new() }; VERSIONS];
    READ[minor.index()].get_or_init(|| {
        let mut kinds: Vec<Row> = rows_of(KINDS, minor)
            .filter_map(|line| {
                let mut words = line.split(' ');
                let (api_version, kind, scope, of) = (words.next()?, words.next()?, words.next()?, words.next()?);
                Some(Row { api_version, kind, is: Kind { namespaced: scope == "namespaced", of } })
            })
            .collect();
        kinds.sort_by_key(|row| (row.api_version, row.kind));
        kinds
    })
}

/// Sorted by name.
fn types(minor: Minor) -> &'static [notation::Line<'static>] {
    static READ: [OnceLock<Vec<notation::Line<'static>>>; VERSIONS] = [const { OnceLock::new() }; VERSIONS];
    READ[minor.index()].get_or_init(|| {
        let mut lines: Vec<_> = rows_of(TYPES, minor).map(notation::Line::new).collect();
        lines.sort_by_key(|line| line.name);
        lines
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_every_version_can_be_read() {
        for minor in OLDEST.0..=NEWEST.0 {
            let minor = Minor(minor);
            let schema = all(minor);
            assert!(kinds(minor).len() > 60, "{minor}");
            for row in kinds(minor) {
                assert!(schema.named(row.is.of).is_some(), "{minor}: {}", row.is.of);
            }
        }
    }

    #[test]
    fn versions_are_read_in_every_spelling() {
        assert_eq!(Minor::parse("v1.35.4"), Some(Minor(35)));
        assert_eq!(Minor::parse("1.35"), Some(Minor(35)));
        assert_eq!(Minor::parse("v1.31-gke.2"), Some(Minor(31)));
        assert_eq!(Minor::parse("2.1"), None);
        assert!(!Minor(28).is_recorded());
    }

    #[test]
    fn a_kind_is_known_in_the_versions_that_have_it() {
        assert_eq!(kind(Minor(33), "apps/v1", "Deployment"), Some(Kind { namespaced: true, of: "apps.v1.Deployment" }));
        assert_eq!(kind(Minor(33), "resource.k8s.io/v1", "ResourceClaim"), None);
        assert!(kind(Minor(34), "resource.k8s.io/v1", "ResourceClaim").is_some());
        assert_eq!(
            api_versions(Minor(31), "flowcontrol.apiserver.k8s.io", "FlowSchema"),
            ["flowcontrol.apiserver.k8s.io/v1", "flowcontrol.apiserver.k8s.io/v1beta3"]
        );
        assert!(is_own_group("apps") && is_own_group("") && !is_own_group("monitoring.coreos.com"));
    }
}
