//! Holds the body of a write to its path, its kind and the object that is there.
//!
//! Pure; what the content must be like is `validate`'s. Invariant: what passes here is of the kind, namespace and name of the path.

use serde_json::Value;

use crate::api::{GroupResource, Request, Status};
use crate::cluster::Call;
use crate::kinds::{Kind, Kinds};
use crate::shape;
use crate::store::ObjectKey;
use crate::validate;

/// Built-in kinds whose update must name a resourceVersion.
const CONDITIONAL_UPDATE: &[(&str, &str)] = &[
    ("coordination.k8s.io", "Lease"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("apiregistration.k8s.io", "APIService"),
    ("policy", "PodDisruptionBudget"),
];

/// Holds apiVersion and kind of a body to the path; absent ones are filled in.
pub(super) fn check_type(kinds: &Kinds, kind: &Kind, object: &mut Value) -> Result<(), Status> {
    let (version, expected) = (object["apiVersion"].as_str(), kind.api_version());
    let name = object["kind"].as_str();
    if version.is_none() || name.is_none() {
        if kind.custom.is_some() {
            let what = if name.is_none() { "Kind" } else { "apiVersion" };
            return Err(Status::bad_request(format!("Object '{what}' is missing in '{object}'")));
        }
    } else if name != Some(kind.kind.as_str()) {
        return Err(Status::bad_request(wrong_kind(
            kinds,
            kind,
            version.unwrap_or_default(),
            name.unwrap_or_default(),
        )));
    } else if version != Some(expected.as_str()) {
        return Err(Status::bad_request(format!(
            "the API version in the data ({}) does not match the expected API version ({expected})",
            version.unwrap_or_default()
        )));
    }
    object["apiVersion"] = expected.into();
    object["kind"] = kind.kind.as_str().into();
    Ok(())
}

/// Says that a body of another kind cannot be taken.
fn wrong_kind(kinds: &Kinds, kind: &Kind, version: &str, found: &str) -> String {
    let (group, short) = version.split_once('/').unwrap_or(("", version));
    let expected = &kind.kind;
    let why = if kinds.of_kind(group, found).is_some() {
        let own = if kind.group.is_empty() { "core" } else { kind.group.split('.').next().unwrap_or_default() };
        format!("converting ({short}.{found}) to ({own}.{expected}): unknown conversion")
    } else {
        format!("no kind \"{found}\" is registered for version \"{version}\" in scheme \"pkg/runtime/scheme.go:111\"")
    };
    format!("{found} in version \"{short}\" cannot be handled as a {expected}: {why}")
}

/// Holds the namespace of a body to the path; an absent one is filled in.
pub(super) fn check_namespace(call: &Call<'_>, object: &mut Value) -> Result<(), Status> {
    check_named_namespace(call, object)?;
    if call.kind.namespaced {
        object["metadata"]["namespace"] = call.target.namespace.as_str().into();
    }
    Ok(())
}

fn check_named_namespace(call: &Call<'_>, object: &Value) -> Result<(), Status> {
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) if call.kind.namespaced && !namespace.is_empty() && namespace != call.target.namespace => {
            let message = "the namespace of the provided object does not match the namespace sent on the request";
            Err(Status::bad_request(message))
        }
        _ => Ok(()),
    }
}

/// Removes unknown fields; an error where the request asks to be strict or a value is of a wrong type, else warnings.
pub(super) fn check_fields(kind: &Kind, object: &mut Value, request: &Request) -> Result<Vec<String>, Status> {
    let found = shape::unknown_fields(&kind.schema, kind.root, object);
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let (name, version) = (&kind.kind, &kind.version);
    let refused = |why: &str| {
        Status::bad_request(format!("{name} in version \"{version}\" cannot be handled as a {name}: {why}"))
    };
    let is_ours = |path: &str| kind.custom.is_none() || path.starts_with("metadata");
    if let Some(unknown) = found.iter().find(|unknown| !unknown.mismatch.is_empty() && is_ours(&unknown.path)) {
        return Err(refused(&format!("json: {} ({})", unknown.mismatch, unknown.path)));
    }
    let unknown = found.iter().filter(|unknown| unknown.mismatch.is_empty());
    let texts: Vec<String> = unknown.map(|unknown| format!("unknown field {:?}", unknown.path)).collect();
    match request.parameter("fieldValidation") {
        Some("Strict") if !texts.is_empty() => {
            return Err(refused(&format!("strict decoding error: {}", texts.join(", "))));
        }
        Some("Ignore") => {
            shape::prune(&kind.schema, kind.root, object);
            return Ok(Vec::new());
        }
        _ => {}
    }
    shape::prune(&kind.schema, kind.root, object);
    Ok(texts)
}

/// Checks what an applied configuration must and may not say; its fields are looked at later.
pub(super) fn check_configuration(call: &Call<'_>) -> Result<(), Status> {
    let (kind, request) = (&call.kind, call.request);
    if request.parameter("fieldManager").unwrap_or_default().is_empty() {
        let of = GroupResource { group: "meta.k8s.io", resource: "PatchOptions" };
        let cause = validate::required("fieldManager", "is required for apply patch");
        return Err(Status::invalid(of, "", vec![cause]));
    }
    let config = &request.body;
    if !config.is_object() {
        return Err(Status::bad_request("error decoding YAML: the body is not an object"));
    }
    let text = |name: &str| config[name].as_str().unwrap_or_default().to_owned();
    let (version, name) = (text("apiVersion"), text("kind"));
    if version != kind.api_version() || name != kind.kind {
        let shown = if version.contains('/') { version } else { format!("/{version}") };
        return Err(Status::bad_request(format!("invalid object type: {shown}, Kind={name}")));
    }
    if !config["metadata"]["managedFields"].is_null() {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    let name = config["metadata"]["name"].as_str().filter(|name| !name.is_empty());
    if let Some(name) = name.filter(|name| *name != call.target.name) {
        let message =
            format!("the name of the object ({name}) does not match the name on the URL ({})", call.target.name);
        return Err(Status::bad_request(message));
    }
    check_named_namespace(call, config)?;
    if let Some(version) = config["metadata"]["resourceVersion"].as_str()
        && !version.is_empty()
        && version.parse::<u64>().is_err()
    {
        return Err(bad_version(version));
    }
    Ok(())
}

/// Some kinds must say which version they replace.
pub(super) fn check_update_precondition(call: &Call<'_>, live: &Value, object: &Value) -> Result<(), Status> {
    let kind = &call.kind;
    let named = !object["metadata"]["resourceVersion"].as_str().unwrap_or_default().is_empty();
    let must = kind.custom.is_some() || CONDITIONAL_UPDATE.contains(&(kind.group.as_str(), kind.kind.as_str()));
    if must && !named {
        let cause = validate::invalid("metadata.resourceVersion", &0.into(), "must be specified for an update");
        return Err(Status::invalid(kind.resource(), &call.target.name, vec![cause]));
    }
    let (uid, theirs) = (object["metadata"]["uid"].as_str().unwrap_or_default(), live["metadata"]["uid"].as_str());
    if !uid.is_empty() && Some(uid) != theirs {
        let theirs = theirs.unwrap_or_default();
        let (group, namespace) = (&kind.group, &call.target.namespace);
        let root = if kind.custom.is_some() { format!("{group}/{}", kind.plural) } else { kind.plural.clone() };
        let home = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: /registry/{root}/{home}{}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in object meta: {theirs}",
            call.target.name
        );
        return Err(Status::conflict(kind.resource(), &call.target.name, &why));
    }
    Ok(())
}

pub(super) fn check_version(kind: &Kind, key: &ObjectKey, live: &Value, new: &Value) -> Result<(), Status> {
    let version = new["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    if version.is_empty() || Some(version) == live["metadata"]["resourceVersion"].as_str() {
        return Ok(());
    }
    if version.parse::<u64>().is_err() {
        return Err(bad_version(version));
    }
    Err(Status::modified(kind.resource(), &key.name))
}

pub(super) fn check_uid(kind: &Kind, key: &ObjectKey, live: &Value, new: &Value) -> Result<(), Status> {
    let uid = &new["metadata"]["uid"];
    if uid.is_null() || *uid == live["metadata"]["uid"] {
        return Ok(());
    }
    let cause = validate::invalid("metadata.uid", uid, "field is immutable");
    Err(Status::invalid(kind.group_kind(), &key.name, vec![cause.clone(), cause]))
}

fn bad_version(version: &str) -> Status {
    Status::unclassified(format!("strconv.ParseUint: parsing {version:?}: invalid syntax"))
}
