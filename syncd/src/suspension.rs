//! What people want left alone: one ConfigMap beside the state, written by `syncd suspend` and `syncd resume`, read by the daemon.
//!
//! [`Record`] is its text, [`Heard`] what a process knows of it: one watch tells each change as it comes, and what no watch vouches for is asked
//! for. Knows no plan. Invariants: what cannot be read suspends everything, for it is an error and never an empty one; the daemon never
//! writes it; what is over by its own time is in force no longer, whoever removes it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use manifest::ObjectRef;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Notify;

use crate::cluster::{Cluster, ClusterError, StateObject, WatchEvent};
use crate::report::{Suspended, SuspendedScope, Suspension};

/// The format that this version reads and writes.
pub const FORMAT: u32 = 1;
/// Where its text is.
pub const KEY: &str = "suspended.json";
/// Characters of a reason.
pub const REASON_CHARS_MAX: usize = 500;
/// Suspensions of one environment. Who needs more wants to suspend the environment.
pub const SUSPENSIONS_MAX: usize = 200;

/// First and longest pause before the watch is begun again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(60));

/// What people want left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Always [`FORMAT`].
    pub format: u32,
    /// The environment.
    pub environment: String,
    /// In the order in which they were made; of each thing at most one.
    pub suspensions: Vec<Suspension>,
}

impl Record {
    /// Says that nothing is suspended.
    pub fn new(environment: &str) -> Self {
        Record { format: FORMAT, environment: environment.to_owned(), suspensions: Vec::new() }
    }

    /// Reads the ConfigMap. One that is not there suspends nothing.
    ///
    /// # Errors
    /// It says something that this version cannot know the meaning of: then nothing may be written at all.
    pub fn read(object: Option<&StateObject>, environment: &str) -> Result<Self, String> {
        let Some(object) = object else { return Ok(Record::new(environment)) };
        let fault = |reason: String| {
            let name = &object.name;
            format!(
                "ConfigMap `{name}`, which says what is suspended, cannot be read: {reason}; nothing is written until it can"
            )
        };
        let record: Record = object.document(KEY, FORMAT).map_err(fault)?;
        record.check(environment).map_err(fault)?;
        Ok(record)
    }

    fn check(&self, environment: &str) -> Result<(), String> {
        if self.environment != environment {
            return Err(format!("it is of environment `{}`", self.environment));
        }
        for (number, Suspension { scope, since, until, .. }) in self.suspensions.iter().enumerate() {
            if let Some(time) = [Some(since), until.as_ref()].into_iter().flatten().find(|time| time_of(time).is_none())
            {
                return Err(format!("`{time}` is not a time: expected RFC 3339, such as 2026-01-31T12:00:00Z"));
            }
            if self.suspensions[..number].iter().any(|before| before.scope == *scope) {
                return Err(format!("{scope} is in it twice"));
            }
        }
        Ok(())
    }

    /// Returns what is in force at a time.
    pub fn in_force(&self, now: jiff::Timestamp) -> Suspended {
        let lasts = |one: &&Suspension| one.until.as_deref().and_then(time_of).is_none_or(|until| now < until);
        Suspended(self.suspensions.iter().filter(lasts).cloned().collect())
    }

    /// Suspends something, in place of what was said of it before; forgets what is over.
    pub fn suspend(&mut self, suspension: Suspension, now: jiff::Timestamp) {
        self.suspensions = self.in_force(now).0;
        self.suspensions.retain(|one| one.scope != suspension.scope);
        self.suspensions.push(suspension);
    }

    /// Resumes what passes; forgets what is over. Returns what was in force of it.
    pub fn resume(&mut self, now: jiff::Timestamp, passes: impl Fn(&SuspendedScope) -> bool) -> Vec<Suspension> {
        let (resumed, stays) = self.in_force(now).0.into_iter().partition(|one: &Suspension| passes(&one.scope));
        self.suspensions = stays;
        resumed
    }

    /// Returns its text.
    pub fn text(&self) -> String {
        serde_json::to_string_pretty(self).expect("a record has string keys only") + "\n"
    }
}

fn time_of(text: &str) -> Option<jiff::Timestamp> {
    text.parse().ok()
}

/// Returns the name of the ConfigMap. No service's name has a dot, so it is no record's.
pub fn name(environment: &str) -> String {
    format!("syncd-{environment}.suspended")
}

/// Asks for the ConfigMap: one request.
///
/// # Errors
/// The cluster's.
pub async fn ask<C: Cluster>(
    cluster: &C,
    environment: &str,
    namespace: &str,
) -> Result<Option<StateObject>, ClusterError> {
    let (kind, namespace) = ("ConfigMap".to_owned(), namespace.to_owned());
    let id =
        ObjectRef { group: "".into(), kind: kind.into(), namespace: namespace.into(), name: name(environment).into() };
    Ok(cluster.get(&id).await?.map(|value| object_of(&value)))
}

fn object_of(value: &Value) -> StateObject {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let texts = |pointer: &str| {
        value.pointer(pointer).and_then(|texts| serde_json::from_value(texts.clone()).ok()).unwrap_or_default()
    };
    StateObject {
        name: text("/metadata/name").unwrap_or_default(),
        labels: texts("/metadata/labels"),
        data: texts("/data"),
        resource_version: text("/metadata/resourceVersion"),
    }
}

/// What one process has heard of the ConfigMap.
#[derive(Debug, Default)]
pub struct Heard {
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    watch: Watch,
    /// What was told since telling began anew.
    told: Option<StateObject>,
    /// The last that was told or read; nothing: nothing yet.
    latest: Option<Option<StateObject>>,
    /// What the last cycle went by.
    acted_on: Option<Option<StateObject>>,
}

/// Whether a watch vouches for the latest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Watch {
    /// There is none: a process that does not live long enough to hear anything. What was read stays true.
    #[default]
    Nobody,
    /// It has not told everything yet, or broke.
    Behind,
    /// Something else was read than it has told: one of the two is older, and what it tells next settles it.
    Doubted,
    InStep,
}

impl Heard {
    /// Follows the ConfigMap for ever. A watch that breaks or cannot be begun is begun again after a pause that grows.
    pub async fn follow<C: Cluster>(&self, cluster: &C, environment: &str) -> std::convert::Infallible {
        let (mut pause, longest) = PAUSE;
        loop {
            self.break_off();
            match cluster.watch_state(&name(environment)).await {
                Err(error) => tracing::warn!(%error, "what is suspended is asked for: it cannot be watched"),
                Ok(mut events) => {
                    while let Some(event) = events.next().await {
                        match event {
                            Ok(event) => {
                                pause = PAUSE.0;
                                self.hear(event);
                            }
                            Err(error) => {
                                tracing::warn!(%error, "what is suspended is asked for: the watch broke");
                                self.break_off();
                            }
                        }
                    }
                }
            }
            self.break_off();
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// Takes over what the watch tells.
    pub fn hear(&self, event: WatchEvent) {
        let mut inner = self.inner();
        match event {
            WatchEvent::Restarted => {
                inner.watch = Watch::Behind;
                inner.told = None;
            }
            WatchEvent::Present(_, value) => inner.told = Some(object_of(&value)),
            WatchEvent::Absent(_) => inner.told = None,
            WatchEvent::Synchronized => inner.watch = Watch::InStep,
        }
        if matches!(inner.watch, Watch::InStep | Watch::Doubted) {
            inner.watch = Watch::InStep;
            match inner.told.clone() {
                None => inner.latest = Some(None),
                object => inner.note(object),
            }
        }
        drop(inner);
        self.changed.notify_one();
    }

    fn break_off(&self) {
        self.inner().watch = Watch::Behind;
    }

    /// Forgets what was read: this process begins to lead.
    pub fn forget(&self) {
        let mut inner = self.inner();
        (inner.latest, inner.acted_on) = (None, None);
        if inner.watch != Watch::Nobody {
            inner.watch = Watch::Behind;
        }
    }

    /// Returns the ConfigMap as it is; nothing: it has to be asked for.
    pub fn known(&self) -> Option<Option<StateObject>> {
        let inner = self.inner();
        inner.latest.clone().filter(|_| matches!(inner.watch, Watch::Nobody | Watch::InStep))
    }

    /// Takes over what a cycle read, or knew, and goes by from now on. Returns the latest, which may be later than that.
    pub fn act_on(&self, object: Option<StateObject>) -> Option<StateObject> {
        let mut inner = self.inner();
        let doubts = inner.watch == Watch::InStep && inner.latest.as_ref().is_some_and(|latest| *latest != object);
        if doubts {
            inner.watch = Watch::Doubted;
        }
        // A list that was slow has nothing of what was suspended since: until that is settled it is left alone.
        if !doubts || object.is_some() {
            inner.note(object);
        }
        inner.acted_on = inner.latest.clone();
        inner.latest.clone().flatten()
    }

    /// Waits until something else is known than what the last cycle goes by.
    pub async fn changed(&self) {
        loop {
            {
                let inner = self.inner();
                if inner.acted_on.is_some() && inner.latest.is_some() && inner.acted_on != inner.latest {
                    return;
                }
            }
            self.changed.notified().await;
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Takes over what was told or read, unless something later is known: a watch may tell what a list has overtaken.
    fn note(&mut self, object: Option<StateObject>) {
        let version = |object: &Option<StateObject>| -> Option<u64> {
            object.as_ref()?.resource_version.as_deref()?.parse().ok()
        };
        let before = self.latest.as_ref().and_then(version);
        if before.zip(version(&object)).is_none_or(|(before, now)| now >= before) {
            self.latest = Some(object);
        }
    }
}
