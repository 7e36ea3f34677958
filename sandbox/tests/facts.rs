//! Holds the model to what a real API server answered.
//!
//! The exchanges are in `conformance/kubernetes/facts` and in `tests/cases`, all recorded on kube-apiserver; they are played against the model
//! here, step by step, and every answer must be the recorded one. A definition that a case needs is in `tests/cases/definitions`. What cannot be the same twice (uids, versions, times, addresses) is replaced by names, equal names
//! for equal values within a case. [`DIFFERENT`] lists the steps that are known to differ, each with the reason.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sandbox::{Cluster, Request, Settings};
use serde_json::{Value, json};

/// Steps whose answers differ, by file and number from 1, and why.
const DIFFERENT: &[(&str, usize, &str)] = &[
    ("custom-definition.json", 2, "the recorded message shows the server's own Go structure"),
    ("kinds.json", 23, "the recorded message ends with a diff of the server's own Go structure"),
    ("watch.json", 24, "continue tokens are of another make, so another error tells of a broken one"),
];
/// Files that hold something else than exchanges.
const NO_EXCHANGES: [&str; 2] = ["discovery.json", "structure.json"];
/// Virtual time that passes before every step, as it does on a server that is asked over a network.
const PAUSE: Duration = Duration::from_millis(5);
/// Virtual time within which the events of a watch must come.
const PATIENCE: Duration = Duration::from_secs(2);

#[test]
fn every_recorded_answer_is_given() {
    let files = case_files();
    assert!(files.len() >= 16, "the recordings are where they belong: {files:?}");
    let mut failures = Vec::new();
    let mut steps = 0;
    for file in files {
        let name = file.file_name().and_then(|name| name.to_str()).expect("a file").to_owned();
        let case: Value = serde_json::from_slice(&std::fs::read(&file).expect("readable")).expect("JSON");
        steps += play(&name, &case, &mut failures);
    }
    println!("{steps} recorded answers, {} known to differ", DIFFERENT.len());
    assert!(failures.is_empty(), "{} answers differ:\n{}", failures.len(), failures.join("\n"));
}

fn case_files() -> Vec<PathBuf> {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [ours.join("../conformance/kubernetes/facts"), ours.join("tests/cases")];
    let entries = folders.iter().map(|folder| std::fs::read_dir(folder).expect("part of the repository"));
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.expect("readable").path()).collect();
    files.retain(|file| !NO_EXCHANGES.iter().any(|name| file.ends_with(name)));
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files
}

/// Plays one case, and lists the answers that differ. Returns the number of steps.
fn play(name: &str, case: &Value, failures: &mut Vec<String>) -> usize {
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
    };
    let cluster = Cluster::new(Settings::default());
    for namespace in texts(&case["namespaces"]) {
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        assert_eq!(cluster.handle(&Request::create("/api/v1/namespaces", body).agent("exchange/1")).code, 201);
    }
    let definition = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/definitions").join(name);
    if let Ok(text) = std::fs::read(definition) {
        let body: Value = serde_json::from_slice(&text).expect("JSON");
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        assert_eq!(cluster.handle(&Request::create(path, body)).code, 201);
        cluster.advance(PATIENCE);
    }
    cluster.advance(PAUSE);
    let mut names = Names::default();
    let steps = case["steps"].as_array().expect("a case has steps");
    for (index, step) in steps.iter().enumerate() {
        let mut answer = send(&cluster, &names.unmask(&step["request"]));
        if step["request"]["controlled"] == Value::Bool(true) {
            without_controllers(&mut answer["body"]);
        }
        names.learn(&answer["body"]);
        names.learn(&answer["events"]);
        let answer = names.masked("", &answer);
        let known = DIFFERENT.iter().any(|(file, number, _)| *file == name && *number == index + 1);
        let mut found = Vec::new();
        difference("", &Names::default().masked("", &step["response"]), &answer, &mut found);
        let (method, path) = (&step["request"]["method"], &step["request"]["path"]);
        if known && found.is_empty() {
            failures.push(format!("{name} step {}: no longer differs, take it off the list", index + 1));
        } else if !known && !found.is_empty() {
            failures.push(format!("{name} step {} {method} {path}:\n    {}", index + 1, found.join("\n    ")));
        }
    }
    steps.len()
}

fn send(cluster: &Cluster, step: &Value) -> Value {
    cluster.advance(PAUSE);
    let text = |name: &str| step[name].as_str().unwrap_or_default().to_owned();
    let path = text("path");
    let (path, query) = path.split_once('?').unwrap_or((&path, ""));
    let mut request = Request::new(&text("method"), path).agent("exchange/1");
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        request = request.query(name, &value.replace("%3D", "=").replace("%2F", "/").replace("%2C", ","));
    }
    (request.content_type, request.accept, request.body) = (text("contentType"), text("accept"), step["body"].clone());
    let wanted = usize::try_from(step["events"].as_u64().unwrap_or_default()).expect("small");
    if wanted > 0 || matches!(request.parameter("watch"), Some("1" | "true")) {
        return watch(cluster, &request, wanted);
    }
    let response = cluster.handle(&request);
    match response.body {
        Value::Null => json!({"code": response.code}),
        body => json!({"code": response.code, "body": body}),
    }
}

fn watch(cluster: &Cluster, request: &Request, wanted: usize) -> Value {
    let mut watch = match cluster.watch(request) {
        Ok(watch) => watch,
        Err(refused) => return json!({"code": refused.code, "body": refused.body}),
    };
    let mut events = Vec::new();
    let deadline = cluster.now() + jiff::SignedDuration::try_from(PATIENCE).expect("small");
    while events.len() < wanted && !watch.is_over() && cluster.now() < deadline {
        match watch.try_next() {
            Some(event) => events.push(event.to_json()),
            None => cluster.advance(PAUSE),
        }
    }
    if events.is_empty() { json!({"code": 200}) } else { json!({"code": 200, "events": events}) }
}

/// Takes out of an object what controllers write at their own time.
fn without_controllers(body: &mut Value) {
    const CONTROLLERS: [&str; 4] = ["kube-controller-manager", "kube-scheduler", "kubelet", "kube-apiserver"];
    if body["metadata"]["uid"].is_null() {
        return;
    }
    let object = body.as_object_mut().expect("an object has metadata");
    object.remove("status");
    let metadata = object["metadata"].as_object_mut().expect("it has a uid");
    metadata.remove("resourceVersion");
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove("deployment.kubernetes.io/revision");
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    let entries = metadata.get("managedFields").and_then(Value::as_array).cloned().unwrap_or_default();
    let kept =
        entries.into_iter().filter(|entry| !CONTROLLERS.contains(&entry["manager"].as_str().unwrap_or_default()));
    metadata.insert("managedFields".to_owned(), Value::Array(kept.collect()));
}

/// Lasting names for what is new in every run, as the recordings have them.
#[derive(Default)]
struct Names {
    uids: BTreeMap<String, String>,
    versions: BTreeMap<String, String>,
    values: BTreeMap<String, String>,
}

impl Names {
    fn unmask(&self, request: &Value) -> Value {
        let mut text = request.to_string();
        for (name, value) in &self.values {
            text = text.replace(name.as_str(), value);
        }
        serde_json::from_str(&text).expect("names hold no quotes")
    }

    fn learn(&mut self, value: &Value) {
        match value {
            Value::Object(object) => {
                let uid = object.get("uid").and_then(Value::as_str).filter(|uid| !uid.is_empty());
                if let Some(uid) = uid {
                    give(&mut self.uids, &mut self.values, uid, "uid");
                }
                if let Some(version) =
                    object.get("resourceVersion").and_then(Value::as_str).filter(|text| !text.is_empty())
                {
                    match uid {
                        Some(_) => give(&mut self.versions, &mut self.values, version, "rv"),
                        None => {
                            self.values.insert("<list rv>".to_owned(), version.to_owned());
                        }
                    }
                }
                if let Some(token) = object.get("continue").and_then(Value::as_str).filter(|token| !token.is_empty()) {
                    self.values.insert("<continue>".to_owned(), token.to_owned());
                }
                for inner in object.values() {
                    self.learn(inner);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.learn(item)),
            _ => {}
        }
    }

    fn masked(&self, key: &str, value: &Value) -> Value {
        match value {
            Value::Object(object) => {
                let has_uid = object.contains_key("uid");
                let inner = object.iter().map(|(name, item)| {
                    let item = match (name.as_str(), item.as_str()) {
                        ("resourceVersion", Some(text)) if !has_uid && !text.is_empty() => "<list rv>".into(),
                        ("resourceVersion", Some(text)) if self.versions.contains_key(text) => {
                            self.versions[text].as_str().into()
                        }
                        ("continue", Some(text)) if !text.is_empty() => "<continue>".into(),
                        _ => self.masked(name, item),
                    };
                    (masked_key(name), item)
                });
                Value::Object(inner.collect())
            }
            Value::Array(items) => {
                let mut items: Vec<Value> = items.iter().map(|item| self.masked(key, item)).collect();
                let by: &[&str] = match key {
                    "managedFields" => &["operation", "manager", "apiVersion", "subresource"],
                    "causes" => &["field", "message"],
                    _ => &[],
                };
                let rank = |item: &Value| -> Vec<String> {
                    by.iter().map(|name| item[*name].as_str().unwrap_or_default().to_owned()).collect()
                };
                items.sort_by_key(rank);
                Value::Array(items)
            }
            Value::String(text) => self.masked_text(key, text).into(),
            other => other.clone(),
        }
    }

    fn masked_text(&self, key: &str, text: &str) -> String {
        if key == "description" {
            return "<text>".to_owned();
        }
        if matches!(key, "clusterIP" | "clusterIPs") && text != "None" && !text.is_empty() {
            return "<ip>".to_owned();
        }
        let mut text = text.to_owned();
        for (uid, name) in &self.uids {
            text = text.replace(uid.as_str(), name);
        }
        if key == "message" {
            for (version, name) in &self.versions {
                text = replace_word(&text, version, name);
            }
        }
        replace_times(&text)
    }
}

/// Masks the uid in the key of an owned owner reference; the recordings have it as it was.
fn masked_key(key: &str) -> String {
    if key.starts_with("k:{\"uid\"") { "k:{\"uid\":<uid>}".to_owned() } else { key.to_owned() }
}

fn give(known: &mut BTreeMap<String, String>, values: &mut BTreeMap<String, String>, value: &str, kind: &str) {
    if !known.contains_key(value) {
        let name = format!("<{kind} {}>", known.len() + 1);
        values.insert(name.clone(), value.to_owned());
        known.insert(value.to_owned(), name);
    }
}

fn replace_word(text: &str, word: &str, with: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let after = &rest[at + word.len()..];
        let is_whole = !rest[..at].ends_with(is_word) && !after.starts_with(is_word);
        out.push_str(&rest[..at]);
        out.push_str(if is_whole { with } else { word });
        rest = after;
    }
    out + rest
}

/// Replaces times such as `2026-01-01T00:00:00Z`, wherever they stand.
fn replace_times(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('T').filter(|at| *at >= 10) {
        let start = at - 10;
        let end = rest[at..].find('Z').map(|length| at + length + 1);
        let time = end.and_then(|end| Some((rest.get(start..end)?, end)));
        match time.filter(|(time, _)| time.parse::<jiff::Timestamp>().is_ok()) {
            Some((_, end)) => {
                out.push_str(&rest[..start]);
                out.push_str("<time>");
                rest = &rest[end..];
            }
            None => {
                out.push_str(&rest[..=at]);
                rest = &rest[at + 1..];
            }
        }
    }
    out + rest
}

fn difference(path: &str, recorded: &Value, got: &Value, found: &mut Vec<String>) {
    match (recorded, got) {
        (Value::Object(left), Value::Object(right)) => {
            let keys: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            for key in keys {
                difference(&format!("{path}.{key}"), &recorded[key], &got[key], found);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                difference(&format!("{path}[{index}]"), left, right, found);
            }
        }
        (left, right) if left != right => found.push(format!("{path}: recorded {left}, got {right}")),
        _ => {}
    }
}

/// Kinds whose recorded structure is older than ours: conditions came to this one later.
const NO_KIND: [&str; 1] = ["autoscaling/v1 HorizontalPodAutoscaler"];
/// Recorded resources and subresources that are not served here.
const NOT_SERVED: [&str; 12] = [
    "serviceaccounts/token",
    "networking.k8s.io/v1 ipaddresses",
    "networking.k8s.io/v1 servicecidrs",
    "nodes/proxy",
    "pods/attach",
    "pods/binding",
    "pods/ephemeralcontainers",
    "pods/exec",
    "pods/portforward",
    "pods/proxy",
    "pods/resize",
    "services/proxy",
];

fn recorded(name: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance/kubernetes/facts").join(name);
    serde_json::from_slice(&std::fs::read(file).expect("part of the repository")).expect("JSON")
}

#[test]
fn lists_are_told_apart_as_the_real_schema_says() {
    use sandbox::kinds::Kinds;
    let kinds = Kinds::default();
    let recorded = recorded("structure.json");
    let mut compared = 0;
    for (name, expected) in recorded.as_object().expect("by kind") {
        if NO_KIND.contains(&name.as_str()) {
            continue;
        }
        let (version, kind) = name.split_once(' ').expect("version and kind");
        let group = version.split_once('/').map_or("", |(group, _)| group);
        let kind = kinds.of_kind(group, kind).unwrap_or_else(|| panic!("{name} is not served"));
        let mut found = Structure::default();
        found.walk(kind, kind.root, "", &mut Vec::new());
        for (what, found) in [("map", json!(found.maps)), ("set", json!(found.sets)), ("atomic", json!(found.atomic))] {
            let mut differences = Vec::new();
            let expected = match &expected[what] {
                Value::Array(paths) => {
                    json!(paths.iter().filter_map(Value::as_str).collect::<std::collections::BTreeSet<_>>())
                }
                other => other.clone(),
            };
            difference("", &expected, &found, &mut differences);
            assert!(
                differences.is_empty() || (expected.is_null() && is_empty(&found)),
                "{name} {what}: {differences:?}"
            );
        }
        compared += 1;
    }
    assert!(compared >= 30, "{compared}");
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(serde_json::Map::is_empty)
}

/// How the lists and maps of a kind are owned, by path.
#[derive(Default)]
struct Structure {
    maps: BTreeMap<String, Vec<String>>,
    sets: std::collections::BTreeSet<String>,
    atomic: std::collections::BTreeSet<String>,
}

impl Structure {
    fn walk(&mut self, kind: &sandbox::kinds::Kind, of: schema::TypeId, path: &str, above: &mut Vec<schema::TypeId>) {
        use schema::{Items, Type};
        if above.contains(&of) {
            return;
        }
        above.push(of);
        match kind.schema.get(of) {
            Type::Map(map) if map.atomic => {
                self.atomic.insert(path.to_owned());
            }
            Type::Map(map) => {
                for (name, field) in &map.fields {
                    let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    self.walk(kind, field.of, &inner, above);
                }
            }
            Type::List(list) => match &list.items {
                Items::Atomic => {
                    self.atomic.insert(path.to_owned());
                }
                Items::Set => {
                    self.sets.insert(path.to_owned());
                }
                Items::Keyed(keys) => {
                    self.maps.insert(path.to_owned(), keys.iter().map(|key| key.name.clone()).collect());
                    self.walk(kind, list.item, &format!("{path}[]"), above);
                }
            },
            Type::Scalar(_) | Type::Any => {}
        }
        above.pop();
    }
}

#[test]
fn discovery_names_what_the_real_server_names() {
    let cluster = Cluster::new(Settings::default());
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    for path in ["/api", "/apis"] {
        let answer = cluster.handle(&Request { accept: accept.to_owned(), ..Request::get(path) });
        assert_eq!(answer.content_type, "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
        let (ours, theirs) = (resources(&answer.body), resources(&recorded("discovery.json")[path]));
        for (name, resource) in theirs {
            if !NOT_SERVED.contains(&name.as_str()) {
                assert_eq!(ours.get(&name), Some(&resource), "{name}");
            }
        }
    }
}

/// Lists the resources of a discovery document by version and plural, without the subresources that are not served here.
fn resources(document: &Value) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for group in document["items"].as_array().into_iter().flatten() {
        let name = group["metadata"]["name"].as_str().unwrap_or_default();
        for version in group["versions"].as_array().into_iter().flatten() {
            let version_name = version["version"].as_str().unwrap_or_default();
            let prefix = if name.is_empty() { version_name.to_owned() } else { format!("{name}/{version_name}") };
            for resource in version["resources"].as_array().into_iter().flatten() {
                let mut resource = resource.clone();
                let plural = resource["resource"].as_str().unwrap_or_default().to_owned();
                if let Some(below) = resource.get_mut("subresources").and_then(Value::as_array_mut) {
                    below.retain(|one| {
                        let path = format!("{plural}/{}", one["subresource"].as_str().unwrap_or_default());
                        !NOT_SERVED.contains(&path.as_str())
                    });
                    if below.is_empty() {
                        resource.as_object_mut().expect("an object").remove("subresources");
                    }
                }
                all.insert(format!("{prefix} {plural}"), resource);
            }
        }
    }
    all
}

#[test]
fn times_and_versions_are_masked_wherever_they_stand() {
    assert_eq!(replace_times("at 2026-01-01T00:00:00Z, The end T"), "at <time>, The end T");
    assert_eq!(replace_word("version 12 is not 123", "12", "<rv 1>"), "version <rv 1> is not 123");
}
