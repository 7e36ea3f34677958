//! Waiting tells the truth: what fails is told soon and with its cause, what only takes its time is not, and nothing is asked again and
//! again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use manifest::index::{OnFailure, Sync};
use sandbox::{Answer, Request as ModelRequest, Rule};
use serde_json::{Value, json};
use syncd::report::{Cause, Event, Outcome, Report, ServiceState};

use crate::world::{Service, World, id, service, states};

/// Longest time from a signal in the API to the end of the wait.
const SOON: Duration = Duration::from_secs(5);

/// Syncs services and expects the first to fail. Returns its report, its first cause, and how long after the signal that was.
async fn failed_after(
    world: &mut World,
    services: &[Service],
    signal: impl Fn(&sandbox::Cluster) -> bool + Send + 'static,
) -> (Report, Cause, Duration) {
    let seen = Arc::new(Mutex::new(None));
    let first = Arc::clone(&seen);
    world.watchful = Some(Box::new(move |model, time| {
        if signal(model) {
            first.lock().expect("alone").get_or_insert(time);
        }
    }));
    world.commit(services);
    let started = tokio::time::Instant::now();
    let report = world.cycle().await;
    let ended = started.elapsed();
    let seen = seen.lock().expect("alone").unwrap_or_else(|| panic!("the signal was never there: {report:#?}"));
    let name = &services[0].name;
    let failed = &report.services[name];
    assert_eq!(failed.state, ServiceState::Failed, "{failed:#?}");
    assert!(!failed.error.as_deref().unwrap_or_default().contains("not ready after"), "by timeout: {failed:#?}");
    let cause = failed.causes.first().unwrap_or_else(|| panic!("no cause: {failed:#?}")).clone();
    (report, cause, ended.saturating_sub(seen))
}

fn any_pod(model: &sandbox::Cluster, is: impl Fn(&Value) -> bool) -> bool {
    model.objects("", "Pod", "n").iter().any(is)
}

fn waits_for(reason: &'static str) -> impl Fn(&sandbox::Cluster) -> bool + Send {
    move |model| any_pod(model, |pod| pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == reason)
}

fn has_condition(object: &Value, of: &str, status: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|condition| condition["type"] == of && condition["status"] == status)
}

#[tokio::test(start_paused = true)]
async fn what_keeps_a_container_from_starting_is_told_soon() {
    let cases = [
        ("image-pull-error", "ImagePullBackOff", "ImagePullBackOff"),
        ("invalid-image-name", "InvalidImageName", "InvalidImageName"),
        ("config-error", "CreateContainerConfigError", "CreateContainerConfigError"),
        ("crash-loop", "CrashLoopBackOff", "CrashLoopBackOff"),
        ("out-of-memory", "CrashLoopBackOff", "OOMKilled"),
    ];
    for (behaviour, signal, reason) in cases {
        for kind in ["Deployment.apps a", "StatefulSet.apps a", "DaemonSet.apps a"] {
            let mut world = World::new();
            let services = [service("app1", &[(kind, behaviour)])];
            let (report, cause, late) = failed_after(&mut world, &services, waits_for(signal)).await;
            assert!(late <= SOON, "{kind} {behaviour}: {late:?}");
            assert_eq!((cause.reason.as_str(), cause.object == id(kind)), (reason, true), "{kind} {behaviour}");
            assert_eq!(cause.container.as_deref(), Some("app"));
            assert!(cause.pod.is_some_and(|pod| pod.starts_with("a-")), "{kind} {behaviour}");
            assert!(!cause.events.is_empty(), "{kind} {behaviour}");
            let objects = &report.services["app1"].objects;
            assert_eq!(objects.last().map(|object| object.outcome), Some(Outcome::Failed));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_quota_is_told_soon() {
    for (kind, reason) in [
        ("Deployment.apps a", "FailedCreate"),
        ("StatefulSet.apps a", "FailedCreate"),
        ("DaemonSet.apps a", "FailedCreate"),
        ("Job.batch a", "FailedCreate"),
    ] {
        let mut world = World::new();
        let refused = || Answer::QuotaExceeded {
            message: "exceeded quota: pods, requested: pods=1, used: pods=2, limited: pods=2".to_owned(),
        };
        world.cluster.model.set_faults(|faults| faults.rules.push(Rule::new(&["create"], &["pods"], refused())));
        let signal = |model: &sandbox::Cluster| {
            model.objects("", "Event", "n").iter().any(|event| event["reason"] == "FailedCreate")
                || model
                    .objects("apps", "ReplicaSet", "n")
                    .iter()
                    .any(|set| has_condition(set, "ReplicaFailure", "True"))
        };
        let services = [service("app1", &[(kind, "v1")])];
        let (_, cause, late) = failed_after(&mut world, &services, signal).await;
        assert!(late <= SOON, "{kind}: {late:?}");
        assert_eq!((cause.reason.as_str(), &cause.pod), (reason, &None), "{kind}");
        assert!(cause.message.contains("exceeded quota"), "{kind}: {}", cause.message);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_finds_no_node_is_told_when_its_allowance_is_over() {
    let mut world = World::new();
    let sync = Sync { unschedulable_seconds: 20, ..Sync::default() };
    let services = [service("app1", &[("Deployment.apps a", "unschedulable")]).sync(sync)];
    let signal = |model: &sandbox::Cluster| any_pod(model, |pod| has_condition(pod, "PodScheduled", "False"));
    let (_, cause, late) = failed_after(&mut world, &services, signal).await;
    assert!((20..=25).contains(&late.as_secs()), "{late:?}");
    assert_eq!(cause.reason, "Unschedulable");
    assert!(cause.message.contains("0/3 nodes are available"), "{}", cause.message);
}

#[tokio::test(start_paused = true)]
async fn a_failing_readiness_probe_is_told_when_its_allowance_is_over() {
    let mut world = World::new();
    let services = [service("app1", &[("Deployment.apps a", "never-ready")])];
    let runs = |pod: &Value| pod["status"]["containerStatuses"][0]["state"].get("running").is_some();
    let (_, cause, late) = failed_after(&mut world, &services, move |model| any_pod(model, runs)).await;
    // Two seconds between probes, three failures: spared for 7 s, and one more probe.
    assert!((9..=14).contains(&late.as_secs()), "{late:?}");
    assert_eq!(cause.reason, "ReadinessProbeFailed");
    assert!(cause.message.contains("statuscode: 503"), "{}", cause.message);
}

#[tokio::test(start_paused = true)]
async fn a_failing_job_is_told_soon_with_its_exit_code() {
    let mut world = World::new();
    let services = [service("app1", &[("Secret s", "v"), ("Job.batch a", "fail|starting\nno such table")])];
    let failed = |model: &sandbox::Cluster| {
        model.objects("batch", "Job", "n").iter().any(|job| has_condition(job, "FailureTarget", "True"))
    };
    let (_, cause, late) = failed_after(&mut world, &services, failed).await;
    assert!(late <= SOON, "{late:?}");
    assert_eq!((cause.exit_code, cause.container.as_deref()), (Some(1), Some("app")));
    assert!(cause.message.contains("BackoffLimitExceeded"), "{}", cause.message);
    assert_eq!(cause.log, ["starting", "no such table"]);
}

#[tokio::test(start_paused = true)]
async fn a_failing_job_is_told_with_its_pod_although_its_pods_are_seen_later() {
    let failed = |model: &sandbox::Cluster| {
        model.objects("batch", "Job", "n").iter().any(|job| has_condition(job, "FailureTarget", "True"))
    };
    let mut world = World::new();
    world.cluster.tell_pods_after(failed);
    let services = [service("app1", &[("Secret s", "v"), ("Job.batch a", "fail|no such table")])];
    let (_, cause, late) = failed_after(&mut world, &services, failed).await;
    assert!(late <= SOON, "{late:?}");
    assert_eq!((cause.reason.as_str(), cause.exit_code), ("Error", Some(1)));
    assert_eq!(cause.log, ["no such table"]);
}

#[tokio::test(start_paused = true)]
async fn a_cause_has_events_and_logs_and_no_secrets() {
    let mut world = World::new();
    let log = "start\nusing pass-word-1 of the database\ntoken=abcdef123\nboom";
    let services =
        [service("app1", &[("Deployment.apps a", &format!("crash-loop|{log}")), ("Secret s", "pass-word-1")])];
    let (report, cause, _) = failed_after(&mut world, &services, waits_for("CrashLoopBackOff")).await;
    assert_eq!((cause.exit_code, cause.restarts), (Some(1), 1));
    assert_eq!(cause.log, ["start", "using [redacted] of the database", "token=[redacted]", "boom"]);
    assert_eq!(cause.previous_log, cause.log);
    assert!(cause.events.iter().any(|event| event.contains("Back-off restarting failed container")), "{cause:#?}");
    let told = serde_json::to_string(&report).expect("JSON") + &syncd::summary::text(&report);
    assert!(!told.contains("pass-word-1") && !told.contains("abcdef123"));
    assert!(syncd::summary::text(&report).contains("  log: boom"), "{}", syncd::summary::text(&report));

    let events = world.cluster.model.objects("", "Event", "n");
    let ours: Vec<&Value> = events.iter().filter(|event| event["source"]["component"] == "syncd").collect();
    assert_eq!(ours.len(), 1);
    assert_eq!((&ours[0]["reason"], &ours[0]["involvedObject"]["kind"]), (&json!("SyncFailed"), &json!("Deployment")));
    assert!(ours[0]["message"].as_str().is_some_and(|text| text.contains("CrashLoopBackOff")), "{}", ours[0]);
}

#[tokio::test(start_paused = true)]
async fn a_log_is_not_shown_where_a_secret_cannot_be_read() {
    let mut world = World::new();
    world.commit(&[service("app1", &[("Secret s", "pass-word-1")])]);
    world.synced().await;
    world.cluster.deny("get Secret n/s");
    let services = [service("app1", &[("Deployment.apps a", "crash-loop|boom"), ("Secret s", "pass-word-1")])];
    let (_, cause, _) = failed_after(&mut world, &services, waits_for("CrashLoopBackOff")).await;
    assert_eq!(cause.log, Vec::<String>::new());
    assert!(cause.log_withheld.is_some_and(|why| why.contains("Secret n/s cannot be read")));
}

// --------------------------------------------------------------------------------------------------------- no false alarms

#[tokio::test(start_paused = true)]
async fn a_good_version_after_a_crash_loop_is_not_blamed_for_it() {
    let mut world = World::new();
    for kind in ["Deployment.apps a", "StatefulSet.apps a", "DaemonSet.apps a"] {
        world.commit(&[service("app1", &[(kind, "crash-loop")])]);
        assert_eq!(states(&world.cycle().await), [("app1", ServiceState::Failed)].into());
        world.wait(Duration::from_secs(120)).await;
        if kind.starts_with("Stateful") {
            // The controller waits for the broken pod, as the real one does, until somebody deletes it.
            let path = world.cluster.model.path("", "Pod", "n", "a-0").expect("served");
            let time = Mutex::new(false);
            world.watchful = Some(Box::new(move |model, after| {
                if after.as_secs() >= 3 && !std::mem::replace(&mut *time.lock().expect("alone"), true) {
                    model.handle(&ModelRequest::delete(&path).agent("somebody"));
                }
            }));
        }
        world.commit(&[service("app1", &[(kind, "v2")])]);
        world.synced().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_takes_its_time_within_its_allowance_becomes_ready() {
    for behaviour in ["ready-after=6s", "slow=90s", "flaky=1"] {
        let mut world = World::new();
        world.commit(&[service("app1", &[("Deployment.apps a", behaviour)])]);
        let report = world.synced().await;
        assert!(report.services["app1"].causes.is_empty(), "{behaviour}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_pod_that_holds_a_mended_stateful_set_is_named() {
    let mut world = World::new();
    world.commit(&[service("app1", &[("StatefulSet.apps a", "crash-loop")])]);
    assert_eq!(states(&world.cycle().await), [("app1", ServiceState::Failed)].into());
    world.commit(&[service("app1", &[("StatefulSet.apps a", "v2")])]);
    let report = world.cycle().await;
    let app = &report.services["app1"];
    assert_eq!((app.state, app.causes[0].reason.as_str()), (ServiceState::Failed, "HeldByOldPod"), "{app:#?}");
    assert!((30.0..36.0).contains(&app.seconds), "{}", app.seconds);
    assert!(app.causes[0].message.contains("delete pod a-0"), "{}", app.causes[0].message);
}

/// Does something once, some time after a cycle began.
fn once_after(seconds: u64, deed: impl Fn(&sandbox::Cluster) + Send + 'static) -> crate::world::Watchful {
    let mut done = false;
    Box::new(move |model, time| {
        if !done && time >= Duration::from_secs(seconds) {
            done = true;
            deed(model);
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_drained_during_the_rollout_is_no_failure() {
    let mut world = World::new();
    world.commit(&[service("app1", &[("Deployment.apps a", "slow=10s"), ("StatefulSet.apps b", "slow=5s")])]);
    world.watchful = Some(once_after(4, |model| {
        for pod in model.objects("", "Pod", "n") {
            let name = pod["metadata"]["name"].as_str().expect("a name");
            let path = model.path("", "Pod", "n", name).expect("served");
            assert!(model.handle(&ModelRequest::delete(&path).agent("drain")).is_success());
        }
    }));
    let report = world.synced().await;
    assert!(report.services["app1"].seconds >= 10.0, "{}", report.services["app1"].seconds);
}

#[tokio::test(start_paused = true)]
async fn an_autoscaler_that_scales_during_the_wait_is_no_failure() {
    let mut world = World::new();
    world.commit(&[service("app1", &[("Deployment.apps a", "slow=10s")])]);
    world.watchful = Some(once_after(4, |model| {
        let path = model.path("apps", "Deployment", "n", "a").expect("served");
        let body = json!({"spec": {"replicas": 5}});
        assert!(model.handle(&ModelRequest::merge_patch(&path, body).agent("autoscaler")).is_success());
    }));
    world.synced().await;
    let deployment = world.object("Deployment.apps a").expect("there");
    assert_eq!(deployment["status"]["availableReplicas"], 5);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_another_object_brings_is_waited_for() {
    let mut world = World::new();
    // The Job stands for whatever writes the Secret.
    world.commit(&[service("app1", &[("Deployment.apps a", "v1|x"), ("Job.batch maker", "slow=20s")])]);
    world.watchful = Some(once_after(15, |model| {
        let body = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "n"}});
        assert!(model.handle(&ModelRequest::create("/api/v1/namespaces/n/secrets", body)).is_success());
    }));
    world.synced().await;
}

// --------------------------------------------------------------------------------------------------------------------- watches

#[tokio::test(start_paused = true)]
async fn a_thousand_rollouts_take_one_watch_a_kind() {
    let mut world = World::new();
    world.settings.concurrency = 32;
    let names: Vec<String> = (0..1000).map(|number| format!("d{number}")).collect();
    let ids: Vec<String> = names.iter().map(|name| format!("Deployment.apps {name}")).collect();
    let services: Vec<Service> =
        names.iter().zip(&ids).map(|(name, id)| service(name, &[(id.as_str(), "slow=5s")])).collect();
    world.commit(&services);
    let report = world.synced().await;
    assert_eq!(report.services.len(), 1000);
    let calls = world.cluster.take_calls();
    let watches: Vec<&String> = calls.iter().filter(|call| call.starts_with("watch ")).collect();
    assert_eq!(watches, ["watch ReplicaSet.apps in n", "watch Pod in n", "watch Event in n", "watch Deployment.apps"]);
    // Nor is one begun while services queue to apply: it would be told each step of each object.
    let first = calls.iter().position(|call| call.starts_with("watch ")).expect("there is one");
    let before = calls[..first].iter().filter(|call| call.starts_with("apply ")).count();
    assert!(before > 1000 - 3 * world.settings.concurrency, "{before} objects were applied before the first watch");
    let applies = calls.iter().filter(|call| call.starts_with("apply ")).count();
    let writes = calls.iter().filter(|call| call.starts_with("write ")).count();
    // One list that looks for newcomers, lists of the state and of the kind, and nothing else: nobody polls.
    assert_eq!((applies, writes, calls.len()), (1000, 2001, 1 + 1000 + 2001 + 4 + 2));
}

#[tokio::test(start_paused = true)]
async fn who_has_applied_is_looked_at_although_others_queue_for_long() {
    // Two have a turn: one of them loses its request, and waits half a minute for an answer. The last one queues as long.
    for timeout_seconds in [300, 12] {
        let sync = Sync { timeout_seconds, ..Sync::default() };
        let mut world = World::new();
        world.settings.concurrency = 1;
        world.cluster.cut(&["apply ConfigMap n/lost"]);
        world.commit(&[
            service("a", &[("Deployment.apps a", "slow=10s")]).sync(sync),
            service("b", &[("ConfigMap lost", "v1")]),
            service("c", &[("ConfigMap c", "v1")]),
            service("d", &[("ConfigMap d", "v1")]),
        ]);
        let report = world.cycle().await;
        assert_eq!(report.services["a"].state, ServiceState::Synced, "{:#?}", report.services["a"]);
        let calls = world.cluster.take_calls();
        let at =
            |call: &str| calls.iter().position(|one| one == call).unwrap_or_else(|| panic!("no `{call}`: {calls:#?}"));
        assert!(at("apply ConfigMap n/lost") < at("watch Deployment.apps"), "{calls:#?}");
        assert!(at("watch Deployment.apps") < at("apply ConfigMap n/d"), "{calls:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn workloads_of_more_namespaces_take_one_watch_a_kind_as_well() {
    let mut world = World::new();
    let mut files = crate::world::files(&[
        service("app1", &[("Deployment.apps a", "v1")]),
        service("app2", &[("Deployment.apps b", "v1")]),
    ]);
    let path = manifest::Index::resources_path("staging", "app2");
    let moved =
        String::from_utf8(files[&path].clone()).expect("text").replace("namespace: \"n\"\n", "namespace: other\n");
    let mut index = manifest::Index::parse(&files["_gen/staging/index.json"], "staging").expect("an index");
    index.services.get_mut("app2").expect("app2").content = manifest::Hash::of(moved.as_bytes());
    files.insert(path, moved.into_bytes());
    files.insert("_gen/staging/index.json".to_owned(), index.to_json().into_bytes());
    world.repo.commit(files);
    world.synced().await;
    let calls = world.cluster.take_calls();
    let watches: Vec<&String> = calls.iter().filter(|call| call.starts_with("watch ")).collect();
    assert_eq!(watches, ["watch ReplicaSet.apps", "watch Pod", "watch Event", "watch Deployment.apps"]);
}

// ------------------------------------------------------------------------------------------------------------------------ seed

#[tokio::test(start_paused = true)]
async fn the_four_kinds_of_the_seed_are_waited_for_applied_and_deleted() {
    for kind in ["Deployment.apps a", "StatefulSet.apps a", "DaemonSet.apps a", "Job.batch a"] {
        let mut world = World::new();
        world.commit(&[service("app1", &[(kind, "slow=30s"), ("ConfigMap c", "v1")])]);
        let report = world.synced().await;
        assert!(report.services["app1"].seconds >= 30.0, "{kind}: {}", report.services["app1"].seconds);
        let path = world.path(kind);
        let held = json!({"metadata": {"finalizers": ["example.org/hold"]}});
        world.somebody(ModelRequest::merge_patch(&path, held));
        world.commit(&[service("app1", &[("ConfigMap c", "v1")]), service("other", &[("ConfigMap o", "v1")])]);
        world.watchful = Some(once_after(40, move |model| {
            let released = json!({"metadata": {"finalizers": null}});
            model.handle(&ModelRequest::merge_patch(&path, released).agent("somebody"));
        }));
        let report = world.synced().await;
        assert!(report.services["app1"].seconds >= 40.0, "{kind}: {}", report.services["app1"].seconds);
        assert!(report.services["other"].seconds < 1.0, "a deletion holds nobody else");
        assert_eq!(world.object(kind), None);
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_after_600_s_or_what_the_environment_says() {
    for (timeout, seconds) in [(None, 600), (Some(30), 30)] {
        let mut world = World::new();
        let sync = timeout.map_or_else(Sync::default, |timeout_seconds| Sync { timeout_seconds, ..Sync::default() });
        world.commit(&[service("app1", &[("Deployment.apps a", "slow=2000s")]).sync(sync)]);
        let report = world.cycle().await;
        let app = &report.services["app1"];
        assert_eq!(app.state, ServiceState::Failed);
        assert!((seconds..seconds + 2).contains(&(app.seconds as u64)), "{}", app.seconds);
        let error = app.error.as_deref().unwrap_or_default();
        assert!(error.starts_with(&format!("not ready after {seconds} s: Deployment.apps n/a: ")), "{error}");
        assert_eq!(app.causes[0].reason, "ContainerCreating");
    }
}

#[tokio::test(start_paused = true)]
async fn silence_can_be_given_a_limit() {
    let mut world = World::new();
    let sync = Sync { no_activity_seconds: Some(45), ..Sync::default() };
    world.commit(&[service("app1", &[("Deployment.apps a", "slow=2000s")]).sync(sync)]);
    let report = world.cycle().await;
    let error = report.services["app1"].error.clone().unwrap_or_default();
    assert!(error.contains("nothing happened for 45 s"), "{error}");
    assert!((45..50).contains(&(report.services["app1"].seconds as u64)));
}

// --------------------------------------------------------------------------------------------------------- what follows failure

fn on_failure(on_failure: OnFailure) -> Sync {
    Sync { on_failure, ..Sync::default() }
}

fn after(depends_on: &str) -> Sync {
    Sync { depends_on: vec![depends_on.to_owned()], ..Sync::default() }
}

#[tokio::test(start_paused = true)]
async fn by_default_a_failed_service_stays_as_it_is_and_holds_those_after_it() {
    let mut world = World::new();
    let services = |content: &str| {
        let app = service("app1", &[("Deployment.apps a", content)]);
        [app, service("next", &[("ConfigMap n", content)]).sync(after("app1"))]
    };
    world.commit(&services("v1"));
    world.synced().await;
    world.commit(&services("crash-loop"));
    let report = world.cycle().await;
    assert_eq!(states(&report), [("app1", ServiceState::Failed), ("next", ServiceState::Blocked)].into());
    assert_eq!(
        world.object("Deployment.apps a").expect("there")["spec"]["template"]["spec"]["containers"][0]["image"],
        "app:crash-loop"
    );
}

#[tokio::test(start_paused = true)]
async fn a_service_that_says_continue_holds_nobody() {
    let mut world = World::new();
    let app = service("app1", &[("Deployment.apps a", "crash-loop")]).sync(on_failure(OnFailure::Continue));
    let later = Sync { wave: 1, ..Sync::default() };
    world.commit(&[
        app.clone(),
        service("next", &[("ConfigMap n", "v1")]).sync(after("app1")),
        service("late", &[("ConfigMap l", "v1")]).sync(later),
    ]);
    let report = world.cycle().await;
    let expected = [("app1", ServiceState::Failed), ("late", ServiceState::Synced), ("next", ServiceState::Synced)];
    assert_eq!(states(&report), expected.into());
    // Nor while it rests.
    world.commit(&[app, service("next", &[("ConfigMap n", "v2")]).sync(after("app1"))]);
    assert_eq!(states(&world.cycle().await)["next"], ServiceState::Synced);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_says_rollback_goes_back_to_what_was_ready_and_shows_it() {
    let mut world = World::new();
    let app = |objects: &[(&str, &str)]| service("app1", objects).sync(on_failure(OnFailure::Rollback));
    let image = |world: &World| {
        world.object("Deployment.apps a").expect("there")["spec"]["template"]["spec"]["containers"][0]["image"].clone()
    };
    let first = world.commit(&[app(&[("ConfigMap old", "v1"), ("Deployment.apps a", "v1")])]);
    world.synced().await;

    let bad = [
        app(&[("ConfigMap new", "v2"), ("Deployment.apps a", "crash-loop")]),
        service("next", &[("ConfigMap n", "v1")]).sync(after("app1")),
    ];
    world.commit(&bad);
    let report = world.cycle().await;
    let failed = &report.services["app1"];
    assert_eq!(
        failed.state,
        ServiceState::RolledBack,
        "{:#?} {:#?} {failed:#?}",
        report.errors,
        world.cluster.take_calls()
    );
    let error = failed.error.as_deref().unwrap_or_default();
    assert!(error.starts_with(&format!("rolled back to revision {}: ", first.short())), "{error}");
    assert!(error.contains("CrashLoopBackOff"), "{error}");
    assert_eq!(failed.causes[0].reason, "CrashLoopBackOff");
    assert_eq!(report.services["next"].state, ServiceState::Blocked, "nothing new stands on what was rolled back");
    assert_eq!(image(&world), "app:v1");
    assert!(world.object("ConfigMap new").is_none() && world.object("ConfigMap old").is_some());

    // It stays so without a request, also for another process and another commit of the same content.
    world.cluster.take_calls();
    let report = world.cycle().await;
    assert_eq!(report.services["app1"].state, ServiceState::RolledBack);
    assert_eq!(world.writes(), Vec::<String>::new());
    world.memory = syncd::cycle::Memory::default();
    world.commit(&bad);
    let report = world.cycle().await;
    assert_eq!(report.services["app1"].state, ServiceState::RolledBack, "{:#?}", report.services["app1"]);
    assert_eq!((world.writes(), image(&world)), (Vec::new(), json!("app:v1")));

    // What somebody changes is put right, to what it was rolled back to.
    let path = world.path("ConfigMap old");
    world.somebody(ModelRequest::delete(&path));
    world.cycle_of(syncd::cycle::Mode::Full).await.expect("no crash was planned");
    assert!(world.object("ConfigMap old").is_some() && world.object("ConfigMap new").is_none());

    // Other content is tried, and ends it. What the process before may have left unanswered has landed by then.
    world.wait(Duration::from_secs(61)).await;
    world.commit(&[app(&[("ConfigMap new", "v2"), ("Deployment.apps a", "v3")])]);
    assert_eq!(states(&world.synced().await)["app1"], ServiceState::Synced);
    assert_eq!(image(&world), "app:v3");
    assert!(world.state().record("app1").expect("recorded").rolled_back.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_cannot_be_is_said() {
    let mut world = World::new();
    let app =
        |content: &str| [service("app1", &[("Deployment.apps a", content)]).sync(on_failure(OnFailure::Rollback))];
    world.commit(&app("crash-loop"));
    assert_eq!(states(&world.cycle().await)["app1"], ServiceState::Failed, "there is nothing to go back to");
    world.commit(&app("v1"));
    world.synced().await;
    let first = world.state().record("app1").expect("recorded").settled.clone().expect("settled").commit;
    world.repo.forget(&first);
    world.commit(&app("crash-loop"));
    let report = world.cycle().await;
    let app = &report.services["app1"];
    assert_eq!(app.state, ServiceState::Failed);
    let error = app.error.as_deref().unwrap_or_default();
    assert!(error.contains("what it was rolled back to cannot be read"), "{error}");
    assert_eq!(app.causes[0].reason, "CrashLoopBackOff");
}

// ------------------------------------------------------------------------------------------------------------ Jobs and deletion

#[tokio::test(start_paused = true)]
async fn a_job_whose_template_changed_is_replaced_and_waited_for() {
    let mut world = World::new();
    world.commit(&[service("app1", &[("Job.batch a", "succeed")])]);
    world.synced().await;
    let uid = world.uid("Job.batch a");
    world.cluster.take_calls();
    world.commit(&[
        service("app1", &[("Job.batch a", "slow=5s")]),
        service("next", &[("ConfigMap n", "v1")]).sync(after("app1")),
    ]);
    let report = world.synced().await;
    assert_ne!(world.uid("Job.batch a"), uid);
    assert!(report.services["next"].seconds >= 5.0, "a wave waits for the Job");
    let calls = world.cluster.take_calls();
    let jobs: Vec<&String> =
        calls.iter().filter(|call| call.contains("Job.batch") && !call.starts_with("watch")).collect();
    assert!(jobs[0] == "apply Job.batch n/a" && jobs[1].starts_with("apply Job.batch n/a-"), "asked first: {jobs:?}");
    assert_eq!((jobs[2].as_str(), jobs[3].as_str()), ("get Job.batch n/a", "delete Job.batch n/a"));
    // It may be asked for once more, whether it is gone.
    assert!(jobs.len() == 5 || jobs.len() == 6 && jobs[4] == "get Job.batch n/a", "{jobs:?}");
    assert_eq!(jobs.last().map(|call| call.as_str()), Some("apply Job.batch n/a"));
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_is_stuck_names_what_keeps_it_and_holds_nobody() {
    let mut world = World::new();
    world.commit(&[service("app1", &[("ConfigMap a", "v1"), ("ConfigMap b", "v1")])]);
    world.synced().await;
    let path = world.path("ConfigMap a");
    world.somebody(
        ModelRequest::merge_patch(&path, json!({"metadata": {"finalizers": ["example.org/hold"]}}))
            .query("fieldManager", "operator"),
    );
    world.events.take();
    world.commit(&[service("app1", &[("ConfigMap b", "v1")]), service("app2", &[("Deployment.apps c", "v1")])]);
    let report = world.cycle().await;
    assert_eq!(states(&report), [("app1", ServiceState::Failed), ("app2", ServiceState::Synced)].into());
    assert!(report.services["app2"].seconds < 5.0);
    let keeps = "it has the finalizers example.org/hold (set by operator)";
    let error = report.services["app1"].error.as_deref().unwrap_or_default();
    assert!(error.contains(keeps), "{error}");
    let told = world.events.take();
    let is_told =
        |event: &Event| matches!(event, Event::Waiting { waiting_for, .. } if waiting_for[0].message.contains(keeps));
    assert!(told.iter().any(is_told), "it is told while it lasts");
}
