//! `_gen/<env>/index.json`: what an environment consists of, by hash.
//!
//! One entry a service, sorted, one field a line, no time, no commit and no hash over the whole: two branches that change two different
//! services merge under plain git without a conflict. Whoever needs one hash for the environment computes it ([`Index::root`]).
//!
//! Knows no file system: texts in, texts out, and the paths under which they are kept. Invariant: `parse(to_json(i)) == i`, and
//! `to_json` gives the same bytes for the same index. A field that this version does not know is refused, because it could change what
//! the others mean; a change of meaning gets a new [`FORMAT`].

mod over;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use smol_str::SmolStr;

use crate::hash::Hash;
use crate::object::{DNS_LABEL_RULE, is_dns_label};

/// The format that this version reads and writes.
pub const FORMAT: u32 = 1;

/// Folder of everything generated, from the root of the repository.
pub const ROOT: &str = "_gen";

/// One environment: its services by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Name of the environment, a DNS label.
    pub environment: String,
    /// Services by name (DNS labels). May be empty: an environment from which everything was removed.
    pub services: BTreeMap<String, Entry>,
}

/// One service of one environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// BLAKE3-256 of `resources.yaml`.
    pub content: Hash,
    /// BLAKE3-256 over everything the render read.
    pub inputs: Hash,
    /// Number of objects in `resources.yaml`.
    pub objects: usize,
    /// How to sync it, where that is not the default.
    #[serde(default, skip_serializing_if = "Sync::is_default")]
    pub sync: Sync,
    /// The service's version.
    pub version: SmolStr,
    /// Name of the chart that rendered it. Last, because it hardly ever changes: a service that is added after this one puts a comma
    /// behind its entry, and git merges that with a change of the entry only where an unchanged line is between the two.
    pub chart: SmolStr,
}

/// How `syncd` is to treat a service: the effective `sync.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Sync {
    /// Services of the same environment that must be ready before this one is applied; sorted. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
    /// What is done about changes that others make to its objects. Default: what `syncd` was told at its start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftPolicy>,
    /// Failures of one pod - ends of a container, failed pulls, failed probes after their allowance - that are let pass. Default: 1.
    #[serde(skip_serializing_if = "is_default_failures")]
    pub failures_allowed: u32,
    /// How long nothing may happen to an object that is waited for, in seconds. Default: 240 for custom resources, as long as the whole
    /// wait for the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_activity_seconds: Option<u64>,
    /// What follows when it does not become ready. Default: `hold`.
    #[serde(skip_serializing_if = "OnFailure::is_default")]
    pub on_failure: OnFailure,
    /// Whether objects that are no longer generated are deleted. Default: true.
    #[serde(skip_serializing_if = "is_true")]
    pub prune: bool,
    /// How long to wait for readiness, in seconds. Default: 600.
    #[serde(skip_serializing_if = "is_default_timeout")]
    pub timeout_seconds: u64,
    /// How long a pod may find no node, in seconds. Default: 60.
    #[serde(skip_serializing_if = "is_default_unschedulable")]
    pub unschedulable_seconds: u64,
    /// Services of a lower wave are ready before this one is applied. Default: 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub wave: i32,
}

/// What is done about changes that others make to what was applied, between two full syncs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DriftPolicy {
    /// They are taken back at once.
    #[default]
    Correct,
    /// They are told.
    Report,
    /// Nobody looks.
    Ignore,
}

/// What follows when a service does not become ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnFailure {
    /// It stays as it is, and so do those that wait for it.
    #[default]
    Hold,
    /// What was ready last is applied again, and stays until the service's content changes.
    Rollback,
    /// It stays as it is; those that wait for it go on.
    Continue,
}

impl OnFailure {
    /// Tells whether nothing was set.
    pub fn is_default(&self) -> bool {
        *self == OnFailure::default()
    }
}

const TIMEOUT_SECONDS_DEFAULT: u64 = 600;
const FAILURES_ALLOWED_DEFAULT: u32 = 1;
const UNSCHEDULABLE_SECONDS_DEFAULT: u64 = 60;

impl Default for Sync {
    fn default() -> Self {
        Sync {
            depends_on: Vec::new(),
            drift: None,
            failures_allowed: FAILURES_ALLOWED_DEFAULT,
            no_activity_seconds: None,
            on_failure: OnFailure::default(),
            prune: true,
            timeout_seconds: TIMEOUT_SECONDS_DEFAULT,
            unschedulable_seconds: UNSCHEDULABLE_SECONDS_DEFAULT,
            wave: 0,
        }
    }
}

impl Sync {
    /// Tells whether nothing was set.
    pub fn is_default(&self) -> bool {
        *self == Sync::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_true(flag: &bool) -> bool {
    *flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_zero(wave: &i32) -> bool {
    *wave == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_default_timeout(seconds: &u64) -> bool {
    *seconds == TIMEOUT_SECONDS_DEFAULT
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_default_failures(failures: &u32) -> bool {
    *failures == FAILURES_ALLOWED_DEFAULT
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_default_unschedulable(seconds: &u64) -> bool {
    *seconds == UNSCHEDULABLE_SECONDS_DEFAULT
}

/// Why an index is not to be followed.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Not JSON, a missing or unknown field, a service named twice.
    #[error("not an index")]
    Syntax(#[source] serde_json::Error),
    /// Written by a version that means something else by its fields.
    #[error("index format {found} is unknown; this version reads format {FORMAT}")]
    Format {
        /// The format it names.
        found: u64,
    },
    /// The index of another environment.
    #[error("the index is of environment `{found}`, not of `{expected}`")]
    Environment {
        /// The environment it names.
        found: String,
        /// The environment that was asked for.
        expected: String,
    },
    /// A name that could not be a path or a label.
    #[error("`{name}` is not a valid service name: {DNS_LABEL_RULE}")]
    ServiceName {
        /// The name.
        name: String,
    },
}

impl Index {
    /// Reads the index of `environment`.
    ///
    /// # Errors
    /// See [`IndexError`]; on any of them the caller keeps what it had.
    pub fn parse(bytes: &[u8], environment: &str) -> Result<Self, IndexError> {
        #[derive(Deserialize)]
        struct Header {
            format: u64,
        }
        let read = serde_json::from_slice::<File>(bytes);
        // What is of another format is told so, whatever else it says; reading it twice is for that case alone.
        if !read.as_ref().is_ok_and(|file| file.format == FORMAT) {
            let header: Header = serde_json::from_slice(bytes).map_err(IndexError::Syntax)?;
            if header.format != u64::from(FORMAT) {
                return Err(IndexError::Format { found: header.format });
            }
        }
        let file = read.map_err(IndexError::Syntax)?;
        if file.environment != environment {
            return Err(IndexError::Environment { found: file.environment, expected: environment.to_owned() });
        }
        if let Some(name) = file.services.keys().find(|name| !is_dns_label(name)) {
            return Err(IndexError::ServiceName { name: name.clone() });
        }
        Ok(Index { environment: file.environment, services: file.services })
    }

    /// As [`Index::parse`], together with what [`Index::root`] says. Where another index of the environment is `known`, what did not change is
    /// taken over from that one.
    ///
    /// # Errors
    /// Those of [`Index::parse`].
    pub fn parse_over(bytes: &[u8], environment: &str, known: Option<&Index>) -> Result<(Self, Hash), IndexError> {
        if let Some(index) = known.and_then(|known| over::read(bytes, environment, known)) {
            return Ok((index, Hash::of(bytes)));
        }
        let index = Index::parse(bytes, environment)?;
        let root = index.root();
        Ok((index, root))
    }

    /// Returns the text of `index.json`.
    pub fn to_json(&self) -> String {
        let mut text = Vec::new();
        self.write(&mut text).expect("memory takes every byte");
        String::from_utf8(text).expect("JSON is UTF-8")
    }

    fn write(&self, mut out: impl Write) -> io::Result<()> {
        let Index { environment, services } = self;
        serde_json::to_writer_pretty(&mut out, &FileRef { environment, format: FORMAT, services })?;
        out.write_all(b"\n")
    }

    /// Returns the one hash of the environment, over every service and all that its entry says: what `b3sum` prints for the `index.json` that
    /// `generator` writes of it.
    pub fn root(&self) -> Hash {
        Hash::of_written(|out| self.write(out))
    }

    /// Returns every service that is in the index, or in another table by service, or in both, in order. Both are gone through once, and nothing
    /// is looked up.
    pub fn beside<'a, T>(
        &'a self,
        others: &'a BTreeMap<String, T>,
    ) -> impl Iterator<Item = (&'a String, Option<&'a Entry>, Option<&'a T>)> {
        let (mut entries, mut others) = (self.services.iter().peekable(), others.iter().peekable());
        std::iter::from_fn(move || {
            let order = match (entries.peek(), others.peek()) {
                (Some((indexed, _)), Some((other, _))) => indexed.cmp(other),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return None,
            };
            let entry = if order.is_le() { entries.next() } else { None };
            let other = if order.is_ge() { others.next() } else { None };
            let name = entry.map(|(name, _)| name).or(other.map(|(name, _)| name))?;
            Some((name, entry.map(|(_, entry)| entry), other.map(|(_, other)| other)))
        })
    }

    /// Returns the services of which this index and another one do not say the same, in order; what is in one of them only is among them.
    pub fn differing<'a>(&'a self, other: &'a Index) -> impl Iterator<Item = &'a String> {
        self.beside(&other.services).filter(|(_, this, that)| this != that).map(|(name, ..)| name)
    }

    /// Returns the path of an environment's index, from the root of the repository.
    pub fn path(environment: &str) -> String {
        format!("{ROOT}/{environment}/index.json")
    }

    /// Returns the path of a service's manifests, from the root of the repository.
    pub fn resources_path(environment: &str, service: &str) -> String {
        format!("{ROOT}/{environment}/{service}/resources.yaml")
    }
}

#[derive(Serialize)]
struct FileRef<'a> {
    environment: &'a String,
    format: u32,
    services: &'a BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    environment: String,
    format: u32,
    #[serde(deserialize_with = "unique")]
    services: BTreeMap<String, Entry>,
}

/// Reads a map and refuses a key that comes twice: the likely result of a bad merge.
fn unique<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Entry>, D::Error> {
    struct Unique;
    impl<'de> Visitor<'de> for Unique {
        type Value = BTreeMap<String, Entry>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("services by name")
        }

        fn visit_map<M: MapAccess<'de>>(self, mut access: M) -> Result<Self::Value, M::Error> {
            // They are sorted in what we write, and a map that is made of all of them at once is not searched for each.
            let mut services: Vec<(String, Entry)> = Vec::new();
            while let Some(service) = access.next_entry()? {
                services.push(service);
            }
            services.sort_by(|(one, _), (other, _)| one.cmp(other));
            let twice = services.windows(2).find(|pair| pair[0].0 == pair[1].0);
            if let Some([(name, _), _]) = twice {
                return Err(serde::de::Error::custom(format_args!("service `{name}` is listed twice")));
            }
            Ok(services.into_iter().collect())
        }
    }
    deserializer.deserialize_map(Unique)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Index {
        let entry = |version: &str, sync: Sync| Entry {
            chart: "generic".into(),
            content: Hash::of(version.as_bytes()),
            inputs: Hash::of(b"inputs"),
            objects: 6,
            sync,
            version: version.into(),
        };
        let late = Sync { wave: 1, depends_on: vec!["app1".to_owned()], ..Sync::default() };
        let services = [("app1", entry("1.0", Sync::default())), ("app2", entry("2.0", late))];
        Index {
            environment: "staging".to_owned(),
            services: services.map(|(name, entry)| (name.to_owned(), entry)).into(),
        }
    }

    #[test]
    fn one_field_a_line_and_nothing_that_is_the_default() {
        let hash = |text: &str| Hash::of(text.as_bytes());
        let expected = format!(
            r#"{{
  "environment": "staging",
  "format": 1,
  "services": {{
    "app1": {{
      "content": "{}",
      "inputs": "{}",
      "objects": 6,
      "version": "1.0",
      "chart": "generic"
    }},
    "app2": {{
      "content": "{}",
      "inputs": "{}",
      "objects": 6,
      "sync": {{
        "dependsOn": [
          "app1"
        ],
        "wave": 1
      }},
      "version": "2.0",
      "chart": "generic"
    }}
  }}
}}
"#,
            hash("1.0"),
            hash("inputs"),
            hash("2.0"),
            hash("inputs"),
        );
        assert_eq!(example().to_json(), expected);
    }

    #[test]
    fn reading_back_gives_the_same() {
        let index = example();
        assert_eq!(Index::parse(index.to_json().as_bytes(), "staging").expect("valid"), index);
        let empty = Index { environment: "staging".to_owned(), services: BTreeMap::new() };
        assert_eq!(Index::parse(empty.to_json().as_bytes(), "staging").expect("valid"), empty);
        assert_ne!(index.root(), empty.root());
    }

    #[test]
    fn what_differs_is_named_once_and_in_order() {
        let index = |services: &[(&str, &str)]| {
            let mut index = example();
            let entry = index.services.remove("app1").expect("there");
            let entry = |version: &str| Entry { version: version.into(), ..entry.clone() };
            index.services = services.iter().map(|(name, version)| ((*name).to_owned(), entry(version))).collect();
            index
        };
        let (one, other) = (
            index(&[("a", "1"), ("b", "1"), ("d", "1"), ("e", "1")]),
            index(&[("b", "1"), ("c", "1"), ("d", "2"), ("f", "1"), ("g", "1")]),
        );
        let expected = ["a", "c", "d", "e", "f", "g"];
        assert!(one.differing(&other).eq(&expected) && other.differing(&one).eq(&expected));
        assert_eq!(one.differing(&one.clone()).count() + one.differing(&one).count(), 0);
    }

    #[test]
    fn how_to_wait_is_written_where_it_is_not_the_default() {
        let sync = Sync {
            drift: Some(DriftPolicy::Report),
            failures_allowed: 3,
            no_activity_seconds: Some(90),
            on_failure: OnFailure::Rollback,
            unschedulable_seconds: 300,
            ..Sync::default()
        };
        let text = serde_json::to_string(&sync).expect("a sync has string keys only");
        let expected = r#"{"drift":"report","failuresAllowed":3,"noActivitySeconds":90,"onFailure":"rollback","unschedulableSeconds":300}"#;
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<Sync>(&text).expect("valid"), sync);
        assert_eq!(serde_json::from_str::<Sync>("{}").expect("valid"), Sync::default());
    }

    #[test]
    fn the_root_depends_on_every_field() {
        let root = example().root();
        let changed = |change: fn(&mut Entry)| {
            let mut index = example();
            change(index.services.get_mut("app1").expect("there"));
            index.root()
        };
        let changes: [fn(&mut Entry); 5] = [
            |entry| entry.content = Hash::of(b"x"),
            |entry| entry.version = "x".into(),
            |entry| entry.sync.prune = false,
            |entry| entry.sync.drift = Some(DriftPolicy::Correct),
            |entry| entry.objects = 7,
        ];
        for change in changes {
            assert_ne!(changed(change), root);
        }
    }

    #[test]
    fn what_cannot_be_trusted_is_refused() {
        let refuse = |text: &str| {
            let error = Index::parse(text.as_bytes(), "staging").expect_err("refused");
            let source = std::error::Error::source(&error).map(|s| format!(": {s}")).unwrap_or_default();
            format!("{error}{source}")
        };
        let good = example().to_json();
        assert_eq!(
            refuse(&good.replace("\"staging\"", "\"production\"")),
            "the index is of environment `production`, not of `staging`"
        );
        assert_eq!(
            refuse(&good.replace("\"format\": 1", "\"format\": 2")),
            "index format 2 is unknown; this version reads format 1"
        );
        assert!(refuse(&good.replace("\"objects\"", "\"things\"")).contains("unknown field `things`"));
        assert!(refuse(&good.replace("app2\": {", "app1\": {")).contains("service `app1` is listed twice"));
        assert!(refuse(&good.replace("\"app2\": {", "\"../x\": {")).starts_with("`../x` is not a valid service name"));
        for text in ["", "{}", "[]", "null"] {
            assert!(refuse(text).starts_with("not an index"), "{text}");
        }
    }
}
