//! Whether somebody else changed what is ours, while nothing new is wanted.
//!
//! [`Drift`] is what a process knows of it: metadata watches of all recorded kinds tell it what happens ([`watching`]), [`judging`] decides
//! what an event means, [`fights`] how fast to answer. What comes of it is an ordinary cycle over the objects that [`Drift::take`] names,
//! with the revision in force: nothing is written here. Knows no plan. Invariants: our own writes are never drift; what is drift is told
//! again until a cycle has taken it; who keeps changing an object back is answered less and less often, and named.

mod fights;
mod judging;
pub mod watching;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use manifest::ObjectRef;
use manifest::index::DriftPolicy;
use smol_str::SmolStr;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use crate::cluster::{GroupKind, Observed, WatchEvent};
use crate::report::{Event, Fight, Observer, Suspended};
use crate::state::{Acted, State};
use judging::Tracker;

/// An object that is not as it was applied any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drifted {
    /// The service.
    pub service: String,
    /// What was seen of it last. Nothing: it is not there with our label.
    pub observed: Option<Observed>,
}

/// What one process knows of drift.
pub struct Drift {
    policy: DriftPolicy,
    observer: Arc<dyn Observer>,
    tracker: Mutex<Tracker>,
    changed: Notify,
    wanted: watch::Sender<BTreeSet<GroupKind>>,
}

impl Drift {
    /// Knows nothing yet. `policy` is for services that say nothing themselves.
    pub fn new(policy: DriftPolicy, observer: Arc<dyn Observer>) -> Self {
        Drift {
            policy,
            observer,
            tracker: Mutex::new(Tracker::new(policy)),
            changed: Notify::new(),
            wanted: watch::Sender::new(BTreeSet::new()),
        }
    }

    /// Forgets everything: another process may have written meanwhile. The watches begin anew with the next records.
    pub fn forget(&self) {
        *self.tracker() = Tracker::new(self.policy);
        self.wanted.send_replace(BTreeSet::new());
    }

    /// Takes over what a cycle has left that acted for some services: what is recorded now is what is watched.
    pub fn cycle_ended(&self, state: Option<&State>, acted: &Acted) {
        let kinds = self.tracker().cycle_ended(state, acted);
        kinds.into_iter().for_each(|kinds| self.watch(kinds));
    }

    /// Notes that a cycle has ended that found nothing to do and learned nothing.
    pub fn cycle_rested(&self) {
        self.tracker().cycle_rested();
    }

    fn watch(&self, kinds: BTreeSet<GroupKind>) {
        self.wanted.send_if_modified(|wanted| {
            let differs = *wanted != kinds;
            *wanted = kinds;
            differs
        });
        self.changed.notify_one();
    }

    /// Takes over what a watch tells. Returns the fights that it began or went on with.
    fn hear(&self, kind: &GroupKind, event: WatchEvent) -> Vec<Fight> {
        let (news, fights) = {
            let mut tracker = self.tracker();
            tracker.hear(kind, event, Instant::now());
            tracker.news()
        };
        news.iter().for_each(|event| self.observer.observe(event));
        self.changed.notify_one();
        fights
    }

    /// Waits until something is to be corrected.
    pub async fn due(&self) {
        loop {
            let due = self.tracker().due();
            match due {
                Some(due) if due <= Instant::now() => return,
                Some(due) => tokio::select! {
                    biased;
                    () = sleep_until(due) => {}
                    () = self.changed.notified() => {}
                },
                None => self.changed.notified().await,
            }
        }
    }

    /// Tells whether something is to be corrected now.
    pub fn is_due(&self) -> bool {
        self.tracker().due().is_some_and(|due| due <= Instant::now())
    }

    /// Returns what is to be corrected now; a cycle does it.
    pub fn take(&self) -> BTreeMap<ObjectRef, Drifted> {
        let (taken, (news, _)) = {
            let mut tracker = self.tracker();
            (tracker.take(Instant::now()), tracker.news())
        };
        news.iter().for_each(|event| self.observer.observe(event));
        taken
    }

    /// Returns the fights that go on.
    pub fn fights(&self) -> Vec<Fight> {
        self.tracker().fights(Instant::now())
    }

    /// Returns an observer that lets drift know which services are being changed, and passes everything on.
    pub fn listening(&self) -> impl Observer + '_ {
        Listening(self)
    }

    fn tracker(&self) -> MutexGuard<'_, Tracker> {
        self.tracker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Listening<'a>(&'a Drift);

impl Observer for Listening<'_> {
    fn observe(&self, event: &Event) {
        match event {
            Event::ServiceStarted { service } => self.0.tracker().under_way(service, true),
            Event::Object { object, .. } if object.outcome.is_applied() => self.0.tracker().applied(&object.object),
            Event::ServiceFinished { service, .. } => self.0.tracker().under_way(service, false),
            _ => {}
        }
        self.0.observer.observe(event);
    }

    fn recorded(&self, objects: BTreeMap<ObjectRef, SmolStr>) {
        let kinds = self.0.tracker().recorded(objects);
        self.0.watch(kinds);
    }

    fn drift_policies(&self, policies: BTreeMap<String, DriftPolicy>) {
        let kinds = self.0.tracker().policies(policies);
        kinds.into_iter().for_each(|kinds| self.0.watch(kinds));
    }

    fn suspended(&self, suspended: &Suspended) {
        self.0.tracker().suspended(suspended.clone());
        self.0.changed.notify_one();
    }
}
