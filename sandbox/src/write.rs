//! Writes: create, update, patch, apply, and what controllers write.
//!
//! Every write comes down to an object as it is (or nothing) and an object as it should be; [`State::create_object`] and
//! [`State::replace_object`] hold the rules both for requests and for controllers. Knows no HTTP. Invariant: a write that changes nothing
//! keeps the resourceVersion and wakes no watch.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map as Object, Value, json};

use crate::api::{Cause, Response, Status};
use crate::apply::{ApplyError, PathElement, Set, Shape, Tracker, path_text};
use crate::cluster::{Call, State};
use crate::defaults;
use crate::kinds::Kind;
use crate::log::Verb;
use crate::patch;
use crate::shape;
use crate::store::ObjectKey;
use crate::validate;

mod allocate;
mod check;
pub(crate) mod convert;
mod scale;

pub(crate) use allocate::{CLAIM_FINALIZER, DEFINITION_FINALIZER, VOLUME_FINALIZER};
pub(crate) use scale::scale_of;

use check::{
    check_configuration, check_fields, check_namespace, check_type, check_uid, check_update_precondition, check_version,
};

/// What part of an object an endpoint writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// All but the status.
    Main,
    /// The status only.
    Status,
}

/// Who owns what a write changes.
pub(crate) enum Tracking<'a> {
    /// This manager.
    Manager(&'a str),
    /// The object says so already.
    Done,
}

/// Kinds that a `PUT` to a missing object creates.
const CREATED_ON_UPDATE: &[(&str, &str)] = &[
    ("coordination.k8s.io", "Lease"),
    ("", "Event"),
    ("events.k8s.io", "Event"),
    ("", "Endpoints"),
    ("rbac.authorization.k8s.io", "Role"),
    ("rbac.authorization.k8s.io", "RoleBinding"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
];

impl State {
    /// `POST`.
    pub fn create(&mut self, call: &Call<'_>) -> Result<Response, Status> {
        if !call.target.subresource.is_empty() {
            return self.create_subresource(call);
        }
        let kind = call.kind.clone();
        let (mut object, warnings) = self.decode(call, false)?;
        if !kind.namespaced {
            remove_field(&mut object, "namespace");
        }
        if !object["metadata"]["resourceVersion"].as_str().unwrap_or_default().is_empty() {
            return Err(Status::unclassified("resourceVersion should not be set on objects to be created"));
        }
        self.name_object(&mut object);
        let key = self.key_of(&kind, &object);
        let manager = call.request.manager().to_owned();
        let created = self.create_object(&kind, &key, object, &Tracking::Manager(&manager), call.request.dry_run())?;
        Ok(Response { warnings, ..Response::json(201, present(&kind, &created)) })
    }

    fn create_subresource(&mut self, call: &Call<'_>) -> Result<Response, Status> {
        let key = call.key();
        match (call.kind.kind.as_str(), call.target.subresource.as_str()) {
            ("Pod", "eviction") if self.store.get(&key).is_some() => {
                self.remove_object(&call.kind, &key, &crate::remove::Options::default(), call.request.dry_run())?;
                Ok(Response::json(
                    201,
                    json!({"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Success"}),
                ))
            }
            ("Pod", "eviction") => Err(call.not_found()),
            _ => Err(Status::no_resource()),
        }
    }

    /// Checks the body against the path, and removes what the kind does not have. Returns warnings about the latter.
    fn decode(&self, call: &Call<'_>, is_update: bool) -> Result<(Value, Vec<String>), Status> {
        let (kind, request) = (&call.kind, call.request);
        let mut object = request.body.clone();
        if !object.is_object() {
            return Err(Status::bad_request(format!(
                "the object provided is unrecognized (must be of type {}): couldn't get version/kind",
                kind.kind
            )));
        }
        check_type(&self.kinds, kind, &mut object)?;
        if !object["metadata"].is_object() {
            object["metadata"] = json!({});
        }
        if is_update || !call.target.name.is_empty() {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            if name.is_empty() {
                return Err(Status::bad_request("name must be provided"));
            }
            if name != call.target.name {
                let message = format!(
                    "the name of the object ({name}) does not match the name on the URL ({})",
                    call.target.name
                );
                return Err(Status::bad_request(message));
            }
        }
        check_namespace(call, &mut object)?;
        let warnings = check_fields(kind, &mut object, request)?;
        Ok((object, warnings))
    }

    pub(crate) fn name_object(&mut self, object: &mut Value) {
        let metadata = &object["metadata"];
        let has_name = !metadata["name"].as_str().unwrap_or_default().is_empty();
        if let (false, Some(prefix)) = (has_name, metadata["generateName"].as_str()) {
            let name = format!("{prefix}{}", self.identities.suffix());
            object["metadata"]["name"] = name.into();
        }
    }

    pub(crate) fn key_of(&self, kind: &Kind, object: &Value) -> ObjectKey {
        let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
        let namespace = if kind.namespaced { text("namespace") } else { String::new() };
        ObjectKey { resource: kind.id, namespace, name: text("name") }
    }

    /// Makes an object: checks it, gives it its identity and stores it, unless it is only tried.
    pub(crate) fn create_object(
        &mut self,
        kind: &Arc<Kind>,
        key: &ObjectKey,
        mut object: Value,
        tracking: &Tracking<'_>,
        dry_run: bool,
    ) -> Result<Arc<Value>, Status> {
        self.check_home(kind, key)?;
        self.give_identity(kind, &mut object);
        finish(kind, &mut object);
        let causes = self.create_problems(kind, &object);
        if !causes.is_empty() {
            return Err(Status::invalid(kind.group_kind(), &key.name, causes));
        }
        if let Some(existing) = self.store.get(key) {
            let mut status = Status::already_exists(kind.resource(), &key.name);
            if !existing["metadata"]["deletionTimestamp"].is_null() {
                status.message = format!("object is being deleted: {}", status.message);
            }
            return Err(status);
        }
        if let Tracking::Manager(manager) = tracking {
            let now = self.now_text();
            // An object of the kind that says nothing: its empty parts are nobody's doing.
            let mut empty = Value::Object(Object::new());
            if kind.custom.is_none() {
                shape::normalize(&kind.schema, kind.root, &mut empty);
            }
            self.with_tracker(kind, "", Part::Main, &now, |tracker| tracker.update(&empty, &mut object, manager));
        }
        self.allocate(kind, None, &mut object);
        if dry_run {
            return Ok(Arc::new(object));
        }
        Ok(self.put(key, object))
    }

    fn create_problems(&self, kind: &Kind, object: &Value) -> Vec<Cause> {
        let mut causes = validate::create(kind, object);
        causes.extend(validate::check_custom(kind, object));
        causes
    }

    /// Refuses new objects in namespaces that are missing or going.
    fn check_home(&self, kind: &Kind, key: &ObjectKey) -> Result<(), Status> {
        if !kind.namespaced {
            return Ok(());
        }
        let Some(namespaces) = self.kinds.of_kind("", "Namespace") else { return Ok(()) };
        let home = ObjectKey { resource: namespaces.id, namespace: String::new(), name: key.namespace.clone() };
        let Some(namespace) = self.store.get(&home) else {
            return Err(Status::not_found(namespaces.resource(), &key.namespace));
        };
        if namespace["metadata"]["deletionTimestamp"].is_null() {
            return Ok(());
        }
        let name = &key.namespace;
        let why = format!("unable to create new content in namespace {name} because it is being terminated");
        let mut status = Status::forbidden(kind.resource(), &key.name, &why);
        status.details.get_or_insert_default().causes.push(Cause {
            reason: "NamespaceTerminating",
            message: format!("namespace {name} is being terminated"),
            field: "metadata.namespace".to_owned(),
        });
        Err(status)
    }

    /// `PUT`.
    pub fn update(&mut self, call: &Call<'_>) -> Result<Response, Status> {
        if call.target.subresource == "scale" {
            let scale = call.request.body.clone();
            return self.write_scale(call, &scale);
        }
        if call.target.subresource == "finalize" && call.kind.is("", "Namespace") {
            return self.finalize(call);
        }
        let part = part_of(call)?;
        let (object, warnings) = self.decode(call, true)?;
        let key = call.key();
        let manager = call.request.manager().to_owned();
        let dry_run = call.request.dry_run();
        let Some(live) = self.store.get(&key).cloned() else {
            let kind = &call.kind;
            let creates = CREATED_ON_UPDATE.contains(&(kind.group.as_str(), kind.kind.as_str()));
            let has_version = !object["metadata"]["resourceVersion"].as_str().unwrap_or_default().is_empty();
            if !creates || kind.custom.is_some() || part == Part::Status || has_version {
                return Err(call.not_found());
            }
            let created = self.create_object(kind, &key, object, &Tracking::Manager(&manager), dry_run)?;
            return Ok(Response { warnings, ..Response::json(201, present(kind, &created)) });
        };
        check_update_precondition(call, &live, &object)?;
        let written =
            self.replace_object(&call.kind, &key, &live, object, part, &Tracking::Manager(&manager), dry_run)?;
        Ok(Response { warnings, ..Response::json(200, present(&call.kind, &written)) })
    }

    /// Sets the finalizers of a namespace's specification; one that is being deleted and has none left is gone at once.
    fn finalize(&mut self, call: &Call<'_>) -> Result<Response, Status> {
        let (object, warnings) = self.decode(call, true)?;
        let key = call.key();
        let live = self.store.get(&key).cloned().ok_or_else(|| call.not_found())?;
        check_version(&call.kind, &key, &live, &object)?;
        let mut new = Value::clone(&live);
        set_or_remove(&mut new["spec"], "finalizers", object["spec"]["finalizers"].clone());
        let is_done = new["spec"]["finalizers"].as_array().is_none_or(Vec::is_empty);
        if is_done && !new["metadata"]["deletionTimestamp"].is_null() {
            self.take_away(&key);
            return Ok(Response { warnings, ..Response::json(200, new) });
        }
        let written = self.put(&key, new);
        Ok(Response { warnings, ..Response::json(200, present(&call.kind, &written)) })
    }

    /// `PATCH`, other than server-side apply.
    pub fn patch(&mut self, call: &Call<'_>) -> Result<Response, Status> {
        let key = call.key();
        let live = self.store.get(&key).cloned().ok_or_else(|| call.not_found())?;
        let content_type = call.request.content_type.split(';').next().unwrap_or_default();
        if call.target.subresource == "scale" {
            let scale = scale_of(&call.kind, &live).ok_or_else(Status::no_resource)?;
            let scale = patch::patched(content_type, None, &scale, &call.request.body)?;
            return self.write_scale(call, &scale);
        }
        let part = part_of(call)?;
        if call.kind.custom.is_some() && content_type == "application/strategic-merge-patch+json" {
            return Err(Status::unsupported_custom_patch());
        }
        let shape = (call.kind.custom.is_none()).then_some(Shape { schema: &call.kind.schema, of: call.kind.root });
        let base = present(&call.kind, &live);
        let mut object = patch::patched(content_type, shape, &base, &call.request.body)?;
        check_type(&self.kinds, &call.kind, &mut object)?;
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        if name != call.target.name {
            let why = "field is immutable";
            let cause = validate::invalid("metadata.name", &object["metadata"]["name"], why);
            return Err(Status::invalid(call.kind.group_kind(), name, vec![cause]));
        }
        check_namespace(call, &mut object)?;
        let warnings = check_fields(&call.kind, &mut object, call.request)?;
        let manager = call.request.manager().to_owned();
        let dry_run = call.request.dry_run();
        let written =
            self.replace_object(&call.kind, &key, &live, object, part, &Tracking::Manager(&manager), dry_run)?;
        Ok(Response { warnings, ..Response::json(200, present(&call.kind, &written)) })
    }

    /// Server-side apply.
    pub fn apply(&mut self, call: &Call<'_>) -> Result<Response, Status> {
        let (kind, request) = (call.kind.clone(), call.request);
        let part = part_of(call)?;
        check_configuration(call)?;
        let config = &request.body;
        let key = call.key();
        let live = self.store.get(&key).cloned();
        let before = live.as_ref().map_or_else(|| Value::Object(Object::new()), |live| present(&kind, live));
        let now = self.now_text();
        let manager = request.parameter("fieldManager").unwrap_or_default();
        let force = request.flag("force");
        let finished = |object: &mut Value| finish(&kind, object);
        let merged = self.with_tracker(&kind, &call.target.subresource, part, &now, |tracker| {
            tracker.apply(&before, config, manager, force, &finished)
        });
        let mut merged = merged.map_err(|error| apply_status(&error))?;
        merged["metadata"]["name"] = key.name.as_str().into();
        if kind.namespaced {
            merged["metadata"]["namespace"] = key.namespace.as_str().into();
        }
        let Some(live) = live else {
            if part == Part::Status {
                return Err(call.not_found());
            }
            if let Some(uid) = config["metadata"]["uid"].as_str() {
                let why =
                    format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
                return Err(Status::conflict(kind.resource(), &key.name, &why));
            }
            // An apply that creates needs to be allowed to create, too.
            if let Some(status) = self.faults.check(Verb::Create, call.target) {
                return Err(status);
            }
            let created = self.create_object(&kind, &key, merged, &Tracking::Done, request.dry_run())?;
            return Ok(Response::json(201, present(&kind, &created)));
        };
        let written = self.replace_object(&kind, &key, &live, merged, part, &Tracking::Done, request.dry_run())?;
        Ok(Response::json(200, present(&kind, &written)))
    }

    /// Puts `new` in place of `live`, as far as `part` goes, unless it is only tried. Returns the object as it is now.
    #[expect(clippy::too_many_arguments, reason = "each is one independent fact of the write")]
    pub(crate) fn replace_object(
        &mut self,
        kind: &Arc<Kind>,
        key: &ObjectKey,
        live: &Arc<Value>,
        mut new: Value,
        part: Part,
        tracking: &Tracking<'_>,
        dry_run: bool,
    ) -> Result<Arc<Value>, Status> {
        check_version(kind, key, live, &new)?;
        check_uid(kind, key, live, &new)?;
        let old = present(kind, live);
        keep_server_metadata(&old, &mut new);
        finish(kind, &mut new);
        if new == old {
            return Ok(live.clone());
        }
        if let Tracking::Manager(manager) = tracking {
            let now = self.now_text();
            let subresource = if part == Part::Status { "status" } else { "" };
            self.with_tracker(kind, subresource, part, &now, |tracker| tracker.update(&old, &mut new, manager));
        }
        match part {
            Part::Main if kind.status => move_field(&old, &mut new, "status"),
            Part::Main => {}
            Part::Status => new = status_only(kind, &old, &new),
        }
        let mut causes = if part == Part::Main { validate::update(kind, &old, &new) } else { Vec::new() };
        if causes.is_empty() {
            causes.extend(validate::check_custom(kind, &new));
        }
        if !causes.is_empty() {
            return Err(Status::invalid(kind.group_kind(), &key.name, causes));
        }
        let notes_count = part == Part::Main && kind.is("apps", "Deployment");
        let notes_changed = old["metadata"]["annotations"] != new["metadata"]["annotations"];
        if kind.generation && (is_spec_changed(kind, &old, &new) || (notes_count && notes_changed)) {
            let generation = old["metadata"]["generation"].as_i64().unwrap_or_default();
            new["metadata"]["generation"] = (generation + 1).into();
        }
        self.allocate(kind, Some(&old), &mut new);
        if is_same(&old, &new) {
            return Ok(live.clone());
        }
        if dry_run {
            return Ok(Arc::new(new));
        }
        let is_released = !new["metadata"]["deletionTimestamp"].is_null()
            && new["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty)
            && new["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or_default() == 0
            && !(kind.is("", "Namespace") && new["spec"]["finalizers"].is_array());
        if is_released {
            self.take_away(key);
            return Ok(Arc::new(new));
        }
        Ok(self.put(key, new))
    }

    /// Runs `run` with a tracker for writes through this endpoint; an empty `now` leaves entries without a time.
    pub(crate) fn with_tracker<T>(
        &self,
        kind: &Kind,
        subresource: &str,
        part: Part,
        now: &str,
        run: impl FnOnce(&Tracker<'_>) -> T,
    ) -> T {
        let versions: Vec<Arc<Kind>> = self.kinds.versions(kind.id).cloned().collect();
        let mut shapes: BTreeMap<String, Shape<'_>> = versions
            .iter()
            .map(|version| (version.api_version(), Shape { schema: &version.schema, of: version.root }))
            .collect();
        let api_version = kind.api_version();
        shapes.insert(api_version.clone(), Shape { schema: &kind.schema, of: kind.root });
        let now = (!now.is_empty()).then_some(now);
        run(&Tracker { api_version: &api_version, subresource, ignored: reset_fields(kind, part), shapes, now })
    }

    /// Changes an object as a controller does: without checks, by `manager`, in one part. Returns whether anything changed.
    pub(crate) fn edit(&mut self, key: &ObjectKey, manager: &str, part: Part, change: impl FnOnce(&mut Value)) -> bool {
        let (Some(kind), Some(live)) = (self.kinds.stored(key.resource).cloned(), self.store.get(key).cloned()) else {
            return false;
        };
        let mut new = Value::clone(&live);
        change(&mut new);
        if new == *live {
            return false;
        }
        let before = self.store.version();
        let written = self.replace_object(&kind, key, &live, new, part, &Tracking::Manager(manager), false);
        if let Err(error) = written {
            tracing::warn!(%error, name = key.name, "a controller's write was refused");
        }
        self.store.version() != before
    }

    /// Makes an object as a controller does. Returns it, or why not.
    pub(crate) fn make(
        &mut self,
        group: &str,
        kind: &str,
        mut object: Value,
        manager: &str,
    ) -> Result<Arc<Value>, Status> {
        let kind = self.kinds.of_kind(group, kind).cloned().ok_or_else(Status::no_resource)?;
        object["apiVersion"] = kind.api_version().into();
        object["kind"] = kind.kind.as_str().into();
        self.name_object(&mut object);
        let key = self.key_of(&kind, &object);
        self.create_object(&kind, &key, object, &Tracking::Manager(manager), false)
    }
}

/// Brings an object into its stored form.
pub(crate) fn finish(kind: &Kind, object: &mut Value) {
    object["apiVersion"] = kind.api_version().into();
    object["kind"] = kind.kind.as_str().into();
    if kind.custom.is_none() {
        shape::normalize(&kind.schema, kind.root, object);
        defaults::write(kind, object);
        return;
    }
    shape::prune(&kind.schema, kind.root, object);
    shape::write_defaults(&kind.schema, kind.root, object);
    let builtin = crate::kinds::built_in();
    if let (Some(of), Some(metadata)) = (builtin.named("meta.v1.ObjectMeta"), object.get_mut("metadata")) {
        shape::normalize(&builtin, of, metadata);
    }
}

/// Returns an object as a version of its kind shows it.
pub(crate) fn present(kind: &Kind, object: &Value) -> Value {
    let mut object = object.clone();
    convert::to_version(&mut object, &kind.api_version());
    object["apiVersion"] = kind.api_version().into();
    object["kind"] = kind.kind.as_str().into();
    object
}

fn part_of(call: &Call<'_>) -> Result<Part, Status> {
    match call.target.subresource.as_str() {
        "" => Ok(Part::Main),
        "status" if call.kind.status => Ok(Part::Status),
        _ => Err(Status::no_resource()),
    }
}

fn remove_key(object: &mut Value, name: &str) {
    if let Some(object) = object.as_object_mut() {
        object.remove(name);
    }
}

fn remove_field(object: &mut Value, name: &str) {
    remove_key(&mut object["metadata"], name);
}

fn set_or_remove(object: &mut Value, name: &str, value: Value) {
    if value.is_null() {
        remove_key(object, name);
    } else {
        object[name] = value;
    }
}

/// Makes a field of `to` what it is in `from`, absent included.
fn move_field(from: &Value, to: &mut Value, name: &str) {
    set_or_remove(to, name, from[name].clone());
}

fn apply_status(error: &ApplyError) -> Status {
    match error {
        ApplyError::Conflicts(conflicts) => {
            let causes = conflicts
                .iter()
                .map(|conflict| Cause {
                    reason: "FieldManagerConflict",
                    message: conflict.to_string(),
                    field: path_text(&conflict.path),
                })
                .collect();
            Status::apply_conflict(error.to_string(), causes)
        }
        ApplyError::Schema(message) => Status::unclassified(message.clone()),
        ApplyError::BadRequest(message) => Status::bad_request(message.clone()),
    }
}

/// Keeps the metadata that only the server writes.
fn keep_server_metadata(old: &Value, new: &mut Value) {
    if !new["metadata"].is_object() {
        new["metadata"] = json!({});
    }
    let server = [
        "uid",
        "creationTimestamp",
        "resourceVersion",
        "generation",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "namespace",
        "name",
    ];
    for name in server {
        move_field(&old["metadata"], &mut new["metadata"], name);
    }
    if !old["metadata"]["generateName"].is_null() && new["metadata"]["generateName"].is_null() {
        move_field(&old["metadata"], &mut new["metadata"], "generateName");
    }
}

/// Returns `old` with what a write to its status may change: the status and, of built-in kinds, most of the metadata.
fn status_only(kind: &Kind, old: &Value, new: &Value) -> Value {
    let mut whole = old.clone();
    move_field(new, &mut whole, "status");
    if kind.custom.is_none() {
        whole["metadata"] = new["metadata"].clone();
        if matches!(kind.kind.as_str(), "Deployment" | "ReplicaSet") {
            move_field(&old["metadata"], &mut whole["metadata"], "labels");
        }
    } else {
        set_or_remove(&mut whole["metadata"], "managedFields", new["metadata"]["managedFields"].clone());
    }
    whole
}

/// Whether anything but metadata and status changed; for kinds without a status of their own, anything but metadata.
fn is_spec_changed(kind: &Kind, old: &Value, new: &Value) -> bool {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else { return false };
    let counts = |name: &str| name != "metadata" && !(name == "status" && (kind.status || kind.custom.is_none()));
    let names = old.keys().chain(new.keys()).filter(|name| counts(name));
    names.into_iter().any(|name| old.get(name) != new.get(name))
}

/// Whether two objects are the same but for the times of their owners.
fn is_same(old: &Value, new: &Value) -> bool {
    let owners = |object: &Value| object["metadata"]["managedFields"].as_array().map_or(0, Vec::len);
    agree(old, new, "metadata")
        && agree(&old["metadata"], &new["metadata"], "managedFields")
        && owners(old) == owners(new)
        && (0..owners(old)).all(|index| {
            agree(&old["metadata"]["managedFields"][index], &new["metadata"]["managedFields"][index], "time")
        })
}

/// Whether two objects have the same fields and values, but for one field.
fn agree(old: &Value, new: &Value, but: &str) -> bool {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else { return old == new };
    let count = |object: &Object<String, Value>| object.len() - usize::from(object.contains_key(but));
    count(old) == count(new) && old.iter().all(|(name, value)| name == but || new.get(name) == Some(value))
}

/// Lists the fields that an endpoint resets: nobody owns them through it.
fn reset_fields(kind: &Kind, part: Part) -> Set {
    let mut set = Set::default();
    let field = |name: &str| PathElement::Field(name.to_owned());
    match part {
        Part::Main if kind.status => set.insert(&[field("status")]),
        Part::Main => {}
        Part::Status => {
            set.insert(&[field("spec")]);
            if kind.is("apps", "Deployment") {
                set.insert(&[field("metadata"), field("labels")]);
            }
        }
    }
    set
}
