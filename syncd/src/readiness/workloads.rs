//! How far what runs is: Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs, CronJobs, Pods.
//!
//! Sources: `kubectl rollout status` of Kubernetes 1.33 (polymorphichelpers/rollout_status.go) and the API reference of `apps/v1`,
//! `batch/v1` and `v1`. Invariant: numbers in a message are the ones that were compared.

use serde_json::Value;

use super::Readiness::{self, Current, Failed, InProgress};
use super::reading::{condition, count, generation, is_true, list, number, observed_generation, status, suffix, text};

fn unseen_generation(value: &Value) -> Option<Readiness> {
    let observed = observed_generation(value).unwrap_or(0);
    (observed < generation(value)).then(|| InProgress("its controller has not seen the change yet".to_owned()))
}

fn replicas(count: i64, adjective: &str) -> String {
    format!("{count} {adjective}{}", if count == 1 { "replica" } else { "replicas" })
}

/// The rollout is over when all replicas are of the present template and available, and no old one is left. `Progressing` with
/// `ProgressDeadlineExceeded` is a failure only while something is missing: the condition stays for a while after a late success.
pub(super) fn deployment(value: &Value) -> Readiness {
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
        () if updated > wanted => format!("{} to terminate", replicas(updated - wanted, "")),
        () => return Current,
    };
    if is_true(value, "/spec/paused") {
        return InProgress(format!("{missing}; it is paused"));
    }
    if let Some(stuck) = stuck {
        return Failed(format!("progress deadline exceeded: {missing}{}", stuck.and_message()));
    }
    let refused = condition(value, "ReplicaFailure").filter(|c| c.is_true());
    InProgress(missing + &refused.map(|c| c.and_message()).unwrap_or_default())
}

/// With a partition only the ordinals from it on are updated; with `OnDelete` a pod is updated when somebody deletes it, which nobody
/// waits for. A rolling update is over when the controller says that the current revision is the new one.
pub(super) fn stateful_set(value: &Value) -> Readiness {
    if let Some(waiting) = unseen_generation(value) {
        return waiting;
    }
    let wanted = number(value, "/spec/replicas").unwrap_or(1);
    let [total, updated, ready] = ["replicas", "updatedReplicas", "readyReplicas"].map(|name| status(value, name));
    let available = number(value, "/status/availableReplicas");
    if ready < wanted {
        return InProgress(count(ready, wanted, "replicas ready"));
    }
    if let Some(available) = available.filter(|available| *available < wanted) {
        return InProgress(count(available, wanted, "replicas available"));
    }
    if total > wanted {
        return InProgress(format!("{} to terminate", replicas(total - wanted, "")));
    }
    if text(value, "/spec/updateStrategy/type") == "OnDelete" {
        return Current;
    }
    if text(value, "/status/updateRevision") == text(value, "/status/currentRevision") {
        return Current;
    }
    match number(value, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0) {
        0 => InProgress(count(updated, wanted, "replicas updated")),
        partition if updated >= wanted - partition => Current,
        partition => {
            InProgress(format!("{} (partition {partition})", count(updated, wanted - partition, "replicas updated")))
        }
    }
}

/// With `OnDelete` only the pods that exist have to be available.
pub(super) fn daemon_set(value: &Value) -> Readiness {
    if let Some(waiting) = unseen_generation(value) {
        return waiting;
    }
    let names = ["desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable"];
    let [wanted, updated, available] = names.map(|name| status(value, name));
    let on_delete = text(value, "/spec/updateStrategy/type") == "OnDelete";
    match () {
        () if updated < wanted && !on_delete => InProgress(count(updated, wanted, "pods updated")),
        () if available < wanted => InProgress(count(available, wanted, "pods available")),
        () => Current,
    }
}

pub(super) fn replica_set(value: &Value) -> Readiness {
    if let Some(waiting) = unseen_generation(value) {
        return waiting;
    }
    let wanted = number(value, "/spec/replicas").unwrap_or(1);
    let [total, available] = ["replicas", "availableReplicas"].map(|name| status(value, name));
    let refused = condition(value, "ReplicaFailure").filter(|c| c.is_true());
    match () {
        () if total > wanted => InProgress(format!("{} to terminate", replicas(total - wanted, ""))),
        () if available < wanted => InProgress(
            count(available, wanted, "replicas available") + &refused.map(|c| c.and_message()).unwrap_or_default(),
        ),
        () => Current,
    }
}

/// A Job is current when it is complete. `FailureTarget` (1.31) comes as soon as the verdict is certain, `Failed` when its pods are gone;
/// `SuccessCriteriaMet` is not yet `Complete`.
pub(super) fn job(value: &Value) -> Readiness {
    let is = |of: &str| condition(value, of).filter(|c| c.is_true());
    if is("Complete").is_some() {
        return Current;
    }
    if let Some(failed) = is("Failed").or_else(|| is("FailureTarget")) {
        let failures = status(value, "failed");
        let counted = if failures > 0 { format!(" after {failures} failed pods") } else { String::new() };
        return Failed(format!("the job failed{counted}{}", failed.words()));
    }
    if is_true(value, "/spec/suspend") {
        return InProgress("the job is suspended".to_owned());
    }
    let wanted = number(value, "/spec/completions").or_else(|| number(value, "/spec/parallelism")).unwrap_or(1);
    InProgress(format!(
        "{}, {} active, {} failed",
        count(status(value, "succeeded"), wanted, "pods succeeded"),
        status(value, "active"),
        status(value, "failed")
    ))
}

/// What it starts is its own affair: an applied CronJob is current, suspended or not.
pub(super) fn cron_job(_value: &Value) -> Readiness {
    Current
}

/// Ready, or over and well. A container that is restarted keeps its pod `Running`, so that is read from `Ready`, not from the phase.
pub(super) fn pod(value: &Value) -> Readiness {
    let phase = text(value, "/status/phase");
    match phase {
        "Succeeded" => return Current,
        "Failed" => return Failed(format!("the pod failed{}{}", pod_words(value), exit_codes(value))),
        _ => {}
    }
    match condition(value, "Ready") {
        Some(ready) if ready.is_true() => Current,
        Some(ready) if ready.reason == "PodCompleted" => Current,
        Some(ready) => InProgress(format!("the pod is not ready{}", ready.and_message())),
        None => match condition(value, "PodScheduled").filter(|c| c.status == "False") {
            Some(unscheduled) => InProgress(format!("the pod is not scheduled{}", unscheduled.and_message())),
            None => InProgress(format!("the pod is {}", if phase.is_empty() { "not scheduled" } else { phase })),
        },
    }
}

fn pod_words(value: &Value) -> String {
    let (reason, message) = (text(value, "/status/reason"), text(value, "/status/message"));
    suffix(if message.is_empty() { reason } else { message })
}

/// Returns which containers ended badly, and how.
fn exit_codes(value: &Value) -> String {
    let bad = list(value, "/status/containerStatuses").iter().filter_map(|container| {
        let code = number(container, "/state/terminated/exitCode").filter(|code| *code != 0)?;
        let reason = text(container, "/state/terminated/reason");
        Some(format!("container {} exited with {code}{}", text(container, "/name"), suffix(reason)))
    });
    suffix(&bad.collect::<Vec<_>>().join(", "))
}
