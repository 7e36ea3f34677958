//! Configuration, storage, permissions, definitions: kinds that run nothing.
//!
//! Source: the API references of `v1`, `rbac.authorization.k8s.io/v1`, `apiextensions.k8s.io/v1`, `admissionregistration.k8s.io/v1`.
//! Invariant: of the values of a ConfigMap or Secret only keys and lengths are looked at.

use serde_json::Value;

use super::{Part, exactly_one, names, required, text};
use crate::validation::Finding;

/// Total size of the values of a ConfigMap or Secret, in bytes.
const DATA_BYTES_MAX: usize = 1 << 20;

pub(super) fn data(whole: &Part<'_, '_>, found: &mut Vec<Finding>) {
    let (data, binary) = (whole.field("data"), whole.field("binaryData"));
    let mut size = 0;
    for one in [data, binary, whole.field("stringData")] {
        names::data_keys(&one, found);
        size += one.entries().map(|(_, value)| value.text().len()).sum::<usize>();
    }
    for (key, value) in binary.entries() {
        if data.field(key).is_there() {
            found.push(value.must("must not be in `data`, too"));
        }
    }
    // Base64 takes four characters for three bytes.
    if size > DATA_BYTES_MAX / 3 * 4 {
        found.push(data.must(&format!("must have at most {DATA_BYTES_MAX} bytes in all")));
    }
    let keys: &[&str] = match whole.field("type").text() {
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        _ => &[],
    };
    let text = whole.field("stringData");
    for key in keys.iter().filter(|key| !data.field(key).is_there() && !text.field(key).is_there()) {
        found.push(whole.wrong("missing-field", format!("`data` has no `{key}`, which a Secret of its type has")));
    }
}

pub(super) fn claim(spec: &Part<'_, '_>, found: &mut Vec<Finding>) {
    required(spec, "accessModes", found);
    let resources = spec.field("resources");
    let requests = resources.field("requests");
    if !requests.field("storage").is_there() {
        found.push(spec.wrong("missing-field", format!("`{}` is missing", requests.field("storage").path())));
    }
}

pub(super) fn role(whole: &Part<'_, '_>, found: &mut Vec<Finding>) {
    for rule in whole.field("rules").items() {
        if rule.field("verbs").value.as_array().is_some_and(Vec::is_empty) {
            found.push(rule.field("verbs").must("must have at least one item"));
        }
        let urls = rule.field("nonResourceURLs");
        if urls.items().next().is_some() {
            if whole.field("kind").text() == "Role" {
                found.push(urls.must("must not be there: only a ClusterRole can have it"));
            }
            if rule.field("resources").items().next().is_some() {
                found.push(urls.must("must not be there beside `resources`: write two rules"));
            }
            continue;
        }
        for field in ["apiGroups", "resources"] {
            required(&rule, field, found);
        }
    }
}

const RBAC: &str = "rbac.authorization.k8s.io";

pub(super) fn binding(whole: &Part<'_, '_>, found: &mut Vec<Finding>) {
    let role = whole.field("roleRef");
    text(&role.field("name"), found);
    let (group, kind) = (role.field("apiGroup"), role.field("kind"));
    if !matches!(group.text(), "" | RBAC) {
        found.push(group.must(&format!("must be `{RBAC}`")));
    }
    let kinds: &[&str] =
        if whole.field("kind").text() == "RoleBinding" { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    if kind.value.is_string() && !kinds.contains(&kind.text()) {
        found.push(kind.must(&format!("must be {}", kinds.join(" or "))));
    }
    for subject in whole.field("subjects").items() {
        let kind = subject.field("kind");
        text(&subject.field("name"), found);
        let groups: &[&str] = match kind.text() {
            "ServiceAccount" => &[""],
            "User" | "Group" => &["", RBAC],
            _ if kind.value.is_string() => {
                found.push(kind.must("must be one of ServiceAccount, User, Group"));
                continue;
            }
            _ => continue,
        };
        let group = subject.field("apiGroup");
        if !groups.contains(&group.text()) {
            let what = if groups.len() > 1 { format!("must be `{RBAC}`") } else { "must not be there".to_owned() };
            found.push(group.must(&what));
        }
        let is_everywhere = whole.field("kind").text() == "ClusterRoleBinding";
        if is_everywhere && kind.text() == "ServiceAccount" && subject.field("namespace").text().is_empty() {
            found.push(subject.misses("namespace"));
        }
    }
}

pub(super) fn definition(whole: &Part<'_, '_>, found: &mut Vec<Finding>) {
    let spec = whole.field("spec");
    let (names, metadata) = (spec.field("names"), whole.field("metadata"));
    let (plural, group) = (names.field("plural").text(), spec.field("group").text());
    if !plural.is_empty() && !group.is_empty() && metadata.field("name").text() != format!("{plural}.{group}") {
        found.push(metadata.field("name").must("must be `spec.names.plural`, a dot, and `spec.group`"));
    }
    let scope = spec.field("scope");
    if scope.value.is_string() && !matches!(scope.text(), "Cluster" | "Namespaced") {
        found.push(scope.must("must be Cluster or Namespaced"));
    }
    let versions = spec.field("versions");
    let stored = versions.items().filter(|version| version.field("storage").value == &Value::Bool(true)).count();
    if versions.value.is_array() && stored != 1 {
        found.push(versions.must(&format!("must have exactly one item with `storage: true`, not {stored}")));
    }
    for version in versions.items() {
        let schema = version.field("schema");
        let schema = schema.field("openAPIV3Schema");
        if !schema.is_there() {
            found.push(version.wrong("missing-field", format!("`{}` is missing", schema.path())));
        } else if schema.field("type").text() != "object" {
            found.push(schema.must("must have `type: object`"));
        }
    }
}

pub(super) fn webhooks(whole: &Part<'_, '_>, found: &mut Vec<Finding>) {
    for webhook in whole.field("webhooks").items() {
        let name = webhook.field("name");
        if name.value.is_string() && (name.text().split('.').count() < 3 || !names::is_subdomain(name.text())) {
            found.push(name.must("must be a DNS name with at least three parts, like `check.example.com`"));
        }
        let client = webhook.field("clientConfig");
        if client.value.is_object() {
            exactly_one(&client, &["service", "url"], found);
        }
        required(&webhook, "admissionReviewVersions", found);
    }
}
