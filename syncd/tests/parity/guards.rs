//! What is not deleted although nobody wants it any more: too much at once, until it is approved; and what never is.

use serde_json::json;
use syncd::report::CycleResult;

use crate::world::{Service, World, service};

/// Services with two objects each.
fn services(world: &World, numbers: std::ops::Range<usize>) -> Vec<Service> {
    let one = |number: usize| {
        let objects = ["a", "b"].map(|object| world.config_map(&format!("{object}{number}"), "1"));
        service(&format!("app{number}"), &objects)
    };
    numbers.map(one).collect()
}

pub async fn many_deletions_wait_until_they_are_approved(world: &mut World) {
    world.settings.fuse.objects = 3;
    world.title("before");
    world.commit(&services(world, 0..5));
    world.cycle().await;
    world.title("two of five services leave: four deletions, three are let through");
    world.commit(&services(world, 0..3));
    let first = world.cycle().await.held.expect("held").id;
    world.title("they go on waiting");
    world.cycle().await;
    world.title("a third one leaves; what is approved now is another plan");
    world.commit(&services(world, 0..2));
    let second = world.cycle().await.held.expect("held").id;
    assert_ne!(first, second);
    world.approve(&first.to_string()).await;
    let report = world.cycle().await;
    assert_eq!(report.result, CycleResult::Held);
    world.title("the plan that is held is approved");
    world.approve(&second.to_string()).await;
    let report = world.cycle().await;
    assert_eq!((report.result, report.held), (CycleResult::Synced, None));

    world.title("the environment is emptied on purpose");
    world.commit(&[]);
    let third = world.cycle().await.held.expect("held").id;
    world.approve(&third.to_string()).await;
    world.cycle().await;
}

pub async fn what_asks_to_be_kept_is_kept(world: &mut World) {
    let extra = format!("{}-extra", world.name);
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": extra}});
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": world.name, "annotations": {"sandbox/behaviour": "pending"}},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "none", "resources": {"requests": {"storage": "1Gi"}}}});
    let mut annotated = world.config_map("annotated", "1");
    annotated["metadata"]["annotations"] = json!({"syncd/prune": "disabled"});
    let objects = [namespace, claim, annotated, world.config_map("by-hand", "1"), world.config_map("goes", "1")];
    let quick = |service: Service| service.sync(|sync| sync.timeout_seconds = 1);
    let off = service("off", &[world.config_map("off", "1")]).sync(|sync| sync.prune = false);
    world.title("before: a claim that stays without its volume is no reason to forget it");
    world.commit(&[quick(service("app1", &objects)), off.clone()]);
    world.cycle().await;

    world.title("somebody else uses the namespace, and wants to keep an object");
    let mut foreign = world.config_map("foreign", "1");
    foreign["metadata"]["namespace"] = json!(extra);
    world.plane.create("somebody", &foreign).await;
    let keep = json!({"metadata": {"annotations": {"syncd/prune": "disabled"}}});
    world.plane.patch("somebody", &world.id("", "ConfigMap", "by-hand"), &keep).await;
    let emptied = service("off", &[]).sync(|sync| sync.prune = false);
    world.commit(&[service("app1", &[]), emptied]);
    let report = world.cycle().await;
    assert_eq!((report.services["app1"].deleted, report.services["app1"].withheld), (1, 4));
    world.title("and when the services leave the index");
    world.commit(&[]);
    world.cycle().await;
    world.title("a new process leaves it alone");
    world.restart().await;
    let held = world.cycle().await.held.expect("held").id;
    world.title("the claim may go");
    world.approve(&held.to_string()).await;
    world.cycle().await;
}
