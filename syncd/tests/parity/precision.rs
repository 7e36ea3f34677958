//! What a change costs the API server: exactly what is needed.

use serde_json::{Value, json};
use syncd::report::CycleResult;

use crate::world::{Behaviour, Counts, World, service};

pub async fn an_unchanged_index_costs_nothing(world: &mut World) {
    let objects = [
        world.config_map("a", "1"),
        world.deployment("a", Behaviour::Run, "a:1"),
        world.service_object("a"),
        world.ingress("a", "a.example.org"),
    ];
    world.title("the first sync");
    world.commit(&[service("app1", &objects)]);
    let report = world.cycle().await;
    assert_eq!(report.result, CycleResult::Synced);
    world.title("nothing is new");
    world.cycle().await;
    assert_eq!(world.counts(), Counts::default());
    world.title("another commit with the same index");
    world.commit(&[service("app1", &objects)]);
    world.cycle().await;
    assert_eq!(world.counts(), Counts::default());
    world.title("a new process looks, and changes nothing");
    world.restart().await;
    world.cycle().await;
}

pub async fn a_changed_object_is_one_apply(world: &mut World) {
    let other = service("app2", &[world.config_map("other", "1")]);
    let objects =
        |world: &World, host: &str| [world.config_map("a", "1"), world.service_object("a"), world.ingress("a", host)];
    world.title("the first sync");
    world.commit(&[service("app1", &objects(world, "a.example.org")), other.clone()]);
    world.cycle().await;
    world.title("one object changes");
    world.commit(&[service("app1", &objects(world, "b.example.org")), other.clone()]);
    world.cycle().await;
    assert_eq!(world.counts(), Counts { all: 3, applies: 1, deletes: 0, state: 2 });
    world.title("one object leaves");
    world.commit(&[service("app1", &objects(world, "b.example.org")[..2]), other]);
    world.cycle().await;
}

pub async fn a_moved_object_is_never_deleted(world: &mut World) {
    let (stays, moves, b) =
        (world.config_map("stays", "1"), world.config_map("moves", "1"), world.config_map("b", "1"));
    world.title("the first sync");
    world.commit(&[service("app1", &[stays.clone(), moves.clone()]), service("app2", std::slice::from_ref(&b))]);
    world.cycle().await;
    world.title("it moves to another place in its file");
    world.commit(&[service("app1", &[moves.clone(), stays.clone()]), service("app2", std::slice::from_ref(&b))]);
    world.cycle().await;
    assert_eq!((world.counts().applies, world.counts().deletes), (0, 0));
    world.title("it moves to another service");
    world.commit(&[service("app1", std::slice::from_ref(&stays)), service("app2", &[b.clone(), moves.clone()])]);
    world.cycle().await;
    assert_eq!((world.counts().applies, world.counts().deletes), (1, 0));
    world.title("a service is renamed");
    world.commit(&[service("app3", &[stays]), service("app2", &[b, moves])]);
    world.cycle().await;
    assert_eq!((world.counts().applies, world.counts().deletes), (1, 0));
}

pub async fn another_api_version_is_an_update(world: &mut World) {
    let group = "versions.example.org";
    world.custom.push((group, "Gadget"));
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let version =
        |name: &str, storage: bool| json!({"name": name, "served": true, "storage": storage, "schema": schema});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("gadgets.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "versions": [version("v1", true), version("v2", false)],
            "names": {"kind": "Gadget", "listKind": "GadgetList", "plural": "gadgets", "singular": "gadget"}}});
    let gadget = |world: &World, version: &str| json!({"apiVersion": format!("{group}/{version}"), "kind": "Gadget", "metadata": {"name": "g", "namespace": world.name}, "spec": {"content": "1"}});
    world.title("a definition and an object of its kind come in one commit");
    world.commit(&[service("app1", &[definition.clone(), gadget(world, "v1")])]);
    world.cycle().await;
    world.title("the object is written in another version");
    world.commit(&[service("app1", &[definition, gadget(world, "v2")])]);
    world.cycle().await;
    assert_eq!((world.counts().applies, world.counts().deletes), (1, 0));
}

pub async fn an_autoscaler_changes_its_version(world: &mut World) {
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
    let autoscaler = |world: &World, version: &str, more: &Value| {
        let mut spec = json!({"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 4});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"apiVersion": format!("autoscaling/{version}"), "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "web", "namespace": world.name}, "spec": spec})
    };
    let resource = json!({"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}});
    let first = autoscaler(world, "v1", &json!({"targetCPUUtilizationPercentage": 50}));
    let second = autoscaler(world, "v2", &json!({"metrics": [{"type": "Resource", "resource": resource}]}));
    let web = world.deployment("web", Behaviour::Run, "web:1");
    world.title("in autoscaling/v1");
    world.commit(&[service("app1", &[web.clone(), first])]);
    world.cycle().await;
    world.tell_object("autoscaling", "HorizontalPodAutoscaler", "web").await;
    world.title("in autoscaling/v2, which says the same");
    world.commit(&[service("app1", &[web, second])]);
    world.cycle().await;
    assert_eq!((world.counts().applies, world.counts().deletes), (1, 0));
    world.tell_object("autoscaling", "HorizontalPodAutoscaler", "web").await;
}
