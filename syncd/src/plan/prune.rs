//! What happens to objects that a service holds and does not want any more.
//!
//! Deleting needs every proof, keeping needs one doubt. The order of the questions is the order of the answers that people need: first
//! whose it is, then whether it may go, then whether it is the one that was recorded.

use std::collections::{BTreeMap, BTreeSet};

use manifest::hash::Parts;
use manifest::{Hash, ObjectRef};

use super::order::stage_of;
use super::{DeleteReason, DeleteStage, Plan, PlannedDelete, Scene, Selection, ServicePlan, Withheld, WithheldObject};
use crate::cluster::GroupKind;
use crate::desired::Desired;
use crate::live::{Inside, Live, Presence, Resident, is_shell};
use crate::report::HeldDeletions;
use crate::state::{Held, Record, State, is_state, root_name};

/// Returns the objects that have to be looked at one by one before a plan can delete anything: recorded by a service that is planned
/// for, and not known to be wanted.
pub fn candidates(desired: &Desired, state: &State, selection: &Selection) -> BTreeSet<ObjectRef> {
    let held = selection.act.iter().filter_map(|service| state.record(service)).flat_map(|record| record.held.keys());
    let mut unwanted: BTreeSet<&ObjectRef> = held.collect();
    // Most of it is wanted by who has it.
    for id in selection.act.iter().filter_map(|service| desired.claims(service, state)).flatten() {
        unwanted.remove(id);
    }
    if !unwanted.is_empty() {
        for id in desired.all_claims(state).filter_map(|(_, claims)| claims).flatten() {
            unwanted.remove(id);
        }
    }
    unwanted.into_iter().cloned().collect()
}

/// Plans what a service does not want any more.
pub(super) fn release(scene: &Scene<'_>, name: &str, record: &Record, plan: &mut ServicePlan) {
    let mut stages: BTreeMap<u8, Vec<PlannedDelete>> = BTreeMap::new();
    for (id, held) in record.held.iter().filter(|(id, _)| scene.wanted_by.get(id) != Some(&name)) {
        match decide(scene, name, record, id, held) {
            Fate::Delete { uid, resource_version, terminating } => {
                let reason = match plan.content {
                    Some(_) => DeleteReason::Removed,
                    None => DeleteReason::ServiceRemoved,
                };
                let api_version = held.api_version.clone();
                let delete = PlannedDelete { id: id.clone(), api_version, uid, resource_version, reason, terminating };
                stages.entry(stage_of(&GroupKind::of(id))).or_default().push(delete);
            }
            Fate::Gone => plan.gone.push(id.clone()),
            Fate::Keep(withheld) => plan.withheld.push(WithheldObject { id: id.clone(), withheld }),
        }
    }
    plan.deletes = stages.into_iter().rev().map(|(stage, deletes)| DeleteStage { stage, deletes }).collect();
}

/// What becomes of an object.
enum Fate {
    Delete { uid: String, resource_version: String, terminating: bool },
    Gone,
    Keep(Withheld),
}

fn decide(scene: &Scene<'_>, name: &str, record: &Record, id: &ObjectRef, held: &Held) -> Fate {
    if let Some(to) = scene.wanted_by.get(id) {
        return Fate::Keep(Withheld::Moved { to: (*to).to_owned() });
    }
    // Who is not at work now has not come to the point where it may go, nor has whose it says to be; else it is the first one's.
    let holders = scene.held_by.get(id).map(Vec::as_slice).unwrap_or_default();
    let says = scene.live.present(id).and_then(|observed| observed.service.as_deref());
    let at_rest = holders.iter().find(|holder| !scene.selection.act.contains(**holder));
    let named = || holders.iter().find(|holder| says == Some(**holder));
    if let Some(other) = at_rest.or_else(named).or(holders.first()).filter(|other| **other != name) {
        return Fate::Keep(Withheld::HeldTwice { with: (*other).to_owned() });
    }
    if let Some(service) = scene.unproven {
        return Fate::Keep(Withheld::Unproven { service: service.to_owned() });
    }
    if scene.live.may_come.contains(id) {
        // Forgotten or deleted now, it could come back with nobody to know of it.
        return Fate::Keep(Withheld::MayCome);
    }
    let observed = match scene.live.presence(id) {
        Presence::Absent => return Fate::Gone,
        Presence::Unknown | Presence::Unowned => return Fate::Keep(Withheld::Unseen),
        Presence::Present(observed) => observed,
    };
    let ours = observed.environment.as_deref() == Some(scene.environment);
    match &held.uid {
        Some(uid) if *uid != observed.uid && !ours => return Fate::Gone,
        _ if !held.may_be(&observed.uid) => return Fate::Keep(Withheld::UidDiffers),
        _ if !ours || !held.is(&observed.uid) && observed.hash.is_none() => return Fate::Keep(Withheld::NotOwned),
        _ => {}
    }
    if scene.is_suspended(name, id) {
        return Fate::Keep(Withheld::Suspended);
    }
    if let Some(withheld) = guard(scene, name, record, id) {
        return Fate::Keep(withheld);
    }
    Fate::Delete {
        uid: observed.uid.to_string(),
        resource_version: observed.resource_version.to_string(),
        terminating: observed.terminating,
    }
}

/// Tells why an object that could be deleted is not to be.
fn guard(scene: &Scene<'_>, name: &str, record: &Record, id: &ObjectRef) -> Option<Withheld> {
    let entry = scene.desired.source.index.services.get(name);
    let prune = entry.map_or(!record.prune_off, |entry| entry.sync.prune);
    let seen = scene.live.seen.get(id).and_then(Option::as_ref);
    if is_own(id, scene.environment, &scene.policy.namespace) {
        return Some(Withheld::Own);
    }
    if seen.is_none_or(|seen| seen.prune_disabled) {
        // Only reading the object alone tells; a list does not.
        return Some(if seen.is_none() { Withheld::Unseen } else { Withheld::PruneDisabled });
    }
    (!prune).then_some(Withheld::PruneOff)
}

/// Tells whether an object is part of `syncd`: its namespace, its state, whatever is named `syncd` or `syncd-...` in its namespace or
/// among the cluster roles, and its roles in other namespaces.
pub(super) fn is_own(id: &ObjectRef, environment: &str, namespace: &str) -> bool {
    let named = id.name == "syncd" || id.name.starts_with("syncd-");
    let is_namespace = id.group.is_empty() && id.kind == "Namespace" && id.name == namespace;
    let in_namespace = id.namespace == namespace && named;
    let of_environment = || id.name.starts_with(&format!("{}-", root_name(environment)));
    let is_role = id.group == "rbac.authorization.k8s.io" && (id.namespace.is_empty() && named || of_environment());
    is_namespace || in_namespace || is_role || is_state(id, environment, namespace)
}

/// Keeps namespaces and definitions that something else needs that is not deleted too, and those of which that is not known.
pub(super) fn protect_contents(scene: &Scene<'_>, services: &mut BTreeMap<String, ServicePlan>) {
    let going: BTreeSet<ObjectRef> = all_deletes(services).map(|delete| delete.id.clone()).collect();
    let uids: BTreeSet<String> = all_deletes(services).map(|delete| delete.uid.clone()).collect();
    // Nothing that could take anything along: nothing to gather.
    if !going.iter().any(is_shell) {
        return;
    }
    let known = scene.known();
    let gone: BTreeSet<ObjectRef> = services.values().flat_map(|plan| plan.gone.iter().cloned()).collect();
    let staying: Vec<&ObjectRef> = known.into_iter().filter(|id| !going.contains(id) && !gone.contains(id)).collect();
    withhold(services, |delete| {
        let id = &delete.id;
        if !is_shell(id) || delete.terminating {
            return None;
        }
        let is_namespace = id.kind == "Namespace";
        let defines = scene.live.seen.get(id).and_then(Option::as_ref).and_then(|seen| seen.defines.clone());
        let is_in = |other: &ObjectRef| match is_namespace {
            true => other.namespace == id.name,
            false => Some(GroupKind::of(other)) == defines,
        };
        let mut inside: BTreeSet<&ObjectRef> = staying.iter().copied().filter(|other| is_in(other)).collect();
        match scene.live.inside.get(id) {
            Some(Inside::Known(residents)) => {
                let stays = |resident: &&Resident| !uids.contains(&resident.uid);
                inside.extend(residents.iter().filter(stays).map(|resident| &resident.id));
            }
            Some(Inside::Unread { reason }) if inside.is_empty() => {
                return Some(Withheld::Unexplored { reason: Some(reason.clone()) });
            }
            None if inside.is_empty() => return Some(Withheld::Unexplored { reason: None }),
            Some(Inside::Unread { .. }) | None => {}
        }
        let (objects, first) = (inside.len(), (*inside.first()?).clone());
        Some(match is_namespace {
            true => Withheld::NamespaceInUse { objects, first },
            false => Withheld::DefinitionInUse { objects, first },
        })
    });
}

/// Withholds deletions that need an approval which is not there: all, when they are more than the policy lets through, else those
/// that take more along than the object itself.
pub(super) fn consent(scene: &Scene<'_>, services: &mut BTreeMap<String, ServicePlan>) -> Option<HeldDeletions> {
    all_deletes(services).next()?;
    let limit = scene.policy.fuse.limit(scene.held());
    let too_many = all_deletes(services).count() > limit;
    let asks = |delete: &PlannedDelete| too_many || is_protected(scene, delete);
    let deletions = all_deletes(services).filter(|delete| asks(delete)).count();
    let id = deletions_id(scene.environment, services, asks);
    if deletions == 0 || scene.policy.approved.contains(&id) {
        return None;
    }
    withhold(services, |delete| match (asks(delete), too_many) {
        (false, _) => None,
        (true, true) => Some(Withheld::Fuse),
        (true, false) => Some(Withheld::Protected { approve: id }),
    });
    Some(HeldDeletions { id, deletions, limit })
}

/// Tells whether a deletion takes more along than the object itself, so that people are asked first. One that has begun is not asked for.
fn is_protected(scene: &Scene<'_>, delete: &PlannedDelete) -> bool {
    let claims = scene.live.seen.get(&delete.id).and_then(Option::as_ref).is_some_and(|seen| seen.claims);
    !delete.terminating && (claims || scene.policy.protected.contains(&GroupKind::of(&delete.id)))
}

/// Returns the hash that an approval names: over exactly these deletions, whatever else changes.
fn deletions_id(
    environment: &str,
    services: &BTreeMap<String, ServicePlan>,
    of: impl Fn(&PlannedDelete) -> bool,
) -> Hash {
    let mut parts = Parts::new("syncd deletions 1");
    parts.add("environment", environment.as_bytes());
    for (service, plan) in services {
        for delete in plan.all_deletes().filter(|delete| of(delete)) {
            parts.add("service", service.as_bytes());
            parts.add("object", delete.id.to_string().as_bytes());
            parts.add("uid", delete.uid.as_bytes());
        }
    }
    parts.finish()
}

fn all_deletes(services: &BTreeMap<String, ServicePlan>) -> impl Iterator<Item = &PlannedDelete> {
    services.values().flat_map(ServicePlan::all_deletes)
}

/// Turns deletions for which there is a reason into kept objects.
fn withhold(services: &mut BTreeMap<String, ServicePlan>, reason: impl Fn(&PlannedDelete) -> Option<Withheld>) {
    for plan in services.values_mut() {
        for stage in &mut plan.deletes {
            for delete in std::mem::take(&mut stage.deletes) {
                match reason(&delete) {
                    Some(withheld) => plan.withheld.push(WithheldObject { id: delete.id, withheld }),
                    None => stage.deletes.push(delete),
                }
            }
        }
        plan.deletes.retain(|stage| !stage.deletes.is_empty());
        plan.withheld.sort_by(|a, b| a.id.cmp(&b.id));
    }
}

impl Plan {
    /// Returns the hash that an approval of exactly these deletions of this plan names.
    pub fn deletions_id(&self, of: impl Fn(&PlannedDelete) -> bool) -> Hash {
        deletions_id(&self.environment, &self.services, of)
    }

    /// Returns the namespaces and definitions that would be deleted, if it were known what is in them.
    pub fn unexplored(&self, live: &Live) -> BTreeSet<ObjectRef> {
        let withheld = self.services.values().flat_map(|service| &service.withheld);
        let unexplored = withheld.filter(|object| {
            matches!(object.withheld, Withheld::Unexplored { .. }) && !live.inside.contains_key(&object.id)
        });
        unexplored.map(|object| object.id.clone()).collect()
    }
}
