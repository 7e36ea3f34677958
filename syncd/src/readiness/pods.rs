//! Tells early that a workload will not get there: from its pods of the new revision, and from what is said of it and them.
//!
//! Knows no time: a sign that must last before it counts says how long, and whoever waits holds a watch. Invariants: a pod of an old
//! revision, one that is being deleted, and one that was evicted prove nothing; nothing is a sign before the controller has seen the
//! present generation.
//!
//! Sources: the reasons are those of kubelet 1.33 (pkg/kubelet/images/types.go, pkg/kubelet/kuberuntime); the allowance for failing
//! readiness probes follows Kubedog 0.13 (pkg/tracker/pod/probes.go), as do the annotations, which are werf's.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::reading::{annotation, condition, generation, list, number, observed_generation, status, text};
use crate::cluster::GroupKind;

/// A refused creation counts when it lasts: old pods that go make room under a quota.
const CREATION_GRACE: Duration = Duration::from_secs(3);
/// Failed mounts that are let pass besides the allowed failures: a node's cache may be late.
const MOUNTS_SPARED: i64 = 1;

/// How long a broken pod of the revision before may hold a StatefulSet.
const OLD_POD_GRACE: Duration = Duration::from_secs(30);

const REVISION_HASH: &str = "controller-revision-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";
const WERF: &str = "werf.io/";

/// What is known around a workload.
#[derive(Debug, Default)]
pub struct Evidence<'a> {
    /// Its pods, of all revisions.
    pub pods: Vec<&'a Value>,
    /// Its ReplicaSets, of a Deployment.
    pub sets: Vec<&'a Value>,
    /// Warnings about it, its sets and its pods, by uid.
    pub events: BTreeMap<&'a str, Vec<&'a Value>>,
}

/// How much is let pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tolerance {
    /// Failures of one pod that are let pass.
    pub failures_allowed: i64,
    /// How long a pod may find no node.
    pub unschedulable: Duration,
    /// How long nothing may happen; absent: as long as the whole wait.
    pub no_activity: Option<Duration>,
    /// How long the readiness probe of a container may fail, instead of what the probe implies.
    pub probes: BTreeMap<String, Duration>,
    /// When signs count.
    pub fails: Fails,
}

/// When signs count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fails {
    /// At once.
    AtOnce,
    /// When nothing else of the service is under way.
    AtTheEnd,
    /// Never: only the end of the wait does.
    Never,
}

/// A sign that a workload will not get there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sign {
    /// The pod; absent where there is none.
    pub pod: Option<String>,
    /// Its uid, or that of whoever could not make one.
    pub uid: String,
    /// The container; absent where it is not about one.
    pub container: Option<String>,
    /// One word: what a kubelet, scheduler or controller calls it.
    pub reason: String,
    /// Their words.
    pub message: String,
    /// How the container ended last.
    pub exit_code: Option<i64>,
    /// How often it was started again.
    pub restarts: i64,
    /// How long it must last to count.
    pub lasts: Duration,
    /// It does not count as long as something else of the service, which may bring what is missing, is under way.
    pub may_be_brought: bool,
}

impl Sign {
    /// Returns one line for people.
    pub fn text(&self) -> String {
        let pod = self.pod.as_ref().map(|pod| format!("pod {pod}")).unwrap_or_default();
        let container = self.container.as_ref().map(|name| format!("container {name}"));
        let place = [Some(pod), container].into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>();
        let place = if place.is_empty() { String::new() } else { format!("{}: ", place.join(", ")) };
        let message = if self.message.is_empty() { String::new() } else { format!(": {}", self.message) };
        let exit = self.exit_code.map(|code| format!("exit code {code}"));
        let restarts = (self.restarts > 0).then(|| format!("{} restarts", self.restarts));
        let counts = [exit, restarts].into_iter().flatten().collect::<Vec<_>>();
        let counts = if counts.is_empty() { String::new() } else { format!(" ({})", counts.join(", ")) };
        format!("{place}{}{message}{counts}", self.reason)
    }

    /// Returns what stays the same while the sign lasts.
    pub fn key(&self) -> (String, String, String) {
        (self.uid.clone(), self.container.clone().unwrap_or_default(), self.reason.clone())
    }
}

impl Tolerance {
    /// Returns what holds for one object: the service's, or what werf's annotations on it say. Annotations that cannot be read are not
    /// there.
    pub fn of(self, object: &Value) -> Tolerance {
        let mut tolerance = self;
        let said = |name: &str| annotation(object, &format!("{WERF}{name}")).to_owned();
        if let Ok(allowed) = said("failures-allowed-per-replica").parse::<i64>() {
            tolerance.failures_allowed = allowed.max(0);
        }
        if let Some(time) = duration(&said("no-activity-timeout")) {
            tolerance.no_activity = Some(time);
        }
        match said("fail-mode").as_str() {
            "IgnoreAndContinueDeployProcess" => tolerance.fails = Fails::Never,
            "HopeUntilEndOfDeployProcess" => tolerance.fails = Fails::AtTheEnd,
            _ => {}
        }
        let annotations = object.pointer("/metadata/annotations").and_then(Value::as_object);
        let prefix = format!("{WERF}ignore-readiness-probe-fails-for-");
        for (name, value) in annotations.into_iter().flatten() {
            let container = name.strip_prefix(&prefix);
            let time = value.as_str().and_then(duration);
            tolerance.probes.extend(container.zip(time).map(|(container, time)| (container.to_owned(), time)));
        }
        tolerance
    }
}

/// Tells whether an object asks not to be waited for (werf's `NonBlocking`).
pub fn is_non_blocking(object: &Value) -> bool {
    annotation(object, &format!("{WERF}track-termination-mode")) == "NonBlocking"
}

fn duration(text: &str) -> Option<Duration> {
    let parsed: jiff::SignedDuration = text.parse().ok()?;
    Duration::try_from(parsed).ok()
}

/// Returns the kinds that run pods.
pub fn runs_pods(kind: &GroupKind) -> bool {
    matches!(
        (kind.group.as_str(), kind.kind.as_str()),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") | ("batch", "Job") | ("", "Pod")
    )
}

/// Returns every sign that a workload will not get there.
pub fn signs(kind: &GroupKind, workload: &Value, evidence: &Evidence<'_>, tolerance: &Tolerance) -> Vec<Sign> {
    let is_pod = kind.kind == "Pod";
    if tolerance.fails == Fails::Never {
        return Vec::new();
    }
    if !is_pod && observed_generation(workload).unwrap_or(0) < generation(workload) && kind.kind != "Job" {
        return Vec::new();
    }
    let mut signs: Vec<Sign> = refused_creation(kind, workload, evidence).into_iter().collect();
    for pod in new_pods(kind, workload, evidence) {
        let events = evidence.events.get(uid(pod)).map(Vec::as_slice).unwrap_or_default();
        signs.extend(signs_of_pod(pod, events, tolerance, kind.kind == "Job"));
    }
    if kind.kind == "StatefulSet" {
        signs.extend(held_by_old_pod(workload, evidence, tolerance));
    }
    if tolerance.fails == Fails::AtTheEnd {
        signs.iter_mut().for_each(|sign| sign.may_be_brought = true);
    }
    signs
}

// ---------------------------------------------------------------------------------------------------------------- which pods

fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid")
}

fn label<'a>(object: &'a Value, name: &str) -> &'a str {
    let labels = object.get("metadata").and_then(|metadata| metadata.get("labels"));
    labels.and_then(|labels| labels.get(name)).and_then(Value::as_str).unwrap_or_default()
}

fn is_going(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null())
}

/// Returns the uid of what controls an object.
pub fn controller(object: &Value) -> &str {
    let owners = list(object, "/metadata/ownerReferences");
    owners
        .iter()
        .find(|owner| owner.get("controller") == Some(&Value::Bool(true)))
        .map_or("", |owner| text(owner, "/uid"))
}

/// Returns the ReplicaSet of a Deployment's present template: the deployment controller writes the same revision on both.
fn newest_set<'a>(deployment: &Value, sets: &[&'a Value]) -> Option<&'a Value> {
    let revision = annotation(deployment, REVISION);
    sets.iter().copied().find(|set| !revision.is_empty() && annotation(set, REVISION) == revision)
}

/// Returns the pods of the present revision that are not on their way out.
pub fn new_pods<'a>(kind: &GroupKind, workload: &Value, evidence: &Evidence<'a>) -> Vec<&'a Value> {
    let pods = evidence.pods.iter().copied().filter(|pod| !is_going(pod));
    match kind.kind.as_str() {
        "Deployment" => match newest_set(workload, &evidence.sets) {
            Some(set) => pods.filter(|pod| controller(pod) == uid(set)).collect(),
            None => Vec::new(),
        },
        "StatefulSet" => {
            let revision = text(workload, "/status/updateRevision");
            pods.filter(|pod| !revision.is_empty() && label(pod, REVISION_HASH) == revision).collect()
        }
        "DaemonSet" => {
            if status(workload, "updatedNumberScheduled") == 0 {
                return Vec::new();
            }
            let pods: Vec<&Value> = pods.collect();
            let wanted = annotation(workload, TEMPLATE_GENERATION);
            if !wanted.is_empty() {
                return pods.into_iter().filter(|pod| label(pod, "pod-template-generation") == wanted).collect();
            }
            // Pods are only ever made from the newest template, so the youngest is of it.
            let youngest = pods.iter().max_by_key(|pod| text(pod, "/metadata/creationTimestamp"));
            let revision = youngest.map(|pod| label(pod, REVISION_HASH)).unwrap_or_default();
            pods.into_iter().filter(|pod| label(pod, REVISION_HASH) == revision).collect()
        }
        _ => pods.collect(),
    }
}

/// A StatefulSet that updates its pods in order waits for a pod to be ready before it replaces it, also for one that never will be: until
/// somebody deletes it, the mended revision does not come (the Kubernetes documentation calls it "forced rollback").
fn held_by_old_pod(workload: &Value, evidence: &Evidence<'_>, tolerance: &Tolerance) -> Option<Sign> {
    let is_parallel = text(workload, "/spec/podManagementPolicy") == "Parallel";
    let revision = text(workload, "/status/updateRevision");
    if is_parallel || text(workload, "/spec/updateStrategy/type") == "OnDelete" || revision.is_empty() {
        return None;
    }
    let old = evidence.pods.iter().filter(|pod| !is_going(pod) && label(pod, REVISION_HASH) != revision);
    let broken = old.flat_map(|pod| {
        let events = evidence.events.get(uid(pod)).map(Vec::as_slice).unwrap_or_default();
        signs_of_pod(pod, events, tolerance, false)
    });
    let broken = broken.into_iter().find(|sign| sign.lasts.is_zero())?;
    let name = broken.pod.as_deref().unwrap_or_default();
    let message = format!(
        "it is of the revision before and not replaced until it is ready, which it will not be ({}); delete pod {name}",
        broken.reason
    );
    Some(Sign { reason: "HeldByOldPod".to_owned(), message, lasts: OLD_POD_GRACE, may_be_brought: false, ..broken })
}

// ------------------------------------------------------------------------------------------------------------------ creation

/// A quota or an admission policy refuses the pods. Not while old ones are going: they may make room.
fn refused_creation(kind: &GroupKind, workload: &Value, evidence: &Evidence<'_>) -> Option<Sign> {
    if evidence.pods.iter().any(|pod| is_going(pod)) {
        return None;
    }
    let sign = |of: &Value, reason: &str, message: &str| Sign {
        pod: None,
        uid: uid(of).to_owned(),
        container: None,
        reason: reason.to_owned(),
        message: message.to_owned(),
        exit_code: None,
        restarts: 0,
        lasts: CREATION_GRACE,
        may_be_brought: false,
    };
    let by_condition = |of: &Value| {
        let failure = condition(of, "ReplicaFailure").filter(|c| c.is_true() && c.reason == "FailedCreate")?;
        Some(sign(of, failure.reason, failure.message))
    };
    let (have, wanted) = match kind.kind.as_str() {
        "Deployment" => return by_condition(newest_set(workload, &evidence.sets)?),
        "ReplicaSet" => return by_condition(workload),
        "StatefulSet" => (status(workload, "replicas"), number(workload, "/spec/replicas").unwrap_or(1)),
        "DaemonSet" => (status(workload, "currentNumberScheduled"), status(workload, "desiredNumberScheduled")),
        "Job" => (status(workload, "active") + status(workload, "succeeded") + status(workload, "failed"), 1),
        _ => return None,
    };
    let since = applied_at(workload);
    let events = evidence.events.get(uid(workload)).map(Vec::as_slice).unwrap_or_default();
    let refused = events.iter().find(|event| text(event, "/reason") == "FailedCreate" && last_time(event) >= since)?;
    (have < wanted).then(|| sign(workload, "FailedCreate", text(refused, "/message")))
}

/// Returns when the object's specification was last written by server-side apply, as the server wrote it: texts of one form, in order.
fn applied_at(object: &Value) -> &str {
    let fields = list(object, "/metadata/managedFields").iter();
    let applied = fields.filter(|entry| text(entry, "/operation") == "Apply").map(|entry| text(entry, "/time")).max();
    applied.unwrap_or_else(|| text(object, "/metadata/creationTimestamp"))
}

/// Returns when an Event was last said, as the server wrote it.
pub fn last_time(event: &Value) -> &str {
    let times = ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"];
    times.into_iter().map(|pointer| text(event, pointer)).find(|time| !time.is_empty()).unwrap_or_default()
}

/// Returns how often an Event was said.
pub fn times_said(event: &Value) -> i64 {
    number(event, "/series/count").or_else(|| number(event, "/count")).unwrap_or(1)
}

// ---------------------------------------------------------------------------------------------------------------------- pods

fn signs_of_pod(pod: &Value, events: &[&Value], tolerance: &Tolerance, of_job: bool) -> Vec<Sign> {
    let name = text(pod, "/metadata/name");
    let blank = Sign {
        pod: Some(name.to_owned()),
        uid: uid(pod).to_owned(),
        container: None,
        reason: String::new(),
        message: String::new(),
        exit_code: None,
        restarts: 0,
        lasts: Duration::ZERO,
        may_be_brought: false,
    };
    if matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") {
        return Vec::new(); // Whoever made it judges that, and replaces a pod that was evicted.
    }
    let mut signs = Vec::new();
    let unscheduled = condition(pod, "PodScheduled").filter(|c| c.status == "False" && c.reason == "Unschedulable");
    if let Some(unscheduled) = unscheduled {
        let (reason, message) = (unscheduled.reason.to_owned(), unscheduled.message.to_owned());
        signs.push(Sign { reason, message, lasts: tolerance.unschedulable, ..blank.clone() });
    }
    signs.extend(failed_mount(pod, events, tolerance).map(|message| Sign {
        reason: "FailedMount".to_owned(),
        message,
        may_be_brought: true,
        ..blank.clone()
    }));
    let statuses = ["/status/initContainerStatuses", "/status/containerStatuses"];
    for container in statuses.iter().flat_map(|pointer| list(pod, pointer)) {
        let blank = Sign {
            container: Some(text(container, "/name").to_owned()),
            restarts: number(container, "/restartCount").unwrap_or(0),
            exit_code: last_exit(container).map(|(code, _)| code),
            ..blank.clone()
        };
        signs.extend(waiting(container, events, tolerance, &blank));
        if !of_job {
            signs.extend(crashing(container, events, tolerance, &blank));
        }
        signs.extend(unready(pod, container, events, tolerance, &blank));
    }
    signs
}

/// Volumes that cannot be mounted keep all containers of a pod waiting; only events say so.
fn failed_mount(pod: &Value, events: &[&Value], tolerance: &Tolerance) -> Option<String> {
    const PASSING: [&str; 2] = ["timed out waiting for the condition", "failed to sync"];
    let containers = list(pod, "/status/containerStatuses");
    let is_creating = |container: &Value| text(container, "/state/waiting/reason") == "ContainerCreating";
    if !containers.is_empty() && !containers.iter().any(is_creating) {
        return None;
    }
    let failed = events.iter().filter(|event| text(event, "/reason") == "FailedMount");
    let lasting = failed.filter(|event| !PASSING.iter().any(|passing| text(event, "/message").contains(passing)));
    let (times, last) = lasting.fold((0, None), |(times, _), event| (times + times_said(event), Some(*event)));
    (times > tolerance.failures_allowed + MOUNTS_SPARED)
        .then(|| text(last.unwrap_or(&Value::Null), "/message").to_owned())
}

/// A container that cannot be started.
fn waiting(container: &Value, events: &[&Value], tolerance: &Tolerance, blank: &Sign) -> Option<Sign> {
    let (reason, message) = (text(container, "/state/waiting/reason"), text(container, "/state/waiting/message"));
    let said = |part: &str| {
        let of =
            events.iter().filter(|event| text(event, "/reason") == "Failed" && text(event, "/message").contains(part));
        of.map(|event| times_said(event)).sum::<i64>()
    };
    let (failures, may_be_brought) = match reason {
        "ErrImageNeverPull" | "InvalidImageName" => (i64::MAX, false),
        // The first failed pull, and those after which it backs off.
        "ErrImagePull" | "RegistryUnavailable" | "SignatureValidationFailed" => {
            (said("Failed to pull image").max(1), false)
        }
        "ImagePullBackOff" => (said("Failed to pull image").max(2), false),
        "CreateContainerConfigError" => (said("Error: ").max(2), true),
        "CreateContainerError" | "RunContainerError" | "PreStartHookError" | "PostStartHookError" => {
            (said("Error: ").max(2), false)
        }
        _ => return None,
    };
    let (reason, message) = (reason.to_owned(), message.to_owned());
    (failures > tolerance.failures_allowed).then(|| Sign { reason, message, may_be_brought, ..blank.clone() })
}

/// A container that ends again and again. Counts every end: the one that it waits after, or has just come to, is not among its restarts.
fn crashing(container: &Value, events: &[&Value], tolerance: &Tolerance, blank: &Sign) -> Option<Sign> {
    if container.get("ready") == Some(&Value::Bool(true)) {
        return None;
    }
    let backs_off = text(container, "/state/waiting/reason") == "CrashLoopBackOff";
    let ended = number(container, "/state/terminated/exitCode").is_some_and(|code| code != 0);
    let ends = blank.restarts + i64::from(backs_off || ended);
    if ends <= tolerance.failures_allowed || ends == 0 {
        return None;
    }
    let (_, how) = last_exit(container).unwrap_or_default();
    let probe = |name: &str| {
        let of = |event: &&&Value| text(event, "/reason") == "Unhealthy" && text(event, "/message").starts_with(name);
        events.iter().find(of).map(|event| text(event, "/message").to_owned())
    };
    let waiting = text(container, "/state/waiting/message").to_owned();
    let killed = probe("Liveness probe failed").map(|said| ("LivenessProbeFailed", said));
    let killed = killed.or_else(|| probe("Startup probe failed").map(|said| ("StartupProbeFailed", said)));
    let (reason, message) = match (how.as_str(), killed) {
        ("OOMKilled", _) => ("OOMKilled", waiting),
        (_, Some(killed)) => killed,
        (_, None) => ("CrashLoopBackOff", waiting),
    };
    Some(Sign { reason: reason.to_owned(), message, ..blank.clone() })
}

/// Returns how a container ended last: its code and the kubelet's word.
fn last_exit(container: &Value) -> Option<(i64, String)> {
    let ends = ["/state/terminated", "/lastState/terminated"];
    ends.into_iter().find_map(|end| {
        let code = number(container, &format!("{end}/exitCode"))?;
        Some((code, text(container, &format!("{end}/reason")).to_owned()))
    })
}

/// A container that runs and whose readiness probe fails. Counts when it lasts longer than the probe may need at the start, and for as
/// many further probes as failures are allowed.
fn unready(pod: &Value, container: &Value, events: &[&Value], tolerance: &Tolerance, blank: &Sign) -> Option<Sign> {
    let runs = container.pointer("/state/running").is_some_and(|state| !state.is_null());
    let is = |name: &str, expected: bool| container.get(name) == Some(&Value::Bool(expected));
    if !runs || is("started", false) || !is("ready", false) {
        return None;
    }
    let name = blank.container.as_deref().unwrap_or_default();
    let spec = list(pod, "/spec/containers").iter().find(|spec| text(spec, "/name") == name)?;
    let probe = spec.get("readinessProbe").filter(|probe| !probe.is_null())?;
    let period = seconds(probe, "periodSeconds", 10);
    let grace = tolerance.probes.get(name).copied().unwrap_or_else(|| probe_grace(probe));
    let further = period.saturating_mul(u32::try_from(tolerance.failures_allowed).unwrap_or(u32::MAX));
    let of = |event: &&&Value| {
        text(event, "/reason") == "Unhealthy" && text(event, "/message").starts_with("Readiness probe failed")
    };
    let said = events.iter().find(of).map_or("the container is not ready", |event| text(event, "/message"));
    Some(Sign {
        reason: "ReadinessProbeFailed".to_owned(),
        message: said.to_owned(),
        lasts: grace.saturating_add(further),
        ..blank.clone()
    })
}

fn seconds(probe: &Value, field: &str, default: u64) -> Duration {
    Duration::from_secs(probe.get(field).and_then(Value::as_u64).filter(|seconds| *seconds > 0).unwrap_or(default))
}

/// Returns how long a readiness probe may fail after its container started, by Kubedog's formula: a probe that may fail once only is
/// never spared.
fn probe_grace(probe: &Value) -> Duration {
    let threshold = |field: &str, default: u64| probe.get(field).and_then(Value::as_u64).unwrap_or(default);
    let (failures, successes) = (threshold("failureThreshold", 3), threshold("successThreshold", 1));
    if failures <= 1 {
        return Duration::ZERO;
    }
    let (period, timeout) = (seconds(probe, "periodSeconds", 10), seconds(probe, "timeoutSeconds", 1));
    let initial = Duration::from_secs(probe.get("initialDelaySeconds").and_then(Value::as_u64).unwrap_or(0));
    let rounds = u32::try_from((failures + successes).saturating_sub(3)).unwrap_or(u32::MAX);
    (period + initial)
        .saturating_add(timeout)
        .saturating_add(period.saturating_mul(rounds))
        .saturating_add(period / 2)
        .saturating_add(timeout)
}

// ------------------------------------------------------------------------------------------------------------------ questions

/// What a pod tells of its worst container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Told {
    /// The container.
    pub container: Option<String>,
    /// What a kubelet calls its state.
    pub reason: String,
    /// How it ended last.
    pub exit_code: Option<i64>,
    /// How often it was started again.
    pub restarts: i64,
}

/// Returns what a pod tells of one container, or of the first that is not as it should be.
pub fn describe(pod: &Value, container: Option<&str>) -> Told {
    let statuses = ["/status/initContainerStatuses", "/status/containerStatuses"];
    let all: Vec<&Value> = statuses.iter().flat_map(|pointer| list(pod, pointer)).collect();
    let ended_well = |status: &Value| number(status, "/state/terminated/exitCode") == Some(0);
    let is_amiss = |status: &Value| status.get("ready") != Some(&Value::Bool(true)) && !ended_well(status);
    let found = match container {
        Some(name) => all.iter().find(|status| text(status, "/name") == name),
        None => all.iter().find(|status| is_amiss(status)),
    };
    let Some(status) = found else { return Told::default() };
    let reasons = ["/state/waiting/reason", "/state/terminated/reason", "/lastState/terminated/reason"];
    let reason = reasons.into_iter().map(|pointer| text(status, pointer)).find(|reason| !reason.is_empty());
    Told {
        container: Some(text(status, "/name").to_owned()),
        reason: reason.unwrap_or_default().to_owned(),
        exit_code: last_exit(status).map(|(code, _)| code),
        restarts: number(status, "/restartCount").unwrap_or(0),
    }
}

/// Returns the pod that most likely tells why a workload is not ready: the last that failed, or the first that is not ready.
pub fn suspect(kind: &GroupKind, workload: &Value, evidence: &Evidence<'_>) -> Option<String> {
    let pods = new_pods(kind, workload, evidence);
    let failed = pods.iter().filter(|pod| text(pod, "/status/phase") == "Failed");
    let failed = failed.max_by_key(|pod| text(pod, "/metadata/creationTimestamp"));
    let ended = |pod: &Value| text(pod, "/status/phase") == "Succeeded";
    let unready = |pod: &&&Value| !ended(pod) && !condition(pod, "Ready").is_some_and(|ready| ready.is_true());
    failed.or_else(|| pods.iter().find(unready)).map(|pod| text(pod, "/metadata/name").to_owned())
}

/// Returns the names of all Secrets whose values the containers of a whole pod can see.
pub fn secrets(pod: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut add = |value: &Value, pointer: &str| {
        let name = text(value, pointer);
        names.extend((!name.is_empty()).then(|| name.to_owned()));
    };
    for pointer in ["/spec/containers", "/spec/initContainers", "/spec/ephemeralContainers"] {
        for container in list(pod, pointer) {
            list(container, "/env").iter().for_each(|env| add(env, "/valueFrom/secretKeyRef/name"));
            list(container, "/envFrom").iter().for_each(|from| add(from, "/secretRef/name"));
        }
    }
    for volume in list(pod, "/spec/volumes") {
        add(volume, "/secret/secretName");
        list(volume, "/projected/sources").iter().for_each(|source| add(source, "/secret/name"));
    }
    list(pod, "/spec/imagePullSecrets").iter().for_each(|secret| add(secret, "/name"));
    names
}
