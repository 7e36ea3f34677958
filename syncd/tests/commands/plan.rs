//! `syncd plan`: says what `syncd once` does next, and does nothing.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_what_the_next_cycle_does_and_does_nothing() {
    let mut world = World::new().await;
    world.commit(&[("app1", config_map("a", "1")), ("app2", config_map("b", "1"))], |_| {});
    forget(&world);
    let (code, text) = run(world.between("plan"), &["--exit-code"]).await;
    assert_eq!(code, 7, "{text}");
    assert!(only_looked(&world) > 0);
    insta::assert_snapshot!("first", text);

    assert_eq!(world.once(&[]).await.0, 0);
    forget(&world);
    let (code, text) = run(world.between("plan"), &["--exit-code"]).await;
    assert_eq!(code, 0, "{text}");
    insta::assert_snapshot!("nothing", text);
    only_looked(&world);

    let before = world.repository.tip();
    world.commit(&[("app1", config_map("c", "2"))], |_| {});
    forget(&world);
    let (code, text) = run(world.between("plan"), &[]).await;
    assert_eq!(code, 0, "without --exit-code a plan is a plan: {text}");
    insta::assert_snapshot!("removed", stable(&world, &text, &["a", "b"]));
    let (code, json) = run(world.between("plan"), &["-o", "json", "--exit-code"]).await;
    let value: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(code, 7);
    assert_eq!(value["plan"]["services"]["app1"]["stages"][0]["applies"][0]["reason"], "new");
    assert_eq!(value["revision"], world.repository.tip());
    let (_, yaml) = run(world.between("plan"), &["-o", "yaml"]).await;
    assert!(yaml.starts_with("environment: staging\n"), "{yaml}");
    let (code, text) = run(world.between("plan"), &["--exit-code", "--revision", &before]).await;
    assert_eq!((code, text.contains("nothing to do")), (0, true), "an older commit can be looked at: {text}");
    only_looked(&world);
    // What it said is what happens.
    let (_, report) = world.once(&[]).await;
    let done = |list: &str| {
        report[list].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(done("applied_resources"), ["core/v1/ConfigMap/shop/c"]);
    assert_eq!(done("deleted_resources"), ["core/v1/ConfigMap/shop/a", "core/v1/ConfigMap/shop/b"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_planned_is_said_with_its_code() {
    let mut world = World::new().await;
    let (code, text) = run(world.between("plan"), &[]).await;
    assert_eq!(code, 3, "an empty repository is no empty environment: {text}");
    world.commit(&[("app1", config_map("a", "1"))], |_| {});
    assert_eq!(world.once(&[]).await.0, 0);
    let mut foreign = config_map("b", "1");
    foreign["metadata"]["annotations"] =
        json!({"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "shop"});
    let path = world.sandbox.path("", "ConfigMap", "shop", "b").unwrap();
    let created = world.sandbox.handle(&sandbox::api::Request::create(path.rsplit_once('/').unwrap().0, foreign));
    assert!(created.is_success());
    world.commit(&[("app1", config_map("a", "1")), ("app2", config_map("b", "2"))], |_| {});
    let (code, text) = run(world.between("plan"), &["--exit-code"]).await;
    assert_eq!((code, text.contains("belongs to Helm release `shop/web`")), (1, true), "{text}");
    world.commit(&[], |index| index.environment = "production".to_owned());
    let (code, text) = run(world.between("plan"), &[]).await;
    assert_eq!((code, text.contains("stays in force")), (3, true), "{text}");
    let (code, text) = run(world.between("plan"), &["--revision", "0123456789abcdef0123456789abcdef01234567"]).await;
    assert_eq!((code, text.contains("could not be fetched")), (3, true), "{text}");
    let (code, text) = run(world.between("plan"), &["--revision", "main"]).await;
    assert_eq!((code, text.contains("the full id of a commit")), (2, true), "{text}");
    world.stop().await;
    let (code, text) = run(world.between("plan"), &[]).await;
    assert_eq!(code, 4, "{text}");
}
