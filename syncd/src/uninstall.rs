//! Takes an environment out of `syncd`'s hands: with everything that it made, or without.
//!
//! Deleting is a plan over an index without services, with every guard that any other plan has, carried out as any other is: so a record is
//! narrowed only by what is confirmed to be gone, and whoever was interrupted begins again. What is recorded is forgotten last, and the root
//! after all else. Knows no question to people. Invariants: nothing is forgotten that may exist and was to be deleted; what is kept by a
//! decision is kept, and named.

use std::collections::{BTreeMap, BTreeSet};

use manifest::{Index, ObjectRef};

use crate::cluster::{Cluster, ClusterError, ErrorClass, GroupKind, StateObject};
use crate::config::Settings;
use crate::context::Context;
use crate::desired::{Desired, Source};
use crate::execute::execute;
use crate::live::{self, Live};
use crate::plan::{self, Plan, Policy, Scope, verify};
use crate::repo::{CommitInfo, Revision};
use crate::report::{ServiceReport, ServiceState, Suspended, Trigger};
use crate::state::{self, Reading, State, StateError, root_name};
use crate::suspension::Record;

/// What is to be deleted, and all that it follows from.
#[derive(Debug)]
pub struct Removal {
    /// Every service left an index that has none.
    pub plan: Plan,
    /// What could not be read: the objects are kept.
    pub unread: Vec<String>,
    desired: Desired,
    live: Live,
}

/// Finds out what would be deleted. `approved`: also what other plans ask an approval for.
///
/// # Errors
/// The plan was refused by its second opinion: a fault of `syncd`.
pub async fn look<C: Cluster>(
    cluster: &C,
    settings: &Settings,
    state: &State,
    approved: bool,
) -> Result<Removal, Vec<String>> {
    let index = Index { environment: settings.environment.clone(), services: BTreeMap::new() };
    let revision = state.root.as_ref().map_or_else(|| Revision("none".to_owned()), |stored| stored.root.commit.clone());
    let source = Source::new(revision, CommitInfo::default(), index);
    let desired = Desired { source, services: BTreeMap::new() };
    let mut live = Live::default();
    // Whatever its time: what was suspended is resumed first, by who knows why it was.
    let record = Record::read(state.suspensions.as_ref(), &settings.environment).map_err(|reason| vec![reason])?;
    let suspended = Suspended(record.suspensions);
    let selection = plan::select(&desired.source.index, state, &live, &BTreeSet::new(), &suspended, Scope::Full);
    let candidates = plan::candidates(&desired, state, &selection);
    let mut unread = Vec::new();
    for (id, error) in live::look_at(cluster, &mut live, &candidates, settings).await {
        // A definition takes its instances along.
        if error.class == ErrorClass::NotServed && cluster.is_served(&GroupKind::of(&id)).await == Ok(false) {
            live.seen.insert(id, None);
        } else {
            unread.push(format!("{id} could not be read: {error}"));
        }
    }
    let mut policy = Policy {
        namespace: settings.namespace.clone(),
        fuse: settings.fuse.clone(),
        approved: BTreeSet::new(),
        protected: settings.protected.clone(),
        adopt: BTreeSet::new(),
        suspended,
        trigger: Trigger::Changed,
    };
    let planned = |live: &Live, policy: &Policy| plan::plan(&desired, state, live, &selection, policy);
    let mut plan = planned(&live, &policy);
    let shells = plan.unexplored(&live);
    if !shells.is_empty() {
        live::look_inside(cluster, &mut live, &shells, settings).await;
        plan = planned(&live, &policy);
    }
    if let Some(held) = plan.held.as_ref().filter(|_| approved) {
        policy.approved.insert(held.id);
        plan = planned(&live, &policy);
        // What goes now may have been what a namespace was kept for.
        let shells = plan.unexplored(&live);
        live::look_inside(cluster, &mut live, &shells, settings).await;
        plan = planned(&live, &policy);
        if let Some(held) = &plan.held {
            policy.approved.insert(held.id);
            plan = planned(&live, &policy);
        }
    }
    match verify::verify(&plan, &desired, state, &live, &policy) {
        Ok(()) => Ok(Removal { plan, unread, desired, live }),
        Err(violations) => Err(violations.iter().map(ToString::to_string).collect()),
    }
}

/// Deletes what was planned, and waits until it is gone. Returns how each service ended; what did not end well is still recorded.
///
/// # Errors
/// The records could not be made ours first, so that nobody who read them before can write them: nothing was deleted.
pub async fn delete<C: Cluster>(
    cluster: &C,
    settings: &Settings,
    context: &Context<'_>,
    state: State,
    removal: &Removal,
) -> Result<BTreeMap<String, ServiceReport>, StateError> {
    let limits = (settings.limits.state_bytes, settings.concurrency);
    let state = state::take_over(cluster, &settings.environment, state, false, limits).await?;
    let Removal { plan, desired, live, .. } = removal;
    let done = execute(cluster, settings, context, plan, desired, &state, live, &BTreeMap::new()).await;
    Ok(done.into_iter().map(|(name, done)| (name, done.report)).collect())
}

/// Returns the services of which something is recorded that was to be deleted and is not known to be gone.
pub fn unfinished(state: &State) -> BTreeSet<&String> {
    let is_open = |reading: &Reading| match reading {
        Reading::Stored(stored) => stored.record.held.values().any(|held| held.leftover.is_none()),
        Reading::Unreadable { .. } => true,
    };
    state.services.iter().filter(|(_, reading)| is_open(reading)).map(|(name, _)| name).collect()
}

/// Tells whether a service ended as it was to: what stays of it stays by a decision.
pub fn has_ended(report: &ServiceReport) -> bool {
    matches!(report.state, ServiceState::Synced | ServiceState::Removed)
}

/// Forgets everything that is recorded of an environment: records, approvals, suspensions, the root, and the Lease. No object is touched.
/// Returns how many ConfigMaps went. Records go before their parts, so that whoever is interrupted finds nothing that cannot be read.
///
/// # Errors
/// The cluster's; some of it may be gone: begin again.
pub async fn forget<C: Cluster>(cluster: &C, settings: &Settings) -> Result<usize, ClusterError> {
    let root = root_name(&settings.environment);
    let mut objects: Vec<StateObject> = cluster.list_state(&settings.environment).await?;
    objects.retain(|object| is_of_state(object, &root));
    objects.sort_by_key(|object| (object.name == root, object.name.contains('.'), object.name.clone()));
    for object in &objects {
        let version = object.resource_version.clone().unwrap_or_default();
        match cluster.delete_state(&object.name, &version).await {
            Err(error) if error.class != ErrorClass::Gone => return Err(error),
            _ => {}
        }
    }
    let lease = ObjectRef {
        group: "coordination.k8s.io".into(),
        kind: "Lease".into(),
        namespace: settings.namespace.as_str().into(),
        name: root.into(),
    };
    if let Some(found) = cluster.get(&lease).await? {
        let seen = live::observed(&found);
        match cluster.delete(&lease, &seen.uid, &seen.resource_version).await {
            Err(error) if error.class != ErrorClass::Gone => return Err(error),
            _ => {}
        }
    }
    Ok(objects.len())
}

/// A ConfigMap of a service may carry the same label: it carries our hash as well, and that of no state does.
fn is_of_state(object: &StateObject, root: &str) -> bool {
    let rest = object.name.strip_prefix(root);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.']))
        && object.labels.get(state::LABEL_MANAGED_BY).is_some_and(|by| by == "syncd")
}
