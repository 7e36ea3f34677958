//! `syncd diff`: what differs, by a dry run of the server, without a value of a Secret.

use std::collections::BTreeMap;

use super::*;

fn secret(value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": "shop"}, "type": "Opaque", "stringData": {"password": value}})
}

fn deployment(replicas: u32, password: &str) -> Value {
    let environment = json!([{"name": "DB_PASSWORD", "value": password}, {"name": "MODE", "value": "fast"}]);
    let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "main", "image": "web:1", "env": environment}]}});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop", "annotations": {}},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diff_is_what_the_next_apply_changes_and_shows_no_secret() {
    let mut world = World::new().await;
    let ignoring = json!({"syncd/ignore": "/data/theirs"});
    let mut shared = config_map("shared", "1");
    shared["metadata"]["annotations"] = ignoring;
    shared["data"]["theirs"] = json!("ours");
    let first = BTreeMap::from([
        ("app1", vec![config_map("a", "one\ntwo\nthree\n"), shared.clone(), secret("planted-one")]),
        ("app2", vec![deployment(2, "planted-env")]),
        ("app3", vec![config_map("old", "1")]),
    ]);
    world.commit_services(first.clone(), |_| {});
    assert_eq!(world.once(&[]).await.0, 0);
    forget(&world);
    let (code, text) = run(world.between("diff"), &[]).await;
    assert_eq!(code, 0, "{text}");
    insta::assert_snapshot!("equal", text);
    only_looked(&world);

    // Somebody scales by hand; somebody else takes what is left to others; a password is changed in place.
    patch(&world, ("apps", "Deployment", "web"), "kubectl-edit", json!({"spec": {"replicas": 5}}));
    patch(&world, ("", "ConfigMap", "shared"), "operator", json!({"data": {"theirs": "theirs"}}));
    patch(&world, ("", "Secret", "keys"), "kubectl-edit", json!({"data": {"password": "cGxhbnRlZC10d28="}}));
    let mut elsewhere = config_map("b", "planted-three");
    elsewhere["metadata"]["namespace"] = json!("new");
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "new"}});
    let mut second = first;
    second.remove("app3");
    second.insert("app4", vec![namespace, elsewhere]);
    second.insert(
        "app1",
        vec![config_map("a", "one\n2\nthree\n"), shared, secret("planted-three"), config_map("c", "planted-three")],
    );
    second.insert("app2", vec![deployment(2, "planted-other")]);
    world.commit_services(second, |_| {});
    forget(&world);
    let (code, text) = run(world.between("diff"), &[]).await;
    assert_eq!(code, 7, "{text}");
    only_looked(&world);
    insta::assert_snapshot!("different", text);
    let (code, json) = run(world.between("diff"), &["-o", "json"]).await;
    let value: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &value["services"]["app3"]["objects"][0]["action"]), (7, &json!("deleted")), "{json}");
    assert!(!json.contains("planted") && !text.contains("planted"), "{text}{json}");
    let (code, text) = run(world.between("diff"), &["--service", "app3"]).await;
    assert_eq!((code, text.contains("service app1")), (7, false), "{text}");

    // What it said is what happens: after the apply nothing differs.
    assert_eq!(world.once(&["--full"]).await.0, 0);
    let (code, text) = run(world.between("diff"), &[]).await;
    assert_eq!(code, 0, "{text}");
    let left = world.sandbox.object("", "ConfigMap", "shop", "shared").unwrap();
    assert_eq!(left["data"]["theirs"], "theirs");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_would_refuse_is_said_before() {
    let mut world = World::new().await;
    let mut wrong = config_map("b", "1");
    wrong["dota"] = json!({});
    let mut nowhere = config_map("c", "1");
    nowhere["metadata"]["namespace"] = json!("nowhere");
    world.commit(&[("app1", config_map("a", "1")), ("app2", wrong), ("app3", nowhere)], |_| {});
    forget(&world);
    let (code, text) = run(world.between("diff"), &[]).await;
    assert_eq!(code, 1, "{text}");
    only_looked(&world);
    insta::assert_snapshot!("refused", text);
    let (code, text) = run(world.between("diff"), &["--service", "app9"]).await;
    assert_eq!((code, text.contains("has no service `app9`")), (2, true), "{text}");
    world.stop().await;
    let (code, text) = run(world.between("diff"), &[]).await;
    assert_eq!(code, 4, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_with_the_same_plan_what_is_replaced_and_what_is_taken_over() {
    let mut world = World::new().await;
    let job = |image: &str| {
        let template = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": image}]}});
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "migrate", "namespace": "shop"}, "spec": {"template": template}})
    };
    world.commit(&[("app1", job("web:1"))], |_| {});
    assert_eq!(world.once(&[]).await.0, 0);
    let mut theirs = config_map("taken", "old");
    theirs["data"]["extra"] = json!("gone");
    theirs["metadata"]["annotations"] =
        json!({"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "shop"});
    let path = world.sandbox.path("", "ConfigMap", "shop", "any").unwrap();
    let request = sandbox::api::Request::create(path.rsplit_once('/').unwrap().0, theirs);
    assert!(world.sandbox.handle(&request.query("fieldManager", "helm")).is_success());
    let mut ours = config_map("taken", "new");
    ours["metadata"]["annotations"] = json!({"syncd/adopt": "helm"});
    let names = json!({"kind": "Cart", "plural": "carts", "singular": "cart", "listKind": "CartList"});
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "carts.shop.example"},
        "spec": {"group": "shop.example", "scope": "Namespaced", "names": names,
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}]}});
    let cart =
        json!({"apiVersion": "shop.example/v1", "kind": "Cart", "metadata": {"name": "first", "namespace": "shop"}});
    let services = [("app1", vec![job("web:2")]), ("app2", vec![ours]), ("app3", vec![definition, cart])];
    world.commit_services(services.into(), |_| {});
    forget(&world);
    let (code, text) = run(world.between("diff"), &[]).await;
    assert_eq!(code, 7, "{text}");
    only_looked(&world);
    let job = world.sandbox.object("batch", "Job", "shop", "migrate").unwrap();
    insta::assert_snapshot!("kinds", text.replace(job["metadata"]["uid"].as_str().unwrap(), "[uid]"));
    assert_eq!(world.once(&[]).await.0, 0);
    assert_eq!(world.sandbox.object("", "ConfigMap", "shop", "taken").unwrap()["data"], json!({"key": "new"}));
    let (code, text) = run(world.between("diff"), &[]).await;
    assert_eq!(code, 0, "{text}");
    world.stop().await;
}
