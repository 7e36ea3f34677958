//! What is really there, asked past everything that is killed, cut or delayed.
//!
//! Invariant: an answer that did not come is an error, never an absence.

use std::collections::{BTreeMap, BTreeSet};

use manifest::{Manifest, ObjectRef};
use smol_str::SmolStr;
use syncd::cluster::{Cluster, ClusterError, GroupKind};
use syncd::kube::KubeCluster;
use syncd::state::{self, StateError};

use crate::{ENVIRONMENT, Revision};

/// Looks at a cluster.
pub struct Eyes(pub KubeCluster);

/// What carries our label: identity, then uid, service, hash.
pub type Owned = BTreeMap<ObjectRef, (SmolStr, SmolStr, SmolStr)>;

impl Eyes {
    /// Returns everything with our label, but for the state itself.
    pub async fn owned(&self) -> Result<Owned, ClusterError> {
        let mut owned = BTreeMap::new();
        for (group, kind) in [("", "Namespace"), ("", "ConfigMap"), ("", "Service"), ("apps", "Deployment")] {
            let kind = GroupKind::new(group, kind);
            for (id, seen) in self.0.list_owned(&kind, ENVIRONMENT).await? {
                if !state::is_state(&id, ENVIRONMENT, "syncd") {
                    owned.insert(id, (seen.uid, seen.service.unwrap_or_default(), seen.hash.unwrap_or_default()));
                }
            }
        }
        Ok(owned)
    }

    /// Returns what carries our label and is in no record. What exists is asked first: a record is written before, and narrowed after.
    pub async fn forgotten(&self) -> Result<Vec<String>, StateError> {
        let owned = self.owned().await.map_err(|source| StateError::Cluster { doing: "read", source })?;
        let state = state::read(&self.0, ENVIRONMENT).await?;
        let recorded: BTreeSet<&ObjectRef> = state.records().flat_map(|(_, record)| record.held.keys()).collect();
        Ok(owned.keys().filter(|id| !recorded.contains(id)).map(ToString::to_string).collect())
    }

    /// Tells how the cluster and the records differ from exactly what a revision wants.
    pub async fn differs(&self, revision: &Revision) -> Result<Option<String>, StateError> {
        let owned = self.owned().await.map_err(|source| StateError::Cluster { doing: "read", source })?;
        let wanted: BTreeMap<ObjectRef, (&str, String)> = revision
            .iter()
            .flat_map(|(service, objects)| objects.iter().map(move |object| (*service, object)))
            .map(|(service, object)| {
                let manifest = Manifest::from_value(object.clone()).expect("a manifest");
                (manifest.id.clone(), (service, manifest.hash().to_string()))
            })
            .collect();
        let there: BTreeMap<ObjectRef, (&str, String)> =
            owned.iter().map(|(id, (_, service, hash))| (id.clone(), (service.as_str(), hash.to_string()))).collect();
        if there != wanted {
            return Ok(Some(format!("{there:?} is there, {wanted:?} is wanted")));
        }
        let state = state::read(&self.0, ENVIRONMENT).await?;
        if !state.stray_parts.is_empty() {
            return Ok(Some(format!("stray parts: {:?}", state.stray_parts)));
        }
        let services: Vec<&str> = state.services.keys().map(String::as_str).collect();
        if services != revision.keys().copied().collect::<Vec<_>>() {
            return Ok(Some(format!("{services:?} have records")));
        }
        for (service, record) in state.records() {
            if record.intent.is_some() {
                return Ok(Some(format!("`{service}` is not settled")));
            }
            for (id, held) in &record.held {
                let live = owned.get(id).map(|(uid, owner, _)| (Some(uid), owner.as_str()));
                if live != Some((held.uid.as_ref(), service)) {
                    return Ok(Some(format!("{id} is recorded by `{service}` as {held:?}, and is {live:?}")));
                }
            }
        }
        let held: usize = state.records().map(|(_, record)| record.held.len()).sum();
        Ok((held != owned.len()).then(|| format!("{held} objects are recorded, {} are there", owned.len())))
    }
}
