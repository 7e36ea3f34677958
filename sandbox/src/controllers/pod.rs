//! The scheduler and the nodes: what becomes of a pod.
//!
//! A pod is given a node, starts, and then does what its [`Behaviour`] says. Its present stage is kept beside the store, for statuses only have
//! whole seconds. Invariant: a pod's status is a function of its specification, its behaviour and the time since its stage began.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::behaviour::{Behaviour, LOGS};
use super::{KUBELET, condition, count};
use crate::api::{Request, Response, Status};
use crate::cluster::State;
use crate::store::ObjectKey;
use crate::write::Part;

/// First pause before a crashed container is started again; it doubles up to [`BACKOFF_MAX`].
const BACKOFF: Duration = Duration::from_secs(10);
/// Longest such pause.
const BACKOFF_MAX: Duration = Duration::from_secs(300);
/// Pause before a node tries again what is missing.
const RETRY: Duration = Duration::from_secs(2);
const SCHEDULER: &str = "default-scheduler";

/// Where a pod is in its life.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Runtime {
    /// When the stage began; for a stage that ends by itself, when it ends.
    pub since: Timestamp,
    stage: Stage,
    restarts: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Starting,
    Running,
    Waiting,
    Stopping,
}

impl Runtime {
    /// Returns the runtime of something that began, or ends, at this time.
    pub fn begun(since: Timestamp) -> Runtime {
        Runtime { since, stage: Stage::Starting, restarts: 0 }
    }
}

/// What one container is doing.
struct Container {
    state: Value,
    last: Value,
    is_ready: bool,
    restarts: u32,
}

impl Container {
    fn waiting(reason: &str, message: &str) -> Container {
        let mut state = json!({"waiting": {"reason": reason}});
        if !message.is_empty() {
            state["waiting"]["message"] = message.into();
        }
        Container { state, last: json!({}), is_ready: false, restarts: 0 }
    }
}

impl State {
    pub(super) fn reconcile_pod(&mut self, key: &ObjectKey, pod: &Arc<Value>) {
        let behaviour = Behaviour::of(pod);
        if !pod["metadata"]["deletionTimestamp"].is_null() {
            self.stop_pod(key, pod, &behaviour);
        } else if matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) {
            self.work.pods.remove(uid(pod));
        } else if pod["spec"]["nodeName"].is_null() {
            self.schedule(key, pod, &behaviour);
        } else {
            self.run_pod(key, pod, &behaviour);
        }
    }

    fn stop_pod(&mut self, key: &ObjectKey, pod: &Value, behaviour: &Behaviour) {
        if *behaviour == Behaviour::StuckTerminating {
            return;
        }
        let grace =
            Duration::from_secs(u64::try_from(count(&pod["metadata"]["deletionGracePeriodSeconds"])).unwrap_or(0));
        let due = self.after(self.settings.pod_stop_after.min(grace));
        let runtime = self.work.pods.entry(uid(pod).to_owned()).or_insert(Runtime::begun(due));
        if runtime.stage != Stage::Stopping {
            *runtime = Runtime { since: due, stage: Stage::Stopping, restarts: runtime.restarts };
        }
        let due = runtime.since;
        if self.now < due {
            self.again(key, due);
        } else if pod["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty) {
            self.take_away(key);
        } else {
            self.edit(key, KUBELET, Part::Status, |pod| pod["status"]["phase"] = "Failed".into());
        }
    }

    fn schedule(&mut self, key: &ObjectKey, pod: &Arc<Value>, behaviour: &Behaviour) {
        let now = self.now_text();
        let nodes = self.settings.nodes;
        let selected = self.selected_nodes(pod);
        let refused = match &selected {
            _ if *behaviour == Behaviour::Unschedulable || nodes == 0 => {
                Some(format!("0/{nodes} nodes are available: {nodes} node(s) had untolerated taint(s)."))
            }
            Some(selected) if selected.is_empty() => Some(format!(
                "0/{nodes} nodes are available: {nodes} node(s) didn't match Pod's node affinity/selector. no new claims to deallocate, \
                 preemption: 0/{nodes} nodes are available: {nodes} Preemption is not helpful for scheduling."
            )),
            _ => None,
        };
        if let Some(message) = refused {
            let is_new = self.edit(key, SCHEDULER, Part::Status, |pod| {
                super::set_condition(&mut pod["status"], "PodScheduled", "False", "Unschedulable", &message, &now);
            });
            if is_new {
                self.tell(pod, SCHEDULER, "Warning", "FailedScheduling", &message);
            }
            return;
        }
        let node = match wanted_node(pod).or_else(|| selected.as_ref()?.first().map(String::as_str)) {
            Some(node) => node.to_owned(),
            None => {
                self.work.next_node = self.work.next_node % self.settings.nodes + 1;
                format!("node-{}", self.work.next_node)
            }
        };
        // A binding is no change of the specification: it has no owner and counts as no generation.
        let mut bound = Value::clone(pod);
        bound["spec"]["nodeName"] = node.as_str().into();
        super::set_condition(&mut bound["status"], "PodScheduled", "True", "", "", &now);
        for condition in bound["status"]["conditions"].as_array_mut().into_iter().flatten() {
            condition["lastProbeTime"] = Value::Null;
        }
        self.put(key, bound);
        let (namespace, name) = (&key.namespace, &key.name);
        let message = format!("Successfully assigned {namespace}/{name} to {node}");
        self.tell(pod, SCHEDULER, "Normal", "Scheduled", &message);
        self.begin_pod(key);
    }

    /// Lists the nodes with the labels that a pod asks for; `None` where it asks for none.
    fn selected_nodes(&self, pod: &Value) -> Option<Vec<String>> {
        let selector = pod["spec"]["nodeSelector"].as_object().filter(|selector| !selector.is_empty())?;
        let kind = self.kinds.of_kind("", "Node")?.id;
        let nodes = self.store.collection(kind).into_iter().flat_map(|nodes| nodes.list(""));
        let fits = |node: &Value| selector.iter().all(|(name, value)| node["metadata"]["labels"][name] == *value);
        Some(nodes.filter(|node| fits(node)).map(|node| text(&node["metadata"]["name"])).collect())
    }

    /// Writes what a node says of a pod it has just taken.
    pub(super) fn begin_pod(&mut self, key: &ObjectKey) {
        let Some(pod) = self.store.get(key).cloned() else { return };
        self.work.pods.insert(uid(&pod).to_owned(), Runtime::begun(self.now));
        let container = Container::waiting("ContainerCreating", "");
        self.report(key, &pod, "Pending", &container);
        self.run_pod_again(key);
    }

    fn run_pod_again(&mut self, key: &ObjectKey) {
        if let Some(pod) = self.store.get(key).cloned() {
            self.run_pod(key, &pod, &Behaviour::of(&pod));
        }
    }

    fn run_pod(&mut self, key: &ObjectKey, pod: &Arc<Value>, behaviour: &Behaviour) {
        let Some(runtime) = self.work.pods.get(uid(pod)).copied() else { return self.begin_pod(key) };
        match runtime.stage {
            Stage::Starting => self.start_pod(key, pod, behaviour, runtime),
            Stage::Running => self.finish_pod(key, pod, behaviour, runtime),
            Stage::Waiting if self.now >= runtime.since => {
                let started = Runtime { since: self.now, stage: Stage::Starting, ..runtime };
                self.work.pods.insert(uid(pod).to_owned(), started);
                self.run_pod_again(key);
            }
            Stage::Waiting => self.again(key, runtime.since),
            Stage::Stopping => {}
        }
    }

    fn wait_pod(&mut self, key: &ObjectKey, pod: &Value, runtime: Runtime, pause: Duration) {
        let since = self.after(pause);
        self.work.pods.insert(uid(pod).to_owned(), Runtime { since, stage: Stage::Waiting, ..runtime });
        self.again(key, since);
    }

    fn start_pod(&mut self, key: &ObjectKey, pod: &Arc<Value>, behaviour: &Behaviour, runtime: Runtime) {
        if let Some(missing) = self.missing_source(key, pod, behaviour) {
            if missing.blocks_mount {
                self.tell(pod, KUBELET, "Warning", "FailedMount", &missing.message);
            } else {
                let container = Container::waiting("CreateContainerConfigError", &missing.message);
                self.report(key, pod, "Pending", &container);
                let message = format!("Error: {}", missing.message);
                self.tell_container(pod, &first_container(pod), "Warning", "Failed", &message);
            }
            self.wait_pod(key, pod, runtime, RETRY);
            return;
        }
        if matches!(behaviour, Behaviour::ImagePullError | Behaviour::InvalidImageName) {
            self.fail_pull(key, pod, behaviour, runtime);
            return;
        }
        let delay = match behaviour {
            Behaviour::Slow(delay) => *delay,
            _ => self.settings.pod_ready_after,
        };
        let begun = jiff::SignedDuration::try_from(delay).ok().and_then(|delay| runtime.since.checked_add(delay).ok());
        let due = begun.unwrap_or(Timestamp::MAX);
        if self.now < due {
            self.again(key, due);
            return;
        }
        match behaviour {
            Behaviour::CrashLoop | Behaviour::Fail => self.crash_pod(key, pod, runtime, 1, "Error"),
            Behaviour::OutOfMemory => self.crash_pod(key, pod, runtime, 137, "OOMKilled"),
            Behaviour::Flaky(times) if runtime.restarts < *times => self.crash_pod(key, pod, runtime, 1, "Error"),
            _ => self.start_containers(key, pod, behaviour, runtime),
        }
    }

    fn start_containers(&mut self, key: &ObjectKey, pod: &Arc<Value>, behaviour: &Behaviour, runtime: Runtime) {
        let is_ready = !matches!(behaviour, Behaviour::NeverReady | Behaviour::ReadyAfter(_));
        let state = json!({"running": {"startedAt": self.now_text()}});
        let last = last_state(pod);
        let container = Container { state, last, is_ready, restarts: runtime.restarts };
        self.work.pods.insert(uid(pod).to_owned(), Runtime { since: self.now, stage: Stage::Running, ..runtime });
        self.report(key, pod, "Running", &container);
        for spec in pod["spec"]["containers"].as_array().into_iter().flatten() {
            let (name, image) = (text(&spec["name"]), text(&spec["image"]));
            let pulled =
                format!("Container image \"{image}\" already present on machine and can be accessed by the pod");
            self.tell_container(pod, &name, "Normal", "Pulled", &pulled);
            self.tell_container(pod, &name, "Normal", "Created", "Container created");
            self.tell_container(pod, &name, "Normal", "Started", "Container started");
        }
        if !is_ready {
            let message = "Readiness probe failed: HTTP probe failed with statuscode: 503";
            self.tell_container(pod, &first_container(pod), "Warning", "Unhealthy", message);
        }
        self.run_pod_again(key);
    }

    /// Ends a pod that runs to completion.
    fn finish_pod(&mut self, key: &ObjectKey, pod: &Arc<Value>, behaviour: &Behaviour, runtime: Runtime) {
        if let Behaviour::ReadyAfter(delay) = behaviour
            && !is_ready(pod)
        {
            self.ready_pod(key, pod, *delay, runtime);
            return;
        }
        let policy = pod["spec"]["restartPolicy"].as_str().unwrap_or("Always");
        let completes = policy != "Always" || *behaviour == Behaviour::Succeed;
        if !completes || *behaviour == Behaviour::NeverReady {
            return;
        }
        let runs = jiff::SignedDuration::try_from(self.settings.job_runs_for).unwrap_or(jiff::SignedDuration::MAX);
        let due = runtime.since.saturating_add(runs).unwrap_or(Timestamp::MAX);
        if self.now < due {
            self.again(key, due);
            return;
        }
        let state = terminated(0, "Completed", &self.now_text());
        let container = Container { state, last: last_state(pod), is_ready: false, restarts: runtime.restarts };
        if policy == "Always" {
            let waiting = Container {
                state: json!({"waiting": {"reason": "CrashLoopBackOff"}}),
                last: container.state,
                ..container
            };
            self.report(key, pod, "Running", &waiting);
            let runtime = Runtime { restarts: runtime.restarts + 1, ..runtime };
            self.wait_pod(key, pod, runtime, backoff(runtime.restarts));
        } else {
            self.report(key, pod, "Succeeded", &container);
        }
    }

    /// Makes a running pod ready when its time has come.
    fn ready_pod(&mut self, key: &ObjectKey, pod: &Arc<Value>, delay: Duration, runtime: Runtime) {
        let delay = jiff::SignedDuration::try_from(delay).unwrap_or(jiff::SignedDuration::MAX);
        let due = runtime.since.saturating_add(delay).unwrap_or(Timestamp::MAX);
        if self.now < due {
            self.again(key, due);
            return;
        }
        let state = pod["status"]["containerStatuses"][0]["state"].clone();
        let container = Container { state, last: last_state(pod), is_ready: true, restarts: runtime.restarts };
        self.report(key, pod, "Running", &container);
    }

    fn crash_pod(&mut self, key: &ObjectKey, pod: &Arc<Value>, runtime: Runtime, code: i64, reason: &str) {
        let ended = terminated(code, reason, &self.now_text());
        if pod["spec"]["restartPolicy"].as_str() == Some("Never") {
            let container = Container { state: ended, last: json!({}), is_ready: false, restarts: runtime.restarts };
            self.report(key, pod, "Failed", &container);
            return;
        }
        let (restarts, next) = (runtime.restarts, Runtime { restarts: runtime.restarts + 1, ..runtime });
        if restarts == 0 {
            // A kubelet backs off from the second time on.
            let container = Container { state: ended, last: json!({}), is_ready: false, restarts };
            self.report(key, pod, "Running", &container);
            self.wait_pod(key, pod, next, Duration::ZERO);
            return;
        }
        let pause = backoff(restarts);
        let name = first_container(pod);
        let (pod_name, namespace, id) = (&key.name, &key.namespace, uid(pod));
        let message = format!(
            "back-off {}s restarting failed container={name} pod={pod_name}_{namespace}({id})",
            pause.as_secs()
        );
        let state = json!({"waiting": {"reason": "CrashLoopBackOff", "message": message}});
        let container = Container { state, last: ended, is_ready: false, restarts };
        self.report(key, pod, "Running", &container);
        let message = format!("Back-off restarting failed container {name} in pod {pod_name}_{namespace}({id})");
        self.tell_container(pod, &name, "Warning", "BackOff", &message);
        self.wait_pod(key, pod, next, pause);
    }

    fn fail_pull(&mut self, key: &ObjectKey, pod: &Arc<Value>, behaviour: &Behaviour, runtime: Runtime) {
        let image = text(&pod["spec"]["containers"][0]["image"]);
        if *behaviour == Behaviour::InvalidImageName {
            let message = format!(
                "Failed to apply default image tag \"{image}\": couldn't parse image name: invalid reference format"
            );
            self.report(key, pod, "Pending", &Container::waiting("InvalidImageName", &message));
            self.tell_container(pod, &first_container(pod), "Warning", "InspectFailed", &message);
            return;
        }
        let message = format!("failed to pull and unpack image \"{image}\": not found");
        let is_first = runtime.restarts == 0;
        let container = if is_first {
            Container::waiting("ErrImagePull", &message)
        } else {
            Container::waiting(
                "ImagePullBackOff",
                &format!("Back-off pulling image \"{image}\": ErrImagePull: {message}"),
            )
        };
        self.report(key, pod, "Pending", &container);
        let name = first_container(pod);
        if is_first {
            let message = format!("Failed to pull image \"{image}\": {message}");
            self.tell_container(pod, &name, "Warning", "Failed", &message);
            self.tell_container(pod, &name, "Warning", "Failed", "Error: ErrImagePull");
        } else {
            let message = format!("Back-off pulling image \"{image}\"");
            self.tell_container(pod, &name, "Normal", "BackOff", &message);
            self.tell_container(pod, &name, "Warning", "Failed", "Error: ImagePullBackOff");
        }
        let pause = if is_first { RETRY } else { backoff(runtime.restarts) };
        self.wait_pod(key, pod, Runtime { restarts: runtime.restarts + 1, ..runtime }, pause);
    }

    /// Says which ConfigMap, Secret or claim a pod needs that is not there.
    fn missing_source(&self, key: &ObjectKey, pod: &Value, behaviour: &Behaviour) -> Option<Missing> {
        if *behaviour == Behaviour::ConfigError {
            return Some(Missing { message: "configmap \"missing\" not found".to_owned(), blocks_mount: false });
        }
        let is_there = |kind: &str, name: &str| {
            self.key("", kind, &key.namespace, name).is_some_and(|key| self.store.get(&key).is_some())
        };
        let check = |kind: &str, reference: &Value, field: &str| -> Option<String> {
            let name = reference[field].as_str()?;
            let is_optional = reference["optional"] == Value::Bool(true);
            (!is_optional && !is_there(kind, name)).then(|| format!("{} \"{name}\" not found", kind.to_lowercase()))
        };
        for volume in pod["spec"]["volumes"].as_array().into_iter().flatten() {
            let missing = check("ConfigMap", &volume["configMap"], "name")
                .or_else(|| check("Secret", &volume["secret"], "secretName"));
            if let Some(missing) = missing {
                let message = format!("MountVolume.SetUp failed for volume \"{}\" : {missing}", text(&volume["name"]));
                return Some(Missing { message, blocks_mount: true });
            }
        }
        for container in pod["spec"]["containers"].as_array().into_iter().flatten() {
            for from in container["envFrom"].as_array().into_iter().flatten() {
                let missing = check("ConfigMap", &from["configMapRef"], "name")
                    .or_else(|| check("Secret", &from["secretRef"], "name"));
                if let Some(message) = missing {
                    return Some(Missing { message, blocks_mount: false });
                }
            }
            for variable in container["env"].as_array().into_iter().flatten() {
                let from = &variable["valueFrom"];
                let missing = check("ConfigMap", &from["configMapKeyRef"], "name")
                    .or_else(|| check("Secret", &from["secretKeyRef"], "name"));
                if let Some(message) = missing {
                    return Some(Missing { message, blocks_mount: false });
                }
            }
        }
        None
    }

    /// Writes the status of a pod: its phase, its conditions, and what all its containers are doing.
    fn report(&mut self, key: &ObjectKey, pod: &Value, phase: &str, container: &Container) {
        let now = self.now_text();
        let has_address = pod["status"]["podIP"].is_string();
        let address = (phase != "Pending" && !has_address).then(|| self.identities.address());
        self.edit(key, KUBELET, Part::Status, |pod| {
            let containers = statuses(&pod["spec"]["containers"], container, uid(pod));
            let generation = pod["metadata"]["generation"].clone();
            let inits = pod["spec"]["initContainers"].clone();
            let status = &mut pod["status"];
            status["phase"] = phase.into();
            status["observedGeneration"] = generation;
            if status["startTime"].is_null() {
                status["startTime"] = now.as_str().into();
            }
            if let Some((high, low)) = address {
                let address = format!("10.244.{high}.{low}");
                status["podIP"] = address.as_str().into();
                status["podIPs"] = json!([{"ip": address}]);
                status["hostIP"] = "172.18.0.2".into();
                status["hostIPs"] = json!([{"ip": "172.18.0.2"}]);
            }
            if inits.is_array() {
                let done =
                    Container { state: terminated(0, "Completed", &now), last: json!({}), is_ready: true, restarts: 0 };
                if status["initContainerStatuses"].is_null() {
                    status["initContainerStatuses"] = Value::Array(statuses(&inits, &done, ""));
                }
            }
            status["containerStatuses"] = Value::Array(containers);
            let reason = match phase {
                "Succeeded" => "PodCompleted",
                "Failed" => "PodFailed",
                _ => "ContainersNotReady",
            };
            let names: Vec<String> = status["containerStatuses"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|status| text(&status["name"]))
                .collect();
            let message = match reason {
                "ContainersNotReady" => format!("containers with unready status: [{}]", names.join(" ")),
                _ => String::new(),
            };
            put_pod_condition(status, "PodReadyToStartContainers", phase == "Running", "", "", &now);
            put_pod_condition(status, "Initialized", true, "", "", &now);
            for of in ["Ready", "ContainersReady"] {
                if container.is_ready {
                    put_pod_condition(status, of, true, "", "", &now);
                } else {
                    put_pod_condition(status, of, false, reason, &message, &now);
                }
            }
        });
    }
}

/// Something a pod needs that is not there.
struct Missing {
    message: String,
    /// Whether a volume cannot be mounted; else a container cannot be configured.
    blocks_mount: bool,
}

fn uid(pod: &Value) -> &str {
    pod["metadata"]["uid"].as_str().unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn backoff(restarts: u32) -> Duration {
    BACKOFF.saturating_mul(2_u32.saturating_pow(restarts.saturating_sub(1))).min(BACKOFF_MAX)
}

fn terminated(code: i64, reason: &str, now: &str) -> Value {
    json!({"terminated": {"exitCode": code, "reason": reason, "startedAt": now, "finishedAt": now}})
}

fn last_state(pod: &Value) -> Value {
    let status = &pod["status"]["containerStatuses"][0];
    let ended = status["state"].get("terminated").is_some();
    let last = if ended { &status["state"] } else { &status["lastState"] };
    if last.is_null() { json!({}) } else { last.clone() }
}

/// Returns the first container, which stands for all in what a pod says of itself.
fn first_container(pod: &Value) -> String {
    text(&pod["spec"]["containers"][0]["name"])
}

/// Returns the node that a pod must run on, as those of DaemonSets say it.
pub(super) fn wanted_node(pod: &Value) -> Option<&str> {
    let required = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let field = &required["nodeSelectorTerms"][0]["matchFields"][0];
    (field["key"].as_str() == Some("metadata.name")).then(|| field["values"][0].as_str())?
}

fn statuses(specs: &Value, container: &Container, uid: &str) -> Vec<Value> {
    let specs = specs.as_array().into_iter().flatten();
    let has_run = container.state.get("waiting").is_none() || container.restarts > 0;
    specs
        .map(|spec| {
            let (name, restarts) = (text(&spec["name"]), container.restarts);
            let id = if has_run { format!("sandbox://{uid}/{name}/{restarts}") } else { String::new() };
            json!({
                "name": name, "image": spec["image"], "imageID": if has_run { text(&spec["image"]) } else { String::new() },
                "containerID": id, "ready": container.is_ready,
                "restartCount": container.restarts, "state": container.state, "lastState": container.last,
                "started": container.state.get("running").is_some(),
            })
        })
        .collect()
}

fn put_pod_condition(status: &mut Value, of: &str, is: bool, reason: &str, message: &str, now: &str) {
    let is = if is { "True" } else { "False" };
    let mut condition = json!({"type": of, "status": is, "lastTransitionTime": now, "observedGeneration": 1});
    for (name, text) in [("reason", reason), ("message", message)] {
        if !text.is_empty() {
            condition[name] = text.into();
        }
    }
    super::put_condition(status, condition);
}

/// Whether a pod is ready.
pub(super) fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|condition| condition["status"] == "True")
}

/// Returns since when a pod is ready; `None` where it is not.
pub(super) fn ready_since(pod: &Value) -> Option<Timestamp> {
    let ready = condition(pod, "Ready").filter(|condition| condition["status"] == "True")?;
    ready["lastTransitionTime"].as_str()?.parse().ok()
}

/// Whether a pod counts: it is neither finished nor being deleted.
pub(super) fn is_active(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_null()
        && !matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

/// Answers a request for a pod's log: the text of its annotation, or a line that says what it did.
pub(crate) fn log(pod: &Value, request: &Request) -> Result<Response, Status> {
    let containers = pod["spec"]["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let known = |name: &str| containers.iter().any(|container| container["name"].as_str() == Some(name));
    let container = request.parameter("container").map_or_else(|| text(&containers[0]["name"]), str::to_owned);
    if !known(&container) {
        let name = text(&pod["metadata"]["name"]);
        return Err(Status::bad_request(format!("container {container} is not valid for pod {name}")));
    }
    let state = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
    let state = state.into_iter().find(|status| status["name"].as_str() == Some(container.as_str()));
    let has_run =
        state.is_some_and(|status| status["state"].get("waiting").is_none() || count(&status["restartCount"]) > 0);
    if !has_run {
        let reason =
            state.and_then(|status| status["state"]["waiting"]["reason"].as_str()).unwrap_or("ContainerCreating");
        let name = text(&pod["metadata"]["name"]);
        let message = format!("container \"{container}\" in pod \"{name}\" is waiting to start: {reason}");
        return Err(Status::bad_request(message));
    }
    let restarts = state.map_or(0, |status| count(&status["restartCount"]));
    if request.parameter("previous") == Some("true") && restarts == 0 {
        let name = text(&pod["metadata"]["name"]);
        let message = format!("previous terminated container \"{container}\" in pod \"{name}\" not found");
        return Err(Status::bad_request(message));
    }
    let lines = match pod["metadata"]["annotations"][LOGS].as_str() {
        Some(lines) => lines.to_owned(),
        None => format!("{container}: {:?}\n", Behaviour::of(pod)),
    };
    let all: Vec<&str> = lines.lines().collect();
    let tail = request.parameter("tailLines").and_then(|text| text.parse().ok()).unwrap_or(all.len());
    let mut shown = all[all.len().saturating_sub(tail)..].join("\n");
    shown.push('\n');
    Ok(Response::text(200, &shown))
}
