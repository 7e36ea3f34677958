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
    /// Returns an object that exists, if something of it may be another's.
    pub(super) async fn see_others(&self, service: &str, id: &ObjectRef) -> Result<Option<Value>, ClusterError> {
        let object = self.desired.object(service, id).filter(|object| object.may_yield);
        if object.is_none_or(|object| pointers(&object.value(), self.desired, service, id).is_empty()) {
            return Ok(None);
        }
        self.request(&[ErrorClass::Transient], || self.cluster.get(id)).await
    }
}

/// Takes out of an apply to an object that is `live` what is another's.
pub fn left_to_others(apply: &mut Apply, desired: &Desired, service: &str, live: &Value) {
    for pointer in pointers(&apply.body, desired, service, &apply.id).iter().filter(|pointer| is_others(live, pointer))
    {
        strip(&mut apply.body, pointer);
    }
}

/// Returns what a body has that may be another's.
fn pointers(body: &Value, desired: &Desired, service: &str, id: &ObjectRef) -> Vec<String> {
    let mut pointers = ignored(body);
    pointers.extend(is_autoscaled(desired, service, id).then(|| REPLICAS.to_owned()));
    pointers.retain(|pointer| body.pointer(pointer).is_some());
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
