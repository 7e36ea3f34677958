//! What a server that calls itself Kubernetes could answer: to discovery, to every kind of request, and to watches.

use std::convert::Infallible;
use std::time::Duration;

use ::kube::client::Body;
use futures::StreamExt;
use http::{Request, Response};
use manifest::ObjectRef;
use serde_json::{Value, json};
use syncd::adoption;
use syncd::cluster::{Apply, Cluster, ClusterError, GroupKind, Lease, Leases, LogTail, StateObject};
use syncd::kube::{KubeCluster, Timeouts};
use syncd::live::{defined_kind, observed};
use syncd::ownership::entries;

const CODES: [u16; 16] = [200, 200, 200, 200, 201, 400, 401, 403, 404, 409, 410, 422, 429, 500, 503, 504];
/// Longest message of an error, in characters: what is kept of the server's words, and what is added.
const MESSAGE_MAX: usize = 1_200;
/// Events of a watch that are looked at, and how long that may last, in virtual time.
const EVENTS_MAX: usize = 20;
const WATCH: Duration = Duration::from_secs(2);
/// How long an answer is under way, in virtual time.
const WAY: Duration = Duration::from_millis(20);

/// The first byte chooses what is asked, the second how it is answered, the third whether discovery is answered by the input, too; the rest are
/// answers, one after the other, the last one again and again.
pub fn kube(bytes: &[u8]) {
    let [call, code, odd, rest @ ..] = bytes else { return };
    let answers: Vec<Vec<u8>> = super::parts(rest).into_iter().map(<[u8]>::to_vec).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(ask(*call, CODES[usize::from(*code) % CODES.len()], odd % 8 == 1, answers));
}

fn server(code: u16, odd: bool, answers: Vec<Vec<u8>>) -> KubeCluster {
    let mut next = 0;
    let answer = std::sync::Arc::new(std::sync::Mutex::new(move |path: &str| {
        let discovery = matches!(path, "/api" | "/apis");
        if discovery && !odd {
            return (200, discovered(path).to_string().into_bytes());
        }
        let body = answers.get(next).or(answers.last()).cloned().unwrap_or_default();
        next += 1;
        (if discovery { 200 } else { code }, body)
    }));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (code, body) = answer.lock().unwrap()(request.uri().path());
        async move {
            // No answer comes in no time: who asks again and again at least lets it pass.
            tokio::time::sleep(WAY).await;
            Ok::<_, Infallible>(Response::builder().status(code).body(Body::from(body)).unwrap())
        }
    });
    KubeCluster::new(::kube::Client::new(service, "default"), "syncd", Timeouts::default())
}

fn discovered(path: &str) -> Value {
    let resource = |plural: &str, kind: &str, scope: &str| json!({"resource": plural, "responseKind": {"kind": kind}, "scope": scope, "verbs": ["get", "list", "watch"]});
    let group = |name: &str, resources: Vec<Value>| json!({"metadata": {"name": name}, "versions": [{"version": "v1", "freshness": "Current", "resources": resources}]});
    let items = match path {
        "/api" => vec![group(
            "",
            vec![
                resource("secrets", "Secret", "Namespaced"),
                resource("namespaces", "Namespace", "Cluster"),
                resource("pods", "Pod", "Namespaced"),
                resource("events", "Event", "Namespaced"),
            ],
        )],
        _ => vec![group("apps", vec![resource("deployments", "Deployment", "Namespaced")])],
    };
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": items})
}

async fn ask(call: u8, code: u16, odd: bool, answers: Vec<Vec<u8>>) {
    let cluster = server(code, odd, answers);
    let kinds = [("", "Secret"), ("apps", "Deployment"), ("", "Namespace")];
    let (group, kind) = kinds[usize::from(call / 16) % kinds.len()];
    let namespace = if kind == "Namespace" { "" } else { "n" };
    let of = GroupKind::new(group, kind);
    let text = str::to_owned;
    let id = ObjectRef {
        group: text(group).into(),
        kind: text(kind).into(),
        namespace: text(namespace).into(),
        name: text("a").into(),
    };
    let api_version = if group.is_empty() { text("v1") } else { format!("{group}/v1") };
    let body = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a", "namespace": namespace}});
    match call % 16 {
        0 => look(told(cluster.get(&id).await).flatten().as_ref(), &id),
        1 => drop(told(cluster.list_owned(&of, "staging").await)),
        2 => {
            for (_, value) in told(cluster.list_page(&of, Some("n"), None).await).unwrap_or_default().objects {
                assert_eq!(value.pointer("/metadata/managedFields"), None);
                look(Some(&value), &id);
            }
        }
        3 => drop(told(cluster.kinds_in_namespaces().await)),
        4 => {
            let uid = (call > 127).then(|| text("u").into());
            drop(told(
                cluster.apply(Apply { id, api_version: api_version.into(), body, uid, dry_run: call > 63 }).await,
            ));
        }
        5 => drop(told(cluster.delete(&id, "u", "7").await)),
        6 => drop(told(cluster.take_fields(&id, body).await)),
        7 => drop(told(cluster.list_state("staging").await)),
        8 => {
            let (labels, data) = Default::default();
            let object = StateObject { name: text("syncd-staging"), labels, data, resource_version: Some(text("1")) };
            drop(told(cluster.write_state(object).await));
        }
        9 => {
            if let Some(lease) = told(cluster.read_lease("syncd-staging").await).flatten() {
                drop(told(cluster.write_lease(Lease { holder: text("me"), ..lease }).await));
            }
        }
        10 => drop(told(cluster.events_of("n", "u").await)),
        11 => {
            let tail =
                LogTail { namespace: text("n"), pod: text("p"), container: text("c"), previous: false, lines: 20 };
            drop(told(cluster.log(&tail).await));
        }
        12 => drop(told(cluster.is_served(&of).await)),
        13 => drop(told(cluster.delete_state("syncd-staging", "1").await)),
        watch => {
            let opened = match watch {
                14 => cluster.watch_owned(&of, "staging", &[]).await,
                _ => cluster.watch_metadata(&of, "staging").await,
            };
            let Some(events) = told(opened) else { return };
            let heard = events.take(EVENTS_MAX).for_each(|event| {
                drop(told(event));
                std::future::ready(())
            });
            let _ = tokio::time::timeout(WATCH, heard).await;
        }
    }
}

/// What is told of a failure is short, whatever the server said.
fn told<T>(reply: Result<T, ClusterError>) -> Option<T> {
    let error = reply.as_ref().err().map(|error| error.message.clone()).unwrap_or_default();
    assert!(error.chars().count() <= MESSAGE_MAX, "{error}");
    reply.ok()
}

/// Reads from an object all that is read from objects.
fn look(value: Option<&Value>, id: &ObjectRef) {
    let Some(value) = value else { return };
    let (seen, _) = (observed(value), defined_kind(value));
    let _ = (adoption::owner(value, "staging"), adoption::patch(id, value), seen);
    entries(value).for_each(|entry| drop(entry.fields()));
}
