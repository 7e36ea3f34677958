//! The table of readiness: objects as the API server shows them, and the verdict that we must give.
//!
//! Every case is data in `readiness/*.yaml`; this file only reads and compares. A case of a workload may also have what is around it, and
//! the signs that it will not get there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use manifest::yaml;
use serde::Deserialize;
use serde_json::Value;
use syncd::cluster::GroupKind;
use syncd::readiness::pods::{Evidence, Fails, Tolerance, signs};
use syncd::readiness::{Readiness, readiness};
use syncd::rules::Rules;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Kind {
    api_version: String,
    kind: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    expect: String,
    object: Option<Value>,
    #[serde(default)]
    pods: Vec<Value>,
    #[serde(default)]
    sets: Vec<Value>,
    #[serde(default)]
    events: Vec<Value>,
    signs: Option<Vec<String>>,
}

/// Returns a verdict as the table writes it.
fn word(readiness: Readiness) -> String {
    match readiness {
        Readiness::Current => "current".to_owned(),
        Readiness::InProgress(why) => format!("in progress: {why}"),
        Readiness::Failed(why) => format!("failed: {why}"),
        Readiness::Terminating => "terminating".to_owned(),
        Readiness::NotFound => "not found".to_owned(),
        Readiness::Unknown(why) => format!("unknown: {why}"),
    }
}

fn signs_of(kind: &GroupKind, case: &Case) -> Vec<String> {
    let tolerance = Tolerance {
        failures_allowed: 1,
        unschedulable: Duration::from_secs(60),
        no_activity: None,
        probes: BTreeMap::new(),
        fails: Fails::AtOnce,
    };
    let mut evidence =
        Evidence { pods: case.pods.iter().collect(), sets: case.sets.iter().collect(), events: BTreeMap::new() };
    for event in &case.events {
        let uid = event["involvedObject"]["uid"].as_str().expect("an event is about something");
        evidence.events.entry(uid).or_default().push(event);
    }
    let object = case.object.as_ref().expect("signs are of something");
    let lasting = |lasts: Duration| match lasts.as_secs_f64() {
        0.0 => String::new(),
        seconds => format!("; for {} s", seconds.ceil()),
    };
    let found = signs(kind, object, &evidence, &tolerance.of(object));
    found.iter().map(|sign| sign.text() + &lasting(sign.lasts)).collect()
}

#[test]
fn every_object_gets_its_verdict() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readiness");
    let rules = Rules::default();
    let (mut count, mut wrong) = (0, Vec::new());
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("readable").map(|entry| entry.expect("readable").path()).collect();
    files.sort();
    for path in files {
        let text = fs::read_to_string(&path).expect("text");
        let file = path.file_name().expect("a file").to_string_lossy().into_owned();
        for document in yaml::read(&text, &yaml::Settings::default()).unwrap_or_else(|error| panic!("{file}: {error}"))
        {
            let of: Kind = serde_json::from_value(document.value).unwrap_or_else(|error| panic!("{file}: {error}"));
            let group = manifest::object::group_of(&of.api_version).to_owned();
            let kind = GroupKind::new(&group, &of.kind);
            for case in of.cases {
                count += 1;
                let found = word(readiness(&kind, case.object.as_ref(), &rules));
                if found != case.expect {
                    wrong
                        .push(format!("{file}: {kind}: {}\n  expected {}\n  found    {found}", case.name, case.expect));
                }
                let Some(expected) = &case.signs else { continue };
                let found = signs_of(&kind, &case);
                if found != *expected {
                    wrong.push(format!("{file}: {kind}: {}\n  expected {expected:?}\n  found    {found:?}", case.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 250, "{count} objects");
}

#[test]
fn every_built_in_rule_has_a_case() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readiness/rules.yaml");
    let text = fs::read_to_string(path).expect("text");
    let documents = yaml::read(&text, &yaml::Settings::default()).expect("YAML");
    let kinds: Vec<GroupKind> = documents
        .iter()
        .map(|document| GroupKind {
            group: manifest::object::group_of(document.value["apiVersion"].as_str().expect("text")).into(),
            kind: document.value["kind"].as_str().expect("text").into(),
        })
        .collect();
    let rules = Rules::default();
    let is_tried = |rule: &syncd::rules::Rule| kinds.iter().any(|kind| rules.of(kind) == Some(rule));
    let untried: Vec<_> = rules.iter().filter(|rule| !is_tried(rule)).map(|rule| rule.kinds.join(", ")).collect();
    assert!(untried.is_empty(), "no case for {untried:#?}");
}
