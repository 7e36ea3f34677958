//! What objects look like while they are waited for.
//!
//! One watch a kind for all services of a plan, begun when the first of them asks for it, ended with the plan; and one for each kind around
//! their workloads: in their namespace where they have only one, else in all, for two watches of a kind are what no plan may need.
//! How far an object is, is found out once, when it is told, and the rest kept as text: thousands are waited for at a time, and few are
//! asked why. Invariants: an object counts as absent only after everything that exists was told; who waits is woken by what it waits for and by
//! nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use manifest::ObjectRef;
use serde_json::Value;
use smol_str::SmolStr;
use tokio::sync::{Notify, mpsc};

use super::around::{Around, Kin};
use super::turns::Turns;
use crate::cluster::{Cluster, ClusterError, GroupKind, WatchEvent};
use crate::live::observed;
use crate::readiness::pods::{Evidence, runs_pods};
use crate::readiness::{Readiness, readiness};
use crate::rules::Rules;

/// Longest pause before a watch that could not be begun is tried again.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// The watches of one plan.
pub(super) struct Watches<'a> {
    environment: String,
    rules: &'a Rules,
    /// The services whose objects are watched; none are named: all.
    services: Vec<String>,
    pause: Duration,
    seen: Mutex<Seen>,
    interests: Mutex<Interests>,
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

/// Who waits for what.
#[derive(Default)]
struct Interests {
    last: u64,
    of: BTreeMap<(Topic, u64), Arc<Notify>>,
}

/// Something that may change. Objects of one kind are side by side.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Topic {
    Object(ObjectRef),
    /// What is around the workloads of a namespace.
    Around(SmolStr),
}

/// Returns what whoever waits for objects is to hear of; some of it twice.
fn topics(ids: &[ObjectRef]) -> impl Iterator<Item = Topic> {
    ids.iter().flat_map(|id| {
        let around = runs_pods(&GroupKind::of(id)).then(|| Topic::Around(id.namespace.clone()));
        around.into_iter().chain([Topic::Object(id.clone())])
    })
}

/// Wakes whoever waits when something changes that it waits for, since it subscribed or was woken last.
pub(super) struct Subscription<'a> {
    interests: &'a Mutex<Interests>,
    number: u64,
    ids: &'a [ObjectRef],
    woken: Arc<Notify>,
}

impl Subscription<'_> {
    /// Returns when something has changed.
    pub(super) async fn changed(&self) {
        self.woken.notified().await;
    }
}

impl Drop for Subscription<'_> {
    fn drop(&mut self) {
        let mut interests = self.interests.lock().unwrap_or_else(PoisonError::into_inner);
        for topic in topics(self.ids) {
            interests.of.remove(&(topic, self.number));
        }
    }
}

/// One object, as it was last told.
#[derive(Debug, PartialEq)]
pub(super) struct Told {
    pub(super) uid: SmolStr,
    pub(super) generation: i64,
    pub(super) verdict: Readiness,
    /// Nothing where nobody will ask why: it is as it should be, and nothing keeps it from going.
    text: Option<Box<str>>,
}

impl Told {
    fn new(kind: &GroupKind, value: &Value, rules: &Rules) -> Self {
        let live = observed(value);
        let verdict = readiness(kind, Some(value), rules);
        let is_plain = verdict == Readiness::Current && value.pointer("/metadata/finalizers").is_none();
        let text = (!is_plain).then(|| value.to_string().into_boxed_str());
        Told { uid: live.uid, generation: live.generation, verdict, text }
    }

    /// Returns what is kept of it. It is read anew each time.
    pub(super) fn value(&self) -> Option<Value> {
        Some(serde_json::from_str(self.text.as_ref()?).expect("it was written as JSON"))
    }
}

/// What is known of one kind.
#[derive(Debug, Default)]
pub(super) struct View {
    objects: BTreeMap<ObjectRef, Told>,
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
    Present(&'a Told),
}

impl<'a> Watches<'a> {
    /// Prepares watches; `services` are those whose objects are watched, or none for all, `namespaces` those in which there are workloads to
    /// wait for.
    pub(super) fn new(
        environment: &str,
        pause: Duration,
        rules: &'a Rules,
        services: Vec<String>,
        namespaces: BTreeSet<SmolStr>,
    ) -> Self {
        let (ask, asked) = mpsc::unbounded_channel();
        let around = Around::new(namespaces);
        Watches {
            environment: environment.to_owned(),
            rules,
            services,
            pause,
            seen: Mutex::new(Seen { views: BTreeMap::new(), around, asked: BTreeSet::new() }),
            interests: Mutex::default(),
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

    /// Subscribes to changes of objects and of what is around them. Subscribe first, look then.
    pub(super) fn subscribe<'b>(&'b self, ids: &'b [ObjectRef]) -> Subscription<'b> {
        let woken = Arc::new(Notify::new());
        let mut interests = self.interests();
        interests.last += 1;
        let number = interests.last;
        interests.of.extend(topics(ids).map(|topic| ((topic, number), Arc::clone(&woken))));
        Subscription { interests: &self.interests, number, ids, woken }
    }

    /// Wakes those who wait for one of the topics from `first` on, as long as they are alike.
    fn wake(&self, first: Topic, is_alike: impl Fn(&Topic) -> bool) {
        let interests = self.interests();
        let concerned = interests.of.range((first, 0)..).take_while(|((topic, _), _)| is_alike(topic));
        concerned.for_each(|(_, woken)| woken.notify_one());
    }

    /// Looks at one object of a kind that was asked for.
    pub(super) fn look<T>(&self, id: &ObjectRef, see: impl FnOnce(Sight<'_>) -> T) -> T {
        see(self.seen().sight(id))
    }

    /// Returns one object of a kind that was asked for, if it is seen and there is something to ask.
    pub(super) fn value(&self, id: &ObjectRef) -> Option<Value> {
        self.look(id, |sight| match sight {
            Sight::Present(told) => told.value(),
            _ => None,
        })
    }

    /// Looks at one workload of a kind that was asked for, and at what is around it.
    pub(super) fn look_around<T>(&self, id: &ObjectRef, see: impl FnOnce(&Value, &Evidence<'_>) -> T) -> Option<T> {
        let workload = self.value(id)?;
        let surroundings = self.seen().around.surroundings(&GroupKind::of(id), &workload);
        Some(see(&workload, &surroundings.evidence()))
    }

    /// Runs all watches that are asked for, for ever. While services queue for their turn to apply, none is begun, for a while: the server would
    /// tell each step of each object, and what is listed afterwards says the same once.
    pub(super) async fn drive<C: Cluster>(&self, cluster: &C, turns: &Turns) -> Infallible {
        let mut asked = self.asked.lock().await;
        let mut running = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                ask = asked.recv() => running.extend(ask.map(|ask| self.follow(cluster, turns, ask))),
                Some(never) = running.next() => return never,
            }
        }
    }

    /// Follows one kind, for ever.
    async fn follow<C: Cluster>(&self, cluster: &C, turns: &Turns, ask: Ask) -> Infallible {
        turns.end_of_queue().await;
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
                        if event.is_ok() {
                            pause = self.pause;
                        }
                        self.change(&ask, event);
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn change(&self, ask: &Ask, event: Result<WatchEvent, ClusterError>) {
        let id = match &event {
            Ok(WatchEvent::Present(id, _) | WatchEvent::Absent(id)) => Some(id.clone()),
            Ok(WatchEvent::Restarted | WatchEvent::Synchronized) | Err(_) => None,
        };
        match ask {
            Ask::Owned(kind) => {
                if let Some(view) = self.seen().views.get_mut(kind) {
                    view.apply(event, |value| Told::new(kind, value, self.rules));
                }
                let of_kind = |topic: &Topic| matches!(topic, Topic::Object(id) if GroupKind::of(id) == *kind);
                let is_whole = id.is_none();
                let first = Topic::Object(id.unwrap_or_else(|| first_of(kind)));
                self.wake(first.clone(), |topic| if is_whole { of_kind(topic) } else { *topic == first });
            }
            // What is around is a help, not a condition: without the permission, failures come later and say less.
            Ask::Around(kin, _) => {
                if self.seen().around.apply(*kin, event) {
                    let namespace = id.map(|id| id.namespace);
                    let first = Topic::Around(namespace.clone().unwrap_or_default());
                    self.wake(first.clone(), |topic| namespace.is_none() || *topic == first);
                }
            }
        }
    }

    fn interests(&self) -> MutexGuard<'_, Interests> {
        self.interests.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn apply(&mut self, event: Result<WatchEvent, ClusterError>, told: impl Fn(&Value) -> Told) {
        match event {
            Err(error) => {
                self.error = Some(error);
                return;
            }
            Ok(WatchEvent::Restarted) => self.told = Some(BTreeSet::new()),
            Ok(WatchEvent::Present(id, mut value)) => {
                if let Some(told) = &mut self.told {
                    told.insert(id.clone());
                }
                slim(&mut value);
                self.objects.insert(id, told(&value));
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

/// Returns what comes before all objects of a kind.
fn first_of(kind: &GroupKind) -> ObjectRef {
    ObjectRef { group: kind.group.clone(), kind: kind.kind.clone(), namespace: "".into(), name: "".into() }
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
        let id =
            |name: &str| ObjectRef { group: "".into(), kind: "Pod".into(), namespace: "n".into(), name: name.into() };
        let mut view = View::default();
        let mut apply = |event| {
            view.apply(Ok(event), |value| Told::new(&GroupKind::new("", "Pod"), value, &Rules::default()));
            (view.objects.keys().map(|id| id.name.clone()).collect::<Vec<_>>(), view.synchronized)
        };
        apply(WatchEvent::Restarted);
        assert_eq!(apply(WatchEvent::Present(id("a"), json!(1))), (vec!["a".into()], false));
        assert_eq!(apply(WatchEvent::Synchronized), (vec!["a".into()], true));
        apply(WatchEvent::Present(id("b"), json!(1)));
        apply(WatchEvent::Restarted);
        assert_eq!(apply(WatchEvent::Present(id("b"), json!(2))).0, ["a", "b"]);
        assert_eq!(apply(WatchEvent::Synchronized).0, ["b"]);
        assert_eq!(apply(WatchEvent::Absent(id("b"))).0, Vec::<String>::new());
    }
}
