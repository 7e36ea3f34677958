//! Objects that were there before: taken over in place, without a delete and without fields of the former tool; or left to it.

use std::collections::BTreeSet;

use manifest::ObjectRef;
use sandbox::Request as ModelRequest;
use serde_json::{Value, json};
use syncd::cycle::Memory;
use syncd::live::{self, Live};
use syncd::report::{CycleResult, ServiceState};

use crate::cluster::HOME;
use crate::world::{ENVIRONMENT, World, id, manifest, service, states};

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Creates ConfigMap `a` as a tool does: with a key that our manifest does not have, and the tool's marks.
fn create(world: &World, manager: &str, part: &str, marks: &Value) -> String {
    let mut map = manifest("ConfigMap a", "old");
    map["data"]["left"] = json!("over");
    map["metadata"][part] = marks.clone();
    let request = ModelRequest::create("/api/v1/namespaces/n/configmaps", map).query("fieldManager", manager);
    world.somebody(request);
    world.uid("ConfigMap a").expect("created")
}

/// The object is ours, whole, and the same as before.
#[track_caller]
fn assert_ours(world: &World, uid: &str) {
    let object = world.object("ConfigMap a").expect("there");
    assert_eq!(object["metadata"]["uid"], uid, "it was not deleted");
    assert_eq!(object["data"], json!({"content": "v1"}), "nothing is left over");
    let annotations: Vec<&String> = object["metadata"]["annotations"].as_object().expect("ours").keys().collect();
    assert_eq!(annotations, ["syncd/hash"]);
    let fields = object["metadata"]["managedFields"].as_array().expect("kept");
    let managers: Vec<&Value> = fields.iter().map(|entry| &entry["manager"]).collect();
    assert_eq!(managers, ["syncd"], "{object:#}");
}

fn helm() -> Value {
    json!({"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "n"})
}

#[tokio::test(start_paused = true)]
async fn what_kubectl_and_kahoy_applied_is_taken_over() {
    for manager in ["kubectl-client-side-apply", "kubectl", "kahoy"] {
        let mut world = World::new();
        let uid = create(&world, manager, "annotations", &json!({LAST_APPLIED: "{}"}));
        world.commit(&[service("app1", &[("ConfigMap a", "v1")])]);
        let report = world.synced().await;
        assert_ours(&world, &uid);
        let reasons: Vec<&str> = report.services["app1"].objects.iter().map(|object| object.reason.as_str()).collect();
        assert_eq!(reasons, ["it was there before, and nobody's"]);
        world.memory = Memory::default();
        world.cluster.take_calls();
        assert_eq!(world.cycle().await.result, CycleResult::Unchanged);
        assert_eq!(world.writes(), Vec::<String>::new());
        world.commit(&[]);
        world.synced().await;
        assert_eq!(world.object("ConfigMap a"), None, "and deleted as everything that is ours");
    }
}

#[tokio::test(start_paused = true)]
async fn what_belongs_to_another_tool_is_left_to_it_unless_that_is_allowed() {
    let mut world = World::new();
    let uid = create(&world, "helm", "annotations", &helm());
    let before = world.object("ConfigMap a");
    world.commit(&[
        service("app1", &[("ConfigMap a", "v1"), ("ConfigMap b", "v1")]),
        service("app2", &[("ConfigMap c", "v1")]),
    ]);
    let report = world.cycle().await;
    assert_eq!(states(&report), [("app1", ServiceState::Failed), ("app2", ServiceState::Synced)].into());
    let error =
        "ConfigMap n/a belongs to Helm release `n/web`; to take it over, annotate it with `syncd/adopt: helm` in Git";
    assert_eq!(report.services["app1"].error.as_deref(), Some(error));
    assert_eq!((world.object("ConfigMap a"), world.object("ConfigMap b")), (before, None), "nothing is done by halves");
    world.settings.adopt.insert("helm".to_owned());
    world.memory = Memory::default();
    world.synced().await;
    assert_ours(&world, &uid);
}

#[tokio::test(start_paused = true)]
async fn two_environments_do_not_fight_over_an_object() {
    let mut world = World::new();
    create(&world, "syncd", "labels", &json!({"syncd/environment": "production", "syncd/service": "app1"}));
    let before = world.object("ConfigMap a");
    world.commit(&[service("app1", &[("ConfigMap a", "v1")])]);
    let report = world.cycle().await;
    let error = report.services["app1"].error.as_deref().unwrap_or_default();
    assert!(error.starts_with("ConfigMap n/a belongs to syncd environment `production`"), "{error}");
    assert_eq!(world.object("ConfigMap a"), before);
}

#[tokio::test(start_paused = true)]
async fn what_a_tool_creates_again_under_our_hands_is_not_taken_from_it() {
    let mut world = World::new();
    world.commit(&[service("app1", &[("ConfigMap a", "v1")])]);
    world.synced().await;
    world.somebody(ModelRequest::delete(&world.path("ConfigMap a")));
    create(&world, "helm", "annotations", &helm());
    world.memory = Memory::default();
    let report = world.cycle().await;
    let error = report.services["app1"].error.as_deref().unwrap_or_default();
    assert!(error.starts_with("ConfigMap n/a belongs to Helm release `n/web`"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_that_cannot_be_looked_at_is_not_applied() {
    let mut world = World::new();
    world.commit(&[service("app1", &[("ConfigMap a", "v1")]), service("app2", &[("ConfigMap b", "v1")])]);
    world.cluster.deny("get ConfigMap n/a");
    let report = world.cycle().await;
    assert_eq!(states(&report), [("app1", ServiceState::Failed), ("app2", ServiceState::Synced)].into());
    assert_eq!(world.object("ConfigMap a"), None);
}

#[tokio::test(start_paused = true)]
async fn state_that_somebody_deleted_is_built_again_and_nothing_is_pruned() {
    let mut world = World::new();
    let stays = || service("app1", &[("ConfigMap a", "v1"), ("Deployment.apps d", "v1")]);
    world.commit(&[stays(), service("goes", &[("ConfigMap g", "v1")])]);
    world.synced().await;
    for map in world.cluster.model.objects("", "ConfigMap", HOME) {
        let name = map["metadata"]["name"].as_str().expect("a name");
        world.somebody(ModelRequest::delete(&format!("/api/v1/namespaces/{HOME}/configmaps/{name}")));
    }
    world.commit(&[stays()]);
    world.memory = Memory::default();
    world.writes();
    let report = world.synced().await;
    assert_eq!(world.writes(), ["apply ConfigMap n/a", "apply Deployment.apps n/d"], "as a first sync does");
    let state = world.state();
    let held = state.record("app1").expect("recorded").held.clone();
    assert_eq!(held.len(), 2);
    assert!(held.values().all(|held| held.uid.is_some() && held.hash.is_some()));
    let orphans: Vec<String> = report.orphans.iter().map(ToString::to_string).collect();
    assert_eq!(orphans, ["ConfigMap n/g"], "what nobody wants any more is told");
    assert!(world.object("ConfigMap g").is_some());
}

/// Objects of two kinds in several namespaces, there or not, with the marks of everybody, ours among them.
fn marked(world: &World) -> BTreeSet<ObjectRef> {
    let marks = [
        json!({}),
        json!({"annotations": helm()}),
        json!({"annotations": {"syncd/prune": "disabled", "syncd/hash": "h"}}),
        json!({"labels": {"syncd/environment": ENVIRONMENT, "syncd/service": "app1"}}),
        json!({"labels": {"syncd/environment": "production"}}),
        json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}),
        json!({"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": true}]}),
        json!({"finalizers": ["example.org/stays"]}),
    ];
    let mut ids = BTreeSet::new();
    for (number, marks) in marks.iter().enumerate() {
        for (kind, plural) in [("ConfigMap", "configmaps"), ("Secret", "secrets")] {
            for namespace in ["n", "other"] {
                let mut object = manifest(&format!("{kind} o{number}"), "x");
                object["metadata"]["namespace"] = json!(namespace);
                for (key, value) in marks.as_object().expect("a mapping") {
                    object["metadata"][key] = value.clone();
                }
                let path = format!("/api/v1/namespaces/{namespace}/{plural}");
                world.somebody(ModelRequest::create(&path, object));
                let of = |name: String| ObjectRef {
                    namespace: namespace.into(),
                    name: name.into(),
                    ..id(&format!("{kind} x"))
                };
                ids.extend([of(format!("o{number}")), of(format!("absent{number}"))]);
            }
        }
    }
    // One that is going.
    world.somebody(ModelRequest::delete("/api/v1/namespaces/n/configmaps/o7"));
    ids
}

#[tokio::test(start_paused = true)]
async fn a_list_tells_of_newcomers_what_reading_each_would() {
    let world = World::new();
    let ids = marked(&world);
    let (mut one_by_one, mut by_list) = (Live::default(), Live::default());
    assert_eq!(live::look_at(&world.cluster, &mut one_by_one, &ids, &world.settings).await, []);
    assert_eq!(world.cluster.take_calls().len(), ids.len());
    assert_eq!(live::look_for(&world.cluster, &mut by_list, &ids, &world.settings).await, []);
    let calls = world.cluster.take_calls();
    assert!(calls.len() * 4 < ids.len() && calls.iter().all(|call| call.starts_with("page ")), "{calls:?}");
    assert_eq!(by_list, one_by_one);
    assert_eq!(by_list.seen.values().filter(|seen| seen.is_some()).count(), 32);
    assert_eq!(by_list.seen.values().flatten().filter(|seen| seen.owner.is_some()).count(), 16);

    // Nothing else follows where lists are refused.
    for begin in ["page ConfigMap in n", "page Secret in other"] {
        world.cluster.deny(begin);
        let mut by_both = Live::default();
        assert_eq!(live::look_for(&world.cluster, &mut by_both, &ids, &world.settings).await, [], "{begin}");
        assert_eq!(by_both, one_by_one, "{begin}");
        assert!(world.cluster.take_calls().iter().any(|call| call.starts_with("get ")), "{begin}");
        world.cluster.allow_all();
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_list_of_others_is_not_read_to_its_end_for_few_newcomers() {
    let world = World::new();
    for number in 0..200 {
        let map = manifest(&format!("ConfigMap foreign{number:03}"), "x");
        world.somebody(ModelRequest::create("/api/v1/namespaces/n/configmaps", map));
    }
    let ids: BTreeSet<ObjectRef> = (0..9).map(|number| id(&format!("ConfigMap mine{number}"))).collect();
    let mut live = Live::default();
    live::look_for(&world.cluster, &mut live, &ids, &world.settings).await;
    let calls = world.cluster.take_calls();
    assert_eq!(calls.iter().filter(|call| call.starts_with("page ")).count(), 1, "{calls:?}");
    assert_eq!((calls.len(), live.seen.len()), (10, 9));
    assert!(live.seen.values().all(Option::is_none));
}

#[tokio::test(start_paused = true)]
async fn a_first_sync_of_many_services_looks_for_them_by_lists() {
    let mut world = World::new();
    let kinds = ["ConfigMap", "Secret", "Service", "ServiceAccount"];
    let services: Vec<_> = (0..100)
        .map(|number| {
            let names: Vec<String> = kinds.iter().map(|kind| format!("{kind} o{number}")).collect();
            let objects: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "v1")).collect();
            service(&format!("app{number:03}"), &objects)
        })
        .collect();
    world.commit(&services);
    let report = world.synced().await;
    assert_eq!(report.applied_resources.len(), 400);
    let calls = world.cluster.take_calls();
    let count = |begin: &str| calls.iter().filter(|call| call.starts_with(begin)).count();
    assert_eq!((count("get "), count("page "), count("apply ")), (0, 4, 400));
}
