//! A stock kubectl against the HTTP face: what people type works, and says what it says elsewhere.
//!
//! Without kubectl on the PATH this says that it was not run, and passes.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use sandbox::{Cluster, Settings, http};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// How long one command may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: team}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: 'nginx:1'}]}
";

struct Kubectl<'a> {
    home: &'a Path,
}

struct Output {
    is_success: bool,
    text: String,
}

impl Kubectl<'_> {
    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new("kubectl");
        command.args(arguments.split(' ')).env("HOME", self.home).env("KUBECONFIG", self.home.join("kubeconfig"));
        command.current_dir(self.home).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    async fn run(&self, arguments: &str) -> Output {
        let output = tokio::time::timeout(PATIENCE, self.command(arguments).output()).await;
        let output = output.unwrap_or_else(|_| panic!("kubectl {arguments}: no end")).expect("kubectl is there");
        let text = [output.stdout, output.stderr].concat();
        Output { is_success: output.status.success(), text: String::from_utf8_lossy(&text).into_owned() }
    }

    async fn says(&self, arguments: &str, expected: &str) {
        let output = self.run(arguments).await;
        assert!(output.is_success, "kubectl {arguments}: {}", output.text);
        assert!(output.text.contains(expected), "kubectl {arguments}: no {expected:?} in {}", output.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stock_kubectl_gets_applies_waits_and_deletes() {
    let home = tempfile::tempdir().expect("a folder");
    let kubectl = Kubectl { home: home.path() };
    if kubectl.command("version --client").output().await.is_err() {
        println!("NOT RUN: there is no kubectl on the PATH");
        return;
    }
    let cluster = Cluster::new(Settings { namespaces: vec!["team".into()], ..Settings::default() });
    let address = "127.0.0.1:0".parse().expect("an address");
    let server = http::serve(cluster.clone(), address, 10.0).await.expect("served");
    http::write_kubeconfig(&home.path().join("kubeconfig"), &server.url()).expect("written");
    std::fs::write(home.path().join("web.yaml"), DEPLOYMENT).expect("written");
    std::fs::write(home.path().join("other.yaml"), DEPLOYMENT.replace("nginx:1", "nginx:2")).expect("written");

    reads(&kubectl).await;
    server_side(&kubectl).await;
    client_side(&kubectl).await;
    watches(&kubectl).await;
    deletes(&kubectl).await;
    server.stop().await;
}

async fn reads(kubectl: &Kubectl<'_>) {
    kubectl.says("get namespaces", "team").await;
    kubectl.says("get all --all-namespaces", "service/kubernetes").await;
    kubectl.says("api-resources", "deployments").await;
    kubectl.says("get nodes", "Ready").await;
    let missing = kubectl.run("get deployment nope -n team").await;
    assert!(!missing.is_success);
    assert!(missing.text.contains("deployments.apps \"nope\" not found"), "{}", missing.text);
}

async fn server_side(kubectl: &Kubectl<'_>) {
    kubectl.says("apply --server-side -f web.yaml", "serverside-applied").await;
    kubectl.says("wait --for=condition=Available deployment/web -n team --timeout=50s", "condition met").await;
    kubectl.says("get deployment,pods -n team", "2/2").await;
    kubectl.says("get deployment web -n team -o yaml --show-managed-fields", "manager: kubectl").await;
    let conflict = kubectl.run("apply --server-side --field-manager=other -f other.yaml").await;
    assert!(!conflict.is_success);
    assert!(conflict.text.contains("conflict with \"kubectl\""), "{}", conflict.text);
    kubectl
        .says("apply --server-side --field-manager=other --force-conflicts -f other.yaml", "serverside-applied")
        .await;
    kubectl.says("rollout status deployment/web -n team --timeout=50s", "successfully rolled out").await;
    kubectl.says("scale deployment web -n team --replicas=1", "scaled").await;
    kubectl.says("get events -n team", "ScalingReplicaSet").await;
    let unknown = DEPLOYMENT.replace("replicas", "replicant");
    std::fs::write(kubectl.home.join("unknown.yaml"), unknown).expect("written");
    let refused = kubectl.run("apply --server-side --force-conflicts -f unknown.yaml").await;
    assert!(!refused.is_success);
    assert!(refused.text.contains("field not declared in schema"), "{}", refused.text);
}

async fn client_side(kubectl: &Kubectl<'_>) {
    kubectl.says("delete -f web.yaml", "deleted").await;
    kubectl.says("apply -f web.yaml", "created").await;
    kubectl.says("apply -f web.yaml", "unchanged").await;
    kubectl.says("apply -f other.yaml", "configured").await;
    kubectl.says("get deployment web -n team -o jsonpath={.spec.template.spec.containers[0].image}", "nginx:2").await;
    kubectl.says("apply --server-side -f other.yaml", "serverside-applied").await;
    let unknown = kubectl.run("apply -f unknown.yaml").await;
    assert!(!unknown.is_success);
    assert!(unknown.text.contains("unknown field \"spec.replicant\""), "{}", unknown.text);
    kubectl.says("label deployment web -n team a=b", "labeled").await;
    kubectl.says("get deployment -n team -l a=b -o name", "deployment.apps/web").await;
}

async fn watches(kubectl: &Kubectl<'_>) {
    let mut command = kubectl.command("get deployment web -n team -w");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("kubectl is there");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut seen = Vec::new();
    let follow = async {
        while let Ok(Some(line)) = lines.next_line().await {
            seen.push(line);
            if seen.len() == 2 {
                kubectl.says("scale deployment web -n team --replicas=3", "scaled").await;
            }
            if seen.iter().any(|line| line.contains("3/3")) {
                return;
            }
        }
    };
    let is_in_time = tokio::time::timeout(PATIENCE, follow).await.is_ok();
    assert!(is_in_time && seen.iter().any(|line| line.contains("3/3")), "{seen:?}");
    child.kill().await.expect("ended");
}

async fn deletes(kubectl: &Kubectl<'_>) {
    kubectl.says("delete deployment web -n team --cascade=foreground", "deleted").await;
    let pods = kubectl.run("get pods -n team").await;
    assert!(pods.text.contains("No resources found"), "{}", pods.text);
    kubectl.says("delete namespace team", "deleted").await;
    let gone = kubectl.run("get namespace team").await;
    assert!(gone.text.contains("not found"), "{}", gone.text);
}
