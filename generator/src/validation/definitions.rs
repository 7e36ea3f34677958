//! Custom kinds, as CustomResourceDefinitions define them.
//!
//! The definitions of an environment are all that it renders, and after them those that stand in the tree without being rendered there.
//! A schema is read when the first object asks for it. Invariant: a definition that cannot be read defines nothing; what is wrong with it
//! is said where it stands, as an object of its own.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use manifest::object::{Manifest, flatten, group_of};
use manifest::yaml::{self, DuplicateKeys};
use schema::Shape;
use schema::check::Origin;
use serde_json::Value;

use super::{Cluster, End, Finding, names, problems};
use crate::diagnostic::{Diagnostic, Severity};
use crate::source::SourceTree;

/// Folder of the charts of a repository.
const CHARTS: &str = "charts";
/// Kind of the objects that define kinds.
pub const KIND: &str = "CustomResourceDefinition";

/// Folder of definitions that are not rendered: their kinds are in the cluster by other ways.
pub const FOLDER: &str = "crds";

/// Returns the definitions of a repository that stand in files: those in [`FOLDER`], and those below `crds/` of all charts, used or not.
/// What cannot be read is passed over: where it is rendered, that is said there.
pub fn in_tree(tree: &SourceTree) -> Vec<Value> {
    let settings = yaml::Settings { duplicate_keys: DuplicateKeys::LastWins, ..yaml::Settings::default() };
    files(tree)
        .map(|(_, content)| content)
        .filter_map(|content| yaml::read(std::str::from_utf8(content).ok()?, &settings).ok())
        .flatten()
        .flat_map(|document| flatten(document.value))
        .filter(|value| value.get("kind").and_then(Value::as_str) == Some(KIND))
        .collect()
}

/// Iterates over the files that [`in_tree`] reads: paths and contents.
pub fn files(tree: &SourceTree) -> impl Iterator<Item = (&str, &[u8])> {
    let is_definition = |path: &str| path.split('/').rev().skip(1).any(|folder| folder == FOLDER);
    tree.below(FOLDER).chain(tree.below(CHARTS).filter(move |(path, _)| is_definition(path)))
}

/// The custom kinds of an environment.
#[derive(Debug, Default)]
pub struct Definitions<'d> {
    /// By group, then kind.
    kinds: BTreeMap<&'d str, BTreeMap<&'d str, Definition<'d>>>,
}

#[derive(Debug)]
struct Definition<'d> {
    is_namespaced: bool,
    versions: Vec<Version<'d>>,
}

#[derive(Debug)]
struct Version<'d> {
    name: &'d str,
    is_served: bool,
    /// What its author says about its end; nothing where it is not deprecated.
    deprecated: Option<&'d str>,
    schema: Option<&'d Value>,
    shape: OnceLock<Shape>,
}

impl<'d> Definitions<'d> {
    /// Adds what an object defines, unless that is defined already.
    pub fn add(&mut self, definition: &'d Value) {
        let text = |pointer: &str| definition.pointer(pointer).and_then(Value::as_str);
        let (Some(group), Some(kind)) = (text("/spec/group"), text("/spec/names/kind")) else { return };
        let versions = definition.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten();
        let versions = versions.filter_map(|version| {
            let is_deprecated = version.get("deprecated").and_then(Value::as_bool) == Some(true);
            let warning = version.get("deprecationWarning").and_then(Value::as_str).unwrap_or_default();
            Some(Version {
                name: version.get("name")?.as_str()?,
                is_served: version.get("served").and_then(Value::as_bool) == Some(true),
                deprecated: is_deprecated.then_some(warning),
                schema: version.pointer("/schema/openAPIV3Schema"),
                shape: OnceLock::new(),
            })
        });
        let is_namespaced = text("/spec/scope") != Some("Cluster");
        let definition = Definition { is_namespaced, versions: versions.collect() };
        self.kinds.entry(group).or_default().entry(kind).or_insert(definition);
    }

    /// Says what is wrong with an object of a custom kind; nothing where no definition is known.
    pub fn check(&self, manifest: &Manifest, cluster: &Cluster) -> Option<Vec<Finding>> {
        let definition = self.of(manifest)?;
        let mut findings = definition.check(manifest, cluster);
        cluster.settle(&mut findings);
        Some(findings)
    }

    /// Whether a definition of the kind of an object is known.
    pub fn knows(&self, manifest: &Manifest) -> bool {
        self.of(manifest).is_some()
    }

    fn of(&self, manifest: &Manifest) -> Option<&Definition<'d>> {
        self.kinds.get(manifest.id.group.as_str())?.get(manifest.id.kind.as_str())
    }
}

impl Definition<'_> {
    fn check(&self, manifest: &Manifest, cluster: &Cluster) -> Vec<Finding> {
        let (api_version, kind) = (manifest.api_version.as_str(), manifest.id.kind.as_str());
        let group = group_of(api_version);
        let name = api_version.rsplit('/').next().unwrap_or_default();
        let Some(version) = self.versions.iter().find(|version| version.name == name && version.is_served) else {
            return vec![self.no_such_version(api_version, kind, group)];
        };
        let mut findings = Vec::new();
        if let (Some(said), Some(severity)) = (version.deprecated, cluster.lints.deprecated_api.severity()) {
            let said = if said.is_empty() { String::new() } else { format!(": {said}") };
            let message = format!("{kind} in `{api_version}` is deprecated by its definition{said}");
            findings.push(at_version(Diagnostic { severity, ..Diagnostic::warning("deprecated-api", message) }));
        }
        if self.is_namespaced == manifest.id.namespace.is_empty() {
            findings.push(misplaced(self.is_namespaced, kind));
        }
        let shape = version.shape.get_or_init(|| {
            let (schema, root) = schema::custom(version.schema);
            Shape { schema, root }
        });
        let wrong = schema::check::check(&shape.schema, shape.root, &manifest.value, Origin::Custom);
        findings.extend(wrong.into_iter().map(|problem| problems::finding(problem, &manifest.value)));
        names::metadata(manifest, &mut findings);
        findings
    }

    fn no_such_version(&self, api_version: &str, kind: &str, group: &str) -> Finding {
        let served: Vec<String> = self
            .versions
            .iter()
            .filter(|version| version.is_served)
            .map(|version| format!("{group}/{}", version.name))
            .collect();
        let message = format!("the definition of {kind} does not serve `{api_version}`");
        let diagnostic = Diagnostic::error("unknown-kind", message);
        at_version(match served.is_empty() {
            true => diagnostic,
            false => diagnostic.hint(format!("it serves {}", served.join(", "))),
        })
    }
}

fn at_version(diagnostic: Diagnostic) -> Finding {
    Finding { pointer: "/apiVersion".to_owned(), end: End::Key, diagnostic }
}

/// The scope of a kind whose definition is in another release was not known when its namespace was settled.
fn misplaced(is_namespaced: bool, kind: &str) -> Finding {
    let (message, pointer, hint) = if is_namespaced {
        (
            format!("{kind} lives in a namespace, and `metadata.namespace` is missing"),
            "/metadata",
            "name one in the template",
        )
    } else {
        (format!("{kind} is not in any namespace, but `metadata.namespace` is set"), "/metadata/namespace", "remove it")
    };
    let diagnostic = Diagnostic { severity: Severity::Error, ..Diagnostic::error("bad-namespace", message) };
    Finding { pointer: pointer.to_owned(), end: End::Key, diagnostic: diagnostic.hint(hint) }
}
