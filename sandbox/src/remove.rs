//! Deletes: preconditions, finalizers, propagation, and the end of an object.
//!
//! Says what a delete does at once; what follows over time (dependents, namespaces, stopping pods) is the controllers'. Invariant: an object
//! with a finalizer never leaves the store.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::api::{GroupResource, Response, Status};
use crate::cluster::{Call, State, time_text};
use crate::kinds::Kind;
use crate::read::Selection;
use crate::store::ObjectKey;
use crate::validate;
use crate::write::present;

/// The finalizer that keeps an object until its dependents are gone.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer that keeps an object until its dependents are released.
pub(crate) const ORPHAN: &str = "orphan";

/// How to delete.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    pub uid: Option<String>,
    pub version: Option<String>,
    pub policy: Option<Policy>,
    /// Seconds that a pod may take to stop; its own where absent.
    pub grace: Option<i64>,
    pub dry_run: bool,
}

/// What becomes of dependents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    Background,
    Foreground,
    Orphan,
}

/// What a delete did.
pub(crate) enum Removed {
    /// The object is gone.
    Gone(Arc<Value>),
    /// The object is marked, and stays for now.
    Pending(Arc<Value>),
}

impl Options {
    /// Reads the options of a request: of its body if it has one, even an empty one, else of its query.
    fn of(call: &Call<'_>) -> Result<Options, Status> {
        let (body, request) = (&call.request.body, call.request);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let asked = |name: &str| request.parameter(name).filter(|_| body.is_null()).map(str::to_owned);
        let policy = text(&body["propagationPolicy"]).or_else(|| asked("propagationPolicy"));
        let policy = match policy.as_deref() {
            None | Some("") => None,
            Some("Background") => Some(Policy::Background),
            Some("Foreground") => Some(Policy::Foreground),
            Some("Orphan") => Some(Policy::Orphan),
            Some(other) => {
                let of = GroupResource { group: "meta.k8s.io", resource: "DeleteOptions" };
                let known = ["Foreground", "Background", "Orphan", "nil"];
                let cause = validate::unsupported("propagationPolicy", other, &known);
                return Err(Status::invalid(of, "", vec![cause]));
            }
        };
        let dry = body["dryRun"].as_array().is_some_and(|modes| modes.iter().any(|mode| mode == "All"));
        let grace = asked("gracePeriodSeconds").and_then(|text| text.parse().ok());
        Ok(Options {
            uid: text(&body["preconditions"]["uid"]),
            version: text(&body["preconditions"]["resourceVersion"]),
            policy,
            grace: body["gracePeriodSeconds"].as_i64().or(grace),
            dry_run: dry || body.is_null() && request.dry_run(),
        })
    }
}

impl State {
    /// `DELETE` of one object.
    pub fn delete(&mut self, call: &Call<'_>) -> Result<Response, Status> {
        if !call.target.subresource.is_empty() {
            return Err(Status::method_not_allowed());
        }
        let options = Options::of(call)?;
        let dry_run = options.dry_run;
        match self.remove_object(&call.kind, &call.key(), &options, dry_run)? {
            Removed::Pending(object) => Ok(Response::json(200, present(&call.kind, &object))),
            Removed::Gone(object) if call.kind.is("", "Pod") => Ok(Response::json(200, present(&call.kind, &object))),
            Removed::Gone(object) => {
                let mut details =
                    json!({"name": call.target.name, "kind": call.kind.plural, "uid": object["metadata"]["uid"]});
                if !call.kind.group.is_empty() {
                    details["group"] = call.kind.group.as_str().into();
                }
                let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details});
                Ok(Response::json(200, body))
            }
        }
    }

    /// `DELETE` of a collection.
    pub fn delete_collection(&mut self, call: &Call<'_>) -> Result<Response, Status> {
        if call.kind.is("", "Namespace") {
            return Err(Status::method_not_allowed());
        }
        let selection = Selection::of(call)?;
        let options = Options::of(call)?;
        let selected: Vec<Arc<Value>> = match self.store.collection(call.kind.id) {
            Some(collection) => {
                collection.list(&selection.namespace).filter(|object| selection.matches(object)).cloned().collect()
            }
            None => Vec::new(),
        };
        let mut items = Vec::new();
        for object in selected {
            let key = self.key_of(&call.kind, &object);
            match self.remove_object(&call.kind, &key, &options, options.dry_run)? {
                Removed::Gone(object) | Removed::Pending(object) => items.push(present(&call.kind, &object)),
            }
        }
        let version = self.store.version().to_string();
        let body = json!({"apiVersion": call.kind.api_version(), "kind": format!("{}List", call.kind.kind),
            "metadata": {"resourceVersion": version}, "items": items});
        Ok(Response::json(200, body))
    }

    /// Deletes an object as far as can be done at once.
    pub(crate) fn remove_object(
        &mut self,
        kind: &Arc<Kind>,
        key: &ObjectKey,
        options: &Options,
        dry_run: bool,
    ) -> Result<Removed, Status> {
        let live = self.store.get(key).cloned().ok_or_else(|| Status::not_found(kind.resource(), &key.name))?;
        check_preconditions(kind, key, &live, options)?;
        let mut new = Value::clone(&live);
        let is_deleting = !live["metadata"]["deletionTimestamp"].is_null();
        let grace = self.grace_of(kind, &live, options);
        if !is_deleting {
            self.mark_finalizers(kind, &mut new, options);
        }
        let has_finalizers = new["metadata"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty());
        let is_namespace = kind.is("", "Namespace");
        let keeps = has_finalizers || (is_namespace && live["spec"]["finalizers"].is_array()) || grace > 0;
        if !keeps {
            if !dry_run {
                let gone = self.take_away(key);
                return Ok(Removed::Gone(gone.unwrap_or(live)));
            }
            return Ok(Removed::Gone(live));
        }
        let shortens =
            is_deleting && live["metadata"]["deletionGracePeriodSeconds"].as_i64().is_some_and(|old| grace < old);
        if is_deleting && !shortens {
            return Ok(Removed::Pending(live));
        }
        let due = self.now.saturating_add(jiff::SignedDuration::from_secs(grace)).unwrap_or(self.now);
        new["metadata"]["deletionTimestamp"] = time_text(due).into();
        if is_namespace {
            new["status"]["phase"] = "Terminating".into();
        } else {
            new["metadata"]["deletionGracePeriodSeconds"] = grace.into();
        }
        if kind.generation && !is_deleting {
            let generation = live["metadata"]["generation"].as_i64().unwrap_or_default();
            new["metadata"]["generation"] = (generation + 1).into();
        }
        if kind.is("apiextensions.k8s.io", "CustomResourceDefinition") {
            let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
            let now = self.now_text();
            let status = &mut new["status"];
            crate::controllers::set_condition(status, "Terminating", "True", "InstanceDeletionPending", message, &now);
        }
        if dry_run {
            return Ok(Removed::Pending(Arc::new(new)));
        }
        Ok(Removed::Pending(self.put(key, new)))
    }

    /// Returns the seconds that the object may stay: none but for a pod that runs on a node.
    fn grace_of(&self, kind: &Kind, live: &Value, options: &Options) -> i64 {
        if !kind.is("", "Pod") || live["spec"]["nodeName"].is_null() {
            return 0;
        }
        if matches!(live["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) {
            return 0;
        }
        let own = live["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
        options.grace.unwrap_or(own).max(0)
    }

    /// Adds or removes the finalizers by which the garbage collector is asked for its part.
    fn mark_finalizers(&self, kind: &Kind, new: &mut Value, options: &Options) {
        let default = if kind.is("batch", "Job") { Policy::Orphan } else { Policy::Background };
        let policy = options.policy.unwrap_or(default);
        let had = new["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        let mut finalizers: Vec<Value> =
            had.into_iter().filter(|name| *name != FOREGROUND && *name != ORPHAN).collect();
        match policy {
            Policy::Background => {}
            Policy::Foreground => finalizers.push(FOREGROUND.into()),
            Policy::Orphan => finalizers.push(ORPHAN.into()),
        }
        if finalizers.is_empty() {
            if let Some(metadata) = new["metadata"].as_object_mut() {
                metadata.remove("finalizers");
            }
        } else {
            new["metadata"]["finalizers"] = Value::Array(finalizers);
        }
    }
}

fn check_preconditions(kind: &Kind, key: &ObjectKey, live: &Value, options: &Options) -> Result<(), Status> {
    let refused = |why: String| Status::conflict(kind.group_kind(), &key.name, &why);
    let record = |name: &str| live["metadata"][name].as_str().unwrap_or_default().to_owned();
    if let Some(uid) = &options.uid
        && *uid != record("uid")
    {
        return Err(refused(format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been deleted and then recreated",
            record("uid")
        )));
    }
    if let Some(version) = &options.version
        && *version != record("resourceVersion")
    {
        return Err(refused(format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({}). The object might have been modified",
            record("resourceVersion")
        )));
    }
    Ok(())
}
