//! A second opinion on every plan.
//!
//! Written from the promises, not from the planner: it shares no code with it, asks only whether the plan is safe, never whether it is
//! good. A plan that it refuses is not carried out; that is a fault of `syncd` and is reported as one.

use std::collections::{BTreeMap, BTreeSet};

use manifest::ObjectRef;

use super::{Plan, PlannedDelete, Policy, Reason, ServicePlan, Withheld};
use crate::desired::{Content, Desired};
use crate::live::{Inside, Live};
use crate::report::SuspendedScope;
use crate::state::{Reading, State};

/// A promise that a plan would break.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Violation {
    /// The plan is not for this environment and index.
    #[error("the plan is for another environment or index")]
    Foreign,
    /// Something is done for a service whose record cannot be read, or that has a problem.
    #[error("service `{service}` has a problem, and something is done for it")]
    Problem {
        /// The service.
        service: String,
    },
    /// What is applied is not what the index names.
    #[error("{object} of service `{service}` is applied with content that the index does not name")]
    Content {
        /// The service.
        service: String,
        /// The object.
        object: ObjectRef,
    },
    /// An object is applied for two services, or twice.
    #[error("{object} is applied twice, for service `{service}` too")]
    AppliedTwice {
        /// The second service.
        service: String,
        /// The object.
        object: ObjectRef,
    },
    /// An object is applied that would not be recorded at that time, or recorded as another one.
    #[error("{object} of service `{service}` is applied without being recorded before")]
    Unrecorded {
        /// The service.
        service: String,
        /// The object.
        object: ObjectRef,
    },
    /// Stages are not in order, or a stage holds what belongs elsewhere.
    #[error("the stages of service `{service}` are out of order at {object}")]
    Stages {
        /// The service.
        service: String,
        /// The object.
        object: ObjectRef,
    },
    /// An object is applied without waiting for its namespace or definition.
    #[error("{object} of service `{service}` does not wait for {needed}")]
    NotGated {
        /// The service.
        service: String,
        /// The object.
        object: ObjectRef,
        /// Its namespace or definition.
        needed: ObjectRef,
    },
    /// A service would wait for itself.
    #[error("service `{service}` waits for itself")]
    Deadlock {
        /// The service.
        service: String,
    },
    /// An object is deleted that its service did not record, or recorded with another uid.
    #[error("{object} of service `{service}` is deleted without being recorded with that uid")]
    DeleteUnrecorded {
        /// The service.
        service: String,
        /// The object.
        object: ObjectRef,
    },
    /// An object is deleted that was not seen with our owner label and that uid.
    #[error("{object} of service `{service}` is deleted without having been seen as ours")]
    DeleteUnseen {
        /// The service.
        service: String,
        /// The object.
        object: ObjectRef,
    },
    /// An object is deleted that some service wants, or may want.
    #[error("{object} of service `{service}` is deleted although service `{by}` wants it, or may")]
    DeleteWanted {
        /// The service.
        service: String,
        /// The object.
        object: ObjectRef,
        /// Who wants it.
        by: String,
    },
    /// An object is deleted that belongs to `syncd`.
    #[error("{object} of service `{service}` is protected from deletion")]
    DeleteProtected {
        /// The service.
        service: String,
        /// The object.
        object: ObjectRef,
    },
    /// An object is deleted that takes more along than itself, and nobody approved that.
    #[error("{object} of service `{service}` is deleted without approval")]
    DeleteUnapproved {
        /// The service.
        service: String,
        /// The object.
        object: ObjectRef,
    },
    /// A namespace or definition is deleted, and with it something that the plan does not delete, or it is not known what.
    #[error("with {object} of service `{service}` goes {lost}")]
    DeleteInhabited {
        /// The service.
        service: String,
        /// The object.
        object: ObjectRef,
        /// What is lost.
        lost: String,
    },
    /// An object is deleted twice.
    #[error("{object} is deleted twice, for service `{service}` too")]
    DeletedTwice {
        /// The second service.
        service: String,
        /// The object.
        object: ObjectRef,
    },
    /// More is deleted than was agreed.
    #[error("{deletions} deletions are more than the {limit} that are let through")]
    Fuse {
        /// How many.
        deletions: usize,
        /// How many are let through.
        limit: usize,
    },
    /// Something is done for a service, or to an object, that is suspended.
    #[error("{object} of service `{service}` is touched although it is suspended")]
    Suspended {
        /// The service.
        service: String,
        /// The object.
        object: ObjectRef,
    },
    /// An object would be forgotten that exists, or may.
    #[error("{object} of service `{service}` would be forgotten although it may exist")]
    Forgotten {
        /// The service.
        service: String,
        /// The object.
        object: ObjectRef,
    },
}

/// Checks a plan against the world that it was made for.
///
/// # Errors
/// Every promise that it would break, sorted.
pub fn verify<'a>(
    plan: &'a Plan,
    desired: &'a Desired,
    state: &'a State,
    live: &'a Live,
    policy: &'a Policy,
) -> Result<(), BTreeSet<Violation>> {
    let mut broken = BTreeSet::new();
    let index = &desired.source.index;
    // That the hash is the index's is seen to where the source is made: to find it out again for each plan is dear where services are many.
    let source = &desired.source;
    if plan.environment != index.environment || plan.index != source.root || plan.revision != source.revision {
        broken.insert(Violation::Foreign);
    }
    let applied_first = |service: &'a ServicePlan| service.stages.iter().filter(|stage| stage.stage == 0);
    let foundations = plan.services.iter().flat_map(|(name, service)| {
        applied_first(service).flat_map(|stage| &stage.applies).map(move |apply| (name.as_str(), &apply.id))
    });
    let foundations = foundations.map(|(name, id)| (id, defined(desired, name, id))).collect();
    let check = Check { plan, desired, state, live, policy, foundations };
    let (mut applied, mut deleted) = (BTreeSet::new(), BTreeSet::new());
    for (name, service) in &plan.services {
        check.problem(name, service, &mut broken);
        check.applies(name, service, &mut applied, &mut broken);
        check.gates(name, service, &mut broken);
        check.deletes(name, service, &mut deleted, &mut broken);
        check.forgets(name, service, &mut broken);
        check.suspended(name, service, &mut broken);
    }
    check.waits(&mut broken);
    // Where so few are always let through, nothing has to be counted.
    let limit = match deleted.len() <= policy.fuse.objects {
        true => policy.fuse.objects,
        false => policy.fuse.objects.max(check.held_anywhere() * policy.fuse.percent / 100),
    };
    if deleted.len() <= limit {
        check.approvals(&mut broken);
    } else if !policy.approved.contains(&plan.deletions_id(|_| true)) {
        broken.insert(Violation::Fuse { deletions: deleted.len(), limit });
    }
    check.losses(&mut broken);
    if broken.is_empty() { Ok(()) } else { Err(broken) }
}

struct Check<'a> {
    plan: &'a Plan,
    desired: &'a Desired,
    state: &'a State,
    live: &'a Live,
    policy: &'a Policy,
    /// Namespaces and definitions that the plan applies; of these, group and kind of what they define.
    foundations: Vec<(&'a ObjectRef, Option<(String, String)>)>,
}

/// Returns group and kind that a definition defines.
fn defined(desired: &Desired, service: &str, id: &ObjectRef) -> Option<(String, String)> {
    let Some(Content::Objects(objects)) = desired.services.get(service) else { return None };
    let value = objects.get(id).filter(|_| id.kind != "Namespace")?.value();
    let text = |pointer: &str| value.pointer(pointer).and_then(|value| value.as_str()).map(str::to_owned);
    Some((text("/spec/group")?, text("/spec/names/kind")?))
}

impl<'a> Check<'a> {
    fn problem(&self, name: &str, service: &ServicePlan, broken: &mut BTreeSet<Violation>) {
        let readable = !matches!(self.state.services.get(name), Some(Reading::Unreadable { .. }));
        let idle = service.stages.is_empty()
            && service.deletes.is_empty()
            && service.widen.is_empty()
            && service.gone.is_empty();
        if (service.problem.is_some() || !readable) && !idle {
            broken.insert(Violation::Problem { service: name.to_owned() });
        }
    }

    fn applies(
        &self,
        name: &str,
        service: &'a ServicePlan,
        applied: &mut BTreeSet<&'a ObjectRef>,
        broken: &mut BTreeSet<Violation>,
    ) {
        let mut last = None;
        for stage in &service.stages {
            for apply in &stage.applies {
                let (service_name, object) = (name.to_owned(), apply.id.clone());
                if last.is_some_and(|last| last >= stage.stage) || stage.stage != place(&apply.id) {
                    broken.insert(Violation::Stages { service: service_name.clone(), object: object.clone() });
                }
                if !self.is_content(name, &apply.id, apply.hash) {
                    broken.insert(Violation::Content { service: service_name.clone(), object: object.clone() });
                }
                if !self.is_recorded(name, service, &apply.id, apply.uid.as_deref()) {
                    broken.insert(Violation::Unrecorded { service: service_name.clone(), object: object.clone() });
                }
                if matches!(apply.reason, Reason::Terminating { .. }) && apply.uid.is_some() {
                    broken.insert(Violation::Unrecorded { service: service_name.clone(), object: object.clone() });
                }
                if !applied.insert(&apply.id) {
                    broken.insert(Violation::AppliedTwice { service: service_name, object });
                }
            }
            last = Some(stage.stage);
        }
    }

    /// Exactly that content is read, verified, of a service that the index names with the file that was read.
    fn is_content(&self, name: &str, id: &ObjectRef, hash: manifest::Hash) -> bool {
        let in_index = self.desired.source.index.services.contains_key(name);
        match self.desired.services.get(name) {
            Some(Content::Objects(objects)) => in_index && objects.get(id).is_some_and(|object| object.hash == hash),
            Some(Content::Refused { .. }) | None => false,
        }
    }

    /// After the widening, the record holds it: with that uid, or with none if it may be created.
    fn is_recorded(&self, name: &str, service: &ServicePlan, id: &ObjectRef, uid: Option<&str>) -> bool {
        if let Some(widened) = service.widen.get(id) {
            return widened.uid.as_deref() == uid;
        }
        let held = self.state.record(name).and_then(|record| record.held.get(id));
        match (held, uid) {
            (None, _) => false,
            (Some(held), None) => held.uid.is_none(),
            (Some(held), Some(uid)) => held.uid.as_deref().is_none_or(|recorded| recorded == uid),
        }
    }

    /// Whatever lives in a namespace or is an instance of a definition that this plan applies waits for it.
    fn gates(&self, name: &str, service: &ServicePlan, broken: &mut BTreeSet<Violation>) {
        for apply in service.stages.iter().flat_map(|stage| &stage.applies).filter(|apply| place(&apply.id) != 0) {
            for (needed, _) in self.foundations.iter().filter(|(id, defines)| needs(&apply.id, id, defines.as_ref())) {
                if !service.gates.contains(needed) {
                    let (service, object, needed) = (name.to_owned(), apply.id.clone(), (*needed).clone());
                    broken.insert(Violation::NotGated { service, object, needed });
                }
            }
        }
    }

    fn deletes(
        &self,
        name: &str,
        service: &'a ServicePlan,
        deleted: &mut BTreeSet<&'a ObjectRef>,
        broken: &mut BTreeSet<Violation>,
    ) {
        let mut last = None;
        for stage in &service.deletes {
            for delete in &stage.deletes {
                let id = &delete.id;
                let (service, object) = (|| name.to_owned(), || id.clone());
                if last.is_some_and(|last| last <= stage.stage) || stage.stage != place(id) {
                    broken.insert(Violation::Stages { service: service(), object: object() });
                }
                let held = self.state.record(name).and_then(|record| record.held.get(id));
                if delete.uid.is_empty() || !held.is_some_and(|held| held.may_be(&delete.uid)) {
                    broken.insert(Violation::DeleteUnrecorded { service: service(), object: object() });
                }
                if !self.is_seen_as_ours(id, &delete.uid, held.is_some_and(|held| held.is(&delete.uid))) {
                    broken.insert(Violation::DeleteUnseen { service: service(), object: object() });
                }
                if let Some(by) = self.wanted_by(id) {
                    broken.insert(Violation::DeleteWanted { service: service(), object: object(), by });
                }
                if self.is_protected(id) {
                    broken.insert(Violation::DeleteProtected { service: service(), object: object() });
                }
                if !deleted.insert(id) {
                    broken.insert(Violation::DeletedTwice { service: service(), object: object() });
                }
            }
            last = Some(stage.stage);
        }
    }

    fn is_seen_as_ours(&self, id: &ObjectRef, uid: &str, uid_recorded: bool) -> bool {
        let Some(Some(seen)) = self.live.seen.get(id) else { return false };
        let observed = &seen.observed;
        let owner = observed.environment.as_deref() == Some(self.desired.source.index.environment.as_str());
        owner && observed.uid == uid && (uid_recorded || observed.hash.is_some()) && !seen.prune_disabled
    }

    /// Returns a service that wants the object, or of which that cannot be excluded.
    fn wanted_by(&self, id: &ObjectRef) -> Option<String> {
        let wants = |name: &String, entry: &manifest::index::Entry| match self.desired.services.get(name) {
            Some(Content::Objects(objects)) => objects.contains_key(id),
            Some(Content::Refused { claims: Some(claims), .. }) => claims.contains(id),
            Some(Content::Refused { claims: None, .. }) | None => match self.state.record(name) {
                Some(record) if record.is_settled(Some(&entry.content)) => {
                    record.held.get(id).is_some_and(|held| held.leftover.is_none())
                }
                Some(record) if record.intent.as_ref().is_some_and(|intent| intent.content == Some(entry.content)) => {
                    record.held.contains_key(id)
                }
                _ => true,
            },
        };
        let services = &self.desired.source.index.services;
        services.iter().find(|(name, entry)| wants(name, entry)).map(|(name, _)| name.clone())
    }

    fn is_protected(&self, id: &ObjectRef) -> bool {
        let syncd = id.namespace == self.policy.namespace && (id.name == "syncd" || id.name.starts_with("syncd-"));
        let home = id.kind == "Namespace" && id.group.is_empty() && id.name == self.policy.namespace;
        let grants = id.group == "rbac.authorization.k8s.io"
            && (id.namespace.is_empty() && id.name == "syncd"
                || id.name.starts_with(&format!("syncd-{}-", self.plan.environment)));
        syncd || home || grants
    }

    /// What takes more along than itself, and is not going already, is deleted only if exactly that was approved.
    fn approvals(&self, broken: &mut BTreeSet<Violation>) {
        let has_claims = |id: &ObjectRef| matches!(self.live.seen.get(id), Some(Some(seen)) if seen.claims);
        let of_kind =
            |id: &ObjectRef| self.policy.protected.iter().any(|kind| kind.group == id.group && kind.kind == id.kind);
        let asks = |delete: &PlannedDelete| !delete.terminating && (of_kind(&delete.id) || has_claims(&delete.id));
        if self.policy.approved.contains(&self.plan.deletions_id(asks)) {
            return;
        }
        for (service, delete) in self.plan.deletes().filter(|(_, delete)| asks(delete)) {
            broken.insert(Violation::DeleteUnapproved { service: service.clone(), object: delete.id.clone() });
        }
    }

    /// Whatever is in a namespace, or is an instance of a definition, is deleted by this plan too.
    fn losses(&self, broken: &mut BTreeSet<Violation>) {
        if self.plan.deletes().next().is_none() {
            return;
        }
        let known = self.state.records().flat_map(|(_, record)| record.held.keys());
        let known: BTreeSet<&ObjectRef> = known.chain(self.desired_objects()).collect();
        let going: BTreeMap<&ObjectRef, &str> =
            self.plan.deletes().map(|(_, delete)| (&delete.id, delete.uid.as_str())).collect();
        let uids: BTreeSet<&str> = going.values().copied().collect();
        for (service, delete) in self.plan.deletes().filter(|(_, delete)| !delete.terminating) {
            let seen = self.live.seen.get(&delete.id).and_then(Option::as_ref);
            let defines = seen.and_then(|seen| seen.defines.as_ref());
            let holds: Box<dyn Fn(&ObjectRef) -> bool> = match (delete.id.group.as_str(), delete.id.kind.as_str()) {
                ("", "Namespace") => Box::new(|id| id.namespace == delete.id.name),
                ("apiextensions.k8s.io", "CustomResourceDefinition") => {
                    Box::new(|id| defines.is_some_and(|kind| kind.group == id.group && kind.kind == id.kind))
                }
                _ => continue,
            };
            let is_gone = |id: &ObjectRef| matches!(self.live.seen.get(id), Some(None));
            let stays = |id: &&&ObjectRef| holds(id) && !going.contains_key(**id) && !is_gone(id);
            let forgotten = known.iter().find(stays).map(ToString::to_string);
            let lost = match self.live.inside.get(&delete.id) {
                Some(Inside::Known(inside)) => {
                    let others = inside.iter().find(|resident| !uids.contains(resident.uid.as_str()));
                    forgotten.or(others.map(|resident| resident.id.to_string()))
                }
                Some(Inside::Unread { .. }) | None => Some("nobody knows what".to_owned()),
            };
            if let Some(lost) = lost {
                let (service, object) = (service.clone(), delete.id.clone());
                broken.insert(Violation::DeleteInhabited { service, object, lost });
            }
        }
    }

    fn desired_objects(&self) -> impl Iterator<Item = &ObjectRef> {
        self.desired.services.values().flat_map(|content| match content {
            Content::Objects(objects) => objects.keys().collect(),
            Content::Refused { claims: Some(claims), .. } => claims.iter().collect(),
            Content::Refused { claims: None, .. } => Vec::new(),
        })
    }

    /// What is suspended, or belongs to a service that is, is neither applied nor deleted; nor is such a service's record changed.
    fn suspended(&self, name: &str, service: &ServicePlan, broken: &mut BTreeSet<Violation>) {
        let applied = service.stages.iter().flat_map(|stage| &stage.applies).map(|apply| &apply.id);
        let deleted = service.deletes.iter().flat_map(|stage| &stage.deletes).map(|delete| &delete.id);
        let touched: Vec<&ObjectRef> = applied.chain(deleted).collect();
        let mut refuse = |object: &ObjectRef| {
            broken.insert(Violation::Suspended { service: name.to_owned(), object: object.clone() });
        };
        for suspension in &self.policy.suspended.0 {
            let held_by = |other: &str, id: &ObjectRef| {
                self.state.record(other).is_some_and(|record| record.held.contains_key(id))
            };
            let is_its_own = match &suspension.scope {
                SuspendedScope::Environment => true,
                SuspendedScope::Service(other) => other == name,
                SuspendedScope::Object(_) => false,
            };
            let covers = |id: &ObjectRef| match &suspension.scope {
                SuspendedScope::Environment => true,
                SuspendedScope::Service(other) => other == name || held_by(other, id),
                SuspendedScope::Object(other) => other == id,
            };
            touched.iter().filter(|id| covers(id)).for_each(|id| refuse(id));
            if is_its_own {
                service.widen.keys().chain(&service.gone).for_each(&mut refuse);
            }
        }
    }

    /// What is forgotten is known to be gone, or recorded by a service that does not forget it.
    fn forgets(&self, name: &str, service: &ServicePlan, broken: &mut BTreeSet<Violation>) {
        for id in &service.gone {
            let recorded =
                self.state.record(name).and_then(|record| record.held.get(id)).and_then(|held| held.uid.as_ref());
            let gone = match self.live.seen.get(id) {
                Some(None) => true,
                Some(Some(seen)) => {
                    let ours = seen.observed.environment.as_deref() == Some(self.plan.environment.as_str());
                    recorded.is_some_and(|uid| *uid != seen.observed.uid) && !ours
                }
                None => false,
            };
            if !gone {
                broken.insert(Violation::Forgotten { service: name.to_owned(), object: id.clone() });
            }
        }
        for object in &service.withheld {
            let (Withheld::Moved { to: other } | Withheld::HeldTwice { with: other }) = &object.withheld else {
                continue;
            };
            let back = self.plan.services.get(other).is_some_and(|plan| {
                plan.withheld.iter().any(|kept| kept.id == object.id && kept.withheld.holder() == Some(name))
            });
            if other == name || back {
                broken.insert(Violation::Forgotten { service: name.to_owned(), object: object.id.clone() });
            }
        }
    }

    /// Nobody waits for himself, waves included.
    fn waits(&self, broken: &mut BTreeSet<Violation>) {
        let runs = |service: &ServicePlan| service.problem.is_none();
        let mut open: BTreeMap<&String, &ServicePlan> = self.plan.services.iter().filter(|(_, s)| runs(s)).collect();
        loop {
            let lowest = open.values().filter(|s| s.content.is_some()).map(|s| s.wave).min();
            let free: Vec<&String> = open
                .iter()
                .filter(|(_, s)| s.content.is_none() || Some(s.wave) == lowest)
                .filter(|(_, s)| s.after.iter().all(|other| !open.contains_key(other)))
                .map(|(name, _)| *name)
                .collect();
            if free.is_empty() {
                break;
            }
            for name in free {
                open.remove(name);
            }
        }
        broken.extend(open.keys().map(|name| Violation::Deadlock { service: (*name).clone() }));
    }

    fn held_anywhere(&self) -> usize {
        self.state.records().flat_map(|(_, record)| record.held.keys()).collect::<BTreeSet<_>>().len()
    }
}

/// Tells whether an object is in a namespace, or an instance of a definition.
fn needs(id: &ObjectRef, foundation: &ObjectRef, defines: Option<&(String, String)>) -> bool {
    match foundation.kind.as_str() {
        "Namespace" => foundation.name == id.namespace,
        _ => defines.is_some_and(|(group, kind)| *group == id.group && *kind == id.kind),
    }
}

/// The stage of a kind, from the promises of the order: foundations, access, configuration, networking, workloads, rest, admission.
fn place(id: &ObjectRef) -> u8 {
    const PLACES: [(u8, &str, &[&str]); 17] = [
        (0, "", &["Namespace"]),
        (0, "apiextensions.k8s.io", &["CustomResourceDefinition"]),
        (1, "", &["ServiceAccount", "ResourceQuota", "LimitRange"]),
        (1, "rbac.authorization.k8s.io", &[]),
        (1, "scheduling.k8s.io", &["PriorityClass"]),
        (1, "storage.k8s.io", &["StorageClass", "VolumeAttributesClass", "CSIDriver"]),
        (1, "networking.k8s.io", &["IngressClass"]),
        (1, "node.k8s.io", &["RuntimeClass"]),
        (1, "gateway.networking.k8s.io", &["GatewayClass"]),
        (1, "resource.k8s.io", &["DeviceClass"]),
        (2, "", &["ConfigMap", "Secret", "PersistentVolume", "PersistentVolumeClaim"]),
        (3, "", &["Service", "Endpoints"]),
        (3, "discovery.k8s.io", &["EndpointSlice"]),
        (3, "networking.k8s.io", &["NetworkPolicy"]),
        (4, "", &["Pod", "ReplicationController"]),
        (4, "apps", &[]),
        (4, "batch", &[]),
    ];
    if id.group == "admissionregistration.k8s.io" || (id.group == "apiregistration.k8s.io" && id.kind == "APIService") {
        return 6;
    }
    let fits = |(_, group, kinds): &&(u8, &str, &[&str])| {
        *group == id.group && (kinds.is_empty() || kinds.contains(&id.kind.as_str()))
    };
    PLACES.iter().find(fits).map_or(5, |(stage, _, _)| *stage)
}
