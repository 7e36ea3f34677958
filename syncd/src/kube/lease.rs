//! `syncd`'s Lease: compare-and-set on resourceVersion.
//!
//! Knows nothing of who should hold it. Never fenced: the Lease is what opens the fence. Invariant: a Lease is written only over the
//! version it was read at; one that is not there is only created.

use std::time::Duration;

use ::kube::api::{GetParams, PostParams};
use ::kube::core::Request;
use serde_json::{Value, json};

use super::built;
use super::call::Caller;
use super::error::{self, Subject};
use crate::cluster::{ClusterError, ErrorClass, FIELD_MANAGER, GroupKind, Lease};

const API_VERSION: &str = "coordination.k8s.io/v1";

/// The Leases of one namespace.
pub(super) struct LeaseStore {
    caller: Caller,
    namespace: String,
    kind: GroupKind,
}

impl LeaseStore {
    pub fn new(caller: Caller, namespace: String) -> Self {
        let kind = GroupKind::new("coordination.k8s.io", "Lease");
        LeaseStore { caller, namespace, kind }
    }

    fn request(&self) -> Request {
        Request::new(format!("/apis/{API_VERSION}/namespaces/{}/leases", self.namespace))
    }

    /// Reads one.
    pub async fn read(&self, name: &str) -> Result<Option<Lease>, ClusterError> {
        let subject = Subject { kind: &self.kind, writes: false };
        let request = built(self.request().get(name, &GetParams::default()))?;
        match self.caller.call("get", request, &subject).await {
            Ok(reply) => {
                let value = serde_json::from_slice(&reply.body);
                let value: Value = value.map_err(|_| error::from_unreadable(reply.code, &subject))?;
                Ok(Some(from_value(name, &value)))
            }
            Err(cause) if cause.class == ErrorClass::Gone => Ok(None),
            Err(cause) => Err(cause),
        }
    }

    /// Creates or replaces one; returns its new resourceVersion.
    pub async fn write(&self, lease: Lease) -> Result<String, ClusterError> {
        let subject = Subject { kind: &self.kind, writes: true };
        let body = self.to_value(&lease).to_string().into_bytes();
        let parameters = PostParams { dry_run: false, field_manager: Some(FIELD_MANAGER.to_owned()) };
        let (verb, request) = match &lease.resource_version {
            None => ("create", self.request().create(&parameters, body)),
            Some(_) => ("update", self.request().replace(&lease.name, &parameters, body)),
        };
        let request = built(request)?;
        let reply = self.caller.call(verb, request, &subject).await?;
        let written: Option<Value> = serde_json::from_slice(&reply.body).ok();
        let version = written.as_ref().and_then(|value| value.pointer("/metadata/resourceVersion")?.as_str());
        version.map(str::to_owned).ok_or_else(|| error::from_unreadable(reply.code, &subject))
    }

    fn to_value(&self, lease: &Lease) -> Value {
        let mut value = json!({
            "apiVersion": API_VERSION,
            "kind": "Lease",
            "metadata": {"name": lease.name, "namespace": self.namespace},
            "spec": {
                "holderIdentity": lease.holder,
                // Whole seconds, and at least one: what is shorter is agreed on by all who take part.
                "leaseDurationSeconds": lease.duration.as_secs().max(1),
                "leaseTransitions": lease.transitions,
                "acquireTime": lease.acquired_at,
                "renewTime": lease.renewed_at,
            },
        });
        if let Some(version) = &lease.resource_version {
            value["metadata"]["resourceVersion"] = json!(version);
        }
        value
    }
}

/// Reads a Lease. What is missing or odd in it is as if nobody held it, or took it for no time: the candidate's own duration counts then.
fn from_value(name: &str, value: &Value) -> Lease {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let number = |pointer: &str| value.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    Lease {
        name: name.to_owned(),
        holder: text("/spec/holderIdentity").unwrap_or_default(),
        duration: Duration::from_secs(number("/spec/leaseDurationSeconds")),
        transitions: u32::try_from(number("/spec/leaseTransitions")).unwrap_or(u32::MAX - 1),
        acquired_at: text("/spec/acquireTime").unwrap_or_default(),
        renewed_at: text("/spec/renewTime").unwrap_or_default(),
        resource_version: text("/metadata/resourceVersion"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_lease_is_held_by_nobody_for_no_time() {
        let lease = from_value(
            "l",
            &json!({"metadata": {"resourceVersion": "7"}, "spec": {"holderIdentity": null, "leaseDurationSeconds": -3}}),
        );
        assert_eq!((lease.holder.as_str(), lease.duration, lease.transitions), ("", Duration::ZERO, 0));
        assert_eq!(lease.resource_version.as_deref(), Some("7"));
    }
}
