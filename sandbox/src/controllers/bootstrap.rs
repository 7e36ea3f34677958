//! What a new cluster holds before anyone asked for anything.

use serde_json::json;

use super::MANAGER;
use crate::cluster::State;

/// Namespaces of every cluster.
const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

impl State {
    /// Makes the first namespaces, the nodes and the service of the API, and lets the controllers furnish them.
    pub(crate) fn bootstrap(&mut self) {
        let extra = self.settings.namespaces.clone();
        let names = NAMESPACES.into_iter().map(str::to_owned).chain(extra);
        for name in names {
            self.first("Namespace", json!({"metadata": {"name": name}}));
            self.furnish_namespace(&name);
        }
        for number in 1..=self.settings.nodes {
            let name = format!("node-{number}");
            let version = self.settings.server_version.clone();
            let now = self.now_text();
            let capacity = json!({"cpu": "64", "memory": "256Gi", "pods": "1000"});
            self.first(
                "Node",
                json!({
                    "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}},
                    "status": {"capacity": capacity, "allocatable": capacity, "nodeInfo": {"kubeletVersion": version},
                        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "node is ready",
                            "lastHeartbeatTime": now, "lastTransitionTime": now}]},
                }),
            );
        }
        self.first(
            "Service",
            json!({"metadata": {"name": "kubernetes", "namespace": "default", "labels": {"component": "apiserver", "provider": "kubernetes"}},
                "spec": {"clusterIP": "10.96.0.1", "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}]}}),
        );
    }

    fn first(&mut self, kind: &str, object: serde_json::Value) {
        let made = self.make("", kind, object, if kind == "Node" { super::KUBELET } else { MANAGER });
        made.expect("the first objects are ours and valid");
    }
}
