//! `syncd orphans`: what carries our labels and is held by nobody, and what is held and wanted by nobody.
//!
//! Invariant: nothing is changed; of each object it is said with which command people can.

use std::collections::BTreeSet;

use clap::Args;
use futures::StreamExt;
use manifest::ObjectRef;
use serde::Serialize;

use super::arguments::Reach;
use super::output::{Output, print};
use super::{CliError, Exit};
use crate::cluster::{Cluster, Inspect};
use crate::report::printable;
use crate::state::{self, Reading, State, is_state};

pub(super) const HELP: &str = "Lists every kind that the API serves, by label: by the rights of the kubeconfig, which needs list on all of them. \
Objects that a controller made after one of ours (and so has our labels, but not our hash) are not told.

An orphan is taken in by the service whose manifests have it, in Git: syncd sees its labels and records it.

Exit codes:
   0  there are none
   1  there are some
   2  wrong usage: the arguments cannot work
   4  the cluster or the recorded state could not be read, or not all of it";

/// Kinds that are asked for at the same time.
const CONCURRENCY: usize = 16;

#[derive(Debug, Args)]
pub(super) struct OrphansOf {
    #[command(flatten)]
    reach: Reach,
    /// text for people, json or yaml for programs
    #[arg(short, long, env = "SYNCD_OUTPUT", value_enum, default_value_t = Output::Text, value_name = "FORM")]
    output: Output,
}

/// What belongs to nobody.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Orphans {
    /// Objects that carry our labels and hash and are in no record.
    unrecorded: Vec<Unrecorded>,
    /// Objects that a record holds although no service wants them.
    unwanted: Vec<Unwanted>,
    /// What could not be read.
    errors: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Unrecorded {
    object: ObjectRef,
    uid: String,
    service: Option<String>,
    delete: String,
    release: String,
}

#[derive(Debug, Serialize)]
struct Unwanted {
    object: ObjectRef,
    service: String,
    why: String,
    delete: String,
}

pub(super) async fn run(arguments: &OrphansOf) -> Result<Exit, CliError> {
    let OrphansOf { reach, output } = arguments;
    let cluster = reach.quietly().await?;
    let state = state::read(&cluster, &reach.environment).await.map_err(|error| CliError::State(error.to_string()))?;
    let found = find(&cluster, &state, reach).await?;
    print(*output, &text(&found, &reach.environment), &found);
    Ok(match () {
        () if !found.errors.is_empty() => Exit::Cluster,
        () if found.unrecorded.is_empty() && found.unwanted.is_empty() => Exit::Synced,
        () => Exit::Failed,
    })
}

async fn find<C: Cluster + Inspect>(cluster: &C, state: &State, reach: &Reach) -> Result<Orphans, CliError> {
    let mut found = Orphans::default();
    for (service, reading) in &state.services {
        match reading {
            Reading::Stored(stored) => {
                let left = stored.record.held.iter().filter_map(|(id, held)| Some((id, held.leftover.clone()?)));
                found.unwanted.extend(left.map(|(id, why)| Unwanted {
                    object: id.clone(),
                    service: service.clone(),
                    why,
                    delete: delete(id),
                }));
            }
            // Whatever it holds would be taken for nobody's.
            Reading::Unreadable { reason } => return Err(CliError::State(reason.clone())),
        }
    }
    let (kinds, unanswered) = cluster.kinds().await.map_err(|error| CliError::State(error.message))?;
    found.errors =
        unanswered.iter().map(|group| format!("the API server of group `{group}` does not answer")).collect();
    let asked = kinds.iter().map(|kind| async move { (kind, cluster.list_owned(kind, &reach.environment).await) });
    let answers: Vec<_> = futures::stream::iter(asked).buffered(CONCURRENCY).collect().await;
    let held: BTreeSet<&ObjectRef> = state.records().flat_map(|(_, record)| record.held.keys()).collect();
    for (kind, answer) in answers {
        let objects = match answer {
            Ok(objects) => objects,
            Err(error) => {
                found.errors.push(format!("{kind} could not be listed: {error}"));
                continue;
            }
        };
        let orphans = objects.into_iter().filter(|(id, seen)| {
            let ours = seen.hash.is_some() && !seen.terminating;
            ours && !held.contains(id) && !is_state(id, &reach.environment, &reach.namespace)
        });
        found.unrecorded.extend(orphans.map(|(id, seen)| Unrecorded {
            delete: delete(&id),
            release: release(&id),
            object: id,
            uid: seen.uid.to_string(),
            service: seen.service.map(String::from),
        }));
    }
    found.unrecorded.sort_by(|a, b| a.object.cmp(&b.object));
    Ok(found)
}

fn text(found: &Orphans, environment: &str) -> String {
    let mut lines = Vec::new();
    for Unrecorded { object, uid, service, delete, release } in &found.unrecorded {
        let service = service.as_deref().unwrap_or("none");
        lines.push(format!("orphan {object} (uid {uid}), labelled for service {service}: it is in no record"));
        lines.push(format!("  to delete it:   {delete}"));
        lines.push(format!("  to let it go:   {release}"));
        lines.push("  to take it in:  add it to a service in Git".to_owned());
    }
    for Unwanted { object, service, why, delete } in &found.unwanted {
        lines.push(format!("left over {object}, recorded by service {service}: {why}"));
        lines.push(format!("  to delete it:   {delete}"));
    }
    lines.extend(found.errors.iter().cloned());
    let (orphans, left) = (found.unrecorded.len(), found.unwanted.len());
    lines.push(format!("{environment}: {orphans} orphans, {left} left over"));
    lines.iter().map(|line| printable(line) + "\n").collect()
}

fn delete(id: &ObjectRef) -> String {
    format!("kubectl delete {}", named(id))
}

/// Takes our labels and our hash away: then it is nobody's.
fn release(id: &ObjectRef) -> String {
    let named = named(id);
    format!("kubectl label {named} syncd/environment- syncd/service- && kubectl annotate {named} syncd/hash-")
}

fn named(id: &ObjectRef) -> String {
    let kind = if id.group.is_empty() { id.kind.to_string() } else { format!("{}.{}", id.kind, id.group) };
    // Names of roles may have what a shell takes for something else.
    let plain = id.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':'));
    let name = if plain { id.name.to_string() } else { format!("'{}'", id.name.replace('\'', r"'\''")) };
    match id.namespace.is_empty() {
        true => format!("{kind} {name}"),
        false => format!("{kind} {name} --namespace {}", id.namespace),
    }
}
