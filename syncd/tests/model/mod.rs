//! The seam to the Kubernetes API over the sandbox's model, as plain functions: what a request does, and nothing of how it gets there.
//!
//! Whoever tests above the seam adds the way: [`Cluster`](syncd::cluster::Cluster)s that count, lose, delay or deny. Knows no time and no
//! fault. Invariant: a refusal of the model has the class that the real edge (`kube::error`) gives it.

#![allow(dead_code, reason = "each test target uses its part")]

pub mod repo;
pub mod services;

use futures::StreamExt;
use futures::stream::BoxStream;
use manifest::ObjectRef;
use manifest::object::group_of;
use sandbox::{Cluster as Model, EventKind, Request, Response};
use serde_json::{Value, json};
use std::time::Duration;
use syncd::cluster::{
    Apply, ClusterError, Deletion, ErrorClass, FIELD_MANAGER, GroupKind, LABEL_ENVIRONMENT, LABEL_SERVICE, Lease,
    LogTail, Observed, Page, StateObject, WatchEvent,
};
use syncd::live::observed;

/// The environment of all tests.
pub const ENVIRONMENT: &str = "staging";
/// The namespace of `syncd`'s own state.
pub const HOME: &str = "syncd";

/// Objects a page of a list: few, so that pages follow each other.
const PAGE_OBJECTS: usize = 10;
const DISCOVERY: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// What a watch tells.
pub type Watching = BoxStream<'static, Result<WatchEvent, ClusterError>>;

/// How the server says that a field cannot change: see the real edge, `kube::error`.
const IMMUTABLE: [&str; 4] = [
    "field is immutable",
    "updates to statefulset spec",
    "may not change once set",
    "can not be less than status.capacity",
];

pub fn error(class: ErrorClass, code: u16, message: &str) -> ClusterError {
    ClusterError { class, code, message: message.to_owned() }
}

/// Says what can be done about an answer, as the real edge does.
fn refused(response: &Response) -> ClusterError {
    let message = response.body["message"].as_str().unwrap_or_default().to_owned();
    let of_namespace = response.body["details"]["kind"] == "namespaces";
    let class = match response.code {
        403 | 404 if of_namespace || message.contains("being terminated") => ErrorClass::NamespaceUnavailable,
        401 | 403 => ErrorClass::Forbidden,
        404 | 410 => ErrorClass::Gone,
        409 => ErrorClass::Conflict,
        422 if IMMUTABLE.iter().any(|words| message.contains(words)) => ErrorClass::Immutable,
        429 | 500 | 503 => ErrorClass::Transient,
        504 => ErrorClass::Ambiguous,
        _ => ErrorClass::Rejected,
    };
    ClusterError { class, code: response.code, message }
}

fn ask(model: &Model, request: &Request) -> Result<Value, ClusterError> {
    let response = model.handle(request);
    if response.is_success() { Ok(response.body) } else { Err(refused(&response)) }
}

fn path(model: &Model, id: &ObjectRef, api_version: Option<&str>) -> Result<String, ClusterError> {
    let path = model.path(&id.group, &id.kind, &id.namespace, &id.name);
    let path =
        path.ok_or_else(|| error(ErrorClass::NotServed, 404, &format!("{} is not served", GroupKind::of(id))))?;
    let Some(version) = api_version else { return Ok(path) };
    let rest = path.split('/').skip(if id.group.is_empty() { 3 } else { 4 }).collect::<Vec<_>>().join("/");
    Ok(if group_of(version).is_empty() { format!("/api/{version}/{rest}") } else { format!("/apis/{version}/{rest}") })
}

/// Returns the identity of an object.
pub fn identity(value: &Value) -> ObjectRef {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    ObjectRef {
        group: group_of(&text("/apiVersion")).into(),
        kind: text("/kind").into(),
        namespace: text("/metadata/namespace").into(),
        name: text("/metadata/name").into(),
    }
}

pub fn apply(model: &Model, apply: &Apply) -> Result<Observed, ClusterError> {
    let path = path(model, &apply.id, Some(&apply.api_version))?;
    let mut body = apply.body.clone();
    if let Some(uid) = &apply.uid {
        body["metadata"]["uid"] = json!(uid);
    }
    let request = Request::apply(&path, FIELD_MANAGER, body).query("force", "true");
    let request = if apply.dry_run { request.query("dryRun", "All") } else { request };
    let applied = ask(model, &request).map_err(|error| {
        let about_uid = apply.uid.is_some()
            && matches!(error.code, 404 | 409 | 422)
            && error.message.contains("uid")
            && error.class != ErrorClass::Immutable;
        if about_uid { ClusterError { class: ErrorClass::Gone, ..error } } else { error }
    })?;
    Ok(observed(&applied))
}

pub fn take_fields(model: &Model, id: &ObjectRef, patch: Value) -> Result<(), ClusterError> {
    let request = Request::merge_patch(&path(model, id, None)?, patch).query("fieldManager", FIELD_MANAGER);
    ask(model, &request).map(drop)
}

pub fn delete(model: &Model, id: &ObjectRef, uid: &str, resource_version: &str) -> Result<Deletion, ClusterError> {
    let path = path(model, id, None)?;
    let preconditions = json!({"uid": uid, "resourceVersion": resource_version});
    let body = json!({"preconditions": preconditions, "propagationPolicy": "Background"});
    ask(model, &Request { body, ..Request::delete(&path) })?;
    let left = model.object(&id.group, &id.kind, &id.namespace, &id.name);
    Ok(if left.is_some() { Deletion::Terminating } else { Deletion::Gone })
}

pub fn get(model: &Model, id: &ObjectRef) -> Result<Option<Value>, ClusterError> {
    match ask(model, &Request::get(&path(model, id, None)?)) {
        Ok(value) => Ok(Some(value)),
        Err(error)
            if error.code == 404 && matches!(error.class, ErrorClass::Gone | ErrorClass::NamespaceUnavailable) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

pub fn list_owned(model: &Model, kind: &GroupKind, environment: &str) -> Vec<(ObjectRef, Observed)> {
    let objects = model.objects(&kind.group, &kind.kind, "");
    let owned = |value: &&Value| value["metadata"]["labels"][LABEL_ENVIRONMENT] == environment;
    objects.iter().filter(owned).map(|value| (identity(value), observed(value))).collect()
}

pub fn list_page(
    model: &Model,
    kind: &GroupKind,
    namespace: Option<&str>,
    after: Option<&str>,
) -> Result<Page, ClusterError> {
    let (group, kind) = (kind.group.clone(), kind.kind.clone());
    let of = ObjectRef { group, kind, namespace: namespace.unwrap_or_default().into(), name: "".into() };
    let request = Request::get(&path(model, &of, None)?).query("limit", &PAGE_OBJECTS.to_string());
    let request = after.into_iter().fold(request, |request, token| request.query("continue", token));
    let list = ask(model, &request)?;
    let told = |mut item: Value| {
        let mut metadata = item["metadata"].take();
        metadata.as_object_mut().expect("metadata").remove("managedFields");
        let text = |name: &str| metadata[name].as_str().unwrap_or_default().to_owned();
        (
            ObjectRef { namespace: text("namespace").into(), name: text("name").into(), ..of.clone() },
            json!({"metadata": metadata}),
        )
    };
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let next = list["metadata"]["continue"].as_str().filter(|token| !token.is_empty()).map(str::to_owned);
    Ok(Page { objects: items.into_iter().map(told).collect(), next })
}

pub fn kinds_in_namespaces(model: &Model) -> Result<Vec<GroupKind>, ClusterError> {
    let mut kinds = Vec::new();
    for path in ["/api", "/apis"] {
        let groups = ask(model, &Request { accept: DISCOVERY.to_owned(), ..Request::get(path) })?;
        kinds.extend(groups["items"].as_array().into_iter().flatten().flat_map(listable));
    }
    kinds.sort();
    kinds.dedup();
    Ok(kinds)
}

/// Returns the kinds of a group of discovery whose objects are in namespaces and can be listed.
fn listable(group: &Value) -> Vec<GroupKind> {
    let name = group["metadata"]["name"].as_str().unwrap_or_default();
    let versions = group["versions"].as_array().into_iter().flatten();
    let resources = versions.flat_map(|version| version["resources"].as_array().into_iter().flatten());
    let listable = resources.filter(|resource| {
        resource["scope"] == "Namespaced"
            && resource["verbs"].as_array().is_some_and(|verbs| verbs.contains(&json!("list")))
    });
    let kind = |resource: &Value| resource["responseKind"]["kind"].as_str().unwrap_or_default().to_owned();
    listable.map(|resource| GroupKind { group: name.into(), kind: kind(resource).into() }).collect()
}

/// Opens a watch of the model.
fn open(
    model: &Model,
    kind: &GroupKind,
    namespace: &str,
    selectors: &[(&str, &str)],
) -> Result<Watching, ClusterError> {
    let id =
        ObjectRef { group: kind.group.clone(), kind: kind.kind.clone(), namespace: namespace.into(), name: "".into() };
    let request = Request::get(&path(model, &id, None)?)
        .query("watch", "true")
        .query("allowWatchBookmarks", "true")
        .query("sendInitialEvents", "true")
        .query("resourceVersionMatch", "NotOlderThan");
    let request = selectors.iter().fold(request, |request, (name, value)| request.query(name, value));
    let watch = model.watch(&request).map_err(|response| refused(&response))?;
    let events = futures::stream::unfold((watch, false), |(mut watch, begun)| async move {
        if !begun {
            return Some((Ok(WatchEvent::Restarted), (watch, true)));
        }
        loop {
            let event = watch.next().await?;
            let id = identity(&event.object);
            let told = match event.kind {
                EventKind::Added | EventKind::Modified => WatchEvent::Present(id, event.object),
                EventKind::Deleted => WatchEvent::Absent(id),
                EventKind::Bookmark if event.object["metadata"]["annotations"].is_object() => WatchEvent::Synchronized,
                EventKind::Bookmark => continue,
                EventKind::Error => return None,
            };
            return Some((Ok(told), (watch, true)));
        }
    });
    Ok(Box::pin(events))
}

pub fn watch_owned(
    model: &Model,
    kind: &GroupKind,
    environment: &str,
    services: &[String],
) -> Result<Watching, ClusterError> {
    let of_some =
        if services.is_empty() { String::new() } else { format!(",{LABEL_SERVICE} in ({})", services.join(",")) };
    open(model, kind, "", &[("labelSelector", &format!("{LABEL_ENVIRONMENT}={environment}{of_some}"))])
}

pub fn watch_metadata(model: &Model, kind: &GroupKind, environment: &str) -> Result<Watching, ClusterError> {
    let events = watch_owned(model, kind, environment, &[])?;
    let events = events.map(|event| match event {
        Ok(WatchEvent::Present(id, value)) => Ok(WatchEvent::Present(id, json!({"metadata": value["metadata"]}))),
        other => other,
    });
    Ok(Box::pin(events))
}

pub fn watch_around(model: &Model, kind: &GroupKind, namespace: Option<&str>) -> Result<Watching, ClusterError> {
    let fields: &[(&str, &str)] = if kind.kind == "Event" { &[("fieldSelector", "type!=Normal")] } else { &[] };
    open(model, kind, namespace.unwrap_or_default(), fields)
}

pub fn watch_state(model: &Model, name: &str) -> Result<Watching, ClusterError> {
    let kind = GroupKind::new("", "ConfigMap");
    open(model, &kind, HOME, &[("fieldSelector", &format!("metadata.name={name}"))])
}

pub fn events_of(model: &Model, namespace: &str, uid: &str) -> Result<Vec<Value>, ClusterError> {
    let request = Request::get(&format!("/api/v1/namespaces/{namespace}/events"));
    let list = ask(model, &request.query("fieldSelector", &format!("involvedObject.uid={uid}")))?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

pub fn log(model: &Model, tail: &LogTail) -> Result<String, ClusterError> {
    let request = Request::get(&format!("/api/v1/namespaces/{}/pods/{}/log", tail.namespace, tail.pod))
        .query("container", &tail.container)
        .query("tailLines", &tail.lines.to_string())
        .query("previous", &tail.previous.to_string());
    Ok(ask(model, &request)?.as_str().unwrap_or_default().to_owned())
}

pub fn say(model: &Model, event: Value) -> Result<(), ClusterError> {
    let namespace = event["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
    ask(model, &Request::create(&format!("/api/v1/namespaces/{namespace}/events"), event)).map(drop)
}

pub fn is_served(model: &Model, kind: &GroupKind) -> bool {
    model.path(&kind.group, &kind.kind, "", "").is_some()
}

/// Returns the ConfigMaps of the state.
pub fn list_state(model: &Model, environment: &str) -> Vec<StateObject> {
    let texts = |value: &Value| serde_json::from_value(value.clone()).unwrap_or_default();
    let maps = model.objects("", "ConfigMap", HOME);
    let ours = maps.iter().filter(|map| map["metadata"]["labels"][LABEL_ENVIRONMENT] == environment);
    ours.map(|map| StateObject {
        name: map["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
        labels: texts(&map["metadata"]["labels"]),
        data: texts(&map["data"]),
        resource_version: map["metadata"]["resourceVersion"].as_str().map(str::to_owned),
    })
    .collect()
}

fn config_map(name: &str) -> String {
    format!("/api/v1/namespaces/{HOME}/configmaps/{name}")
}

pub fn write_state(model: &Model, object: &StateObject) -> Result<String, ClusterError> {
    let mut body = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": object.name, "namespace": HOME, "labels": object.labels},
        "data": object.data,
    });
    let request = match &object.resource_version {
        None => Request::create(&format!("/api/v1/namespaces/{HOME}/configmaps"), body),
        Some(version) => {
            body["metadata"]["resourceVersion"] = json!(version);
            Request::update(&config_map(&object.name), body)
        }
    };
    Ok(observed(&ask(model, &request)?).resource_version.to_string())
}

pub fn delete_state(model: &Model, name: &str, resource_version: &str) -> Result<(), ClusterError> {
    let body = json!({"preconditions": {"resourceVersion": resource_version}});
    ask(model, &Request { body, ..Request::delete(&config_map(name)) }).map(drop)
}

pub fn read_lease(model: &Model, name: &str) -> Option<Lease> {
    let value = model.object("coordination.k8s.io", "Lease", HOME, name)?;
    let text = |name: &str| value["spec"][name].as_str().unwrap_or_default().to_owned();
    let number = |name: &str| value["spec"][name].as_u64().unwrap_or(0);
    Some(Lease {
        name: name.to_owned(),
        holder: text("holderIdentity"),
        duration: Duration::from_secs(number("leaseDurationSeconds")),
        transitions: u32::try_from(number("leaseTransitions")).expect("few"),
        acquired_at: text("acquireTime"),
        renewed_at: text("renewTime"),
        resource_version: value["metadata"]["resourceVersion"].as_str().map(str::to_owned),
    })
}

pub fn write_lease(model: &Model, lease: &Lease) -> Result<String, ClusterError> {
    let mut body = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": lease.name, "namespace": HOME},
        "spec": {
            "holderIdentity": lease.holder, "leaseDurationSeconds": lease.duration.as_secs(),
            "leaseTransitions": lease.transitions,
            "acquireTime": lease.acquired_at, "renewTime": lease.renewed_at,
        },
    });
    let collection = format!("/apis/coordination.k8s.io/v1/namespaces/{HOME}/leases");
    let request = match &lease.resource_version {
        None => Request::create(&collection, body),
        Some(version) => {
            body["metadata"]["resourceVersion"] = json!(version);
            Request::update(&format!("{collection}/{}", lease.name), body)
        }
    };
    Ok(observed(&ask(model, &request)?).resource_version.to_string())
}

/// Returns a text in which revisions and hashes, which depend on every byte of a commit, are only marked.
pub fn without_hashes(text: &str) -> String {
    let mut marked = String::new();
    let mut run = String::new();
    for c in text.chars().chain(['\0']) {
        if c.is_ascii_hexdigit() {
            run.push(c);
            continue;
        }
        match run.len() {
            12 => marked.push_str("<short>"),
            40 => marked.push_str("<revision>"),
            64 => marked.push_str("<hash>"),
            _ => marked.push_str(&run),
        }
        run.clear();
        marked.extend((c != '\0').then_some(c));
    }
    marked
}
