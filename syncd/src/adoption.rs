//! What is there already: whose it is, and how its fields become ours.
//!
//! An object that `syncd` did not create is taken over in place. Fields that its former tool owned and that our manifest does not have must
//! go with the first apply, or they stay for ever: so the tool's entries of `managedFields` are first made ours. Pure; knows no request. Invariants:
//! controllers keep what they own, and no subresource changes hands.

use std::collections::BTreeSet;
use std::fmt;

use manifest::ObjectRef;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::cluster::{FIELD_MANAGER, LABEL_ENVIRONMENT};

/// Annotation of a manifest: names of tools, by commas, whose objects it may take over; `any` for all.
pub const ANNOTATION_ADOPT: &str = "syncd/adopt";

/// Tools that an object can belong to, by the names that [`ANNOTATION_ADOPT`] and `--adopt` know.
pub const TOOLS: [&str; 7] = ["argocd", "config-sync", "controller", "flux", "helm", "kapp", "syncd"];

/// Another tool that an object belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Owner {
    /// One of [`TOOLS`].
    pub tool: &'static str,
    /// What the tool calls itself there: a release, an application, an environment.
    pub name: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.tool {
            "argocd" => "Argo CD application",
            "config-sync" => "inventory",
            "controller" => "controller",
            "flux" => "Flux object",
            "helm" => "Helm release",
            "kapp" => "kapp app",
            _ => "syncd environment",
        };
        write!(f, "{what} `{}`", self.name)
    }
}

/// Returns the other tool that an object belongs to, by the marks that the tools leave. An object that was applied by hand, or by `kubectl`
/// for another program such as Kahoy, belongs to nobody.
pub fn owner(value: &Value, environment: &str) -> Option<Owner> {
    let metadata = value.get("metadata")?;
    let text = |part: &str, name: &str| metadata.get(part)?.get(name)?.as_str().filter(|text| !text.is_empty());
    let label = |name: &str| text("labels", name);
    let annotation = |name: &str| text("annotations", name);
    let owner = |tool: &'static str, name: String| Some(Owner { tool, name });
    let of = |space: Option<&str>, name: &str| space.map_or_else(|| name.to_owned(), |space| format!("{space}/{name}"));
    if let Some(other) = label(LABEL_ENVIRONMENT) {
        return if other == environment { None } else { owner("syncd", other.to_owned()) };
    }
    // Flux installs charts with Helm's own marks: it is asked first.
    for part in ["kustomize", "helm"] {
        let mark = |end: &str| format!("{part}.toolkit.fluxcd.io/{end}");
        if let Some(name) = label(&mark("name")) {
            return owner("flux", of(label(&mark("namespace")), name));
        }
    }
    if let Some(name) = annotation("meta.helm.sh/release-name") {
        return owner("helm", of(annotation("meta.helm.sh/release-namespace"), name));
    }
    if let Some(id) = annotation("argocd.argoproj.io/tracking-id") {
        return owner("argocd", id.split(':').next().unwrap_or(id).to_owned());
    }
    if let Some(name) = label("argocd.argoproj.io/instance") {
        return owner("argocd", name.to_owned());
    }
    if let Some(id) = annotation("config.k8s.io/owning-inventory") {
        return owner("config-sync", id.to_owned());
    }
    if let Some(app) = label("kapp.k14s.io/app") {
        return owner("kapp", app.to_owned());
    }
    let controller = metadata.get("ownerReferences")?.as_array()?.iter().find(|owner| owner["controller"] == true)?;
    let part = |name: &str| controller.get(name).and_then(Value::as_str).unwrap_or_default();
    owner("controller", format!("{} {}", part("kind"), part("name")))
}

/// Tells whether an object of `owner` may be taken over.
pub fn is_allowed(owner: &Owner, annotation: Option<&str>, always: &BTreeSet<String>) -> bool {
    let said = annotation.unwrap_or_default().split(',').map(str::trim).any(|tool| tool == owner.tool || tool == "any");
    said || always.contains(owner.tool)
}

/// Field managers whose entries are those of a person or a tool that manages whole objects. Sources: `kubectl` (its default and its
/// subcommands), Helm (`helm`), Flux and Argo CD (their controllers' names), kapp, cli-utils, Kahoy, and what the API server calls fields
/// that were there before it kept account.
const MANAGERS: [&str; 14] = [
    "argocd-application-controller",
    "argocd-controller",
    "before-first-apply",
    "configsync",
    "flux-client-side-apply",
    "helm",
    "helm-controller",
    "Helm",
    "kahoy",
    "kapp",
    "kapp-server-side-apply",
    "kubectl",
    "kustomize-controller",
    "kluctl",
];

fn is_tool(manager: &str) -> bool {
    // `kubectl-client-side-apply`, `kubectl-create`, `kubectl-edit`, `kubectl-last-applied`, ...
    MANAGERS.contains(&manager) || manager.starts_with("kubectl-")
}

/// Returns the `managedFields` under which a following apply removes whatever a tool owned and the manifest does not have. Nothing: there are
/// no fields of a tool.
pub fn taken_over(value: &Value) -> Option<Vec<Value>> {
    let entries = value.pointer("/metadata/managedFields")?.as_array()?;
    let text = |entry: &Value, name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let is_whole = |entry: &&Value| text(entry, "subresource").is_empty();
    let is_ours = |entry: &&Value| text(entry, "manager") == FIELD_MANAGER && text(entry, "operation") == "Apply";
    let is_theirs = |entry: &&Value| {
        let manager = text(entry, "manager");
        is_tool(&manager) || manager == FIELD_MANAGER && text(entry, "operation") == "Update"
    };
    let theirs: Vec<&Value> = entries.iter().filter(is_whole).filter(is_theirs).collect();
    if theirs.is_empty() {
        return None;
    }
    let ours = entries.iter().filter(is_whole).find(is_ours);
    let mut fields = Map::new();
    for entry in theirs.iter().copied().chain(ours) {
        if let Some(owned) = entry.get("fieldsV1").and_then(Value::as_object) {
            merge(&mut fields, owned);
        }
    }
    // Written through the main resource by whoever created the object whole; nobody applies a status.
    fields.remove("f:status");
    let last = theirs.last().copied().or(ours).expect("not empty");
    let mut entry = json!({
        "manager": FIELD_MANAGER, "operation": "Apply", "apiVersion": text(last, "apiVersion"),
        "fieldsType": "FieldsV1", "fieldsV1": fields,
    });
    if let Some(time) = last.get("time") {
        entry["time"] = time.clone();
    }
    let others = entries.iter().filter(|entry| !(is_whole(entry) && (is_theirs(entry) || is_ours(entry))));
    Some(std::iter::once(entry).chain(others.cloned()).collect())
}

fn merge(into: &mut Map<String, Value>, from: &Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(key).and_then(Value::as_object_mut), value.as_object()) {
            (Some(into), Some(from)) => merge(into, from),
            _ => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Returns the body of the merge patch that makes the fields of tools ours, if there are any. It is refused if the object has changed.
pub fn patch(id: &ObjectRef, value: &Value) -> Option<Value> {
    let metadata = value.get("metadata")?;
    let entries = taken_over(value)?;
    Some(json!({"apiVersion": value.get("apiVersion")?, "kind": id.kind, "metadata": {
        "uid": metadata.get("uid")?, "resourceVersion": metadata.get("resourceVersion")?, "managedFields": entries,
    }}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(part: &str, marks: &Value) -> Option<String> {
        let mut value = json!({"metadata": {}});
        value["metadata"][part] = marks.clone();
        owner(&value, "staging").map(|owner| format!("{}: {owner}", owner.tool))
    }

    #[test]
    fn the_marks_of_other_tools_are_known() {
        let cases = [
            (
                "annotations",
                json!({"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "n"}),
                Some("helm: Helm release `n/web`"),
            ),
            ("labels", json!({"app.kubernetes.io/managed-by": "Helm"}), None),
            (
                "labels",
                json!({"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}),
                Some("flux: Flux object `flux-system/apps`"),
            ),
            ("labels", json!({"helm.toolkit.fluxcd.io/name": "web"}), Some("flux: Flux object `web`")),
            (
                "annotations",
                json!({"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:n/web"}),
                Some("argocd: Argo CD application `shop`"),
            ),
            ("labels", json!({"argocd.argoproj.io/instance": "shop"}), Some("argocd: Argo CD application `shop`")),
            ("annotations", json!({"config.k8s.io/owning-inventory": "abc"}), Some("config-sync: inventory `abc`")),
            ("labels", json!({"kapp.k14s.io/app": "1"}), Some("kapp: kapp app `1`")),
            ("labels", json!({"syncd/environment": "production"}), Some("syncd: syncd environment `production`")),
            ("labels", json!({"syncd/environment": "staging"}), None),
            ("annotations", json!({"kubectl.kubernetes.io/last-applied-configuration": "{}"}), None),
            (
                "ownerReferences",
                json!([{"kind": "Deployment", "name": "web", "controller": true}]),
                Some("controller: controller `Deployment web`"),
            ),
            ("ownerReferences", json!([{"kind": "ConfigMap", "name": "web"}]), None),
        ];
        for (part, marks, expected) in cases {
            assert_eq!(owned(part, &marks).as_deref(), expected, "{marks}");
        }
    }

    #[test]
    fn a_take_over_is_allowed_by_name() {
        let helm = Owner { tool: "helm", name: "web".to_owned() };
        let none = BTreeSet::new();
        for (said, expected) in
            [(None, false), (Some("flux"), false), (Some("flux, helm"), true), (Some("any"), true), (Some(""), false)]
        {
            assert_eq!(is_allowed(&helm, said, &none), expected, "{said:?}");
        }
        assert!(is_allowed(&helm, None, &BTreeSet::from(["helm".to_owned()])));
    }

    #[test]
    fn fields_of_tools_become_ours_and_those_of_controllers_do_not() {
        let entry = |manager: &str, operation: &str, fields: &Value| json!({"manager": manager, "operation": operation, "apiVersion": "apps/v1", "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": fields});
        let mut scaled = entry("kubectl", "Update", &json!({"f:spec": {"f:replicas": {}}}));
        scaled["subresource"] = json!("scale");
        let controller = entry(
            "kube-controller-manager",
            "Update",
            &json!({"f:metadata": {"f:annotations": {"f:deployment.kubernetes.io/revision": {}}}}),
        );
        let value = json!({"metadata": {"managedFields": [
            entry("syncd", "Apply", &json!({"f:spec": {"f:paused": {}}})),
            entry("helm", "Update", &json!({"f:metadata": {"f:annotations": {".": {}, "f:meta.helm.sh/release-name": {}}}, "f:spec": {"f:replicas": {}}})),
            controller,
            scaled,
            entry("kubectl-client-side-apply", "Update", &json!({"f:spec": {"f:template": {}}, "f:status": {}})),
        ]}});
        let entries = taken_over(&value).expect("something to take over");
        let merged = json!({"f:metadata": {"f:annotations": {".": {}, "f:meta.helm.sh/release-name": {}}}, "f:spec": {"f:paused": {}, "f:replicas": {}, "f:template": {}}});
        assert_eq!(entries, [entry("syncd", "Apply", &merged), controller.clone(), scaled]);
        assert_eq!(taken_over(&json!({"metadata": {"managedFields": [controller]}})), None);
    }
}
