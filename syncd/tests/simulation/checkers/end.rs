//! The end: the cluster is what the tip wants, the records say exactly that, and nothing more is written.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use manifest::ObjectRef;
use serde_json::{Map, Value};

use super::order::is_up;
use super::{Scene, Verdict};
use crate::truth::{Commit, object};
use syncd::repo::Revision;

/// Tells whether everything is as the tip wants it, but for services that cannot be.
pub fn converged(scene: &Scene<'_>) -> Verdict {
    let truth = scene.truth;
    let Some(tip) = truth.tip() else { return Ok(()) };
    // Another commit with the same content need not be recorded, nor one of which there never was anything.
    let hashes = |commit: &Commit| commit.services.values().map(|wanted| wanted.hashes.clone()).collect::<Vec<_>>();
    let is_nothing = tip.services.is_empty() && truth.records.services.is_empty();
    let follows = |from: &Revision| truth.tip.as_ref().is_some_and(|tip| truth.descends(tip, from));
    let is_in_force = match (&truth.records.commit, truth.in_force()) {
        (Some(revision), Some(commit)) => follows(revision) && (hashes(commit) == hashes(tip) || is_nothing),
        _ => tip.services.is_empty(),
    };
    if !is_in_force {
        return Err("the tip is not in force".to_owned());
    }
    let is_bad = |service: &str| scene.bad.iter().any(|bad| bad == service);
    for (service, id, wanted) in tip.objects().filter(|(service, _, _)| !is_bad(service)) {
        let live = object(scene.model, id).ok_or_else(|| format!("{id} is not there"))?;
        let metadata = &live["metadata"];
        if metadata["labels"]["syncd/service"] != service.as_str()
            || metadata["annotations"]["syncd/hash"] != tip.services[service].hashes[id].as_str()
        {
            return Err(format!("{id} does not say that it is `{service}`'s, at the tip's content"));
        }
        if let Some(path) = lacks(&live, wanted, "") {
            return Err(format!("{id} has not what the tip wants at {path}"));
        }
        if !is_up(&live) {
            return Err(format!("{id} is not up"));
        }
        let record = truth.records.services.get(service).ok_or_else(|| format!("`{service}` has no record"))?;
        let entry = record.held.get(id).ok_or_else(|| format!("{id} is not recorded by `{service}`"))?;
        if entry.uid.as_deref() != metadata["uid"].as_str()
            || entry.hash.as_ref() != tip.services[service].hashes.get(id)
            || entry.is_leftover
        {
            return Err(format!("{id} is recorded as {entry:?}"));
        }
    }
    if let Some(stray) = truth.records.strays.first() {
        return Err(format!("no record names {stray}"));
    }
    for (service, record) in truth.records.services.iter().filter(|(service, _)| !is_bad(service)) {
        if record.is_open {
            return Err(format!("the record of `{service}` is open"));
        }
        let wanted = tip.services.get(service);
        let stays = |id: &ObjectRef| matches!(id.kind.as_str(), "Namespace" | "CustomResourceDefinition");
        let more = record.held.iter().find(|(id, entry)| {
            let may_stay = stays(id) || truth.disturbed.contains(id);
            !(wanted.is_some_and(|wanted| wanted.objects.contains_key(id)) || entry.is_leftover && may_stay)
        });
        if let Some((id, _)) = more {
            return Err(format!("{id} is recorded by `{service}`, which does not want it"));
        }
        if wanted.is_none() && record.held.is_empty() {
            return Err(format!("`{service}` has left, and its empty record has not"));
        }
    }
    let held: BTreeSet<&ObjectRef> = truth.records.services.values().flat_map(|record| record.held.keys()).collect();
    for id in truth.ours.keys() {
        let live = object(scene.model, id);
        let labelled =
            live.is_some_and(|live| live["metadata"]["labels"]["syncd/environment"] == crate::model::ENVIRONMENT);
        if labelled && !held.contains(id) {
            return Err(format!("{id} is left over, and recorded by nobody"));
        }
    }
    Ok(())
}

/// Tells whether nothing was written while nothing was to be done.
pub fn is_quiet(writes: &[String]) -> Verdict {
    match writes.first() {
        None => Ok(()),
        Some(write) => Err(format!("nothing is to be done, and `{write}` is sent")),
    }
}

/// Returns where an object does not have what is wanted of it.
fn lacks(live: &Value, wanted: &Value, path: &str) -> Option<String> {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => wanted.iter().find_map(|(key, value)| {
            if key == "stringData" {
                // It is written only, and read as data.
                let encode = |value: &Value| Value::String(STANDARD.encode(value.as_str().unwrap_or_default()));
                let data: Map<String, Value> = value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(name, value)| (name.clone(), encode(value)))
                    .collect();
                return lacks(live.get("data").unwrap_or(&Value::Null), &Value::Object(data), "/data");
            }
            lacks(live.get(key).unwrap_or(&Value::Null), value, &format!("{path}/{key}"))
        }),
        (Value::Array(wanted), Value::Array(live)) if wanted.len() <= live.len() => {
            let mut pairs = wanted.iter().zip(live).enumerate();
            pairs.find_map(|(number, (wanted, live))| lacks(live, wanted, &format!("{path}/{number}")))
        }
        _ if wanted == live => None,
        _ => Some(path.to_owned()),
    }
}
