//! From the text a chart rendered to the objects in it, checked.
//!
//! Reads the text as `kubectl` would, names what is wrong with a document at the template line that wrote it, and fills in the namespace
//! that Helm leaves to the moment of installation. Knows no service and no environment: two objects that are the same are its
//! matter only within one release. Invariant: what comes out are [`Manifest`]s of which no two have the same identity.
//!
//! Not let through: a key that comes twice; a Helm hook, because nothing runs hooks when rendered manifests are applied (those of
//! `helm test` are dropped); a Secret with values, unless it is allowed, because `_gen` is committed; labels and annotations that begin
//! with `syncd/`, which are syncd's own, but for `syncd/prune: disabled`.

use std::collections::BTreeMap;

use manifest::object::{Manifest, ObjectRef, Scope, flatten, scope};
use manifest::yaml::{self, Document, DuplicateKeys, Position};
use serde_json::Value;

use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::file;
use crate::helm::{Rendered, RenderedFile, RenderedPart};
use crate::settings::KindScope;
use crate::validation::{Cluster, Definitions, End, Finding};

/// Prefix of the labels and annotations that are syncd's own.
const RESERVED_PREFIX: &str = "syncd/";
/// Annotations by which an object tells `syncd` what to do with it, and their values; of `syncd/adopt` several, by commas.
const SETTABLE: [(&str, &[&str]); 3] = [
    ("syncd/adopt", &["any", "argocd", "config-sync", "controller", "flux", "helm", "kapp", "syncd"]),
    ("syncd/prune", &["disabled"]),
    ("syncd/replace", &["disabled", "enabled"]),
];

fn is_settable(key: &str, value: &str) -> bool {
    let several = key == "syncd/adopt";
    let allowed = SETTABLE.iter().find(|(name, _)| *name == key).map(|(_, values)| *values).unwrap_or_default();
    let parts = if several { value.split(',').map(str::trim).collect() } else { vec![value] };
    parts.into_iter().all(|part| allowed.contains(&part))
}
/// Helm's annotation of hooks; several, with commas between them.
const HOOK: &str = "helm.sh/hook";

/// What the objects of a release are held to.
#[derive(Debug, Clone, Copy)]
pub struct Context<'c> {
    /// Namespace of the release.
    pub namespace: &'c str,
    /// Whether a Secret may have values.
    pub allow_plaintext_secrets: bool,
    /// Scope of kinds that are not Kubernetes' own, by `Kind.group`.
    pub scopes: &'c BTreeMap<String, KindScope>,
    /// What objects of Kubernetes' own kinds are held to.
    pub cluster: &'c Cluster,
    /// What objects of custom kinds are held to; nothing where that is not known yet.
    pub definitions: Option<&'c Definitions<'c>>,
}

/// A manifest, and where it comes from.
#[derive(Debug, Clone)]
pub struct Placed {
    /// The manifest.
    pub manifest: Manifest,
    /// The template that rendered it, and the line where known.
    pub place: Place,
    /// Whether its kind is not one of Kubernetes' own.
    pub is_custom: bool,
}

/// Returns the objects of a release, in the order in which they were rendered. Warnings go to `diagnostics`; so does all that is wrong,
/// and the objects it is wrong with are left out.
pub fn manifests(rendered: &Rendered, context: &Context<'_>, diagnostics: &mut Diagnostics) -> Vec<Placed> {
    let mut drafts = Vec::new();
    for file in rendered.crds.iter().chain(&rendered.files) {
        match read(file) {
            Ok(found) => drafts.extend(found),
            Err(wrong) => diagnostics.extend(wrong),
        }
    }
    let scopes = Scopes { settings: context.scopes, defined: defined_scopes(&drafts) };
    let mut first_places: BTreeMap<ObjectRef, Place> = BTreeMap::new();
    let mut manifests = Vec::new();
    for draft in drafts {
        let mut wrong = Vec::new();
        let (manifest, place) = draft.check(context, &scopes, &mut wrong);
        diagnostics.extend(wrong);
        let Some((manifest, is_custom)) = manifest else { continue };
        match first_places.get(&manifest.id) {
            Some(first) => diagnostics.push(duplicate(&manifest.id, "is rendered twice", &place, first)),
            None => {
                first_places.insert(manifest.id.clone(), place.clone());
                manifests.push(Placed { manifest, place, is_custom });
            }
        }
    }
    manifests
}

/// Returns the diagnostic for an object that stands in two places; `what` says so.
pub fn duplicate(id: &ObjectRef, what: &str, place: &Place, first: &Place) -> Diagnostic {
    Diagnostic::error("duplicate-object", format!("{id} {what}"))
        .at(place.clone())
        .related(first.clone(), "first rendered here")
        .hint("give one of them another name or namespace, or remove it")
}

/// One object as it was rendered.
struct Draft<'r> {
    value: Value,
    /// Where `value` stands in its document.
    pointer: String,
    /// Which document of the file it is, from 0, and where that begins.
    document: usize,
    start: Position,
    file: &'r RenderedFile,
}

/// How rendered text is read. Positions are read a second time where something is wrong: most objects never need theirs.
fn settings(marks: bool) -> yaml::Settings {
    yaml::Settings { duplicate_keys: DuplicateKeys::Refuse, marks, ..yaml::Settings::default() }
}

/// Reads one rendered file. Empty documents are left out, lists are flattened.
fn read(file: &RenderedFile) -> Result<Vec<Draft<'_>>, Diagnostics> {
    let documents = yaml::read(&file.text, &settings(false)).map_err(|error| {
        let message = format!("the rendered text is not YAML: {}", error.message);
        Diagnostics::from(file.blame(Diagnostic::error("invalid-yaml", message), error.at, None))
    })?;
    let mut drafts = Vec::new();
    for (document, Document { value, start, .. }) in documents.into_iter().enumerate() {
        if !value.is_null() {
            let found = objects(value).into_iter();
            drafts.extend(found.map(|(pointer, value)| Draft { value, pointer, document, start, file }));
        }
    }
    Ok(drafts)
}

/// Flattens a document; each object with the place where it stood, which for a list in a list is that of the inner list.
fn objects(value: Value) -> Vec<(String, Value)> {
    let is_list = value.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    match value {
        Value::Object(mut map) if is_list && map.get("items").is_some_and(Value::is_array) => match map.remove("items")
        {
            Some(Value::Array(items)) => {
                let items = items.into_iter().enumerate();
                items
                    .flat_map(|(i, item)| flatten(item).into_iter().map(move |value| (format!("/items/{i}"), value)))
                    .collect()
            }
            _ => Vec::new(),
        },
        other => vec![(String::new(), other)],
    }
}

impl Draft<'_> {
    /// Returns the manifest, and whether its kind is custom, unless it is a test of Helm's or something is wrong with it; and its place.
    fn check(
        mut self,
        context: &Context<'_>,
        scopes: &Scopes<'_>,
        wrong: &mut Vec<Diagnostic>,
    ) -> (Option<(Manifest, bool)>, Place) {
        let place = self.place("");
        if self.is_test_hook() {
            return (None, place);
        }
        self.check_hook(wrong);
        self.check_reserved(wrong);
        if !context.allow_plaintext_secrets {
            self.check_secret(wrong);
        }
        let manifest = match Manifest::from_value(self.value.take()) {
            Ok(manifest) => self.in_namespace(manifest, context, scopes, wrong),
            Err(errors) => {
                wrong.extend(
                    errors
                        .into_iter()
                        .map(|error| self.at(Diagnostic::error("invalid-object", error.message), &error.pointer)),
                );
                None
            }
        };
        let manifest = manifest.map(|manifest| {
            let is_custom = self.validate(&manifest, context, wrong);
            (manifest, is_custom)
        });
        let usable = wrong.iter().all(|diagnostic| diagnostic.severity != crate::diagnostic::Severity::Error);
        (manifest.filter(|_| usable), place)
    }

    /// Adds what a cluster would refuse. Returns whether the kind is custom.
    fn validate(&self, manifest: &Manifest, context: &Context<'_>, wrong: &mut Vec<Diagnostic>) -> bool {
        let mut checked = context.cluster.check(manifest);
        if let Some(definitions) = context.definitions.filter(|_| checked.is_custom) {
            checked.findings.extend(definitions.check(manifest, context.cluster).unwrap_or_default());
        }
        let told = checked.findings.into_iter().map(|Finding { pointer, end, diagnostic }| {
            let part = RenderedPart { pointer: &pointer, value: manifest.value.pointer(&pointer) };
            self.file.blame(diagnostic, self.position_of(&pointer, end), Some(part))
        });
        wrong.extend(told);
        checked.is_custom
    }

    /// Gives a namespaced object without a namespace that of the release.
    fn in_namespace(
        &self,
        manifest: Manifest,
        context: &Context<'_>,
        scopes: &Scopes<'_>,
        wrong: &mut Vec<Diagnostic>,
    ) -> Option<Manifest> {
        let id = &manifest.id;
        match (scopes.of(&id.group, &id.kind), id.namespace.is_empty()) {
            (Some(Scope::Cluster), false) => {
                let message =
                    format!("{} is not in any namespace, but `metadata.namespace` is `{}`", id.kind, id.namespace);
                wrong.push(
                    self.at(Diagnostic::error("bad-namespace", message).hint("remove it"), "/metadata/namespace"),
                );
                None
            }
            (Some(Scope::Namespaced), true) => {
                let mut value = manifest.value;
                value["metadata"]["namespace"] = Value::String(context.namespace.to_owned());
                match Manifest::from_value(value) {
                    Ok(manifest) => Some(manifest),
                    Err(errors) => {
                        wrong.extend(
                            errors
                                .into_iter()
                                .map(|error| self.at(Diagnostic::error("invalid-object", error.message), "")),
                        );
                        None
                    }
                }
            }
            (None, true) => {
                let kind = format!("{}.{}", id.kind, id.group);
                let message = format!(
                    "whether {kind} lives in a namespace is not known here, and `metadata.namespace` is missing"
                );
                let hint = format!(
                    "name a namespace in the template, or add `{kind}: Cluster` or `Namespaced` to `scopes` in generator.yaml"
                );
                wrong.push(self.at(Diagnostic::warning("unknown-scope", message).hint(hint), "/metadata"));
                Some(manifest)
            }
            (Some(Scope::Cluster), true) | (Some(Scope::Namespaced) | None, false) => Some(manifest),
        }
    }

    fn is_test_hook(&self) -> bool {
        let hooks = self.hooks();
        !hooks.is_empty() && hooks.iter().all(|hook| matches!(*hook, "test" | "test-success" | "test-failure"))
    }

    fn check_hook(&self, wrong: &mut Vec<Diagnostic>) {
        let hooks = self.hooks();
        if !hooks.is_empty() {
            let message = format!(
                "this is a Helm hook ({}), and nothing runs hooks when rendered manifests are applied",
                hooks.join(", ")
            );
            let hint = "remove the annotation to apply it with the rest, or make it a service of its own that others name in `dependsOn`";
            wrong.push(
                self.at(Diagnostic::error("helm-hook", message).hint(hint), "/metadata/annotations/helm.sh~1hook"),
            );
        }
    }

    fn hooks(&self) -> Vec<&str> {
        let hooks = self.metadata("annotations").and_then(|all| all.get(HOOK)).and_then(Value::as_str);
        hooks.map(|hooks| hooks.split(',').map(str::trim).collect()).unwrap_or_default()
    }

    /// Returns a part of the object's metadata.
    fn metadata(&self, part: &str) -> Option<&Value> {
        self.value.get("metadata")?.get(part)
    }

    fn check_reserved(&self, wrong: &mut Vec<Diagnostic>) {
        for part in ["labels", "annotations"] {
            let entries = self.metadata(part).and_then(Value::as_object);
            for (key, value) in entries.into_iter().flatten().filter(|(key, _)| key.starts_with(RESERVED_PREFIX)) {
                if part == "annotations" && value.as_str().is_some_and(|value| is_settable(key, value)) {
                    continue;
                }
                let message = format!("`{key}` in `metadata.{part}` is syncd's own");
                let values =
                    |values: &[&str]| values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ");
                let may = SETTABLE.map(|(key, allowed)| format!("`{key}` ({})", values(allowed))).join(", ");
                let hint = format!("remove it; the annotations that templates may set: {may}");
                let pointer = format!("/metadata/{part}/{}", file::escape(key));
                wrong.push(self.at(Diagnostic::error("reserved-name", message).hint(hint), &pointer));
            }
        }
    }

    fn check_secret(&self, wrong: &mut Vec<Diagnostic>) {
        let is_secret = self.value.get("kind").and_then(Value::as_str) == Some("Secret")
            && self.value.get("apiVersion").and_then(Value::as_str) == Some("v1");
        if !is_secret {
            return;
        }
        for field in ["data", "stringData"] {
            let entries = self.value.get(field).and_then(Value::as_object);
            let names: Vec<&str> = entries.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
            if !names.is_empty() {
                let message =
                    format!("this Secret would be committed in plain text, with the values of {}", names.join(", "));
                let hint = "keep the values out of Git: refer to a Secret that exists in the cluster, or use a SealedSecret or an ExternalSecret; \
                            `allowPlaintextSecrets: true` in generator.yaml lets it through";
                wrong.push(self.at(Diagnostic::error("plaintext-secret", message).hint(hint), &format!("/{field}")));
            }
        }
    }

    /// Adds the place in the template that wrote a part of the object.
    fn at(&self, diagnostic: Diagnostic, pointer: &str) -> Diagnostic {
        self.file.blame(diagnostic, self.position(pointer), None)
    }

    fn place(&self, pointer: &str) -> Place {
        self.file.place(self.position(pointer))
    }

    /// Returns where a part of the object stands in the rendered text, or else the nearest part around it.
    fn position(&self, pointer: &str) -> Position {
        self.position_of(pointer, End::Key)
    }

    fn position_of(&self, pointer: &str, end: End) -> Position {
        let pointer = format!("{}{pointer}", self.pointer);
        if pointer.is_empty() {
            return self.start;
        }
        let documents = yaml::read(&self.file.text, &settings(true)).unwrap_or_default();
        let Some(Document { marks, .. }) = documents.get(self.document) else { return self.start };
        let mut pointer = pointer.as_str();
        loop {
            let (key, value) = (marks.keys.get(pointer), marks.values.get(pointer));
            let at = match end {
                End::Key => key.or(value),
                End::Value => value.or(key),
            };
            if let Some(at) = at {
                return *at;
            }
            match pointer.rfind('/') {
                Some(slash) => pointer = &pointer[..slash],
                None => return self.start,
            }
        }
    }
}

/// Whether objects of a kind live in a namespace, as far as it can be known without a cluster.
struct Scopes<'s> {
    settings: &'s BTreeMap<String, KindScope>,
    /// Of the CustomResourceDefinitions of the release, by `Kind.group`.
    defined: BTreeMap<String, Scope>,
}

impl Scopes<'_> {
    fn of(&self, group: &str, kind: &str) -> Option<Scope> {
        let own = || {
            let name = format!("{kind}.{group}");
            self.settings.get(&name).map(|scope| Scope::from(*scope)).or_else(|| self.defined.get(&name).copied())
        };
        scope(group, kind).or_else(own)
    }
}

fn defined_scopes(drafts: &[Draft<'_>]) -> BTreeMap<String, Scope> {
    let definitions = drafts
        .iter()
        .map(|draft| &draft.value)
        .filter(|value| value.get("kind").and_then(Value::as_str) == Some("CustomResourceDefinition"));
    definitions
        .filter_map(|value| {
            let text = |pointer| value.pointer(pointer).and_then(Value::as_str);
            let scope = match text("/spec/scope")? {
                "Namespaced" => Scope::Namespaced,
                "Cluster" => Scope::Cluster,
                _ => return None,
            };
            Some((format!("{}.{}", text("/spec/names/kind")?, text("/spec/group")?), scope))
        })
        .collect()
}
