//! A fleet as a repository: services of a ConfigMap, a Service, a Deployment and a HorizontalPodAutoscaler, of realistic size.
//!
//! Knows no cluster. Invariant: the same numbers give the same bytes.

use std::collections::BTreeMap;
use std::path::Path;

use manifest::index::{Entry, Sync};
use manifest::{Hash, Index, yaml};
use serde_json::{Value, json};

use crate::git_repository::{Repository, git};

/// The environment of every fleet.
pub const ENVIRONMENT: &str = "bench";
/// Namespaces that a fleet is spread over, at least.
const NAMESPACES: usize = 10;
/// Services of a namespace where there are more of them.
const CROWD: usize = 50;

/// What is wanted.
pub struct Fleet {
    replicas: u32,
    prefix: String,
    /// Counts the changes of each service that was changed.
    changes: BTreeMap<usize, u64>,
    services: usize,
    index: Index,
}

impl Fleet {
    /// Makes one whose namespaces begin with `prefix`.
    pub fn new(services: usize, replicas: u32, prefix: &str) -> Self {
        let index = Index { environment: ENVIRONMENT.to_owned(), services: BTreeMap::new() };
        let prefix = prefix.to_owned();
        let mut fleet = Fleet { replicas, prefix, changes: BTreeMap::new(), services, index };
        for number in 0..services {
            fleet.enter(number, &fleet.text(number));
        }
        fleet
    }

    pub fn services(&self) -> usize {
        self.services
    }

    /// Returns the namespaces; they are no part of the services.
    pub fn namespaces(&self) -> Vec<String> {
        (0..self.crowds().min(self.services)).map(|number| format!("{}-{number}", self.prefix)).collect()
    }

    fn namespace(&self, number: usize) -> String {
        format!("{}-{}", self.prefix, number % self.crowds())
    }

    fn crowds(&self) -> usize {
        NAMESPACES.max(self.services / CROWD)
    }

    /// Returns the objects of one service.
    pub fn objects(&self, number: usize) -> [Value; 4] {
        let (name, namespace) = (name(number), self.namespace(number));
        let change = self.changes.get(&number).copied().unwrap_or_default();
        let labels = json!({
            "app.kubernetes.io/name": name, "app.kubernetes.io/instance": format!("{name}-{ENVIRONMENT}"),
            "app.kubernetes.io/version": "1.27.3", "app.kubernetes.io/component": "backend", "team": format!("team-{}", number % 37),
        });
        let metadata = || json!({"name": name, "namespace": namespace, "labels": labels});
        let settings: String =
            (0..18).map(|line| format!("setting.{line:02}.of.the.service = value {number} {line}\n")).collect();
        let data = json!({"application.properties": settings, "LOG_LEVEL": "info", "REGION": "eu-central-1", "CHANGE": change.to_string()});
        let probe = |path: &str| json!({"httpGet": {"path": path, "port": "http", "scheme": "HTTP"}, "periodSeconds": 10, "timeoutSeconds": 2, "failureThreshold": 3, "successThreshold": 1});
        let variable = |number: usize| json!({"name": format!("VARIABLE_{number:02}"), "value": format!("some value of it {number}")});
        let container = json!({
            "name": "main", "image": format!("registry.example/team/{name}:1.27.3"), "imagePullPolicy": "IfNotPresent",
            "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}, {"name": "metrics", "containerPort": 9090, "protocol": "TCP"}],
            "env": (0..8).map(variable).collect::<Vec<_>>(), "envFrom": [{"configMapRef": {"name": name}}],
            "livenessProbe": probe("/healthz"), "readinessProbe": probe("/readyz"),
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
            "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}},
        });
        let selector =
            json!({"app.kubernetes.io/name": name, "app.kubernetes.io/instance": format!("{name}-{ENVIRONMENT}")});
        let pod = json!({
            "containers": [container], "terminationGracePeriodSeconds": 30,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        });
        [
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(), "data": data}),
            json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata(), "spec": {"type": "ClusterIP", "selector": selector,
                "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}, {"name": "metrics", "port": 9090, "targetPort": "metrics", "protocol": "TCP"}]}}),
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata(), "spec": {"replicas": self.replicas, "selector": {"matchLabels": selector},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
                "template": {"metadata": {"labels": labels, "annotations": {"checksum/config": format!("{:064x}", number * 7919)}}, "spec": pod}}}),
            json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata(), "spec": {"minReplicas": 1, "maxReplicas": 5,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]}}),
        ]
    }

    fn text(&self, number: usize) -> String {
        yaml::write_documents(&self.objects(number))
    }

    fn enter(&mut self, number: usize, text: &str) {
        let hash = Hash::of(text.as_bytes());
        let (chart, version) = ("generic".into(), "1.27.3".into());
        let entry = Entry { chart, content: hash, inputs: hash, objects: 4, sync: Sync::default(), version };
        self.index.services.insert(name(number), entry);
    }

    /// Commits the whole of it into a new repository.
    pub fn commit(&self) -> Repository {
        let repository = Repository::new();
        self.write(repository.path());
        repository.commit("a fleet", &[]);
        repository
    }

    /// Commits the whole of it into a folder that stays.
    pub fn commit_in(&self, folder: &Path) {
        std::fs::create_dir_all(folder).unwrap();
        let run =
            |arguments: &[&str]| assert!(git(folder).args(arguments).status().unwrap().success(), "git {arguments:?}");
        run(&["init", "--quiet", "--initial-branch=main", "."]);
        self.write(folder);
        run(&["add", "--all", "."]);
        run(&["commit", "--quiet", "--message", "a fleet"]);
    }

    fn write(&self, root: &Path) {
        for number in 0..self.services {
            let path = root.join(Index::resources_path(ENVIRONMENT, &name(number)));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, self.text(number)).unwrap();
        }
        std::fs::write(root.join(Index::path(ENVIRONMENT)), self.index.to_json()).unwrap();
    }

    /// Changes the ConfigMaps of services and commits that.
    pub fn change(&mut self, repository: &Repository, numbers: impl IntoIterator<Item = usize>) {
        for number in numbers {
            *self.changes.entry(number).or_default() += 1;
            let text = self.text(number);
            std::fs::write(repository.path().join(Index::resources_path(ENVIRONMENT, &name(number))), &text).unwrap();
            self.enter(number, &text);
        }
        std::fs::write(repository.path().join(Index::path(ENVIRONMENT)), self.index.to_json()).unwrap();
        repository.commit("a change", &[]);
    }
}

/// Returns the name of a service, and of each of its objects.
pub fn name(number: usize) -> String {
    format!("service-{number:05}")
}

/// Returns the path of an object, or of its collection.
pub fn path(object: &Value, collection: bool) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (api, plural) = match text("/kind") {
        "ConfigMap" => ("api/v1", "configmaps"),
        "Service" => ("api/v1", "services"),
        "Deployment" => ("apis/apps/v1", "deployments"),
        _ => ("apis/autoscaling/v2", "horizontalpodautoscalers"),
    };
    let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
    let collection_path = format!("/{api}/namespaces/{namespace}/{plural}");
    if collection { collection_path } else { format!("{collection_path}/{name}") }
}
