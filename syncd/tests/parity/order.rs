//! One service after another: waves, dependencies, and what follows when one of them does not become ready.

use std::sync::{Arc, Mutex};

use manifest::index::OnFailure;
use serde_json::json;
use syncd::cycle::Mode;
use syncd::report::{Event, Observer};

use crate::running::line_of;
use crate::world::{Behaviour, World, service};

/// Notes how services end.
#[derive(Default)]
struct Walks(Mutex<Vec<String>>);

impl Observer for Walks {
    fn observe(&self, event: &Event) {
        if matches!(event, Event::ServiceFinished { .. }) {
            self.0.lock().unwrap().extend(line_of(event));
        }
    }
}

pub async fn waves_and_dependencies_are_kept(world: &mut World) {
    let space = format!("{}-space", world.name);
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}});
    let mut within = world.config_map("within", "1");
    within["metadata"]["namespace"] = json!(space);
    let deployment = |name: &str| world.deployment(name, Behaviour::Run, "a:1");
    let services = [
        service("a-last", &[within]).sync(|sync| sync.wave = 1),
        service("b-web", &[deployment("web")]).sync(|sync| sync.depends_on = vec!["c-database".to_owned()]),
        service("c-database", &[deployment("database")]),
        service("d-first", &[namespace]).sync(|sync| sync.wave = -1),
    ];
    world.title("a namespace first, a database before what needs it, and last what is in the namespace");
    let walks = Arc::new(Walks::default());
    world.observer = Arc::<Walks>::clone(&walks);
    world.commit(&services);
    let report = world.quiet_cycle(Mode::Auto).await;
    let lines = std::mem::take(&mut *walks.0.lock().unwrap());
    world.transcript.events(&lines);
    world.transcript.report(&report);

    world.title("the database does not become ready: what needs it waits, and is told so");
    let mut services = services;
    services[1].objects = vec![world.deployment("web", Behaviour::Run, "a:2")];
    services[2].objects = vec![world.deployment("database", Behaviour::ImagePullError, "a:2")];
    world.commit(&services);
    let report = world.quiet_cycle(Mode::Auto).await;
    let lines = std::mem::take(&mut *walks.0.lock().unwrap());
    world.transcript.events(&lines);
    world.transcript.report(&report);
}

pub async fn what_does_not_become_ready_is_rolled_back(world: &mut World) {
    let release = |world: &World, behaviour: Behaviour, image: &str| {
        let objects = [world.config_map("settings", image), world.deployment("web", behaviour, image)];
        service("app1", &objects).sync(|sync| sync.on_failure = OnFailure::Rollback)
    };
    world.title("a good release");
    world.commit(&[release(world, Behaviour::Run, "a:1")]);
    world.cycle().await;
    world.title("a release that fails; the settings go back with it");
    world.commit(&[release(world, Behaviour::CrashLoop, "a:2")]);
    world.cycle().await;
    world.title("it is not tried again");
    world.cycle().await;
    world.title("nor by a new process");
    world.restart().await;
    world.cycle().await;
    world.title("another release is");
    world.commit(&[release(world, Behaviour::Run, "a:3")]);
    world.cycle().await;
}
