//! The chart `generic`: what its options render to, and that its values, its schema and its README say the same.
//!
//! A case is `tests/generic/NAME.yaml`, the values of a service; its snapshot is the file of `_gen`. The README's table is made from
//! `values.yaml` (order, defaults, comments) and `values.schema.json` (types); where it differs, what it should be is left beside the
//! test's other scratch files.

#![expect(clippy::disallowed_methods, reason = "tests work on scratch folders")]

mod repository;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use manifest::yaml::{self, Settings};
use repository::{Repository, project};
use serde_json::Value;

const CHART: &str = "charts/generic";
const BEGIN: &str = "<!-- values: begin -->\n";
const END: &str = "<!-- values: end -->\n";

fn cases() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/generic");
    let mut cases: Vec<(String, String)> = fs::read_dir(folder)
        .expect("the folder of cases")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| {
            let name = path.file_stem().and_then(|name| name.to_str()).expect("UTF-8").to_owned();
            (name, fs::read_to_string(path).expect("a case"))
        })
        .collect();
    cases.sort();
    cases
}

#[test]
fn every_option_renders() {
    for (name, values) in cases() {
        let repository = Repository::example();
        repository.remove("services");
        repository.write(&format!("services/{name}/version"), "1\n");
        repository.write(&format!("services/{name}/config.yaml"), &values);
        repository.write(&format!("services/{name}/staging/config.yaml"), "");
        let run = repository.run(&["render"]);
        assert_eq!(run.code, 0, "{name}: {}", run.err);
        let about = values.lines().next().unwrap_or_default().trim_start_matches("# ").to_owned();
        insta::with_settings!({ description => about, omit_expression => true, snapshot_path => "generic", prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(name.clone(), repository.read(&format!("_gen/staging/{name}/resources.yaml")));
        });
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let wrong = [
        ("scalability: {replicas: 7}", "scalability.maxReplicas is 6, below scalability.replicas, which is 7"),
        ("scalability: {autoscaleCPUPercent: null}", "the autoscaler has nothing to look at"),
        ("httpService: {public: {enable: true}}", "host is required"),
        ("httpService: {enable: false, public: {enable: true, host: a}}", "there is no HTTP to publish"),
        ("httpService: {enable: false, gateway: {enable: true}}", "there is no HTTP to publish"),
        ("httpService: {gateway: {enable: true}}", "httpService.gateway.parentRefs is required"),
        ("metrics: {enable: true, prometheus: {port: admin}}", "the service has no port of that name"),
        ("image: ''", "image is required"),
        ("team: ''", "team is required"),
        ("cronJobs: {a: {args: [a]}}", "schedule"),
        ("externalSecrets: {a: {store: {name: b}}}", "externalSecrets.a"),
        ("workload: {kind: Pod}", "workload.kind"),
        ("ports: {http: {containerPort: 1}}", "'http'"),
        ("labels: {team: b}", "'team'"),
        ("scalabilty: {replicas: 7}", "scalabilty"),
    ];
    for (values, message) in wrong {
        let repository = Repository::example();
        let config = if values.starts_with("image") { values.to_owned() } else { format!("image: a\n{values}") };
        let config = if values.starts_with("team") { config } else { format!("{config}\nteam: a\n") };
        repository.write("services/app1/config.yaml", config);
        let run = repository.run(&["render"]);
        assert_eq!(run.code, 2, "{values}: {}", run.err);
        assert!(run.err.contains(message), "{values}: {}", run.err);
    }
}

/// One option: its path, where its key stands, its default.
struct Leaf {
    path: Vec<String>,
    line: usize,
    default: Value,
    about: String,
}

/// The options of values.yaml in the order of the file. A map with entries is no option of its own; what is said above it is left out.
fn leaves() -> Vec<Leaf> {
    let text = fs::read_to_string(project().join(CHART).join("values.yaml")).expect("values.yaml");
    let settings = Settings { marks: true, ..Settings::default() };
    let document = yaml::read(&text, &settings).expect("values.yaml is YAML").remove(0);
    let lines: Vec<&str> = text.lines().collect();
    let mut leaves = Vec::new();
    for (pointer, position) in &document.marks.keys {
        let default = document.value.pointer(pointer).expect("a mark is of a value").clone();
        if default.as_object().is_some_and(|entries| !entries.is_empty()) {
            continue;
        }
        let path = pointer[1..].split('/').map(str::to_owned).collect();
        leaves.push(Leaf { path, line: position.line, default, about: comment(&lines, position.line - 1) });
    }
    leaves.sort_by_key(|leaf| leaf.line);
    leaves
}

/// The lines of comment right above a line, as one.
fn comment(lines: &[&str], line: usize) -> String {
    let above = lines[..line].iter().rev().map(|line| line.trim()).take_while(|line| line.starts_with('#'));
    let mut comment: Vec<&str> = above.map(|line| line.trim_start_matches('#').trim()).collect();
    comment.reverse();
    comment.join(" ")
}

fn schema() -> Value {
    let text = fs::read_to_string(project().join(CHART).join("values.schema.json")).expect("values.schema.json");
    serde_json::from_str(&text).expect("the schema is JSON")
}

/// The schema of a value, with references followed.
fn schema_of<'s>(schema: &'s Value, path: &[String]) -> Option<&'s Value> {
    let mut at = schema;
    for key in path {
        at = resolved(schema, at.get("properties")?.get(key)?);
    }
    Some(at)
}

fn resolved<'s>(schema: &'s Value, at: &'s Value) -> &'s Value {
    match at.get("$ref").and_then(Value::as_str) {
        Some(reference) => schema.pointer(&reference[1..]).unwrap_or_else(|| panic!("{reference} leads nowhere")),
        None => at,
    }
}

fn type_of(schema: &Value) -> String {
    let words = |values: &Value| {
        let words = values.as_array().into_iter().flatten().filter_map(Value::as_str);
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    match (&schema["enum"], &schema["type"]) {
        (Value::Array(_), _) => words(&schema["enum"]).join(", "),
        (_, Value::String(name)) => name.clone(),
        (_, names) => words(names).join(" or "),
    }
}

#[test]
fn schema_and_values_have_the_same_options() {
    let schema = schema();
    let mut declared = BTreeSet::new();
    collect(&schema, &schema, &mut Vec::new(), &mut declared);
    // Helm's own, which a chart does not give a default.
    declared.remove("global");
    let in_open_objects = ["securityContext", "podSecurityContext"];
    let given: BTreeSet<String> = leaves()
        .iter()
        .map(|leaf| match in_open_objects.iter().find(|open| leaf.path[0] == **open) {
            Some(open) => (*open).to_owned(),
            None => leaf.path.join("."),
        })
        .collect();
    assert_eq!(given, declared);
    for leaf in leaves() {
        assert!(!leaf.about.is_empty(), "{} has no comment in values.yaml", leaf.path.join("."));
    }
}

/// Collects the paths of all properties that have none below them.
fn collect(schema: &Value, at: &Value, path: &mut Vec<String>, paths: &mut BTreeSet<String>) {
    let Some(properties) = at.get("properties").and_then(Value::as_object) else {
        paths.insert(path.join("."));
        return;
    };
    // A Kubernetes probe is one value, whatever the schema knows of its fields.
    if path.first().is_some_and(|first| first == "probes") && path.len() == 2 {
        paths.insert(path.join("."));
        return;
    }
    assert_eq!(at["additionalProperties"], false, "{} is open to misspelt keys", path.join("."));
    for (name, property) in properties {
        path.push(name.clone());
        collect(schema, resolved(schema, property), path, paths);
        path.pop();
    }
}

#[test]
fn the_readme_lists_every_option() {
    let schema = schema();
    let mut table = String::from("| value | type | default | what it is |\n|---|---|---|---|\n");
    for Leaf { path, default, about, .. } in leaves() {
        let kind = schema_of(&schema, &path).map(type_of).unwrap_or_default();
        let cell = |text: &str| text.replace('|', "\\|");
        table += &format!("| `{}` | {} | `{default}` | {} |\n", path.join("."), cell(&kind), cell(&about));
    }
    let path = project().join(CHART).join("README.md");
    let readme = fs::read_to_string(&path).expect("README.md");
    let (head, rest) = readme.split_once(BEGIN).expect("the README has a table of values");
    let (_, tail) = rest.split_once(END).expect("the table has an end");
    let wanted = format!("{head}{BEGIN}{table}{END}{tail}");
    if readme != wanted {
        let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("README.md");
        fs::write(&scratch, wanted).expect("a scratch file");
        panic!("{} is not what the values say: cp {} {}", path.display(), scratch.display(), path.display());
    }
}
