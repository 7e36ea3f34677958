//! What Kahoy recorded: what is wanted is taken over, the rest is told, and deleted only by a plan that names it.

use manifest::ObjectRef;
use sandbox::Request as ModelRequest;
use serde_json::json;
use syncd::desired;
use syncd::kahoy::{Fate, Findings, Storage, Why, delete, look};
use syncd::repo::Repo;

use crate::world::{ENVIRONMENT, World, id, manifest, service};

fn storage() -> Storage {
    Storage { namespace: "other".to_owned(), id: "prod".to_owned() }
}

/// An object as Kahoy applied it, and the Secret by which it remembers that.
fn kahoy_applied(world: &World, text: &str, marks: &serde_json::Value) {
    let mut object = manifest(text, "old");
    for (key, value) in marks.as_object().expect("a mapping") {
        object["metadata"][key] = value.clone();
    }
    let of = id(text);
    let collection = world.path(text).rsplit_once('/').expect("a path").0.to_owned();
    world.somebody(ModelRequest::create(&collection, object).query("fieldManager", "kahoy"));
    remember(world, &of, "prod");
}

fn remember(world: &World, of: &ObjectRef, storage: &str) {
    let or = |text: &str, default: &str| if text.is_empty() { default.to_owned() } else { text.to_owned() };
    let resource = format!("{}/v1/{}/{}/{}", or(&of.group, "core"), of.kind, or(&of.namespace, "default"), of.name);
    let labels = json!({"app.kubernetes.io/managed-by": "kahoy", "kahoy.slok.dev/storage-id": storage});
    let name = format!("{storage}-{}-{}", of.kind.to_lowercase(), of.name);
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "data": {"id": "eA=="}, "metadata": {
        "name": name, "namespace": "other", "labels": labels, "annotations": {"kahoy.slok.dev/resource-id": resource},
    }});
    world.somebody(ModelRequest::create("/api/v1/namespaces/other/secrets", secret));
}

async fn found(world: &World) -> Findings {
    let revision = world.repo.tip().await.expect("a tip");
    let commit = world.repo.fetch(&revision).await.expect("a commit");
    let settings = &world.settings;
    let source = desired::read_index(&world.repo, &revision, commit, (ENVIRONMENT, None), &settings.limits)
        .await
        .expect("an index");
    let (names, state) = (source.index.services.keys().cloned().collect(), world.state());
    let desired = desired::read_services(&world.repo, &source, &names, &state, settings).await.expect("read");
    look(&world.cluster, &storage(), &desired, &state, settings).await.expect("listed")
}

/// What Kahoy left: something wanted, three orphans, and what is kept for a reason each.
fn left_behind() -> World {
    let world = World::new();
    kahoy_applied(&world, "ConfigMap wanted", &json!({}));
    for orphan in ["ConfigMap old", "Service old", "Deployment.apps old"] {
        kahoy_applied(&world, orphan, &json!({}));
    }
    kahoy_applied(&world, "ConfigMap helms", &json!({"annotations": {"meta.helm.sh/release-name": "web"}}));
    kahoy_applied(&world, "ConfigMap kept", &json!({"annotations": {"syncd/prune": "disabled"}}));
    kahoy_applied(&world, "Namespace extra", &json!({}));
    remember(&world, &id("ConfigMap gone"), "prod");
    // Of another storage, and by hand.
    world.somebody(ModelRequest::create("/api/v1/namespaces/n/configmaps", manifest("ConfigMap theirs", "x")));
    remember(&world, &id("ConfigMap theirs"), "another");
    world.commit(&[service("app1", &[("ConfigMap wanted", "v1"), ("ConfigMap new", "v1")])]);
    world
}

#[tokio::test(start_paused = true)]
async fn what_is_wanted_is_taken_over_and_the_rest_goes_by_a_plan_that_names_it() {
    let mut world = left_behind();
    let uid = world.uid("ConfigMap wanted");
    let before = found(&world).await;
    let fate = |text: &str| before.objects.get(&id(text)).cloned();
    assert_eq!(fate("ConfigMap wanted"), Some(Fate::Wanted { service: "app1".to_owned() }));
    assert_eq!(fate("ConfigMap gone"), Some(Fate::Gone));
    assert_eq!(fate("ConfigMap kept"), Some(Fate::Kept(Why::PruneDisabled)));
    assert_eq!(fate("Namespace extra"), Some(Fate::Kept(Why::Shell)));
    assert!(matches!(fate("ConfigMap helms"), Some(Fate::Kept(Why::Foreign(owner))) if owner.tool == "helm"));
    assert_eq!(fate("ConfigMap theirs"), None, "it is of another storage");
    let orphans: Vec<String> = before.orphans().iter().map(|(id, _)| id.to_string()).collect();
    assert_eq!(orphans, ["ConfigMap n/old", "Service n/old", "Deployment.apps n/old"]);
    assert_eq!(world.writes(), Vec::<String>::new(), "looking changes nothing");

    // The first cycle takes over what is wanted, and leaves the rest alone.
    world.synced().await;
    assert_eq!(world.uid("ConfigMap wanted"), uid);
    let after = found(&world).await;
    assert_eq!((after.orphans(), after.plan(ENVIRONMENT)), (before.orphans(), before.plan(ENVIRONMENT)));
    world.writes();
    assert_eq!(delete(&world.cluster, &after, ENVIRONMENT).await, []);
    let expected = ["delete Deployment.apps n/old", "delete Service n/old", "delete ConfigMap n/old"];
    assert_eq!(world.writes(), expected, "in reverse order, and nothing else");
    assert_eq!(found(&world).await.orphans().len(), 0);
    let secrets = world.cluster.model.objects("", "Secret", "other");
    assert_eq!(secrets.len(), 9, "Kahoy's Secrets are left as they are");
}

#[tokio::test(start_paused = true)]
async fn another_object_or_one_that_was_taken_over_since_is_another_plan() {
    let mut world = left_behind();
    let before = found(&world).await;
    world.somebody(ModelRequest::delete(&world.path("ConfigMap old")));
    world.somebody(ModelRequest::create("/api/v1/namespaces/n/configmaps", manifest("ConfigMap old", "again")));
    assert_ne!(found(&world).await.plan(ENVIRONMENT), before.plan(ENVIRONMENT), "it has another uid");
    world.commit(&[service("app1", &[("Service old", "v1")])]);
    world.synced().await;
    world.writes();
    // By what was found long ago: the one has another uid, the other is wanted.
    let failed = delete(&world.cluster, &before, ENVIRONMENT).await;
    let told: Vec<String> = failed.iter().map(|(id, why)| format!("{id}: {why}")).collect();
    assert_eq!(told, ["Service n/old: it has changed meanwhile", "ConfigMap n/old: it has changed meanwhile"]);
    assert_eq!(world.writes(), ["delete Deployment.apps n/old"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_deleted_that_a_service_may_want() {
    let world = left_behind();
    let mut files =
        crate::world::files(&[service("app1", &[("ConfigMap a", "v1")]), service("app2", &[("ConfigMap b", "v1")])]);
    files.insert("_gen/staging/app2/resources.yaml".to_owned(), b"kind: [".to_vec());
    world.repo.commit(files);
    let found = found(&world).await;
    assert_eq!((found.unproven.as_deref(), found.orphans().len()), (Some("app2"), 0));
}
