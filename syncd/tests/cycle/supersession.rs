//! A newer revision does not wait for an older one that is stuck.

use std::time::Duration;

use tokio::time::Instant;

use crate::leader::World;
use crate::world::{Service, service};

/// Time between two polls, and what a cycle needs to end and the next to plan.
const AT_MOST: Duration = Duration::from_secs(15 + 1);

/// Returns how long a fix takes from the push to its first apply, if it is pushed so long after a revision that hangs was first applied.
async fn first_apply(stuck: &[Service], fix: &[Service], apply: &str, after: Duration) -> Duration {
    let world = World::new();
    world.commit(stuck);
    let process = world.start("a", None);
    world.until("the stuck revision", || !process.cluster.model.objects("apps", "Deployment", "n").is_empty()).await;
    world.pass(after).await;
    process.cluster.take_calls();
    world.commit(fix);
    let pushed = Instant::now();
    let mut first = None;
    while first.is_none() {
        assert!(pushed.elapsed() < Duration::from_secs(700), "{apply} never came");
        world.pass(Duration::from_millis(100)).await;
        first = process.cluster.take_calls().iter().any(|call| call == apply).then(|| pushed.elapsed());
    }
    first.expect("just found")
}

#[tokio::test(start_paused = true)]
async fn a_fix_of_a_stuck_rollout_is_applied_within_a_poll() {
    let stuck = [service("app1", &[("Deployment.apps d", "never-ready")])];
    let fix = [service("app1", &[("Deployment.apps d", "run")])];
    for second in 0..16 {
        let took = first_apply(&stuck, &fix, "apply Deployment.apps n/d", Duration::from_secs(second)).await;
        assert!(took <= AT_MOST, "after {second} s: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_service_does_not_wait_for_a_stuck_rollout_either() {
    let stuck = || service("app1", &[("Deployment.apps d", "never-ready")]);
    let fix = [stuck(), service("app2", &[("ConfigMap a", "v1")])];
    let took = first_apply(&[stuck()], &fix, "apply ConfigMap n/a", Duration::from_secs(100)).await;
    assert!(took <= AT_MOST, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_failed_and_rests_is_not_waited_for() {
    // It is given up after ten minutes, and tried again after a pause that grows.
    let stuck = [service("app1", &[("Deployment.apps d", "never-ready")])];
    let fix = [service("app1", &[("Deployment.apps d", "run")])];
    let took = first_apply(&stuck, &fix, "apply Deployment.apps n/d", Duration::from_secs(617)).await;
    assert!(took <= AT_MOST, "{took:?}");
}
