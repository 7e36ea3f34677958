//! Tells how far an object is, by its kind.
//!
//! A pure function of one object as the API server shows it: one for each kind that Kubernetes brings (`workloads`, `builtin`), rules and
//! conventions for the others (`custom`). Pods and events of a workload are judged in `pods`, which tells early that it will not get
//! there. Knows no request and no time. Invariants: an object whose controller has not seen its present generation is never current and
//! never failed; an object that is being deleted is nothing else.
//!
//! Sources are named at each function. Where `kubectl rollout status`, kstatus and Argo CD differ, the stricter holds: a Job is current
//! when it is complete, not when it has started; a failed Pod has failed; a load balancer has an address; a claim that waits for its first
//! consumer is waited for by nobody.

mod builtin;
mod custom;
pub mod pods;
mod reading;
mod workloads;

use serde_json::Value;

use crate::cluster::GroupKind;
use crate::rules::Rules;

/// How far an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It does what it is for.
    Current,
    /// It may become current by itself. Says what is missing, with numbers.
    InProgress(String),
    /// It will not become current by itself. Says why.
    Failed(String),
    /// It is being deleted.
    Terminating,
    /// It does not exist.
    NotFound,
    /// It says nothing that could be understood: after a moment without a change it counts as current.
    Unknown(String),
}

use Readiness::{Current, InProgress, NotFound, Terminating, Unknown};

/// Annotation that says what an Ingress, Gateway or other optional address is waited for: `address`; or `now`: nothing.
pub const ANNOTATION_READY: &str = "syncd/ready";

/// Tells whether objects like this one, as it is wanted, can be anything but current: whether it has to be looked at.
pub fn is_waited_for(kind: &GroupKind, manifest: &Value) -> bool {
    let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    if reading::annotation(manifest, ANNOTATION_READY) == "now" {
        return false;
    }
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Service") => text("/spec/type") == "LoadBalancer",
        ("networking.k8s.io", "Ingress") => builtin::wants_address(manifest),
        _ => builtin::rule(kind).is_some() || is_custom(kind),
    }
}

/// Tells whether a kind is not one of Kubernetes' own.
pub fn is_custom(kind: &GroupKind) -> bool {
    const OWN: [&str; 22] = [
        "",
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "apps",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "autoscaling",
        "batch",
        "certificates.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "events.k8s.io",
        "flowcontrol.apiserver.k8s.io",
        "internal.apiserver.k8s.io",
        "networking.k8s.io",
        "node.k8s.io",
        "policy",
        "rbac.authorization.k8s.io",
        "resource.k8s.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
    ];
    !OWN.contains(&kind.group.as_str())
}

/// Tells how far an object is. `value` is the whole object; absent where it does not exist.
pub fn readiness(kind: &GroupKind, value: Option<&Value>, rules: &Rules) -> Readiness {
    let Some(value) = value else { return NotFound };
    if value.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null()) {
        return Terminating;
    }
    match builtin::rule(kind) {
        Some(rule) => rule(value),
        None if is_custom(kind) => custom::readiness(kind, value, rules),
        None => Current,
    }
}

impl Readiness {
    /// Says what is missing, for people; nothing where nothing is.
    pub fn missing(self) -> Option<String> {
        Some(match self {
            Current => return None,
            InProgress(why) | Readiness::Failed(why) | Unknown(why) => why,
            Terminating => "it is being deleted".to_owned(),
            NotFound => "it does not exist".to_owned(),
        })
    }
}
