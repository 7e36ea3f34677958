//! Pod disruption budgets: how many pods of a selection may be disturbed.
//!
//! Counts only; evictions are not held back. Invariant: `disruptionsAllowed` is never negative.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::pod::{is_active, is_ready};
use super::{MANAGER, put_condition, share};
use crate::cluster::State;
use crate::select::Labels;
use crate::store::ObjectKey;
use crate::write::Part;

impl State {
    pub(super) fn reconcile_budget(&mut self, key: &ObjectKey, budget: &Arc<Value>) {
        let Some(selector) = Labels::of_object(&budget["spec"]["selector"]) else { return };
        let pods = self.kinds.of_kind("", "Pod").and_then(|kind| self.store.collection(kind.id));
        let pods = pods.into_iter().flat_map(|pods| pods.list(&key.namespace));
        let selected: Vec<&Arc<Value>> = pods.filter(|pod| is_active(pod) && selector.matches(pod)).collect();
        let expected = i64::try_from(selected.len()).unwrap_or(i64::MAX);
        let healthy = i64::try_from(selected.iter().filter(|pod| is_ready(pod)).count()).unwrap_or(i64::MAX);
        let spec = &budget["spec"];
        let desired = match (&spec["maxUnavailable"], &spec["minAvailable"]) {
            (Value::Null, minimum) => share(minimum, expected, true),
            (maximum, _) => (expected - share(maximum, expected, true)).max(0),
        };
        let allowed = (healthy - desired).max(0);
        let (generation, now) = (budget["metadata"]["generation"].clone(), self.now_text());
        self.edit(key, MANAGER, Part::Status, |budget| {
            let status = &mut budget["status"];
            let counts = [
                ("expectedPods", expected),
                ("currentHealthy", healthy),
                ("desiredHealthy", desired),
                ("disruptionsAllowed", allowed),
            ];
            for (name, count) in counts {
                status[name] = count.into();
            }
            let (is, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
            status["observedGeneration"] = generation.clone();
            let condition = json!({"type": "DisruptionAllowed", "status": is, "reason": reason, "message": "",
                "lastTransitionTime": now, "observedGeneration": generation});
            put_condition(status, condition);
        });
    }

    /// Asks the budgets of a pod that has changed to count again.
    pub(super) fn notice_budgets(&mut self, key: &ObjectKey, object: &Value, at: Timestamp) {
        if object["kind"].as_str() != Some("Pod") {
            return;
        }
        let Some(kind) = self.kinds.of_kind("policy", "PodDisruptionBudget") else { return };
        let Some(all) = self.store.collection(kind.id) else { return };
        let selects = |budget: &Value| {
            Labels::of_object(&budget["spec"]["selector"]).is_some_and(|labels| labels.matches(object))
        };
        let keys: Vec<ObjectKey> =
            all.list(&key.namespace).filter(|budget| selects(budget)).map(|budget| self.key_of(kind, budget)).collect();
        for key in keys {
            self.again(&key, at);
        }
    }
}
