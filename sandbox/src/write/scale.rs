//! The `scale` subresource: replicas of any kind that has them, in one form.
//!
//! Invariant: a scale changes the replicas and the generation, and nothing else.

use std::sync::Arc;

use serde_json::{Value, json};

use super::check::check_version;
use super::{Part, is_same, is_spec_changed, present};
use crate::api::{Response, Status};
use crate::cluster::{Call, State};
use crate::kinds::Kind;
use crate::validate;

impl State {
    pub(super) fn write_scale(&mut self, call: &Call<'_>, scale: &Value) -> Result<Response, Status> {
        let key = call.key();
        let live = self.store.get(&key).cloned().ok_or_else(|| call.not_found())?;
        let paths = call.kind.scale.clone().ok_or_else(Status::no_resource)?;
        check_version(&call.kind, &key, &live, scale)?;
        let old = present(&call.kind, &live);
        let mut new = old.clone();
        let replicas = scale["spec"]["replicas"].as_i64().unwrap_or_default();
        if replicas < 0 {
            let cause = validate::invalid("spec.replicas", &replicas.into(), "must be greater than or equal to 0");
            let of = crate::api::GroupResource { group: "autoscaling", resource: "Scale" };
            return Err(Status::invalid(of, &key.name, vec![cause]));
        }
        let mut at = &mut new;
        for part in &paths.spec {
            at = &mut at[part.as_str()];
        }
        *at = replicas.into();
        if is_spec_changed(&call.kind, &old, &new) {
            new["metadata"]["generation"] = (old["metadata"]["generation"].as_i64().unwrap_or_default() + 1).into();
        }
        let manager = call.request.manager().to_owned();
        self.with_tracker(&call.kind, "scale", Part::Main, "", |tracker| tracker.update(&old, &mut new, &manager));
        let written = if is_same(&old, &new) {
            live
        } else if call.request.dry_run() {
            Arc::new(new)
        } else {
            self.put(&key, new)
        };
        Ok(Response::json(200, scale_of(&call.kind, &written).unwrap_or(Value::Null)))
    }
}

/// Returns the `scale` subresource of an object.
pub(crate) fn scale_of(kind: &Kind, object: &Value) -> Option<Value> {
    let paths = kind.scale.as_ref()?;
    let at = |path: &[String]| path.iter().fold(object, |value, part| &value[part.as_str()]).clone();
    let selector = match at(&paths.selector) {
        Value::String(text) => text,
        Value::Object(selector) => {
            let labels = selector.get("matchLabels").and_then(Value::as_object).cloned().unwrap_or_default();
            let labels = labels.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
            labels.collect::<Vec<_>>().join(",")
        }
        _ => String::new(),
    };
    let metadata = &object["metadata"];
    let mut scale = json!({
        "apiVersion": "autoscaling/v1", "kind": "Scale",
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"]},
        "spec": {}, "status": {"replicas": at(&paths.status).as_i64().unwrap_or_default()},
    });
    if let Some(replicas) = at(&paths.spec).as_i64() {
        scale["spec"]["replicas"] = replicas.into();
    }
    if !selector.is_empty() {
        scale["status"]["selector"] = selector.into();
    }
    Some(scale)
}
