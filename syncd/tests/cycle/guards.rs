//! What is not deleted although nobody wants it any more: too much at once, until it is approved; and what never is.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use manifest::Hash;
use sandbox::Request as ModelRequest;
use serde_json::json;
use syncd::approval;
use syncd::cycle::{Memory, Mode};
use syncd::report::{CycleResult, Event, Outcome, Report, ServiceState};

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
    assert_eq!(said, [format!("held: 12 deletions, 10 are let through unasked: syncd approve {id}")]);

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

const WIDGETS: &str = "CustomResourceDefinition.apiextensions.k8s.io widgets.example.org";

/// A world in which a namespace, a definition and a ConfigMap have just left a service.
async fn shells_left(before: impl FnOnce(&World)) -> World {
    let mut world = World::new();
    let app = service("app", &[("ConfigMap a", "v1")]);
    let base = [("Namespace extra", "x"), (WIDGETS, "x"), ("ConfigMap kept", "v1")];
    world.commit(&[service("base", &base), app.clone()]);
    world.synced().await;
    before(&world);
    world.commit(&[service("base", &[]), app]);
    world.cluster.take_calls();
    world
}

/// Makes something of somebody else's in the namespace `extra`.
fn foreign(world: &World) {
    let mut foreign = manifest("ConfigMap foreign", "x");
    foreign["metadata"]["namespace"] = json!("extra");
    world.somebody(ModelRequest::create("/api/v1/namespaces/extra/configmaps", foreign));
}

#[tokio::test(start_paused = true)]
async fn namespaces_definitions_and_what_asks_for_it_are_kept() {
    // Things of others in the namespace and of the kind; and an object that somebody wants to keep.
    let mut world = shells_left(|world| {
        foreign(world);
        let widget = json!({"apiVersion": "example.org/v1", "kind": "Widget", "metadata": {"name": "theirs", "namespace": "other"}});
        world.somebody(ModelRequest::create("/apis/example.org/v1/namespaces/other/widgets", widget));
        let keep = json!({"metadata": {"annotations": {"syncd/prune": "disabled"}}});
        world.somebody(ModelRequest::merge_patch(&world.path("ConfigMap kept"), keep));
    })
    .await;
    let report = world.cycle().await;
    assert_eq!(deletions(&world), Vec::<String>::new(), "{report:#?}");
    let told: Vec<String> = withheld(&report, "base");
    let expected = [
        "ConfigMap n/kept: it is annotated `syncd/prune: disabled`",
        "Namespace extra: objects in it that are not deleted: 1, such as ConfigMap extra/foreign",
        "CustomResourceDefinition.apiextensions.k8s.io widgets.example.org: objects of its kind that are not deleted: 1, such as Widget.example.org other/theirs",
    ];
    assert_eq!(told, expected);
    assert_eq!(states(&report)["base"], ServiceState::Synced, "they are left-overs: nothing waits");
    world.wait(Duration::from_secs(13 * 60 * 60)).await;
    world.cycle_of(Mode::Full).await;
    assert!(world.object("Namespace extra").is_some() && world.object("ConfigMap kept").is_some());
    assert!(world.object(WIDGETS).is_some());
}

fn withheld(report: &Report, service: &str) -> Vec<String> {
    let objects = report.services[service].objects.iter();
    let withheld = objects.filter(|object| object.outcome == Outcome::Withheld);
    withheld.map(|object| format!("{}: {}", object.object, object.reason)).collect()
}

#[tokio::test(start_paused = true)]
async fn empty_namespaces_and_definitions_go_when_that_is_approved() {
    let mut world = shells_left(|_| {}).await;
    let report = world.cycle().await;
    let calls = world.cluster.take_calls();
    assert!(calls.contains(&"page ServiceAccount in extra".to_owned()), "{calls:?}");
    assert!(calls.contains(&"page Widget.example.org".to_owned()), "{calls:?}");
    assert!(!calls.iter().any(|call| call.starts_with("page Event")), "{calls:?}");
    assert_eq!(
        (report.result, world.object("ConfigMap kept")),
        (CycleResult::Held, None),
        "what needs no approval goes"
    );
    let id = held(&report);
    let asks = |object: &str| format!("{object}: more goes with it than the object: syncd approve {}", id.short());
    let told = withheld(&report, "base");
    assert_eq!(told, [asks("Namespace extra"), asks(WIDGETS)]);
    assert_eq!(world.state().root.expect("there").root.held.expect("held").deletions, 2);
    let said = world.cluster.model.objects("", "Event", HOME);
    let said: Vec<&str> = said.iter().filter_map(|event| event["message"].as_str()).collect();
    let message = format!("held: 2 deletions that take more along than the object itself: syncd approve {id}");
    assert_eq!(said, [message]);

    world.wait(Duration::from_secs(15)).await;
    world.cycle().await;
    assert_eq!(world.cluster.take_calls(), ["get ConfigMap syncd/syncd-staging.approved"], "waiting is cheap");
    approve(&world, id).await;
    let report = world.cycle().await;
    assert_eq!((report.result, report.held.clone()), (CycleResult::Synced, None), "{report:#?}");
    assert!(world.object("Namespace extra").is_none() && world.object(WIDGETS).is_none());
    world.cluster.take_calls();
    world.cycle().await;
    assert_eq!(world.cluster.take_calls(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_an_approval_is_not_lost() {
    let mut world = shells_left(|_| {}).await;
    let id = held(&world.cycle().await);
    approve(&world, id).await;
    foreign(&world);
    let report = world.cycle().await;
    assert!(
        withheld(&report, "base").iter().any(|told| told.ends_with("such as ConfigMap extra/foreign")),
        "{report:#?}"
    );
    assert!(world.object("Namespace extra").is_some(), "another plan, too, and it was not approved");
    assert!(world.object(WIDGETS).is_some());
}

#[tokio::test(start_paused = true)]
async fn what_comes_between_the_plan_and_the_deletion_is_not_lost() {
    let mut world = shells_left(|_| {}).await;
    let id = held(&world.cycle().await);
    approve(&world, id).await;
    let model = world.cluster.model.clone();
    // The plan asks last whether it was approved, for the second time in a cycle: then it is carried out.
    let asked = AtomicUsize::new(0);
    world.cluster.check(move |call| {
        let asks = call == "get ConfigMap syncd/syncd-staging.approved";
        if asks && asked.fetch_add(1, Ordering::SeqCst) == 1 {
            let mut foreign = manifest("ConfigMap foreign", "x");
            foreign["metadata"]["namespace"] = json!("extra");
            model.handle(&ModelRequest::create("/api/v1/namespaces/extra/configmaps", foreign));
        }
    });
    let report = world.cycle().await;
    world.cluster.check(|_| {});
    assert_eq!(states(&report)["base"], ServiceState::Failed, "{report:#?}");
    let error = report.services["base"].error.clone().unwrap_or_default();
    assert_eq!(error, "Namespace extra could not be deleted: ConfigMap extra/foreign has come meanwhile");
    assert!(world.object("Namespace extra").is_some() && world.object(WIDGETS).is_none());
    world.wait(Duration::from_secs(60)).await;
    let report = world.cycle().await;
    assert_eq!((states(&report)["base"], report.held), (ServiceState::Synced, None));
    assert!(world.object("Namespace extra").is_some());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_looked_into_stays() {
    let mut world = shells_left(|_| {}).await;
    world.cluster.deny("page Secret in extra");
    world.cluster.deny("page Widget.example.org");
    let report = world.cycle().await;
    let unread = |object: &str, kind: &str| {
        format!("{object}: it could not be read what would go with it: {kind}: forbidden by a test")
    };
    let expected = [unread("Namespace extra", "Secret"), unread(WIDGETS, "Widget.example.org")];
    assert_eq!(withheld(&report, "base"), expected);
    assert_eq!((report.held.clone(), states(&report)["base"]), (None, ServiceState::Held));
    world.cluster.allow_all();
    world.wait(Duration::from_secs(700)).await;
    assert_eq!(world.cycle().await.held.expect("now it can be asked for").deletions, 2);
}

#[tokio::test(start_paused = true)]
async fn many_objects_in_a_namespace_are_read_page_by_page() {
    let mut world = shells_left(|world| {
        for number in 0..25 {
            let mut map = manifest(&format!("ConfigMap m{number}"), "x");
            map["metadata"]["namespace"] = json!("extra");
            world.somebody(ModelRequest::create("/api/v1/namespaces/extra/configmaps", map));
        }
    })
    .await;
    let report = world.cycle().await;
    let told = "Namespace extra: objects in it that are not deleted: 25, such as ConfigMap extra/m0".to_owned();
    assert!(withheld(&report, "base").contains(&told), "{report:#?}");
    let calls = world.cluster.take_calls();
    assert_eq!(calls.iter().filter(|call| *call == "page ConfigMap in extra, more").count(), 2, "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stateful_set_goes_unasked_only_without_claims() {
    let mut world = World::new();
    let app = service("app", &[("ConfigMap a", "v1")]);
    world.commit(&[
        service("store", &[("StatefulSet.apps plain", "ready"), ("StatefulSet.apps claims", "ready")]),
        app.clone(),
    ]);
    world.synced().await;
    world.commit(&[app]);
    let report = world.cycle().await;
    assert_eq!(report.held.as_ref().map(|held| held.deletions), Some(1), "{report:#?}");
    assert!(world.object("StatefulSet.apps plain").is_none() && world.object("StatefulSet.apps claims").is_some());
    approve(&world, held(&report)).await;
    assert_eq!(world.cycle().await.result, CycleResult::Synced);
    assert!(world.object("StatefulSet.apps claims").is_none());
}

#[tokio::test(start_paused = true)]
async fn what_changes_between_the_look_and_the_delete_is_looked_at_again() {
    let cases = [
        (json!({"metadata": {"labels": {"syncd/environment": null}}}), true),
        (json!({"metadata": {"annotations": {"syncd/prune": "disabled"}}}), true),
        (json!({"data": {"more": "x"}}), false),
    ];
    for (patch, stays) in cases {
        let mut world = World::new();
        world.commit(&[service("app1", &[("ConfigMap a", "v1"), ("ConfigMap old", "v1")])]);
        world.synced().await;
        world.commit(&[service("app1", &[("ConfigMap a", "v1")])]);
        let (model, path, edit) = (world.cluster.model.clone(), world.path("ConfigMap old"), patch.clone());
        let looks = AtomicUsize::new(0);
        world.cluster.check(move |call| {
            if call == "get ConfigMap n/old" && looks.fetch_add(1, Ordering::SeqCst) == 0 {
                model.handle(&ModelRequest::merge_patch(&path, edit.clone()));
            }
        });
        world.cluster.take_calls();
        let report = world.cycle().await;
        let sent = world.cluster.take_calls();
        let about: Vec<&str> =
            sent.iter().filter(|call| call.ends_with("ConfigMap n/old")).map(String::as_str).collect();
        let looked = ["get ConfigMap n/old", "delete ConfigMap n/old", "get ConfigMap n/old", "delete ConfigMap n/old"];
        assert_eq!(about, looked[..if stays { 3 } else { 4 }], "{patch}");
        assert_eq!(world.object("ConfigMap old").is_some(), stays, "{patch}");
        let expected = if stays { ServiceState::Failed } else { ServiceState::Synced };
        assert_eq!(states(&report), [("app1", expected)].into(), "{patch}");
        world.wait(Duration::from_secs(60)).await;
        world.synced().await;
        assert_eq!(world.object("ConfigMap old").is_some(), stays, "{patch}");
    }
}

/// A controller that writes the status of an object at its own pace is faster than a look and the deletion after it, but not for ever.
#[tokio::test(start_paused = true)]
async fn what_controllers_change_all_the_time_is_deleted_between_two_changes() {
    for (changes, deletes, waited, expected) in
        [(1, 2, 0, ServiceState::Synced), (2, 3, 250, ServiceState::Synced), (99, 4, 750, ServiceState::Failed)]
    {
        let mut world = World::new();
        world.commit(&[service("app1", &[("ConfigMap a", "v1"), ("ConfigMap old", "v1")])]);
        world.synced().await;
        world.commit(&[service("app1", &[("ConfigMap a", "v1")])]);
        let (model, path) = (world.cluster.model.clone(), world.path("ConfigMap old"));
        let looks = AtomicUsize::new(0);
        world.cluster.check(move |call| {
            let look = if call == "get ConfigMap n/old" { looks.fetch_add(1, Ordering::SeqCst) } else { changes };
            if look < changes {
                model.handle(&ModelRequest::merge_patch(&path, json!({"data": {"look": look.to_string()}})));
            }
        });
        world.cluster.take_calls();
        let begun = tokio::time::Instant::now();
        let report = world.cycle().await;
        let sent = world.cluster.take_calls();
        assert_eq!(
            sent.iter().filter(|call| *call == "delete ConfigMap n/old").count(),
            deletes,
            "{changes}: {sent:?}"
        );
        let waited = Duration::from_millis(waited)..Duration::from_millis(waited + 100);
        assert!(waited.contains(&begun.elapsed()), "{changes}: {:?}", begun.elapsed());
        assert_eq!(states(&report), [("app1", expected)].into(), "{changes}");
        let told = report.services["app1"].error.as_deref().unwrap_or_default();
        assert_eq!(told.contains("is changed whenever it is to be deleted"), changes == 99, "{told}");
    }
}
