//! Whether Kubernetes would take an object: what a kube-apiserver says no to, said before anything is committed.
//!
//! [`Cluster::check`] holds an object of Kubernetes' own kinds to the version that its environment runs: whether that version has the kind,
//! whether it has the fields and what may stand in them ([`schema`]), and the rules that an API server has beyond ([`rules`]). A custom
//! kind is held to its definition, by [`Definitions`], which are known only when everything has been rendered. Knows no template and no
//! file. What it takes for wrong and for right is held against recorded answers of a real kube-apiserver (`tests/validation`).
//!
//! Invariant: what comes of a kind of Kubernetes' own depends on the object and the [`Cluster`] alone. A message names fields and kinds, never
//! an object or a value, so that what is wrong in a thousand releases of a chart is one message; the exceptions are words out of a list.

mod definitions;
mod names;
mod part;
mod problems;
mod rules;

use manifest::object::{Manifest, group_of};
use schema::check::Origin;
use schema::{Minor, NEWEST, OLDEST, lifecycle, table};

use crate::diagnostic::{Diagnostic, Severity, suggest};
use crate::settings::{Lints, Settings};

pub use definitions::{Definitions, FOLDER, KIND as DEFINITION, files as definition_files, in_tree as definitions_in};

/// What an environment runs, as far as objects are held to it.
#[derive(Debug, Clone)]
pub struct Cluster {
    minor: Minor,
    /// API versions that it serves besides Kubernetes' own: `group/version` or `group/version/Kind`.
    served: Vec<String>,
    lints: Lints,
}

/// One thing that is wrong with an object.
#[derive(Debug, Clone)]
pub struct Finding {
    /// JSON pointer of the part that is wrong, or of what it is missing in.
    pub pointer: String,
    /// Which end of that part is to be shown.
    pub end: End,
    /// What is wrong, without a place.
    pub diagnostic: Diagnostic,
}

/// The two ends of a part of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its key.
    Key,
    /// Its value.
    Value,
}

/// What came of looking at an object.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Whether it is of a kind that is not Kubernetes' own, and so up to [`Definitions`].
    pub is_custom: bool,
}

impl Cluster {
    /// Returns the cluster of an environment.
    pub fn of(settings: &Settings, environment: &str) -> Cluster {
        let capabilities = settings.capabilities(environment);
        // Another major version than 1 does not exist.
        let minor = Minor::parse(&capabilities.kube_version).unwrap_or(NEWEST);
        Cluster { minor, served: capabilities.api_versions, lints: settings.lints }
    }

    /// Says what is wrong with an object, unless its kind is custom.
    pub fn check(&self, manifest: &Manifest) -> Checked {
        let mut checked = self.look(manifest);
        self.settle(&mut checked.findings);
        checked
    }

    /// Takes what a cluster would refuse as it is to be taken.
    fn settle(&self, findings: &mut Vec<Finding>) {
        let severity = self.lints.invalid_manifest.severity();
        findings.retain(|finding| !finding.is_error() || severity.is_some());
        for finding in findings.iter_mut().filter(|finding| finding.is_error()) {
            finding.diagnostic.severity = severity.unwrap_or(Severity::Error);
        }
    }

    fn look(&self, manifest: &Manifest) -> Checked {
        let (api_version, kind) = (manifest.api_version.as_str(), manifest.id.kind.as_str());
        let mut findings = Vec::new();
        if let Some(gone) = self.lifecycle(api_version, kind, &mut findings) {
            return Checked { findings: vec![gone], is_custom: false };
        }
        let Some(known) = table::kind(self.minor, api_version, kind) else {
            let is_custom = !table::is_own_group(group_of(api_version));
            if !is_custom {
                findings.push(self.no_such_kind(api_version, kind));
            }
            return Checked { findings, is_custom };
        };
        let shape = table::shape(self.minor, known.of);
        let wrong = schema::check::check(&shape.schema, shape.root, &manifest.value, Origin::BuiltIn);
        findings.extend(wrong.into_iter().map(|problem| problems::finding(problem, &manifest.value)));
        rules::check(manifest, &mut findings);
        Checked { findings, is_custom: false }
    }

    /// Returns what to say about an API version that is gone; one that will be is added to `findings`.
    fn lifecycle(&self, api_version: &str, kind: &str, findings: &mut Vec<Finding>) -> Option<Finding> {
        let fate = lifecycle::fate(api_version, kind)?;
        let is_version = fate.instead.contains('/') && !fate.instead.contains(' ');
        let hint = if is_version {
            // What takes its place in the end may not be there yet.
            let is_there = table::kind(self.minor, fate.instead, kind).is_some();
            let here = table::api_versions(self.minor, group_of(fate.instead), kind);
            let other = here.into_iter().find(|other| !is_there && *other != api_version);
            let instead = other.unwrap_or(fate.instead);
            format!("write `apiVersion: {instead}`, and look at what else changed with it")
        } else {
            format!("use {}", fate.instead)
        };
        let at = |diagnostic: Diagnostic| Finding {
            pointer: "/apiVersion".to_owned(),
            end: End::Key,
            diagnostic: diagnostic.hint(hint.clone()),
        };
        if let Some(removed) = fate.removed.filter(|removed| *removed <= self.minor) {
            let message =
                format!("Kubernetes {} has no {kind} in `{api_version}`: version {removed} removed it", self.minor);
            return Some(at(Diagnostic::error("removed-api", message)));
        }
        if let Some(severity) = self.lints.deprecated_api.severity().filter(|_| fate.deprecated <= self.minor) {
            let until = fate.removed.map(|removed| format!(", and {removed} removes it")).unwrap_or_default();
            let message =
                format!("{kind} in `{api_version}` is deprecated since Kubernetes {}{until}", fate.deprecated);
            findings.push(at(Diagnostic { severity, ..Diagnostic::warning("deprecated-api", message) }));
        }
        None
    }

    /// Says that a group of Kubernetes' own does not have a kind.
    fn no_such_kind(&self, api_version: &str, kind: &str) -> Finding {
        let minor = self.minor;
        let here = table::api_versions(minor, group_of(api_version), kind);
        let since = || (OLDEST.0..=NEWEST.0).map(Minor).find(|other| table::kind(*other, api_version, kind).is_some());
        let (hint, is_about_kind) = if let Some(other) = here.first() {
            (Some(format!("write `apiVersion: {other}`")), false)
        } else if let Some(first) = since() {
            let when = if first > minor { format!("since {first}") } else { "in other versions".to_owned() };
            (
                Some(format!("Kubernetes has it {when}; `kubernetesVersion` in generator.yaml says which one runs")),
                false,
            )
        } else if let Some(other) = table::api_versions_of_kind(minor, kind).next() {
            (Some(format!("write `apiVersion: {other}`")), false)
        } else {
            let near = suggest(kind, table::kind_names(minor, api_version));
            let near = near.or_else(|| suggest(kind, table::kind_names(minor, "")));
            (near.map(|near| format!("did you mean `{near}`?")), true)
        };
        let message = format!("Kubernetes {minor} has no {kind} in `{api_version}`");
        let diagnostic = Diagnostic::error("unknown-kind", message);
        Finding {
            pointer: if is_about_kind { "/kind" } else { "/apiVersion" }.to_owned(),
            end: End::Key,
            diagnostic: match hint {
                Some(hint) => diagnostic.hint(hint),
                None => diagnostic,
            },
        }
    }

    /// Returns that the kind of an object is defined nowhere, unless the cluster is said to serve it or nobody wants to know.
    pub fn no_definition(&self, manifest: &Manifest) -> Option<Diagnostic> {
        let (api_version, kind) = (manifest.api_version.as_str(), manifest.id.kind.as_str());
        let severity = self.lints.unknown_kind.severity()?;
        let with_kind = format!("{api_version}/{kind}");
        if self.served.iter().any(|served| served == api_version || *served == with_kind) {
            return None;
        }
        let hint = match table::api_versions_of_kind(self.minor, kind).next() {
            Some(own) => format!("did you mean `apiVersion: {own}`?"),
            None => format!(
                "put its CustomResourceDefinition into {FOLDER}/, or name `{with_kind}` in `apiVersions` in generator.yaml"
            ),
        };
        let message = format!("nothing here defines {kind} in `{api_version}`: its fields are not checked");
        Some(Diagnostic { severity, ..Diagnostic::warning("unknown-kind", message) }.hint(hint))
    }
}

impl Finding {
    /// Whether it keeps `_gen` from being written.
    pub fn is_error(&self) -> bool {
        self.diagnostic.severity == Severity::Error
    }
}
