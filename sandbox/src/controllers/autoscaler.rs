//! Horizontal autoscalers: they keep their target between its bounds, and set it where an annotation says so.
//!
//! There are no metrics here; `sandbox/desired-replicas` on the autoscaler stands for what they would ask for. Invariant: a target is never
//! scaled out of the bounds.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{MANAGER, count, set_condition};
use crate::cluster::State;
use crate::store::ObjectKey;
use crate::write::Part;

/// The annotation that says how many replicas the metrics would ask for.
const DESIRED: &str = "sandbox/desired-replicas";

impl State {
    pub(super) fn reconcile_autoscaler(&mut self, key: &ObjectKey, autoscaler: &Arc<Value>) {
        if !autoscaler["metadata"]["deletionTimestamp"].is_null() {
            return;
        }
        let now = self.now_text();
        let target = &autoscaler["spec"]["scaleTargetRef"];
        let text = |name: &str| target[name].as_str().unwrap_or_default().to_owned();
        let version = text("apiVersion");
        let group = version.split_once('/').map_or("", |(group, _)| group);
        let (kind, name) = (text("kind"), text("name"));
        let found =
            self.key(group, &kind, &key.namespace, &name).and_then(|key| Some((self.store.get(&key)?.clone(), key)));
        let Some((object, target)) = found else {
            self.edit(key, MANAGER, Part::Status, |autoscaler| {
                let message =
                    format!("the HPA controller was unable to get the target's current scale: {name} not found");
                set_condition(&mut autoscaler["status"], "AbleToScale", "False", "FailedGetScale", &message, &now);
            });
            return;
        };
        let current = count(&object["spec"]["replicas"]);
        let asked = autoscaler["metadata"]["annotations"][DESIRED].as_str().and_then(|text| text.parse().ok());
        let (min, max) = (count(&autoscaler["spec"]["minReplicas"]), count(&autoscaler["spec"]["maxReplicas"]));
        let desired = if current == 0 { 0 } else { asked.unwrap_or(current).clamp(min, max.max(min)) };
        if desired != current {
            self.scale(&target, desired);
            let message = format!("New size: {desired}; reason: All metrics below target");
            self.tell(autoscaler, "horizontal-pod-autoscaler", "Normal", "SuccessfulRescale", &message);
        }
        self.edit(key, MANAGER, Part::Status, |autoscaler| {
            let status = &mut autoscaler["status"];
            status["currentReplicas"] = current.into();
            status["desiredReplicas"] = desired.into();
            if desired != current {
                status["lastScaleTime"] = now.as_str().into();
            }
            if status["currentMetrics"].is_null() {
                status["currentMetrics"] = json!(null);
            }
            let message = "recommended size matches current size";
            set_condition(status, "AbleToScale", "True", "ReadyForNewScale", message, &now);
            let message = "the HPA was able to successfully calculate a replica count";
            set_condition(status, "ScalingActive", "True", "ValidMetricFound", message, &now);
        });
    }

    /// Sets the replicas of an object through its scale, as the autoscaler owns them.
    fn scale(&mut self, key: &ObjectKey, replicas: i64) {
        let (Some(kind), Some(live)) = (self.kinds.stored(key.resource).cloned(), self.store.get(key).cloned()) else {
            return;
        };
        let mut new = Value::clone(&live);
        new["spec"]["replicas"] = replicas.into();
        new["metadata"]["generation"] = (count(&live["metadata"]["generation"]) + 1).into();
        self.with_tracker(&kind, "scale", Part::Main, "", |tracker| tracker.update(&live, &mut new, MANAGER));
        self.put(key, new);
    }

    /// Asks the autoscalers of an object that has changed to look at it.
    pub(super) fn notice_scaled(&mut self, key: &ObjectKey, object: &Value, at: Timestamp) {
        let is_scalable = self.kinds.stored(key.resource).is_some_and(|kind| kind.scale.is_some());
        if !is_scalable || !object["metadata"]["ownerReferences"].is_null() {
            return;
        }
        let Some(kind) = self.kinds.of_kind("autoscaling", "HorizontalPodAutoscaler") else { return };
        let Some(all) = self.store.collection(kind.id) else { return };
        let mine = all.list(&key.namespace).filter(|autoscaler| {
            let target = &autoscaler["spec"]["scaleTargetRef"];
            target["name"].as_str() == Some(key.name.as_str()) && target["kind"] == object["kind"]
        });
        let keys: Vec<ObjectKey> = mine.map(|autoscaler| self.key_of(kind, autoscaler)).collect();
        for key in keys {
            self.again(&key, at);
        }
    }
}
