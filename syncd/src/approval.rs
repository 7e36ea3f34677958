//! What people have approved: one ConfigMap beside the state, written by `syncd approve`, read by the daemon.
//!
//! An approval names a hash over exactly what it allows, so that it allows nothing else, whatever is committed meanwhile. Knows not what the
//! hashes are over. Invariants: what cannot be read approves nothing; the daemon never adds an approval.

use std::collections::BTreeMap;

use manifest::{Hash, ObjectRef};
use serde::{Deserialize, Serialize};

use crate::cluster::{Cluster, ClusterError, StateObject};
use crate::repo::Revision;
use crate::state::{self, root_name};

const KEY: &str = "approved.json";
/// Approvals that are kept: the oldest are forgotten.
const APPROVALS_MAX: usize = 20;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    format: u32,
    environment: String,
    plans: Vec<Hash>,
}

/// What was approved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Approvals {
    /// Hashes over what is allowed ([`crate::report::HeldDeletions::id`], [`of_revision`]), oldest first.
    plans: Vec<Hash>,
    /// Of the ConfigMap; absent where there is none.
    resource_version: Option<String>,
}

impl Approvals {
    /// Tells whether exactly this was approved.
    pub fn has(&self, id: &Hash) -> bool {
        self.plans.contains(id)
    }
}

/// Returns what approves that a revision is followed wherever it comes from.
pub fn of_revision(revision: &Revision) -> Hash {
    Hash::of(format!("revision {revision}").as_bytes())
}

/// Returns the name of the ConfigMap. No service's name has a dot, so it is no record's.
pub fn name(environment: &str) -> String {
    format!("{}.approved", root_name(environment))
}

/// Reads what was approved: one request. A ConfigMap that says something odd approves nothing.
///
/// # Errors
/// The cluster's.
pub async fn read<C: Cluster>(cluster: &C, environment: &str, namespace: &str) -> Result<Approvals, ClusterError> {
    let id = ObjectRef {
        group: "".into(),
        kind: "ConfigMap".into(),
        namespace: namespace.into(),
        name: name(environment).into(),
    };
    let Some(value) = cluster.get(&id).await? else { return Ok(Approvals::default()) };
    let text = |pointer: &str| value.pointer(pointer).and_then(serde_json::Value::as_str);
    let file = text("/data/approved.json").and_then(|text| serde_json::from_str::<File>(text).ok());
    let file = file.filter(|file| file.format == state::FORMAT && file.environment == environment);
    let resource_version = text("/metadata/resourceVersion").map(str::to_owned);
    Ok(Approvals { plans: file.map(|file| file.plans).unwrap_or_default(), resource_version })
}

/// Approves: writes the ConfigMap over the one that was read.
///
/// # Errors
/// The cluster's; a conflict: somebody else approved something at the same time.
pub async fn add<C: Cluster>(
    cluster: &C,
    environment: &str,
    approvals: Approvals,
    id: Hash,
) -> Result<(), ClusterError> {
    let mut plans = approvals.plans;
    plans.retain(|plan| *plan != id);
    plans.push(id);
    let forgotten = plans.len().saturating_sub(APPROVALS_MAX);
    plans.drain(..forgotten);
    let file = File { format: state::FORMAT, environment: environment.to_owned(), plans };
    let text = serde_json::to_string_pretty(&file).expect("a list of hashes");
    let object = StateObject {
        name: name(environment),
        labels: state::labels(environment, None),
        data: BTreeMap::from([(KEY.to_owned(), text)]),
        resource_version: approvals.resource_version,
    };
    cluster.write_state(object).await.map(drop)
}

/// Forgets all approvals, once they have served. That it fails changes nothing: what they name will not be again.
pub async fn forget<C: Cluster>(cluster: &C, environment: &str, approvals: &Approvals) {
    if let Some(version) = &approvals.resource_version {
        let _ = cluster.delete_state(&name(environment), version).await;
    }
}
