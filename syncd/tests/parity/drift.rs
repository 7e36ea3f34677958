//! What others change is taken back within seconds, what an autoscaler changes is not, and who keeps fighting is named.

use std::time::Duration;

use serde_json::{Value, json};
use syncd::daemon::Pace;
use tokio::time::{Instant, sleep};

use crate::running::{self, Told};
use crate::world::{Behaviour, Service, World, service};

const SOON: Duration = Duration::from_secs(2);

/// Returns the service; the Deployment `scaled` says 2 replicas although its autoscaler wants at least 4.
fn shop(world: &World, image: &str) -> Service {
    let metadata = |name: &str| json!({"name": name, "namespace": world.name});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata("secret"), "stringData": {"content": "ours"}});
    let autoscaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata("scaled"), "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "scaled"}, "minReplicas": 4, "maxReplicas": 8}});
    let deployment = |name: &str| world.deployment(name, Behaviour::Run, image);
    service(
        "shop",
        &[world.config_map("settings", "ours"), secret, deployment("web"), deployment("scaled"), autoscaler],
    )
}

/// Does something with `kubectl`, waits until it is taken back, and tells what was told of it.
async fn taken_back(
    (world, told): (&mut World, &Told),
    (group, kind, name): (&str, &str, &str),
    (arguments, editor): (&[&str], &'static str),
    is_so: impl Fn(&Value) -> bool,
) {
    let what = format!("kubectl {}", arguments.join(" "));
    world.plane.kubectl(&world.name, arguments, editor).await;
    let took = world.plane.until(&world.id(group, kind, name), "taken back", is_so).await;
    world.plane.measured(&format!("back after {what}"), took, SOON);
    let begun = Instant::now();
    let mut lines = Vec::new();
    while lines.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}: nothing was told");
        sleep(Duration::from_millis(20)).await;
        lines = told.take_drift();
    }
    world.title(&what);
    lines.sort();
    lines.dedup();
    world.transcript.events(&lines);
}

pub async fn what_others_change_is_taken_back(world: &mut World) {
    if !world.plane.has_kubectl().await {
        return world.skip("there is no kubectl");
    }
    world.settings.concurrency = 32;
    // Polls are slower than what is expected: it is not by them that a change is noticed.
    let pace = Pace { poll: SOON + Duration::from_millis(500), ..Pace::default() };
    let first = shop(world, "app:1");
    world.title("an autoscaler scales what Git says otherwise");
    world.commit(&[first]);
    running::beside(world, &pace, story).await;
}

async fn story(world: &mut World, told: &Told) {
    let scaled = world.id("apps", "Deployment", "scaled");
    world
        .plane
        .until(&scaled, "scaled and ready", |scaled| {
            scaled["spec"]["replicas"] == 4 && scaled["status"]["readyReplicas"] == 4
        })
        .await;
    let mut events = told.until("shop: synced").await;
    // Whatever is told of what we and the autoscaler did is told soon.
    sleep(Duration::from_secs(1)).await;
    events.extend(told.take_drift());
    world.transcript.events(&events);
    world.requests.take();
    sleep(Duration::from_secs(4)).await;
    world.title("a poll in which nothing changes");
    world.tell_requests();

    let data = |value: &'static str| move |object: &Value| object["data"]["content"] == value;
    let two = |object: &Value| object["spec"]["replicas"] == 2;
    let map = ("", "ConfigMap", "settings");
    let web = ("apps", "Deployment", "web");
    taken_back((world, told), map, (&["edit", "configmap", "settings"], "sed -i s/ours/theirs/"), data("ours")).await;
    taken_back((world, told), web, (&["scale", "deployment", "web", "--replicas=5"], ""), two).await;
    taken_back((world, told), map, (&["delete", "configmap", "settings"], ""), data("ours")).await;
    taken_back((world, told), web, (&["delete", "deployment", "web"], ""), two).await;
    let name = world.name.clone();
    let labelled = move |object: &Value| object["metadata"]["labels"]["syncd/environment"] == name.as_str();
    taken_back((world, told), map, (&["label", "configmap", "settings", "syncd/environment-"], ""), labelled).await;
    let patch = (&["patch", "secret", "secret", "-p", r#"{"data":{"content":"dGhlaXJz"}}"#][..], "");
    taken_back((world, told), ("", "Secret", "secret"), patch, data("b3Vycw==")).await;

    world.title("a new image: the replicas of the one that is scaled stay its autoscaler's");
    let second = shop(world, "app:2");
    world.commit(&[second]);
    let image = "/spec/template/spec/containers/0/image";
    world.plane.until(&scaled, "updated", |scaled| scaled.pointer(image).is_some_and(|image| image == "app:2")).await;
    world
        .plane
        .until(&scaled, "rolled out", |scaled| {
            scaled["status"]["updatedReplicas"] == 4 && scaled["status"]["replicas"] == 4
        })
        .await;
    world.tell_object("apps", "Deployment", "scaled").await;

    world.title("a rival that changes it again and again");
    let begun = Instant::now();
    loop {
        world
            .plane
            .patch("rival", &world.id("", "ConfigMap", "settings"), &json!({"data": {"content": "rival"}}))
            .await;
        if let Some(backed_off) = told.take_drift().into_iter().find(|line| line.contains("backed-off")) {
            println!("a fight was noticed after {:.1} s ({})", begun.elapsed().as_secs_f64(), world.plane.name());
            world.transcript.line(&backed_off);
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "nobody noticed the fight");
        sleep(Duration::from_millis(300)).await;
    }
}
