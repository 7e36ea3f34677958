//! What objects look like while they are waited for.
//!
//! One watch a kind for all services of a plan, begun when the first of them asks for it, ended with the plan; and one for each kind around
//! their workloads: in their namespace where they have only one, else in all, for two watches of a kind are what no plan may need.
//! Knows nothing of readiness. Invariant: an object counts as absent only after everything that exists was told.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use manifest::ObjectRef;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::around::{Around, Kin};
use crate::cluster::{Cluster, ClusterError, GroupKind, WatchEvent};
use crate::readiness::pods::Evidence;

/// Longest pause before a watch that could not be begun is tried again.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// The watches of one plan.
pub(super) struct Watches {
    environment: String,
    /// The services whose objects are watched; none are named: all.
    services: Vec<String>,
    pause: Duration,
    seen: Mutex<Seen>,
    changed: watch::Sender<()>,
    ask: mpsc::UnboundedSender<Ask>,
    asked: tokio::sync::Mutex<mpsc::UnboundedReceiver<Ask>>,
}

/// What is to be watched.
enum Ask {
    Owned(GroupKind),
    Around(Kin, Option<String>),
}

/// Everything that was seen.
struct Seen {
    views: BTreeMap<GroupKind, View>,
    around: Around,
    asked: BTreeSet<Kin>,
}

/// What is known of one kind.
#[derive(Debug, Default)]
pub(super) struct View {
    objects: BTreeMap<ObjectRef, Value>,
    /// What was told since telling began anew; nothing: nothing is being told anew.
    told: Option<BTreeSet<ObjectRef>>,
    /// Whether everything was told once.
    synchronized: bool,
    /// Why the watch does not run.
    error: Option<ClusterError>,
}

/// What is known of one object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Sight<'a> {
    /// Nothing yet.
    Nothing,
    /// Nothing, because the kind cannot be watched.
    Blind(&'a ClusterError),
    /// It does not exist with our owner label.
    Absent,
    /// It looks like this.
    Present(&'a Value),
}

impl Watches {
    /// Prepares watches; `services` are those whose objects are watched, or none for all, `namespaces` those in which there are workloads to
    /// wait for.
    pub(super) fn new(environment: &str, pause: Duration, services: Vec<String>, namespaces: BTreeSet<String>) -> Self {
        let (ask, asked) = mpsc::unbounded_channel();
        let around = Around::new(namespaces);
        Watches {
            environment: environment.to_owned(),
            services,
            pause,
            seen: Mutex::new(Seen { views: BTreeMap::new(), around, asked: BTreeSet::new() }),
            changed: watch::Sender::new(()),
            ask,
            asked: tokio::sync::Mutex::new(asked),
        }
    }

    /// Asks for a kind to be watched from now on.
    pub(super) fn ask_for(&self, kind: GroupKind) {
        if let std::collections::btree_map::Entry::Vacant(entry) = self.seen().views.entry(kind.clone()) {
            entry.insert(View::default());
            self.send(Ask::Owned(kind));
        }
    }

    /// Asks for what is around workloads of a kind to be watched from now on.
    pub(super) fn ask_around(&self, kind: &GroupKind) {
        let sets = (kind.kind == "Deployment").then_some(Kin::ReplicaSet);
        let pods = (kind.kind != "Pod").then_some(Kin::Pod);
        let mut seen = self.seen();
        for kin in [sets, pods, Some(Kin::Event)].into_iter().flatten() {
            if seen.asked.insert(kin) {
                self.send(Ask::Around(kin, seen.around.namespace().map(str::to_owned)));
            }
        }
    }

    fn send(&self, ask: Ask) {
        assert!(self.ask.send(ask).is_ok(), "the receiver lives as long as the sender");
    }

    /// Subscribes to changes. Subscribe first, look then.
    pub(super) fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Looks at one object of a kind that was asked for.
    pub(super) fn look<T>(&self, id: &ObjectRef, see: impl FnOnce(Sight<'_>) -> T) -> T {
        see(self.seen().sight(id))
    }

    /// Looks at one workload of a kind that was asked for, and at what is around it.
    pub(super) fn look_around<T>(&self, id: &ObjectRef, see: impl FnOnce(&Value, &Evidence<'_>) -> T) -> Option<T> {
        let seen = self.seen();
        let Sight::Present(workload) = seen.sight(id) else { return None };
        Some(see(workload, &seen.around.evidence(&GroupKind::of(id), workload)))
    }

    /// Runs all watches that are asked for, for ever.
    pub(super) async fn drive<C: Cluster>(&self, cluster: &C) -> Infallible {
        let mut asked = self.asked.lock().await;
        let mut running = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                ask = asked.recv() => running.extend(ask.map(|ask| self.follow(cluster, ask))),
                Some(never) = running.next() => return never,
            }
        }
    }

    /// Follows one kind, for ever.
    async fn follow<C: Cluster>(&self, cluster: &C, ask: Ask) -> Infallible {
        let mut pause = self.pause;
        loop {
            let begun = match &ask {
                Ask::Owned(kind) => cluster.watch_owned(kind, &self.environment, &self.services).await,
                Ask::Around(kin, namespace) => cluster.watch_around(&kin.kind(), namespace.as_deref()).await,
            };
            match begun {
                Err(error) => self.change(&ask, Err(error)),
                Ok(mut events) => {
                    while let Some(event) = events.next().await {
                        pause = self.pause;
                        self.change(&ask, event);
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn change(&self, ask: &Ask, mut event: Result<WatchEvent, ClusterError>) {
        if let Ok(WatchEvent::Present(_, value)) = &mut event {
            slim(value);
        }
        let changed = match ask {
            Ask::Owned(kind) => {
                if let Some(view) = self.seen().views.get_mut(kind) {
                    view.apply(event);
                }
                true
            }
            // What is around is a help, not a condition: without the permission, failures come later and say less.
            Ask::Around(kin, _) => self.seen().around.apply(*kin, event),
        };
        if changed {
            self.changed.send_replace(());
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn sight(&self, id: &ObjectRef) -> Sight<'_> {
        let Some(view) = self.views.get(&GroupKind::of(id)) else { return Sight::Nothing };
        match (view.objects.get(id), &view.error) {
            (Some(value), _) => Sight::Present(value),
            (None, _) if view.synchronized && view.told.is_none() => Sight::Absent,
            (None, Some(error)) => Sight::Blind(error),
            (None, None) => Sight::Nothing,
        }
    }
}

impl View {
    fn apply(&mut self, event: Result<WatchEvent, ClusterError>) {
        match event {
            Err(error) => {
                self.error = Some(error);
                return;
            }
            Ok(WatchEvent::Restarted) => self.told = Some(BTreeSet::new()),
            Ok(WatchEvent::Present(id, value)) => {
                if let Some(told) = &mut self.told {
                    told.insert(id.clone());
                }
                self.objects.insert(id, value);
            }
            Ok(WatchEvent::Absent(id)) => {
                self.objects.remove(&id);
            }
            Ok(WatchEvent::Synchronized) => {
                if let Some(told) = self.told.take() {
                    self.objects.retain(|id, _| told.contains(id));
                }
                self.synchronized = true;
            }
        }
        self.error = None;
    }
}

/// Takes out what nobody asks about while an object is waited for, which is most of it: who set what, unless something keeps it from going;
/// and what its pods are made from.
fn slim(value: &mut Value) {
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut)
        && !metadata.contains_key("finalizers")
    {
        metadata.remove("managedFields");
    }
    if let Some(spec) = value.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("template");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_not_told_again_after_a_break_is_gone() {
        let id = |name: &str| ObjectRef {
            group: String::new(),
            kind: "Pod".to_owned(),
            namespace: "n".to_owned(),
            name: name.to_owned(),
        };
        let mut view = View::default();
        let mut apply = |event| {
            view.apply(Ok(event));
            (view.objects.keys().map(|id| id.name.clone()).collect::<Vec<_>>(), view.synchronized)
        };
        apply(WatchEvent::Restarted);
        assert_eq!(apply(WatchEvent::Present(id("a"), json!(1))), (vec!["a".to_owned()], false));
        assert_eq!(apply(WatchEvent::Synchronized), (vec!["a".to_owned()], true));
        apply(WatchEvent::Present(id("b"), json!(1)));
        apply(WatchEvent::Restarted);
        assert_eq!(apply(WatchEvent::Present(id("b"), json!(2))).0, ["a", "b"]);
        assert_eq!(apply(WatchEvent::Synchronized).0, ["b"]);
        assert_eq!(apply(WatchEvent::Absent(id("b"))).0, Vec::<String>::new());
    }
}
