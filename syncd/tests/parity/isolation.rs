//! A service fails alone: what is wrong with some is not felt by the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use syncd::cycle::Mode;
use syncd::report::{Event, Observer, Report, ServiceState};
use tokio::sync::watch;

use crate::world::{Behaviour, Service, World, service};

const SERVICES: usize = 50;
const INVALID: usize = 7;
const HOOKED: usize = 13;
const TERMINATING: usize = 23;
const NEVER_READY: usize = 31;
const BAD: [usize; 4] = [INVALID, HOOKED, TERMINATING, NEVER_READY];

fn name(number: usize) -> String {
    format!("s{number:02}")
}

/// A service of a configuration and a workload, in the scenario's namespace or in another one; or one with something wrong.
fn member(world: &World, number: usize, with_faults: bool) -> Service {
    let name = name(number);
    let behaviour = if with_faults && number == NEVER_READY { Behaviour::NeverReady } else { Behaviour::Run };
    let mut objects = vec![world.config_map(&name, "1"), world.deployment(&name, behaviour, "a:1")];
    if with_faults && number == INVALID {
        objects.push(world.ingress(&name, "no host/at all"));
    }
    let elsewhere = match number {
        HOOKED => Some("hooked"),
        TERMINATING => Some("terminating"),
        _ => None,
    };
    if let Some(elsewhere) = elsewhere.filter(|_| with_faults) {
        objects
            .iter_mut()
            .for_each(|object| object["metadata"]["namespace"] = json!(format!("{}-{elsewhere}", world.name)));
    }
    service(&name, &objects)
}

/// Ends the waits of a cycle when all services have ended but one.
struct AllButOne {
    ended: AtomicUsize,
    superseded: watch::Sender<bool>,
}

impl Observer for AllButOne {
    fn observe(&self, event: &Event) {
        let is_end = matches!(event, Event::ServiceFinished { .. });
        if is_end && self.ended.fetch_add(1, Ordering::SeqCst) + 2 == SERVICES {
            self.superseded.send_replace(true);
        }
    }
}

/// How long the slowest of the good ones took.
fn slowest(report: &Report) -> f64 {
    let good = report.services.values().filter(|service| service.state == ServiceState::Synced);
    good.map(|service| service.seconds).fold(0.0, f64::max)
}

pub async fn four_bad_services_of_fifty(world: &mut World) {
    world.settings.concurrency = 32;
    for space in ["hooked", "terminating"] {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": format!("{}-{space}", world.name)}});
        world.plane.apply("somebody", &namespace).await;
    }
    world.title("the 46 good ones alone");
    let good: Vec<Service> =
        (0..SERVICES).filter(|number| !BAD.contains(number)).map(|number| member(world, number, false)).collect();
    world.commit(&good);
    let alone = world.quiet_cycle(Mode::Auto).await;
    assert_eq!(alone.services.values().filter(|service| service.state == ServiceState::Synced).count(), 46);
    world.title("they leave");
    world.settings.fuse.objects = 100;
    world.commit(&[]);
    world.quiet_cycle(Mode::Auto).await;

    world.title(
        "all fifty: one invalid, one with a webhook that fails, one in a namespace on its way out, one never ready",
    );
    let within = |world: &World, space: &str, name: &str| {
        let mut id = world.id("", "ConfigMap", name);
        id.namespace = format!("{}-{space}", world.name).into();
        id
    };
    let hooked = within(world, "hooked", &name(HOOKED));
    world.plane.break_webhook("policy.example.org", &hooked.namespace, &hooked).await;
    let mut held = world.config_map("held", "1");
    held["metadata"]["namespace"] = json!(format!("{}-terminating", world.name));
    held["metadata"]["finalizers"] = json!(["example.org/hold"]);
    world.plane.create("somebody", &held).await;
    let mut space = world.id("", "Namespace", &format!("{}-terminating", world.name));
    space.namespace = "".into();
    world.plane.delete(&space).await;
    let all: Vec<Service> = (0..SERVICES).map(|number| member(world, number, true)).collect();
    world.commit(&all);
    // Ten minutes are waited for the one that is never ready; nobody else does.
    world.observer = Arc::new(AllButOne { ended: AtomicUsize::new(0), superseded: world.superseded.clone() });
    let mut report = world.quiet_cycle(Mode::Auto).await;

    let (alone, beside) = (slowest(&alone), slowest(&report));
    println!("the slowest of 46: {alone:.2} s alone, {beside:.2} s beside four bad ones ({})", world.plane.name());
    let unsynced = report.services.iter().filter(|(_, service)| service.state != ServiceState::Synced);
    report.services = unsynced.map(|(name, service)| (name.clone(), service.clone())).collect();
    world.transcript.line(&format!("synced: {}", SERVICES - report.services.len()));
    world.transcript.report(&report);
    world
        .plane
        .patch("somebody", &within(world, "terminating", "held"), &json!({"metadata": {"finalizers": null}}))
        .await;
}

pub async fn a_broken_api_group_touches_only_its_objects(world: &mut World) {
    // Otherwise it is tried again after a while, and what could not be looked at after ten minutes.
    world.settings.retry.service_first = Duration::ZERO;
    world.settings.retry.service_permanent = Duration::ZERO;
    world.settings.retry.pause = Duration::from_millis(10);
    let group = "broken.example.org";
    world.custom.push((group, "Gadget"));
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("gadgets.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}],
            "names": {"kind": "Gadget", "listKind": "GadgetList", "plural": "gadgets", "singular": "gadget"}}});
    world.plane.apply("somebody", &definition).await;
    world.plane.until_served(group, "Gadget").await;
    let gadget = |world: &World, name: &str, content: &str| json!({"apiVersion": format!("{group}/v1"), "kind": "Gadget", "metadata": {"name": name, "namespace": world.name}, "spec": {"content": content}});
    let services = |world: &World, content: &str| {
        vec![
            service("fine", &[world.config_map("fine", content)]),
            service("gadgets", &[world.config_map("beside", content), gadget(world, "g", content)]),
        ]
    };
    world.title("before");
    let mut all = services(world, "1");
    all.push(service("leaves", &[gadget(world, "leaves", "1")]));
    world.commit(&all);
    world.cycle().await;
    world.title(
        "the group does not answer any more, when a commit changes one of its objects and another one's service leaves",
    );
    world.plane.break_group(group).await;
    let services = services(world, "2");
    world.commit(&services);
    let report = world.quiet_cycle(Mode::Auto).await;
    world.requests.take();
    world.transcript.report(&report);
    world.title("nor for a new process");
    world.restart().await;
    let report = world.quiet_cycle(Mode::Auto).await;
    world.requests.take();
    world.transcript.report(&report);
    world.title("it is mended");
    world.plane.mend_group(group).await;
    let report = world.quiet_cycle(Mode::Auto).await;
    world.requests.take();
    world.transcript.report(&report);
    world.look().await;
}
