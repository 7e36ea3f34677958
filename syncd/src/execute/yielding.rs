//! Fields that are left to others, in every apply.
//!
//! What [`crate::ownership`] says may be another's - by annotation, or the replicas of a workload that an autoscaler of the same service
//! scales - is taken out of the body when another manager owns it; as long as nobody does, it is ours and applied. Invariant: objects with
//! nothing to leave to others cost no request.

use manifest::ObjectRef;
use serde_json::Value;

use super::Run;
use crate::cluster::{Apply, Cluster, ClusterError, ErrorClass};
use crate::desired::{Content, Desired};
use crate::ownership::{REPLICAS, ignored, is_others, strip};

impl<C: Cluster> Run<'_, C> {
    /// Takes out of an apply to an object that exists what is another's.
    pub(super) async fn leave_to_others(&self, service: &str, apply: &mut Apply) -> Result<(), ClusterError> {
        if apply.uid.is_none() || pointers(apply, self.desired, service).is_empty() {
            return Ok(());
        }
        let live = self.request(&[ErrorClass::Transient], || self.cluster.get(&apply.id)).await?;
        if let Some(live) = live {
            left_to_others(apply, self.desired, service, &live);
        }
        Ok(())
    }
}

/// Takes out of an apply to an object that is `live` what is another's.
pub fn left_to_others(apply: &mut Apply, desired: &Desired, service: &str, live: &Value) {
    for pointer in pointers(apply, desired, service).iter().filter(|pointer| is_others(live, pointer)) {
        strip(&mut apply.body, pointer);
    }
}

/// Returns what an apply has that may be another's.
fn pointers(apply: &Apply, desired: &Desired, service: &str) -> Vec<String> {
    let mut pointers = ignored(&apply.body);
    pointers.extend(is_autoscaled(desired, service, &apply.id).then(|| REPLICAS.to_owned()));
    pointers.retain(|pointer| apply.body.pointer(pointer).is_some());
    pointers
}

fn is_autoscaled(desired: &Desired, service: &str, id: &ObjectRef) -> bool {
    let Some(Content::Objects(objects)) = desired.services.get(service) else { return false };
    objects.iter().any(|(other, object)| {
        let is_near =
            other.group == "autoscaling" && other.kind == "HorizontalPodAutoscaler" && other.namespace == id.namespace;
        if !is_near {
            return false;
        }
        let value = object.value();
        let target = |name: &str| value.pointer(&format!("/spec/scaleTargetRef/{name}"));
        target("kind").and_then(Value::as_str) == Some(id.kind.as_str())
            && target("name").and_then(Value::as_str) == Some(id.name.as_str())
    })
}
