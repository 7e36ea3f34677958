//! `syncd orphans`: told, with the commands that people can use, and never touched.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn orphans_and_left_overs_are_told_with_what_to_do() {
    let mut world = World::new().await;
    let mut kept = config_map("kept", "1");
    kept["metadata"]["annotations"] = json!({"syncd/prune": "disabled"});
    world.commit_services([("app1", vec![config_map("a", "1"), kept])].into(), |_| {});
    assert_eq!(world.once(&[]).await.0, 0);
    forget(&world);
    let (code, text) = run(world.inside("orphans"), &[]).await;
    assert_eq!((code, text.as_str()), (0, "staging: 0 orphans, 0 left over\n"));
    only_looked(&world);
    let mut orphan = config_map("orphan", "1");
    orphan["metadata"]["labels"] = json!({"syncd/environment": "staging", "syncd/service": "gone"});
    orphan["metadata"]["annotations"] = json!({"syncd/hash": "h"});
    create(&world, orphan);
    let mut copied = config_map("copied", "1");
    copied["metadata"]["labels"] = json!({"syncd/environment": "staging"});
    create(&world, copied);
    world.commit(&[("app1", config_map("a", "1"))], |_| {});
    assert_eq!(world.once(&[]).await.0, 0);
    let (code, text) = run(world.inside("orphans"), &[]).await;
    assert_eq!(code, 1, "{text}");
    insta::assert_snapshot!("told", stable(&world, &text, &["orphan", "kept"]));
    let (code, json) = run(world.inside("orphans"), &["-o", "json"]).await;
    let value: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &value["unwanted"][0]["object"]["name"]), (1, &json!("kept")), "{json}");
    world.sandbox.set_faults(|faults| faults.rules.push(forbid("list", "secrets")));
    let (code, text) = run(world.inside("orphans"), &[]).await;
    assert_eq!((code, text.contains("Secret could not be listed")), (4, true), "{text}");
    world.stop().await;
}
