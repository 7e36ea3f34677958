//! What objects look like while they are waited for.
//!
//! One watch a kind for all services of a plan, begun when the first of them asks for it, ended with the plan. Knows nothing of
//! readiness. Invariant: an object counts as absent only after everything that exists was told.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use manifest::ObjectRef;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use crate::cluster::{Cluster, ClusterError, GroupKind, WatchEvent};

/// Longest pause before a watch that could not be begun is tried again.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// The watches of one plan.
pub(super) struct Watches {
    environment: String,
    pause: Duration,
    views: Mutex<BTreeMap<GroupKind, View>>,
    changed: watch::Sender<()>,
    ask: mpsc::UnboundedSender<GroupKind>,
    asked: tokio::sync::Mutex<mpsc::UnboundedReceiver<GroupKind>>,
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
    pub(super) fn new(environment: &str, pause: Duration) -> Self {
        let (ask, asked) = mpsc::unbounded_channel();
        Watches {
            environment: environment.to_owned(),
            pause,
            views: Mutex::default(),
            changed: watch::Sender::new(()),
            ask,
            asked: tokio::sync::Mutex::new(asked),
        }
    }

    /// Asks for a kind to be watched from now on.
    pub(super) fn ask_for(&self, kind: GroupKind) {
        if let std::collections::btree_map::Entry::Vacant(entry) = self.views().entry(kind.clone()) {
            entry.insert(View::default());
            self.ask.send(kind).expect("the receiver lives as long as the sender");
        }
    }

    /// Subscribes to changes. Subscribe first, look then.
    pub(super) fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Looks at one object of a kind that was asked for.
    pub(super) fn look<T>(&self, id: &ObjectRef, see: impl FnOnce(Sight<'_>) -> T) -> T {
        let views = self.views();
        let Some(view) = views.get(&GroupKind::of(id)) else { return see(Sight::Nothing) };
        see(match (view.objects.get(id), &view.error) {
            (Some(value), _) => Sight::Present(value),
            (None, _) if view.synchronized && view.told.is_none() => Sight::Absent,
            (None, Some(error)) => Sight::Blind(error),
            (None, None) => Sight::Nothing,
        })
    }

    /// Runs all watches that are asked for, for ever.
    pub(super) async fn drive<C: Cluster>(&self, cluster: &C) -> Infallible {
        let mut asked = self.asked.lock().await;
        let mut running = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                kind = asked.recv() => running.extend(kind.map(|kind| self.follow(cluster, kind))),
                Some(never) = running.next() => return never,
            }
        }
    }

    /// Follows one kind, for ever.
    async fn follow<C: Cluster>(&self, cluster: &C, kind: GroupKind) -> Infallible {
        let mut pause = self.pause;
        loop {
            match cluster.watch_owned(&kind, &self.environment).await {
                Err(error) => self.change(&kind, |view| view.error = Some(error)),
                Ok(mut events) => {
                    while let Some(event) = events.next().await {
                        pause = self.pause;
                        self.change(&kind, |view| view.apply(event));
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn change(&self, kind: &GroupKind, change: impl FnOnce(&mut View)) {
        self.views().get_mut(kind).map(change);
        self.changed.send_replace(());
    }

    fn views(&self) -> MutexGuard<'_, BTreeMap<GroupKind, View>> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
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
