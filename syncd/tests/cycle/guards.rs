//! What is not deleted although nobody wants it any more: too much at once, until it is approved; and what never is.

use std::time::Duration;

use manifest::Hash;
use sandbox::Request as ModelRequest;
use serde_json::json;
use syncd::approval;
use syncd::cycle::{Memory, Mode};
use syncd::report::{CycleResult, Event, Report, ServiceState};

use crate::cluster::HOME;
use crate::world::{ENVIRONMENT, Service, World, manifest, service, states};

/// Services with two objects each.
fn services(numbers: std::ops::Range<usize>) -> Vec<Service> {
    let one = |number: usize| {
        let (name, objects) = (format!("app{number:02}"), ["a", "b"]);
        let objects: Vec<String> = objects.iter().map(|object| format!("ConfigMap {object}{number:02}")).collect();
        service(&name, &[(objects[0].as_str(), "v1"), (objects[1].as_str(), "v1")])
    };
    numbers.map(one).collect()
}

async fn approve(world: &World, id: Hash) {
    let approvals = approval::read(&world.cluster, ENVIRONMENT, HOME).await.expect("readable");
    approval::add(&world.cluster, ENVIRONMENT, approvals, id).await.expect("written");
}

fn held(report: &Report) -> Hash {
    report.held.as_ref().unwrap_or_else(|| panic!("nothing is held: {report:#?}")).id
}

fn deletions(world: &World) -> Vec<String> {
    let writes = world.writes();
    writes.into_iter().filter(|call| call.starts_with("delete ")).collect()
}

/// A world of 20 services with 40 objects, of which 6 services with 12 objects have just left: the limit is 10.
async fn too_many() -> (World, Hash) {
    let mut world = World::new();
    world.commit(&services(0..20));
    world.synced().await;
    world.commit(&services(0..14));
    world.writes();
    world.events.take();
    let report = world.cycle().await;
    assert_eq!(report.result, CycleResult::Held, "{report:#?}");
    assert_eq!(deletions(&world), Vec::<String>::new());
    let id = held(&report);
    (world, id)
}

#[tokio::test(start_paused = true)]
async fn too_many_deletions_wait_and_exactly_they_are_released() {
    let (mut world, id) = too_many().await;
    let told: Vec<Event> = world.events.take();
    assert!(told.iter().any(|event| matches!(event, Event::Held(held) if held.id == id && held.deletions == 12)));
    let root = world.state().root.expect("there").root;
    assert_eq!(root.held.as_ref().map(|held| (held.id, held.deletions, held.limit)), Some((id, 12, 10)));
    let said = world.cluster.model.objects("", "Event", HOME);
    let said: Vec<&str> = said.iter().filter_map(|event| event["message"].as_str()).collect();
    assert_eq!(said, [format!("12 deletions are held, 10 are let through unasked: syncd approve {id}")]);

    for _ in 0..40 {
        world.wait(Duration::from_secs(60)).await;
        assert_eq!(held(&world.cycle().await), id, "an hour later it is still the same");
    }
    assert_eq!(deletions(&world), Vec::<String>::new());
    assert_eq!(world.cluster.model.objects("", "Event", HOME).len(), 1, "it is said once");

    // One more service leaves: that is another plan, and an approval of the one before is none of it.
    world.commit(&services(0..13));
    approve(&world, id).await;
    let report = world.cycle().await;
    let other = held(&report);
    assert_ne!(other, id);
    for _ in 0..3 {
        world.wait(Duration::from_secs(700)).await;
        world.cycle().await;
    }
    assert_eq!(deletions(&world), Vec::<String>::new());

    approve(&world, other).await;
    let report = world.cycle().await;
    assert_eq!((report.result, report.held), (CycleResult::Synced, None));
    assert_eq!(deletions(&world).len(), 14);
    assert_eq!(world.owned().len(), 26);
    assert_eq!(world.state().root.expect("there").root.held, None);
    let left = approval::read(&world.cluster, ENVIRONMENT, HOME).await.expect("readable");
    assert!(!left.has(&other) && !left.has(&id), "approvals have served");
    world.cluster.take_calls();
    world.cycle().await;
    assert_eq!(world.cluster.take_calls(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn waiting_for_approval_costs_one_request_a_poll() {
    let (mut world, _) = too_many().await;
    world.cluster.take_calls();
    world.wait(Duration::from_secs(15)).await;
    world.cycle().await;
    assert_eq!(world.cluster.take_calls(), ["get ConfigMap syncd/syncd-staging.approved"]);
}

#[tokio::test(start_paused = true)]
async fn an_approval_outlives_a_restart() {
    let (mut world, id) = too_many().await;
    world.memory = Memory::default();
    assert_eq!(held(&world.cycle().await), id, "the same deletions have the same name");
    approve(&world, id).await;
    world.memory = Memory::default();
    assert_eq!(world.cycle().await.result, CycleResult::Synced);
    assert_eq!(world.owned().len(), 28);
}

#[tokio::test(start_paused = true)]
async fn held_deletions_are_not_let_through_piece_by_piece() {
    let (mut world, _) = too_many().await;
    let mut broken = services(0..14);
    broken.push(service("broken", &[("ConfigMap z", "v1")]));
    world.cluster.deny("apply ConfigMap n/z");
    world.commit(&broken);
    for minute in 0..120 {
        world.cycle_of(if minute == 60 { Mode::Full } else { Mode::Auto }).await;
        world.wait(Duration::from_secs(60)).await;
        assert_eq!(deletions(&world), Vec::<String>::new(), "minute {minute}");
    }
    assert_eq!(world.owned().len(), 40);
}

#[tokio::test(start_paused = true)]
async fn an_environment_is_emptied_on_purpose_the_same_way() {
    let mut world = World::new();
    world.commit(&services(0..6));
    world.synced().await;
    world.commit(&[]);
    let report = world.cycle().await;
    assert_eq!(report.result, CycleResult::Held);
    assert_eq!(world.owned().len(), 12);
    approve(&world, held(&report)).await;
    let report = world.cycle().await;
    assert_eq!((report.result, world.owned()), (CycleResult::Synced, Vec::new()));
    assert!(report.services.values().all(|service| service.state == ServiceState::Removed));
    assert!(world.state().services.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_returns_to_the_index_is_not_deleted_by_an_approval() {
    let (mut world, id) = too_many().await;
    approve(&world, id).await;
    world.commit(&services(0..20));
    let report = world.cycle().await;
    assert_eq!((report.held.clone(), world.owned().len()), (None, 40), "{report:#?}");
    assert_eq!(deletions(&world), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn namespaces_definitions_and_what_asks_for_it_are_kept() {
    let mut world = World::new();
    let base = [
        ("Namespace extra", "x"),
        ("CustomResourceDefinition.apiextensions.k8s.io widgets.example.org", "x"),
        ("ConfigMap kept", "v1"),
    ];
    world.commit(&[service("base", &base), service("app", &[("ConfigMap a", "v1")])]);
    world.synced().await;
    // Things of others in the namespace and of the kind; and an object that somebody wants to keep.
    let mut foreign = manifest("ConfigMap foreign", "x");
    foreign["metadata"]["namespace"] = json!("extra");
    world.somebody(ModelRequest::create("/api/v1/namespaces/extra/configmaps", foreign));
    let keep = json!({"metadata": {"annotations": {"syncd/prune": "disabled"}}});
    world.somebody(ModelRequest::merge_patch(&world.path("ConfigMap kept"), keep));
    world.commit(&[service("app", &[("ConfigMap a", "v1")])]);
    world.writes();
    let report = world.cycle().await;
    assert_eq!(deletions(&world), Vec::<String>::new(), "{report:#?}");
    assert_eq!(report.services["base"].withheld, 3);
    assert_eq!(states(&report)["app"], ServiceState::Synced);
    world.wait(Duration::from_secs(13 * 60 * 60)).await;
    world.cycle_of(Mode::Full).await;
    assert!(world.object("Namespace extra").is_some() && world.object("ConfigMap kept").is_some());
    assert!(world.object("CustomResourceDefinition.apiextensions.k8s.io widgets.example.org").is_some());
}
