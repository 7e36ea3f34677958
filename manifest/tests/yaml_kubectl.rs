//! Reads what kubectl reads, and lets kubectl read what we write.
//!
//! The truth is recorded in `data/yaml` and asked again of a kubectl on the PATH, if there is one. Invariant: where we differ, the case is in
//! a list here, with the reason.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use manifest::yaml::{self, DuplicateKeys, Limits, Settings};
use serde_json::{Value, json};

mod yaml_strings;

/// Cases in which we refuse what kubectl takes.
const REFUSED: [(usize, &str); 2] = [
    (176, "bytes that are no UTF-8: kubectl puts U+FFFD in their place, and what was there is lost"),
    (179, "9,000 levels of nesting: more than our limit"),
];

/// As kubectl, and as deep as we can.
fn settings() -> Settings {
    let limits = Limits { depth: yaml::read::DEPTH_MAX, ..Settings::default().limits };
    Settings { duplicate_keys: DuplicateKeys::LastWins, limits, ..Settings::default() }
}

/// Makes numbers comparable whose texts differ: kubectl prints large floats with all their digits.
fn plain_numbers(value: &Value) -> Value {
    match value {
        Value::Number(number) if number.as_i64().is_none() => {
            json!({ "float": format!("{:e}", number.as_f64().expect("a float")) })
        }
        Value::Array(items) => items.iter().map(plain_numbers).collect(),
        Value::Object(entries) => entries.iter().map(|(key, value)| (key.clone(), plain_numbers(value))).collect(),
        other => other.clone(),
    }
}

fn spec_of(case: usize) -> Result<Value, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/yaml/cases/{case:03}.yaml"));
    let bytes = fs::read(path).expect("the case");
    let text = yaml::decode(&bytes).map_err(|error| error.to_string())?;
    let mut documents = yaml::read(&text, &settings()).map_err(|error| error.to_string())?;
    assert_eq!(documents.len(), 1, "case {case} is one document");
    Ok(documents.remove(0).value["spec"].take())
}

#[test]
fn every_case_is_read_as_kubectl_reads_it() {
    let expected = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/yaml/expected.txt"))
        .expect("the truth");
    let mut differences = Vec::new();
    let mut refused = Vec::new();
    let mut cases = 0;
    for (case, line) in expected.lines().enumerate() {
        cases += 1;
        let (verdict, truth) = line.split_once(' ').expect("a verdict and what it is about");
        match (verdict, spec_of(case)) {
            ("error", Err(_)) => {}
            ("ok", Ok(spec)) => {
                let text = spec.to_string();
                if text == truth {
                    continue; // the deepest case is too deep for serde_json to read
                }
                let truth: Value = serde_json::from_str(truth).expect("the truth is JSON");
                if plain_numbers(&spec) != plain_numbers(&truth) {
                    differences.push(format!("{case}: read as {text}, but kubectl reads {truth}"));
                }
            }
            ("ok", Err(_)) => refused.push(case),
            (_, found) => differences.push(format!("{case}: kubectl refuses it ({truth}), read as {found:?}")),
        }
    }
    assert_eq!(cases, 188);
    assert!(differences.is_empty(), "{differences:#?}");
    assert_eq!(refused, REFUSED.map(|(case, _)| case));
}

/// Asks kubectl on the PATH for the JSON of a document; `None` without one. Nothing is looked up in a cluster or a configuration.
fn kubectl_reads(text: &str) -> Option<Value> {
    let mut kubectl = Command::new("kubectl")
        .args(["label", "--local", "-f", "-", "-o", "json", "x=y"])
        .env("KUBECONFIG", "/dev/null")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let mut input = kubectl.stdin.take().expect("standard input is piped");
    let text = text.to_owned();
    let feeder = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = kubectl.wait_with_output().expect("kubectl ends");
    feeder.join().expect("no panic").expect("kubectl reads its input");
    assert!(output.status.success(), "kubectl refuses what we wrote: {}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).expect("kubectl prints JSON"))
}

#[test]
fn kubectl_reads_back_what_we_write() {
    let positions: Vec<Value> = yaml_strings::STRINGS.iter().flat_map(|text| yaml_strings::positions(text)).collect();
    let numbers = json!([0, -1, i64::MAX, i64::MIN, 0.5, -0.1, 1.5e-7, 1e20, 123_456.789, true, false, null, [], {}]);
    let object = json!({
        "apiVersion": "example.com/v1", "kind": "T", "metadata": {"name": "t"},
        "spec": {"strings": positions, "numbers": numbers},
    });
    let Some(read) = kubectl_reads(&yaml::write(&object)) else {
        println!("skipped: there is no kubectl on the PATH");
        return;
    };
    assert_eq!(plain_numbers(&read["spec"]["numbers"]), plain_numbers(&numbers));
    let read = read["spec"]["strings"].as_array().expect("a list");
    assert_eq!(read.len(), positions.len());
    for (read, written) in read.iter().zip(&positions) {
        assert_eq!(read, written, "written as {}", yaml::write(written));
    }
}
