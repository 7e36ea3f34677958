//! Tells whether an object is ready, by its kind.
//!
//! A pure function of one object as the API server shows it. Knows no other object: pods and events are not looked at here. Kinds without
//! a rule are ready as soon as they exist. Invariant: an object whose controller has not seen its present generation is never ready and
//! never failed.
//!
//! Sources: Kubernetes 1.33 `kubectl rollout status` (polymorphichelpers/rollout_status.go) for the workloads, the API reference for the
//! conditions of the others.

use serde_json::Value;

use crate::cluster::GroupKind;

/// How far an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It does what it is for.
    Ready,
    /// It may become ready by itself. Says what is missing, with numbers.
    Waiting(String),
    /// It will not become ready by itself. Says why.
    Failed(String),
}

use Readiness::{Failed, Ready, Waiting};

/// Tells whether objects of a kind can be anything but ready.
pub fn has_readiness(kind: &GroupKind) -> bool {
    rule(&kind.group, &kind.kind).is_some()
}

/// Tells how far an object is. `value` is the whole object.
pub fn readiness(kind: &GroupKind, value: &Value) -> Readiness {
    let Some(rule) = rule(&kind.group, &kind.kind) else { return Ready };
    if value.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null()) {
        return Waiting("it is being deleted".to_owned());
    }
    rule(value)
}

fn rule(group: &str, kind: &str) -> Option<fn(&Value) -> Readiness> {
    Some(match (group, kind) {
        ("apps", "Deployment") => deployment,
        ("apps", "StatefulSet") => stateful_set,
        ("apps", "DaemonSet") => daemon_set,
        ("apps", "ReplicaSet") => replica_set,
        ("batch", "Job") => job,
        ("", "Pod") => pod,
        ("", "Namespace") => namespace,
        ("", "PersistentVolumeClaim") => claim,
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition,
        ("apiregistration.k8s.io", "APIService") => api_service,
        _ => return None,
    })
}

// ------------------------------------------------------------------------------------------------------------------ workloads

fn deployment(value: &Value) -> Readiness {
    if let Some(waiting) = unseen_generation(value) {
        return waiting;
    }
    let wanted = number(value, "/spec/replicas").unwrap_or(1);
    let [total, updated, available] =
        ["replicas", "updatedReplicas", "availableReplicas"].map(|name| status(value, name));
    let stuck = condition(value, "Progressing").filter(|c| c.reason == "ProgressDeadlineExceeded");
    let missing = match () {
        () if updated < wanted => count(updated, wanted, "replicas updated"),
        () if total > updated => format!("{} to terminate", replicas(total - updated, "old ")),
        () if available < updated => count(available, updated, "updated replicas available"),
        () => return Ready,
    };
    if value.pointer("/spec/paused") == Some(&Value::Bool(true)) {
        return Waiting(format!("{missing}; it is paused"));
    }
    if let Some(stuck) = stuck {
        return Failed(format!("progress deadline exceeded: {missing}{}", stuck.and_message()));
    }
    let refused = condition(value, "ReplicaFailure").filter(|c| c.status == "True");
    Waiting(missing + &refused.map(|c| c.and_message()).unwrap_or_default())
}

fn stateful_set(value: &Value) -> Readiness {
    if let Some(waiting) = unseen_generation(value) {
        return waiting;
    }
    let wanted = number(value, "/spec/replicas").unwrap_or(1);
    let [updated, ready] = ["updatedReplicas", "readyReplicas"].map(|name| status(value, name));
    let on_delete = value.pointer("/spec/updateStrategy/type").is_some_and(|kind| kind == "OnDelete");
    if ready < wanted {
        return Waiting(count(ready, wanted, "replicas ready"));
    }
    let revision = |name: &str| value.get("status").and_then(|status| status.get(name)).and_then(Value::as_str);
    if on_delete || revision("updateRevision") == revision("currentRevision") {
        return Ready; // With OnDelete the new revision comes when somebody deletes the pods: nothing that can be waited for.
    }
    match number(value, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0) {
        0 => Waiting(count(updated, wanted, "replicas updated")),
        partition if updated >= wanted - partition => Ready,
        partition => {
            Waiting(format!("{} (partition {partition})", count(updated, wanted - partition, "replicas updated")))
        }
    }
}

fn daemon_set(value: &Value) -> Readiness {
    if let Some(waiting) = unseen_generation(value) {
        return waiting;
    }
    let names = ["desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable"];
    let [wanted, updated, available] = names.map(|name| status(value, name));
    let on_delete = value.pointer("/spec/updateStrategy/type").is_some_and(|kind| kind == "OnDelete");
    match () {
        () if updated < wanted && !on_delete => Waiting(count(updated, wanted, "pods updated")),
        () if available < wanted => Waiting(count(available, wanted, "pods available")),
        () => Ready,
    }
}

fn replica_set(value: &Value) -> Readiness {
    if let Some(waiting) = unseen_generation(value) {
        return waiting;
    }
    let wanted = number(value, "/spec/replicas").unwrap_or(1);
    let [total, available] = ["replicas", "availableReplicas"].map(|name| status(value, name));
    let refused = condition(value, "ReplicaFailure").filter(|c| c.status == "True");
    match () {
        () if total > wanted => Waiting(format!("{} to terminate", replicas(total - wanted, ""))),
        () if available < wanted => Waiting(
            count(available, wanted, "replicas available") + &refused.map(|c| c.and_message()).unwrap_or_default(),
        ),
        () => Ready,
    }
}

fn job(value: &Value) -> Readiness {
    if let Some(failed) = condition(value, "Failed").filter(|c| c.status == "True") {
        return Failed(format!("the job failed{}", failed.and_message()));
    }
    if condition(value, "Complete").is_some_and(|c| c.status == "True") {
        return Ready;
    }
    if value.pointer("/spec/suspend") == Some(&Value::Bool(true)) {
        return Waiting("the job is suspended".to_owned());
    }
    let wanted = number(value, "/spec/completions").or_else(|| number(value, "/spec/parallelism")).unwrap_or(1);
    Waiting(format!(
        "{}, {} active, {} failed",
        count(status(value, "succeeded"), wanted, "pods succeeded"),
        status(value, "active"),
        status(value, "failed")
    ))
}

fn pod(value: &Value) -> Readiness {
    let phase = text(value, "/status/phase");
    match phase {
        "Succeeded" => return Ready,
        "Failed" => return Failed(format!("the pod failed{}", suffix(text(value, "/status/message")))),
        _ => {}
    }
    match condition(value, "Ready") {
        Some(ready) if ready.status == "True" => Ready,
        Some(ready) => Waiting(format!("the pod is not ready{}", ready.and_message())),
        None => Waiting(format!("the pod is {}", if phase.is_empty() { "not scheduled" } else { phase })),
    }
}

// -------------------------------------------------------------------------------------------------------------------- the rest

fn namespace(value: &Value) -> Readiness {
    match text(value, "/status/phase") {
        "Active" => Ready,
        "" => Waiting("the namespace has no phase yet".to_owned()),
        phase => Waiting(format!("the namespace is {phase}")),
    }
}

/// A claim that waits for its first consumer is as ready as it can be without one, so only `Lost` is a failure and `Pending` is waited for
/// only when the claim names its volume.
fn claim(value: &Value) -> Readiness {
    match text(value, "/status/phase") {
        "Bound" => Ready,
        "Lost" => Failed("the claim lost its volume".to_owned()),
        _ if text(value, "/spec/volumeName").is_empty() => Ready,
        _ => Waiting(format!("volume `{}` is not bound", text(value, "/spec/volumeName"))),
    }
}

fn definition(value: &Value) -> Readiness {
    if let Some(refused) = condition(value, "NamesAccepted").filter(|c| c.status == "False") {
        return Failed(format!("its names are not accepted{}", refused.and_message()));
    }
    match condition(value, "Established") {
        Some(established) if established.status == "True" => Ready,
        Some(established) => Waiting(format!("it is not established{}", established.and_message())),
        None => Waiting("it is not established".to_owned()),
    }
}

fn api_service(value: &Value) -> Readiness {
    match condition(value, "Available") {
        Some(available) if available.status == "True" => Ready,
        Some(available) => Waiting(format!("it is not available{}", available.and_message())),
        None => Waiting("it is not available".to_owned()),
    }
}

// --------------------------------------------------------------------------------------------------------------------- reading

struct Condition<'a> {
    status: &'a str,
    reason: &'a str,
    message: &'a str,
}

impl Condition<'_> {
    fn and_message(&self) -> String {
        suffix(if self.message.is_empty() { self.reason } else { self.message })
    }
}

fn suffix(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

fn condition<'a>(value: &'a Value, kind: &str) -> Option<Condition<'a>> {
    let conditions = value.pointer("/status/conditions")?.as_array()?;
    let found = conditions.iter().find(|condition| condition.get("type").is_some_and(|found| found == kind))?;
    let text = |name: &str| found.get(name).and_then(Value::as_str).unwrap_or_default();
    Some(Condition { status: text("status"), reason: text("reason"), message: text("message") })
}

fn unseen_generation(value: &Value) -> Option<Readiness> {
    let generation = number(value, "/metadata/generation").unwrap_or(0);
    let observed = number(value, "/status/observedGeneration").unwrap_or(0);
    (observed < generation).then(|| Waiting("its controller has not seen the change yet".to_owned()))
}

fn number(value: &Value, pointer: &str) -> Option<i64> {
    value.pointer(pointer)?.as_i64()
}

fn status(value: &Value, name: &str) -> i64 {
    value.get("status").and_then(|status| status.get(name)).and_then(Value::as_i64).unwrap_or(0)
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn count(have: i64, wanted: i64, what: &str) -> String {
    format!("{have} of {wanted} {what}")
}

fn replicas(count: i64, adjective: &str) -> String {
    format!("{count} {adjective}{}", if count == 1 { "replica" } else { "replicas" })
}

#[cfg(test)]
#[path = "readiness/tests.rs"]
mod tests;
