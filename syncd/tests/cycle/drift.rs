//! What others change is taken back, in virtual time: how soon, with how many requests, and what is left alone.

use std::time::Duration;

use manifest::index::{DriftPolicy, Sync};
use sandbox::Request as ModelRequest;
use serde_json::{Value, json};
use syncd::report::{DriftAction, Event};

use crate::leader::{Process, World};
use crate::world::{Service, id, service};

/// The longest that a change may last.
const SOON: Duration = Duration::from_secs(2);

/// A process that leads, has synced these services, and watches.
pub async fn synced(services: &[Service]) -> (World, Process) {
    synced_under(services, DriftPolicy::Correct).await
}

async fn synced_under(services: &[Service], policy: DriftPolicy) -> (World, Process) {
    let mut world = World::new();
    world.policy = policy;
    world.commit(services);
    let process = world.start("a", None);
    world.until("the first sync", || world.is(services)).await;
    // Behind the second look after a takeover by force.
    world.pass(Duration::from_secs(90)).await;
    process.cluster.take_calls();
    world.events.take();
    (world, process)
}

impl World {
    fn path_of(&self, text: &str) -> String {
        let id = id(text);
        self.model.path(&id.group, &id.kind, &id.namespace, &id.name).expect("a kind that is served")
    }

    pub fn at(&self, text: &str, pointer: &str) -> Value {
        let id = id(text);
        let object = self.model.object(&id.group, &id.kind, &id.namespace, &id.name);
        object.and_then(|object| object.pointer(pointer).cloned()).unwrap_or_default()
    }

    pub fn edit(&self, text: &str, who: &str, patch: Value) {
        let reply = self.model.handle(&ModelRequest::merge_patch(&self.path_of(text), patch).agent(who));
        assert!(reply.is_success(), "{reply:?}");
    }

    fn scale(&self, text: &str, who: &str, replicas: u32) {
        let path = format!("{}/scale", self.path_of(text));
        let patch = json!({"spec": {"replicas": replicas}});
        let reply = self.model.handle(&ModelRequest::merge_patch(&path, patch).agent(who));
        assert!(reply.is_success(), "{reply:?}");
    }

    pub fn delete(&self, text: &str) {
        assert!(self.model.handle(&ModelRequest::delete(&self.path_of(text)).agent("kubectl-delete")).is_success());
    }

    /// Whether the record of a service says that it failed.
    fn failed(&self, service: &str) -> bool {
        let state = crate::world::state(&self.model);
        state.record(service).is_some_and(|record| record.condition.is_some())
    }

    /// What was told of drift, one line each.
    pub fn drift(&self) -> Vec<String> {
        let told = |event: Event| match event {
            Event::Drift { service, object, what, action } => {
                Some(format!("{service}: {object}: {what}: {}", action.as_str()))
            }
            _ => None,
        };
        self.events.take().into_iter().filter_map(told).collect()
    }
}

/// Requests apart from the Lease.
pub fn requests(process: &Process) -> Vec<String> {
    process.cluster.take_calls().into_iter().filter(|call| !call.ends_with("lease")).collect()
}

fn shop() -> Vec<Service> {
    vec![
        service("app1", &[("ConfigMap a", "v1"), ("Deployment.apps a", "ok")]),
        service("app2", &[("ConfigMap b", "v1"), ("Secret s", "v1")]),
    ]
}

#[tokio::test(start_paused = true)]
async fn an_edit_is_taken_back_with_one_request() {
    let (world, process) = synced(&shop()).await;
    world.edit("ConfigMap b", "kubectl-edit", json!({"data": {"content": "mine"}}));
    let took = world.until("the edit is gone", || world.at("ConfigMap b", "/data/content") == "v1").await;
    assert!(took <= SOON, "{took:?}");
    world.pass(Duration::from_secs(60)).await;
    assert_eq!(requests(&process), ["apply ConfigMap n/b", "write syncd-staging-app2"]);
    assert_eq!(world.drift(), ["app2: ConfigMap n/b: data.content changed by `kubectl-edit`: corrected"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_removed_scaled_or_relabelled_comes_back_and_what_is_added_stays() {
    let (world, process) = synced(&shop()).await;
    world.edit("ConfigMap a", "kubectl-edit", json!({"data": {"content": null}}));
    world.scale("Deployment.apps a", "kubectl", 7);
    world.edit("Secret s", "kubectl-label", json!({"metadata": {"labels": {"syncd/environment": null}}}));
    world.edit("ConfigMap b", "kubectl-label", json!({"metadata": {"labels": {"syncd/service": "app1"}}}));
    let is_back = || {
        world.at("ConfigMap a", "/data/content") == "v1"
            && world.at("Deployment.apps a", "/spec/replicas") == 2
            && world.at("Secret s", "/metadata/labels/syncd~1environment") == "staging"
            && world.at("ConfigMap b", "/metadata/labels/syncd~1service") == "app2"
    };
    let took = world.until("all is back", is_back).await;
    assert!(took <= SOON, "{took:?}");
    world.pass(Duration::from_secs(30)).await;
    let mut told = world.drift();
    told.sort();
    assert_eq!(
        told,
        [
            "app1: ConfigMap n/a: fields of ours were removed: corrected",
            "app1: Deployment.apps n/a: spec.replicas changed by `kubectl (scale)`: corrected",
            "app2: ConfigMap n/b: metadata.labels[\"syncd/service\"] changed by `kubectl-label`: corrected",
            "app2: Secret n/s: it is not there with our label any more: corrected",
        ]
    );
    requests(&process);
    world.edit("ConfigMap a", "somebody", json!({"data": {"more": "x"}, "metadata": {"labels": {"more": "x"}}}));
    world.pass(Duration::from_secs(60)).await;
    assert_eq!(requests(&process), Vec::<String>::new(), "what is not ours is nobody's business");
    assert_eq!(world.at("ConfigMap a", "/data/more"), "x");
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_was_written_as_text_is_watched_too() {
    let (world, process) = synced(&shop()).await;
    let at = || world.at("Secret s", "/data/content");
    for _ in 0..3 {
        world.edit("Secret s", "kubectl-edit", json!({"data": {"content": "bWluZQ=="}}));
        let took = world.until("the edit is gone", || at() == "djE=").await;
        assert!(took <= SOON, "{took:?}");
        world.pass(Duration::from_secs(20)).await;
    }
    let calls = requests(&process);
    assert_eq!(calls.iter().filter(|call| *call == "apply Secret n/s").count(), 3, "{calls:?}");
    assert_eq!(world.drift().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_is_created_again() {
    let (world, process) = synced(&shop()).await;
    world.delete("ConfigMap b");
    world.delete("Deployment.apps a");
    let took = world.until("both are back", || world.is(&shop())).await;
    assert!(took <= SOON, "{took:?}");
    world.pass(Duration::from_secs(60)).await;
    let calls = requests(&process);
    let applies: Vec<&String> = calls.iter().filter(|call| call.starts_with("apply ")).collect();
    assert_eq!(applies.len(), 2, "{calls:?}");
    assert!(world.is(&shop()));
}

#[tokio::test(start_paused = true)]
async fn our_own_writes_make_no_repair_and_an_unchanged_fleet_costs_nothing() {
    let (world, process) = synced(&shop()).await;
    world.pass(Duration::from_secs(300)).await;
    assert_eq!(requests(&process), Vec::<String>::new());
    let changed = [
        service("app1", &[("ConfigMap a", "v2"), ("Deployment.apps a", "ready-after=3s")]),
        service("app3", &[("ConfigMap c", "v1")]),
    ];
    world.commit(&changed);
    world.until("the second revision", || world.is(&changed)).await;
    world.pass(Duration::from_secs(120)).await;
    assert_eq!(world.drift(), Vec::<String>::new());
    let calls = requests(&process);
    assert_eq!(calls.iter().filter(|call| call.starts_with("apply ")).count(), 3, "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn an_autoscaler_is_left_alone_in_repairs_and_in_applies() {
    let scaled = |content: &str| {
        let objects = [("Deployment.apps a", content), ("HorizontalPodAutoscaler.autoscaling a", "v1")];
        vec![service("app1", &objects)]
    };
    let (world, process) = synced(&scaled("ok")).await;
    let hpa = "HorizontalPodAutoscaler.autoscaling a";
    world.edit(hpa, "load", json!({"metadata": {"annotations": {"sandbox/desired-replicas": "6"}}}));
    world.until("it scales", || world.at("Deployment.apps a", "/spec/replicas") == 6).await;
    world.pass(Duration::from_secs(60)).await;
    assert_eq!((world.drift(), requests(&process)), (Vec::new(), Vec::new()));
    assert_eq!(world.at("Deployment.apps a", "/spec/replicas"), 6, "the manifest says 2");
    // A new manifest, which still says 2, changes all but the replicas.
    let image = "/spec/template/spec/containers/0/image";
    world.commit(&scaled("other"));
    world.until("the new image", || world.at("Deployment.apps a", image) == "app:other").await;
    assert_eq!(world.at("Deployment.apps a", "/spec/replicas"), 6);
    world.pass(Duration::from_secs(60)).await;
    // An edit is taken back, and the replicas are still the autoscaler's.
    let drifted = json!({"metadata": {"annotations": {"syncd/hash": "x"}}});
    world.edit("Deployment.apps a", "kubectl-edit", drifted);
    let back = || world.at("Deployment.apps a", "/metadata/annotations/syncd~1hash") != "x";
    assert!(world.until("the edit is gone", back).await <= SOON);
    world.pass(Duration::from_secs(20)).await;
    assert_eq!(world.at("Deployment.apps a", "/spec/replicas"), 6);
}

#[tokio::test(start_paused = true)]
async fn who_keeps_fighting_is_backed_off_and_named() {
    let (world, process) = synced(&shop()).await;
    let begun = tokio::time::Instant::now();
    let mut reverts = Vec::new();
    while begun.elapsed() < Duration::from_secs(240) {
        if world.at("ConfigMap b", "/data/content") == "v1" {
            reverts.push(begun.elapsed());
            world.edit("ConfigMap b", "rival-operator", json!({"data": {"content": "theirs"}}));
        }
        world.pass(Duration::from_millis(100)).await;
    }
    let told = world.events.take();
    let backed_off: Vec<u64> = told
        .iter()
        .filter_map(|event| match event {
            Event::Drift { action: DriftAction::BackedOff { pause_seconds }, what, .. } => {
                assert_eq!(what, "data.content changed by `rival-operator`");
                Some(*pause_seconds)
            }
            _ => None,
        })
        .collect();
    assert_eq!(backed_off, [10, 20, 40, 80, 160]);
    assert!((9..=11).contains(&reverts.len()), "{reverts:?}");
    let calls = requests(&process);
    assert_eq!(calls.iter().filter(|call| *call == "event").count(), 5, "each step is said at the object: {calls:?}");
    let said = world.model.objects("", "Event", "n");
    let ours: Vec<&Value> = said.iter().filter(|event| event["reason"] == "DriftFight").collect();
    let first =
        "rival-operator keeps changing data.content after syncd has corrected it; the next correction waits 10 s";
    assert!(ours.iter().any(|event| event["message"] == first), "{ours:?}");
    // Others are served at once meanwhile.
    world.edit("ConfigMap a", "kubectl-edit", json!({"data": {"content": "mine"}}));
    assert!(world.until("the edit is gone", || world.at("ConfigMap a", "/data/content") == "v1").await <= SOON);
}

#[tokio::test(start_paused = true)]
async fn what_happened_while_the_watch_was_broken_is_found() {
    let (world, _process) = synced(&shop()).await;
    world.edit("ConfigMap a", "kubectl-edit", json!({"data": {"content": "mine"}}));
    world.model.compact();
    world.model.drop_watches();
    world.delete("ConfigMap b");
    world.edit("Secret s", "kubectl-label", json!({"metadata": {"labels": {"syncd/environment": null}}}));
    let is_back = || {
        world.at("ConfigMap a", "/data/content") == "v1"
            && world.at("ConfigMap b", "/data/content") == "v1"
            && world.at("Secret s", "/metadata/labels/syncd~1environment") == "staging"
    };
    let took = world.until("all is back", is_back).await;
    assert!(took <= SOON, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn what_happened_while_nobody_led_is_found() {
    let (world, process) = synced(&shop()).await;
    process.stop();
    world.pass(Duration::from_secs(5)).await;
    world.edit("ConfigMap a", "kubectl-edit", json!({"data": {"content": "mine"}}));
    let next = world.start("b", None);
    world.until("b leads", || next.leads()).await;
    let took = world.until("the edit is gone", || world.at("ConfigMap a", "/data/content") == "v1").await;
    assert!(took <= SOON, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn drift_does_not_wait_for_somebody_elses_rollout() {
    let (world, _process) = synced(&shop()).await;
    let mut stuck = shop();
    stuck.push(service("stuck", &[("Deployment.apps stuck", "never-ready")]));
    world.commit(&stuck);
    world.until("the rollout", || !world.at("Deployment.apps stuck", "/metadata/uid").is_null()).await;
    world.pass(Duration::from_secs(1)).await;
    world.edit("ConfigMap b", "kubectl-edit", json!({"data": {"content": "mine"}}));
    let took = world.until("the edit is gone", || world.at("ConfigMap b", "/data/content") == "v1").await;
    assert!(took <= SOON, "{took:?}");
    world.delete("ConfigMap b");
    let took = world.until("it is back", || world.at("ConfigMap b", "/data/content") == "v1").await;
    assert!(took <= SOON, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_begins_with_a_stuck_rollout_watches_all_the_same() {
    let (world, process) = synced(&shop()).await;
    let mut stuck = shop();
    stuck[0] = service("app1", &[("ConfigMap a", "v1"), ("Deployment.apps a", "never-ready")]);
    world.commit(&stuck);
    let annotation = "/spec/template/metadata/annotations/sandbox~1behaviour";
    world.until("the rollout", || world.at("Deployment.apps a", annotation) == "never-ready").await;
    process.stop();
    world.pass(Duration::from_secs(5)).await;
    let next = world.start("b", None);
    world.until("b leads", || next.leads()).await;
    world.pass(Duration::from_secs(5)).await;
    world.edit("ConfigMap b", "kubectl-edit", json!({"data": {"content": "mine"}}));
    let took = world.until("the edit is gone", || world.at("ConfigMap b", "/data/content") == "v1").await;
    assert!(took <= SOON, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_just_applied_and_is_deleted_during_its_rollout_comes_back() {
    let (world, _process) = synced(&shop()).await;
    let mut stuck = shop();
    stuck[0] = service("app1", &[("ConfigMap a", "v1"), ("Deployment.apps a", "never-ready")]);
    world.commit(&stuck);
    let annotation = "/spec/template/metadata/annotations/sandbox~1behaviour";
    world.until("the rollout", || world.at("Deployment.apps a", annotation) == "never-ready").await;
    world.pass(Duration::from_secs(3)).await;
    world.delete("Deployment.apps a");
    let is_gone = || world.at("Deployment.apps a", "/metadata/uid").is_null();
    world.until("it is gone", is_gone).await;
    let took = world.until("it is back", || !is_gone()).await;
    assert!(took <= SOON, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn drift_does_not_wait_for_the_next_try_of_a_service_that_failed() {
    let sync = manifest::index::Sync { timeout_seconds: 20, ..Default::default() };
    let objects = [("ConfigMap a", "v1"), ("Deployment.apps a", "never-ready")];
    let (world, process) = (World::new(), vec![service("app1", &objects).sync(sync)]);
    world.commit(&process);
    let process = world.start("a", None);
    world.until("it failed", || world.failed("app1")).await;
    world.pass(Duration::from_secs(2)).await;
    process.cluster.take_calls();
    world.edit("ConfigMap a", "kubectl-edit", json!({"data": {"content": "mine"}}));
    let took = world.until("the edit is gone", || world.at("ConfigMap a", "/data/content") == "v1").await;
    assert!(took <= SOON, "{took:?}");
    let before = requests(&process).iter().filter(|call| call.starts_with("apply ")).count();
    assert_eq!(before, 1, "nothing but what was changed");
}

#[tokio::test(start_paused = true)]
async fn fields_that_are_to_be_ignored_are_left_to_whoever_owns_them() {
    let ignoring = |content: &str| vec![service("app1", &[("ConfigMap ignores", content)])];
    let (world, process) = synced(&ignoring("v1")).await;
    world.edit("ConfigMap ignores", "operator", json!({"data": {"content": "theirs"}}));
    world.pass(Duration::from_secs(60)).await;
    assert_eq!((world.drift(), requests(&process)), (Vec::new(), Vec::new()));
    world.commit(&ignoring("v2"));
    world.pass(Duration::from_secs(30)).await;
    let calls = requests(&process);
    assert!(calls.iter().any(|call| call == "apply ConfigMap n/ignores"), "{calls:?}");
    assert_eq!(world.at("ConfigMap ignores", "/data/content"), "theirs");
    // Nobody else owns it any more: it is ours again with the next apply.
    world.delete("ConfigMap ignores");
    assert!(world.until("it is back", || world.at("ConfigMap ignores", "/data/content") == "v2").await <= SOON);
}

#[tokio::test(start_paused = true)]
async fn drift_is_only_told_or_not_even_looked_for_if_so_wished() {
    let (world, process) = synced_under(&shop(), DriftPolicy::Report).await;
    world.edit("ConfigMap b", "kubectl-edit", json!({"data": {"content": "mine"}}));
    world.pass(Duration::from_secs(60)).await;
    assert_eq!(world.at("ConfigMap b", "/data/content"), "mine");
    assert_eq!(world.drift(), ["app2: ConfigMap n/b: data.content changed by `kubectl-edit`: reported"]);
    assert_eq!(requests(&process), Vec::<String>::new());

    let (world, process) = synced_under(&shop(), DriftPolicy::Ignore).await;
    world.edit("ConfigMap b", "kubectl-edit", json!({"data": {"content": "mine"}}));
    world.pass(Duration::from_secs(60)).await;
    assert_eq!((world.drift(), requests(&process)), (Vec::new(), Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_service_can_say_for_itself_what_is_done_about_drift() {
    let of = |name: &str, object: &str, drift: Option<DriftPolicy>| {
        service(name, &[(object, "v1")]).sync(Sync { drift, ..Sync::default() })
    };
    let services = |told: DriftPolicy| {
        [
            of("corrects", "ConfigMap a", Some(DriftPolicy::Correct)),
            of("follows", "ConfigMap b", None),
            of("ignores", "Secret s", Some(DriftPolicy::Ignore)),
            of("reports", "ConfigMap d", Some(told)),
        ]
    };
    let (world, process) = synced_under(&services(DriftPolicy::Report), DriftPolicy::Ignore).await;
    let edit = |world: &World| {
        for object in ["ConfigMap a", "ConfigMap b", "ConfigMap d"] {
            world.edit(object, "kubectl-edit", json!({"data": {"content": "mine"}}));
        }
        world.edit("Secret s", "kubectl-edit", json!({"data": {"content": "bWluZQ=="}}));
    };
    edit(&world);
    world.pass(Duration::from_secs(60)).await;
    assert_eq!(requests(&process), ["apply ConfigMap n/a", "write syncd-staging-corrects"]);
    let mut told = world.drift();
    told.sort();
    let line = |service: &str, object: &str, action: &str| {
        format!("{service}: ConfigMap n/{object}: data.content changed by `kubectl-edit`: {action}")
    };
    assert_eq!(told, [line("corrects", "a", "corrected"), line("reports", "d", "reported")]);

    // What was only told is corrected as soon as the service says so; nothing else of it changes.
    world.commit(&services(DriftPolicy::Correct));
    world.until("the edit is gone", || world.at("ConfigMap d", "/data/content") == "v1").await;
    world.pass(Duration::from_secs(60)).await;
    assert_eq!(world.at("ConfigMap b", "/data/content"), "mine");
    assert_eq!(world.at("Secret s", "/data/content"), "bWluZQ==");
    assert_eq!(world.drift(), [line("reports", "d", "corrected")]);
}
