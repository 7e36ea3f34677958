//! Waiting tells the truth: what fails is told within seconds of its signal in the API, with its cause, and what only takes its time is not.
//!
//! Every case is a service, all of them in one cycle. What they are called is the label `app` of their workload and its pods.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use serde_json::{Value, json};
use syncd::cluster::{Cluster, GroupKind, WatchEvent};
use syncd::cycle::Mode;
use syncd::kube::KubeCluster;
use syncd::report::{Event, Observer, ServiceState};
use tokio::time::Instant;

use crate::world::{Behaviour, Service, World, service};

const SOON: Duration = Duration::from_secs(5);

/// Notes when each service ended.
#[derive(Default)]
pub struct Ends(Mutex<BTreeMap<String, Instant>>);

impl Observer for Ends {
    fn observe(&self, event: &Event) {
        if let Event::ServiceFinished { service, .. } = event {
            self.0.lock().unwrap().insert(service.clone(), Instant::now());
        }
    }
}

/// Returns the case that an object signals, if it does.
fn signal(object: &Value) -> Option<&str> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let waits = text("/status/containerStatuses/0/state/waiting/reason");
    let runs = object.pointer("/status/containerStatuses/0/state/running").is_some();
    let has = |of: &str, status: &str| {
        let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
        conditions.into_iter().flatten().any(|condition| condition["type"] == of && condition["status"] == status)
    };
    let case = object.pointer("/metadata/labels/app").and_then(Value::as_str)?;
    let is_signal = match case {
        "image" => waits == "ImagePullBackOff",
        "crash" | "memory" => waits == "CrashLoopBackOff",
        "missing" => waits == "CreateContainerConfigError",
        "quota" => object["kind"] == "ReplicaSet" && has("ReplicaFailure", "True"),
        "nowhere" => has("PodScheduled", "False"),
        "unready" => runs,
        "job" => object["kind"] == "Job" && (has("FailureTarget", "True") || has("Failed", "True")),
        _ => false,
    };
    is_signal.then_some(case)
}

type Signals = Mutex<BTreeMap<String, Instant>>;

/// Notes when the first signal of each case is in the API, for ever.
async fn listen(kube: &KubeCluster, (group, kind): (&str, &str), environment: &str, signals: &Signals) {
    let kind = GroupKind::new(group, kind);
    let mut events = kube.watch_around(&kind, None).await.unwrap();
    while let Some(event) = events.next().await {
        if let Ok(WatchEvent::Present(id, object)) = event
            && id.namespace.starts_with(environment)
            && let Some(case) = signal(&object)
        {
            signals.lock().unwrap().entry(case.to_owned()).or_insert_with(Instant::now);
        }
    }
}

/// A service of one Deployment, with its pods' annotations and specification changed.
fn case(world: &World, name: &str, behaviour: Behaviour, change: impl FnOnce(&mut Value)) -> Service {
    let mut deployment = world.deployment(name, behaviour, "app:1");
    change(&mut deployment["spec"]["template"]);
    service(name, &[deployment]).sync(|sync| sync.timeout_seconds = 120)
}

fn cases(world: &World, fixed: bool) -> Vec<Service> {
    let of = |behaviour: Behaviour| if fixed { Behaviour::Run } else { behaviour };
    let nothing = |_: &mut Value| {};
    let probe = json!({"periodSeconds": 1, "failureThreshold": 2, "httpGet": {"path": "/", "port": 80}});
    let probed = |template: &mut Value| template["spec"]["containers"][0]["readinessProbe"] = probe.clone();
    let ready_after = |template: &mut Value, real: &str, sandbox: &str| {
        let annotations = json!({"fakenodes/ready-after": real, sandbox::ANNOTATION: sandbox});
        template["metadata"]["annotations"] = annotations;
    };
    let mut quota = case(world, "quota", Behaviour::Run, nothing);
    quota.objects[0]["metadata"]["namespace"] = json!(format!("{}-quota", world.name));
    let mut job = world.deployment("job", of(Behaviour::CrashLoop), "app:1");
    job["metadata"]["labels"] = json!({"app": "job"});
    let mut template = job["spec"]["template"].take();
    template["spec"]["restartPolicy"] = json!("Never");
    if !fixed {
        template["metadata"]["annotations"][sandbox::ANNOTATION] = json!("fail");
    } else {
        template["metadata"].as_object_mut().unwrap().remove("annotations");
    }
    (job["apiVersion"], job["kind"]) = (json!("batch/v1"), json!("Job"));
    job["spec"] = json!({"backoffLimit": 1, "template": template});
    vec![
        case(world, "image", of(Behaviour::ImagePullError), nothing),
        case(world, "crash", of(Behaviour::CrashLoop), nothing),
        case(world, "missing", of(Behaviour::ConfigError), nothing),
        case(world, "memory", of(Behaviour::OutOfMemory), nothing),
        quota,
        case(world, "nowhere", Behaviour::Run, |template| {
            if !fixed {
                template["spec"]["nodeSelector"] = json!({"no": "node"});
            }
        })
        .sync(|sync| sync.unschedulable_seconds = 0),
        case(world, "unready", of(Behaviour::NeverReady), probed),
        service("job", &[job]).sync(|sync| sync.timeout_seconds = 120),
        case(world, "drained", Behaviour::Run, |template| ready_after(template, "4s", "slow=4s")),
        case(world, "slow", Behaviour::Run, |template| {
            probed(template);
            ready_after(template, "3s", "ready-after=3s");
        }),
    ]
}

/// Deletes the pods of a case that takes its time, once: a drained node is no failure.
async fn drain(world: &World) {
    tokio::time::sleep(Duration::from_secs(2)).await;
    let kind = GroupKind::new("", "Pod");
    let mut pods = world.reader.watch_around(&kind, Some(&world.name)).await.unwrap();
    while let Some(Ok(event)) = pods.next().await {
        match event {
            WatchEvent::Present(id, pod) if pod["metadata"]["labels"]["app"] == "drained" => {
                world.plane.delete(&id).await;
            }
            WatchEvent::Synchronized => break,
            WatchEvent::Present(..) | WatchEvent::Restarted | WatchEvent::Absent(_) => {}
        }
    }
    std::future::pending::<()>().await;
}

pub async fn failures_are_told_soon(world: &mut World) {
    world.settings.concurrency = 32;
    let limited = format!("{}-quota", world.name);
    world.plane.allow_no_pods(&limited).await;
    world.title("eight ways to fail, and two that take their time");
    let services = cases(world, false);
    world.commit(&services);
    let (ends, signals) = (Arc::new(Ends::default()), Signals::default());
    world.observer = Arc::<Ends>::clone(&ends);
    let name = world.name.clone();
    // Two ways to the cluster: the cycle's, and the ears'.
    let ears_kube = world.connect().await;
    let ears =
        [("", "Pod"), ("apps", "ReplicaSet"), ("batch", "Job")].map(|kind| listen(&ears_kube, kind, &name, &signals));
    let mut memory = std::mem::take(&mut world.memory);
    let report = tokio::select! {
        report = world.cycle_with(&mut memory, Mode::Auto) => report,
        _ = futures::future::join_all(ears) => unreachable!("watches do not end"),
        () = drain(world) => unreachable!("it never ends"),
    };
    world.memory = memory;
    world.requests.take();
    world.transcript.report(&report);

    let (ends, signals) = (ends.0.lock().unwrap().clone(), signals.lock().unwrap().clone());
    for (name, ended) in &ends {
        let Some(signal) = signals.get(name) else { continue };
        let late = ended.saturating_duration_since(*signal);
        // Two failures a second apart and one more are spared.
        let spared = if name == "unready" { Duration::from_millis(4500) } else { Duration::ZERO };
        world.plane.measured(&format!("{name} was told after its signal"), late, SOON + spared);
    }
    assert_eq!(signals.len(), 8, "{signals:?}");
    for name in ["drained", "slow"] {
        assert_eq!(report.services[name].state, ServiceState::Synced);
    }

    world.title("a good revision is not blamed for the old one's pods");
    let services: Vec<Service> = cases(world, true).into_iter().filter(|service| service.name != "quota").collect();
    world.settings.fuse.objects = 100;
    world.commit(&services);
    let report = world.quiet_cycle(Mode::Auto).await;
    world.requests.take();
    world.transcript.report(&report);
}
