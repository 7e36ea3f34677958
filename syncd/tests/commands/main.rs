//! The commands of `syncd` that people look with, as processes: what they print, how they end, what they ask for.
//!
//! The world is made by `syncd once`, as it is in life. Invariant: whatever only looks sends no write, and every request is counted.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

#[path = "../command_world/mod.rs"]
mod command_world;
mod diff;
mod docs;
mod explain;
#[path = "../git_repository/mod.rs"]
mod git_repository;
mod orphans;
mod plan;
#[path = "../running_daemon/mod.rs"]
#[expect(dead_code, reason = "a daemon is only asked here, and stopped")]
mod running_daemon;
mod uninstall;

use std::process::Output;

use command_world::World;
use serde_json::{Value, json};
use tokio::process::Command;

/// Runs a command; returns its exit code and what it printed.
async fn run(mut command: Command, arguments: &[&str]) -> (i32, String) {
    let output = command.args(arguments).output().await.unwrap();
    (command_world::code(&output), printed(&output))
}

/// Returns what was printed, the errors last.
fn printed(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap() + &String::from_utf8_lossy(&output.stderr)
}

/// Forgets what was asked so far.
fn forget(world: &World) {
    world.sandbox.take_requests();
}

/// Returns how many requests were sent since, and fails if one of them could have changed something.
fn only_looked(world: &World) -> usize {
    let requests = world.sandbox.take_requests();
    for request in &requests {
        assert!(!request.verb.is_write() || request.dry_run, "{request}");
    }
    requests.len()
}

/// Returns a text in which the uids of ConfigMaps have their names, and a plan none: it is a hash over them, too.
fn stable(world: &World, text: &str, names: &[&str]) -> String {
    let named = |text: String, name: &&str| {
        let object = world.sandbox.object("", "ConfigMap", "shop", name).unwrap();
        text.replace(object["metadata"]["uid"].as_str().unwrap(), &format!("[uid of {name}]"))
    };
    let text = names.iter().fold(text.to_owned(), named);
    match text.strip_prefix("plan ").and_then(|rest| rest.split_once(' ')) {
        Some((_, rest)) => format!("plan [id] {rest}"),
        None => text,
    }
}

fn config_map(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop"}, "data": {"key": value}})
}

/// Writes as somebody else does.
fn patch(world: &World, (group, kind, name): (&str, &str, &str), manager: &str, body: Value) {
    let path = world.sandbox.path(group, kind, "shop", name).unwrap();
    let request = sandbox::api::Request::merge_patch(&path, body).query("fieldManager", manager);
    let response = world.sandbox.handle(&request);
    assert!(response.is_success(), "{response:?}");
}

/// Creates an object in the namespace `shop` as somebody else does.
fn create(world: &World, object: Value) {
    let path = world.sandbox.path("", "ConfigMap", "shop", "any").unwrap();
    let response = world.sandbox.handle(&sandbox::api::Request::create(path.rsplit_once('/').unwrap().0, object));
    assert!(response.is_success(), "{response:?}");
}

/// Denies a verb, as authorization does.
fn forbid(verb: &str, resource: &str) -> sandbox::faults::Rule {
    sandbox::faults::Rule {
        verbs: vec![verb.to_owned()],
        resources: vec![resource.to_owned()],
        namespace: String::new(),
        name: String::new(),
        answer: sandbox::faults::Answer::Forbidden { user: "somebody".to_owned() },
        times: None,
    }
}
