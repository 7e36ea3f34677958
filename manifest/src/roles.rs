//! What `syncd` must be allowed to do, and no more: roles derived from what an environment consists of.
//!
//! What each verb is for is written down once, in [`Reason`], and stands in an annotation of every role. Where `syncd` asks over all namespaces
//! at once - it finds what it owns by label, one list a kind - the right is cluster-wide; whatever writes is granted in the namespaces of
//! the environment only. Part of the contract because both sides say it: the generator for review, `syncd` when it is installed. Knows no
//! cluster.
//!
//! Invariant: a kind, namespace or verb that no object of the environment needs is in no role.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::object::{Manifest, scope};
use crate::yaml;

mod resource;

/// For whom.
#[derive(Debug, Clone)]
pub struct Subject<'s> {
    /// Name of the environment.
    pub environment: &'s str,
    /// The namespace of `syncd` itself, where it keeps its state.
    pub namespace: &'s str,
    /// Its service account there.
    pub service_account: &'s str,
}

/// Roles and bindings, and what is not certain about them.
#[derive(Debug)]
pub struct Roles {
    /// The objects, sorted as all manifests are.
    pub manifests: Vec<Manifest>,
    /// What was guessed.
    pub guesses: Vec<Guess>,
}

impl Roles {
    /// Returns them as YAML that `kubectl apply` takes.
    pub fn to_yaml(&self) -> String {
        yaml::write_documents(self.manifests.iter().map(|manifest| &manifest.value))
    }
}

/// A kind whose resource no definition among the objects names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guess {
    /// `Kind.group`.
    pub kind: String,
    /// What it was taken for.
    pub resource: String,
}

impl std::fmt::Display for Guess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` is taken for the resource `{}`", self.kind, self.resource)
    }
}

/// Why a role has its verbs. The text goes into the annotation `generator/reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Find,
    Write,
    WriteClusterWide,
    Around,
    Help,
    Inside,
    State,
}

impl Reason {
    fn text(self) -> &'static str {
        match self {
            Reason::Find => {
                "list and watch: what is owned is found by its label, in all namespaces at once, and waited for"
            }
            Reason::Write => {
                "create and patch: server-side apply, which creates what is not there; get: is a delete still \
                 needed, is it done; delete: what is no longer wanted, by uid"
            }
            Reason::WriteClusterWide => {
                "create and patch: server-side apply, which creates what is not there; get and delete: by name and uid; \
                 escalate and bind: to grant what the named roles grant, without having it"
            }
            Reason::Around => {
                "list and watch: ReplicaSets, pods and warnings say early why a workload does not become ready"
            }
            Reason::Help => "pods/log: the end of a log that says why; events: what went wrong, read and told",
            Reason::Inside => {
                "list: a namespace is deleted only if nothing of others is in it, a definition only if it has no instances; \
                 without this right it is kept"
            }
            Reason::State => {
                "configmaps: what is held, written by compare-and-set, and what is suspended, watched by name; events: that deletions wait for approval; leases: \
                 which of several syncds acts, by name"
            }
        }
    }
}

/// Kinds whose pods are looked at while they are waited for.
const WORKLOADS: [(&str, &str); 6] = [
    ("apps", "Deployment"),
    ("apps", "StatefulSet"),
    ("apps", "DaemonSet"),
    ("apps", "ReplicaSet"),
    ("batch", "Job"),
    ("", "Pod"),
];
/// Kinds that grant rights, and need some of their own.
const RBAC: &str = "rbac.authorization.k8s.io";
/// Where events about objects without a namespace are kept.
const DEFAULT_NAMESPACE: &str = "default";

/// Derives the roles from the objects of an environment, and those that may still have to be deleted.
pub fn derive(objects: &[Manifest], subject: &Subject<'_>) -> Roles {
    let mut guesses = Vec::new();
    let needs = Needs::of(objects, &mut guesses);
    let mut values = needs.cluster_roles(subject);
    values.extend(needs.roles(subject));
    values.extend(state(subject));
    let mut manifests: Vec<Manifest> =
        values.into_iter().map(|value| Manifest::from_value(value).expect("a role has a name and a kind")).collect();
    manifests.sort_by(|a, b| a.order().cmp(&b.order()));
    Roles { manifests, guesses }
}

/// Resources by group.
type Resources = BTreeMap<String, BTreeSet<String>>;

#[derive(Default)]
struct Needs {
    all: Resources,
    cluster_wide: Resources,
    by_namespace: BTreeMap<String, Resources>,
    workloads_in: BTreeSet<String>,
    /// Namespaces that are objects of the environment themselves.
    namespaces: BTreeSet<String>,
    /// What the definitions of the environment define.
    instances: Resources,
    /// Resource of the RBAC group, verb, names it is needed for; by namespace, empty for cluster-wide.
    grants: BTreeMap<String, BTreeMap<(&'static str, &'static str), BTreeSet<String>>>,
}

impl Needs {
    fn of(manifests: &[Manifest], guesses: &mut Vec<Guess>) -> Needs {
        let mut needs = Needs::default();
        let defined = resource::defined(manifests);
        for manifest in manifests {
            let id = &manifest.id;
            let plural = resource::plural(&id.group, &id.kind, &defined).unwrap_or_else(|resource| {
                guesses.push(Guess { kind: format!("{}.{}", id.kind, id.group), resource: resource.clone() });
                resource
            });
            let insert = |resources: &mut Resources| {
                resources.entry(id.group.to_string()).or_default().insert(plural.clone());
            };
            insert(&mut needs.all);
            match id.namespace.as_str() {
                "" => insert(&mut needs.cluster_wide),
                namespace => insert(needs.by_namespace.entry(namespace.to_owned()).or_default()),
            }
            if WORKLOADS.contains(&(id.group.as_str(), id.kind.as_str())) {
                needs.workloads_in.insert(id.namespace.to_string());
            }
            if id.group == RBAC {
                needs.grant(manifest);
            }
            if id.group.is_empty() && id.kind == "Namespace" {
                needs.namespaces.insert(id.name.to_string());
            }
        }
        for ((group, _), plural) in defined {
            needs.instances.entry(group).or_default().insert(plural);
        }
        needs
    }

    /// Kubernetes lets nobody grant what they do not have, but by these two verbs; they are given for the very names.
    fn grant(&mut self, manifest: &Manifest) {
        let grants = self.grants.entry(manifest.id.namespace.to_string()).or_default();
        let resource = |kind: &str| if kind == "ClusterRole" { "clusterroles" } else { "roles" };
        match manifest.id.kind.as_str() {
            kind @ ("ClusterRole" | "Role") => {
                grants.entry((resource(kind), "escalate")).or_default().insert(manifest.id.name.to_string());
            }
            _ => {
                let text = |pointer| manifest.value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
                let name = text("/roleRef/name").to_owned();
                grants.entry((resource(text("/roleRef/kind")), "bind")).or_default().insert(name);
            }
        }
    }

    fn granted(&self, namespace: &str) -> Vec<Value> {
        let grants = self.grants.get(namespace).into_iter().flatten();
        grants
            .map(|((resource, verb), names)| {
                json!({"apiGroups": [RBAC], "resources": [resource], "resourceNames": names, "verbs": [verb]})
            })
            .collect()
    }

    fn around() -> Resources {
        let sets = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Resources::from([(String::new(), sets(&["events", "pods"])), ("apps".to_owned(), sets(&["replicasets"]))])
    }

    fn cluster_roles(&self, subject: &Subject<'_>) -> Vec<Value> {
        let mut values = Vec::new();
        let mut add = |part: &str, reason: Reason, rules: Vec<Value>| {
            if !rules.is_empty() {
                values.extend(role(subject, "", part, reason, &rules));
            }
        };
        add("find", Reason::Find, rules(&self.all, &["list", "watch"]));
        let mut writes = rules(&self.cluster_wide, &["create", "delete", "get", "patch"]);
        writes.extend(self.granted(""));
        add("write", Reason::WriteClusterWide, writes);
        add("inside", Reason::Inside, rules(&self.instances, &["list"]));
        // Where all workloads are in one namespace, it is enough to look there.
        if self.workloads_in.len() > 1 {
            add("around", Reason::Around, rules(&Needs::around(), &["list", "watch"]));
        }
        values
    }

    fn roles(&self, subject: &Subject<'_>) -> Vec<Value> {
        let mut values = Vec::new();
        for (namespace, resources) in &self.by_namespace {
            let mut writes = rules(resources, &["create", "delete", "get", "patch"]);
            writes.extend(self.granted(namespace));
            values.extend(role(subject, namespace, "write", Reason::Write, &writes));
            let has_workloads = self.workloads_in.contains(namespace);
            if has_workloads && self.workloads_in.len() == 1 {
                values.extend(role(
                    subject,
                    namespace,
                    "around",
                    Reason::Around,
                    &rules(&Needs::around(), &["list", "watch"]),
                ));
            }
        }
        let everything = [json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["list"]})];
        for namespace in &self.namespaces {
            values.extend(role(subject, namespace, "inside", Reason::Inside, &everything));
        }
        let mut told: BTreeSet<&str> = self.by_namespace.keys().map(String::as_str).collect();
        if !self.cluster_wide.is_empty() {
            told.insert(DEFAULT_NAMESPACE);
        }
        for namespace in told {
            let mut help = vec![json!({"apiGroups": [""], "resources": ["events"], "verbs": ["create", "list"]})];
            if self.workloads_in.contains(namespace) {
                help.push(json!({"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]}));
            }
            values.extend(role(subject, namespace, "help", Reason::Help, &help));
        }
        values
    }
}

/// What `syncd` keeps in its own namespace.
fn state(subject: &Subject<'_>) -> Vec<Value> {
    let lease = format!("syncd-{}", subject.environment);
    let leases =
        |verbs: &[&str]| json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": verbs});
    let mut the_lease = leases(&["get", "update"]);
    the_lease["resourceNames"] = json!([lease]);
    let suspended = format!("{lease}.suspended");
    let rules = [
        json!({"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "delete", "get", "list", "update"]}),
        json!({"apiGroups": [""], "resourceNames": [suspended], "resources": ["configmaps"], "verbs": ["watch"]}),
        json!({"apiGroups": [""], "resources": ["events"], "verbs": ["create"]}),
        // What is to be created has no name yet, as Kubernetes sees it.
        leases(&["create"]),
        the_lease,
    ];
    role(subject, subject.namespace, "state", Reason::State, &rules)
}

fn rules(resources: &Resources, verbs: &[&str]) -> Vec<Value> {
    let rule = |(group, resources)| json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
    resources.iter().map(rule).collect()
}

/// Returns a role and its binding, in a namespace or, where that is empty, for the cluster.
fn role(subject: &Subject<'_>, namespace: &str, part: &str, reason: Reason, rules: &[Value]) -> Vec<Value> {
    let Subject { environment, namespace: own, service_account } = *subject;
    let name = format!("syncd-{environment}-{part}");
    let prefix = if namespace.is_empty() { "Cluster" } else { "" };
    let metadata = |reason: Option<Reason>| {
        let mut metadata = json!({"name": name});
        if !namespace.is_empty() {
            metadata["namespace"] = json!(namespace);
        }
        if let Some(reason) = reason {
            metadata["annotations"] = json!({"generator/reason": reason.text()});
        }
        metadata
    };
    let version = format!("{RBAC}/v1");
    let kind = format!("{prefix}Role");
    vec![
        json!({"apiVersion": version, "kind": kind, "metadata": metadata(Some(reason)), "rules": rules}),
        json!({
            "apiVersion": version,
            "kind": format!("{prefix}RoleBinding"),
            "metadata": metadata(None),
            "roleRef": {"apiGroup": RBAC, "kind": kind, "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": service_account, "namespace": own}],
        }),
    ]
}

/// Tells whether a kind is Kubernetes' own.
fn is_own(group: &str, kind: &str) -> bool {
    scope(group, kind).is_some()
}
