//! Claims that are bound, and services that get an address.
//!
//! Invariant: a claim of a class that waits for its first consumer is bound only when a pod names it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::MANAGER;
use super::behaviour::ANNOTATION;
use crate::cluster::State;
use crate::store::ObjectKey;
use crate::write::{CLAIM_FINALIZER, Part, VOLUME_FINALIZER};

impl State {
    pub(super) fn reconcile_claim(&mut self, key: &ObjectKey, claim: &Arc<Value>) {
        if !claim["metadata"]["deletionTimestamp"].is_null() {
            if !self.is_used(key) && !self.faults.hold_finalizers {
                self.drop_finalizer(key, CLAIM_FINALIZER);
            }
            return;
        }
        let is_pending = claim["metadata"]["annotations"][ANNOTATION].as_str() == Some("pending");
        if claim["status"]["phase"].as_str() == Some("Bound") || is_pending || self.waits_for_consumer(key, claim) {
            return;
        }
        let volume = format!("pvc-{}", claim["metadata"]["uid"].as_str().unwrap_or_default());
        self.edit(key, MANAGER, Part::Main, |claim| claim["spec"]["volumeName"] = volume.as_str().into());
        self.edit(key, MANAGER, Part::Status, |claim| {
            let requests = claim["spec"]["resources"]["requests"].clone();
            claim["status"] =
                json!({"phase": "Bound", "accessModes": claim["spec"]["accessModes"], "capacity": requests});
        });
    }

    fn waits_for_consumer(&mut self, key: &ObjectKey, claim: &Value) -> bool {
        let class = claim["spec"]["storageClassName"].as_str().unwrap_or_default();
        let class = self.key("storage.k8s.io", "StorageClass", "", class).and_then(|key| self.store.get(&key).cloned());
        let waits = class.is_some_and(|class| class["volumeBindingMode"].as_str() == Some("WaitForFirstConsumer"));
        if !waits || self.is_used(key) {
            return false;
        }
        let message = "waiting for first consumer to be created before binding";
        self.tell(claim, "persistentvolume-controller", "Normal", "WaitForFirstConsumer", message);
        let at = self.after(std::time::Duration::from_secs(5));
        self.again(key, at);
        true
    }

    /// Whether a pod names this claim.
    fn is_used(&self, key: &ObjectKey) -> bool {
        let pods = self.kinds.of_kind("", "Pod").and_then(|kind| self.store.collection(kind.id));
        pods.into_iter().flat_map(|pods| pods.list(&key.namespace)).any(|pod| {
            let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
            let mut names = volumes.filter_map(|volume| volume["persistentVolumeClaim"]["claimName"].as_str());
            names.any(|name| name == key.name)
        })
    }

    /// Lets a deleted volume go once no claim is bound to it.
    pub(super) fn reconcile_volume(&mut self, key: &ObjectKey, volume: &Arc<Value>) {
        let is_deleted = !volume["metadata"]["deletionTimestamp"].is_null();
        let uid = volume["spec"]["claimRef"]["uid"].as_str().unwrap_or_default();
        if is_deleted && self.store.by_uid(uid).is_none() && !self.faults.hold_finalizers {
            self.drop_finalizer(key, VOLUME_FINALIZER);
        } else if volume["status"]["phase"].as_str() == Some("Pending") {
            self.edit(key, MANAGER, Part::Status, |volume| volume["status"]["phase"] = "Available".into());
        }
    }

    pub(super) fn reconcile_service(&mut self, key: &ObjectKey, service: &Arc<Value>) {
        let is_pending = service["metadata"]["annotations"][ANNOTATION].as_str() == Some("pending");
        let has_address = service["status"]["loadBalancer"]["ingress"].is_array();
        if service["spec"]["type"].as_str() != Some("LoadBalancer") || has_address || is_pending {
            return;
        }
        let (high, low) = self.identities.address();
        self.edit(key, "cloud-controller-manager", Part::Status, |service| {
            let address = json!({"ip": format!("172.19.{high}.{low}"), "ipMode": "VIP"});
            service["status"]["loadBalancer"]["ingress"] = json!([address]);
        });
    }
}
