//! What the generator refuses and takes, held against what a kube-apiserver said.
//!
//! `tests/validation/requests.json` has every request that was made, server-side apply as a dry run with strict fields, and the answer of
//! a kube-apiserver 1.35. The requests come of `manifests.yaml` (bases, and changes of them that are refused or not), and of every
//! manifest of the example, of the cases of the chart `generic` and of the test charts. Where they are not those that were recorded, or to
//! record again: `conformance/kubernetes/validity record`.

#![expect(clippy::disallowed_methods, reason = "a test reads its data")]

mod charts;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use generator::settings::Settings;
use generator::validation::{Cluster, DEFINITION, Definitions, Finding};
use manifest::object::{Manifest, flatten};
use manifest::yaml;
use serde_json::{Value, json};

/// The version that answered.
const KUBERNETES: &str = "1.35.4";
const NAMESPACE: &str = "validity";

/// What a manifest was written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Refused,
    Accepted,
    /// It stands somewhere in the repository: whatever the server says.
    Any,
}

struct Asked {
    name: String,
    wanted: Wanted,
    manifest: Value,
    /// Whether it is made, not only tried.
    stays: bool,
}

struct Answer {
    code: u64,
    message: String,
    warnings: Vec<String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn read(text: &str) -> Vec<Value> {
    let documents = yaml::read(text, &yaml::Settings::default()).unwrap_or_default();
    documents.into_iter().map(|document| document.value).filter(|value| !value.is_null()).collect()
}

/// Everything that is asked, definitions first.
fn asked() -> Vec<Asked> {
    let text = fs::read_to_string(folder().join("validation/manifests.yaml")).expect("the manifests");
    let kinds = read(&text).remove(0);
    let mut asked = Vec::new();
    for (kind, group) in kinds.as_object().expect("kinds") {
        let mut add = |name: String, wanted, manifest: &Value, stays| {
            let (name, manifest) = (format!("{kind}: {name}"), manifest.clone());
            asked.push(Asked { name, wanted, manifest, stays });
        };
        if let Some(definition) = group.get("definition") {
            add("definition".to_owned(), Wanted::Accepted, definition, true);
        }
        let base = group.get("base").cloned().unwrap_or_default();
        if !base.is_null() {
            add("base".to_owned(), Wanted::Accepted, &base, false);
        }
        for (list, wanted) in [("accepted", Wanted::Accepted), ("refused", Wanted::Refused)] {
            for (name, changes) in group.get(list).and_then(Value::as_object).into_iter().flatten() {
                let mut manifest = base.clone();
                for (pointer, value) in changes.as_object().expect("changes") {
                    set(&mut manifest, pointer, value)
                        .unwrap_or_else(|| panic!("{kind}: {name}: {pointer} leads nowhere"));
                }
                add(name.clone(), wanted, &manifest, false);
            }
        }
    }
    let mut known: BTreeSet<String> = BTreeSet::new();
    for (name, text) in texts() {
        let objects = read(&text).into_iter().flat_map(flatten).filter_map(|value| Manifest::from_value(value).ok());
        for mut object in objects {
            if !object.value["metadata"]["namespace"].is_null()
                || manifest::object::scope(&object.id.group, &object.id.kind)
                    == Some(manifest::object::Scope::Namespaced)
            {
                object.value["metadata"]["namespace"] = NAMESPACE.into();
            }
            if known.insert(object.value.to_string()) {
                let name = format!("{name}: {} {}", object.id.kind, object.id.name);
                asked.push(Asked { name, wanted: Wanted::Any, manifest: object.value, stays: false });
            }
        }
    }
    asked.sort_by_key(|one| !one.stays);
    asked
}

/// Sets what stands at a pointer; null removes it.
fn set(value: &mut Value, pointer: &str, to: &Value) -> Option<()> {
    let Some((parent, key)) = pointer.rsplit_once('/') else {
        *value = to.clone();
        return Some(());
    };
    let key = key.replace("~1", "/").replace("~0", "~");
    match value.pointer_mut(parent)? {
        Value::Object(map) if to.is_null() => drop(map.remove(&key)?),
        Value::Object(map) => drop(map.insert(key, to.clone())),
        Value::Array(items) => *items.get_mut(key.parse::<usize>().ok()?)? = to.clone(),
        _ => return None,
    }
    Some(())
}

/// Every rendered text there is, with where it stands.
fn texts() -> Vec<(String, String)> {
    let project = folder().join("../..");
    let mut texts = Vec::new();
    for environment in sorted(&project.join("_gen")) {
        for service in sorted(&environment) {
            let path = service.join("resources.yaml");
            if let Ok(text) = fs::read_to_string(&path) {
                let name = path.strip_prefix(&project).expect("below it").display().to_string();
                texts.push((name, text));
            }
        }
    }
    for path in sorted(&folder().join("generic")) {
        let text = fs::read_to_string(&path).expect("a file");
        if let Some((_, rendered)) = text.strip_prefix("---\n").and_then(|text| text.split_once("\n---\n")) {
            texts.push((file_name(&path), rendered.to_owned()));
        }
    }
    for path in sorted(&folder().join("helm")) {
        let sections = charts::sections(&fs::read_to_string(&path).expect("a case"));
        let streams = sections.into_iter().filter(|(name, _)| name.starts_with("want ") && name.ends_with(": stream"));
        texts.extend(streams.map(|(name, text)| (format!("{} {name}", file_name(&path)), text)));
    }
    texts
}

fn file_name(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

/// Returns the name that a kind has in addresses.
fn plural(kind: &str) -> String {
    let kind = kind.to_lowercase();
    if kind == "endpoints" {
        return kind;
    }
    match kind.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o']) => format!("{stem}ies"),
        _ if kind.ends_with('s') => format!("{kind}es"),
        _ => format!("{kind}s"),
    }
}

fn address(manifest: &Value) -> String {
    let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let version = text("/apiVersion");
    let root = if version.contains('/') { "apis" } else { "api" };
    let namespace = match text("/metadata/namespace") {
        "" => String::new(),
        namespace => format!("/namespaces/{namespace}"),
    };
    format!("/{root}/{version}{namespace}/{}", plural(text("/kind")))
}

/// Returns the requests for a manifest.
fn requests(asked: &Asked) -> Vec<Value> {
    let Asked { manifest, stays, .. } = asked;
    let name = manifest.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("a");
    let list = address(manifest);
    let how = if *stays { "" } else { "dryRun=All&" };
    let path = format!("{list}/{name}?{how}fieldValidation=Strict&fieldManager=syncd");
    let apply = json!({
        "method": "PATCH", "path": path, "contentType": "application/apply-patch+yaml", "body": manifest, "verdict": true
    });
    if !stays {
        return vec![apply];
    }
    let spec = &manifest["spec"];
    let kind = spec["names"]["plural"].as_str().expect("a name");
    let versions = spec["versions"].as_array().expect("versions").iter();
    let version = versions.filter(|version| version["served"] == true).find_map(|version| version["name"].as_str());
    let path = format!("/apis/{}/{}/{kind}", spec["group"].as_str().expect("a group"), version.expect("a version"));
    vec![apply, json!({"method": "GET", "path": path, "until": 200, "verdict": true})]
}

/// Everything that is asked, with what was answered.
fn answered() -> Vec<(Asked, Answer)> {
    let path = folder().join("validation/requests.json");
    let recorded: Value =
        fs::read_to_string(&path).map_or(json!({}), |text| serde_json::from_str(&text).expect("JSON"));
    let recorded: Vec<&Value> = recorded["steps"].as_array().into_iter().flatten().collect();
    let asked = asked();
    let steps: Vec<Value> = asked
        .iter()
        .flat_map(|one| requests(one).into_iter().map(|request| (one.name.clone(), request)))
        .map(|(note, request)| {
            let answer = recorded.iter().find(|step| step["note"] == note.as_str() && step["request"] == request);
            let response = answer.map_or(json!({"code": 0}), |step| step["response"].clone());
            json!({"note": note, "request": request, "response": response})
        })
        .collect();
    let is_current =
        steps.iter().collect::<Vec<_>>() == recorded && steps.iter().all(|step| step["response"]["code"] != 0);
    if !is_current {
        let cluster: Vec<String> = asked
            .iter()
            .filter(|one| one.stays)
            .map(|one| {
                format!("{}/{}", address(&one.manifest), one.manifest["metadata"]["name"].as_str().expect("a name"))
            })
            .collect();
        let file = json!({
            "question": "Which manifests does the server take?", "namespaces": [NAMESPACE], "cluster": cluster, "steps": steps
        });
        let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("validation-requests.json");
        fs::write(&scratch, file.to_string()).expect("a scratch file");
        panic!(
            "not everything is recorded: `conformance/kubernetes/validity record`; what to ask is in {}",
            scratch.display()
        );
    }
    let answer = |name: &str| {
        let step = steps.iter().find(|step| step["note"] == name).expect("a step");
        let warnings = step["response"]["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str);
        Answer {
            code: step["response"]["code"].as_u64().expect("a code"),
            message: step["response"]["body"]["message"].as_str().unwrap_or_default().to_owned(),
            warnings: warnings.map(str::to_owned).collect(),
        }
    };
    asked.into_iter().map(|one| (answer(&one.name), one)).map(|(answer, one)| (one, answer)).collect()
}

/// Returns what the generator says to a manifest, a line for each finding; and whether one of them is an error.
fn said(value: &Value, definitions: &Definitions<'_>) -> (Vec<String>, bool) {
    let cluster = cluster();
    let manifest = match Manifest::from_value(value.clone()) {
        Ok(manifest) => manifest,
        Err(errors) => return (errors.iter().map(|error| format!("{} {error}", error.pointer)).collect(), true),
    };
    let checked = cluster.check(&manifest);
    let mut findings = checked.findings;
    if checked.is_custom {
        findings.extend(definitions.check(&manifest, &cluster).unwrap_or_default());
    }
    let line = |finding: &Finding| {
        let hint = finding.diagnostic.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        let (code, message) = (finding.diagnostic.code, &finding.diagnostic.message);
        format!("{}[{code}] {} {message}{hint}", finding.diagnostic.severity.name(), finding.pointer)
    };
    (findings.iter().map(line).collect(), findings.iter().any(Finding::is_error))
}

fn cluster() -> Cluster {
    Cluster::of(&Settings { kubernetes_version: Some(KUBERNETES.to_owned()), ..Settings::default() }, "any")
}

fn definitions(all: &[(Asked, Answer)]) -> Definitions<'_> {
    let mut definitions = Definitions::default();
    for (asked, _) in all.iter().filter(|(asked, _)| asked.stays && asked.manifest["kind"] == DEFINITION) {
        definitions.add(&asked.manifest);
    }
    definitions
}

#[test]
fn what_the_server_refuses_is_refused_and_what_it_takes_is_taken() {
    let all = answered();
    let definitions = definitions(&all);
    let mut faults = Vec::new();
    let (mut refused, mut taken) = (0, 0);
    for (Asked { name, wanted, manifest, .. }, answer) in &all {
        let is_taken = answer.code < 300;
        let (lines, is_refused) = said(manifest, &definitions);
        match (*wanted, is_taken) {
            (Wanted::Refused, true) => faults.push(format!("{name}: the server takes it")),
            (Wanted::Accepted, false) => faults.push(format!("{name}: the server refuses it: {}", answer.message)),
            _ => {}
        }
        if is_taken && is_refused {
            faults.push(format!("{name}: taken by the server, but not here: {}", lines.join("; ")));
        }
        if *wanted == Wanted::Refused && !is_taken && !is_refused {
            faults.push(format!("{name}: only the server refuses it: {}", answer.message));
        }
        refused += usize::from(*wanted == Wanted::Refused);
        taken += usize::from(is_taken);
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(refused >= 200 && taken >= 150, "{refused} refused, {taken} taken");
}

#[test]
fn each_is_said_in_words_that_help() {
    let all = answered();
    let definitions = definitions(&all);
    let mut text = String::new();
    for (Asked { name, manifest, .. }, _) in all.iter().filter(|(asked, _)| asked.wanted == Wanted::Refused) {
        let (lines, _) = said(manifest, &definitions);
        let _ = writeln!(text, "{name}\n  {}", lines.join("\n  "));
    }
    insta::with_settings!({ omit_expression => true, snapshot_path => "validation", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("messages", text);
    });
}

#[test]
fn what_the_server_says_to_the_manifests_of_this_repository() {
    let all = answered();
    let definitions = definitions(&all);
    let mut text = String::new();
    for (Asked { name, manifest, .. }, answer) in all.iter().filter(|(asked, _)| asked.wanted == Wanted::Any) {
        // A custom kind, whose definition the server was not given.
        if answer.code >= 300 && !answer.message.is_empty() {
            let (lines, _) = said(manifest, &definitions);
            let here = if lines.is_empty() { "taken".to_owned() } else { lines.join("; ") };
            let _ = writeln!(text, "{name}\n  server: {}\n  here: {here}", answer.message);
        }
    }
    insta::with_settings!({ omit_expression => true, snapshot_path => "validation", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("repository", text);
    });
}

#[test]
fn what_the_server_warns_of_is_deprecated_here() {
    let all = answered();
    let definitions = definitions(&all);
    for (Asked { name, manifest, .. }, answer) in all.iter().filter(|(_, answer)| answer.code < 300) {
        let warned = answer.warnings.iter().any(|warning| warning.contains("deprecated in v"));
        let (lines, _) = said(manifest, &definitions);
        let told = lines.iter().any(|line| line.starts_with("warning[deprecated-api]"));
        assert_eq!(warned, told, "{name}: {:?}", answer.warnings);
    }
}
