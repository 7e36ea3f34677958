//! Differences between small trees, and what no difference may tell.

use std::fmt::Write as _;

use manifest::Hash;

use super::*;
use crate::diagnostic::Color;

/// Files of one environment: the manifests of each service, and an index of them.
fn tree(environment: &str, services: &[(&str, &str, &str)]) -> SourceTree {
    let mut tree = SourceTree::default();
    let mut index = Index { environment: environment.to_owned(), services: BTreeMap::new() };
    for (name, version, text) in services {
        let entry = Entry {
            content: Hash::of(text.as_bytes()),
            inputs: Hash::of(version.as_bytes()),
            objects: text.matches("kind:").count(),
            sync: manifest::index::Sync::default(),
            version: (*version).into(),
            chart: "generic".into(),
        };
        index.services.insert((*name).to_owned(), entry);
        tree.insert(Index::resources_path(environment, name), *text);
    }
    tree.insert(Index::path(environment), index.to_json());
    tree
}

fn compared(before: &SourceTree, after: &SourceTree) -> Difference {
    between(before, after, &Scope::default(), ["before", "after"]).unwrap_or_else(|wrong| {
        panic!("{}", wrong.iter().map(ToString::to_string).take(5).collect::<Vec<_>>().join("\n"))
    })
}

const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: ns, annotations: {checksum/config: aaa}}
spec:
  template:
    spec:
      containers:
      - {name: app, image: 'web:1', args: [--a, --b, --c], ports: [{name: http, containerPort: 80}]}
";
const CONFIG: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: web, namespace: ns}
data:
  plain: one
  long: |
    first
    second
    third
    fourth
    fifth
    sixth
    seventh
";

#[test]
fn fields_are_named_and_lists_compared_by_what_names_their_items() {
    let before = tree("staging", &[("web", "1", &format!("{CONFIG}---\n{DEPLOYMENT}"))]);
    let deployment = DEPLOYMENT.replace("checksum/config: aaa", "checksum/config: bbb").replace(
        "- {name: app, image: 'web:1', args: [--a, --b, --c]",
        "- {name: sidecar, image: 'side:1'}\n      - {name: app, image: 'web:2', args: [--a, --c, --d]",
    );
    let config = CONFIG.replace("sixth", "6th").replace("plain: one", "plain: 'yes'");
    let after = tree("staging", &[("web", "2", &format!("{config}---\n{deployment}"))]);
    let difference = compared(&before, &after);
    insta::assert_snapshot!(to_text(&difference, Color::Off));
    insta::assert_snapshot!("colours", to_text(&difference, Color::On).replace('\x1b', "ESC"));
    insta::assert_snapshot!("markdown", to_markdown(&difference));
    insta::assert_snapshot!("json", serde_json::to_string_pretty(&difference).expect("JSON"));
}

#[test]
fn what_moves_is_not_deleted_and_created() {
    let ingress = |version: &str| {
        format!("apiVersion: networking.k8s.io/{version}\nkind: Ingress\nmetadata: {{name: web, namespace: ns}}\n")
    };
    let before =
        tree("staging", &[("old", "1", &format!("{CONFIG}---\n{}", ingress("v1beta1"))), ("new", "1", DEPLOYMENT)]);
    let after = tree("staging", &[("old", "1", &ingress("v1")), ("new", "1", &format!("{CONFIG}---\n{DEPLOYMENT}"))]);
    let difference = compared(&before, &after);
    insta::assert_snapshot!(to_text(&difference, Color::Off), @r"
    staging/new
    > ConfigMap ns/web (moved here from service old)

    staging/old
    ~ Ingress.networking.k8s.io ns/web
        apiVersion
    -     networking.k8s.io/v1beta1
    +     networking.k8s.io/v1

    objects: 1 changed, 1 moved
    ");
    let only = |service: &str| Scope { service: Some(service.to_owned()), ..Scope::default() };
    let of_old = between(&before, &after, &only("old"), ["", ""]).expect("readable");
    assert_eq!(of_old.counts(), difference.counts(), "what leaves a service concerns it");
    let of_new = between(&before, &after, &only("new"), ["", ""]).expect("readable");
    assert_eq!(of_new.counts(), BTreeMap::from([(Action::Moved, 1)]));
}

#[test]
fn no_value_of_a_secret_is_told() {
    let secret = |rest: &str| {
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s, namespace: ns, annotations: {{a: b}}}}\n{rest}")
    };
    let applied = "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: ns, annotations: {a: c, kubectl.kubernetes.io/last-applied-configuration: SECRET5}}\n";
    let before = secret("data: {same: U0FNRQ==, changed: SECRET1, gone: SECRET2}\ntype: Opaque\n");
    let after =
        format!("{applied}data: {{same: U0FNRQ==, changed: SECRET3}}\nstringData: {{new: SECRET4}}\ntype: other\n");
    let difference = compared(&tree("e", &[("s", "1", &before)]), &tree("e", &[("s", "1", &after)]));
    insta::assert_snapshot!(to_text(&difference, Color::Off), @r#"
    e/s
    ~ Secret ns/s
        metadata.annotations.a
    -     b
    +     c
        metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]
    +     "*** (after)"
        data.changed
    -     "*** (before)"
    +     "*** (after)"
        data.gone
    -     "*** (before)"
        stringData
    +     new: "*** (after)"
        type
    -     Opaque
    +     other

    objects: 1 changed
    "#);
    // A Secret without annotations before, and one whose data is no mapping.
    let bare = "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: ns}\ndata: SECRET6\n";
    for (one, other) in [(bare, after.as_str()), (after.as_str(), bare)] {
        let difference = compared(&tree("e", &[("s", "1", one)]), &tree("e", &[("s", "1", other)]));
        let json = serde_json::to_string(&difference).expect("JSON");
        for text in [to_text(&difference, Color::Off), to_markdown(&difference), json, format!("{difference:?}")] {
            assert!(!text.contains("SECRET"), "{text}");
            assert!(text.contains("***"), "{text}");
        }
    }
}

#[test]
fn settings_of_a_service_are_part_of_it() {
    let before = tree("e", &[("s", "1", CONFIG)]);
    let mut after = tree("e", &[("s", "2", CONFIG)]);
    let index = String::from_utf8(after.get("_gen/e/index.json").expect("there").to_vec()).expect("text");
    after.insert("_gen/e/index.json", index.replace("\"version\"", "\"sync\": {\"wave\": 2},\n\"version\""));
    insta::assert_snapshot!(to_text(&compared(&before, &after), Color::Off), @r#"
    e/s
      sync.wave
    +   2
      version
    -   "1"
    +   "2"

    no object differs, only settings of services
    "#);
    assert!(compared(&before, &before).is_empty());
    assert_eq!(to_text(&Difference::default(), Color::Off), "no difference\n");
}

#[test]
fn lists_without_names_and_reordered_ones() {
    let with = |list: &str| {
        tree("e", &[("s", "1", &format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\nlist: {list}\n"))])
    };
    let paths = |before: &str, after: &str| {
        let difference = compared(&with(before), &with(after));
        let object = &difference.environments["e"].services["s"].objects[0];
        let mut out = String::new();
        for FieldChange { path, before, after, .. } in &object.fields {
            let text = |side: &Option<Value>| side.as_ref().map_or("nothing".to_owned(), Value::to_string);
            write!(out, "{path}: {} -> {}; ", text(before), text(after)).expect("written");
        }
        out
    };
    assert_eq!(paths("[a, b, c]", "[a, x, b, c]"), "list[1]: nothing -> \"x\"; ");
    assert_eq!(paths("[a, b, c]", "[a, c]"), "list[1]: \"b\" -> nothing; ");
    assert_eq!(paths("[a, {x: 1}]", "[a, {x: 2}]"), "list[1].x: 1 -> 2; ");
    assert_eq!(
        paths("[{name: a}, {name: b}]", "[{name: b}, {name: a}]"),
        "list (order): [\"a\",\"b\"] -> [\"b\",\"a\"]; "
    );
    assert_eq!(
        paths("[{port: 1, x: 1}]", "[{port: 1, x: 2}, {port: 2}]"),
        "list[port=1].x: 1 -> 2; list[port=2]: nothing -> {\"port\":2}; "
    );
    assert_eq!(
        paths("[{name: a}, {name: a, x: 1}]", "[{name: a}, {name: a, x: 2}]"),
        "list[1].x: 1 -> 2; ",
        "no name is unique"
    );
    assert_eq!(paths("[]", "{}"), "list: [] -> {}; ");
}

#[test]
fn what_git_left_of_a_merge_is_said_with_its_place() {
    let good = tree("e", &[("s", "1", CONFIG)]);
    let mut torn = good.clone();
    torn.insert("_gen/e/index.json", "{\n<<<<<<< HEAD\n}");
    torn.insert("_gen/e/s/resources.yaml", format!("{CONFIG}<<<<<<< HEAD\n"));
    let wrong =
        between(&torn, &good, &Scope::default(), ["in the working tree", "as rendered"]).expect_err("unreadable");
    let lines: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    _gen/e/index.json:2:1: error[unreadable-gen]: the index in the working tree cannot be read: not an index: key must be a string at line 2 column 1
    _gen/e/s/resources.yaml:14:1: error[unreadable-gen]: the manifests in the working tree cannot be read: expected `:` after this key; check the indentation, and quote text of several lines
    ");
}

#[test]
fn a_comment_fits_its_forge() {
    let many: Vec<(String, String)> = (0..3_000)
        .map(|i| (format!("service-{i:04}"), CONFIG.replace("name: web", &format!("name: web-{i}"))))
        .collect();
    let with = |version: &str, mark: &str| {
        let texts: Vec<(&str, String)> =
            many.iter().map(|(name, text)| (name.as_str(), text.replace("plain: one", mark))).collect();
        let services: Vec<(&str, &str, &str)> =
            texts.iter().map(|(name, text)| (*name, version, text.as_str())).collect();
        tree("production", &services)
    };
    let difference = compared(&with("1", "plain: one"), &with("2", "plain: '````'"));
    let text = to_markdown(&difference);
    assert!(text.len() <= MARKDOWN_BYTES_MAX && text.len() > MARKDOWN_BYTES_MAX / 2, "{}", text.len());
    assert!(text.starts_with("### Rendered manifests: objects: 3000 changed\n"));
    let last = text.trim_end().lines().last().expect("text");
    assert!(last.starts_with("The details of ") && last.contains(" of 3000 services do not fit"), "{last}");
    assert!(text.contains("\n... and "), "the table is bounded too");
    assert!(text.contains("`````diff\n"), "a fence longer than what it holds");
    assert_eq!(text.matches("<details>").count(), text.matches("</details>").count());
}
