//! Wire tests of the Kubernetes edge: the exact requests, and what is made of each answer.
//!
//! The API server is a function in this process; nothing here checks that it behaves as a real one does (`conformance/` does that).

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]
#![expect(clippy::needless_pass_by_value, reason = "JSON literals read best as values")]
#![expect(clippy::disallowed_methods, reason = "tests run their servers beside them")]

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use http::{Request, Response};
use kube::client::Body;
use manifest::ObjectRef;
use serde_json::{Value, json};
use syncd::cluster::{
    Apply, Cluster, ClusterError, Deletion, ErrorClass, GroupKind, Observed, Page, StateObject, WatchEvent,
};
use syncd::kube::{Connection, KubeCluster, RequestFact, Timeouts, Traffic};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// One request as it was sent.
#[derive(Debug, Clone, PartialEq)]
struct Sent {
    /// `GET /api/v1/…?…`
    line: String,
    accept: String,
    content_type: String,
    body: Value,
}

/// An answer: status, headers, body.
struct Answer(u16, Vec<(&'static str, &'static str)>, Vec<u8>);

fn ok(body: Value) -> Answer {
    Answer(200, Vec::new(), body.to_string().into_bytes())
}

fn status(code: u16, reason: &str, message: &str, details: Value) -> Answer {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message, "details": details});
    Answer(code, Vec::new(), body.to_string().into_bytes())
}

/// An API server that answers by a function, and serves the discovery below.
struct Server {
    sent: Arc<Mutex<Vec<Sent>>>,
    cluster: KubeCluster,
}

impl Server {
    fn new(answer: impl FnMut(&Sent) -> Option<Answer> + Send + 'static) -> Self {
        Server::with_discovery(discovery, answer)
    }

    /// `answer` gives `None` for a request that is never answered.
    fn with_discovery(
        mut discovery: impl FnMut(&str) -> Value + Send + 'static,
        mut answer: impl FnMut(&Sent) -> Option<Answer> + Send + 'static,
    ) -> Self {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&sent);
        let answer = Arc::new(Mutex::new(move |sent: &Sent| match sent.line.as_str() {
            "GET /api" => Some(ok(discovery("/api"))),
            "GET /apis" => Some(ok(discovery("/apis"))),
            _ => answer(sent),
        }));
        let service = tower::service_fn(move |request: Request<Body>| {
            let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap();
                let header = |name: http::HeaderName| {
                    parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
                };
                let sent = Sent {
                    line: format!("{} {}", parts.method, parts.uri),
                    accept: header(http::header::ACCEPT),
                    content_type: header(http::header::CONTENT_TYPE),
                    body: serde_json::from_slice(&body).unwrap_or_default(),
                };
                log.lock().unwrap().push(sent.clone());
                let answer = answer.lock().unwrap()(&sent);
                let Some(Answer(code, headers, body)) = answer else { std::future::pending().await };
                let mut response = Response::builder().status(code);
                for (name, value) in headers {
                    response = response.header(name, value);
                }
                Ok::<_, Infallible>(response.body(Body::from(body)).unwrap())
            }
        });
        let client = kube::Client::new(service, "default");
        Server { sent, cluster: KubeCluster::new(client, "syncd", Timeouts::default()) }
    }

    /// Returns the requests since the last call, without discovery.
    fn take(&self) -> Vec<Sent> {
        let sent = std::mem::take(&mut *self.sent.lock().unwrap());
        sent.into_iter().filter(|sent| !matches!(sent.line.as_str(), "GET /api" | "GET /apis")).collect()
    }

    fn lines(&self) -> Vec<String> {
        self.take().into_iter().map(|sent| sent.line).collect()
    }

    fn discoveries(&self) -> usize {
        self.sent.lock().unwrap().iter().filter(|sent| sent.line == "GET /apis").count()
    }
}

fn group(name: &str, versions: Value) -> Value {
    json!({"metadata": {"name": name}, "versions": versions})
}

fn version(name: &str, kinds: &[(&str, &str, &str)]) -> Value {
    let resources: Vec<Value> = kinds
        .iter()
        .map(|(plural, kind, scope)| json!({"resource": plural, "responseKind": {"kind": kind}, "scope": scope, "verbs": ["get", "list", "watch", "patch", "delete"]}))
        .collect();
    json!({"version": name, "freshness": "Current", "resources": resources})
}

fn discovery(path: &str) -> Value {
    let core = [
        ("configmaps", "ConfigMap", "Namespaced"),
        ("namespaces", "Namespace", "Cluster"),
        ("secrets", "Secret", "Namespaced"),
    ];
    let items = match path {
        "/api" => json!([group("", json!([version("v1", &core)]))]),
        _ => json!([
            group("apps", json!([version("v1", &[("deployments", "Deployment", "Namespaced")])])),
            group("rbac.authorization.k8s.io", json!([version("v1", &[("clusterroles", "ClusterRole", "Cluster")])])),
            group("down.example", json!([{"version": "v1", "freshness": "Stale", "resources": []}])),
        ]),
    };
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn id(group: &str, kind: &str, namespace: &str, name: &str) -> ObjectRef {
    ObjectRef { group: group.into(), kind: kind.into(), namespace: namespace.into(), name: name.into() }
}

fn kind(group: &str, kind: &str) -> GroupKind {
    GroupKind::new(group, kind)
}

fn config_map() -> Apply {
    Apply {
        id: id("", "ConfigMap", "shop", "a"),
        api_version: "v1".into(),
        body: json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop"}, "data": {"k": "v"}}),
        uid: None,
        dry_run: false,
    }
}

fn stored(uid: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
        "name": "a", "namespace": "shop", "uid": uid, "resourceVersion": "7", "generation": 3,
        "labels": {"syncd/environment": "staging", "syncd/service": "app1"}, "annotations": {"syncd/hash": "abc"}}})
}

fn observed(uid: &str) -> Observed {
    Observed {
        uid: uid.into(),
        resource_version: "7".into(),
        generation: 3,
        terminating: false,
        environment: Some("staging".into()),
        service: Some("app1".into()),
        hash: Some("abc".into()),
    }
}

fn class<T: std::fmt::Debug>(result: Result<T, ClusterError>) -> ErrorClass {
    result.unwrap_err().class
}

#[tokio::test]
async fn an_apply_is_one_forced_strict_server_side_apply() {
    let server = Server::new(|_| Some(ok(stored("u1"))));
    assert_eq!(server.cluster.apply(config_map()).await, Ok(observed("u1")));
    let sent = server.take();
    let line = "PATCH /api/v1/namespaces/shop/configmaps/a?&force=true&fieldManager=syncd&fieldValidation=Strict";
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].line, line);
    assert_eq!(sent[0].content_type, "application/apply-patch+yaml");
    assert_eq!(sent[0].body, config_map().body, "the body is sent as it was given");

    let again = Apply { uid: Some("u1".into()), dry_run: true, ..config_map() };
    server.cluster.apply(again).await.unwrap();
    let sent = server.take();
    assert_eq!(sent[0].line, line.replace("?&force", "?&dryRun=All&force"));
    assert_eq!(sent[0].body["metadata"]["uid"], "u1");
}

#[tokio::test]
async fn an_apply_with_a_uid_never_creates() {
    let with_uid = || Apply { uid: Some("u1".into()), ..config_map() };
    let text = "Operation cannot be fulfilled on configmaps \"a\": uid mismatch: the provided object specified uid u1, and no existing object was found";
    let server = Server::new(move |_| Some(status(409, "Conflict", text, json!({"name": "a", "kind": "configmaps"}))));
    assert_eq!(class(server.cluster.apply(with_uid()).await), ErrorClass::Gone);
    let causes = json!({"name": "a", "causes": [{"reason": "FieldValueInvalid", "field": "metadata.uid", "message": "field is immutable"}]});
    let server = Server::new(move |_| Some(status(422, "Invalid", "field is immutable", causes.clone())));
    assert_eq!(class(server.cluster.apply(with_uid()).await), ErrorClass::Gone);
}

#[tokio::test]
async fn scope_and_version_are_checked_before_anything_is_sent() {
    let server = Server::new(|_| Some(ok(stored("u1"))));
    let refused = |apply: Apply| async { server.cluster.apply(apply).await.unwrap_err() };
    let without = Apply { id: id("apps", "Deployment", "", "a"), api_version: "apps/v1".into(), ..config_map() };
    let error = refused(without).await;
    assert_eq!(error.class, ErrorClass::Rejected);
    assert!(error.message.ends_with("set metadata.namespace"), "{error}");
    let within = Apply { id: id("", "Namespace", "shop", "a"), ..config_map() };
    let error = refused(within).await;
    assert_eq!(error.class, ErrorClass::Rejected);
    assert!(error.message.ends_with("remove metadata.namespace"), "{error}");
    let old = Apply { id: id("apps", "Deployment", "shop", "a"), api_version: "apps/v1beta1".into(), ..config_map() };
    let error = refused(old).await;
    assert_eq!(error.class, ErrorClass::NotServed);
    assert_eq!(error.message, "the API serves Deployment.apps as apps/v1, not in version `v1beta1`");
    let unknown =
        Apply { id: id("shop.example", "Order", "shop", "a"), api_version: "shop.example/v1".into(), ..config_map() };
    assert_eq!(refused(unknown).await.class, ErrorClass::NotServed);
    assert_eq!(server.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn names_are_encoded_as_one_segment() {
    let server = Server::new(|_| Some(ok(stored("u1"))));
    server.cluster.get(&id("rbac.authorization.k8s.io", "ClusterRole", "", "system:a?b#c")).await.unwrap();
    assert_eq!(server.lines(), ["GET /apis/rbac.authorization.k8s.io/v1/clusterroles/system:a%3Fb%23c"]);
}

#[tokio::test]
async fn a_delete_names_what_was_seen_and_its_answer_tells_what_it_meant() {
    let gone =
        json!({"kind": "Status", "apiVersion": "v1", "status": "Success", "details": {"name": "a", "uid": "u1"}});
    let mut terminating = stored("u1");
    terminating["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let object = id("", "ConfigMap", "shop", "a");
    let answers = [
        (ok(gone), Ok(Deletion::Gone)),
        (ok(stored("u1")), Ok(Deletion::Gone)),
        (ok(terminating), Ok(Deletion::Terminating)),
        (
            status(404, "NotFound", "configmaps \"a\" not found", json!({"name": "a", "kind": "configmaps"})),
            Err(ErrorClass::Gone),
        ),
        (
            status(409, "Conflict", "Precondition failed: UID in precondition", json!({"name": "a"})),
            Err(ErrorClass::Conflict),
        ),
        (status(403, "Forbidden", "no", json!({"name": "a"})), Err(ErrorClass::Forbidden)),
        (status(500, "InternalError", "etcdserver: request timed out", json!({})), Err(ErrorClass::Ambiguous)),
    ];
    for (answer, expected) in answers {
        let mut answer = Some(answer);
        let server = Server::new(move |_| answer.take());
        let result = server.cluster.delete(&object, "u1", "7").await.map_err(|error| error.class);
        assert_eq!(result, expected);
        let sent = server.take();
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].line.trim_end_matches('?'), "DELETE /api/v1/namespaces/shop/configmaps/a");
        let preconditions = json!({"uid": "u1", "resourceVersion": "7"});
        assert_eq!(sent[0].body, json!({"preconditions": preconditions, "propagationPolicy": "Background"}));
    }
}

#[tokio::test]
async fn a_get_tells_absent_from_unknown() {
    let object = id("", "ConfigMap", "shop", "a");
    let server = Server::new(|_| Some(ok(stored("u1"))));
    assert_eq!(server.cluster.get(&object).await, Ok(Some(stored("u1"))));
    let absent = || status(404, "NotFound", "configmaps \"a\" not found", json!({"name": "a", "kind": "configmaps"}));
    assert_eq!(Server::new(move |_| Some(absent())).cluster.get(&object).await, Ok(None));
    let page = || Answer(404, Vec::new(), b"404 page not found".to_vec());
    assert_eq!(class(Server::new(move |_| Some(page())).cluster.get(&object).await), ErrorClass::NotServed);
    let broken = || Answer(200, Vec::new(), b"<html>".to_vec());
    assert_eq!(class(Server::new(move |_| Some(broken())).cluster.get(&object).await), ErrorClass::Transient);
}

fn page(names: &[&str], token: &str) -> Answer {
    let items: Vec<Value> = names
        .iter()
        .map(|name| {
            let mut item = stored("u1");
            item["metadata"]["name"] = json!(name);
            json!({"metadata": item["metadata"]})
        })
        .collect();
    ok(json!({"kind": "PartialObjectMetadataList", "metadata": {"continue": token}, "items": items}))
}

#[tokio::test]
async fn owned_objects_are_listed_in_pages_metadata_only() {
    let server =
        Server::new(|sent| Some(if sent.line.contains("continue=t1") { page(&["b"], "") } else { page(&["a"], "t1") }));
    let found = server.cluster.list_owned(&kind("", "ConfigMap"), "staging").await.unwrap();
    let expected =
        [(id("", "ConfigMap", "shop", "a"), observed("u1")), (id("", "ConfigMap", "shop", "b"), observed("u1"))];
    assert_eq!(found, expected);
    let sent = server.take();
    let first = "GET /api/v1/configmaps?&labelSelector=syncd%2Fenvironment%3Dstaging&limit=250";
    assert_eq!(sent[0].line, first);
    assert_eq!(sent[1].line, format!("{first}&continue=t1"));
    for sent in sent {
        assert_eq!(sent.accept, "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1");
    }
}

#[tokio::test]
async fn a_list_that_the_server_forgot_is_begun_anew_and_not_for_ever() {
    let expired = || status(410, "Expired", "the provided continue parameter is too old", json!({}));
    let mut answers = vec![page(&["a"], "t1"), expired(), page(&["a"], "t2"), page(&["b"], "")].into_iter();
    let server = Server::new(move |_| answers.next());
    let found = server.cluster.list_owned(&kind("", "ConfigMap"), "staging").await.unwrap();
    let names: Vec<&str> = found.iter().map(|(id, _)| id.name.as_str()).collect();
    assert_eq!(names, ["a", "b"], "nothing twice");
    let server = Server::new(move |_| Some(expired()));
    assert_eq!(class(server.cluster.list_owned(&kind("", "ConfigMap"), "staging").await), ErrorClass::Transient);
    assert_eq!(server.take().len(), 4);
}

#[tokio::test]
async fn any_objects_are_listed_a_page_a_request_without_managed_fields() {
    let server = Server::new(|_| {
        let metadata = json!({"name": "a", "namespace": "shop", "uid": "u1", "managedFields": [{"manager": "helm"}]});
        Some(ok(json!({"metadata": {"continue": "t1"}, "items": [{"metadata": metadata}]})))
    });
    let config_maps = kind("", "ConfigMap");
    let page = server.cluster.list_page(&config_maps, Some("shop"), None).await.unwrap();
    let metadata = json!({"metadata": {"name": "a", "namespace": "shop", "uid": "u1"}});
    let expected = Page { objects: vec![(id("", "ConfigMap", "shop", "a"), metadata)], next: Some("t1".to_owned()) };
    assert_eq!(page, expected);
    server.cluster.list_page(&config_maps, None, Some("t1")).await.unwrap();
    let sent = server.take();
    let lines: Vec<&str> = sent.iter().map(|sent| sent.line.as_str()).collect();
    assert_eq!(
        lines,
        ["GET /api/v1/namespaces/shop/configmaps?&limit=250", "GET /api/v1/configmaps?&limit=250&continue=t1"]
    );
    assert!(sent.iter().all(|sent| sent.accept == "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"));
    let last = Server::new(|_| Some(ok(json!({"metadata": {"continue": ""}, "items": null}))));
    assert_eq!(last.cluster.list_page(&config_maps, None, None).await, Ok(Page::default()));
    let absent = kind("shop.example", "Order");
    assert_eq!(class(last.cluster.list_page(&absent, None, None).await), ErrorClass::NotServed);
    let odd = Server::new(|_| Some(ok(json!({"items": [{}]}))));
    assert_eq!(class(odd.cluster.list_page(&config_maps, None, None).await), ErrorClass::Transient);
    // One group does not answer: nobody knows which kinds it has.
    let kinds = last.cluster.kinds_in_namespaces().await;
    assert_eq!(class(kinds), ErrorClass::NotServed);
}

#[tokio::test]
async fn only_a_fresh_discovery_can_say_that_a_kind_is_absent() {
    let server = Server::new(|_| Some(page(&[], "")));
    assert_eq!(server.cluster.list_owned(&kind("shop.example", "Order"), "staging").await, Ok(Vec::new()));
    assert_eq!(server.discoveries(), 2, "what is missing in what was read before is looked for again");
    assert_eq!(
        class(server.cluster.list_owned(&kind("down.example", "Order"), "staging").await),
        ErrorClass::NotServed
    );
    assert_eq!(class(server.cluster.is_served(&kind("down.example", "Order")).await), ErrorClass::NotServed);
    assert_eq!(server.cluster.is_served(&kind("shop.example", "Order")).await, Ok(false));
    assert_eq!(server.cluster.is_served(&kind("apps", "Deployment")).await, Ok(true));
    let down = Server::with_discovery(|_| json!({"kind": "APIGroupList", "groups": []}), |_| None);
    assert_eq!(class(down.cluster.is_served(&kind("apps", "Deployment")).await), ErrorClass::NotServed);
}

#[tokio::test]
async fn discovery_is_kept_until_a_kind_is_missed() {
    let mut readings = 0;
    let changing = move |path: &str| {
        readings += usize::from(path == "/apis");
        let mut found = discovery(path);
        if path == "/apis" && readings >= 3 {
            let order = version("v1", &[("orders", "Order", "Namespaced")]);
            found["items"].as_array_mut().unwrap().push(group("shop.example", json!([order])));
        }
        found
    };
    let server = Server::with_discovery(changing, |_| Some(ok(stored("u1"))));
    for _ in 0..3 {
        server.cluster.apply(config_map()).await.unwrap();
    }
    assert_eq!(server.discoveries(), 1);
    let order = || Apply {
        id: id("shop.example", "Order", "shop", "a"),
        api_version: "shop.example/v1".into(),
        ..config_map()
    };
    assert_eq!(class(server.cluster.apply(order()).await), ErrorClass::NotServed);
    assert_eq!(server.discoveries(), 2);
    assert_eq!(server.cluster.is_served(&kind("shop.example", "Order")).await, Ok(true));
    server.cluster.apply(order()).await.unwrap();
    assert_eq!(server.discoveries(), 3, "what is_served learned, apply knows");
}

#[tokio::test]
async fn callers_that_come_together_share_a_reading_of_discovery() {
    let server = Server::new(|_| Some(page(&[], "")));
    server.cluster.is_served(&kind("apps", "Deployment")).await.unwrap();
    let missing = kind("shop.example", "Order");
    let together = futures::future::join_all((0..20).map(|_| server.cluster.is_served(&missing))).await;
    assert!(together.into_iter().all(|served| served == Ok(false)));
    assert_eq!(server.discoveries(), 3, "the first caller's own, and one for all that came after it had begun");
}

/// Discovery that has Deployments in `v1` when it is read first, and in `v2` only from then on.
fn moving() -> impl FnMut(&str) -> Value {
    let mut readings = 0;
    move |path: &str| {
        readings += usize::from(path == "/apis");
        let mut found = discovery(path);
        if path == "/apis" {
            let name = if readings == 1 { "v1" } else { "v2" };
            found["items"][0]["versions"] = json!([version(name, &[("deployments", "Deployment", "Namespaced")])]);
        }
        found
    }
}

#[tokio::test]
async fn a_kind_that_went_away_is_absent_and_one_that_moved_is_found_again() {
    let not_there = |sent: &Sent| {
        Some(if sent.line.contains("/v1/") {
            Answer(404, Vec::new(), b"404 page not found".to_vec())
        } else {
            page(&["a"], "")
        })
    };
    let server = Server::with_discovery(moving(), not_there);
    let found = server.cluster.list_owned(&kind("apps", "Deployment"), "staging").await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(server.take().len(), 2);
}

/// An operator that is brought up to date stops serving the version that a watch was begun with, weeks before.
#[tokio::test(start_paused = true)]
async fn a_watch_of_a_version_that_is_served_no_more_ends_and_the_next_one_finds_the_other() {
    let answer = |sent: &Sent| {
        Some(match sent.line.contains("/v1/") {
            true => Answer(404, Vec::new(), b"404 page not found".to_vec()),
            false => ok(json!({
                "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": "7"},
                "items": [{"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": "a"}}],
            })),
        })
    };
    let server = Server::with_discovery(moving(), answer);
    let deployments = kind("apps", "Deployment");
    let mut events = server.cluster.watch_metadata(&deployments, "staging").await.unwrap();
    let mut last = None;
    while let Some(event) = events.next().await {
        last = Some(event);
    }
    assert_eq!(class(last.expect("it tells why it ends")), ErrorClass::NotServed);
    let mut events = server.cluster.watch_metadata(&deployments, "staging").await.unwrap();
    assert!(matches!(events.next().await, Some(Ok(WatchEvent::Restarted))));
    assert!(matches!(events.next().await, Some(Ok(WatchEvent::Present(..)))));
    assert!(server.take().iter().any(|sent| sent.line.contains("/apis/apps/v2/deployments")));
}

#[tokio::test(start_paused = true)]
async fn a_busy_server_is_asked_again_within_bounds() {
    let busy = || Answer(429, vec![("retry-after", "2")], b"{}".to_vec());
    let mut answers = vec![busy(), busy(), ok(stored("u1"))].into_iter();
    let server = Server::new(move |_| answers.next());
    let begun = tokio::time::Instant::now();
    server.cluster.apply(config_map()).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(4));
    assert_eq!(server.take().len(), 3);

    let server = Server::new(move |_| Some(Answer(429, vec![("retry-after", "100000")], b"{}".to_vec())));
    let begun = tokio::time::Instant::now();
    assert_eq!(class(server.cluster.apply(config_map()).await), ErrorClass::Transient);
    assert_eq!(begun.elapsed(), Duration::from_secs(40));
    assert_eq!(server.take().len(), 5);

    for code in [500, 503, 504, 409] {
        let server = Server::new(move |_| Some(Answer(code, Vec::new(), b"{}".to_vec())));
        server.cluster.apply(config_map()).await.unwrap_err();
        assert_eq!(server.take().len(), 1, "{code} is for the caller to judge");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_not_answered_ends() {
    let server = Server::new(|_| None);
    let begun = tokio::time::Instant::now();
    let error = server.cluster.apply(config_map()).await.unwrap_err();
    assert_eq!(
        (error.class, error.message.as_str()),
        (ErrorClass::Ambiguous, "the API server did not answer within 30 s")
    );
    assert_eq!(begun.elapsed(), Duration::from_secs(30));
    assert_eq!(class(server.cluster.delete(&config_map().id, "u1", "7").await), ErrorClass::Ambiguous);
    assert_eq!(class(server.cluster.apply(Apply { dry_run: true, ..config_map() }).await), ErrorClass::Transient);
    assert_eq!(class(server.cluster.get(&config_map().id).await), ErrorClass::Transient);
}

fn state(resource_version: Option<&str>) -> StateObject {
    StateObject {
        name: "syncd-staging-app1".to_owned(),
        labels: [("syncd/environment".to_owned(), "staging".to_owned())].into(),
        data: [("record".to_owned(), "{}".to_owned())].into(),
        resource_version: resource_version.map(str::to_owned),
    }
}

fn state_map(resource_version: &str) -> Value {
    json!({"metadata": {"name": "syncd-staging-app1", "namespace": "syncd", "labels": {"syncd/environment": "staging"},
        "resourceVersion": resource_version}, "data": {"record": "{}"}})
}

#[tokio::test]
async fn state_is_created_or_replaced_at_a_version() {
    let server = Server::new(|_| Some(ok(state_map("8"))));
    assert_eq!(server.cluster.write_state(state(None)).await, Ok("8".to_owned()));
    assert_eq!(server.cluster.write_state(state(Some("7"))).await, Ok("8".to_owned()));
    server.cluster.delete_state("syncd-staging-app1", "8").await.unwrap();
    let sent = server.take();
    let maps = "/api/v1/namespaces/syncd/configmaps";
    assert_eq!(sent[0].line, format!("POST {maps}?&fieldManager=syncd"));
    assert_eq!(sent[0].body["metadata"].get("resourceVersion"), None);
    assert_eq!(sent[0].body["data"], json!({"record": "{}"}));
    assert_eq!(sent[1].line, format!("PUT {maps}/syncd-staging-app1?&fieldManager=syncd"));
    assert_eq!(sent[1].body["metadata"]["resourceVersion"], "7");
    assert_eq!(sent[2].line.trim_end_matches('?'), format!("DELETE {maps}/syncd-staging-app1"));
    assert_eq!(sent[2].body["preconditions"], json!({"resourceVersion": "8"}));
    assert_eq!(server.discoveries(), 0, "ConfigMaps need no discovery");
}

#[tokio::test]
async fn somebody_elses_write_of_state_is_a_conflict() {
    let details = json!({"name": "syncd-staging-app1", "kind": "configmaps"});
    let cases = [(409, "AlreadyExists", None), (409, "Conflict", Some("7")), (404, "NotFound", Some("7"))];
    for (code, reason, resource_version) in cases {
        let details = details.clone();
        let server = Server::new(move |_| Some(status(code, reason, "", details.clone())));
        assert_eq!(class(server.cluster.write_state(state(resource_version)).await), ErrorClass::Conflict, "{reason}");
    }
    let namespace = json!({"name": "syncd", "kind": "namespaces"});
    let server =
        Server::new(move |_| Some(status(404, "NotFound", "namespaces \"syncd\" not found", namespace.clone())));
    assert_eq!(class(server.cluster.write_state(state(None)).await), ErrorClass::NamespaceUnavailable);
}

#[tokio::test]
async fn state_is_listed_by_label_in_pages() {
    let server = Server::new(|sent| {
        let token = if sent.line.contains("continue=") { "" } else { "t1" };
        Some(ok(
            json!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"continue": token}, "items": [state_map("8")]}),
        ))
    });
    let found = server.cluster.list_state("staging").await.unwrap();
    assert_eq!(found, [state(Some("8")), state(Some("8"))]);
    let first = "GET /api/v1/namespaces/syncd/configmaps?&labelSelector=syncd%2Fenvironment%3Dstaging&limit=50";
    assert_eq!(server.lines(), [first.to_owned(), format!("{first}&continue=t1")]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_tells_what_is_there_then_what_changes_and_mends_itself() {
    let event = |kind: &str, name: &str| {
        let mut object = stored("u1");
        object["metadata"]["name"] = json!(name);
        format!("{}\n", json!({"type": kind, "object": object}))
    };
    let stream = |text: String| Answer(200, Vec::new(), text.into_bytes());
    let list = |names: &[&str]| {
        let items: Vec<Value> =
            names.iter().map(|name| json!({"metadata": {"name": name, "namespace": "shop"}, "data": {}})).collect();
        ok(json!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": "5"}, "items": items}))
    };
    let expired = json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old", "status": "Failure"}});
    let mut answers = vec![
        list(&["a"]),
        stream(event("ADDED", "b") + &event("DELETED", "a")),
        Answer(500, Vec::new(), b"{}".to_vec()),
        stream(format!("{expired}\n")),
        list(&["c"]),
    ]
    .into_iter();
    let server = Server::new(move |_| answers.next());
    let watch = server.cluster.watch_owned(&kind("", "ConfigMap"), "staging", &[]).await.unwrap();
    let told: Vec<String> = watch
        .take(8)
        .map(|event| match event.unwrap() {
            WatchEvent::Restarted => "restarted".to_owned(),
            WatchEvent::Present(id, value) => {
                assert_eq!((&value["kind"], &value["apiVersion"]), (&json!("ConfigMap"), &json!("v1")));
                format!("present {id}")
            }
            WatchEvent::Absent(id) => format!("absent {id}"),
            WatchEvent::Synchronized => "synchronized".to_owned(),
        })
        .collect()
        .await;
    let expected = [
        "restarted",
        "present ConfigMap shop/a",
        "synchronized",
        "present ConfigMap shop/b",
        "absent ConfigMap shop/a",
        "restarted",
        "present ConfigMap shop/c",
        "synchronized",
    ];
    assert_eq!(told, expected);
    let lines = server.lines();
    assert!(lines[0].starts_with("GET /api/v1/configmaps?"), "{}", lines[0]);
    for line in &lines {
        assert!(line.contains("labelSelector=syncd%2Fenvironment%3Dstaging"), "{line}");
    }
}

/// A right for this one name is enough.
#[tokio::test(start_paused = true)]
async fn the_watch_of_one_config_map_of_the_state_names_it() {
    let metadata = json!({"resourceVersion": "5"});
    let list = json!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": metadata, "items": []});
    let mut answers = vec![ok(list)].into_iter();
    let server = Server::new(move |_| answers.next());
    let mut watch = server.cluster.watch_state("syncd-staging.suspended").await.unwrap();
    assert_eq!(watch.next().await, Some(Ok(WatchEvent::Restarted)));
    assert_eq!(watch.next().await, Some(Ok(WatchEvent::Synchronized)));
    let quiet = tokio::time::timeout(Duration::from_millis(1), watch.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    let lines = server.lines();
    assert!(lines.iter().any(|line| line.contains("watch=true")), "{lines:?}");
    for line in &lines {
        assert!(line.starts_with("GET /api/v1/namespaces/syncd/configmaps?"), "{line}");
        assert!(line.contains("fieldSelector=metadata.name%3Dsyncd-staging.suspended"), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_not_allowed_says_so_and_goes_on() {
    let mut answers =
        vec![status(403, "Forbidden", "configmaps is forbidden", json!({"kind": "configmaps"})), page(&[], "")]
            .into_iter();
    let server = Server::new(move |_| answers.next());
    let mut watch = server.cluster.watch_owned(&kind("", "ConfigMap"), "staging", &[]).await.unwrap();
    assert_eq!(watch.next().await, Some(Ok(WatchEvent::Restarted)));
    let first = watch.next().await.unwrap();
    assert_eq!(class(first), ErrorClass::Forbidden);
    assert!(watch.next().await.is_some(), "the stream does not end");
    assert_eq!(
        class(server.cluster.watch_owned(&kind("shop.example", "Order"), "staging", &[]).await.map(|_| ())),
        ErrorClass::NotServed
    );
}

/// Serves discovery over a socket, and closes the connection at anything else without an answer.
async fn serve_discovery_only(listener: tokio::net::TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        let mut buffer = [0; 4096];
        while !request.windows(4).any(|window| window == b"\r\n\r\n") {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(count) => request.extend_from_slice(&buffer[..count]),
            }
        }
        let text = String::from_utf8_lossy(&request);
        let path = text.split(' ').nth(1).unwrap_or_default();
        if path == "/api" || path == "/apis" {
            let body = discovery(path).to_string();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all((head + &body).as_bytes()).await.unwrap();
        }
    }
}

fn kubeconfig(server: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "one",
        "clusters": [{"name": "here", "cluster": {"server": server}}],
        "users": [{"name": "me", "user": {"token": "t0ken"}}],
        "contexts": [{"name": "one", "context": {"cluster": "here", "user": "me"}}],
    });
    std::fs::write(file.path(), text.to_string()).unwrap();
    file
}

#[tokio::test]
async fn a_connection_lost_after_sending_leaves_a_write_in_doubt_and_a_refused_one_does_not() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let file = kubeconfig(&format!("http://{}", listener.local_addr().unwrap()));
    let server = tokio::spawn(serve_discovery_only(listener));
    let facts: Arc<Mutex<Vec<Traffic>>> = Arc::default();
    let told = Arc::clone(&facts);
    let on_traffic = Arc::new(move |fact| told.lock().unwrap().push(fact));
    let connection = Connection { kubeconfig: Some(file.path().to_owned()), context: None };
    let cluster = KubeCluster::connect(&connection, "syncd", Timeouts::default(), on_traffic).await.unwrap();

    assert_eq!(class(cluster.apply(config_map()).await), ErrorClass::Ambiguous);
    assert_eq!(class(cluster.get(&config_map().id).await), ErrorClass::Transient);
    server.abort();
    let _ = server.await;
    let refused = cluster.apply(config_map()).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::Transient, "{refused}");

    let facts = facts.lock().unwrap();
    let count = |traffic: Traffic| facts.iter().filter(|fact| **fact == traffic).count();
    assert_eq!((count(Traffic::Begun), count(Traffic::Ended)), (5, 5));
    let answered = |traffic: &Traffic| match traffic {
        Traffic::Answered(RequestFact { verb, code, .. }) => Some((*verb, *code)),
        Traffic::Begun | Traffic::Ended | Traffic::WatchRestarted => None,
    };
    let facts: Vec<(&str, u16)> = facts.iter().filter_map(answered).collect();
    assert_eq!(facts, [("discover", 200), ("discover", 200), ("apply", 0), ("get", 0), ("apply", 0)]);
}

#[tokio::test]
async fn nothing_is_connected_to_by_guessing() {
    let connect = |connection: Connection| async move {
        let result = KubeCluster::connect(&connection, "syncd", Timeouts::default(), Arc::new(|_| {})).await;
        result.err().map(|error| error.to_string()).unwrap_or_default()
    };
    let only_context = Connection { kubeconfig: None, context: Some("one".to_owned()) };
    assert_eq!(connect(only_context).await, "a context was named without a kubeconfig");
    let file = kubeconfig("http://127.0.0.1:1");
    let other = Connection { kubeconfig: Some(file.path().to_owned()), context: Some("two".to_owned()) };
    assert!(connect(other).await.contains("cannot be used"));
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_none() {
        assert!(connect(Connection::default()).await.starts_with("there is no service account here"));
    }
}
