//! Nothing is ever forgotten: what half an apply has introduced, and what may not be deleted.

use std::time::Duration;

use syncd::report::{CycleResult, Report};

use crate::world::{Behaviour, World, service};

pub async fn half_an_apply_that_is_reverted_leaves_nothing(world: &mut World) {
    let old = service("app1", &[world.config_map("old", "1")]);
    world.title("before");
    world.commit(std::slice::from_ref(&old));
    world.cycle().await;

    world.title("a commit brings a service and adds to another one; one of its objects is denied");
    let denial = world.plane.deny("apply", &world.id("", "ConfigMap", "denied")).await;
    let more = [
        world.config_map("old", "2"),
        world.config_map("new", "1"),
        world.config_map("denied", "1"),
        world.deployment("new", Behaviour::Run, "new:1"),
    ];
    let whole = service("app2", &[world.config_map("whole", "1")]);
    world.commit(&[service("app1", &more), whole]);
    let report = world.cycle().await;
    assert_eq!(report.result, CycleResult::Failed);

    world.title("the commit is reverted");
    world.commit(&[old]);
    let report = world.cycle().await;
    assert_eq!(report.result, CycleResult::Synced);
    world.title("a new process finds nothing to do");
    world.restart().await;
    world.cycle().await;
    world.plane.allow(&denial).await;
}

pub async fn a_denied_delete_is_tried_for_ever_and_shown(world: &mut World) {
    // Otherwise it is tried again after ten minutes.
    world.settings.retry.service_permanent = Duration::ZERO;
    let (stays, leaves) = (world.config_map("stays", "1"), world.config_map("leaves", "1"));
    world.title("before");
    world.commit(&[
        service("app1", &[stays.clone(), leaves.clone()]),
        service("gone", &[world.config_map("gone", "1")]),
    ]);
    world.cycle().await;

    world.title("an object and a service leave, and may not be deleted");
    let denials = [
        world.plane.deny("delete", &world.id("", "ConfigMap", "leaves")).await,
        world.plane.deny("delete", &world.id("", "ConfigMap", "gone")).await,
    ];
    world.commit(&[service("app1", std::slice::from_ref(&stays))]);
    let is_shown = |report: &Report| {
        assert_eq!(report.result, CycleResult::Failed);
        assert!(["app1", "gone"].iter().all(|name| report.services[*name].failed == 1), "{report:#?}");
    };
    is_shown(&world.cycle().await);
    world.title("again");
    is_shown(&world.cycle().await);
    world.title("and by a new process");
    world.restart().await;
    is_shown(&world.cycle().await);
    world.title("after another commit as well");
    let stays = world.config_map("stays", "2");
    world.commit(&[service("app1", std::slice::from_ref(&stays))]);
    is_shown(&world.cycle().await);

    world.title("it is allowed");
    for denial in &denials {
        world.plane.allow(denial).await;
    }
    world.cycle().await;
}
