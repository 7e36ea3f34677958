//! The heart: a history in which the process ends before and after every single call, and every answer is lost once.
//!
//! After every call: each object with our owner label is recorded. At the end of each revision: exactly what it wants is there and
//! recorded, what moved is still the same object, and foreign objects were not touched.

use std::time::Duration;

use sandbox::Request as ModelRequest;
use serde_json::json;
use syncd::cycle::Mode;
use syncd::report::CycleResult;
use syncd::state::Reading;

use crate::cluster::Fault;
use crate::world::{Service, World, owned, service, state};

/// Cycles after which a history must have converged in spite of one fault.
const CYCLES_MAX: usize = 6;

/// The revisions of the history: new services, changes, removals, moves, a service that leaves, and everything gone.
fn history() -> Vec<Vec<Service>> {
    let moves = ("ConfigMap moves", "v1");
    vec![
        vec![
            service("app1", &[("ConfigMap a", "v1"), moves, ("Secret s", "v1"), ("Deployment.apps d", "v1")]),
            service("app2", &[("ConfigMap b", "v1"), ("Service b", "v1")]),
        ],
        vec![
            service("app1", &[("ConfigMap a", "v2"), ("Deployment.apps d", "v2")]),
            service("app2", &[("ConfigMap b", "v1"), moves, ("Service b", "v2"), ("Service x", "v1")]),
            service("app3", &[("ConfigMap c", "v1")]),
        ],
        vec![
            service("app1", &[("ConfigMap a", "v1"), ("Deployment.apps d", "v2"), ("Service b", "v2")]),
            service("app3", &[("ConfigMap c", "v1"), moves]),
        ],
        vec![],
    ]
}

/// A world with foreign objects, in which every call is followed by a check.
fn world() -> World {
    let mut world = World::new();
    world.settings.limits.state_bytes = 2048; // The larger record is split, so that its parts are torn apart too.
    let foreign = |name: &str, environment: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "n", "labels": {"syncd/environment": environment, "syncd/service": "app1"}}});
    for (name, environment) in [("foreign", "production"), ("stray", "staging")] {
        world.somebody(ModelRequest::create("/api/v1/namespaces/n/configmaps", foreign(name, environment)));
    }
    let model = world.cluster.model.clone();
    world.cluster.check(move |call| {
        let reads = ["get ", "list ", "page ", "kinds", "watch ", "served "].iter().any(|verb| call.starts_with(verb));
        if !reads {
            assert_eq!(unrecorded(&model), Vec::<String>::new(), "not recorded after {call}");
        }
    });
    world
}

/// Returns the objects with our label that no record holds, but the stray one that never was ours.
pub fn unrecorded(model: &sandbox::Cluster) -> Vec<String> {
    let state = state(model);
    let broken = state.services.iter().filter(|(_, reading)| matches!(reading, Reading::Unreadable { .. }));
    let broken: Vec<String> = broken.map(|(name, reading)| format!("record of {name}: {reading:?}")).collect();
    let held = |id: &manifest::ObjectRef, uid: &str| {
        let mut entries = state.records().filter_map(|(_, record)| record.held.get(id));
        entries.any(|held| held.uid.as_deref().is_none_or(|recorded| recorded == uid))
    };
    let lost = owned(model).into_iter().filter(|(id, _, uid)| id.name != "stray" && !held(id, uid));
    broken.into_iter().chain(lost.map(|(id, service, _)| format!("{service}: {id}"))).collect()
}

/// Runs the history with a fault at one call. Returns the number of calls.
async fn play(fault: Option<(usize, Fault)>) -> usize {
    let mut world = world();
    let foreign = (world.uid("ConfigMap foreign"), world.uid("ConfigMap stray"));
    if let Some((number, fault)) = fault {
        world.cluster.fault_at(number, fault);
    }
    let mut moved = None;
    let mut kept = None;
    for (number, revision) in history().iter().enumerate() {
        world.commit(revision);
        let what = format!("{fault:?} in revision {number}");
        converge(&mut world, &what).await;
        assert_there(&world, revision, &what);
        assert_recorded(&world, revision, &what);
        if number < 3 {
            let uid = world.uid("ConfigMap moves");
            assert!(uid.is_some() && moved.get_or_insert(uid.clone()) == &uid, "{what}: it was deleted while it moved");
            let uid = world.uid("Deployment.apps d");
            assert!(uid.is_some() && kept.get_or_insert(uid.clone()) == &uid, "{what}: it was deleted while it stayed");
        }
        assert_eq!((world.uid("ConfigMap foreign"), world.uid("ConfigMap stray")), foreign, "{what}");
    }
    world.cluster.count()
}

/// Exactly what a revision wants is there, with the contents that it wants.
fn assert_there(world: &World, revision: &[Service], what: &str) {
    let objects = || revision.iter().flat_map(|service| &service.objects);
    let mut wanted: Vec<String> = objects().map(|(id, _)| crate::world::id(id).to_string()).collect();
    let mut there: Vec<String> = owned(&world.cluster.model).into_iter().map(|(id, _, _)| id.to_string()).collect();
    there.retain(|id| id != "ConfigMap n/stray");
    wanted.sort();
    there.sort();
    assert_eq!(there, wanted, "{what}");
    for (id, content) in objects().filter(|(id, _)| id.starts_with("ConfigMap")) {
        assert_eq!(world.object(id).expect("there")["data"]["content"], content.as_str(), "{what}: {id}");
    }
}

/// Runs cycles, with restarts after crashes and pauses after failures, until nothing is left to do; then once more: nothing.
async fn converge(world: &mut World, what: &str) {
    for _ in 0..CYCLES_MAX {
        if let Some(report) = world.cycle_of(Mode::Auto).await {
            if report.result <= CycleResult::Synced {
                world.cluster.take_calls();
                let report = world.cycle().await;
                assert_eq!(report.result, CycleResult::Unchanged, "{what}: {report:#?}");
                assert_eq!(world.cluster.take_calls(), Vec::<String>::new(), "{what}");
                return;
            }
            assert!(!report.services.is_empty() || !report.errors.is_empty(), "{what}: a failure is told");
            world.wait(Duration::from_secs(11 * 60)).await;
        }
    }
    panic!("{what}: not converged; {:#?}\n{:#?}", world.cycle().await, world.cluster.take_calls());
}

/// Every wanted object is recorded by its service and by no other, with its uid, and nothing is open.
fn assert_recorded(world: &World, revision: &[Service], what: &str) {
    let state = world.state();
    let names: Vec<&str> = state.services.keys().map(String::as_str).collect();
    assert_eq!(names, revision.iter().map(|service| service.name.as_str()).collect::<Vec<_>>(), "{what}");
    for service in revision {
        let record = state.record(&service.name).expect("recorded");
        assert!(record.intent.is_none() && record.condition.is_none(), "{what}: {record:#?}");
        let held: Vec<String> = record.held.keys().map(ToString::to_string).collect();
        let mut wanted: Vec<manifest::ObjectRef> = service.objects.iter().map(|(id, _)| crate::world::id(id)).collect();
        wanted.sort();
        assert_eq!(held, wanted.iter().map(ToString::to_string).collect::<Vec<_>>(), "{what}: {}", service.name);
        for (id, held) in &record.held {
            let live = world.cluster.model.object(&id.group, &id.kind, &id.namespace, &id.name).expect("there");
            assert_eq!(held.uid.as_deref(), live["metadata"]["uid"].as_str(), "{what}: {id}");
            assert!(held.hash.is_some() && held.leftover.is_none(), "{what}: {id}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_faults_the_history_is_as_wanted() {
    let calls = play(None).await;
    assert!(calls > 50, "{calls} calls are not much of a history");
}

async fn everywhere(fault: Fault) {
    let calls = play(None).await;
    for number in 0..calls {
        play(Some((number, fault))).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_before_any_call() {
    everywhere(Fault::CrashBefore).await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_after_any_call() {
    everywhere(Fault::CrashAfter).await;
}

#[tokio::test(start_paused = true)]
async fn any_lost_answer() {
    everywhere(Fault::LostReply).await;
}

#[tokio::test(start_paused = true)]
async fn any_lost_request() {
    everywhere(Fault::LostRequest).await;
}

#[tokio::test(start_paused = true)]
async fn any_request_that_is_denied_once() {
    everywhere(Fault::Denied).await;
}

#[tokio::test(start_paused = true)]
async fn any_request_that_is_not_taken_once() {
    everywhere(Fault::Busy).await;
}

/// Chance, from a seed: xorshift64*.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let roll = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(roll).expect("31 bits") % sides
    }
}

/// Revisions come and go in any order, before the last one is done; one call in a few goes wrong; somebody deletes things. Nothing is
/// ever unrecorded or foreign. Then the faults stop, and what the last revision wants is there. Returns how many cycles were whole.
async fn storm(seed: u64) -> usize {
    const FAULTS: [Fault; 6] =
        [Fault::CrashBefore, Fault::CrashAfter, Fault::LostReply, Fault::LostRequest, Fault::Busy, Fault::Denied];
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut world = world();
    let foreign = (world.uid("ConfigMap foreign"), world.uid("ConfigMap stray"));
    let history = history();
    let (mut last, mut whole) = (0, 0);
    let calm = [8, 20, 50, 120][dice.below(4)];
    for _ in 0..16 {
        if dice.below(2) == 0 {
            last = dice.below(history.len());
            world.commit(&history[last]);
        }
        world.cluster.calm();
        for ahead in 0..40 {
            if dice.below(calm) == 0 {
                world.cluster.fault_at(world.cluster.count() + ahead, FAULTS[dice.below(FAULTS.len())]);
            }
        }
        let present = owned(&world.cluster.model);
        if dice.below(3) == 0 && !present.is_empty() {
            let (id, _, _) = &present[dice.below(present.len())];
            let path = world.cluster.model.path(&id.group, &id.kind, &id.namespace, &id.name).expect("served");
            if id.name != "stray" {
                world.somebody(ModelRequest::delete(&path));
            }
        }
        let report = world.cycle_of(Mode::Auto).await;
        whole += usize::from(report.is_some_and(|report| report.result <= CycleResult::Synced));
        world.wait(Duration::from_secs(if dice.below(2) == 0 { 15 } else { 700 })).await;
    }
    world.cluster.calm();
    world.commit(&history[last]);
    world.memory = syncd::cycle::Memory::default(); // What somebody deleted last is only seen by looking.
    let what = format!("seed {seed}, revision {last}");
    world.wait(Duration::from_secs(700)).await;
    converge(&mut world, &what).await;
    assert_there(&world, &history[last], &what);
    assert_recorded(&world, &history[last], &what);
    assert_eq!((world.uid("ConfigMap foreign"), world.uid("ConfigMap stray")), foreign, "{what}");
    whole
}

#[tokio::test(start_paused = true)]
async fn storms_of_faults() {
    let mut whole = 0;
    for seed in 0..60 {
        whole += storm(seed).await;
    }
    assert!(whole > 200, "only {whole} cycles came through: that is no weather to sail in");
}
