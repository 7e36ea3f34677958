//! The two clusters that a scenario is played on: the sandbox over HTTP, and a real control plane.
//!
//! What is done to a cluster from outside, by people and by policies, has one name here and is carried out on either. Knows no `syncd`.
//! Invariant: a scenario cannot tell which of the two it is on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use manifest::ObjectRef;
use sandbox::route::Target;
use sandbox::{Answer, Rule};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

/// Longest time until the real server obeys a policy that was changed.
const POLICY_PATIENCE: Duration = Duration::from_secs(30);

/// A cluster.
pub struct Plane {
    kubeconfig: PathBuf,
    client: kube::Client,
    model: Option<Model>,
}

/// The sandbox, as long as it serves.
struct Model {
    cluster: sandbox::Cluster,
    _server: sandbox::http::Server,
    _kubeconfig: NamedTempFile,
}

/// What somebody at the cluster was told instead of being obeyed.
#[derive(Debug)]
pub struct Refused(pub String);

/// A request that is not allowed until it is lifted.
pub struct Denial {
    name: String,
    verb: &'static str,
    id: ObjectRef,
}

impl Plane {
    /// Starts a sandbox. Its time is the wall's, so that what takes a second there takes one here.
    pub async fn sandbox() -> Self {
        let settings = sandbox::Settings {
            start: jiff::Timestamp::now(),
            pod_ready_after: Duration::from_millis(100),
            job_runs_for: Duration::from_millis(100),
            ..sandbox::Settings::default()
        };
        let cluster = sandbox::Cluster::new(settings);
        let server = sandbox::http::serve(cluster.clone(), "127.0.0.1:0".parse().unwrap(), 1.0).await.unwrap();
        let file = NamedTempFile::new().unwrap();
        std::fs::write(file.path(), server.kubeconfig()).unwrap();
        let kubeconfig = file.path().to_owned();
        let client = client(&kubeconfig).await;
        Plane { kubeconfig, client, model: Some(Model { cluster, _server: server, _kubeconfig: file }) }
    }

    /// Uses the control plane that `SYNCD_TEST_KUBECONFIG` names, if it does.
    pub async fn real() -> Option<Self> {
        let kubeconfig = PathBuf::from(std::env::var_os("SYNCD_TEST_KUBECONFIG")?);
        let client = client(&kubeconfig).await;
        Some(Plane { kubeconfig, client, model: None })
    }

    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Says which one it is, for figures that are printed. Scenarios do not ask.
    pub fn name(&self) -> &'static str {
        if self.model.is_some() { "sandbox" } else { "real control plane" }
    }

    // ---------------------------------------------------------------------------------------------------------- by somebody

    /// Creates or changes an object as `manager`, by server-side apply.
    pub async fn apply(&self, manager: &str, object: &Value) -> Value {
        let path = format!("{}?fieldManager={manager}&force=true", path_of(object));
        self.send("PATCH", &path, "application/apply-patch+yaml", object).await.unwrap()
    }

    /// Creates an object as `manager`.
    pub async fn create(&self, manager: &str, object: &Value) -> Value {
        let path = path_of(object);
        let collection = path.rsplit_once('/').unwrap().0;
        let path = format!("{collection}?fieldManager={manager}");
        self.send("POST", &path, "application/json", object).await.unwrap()
    }

    /// Changes an object as `manager`, by a merge patch.
    pub async fn patch(&self, manager: &str, id: &ObjectRef, patch: &Value) -> Value {
        let path = format!("{}?fieldManager={manager}", path(id, version_of(&id.group)));
        self.send("PATCH", &path, "application/merge-patch+json", patch).await.unwrap()
    }

    /// Deletes an object.
    pub async fn delete(&self, id: &ObjectRef) {
        let path = path(id, version_of(&id.group));
        self.send("DELETE", &path, "application/json", &json!({})).await.unwrap();
    }

    /// Reads an object.
    pub async fn get(&self, id: &ObjectRef) -> Option<Value> {
        self.send("GET", &path(id, version_of(&id.group)), "application/json", &Value::Null).await.ok()
    }

    /// Waits until an object, null where there is none, is as it should be. Returns how long that took.
    pub async fn until(&self, id: &ObjectRef, what: &str, is_so: impl Fn(&Value) -> bool) -> Duration {
        let begun = Instant::now();
        loop {
            let found = self.get(id).await.unwrap_or_default();
            if is_so(&found) {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{id}: never {what}: {found:#}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn has_kubectl(&self) -> bool {
        Command::new("kubectl").arg("help").output().await.is_ok()
    }

    /// Runs `kubectl` as somebody at a terminal does.
    pub async fn kubectl(&self, namespace: &str, arguments: &[&str], editor: &str) {
        let mut command = Command::new("kubectl");
        command.arg("--namespace").arg(namespace).args(arguments);
        let output = command.env("KUBECONFIG", &self.kubeconfig).env("KUBE_EDITOR", editor).output().await.unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Prints how long something took. On a real control plane it must not take longer than that.
    pub fn measured(&self, what: &str, took: Duration, at_most: Duration) {
        println!("{what}: {:.2} s, at most {:.1} s ({})", took.as_secs_f64(), at_most.as_secs_f64(), self.name());
        assert!(self.model.is_some() || took <= at_most, "{what}: {took:?}");
    }

    async fn send(&self, method: &str, path: &str, content_type: &str, body: &Value) -> Result<Value, Refused> {
        let bytes = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).unwrap() };
        let request = http::Request::builder().method(method).uri(path).header("content-type", content_type);
        let request = request.header("user-agent", "somebody/1").body(bytes).unwrap();
        self.client.request::<Value>(request).await.map_err(|error| Refused(error.to_string()))
    }

    // ------------------------------------------------------------------------------------------------------------- policies

    /// Denies `verb` (`apply` or `delete`) on one object in a namespace, as an admission policy does, from now on.
    pub async fn deny(&self, verb: &'static str, id: &ObjectRef) -> Denial {
        let name = format!("{verb}-{}.{}.example.org", id.name, id.namespace);
        let denial = Denial { name: name.clone(), verb, id: id.clone() };
        let message = "not today";
        if let Some(model) = &self.model {
            let answer = Answer::DeniedByPolicy { policy: name, message: message.to_owned() };
            let mut rule = Rule::new(&[verb], &[&resource(id)], answer).named(&id.name);
            rule.namespace = id.namespace.to_string();
            model.cluster.set_faults(|faults| faults.rules.push(rule));
            return denial;
        }
        let operations = if verb == "delete" { json!(["DELETE"]) } else { json!(["CREATE", "UPDATE"]) };
        let rule = json!({"apiGroups": [id.group], "apiVersions": ["*"], "operations": operations,
            "resources": [plural(&id.kind)], "resourceNames": [id.name], "scope": "*"});
        let policy = json!({"apiVersion": ADMISSION, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
            "spec": {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": [rule]},
                "validations": [{"expression": "false", "message": message, "reason": "Forbidden"}]}});
        let binding = json!({"apiVersion": ADMISSION, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": ["Deny"], "matchResources": in_namespace(&id.namespace)}});
        self.apply("somebody", &policy).await;
        self.apply("somebody", &binding).await;
        self.wait_for(&denial, true).await;
        denial
    }

    /// Lifts a denial.
    pub async fn allow(&self, denial: &Denial) {
        if let Some(model) = &self.model {
            let is_it =
                |rule: &Rule| matches!(&rule.answer, Answer::DeniedByPolicy { policy, .. } if *policy == denial.name);
            model.cluster.set_faults(|faults| faults.rules.retain(|rule| !is_it(rule)));
            return;
        }
        for kind in ["ValidatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy"] {
            self.delete(&cluster_wide(ADMISSION, kind, &denial.name)).await;
        }
        self.wait_for(denial, false).await;
    }

    /// Lets every write to a resource in a namespace fail, because a webhook that is to be asked cannot be reached.
    pub async fn break_webhook(&self, webhook: &str, namespace: &str, sample: &ObjectRef) {
        if let Some(model) = &self.model {
            let answer = Answer::WebhookUnreachable { webhook: webhook.to_owned() };
            let mut rule = Rule::new(&["write"], &[&resource(sample)], answer);
            namespace.clone_into(&mut rule.namespace);
            model.cluster.set_faults(|faults| faults.rules.push(rule));
            return;
        }
        let rule = json!({"apiGroups": [sample.group], "apiVersions": ["*"], "operations": ["*"], "resources": [plural(&sample.kind)]});
        // Nobody listens on port 1.
        let hook = json!({"name": webhook, "clientConfig": {"url": "https://127.0.0.1:1/"}, "failurePolicy": "Fail", "sideEffects": "None",
            "timeoutSeconds": 1, "admissionReviewVersions": ["v1"], "rules": [rule],
            "namespaceSelector": in_namespace(namespace)["namespaceSelector"]});
        let configuration = json!({"apiVersion": ADMISSION, "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": format!("{webhook}.{namespace}")}, "webhooks": [hook]});
        self.apply("somebody", &configuration).await;
        let denial = Denial { name: webhook.to_owned(), verb: "apply", id: sample.clone() };
        self.wait_for(&denial, true).await;
    }

    /// Makes a namespace in which no pod may be created, because a quota says so.
    pub async fn allow_no_pods(&self, namespace: &str) {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        self.apply("somebody", &object).await;
        if let Some(model) = &self.model {
            let message = "exceeded quota: none, requested: pods=1, used: pods=0, limited: pods=0".to_owned();
            let mut rule = Rule::new(&["create"], &["pods"], Answer::QuotaExceeded { message });
            namespace.clone_into(&mut rule.namespace);
            model.cluster.set_faults(|faults| faults.rules.push(rule));
            return;
        }
        let metadata = json!({"name": "none", "namespace": namespace});
        let quota =
            json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": {"pods": "0"}}});
        self.apply("somebody", &quota).await;
        let id = manifest::Manifest::from_value(quota).unwrap().id;
        self.until(&id, "in force", |quota| quota["status"]["hard"]["pods"] == "0").await;
    }

    /// Waits until instances of a new kind can be listed: for a moment after its definition is established the real server cannot.
    pub async fn until_served(&self, group: &str, kind: &str) {
        let begun = Instant::now();
        let path = format!("/apis/{group}/v1/{}", plural(kind));
        while let Err(Refused(text)) = self.send("GET", &path, "application/json", &Value::Null).await {
            assert!(begun.elapsed() < POLICY_PATIENCE, "{kind}.{group}: {text}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Takes a group of custom kinds out of service: whoever is to answer for it does not.
    pub async fn break_group(&self, group: &str) {
        if let Some(model) = &self.model {
            return model.cluster.set_faults(|faults| faults.outages.push(group.to_owned()));
        }
        // The server manages the entry of a group of its own as long as it carries a label.
        let service = json!({"name": "nobody", "namespace": "default"});
        let patch = json!({"metadata": {"labels": {"kube-aggregator.kubernetes.io/automanaged": null}},
            "spec": {"service": service, "insecureSkipTLSVerify": true}});
        self.patch("somebody", &entry_of(group), &patch).await;
        self.until(&entry_of(group), "out of service", |entry| available(entry) == "False").await;
    }

    /// Takes it into service again.
    pub async fn mend_group(&self, group: &str) {
        if let Some(model) = &self.model {
            return model.cluster.set_faults(|faults| faults.outages.retain(|outage| outage != group));
        }
        self.delete(&entry_of(group)).await;
        self.until(&entry_of(group), "in service", |entry| available(entry) == "True").await;
    }

    /// Asks for what is denied, without meaning it, until the answer is the one that is wanted.
    async fn wait_for(&self, denial: &Denial, denied: bool) {
        let begun = Instant::now();
        let path = path(&denial.id, version_of(&denial.id.group));
        let body = json!({"apiVersion": api_version(&denial.id.group), "kind": denial.id.kind, "metadata": {"name": denial.id.name}});
        loop {
            let answer = match denial.verb {
                // Without a body: one that says nothing of it would win over the query.
                "delete" => self.send("DELETE", &format!("{path}?dryRun=All"), "application/json", &Value::Null).await,
                _ => {
                    let path = format!("{path}?dryRun=All&fieldManager=probe&force=true");
                    self.send("PATCH", &path, "application/apply-patch+yaml", &body).await
                }
            };
            let is_denied = answer.as_ref().is_err_and(|Refused(text)| text.contains(&denial.name));
            if is_denied == denied {
                return;
            }
            assert!(begun.elapsed() < POLICY_PATIENCE, "{}: {answer:?}", denial.name);
            sleep(Duration::from_millis(50)).await;
        }
    }
}

const ADMISSION: &str = "admissionregistration.k8s.io/v1";

/// Returns who answers for a group.
fn entry_of(group: &str) -> ObjectRef {
    cluster_wide("apiregistration.k8s.io/v1", "APIService", &format!("v1.{group}"))
}

fn available(entry: &Value) -> &str {
    let conditions = entry["status"]["conditions"].as_array();
    let found = conditions.into_iter().flatten().find(|condition| condition["type"] == "Available");
    found.and_then(|condition| condition["status"].as_str()).unwrap_or_default()
}

async fn client(kubeconfig: &Path) -> kube::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let file = Kubeconfig::read_from(kubeconfig).unwrap();
    let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
    kube::Client::try_from(config).unwrap()
}

fn in_namespace(namespace: &str) -> Value {
    json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}})
}

fn cluster_wide(api_version: &str, kind: &str, name: &str) -> ObjectRef {
    let group = manifest::object::group_of(api_version).to_owned();
    ObjectRef { group: group.into(), kind: kind.into(), namespace: "".into(), name: name.into() }
}

/// The version in which scenarios look at a group.
fn version_of(group: &str) -> &'static str {
    if group == "autoscaling" { "v2" } else { "v1" }
}

fn api_version(group: &str) -> String {
    let version = version_of(group);
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// Returns the plural of a kind, by the rule that all kinds of the scenarios follow.
fn plural(kind: &str) -> String {
    let kind = kind.to_ascii_lowercase();
    match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None if kind.ends_with('s') => format!("{kind}es"),
        None => format!("{kind}s"),
    }
}

fn resource(id: &ObjectRef) -> String {
    let plural = plural(&id.kind);
    if id.group.is_empty() { plural } else { format!("{plural}.{}", id.group) }
}

/// Returns an object as a path names it, whatever the version.
pub fn target(id: &ObjectRef) -> Target {
    let (group, namespace, name) = (id.group.clone(), id.namespace.clone(), id.name.clone());
    Target {
        group: group.to_string(),
        resource: plural(&id.kind),
        namespace: namespace.to_string(),
        name: name.to_string(),
        ..Target::default()
    }
}

fn path(id: &ObjectRef, version: &str) -> String {
    let root = if id.group.is_empty() { format!("/api/{version}") } else { format!("/apis/{}/{version}", id.group) };
    let space = if id.namespace.is_empty() { String::new() } else { format!("/namespaces/{}", id.namespace) };
    format!("{root}{space}/{}/{}", plural(&id.kind), id.name)
}

fn path_of(object: &Value) -> String {
    let id = manifest::Manifest::from_value(object.clone()).unwrap().id;
    let api_version = object["apiVersion"].as_str().unwrap();
    path(&id, api_version.rsplit_once('/').map_or(api_version, |(_, version)| version))
}
