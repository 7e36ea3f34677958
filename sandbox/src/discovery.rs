//! What the API says of itself: version, groups, resources, OpenAPI as far as stock clients need it.
//!
//! Reads the table of kinds; knows no objects. The OpenAPI documents name every kind and the parameters of a patch, which is what `kubectl`
//! asks before it validates on the server; they carry no schemas. Invariant: a kind is in discovery exactly when its paths are served.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::api::{Request, Response, Status};
use crate::cluster::State;
use crate::kinds::Kind;
use crate::route::Route;

const READ_WRITE: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// Answers a `GET` of anything that is no object.
pub(crate) fn serve(state: &State, route: &Route, request: &Request) -> Response {
    match route {
        Route::Version => Response::json(200, version(&state.settings.server_version)),
        Route::Health => Response::text(200, "ok"),
        Route::CoreVersions | Route::Groups if wants_aggregated(&request.accept).is_some() => {
            let version = wants_aggregated(&request.accept).unwrap_or("v2");
            aggregated(state, *route == Route::CoreVersions, version)
        }
        Route::CoreVersions => Response::json(
            200,
            json!({"kind": "APIVersions", "versions": ["v1"],
                "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}]}),
        ),
        Route::Groups => {
            let groups: Vec<Value> = groups(state).iter().map(|(name, versions)| group(name, versions)).collect();
            Response::json(200, json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
        }
        Route::Group(name) => match groups(state).get(name) {
            Some(versions) => {
                let mut body = group(name, versions);
                body["kind"] = "APIGroup".into();
                body["apiVersion"] = "v1".into();
                Response::json(200, body)
            }
            None => Response::text(404, "404 page not found\n"),
        },
        Route::Resources { group, version } => resources(state, group, version),
        Route::OpenApiV3 => Response::json(200, open_api_index(state)),
        Route::OpenApiV3Of { group, version } => open_api(state, group, version),
        Route::OpenApiV2 => Response::from(Status::not_acceptable()),
        Route::Objects(_) | Route::Unknown => Response::text(404, "404 page not found\n"),
    }
}

/// Returns the version of aggregated discovery that the header asks for.
fn wants_aggregated(accept: &str) -> Option<&'static str> {
    accept.split(',').filter(|choice| choice.contains("as=APIGroupDiscoveryList")).find_map(|choice| {
        let has = |version: &str| choice.split(';').any(|part| part.trim() == format!("v={version}"));
        if has("v2") {
            Some("v2")
        } else if has("v2beta1") {
            Some("v2beta1")
        } else {
            None
        }
    })
}

fn version(text: &str) -> Value {
    let mut parts = text.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    json!({"major": major, "minor": minor, "gitVersion": text, "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "", "platform": "sandbox"})
}

/// Returns every group but the core one with its versions.
fn groups(state: &State) -> BTreeMap<String, Vec<String>> {
    let mut groups: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for kind in state.kinds.served().filter(|kind| !kind.group.is_empty()) {
        groups.entry(kind.group.clone()).or_default().insert(kind.version.clone());
    }
    let by_priority = |versions: BTreeSet<String>| {
        let mut versions: Vec<String> = versions.into_iter().collect();
        versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
        versions
    };
    groups.into_iter().map(|(name, versions)| (name, by_priority(versions))).collect()
}

/// Ranks versions as the server does: stable before beta before alpha, higher numbers first.
fn priority(version: &str) -> (u8, u32, u32) {
    let rest = version.strip_prefix('v').unwrap_or_default();
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (major, rest) = rest.split_at(end);
    let major = major.parse().unwrap_or_default();
    if let Some(beta) = rest.strip_prefix("beta") {
        return (2, major, beta.parse().unwrap_or_default());
    }
    if let Some(alpha) = rest.strip_prefix("alpha") {
        return (1, major, alpha.parse().unwrap_or_default());
    }
    if rest.is_empty() && major > 0 { (3, major, 0) } else { (0, 0, 0) }
}

fn group(name: &str, versions: &[String]) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .map(|version| json!({"groupVersion": format!("{name}/{version}"), "version": version}))
        .collect();
    json!({"name": name, "versions": versions, "preferredVersion": versions[0]})
}

fn kinds<'s>(state: &'s State, group: &'s str, version: &'s str) -> impl Iterator<Item = &'s Kind> {
    state.kinds.served().map(AsRef::as_ref).filter(move |kind| kind.group == group && kind.version == version)
}

/// Names a kind as discovery does: group and version are left empty for built-in kinds, where they are those of the list.
fn own_kind(kind: &Kind) -> Value {
    match kind.custom {
        Some(_) => json!({"group": kind.group, "version": kind.version, "kind": kind.kind}),
        None => json!({"group": "", "version": "", "kind": kind.kind}),
    }
}

/// Lists the subresources of a kind with the group, version and kind of what they answer, and their verbs.
fn subresources(kind: &Kind) -> Vec<(&'static str, Value, &'static [&'static str])> {
    let own = own_kind(kind);
    let mut all: Vec<(&str, Value, &[&str])> = Vec::new();
    if kind.is("", "Pod") {
        all.push(("eviction", json!({"group": "policy", "version": "v1", "kind": "Eviction"}), &["create"]));
        all.push(("log", own.clone(), &["get"]));
    }
    if kind.is("", "Namespace") {
        all.push(("finalize", own.clone(), &["update"]));
    }
    if kind.scale.is_some() {
        let scale = json!({"group": "autoscaling", "version": "v1", "kind": "Scale"});
        all.push(("scale", scale, &["get", "patch", "update"]));
    }
    if kind.status {
        all.push(("status", own, &["get", "patch", "update"]));
    }
    all
}

fn verbs(kind: &Kind) -> Vec<&'static str> {
    let no_collection = kind.is("", "Namespace");
    READ_WRITE.into_iter().filter(|verb| !(no_collection && *verb == "deletecollection")).collect()
}

fn aggregated(state: &State, core: bool, format: &str) -> Response {
    let mut all = groups(state);
    if core {
        all = BTreeMap::from([(String::new(), vec!["v1".to_owned()])]);
    }
    let items: Vec<Value> = all
        .iter()
        .map(|(name, versions)| {
            let versions: Vec<Value> =
                versions.iter().map(|version| aggregated_version(state, name, version)).collect();
            let metadata = if name.is_empty() { json!({}) } else { json!({"name": name}) };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    let body = json!({"kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{format}"),
        "metadata": {}, "items": items});
    let content_type = format!("application/json;g=apidiscovery.k8s.io;v={format};as=APIGroupDiscoveryList");
    Response { content_type, ..Response::json(200, body) }
}

fn aggregated_version(state: &State, group: &str, version: &str) -> Value {
    if state.faults.is_down(group) {
        return json!({"version": version, "freshness": "Stale"});
    }
    let resources: Vec<Value> = kinds(state, group, version)
        .map(|kind| {
            let own = own_kind(kind);
            let mut resource = json!({
                "resource": kind.plural, "responseKind": own, "singularResource": kind.singular,
                "scope": if kind.namespaced { "Namespaced" } else { "Cluster" }, "verbs": verbs(kind),
            });
            if !kind.short_names.is_empty() {
                resource["shortNames"] = json!(kind.short_names);
            }
            if !kind.categories.is_empty() {
                resource["categories"] = json!(kind.categories);
            }
            let below: Vec<Value> = subresources(kind)
                .into_iter()
                .map(|(name, kind, verbs)| json!({"subresource": name, "responseKind": kind, "verbs": verbs}))
                .collect();
            if !below.is_empty() {
                resource["subresources"] = Value::Array(below);
            }
            resource
        })
        .collect();
    json!({"version": version, "freshness": "Current", "resources": resources})
}

fn resources(state: &State, group: &str, version: &str) -> Response {
    if state.faults.is_down(group) {
        return Response::out_of_service();
    }
    let mut list = Vec::new();
    for kind in kinds(state, group, version) {
        let mut resource = json!({"name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced,
            "kind": kind.kind, "verbs": verbs(kind)});
        if !kind.short_names.is_empty() {
            resource["shortNames"] = json!(kind.short_names);
        }
        if !kind.categories.is_empty() {
            resource["categories"] = json!(kind.categories);
        }
        list.push(resource);
        for (name, of, verbs) in subresources(kind) {
            let mut resource = json!({"name": format!("{}/{name}", kind.plural), "singularName": "",
                "namespaced": kind.namespaced, "kind": of["kind"], "verbs": verbs});
            if of["group"] != "" && of["group"] != kind.group.as_str() {
                resource["group"] = of["group"].clone();
                resource["version"] = of["version"].clone();
            }
            list.push(resource);
        }
    }
    if list.is_empty() {
        return Response::text(404, "404 page not found\n");
    }
    let version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let body = json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": list});
    Response::json(200, body)
}

fn open_api_index(state: &State) -> Value {
    let mut paths = serde_json::Map::new();
    for kind in state.kinds.served() {
        let path = if kind.group.is_empty() { "api/v1".to_owned() } else { format!("apis/{}", kind.api_version()) };
        let url = format!("/openapi/v3/{path}?hash={}", state.discovery_version);
        paths.insert(path, json!({"serverRelativeURL": url}));
    }
    json!({"paths": paths})
}

fn open_api(state: &State, group: &str, version: &str) -> Response {
    let parameters: Vec<Value> = ["dryRun", "fieldManager", "fieldValidation"]
        .into_iter()
        .map(|name| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}}))
        .collect();
    let mut paths = serde_json::Map::new();
    let mut schemas = serde_json::Map::new();
    for kind in kinds(state, group, version) {
        let own = json!({"group": kind.group, "version": kind.version, "kind": kind.kind});
        let path = format!("{}/{{name}}", kind.path("{namespace}", ""));
        let responses = json!({"200": {"description": "OK"}});
        let patch = json!({"parameters": parameters, "responses": responses, "x-kubernetes-action": "patch",
            "x-kubernetes-group-version-kind": own});
        paths.insert(path, json!({"patch": patch}));
        let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "x-kubernetes-group-version-kind": [own]});
        schemas.insert(format!("{}.{}.{}", kind.group, kind.version, kind.kind), schema);
    }
    if paths.is_empty() {
        return Response::text(404, "404 page not found\n");
    }
    let version = &state.settings.server_version;
    let body = json!({"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": version}, "paths": paths, "components": {"schemas": schemas}});
    Response::json(200, body)
}
