//! How names, labels and annotations are written.
//!
//! Names of objects have a rule by kind; all other names are one of a few forms, each with the words for it. Source: the API conventions of
//! Kubernetes ("Object Names and IDs", "Labels and Selectors", "Annotations") and answers of kube-apiserver 1.35, see
//! `tests/validation`. Invariant: no name is repeated in a message.

use manifest::object::{DNS_LABEL_RULE, Manifest, is_dns_label};
use serde_json::Value;

use super::part::Part;
use super::{Finding, definitions};

/// Total size of all annotations, in bytes.
const ANNOTATIONS_BYTES_MAX: usize = 256 << 10;
/// Longest name of a CronJob, whose Jobs get eleven characters more.
const CRON_JOB_NAME_MAX: usize = 52;

const SUBDOMAIN_RULE: &str = "must have at most 253 characters, lower-case letters, digits, `-` and `.`, each part starting and ending with a letter or digit";
const LABEL_1035_RULE: &str = "must have at most 63 characters, lower-case letters, digits and `-`, starting with a letter and ending with a letter or digit";
const LABEL_VALUE_RULE: &str =
    "must have at most 63 characters, letters, digits, `-`, `_` and `.`, starting and ending with a letter or digit";

/// Adds what is wrong with the name, the labels and the annotations of an object.
pub(super) fn metadata(manifest: &Manifest, found: &mut Vec<Finding>) {
    let whole = Part::whole(&manifest.value);
    let metadata = whole.field("metadata");
    let name = metadata.field("name");
    if let Some(rule) = name_problem(&manifest.id.group, &manifest.id.kind, &manifest.id.name) {
        found.push(name.wrong("bad-name", format!("`metadata.name` {rule}")));
    }
    labels(&metadata.field("labels"), found);
    annotations(&metadata.field("annotations"), found);
}

/// Says how the name of an object of this kind must be written, where it is not.
fn name_problem(group: &str, kind: &str, name: &str) -> Option<String> {
    let label = || format!("must have {DNS_LABEL_RULE}");
    match (group, kind) {
        // Any path segment, which every name is.
        ("rbac.authorization.k8s.io", _) => None,
        ("", "Service") => (!is_dns_1035(name)).then(|| LABEL_1035_RULE.to_owned()),
        ("", "Namespace") => (!is_dns_label(name)).then(label),
        ("batch", "CronJob") if name.len() > CRON_JOB_NAME_MAX => {
            Some(format!("must have at most {CRON_JOB_NAME_MAX} characters: its Jobs are called after it"))
        }
        ("apiextensions.k8s.io", definitions::KIND) => None,
        _ => (!is_subdomain(name)).then(|| SUBDOMAIN_RULE.to_owned()),
    }
}

/// Adds what is wrong with a map of labels.
pub(super) fn labels(labels: &Part<'_, '_>, found: &mut Vec<Finding>) {
    for (key, value) in labels.entries() {
        if let Some(rule) = key_problem(key) {
            found.push(Finding {
                end: super::End::Key,
                ..value.wrong("bad-label", format!("the key of `{}` {rule}", value.path()))
            });
        }
        if let Value::String(text) = value.value
            && !is_label_value(text)
        {
            found.push(value.wrong("bad-label", format!("`{}` {LABEL_VALUE_RULE}", value.path())));
        }
    }
}

/// Adds what is wrong with a map of annotations.
pub(super) fn annotations(annotations: &Part<'_, '_>, found: &mut Vec<Finding>) {
    let mut size = 0;
    for (key, value) in annotations.entries() {
        size += key.len() + value.text().len();
        if let Some(rule) = key_problem(&key.to_lowercase()) {
            found.push(Finding {
                end: super::End::Key,
                ..value.wrong("bad-label", format!("the key of `{}` {rule}", value.path()))
            });
        }
    }
    if size > ANNOTATIONS_BYTES_MAX {
        let what = format!("must have at most {ANNOTATIONS_BYTES_MAX} bytes in all, not {size}");
        found.push(annotations.must(&what));
    }
}

/// Says how the key of a label must be written, where it is not.
pub(super) fn key_problem(key: &str) -> Option<&'static str> {
    let name = match key.split_once('/') {
        None => key,
        Some((prefix, _)) if !is_subdomain(prefix) => return Some("must have a DNS name before the `/`"),
        Some((_, name)) => name,
    };
    let fits = !name.is_empty() && is_label_value(name);
    (!fits).then_some(
        "must have at most 63 characters, letters, digits, `-`, `_` and `.`, starting and ending with a letter or digit, after a DNS name and `/` where it has one",
    )
}

pub(super) fn is_label_value(text: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

/// Whether a text is a DNS name (RFC 1123 subdomain).
pub(super) fn is_subdomain(text: &str) -> bool {
    let is_part = |part: &str| {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        part.bytes().next().is_some_and(fits)
            && part.bytes().last().is_some_and(fits)
            && part.bytes().all(|byte| fits(byte) || byte == b'-')
    };
    text.len() <= 253 && text.split('.').all(is_part)
}

/// Whether a text is a DNS label that starts with a letter (RFC 1035).
pub(super) fn is_dns_1035(text: &str) -> bool {
    is_dns_label(text) && text.starts_with(|first: char| first.is_ascii_lowercase())
}

/// Adds that a name that is there is no DNS label.
pub(super) fn label(name: &Part<'_, '_>, found: &mut Vec<Finding>) {
    if let Value::String(text) = name.value
        && !is_dns_label(text)
    {
        found.push(name.wrong("bad-name", format!("`{}` must have {DNS_LABEL_RULE}", name.path())));
    }
}

/// Adds that a name that is there is no DNS name.
pub(super) fn subdomain(name: &Part<'_, '_>, found: &mut Vec<Finding>) {
    if let Value::String(text) = name.value
        && !is_subdomain(text)
    {
        found.push(name.wrong("bad-name", format!("`{}` {SUBDOMAIN_RULE}", name.path())));
    }
}

/// The form of the name of a port (RFC 6335).
const PORT_NAME_RULE: &str = "must have at most 15 characters, lower-case letters, digits and `-`, at least one letter, and no `-` at an end or twice in a row";

/// Adds that the name of a port is none.
pub(super) fn port_name(name: &Part<'_, '_>, found: &mut Vec<Finding>) {
    let Value::String(text) = name.value else { return };
    let fits = (1..=15).contains(&text.len())
        && is_dns_label(text)
        && !text.contains("--")
        && text.bytes().any(|byte| byte.is_ascii_lowercase());
    if !fits {
        found.push(name.wrong("bad-name", format!("`{}` {PORT_NAME_RULE}", name.path())));
    }
}

/// Adds what is wrong with the keys of a ConfigMap or Secret.
pub(super) fn data_keys(data: &Part<'_, '_>, found: &mut Vec<Finding>) {
    for (key, value) in data.entries() {
        let fits = !key.is_empty()
            && key.len() <= 253
            && key != "."
            && !key.starts_with("..")
            && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !fits {
            let message = format!(
                "the key of `{}` must have at most 253 letters, digits, `-`, `_` and `.`, and must not be `.` or begin with `..`",
                value.path()
            );
            found.push(Finding { end: super::End::Key, ..value.wrong("bad-name", message) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_held_to_their_form() {
        for good in ["a", "a.b/c", "A_b-9", "x.io/Part.of"] {
            assert_eq!(key_problem(good), None, "{good}");
        }
        for bad in ["", "-a", "a/", "/a", "a b", "A!/b", "a/b/c"] {
            assert!(key_problem(bad).is_some(), "{bad}");
        }
        assert!(
            is_label_value("")
                && is_label_value("A.b_c-1")
                && !is_label_value("a-")
                && !is_label_value(&"a".repeat(64))
        );
        assert!(is_subdomain("a-1.b") && !is_subdomain("a..b") && !is_subdomain("A") && !is_subdomain(""));
        assert!(is_dns_1035("a1") && !is_dns_1035("1a"));
        assert_eq!(name_problem("", "Service", "1a").as_deref(), Some(LABEL_1035_RULE));
        assert_eq!(name_problem("rbac.authorization.k8s.io", "Role", "system:a"), None);
        assert!(name_problem("batch", "CronJob", &"a".repeat(53)).is_some());
    }
}
