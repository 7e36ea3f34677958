//! Roles for small environments.

use std::collections::BTreeMap;

use manifest::Hash;
use manifest::index::Entry;
use serde_json::Value;

use super::*;

fn tree(text: &str) -> SourceTree {
    let entry = Entry {
        content: Hash::of(text.as_bytes()),
        inputs: Hash::of(b""),
        objects: 0,
        sync: manifest::index::Sync::default(),
        version: "1".into(),
        chart: "generic".into(),
    };
    let index = Index { environment: "prod".to_owned(), services: BTreeMap::from([("web".to_owned(), entry)]) };
    [("_gen/prod/index.json".to_owned(), index.to_json()), ("_gen/prod/web/resources.yaml".to_owned(), text.to_owned())]
        .into_iter()
        .collect()
}

const SUBJECT: Subject<'_> = Subject { environment: "prod", namespace: "syncd", service_account: "syncd" };

/// One line a rule: where, group and resources, names, verbs.
fn rules_of(text: &str) -> Vec<String> {
    let (roles, _) = derive(&[(&tree(text), "on the disk")], &SUBJECT).unwrap_or_else(|wrong| panic!("{wrong:?}"));
    let mut lines = Vec::new();
    for manifest in roles.manifests.iter().filter(|manifest| manifest.id.kind.ends_with("Role")) {
        for rule in manifest.value["rules"].as_array().expect("rules") {
            let list = |key: &str| {
                rule[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
            };
            lines.push(format!(
                "{} {}/{} {} {}",
                manifest.id,
                list("apiGroups"),
                list("resources"),
                list("resourceNames"),
                list("verbs")
            ));
        }
    }
    lines
}

#[test]
fn one_namespace_and_nothing_more() {
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: shop}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a, namespace: shop}\n";
    insta::assert_snapshot!(rules_of(text).join("\n"));
    let (roles, warnings) = derive(&[(&tree(text), "on the disk")], &SUBJECT).expect("readable");
    insta::assert_snapshot!("yaml", roles.to_yaml());
    assert!(warnings.is_empty());
}

#[test]
fn cluster_wide_objects_roles_and_two_namespaces() {
    let text = "\
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: a, namespace: shop}
---
apiVersion: batch/v1
kind: Job
metadata: {name: a, namespace: jobs}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reader}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reads, namespace: jobs}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reader}
---
apiVersion: example.com/v1
kind: Mouse
metadata: {name: a, namespace: jobs}
";
    insta::assert_snapshot!(rules_of(text).join("\n"));
    let warnings = derive(&[(&tree(text), "on the disk")], &SUBJECT).expect("readable").1;
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        ["warning[guessed-resource]: `Mouse.example.com` is taken for the resource `mouses`: no CRD in _gen says so"]
    );
}

#[test]
fn what_goes_with_a_namespace_or_a_definition_may_be_seen() {
    let text = "\
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: mice.example.com}
spec: {group: example.com, names: {kind: Mouse, plural: mice}}
";
    let inside: Vec<String> = rules_of(text).into_iter().filter(|rule| rule.contains("-inside ")).collect();
    let expected = [
        "ClusterRole.rbac.authorization.k8s.io syncd-prod-inside example.com/mice  list",
        "Role.rbac.authorization.k8s.io shop/syncd-prod-inside */*  list",
    ];
    assert_eq!(inside, expected);
}

#[test]
fn what_was_there_before_may_be_deleted() {
    let now = tree("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: shop}\n");
    let before = tree("apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: old}\n");
    let yaml = |states: &[(&SourceTree, &str)]| derive(states, &SUBJECT).expect("readable").0.to_yaml();
    assert!(!yaml(&[(&now, "now")]).contains("services"));
    let both = yaml(&[(&now, "now"), (&before, "before")]);
    assert!(
        both.contains("- services\n") && both.contains("namespace: old\n") && both.contains("- configmaps\n"),
        "{both}"
    );
}

#[test]
fn an_environment_without_objects_needs_its_state_alone() {
    assert_eq!(
        rules_of(""),
        [
            "Role.rbac.authorization.k8s.io syncd/syncd-prod-state /configmaps  create,delete,get,list,update",
            "Role.rbac.authorization.k8s.io syncd/syncd-prod-state /configmaps syncd-prod.suspended watch",
            "Role.rbac.authorization.k8s.io syncd/syncd-prod-state /events  create",
            "Role.rbac.authorization.k8s.io syncd/syncd-prod-state coordination.k8s.io/leases  create",
            "Role.rbac.authorization.k8s.io syncd/syncd-prod-state coordination.k8s.io/leases syncd-prod get,update",
        ]
    );
    let wrong = derive(&[(&tree(""), "on the disk")], &Subject { environment: "prd", ..SUBJECT }).expect_err("unknown");
    assert!(wrong.iter().any(|one| one.hint.as_deref() == Some("did you mean `prod`?")), "{wrong:?}");
}
