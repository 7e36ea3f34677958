//! Every template function against what the real Helm made of the same snippet.
//!
//! The files in `tests/functions` are data: snippets of ours and, recorded by `conformance/helm`, what Helm 4.2.3 answered. A text must come
//! out byte for byte; a failure must be one here too, and for the same reason. What differs knowingly is listed in
//! `tests/functions/differences.txt`, with its reason in COMPATIBILITY.md.
#![expect(clippy::disallowed_methods, reason = "a test reads its data")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use generator::gotemplate::Functions;
use generator::helm::{self, Capabilities, Options, Request};
use generator::source::SourceTree;
use generator::sprig::FUNCTIONS;
use serde_json::Value;

const CHART: &str = "apiVersion: v2\nname: c\nversion: 0.1.0\n";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/functions")
}

fn files() -> Vec<(String, Value)> {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .expect("the folder of the probes")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a plain name"))
        .filter(|name| name.ends_with(".json") && !name.starts_with("regex-semver"))
        .collect();
    names.sort();
    let read = |name: &String| std::fs::read_to_string(folder().join(name)).expect("a probe file");
    names.iter().map(|name| (name.clone(), serde_json::from_str(&read(name)).expect("JSON"))).collect()
}

/// Renders one snippet as the only template of a chart.
fn render(file: &Value, probe: &Value) -> Result<String, Vec<String>> {
    let mut tree = SourceTree::default();
    let values = probe.get("values").or_else(|| file.get("values")).and_then(Value::as_str).unwrap_or_default();
    tree.insert("c/Chart.yaml", CHART);
    tree.insert("c/values.yaml", values);
    tree.insert("c/templates/t.yaml", probe["t"].as_str().expect("a template"));
    for (path, content) in file.get("files").and_then(Value::as_object).into_iter().flatten() {
        tree.insert(format!("c/{path}"), content.as_str().expect("text"));
    }
    let request = Request {
        release_name: "release-name".to_owned(),
        namespace: "default".to_owned(),
        layers: Vec::new(),
        set: Vec::new(),
        capabilities: Capabilities::default(),
        is_upgrade: false,
    };
    let messages =
        |wrong: generator::diagnostic::Diagnostics| wrong.iter().map(|d| d.message.clone()).collect::<Vec<_>>();
    let chart = helm::load(&tree, "c").map_err(messages)?;
    let allow_nondeterministic = file.get("nondeterministic").and_then(Value::as_bool).unwrap_or_default();
    let rendered =
        helm::render(&chart, &request, &Options { allow_nondeterministic, ..Options::default() }).map_err(messages)?;
    Ok(rendered.files.into_iter().map(|file| file.text).collect())
}

/// Returns what Helm's message says went wrong, without its nesting and places.
fn cause(message: &str) -> &str {
    let last = message.trim_end().rsplit("\n    ").next().unwrap_or(message);
    let last = last.rsplit_once("):").filter(|(head, _)| head.contains(" error at (")).map_or(last, |(_, cause)| cause);
    let last =
        if last.starts_with("template: ") { last.rsplit_once(">: ").map_or(last, |(_, cause)| cause) } else { last };
    match last.rsplit_once("error calling ") {
        Some((_, called)) => called.split_once(": ").map_or(called, |(_, cause)| cause),
        None => last,
    }
}

fn compare(file: &Value, probe: &Value) -> Result<(), String> {
    match (render(file, probe), probe.get("want").and_then(Value::as_str), probe.get("error").and_then(Value::as_str)) {
        (Ok(text), Some(want), _) if text == want => Ok(()),
        (Ok(text), Some(want), _) => Err(format!("ours {text:?}\n  helm {want:?}")),
        (Ok(text), None, error) => Err(format!("ours {text:?}\n  helm fails: {error:?}")),
        (Err(messages), Some(want), _) => Err(format!("ours fails: {messages:?}\n  helm {want:?}")),
        (Err(messages), None, error) => {
            let cause = cause(error.expect("a probe has an expectation"));
            if messages.iter().any(|message| message.contains(cause.trim())) {
                return Ok(());
            }
            Err(format!("ours fails: {messages:?}\n  helm fails: {cause:?}"))
        }
    }
}

#[test]
fn every_probe_comes_out_as_in_helm() {
    let known = std::fs::read_to_string(folder().join("differences.txt")).expect("the list of differences");
    let known: BTreeSet<&str> = known.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let mut met = BTreeSet::new();
    let (mut count, mut wrong) = (0, Vec::new());
    for (name, file) in files() {
        for probe in file["probes"].as_array().expect("probes") {
            let template = probe["t"].as_str().expect("a template");
            count += 1;
            let Err(difference) = compare(&file, probe) else { continue };
            if let Some(entry) = known.get(template) {
                met.insert(*entry);
            } else {
                wrong.push(format!("{name}: {template}\n  {difference}"));
            }
        }
    }
    let stale: Vec<_> = known.difference(&met).collect();
    assert!(wrong.is_empty(), "{} of {count} probes differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(stale.is_empty(), "listed as different, and equal: {stale:?}");
    assert!(count >= 1500, "only {count} probes");
}

/// The words of a template that can be names of functions: not fields, variables or parts of texts.
fn called(template: &str) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for action in template.split("{{").skip(1) {
        let action = action.split("}}").next().unwrap_or(action);
        // A name in a text is one that no template calls, unless the text is given to `tpl`, whose actions were split off above.
        let unquoted = action.split(['"', '`']).step_by(2).flat_map(|part| part.split_whitespace());
        for word in unquoted {
            names.insert(word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && !".$_".contains(c)));
        }
    }
    names
}

#[test]
fn every_function_of_helm_has_probes() {
    let functions = Functions::new(&[FUNCTIONS]);
    let names: BTreeSet<&str> = functions.names().collect();
    assert_eq!(names.len(), 240, "Helm 4.2.3 has 240");
    let files = files();
    let probes = files.iter().flat_map(|(_, file)| file["probes"].as_array().expect("probes"));
    let mut used = BTreeSet::new();
    let mut inventory = false;
    for probe in probes {
        let called = called(probe["t"].as_str().expect("a template"));
        if called.len() >= 240 {
            // The one that names them all: recorded from Helm, it shows that there is none that Helm lacks.
            assert_eq!(names.difference(&called).count(), 0, "the inventory is complete");
            inventory = true;
        } else {
            used.extend(called);
        }
    }
    let missing: Vec<_> = names.difference(&used).collect();
    assert!(missing.is_empty(), "without a probe: {missing:?}");
    assert!(inventory, "no probe names all functions");
}
