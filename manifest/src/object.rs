//! Which Kubernetes object a document is, and in which order objects are installed.
//!
//! Identity is group, kind, namespace, name and never the API version: moving an object from one version of its API to another is an
//! update, not a delete and a create. Knows no cluster: whether a kind exists, and the scope of kinds that are not Kubernetes' own, is
//! not known here. Invariant: a [`Manifest`] always has an API version, a kind and a valid name; its `id` agrees with its `value`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use smol_str::SmolStr;

use crate::Hash;
use crate::yaml;

/// The identity of an object. Sorted by group, kind, namespace, name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectRef {
    /// API group; empty for the core group.
    #[serde(default, skip_serializing_if = "SmolStr::is_empty")]
    pub group: SmolStr,
    /// Kind, for example `Deployment`.
    pub kind: SmolStr,
    /// Namespace; empty for a cluster-scoped object.
    #[serde(default, skip_serializing_if = "SmolStr::is_empty")]
    pub namespace: SmolStr,
    /// Name.
    pub name: SmolStr,
}

impl fmt::Display for ObjectRef {
    /// `Deployment.apps production/app1`, `Namespace staging`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        f.write_str(" ")?;
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.name)
    }
}

impl FromStr for ObjectRef {
    type Err = ManifestError;

    /// Reads what [`ObjectRef`] is shown as: `Kind.group namespace/name`, both parts of which may be shorter.
    fn from_str(text: &str) -> Result<Self, ManifestError> {
        let fail = |message: String| Err(ManifestError { message, pointer: String::new() });
        let parts: Vec<&str> = text.split_whitespace().collect();
        let [kind, name] = parts[..] else {
            let example = "such as `Deployment.apps shop/web` or `Namespace shop`";
            return fail(format!("expected `Kind.group namespace/name`, {example}"));
        };
        let (kind, group) = kind.split_once('.').unwrap_or((kind, ""));
        let (namespace, name) = name.split_once('/').unwrap_or(("", name));
        if !kind.starts_with(|c: char| c.is_ascii_uppercase()) {
            return fail(format!("`{kind}` is not a kind: a kind begins with a capital letter"));
        }
        if !namespace.is_empty() && !is_dns_label(namespace) {
            return fail(format!("`{namespace}` is not a valid namespace: {DNS_LABEL_RULE}"));
        }
        if name.is_empty() || !is_object_name(name) {
            return fail(format!("`{name}` is not a valid object name"));
        }
        let [group, kind, namespace, name] = [group, kind, namespace, name].map(SmolStr::new);
        Ok(ObjectRef { group, kind, namespace, name })
    }
}

/// One object to be applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Who it is.
    pub id: ObjectRef,
    /// `apiVersion`, for example `apps/v1`.
    pub api_version: SmolStr,
    /// The whole document, as JSON.
    pub value: Value,
}

/// Why a document is not a manifest. `pointer` (RFC 6901) says which part is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ManifestError {
    /// What is wrong, in lower case, without a full stop.
    pub message: String,
    /// The part that is wrong, or the nearest part that exists: `""`, `/metadata`, `/metadata/name`.
    pub pointer: String,
}

/// Whether objects of a kind live in a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// In none.
    Cluster,
}

impl Manifest {
    /// Reads the identity of `value`.
    ///
    /// # Errors
    /// Every part that is missing, of the wrong type, or no valid name; also a `List`, which is to be flattened before
    /// ([`flatten`]). An absent namespace is the empty one.
    pub fn from_value(value: Value) -> Result<Self, Vec<ManifestError>> {
        let mut errors = Vec::new();
        let mut fail =
            |message: String, pointer: &str| errors.push(ManifestError { message, pointer: pointer.to_owned() });
        if !value.is_object() {
            fail(format!("a manifest must be a mapping, not {}", type_name(&value)), "");
            return Err(errors);
        }
        let api_version = text(&value, &["apiVersion"], true, &mut fail);
        let kind = text(&value, &["kind"], true, &mut fail);
        let namespace = text(&value, &["metadata", "namespace"], false, &mut fail);
        let name = text(&value, &["metadata", "name"], true, &mut fail);
        if !name.is_empty() && !is_object_name(&name) {
            let rule =
                "an object name has at most 253 characters and none of `/`, `%`, white space, and is not `.` or `..`";
            fail(format!("`{name}` is not a valid object name: {rule}"), "/metadata/name");
        }
        if !namespace.is_empty() && !is_dns_label(&namespace) {
            fail(format!("`{namespace}` is not a valid namespace: {DNS_LABEL_RULE}"), "/metadata/namespace");
        }
        if api_version.split('/').count() > 2 || api_version.starts_with('/') || api_version.ends_with('/') {
            fail(
                format!("`{api_version}` is not an API version: expected `version` or `group/version`"),
                "/apiVersion",
            );
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let group = group_of(&api_version);
        Ok(Manifest {
            id: ObjectRef { group: group.into(), kind: kind.into(), namespace: namespace.into(), name: name.into() },
            api_version: api_version.into(),
            value,
        })
    }

    /// Returns the hash of the object's canonical form.
    pub fn hash(&self) -> Hash {
        Hash::of(yaml::write(&self.value).as_bytes())
    }

    /// Returns the sort key of the canonical order: install order of the kind, then group, kind, namespace, name.
    pub fn order(&self) -> (usize, &ObjectRef) {
        (install_order(&self.id.kind), &self.id)
    }
}

/// Returns the group of an API version: `apps` of `apps/v1`, empty of `v1`.
pub fn group_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// Replaces a `v1` `List` (of any kind that ends in `List` and has `items`) by its items, at any depth; other values are returned as they are.
pub fn flatten(value: Value) -> Vec<Value> {
    let is_list = value.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    match value {
        Value::Object(mut map) if is_list && map.get("items").is_some_and(Value::is_array) => match map.remove("items")
        {
            Some(Value::Array(items)) => items.into_iter().flat_map(flatten).collect(),
            _ => Vec::new(),
        },
        other => vec![other],
    }
}

/// Returns the place of a kind in install order, from 0. Kinds that Helm does not know come after all others.
///
/// Source: Helm v4.2 `pkg/release/v1/util/kind_sorter.go` (InstallOrder).
pub fn install_order(kind: &str) -> usize {
    INSTALL_ORDER.iter().position(|known| *known == kind).unwrap_or(INSTALL_ORDER.len())
}

/// Kinds in the order in which Helm installs them; those that are not here come last.
pub const INSTALL_ORDER: [&str; 38] = [
    "PriorityClass",
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "SecretList",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleList",
    "ClusterRoleBinding",
    "ClusterRoleBindingList",
    "Role",
    "RoleList",
    "RoleBinding",
    "RoleBindingList",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
];

/// Returns the scope of one of Kubernetes' own kinds; nothing for a group that is not Kubernetes' own.
///
/// Source: the API reference of Kubernetes 1.33 to 1.35.
pub fn scope(group: &str, kind: &str) -> Option<Scope> {
    const CLUSTER: [(&str, &[&str]); 13] = [
        ("", &["Namespace", "Node", "PersistentVolume", "ComponentStatus"]),
        ("apiextensions.k8s.io", &["CustomResourceDefinition"]),
        ("apiregistration.k8s.io", &["APIService"]),
        (
            "admissionregistration.k8s.io",
            &[
                "MutatingWebhookConfiguration",
                "ValidatingWebhookConfiguration",
                "ValidatingAdmissionPolicy",
                "ValidatingAdmissionPolicyBinding",
                "MutatingAdmissionPolicy",
                "MutatingAdmissionPolicyBinding",
            ],
        ),
        ("rbac.authorization.k8s.io", &["ClusterRole", "ClusterRoleBinding"]),
        ("storage.k8s.io", &["StorageClass", "CSIDriver", "CSINode", "VolumeAttachment", "VolumeAttributesClass"]),
        ("scheduling.k8s.io", &["PriorityClass"]),
        ("node.k8s.io", &["RuntimeClass"]),
        ("networking.k8s.io", &["IngressClass", "IPAddress", "ServiceCIDR"]),
        ("flowcontrol.apiserver.k8s.io", &["FlowSchema", "PriorityLevelConfiguration"]),
        ("certificates.k8s.io", &["CertificateSigningRequest", "ClusterTrustBundle"]),
        ("resource.k8s.io", &["DeviceClass", "ResourceSlice"]),
        ("policy", &["PodSecurityPolicy"]),
    ];
    const NAMESPACED_GROUPS: [&str; 8] = [
        "apps",
        "batch",
        "autoscaling",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "events.k8s.io",
        "extensions",
        "policy",
    ];
    let cluster = CLUSTER.iter().find(|(known, _)| *known == group);
    match cluster {
        Some((_, kinds)) if kinds.contains(&kind) => Some(Scope::Cluster),
        Some(_) => Some(Scope::Namespaced),
        None if NAMESPACED_GROUPS.contains(&group) => Some(Scope::Namespaced),
        None => None,
    }
}

/// The rule that [`is_dns_label`] checks, for people.
pub const DNS_LABEL_RULE: &str =
    "at most 63 characters, lower-case letters, digits and `-`, starting and ending with a letter or digit";

/// Tells whether `name` is a DNS label (RFC 1123), as names of namespaces, services and environments are.
pub fn is_dns_label(name: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = name.bytes().next().is_some_and(alphanumeric) && name.bytes().last().is_some_and(alphanumeric);
    ends && name.len() <= 63 && name.bytes().all(|b| alphanumeric(b) || b == b'-')
}

/// What the path of a URL can carry; kinds have stricter rules that only the API server knows (RBAC names contain `:`).
fn is_object_name(name: &str) -> bool {
    name.len() <= 253
        && name != "."
        && name != ".."
        && !name.contains(|c: char| c == '/' || c == '%' || c.is_whitespace() || c.is_control())
}

fn text(value: &Value, path: &[&str], required: bool, fail: &mut impl FnMut(String, &str)) -> String {
    let found = path.iter().try_fold(value, |value, key| value.get(key));
    if let Some(Value::String(text)) = found
        && !(required && text.is_empty())
    {
        return text.clone();
    }
    let field = path.join(".");
    let pointer = format!("/{}", path.join("/"));
    match found {
        Some(Value::String(_)) => fail(format!("`{field}` is empty"), &pointer),
        None | Some(Value::Null) => {
            if required {
                let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
                fail(format!("`{field}` is missing"), if value.pointer(parent).is_some() { parent } else { "" });
            }
        }
        Some(other) => fail(format!("`{field}` must be a string, not {}", type_name(other)), &pointer),
    }
    String::new()
}

/// Returns the type of a JSON value in the words that diagnostics use: `a mapping`, `a list`, `a string`, ...
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn manifest(value: Value) -> Manifest {
        Manifest::from_value(value).expect("a valid manifest")
    }

    #[test]
    fn identity_has_no_version() {
        let old = manifest(
            json!({"apiVersion": "extensions/v1", "kind": "Ingress", "metadata": {"name": "a", "namespace": "n"}}),
        );
        let new = manifest(
            json!({"apiVersion": "extensions/v2", "kind": "Ingress", "metadata": {"name": "a", "namespace": "n"}}),
        );
        assert_eq!(old.id, new.id);
        assert_eq!(old.id.to_string(), "Ingress.extensions n/a");
        assert_ne!(old.hash(), new.hash());
    }

    #[test]
    fn every_fault_of_a_document_is_named() {
        let errors = |value| {
            let errors = Manifest::from_value(value).expect_err("invalid");
            errors.into_iter().map(|e| format!("{} at {:?}", e.message, e.pointer)).collect::<Vec<_>>()
        };
        assert_eq!(errors(json!([])), ["a manifest must be a mapping, not a list at \"\""]);
        assert_eq!(
            errors(json!({"kind": 1})),
            [
                "`apiVersion` is missing at \"\"",
                "`kind` must be a string, not a number at \"/kind\"",
                "`metadata.name` is missing at \"\""
            ]
        );
        let named = |name: &str, namespace: &str| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}});
        assert_eq!(errors(named("", "n")), ["`metadata.name` is empty at \"/metadata/name\""]);
        assert!(errors(named("a/b", "n"))[0].starts_with("`a/b` is not a valid object name"));
        assert!(errors(named("a", "N"))[0].starts_with("`N` is not a valid namespace"));
        assert!(
            errors(json!({"apiVersion": "a/b/c", "kind": "K", "metadata": {"name": "x"}}))[0]
                .starts_with("`a/b/c` is not an API version")
        );
    }

    #[test]
    fn lists_are_flattened_at_any_depth() {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}});
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [pod, {"apiVersion": "v1", "kind": "PodList", "items": [pod]}]});
        assert_eq!(flatten(list), [pod.clone(), pod]);
        assert_eq!(flatten(json!({"kind": "List"})), [json!({"kind": "List"})]);
    }

    #[test]
    fn definitions_come_before_what_they_define() {
        let order =
            ["Namespace", "ConfigMap", "CustomResourceDefinition", "Service", "Deployment", "Ingress", "SomethingElse"];
        assert!(order.is_sorted_by_key(|kind| install_order(kind)));
    }

    #[test]
    fn scope_is_known_for_kubernetes_own_kinds_only() {
        assert_eq!(scope("", "Namespace"), Some(Scope::Cluster));
        assert_eq!(scope("", "Pod"), Some(Scope::Namespaced));
        assert_eq!(scope("apps", "Deployment"), Some(Scope::Namespaced));
        assert_eq!(scope("networking.k8s.io", "Ingress"), Some(Scope::Namespaced));
        assert_eq!(scope("networking.k8s.io", "IngressClass"), Some(Scope::Cluster));
        assert_eq!(scope("monitoring.coreos.com", "ServiceMonitor"), None);
    }

    #[test]
    fn dns_labels() {
        for good in ["a", "0", "a-b", &"a".repeat(63)] {
            assert!(is_dns_label(good), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", "ä", &"a".repeat(64)] {
            assert!(!is_dns_label(bad), "{bad}");
        }
    }
}
