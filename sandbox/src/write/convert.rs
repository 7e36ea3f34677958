//! The one built-in kind that is served in two versions whose objects look different: the HorizontalPodAutoscaler.
//!
//! It is stored as `autoscaling/v2` has it. Of the metrics `autoscaling/v1` knows the share of the processor alone; the real server keeps the others
//! in an annotation there, and conditions too, which is not modelled. Invariant: what v1 can say comes back from v2 as it was.

use serde_json::{Value, json};

const FIRST: &str = "autoscaling/v1";
const STORED: &str = "autoscaling/v2";
const KIND: &str = "HorizontalPodAutoscaler";
const SHARE: &str = "targetCPUUtilizationPercentage";

/// Brings an object into the version it is stored in.
pub(crate) fn to_stored(object: &mut Value) {
    if object["apiVersion"] != FIRST || object["kind"] != KIND {
        return;
    }
    object["apiVersion"] = STORED.into();
    let share = take(&mut object["spec"], SHARE);
    if let (Some(share), true) = (share, object["spec"].is_object()) {
        object["spec"]["metrics"] = json!([{"type": "Resource",
            "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": share}}}]);
    }
    take(&mut object["status"], "currentCPUUtilizationPercentage");
}

/// Shows a stored object as a version of its kind has it.
pub(crate) fn to_version(object: &mut Value, api_version: &str) {
    if api_version != FIRST || object["kind"] != KIND || object["apiVersion"] != STORED {
        return;
    }
    let metrics = take(&mut object["spec"], "metrics");
    let resources = metrics.as_ref().and_then(Value::as_array).into_iter().flatten().map(|metric| &metric["resource"]);
    let share = resources.filter(|resource| resource["name"] == "cpu").map(|cpu| &cpu["target"]["averageUtilization"]);
    if let Some(share) = share.into_iter().find(|share| share.is_number()) {
        object["spec"][SHARE] = share.clone();
    }
    take(&mut object["spec"], "behavior");
    for only in ["conditions", "currentMetrics"] {
        take(&mut object["status"], only);
    }
}

fn take(value: &mut Value, name: &str) -> Option<Value> {
    value.as_object_mut()?.remove(name)
}
