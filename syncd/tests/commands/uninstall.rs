//! `syncd uninstall`: nothing without a yes, everything in order, and again after an interruption.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};

use super::*;

const FIRST: [&str; 4] = ["a", "b", "keys", "kept"];

/// Two services, of which one keeps an object.
async fn installed() -> World {
    let world = World::new().await;
    let mut kept = config_map("kept", "1");
    kept["metadata"]["annotations"] = json!({"syncd/prune": "disabled"});
    world.commit_services(
        [("app1", vec![config_map("a", "1"), kept]), ("app2", vec![config_map("b", "1"), config_map("keys", "1")])]
            .into(),
        |_| {},
    );
    assert_eq!(world.once(&[]).await.0, 0);
    forget(&world);
    world
}

fn exist(world: &World) -> Vec<&'static str> {
    FIRST.into_iter().filter(|name| world.sandbox.object("", "ConfigMap", "shop", name).is_some()).collect()
}

fn recorded(world: &World) -> Vec<String> {
    let objects = world.sandbox.objects("", "ConfigMap", "syncd");
    let names = objects.iter().map(|object| object["metadata"]["name"].as_str().unwrap().to_owned());
    names.filter(|name| name.starts_with("syncd")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_done_without_a_yes() {
    let mut world = installed().await;
    for arguments in [&[][..], &["--keep", "--delete"], &["--keep"], &["--delete"]] {
        let (code, text) = run(world.inside("uninstall"), arguments).await;
        assert_eq!(code, 2, "{arguments:?}: {text}");
    }
    only_looked(&world);
    let (_, text) = run(world.inside("uninstall"), &["--delete"]).await;
    insta::assert_snapshot!("told", stable(&world, &text, &FIRST));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keep_forgets_everything_and_touches_no_object() {
    let mut world = installed().await;
    let before = world.sandbox.object("", "ConfigMap", "shop", "a");
    let (code, text) = run(world.inside("uninstall"), &["--keep", "--yes"]).await;
    assert_eq!(code, 0, "{text}");
    assert_eq!((recorded(&world), exist(&world)), (Vec::new(), FIRST.to_vec()));
    assert_eq!(world.sandbox.object("", "ConfigMap", "shop", "a"), before);
    // Installed again, syncd takes in what has its labels, and applies it as a first sync does, which changes nothing.
    let (code, report) = world.once(&[]).await;
    let applied: Vec<&str> = ["app1", "app2"]
        .iter()
        .flat_map(|name| report["services"][name]["objects"].as_array().unwrap())
        .map(|object| object["outcome"].as_str().unwrap())
        .collect();
    assert_eq!((code, applied), (0, vec!["unchanged"; 4]), "{report}");
    assert_eq!(run(world.inside("orphans"), &[]).await.0, 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_takes_all_that_no_guard_keeps() {
    let mut world = installed().await;
    let (code, text) = run(world.inside("uninstall"), &["--delete", "--yes"]).await;
    assert_eq!(code, 0, "{text}");
    assert_eq!((recorded(&world), exist(&world)), (Vec::new(), vec!["kept"]), "{text}");
    assert!(
        text.contains("stays: ConfigMap shop/kept (service app1)") && text.contains("deleted: 3 objects"),
        "{text}"
    );
    let (code, text) = run(world.inside("uninstall"), &["--delete", "--yes"]).await;
    assert_eq!((code, text.contains("0 objects are recorded")), (0, true), "{text}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_deleted_stays_recorded_until_it_is() {
    let mut world = installed().await;
    let mut rule = forbid("delete", "configmaps");
    rule.name = "b".to_owned();
    world.sandbox.set_faults(|faults| faults.rules.push(rule));
    let (code, text) = run(world.inside("uninstall"), &["--delete", "--yes"]).await;
    assert_eq!((code, exist(&world)), (1, vec!["b", "kept"]), "{text}");
    assert!(
        text.contains("nothing is forgotten") && recorded(&world).contains(&"syncd-staging-app2".to_owned()),
        "{text}"
    );
    world.sandbox.set_faults(|faults| faults.rules.clear());
    let (code, text) = run(world.inside("uninstall"), &["--delete", "--yes"]).await;
    assert_eq!((code, exist(&world), recorded(&world)), (0, vec!["kept"], Vec::new()), "{text}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_it_is_called_again_and_ends() {
    let mut world = installed().await;
    patch(&world, ("", "ConfigMap", "b"), "operator", json!({"metadata": {"finalizers": ["example.org/hold"]}}));
    let mut command = world.inside("uninstall");
    let mut child = command.args(["--delete", "--yes"]).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    while let Some(line) = log.next_line().await.unwrap() {
        if line.contains("it has the finalizers example.org/hold") {
            break;
        }
    }
    child.kill().await.unwrap();
    assert!(recorded(&world).contains(&"syncd-staging-app2".to_owned()), "what may exist is recorded");
    assert!(recorded(&world).contains(&"syncd-staging".to_owned()));
    patch(&world, ("", "ConfigMap", "b"), "operator", json!({"metadata": {"finalizers": null}}));
    let (code, text) = run(world.inside("uninstall"), &["--delete", "--yes"]).await;
    assert_eq!((code, exist(&world), recorded(&world)), (0, vec!["kept"], Vec::new()), "{text}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_refuses_while_a_syncd_acts() {
    let mut world = installed().await;
    let kubeconfig = world.folder.path().join("kubeconfig");
    let mut daemon = running_daemon::Daemon::start(&world.repository, kubeconfig.to_str().unwrap()).await;
    daemon.page("/status", |text| text.contains("SERVICE")).await;
    let (code, text) = run(world.inside("uninstall"), &["--delete", "--yes", "--lease-duration", "5s"]).await;
    assert_eq!((code, text.contains("--replicas 0")), (4, true), "{text}");
    assert_eq!(exist(&world), FIRST);
    let (code, text) = run(World::bare("history"), &["--address", &daemon.address]).await;
    assert_eq!((code, text.starts_with("ENDED")), (0, true), "{text}");
    let (code, json) = run(World::bare("history"), &["--address", &daemon.address, "-o", "json"]).await;
    let value: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &value["cycles"][0]["revision"]), (0, &json!(world.repository.tip())), "{json}");
    let (code, yaml) = run(World::bare("status"), &["--address", &daemon.address, "-o", "yaml"]).await;
    assert_eq!((code, yaml.contains("environment: staging")), (0, true), "{yaml}");
    daemon.signal("TERM").await;
    daemon.child.wait().await.unwrap();
    let (code, text) = run(World::bare("history"), &["--address", &daemon.address]).await;
    assert_eq!((code, text.contains("there is no status at")), (1, true), "{text}");
    // A Lease that was given back is nobody's.
    let (code, text) = run(world.inside("uninstall"), &["--delete", "--yes"]).await;
    assert_eq!((code, recorded(&world)), (0, Vec::new()), "{text}");
    assert!(world.sandbox.objects("coordination.k8s.io", "Lease", "syncd").is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_yes_is_the_approval_and_what_is_of_others_keeps_its_namespace() {
    let mut world = World::new().await;
    let namespace = |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let inside = |space: &str, name: &str| {
        let mut object = config_map(name, "1");
        object["metadata"]["namespace"] = json!(space);
        object
    };
    let mut many: Vec<Value> = (0..15).map(|number| inside("ours", &format!("c{number}"))).collect();
    many.push(namespace("ours"));
    let services = [("app1", many), ("app2", vec![namespace("shared"), inside("shared", "d")])];
    world.commit_services(services.into(), |_| {});
    assert_eq!(world.once(&[]).await.0, 0);
    let path = world.sandbox.path("", "ConfigMap", "shared", "any").unwrap();
    let request = sandbox::api::Request::create(path.rsplit_once('/').unwrap().0, inside("shared", "theirs"));
    assert!(world.sandbox.handle(&request).is_success());
    let (code, text) = run(world.inside("uninstall"), &["--delete", "--yes"]).await;
    assert_eq!((code, recorded(&world)), (0, Vec::new()), "{text}");
    assert!(text.contains("stays: Namespace shared (service app2): objects in it that are not deleted: 1"), "{text}");
    let exists = |name: &str| world.sandbox.object("", "Namespace", "", name).is_some();
    assert!(!exists("ours") && exists("shared"), "{text}");
    assert!(world.sandbox.object("", "ConfigMap", "shared", "d").is_none());
    world.stop().await;
}
