//! `syncd explain`: whose an object is, where it comes from, what differs, what happens next.

use super::*;

fn deployment(replicas: u32) -> Value {
    let template =
        json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "main", "image": "web:1"}]}});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop",
        "annotations": {"syncd/ignore": "/spec/paused"}},
        "spec": {"replicas": replicas, "paused": false, "selector": {"matchLabels": {"app": "web"}}, "template": template}})
}

/// Takes out what another run does not have.
fn without_times(world: &World, text: &str) -> String {
    let object = world.sandbox.object("apps", "Deployment", "shop", "web").unwrap();
    let text = text.replace(object["metadata"]["uid"].as_str().unwrap(), "[uid]");
    let words = text.split_inclusive([' ', '\n', ',', ';']).map(|word| {
        let end = word.trim_end_matches([' ', '\n', ',', ';']);
        let is_time = end.len() == 20 && end.starts_with("20") && end.ends_with('Z');
        if is_time { word.replace(end, "[time]") } else { word.to_owned() }
    });
    let text: String = words.collect();
    // How far the controller is, nobody waited for.
    text.split_inclusive('\n').filter(|line| !line.contains("(status)")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_explained_from_its_file_to_its_fields() {
    let mut world = World::new().await;
    world.commit_services([("app1", vec![config_map("a", "1"), deployment(2)])].into(), |_| {});
    assert_eq!(world.once(&[]).await.0, 0);
    patch(&world, ("apps", "Deployment", "web"), "kubectl-edit", json!({"spec": {"replicas": 5}}));
    patch(&world, ("apps", "Deployment", "web"), "operator", json!({"spec": {"paused": true}}));
    forget(&world);
    let (code, text) = run(world.between("explain"), &["Deployment.apps", "shop/web"]).await;
    assert_eq!(code, 0, "{text}");
    only_looked(&world);
    insta::assert_snapshot!("drifted", without_times(&world, &text));
    let (code, json) = run(world.between("explain"), &["Deployment.apps shop/web", "-o", "json"]).await;
    let value: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &value["wanted"]["document"], &value["recorded"][0]["service"]), (0, &json!(2), &json!("app1")));
    assert_eq!(value["difference"]["fields"][0]["path"], "spec.replicas", "{json}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_ours_is_said_to_be_left_alone() {
    let mut world = World::new().await;
    world.commit(&[("app1", config_map("a", "1"))], |_| {});
    assert_eq!(world.once(&[]).await.0, 0);
    let mut helms = config_map("b", "1");
    helms["metadata"]["annotations"] =
        json!({"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "shop"});
    create(&world, helms);
    create(&world, config_map("c", "1"));
    for (name, expected) in [("b", "Helm release `shop/web`"), ("c", "made by hand")] {
        let (code, text) = run(world.between("explain"), &["ConfigMap", &format!("shop/{name}")]).await;
        assert_eq!(code, 0, "{text}");
        assert!(text.contains(expected) && text.contains("neither changes nor deletes it"), "{text}");
    }
    let (code, text) = run(world.between("explain"), &["ConfigMap", "shop/nothing"]).await;
    assert_eq!((code, text.contains("it does not exist")), (1, true), "{text}");
    world.commit(&[("app1", config_map("a", "1")), ("app2", config_map("b", "2"))], |_| {});
    let (code, text) = run(world.between("explain"), &["ConfigMap", "shop/b"]).await;
    assert_eq!((code, text.contains("syncd/adopt: helm")), (0, true), "{text}");
    let (code, text) = run(world.between("explain"), &["configmap", "shop/b"]).await;
    assert_eq!((code, text.contains("a kind begins with a capital letter")), (2, true), "{text}");
    let (code, _) = run(world.between("explain"), &["ConfigMap"]).await;
    assert_eq!(code, 2);
    world.stop().await;
}
