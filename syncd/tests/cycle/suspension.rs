//! What people suspend is left alone: across restarts, until its time is over or it is resumed; and a daemon hears of it at once.

use std::time::Duration;

use manifest::index::Sync;
use sandbox::Request as ModelRequest;
use serde_json::json;
use syncd::cluster::WatchEvent;
use syncd::cycle::Memory;
use syncd::report::{CycleResult, Event, Report, ServiceState, Stage, SuspendedScope, Suspension};
use syncd::state::labels;
use syncd::suspension::{self, Heard, Record};

use crate::cluster::HOME;
use crate::drift::{requests, synced};
use crate::model::ENVIRONMENT;
use crate::world::{World, id, service, states};

fn of_service(name: &str) -> SuspendedScope {
    SuspendedScope::Service(name.to_owned())
}

fn of_object(text: &str) -> SuspendedScope {
    SuspendedScope::Object(id(text))
}

/// Returns a record in which these are suspended, for ever or for so long.
fn record(now: jiff::Timestamp, scopes: &[SuspendedScope], lasts: Option<Duration>) -> Record {
    let mut record = Record::new(ENVIRONMENT);
    for scope in scopes {
        let until = lasts.map(|lasts| now.checked_add(lasts).expect("soon").to_string());
        let (scope, reason) = (scope.clone(), "incident 7".to_owned());
        record.suspend(Suspension { scope, reason, since: now.to_string(), until }, now);
    }
    record
}

/// Writes the record's text into the model, as the command does.
fn write(model: &sandbox::Cluster, text: &str) {
    let name = suspension::name(ENVIRONMENT);
    let folder = format!("/api/v1/namespaces/{HOME}/configmaps");
    let data = json!({suspension::KEY: text});
    let request = match model.object("", "ConfigMap", HOME, &name) {
        Some(_) => ModelRequest::merge_patch(&format!("{folder}/{name}"), json!({"data": data})),
        None => {
            let metadata = json!({"name": name, "namespace": HOME, "labels": labels(ENVIRONMENT, None)});
            ModelRequest::create(
                &folder,
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}),
            )
        }
    };
    let response = model.handle(&request.agent("somebody"));
    assert!(response.is_success(), "{response:?}");
}

impl World {
    /// Suspends exactly these; the watch tells it.
    fn suspend(&self, scopes: &[SuspendedScope]) {
        self.suspend_for(scopes, None);
    }

    fn suspend_for(&self, scopes: &[SuspendedScope], lasts: Option<Duration>) {
        write(&self.cluster.model, &record(self.cluster.model.now(), scopes, lasts).text());
        self.told();
    }

    /// The watch tells what there is.
    fn told(&self) {
        let found = self.cluster.model.object("", "ConfigMap", HOME, &suspension::name(ENVIRONMENT));
        self.heard.hear(WatchEvent::Restarted);
        found.into_iter().for_each(|found| self.heard.hear(WatchEvent::Present(id("ConfigMap x"), found)));
        self.heard.hear(WatchEvent::Synchronized);
    }

    /// Another process begins, which knows nothing.
    fn restart(&mut self) {
        self.memory = Memory::default();
        self.heard = Heard::default();
        self.cluster.take_calls();
    }
}

impl crate::leader::World {
    /// Whether what was told since the last time has such an event.
    fn told(&self, is_one: impl Fn(&Event) -> bool) -> bool {
        self.events.take().iter().any(is_one)
    }
}

fn v(content: &str) -> Vec<crate::world::Service> {
    vec![service("a", &[("ConfigMap a", content)]), service("b", &[("ConfigMap b", content)])]
}

fn error<'a>(report: &'a Report, service: &str) -> &'a str {
    report.services[service].error.as_deref().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_suspended_service_is_left_alone_also_by_the_next_process_and_equal_again_when_it_is_resumed() {
    let mut world = World::new();
    world.commit(&v("v1"));
    world.synced().await;
    world.suspend(&[of_service("a")]);
    world.commit(&v("v2"));
    world.writes();
    let report = world.cycle().await;
    assert_eq!(world.writes(), ["apply ConfigMap n/b"]);
    assert_eq!(states(&report), [("a", ServiceState::Suspended), ("b", ServiceState::Synced)].into());
    assert_eq!(report.result, CycleResult::Held);
    assert!(error(&report, "a").starts_with("service `a` is suspended since 20"), "{report:#?}");
    assert!(error(&report, "a").ends_with(": incident 7"), "{report:#?}");
    assert_eq!(report.suspended.0.len(), 1);
    let told = world.events.take().into_iter().filter(|event| matches!(event, Event::Suspended(_))).count();
    assert_eq!(told, 1, "once");

    world.restart();
    let report = world.cycle().await;
    assert_eq!((report.result, report.services["a"].state), (CycleResult::Held, ServiceState::Suspended));
    assert_eq!(world.writes(), Vec::<String>::new());
    world.cycle().await;
    assert_eq!(world.cluster.take_calls(), Vec::<String>::new(), "an unchanged poll costs nothing");

    world.suspend(&[]);
    let report = world.synced().await;
    assert_eq!(world.writes(), ["apply ConfigMap n/a"]);
    assert_eq!(report.services["a"].state, ServiceState::Synced);
    assert_eq!(world.object("ConfigMap a").expect("there")["data"]["content"], "v2");
    world.cycle().await;
    assert_eq!(world.cluster.take_calls(), Vec::<String>::new(), "and that was all");
}

#[tokio::test(start_paused = true)]
async fn a_suspension_is_over_at_its_time() {
    let mut world = World::new();
    world.commit(&v("v1"));
    world.synced().await;
    world.suspend_for(&[of_service("a")], Some(Duration::from_secs(60)));
    world.commit(&v("v2"));
    let report = world.cycle().await;
    assert!(error(&report, "a").contains(" until 20"), "{report:#?}");
    world.wait(Duration::from_secs(61)).await;
    world.writes();
    world.synced().await;
    assert_eq!(world.writes(), ["apply ConfigMap n/a"]);
}

#[tokio::test(start_paused = true)]
async fn what_left_the_index_goes_when_its_service_is_resumed() {
    let mut world = World::new();
    world.commit(&v("v1"));
    world.synced().await;
    world.suspend(&[of_service("a")]);
    world.commit(&[service("b", &[("ConfigMap b", "v1")])]);
    let report = world.cycle().await;
    assert_eq!(report.services["a"].state, ServiceState::Suspended);
    world.restart();
    world.cycle().await;
    assert!(world.object("ConfigMap a").is_some() && world.state().record("a").is_some());
    world.suspend(&[]);
    let report = world.synced().await;
    assert_eq!(report.services["a"].state, ServiceState::Removed);
    assert_eq!(world.object("ConfigMap a"), None);
}

#[tokio::test(start_paused = true)]
async fn what_depends_on_a_suspended_service_goes_on_while_that_needs_nothing() {
    let after_a = || Sync { depends_on: vec!["a".to_owned()], ..Sync::default() };
    let commit = |world: &World, a: &str, b: &str| {
        world.commit(&[service("a", &[("ConfigMap a", a)]), service("b", &[("ConfigMap b", b)]).sync(after_a())]);
    };
    let mut world = World::new();
    commit(&world, "v1", "v1");
    world.synced().await;
    world.suspend(&[of_service("a")]);
    commit(&world, "v1", "v2");
    let report = world.cycle().await;
    assert_eq!(report.services["b"].state, ServiceState::Synced);
    commit(&world, "v2", "v3");
    world.writes();
    let report = world.cycle().await;
    assert_eq!((report.services["b"].state, world.writes()), (ServiceState::Blocked, vec![]));
    let behind = "service `a` must be ready before, and is suspended with work that waits";
    assert_eq!(error(&report, "b"), behind);
    world.suspend(&[]);
    world.synced().await;
    assert_eq!(world.writes(), ["apply ConfigMap n/a", "apply ConfigMap n/b"]);
}

#[tokio::test(start_paused = true)]
async fn a_suspended_object_is_left_and_the_rest_of_its_service_is_applied() {
    let mut world = World::new();
    let objects = |content| [("ConfigMap a", content), ("ConfigMap b", content)];
    world.commit(&[service("s", &[objects("v1").as_slice(), &[("ConfigMap old", "v1")]].concat())]);
    world.synced().await;
    world.suspend(&[of_object("ConfigMap a"), of_object("ConfigMap new")]);
    world.commit(&[service("s", &[objects("v2").as_slice(), &[("ConfigMap new", "v1")]].concat())]);
    world.writes();
    let report = world.cycle().await;
    assert_eq!(world.writes(), ["apply ConfigMap n/b"], "nothing old goes while what is wanted is not whole");
    assert_eq!((report.result, report.services["s"].state), (CycleResult::Held, ServiceState::Suspended));
    assert_eq!(report.services["s"].failures, 0);
    let held = world.state().record("s").expect("recorded").held.clone();
    assert!(held.contains_key(&id("ConfigMap a")) && held.contains_key(&id("ConfigMap new")), "{held:#?}");

    world.cycle().await;
    assert_eq!(world.cluster.take_calls(), Vec::<String>::new(), "it rests");
    world.restart();
    world.cycle().await;
    assert_eq!(world.writes(), Vec::<String>::new());
    world.suspend(&[of_object("ConfigMap new")]);
    world.cycle().await;
    assert_eq!(world.writes(), ["apply ConfigMap n/a"]);
    world.suspend(&[]);
    world.synced().await;
    assert_eq!(world.writes(), ["apply ConfigMap n/new", "delete ConfigMap n/old"]);
}

#[tokio::test(start_paused = true)]
async fn a_suspended_environment_is_not_written_but_who_leads_it_is() {
    let mut world = World::new();
    world.commit(&v("v1"));
    world.synced().await;
    world.suspend(&[SuspendedScope::Environment]);
    world.commit(&[service("a", &[("ConfigMap a", "v2")])]);
    world.wait(Duration::from_secs(13 * 60 * 60)).await;
    world.writes();
    world.cycle().await;
    assert_eq!(world.writes(), Vec::<String>::new());
    let report = world.cycle().await;
    assert_eq!(world.cluster.take_calls(), Vec::<String>::new(), "not even a full sync that is due");
    assert_eq!(states(&report), [("a", ServiceState::Suspended), ("b", ServiceState::Suspended)].into());
    assert_eq!(report.result, CycleResult::Held);

    world.restart();
    world.memory = Memory::of_new_leader(syncd::cycle::Takeover::Clean);
    world.cycle().await;
    assert_eq!(world.cluster.take_calls(), ["list state", "write syncd-staging"], "the epoch");
    world.suspend(&[]);
    let report = world.synced().await;
    assert_eq!(states(&report), [("a", ServiceState::Synced), ("b", ServiceState::Removed)].into());
    assert_eq!(world.object("ConfigMap a").expect("there")["data"]["content"], "v2");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_while_it_cannot_be_read_what_is_suspended() {
    let newer = json!({"format": 2, "environment": ENVIRONMENT, "suspensions": []}).to_string();
    let twice = record("2026-01-01T00:00:00Z".parse().expect("a time"), &[of_service("a")], None);
    let twice =
        Record { suspensions: [twice.suspensions.clone(), twice.suspensions].concat(), ..Record::new(ENVIRONMENT) };
    let cases = [
        (newer, "format 2 is unknown; this version reads format 1"),
        ("{".to_owned(), "EOF while parsing"),
        (Record::new("production").text(), "it is of environment `production`"),
        (twice.text(), "service `a` is in it twice"),
        (twice.text().replacen("2026-01-01T00:00:00Z", "soon", 1), "`soon` is not a time: expected RFC 3339"),
        (twice.text().replace("service", "sevrice"), "unknown variant `sevrice`"),
    ];
    for (text, expected) in cases {
        let mut world = World::new();
        world.commit(&v("v1"));
        world.synced().await;
        world.commit(&v("v2"));
        write(&world.cluster.model, &text);
        world.told();
        world.cluster.take_calls();
        for restarts in [false, true] {
            if restarts {
                world.restart();
                world.memory = Memory::of_new_leader(syncd::cycle::Takeover::Forced);
            }
            let report = world.cycle().await;
            let calls = world.cluster.take_calls();
            assert!(calls.iter().all(|call| call == "list state"), "{calls:?}");
            assert_eq!((report.result, report.errors.len()), (CycleResult::Failed, 1), "{report:#?}");
            let message = &report.errors[0].message;
            assert_eq!(report.errors[0].stage, Stage::State);
            assert!(message.contains(expected) && message.ends_with("; nothing is written until it can"), "{message}");
        }
        world.suspend(&[]);
        world.synced().await;
        assert_eq!(world.object("ConfigMap a").expect("there")["data"]["content"], "v2");
    }
}

#[tokio::test(start_paused = true)]
async fn what_no_watch_vouches_for_is_asked_for_once_a_cycle() {
    let mut world = World::new();
    world.commit(&v("v1"));
    world.synced().await;
    write(&world.cluster.model, &record(world.cluster.model.now(), &[of_service("a")], None).text());
    world.heard.hear(WatchEvent::Restarted);
    world.commit(&v("v2"));
    world.cluster.take_calls();
    let report = world.cycle().await;
    assert_eq!(report.services["a"].state, ServiceState::Suspended);
    assert_eq!(world.cluster.take_calls()[0], "get ConfigMap syncd/syncd-staging.suspended");
    world.cluster.deny("get ConfigMap syncd/syncd-staging.suspended");
    world.commit(&v("v3"));
    let report = world.cycle().await;
    assert_eq!(world.cluster.take_calls(), ["get ConfigMap syncd/syncd-staging.suspended"]);
    assert!(report.errors[0].message.starts_with("what is suspended could not be read: forbidden"), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_daemon_hears_of_it_at_once_and_drift_waits_until_it_is_resumed() {
    let objects =
        vec![service("a", &[("ConfigMap a", "v1"), ("ConfigMap o", "v1")]), service("b", &[("ConfigMap b", "v1")])];
    let (world, process) = synced(&objects).await;
    let now = world.model.now();
    write(&world.model, &record(now, &[of_service("b"), of_object("ConfigMap o")], None).text());
    let heard = || world.told(|event| matches!(event, Event::Suspended(suspended) if suspended.0.len() == 2));
    let took = world.until("it is heard", heard).await;
    assert!(took <= Duration::from_secs(1), "{took:?}");
    for object in ["ConfigMap a", "ConfigMap b", "ConfigMap o"] {
        world.edit(object, "kubectl-edit", json!({"data": {"content": "mine"}}));
    }
    world.until("what is not suspended is taken back", || world.at("ConfigMap a", "/data/content") == "v1").await;
    world.pass(Duration::from_secs(120)).await;
    for object in ["ConfigMap b", "ConfigMap o"] {
        assert_eq!(world.at(object, "/data/content"), "mine");
    }
    let written: Vec<String> = requests(&process).into_iter().filter(|call| call.starts_with("apply")).collect();
    assert_eq!(written, ["apply ConfigMap n/a"]);
    write(&world.model, &Record::new(ENVIRONMENT).text());
    let is_back = || ["ConfigMap b", "ConfigMap o"].iter().all(|object| world.at(object, "/data/content") == "v1");
    let took = world.until("it is taken back", is_back).await;
    assert!(took <= Duration::from_secs(2), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_changed_while_nobody_led_is_not_forgotten_until_it_is_resumed() {
    let (world, process) = synced(&v("v1")).await;
    process.stop();
    world.pass(Duration::from_secs(5)).await;
    world.edit("ConfigMap a", "kubectl-edit", json!({"data": {"content": "mine"}}));
    let now = world.model.now();
    write(&world.model, &record(now, &[of_object("ConfigMap a")], None).text());
    let next = world.start("b", None);
    world.until("b leads", || next.leads()).await;
    world.pass(Duration::from_secs(20)).await;
    // To be seen once more, as it is after a watch was broken, clears nobody.
    world.model.drop_watches();
    world.edit("ConfigMap a", "kubectl-label", json!({"metadata": {"labels": {"more": "x"}}}));
    world.pass(Duration::from_secs(20)).await;
    assert_eq!(world.at("ConfigMap a", "/data/content"), "mine");
    write(&world.model, &record(now, &[], None).text());
    world.until("the edit is gone", || world.at("ConfigMap a", "/data/content") == "v1").await;
}

#[test]
fn what_was_read_before_the_watch_told_of_a_suspension_does_not_lift_it() {
    let id = id("ConfigMap syncd-staging.suspended");
    let map = json!({"metadata": {"name": id.name, "resourceVersion": "7"}, "data": {"suspended.json": "{}"}});
    let told = || WatchEvent::Present(id.clone(), map.clone());
    let heard = Heard::default();
    [WatchEvent::Restarted, told(), WatchEvent::Synchronized].into_iter().for_each(|event| heard.hear(event));
    let known = heard.known().expect("told");
    assert!(known.is_some());
    // One of the two is older: until it is known which, nothing is written, and it is asked for.
    assert_eq!(heard.act_on(None), known);
    assert_eq!(heard.known(), None);
    // An answer that was asked for is the truth; so is what the watch tells next.
    assert_eq!(heard.act_on(None), None);
    heard.hear(told());
    assert_eq!(heard.known(), Some(known));
    heard.hear(WatchEvent::Absent(id));
    assert_eq!(heard.known(), Some(None));
}

#[tokio::test(start_paused = true)]
async fn a_daemon_ends_the_cycle_that_runs_when_something_is_suspended() {
    let before = [service("a", &[("ConfigMap a", "v1")])];
    let (world, process) = synced(&before).await;
    let slow = service("a", &[("ConfigMap a", "v2"), ("Deployment.apps d", "never-ready")]);
    let next =
        service("b", &[("ConfigMap b", "v1")]).sync(Sync { depends_on: vec!["a".to_owned()], ..Sync::default() });
    world.commit(&[slow, next]);
    world.until("it waits", || world.model.object("apps", "Deployment", "n", "d").is_some()).await;
    write(&world.model, &record(world.model.now(), &[SuspendedScope::Environment], None).text());
    let heard = || world.told(|event| matches!(event, Event::Suspended(suspended) if !suspended.is_empty()));
    let took = world.until("the cycle ended, and the next one knows", heard).await;
    assert!(took <= Duration::from_secs(1), "{took:?}");
    requests(&process);
    world.pass(Duration::from_secs(300)).await;
    assert_eq!(requests(&process), Vec::<String>::new());
}

#[test]
fn what_was_suspended_is_replaced_resumed_and_forgotten_when_it_is_over() {
    let at = |text: &str| text.parse::<jiff::Timestamp>().expect("a time");
    let until = |scope, until: Option<&str>| Suspension {
        scope,
        reason: "r".to_owned(),
        since: "2026-01-01T00:00:00Z".to_owned(),
        until: until.map(str::to_owned),
    };
    let mut record = Record::new(ENVIRONMENT);
    record.suspend(until(of_service("a"), Some("2026-01-02T00:00:00Z")), at("2026-01-01T00:00:00Z"));
    record.suspend(until(of_service("b"), None), at("2026-01-01T00:00:00Z"));
    record.suspend(until(of_service("b"), Some("2026-01-03T00:00:00Z")), at("2026-01-01T00:00:00Z"));
    assert_eq!(record.suspensions.len(), 2);
    assert_eq!(record.in_force(at("2026-01-01T23:59:59Z")).0.len(), 2);
    assert_eq!(record.in_force(at("2026-01-02T00:00:00Z")).0.len(), 1, "it is over at its time");
    assert_eq!(record.resume(at("2026-01-02T00:00:00Z"), |scope| *scope == of_service("a")), []);
    assert_eq!(record.resume(at("2026-01-02T00:00:00Z"), |_| true).len(), 1);
    assert_eq!(record.suspensions, []);
}
