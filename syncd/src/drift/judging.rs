//! What an event of a watch means: our own echo, somebody's change of what is ours, or nothing.
//!
//! Pure bookkeeping over metadata. Our fields, by the server's account, are compared with those of the last event that was our own: that
//! one is known by its entry's time. What was not watched all the while (the start, a broken watch) is judged by whether anybody wrote
//! after us. Invariants: a change of fields that are not ours is nothing; an object that is not recorded is not judged.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use manifest::ObjectRef;
use manifest::index::DriftPolicy;
use serde_json::Value;
use smol_str::SmolStr;
use tokio::time::Instant;

use super::Drifted;
use super::fights::History;
use crate::cluster::{GroupKind, Observed, WatchEvent};
use crate::live::observed;
use crate::ownership::{Entry, Field, REPLICAS, entries, ignored};
use crate::report::{DriftAction, Event, Fight, Suspended};
use crate::state::{Acted, State};

/// Fields of one object that are named.
const FIELDS_NAMED_MAX: usize = 5;

/// What is known of all objects with our label.
pub(super) struct Tracker {
    policy: DriftPolicy,
    /// What services say themselves. Nothing: that is not known yet, and nobody acts.
    policies: Option<BTreeMap<String, DriftPolicy>>,
    /// What is left alone, whatever anybody does to it: it stays open until that is over.
    suspended: Suspended,
    recorded: BTreeMap<ObjectRef, SmolStr>,
    /// The kinds of these that are watched.
    kinds: BTreeSet<GroupKind>,
    objects: BTreeMap<ObjectRef, Known>,
    /// What was told since telling began anew, of kinds of which it has not ended.
    told: BTreeMap<GroupKind, BTreeSet<ObjectRef>>,
    open: BTreeMap<ObjectRef, Open>,
    /// Objects that the present cycle corrects.
    correcting: BTreeSet<ObjectRef>,
    histories: BTreeMap<ObjectRef, History>,
    /// What the fights are about.
    rivals: BTreeMap<ObjectRef, Fight>,
    /// Services that are being changed.
    under_way: BTreeSet<String>,
    /// Objects that the present cycle applied.
    wanted: BTreeSet<ObjectRef>,
    news: Vec<Event>,
    fights: Vec<Fight>,
}

/// What is known of one object.
struct Known {
    observed: Observed,
    /// Time of our entry.
    time: SmolStr,
    /// Our fields, and those after our last write; sorted.
    fields: Arc<[u64]>,
    baseline: Arc<[u64]>,
}

/// Drift that nobody has corrected yet.
struct Open {
    /// When it is to be corrected, if it is to be.
    due: Instant,
    finding: Finding,
}

/// What is wrong with an object.
#[derive(Debug, Clone, Default, PartialEq)]
struct Finding {
    what: What,
    /// The fields as [`Field::key`]s, and some of them for people.
    keys: Vec<u64>,
    names: Vec<String>,
    rival: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum What {
    #[default]
    Changed,
    /// Somebody wrote after us while nobody watched.
    Suspect,
    /// It is not there with our label.
    Gone,
}

/// Stands for the object as a whole among [`Finding::keys`].
const WHOLE: u64 = 0;

/// Tells whether an object is of a kind, without a copy of its words.
fn is_of(id: &ObjectRef, kind: &GroupKind) -> bool {
    id.kind == kind.kind && id.group == kind.group
}

impl Tracker {
    pub(super) fn new(policy: DriftPolicy) -> Self {
        Tracker {
            policy,
            policies: None,
            suspended: Suspended::default(),
            recorded: BTreeMap::new(),
            kinds: BTreeSet::new(),
            objects: BTreeMap::new(),
            told: BTreeMap::new(),
            open: BTreeMap::new(),
            correcting: BTreeSet::new(),
            histories: BTreeMap::new(),
            rivals: BTreeMap::new(),
            under_way: BTreeSet::new(),
            wanted: BTreeSet::new(),
            news: Vec::new(),
            fights: Vec::new(),
        }
    }

    /// Takes over what a cycle left that acted for some services. Returns the kinds to watch. Without a state nothing is known, and all stays as
    /// it is.
    pub(super) fn cycle_ended(&mut self, state: Option<&State>, acted: &Acted) -> Option<BTreeSet<GroupKind>> {
        self.under_way.clear();
        for id in std::mem::take(&mut self.correcting) {
            // Whatever came of it: if it failed, the cycle remembers.
            if let Some(known) = self.objects.get_mut(&id) {
                known.baseline = Arc::clone(&known.fields);
            }
        }
        self.wanted.clear();
        state.map(|state| self.recorded_of(acted, state))
    }

    /// Takes over what some services have recorded now. Of many services few change, and the others are not copied anew; but for what was let
    /// go, which another one may have recorded too.
    fn recorded_of(&mut self, acted: &Acted, state: &State) -> BTreeSet<GroupKind> {
        if acted.let_go {
            return self.recorded(state.objects());
        }
        let mut moved = false;
        for (id, service) in state.objects_of(&acted.services) {
            if self.policy_of_service(&service) != DriftPolicy::Ignore {
                self.kinds.insert(GroupKind::of(&id));
            }
            match self.recorded.entry(id) {
                btree_map::Entry::Vacant(new) => drop(new.insert(service)),
                btree_map::Entry::Occupied(mut last) if *last.get() < service => {
                    last.insert(service);
                    moved = true;
                }
                btree_map::Entry::Occupied(_) => {}
            }
        }
        debug_assert_eq!(self.recorded, state.objects(), "as if all were copied anew");
        if moved {
            return self.watched();
        }
        debug_assert_eq!(self.kinds, self.kinds(), "where nothing was let go, kinds only come");
        self.kinds.clone()
    }

    /// Notes that a cycle found nothing to do: what is recorded is what it was. What was told of others since, our own records above all, is
    /// not to be looked through at every turn.
    pub(super) fn cycle_rested(&mut self) {
        self.cycle_ended(None, &Acted::default());
        self.open.retain(|id, _| self.recorded.contains_key(id));
    }

    /// Takes over what is recorded. Returns the kinds to watch.
    pub(super) fn recorded(&mut self, objects: BTreeMap<ObjectRef, SmolStr>) -> BTreeSet<GroupKind> {
        self.recorded = objects;
        self.open.retain(|id, _| self.recorded.contains_key(id));
        self.watched()
    }

    /// Takes over what services say themselves. Returns the kinds to watch, if that may be others than before.
    pub(super) fn policies(&mut self, policies: BTreeMap<String, DriftPolicy>) -> Option<BTreeSet<GroupKind>> {
        if self.policies.as_ref() == Some(&policies) {
            return None;
        }
        self.policies = Some(policies);
        Some(self.watched())
    }

    /// Takes over what is left alone.
    pub(super) fn suspended(&mut self, suspended: Suspended) {
        self.suspended = suspended;
    }

    fn watched(&mut self) -> BTreeSet<GroupKind> {
        self.kinds = self.kinds();
        self.objects.retain(|id, _| self.kinds.iter().any(|kind| is_of(id, kind)));
        self.kinds.clone()
    }

    fn kinds(&self) -> BTreeSet<GroupKind> {
        // Both are sorted by kind: of most objects the one before tells.
        let mut kinds: Vec<GroupKind> = Vec::new();
        for (id, service) in &self.recorded {
            let is_known = kinds.last().is_some_and(|kind| is_of(id, kind));
            if !is_known && self.policy_of_service(service) != DriftPolicy::Ignore {
                kinds.push(GroupKind::of(id));
            }
        }
        kinds.into_iter().collect()
    }

    /// Returns what is done about drift of an object. Of what is not recorded, or where that is not known yet, nothing.
    fn policy_of(&self, id: &ObjectRef) -> DriftPolicy {
        self.recorded.get(id).map_or(DriftPolicy::Ignore, |service| self.policy_of_service(service))
    }

    fn policy_of_service(&self, service: &str) -> DriftPolicy {
        let said = |policies: &BTreeMap<String, DriftPolicy>| policies.get(service).copied().unwrap_or(self.policy);
        self.policies.as_ref().map_or(DriftPolicy::Ignore, said)
    }

    /// Notes that the present cycle applied an object: it is wanted.
    pub(super) fn applied(&mut self, id: &ObjectRef) {
        self.wanted.insert(id.clone());
    }

    pub(super) fn under_way(&mut self, service: &str, begins: bool) {
        match begins {
            true => self.under_way.insert(service.to_owned()),
            false => self.under_way.remove(service),
        };
    }

    /// Takes over what a watch tells.
    pub(super) fn hear(&mut self, kind: &GroupKind, event: WatchEvent, now: Instant) {
        match event {
            WatchEvent::Restarted => drop(self.told.insert(kind.clone(), BTreeSet::new())),
            WatchEvent::Present(id, value) => {
                let unwatched = match self.told.get_mut(kind) {
                    Some(told) => told.insert(id.clone()),
                    None => false,
                };
                self.present(id, &value, unwatched, now);
            }
            WatchEvent::Absent(id) => {
                self.objects.remove(&id);
                self.gone(id, now);
            }
            WatchEvent::Synchronized => {
                let Some(told) = self.told.remove(kind) else { return };
                let missing = |id: &&ObjectRef| GroupKind::of(id) == *kind && !told.contains(id);
                let gone: Vec<ObjectRef> = self.recorded.keys().filter(missing).cloned().collect();
                self.objects.retain(|id, _| GroupKind::of(id) != *kind || told.contains(id));
                gone.into_iter().for_each(|id| self.gone(id, now));
            }
        }
    }

    fn gone(&mut self, id: ObjectRef, now: Instant) {
        let keys = vec![WHOLE];
        self.found(id, Finding { what: What::Gone, keys, ..Finding::default() }, now);
    }

    /// Judges an object. `unwatched`: it may have changed more than once since it was seen last.
    fn present(&mut self, id: ObjectRef, value: &Value, unwatched: bool, now: Instant) {
        let observed = observed(value);
        let ours = entries(value).find(|entry| entry.is_ours());
        let time = ours.map(Entry::time).unwrap_or_default().to_owned();
        let keys = ours.map(Entry::fields).unwrap_or_default();
        let mut fields: Vec<u64> = keys.iter().map(Field::key).chain(written_as_text(value, &keys)).collect();
        fields.sort_unstable();
        let fields: Arc<[u64]> = fields.into();
        let (known, terminating) = (self.objects.remove(&id), observed.terminating);
        let same = known.filter(|known| known.observed.uid == observed.uid && known.time == time);
        let is_open = self.open.get(&id).is_some_and(|open| open.finding.what == What::Suspect);
        // Only a write of ours ends a suspicion: to be seen again, whatever for, clears nobody.
        let suspect = ours.is_some() && (same.is_none() && unwatched || same.is_some() && is_open);
        let baseline = same.map_or_else(|| Arc::clone(&fields), |known| known.baseline);
        let lost: BTreeSet<u64> =
            baseline.iter().filter(|field| fields.binary_search(field).is_err()).copied().collect();
        let finding = match ours {
            _ if terminating => None,
            // Created or written by somebody who carries our label along, or our account was removed.
            None => Some(Finding { keys: vec![WHOLE], rival: last_writer(value), ..Finding::default() }),
            Some(ours) if suspect => wrote_after(value, ours),
            Some(_) if lost.is_empty() => None,
            Some(_) => taken(value, lost),
        };
        let whole = finding.is_none();
        // Only our own writes add to what is ours.
        let baseline = if whole && fields.len() > baseline.len() { Arc::clone(&fields) } else { baseline };
        self.objects.insert(id.clone(), Known { observed, time: time.into(), fields, baseline });
        match finding {
            Some(finding) => self.found(id, finding, now),
            None => {
                self.correcting.remove(&id);
                self.open.remove(&id);
            }
        }
    }

    /// Opens drift, or learns more of what is open.
    fn found(&mut self, id: ObjectRef, finding: Finding, now: Instant) {
        if self.correcting.contains(&id) {
            return;
        }
        if let Some(open) = self.open.get_mut(&id) {
            open.finding = finding;
            return;
        }
        let policy = self.policy_of(&id);
        let history = self.histories.entry(id.clone()).or_default();
        let before = history.level();
        let due = history.answer_at(now, &finding.keys);
        let (level, pause) = (history.level(), history.pause());
        if policy == DriftPolicy::Correct && level > before {
            let pause_seconds = pause.as_secs();
            let fight = Fight {
                object: id.clone(),
                service: self.recorded.get(&id).cloned().unwrap_or_default().to_string(),
                manager: finding.rival.clone(),
                fields: finding.names.clone(),
                times: level,
                pause_seconds,
            };
            self.news.push(Event::Drift {
                service: fight.service.clone(),
                object: id.clone(),
                what: finding.to_string(),
                action: DriftAction::BackedOff { pause_seconds },
            });
            self.rivals.insert(id.clone(), fight.clone());
            self.fights.push(fight);
        }
        if policy == DriftPolicy::Report && finding.what != What::Suspect {
            let service = self.recorded.get(&id).cloned().unwrap_or_default();
            let (object, what, action) = (id.clone(), finding.to_string(), DriftAction::Reported);
            self.news.extend((!service.is_empty()).then_some(Event::Drift {
                service: service.to_string(),
                object,
                what,
                action,
            }));
        }
        self.open.insert(id, Open { due, finding });
    }

    /// Returns when the next correction is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.open.iter().filter(|(id, open)| self.is_to_correct(id, open)).map(|(_, open)| open.due).min()
    }

    /// Tells whether an object is to be corrected. What is gone while its service is being changed may be our own doing, unless we applied it just before: the end of the cycle tells.
    fn is_to_correct(&self, id: &ObjectRef, open: &Open) -> bool {
        let service = self.recorded.get(id).filter(|_| self.policy_of(id) == DriftPolicy::Correct);
        let may_be_ours = |service: &SmolStr| self.under_way.contains(service.as_str()) && !self.wanted.contains(id);
        let is_left =
            |service: &SmolStr| self.suspended.service(service).is_some() || self.suspended.object(id).is_some();
        service.is_some_and(|service| !is_left(service) && (open.finding.what != What::Gone || !may_be_ours(service)))
    }

    /// Returns what is to be corrected now.
    pub(super) fn take(&mut self, now: Instant) -> BTreeMap<ObjectRef, Drifted> {
        let is_due = |(id, open): &(&ObjectRef, &Open)| self.is_to_correct(id, open) && open.due <= now;
        let due: Vec<ObjectRef> = self.open.iter().filter(is_due).map(|(id, _)| id.clone()).collect();
        let mut taken = BTreeMap::new();
        for id in due {
            let Some((open, service)) = self.open.remove(&id).zip(self.recorded.get(&id).cloned()) else { continue };
            self.histories.entry(id.clone()).or_default().corrected(now, &open.finding.keys);
            if open.finding.what != What::Suspect {
                let (object, what) = (id.clone(), open.finding.to_string());
                let action = DriftAction::Corrected;
                self.news.push(Event::Drift { service: service.to_string(), object, what, action });
            }
            self.correcting.insert(id.clone());
            let observed = self.objects.get(&id).map(|known| known.observed.clone());
            taken.insert(id, Drifted { service: service.to_string(), observed });
        }
        self.histories.retain(|_, history| !history.is_over(now));
        self.rivals.retain(|id, _| self.histories.contains_key(id));
        taken
    }

    /// Returns what is to be told, once.
    pub(super) fn news(&mut self) -> (Vec<Event>, Vec<Fight>) {
        (std::mem::take(&mut self.news), std::mem::take(&mut self.fights))
    }

    /// Returns the fights that go on.
    pub(super) fn fights(&self, now: Instant) -> Vec<Fight> {
        let goes_on = |id: &ObjectRef| self.histories.get(id).is_some_and(|history| !history.is_over(now));
        self.rivals.iter().filter(|(id, _)| goes_on(id)).map(|(_, fight)| fight.clone()).collect()
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rival = self.rival.as_deref().map(|rival| format!(" by `{rival}`")).unwrap_or_default();
        match (self.what, self.names.is_empty()) {
            (What::Gone, _) => f.write_str("it is not there with our label any more"),
            (What::Suspect, _) => write!(f, "it was written after us{rival}"),
            (What::Changed, false) => write!(f, "{} changed{rival}", self.names.join(", ")),
            (What::Changed, true) => write!(f, "fields of ours were removed{rival}"),
        }
    }
}

/// Returns stand-ins for what a Secret has of our `stringData`: the server counts nothing of `data` as ours, so it is ours as long as nobody
/// has written that key after our last write.
fn written_as_text(value: &Value, ours: &[Field<'_>]) -> Vec<u64> {
    let named = ours.iter().filter_map(|field| field.name_under("stringData"));
    let key = |name: &str| {
        let owns =
            |entry: &Entry<'_>| !entry.is_ours() && entry.fields().iter().any(|f| f.name_under("data") == Some(name));
        let written = entries(value).filter(owns).map(|entry| (entry.manager(), entry.time())).collect::<Vec<_>>();
        let mut hasher = DefaultHasher::new();
        (name, written).hash(&mut hasher);
        hasher.finish()
    };
    named.map(key).collect()
}

/// Returns who wrote the object last, apart from us and from its status.
fn last_writer(value: &Value) -> Option<String> {
    let others = entries(value).filter(|entry| !entry.is_ours() && !entry.is_status());
    others.max_by_key(|entry| entry.time()).map(Entry::manager)
}

/// Tells whether somebody wrote after us, or in the same second.
fn wrote_after(value: &Value, ours: Entry<'_>) -> Option<Finding> {
    let others = entries(value).filter(|entry| !entry.is_ours() && !entry.is_status() && !entry.is_autoscaler());
    let later = others.filter(|entry| entry.time() >= ours.time()).max_by_key(|entry| entry.time())?;
    let rival = Some(later.manager());
    Some(Finding { what: What::Suspect, keys: vec![WHOLE], rival, ..Finding::default() })
}

/// Says who took our fields, but for those that others may own.
fn taken(value: &Value, mut lost: BTreeSet<u64>) -> Option<Finding> {
    let pointers = ignored(value);
    let mut finding = Finding::default();
    for entry in entries(value).filter(|entry| !entry.is_ours()) {
        for field in entry.fields() {
            if !lost.contains(&field.key()) {
                continue;
            }
            let autoscaled = entry.is_autoscaler() && field.is_under(REPLICAS);
            if autoscaled || pointers.iter().any(|pointer| field.is_under(pointer)) {
                lost.remove(&field.key());
                continue;
            }
            if finding.names.len() < FIELDS_NAMED_MAX {
                finding.names.push(field.name());
            }
            finding.rival.get_or_insert_with(|| entry.manager());
        }
    }
    finding.keys = lost.into_iter().collect();
    finding.rival = finding.rival.or_else(|| last_writer(value));
    (!finding.keys.is_empty()).then_some(finding)
}
