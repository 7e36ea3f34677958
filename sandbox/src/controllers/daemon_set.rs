//! DaemonSets: one pod on every node.
//!
//! Nodes are told apart by name only; selectors and taints are not looked at. Invariant: no node has two active pods of one set.

use std::sync::Arc;

use serde_json::{Value, json};

use super::pod::{is_active, is_ready, wanted_node};
use super::replica_set::pod_of;
use super::revision::REVISION_LABEL;
use super::{MANAGER, count, share};
use crate::cluster::State;
use crate::store::ObjectKey;
use crate::write::Part;

const COMPONENT: &str = "daemonset-controller";
/// What its pods tolerate of a node.
const TOLERATED: [(&str, &str); 6] = [
    ("not-ready", "NoExecute"),
    ("unreachable", "NoExecute"),
    ("disk-pressure", "NoSchedule"),
    ("memory-pressure", "NoSchedule"),
    ("pid-pressure", "NoSchedule"),
    ("unschedulable", "NoSchedule"),
];
const RETRY: std::time::Duration = std::time::Duration::from_secs(5);

impl State {
    pub(super) fn reconcile_daemon_set(&mut self, key: &ObjectKey, set: &Arc<Value>) {
        let (_, hash) = self.revise(key, set);
        if set["metadata"]["deletionTimestamp"].is_null() {
            self.place_daemons(key, set, &hash);
        }
        self.report_daemon_set(key, &hash);
    }

    fn nodes(&self) -> Vec<String> {
        let nodes = self.kinds.of_kind("", "Node").and_then(|kind| self.store.collection(kind.id));
        let nodes = nodes.into_iter().flat_map(|nodes| nodes.list(""));
        nodes.filter_map(|node| node["metadata"]["name"].as_str().map(str::to_owned)).collect()
    }

    fn place_daemons(&mut self, key: &ObjectKey, set: &Arc<Value>, hash: &str) {
        let pods = self.controlled(set, "", "Pod");
        let nodes = self.nodes();
        let on = |node: &str| pods.iter().find(|(_, pod)| wanted_node(pod) == Some(node));
        let mut unavailable = 0;
        for node in &nodes {
            match on(node) {
                None => {
                    unavailable += 1;
                    self.make_daemon(key, set, node, hash);
                }
                Some((pod_key, pod)) if matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded")) => {
                    unavailable += 1;
                    self.delete_pod(pod_key);
                }
                Some((_, pod)) if !is_ready(pod) || !is_active(pod) => unavailable += 1,
                Some(_) => {}
            }
        }
        if set["spec"]["updateStrategy"]["type"].as_str() != Some("RollingUpdate") {
            return;
        }
        let total = i64::try_from(nodes.len()).unwrap_or(i64::MAX);
        let limit = share(&set["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"], total, true).max(1);
        let mut room = limit - unavailable;
        let old = pods.iter().filter(|(_, pod)| is_active(pod) && pod["metadata"]["labels"][REVISION_LABEL] != hash);
        for (pod_key, pod) in old {
            // A pod that is not available anyway makes nothing worse.
            if !is_ready(pod) {
                self.delete_pod(pod_key);
            } else if room > 0 {
                room -= 1;
                self.delete_pod(pod_key);
                self.tell(set, COMPONENT, "Normal", "SuccessfulDelete", &format!("Deleted pod: {}", pod_key.name));
            }
        }
    }

    fn make_daemon(&mut self, key: &ObjectKey, set: &Arc<Value>, node: &str, hash: &str) {
        let generation = count(&set["metadata"]["generation"]).to_string();
        let labels = json!({REVISION_LABEL: hash, "pod-template-generation": generation});
        let metadata = json!({"generateName": format!("{}-", key.name), "labels": labels});
        let mut pod = pod_of(set, &set["spec"]["template"], &metadata);
        let term = json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]});
        let required = &mut pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
        required["nodeSelectorTerms"] = json!([term]);
        let tolerated = TOLERATED.map(
            |(key, effect)| json!({"key": format!("node.kubernetes.io/{key}"), "operator": "Exists", "effect": effect}),
        );
        match pod["spec"]["tolerations"].as_array_mut() {
            Some(tolerations) => tolerations.extend(tolerated),
            None => pod["spec"]["tolerations"] = json!(tolerated),
        }
        match self.make_or_denied("", "Pod", pod) {
            Ok(pod) => {
                let name = pod["metadata"]["name"].as_str().unwrap_or_default();
                self.tell(set, COMPONENT, "Normal", "SuccessfulCreate", &format!("Created pod: {name}"));
            }
            Err(error) => {
                self.tell(set, COMPONENT, "Warning", "FailedCreate", &format!("Error creating: {error}"));
                let at = self.after(RETRY);
                self.again(key, at);
            }
        }
    }

    fn report_daemon_set(&mut self, key: &ObjectKey, hash: &str) {
        let Some(set) = self.store.get(key).cloned() else { return };
        let pods = self.controlled(&set, "", "Pod");
        let active: Vec<(ObjectKey, Arc<Value>)> = pods.into_iter().filter(|(_, pod)| is_active(pod)).collect();
        let (ready, available, next) = self.readiness(&active, count(&set["spec"]["minReadySeconds"]));
        if let Some(next) = next {
            self.again(key, next);
        }
        let desired = self.nodes().len();
        let updated = active.iter().filter(|(_, pod)| pod["metadata"]["labels"][REVISION_LABEL] == hash).count();
        let generation = set["metadata"]["generation"].clone();
        let current = active.len().min(desired);
        self.edit(key, MANAGER, Part::Status, |set| {
            set["status"] = json!({"observedGeneration": generation, "desiredNumberScheduled": desired,
                "currentNumberScheduled": current, "numberMisscheduled": 0, "numberReady": ready,
                "updatedNumberScheduled": updated, "numberAvailable": available,
                "numberUnavailable": desired.saturating_sub(available)});
        });
    }
}
