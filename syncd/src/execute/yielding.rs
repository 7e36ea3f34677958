//! Fields that are left to others, in every apply.
//!
//! What [`crate::ownership`] says may be another's - by annotation, or the replicas of a workload that an autoscaler of the same service
//! scales - is taken out of the body when another manager owns it; as long as nobody does, it is ours and applied. Invariant: objects with
//! nothing to leave to others cost no request.

use manifest::ObjectRef;
use serde_json::Value;

use super::Run;
use crate::cluster::{Apply, Cluster, ClusterError, ErrorClass};
use crate::desired::Content;
use crate::ownership::{REPLICAS, ignored, is_others, strip};

impl<C: Cluster> Run<'_, C> {
    /// Takes out of an apply to an object that exists what is another's.
    pub(super) async fn leave_to_others(&self, service: &str, apply: &mut Apply) -> Result<(), ClusterError> {
        let mut pointers = ignored(&apply.body);
        pointers.extend(self.is_autoscaled(service, &apply.id).then(|| REPLICAS.to_owned()));
        pointers.retain(|pointer| apply.body.pointer(pointer).is_some());
        if pointers.is_empty() || apply.uid.is_none() {
            return Ok(());
        }
        let live = self.request(&[ErrorClass::Transient], || self.cluster.get(&apply.id)).await?;
        let Some(live) = live else { return Ok(()) };
        for pointer in pointers.iter().filter(|pointer| is_others(&live, pointer)) {
            strip(&mut apply.body, pointer);
        }
        Ok(())
    }

    fn is_autoscaled(&self, service: &str, id: &ObjectRef) -> bool {
        let Some(Content::Objects(objects)) = self.desired.services.get(service) else { return false };
        objects.iter().any(|(other, object)| {
            let target = |name: &str| object.manifest.value.pointer(&format!("/spec/scaleTargetRef/{name}"));
            other.group == "autoscaling"
                && other.kind == "HorizontalPodAutoscaler"
                && other.namespace == id.namespace
                && target("kind").and_then(Value::as_str) == Some(id.kind.as_str())
                && target("name").and_then(Value::as_str) == Some(id.name.as_str())
        })
    }
}
