//! A service fails alone: what is wrong with some is not felt by the others, neither in what they get nor in when.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use manifest::index::Sync;
use sandbox::{Answer, Request as ModelRequest, Rule};
use serde_json::json;
use syncd::report::ServiceState;

use crate::world::{Service, World, files, service};

const SERVICES: usize = 50;
const INVALID: usize = 7;
const DENIED: usize = 13;
const TERMINATING: usize = 23;
const NEVER_READY: usize = 31;

fn name(number: usize) -> String {
    format!("s{number:02}")
}

fn is_bad(number: usize) -> bool {
    [INVALID, DENIED, TERMINATING, NEVER_READY].contains(&number)
}

/// A service of a configuration and a workload that takes its time; or one with something wrong.
fn member(number: usize, with_faults: bool) -> Service {
    let name = name(number);
    let behaviour = if with_faults && number == NEVER_READY { "never-ready" } else { "slow=5s" };
    let mut objects =
        vec![(format!("ConfigMap {name}"), "v1".to_owned()), (format!("Deployment.apps {name}"), behaviour.to_owned())];
    if with_faults && number == INVALID {
        objects.push((format!("Ingress.networking.k8s.io {name}"), "no host/at all".to_owned()));
    }
    let objects: Vec<(&str, &str)> = objects.iter().map(|(id, content)| (id.as_str(), content.as_str())).collect();
    service(&name, &objects).sync(Sync { timeout_seconds: 60, ..Sync::default() })
}

/// Syncs some of the fifty; returns when each became available, and how each ended.
async fn run(
    members: impl Iterator<Item = usize>,
    with_faults: bool,
) -> (BTreeMap<String, Duration>, BTreeMap<String, ServiceState>) {
    let mut world = World::new();
    world.settings.concurrency = 32;
    let members: Vec<usize> = members.collect();
    let services: Vec<Service> = members.iter().map(|number| member(*number, with_faults)).collect();
    let mut files = files(&services);
    if with_faults {
        let denied = Answer::WebhookUnreachable { webhook: "policy.example.org".to_owned() };
        let rule = Rule::new(&["apply"], &["configmaps"], denied).named(&name(DENIED));
        world.cluster.model.set_faults(|faults| faults.rules.push(rule));
        // A namespace on its way out, which something in it keeps from going.
        let held = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "held", "namespace": "other", "finalizers": ["example.org/hold"]}});
        world.somebody(ModelRequest::create("/api/v1/namespaces/other/configmaps", held));
        world.somebody(ModelRequest::delete("/api/v1/namespaces/other"));
        let path = manifest::Index::resources_path("staging", &name(TERMINATING));
        let text = String::from_utf8(files[&path].clone()).expect("text");
        let moved = text.replace("namespace: \"n\"\n", "namespace: other\n");
        assert_ne!(moved, text);
        let mut index = manifest::Index::parse(&files["_gen/staging/index.json"], "staging").expect("an index");
        index.services.get_mut(&name(TERMINATING)).expect("listed").content = manifest::Hash::of(moved.as_bytes());
        files.insert(path, moved.into_bytes());
        files.insert("_gen/staging/index.json".to_owned(), index.to_json().into_bytes());
    }
    world.repo.commit(files);

    let ready: Arc<Mutex<BTreeMap<String, Duration>>> = Arc::default();
    let seen = Arc::clone(&ready);
    world.watchful = Some(Box::new(move |model, elapsed| {
        let mut seen = seen.lock().expect("one thread");
        for name in members.iter().copied().map(name) {
            let path = model.path("apps", "Deployment", "n", &name).expect("served");
            let deployment = model.handle(&ModelRequest::get(&path)).body;
            if deployment["status"]["availableReplicas"] == 2 {
                seen.entry(name).or_insert(elapsed);
            }
        }
    }));
    let report = world.cycle().await;
    let states = report.services.iter().map(|(name, service)| (name.to_string(), service.state)).collect();
    let ready = ready.lock().expect("one thread").clone();
    (ready, states)
}

#[tokio::test(start_paused = true)]
async fn four_bad_services_of_fifty_are_not_felt_by_the_others() {
    let (alone, states) = run((0..SERVICES).filter(|number| !is_bad(*number)), false).await;
    assert_eq!((alone.len(), states.len()), (46, 46));
    assert!(states.values().all(|state| *state == ServiceState::Synced), "{states:?}");

    let (beside, states) = run(0..SERVICES, true).await;
    for number in 0..SERVICES {
        let state = states[&name(number)];
        if is_bad(number) {
            assert_eq!(state, ServiceState::Failed, "{}", name(number));
        } else {
            assert_eq!(state, ServiceState::Synced, "{}", name(number));
            assert_eq!(beside.get(&name(number)), alone.get(&name(number)), "{} is ready when it was", name(number));
        }
    }
}
