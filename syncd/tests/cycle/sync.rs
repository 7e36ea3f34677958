//! What a cycle asks of the cluster: exactly what is needed, and nothing else.

use std::time::Duration;

use manifest::index::Sync;
use sandbox::Request as ModelRequest;
use serde_json::json;
use syncd::cycle::Mode;
use syncd::report::{CycleResult, Event, Outcome, ServiceState, Trigger};

use crate::world::{World, id, service, states, without_hashes};

const APP: &[(&str, &str)] =
    &[("ConfigMap a", "v1"), ("Deployment.apps a", "v1"), ("Ingress.networking.k8s.io a", "v1"), ("Service a", "v1")];

#[tokio::test(start_paused = true)]
async fn the_first_sync_records_applies_in_order_waits_and_settles() {
    let mut world = World::new();
    world.commit(&[service("app1", APP)]);
    let report = world.synced().await;
    let expected = [
        "list state",
        "list ConfigMap",
        "list Service",
        "list Deployment.apps",
        "list Ingress.networking.k8s.io",
        "get ConfigMap n/a",
        "get Service n/a",
        "get Deployment.apps n/a",
        "get Ingress.networking.k8s.io n/a",
        "write syncd-staging",
        "write syncd-staging-app1",
        "apply ConfigMap n/a",
        "apply Service n/a",
        "apply Deployment.apps n/a",
        "apply Ingress.networking.k8s.io n/a",
        "watch ReplicaSet.apps in n",
        "watch Pod in n",
        "watch Event in n",
        "watch Deployment.apps",
        "write syncd-staging-app1",
    ];
    assert_eq!(world.cluster.take_calls(), expected);
    assert_eq!((report.result, report.trigger), (CycleResult::Synced, Trigger::Start));
    assert_eq!(states(&report), [("app1", ServiceState::Synced)].into());
    assert_eq!(report.applied_resources.len(), 4);
    let third = serde_json::to_value(&report.applied_resources[2]).expect("JSON");
    assert_eq!(third["id"], "apps/v1/Deployment/n/a");
    assert!(report.plan.is_some() && report.revision.is_some() && report.errors.is_empty());
    assert!(report.services["app1"].seconds > 0.5, "pods take their time: {}", report.services["app1"].seconds);
    let record = world.state().record("app1").expect("recorded").clone();
    assert!(record.intent.is_none() && record.condition.is_none());
    assert!(record.held.values().all(|held| held.uid.is_some() && held.hash.is_some()));
}

#[tokio::test(start_paused = true)]
async fn nothing_new_costs_the_cluster_nothing() {
    let mut world = World::new();
    let first = world.commit(&[service("app1", APP)]);
    world.synced().await;
    world.cluster.take_calls();
    let report = world.synced().await;
    assert_eq!((report.result, report.trigger), (CycleResult::Unchanged, Trigger::None));
    assert_eq!(states(&report), [("app1", ServiceState::Synced)].into());
    // And from then on no work: what is told is not even put together anew.
    let report = world.synced().await;
    assert!(world.synced().await.services.is_same(&report.services));

    // Another commit with the same index; another index with the same contents.
    let same = world.commit(&[service("app1", APP)]);
    assert_ne!(first, same);
    assert_eq!(world.synced().await.revision, Some(same));
    let mut files = crate::world::files(&[service("app1", APP)]);
    let mut index = manifest::Index::parse(&files["_gen/staging/index.json"], "staging").expect("an index");
    index.services.get_mut("app1").expect("app1").inputs = manifest::Hash::of(b"re-indented");
    files.insert("_gen/staging/index.json".to_owned(), index.to_json().into_bytes());
    world.repo.commit(files);
    assert_eq!(world.synced().await.result, CycleResult::Unchanged);
    assert_eq!(world.cluster.take_calls(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_ready_costs_nothing_until_it_is_due() {
    let mut world = World::new();
    let quick = Sync { timeout_seconds: 5, ..Sync::default() };
    world.commit(&[service("app1", &[("Deployment.apps a", "never-ready")]).sync(quick)]);
    let report = world.cycle().await;
    assert_eq!(states(&report), [("app1", ServiceState::Failed)].into());
    world.cluster.take_calls();
    world.wait(Duration::from_secs(5)).await;
    world.cycle().await;
    assert_eq!(world.cluster.take_calls(), Vec::<String>::new());
    world.wait(Duration::from_secs(15)).await;
    let report = world.cycle().await;
    assert_eq!(report.trigger, Trigger::Retry);
    assert_eq!(world.cluster.take_calls()[0], "list Deployment.apps", "then it is looked at");
}

#[tokio::test(start_paused = true)]
async fn one_changed_object_is_one_apply_and_two_state_writes() {
    let mut world = World::new();
    world.commit(&[service("app1", APP), service("app2", &[("ConfigMap b", "v1")])]);
    world.synced().await;
    world.cluster.take_calls();
    let changed = &[
        ("ConfigMap a", "v1"),
        ("Deployment.apps a", "v1"),
        ("Ingress.networking.k8s.io a", "v2"),
        ("Service a", "v1"),
    ];
    world.commit(&[service("app1", changed), service("app2", &[("ConfigMap b", "v1")])]);
    let report = world.synced().await;
    let expected = ["write syncd-staging", "apply Ingress.networking.k8s.io n/a", "write syncd-staging-app1"];
    assert_eq!(world.cluster.take_calls(), expected);
    assert_eq!(report.trigger, Trigger::Changed);
    let objects = &report.services["app1"].objects;
    assert_eq!(objects.iter().map(|object| object.outcome).collect::<Vec<_>>(), [Outcome::Configured]);
    assert_eq!(report.services["app1"].unchanged, 3);
}

#[tokio::test(start_paused = true)]
async fn a_removed_object_is_one_delete_after_the_service_is_ready() {
    let mut world = World::new();
    world.commit(&[service("app1", APP)]);
    world.synced().await;
    world.cluster.take_calls();
    let fewer = &[("ConfigMap a", "v1"), ("Deployment.apps a", "v1"), ("Service a", "v1")];
    world.commit(&[service("app1", fewer)]);
    let report = world.synced().await;
    let expected = [
        "get Ingress.networking.k8s.io n/a",
        "write syncd-staging",
        "delete Ingress.networking.k8s.io n/a",
        "write syncd-staging-app1",
    ];
    assert_eq!(world.cluster.take_calls(), expected);
    let deleted = serde_json::to_value(&report.deleted_resources).expect("JSON");
    assert_eq!(deleted.as_array().map(Vec::len), Some(1));
    assert_eq!(deleted[0]["id"], "networking.k8s.io/v1/Ingress/n/a");
    assert_eq!(world.object("Ingress.networking.k8s.io a"), None);
}

#[tokio::test(start_paused = true)]
async fn a_renamed_service_is_there_before_the_old_one_goes() {
    let mut world = World::new();
    world.commit(&[service("app3", &[("Deployment.apps old", "v1"), ("Service old", "v1")])]);
    world.synced().await;
    world.cluster.take_calls();
    world.commit(&[service("app4", &[("Deployment.apps new", "v1"), ("Service new", "v1")])]);
    let report = world.synced().await;
    let expected =
        ["apply Service n/new", "apply Deployment.apps n/new", "delete Deployment.apps n/old", "delete Service n/old"];
    assert_eq!(world.writes(), expected);
    assert_eq!(states(&report), [("app3", ServiceState::Removed), ("app4", ServiceState::Synced)].into());
    assert_eq!(world.state().services.keys().collect::<Vec<_>>(), ["app4"]);
    assert_eq!(states(&world.synced().await), [("app4", ServiceState::Synced)].into());
}

#[tokio::test(start_paused = true)]
async fn an_object_that_moves_between_services_is_never_deleted() {
    let mut world = World::new();
    let (stays, moves) = (("ConfigMap a", "v1"), ("ConfigMap moves", "v1"));
    world.commit(&[service("app1", &[stays, moves]), service("app2", &[("ConfigMap b", "v1")])]);
    world.synced().await;
    let uid = world.uid("ConfigMap moves");
    world.cluster.take_calls();
    world.commit(&[service("app1", &[stays]), service("app2", &[("ConfigMap b", "v1"), moves])]);
    world.synced().await;
    assert_eq!(world.writes(), ["apply ConfigMap n/moves"]);
    assert_eq!(world.uid("ConfigMap moves"), uid);
    let state = world.state();
    assert!(state.record("app2").expect("app2").held.contains_key(&id("ConfigMap moves")));
    assert!(!state.record("app1").expect("app1").held.contains_key(&id("ConfigMap moves")));
}

#[tokio::test(start_paused = true)]
async fn a_service_can_leave_the_index_while_all_its_objects_move() {
    let mut world = World::new();
    world.commit(&[service("app1", &[("ConfigMap a", "v1")])]);
    world.synced().await;
    let uid = world.uid("ConfigMap a");
    world.cluster.take_calls();
    world.commit(&[service("app2", &[("ConfigMap a", "v1")])]);
    let report = world.synced().await;
    assert_eq!(world.writes(), ["apply ConfigMap n/a"]);
    assert_eq!(world.uid("ConfigMap a"), uid);
    assert_eq!(states(&report)["app1"], ServiceState::Removed);
    assert_eq!(world.owned(), ["app2: ConfigMap n/a"]);
}

#[tokio::test(start_paused = true)]
async fn another_api_version_is_an_update() {
    let mut world = World::new();
    let mut definition =
        crate::world::manifest("CustomResourceDefinition.apiextensions.k8s.io widgets.example.org", "v1");
    let mut second = definition["spec"]["versions"][0].clone();
    (second["name"], second["storage"]) = (json!("v2"), json!(false));
    definition["spec"]["versions"].as_array_mut().expect("versions").push(second);
    world.somebody(ModelRequest::create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition));
    world.wait(Duration::from_secs(5)).await;
    let files = |version: &str| {
        let mut value = crate::world::manifest("Widget.example.org w", "x");
        value["apiVersion"] = json!(format!("example.org/{version}"));
        let text = manifest::yaml::write(&value);
        let mut files = crate::world::files(&[service("app1", &[("Widget.example.org w", "x")])]);
        let mut index = manifest::Index::parse(&files["_gen/staging/index.json"], "staging").expect("an index");
        index.services.get_mut("app1").expect("app1").content = manifest::Hash::of(text.as_bytes());
        files.insert("_gen/staging/app1/resources.yaml".to_owned(), text.into_bytes());
        files.insert("_gen/staging/index.json".to_owned(), index.to_json().into_bytes());
        files
    };
    world.repo.commit(files("v1"));
    world.synced().await;
    let uid = world.uid("Widget.example.org w");
    world.cluster.take_calls();
    world.repo.commit(files("v2"));
    world.synced().await;
    assert_eq!(world.writes(), ["apply Widget.example.org n/w"]);
    assert!(uid.is_some());
    assert_eq!(world.uid("Widget.example.org w"), uid);
    assert_eq!(
        world.state().record("app1").expect("recorded").held[&id("Widget.example.org w")].api_version,
        "example.org/v2"
    );
}

#[tokio::test(start_paused = true)]
async fn a_restart_reads_and_changes_nothing() {
    let mut world = World::new();
    world.commit(&[service("app1", APP)]);
    world.synced().await;
    world.cluster.take_calls();
    world.memory = syncd::cycle::Memory::default();
    let report = world.synced().await;
    let expected =
        ["list state", "list ConfigMap", "list Service", "list Deployment.apps", "list Ingress.networking.k8s.io"];
    assert_eq!(world.cluster.take_calls(), expected);
    assert_eq!((report.result, report.trigger), (CycleResult::Unchanged, Trigger::Start));
}

#[tokio::test(start_paused = true)]
async fn a_restart_mends_what_differs_and_nothing_else() {
    let mut world = World::new();
    world.commit(&[service("app1", APP)]);
    world.synced().await;
    world.somebody(ModelRequest::delete(&world.path("ConfigMap a")));
    let unhashed = json!({"metadata": {"annotations": {"syncd/hash": null}}});
    world.somebody(ModelRequest::merge_patch(&world.path("Service a"), unhashed));
    world.cluster.take_calls();
    assert_eq!(world.synced().await.result, CycleResult::Unchanged, "nothing tells, and nobody asks");
    world.memory = syncd::cycle::Memory::default();
    world.synced().await;
    assert_eq!(world.writes(), ["apply ConfigMap n/a", "apply Service n/a"]);
    assert!(world.object("ConfigMap a").is_some());
}

#[tokio::test(start_paused = true)]
async fn an_object_that_was_deleted_behind_our_back_is_recorded_anew_before_it_is_created() {
    let mut world = World::new();
    world.commit(&[service("app1", &[("ConfigMap a", "v1"), ("ConfigMap b", "v1")])]);
    world.synced().await;
    world.somebody(ModelRequest::delete(&world.path("ConfigMap a")));
    world.cluster.take_calls();
    world.commit(&[service("app1", &[("ConfigMap a", "v2"), ("ConfigMap b", "v1")])]);
    let report = world.synced().await;
    let expected = [
        "write syncd-staging",
        "apply ConfigMap n/a",
        "write syncd-staging-app1",
        "apply ConfigMap n/a",
        "write syncd-staging-app1",
    ];
    assert_eq!(world.cluster.take_calls(), expected);
    assert_eq!(report.services["app1"].objects[0].outcome, Outcome::Created);
}

#[tokio::test(start_paused = true)]
async fn a_full_sync_is_due_by_time_of_day_and_applies_everything() {
    let mut world = World::new();
    world.commit(&[service("app1", &[("ConfigMap a", "v1"), ("Service a", "v1")])]);
    world.synced().await;
    let edited = json!({"data": {"content": "by hand"}});
    world.somebody(ModelRequest::merge_patch(&world.path("ConfigMap a"), edited));
    world.wait(Duration::from_secs(12 * 60 * 60 - 60)).await;
    assert_eq!(world.synced().await.trigger, Trigger::None);
    world.wait(Duration::from_secs(120)).await;
    world.cluster.take_calls();
    let report = world.synced().await;
    assert_eq!(report.trigger, Trigger::Full);
    assert_eq!(world.writes(), ["apply ConfigMap n/a", "apply Service n/a"]);
    let outcomes = report.services["app1"].objects.iter().map(|object| object.outcome).collect::<Vec<_>>();
    assert_eq!(outcomes, [Outcome::Configured, Outcome::Unchanged]);
    assert_eq!(world.object("ConfigMap a").expect("there")["data"]["content"], "v1");
    assert_eq!(world.synced().await.trigger, Trigger::None);

    let report = world.cycle_of(Mode::Full).await.expect("no crash");
    assert_eq!((report.trigger, report.applied_resources.len()), (Trigger::Full, 2));
}

#[tokio::test(start_paused = true)]
async fn a_full_sync_that_was_cut_short_is_done_again_after_a_restart() {
    let mut world = World::new();
    world.commit(&[service("app1", &[("ConfigMap a", "v1"), ("Service a", "v1")])]);
    world.synced().await;
    // List state is in memory: list 2 kinds, adopt, then the first apply.
    world.cluster.fault_at(world.cluster.count() + 3, crate::cluster::Fault::CrashBefore);
    assert!(world.cycle_of(Mode::Full).await.is_none());
    let report = world.synced().await;
    assert_eq!((report.trigger, report.applied_resources.len()), (Trigger::Full, 2));
    assert_eq!(world.synced().await.trigger, Trigger::None);
}

#[tokio::test(start_paused = true)]
async fn foreign_objects_are_never_touched() {
    let mut world = World::new();
    let foreign = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other", "namespace": "n", "labels": {"syncd/environment": "production", "syncd/service": "app1"}}});
    world.somebody(ModelRequest::create("/api/v1/namespaces/n/configmaps", foreign));
    let stray = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "stray", "namespace": "n", "labels": {"syncd/environment": "staging"}, "annotations": {"syncd/hash": "x"}}});
    world.somebody(ModelRequest::create("/api/v1/namespaces/n/configmaps", stray));
    let before = (world.uid("ConfigMap other"), world.uid("ConfigMap stray"));
    world.commit(&[service("app1", &[("ConfigMap a", "v1")])]);
    let report = world.synced().await;
    assert_eq!(report.orphans, [id("ConfigMap stray")]);
    world.commit(&[]);
    let report = world.synced().await;
    assert_eq!(report.orphans, [id("ConfigMap stray")]);
    assert_eq!((world.uid("ConfigMap other"), world.uid("ConfigMap stray")), before);
    assert_eq!(world.owned(), [": ConfigMap n/stray"]);
}

#[tokio::test(start_paused = true)]
async fn prunes_that_are_switched_off_leave_the_object_recorded_and_the_service_synced() {
    let mut world = World::new();
    let keep = Sync { prune: false, ..Sync::default() };
    world.commit(&[service("app1", &[("ConfigMap a", "v1"), ("ConfigMap b", "v1")]).sync(keep.clone())]);
    world.synced().await;
    let disabled = json!({"metadata": {"annotations": {"syncd/prune": "disabled"}}});
    world.somebody(ModelRequest::merge_patch(&world.path("ConfigMap a"), disabled));
    world.commit(&[service("app1", &[]).sync(keep)]);
    let report = world.synced().await;
    assert_eq!(report.services["app1"].withheld, 2);
    assert_eq!(world.state().record("app1").expect("recorded").held.len(), 2);
    world.cluster.take_calls();
    assert_eq!(world.synced().await.result, CycleResult::Unchanged);
    assert_eq!(world.cluster.take_calls(), Vec::<String>::new());

    // The service leaves; what it said last still counts.
    world.commit(&[]);
    let report = world.synced().await;
    assert_eq!((report.services["app1"].withheld, report.services["app1"].state), (2, ServiceState::Synced));
    assert_eq!(world.owned().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_wanted_again_while_it_is_being_deleted_is_created_when_it_is_gone() {
    let mut world = World::new();
    world.commit(&[service("app1", &[("ConfigMap a", "v1"), ("ConfigMap b", "v1")])]);
    world.synced().await;
    let uid = world.uid("ConfigMap a");
    let kept = json!({"metadata": {"finalizers": ["example.org/keep"]}});
    world.somebody(ModelRequest::merge_patch(&world.path("ConfigMap a"), kept));
    let quick = Sync { timeout_seconds: 5, ..Sync::default() };
    world.commit(&[service("app1", &[("ConfigMap b", "v1")]).sync(quick)]);
    let report = world.cycle().await;
    let error = report.services["app1"].error.clone().expect("not synced");
    assert!(error.contains("ConfigMap n/a could not be deleted") && error.contains("example.org/keep"), "{error}");
    assert!(world.state().record("app1").expect("recorded").held.contains_key(&id("ConfigMap a")));

    world.commit(&[service("app1", &[("ConfigMap a", "v2"), ("ConfigMap b", "v1")])]);
    let model = world.cluster.model.clone();
    let path = world.path("ConfigMap a");
    let unblock = async move {
        tokio::time::sleep(Duration::from_secs(20)).await;
        model.handle(&ModelRequest::merge_patch(&path, json!({"metadata": {"finalizers": null}})).agent("somebody"));
        std::future::pending::<()>().await;
    };
    let report = tokio::select! {
        report = world.cycle() => report,
        () = unblock => unreachable!(),
    };
    assert_eq!(report.result, CycleResult::Synced, "{report:#?}");
    assert_ne!(world.uid("ConfigMap a"), uid);
    assert_eq!(world.object("ConfigMap a").expect("there")["data"]["content"], "v2");
}

#[tokio::test(start_paused = true)]
async fn the_report_is_a_superset_of_kahoys() {
    let mut world = World::new();
    let keep = Sync { prune: false, ..Sync::default() };
    world.commit(&[
        service("app1", &[("ConfigMap a", "v1"), ("Service old", "v1")]),
        service("kept", &[("ConfigMap k", "v1")]).sync(keep.clone()),
    ]);
    world.synced().await;
    world.cluster.deny("apply ConfigMap n/b");
    world.commit(&[
        service("app1", &[("ConfigMap a", "v2")]),
        service("app2", &[("ConfigMap b", "v1")]),
        service("kept", &[]).sync(keep),
    ]);
    let report = world.cycle().await;
    insta::assert_snapshot!(without_hashes(&serde_json::to_string_pretty(&report).expect("JSON")));
}

#[tokio::test(start_paused = true)]
async fn what_happens_is_told_while_it_happens() {
    let mut world = World::new();
    world.commit(&[service("app1", &[("Deployment.apps a", "v1")])]);
    world.synced().await;
    let words = |event: &Event| match event {
        Event::Revision { .. } => "revision".to_owned(),
        Event::Planned { applies, deletes, .. } => format!("planned {applies} {deletes}"),
        Event::ServiceStarted { service } => format!("started {service}"),
        Event::Object { object, .. } => format!("{} {}", object.outcome.as_str(), object.object),
        Event::ServiceApplied { service } => format!("applied {service}"),
        Event::Waiting { waiting_for, .. } => format!("waiting for {}", waiting_for[0].object),
        Event::ServiceFinished { report, .. } => report.state.as_str().to_owned(),
        Event::Suspended(suspended) => format!("suspended: {}", suspended.0.len()),
        Event::Held(held) => format!("held: {} deletions", held.deletions),
        Event::Failed(error) => format!("failed: {}", error.message),
        Event::Drift { what, .. } => format!("drift: {what}"),
    };
    let mut events: Vec<String> = world.events.take().iter().map(words).collect();
    events.dedup();
    let expected = [
        "revision",
        "planned 1 0",
        "started app1",
        "created Deployment.apps n/a",
        "applied app1",
        "waiting for Deployment.apps n/a",
        "synced",
    ];
    assert_eq!(events, expected);
}

#[tokio::test(start_paused = true)]
async fn a_definition_and_its_instances_come_in_one_commit() {
    let mut world = World::new();
    let definition = ("CustomResourceDefinition.apiextensions.k8s.io widgets.example.org", "v1");
    world.commit(&[service("a-instances", &[("Widget.example.org w", "v1")]), service("definitions", &[definition])]);
    let report = world.synced().await;
    assert_eq!(report.result, CycleResult::Synced);
    let calls = world.cluster.take_calls();
    let at = |what: &str| calls.iter().position(|call| call == what).unwrap_or_else(|| panic!("{what} in {calls:#?}"));
    let last_question = calls.iter().rposition(|call| call == "served Widget.example.org").expect("asked");
    assert!(at("apply CustomResourceDefinition.apiextensions.k8s.io widgets.example.org") < last_question);
    assert!(last_question < at("apply Widget.example.org n/w"), "{calls:#?}");
}
