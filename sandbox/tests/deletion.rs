//! Finalizers, propagation, garbage, namespaces and definitions.

use std::time::Duration;

use sandbox::{Cluster, Request, Settings};
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_secs(60);

fn cluster() -> Cluster {
    let cluster = Cluster::new(Settings { namespaces: vec!["team".into()], ..Settings::default() });
    cluster.settle(Duration::from_secs(1));
    cluster
}

fn path(kind: &str, name: &str) -> String {
    format!("/api/v1/namespaces/team/{kind}/{name}")
}

fn map(cluster: &Cluster, name: &str, metadata: &Value) -> Value {
    let mut body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"k": "v"}});
    body["metadata"]["name"] = name.into();
    let answer = cluster.handle(&Request::create("/api/v1/namespaces/team/configmaps", body));
    assert_eq!(answer.code, 201, "{}", answer.body);
    answer.body
}

fn owned_by(owner: &Value) -> Value {
    let reference = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "blockOwnerDeletion": true});
    json!({"ownerReferences": [reference]})
}

fn names(cluster: &Cluster) -> Vec<String> {
    let maps = cluster.objects("", "ConfigMap", "team");
    let names = maps.iter().filter_map(|map| map["metadata"]["name"].as_str().map(str::to_owned));
    names.filter(|name| name != "kube-root-ca.crt").collect()
}

fn delete(cluster: &Cluster, name: &str, policy: &str) -> sandbox::Response {
    let body = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy});
    cluster.handle(&Request { body, ..Request::delete(&path("configmaps", name)) })
}

#[test]
fn an_object_with_a_finalizer_stays_until_it_is_dropped() {
    let cluster = cluster();
    map(&cluster, "a", &json!({"finalizers": ["example.com/hold"]}));
    let marked = delete(&cluster, "a", "Background");
    assert!(marked.body["metadata"]["deletionTimestamp"].is_string());
    cluster.settle(MINUTE);
    assert_eq!(names(&cluster), ["a"]);
    let drop = Request::merge_patch(&path("configmaps", "a"), json!({"metadata": {"finalizers": null}}));
    assert_eq!(cluster.handle(&drop).code, 200);
    assert!(names(&cluster).is_empty());
}

#[test]
fn dependents_follow_in_the_background_unless_another_owner_is_left() {
    let cluster = cluster();
    let (one, two) = (map(&cluster, "one", &json!({})), map(&cluster, "two", &json!({})));
    map(&cluster, "child", &owned_by(&one));
    let both = json!({"ownerReferences": [owned_by(&one)["ownerReferences"][0], owned_by(&two)["ownerReferences"][0]]});
    map(&cluster, "shared", &both);
    delete(&cluster, "one", "Background");
    assert_eq!(names(&cluster), ["child", "shared", "two"], "nothing at once");
    cluster.settle(MINUTE);
    assert_eq!(names(&cluster), ["shared", "two"]);
    let shared = cluster.object("", "ConfigMap", "team", "shared").expect("kept");
    assert_eq!(shared["metadata"]["ownerReferences"].as_array().map(Vec::len), Some(1));
}

#[test]
fn in_the_foreground_the_owner_goes_last_and_orphans_stay() {
    let cluster = cluster();
    let owner = map(&cluster, "owner", &json!({}));
    let child = owned_by(&owner);
    map(&cluster, "child", &json!({"ownerReferences": child["ownerReferences"], "finalizers": ["example.com/hold"]}));
    delete(&cluster, "owner", "Foreground");
    cluster.settle(MINUTE);
    assert_eq!(names(&cluster), ["child", "owner"], "the child is held, so the owner waits");
    let drop = Request::merge_patch(&path("configmaps", "child"), json!({"metadata": {"finalizers": null}}));
    cluster.handle(&drop);
    cluster.settle(MINUTE);
    assert!(names(&cluster).is_empty());

    let owner = map(&cluster, "owner", &json!({}));
    map(&cluster, "child", &owned_by(&owner));
    delete(&cluster, "owner", "Orphan");
    cluster.settle(MINUTE);
    assert_eq!(names(&cluster), ["child"]);
    let child = cluster.object("", "ConfigMap", "team", "child").expect("kept");
    assert!(child["metadata"]["ownerReferences"].is_null());
}

#[test]
fn a_child_of_nobody_is_collected() {
    let cluster = cluster();
    let nobody = json!({"metadata": {"name": "gone", "uid": "00000000-0000-4000-8000-000000000000"}});
    map(&cluster, "child", &owned_by(&nobody));
    cluster.settle(MINUTE);
    assert!(names(&cluster).is_empty());
}

#[test]
fn preconditions_are_held_to() {
    let cluster = cluster();
    let object = map(&cluster, "a", &json!({}));
    let attempt = |preconditions: Value| {
        let body = json!({"preconditions": preconditions});
        cluster.handle(&Request { body, ..Request::delete(&path("configmaps", "a")) }).code
    };
    assert_eq!(attempt(json!({"uid": "other"})), 409);
    assert_eq!(attempt(json!({"resourceVersion": "1"})), 409);
    assert_eq!(names(&cluster), ["a"]);
    let (uid, version) = (&object["metadata"]["uid"], &object["metadata"]["resourceVersion"]);
    assert_eq!(attempt(json!({"uid": uid, "resourceVersion": version})), 200);
    assert_eq!(attempt(json!({"uid": uid})), 404);
}

#[test]
fn a_namespace_is_emptied_then_gone_and_takes_nothing_new() {
    let cluster = cluster();
    map(&cluster, "held", &json!({"finalizers": ["example.com/hold"]}));
    map(&cluster, "free", &json!({}));
    let answer = cluster.handle(&Request::delete("/api/v1/namespaces/team"));
    assert_eq!(answer.body["status"]["phase"], "Terminating");
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}});
    assert_eq!(cluster.handle(&Request::create("/api/v1/namespaces/team/configmaps", body)).code, 403);
    cluster.advance(Duration::from_secs(10));
    assert_eq!(names(&cluster), ["held"]);
    let namespace = cluster.object("", "Namespace", "", "team").expect("held");
    let conditions = namespace["status"]["conditions"].as_array().expect("told");
    let left = conditions.iter().find(|condition| condition["type"] == "NamespaceFinalizersRemaining").expect("told");
    assert!(left["message"].as_str().is_some_and(|text| text.contains("example.com/hold in 1 resource")), "{left}");
    cluster.handle(&Request::merge_patch(&path("configmaps", "held"), json!({"metadata": {"finalizers": null}})));
    cluster.advance(Duration::from_secs(10));
    assert!(cluster.object("", "Namespace", "", "team").is_none());
    assert!(cluster.objects("", "ConfigMap", "team").is_empty());
}

#[test]
fn held_finalizers_hold_namespaces_and_dependents() {
    let cluster = cluster();
    let owner = map(&cluster, "owner", &json!({}));
    map(&cluster, "child", &owned_by(&owner));
    cluster.set_faults(|faults| faults.hold_finalizers = true);
    delete(&cluster, "owner", "Foreground");
    cluster.handle(&Request::delete("/api/v1/namespaces/team"));
    cluster.advance(MINUTE);
    assert_eq!(names(&cluster), ["child", "owner"]);
    cluster.set_faults(|faults| faults.hold_finalizers = false);
    cluster.advance(MINUTE);
    assert!(cluster.object("", "Namespace", "", "team").is_none());
}

#[test]
fn a_definition_serves_its_kind_and_takes_the_objects_along() {
    let cluster = cluster();
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}});
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "toys.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "toys", "kind": "Toy"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}});
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    assert_eq!(cluster.handle(&Request::create(definitions, definition)).code, 201);
    let toys = "/apis/example.com/v1/namespaces/team/toys";
    let toy = json!({"apiVersion": "example.com/v1", "kind": "Toy", "metadata": {"name": "t"}, "spec": {"any": [1, {"x": 2}]}});
    assert_eq!(cluster.handle(&Request::create(toys, toy.clone())).code, 404, "not established yet");
    cluster.settle(MINUTE);
    let known =
        cluster.object("apiextensions.k8s.io", "CustomResourceDefinition", "", "toys.example.com").expect("there");
    let conditions = known["status"]["conditions"].as_array().expect("told");
    assert!(conditions.iter().any(|condition| condition["type"] == "Established" && condition["status"] == "True"));
    let made = cluster.handle(&Request::create(toys, toy));
    assert_eq!((made.code, &made.body["metadata"]["generation"]), (201, &json!(1)));
    let groups = cluster.handle(&Request::get("/apis")).body.to_string();
    assert!(groups.contains("example.com"));

    cluster.handle(&Request::delete(&format!("{definitions}/toys.example.com")));
    cluster.settle(MINUTE);
    assert!(cluster.object("apiextensions.k8s.io", "CustomResourceDefinition", "", "toys.example.com").is_none());
    assert_eq!(cluster.handle(&Request::get(toys)).code, 404);
    assert!(!cluster.handle(&Request::get("/apis")).body.to_string().contains("example.com"));
}

#[test]
fn a_claim_in_use_outlives_its_deletion() {
    let cluster = cluster();
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    cluster.handle(&Request::create("/api/v1/namespaces/team/persistentvolumeclaims", claim));
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}],
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}});
    assert_eq!(cluster.handle(&Request::create("/api/v1/namespaces/team/pods", pod)).code, 201);
    cluster.settle(MINUTE);
    let claim = || cluster.object("", "PersistentVolumeClaim", "team", "c");
    assert_eq!(claim().expect("there")["status"]["phase"], "Bound");
    cluster.handle(&Request::delete(&path("persistentvolumeclaims", "c")));
    cluster.settle(MINUTE);
    assert!(claim().is_some());
    cluster.handle(&Request::delete(&path("pods", "p")));
    cluster.settle(MINUTE);
    assert!(claim().is_none());
}
