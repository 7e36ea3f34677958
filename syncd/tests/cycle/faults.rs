//! Things that go wrong, one at a time: what is kept, what is told, when it is tried again.

use std::time::Duration;

use manifest::index::Sync;
use sandbox::{Answer, Request as ModelRequest, Rule};
use serde_json::json;
use syncd::repo::Revision;
use syncd::report::{CycleResult, Outcome, ServiceState, Trigger};

use crate::cluster::Fault;
use crate::world::{World, id, service, states};

fn quick() -> Sync {
    Sync { timeout_seconds: 10, ..Sync::default() }
}

#[tokio::test(start_paused = true)]
async fn one_bad_service_stops_nobody_else() {
    let mut world = World::new();
    let bad = Rule::new(
        &["apply"],
        &["configmaps"],
        Answer::DeniedByWebhook { webhook: "policy.example.org".to_owned(), message: "no".to_owned() },
    );
    world.cluster.model.set_faults(|faults| faults.rules.push(bad.named("bad")));
    world.commit(&[
        service("a-bad", &[("ConfigMap bad", "v1"), ("Service bad", "v1")]),
        service("good", &[("ConfigMap good", "v1")]),
    ]);
    let report = world.cycle().await;
    assert_eq!(report.result, CycleResult::Failed);
    assert_eq!(states(&report), [("a-bad", ServiceState::Failed), ("good", ServiceState::Synced)].into());
    let failed = &report.services["a-bad"];
    assert!(failed.error.as_ref().expect("an error").contains("denied the request: no"), "{failed:#?}");
    assert_eq!(failed.objects[0].outcome, Outcome::Failed);
    assert_eq!(world.object("Service bad"), None, "later stages wait for earlier ones");
    let condition = world.state().record("a-bad").expect("recorded").condition.clone().expect("a condition");
    assert_eq!(condition.state, "failed");

    // People have to mend it: it is not asked again at every poll, but when its content changes at once.
    world.cluster.take_calls();
    world.wait(Duration::from_secs(50)).await;
    let report = world.cycle().await;
    assert_eq!((report.trigger, report.result), (Trigger::None, CycleResult::Failed));
    assert_eq!(report.services["a-bad"].failures, 1);
    assert_eq!(world.cluster.take_calls(), Vec::<String>::new());
    world.commit(&[service("a-bad", &[("ConfigMap better", "v1")]), service("good", &[("ConfigMap good", "v1")])]);
    assert_eq!(world.synced().await.result, CycleResult::Synced);
    assert_eq!(world.owned(), ["a-bad: ConfigMap n/better", "good: ConfigMap n/good"]);
}

#[tokio::test(start_paused = true)]
async fn an_apply_that_fails_half_way_and_is_reverted_leaves_nothing() {
    let mut world = World::new();
    let first = world.commit(&[service("app1", &[("ConfigMap a", "v1")])]);
    world.synced().await;
    world.cluster.deny("apply Deployment.apps n/new");
    world.commit(&[service(
        "app1",
        &[("ConfigMap a", "v2"), ("ConfigMap new", "v1"), ("Deployment.apps new", "v1"), ("Service new", "v1")],
    )]);
    assert_eq!(world.cycle().await.result, CycleResult::Failed);
    assert_eq!(world.owned().len(), 3, "two of the new ones were applied: {:?}", world.owned());
    world.repo.point_at(&first);
    let report = world.synced().await;
    assert_eq!(report.result, CycleResult::Synced);
    assert_eq!(world.owned(), ["app1: ConfigMap n/a"]);
    assert_eq!(world.object("ConfigMap a").expect("there")["data"]["content"], "v1");
    assert_eq!(world.state().record("app1").expect("recorded").held.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_update_that_fails_half_way_and_is_reverted_is_undone() {
    let mut world = World::new();
    let first = world.commit(&[service("app1", &[("ConfigMap a", "v1"), ("Service b", "v1")])]);
    world.synced().await;
    world.cluster.deny("apply Service n/b");
    world.commit(&[service("app1", &[("ConfigMap a", "v2"), ("Service b", "v2")])]);
    assert_eq!(world.cycle().await.result, CycleResult::Failed);
    assert_eq!(world.object("ConfigMap a").expect("there")["data"]["content"], "v2");
    world.cluster.allow_all();
    world.cluster.take_calls();
    world.repo.point_at(&first);
    assert_eq!(world.synced().await.result, CycleResult::Synced);
    assert_eq!(world.writes(), ["apply ConfigMap n/a"]);
    assert_eq!(world.object("ConfigMap a").expect("there")["data"]["content"], "v1");
}

#[tokio::test(start_paused = true)]
async fn an_update_whose_answer_is_lost_and_that_is_reverted_is_undone() {
    for fault in [Fault::LostReply, Fault::LostRequest, Fault::CrashAfter, Fault::CrashBefore] {
        let mut world = World::new();
        let first = world.commit(&[service("app1", &[("ConfigMap a", "v1"), ("Service b", "v1")])]);
        world.synced().await;
        world.commit(&[service("app1", &[("ConfigMap a", "v2"), ("Service b", "v2")])]);
        // The root, then the apply.
        world.cluster.fault_at(world.cluster.count() + 1, fault);
        world.cycle_of(syncd::cycle::Mode::Auto).await;
        world.repo.point_at(&first);
        world.synced().await;
        assert_eq!(world.object("ConfigMap a").expect("there")["data"]["content"], "v1", "{fault:?}");
        assert_eq!(world.synced().await.result, CycleResult::Unchanged, "{fault:?}");
    }
}

/// A world in which nobody answered the update of `ConfigMap a`, which arrived; and the revision before it.
async fn unanswered() -> (World, Revision) {
    let mut world = World::new();
    let first = world.commit(&[service("app1", &[("ConfigMap a", "v1")])]);
    world.synced().await;
    world.commit(&[service("app1", &[("ConfigMap a", "v2")])]);
    world.cluster.fault_at(world.cluster.count() + 1, Fault::LostReply);
    let report = world.cycle().await;
    assert_eq!(states(&report), [("app1", ServiceState::Failed)].into());
    (world, first)
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_not_trusted_where_nobody_can_look() {
    let (mut world, first) = unanswered().await;
    world.cluster.deny("list ConfigMap");
    world.repo.point_at(&first);
    let report = world.cycle().await;
    assert_eq!(states(&report), [("app1", ServiceState::Synced)].into());
    assert_eq!(world.object("ConfigMap a").expect("there")["data"]["content"], "v1");
}

#[tokio::test(start_paused = true)]
async fn a_denied_delete_stays_recorded_is_shown_and_tried_again() {
    let mut world = World::new();
    world.commit(&[service("app1", &[("ConfigMap a", "v1"), ("ConfigMap b", "v1")])]);
    world.synced().await;
    world.cluster.deny("delete ConfigMap n/b");
    world.commit(&[service("app1", &[("ConfigMap a", "v1")])]);
    let report = world.cycle().await;
    assert_eq!(states(&report), [("app1", ServiceState::Failed)].into());
    assert!(report.services["app1"].error.as_ref().expect("an error").contains("ConfigMap n/b could not be deleted"));
    assert!(world.state().record("app1").expect("recorded").held.contains_key(&id("ConfigMap b")));
    world.memory = syncd::cycle::Memory::default();
    assert_eq!(world.cycle().await.result, CycleResult::Failed, "a restart does not forget it either");
    world.wait(Duration::from_secs(61)).await;
    assert_eq!(world.cycle().await.result, CycleResult::Failed, "nor does the second look");
    world.cluster.allow_all();
    world.wait(Duration::from_secs(11 * 60)).await;
    let report = world.synced().await;
    assert_eq!((report.trigger, report.deleted_resources.len()), (Trigger::Retry, 1));
    assert_eq!(world.owned(), ["app1: ConfigMap n/a"]);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_leaves_while_its_deletes_are_denied_keeps_its_record() {
    let mut world = World::new();
    world.commit(&[service("app1", &[("ConfigMap a", "v1")])]);
    world.synced().await;
    world.cluster.deny("delete ConfigMap n/a");
    world.commit(&[]);
    let report = world.cycle().await;
    assert_eq!(states(&report), [("app1", ServiceState::Failed)].into());
    world.cluster.allow_all();
    world.wait(Duration::from_secs(11 * 60)).await;
    assert_eq!(states(&world.synced().await), [("app1", ServiceState::Removed)].into());
    assert!(world.state().services.is_empty() && world.owned().is_empty());
}

#[tokio::test(start_paused = true)]
async fn requests_that_were_not_taken_are_sent_again() {
    let mut world = World::new();
    world.commit(&[service("app1", &[("ConfigMap a", "v1")])]);
    // list state, list, get, root, widen, apply.
    for number in [4, 5, 7, 8] {
        world.cluster.fault_at(number, Fault::Busy);
    }
    let report = world.synced().await;
    assert_eq!(report.result, CycleResult::Synced);
    let calls = world.cluster.take_calls();
    assert_eq!(calls.iter().filter(|call| *call == "apply ConfigMap n/a").count(), 3, "{calls:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_looked_up_before_anything_else() {
    let (mut world, _) = unanswered().await;
    world.cluster.take_calls();
    world.wait(Duration::from_secs(16)).await;
    let report = world.synced().await;
    assert_eq!(report.result, CycleResult::Synced);
    assert_eq!(
        world.cluster.take_calls(),
        ["list ConfigMap", "apply ConfigMap n/a", "write syncd-staging-app1"],
        "it had arrived, and an apply tells whether it still stands"
    );
}

#[tokio::test(start_paused = true)]
async fn what_others_change_before_an_apply_is_recorded_is_corrected() {
    let (mut world, _) = unanswered().await;
    let edit = json!({"data": {"content": "mine"}});
    world.somebody(ModelRequest::merge_patch(&world.path("ConfigMap a"), edit));
    assert_eq!(world.object("ConfigMap a").expect("there")["data"]["content"], "mine");
    world.wait(Duration::from_secs(16)).await;
    world.synced().await;
    assert_eq!(world.object("ConfigMap a").expect("there")["data"]["content"], "v2");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_was_never_come_to_and_that_nobody_wants_any_more_does_not_come_with_a_restart() {
    let mut world = World::new();
    world.cluster.deny("get ServiceAccount n/u");
    world.commit(&[service("app1", &[("ConfigMap a", "v1")]), service("app2", &[("ServiceAccount u", "v1")])]);
    world.cycle().await;
    world.cluster.allow_all();
    let tip = world.commit(&[service("app1", &[("ConfigMap a", "v1")])]);
    world.cluster.take_calls();
    world.synced().await;
    assert_eq!(world.cluster.take_calls(), ["write syncd-staging"]);
    assert_eq!(world.state().root.expect("recorded").root.commit, tip);
    world.synced().await;
    assert_eq!(world.cluster.take_calls(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_never_gets_ready_is_given_up_in_time_and_deletes_nothing() {
    let mut world = World::new();
    world.commit(&[service("app1", &[("ConfigMap old", "v1"), ("Deployment.apps a", "v1")]).sync(quick())]);
    world.synced().await;
    world.commit(&[service("app1", &[("Deployment.apps a", "slow=1000s")]).sync(quick())]);
    let report = world.cycle().await;
    let failed = &report.services["app1"];
    assert_eq!(failed.state, ServiceState::Failed);
    let error = failed.error.as_ref().expect("an error");
    assert!(error.starts_with("not ready after 10 s: Deployment.apps n/a: "), "{error}");
    assert!((10.0..11.0).contains(&failed.seconds), "{}", failed.seconds);
    assert_eq!(failed.waiting_for[0].object, id("Deployment.apps a"));
    assert!(world.object("ConfigMap old").is_some(), "nothing is deleted before the service is ready");

    // The next try applies nothing, it only waits again.
    world.cluster.take_calls();
    world.wait(Duration::from_secs(16)).await;
    assert_eq!(world.cycle().await.services["app1"].failures, 2);
    assert_eq!(world.writes(), Vec::<String>::new());
    world.commit(&[service("app1", &[("Deployment.apps a", "v2")]).sync(quick())]);
    assert_eq!(world.synced().await.result, CycleResult::Synced);
    assert_eq!(world.object("ConfigMap old"), None);
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_in_time_however_much_happens_meanwhile() {
    let mut world = World::new();
    world.commit(&[service("app1", &[("Deployment.apps a", "slow=1000s"), ("Deployment.apps b", "v1")]).sync(quick())]);
    let model = world.cluster.model.clone();
    let busy = async move {
        for number in 0.. {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let touched = json!({"metadata": {"annotations": {"touched": number.to_string()}}});
            let path = "/apis/apps/v1/namespaces/n/deployments/b";
            model.handle(&ModelRequest::merge_patch(path, touched).agent("somebody"));
        }
    };
    let report = tokio::select! {
        report = world.cycle() => report,
        () = busy => unreachable!(),
    };
    let failed = &report.services["app1"];
    assert_eq!(failed.state, ServiceState::Failed);
    assert!((10.0..11.0).contains(&failed.seconds), "{}", failed.seconds);
}

#[tokio::test(start_paused = true)]
async fn a_failed_job_fails_at_once() {
    let mut world = World::new();
    world.commit(&[service("app1", &[("Job.batch a", "fail")])]);
    let report = world.cycle().await;
    let failed = &report.services["app1"];
    assert!(failed.error.as_ref().expect("an error").contains("the job failed"), "{failed:#?}");
    assert!(failed.seconds < 500.0, "before the time is over: {}", failed.seconds);
}

#[tokio::test(start_paused = true)]
async fn a_newer_revision_ends_the_wait_for_the_old_one() {
    let mut world = World::new();
    world
        .commit(&[service("app1", &[("Deployment.apps a", "never-ready")]), service("app2", &[("ConfigMap b", "v1")])]);
    let superseded = world.superseded.clone();
    let newer = async move {
        tokio::time::sleep(Duration::from_secs(5)).await;
        superseded.send_replace(true);
        std::future::pending::<()>().await;
    };
    let report = tokio::select! {
        report = world.cycle() => report,
        () = newer => unreachable!(),
    };
    assert_eq!(report.result, CycleResult::Superseded);
    assert_eq!(states(&report), [("app1", ServiceState::Superseded), ("app2", ServiceState::Synced)].into());
    assert!(report.seconds < 6.0, "{}", report.seconds);
    world.superseded.send_replace(false);
    world.commit(&[service("app1", &[("Deployment.apps a", "v1")]), service("app2", &[("ConfigMap b", "v1")])]);
    assert_eq!(world.synced().await.result, CycleResult::Synced);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_breaks_is_taken_up_again() {
    let mut world = World::new();
    world.commit(&[service("app1", &[("Deployment.apps a", "slow=30s")])]);
    let model = world.cluster.model.clone();
    let breaks = async move {
        loop {
            tokio::time::sleep(Duration::from_secs(3)).await;
            model.drop_watches();
        }
    };
    let report = tokio::select! {
        report = world.cycle() => report,
        () = breaks => unreachable!(),
    };
    assert_eq!(report.result, CycleResult::Synced, "{report:#?}");
    assert!(world.cluster.take_calls().iter().filter(|call| *call == "watch Deployment.apps").count() > 3);
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_cannot_be_listed_is_named_and_stops_nobody() {
    let mut world = World::new();
    world.commit(&[service("app1", &[("ConfigMap a", "v1")]), service("app2", &[("Service b", "v1")])]);
    world.synced().await;
    world.memory = syncd::cycle::Memory::default();
    world.cluster.deny("list ConfigMap");
    world.commit(&[service("app1", &[("ConfigMap a", "v2")]), service("app2", &[("Service b", "v2")])]);
    let report = world.cycle().await;
    assert_eq!(report.result, CycleResult::Failed);
    assert_eq!(report.errors.len(), 1, "{:#?}", report.errors);
    assert!(report.errors[0].message.contains("ConfigMap could not be listed"));
    assert_eq!(states(&report), [("app1", ServiceState::Synced), ("app2", ServiceState::Synced)].into());
    assert_eq!(world.object("ConfigMap a").expect("there")["data"]["content"], "v2");
}

#[tokio::test(start_paused = true)]
async fn another_syncd_is_noticed_before_anything_is_done() {
    let mut world = World::new();
    world.commit(&[service("app1", &[("ConfigMap a", "v1")])]);
    world.synced().await;
    let path = "/api/v1/namespaces/syncd/configmaps/syncd-staging";
    world.somebody(ModelRequest::merge_patch(path, json!({"metadata": {"annotations": {"touched": "yes"}}})));
    world.commit(&[service("app1", &[("ConfigMap a", "v2")])]);
    world.cluster.take_calls();
    let report = world.cycle().await;
    assert_eq!(report.result, CycleResult::Failed);
    assert!(report.errors[0].message.contains("written by somebody else"), "{:#?}", report.errors);
    assert_eq!(world.writes(), Vec::<String>::new());
    assert_eq!(world.synced().await.result, CycleResult::Synced, "it reads again and goes on");
}

#[tokio::test(start_paused = true)]
async fn too_many_deletions_are_held_and_told() {
    let mut world = World::new();
    let names: Vec<String> = (0..12).map(|number| format!("ConfigMap c{number:02}")).collect();
    let objects: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "v1")).collect();
    world.commit(&[service("app1", &objects), service("app2", &[("ConfigMap stays", "v1")])]);
    world.synced().await;
    world.cluster.take_calls();
    world.commit(&[service("app2", &[("ConfigMap stays", "v2")])]);
    let report = world.cycle().await;
    assert_eq!(report.result, CycleResult::Held);
    assert_eq!(states(&report), [("app1", ServiceState::Held), ("app2", ServiceState::Synced)].into());
    let held = report.held.clone().expect("held");
    assert_eq!((held.deletions, held.limit), (12, 10));
    assert_eq!(world.writes(), ["apply ConfigMap n/stays"]);
    assert_eq!(world.owned().len(), 13);

    // It stays told, and costs next to nothing.
    world.cluster.take_calls();
    let report = world.cycle().await;
    assert_eq!((report.result, report.held), (CycleResult::Held, Some(held)));
    assert_eq!(world.cluster.take_calls(), ["get ConfigMap syncd/syncd-staging.approved"], "but for the approval");
    world.commit(&[service("app1", &objects), service("app2", &[("ConfigMap stays", "v2")])]);
    let report = world.synced().await;
    assert_eq!((report.result, report.held), (CycleResult::Synced, None));
    assert_eq!(world.writes(), Vec::<String>::new(), "nothing was lost, so nothing is applied");
}
