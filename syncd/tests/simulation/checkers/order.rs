//! What comes before what. Objects that others disturbed are nobody's evidence.

use std::collections::BTreeSet;

use manifest::ObjectRef;
use sandbox::Cluster as Model;
use serde_json::Value;

use super::{Checker, Scene, Sent, Verdict};
use crate::truth::{Commit, Deed, Wanted, object};

/// Namespaces and definitions before all else, configuration before workloads, what is depended on before what depends.
#[derive(Default)]
pub struct Order {
    /// Services of which something could not be asked: nobody waits for them.
    hurt: BTreeSet<String>,
}

/// Returns how early a kind is applied.
fn rank(id: &ObjectRef) -> u8 {
    match (id.group.as_str(), id.kind.as_str()) {
        ("", "Namespace") | ("apiextensions.k8s.io", "CustomResourceDefinition") => 0,
        ("", "ServiceAccount") => 1,
        ("", "ConfigMap" | "Secret" | "PersistentVolumeClaim") => 2,
        ("", "Service") => 3,
        ("apps" | "batch", _) => 4,
        _ => 5,
    }
}

/// Tells whether an object is there as a service wants it.
fn is_there(model: &Model, service: &str, wanted: &Wanted, id: &ObjectRef) -> bool {
    object(model, id).is_some_and(|value| {
        value["metadata"]["labels"]["syncd/service"] == service
            && value["metadata"]["annotations"]["syncd/hash"] == wanted.hashes[id].as_str()
            && value["metadata"]["deletionTimestamp"].is_null()
    })
}

/// Tells whether a workload has come up; everything else is up when it is there.
pub fn is_up(value: &Value) -> bool {
    let number = |pointer: &str| value.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
    match value["kind"].as_str() {
        Some("Deployment" | "StatefulSet") => {
            let replicas = value.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
            number("/status/observedGeneration") >= number("/metadata/generation")
                && number("/status/updatedReplicas") == replicas
                && number("/status/readyReplicas") == replicas
        }
        Some("CustomResourceDefinition") => value["status"]["conditions"]
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one["type"] == "Established" && one["status"] == "True")),
        Some("Namespace") => value["status"]["phase"] == "Active",
        _ => true,
    }
}

/// Returns the first object of a service, of those that pass, that is not as it wants it, or not up.
fn missing<'a>(
    scene: &Scene<'_>,
    commit: &'a Commit,
    service: &str,
    passes: impl Fn(&ObjectRef) -> bool,
) -> Option<&'a ObjectRef> {
    let wanted = commit.services.get(service)?;
    let lacks = |id: &&ObjectRef| {
        passes(id)
            && !scene.truth.disturbed.contains(id)
            && !(is_there(scene.model, service, wanted, id)
                && object(scene.model, id).is_some_and(|value| is_up(&value)))
    };
    wanted.objects.keys().find(lacks)
}

impl Checker for Order {
    fn name(&self) -> &'static str {
        "order"
    }

    fn hurt(&mut self, _by: &str, about: Option<&str>) {
        self.hurt.insert(about.unwrap_or_default().to_owned());
    }

    fn sent(&mut self, scene: &Scene<'_>, sent: &Sent<'_>) -> Verdict {
        let Deed::Apply(apply) = sent.deed else { return Ok(()) };
        let id = &apply.id;
        let Some(commit) = scene.truth.in_force().filter(|_| !scene.truth.was_suspended) else { return Ok(()) };
        let service = apply.body["metadata"]["labels"]["syncd/service"].as_str().unwrap_or_default();
        if apply.dry_run || rank(id) == 0 {
            return Ok(());
        }
        let all = self.hurt.contains("");
        let foundations = commit.objects().filter(|(owner, other, _)| {
            rank(other) == 0 && !all && (owner.as_str() == service || !self.hurt.contains(*owner))
        });
        for (_, other, value) in foundations {
            let is_namespace = other.kind == "Namespace" && other.name == id.namespace;
            let defines =
                value["spec"]["names"]["kind"] == id.kind.as_str() && value["spec"]["group"] == id.group.as_str();
            let up = || object(scene.model, other).is_some_and(|value| is_up(&value));
            if (is_namespace || defines) && !scene.truth.disturbed.contains(other) && !up() {
                return Err(format!("{id} is applied before {other} is up"));
            }
        }
        // Within a service nobody waits for workloads to come up but at its end.
        if let Some(other) = missing(scene, commit, service, |other| rank(other) < rank(id).min(4)) {
            return Err(format!("{id} is applied before {other}"));
        }
        let Some(wanted) = commit.services.get(service) else { return Ok(()) };
        let before =
            commit.services.iter().filter(|(name, other)| wanted.depends_on.contains(name) || other.wave < wanted.wave);
        for (name, _) in before {
            if let Some(other) = missing(scene, commit, name, |_| true) {
                return Err(format!("{id} of `{service}` is applied before `{name}` is up: {other}"));
            }
        }
        Ok(())
    }
}

/// Nothing of a service goes before all that it wants is there and up.
pub struct PruneLast;

impl Checker for PruneLast {
    fn name(&self) -> &'static str {
        "prune-last"
    }

    fn sent(&mut self, scene: &Scene<'_>, sent: &Sent<'_>) -> Verdict {
        let Deed::Delete(id, _) = sent.deed else { return Ok(()) };
        let Some(commit) = scene.truth.in_force().filter(|_| !scene.truth.was_suspended) else { return Ok(()) };
        let holders: Vec<&str> = scene.truth.records.holders(id).map(|(service, _)| service).collect();
        for service in holders {
            if let Some(other) = missing(scene, commit, service, |_| true) {
                return Err(format!("{id} of `{service}` is deleted before {other} is up"));
            }
        }
        Ok(())
    }
}
