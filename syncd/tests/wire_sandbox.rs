//! The Kubernetes edge against the sandbox over HTTP: two independent readings of the API's rules must agree.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;
use manifest::ObjectRef;
use sandbox::{Answer, Rule};
use serde_json::{Value, json};
use syncd::cluster::{Apply, Cluster, ClusterError, Deletion, ErrorClass, GroupKind, LogTail, StateObject, WatchEvent};
use syncd::kube::{Connection, KubeCluster, Timeouts};
use syncd::live::observed;
use syncd::ownership::{Field, entries};

struct World {
    sandbox: sandbox::Cluster,
    kube: KubeCluster,
    server: sandbox::http::Server,
}

async fn world() -> World {
    let namespaces = ["shop", "syncd"].map(str::to_owned).to_vec();
    let sandbox = sandbox::Cluster::new(sandbox::Settings { namespaces, ..sandbox::Settings::default() });
    // Time moves only when a test says so.
    let server = sandbox::http::serve(sandbox.clone(), "127.0.0.1:0".parse().unwrap(), 0.0).await.unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), server.kubeconfig()).unwrap();
    let connection = Connection { kubeconfig: Some(file.path().to_owned()), context: None };
    let kube = KubeCluster::connect(&connection, "syncd", Timeouts::default(), Arc::new(|_| {})).await.unwrap();
    World { sandbox, kube, server }
}

fn kind(group: &str, kind: &str) -> GroupKind {
    GroupKind::new(group, kind)
}

fn apply(mut body: Value) -> Apply {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let api_version = text(&body["apiVersion"]);
    let id = ObjectRef {
        group: manifest::object::group_of(&api_version).into(),
        kind: text(&body["kind"]).into(),
        namespace: text(&body["metadata"]["namespace"]).into(),
        name: text(&body["metadata"]["name"]).into(),
    };
    body["metadata"]["labels"] = json!({"syncd/environment": "staging", "syncd/service": "app1"});
    body["metadata"]["annotations"] = json!({"syncd/hash": "abc"});
    Apply { id, api_version: api_version.into(), body, uid: None, dry_run: false }
}

fn config_map(namespace: &str, name: &str, value: &str) -> Apply {
    let metadata = json!({"name": name, "namespace": namespace});
    apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"key": value}}))
}

fn class<T: std::fmt::Debug>(result: Result<T, ClusterError>) -> ErrorClass {
    result.unwrap_err().class
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_lives_and_dies() {
    let World { kube, sandbox, server } = world().await;
    let first = config_map("shop", "a", "1");
    let dry = kube.apply(Apply { dry_run: true, ..first.clone() }).await.unwrap();
    assert_eq!(dry.environment.as_deref(), Some("staging"));
    assert_eq!(kube.get(&first.id).await, Ok(None), "a dry run leaves nothing behind");

    let created = kube.apply(first.clone()).await.unwrap();
    assert_eq!((created.service.as_deref(), created.hash.as_deref()), (Some("app1"), Some("abc")));
    assert!(!created.uid.is_empty() && !created.terminating);
    let again = kube.apply(Apply { uid: Some(created.uid.clone()), ..first.clone() }).await.unwrap();
    assert_eq!(again, created, "what is the same changes nothing");
    let changed = Apply { uid: Some(created.uid.clone()), ..config_map("shop", "a", "2") };
    let changed = kube.apply(changed).await.unwrap();
    assert_ne!(changed.resource_version, created.resource_version);
    let found = kube.get(&first.id).await.unwrap().unwrap();
    assert_eq!((&found["data"]["key"], &found["kind"]), (&json!("2"), &json!("ConfigMap")));
    let other = "00000000-0000-0000-0000-000000000000".to_owned();
    let replaced = Apply { uid: Some(other.as_str().into()), ..first.clone() };
    assert_eq!(class(kube.apply(replaced).await), ErrorClass::Gone, "another object has the name");

    let version = &changed.resource_version;
    assert_eq!(class(kube.delete(&first.id, &other, version).await), ErrorClass::Conflict);
    let before = kube.delete(&first.id, &created.uid, &created.resource_version).await;
    assert_eq!(class(before), ErrorClass::Conflict, "it was changed since");
    assert_eq!(kube.delete(&first.id, &created.uid, version).await, Ok(Deletion::Gone));
    assert_eq!(class(kube.delete(&first.id, &created.uid, version).await), ErrorClass::Gone);
    let late = Apply { uid: Some(created.uid), ..first.clone() };
    assert_eq!(class(kube.apply(late).await), ErrorClass::Gone);
    assert_eq!(kube.get(&first.id).await, Ok(None), "an apply that names a uid never creates");
    assert!(sandbox.objects("", "ConfigMap", "shop").iter().all(|map| map["metadata"]["name"] != "a"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finalizer_keeps_an_object_and_its_namespace_terminating() {
    let World { kube, sandbox, server } = world().await;
    let mut held = config_map("shop", "held", "1");
    held.body["metadata"]["finalizers"] = json!(["example.com/hold"]);
    let created = kube.apply(held.clone()).await.unwrap();
    assert_eq!(kube.delete(&held.id, &created.uid, &created.resource_version).await, Ok(Deletion::Terminating));
    let listed = kube.list_owned(&kind("", "ConfigMap"), "staging").await.unwrap();
    assert!(listed.iter().any(|(id, seen)| *id == held.id && seen.terminating));

    let namespace = apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "doomed"}}));
    let created = kube.apply(namespace.clone()).await.unwrap();
    let within = config_map("doomed", "a", "1");
    kube.apply(within.clone()).await.unwrap();
    assert_eq!(kube.delete(&namespace.id, &created.uid, &created.resource_version).await, Ok(Deletion::Terminating));
    assert_eq!(class(kube.apply(config_map("doomed", "b", "1")).await), ErrorClass::NamespaceUnavailable);
    sandbox.settle(std::time::Duration::from_secs(60));
    assert_eq!(kube.get(&namespace.id).await, Ok(None));
    assert_eq!(kube.get(&within.id).await, Ok(None));
    assert_eq!(class(kube.apply(within).await), ErrorClass::NamespaceUnavailable);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_custom_kind_is_served_once_it_is_established() {
    let World { kube, sandbox, server } = world().await;
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let definition = apply(json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "orders.shop.example"},
        "spec": {"group": "shop.example", "scope": "Namespaced", "names": {"plural": "orders", "singular": "order", "kind": "Order", "listKind": "OrderList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}]},
    }));
    let order = apply(
        json!({"apiVersion": "shop.example/v1", "kind": "Order", "metadata": {"name": "a", "namespace": "shop"}, "spec": {"n": 1}}),
    );
    assert_eq!(class(kube.apply(order.clone()).await), ErrorClass::NotServed);
    assert_eq!(kube.list_owned(&kind("shop.example", "Order"), "staging").await, Ok(Vec::new()));
    kube.apply(definition.clone()).await.unwrap();
    sandbox.settle(std::time::Duration::from_secs(60));
    assert_eq!(kube.is_served(&kind("shop.example", "Order")).await, Ok(true));
    kube.apply(order.clone()).await.unwrap();
    assert_eq!(kube.list_owned(&kind("shop.example", "Order"), "staging").await.unwrap().len(), 1);
    let mut misplaced = order.clone();
    misplaced.id.namespace = "".into();
    assert_eq!(class(kube.apply(misplaced).await), ErrorClass::Rejected);

    let found = observed(&kube.get(&definition.id).await.unwrap().unwrap());
    kube.delete(&definition.id, &found.uid, &found.resource_version).await.unwrap();
    sandbox.settle(std::time::Duration::from_secs(60));
    assert_eq!(
        kube.list_owned(&kind("shop.example", "Order"), "staging").await,
        Ok(Vec::new()),
        "kept discovery is not believed"
    );
    assert_eq!(class(kube.get(&order.id).await), ErrorClass::NotServed);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_down_is_not_empty() {
    let World { kube, sandbox, server } = world().await;
    sandbox.set_faults(|faults| faults.outages = vec!["apps".to_owned()]);
    let error = kube.list_owned(&kind("apps", "Deployment"), "staging").await.unwrap_err();
    assert!(matches!(error.class, ErrorClass::NotServed | ErrorClass::Transient), "{error:?}");
    assert!(kube.list_owned(&kind("", "ConfigMap"), "staging").await.is_ok(), "other groups go on");
    sandbox.set_faults(|faults| faults.outages = Vec::new());
    assert_eq!(kube.list_owned(&kind("apps", "Deployment"), "staging").await, Ok(Vec::new()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_is_wrong_is_rejected_and_a_secret_in_it_is_not_told() {
    let World { kube, server, .. } = world().await;
    let unknown = apply(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop"}, "dota": {}}),
    );
    assert_eq!(class(kube.apply(unknown).await), ErrorClass::Rejected, "a field that the API does not know");
    let secret = apply(
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "namespace": "shop"}, "stringData": {"password": 20_458_112}}),
    );
    let error = kube.apply(secret).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Rejected);
    assert_eq!(error.message, "the object does not fit the schema of its kind (fields: .stringData.password)");
    let nowhere = kube.apply(config_map("nowhere", "a", "1")).await;
    assert_eq!(class(nowhere), ErrorClass::NamespaceUnavailable);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_told_apart() {
    let World { kube, sandbox, server } = world().await;
    let cases = [
        (Answer::Forbidden { user: "me".to_owned() }, ErrorClass::Forbidden),
        (Answer::InternalError { message: "etcdserver: request timed out".to_owned() }, ErrorClass::Ambiguous),
        (Answer::Unavailable, ErrorClass::Transient),
        (Answer::Timeout, ErrorClass::Ambiguous),
        (Answer::WebhookUnreachable { webhook: "w.example.com".to_owned() }, ErrorClass::Transient),
    ];
    for (answer, expected) in cases {
        let told = format!("{answer:?}");
        sandbox.set_faults(|faults| faults.rules = vec![Rule::new(&["apply"], &["configmaps"], answer)]);
        assert_eq!(class(kube.apply(config_map("shop", "a", "1")).await), expected, "{told}");
    }
    sandbox.set_faults(|faults| faults.rules = Vec::new());
    kube.apply(config_map("shop", "a", "1")).await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_objects_come_in_pages() {
    let World { kube, sandbox, server } = world().await;
    for number in 0..1201 {
        let apply = config_map("shop", &format!("a{number:04}"), "1");
        let path = sandbox.path("", "ConfigMap", "shop", &apply.id.name).unwrap();
        assert!(sandbox.handle(&sandbox::Request::apply(&path, "syncd", apply.body)).is_success());
    }
    sandbox.take_requests();
    let found = kube.list_owned(&kind("", "ConfigMap"), "staging").await.unwrap();
    assert_eq!(found.len(), 1201);
    let lists = sandbox.take_requests().iter().filter(|entry| entry.verb == sandbox::Verb::List).count();
    assert_eq!(lists, 5);
    assert_eq!(kube.list_owned(&kind("", "ConfigMap"), "production").await, Ok(Vec::new()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn state_is_compare_and_set() {
    let World { kube, server, .. } = world().await;
    let state = |data: &str, resource_version: Option<&str>| StateObject {
        name: "syncd-staging-app1".to_owned(),
        labels: [("syncd/environment".to_owned(), "staging".to_owned())].into(),
        data: [("record.json".to_owned(), data.to_owned())].into(),
        resource_version: resource_version.map(str::to_owned),
    };
    let first = kube.write_state(state("1", None)).await.unwrap();
    assert_eq!(class(kube.write_state(state("2", None)).await), ErrorClass::Conflict);
    let second = kube.write_state(state("2", Some(&first))).await.unwrap();
    assert_eq!(class(kube.write_state(state("3", Some(&first))).await), ErrorClass::Conflict);
    assert_eq!(kube.list_state("staging").await, Ok(vec![state("2", Some(&second))]));
    assert_eq!(kube.list_state("production").await, Ok(Vec::new()));
    assert_eq!(class(kube.delete_state("syncd-staging-app1", &first).await), ErrorClass::Conflict);
    kube.delete_state("syncd-staging-app1", &second).await.unwrap();
    assert_eq!(class(kube.delete_state("syncd-staging-app1", &second).await), ErrorClass::Gone);
    assert_eq!(class(kube.write_state(state("4", Some(&second))).await), ErrorClass::Conflict);
    server.stop().await;
}

type Told = BoxStream<'static, Result<WatchEvent, ClusterError>>;

/// Returns the events until everything has been told once more.
async fn until_synchronized(watch: &mut Told) -> Vec<WatchEvent> {
    let mut told = Vec::new();
    loop {
        told.push(watch.next().await.unwrap().unwrap());
        if told.last() == Some(&WatchEvent::Synchronized) {
            return told;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_survives_breaks_and_forgotten_versions() {
    let World { kube, sandbox, server } = world().await;
    let (a, b, c) = (config_map("shop", "a", "1"), config_map("shop", "b", "1"), config_map("shop", "c", "1"));
    kube.apply(a.clone()).await.unwrap();
    let mut watch = kube.watch_owned(&kind("", "ConfigMap"), "staging", &[]).await.unwrap();
    let start = until_synchronized(&mut watch).await;
    assert_eq!(start[0], WatchEvent::Restarted);
    assert!(matches!(&start[1], WatchEvent::Present(id, value) if *id == a.id && value["data"]["key"] == "1"));
    assert_eq!(start.len(), 3, "{start:?}");

    let created = kube.apply(b.clone()).await.unwrap();
    assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Present(id, _))) if id == b.id));
    kube.delete(&b.id, &created.uid, &created.resource_version).await.unwrap();
    assert_eq!(watch.next().await, Some(Ok(WatchEvent::Absent(b.id.clone()))));

    sandbox.drop_watches();
    kube.apply(c.clone()).await.unwrap();
    sandbox.compact();
    // Either the watch is resumed and tells `c`, or it begins anew and tells everything.
    let mut present = Vec::new();
    while !present.contains(&c.id) {
        if let WatchEvent::Present(id, _) = watch.next().await.unwrap().unwrap() {
            present.push(id);
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_seen_by_metadata_alone_and_by_who_owns_which_field() {
    let World { kube, sandbox, server } = world().await;
    let map = config_map("shop", "a", "1");
    kube.apply(map.clone()).await.unwrap();
    let mut watch = kube.watch_metadata(&kind("", "ConfigMap"), "staging").await.unwrap();
    let start = until_synchronized(&mut watch).await;
    let owned = |event: &WatchEvent| {
        let WatchEvent::Present(id, value) = event else { panic!("{event:?}") };
        assert!(*id == map.id && value["data"].is_null(), "only metadata is sent: {value}");
        let ours = entries(value).find(|entry| entry.is_ours()).unwrap();
        let others: Vec<String> =
            entries(value).filter(|entry| !entry.is_ours()).map(|entry| entry.manager()).collect();
        let name = |field: &Field<'_>| field.name();
        (ours.fields().iter().map(name).any(|name| name == "data.key"), others)
    };
    assert_eq!(owned(&start[1]), (true, vec![]));
    let path = sandbox.path("", "ConfigMap", "shop", "a").unwrap();
    let edit = sandbox::Request::merge_patch(&path, json!({"data": {"key": "2"}})).agent("kubectl-edit");
    assert!(sandbox.handle(&edit).is_success());
    let event = watch.next().await.unwrap().unwrap();
    assert_eq!(owned(&event), (false, vec!["kubectl-edit".to_owned()]));

    // The server has forgotten where the watch was (410): everything is told anew.
    sandbox.drop_watches();
    kube.apply(map.clone()).await.unwrap();
    sandbox.compact();
    let told = loop {
        let event = watch.next().await.unwrap().unwrap();
        if matches!(event, WatchEvent::Present(..)) {
            break event;
        }
    };
    assert!(owned(&told).0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_around_a_workload_is_watched_and_read() {
    let World { kube, sandbox, server } = world().await;
    let labels = json!({"app": "web"});
    let template = json!({"metadata": {"labels": labels, "annotations": {"sandbox/behaviour": "crash-loop", "sandbox/logs": "one\ntwo\nthree"}},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]}});
    let mut deployment =
        apply(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}}));
    deployment.body["spec"] = json!({"replicas": 1, "selector": {"matchLabels": labels}, "template": template});
    kube.apply(deployment).await.unwrap();
    sandbox.advance(std::time::Duration::from_secs(5));

    let mut pods = kube.watch_around(&kind("", "Pod"), Some("shop")).await.unwrap();
    let told = until_synchronized(&mut pods).await;
    let WatchEvent::Present(id, pod) = &told[1] else { panic!("no pod: {told:?}") };
    assert_eq!((told.len(), id.namespace.as_str()), (3, "shop"));
    let mut others = kube.watch_around(&kind("", "Pod"), Some("syncd")).await.unwrap();
    assert_eq!(until_synchronized(&mut others).await.len(), 2, "another namespace has none");
    let mut everywhere = kube.watch_around(&kind("apps", "ReplicaSet"), None).await.unwrap();
    assert_eq!(until_synchronized(&mut everywhere).await.len(), 3);

    let mut warnings = kube.watch_around(&kind("", "Event"), Some("shop")).await.unwrap();
    let told = until_synchronized(&mut warnings).await;
    let types: Vec<&Value> = told
        .iter()
        .filter_map(|event| match event {
            WatchEvent::Present(_, value) => Some(&value["type"]),
            _ => None,
        })
        .collect();
    assert!(!types.is_empty() && types.iter().all(|of| **of == "Warning"), "{told:?}");

    let uid = pod["metadata"]["uid"].as_str().unwrap();
    let events = kube.events_of("shop", uid).await.unwrap();
    assert!(events.iter().any(|event| event["reason"] == "BackOff"), "{events:?}");
    assert!(events.iter().all(|event| event["involvedObject"]["uid"] == uid));
    let tail = LogTail {
        namespace: "shop".to_owned(),
        pod: id.name.to_string(),
        container: "app".to_owned(),
        previous: false,
        lines: 2,
    };
    assert_eq!(kube.log(&tail).await, Ok("two\nthree\n".to_owned()));
    assert!(kube.log(&LogTail { previous: true, ..tail.clone() }).await.is_ok(), "it was started again");
    assert_eq!(class(kube.log(&LogTail { container: "none".to_owned(), ..tail }).await), ErrorClass::Rejected);

    let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "web.1", "namespace": "shop"},
        "involvedObject": {"kind": "Deployment", "name": "web", "namespace": "shop"}, "reason": "SyncFailed", "type": "Warning"});
    kube.say(event.clone()).await.unwrap();
    assert_eq!(class(kube.say(event).await), ErrorClass::Conflict, "it was said before");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_config_map_of_the_state_is_watched_by_its_name() {
    let World { kube, server: _server, .. } = world().await;
    let object = |name: &str, text: &str, version: Option<String>| StateObject {
        name: name.to_owned(),
        labels: [("syncd/environment".to_owned(), "staging".to_owned())].into(),
        data: [("suspended.json".to_owned(), text.to_owned())].into(),
        resource_version: version,
    };
    kube.write_state(object("syncd-staging", "other", None)).await.unwrap();
    let mut watch = kube.watch_state("syncd-staging.suspended").await.unwrap();
    assert_eq!(until_synchronized(&mut watch).await, [WatchEvent::Restarted, WatchEvent::Synchronized]);
    let version = kube.write_state(object("syncd-staging.suspended", "first", None)).await.unwrap();
    kube.write_state(object("syncd-staging-a", "other", None)).await.unwrap();
    let version = kube.write_state(object("syncd-staging.suspended", "second", Some(version))).await.unwrap();
    kube.delete_state("syncd-staging.suspended", &version).await.unwrap();
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(match watch.next().await.unwrap().unwrap() {
            WatchEvent::Present(id, value) => format!("{id}: {}", value["data"]["suspended.json"]),
            event => format!("{event:?}").chars().take_while(|c| c.is_alphabetic()).collect(),
        });
    }
    let name = "ConfigMap syncd/syncd-staging.suspended";
    assert_eq!(told, [format!("{name}: \"first\""), format!("{name}: \"second\""), "Absent".to_owned()]);
}
