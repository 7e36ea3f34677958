//! Holds the controllers to what real ones wrote.
//!
//! `tests/cases/workloads` has manifests, and every workload, pod and revision as it was on a real control plane some seconds after they were
//! applied and the image of the Deployment `web` was changed once. The model must end with the same objects, field owners included. What
//! differs in every run, and what admission adds to pods there and not here, is taken out of both.

use std::path::Path;
use std::time::Duration;

use sandbox::{Cluster, Request, Settings};
use serde_json::{Value, json};

/// Fields that differ in every run, or that only admission plugins of the real server write.
const LEFT_OUT: [&str; 6] = ["uid", "resourceVersion", "volumeMounts", "volumes", "containerID", "f:podIPs"];
const KINDS: [(&str, &str); 8] = [
    ("apps", "ControllerRevision"),
    ("apps", "DaemonSet"),
    ("apps", "Deployment"),
    ("batch", "Job"),
    ("", "Pod"),
    ("policy", "PodDisruptionBudget"),
    ("apps", "ReplicaSet"),
    ("apps", "StatefulSet"),
];
/// The workloads, whose names are part of generated ones.
const NAMES: [&str; 6] = ["web", "stuck", "db", "agent", "job", "bad"];
/// Letters of generated names.
const LETTERS: &str = "bcdfghjklmnpqrstvwxz2456789";

fn read(name: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/workloads").join(name);
    serde_json::from_slice(&std::fs::read(file).expect("part of the repository")).expect("JSON")
}

#[test]
fn workloads_end_as_on_a_real_control_plane() {
    let cluster = Cluster::new(Settings { namespaces: vec!["par".into()], ..Settings::default() });
    for manifest in read("manifests.json").as_array().expect("a list") {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let version = text(&manifest["apiVersion"]);
        let group = version.split_once('/').map_or("", |(group, _)| group);
        let path = cluster.path(group, &text(&manifest["kind"]), "par", &text(&manifest["metadata"]["name"]));
        let answer = cluster.handle(&Request::apply(&path.expect("a known kind"), "kubectl", manifest.clone()));
        assert_eq!(answer.code, 201, "{}", answer.body);
    }
    cluster.advance(Duration::from_secs(8));
    let path = cluster.path("apps", "Deployment", "par", "web").expect("a known kind");
    let change = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "nginx:2"}]}}}});
    let patch = Request::merge_patch(&path, change).query("fieldManager", "kubectl-patch");
    assert_eq!(cluster.handle(&patch).code, 200);
    cluster.advance(Duration::from_secs(5));

    let ours = KINDS.iter().flat_map(|(group, kind)| cluster.objects(group, kind, "par"));
    let ours = lines(ours);
    let theirs = lines(read("recorded.json").as_array().expect("a list").iter().cloned());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.len(), theirs.len());
}

/// Writes objects as sorted JSON, masked.
fn lines(objects: impl Iterator<Item = Value>) -> Vec<String> {
    let mut lines: Vec<String> = objects.map(|object| masked("", &object).to_string()).collect();
    lines.sort();
    lines
}

fn masked(key: &str, value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let kept = object.iter().filter(|(name, _)| !LEFT_OUT.contains(&name.as_str()));
            let name = |name: &String| if name.starts_with("k:{\"uid\"") { "k:{uid}".to_owned() } else { name.clone() };
            Value::Object(kept.map(|(inner, value)| (name(inner), masked(inner, value))).collect())
        }
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(|item| masked(key, item)).collect();
            let by: &[&str] = match key {
                "managedFields" => &["operation", "manager", "subresource"],
                "conditions" => &["type"],
                _ => &[],
            };
            let rank = |item: &Value| -> Vec<String> {
                by.iter().map(|name| item[*name].as_str().unwrap_or_default().to_owned()).collect()
            };
            items.sort_by_key(rank);
            Value::Array(items)
        }
        Value::String(text) => masked_text(key, text).into(),
        other => other.clone(),
    }
}

fn masked_text(key: &str, text: &str) -> String {
    match key {
        "pod-template-hash" | "controller-revision-hash" | "controller.kubernetes.io/hash" => return "H".to_owned(),
        "podIP" | "hostIP" | "ip" | "nodeName" | "node" | "values" => return "<ip>".to_owned(),
        _ => {}
    }
    if text.parse::<jiff::Timestamp>().is_ok() {
        return "<t>".to_owned();
    }
    let is_uid = text.len() == 36 && text.bytes().filter(|byte| *byte == b'-').count() == 4;
    if is_uid {
        return "<uid>".to_owned();
    }
    NAMES.iter().fold(text.to_owned(), |text, name| without_generated(&text, name))
}

/// Replaces what is generated behind a name: `web-5ddc6c68d5-l9454` becomes `web-H`.
fn without_generated(text: &str, name: &str) -> String {
    let Some(at) = text.find(&format!("{name}-")) else { return text.to_owned() };
    let rest = &text[at + name.len() + 1..];
    let run = |text: &str| text.bytes().take_while(|byte| LETTERS.as_bytes().contains(byte)).count();
    let first = run(rest);
    if !(5..=10).contains(&first) {
        return text.to_owned();
    }
    let second = rest[first..].strip_prefix('-').map_or(0, |rest| if run(rest) == 5 { 6 } else { 0 });
    format!("{}{name}-H{}", &text[..at], &rest[first + second..])
}

#[test]
fn generated_names_are_masked_and_nothing_else() {
    assert_eq!(without_generated("ReplicaSet \"web-5ddc6c68d5\" is", "web"), "ReplicaSet \"web-H\" is");
    assert_eq!(without_generated("web-5ddc6c68d5-l9454", "web"), "web-H");
    assert_eq!(without_generated("db-0", "db"), "db-0");
}
