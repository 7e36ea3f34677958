//! What an API server asks of objects beyond the types of their fields.
//!
//! A function a kind, over [`Part`]s of the object. They leave alone what the schema has found already: a field that is missing or of
//! the wrong type there is as good as any other here. Source: the API reference of Kubernetes and answers of kube-apiserver 1.35, recorded in
//! `tests/validation`: each rule here has a manifest there that breaks it. Not every rule of every kind: those that people meet. Invariant:
//! what a cluster would fill in is not missed.

mod configuration;
mod network;
mod pods;
mod selectors;
mod workloads;

use std::collections::BTreeMap;

use manifest::object::Manifest;
use serde_json::Value;

use super::part::Part;
use super::{Finding, names};

/// Adds what is wrong with an object of one of Kubernetes' own kinds.
pub(super) fn check(manifest: &Manifest, found: &mut Vec<Finding>) {
    names::metadata(manifest, found);
    let whole = Part::whole(&manifest.value);
    let spec = whole.field("spec");
    match (manifest.id.group.as_str(), manifest.id.kind.as_str()) {
        ("apps", "Deployment") => workloads::deployment(&spec, found),
        ("apps", "ReplicaSet") => workloads::replicas(&spec, found),
        ("apps", "StatefulSet") => workloads::stateful_set(&spec, found),
        ("apps", "DaemonSet") => workloads::daemon_set(&spec, found),
        ("batch", "Job") => workloads::job(&spec, found),
        ("batch", "CronJob") => workloads::cron_job(&spec, found),
        ("", "Pod") => pods::spec(&spec, &[], found),
        ("", "Service") => network::service(&spec, found),
        ("networking.k8s.io", "Ingress") => network::ingress(&whole, &spec, found),
        ("networking.k8s.io", "NetworkPolicy") => network::policy(&spec, found),
        ("autoscaling", "HorizontalPodAutoscaler") => workloads::autoscaler(&spec, found),
        ("policy", "PodDisruptionBudget") => workloads::disruption_budget(&spec, found),
        ("", "ConfigMap" | "Secret") => configuration::data(&whole, found),
        ("", "PersistentVolumeClaim") => configuration::claim(&spec, found),
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => configuration::role(&whole, found),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => configuration::binding(&whole, found),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => configuration::definition(&whole, found),
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration") => {
            configuration::webhooks(&whole, found);
        }
        _ => {}
    }
}

/// Adds that a number that is there is less than it may be.
fn at_least(least: i64, part: &Part<'_, '_>, found: &mut Vec<Finding>) {
    if part.number().is_some_and(|number| number < least) {
        found.push(part.must(&format!("must be at least {least}")));
    }
}

/// Adds that a number that is there is no port.
fn port(part: &Part<'_, '_>, found: &mut Vec<Finding>) {
    if part.number().is_some_and(|number| !(1..=65535).contains(&number)) {
        found.push(part.must("must be between 1 and 65535"));
    }
}

/// Adds that what is there is neither the number nor the name of a port.
fn port_or_name(part: &Part<'_, '_>, found: &mut Vec<Finding>) {
    port(part, found);
    names::port_name(part, found);
}

/// Adds that there is no text where there must be one; the schema has said so where it asks for the field.
fn text(part: &Part<'_, '_>, found: &mut Vec<Finding>) {
    if matches!(part.value, Value::String(text) if text.is_empty()) {
        found.push(part.must("must not be empty"));
    }
}

/// Adds that a field is missing, or empty, which the schema does not ask for.
fn required(parent: &Part<'_, '_>, field: &str, found: &mut Vec<Finding>) {
    let part = parent.field(field);
    match part.value {
        Value::Null => found.push(parent.misses(field)),
        Value::String(text) if text.is_empty() => found.push(part.must("must not be empty")),
        Value::Array(items) if items.is_empty() => found.push(part.must("must have at least one item")),
        _ => {}
    }
}

/// Which of several fields are there.
fn those_there<'f>(parent: &Part<'_, '_>, fields: &[&'f str]) -> Vec<&'f str> {
    fields.iter().copied().filter(|field| parent.field(field).is_there()).collect()
}

/// Adds that not exactly one of several fields is there.
fn exactly_one(parent: &Part<'_, '_>, fields: &[&str], found: &mut Vec<Finding>) {
    let there = those_there(parent, fields);
    let list = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match there.as_slice() {
        [_] => {}
        [] => found.push(parent.must(&format!("must have one of {}", list(fields)))),
        many => found.push(parent.must(&format!("must have only one of {}", list(many)))),
    }
}

/// Adds that a value that is there is neither a whole number from 0 on nor such a percentage.
fn count_or_percentage(part: &Part<'_, '_>, found: &mut Vec<Finding>) {
    at_least(0, part, found);
    if let Value::String(text) = part.value {
        let digits = text.strip_suffix('%').unwrap_or_default();
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            found.push(part.must("must be a whole number or a percentage like `25%`"));
        }
    }
}

/// Adds every item of a list whose name an earlier one has.
fn unique<'p, 'v: 'p>(items: impl Iterator<Item = Part<'p, 'v>>, what: &str, found: &mut Vec<Finding>) {
    let mut seen: BTreeMap<&str, Part<'_, '_>> = BTreeMap::new();
    for item in items.filter(|item| !item.text().is_empty()) {
        match seen.get(item.text()) {
            Some(first) => {
                let message = format!("`{}` is {what} that `{}` has, too", item.path(), first.path());
                found.push(item.wrong("duplicate-item", message));
            }
            None => drop(seen.insert(item.text(), item)),
        }
    }
}
