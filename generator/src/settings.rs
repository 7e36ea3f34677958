//! `generator.yaml`: what holds for the whole repository.
//!
//! Says which environments there are, which Kubernetes each of them runs, and what is allowed to be committed. Knows no service and no
//! chart. Invariant: a repository without the file, and one with an empty file, are treated the same.
//!
//! ```yaml
//! kubernetesVersion: "1.33"            # of every environment that does not say otherwise
//! apiVersions: [monitoring.coreos.com/v1]
//! allowPlaintextSecrets: false
//! lints:                               # allow, warn or error
//!   deprecated-api: error              # an API version that a later Kubernetes removes. Default: warn
//!   unknown-kind: allow                # a custom kind that nothing here defines. Default: warn
//!   invalid-manifest: warn             # what a kube-apiserver would refuse. Default: error
//! scopes:                              # of kinds that are not Kubernetes' own and whose CRD is not in the chart
//!   ClusterIssuer.cert-manager.io: Cluster
//! environments:                        # all there are; a name that is not listed is a mistake. Absent: those of services/
//!   production: {}
//!   staging:
//!     kubernetesVersion: "1.34"
//! ```

use std::collections::BTreeMap;

use manifest::hash::{Hash, Parts};
use manifest::object::{DNS_LABEL_RULE, Scope, is_dns_label};
use serde::Deserialize;
use serde_json::Value;

use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::file::{self, Mapping, Parsed};
use crate::helm::Capabilities;
use crate::source::SourceTree;

/// Path of the file, from the root of the repository.
pub const FILE: &str = "generator.yaml";

/// The settings of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Settings {
    /// Kubernetes version of environments that name none: `1.33` or `1.33.2`. Default: the one that Helm assumes.
    pub kubernetes_version: Option<String>,
    /// API versions that every cluster serves besides Kubernetes' own: `group/version` or `group/version/Kind`.
    pub api_versions: Vec<String>,
    /// Whether a Secret with values may be written to `_gen`. Default: false.
    pub allow_plaintext_secrets: bool,
    /// How bad some matters are taken.
    pub lints: Lints,
    /// Scope of kinds that are not Kubernetes' own, by `Kind.group`.
    pub scopes: BTreeMap<String, KindScope>,
    /// The environments there are, by name; nothing where `services/` alone decides.
    pub environments: Option<BTreeMap<String, Environment>>,
}

/// What differs in one environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Environment {
    /// See [`Settings::kubernetes_version`].
    pub kubernetes_version: Option<String>,
    /// Added to [`Settings::api_versions`].
    pub api_versions: Vec<String>,
    /// See [`Settings::allow_plaintext_secrets`].
    pub allow_plaintext_secrets: Option<bool>,
}

/// How bad the matters are taken that a repository may decide about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Lints {
    /// An API version that is deprecated in the Kubernetes of the environment, or by its definition.
    pub deprecated_api: Level,
    /// A custom kind that no definition in the repository defines, and that no environment is said to serve.
    pub unknown_kind: Level,
    /// An object that a kube-apiserver would refuse.
    pub invalid_manifest: Level,
}

impl Default for Lints {
    fn default() -> Self {
        Lints { deprecated_api: Level::Warn, unknown_kind: Level::Warn, invalid_manifest: Level::Error }
    }
}

/// How bad a matter is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing is said.
    Allow,
    /// It is said.
    Warn,
    /// Nothing is written.
    Error,
}

impl Level {
    /// Returns how a matter of this level is reported; nothing where it is not.
    pub fn severity(self) -> Option<Severity> {
        match self {
            Level::Allow => None,
            Level::Warn => Some(Severity::Warning),
            Level::Error => Some(Severity::Error),
        }
    }
}

impl Environment {
    const DEFAULT: Environment =
        Environment { kubernetes_version: None, api_versions: Vec::new(), allow_plaintext_secrets: None };
}

/// The words that a CustomResourceDefinition has for a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum KindScope {
    /// In a namespace.
    Namespaced,
    /// In none.
    Cluster,
}

impl From<KindScope> for Scope {
    fn from(scope: KindScope) -> Self {
        match scope {
            KindScope::Namespaced => Scope::Namespaced,
            KindScope::Cluster => Scope::Cluster,
        }
    }
}

impl Settings {
    /// Returns what charts are told about the cluster of an environment.
    pub fn capabilities(&self, environment: &str) -> Capabilities {
        let own = self.environment(environment);
        let version = own.and_then(|own| own.kubernetes_version.as_ref()).or(self.kubernetes_version.as_ref());
        let mut api_versions = self.api_versions.clone();
        api_versions.extend(own.into_iter().flat_map(|own| own.api_versions.iter().cloned()));
        api_versions.sort_unstable();
        api_versions.dedup();
        let kube_version =
            version.map_or_else(|| Capabilities::default().kube_version, |version| full_version(version));
        Capabilities { kube_version, api_versions }
    }

    /// Tells whether a Secret with values may be written to `_gen/<environment>`.
    pub fn allows_plaintext_secrets(&self, environment: &str) -> bool {
        let own = self.environment(environment).and_then(|own| own.allow_plaintext_secrets);
        own.unwrap_or(self.allow_plaintext_secrets)
    }

    /// Returns the hash over everything here that a render in an environment, or what is said about it, can depend on.
    pub fn hash(&self, environment: &str) -> Hash {
        // Every setting is named, so that whoever adds one decides whether a render depends on it.
        let Settings {
            kubernetes_version: _,
            api_versions: _,
            allow_plaintext_secrets: _,
            lints,
            scopes,
            environments,
        } = self;
        let Environment { kubernetes_version: _, api_versions: _, allow_plaintext_secrets: _ } =
            environments.as_ref().and_then(|all| all.get(environment)).unwrap_or(&Environment::DEFAULT);
        let Capabilities { kube_version, api_versions } = self.capabilities(environment);
        let mut parts = Parts::new("generator settings 1");
        parts.add("kubernetes version", kube_version.as_bytes());
        for version in &api_versions {
            parts.add("api version", version.as_bytes());
        }
        parts.add("plaintext secrets", &[u8::from(self.allows_plaintext_secrets(environment))]);
        let Lints { deprecated_api, unknown_kind, invalid_manifest } = lints;
        for level in [deprecated_api, unknown_kind, invalid_manifest] {
            parts.add("lint", format!("{level:?}").as_bytes());
        }
        for (kind, scope) in scopes {
            parts.add("scope", format!("{kind} {scope:?}").as_bytes());
        }
        parts.finish()
    }

    fn environment(&self, name: &str) -> Option<&Environment> {
        self.environments.as_ref()?.get(name)
    }
}

/// Reads `generator.yaml`; what is wrong goes to `diagnostics`, and the defaults hold.
pub fn read(tree: &SourceTree, diagnostics: &mut Diagnostics) -> Settings {
    match file::parse::<Settings>(tree, FILE, mappings) {
        Ok(None) => Settings::default(),
        Ok(Some(parsed)) => {
            check(&parsed, diagnostics);
            parsed.value
        }
        Err(wrong) => {
            diagnostics.extend(wrong);
            Settings::default()
        }
    }
}

fn mappings(document: &Value) -> Vec<Mapping> {
    const KEYS: &[&str] =
        &["kubernetesVersion", "apiVersions", "allowPlaintextSecrets", "lints", "scopes", "environments"];
    const LINTS: &[&str] = &["deprecated-api", "unknown-kind", "invalid-manifest"];
    const ENVIRONMENT_KEYS: &[&str] = &["kubernetesVersion", "apiVersions", "allowPlaintextSecrets"];
    let names = document.get("environments").and_then(Value::as_object).into_iter().flat_map(serde_json::Map::keys);
    let environments = names.map(|name| (format!("/environments/{}", file::escape(name)), ENVIRONMENT_KEYS));
    [(String::new(), KEYS), ("/lints".to_owned(), LINTS)].into_iter().chain(environments).collect()
}

fn check(parsed: &Parsed<Settings>, diagnostics: &mut Diagnostics) {
    let settings = &parsed.value;
    let mut versions = vec![("/kubernetesVersion".to_owned(), settings.kubernetes_version.as_ref())];
    for (name, environment) in settings.environments.iter().flatten() {
        let pointer = format!("/environments/{}", file::escape(name));
        if !is_dns_label(name) {
            let place = parsed.key_place(&pointer).length(name.chars().count());
            let message = format!("`{name}` is not a valid environment name");
            diagnostics
                .push(Diagnostic::error("bad-name", message).at(place).hint(format!("rename it: {DNS_LABEL_RULE}")));
        }
        versions.push((format!("{pointer}/kubernetesVersion"), environment.kubernetes_version.as_ref()));
    }
    for (pointer, version) in versions {
        if let Some(version) = version.filter(|version| !is_version(version)) {
            let message = format!("`{version}` is not a Kubernetes version");
            let place = parsed.place(&pointer);
            diagnostics.push(
                Diagnostic::error("bad-kubernetes-version", message).at(place).hint("write it like 1.33 or 1.33.2"),
            );
        }
    }
    for kind in settings.scopes.keys().filter(|kind| !kind.contains('.')) {
        let place = parsed.key_place(&format!("/scopes/{}", file::escape(kind))).length(kind.chars().count());
        let hint = "write the kind and its group, like `ClusterIssuer.cert-manager.io`";
        diagnostics.push(Diagnostic::error("bad-kind", format!("`{kind}` names no group")).at(place).hint(hint));
    }
}

/// `v1.33.0` of `1.33`: templates ask for all three numbers.
fn full_version(version: &str) -> String {
    let version = version.strip_prefix('v').unwrap_or(version);
    match version.split('.').count() {
        2 => format!("v{version}.0"),
        _ => format!("v{version}"),
    }
}

fn is_version(version: &str) -> bool {
    let numbers: Vec<&str> = version.strip_prefix('v').unwrap_or(version).split('.').collect();
    let is_number = |text: &&str| !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
    matches!(numbers.len(), 2 | 3) && numbers.iter().all(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> (Settings, Vec<String>) {
        let tree: SourceTree = [(FILE, text)].into_iter().collect();
        let mut diagnostics = Diagnostics::new();
        let settings = read(&tree, &mut diagnostics);
        (settings, diagnostics.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn an_environment_adds_to_what_holds_everywhere() {
        let text = "kubernetesVersion: '1.33'\napiVersions: [b/v1]\nallowPlaintextSecrets: true\n\
            environments:\n  staging: {kubernetesVersion: v1.34.1, apiVersions: [a/v1, b/v1], allowPlaintextSecrets: false}\n  production:\n";
        let (settings, wrong) = read_text(text);
        assert_eq!(wrong, Vec::<String>::new());
        let staging = settings.capabilities("staging");
        assert_eq!(
            (staging.kube_version.as_str(), staging.api_versions),
            ("v1.34.1", vec!["a/v1".to_owned(), "b/v1".to_owned()])
        );
        let production = settings.capabilities("production");
        assert_eq!((production.kube_version.as_str(), production.api_versions), ("v1.33.0", vec!["b/v1".to_owned()]));
        assert!(settings.allows_plaintext_secrets("production") && !settings.allows_plaintext_secrets("staging"));
    }

    #[test]
    fn a_version_is_text_with_or_without_quotes() {
        let (settings, wrong) = read_text("kubernetesVersion: 1.30\n");
        assert_eq!((settings.capabilities("x").kube_version.as_str(), wrong.len()), ("v1.30.0", 0));
    }

    #[test]
    fn no_file_and_an_empty_file_are_the_same() {
        let (empty, wrong) = read_text("# nothing\n");
        assert_eq!((empty, wrong.len()), (Settings::default(), 0));
        assert_eq!(Settings::default().capabilities("x"), Capabilities::default());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let (_, wrong) = read_text("kubernetesVersion: 1.33\nkubernetesVersion: 1.34\n");
        assert_eq!(
            wrong,
            [
                "generator.yaml:2:1: error[invalid-yaml]: duplicate key `kubernetesVersion`, first used on line 1, column 1; keep one of them"
            ]
        );
        let (_, wrong) = read_text("environments:\n  dev: {allowPlaintextSecrets: no}\n");
        assert_eq!(
            wrong,
            [
                "generator.yaml:2:32: error[bad-value]: environments.dev.allowPlaintextSecrets: invalid type: string \"no\", expected a boolean"
            ]
        );
        let (_, wrong) =
            read_text("environments:\n  Prod: {}\n  dev: {kubernetesVersion: latest}\nscopes: {Issuer: Cluster}\n");
        assert_eq!(
            wrong,
            [
                "generator.yaml:2:3: error[bad-name]: `Prod` is not a valid environment name",
                "generator.yaml:3:28: error[bad-kubernetes-version]: `latest` is not a Kubernetes version",
                "generator.yaml:4:10: error[bad-kind]: `Issuer` names no group",
            ]
        );
    }
}
