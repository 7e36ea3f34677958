//! Records as they are stored: readable, split where they are large, and left alone where they cannot be read.

use sandbox::Request as ModelRequest;
use serde_json::{Value, json};
use syncd::cycle::Memory;
use syncd::report::{CycleResult, ServiceState, Stage};
use syncd::state::Reading;

use crate::cluster::HOME;
use crate::world::{World, service, states, without_hashes};

fn config_map(world: &World, name: &str) -> Value {
    world.cluster.model.object("", "ConfigMap", HOME, name).unwrap_or_else(|| panic!("no ConfigMap {name}"))
}

fn write(world: &World, name: &str, data: &Value) {
    let path = format!("/api/v1/namespaces/{HOME}/configmaps/{name}");
    world.somebody(ModelRequest::merge_patch(&path, json!({"data": data})));
}

#[tokio::test(start_paused = true)]
async fn a_record_is_a_labelled_config_map_that_people_can_read() {
    let mut world = World::new();
    world.commit(&[service("app1", &[("ConfigMap a", "v1")])]);
    world.synced().await;
    let record = config_map(&world, "syncd-staging-app1");
    let labels =
        json!({"app.kubernetes.io/managed-by": "syncd", "syncd/environment": "staging", "syncd/service": "app1"});
    assert_eq!(record["metadata"]["labels"], labels);
    let text = record["data"]["record.json"].as_str().expect("a text");
    insta::assert_snapshot!(without_hashes(&text.replace(&world.uid("ConfigMap a").expect("there"), "<uid>")));
    let root = config_map(&world, "syncd-staging");
    insta::assert_snapshot!(without_hashes(root["data"]["root.json"].as_str().expect("a text")));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_holds_its_service_and_is_not_overwritten() {
    let newer = json!({"record.json": "{\"format\": 2, \"held\": {}}"});
    for (damage, expected) in [
        (newer, "format 2 is unknown"),
        (json!({"record.json": "garbage"}), "expected value"),
        (json!({"record.json": null}), "it has no key `record.json`"),
        (
            json!({"record.json": "{\"format\":1,\"environment\":\"staging\",\"service\":\"other\",\"held\":[]}"}),
            "it is of service `other`",
        ),
    ] {
        let mut world = World::new();
        world.commit(&[
            service("app1", &[("ConfigMap a", "v1"), ("ConfigMap b", "v1")]),
            service("app2", &[("ConfigMap c", "v1")]),
        ]);
        world.synced().await;
        write(&world, "syncd-staging-app1", &damage);
        let before = config_map(&world, "syncd-staging-app1");
        world.memory = Memory::default();
        world.cluster.take_calls();
        world.commit(&[service("app1", &[("ConfigMap a", "v2")]), service("app2", &[("ConfigMap c", "v2")])]);
        let report = world.cycle().await;
        assert_eq!(states(&report), [("app1", ServiceState::Held), ("app2", ServiceState::Synced)].into());
        let error = report.services["app1"].error.as_ref().expect("an error");
        assert!(error.contains(expected) && error.contains("syncd-staging-app1"), "{error}");
        assert_eq!(world.writes(), ["apply ConfigMap n/c"]);
        assert_eq!(config_map(&world, "syncd-staging-app1"), before);
    }
}

#[tokio::test(start_paused = true)]
async fn a_root_that_cannot_be_read_holds_everything() {
    let mut world = World::new();
    world.commit(&[service("app1", &[("ConfigMap a", "v1")])]);
    world.synced().await;
    write(&world, "syncd-staging", &json!({"root.json": "{\"format\": 2}"}));
    world.memory = Memory::default();
    world.commit(&[service("app1", &[("ConfigMap a", "v2")])]);
    world.cluster.take_calls();
    let report = world.cycle().await;
    assert_eq!((report.result, report.errors[0].stage), (CycleResult::Failed, Stage::State));
    assert!(
        report.errors[0].message.contains("`syncd-staging` cannot be read: format 2 is unknown"),
        "{:?}",
        report.errors
    );
    assert_eq!(world.cluster.take_calls(), ["list state"]);
}

#[tokio::test(start_paused = true)]
async fn state_that_was_deleted_by_hand_is_rebuilt_without_deleting_anything() {
    let mut world = World::new();
    world.commit(&[service("app1", &[("ConfigMap a", "v1"), ("ConfigMap b", "v1")])]);
    world.synced().await;
    let uids = (world.uid("ConfigMap a"), world.uid("ConfigMap b"));
    for name in ["syncd-staging", "syncd-staging-app1"] {
        world.somebody(ModelRequest::delete(&format!("/api/v1/namespaces/{HOME}/configmaps/{name}")));
    }
    world.memory = Memory::default();
    world.cluster.take_calls();
    world.commit(&[service("app1", &[("ConfigMap a", "v1")])]);
    let report = world.synced().await;
    assert_eq!(world.writes(), ["apply ConfigMap n/a"]);
    assert_eq!(report.orphans.iter().map(ToString::to_string).collect::<Vec<_>>(), ["ConfigMap n/b"]);
    assert_eq!((world.uid("ConfigMap a"), world.uid("ConfigMap b")), uids);
    assert_eq!(world.state().record("app1").expect("recorded").held.len(), 1);
}

fn many(count: usize) -> Vec<(String, &'static str)> {
    (0..count).map(|number| (format!("ConfigMap c{number:03}"), "v1")).collect()
}

fn borrowed<'a>(objects: &'a [(String, &'static str)]) -> Vec<(&'a str, &'static str)> {
    objects.iter().map(|(name, content)| (name.as_str(), *content)).collect()
}

fn parts(world: &World) -> Vec<String> {
    let maps = world.cluster.model.objects("", "ConfigMap", HOME);
    let names = maps.iter().map(|map| map["metadata"]["name"].as_str().expect("a name").to_owned());
    names.filter(|name| name.starts_with("syncd-") && name.contains('.')).collect()
}

#[tokio::test(start_paused = true)]
async fn a_large_record_is_split_and_whole_again_when_it_shrinks() {
    let mut world = World::new();
    world.settings.limits.state_bytes = 4096;
    world.settings.fuse.objects = 100;
    let objects = many(40);
    world.commit(&[service("app1", &borrowed(&objects))]);
    world.synced().await;
    assert!(parts(&world).len() >= 3, "{:?}", parts(&world));
    for name in parts(&world) {
        let text = config_map(&world, &name)["data"]["part.json"].as_str().expect("a text").len();
        assert!(text <= 4096, "{name} has {text} bytes");
    }
    let Some(Reading::Stored(stored)) = world.state().services.get("app1").cloned() else { panic!("not stored") };
    assert_eq!((stored.record.held.len(), stored.parts.len()), (40, parts(&world).len()));
    assert!(world.state().stray_parts.is_empty());

    world.memory = Memory::default();
    assert_eq!(world.synced().await.result, CycleResult::Unchanged);
    world.commit(&[service("app1", &borrowed(&objects[..3]))]);
    world.synced().await;
    assert_eq!(parts(&world), Vec::<String>::new());
    assert_eq!(world.owned().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_torn_record_is_noticed() {
    let mut world = World::new();
    world.settings.limits.state_bytes = 4096;
    let objects = many(40);
    world.commit(&[service("app1", &borrowed(&objects))]);
    world.synced().await;
    let part = parts(&world).remove(0);
    let damaged = config_map(&world, &part)["data"]["part.json"].as_str().expect("a text").replace("c000", "c999");
    write(&world, &part, &json!({"part.json": damaged}));
    world.memory = Memory::default();
    let report = world.cycle().await;
    assert_eq!(states(&report), [("app1", ServiceState::Held)].into());
    let error = report.services["app1"].error.as_ref().expect("an error");
    assert!(error.contains(&format!("its part `{part}` is not the one that it names")), "{error}");

    world.somebody(ModelRequest::delete(&format!("/api/v1/namespaces/{HOME}/configmaps/{part}")));
    world.memory = Memory::default();
    let report = world.cycle().await;
    let error = report.services["app1"].error.as_ref().expect("an error");
    assert!(error.contains(&format!("its part `{part}` is missing")), "{error}");
    assert_eq!(world.owned().len(), 40);
}
