//! `generator explain`, held against what happens when somebody edits the line it names.

mod repository;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use generator::SourceTree;
use generator::diagnostic::Place;
use generator::explain::{Explained, Question, explain};
use repository::{Repository, project};
use serde_json::Value;

/// Reads what the disk would read, without the disk of the generator.
fn tree(root: &Path) -> SourceTree {
    let input = generator::disk::read(root).expect("readable");
    assert!(input.diagnostics.is_empty());
    input.tree
}

fn values(tree: &SourceTree, service: &str, environment: &str) -> BTreeMap<String, Explained> {
    let question = Question { service, environment, path: None };
    let explanation = explain(tree, &question).unwrap_or_else(|wrong| panic!("{wrong:?}"));
    explanation.values.into_iter().map(|value| (value.path.clone(), value)).collect()
}

/// Replaces the value that stands on a line behind its key by another one of its kind, which it returns.
fn edit(tree: &SourceTree, file: &str, line: usize, key: &str, old: &Value) -> SourceTree {
    let text = std::str::from_utf8(tree.get(file).expect("the named file is there")).expect("text");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let named = &lines[line - 1];
    let (before, rest) = named.split_once(':').unwrap_or_else(|| panic!("{file}:{line} has no key: {named}"));
    assert_eq!(before.trim_start_matches(['-', ' ']).trim_matches('"'), key, "{file}:{line} is about another key");
    let other = match old {
        Value::Null | Value::String(_) => "changed".to_owned(),
        Value::Bool(on) => (!on).to_string(),
        Value::Number(number) => (number.as_f64().expect("a float") + 1.0).to_string(),
        Value::Array(_) => "[changed]".to_owned(),
        Value::Object(_) => "{changed: x}".to_owned(),
    };
    let indent = named.len() - named.trim_start().len();
    let is_block = rest.trim().is_empty();
    lines[line - 1] = format!("{before}: {other}");
    // A list in block style goes on below its key.
    while is_block
        && lines
            .get(line)
            .is_some_and(|next| next.len() - next.trim_start().len() >= indent && next.trim_start().starts_with('-'))
    {
        lines.remove(line);
    }
    let mut edited = tree.clone();
    edited.insert(file, lines.join("\n") + "\n");
    edited
}

#[test]
fn every_value_of_the_example_is_set_where_explain_says() {
    let tree = tree(&project());
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut edited_already: BTreeSet<(String, Place)> = BTreeSet::new();
    for environment in ["production", "staging"] {
        for service in tree.folders("services") {
            if tree.get(&format!("services/{service}/{environment}/config.yaml")).is_none() {
                continue;
            }
            let before = values(&tree, service, environment);
            assert!(before.len() > 30, "{service} has {} values", before.len());
            for (path, explained) in &before {
                let origin = explained.set_by.as_ref().unwrap_or_else(|| panic!("{path} has no origin"));
                let value = explained.value.as_ref().expect("an effective value");
                let key = path.rsplit('.').next().expect("a part");
                let place = &origin.place;
                let kind = if place.file.starts_with("charts/") { "chart" } else { "services" };
                *counts.entry(kind).or_default() += 1;
                // A line of the chart does for one service what it does for all that have their value from it.
                if kind == "chart" && !edited_already.insert((path.clone(), place.clone())) {
                    continue;
                }
                let edited = match path.as_str() {
                    "environmentType" => {
                        assert_eq!(place.to_string(), format!("services/{service}/{environment}"));
                        assert_eq!(value, environment);
                        continue;
                    }
                    "tag" => {
                        let mut edited = tree.clone();
                        assert!(place.file.ends_with("/version"), "{place}");
                        edited.insert(place.file.as_str(), "changed\n");
                        edited
                    }
                    _ => edit(&tree, &place.file, place.line, key, value),
                };
                let after = values(&edited, service, environment);
                let changed = after.get(path).and_then(|after| after.value.as_ref());
                assert_ne!(changed, Some(value), "{service} {environment} {path}: the edit of {place} changed nothing");
                let others = before.iter().filter(|(other, _)| *other != path);
                let touched: Vec<&String> = others
                    .filter(|(other, was)| after.get(*other).map(|is| &is.value) != Some(&was.value))
                    .map(|(other, _)| other)
                    .collect();
                assert_eq!(
                    touched,
                    Vec::<&String>::new(),
                    "{service} {environment} {path}: the edit of {place} changed more"
                );
            }
        }
    }
    assert!(
        counts["chart"] > 200 && counts["services"] > 40 && edited_already.len() > 80,
        "{counts:?}, {}",
        edited_already.len()
    );
}

#[test]
fn every_line_that_is_said_to_be_overridden_sets_it_once_the_others_are_gone() {
    let tree = tree(&project());
    let before = values(&tree, "app1", "production");
    let mut checked = 0;
    for (path, explained) in before.iter().filter(|(path, _)| !matches!(path.as_str(), "tag" | "environmentType")) {
        if explained.overrides.is_empty() {
            continue;
        }
        let mut without = tree.clone();
        let mut origins = explained.set_by.iter().chain(&explained.overrides).peekable();
        while let Some(origin) = origins.next() {
            let now = values(&without, "app1", "production")
                .remove(path)
                .unwrap_or_else(|| panic!("{path}: nothing sets it any more, not even {origin:?}"));
            assert_eq!(now.set_by.as_ref().map(|now| &now.place), Some(&origin.place), "{path}");
            if origins.peek().is_none() {
                break;
            }
            let text = String::from_utf8(without.get(&origin.place.file).expect("there").to_vec()).expect("text");
            // The map that the line is in stays a map.
            let filler = format!("{}unrelated: x", " ".repeat(origin.place.column - 1));
            let lines: Vec<&str> = text
                .lines()
                .enumerate()
                .map(|(number, line)| if number + 1 == origin.place.line { filler.as_str() } else { line })
                .collect();
            without.insert(origin.place.file.as_str(), lines.join("\n"));
            checked += 1;
        }
    }
    assert!(checked > 8, "{checked} overridden lines");
}

/// A chart with a subchart, inheritance on all levels, globals, an alias and a null.
fn inheriting() -> Repository {
    let repository = Repository::new();
    repository.write("charts/c/Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.0.0\nannotations: {generator/version-path: image.tag, generator/environment-path: ''}\ndependencies: [{name: sub, version: 1.0.0, alias: other}]\n");
    repository.write(
        "charts/c/values.yaml",
        "a: chart\nb: chart\ngone: chart\nglobal:\n  host: chart\nother:\n  x: parent\n",
    );
    repository.write("charts/c/templates/c.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  a: {{ .Values.a }}\n  {{- with .Values.global }}\n  host: {{ .host }}\n  {{- end }}\n");
    repository.write("charts/c/charts/sub/Chart.yaml", "apiVersion: v2\nname: sub\nversion: 1.0.0\n");
    repository.write("charts/c/charts/sub/values.yaml", "x: sub\nz: sub\nglobal: {}\n");
    repository.write("charts/c/charts/sub/templates/s.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: s}\ndata:\n  x: {{ .Values.x }}{{ .Values.z }}\n  host: {{ .Values.global.host }}\n");
    repository.write("services/_defaults/config.yaml", "b: defaults\ng: {deep: defaults}\n");
    repository.write("services/_defaults/staging/config.yaml", "b: defaults/staging\n");
    repository.write("services/s/config.yaml", "gone: null\nother: {z: service}\n").write("services/s/chart", "c\n");
    repository.write("services/s/staging/config.yaml", "b: service/staging\nglobal: {host: staging}\n");
    repository.write("services/s/staging/version", "1.0\n");
    repository
}

#[test]
fn all_levels_subcharts_globals_and_nulls() {
    let repository = inheriting();
    repository.render();
    let run = |path: &str| {
        let run = repository.run(&["explain", "s", "staging", path]);
        assert_eq!((run.code, run.err.as_str()), (0, ""), "{path}");
        run.out
    };
    let all = repository.run(&["explain", "s", "staging"]);
    insta::assert_snapshot!("explain-all", all.out);
    let several: Vec<String> =
        ["b", "gone", "global", "other.x", "other.z", "other.global.host", "image.tag"].map(run).into();
    insta::assert_snapshot!("explain-several", several.join("\n"));
    insta::assert_snapshot!("explain-json", repository.run(&["explain", "s", "staging", "b", "--format", "json"]).out);
}

#[test]
fn what_is_secret_is_not_shown() {
    let repository = Repository::example();
    repository.write("generator.yaml", "allowPlaintextSecrets: true\n");
    repository.write(
        "services/app4/staging/config.yaml",
        "secrets: {URL: secret-one}\nenvironment: {LEAK: secret-one, apiToken: secret-two, num: 1}\n",
    );
    for arguments in [
        &["explain", "app4", "staging"][..],
        &["explain", "app4", "staging", "environment"],
        &["explain", "app4", "staging", "--format", "json"],
    ] {
        let run = repository.run(arguments);
        assert_eq!(run.code, 0, "{}", run.err);
        assert!(
            !run.out.contains("secret-one") && !run.out.contains("secret-two") && run.out.contains("***"),
            "{}",
            run.out
        );
    }
}

#[test]
fn one_mistake_of_each_kind() {
    let repository = Repository::example();
    let refused = |arguments: &[&str], words: &str| {
        let run = repository.run(&[&["explain"], arguments].concat());
        assert_eq!((run.code, run.out.as_str()), (2, ""), "{arguments:?}");
        assert!(run.err.contains(words), "{arguments:?}: {}", run.err);
    };
    refused(&["app9", "staging"], "there is no service `app9`");
    refused(&["app9", "staging"], "did you mean `app1`?");
    refused(&["app2", "staging"], "service `app2` does not run in `staging`");
    refused(&["app2", "staging"], "it runs in `production`");
    refused(&["app1", "stagign"], "did you mean `staging`?");
    refused(&["app1", "staging", "httpServce"], "did you mean `httpService`?");
    refused(&["app1", "staging", "httpService.internlPort"], "did you mean `httpService.internalPort`?");
    refused(&["app1", "staging", "image.tag"], "`image` is no map with entries");
    refused(&["app1", "staging", ""], "nothing sets the value ``");
    refused(&["app1"], "required arguments were not provided");
    repository.write("services/app1/config.yaml", "image: [\n");
    refused(&["app1", "staging"], "services/app1/config.yaml");
}
