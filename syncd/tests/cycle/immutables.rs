//! Fields that cannot change: what the table in `docs/operations.md` says, happens.

use std::collections::BTreeMap;

use manifest::index::{Entry, Sync};
use manifest::{Hash, Index, ObjectRef, yaml};
use serde_json::{Value, json};
use syncd::report::{CycleResult, Report, ServiceState};

use crate::model::repo::Files;
use crate::world::{ENVIRONMENT, World, service, states};

/// Returns a commit of one object in service `app1`, and another one in `app2`.
fn commit(object: &Value, other: &str) -> Files {
    let mut files = crate::world::files(&[service("app2", &[("ConfigMap other", other)])]);
    let text = yaml::write(object);
    let entry = |text: &str| Entry {
        chart: "generic".into(),
        content: Hash::of(text.as_bytes()),
        inputs: Hash::of(b"inputs"),
        objects: 1,
        sync: Sync::default(),
        version: "1.0".into(),
    };
    let of = |name: &str| files[&Index::resources_path(ENVIRONMENT, name)].clone();
    let other = String::from_utf8(of("app2")).expect("text");
    let services = BTreeMap::from([("app1".to_owned(), entry(&text)), ("app2".to_owned(), entry(&other))]);
    let index = Index { environment: ENVIRONMENT.to_owned(), services };
    files.insert(Index::path(ENVIRONMENT), index.to_json().into_bytes());
    files.insert(Index::resources_path(ENVIRONMENT, "app1"), text.into_bytes());
    files
}

fn object(group: &str, kind: &str, spec: &Value) -> Value {
    let api_version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "o", "namespace": "n"}, "spec": spec})
}

fn template(app: &str, restart: &str) -> Value {
    json!({"metadata": {"labels": {"app": app}}, "spec": {"restartPolicy": restart, "containers": [{"name": "c", "image": format!("c:{app}")}]}})
}

fn deployment(app: &str) -> Value {
    let spec = json!({"selector": {"matchLabels": {"app": app}}, "template": template(app, "Always")});
    object("apps", "Deployment", &spec)
}

fn stateful_set(storage: &str) -> Value {
    let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}}});
    let spec = json!({"serviceName": "o", "selector": {"matchLabels": {"app": "a"}}, "template": template("a", "Always"), "volumeClaimTemplates": [claim]});
    object("apps", "StatefulSet", &spec)
}

fn claim(storage: &str) -> Value {
    let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}});
    object("", "PersistentVolumeClaim", &spec)
}

fn address(ip: &str) -> Value {
    let spec = json!({"clusterIP": ip, "selector": {"app": "a"}, "ports": [{"name": "http", "port": 80}]});
    object("", "Service", &spec)
}

fn job(app: &str) -> Value {
    object("batch", "Job", &json!({"template": template(app, "Never")}))
}

/// A change that the server refuses for another reason: a name of a port that is none.
fn invalid() -> Value {
    let mut value = deployment("a");
    value["spec"]["template"]["spec"]["containers"][0]["name"] = json!("Not A Name");
    value
}

/// Syncs `before`, then commits `after`, with an annotation on both. Returns the report and the uids before and after.
async fn change(before: Value, after: Value, annotation: Option<&str>) -> (Report, Option<String>, Option<String>) {
    let annotated = |mut value: Value| {
        if let Some(text) = annotation {
            value["metadata"]["annotations"] = json!({"syncd/replace": text});
        }
        value
    };
    let mut world = World::new();
    let id: ObjectRef = manifest::Manifest::from_value(before.clone()).expect("a manifest").id;
    world.repo.commit(commit(&annotated(before), "v1"));
    // A claim that nobody uses is not bound, and no matter here.
    world.cycle().await;
    let uid = |world: &World| {
        let object = world.cluster.model.object(&id.group, &id.kind, &id.namespace, &id.name);
        object.map(|object| object["metadata"]["uid"].to_string())
    };
    let first = uid(&world);
    world.repo.commit(commit(&annotated(after), "v2"));
    world.writes();
    let report = world.cycle().await;
    let deletes = world.writes().iter().filter(|call| call.starts_with("delete ")).count();
    let second = uid(&world);
    assert_eq!(deletes, usize::from(first != second), "deleted only to be replaced");
    assert_eq!(states(&report)["app2"], ServiceState::Synced, "nobody else is stopped");
    (report, first, second)
}

#[tokio::test(start_paused = true)]
async fn what_the_table_says_happens() {
    type Case = (&'static str, fn() -> (Value, Value), [bool; 3]);
    // Whether it is replaced: without an annotation, with `enabled`, with `disabled`.
    let cases: [Case; 6] = [
        ("Deployment selector", || (deployment("a"), deployment("b")), [false, true, false]),
        ("Job template", || (job("a"), job("b")), [true, true, false]),
        ("Service clusterIP", || (address("None"), address("10.96.0.77")), [false, true, false]),
        ("claim that shrinks", || (claim("2Gi"), claim("1Gi")), [false, false, false]),
        ("StatefulSet volumeClaimTemplates", || (stateful_set("1Gi"), stateful_set("2Gi")), [false, true, false]),
        ("invalid manifest", || (deployment("a"), invalid()), [false, false, false]),
    ];
    for (what, values, replaced) in cases {
        for (annotation, replaced) in [None, Some("enabled"), Some("disabled")].into_iter().zip(replaced) {
            let (before, after) = values();
            let (report, first, second) = change(before, after, annotation).await;
            let case = format!("{what}, {annotation:?}: {:?}", report.services["app1"].error);
            assert!(first.is_some() && second.is_some(), "{case}: it is there");
            assert_eq!(first != second, replaced, "{case}");
            if !replaced {
                assert_eq!(
                    (report.result, states(&report)["app1"]),
                    (CycleResult::Failed, ServiceState::Failed),
                    "{case}"
                );
                assert_eq!(report.services["app1"].deleted, 0, "{case}");
            }
        }
    }
}
