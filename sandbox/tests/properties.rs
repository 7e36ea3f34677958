//! Laws: nothing that is asked makes the model fail, and applying is stable.

use std::time::Duration;

use proptest::prelude::*;
use sandbox::{Cluster, Request, Settings};
use serde_json::{Value, json};

/// Any JSON, not too deep.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~]{0,12}".prop_map(Value::from),
        Just(json!("metadata")),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(field_name(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Names that mean something to the server, and some that do not.
fn field_name() -> impl Strategy<Value = String> {
    let known = [
        "apiVersion",
        "kind",
        "metadata",
        "name",
        "namespace",
        "labels",
        "annotations",
        "finalizers",
        "ownerReferences",
        "managedFields",
        "uid",
        "resourceVersion",
        "generateName",
        "deletionTimestamp",
        "spec",
        "status",
        "data",
        "template",
        "selector",
        "matchLabels",
        "containers",
        "env",
        "ports",
        "replicas",
        "strategy",
        "type",
        "conditions",
        "rules",
        "versions",
        "names",
        "$patch",
        "$setElementOrder/containers",
        "schema",
        "openAPIV3Schema",
        "properties",
        "op",
        "path",
        "value",
        "preconditions",
    ];
    prop_oneof![8 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => "[a-z.$/]{0,6}"]
}

fn any_path() -> impl Strategy<Value = String> {
    let known = [
        "/api/v1/namespaces/team/configmaps",
        "/api/v1/namespaces/team/configmaps/a",
        "/api/v1/namespaces/team/pods/a",
        "/api/v1/namespaces/team",
        "/api/v1/namespaces",
        "/api/v1/namespaces/team/services/a",
        "/api/v1/namespaces/team/secrets/a",
        "/apis/apps/v1/namespaces/team/deployments/a",
        "/apis/apps/v1/namespaces/team/deployments/a/scale",
        "/apis/apps/v1/namespaces/team/deployments/a/status",
        "/apis/apps/v1/namespaces/team/statefulsets/a",
        "/apis/batch/v1/namespaces/team/jobs/a",
        "/apis/batch/v1/namespaces/team/cronjobs/a",
        "/apis/autoscaling/v2/namespaces/team/horizontalpodautoscalers/a",
        "/api/v1/namespaces/team/persistentvolumeclaims/a",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/a.b",
        "/apis",
        "/api",
        "/openapi/v3",
        "/openapi/v3/apis/apps/v1",
        "/version",
        "/api/v1/namespaces/team/pods/a/log",
    ];
    prop_oneof![9 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => "/[ -~]{0,30}"]
}

/// A body of the kind that the path is about, with anything in it.
fn body_for(path: &str, mut inner: Value) -> Value {
    let kinds = [
        ("configmaps", "v1", "ConfigMap"),
        ("pods", "v1", "Pod"),
        ("services", "v1", "Service"),
        ("secrets", "v1", "Secret"),
        ("deployments", "apps/v1", "Deployment"),
        ("statefulsets", "apps/v1", "StatefulSet"),
        ("jobs", "batch/v1", "Job"),
        ("cronjobs", "batch/v1", "CronJob"),
        ("horizontalpodautoscalers", "autoscaling/v2", "HorizontalPodAutoscaler"),
        ("persistentvolumeclaims", "v1", "PersistentVolumeClaim"),
        ("customresourcedefinitions", "apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        ("namespaces", "v1", "Namespace"),
    ];
    if let (Some((_, version, kind)), true) =
        (kinds.iter().find(|(plural, ..)| path.contains(plural)), inner.is_object())
    {
        inner["apiVersion"] = (*version).into();
        inner["kind"] = (*kind).into();
    }
    inner
}

fn any_request() -> impl Strategy<Value = Request> {
    let methods = prop::sample::select(&["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"][..]);
    let types = [
        "application/apply-patch+yaml",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
        "application/json-patch+json",
        "application/json",
        "",
        "text/plain",
    ];
    let names = [
        "labelSelector",
        "fieldSelector",
        "limit",
        "continue",
        "resourceVersion",
        "resourceVersionMatch",
        "watch",
        "dryRun",
        "force",
        "fieldManager",
        "fieldValidation",
        "timeoutSeconds",
        "sendInitialEvents",
        "allowWatchBookmarks",
        "propagationPolicy",
    ];
    let accepts = [
        "",
        "application/json",
        "application/json;as=Table;v=v1;g=meta.k8s.io",
        "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        "image/png",
    ];
    let query = prop::collection::vec(
        (
            prop::sample::select(names.to_vec()),
            prop_oneof!["[ -~]{0,8}", Just("All".to_owned()), Just("true".to_owned()), Just("1".to_owned())],
        ),
        0..4,
    );
    (
        methods,
        any_path(),
        query,
        prop::sample::select(types.to_vec()),
        prop::sample::select(accepts.to_vec()),
        any_json(),
        any::<bool>(),
    )
        .prop_map(|(method, path, query, content_type, accept, body, fits)| {
            let body = if fits { body_for(&path, body) } else { body };
            let mut request = Request::new(method, &path).agent("test/1").query("fieldManager", "test");
            for (name, value) in query {
                request = request.query(name, &value);
            }
            (request.content_type, request.accept, request.body) = (content_type.to_owned(), accept.to_owned(), body);
            request
        })
}

/// Objects that the server takes, of the kinds with the most rules.
fn good_objects() -> Vec<(&'static str, Value)> {
    let pod = json!({"containers": [{"name": "c", "image": "i:1", "env": [{"name": "A", "value": "1"}], "ports": [{"containerPort": 80}],
        "resources": {"limits": {"cpu": "1"}}, "readinessProbe": {"httpGet": {"port": 80}}, "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
        "volumes": [{"name": "v", "configMap": {"name": "m"}}]});
    let template =
        json!({"metadata": {"labels": {"a": "b"}, "annotations": {"sandbox/behaviour": "flaky=1"}}, "spec": pod});
    let spec = json!({"replicas": 2, "selector": {"matchLabels": {"a": "b"}}, "template": template});
    let mut everywhere = spec.clone();
    everywhere.as_object_mut().expect("an object").remove("replicas");
    let mut once = template;
    once["spec"]["restartPolicy"] = "Never".into();
    let kinds = [
        ("/apis/apps/v1/namespaces/team/deployments/a", "apps/v1", "Deployment", spec.clone()),
        ("/apis/apps/v1/namespaces/team/statefulsets/a", "apps/v1", "StatefulSet", spec),
        ("/apis/apps/v1/namespaces/team/daemonsets/a", "apps/v1", "DaemonSet", everywhere),
        ("/apis/batch/v1/namespaces/team/jobs/a", "batch/v1", "Job", json!({"completions": 2, "template": once})),
        (
            "/api/v1/namespaces/team/services/a",
            "v1",
            "Service",
            json!({"type": "NodePort", "ports": [{"port": 80}], "selector": {"a": "b"}}),
        ),
        (
            "/apis/autoscaling/v2/namespaces/team/horizontalpodautoscalers/a",
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            json!({"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}}),
        ),
        (
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/toys.a.b",
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            json!({"group": "a.b", "scope": "Namespaced", "names": {"plural": "toys", "kind": "Toy"}, "versions": [{"name": "v1", "served": true,
                "storage": true, "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": {
                    "size": {"type": "integer", "default": 1}, "list": {"type": "array", "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["n"], "items": {"type": "object", "properties": {"n": {"type": "string"}}}}}}}}},
                "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}}}]}),
        ),
        (
            "/apis/networking.k8s.io/v1/namespaces/team/ingresses/a",
            "networking.k8s.io/v1",
            "Ingress",
            json!({"rules": [{"host": "x.y",
            "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "a", "port": {"number": 80}}}}]}}]}),
        ),
    ];
    let object = |(path, version, kind, spec): (&'static str, &str, &str, Value)| {
        let name = path.rsplit('/').next().unwrap_or_default();
        (
            path,
            json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": {"l": "m"}}, "spec": spec}),
        )
    };
    kinds.into_iter().map(object).collect()
}

/// Puts `with` somewhere into `value`; `steps` choose where.
fn mutate(value: &mut Value, steps: &[u8], with: Value) {
    let Some((step, rest)) = steps.split_first() else {
        *value = with;
        return;
    };
    let step = usize::from(*step);
    match value {
        Value::Object(object) if !object.is_empty() => {
            let at = step % object.len();
            if let Some((_, inner)) = object.iter_mut().nth(at) {
                mutate(inner, rest, with);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let at = step % items.len();
            mutate(&mut items[at], rest, with);
        }
        leaf => *leaf = with,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_request_and_no_controller_panics(requests in prop::collection::vec(any_request(), 1..24)) {
        let cluster = Cluster::new(Settings { namespaces: vec!["team".into()], ..Settings::default() });
        for request in &requests {
            let answer = cluster.handle(request);
            prop_assert!((200..600).contains(&answer.code));
            if answer.code >= 400 && answer.body.is_object() {
                prop_assert_eq!(&answer.body["kind"], "Status");
                prop_assert_eq!(&answer.body["code"], answer.code);
            }
            if let Ok(mut watch) = cluster.watch(request) {
                while watch.try_next().is_some() {}
            }
            cluster.advance(Duration::from_secs(1));
        }
        cluster.settle(Duration::from_secs(30));
    }

    #[test]
    fn no_slightly_wrong_object_panics(
        which in 0..8_usize,
        mutations in prop::collection::vec((prop::collection::vec(any::<u8>(), 1..9), any_json(), 0..4_u8), 1..6),
    ) {
        let cluster = Cluster::new(Settings { namespaces: vec!["team".into()], ..Settings::default() });
        let (path, good) = good_objects().swap_remove(which);
        prop_assert!(cluster.handle(&Request::apply(path, "good", good.clone())).is_success());
        cluster.advance(Duration::from_millis(700));
        for (steps, with, how) in mutations {
            let live = cluster.handle(&Request::get(path)).body;
            let mut object = if how == 0 || live["kind"] == "Status" { good.clone() } else { live };
            mutate(&mut object, &steps, with);
            let request = match how {
                0 => Request::apply(path, "other", object).query("force", "true"),
                1 => Request::update(path, object),
                2 => Request::merge_patch(path, object),
                _ => Request::update(&format!("{path}/status"), object),
            };
            let answer = cluster.handle(&request.agent("test/1"));
            prop_assert!((200..600).contains(&answer.code));
            cluster.advance(Duration::from_secs(3));
        }
        cluster.handle(&Request::delete(path));
        cluster.settle(Duration::from_secs(60));
    }

    #[test]
    fn applying_again_changes_nothing_and_one_manager_gets_what_it_applies(
        data in prop::collection::btree_map("[a-z]{1,2}", "[a-z]{0,3}", 0..6),
        labels in prop::collection::btree_map("[a-z]{1,2}", "[a-z]{1,3}", 0..4),
        before in prop::collection::btree_map("[a-z]{1,2}", "[a-z]{0,3}", 0..6),
    ) {
        let cluster = Cluster::new(Settings { namespaces: vec!["team".into()], ..Settings::default() });
        let path = "/api/v1/namespaces/team/configmaps/a";
        let config = |data: &std::collections::BTreeMap<String, String>| {
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": labels}, "data": data})
        };
        prop_assert!(cluster.handle(&Request::apply(path, "one", config(&before))).is_success());
        let applied = cluster.handle(&Request::apply(path, "one", config(&data)));
        prop_assert!(applied.is_success());
        let found: std::collections::BTreeMap<String, String> =
            serde_json::from_value(applied.body["data"].clone()).unwrap_or_default();
        prop_assert_eq!(&found, &data, "what one manager alone applies is what is there");
        cluster.advance(Duration::from_secs(5));
        let again = cluster.handle(&Request::apply(path, "one", config(&data)));
        prop_assert_eq!(again.body, applied.body, "not even a time moves");
    }
}
