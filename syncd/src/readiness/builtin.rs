//! How far the other kinds of Kubernetes are, and those of the Gateway API: services, claims, ingresses, autoscalers, budgets, namespaces,
//! definitions, served APIs.
//!
//! Source: the Kubernetes 1.33 API reference and the Gateway API 1.3 reference. Invariant: what is optional in a cluster - an ingress
//! without a published address, metrics for an autoscaler - is not waited for unless the object asks for it.

use serde_json::Value;

use super::Readiness::{self, Current, Failed, InProgress};
use super::reading::{condition, condition_in, count, fresh_condition, generation, list, observed_generation, text};
use super::{ANNOTATION_READY, reading, workloads};
use crate::cluster::GroupKind;

/// Returns the function of a kind.
pub(super) fn rule(kind: &GroupKind) -> Option<fn(&Value) -> Readiness> {
    Some(match (kind.group.as_str(), kind.kind.as_str()) {
        ("apps", "Deployment") => workloads::deployment,
        ("apps", "StatefulSet") => workloads::stateful_set,
        ("apps", "DaemonSet") => workloads::daemon_set,
        ("apps", "ReplicaSet") | ("", "ReplicationController") => workloads::replica_set,
        ("batch", "Job") => workloads::job,
        ("batch", "CronJob") => workloads::cron_job,
        ("", "Pod") => workloads::pod,
        ("", "Service") => service,
        ("", "PersistentVolumeClaim") => claim,
        ("", "PersistentVolume") => volume,
        ("", "Namespace") => namespace,
        ("networking.k8s.io", "Ingress") => ingress,
        ("autoscaling", "HorizontalPodAutoscaler") => autoscaler,
        ("policy", "PodDisruptionBudget") => budget,
        ("certificates.k8s.io", "CertificateSigningRequest") => signing_request,
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition,
        ("apiregistration.k8s.io", "APIService") => api_service,
        ("gateway.networking.k8s.io", "GatewayClass") => gateway_class,
        ("gateway.networking.k8s.io", "Gateway") => gateway,
        ("gateway.networking.k8s.io", name) if name.ends_with("Route") => route,
        _ => return None,
    })
}

/// Tells whether an object asks that its address be waited for.
pub(super) fn wants_address(value: &Value) -> bool {
    reading::annotation(value, ANNOTATION_READY) == "address"
}

/// A load balancer is there when it has an address: its status counts, unlike in kstatus.
fn service(value: &Value) -> Readiness {
    if text(value, "/spec/type") != "LoadBalancer" || !list(value, "/status/loadBalancer/ingress").is_empty() {
        return Current;
    }
    InProgress("the load balancer has no address".to_owned())
}

/// A claim whose class binds at the first consumer is as ready as it can be without one, and its class is not known here: a pending claim
/// is waited for only when it names its volume. The pod that wants it is waited for, and says what is wrong with it.
fn claim(value: &Value) -> Readiness {
    let resizing = condition(value, "Resizing").filter(|c| c.is_true());
    match text(value, "/status/phase") {
        "Bound" if resizing.is_some() => InProgress("the volume is being resized".to_owned()),
        "Bound" => Current,
        "Lost" => Failed("the claim lost its volume".to_owned()),
        _ if text(value, "/spec/volumeName").is_empty() => Current,
        _ => InProgress(format!("volume `{}` is not bound", text(value, "/spec/volumeName"))),
    }
}

fn volume(value: &Value) -> Readiness {
    match text(value, "/status/phase") {
        "Available" | "Bound" | "Released" => Current,
        "Failed" => Failed(format!("the volume failed{}", reading::suffix(text(value, "/status/message")))),
        "" => InProgress("the volume has no phase yet".to_owned()),
        phase => InProgress(format!("the volume is {phase}")),
    }
}

fn namespace(value: &Value) -> Readiness {
    match text(value, "/status/phase") {
        "Active" => Current,
        "" => InProgress("the namespace has no phase yet".to_owned()),
        phase => InProgress(format!("the namespace is {phase}")),
    }
}

/// Not every ingress controller publishes an address, so it is waited for only on demand.
fn ingress(value: &Value) -> Readiness {
    if !wants_address(value) || !list(value, "/status/loadBalancer/ingress").is_empty() {
        return Current;
    }
    InProgress("the ingress has no address".to_owned())
}

/// `AbleToScale` tells whether the target was found. Metrics may come later than the first rollout, and `ScalingDisabled` is a target with
/// no replicas: neither is waited for. A metric or selector that is wrong stays wrong.
fn autoscaler(value: &Value) -> Readiness {
    const WRONG: [&str; 4] = ["InvalidMetricSourceType", "InvalidSelector", "AmbiguousSelector", "FailedConvertHPA"];
    if let Some(active) = condition(value, "ScalingActive").filter(|c| c.status == "False" && WRONG.contains(&c.reason))
    {
        return Failed(format!("it cannot scale{}", active.words()));
    }
    match condition(value, "AbleToScale") {
        Some(able) if able.is_true() => Current,
        Some(able) => InProgress(format!("it cannot scale{}", able.words())),
        None => InProgress("its controller has not looked at it yet".to_owned()),
    }
}

/// Current as soon as it was counted: how many disruptions it allows is the workload's affair.
fn budget(value: &Value) -> Readiness {
    if observed_generation(value).unwrap_or(0) < generation(value) {
        return InProgress("its controller has not seen the change yet".to_owned());
    }
    match condition(value, "DisruptionAllowed").filter(|c| c.reason == "SyncFailed") {
        Some(failed) => InProgress(format!("it cannot be counted{}", failed.and_message())),
        None => Current,
    }
}

fn signing_request(value: &Value) -> Readiness {
    let is = |of: &str| condition(value, of).filter(|c| c.is_true());
    if let Some(failed) = is("Denied").or_else(|| is("Failed")) {
        return Failed(format!("the request was refused{}", failed.words()));
    }
    if !text(value, "/status/certificate").is_empty() {
        return Current;
    }
    let what = if is("Approved").is_some() { "signed" } else { "approved" };
    InProgress(format!("the request is not {what}"))
}

/// Established; whether it is served as well is asked of discovery, by whoever waits.
fn definition(value: &Value) -> Readiness {
    if let Some(refused) = condition(value, "NamesAccepted").filter(|c| c.status == "False") {
        return Failed(format!("its names are not accepted{}", refused.and_message()));
    }
    match condition(value, "Established") {
        Some(established) if established.is_true() => Current,
        Some(established) => InProgress(format!("it is not established{}", established.and_message())),
        None => InProgress("it is not established".to_owned()),
    }
}

fn api_service(value: &Value) -> Readiness {
    match condition(value, "Available") {
        Some(available) if available.is_true() => Current,
        Some(available) => InProgress(format!("it is not available{}", available.and_message())),
        None => InProgress("it is not available".to_owned()),
    }
}

// ---------------------------------------------------------------------------------------------------------------- Gateway API

fn gateway_class(value: &Value) -> Readiness {
    match fresh_condition(value, "Accepted") {
        Some(accepted) if accepted.is_true() => Current,
        Some(refused) if refused.status == "False" => {
            refused_by(refused.reason, &refused.words(), "the class is not accepted")
        }
        _ => InProgress("no controller has accepted the class".to_owned()),
    }
}

/// `Programmed` says that the data plane has it. Before 0.7 it was called `Ready`.
fn gateway(value: &Value) -> Readiness {
    if let Some(refused) = fresh_condition(value, "Accepted").filter(|c| c.status == "False") {
        return refused_by(refused.reason, &refused.words(), "the gateway is not accepted");
    }
    let programmed = fresh_condition(value, "Programmed").or_else(|| fresh_condition(value, "Ready"));
    match programmed {
        Some(programmed)
            if programmed.is_true() && wants_address(value) && list(value, "/status/addresses").is_empty() =>
        {
            InProgress("the gateway has no address".to_owned())
        }
        Some(programmed) if programmed.is_true() => Current,
        Some(programmed) => InProgress(format!("the gateway is not programmed{}", programmed.words())),
        None => InProgress("the gateway is not programmed".to_owned()),
    }
}

/// `Pending` is what the API server writes before any controller did; everything else is a controller's word about this generation.
fn refused_by(reason: &str, words: &str, what: &str) -> Readiness {
    const PASSING: [&str; 5] = ["Pending", "Waiting", "Unknown", "NoResources", "AddressNotAssigned"];
    match PASSING.contains(&reason) {
        true => InProgress(format!("{what}{words}")),
        false => Failed(format!("{what}{words}")),
    }
}

/// A route is current when every parent that it names has accepted it and found what it refers to.
fn route(value: &Value) -> Readiness {
    let (wanted, parents) = (list(value, "/spec/parentRefs").len(), list(value, "/status/parents"));
    let generation = generation(value);
    let mut accepted = 0;
    for parent in parents {
        let Some(conditions) = parent.get("conditions") else { continue };
        if let Some(refused) = condition_in(conditions, "Accepted", generation).filter(|c| c.status == "False") {
            let name = text(parent, "/parentRef/name");
            return refused_by(refused.reason, &refused.words(), &format!("parent `{name}` does not accept the route"));
        }
        let unresolved = condition_in(conditions, "ResolvedRefs", generation).filter(|c| c.status == "False");
        if let Some(unresolved) = unresolved {
            return InProgress(format!("references are not resolved{}", unresolved.words()));
        }
        accepted += usize::from(condition_in(conditions, "Accepted", generation).is_some_and(|c| c.is_true()));
    }
    if accepted < wanted {
        let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        return InProgress(count(number(accepted), number(wanted), "parents accepted the route"));
    }
    Current
}
