//! Decides what to do; does nothing.
//!
//! Everything known about the world is in the arguments, so a plan can be replayed from a bug report. Knows no client, clock or logger:
//! explanations are data ([`Reason`], [`Withheld`]). Invariants: planning again over a world that obeyed the plan yields an empty plan;
//! what may be created is recorded before; what is deleted was recorded, is ours, and is wanted by nobody.

pub mod order;
mod print;
mod prune;
mod select;
pub mod verify;

use std::collections::{BTreeMap, BTreeSet};

use litemap::LiteMap;
use manifest::index::{OnFailure, Sync};
use manifest::{Hash, ObjectRef};
use serde::{Serialize, Serializer};
use smol_str::SmolStr;

use crate::adoption::{self, Owner};
use crate::cluster::{GroupKind, Observed};
use crate::config::Fuse;
use crate::desired::{Content, Desired, Object};
use crate::live::{Live, Presence, annotation, defined_kind};
use crate::readiness::{self, pods::is_non_blocking};
use crate::repo::Revision;
use crate::report::{HeldDeletions, Suspended, Trigger};
use crate::sought::Sought;
use crate::state::{Held, Reading, Record, State};

use order::{FOUNDATIONS, Place, stage_of};
pub use prune::candidates;
pub use select::{Scope, Selection, select};

/// What the plan may do, apart from what the world looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Namespace of `syncd` itself: nothing of it is ever deleted.
    pub namespace: String,
    /// How many deletions are let through.
    pub fuse: Fuse,
    /// Held deletions that were approved ([`HeldDeletions::id`]).
    pub approved: BTreeSet<Hash>,
    /// Kinds whose objects are deleted only if that was approved. So are StatefulSets with claims of their own.
    pub protected: BTreeSet<GroupKind>,
    /// Tools whose objects are taken over without asking.
    pub adopt: BTreeSet<String>,
    /// What people want left alone.
    pub suspended: Suspended,
    /// Why there is a plan; [`Trigger::Full`]: every object is applied again.
    pub trigger: Trigger,
}

/// What to do: complete, ordered, leaving no choice to whoever carries it out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Environment.
    pub environment: String,
    /// Revision in force.
    pub revision: Revision,
    /// Hash over its index.
    pub index: Hash,
    /// Why there is a plan.
    pub trigger: Trigger,
    /// Services that need something, by name.
    pub services: BTreeMap<String, ServicePlan>,
    /// Deletions that are more than the fuse lets through; they are withheld.
    pub held: Option<HeldDeletions>,
    /// What people want left alone: nothing of it is in the plan.
    #[serde(skip_serializing_if = "Suspended::is_empty")]
    pub suspended: Suspended,
    /// Objects that carry our owner label and hash, are recorded by no service and wanted by none. Never touched.
    pub orphans: Vec<ObjectRef>,
}

/// What to do for one service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ServicePlan {
    /// Hash of its `resources.yaml`; absent when it left the index.
    pub content: Option<Hash>,
    /// Its version; absent when it left the index.
    pub version: Option<SmolStr>,
    /// Why nothing is done for it. Then all lists are empty.
    pub problem: Option<Problem>,
    /// Services of this plan in lower waves are ready before it starts.
    pub wave: i32,
    /// Services of this plan that must be ready before it starts.
    pub after: Vec<String>,
    /// Services of this plan that must have ended, well or not, before it deletes: something new comes before something old goes.
    pub deletes_after: Vec<String>,
    /// Namespaces and definitions of this plan that must be ready before it starts; its own and others'.
    pub gates: Vec<ObjectRef>,
    /// How long to wait for readiness, and for deletions.
    pub timeout_seconds: u64,
    /// Objects to record before anything is applied.
    #[serde(serialize_with = "as_list")]
    pub widen: LiteMap<ObjectRef, Widened>,
    /// What to apply, one stage after the other.
    pub stages: Vec<ApplyStage>,
    /// Objects that must be ready before the service is.
    pub wait: Vec<ObjectRef>,
    /// Objects that would be applied and are suspended: recorded ahead as the others, and left as they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub suspended: Vec<ObjectRef>,
    /// What to delete when the service is ready, one stage after the other.
    pub deletes: Vec<DeleteStage>,
    /// Recorded objects that do not exist any more: to be forgotten.
    pub gone: Vec<ObjectRef>,
    /// Recorded objects that are not wanted by this service any more and are not deleted.
    pub withheld: Vec<WithheldObject>,
    /// Number of objects that need nothing.
    pub unchanged: usize,
}

/// JSON has string keys only.
fn as_list<S: Serializer, T: Serialize>(map: &LiteMap<ObjectRef, T>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(map.iter())
}

/// How an object is recorded before it is applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Widened {
    /// API version that it will be applied through.
    pub api_version: SmolStr,
    /// Its uid, where it is known to exist. `None`: the apply may create it.
    pub uid: Option<SmolStr>,
}

/// Objects that are applied side by side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApplyStage {
    /// Number of the stage ([`order::STAGES`]).
    pub stage: u8,
    /// Sorted by identity.
    pub applies: Vec<PlannedApply>,
}

/// One object to apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedApply {
    /// The object.
    pub id: ObjectRef,
    /// API version.
    pub api_version: SmolStr,
    /// Hash of its manifest: which content is meant.
    pub hash: Hash,
    /// Why.
    pub reason: Reason,
    /// It must exist with this uid. `None`: it may be created.
    pub uid: Option<SmolStr>,
}

/// Why an object is applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// No service holds it.
    New,
    /// Its manifest is another one than the one that was confirmed.
    Changed,
    /// It was another service's.
    Moved {
        /// The service that held it.
        from: String,
    },
    /// It is recorded, and no reply ever confirmed it.
    Unconfirmed,
    /// It is recorded, and is not there (with our labels) any more.
    Missing,
    /// It is recorded with another uid: it was deleted and created by somebody else.
    Recreated,
    /// It is being deleted: it is created again when it is gone.
    Terminating {
        /// The uid of the object that is going.
        uid: SmolStr,
    },
    /// It has our labels, and no record holds it.
    Unrecorded,
    /// It was there before us: its fields are made ours, and what the manifest does not have of them goes.
    Adopted {
        /// The tool that it belonged to; absent where it was nobody's.
        from: Option<Owner>,
    },
    /// Its hash annotation is not that of the manifest that was confirmed, or is gone.
    LiveDiffers,
    /// Its owner labels are not ours.
    Relabelled,
    /// Somebody else changed what was applied.
    Drifted,
    /// Nothing is known to be wrong with it: every object is applied again.
    FullSync,
}

impl Reason {
    /// Tells whether only a look at what exists found it: the record does not say it.
    pub fn was_seen(&self) -> bool {
        use Reason::{Drifted, LiveDiffers, Missing, Recreated, Relabelled, Terminating};
        matches!(self, Drifted | LiveDiffers | Missing | Recreated | Relabelled | Terminating { .. })
    }
}

/// Objects that are deleted side by side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeleteStage {
    /// Number of the stage ([`order::STAGES`]); stages descend.
    pub stage: u8,
    /// Sorted by identity.
    pub deletes: Vec<PlannedDelete>,
}

/// One object to delete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedDelete {
    /// The object.
    pub id: ObjectRef,
    /// API version that it was applied through.
    pub api_version: SmolStr,
    /// It is deleted only if it has this uid.
    pub uid: String,
    /// How it was when it was looked at; changed since, it is looked at again first.
    #[serde(skip)]
    pub resource_version: String,
    /// Why.
    pub reason: DeleteReason,
    /// It is being deleted already: only its end is waited for.
    pub terminating: bool,
}

/// Why an object is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeleteReason {
    /// Its service does not generate it any more.
    Removed,
    /// Its service left the index.
    ServiceRemoved,
}

/// An object that is not wanted by its service any more, and is not deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WithheldObject {
    /// The object.
    pub id: ObjectRef,
    /// Why it is not deleted.
    pub withheld: Withheld,
}

/// Why an object that a service does not want any more is not deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Withheld {
    /// Another service wants it. It is forgotten here as soon as it is recorded there.
    Moved {
        /// The service.
        to: String,
    },
    /// Another service holds it too, and deletes it.
    HeldTwice {
        /// The service.
        with: String,
    },
    /// Another service's manifests are not known: it may want it.
    Unproven {
        /// The service.
        service: String,
    },
    /// Deleting it takes more along than the object itself, and waits for approval.
    Protected {
        /// What the approval must name.
        approve: Hash,
    },
    /// It belongs to `syncd` itself.
    Own,
    /// The service's settings say so (`prune: false`).
    PruneOff,
    /// The object's annotation says so.
    PruneDisabled,
    /// It does not carry our owner label and hash: somebody took it over.
    NotOwned,
    /// It has our owner label, and another uid than the recorded one.
    UidDiffers,
    /// It could not be looked at.
    Unseen,
    /// A request that would create it was not answered, and may still be under way.
    MayCome,
    /// People want it left alone, or another service that holds it too.
    Suspended,
    /// Other objects are in it that are not deleted too, whoever made them.
    NamespaceInUse {
        /// How many are known.
        objects: usize,
        /// One of them.
        first: ObjectRef,
    },
    /// There are instances of it that are not deleted too, whoever made them.
    DefinitionInUse {
        /// How many are known.
        objects: usize,
        /// One of them.
        first: ObjectRef,
    },
    /// It is not known what is in it, or which instances of it there are.
    Unexplored {
        /// Why it could not be read; absent: nobody looked yet.
        reason: Option<String>,
    },
    /// Too many deletions at once: they wait for approval.
    Fuse,
}

impl Withheld {
    /// Tells whether the object is forgotten here because another record holds it.
    pub fn holder(&self) -> Option<&str> {
        match self {
            Withheld::Moved { to: service } | Withheld::HeldTwice { with: service } => Some(service),
            _ => None,
        }
    }

    /// Tells whether the deletion is to be tried again later, because time, a fix or an approval may allow it. The others are decisions:
    /// the service is settled with the object as a left-over.
    pub fn is_pending(&self) -> bool {
        self.waits_for_approval()
            || matches!(
                self,
                Withheld::Unproven { .. }
                    | Withheld::Unseen
                    | Withheld::MayCome
                    | Withheld::Suspended
                    | Withheld::Unexplored { .. }
            )
    }

    /// Tells whether an approval lets it through.
    pub fn waits_for_approval(&self) -> bool {
        matches!(self, Withheld::Fuse | Withheld::Protected { .. })
    }
}

/// Why nothing is done for a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// Its manifests are not to be followed.
    Refused {
        /// Why.
        reason: String,
    },
    /// Its record cannot be read.
    Unreadable {
        /// Why.
        reason: String,
    },
    /// An object that it wants belongs to another tool.
    Foreign {
        /// The object.
        object: ObjectRef,
        /// The tool.
        owner: Owner,
    },
    /// It cannot be told whether an object that it wants is there, and whose it is.
    Unread {
        /// The object.
        object: ObjectRef,
        /// Why.
        reason: String,
    },
    /// It depends on a service that the index does not have.
    UnknownDependency {
        /// The service.
        service: String,
    },
    /// It would wait for itself.
    DependencyCycle {
        /// The way around.
        way: Vec<String>,
    },
    /// A service that must be ready before failed, and is not tried in this plan.
    Blocked {
        /// The service.
        by: String,
    },
    /// A service that must be ready before is suspended, and is not where the index wants it.
    BehindSuspended {
        /// The service.
        by: String,
    },
}

impl Plan {
    /// Returns the hash over everything in the plan.
    pub fn id(&self) -> Hash {
        Hash::of(&serde_json::to_vec(self).expect("every key of a plan is a string"))
    }

    /// Returns all objects to apply, with their services.
    pub fn applies(&self) -> impl Iterator<Item = (&String, &PlannedApply)> {
        self.services.iter().flat_map(|(name, service)| service.applies().map(move |apply| (name, apply)))
    }

    /// Returns the objects that would be created, as far as is known: whether they are there, and whose, must be seen before. Services that wait
    /// for what is not going to be ready create nothing but namespaces and definitions.
    pub fn newcomers(&self, live: &Live) -> BTreeSet<ObjectRef> {
        let stuck = self.stuck();
        let creates = |apply: &PlannedApply| apply.uid.is_none() && !matches!(apply.reason, Reason::Terminating { .. });
        let unseen = |id: &ObjectRef| matches!(live.presence(id), Presence::Unknown | Presence::Unowned);
        let comes = |name: &String, apply: &PlannedApply| {
            let in_turn = !stuck.contains(name) || stage_of(&GroupKind::of(&apply.id)) == FOUNDATIONS;
            in_turn && creates(apply) && unseen(&apply.id)
        };
        self.applies().filter(|(name, apply)| comes(name, apply)).map(|(_, apply)| apply.id.clone()).collect()
    }

    /// Returns the services that have a problem, and those that wait for one of them.
    fn stuck(&self) -> BTreeSet<&String> {
        let mut stuck: BTreeSet<&String> =
            self.services.iter().filter(|(_, service)| service.problem.is_some()).map(|(name, _)| name).collect();
        loop {
            let below = |wave: i32| stuck.iter().any(|name| self.services[*name].wave < wave);
            let waits = |service: &ServicePlan| {
                service.after.iter().any(|other| stuck.contains(other))
                    || service.content.is_some() && below(service.wave)
            };
            let more: Vec<&String> = self
                .services
                .iter()
                .filter(|(name, service)| !stuck.contains(name) && waits(service))
                .map(|(name, _)| name)
                .collect();
            if more.is_empty() {
                return stuck;
            }
            stuck.extend(more);
        }
    }

    /// Tells whether it would change nothing, as far as is known: what is applied only because everything is, is as it should be.
    pub fn is_idle(&self) -> bool {
        let is_idle = |service: &ServicePlan| {
            service.problem.is_none()
                && service.applies().all(|apply| apply.reason == Reason::FullSync)
                && service.deletes.is_empty()
                && service.gone.is_empty()
                && !service.withheld.iter().any(|kept| kept.withheld.is_pending())
        };
        self.services.values().all(is_idle)
    }

    /// Returns all objects to delete, with their services.
    pub fn deletes(&self) -> impl Iterator<Item = (&String, &PlannedDelete)> {
        self.services.iter().flat_map(|(name, service)| service.all_deletes().map(move |delete| (name, delete)))
    }
}

impl ServicePlan {
    /// Returns all objects to apply, in order.
    pub fn applies(&self) -> impl Iterator<Item = &PlannedApply> {
        self.stages.iter().flat_map(|stage| &stage.applies)
    }

    /// Returns all objects to delete, in order.
    pub fn all_deletes(&self) -> impl Iterator<Item = &PlannedDelete> {
        self.deletes.iter().flat_map(|stage| &stage.deletes)
    }

    /// Returns the namespaces and definitions whose readiness this service tells to those that need them.
    pub fn foundations(&self) -> BTreeSet<&ObjectRef> {
        let is_foundation = |id: &&ObjectRef| stage_of(&GroupKind::of(id)) == FOUNDATIONS;
        self.applies().map(|apply| &apply.id).chain(&self.wait).filter(is_foundation).collect()
    }
}

/// Returns what to do for the services of `selection.act`.
///
/// `desired` must hold the content of `selection.load`, `live` the [`candidates`] one by one: what is missing is withheld, never guessed.
pub fn plan(desired: &Desired, state: &State, live: &Live, selection: &Selection, policy: &Policy) -> Plan {
    let scene = Scene::new(desired, state, live, selection, policy);
    let mut services: BTreeMap<String, ServicePlan> =
        selection.act.iter().map(|name| (name.clone(), scene.service(name))).collect();
    scene.order(&mut services);
    prune::protect_contents(&scene, &mut services);
    let held = prune::consent(&scene, &mut services);
    // What stays for want of an approval keeps what it is in.
    prune::protect_contents(&scene, &mut services);
    let source = &desired.source;
    Plan {
        environment: source.index.environment.clone(),
        revision: source.revision.clone(),
        index: source.root,
        trigger: policy.trigger,
        services,
        held,
        suspended: policy.suspended.clone(),
        orphans: scene.orphans(),
    }
}

/// The world, with what is looked up in it again and again.
struct Scene<'a> {
    desired: &'a Desired,
    state: &'a State,
    live: &'a Live,
    selection: &'a Selection,
    policy: &'a Policy,
    environment: &'a str,
    /// Which service wants an object, of those that are decided about.
    wanted_by: BTreeMap<&'a ObjectRef, &'a str>,
    /// Which services have recorded an object, of those that are decided about.
    held_by: BTreeMap<&'a ObjectRef, Vec<&'a str>>,
    /// The first service of the index of which it is not known what it wants.
    unproven: Option<&'a str>,
}

impl<'a> Scene<'a> {
    fn new(
        desired: &'a Desired,
        state: &'a State,
        live: &'a Live,
        selection: &'a Selection,
        policy: &'a Policy,
    ) -> Self {
        // Of an environment of many services, few are planned for: what concerns the others alone is not gathered.
        let held = selection.act.iter().filter_map(|name| state.record(name)).flat_map(|record| record.held.keys());
        let wanted = desired.services.keys().filter_map(|name| desired.claims(name, state)).flatten();
        let concerned: Sought<'_> = live.owned.keys().chain(held).chain(wanted).collect();
        let mut wanted_by = BTreeMap::new();
        let mut held_by: BTreeMap<&ObjectRef, Vec<&str>> = BTreeMap::new();
        let mut unproven = None;
        for (service, entry, reading) in state.beside(&desired.source.index) {
            match entry.map(|entry| desired.claims_by(service, entry, reading)) {
                Some(Some(ids)) => {
                    let ids = ids.filter(|id| concerned.contains(id));
                    wanted_by.extend(ids.map(|id| (id, service.as_str())));
                }
                Some(None) => unproven = unproven.or(Some(service.as_str())),
                None => {}
            }
            let held = reading.and_then(Reading::record).into_iter().flat_map(|record| record.held.keys());
            held.filter(|id| concerned.contains(id)).for_each(|id| held_by.entry(id).or_default().push(service));
        }
        let environment = &desired.source.index.environment;
        Scene { desired, state, live, selection, policy, environment, wanted_by, held_by, unproven }
    }

    /// Returns every object that some service has recorded or wants.
    fn known(&self) -> BTreeSet<&'a ObjectRef> {
        let recorded = self.state.records().flat_map(|(_, record)| record.held.keys());
        recorded.chain(self.desired.all_claims(self.state).filter_map(|(_, claims)| claims).flatten()).collect()
    }

    /// Returns how many objects are recorded.
    fn held(&self) -> usize {
        self.state.records().flat_map(|(_, record)| record.held.keys()).collect::<BTreeSet<_>>().len()
    }

    fn is_full(&self) -> bool {
        self.policy.trigger == Trigger::Full
    }

    /// Plans one service, without regard to the others' order.
    fn service(&self, name: &'a str) -> ServicePlan {
        let entry = self.desired.source.index.services.get(name);
        let sync = entry.map(|entry| entry.sync.clone()).unwrap_or_default();
        let mut plan = ServicePlan {
            content: entry.map(|entry| entry.content),
            version: entry.map(|entry| entry.version.clone()),
            wave: sync.wave,
            timeout_seconds: sync.timeout_seconds,
            ..ServicePlan::default()
        };
        plan.problem = self.problem(name, &sync).or_else(|| self.foreign(name));
        if plan.problem.is_some() {
            return plan;
        }
        let nothing = Record::default();
        let record = self.state.record(name).unwrap_or(&nothing);
        if let Some(Content::Objects(objects)) = self.desired.services.get(name) {
            self.want(name, record, objects, &mut plan);
        }
        prune::release(self, name, record, &mut plan);
        plan
    }

    /// Tells why nothing can be done for a service, apart from cycles.
    fn problem(&self, name: &str, sync: &Sync) -> Option<Problem> {
        if let Some(Reading::Unreadable { reason }) = self.state.services.get(name) {
            return Some(Problem::Unreadable { reason: reason.clone() });
        }
        let services = &self.desired.source.index.services;
        services.get(name)?;
        match self.desired.services.get(name) {
            Some(Content::Objects(_)) => {}
            Some(Content::Refused { reason, .. }) => return Some(Problem::Refused { reason: reason.clone() }),
            None => return Some(Problem::Refused { reason: "its manifests were not read".to_owned() }),
        }
        if let Some(service) = sync.depends_on.iter().find(|service| !services.contains_key(*service)) {
            return Some(Problem::UnknownDependency { service: service.clone() });
        }
        let is_before = |other: &String| {
            sync.depends_on.contains(other) || services.get(other).is_some_and(|entry| entry.sync.wave < sync.wave)
        };
        let continues =
            |other: &&String| services.get(*other).is_some_and(|entry| entry.sync.on_failure == OnFailure::Continue);
        let resting = self.selection.resting.iter().filter(|other| !continues(other)).find(|other| is_before(other));
        // Nothing new stands on what was rolled back.
        let content = services.get(name).map(|entry| &entry.content);
        let settled = self.state.record(name).is_some_and(|record| record.is_settled(content));
        let kept =
            self.desired.source.kept.keys().filter(|other| !settled && *other != name).find(|other| is_before(other));
        let left = self.selection.suspended.iter().filter(|other| !settled && !continues(other));
        if let Some(by) = left.clone().find(|other| is_before(other)) {
            return Some(Problem::BehindSuspended { by: by.clone() });
        }
        Some(Problem::Blocked { by: resting.or(kept)?.clone() })
    }

    /// Tells which object is not the service's to apply, as far as is known.
    fn foreign(&self, name: &str) -> Option<Problem> {
        let Some(Content::Objects(objects)) = self.desired.services.get(name) else { return None };
        let record = self.state.record(name);
        objects.iter().find_map(|(id, object)| {
            if let Some(reason) = self.live.unread.get(id) {
                return Some(Problem::Unread { object: id.clone(), reason: reason.clone() });
            }
            let seen = self.live.seen.get(id)?.as_ref()?;
            let held = record.and_then(|record| record.held.get(id));
            let is_recorded = held.is_some_and(|held| held.uid.as_ref() == Some(&seen.observed.uid));
            let owner = seen.owner.as_ref().filter(|_| !is_recorded)?;
            let value = object.value();
            let said = annotation(&value, adoption::ANNOTATION_ADOPT);
            let allowed = adoption::is_allowed(owner, said, &self.policy.adopt);
            (!allowed).then(|| Problem::Foreign { object: id.clone(), owner: owner.clone() })
        })
    }

    /// Plans what a service wants. If it was settled, at whatever content, all that is not applied now was ready already.
    fn want(&self, name: &'a str, record: &Record, objects: &LiteMap<ObjectRef, Object>, plan: &mut ServicePlan) {
        let settled = record.settled.is_some() && record.intent.is_none();
        let mut stages: BTreeMap<u8, Vec<PlannedApply>> = BTreeMap::new();
        for (id, object) in objects {
            // Most of what is wanted is settled: then it does not matter.
            let waits = || {
                object.is_waited_for(|wanted| {
                    readiness::is_waited_for(&GroupKind::of(id), wanted) && !is_non_blocking(wanted)
                })
            };
            match self.decide(name, id, object, record, settled) {
                Decision::Apply { reason: Reason::FullSync, .. } if self.is_suspended(name, id) => {}
                Decision::Apply { reason, uid, widen } => {
                    let api_version = object.api_version.clone();
                    if widen {
                        let widened = Widened { api_version: api_version.clone(), uid: uid.clone() };
                        plan.widen.insert(id.clone(), widened);
                    }
                    if self.is_suspended(name, id) {
                        plan.suspended.push(id.clone());
                        continue;
                    }
                    let apply = PlannedApply { id: id.clone(), api_version, hash: object.hash, reason, uid };
                    stages.entry(stage_of(&GroupKind::of(id))).or_default().push(apply);
                    plan.wait.extend(waits().then(|| id.clone()));
                    continue;
                }
                Decision::Nothing => {}
            }
            plan.unchanged += 1;
            plan.wait.extend((!settled && !self.is_suspended(name, id) && waits()).then(|| id.clone()));
        }
        plan.wait.shrink_to_fit();
        let stage = |(stage, mut applies): (u8, Vec<PlannedApply>)| {
            applies.shrink_to_fit();
            ApplyStage { stage, applies }
        };
        plan.stages = stages.into_iter().map(stage).collect();
        plan.stages.shrink_to_fit();
    }

    /// Decides about one object that a service wants.
    fn decide(&self, service: &'a str, id: &ObjectRef, object: &Object, record: &Record, settled: bool) -> Decision {
        let held = record.held.get(id);
        let from = self.other_holder(service, id);
        match (self.live.presence(id), held) {
            (Presence::Present(live), _) if live.terminating => {
                Decision::Apply { reason: Reason::Terminating { uid: live.uid.clone() }, uid: None, widen: true }
            }
            (Presence::Present(live), Some(held)) => self.decide_held(service, id, object, held, live),
            (Presence::Present(live), None) => {
                let reason = match from {
                    Some((from, _)) => Reason::Moved { from: from.to_owned() },
                    None if !self.is_ours(live) => self.adopted(id),
                    None => Reason::Unrecorded,
                };
                Decision::Apply { reason, uid: Some(live.uid.clone()), widen: true }
            }
            (Presence::Absent | Presence::Unowned, Some(held)) => {
                let was_settled = settled && held.leftover.is_none() && held.hash == Some(object.hash);
                if was_settled && removes_itself(id, object) {
                    return Decision::Nothing;
                }
                let never_seen = held.uid.is_none() && held.hash.is_none();
                let reason = if never_seen { Reason::Unconfirmed } else { Reason::Missing };
                // Also where it was written ahead before: a record that somebody is still narrowing, unanswered, must not be built on.
                Decision::Apply { reason, uid: None, widen: true }
            }
            (Presence::Absent | Presence::Unowned, None) => {
                let reason = from.map_or(Reason::New, |(from, _)| Reason::Moved { from: from.to_owned() });
                Decision::Apply { reason, uid: None, widen: true }
            }
            (Presence::Unknown, Some(held)) => {
                let reason = match held.hash {
                    Some(hash) if hash != object.hash => Reason::Changed,
                    Some(_) if self.is_full() => Reason::FullSync,
                    // Nobody looked after it while it was left over.
                    Some(_) if held.leftover.is_some() => Reason::Unconfirmed,
                    Some(_) => return Decision::Nothing,
                    None => Reason::Unconfirmed,
                };
                Decision::Apply { reason, uid: held.uid.clone(), widen: held.uid.is_none() }
            }
            (Presence::Unknown, None) => {
                let uid = from.and_then(|(_, held)| held.uid.clone());
                let reason = from.map_or(Reason::New, |(from, _)| Reason::Moved { from: from.to_owned() });
                Decision::Apply { reason, uid, widen: true }
            }
        }
    }

    /// Decides about an object that is wanted, recorded and there.
    fn decide_held(&self, service: &str, id: &ObjectRef, object: &Object, held: &Held, live: &Observed) -> Decision {
        let same_uid = held.uid.as_ref().is_none_or(|uid| *uid == live.uid);
        let confirmed = held.hash == Some(object.hash);
        let as_wanted = self.is_as_wanted(service, object, live);
        let reason = if !self.is_ours(live) && held.uid.as_ref() != Some(&live.uid) {
            self.adopted(id)
        } else if !same_uid {
            Reason::Recreated
        } else if !self.is_owned_by(service, live) {
            Reason::Relabelled
        } else if as_wanted && self.is_full() {
            Reason::FullSync
        } else if as_wanted && self.live.drifted.contains(id) {
            // Also where the answer to a repair was lost: the hash is not what was changed.
            Reason::Drifted
        } else if as_wanted && confirmed && held.uid.is_some() && held.leftover.is_none() {
            return Decision::Nothing;
        } else if confirmed && !as_wanted {
            Reason::LiveDiffers
        } else if held.hash.is_none() || confirmed {
            // Also if it says to be what is wanted: only an apply finds what others have made of it since.
            Reason::Unconfirmed
        } else {
            Reason::Changed
        };
        Decision::Apply { reason, uid: Some(live.uid.clone()), widen: !same_uid }
    }

    /// Tells whether an object is to be left alone although its service is not: for itself, or because a suspended service holds it too.
    fn is_suspended(&self, service: &str, id: &ObjectRef) -> bool {
        let suspended = &self.policy.suspended;
        let holders = || self.held_by.get(id).into_iter().flatten().filter(|holder| **holder != service);
        suspended.object(id).is_some() || holders().any(|holder| suspended.service(holder).is_some())
    }

    fn is_ours(&self, live: &Observed) -> bool {
        live.environment.as_deref() == Some(self.environment)
    }

    fn adopted(&self, id: &ObjectRef) -> Reason {
        let seen = self.live.seen.get(id).and_then(Option::as_ref);
        Reason::Adopted { from: seen.and_then(|seen| seen.owner.clone()) }
    }

    fn is_owned_by(&self, service: &str, live: &Observed) -> bool {
        self.is_ours(live) && live.service.as_deref() == Some(service)
    }

    fn is_as_wanted(&self, service: &str, object: &Object, live: &Observed) -> bool {
        self.is_owned_by(service, live) && live.hash.as_deref() == Some(object.hash.to_string().as_str())
    }

    /// Returns the first other service that holds an object.
    fn other_holder(&self, service: &str, id: &ObjectRef) -> Option<(&'a str, &'a Held)> {
        let other = self.held_by.get(id)?.iter().find(|other| **other != service)?;
        Some((other, self.state.record(other)?.held.get(id)?))
    }

    /// Says which service waits for which, and for which namespaces and definitions.
    fn order(&self, services: &mut BTreeMap<String, ServicePlan>) {
        let index = &self.desired.source.index.services;
        let sync = |name: &String| index.get(name).map(|entry| entry.sync.clone()).unwrap_or_default();
        let place = |sync: Sync| Place { wave: sync.wave, depends_on: sync.depends_on };
        let places =
            services.keys().filter(|name| index.contains_key(*name)).map(|name| (name.clone(), place(sync(name))));
        for (name, way) in order::cycles(&places.collect()) {
            let plan = services.get_mut(&name).expect("cycles are among the services that were given");
            let problem = plan.problem.take().unwrap_or(Problem::DependencyCycle { way });
            let (content, version, wave) = (plan.content, plan.version.take(), plan.wave);
            *plan = ServicePlan { content, version, wave, problem: Some(problem), ..ServicePlan::default() };
        }
        let names: BTreeSet<String> = services.keys().cloned().collect();
        let new = |plan: &ServicePlan| plan.applies().any(|apply| apply.reason == Reason::New);
        let newcomers: Vec<String> =
            services.iter().filter(|(_, plan)| new(plan)).map(|(name, _)| name.clone()).collect();
        // What another one has recorded too, as it was to be moved, goes like any other: after what takes its place there.
        let able: BTreeSet<String> = services
            .iter()
            .filter(|(_, plan)| plan.content.is_some() && plan.problem.is_none())
            .map(|(name, _)| name.clone())
            .collect();
        let (namespaces, definitions) = self.foundations(services);
        for (name, plan) in services.iter_mut().filter(|(_, plan)| plan.problem.is_none()) {
            plan.after = sync(name).depends_on.into_iter().filter(|other| names.contains(other)).collect();
            let holders = plan.all_deletes().filter_map(|delete| self.held_by.get(&delete.id)).flatten();
            let holders = holders.filter(|holder| **holder != name && able.contains(**holder));
            let mut after: BTreeSet<String> = holders.map(|holder| (*holder).to_owned()).collect();
            if plan.content.is_none() && !plan.deletes.is_empty() {
                after.extend(newcomers.iter().cloned());
            }
            plan.deletes_after = after.into_iter().collect();
            let gates: BTreeSet<ObjectRef> = plan
                .applies()
                .filter(|apply| stage_of(&GroupKind::of(&apply.id)) != FOUNDATIONS)
                .flat_map(|apply| [namespaces.get(&apply.id.namespace), definitions.get(&GroupKind::of(&apply.id))])
                .flatten()
                .cloned()
                .collect();
            plan.gates = gates.into_iter().collect();
        }
    }

    /// Returns the namespaces of the plan by name, and its definitions by the kind that they define.
    fn foundations(
        &self,
        services: &BTreeMap<String, ServicePlan>,
    ) -> (BTreeMap<SmolStr, ObjectRef>, BTreeMap<GroupKind, ObjectRef>) {
        let (mut namespaces, mut definitions) = (BTreeMap::new(), BTreeMap::new());
        for (name, plan) in services {
            for id in plan.foundations() {
                let object = self.desired.object(name, id);
                match object.and_then(|object| defined_kind(&object.value())) {
                    Some(kind) => definitions.insert(kind, id.clone()),
                    None => namespaces.insert(id.name.clone(), id.clone()).map(|_| id.clone()),
                };
            }
        }
        (namespaces, definitions)
    }

    /// Returns the objects that look like ours and belong to nobody. Empty where it is not known what belongs to whom.
    fn orphans(&self) -> Vec<ObjectRef> {
        let known = self.unproven.is_none()
            && self.state.services.values().all(|reading| matches!(reading, Reading::Stored(_)));
        let ours = |observed: &Observed| observed.hash.is_some() && !observed.terminating;
        let nobodys = |id: &ObjectRef| !self.held_by.contains_key(id) && !self.wanted_by.contains_key(id);
        let orphans = self.live.owned.iter().filter(|(id, observed)| known && ours(observed) && nobodys(id));
        orphans.map(|(id, _)| id.clone()).collect()
    }
}

/// What is done about an object that is wanted.
enum Decision {
    Apply { reason: Reason, uid: Option<SmolStr>, widen: bool },
    Nothing,
}

/// Tells whether the cluster deletes the object when its work is done: its absence is then no loss.
fn removes_itself(id: &ObjectRef, object: &Object) -> bool {
    let ends =
        |value: serde_json::Value| value.pointer("/spec/ttlSecondsAfterFinished").is_some_and(|ttl| !ttl.is_null());
    id.group == "batch" && id.kind == "Job" && ends(object.value())
}
