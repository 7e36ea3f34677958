//! Who waits for whom.

use std::time::Duration;

use manifest::index::Sync;
use syncd::report::{CycleResult, ServiceState, Trigger};

use crate::world::{World, service, states};

fn after(depends_on: &[&str]) -> Sync {
    Sync { depends_on: depends_on.iter().map(|name| (*name).to_owned()).collect(), ..Sync::default() }
}

#[tokio::test(start_paused = true)]
async fn a_service_starts_when_those_it_depends_on_and_lower_waves_are_ready() {
    let mut world = World::new();
    let late = Sync { wave: 1, ..Sync::default() };
    world.commit(&[
        service("a-late", &[("ConfigMap a", "v1")]).sync(late),
        service("b-depends", &[("ConfigMap b", "v1")]).sync(after(&["c-slow"])),
        service("c-slow", &[("Deployment.apps c", "slow=20s")]),
        service("d-free", &[("ConfigMap d", "v1")]),
    ]);
    let report = world.synced().await;
    let seconds = |name: &str| report.services[name].seconds;
    assert!(seconds("d-free") < 1.0, "{}", seconds("d-free"));
    assert!(seconds("c-slow") >= 20.0);
    assert!(seconds("b-depends") >= 20.0 && seconds("a-late") >= 20.0);
    let writes = world.writes();
    assert_eq!(writes[..2], ["apply Deployment.apps n/c", "apply ConfigMap n/d"]);
    assert_eq!(writes.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_failed_service_blocks_those_that_depend_on_it_and_nobody_else() {
    let mut world = World::new();
    let services = [
        service("a-base", &[("ConfigMap a", "v1")]),
        service("b-next", &[("ConfigMap b", "v1")]).sync(after(&["a-base"])),
        service("c-last", &[("ConfigMap c", "v1")]).sync(after(&["b-next"])),
        service("d-free", &[("ConfigMap d", "v1")]),
    ];
    world.commit(&services);
    world.cluster.deny("apply ConfigMap n/a");
    let report = world.cycle().await;
    let expected = [
        ("a-base", ServiceState::Failed),
        ("b-next", ServiceState::Blocked),
        ("c-last", ServiceState::Blocked),
        ("d-free", ServiceState::Synced),
    ];
    assert_eq!(states(&report), expected.into());
    assert_eq!(report.services["b-next"].error.as_deref(), Some("service `a-base` must be ready before, and is not"));

    // As long as it rests, those that wait for it cost nothing and stay blocked.
    world.cluster.allow_all();
    world.cycle().await; // The second look: the first cycle took longer than a minute.
    world.cluster.take_calls();
    let report = world.cycle().await;
    assert_eq!(states(&report), expected.into());
    assert_eq!(world.cluster.take_calls(), Vec::<String>::new());
    world.wait(Duration::from_secs(11 * 60)).await;
    let report = world.synced().await;
    assert_eq!((report.result, report.trigger), (CycleResult::Synced, Trigger::Retry));
    assert_eq!(world.writes(), ["apply ConfigMap n/a", "apply ConfigMap n/b", "apply ConfigMap n/c"]);
}

#[tokio::test(start_paused = true)]
async fn services_that_wait_for_each_other_are_named_and_the_others_go_on() {
    let mut world = World::new();
    world.commit(&[
        service("a", &[("ConfigMap a", "v1")]).sync(after(&["b"])),
        service("b", &[("ConfigMap b", "v1")]).sync(after(&["a"])),
        service("c", &[("ConfigMap c", "v1")]),
        service("d", &[("ConfigMap d", "v1")]).sync(after(&["nobody"])),
    ]);
    let report = world.cycle().await;
    let expected = [
        ("a", ServiceState::Failed),
        ("b", ServiceState::Failed),
        ("c", ServiceState::Synced),
        ("d", ServiceState::Failed),
    ];
    assert_eq!(states(&report), expected.into());
    assert_eq!(report.services["a"].error.as_deref(), Some("it would wait for itself: a waits for b waits for a"));
    assert_eq!(world.owned(), ["c: ConfigMap n/c"]);
}

#[tokio::test(start_paused = true)]
async fn a_definition_that_fails_blocks_its_instances_only() {
    let mut world = World::new();
    let definition = ("CustomResourceDefinition.apiextensions.k8s.io widgets.example.org", "v1");
    world.commit(&[
        service("a-instance", &[("Widget.example.org w", "v1")]),
        service("b-definition", &[definition]),
        service("c-free", &[("ConfigMap c", "v1")]),
    ]);
    world.cluster.deny("apply CustomResourceDefinition.apiextensions.k8s.io widgets.example.org");
    let report = world.cycle().await;
    let expected = [
        ("a-instance", ServiceState::Blocked),
        ("b-definition", ServiceState::Failed),
        ("c-free", ServiceState::Synced),
    ];
    assert_eq!(states(&report), expected.into());
    world.cluster.allow_all();
    world.wait(Duration::from_secs(11 * 60)).await;
    assert_eq!(world.synced().await.result, CycleResult::Synced);
}
