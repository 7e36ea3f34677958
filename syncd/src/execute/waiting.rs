//! Waits until objects are ready, and tells early that they will not be.
//!
//! Everything is told by watches; time counts only for signs that must last, for silence, and for the end of the wait. Invariant: a wait
//! ends as soon as what is known says how, and never later than its deadline.

use std::collections::BTreeMap;
use std::time::Duration;

use manifest::ObjectRef;
use tokio::time::Instant;

use super::objects::summary;
use super::service::{Stop, Walk};
use super::{Next, Pause};
use crate::cluster::{Cluster, GroupKind};
use crate::readiness::pods::{self, Fails, Sign, Tolerance};
use crate::readiness::{Readiness, is_custom};
use crate::report::{Event, Outcome, Waiting};

/// How long an object that says nothing of itself must stay as it is to count as ready.
const SETTLES: Duration = Duration::from_secs(2);
/// How long nothing may happen to a custom resource, unless the service says otherwise.
const SILENCE: Duration = Duration::from_secs(240);
/// Shortest time between two looks of one service: a thousand rollouts at once change something all the time.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// An object that is not going to be ready.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) object: ObjectRef,
    pub(super) message: String,
    /// What told it early.
    pub(super) sign: Option<Sign>,
}

/// How one object looks.
struct Look {
    object: ObjectRef,
    verdict: Readiness,
    signs: Vec<Sign>,
    fails: Fails,
    /// Changes whenever anything about it does.
    trace: String,
    silence: Option<Duration>,
}

impl Look {
    /// Tells whether it may bring what another one misses.
    fn may_bring(&self) -> bool {
        let kind = GroupKind::of(&self.object);
        self.is_under_way() && (kind.kind == "Job" || is_custom(&kind))
    }

    fn is_under_way(&self) -> bool {
        self.signs.is_empty()
            && matches!(self.verdict, Readiness::InProgress(_) | Readiness::NotFound | Readiness::Unknown(_))
    }
}

/// What a wait remembers between looks.
#[derive(Default)]
struct Since {
    signs: BTreeMap<(String, String, String), Instant>,
    traces: BTreeMap<ObjectRef, (String, Instant)>,
}

/// What came of a look at everything.
#[derive(Default)]
struct Outlook {
    waiting: Vec<Waiting>,
    failed: Vec<Failure>,
    /// When to look again although nothing changed.
    due: Option<Instant>,
}

impl Outlook {
    fn look_at(&mut self, due: Instant) {
        self.due = Some(self.due.map_or(due, |earliest| earliest.min(due)));
    }
}

impl<C: Cluster> Walk<'_, C> {
    /// Waits until all of `ids` are ready.
    pub(super) async fn wait_ready(&mut self, ids: &[ObjectRef]) -> Result<(), Stop> {
        let deadline = self.timeout();
        let run = self.run;
        for kind in ids.iter().map(GroupKind::of) {
            if pods::runs_pods(&kind) {
                run.watches.ask_around(&kind);
            }
            run.watches.ask_for(kind);
        }
        let changed = run.watches.subscribe(ids);
        let mut since = Since::default();
        loop {
            let looked = Instant::now();
            let looks: Vec<Look> = ids.iter().map(|id| self.look(id)).collect();
            let outlook = since.judge(looks, looked);
            if !outlook.failed.is_empty() {
                return Err(Box::pin(self.give_up(outlook.failed, outlook.waiting, None)).await);
            }
            if outlook.waiting.is_empty() {
                self.waiting_for.clear();
                return Ok(());
            }
            if outlook.waiting != self.waiting_for {
                let (service, waiting_for) = (self.name.to_owned(), outlook.waiting.clone());
                run.context.tell(&Event::Waiting { service, waiting_for });
                self.waiting_for = outlook.waiting;
            }
            let due = outlook.due.map_or(deadline, |due| due.min(deadline));
            match run.next_change(&changed, due).await {
                Next::Changed => tokio::time::sleep_until(deadline.min(looked + LOOK_PAUSE)).await,
                Next::Superseded => return Err(Stop::Superseded),
                Next::TimedOut if Instant::now() < deadline => {}
                Next::TimedOut => {
                    let late = self.waiting_for.iter();
                    let late =
                        late.map(|w| Failure { object: w.object.clone(), message: w.message.clone(), sign: None });
                    let waiting = Vec::new();
                    return Err(Box::pin(self.give_up(late.collect(), waiting, Some(self.plan.timeout_seconds))).await);
                }
            }
        }
    }

    /// Reports what failed, with its causes. `after`: it did not, but time is over.
    async fn give_up(&mut self, mut failed: Vec<Failure>, waiting: Vec<Waiting>, after: Option<u64>) -> Stop {
        self.explain(&mut failed, after.is_some()).await;
        let waited = |failure: &Failure| Waiting { object: failure.object.clone(), message: failure.message.clone() };
        let missing: Vec<Waiting> = failed.iter().map(waited).collect();
        if after.is_none() {
            for failure in &failed {
                let (reason, error) = ("it was waited for".to_owned(), Some(failure.message.clone()));
                self.note(&failure.object, Outcome::Failed, reason, error);
            }
        }
        let message = match after {
            Some(seconds) => format!("not ready after {seconds} s: {}", summary(&missing)),
            None => summary(&missing),
        };
        self.waiting_for = missing.into_iter().chain(waiting).collect();
        self.look_again = true;
        self.unready = true;
        Stop::Failed(message, Pause::Short)
    }

    /// Looks at one object and, if it runs pods, at what is around it.
    fn look(&self, id: &ObjectRef) -> Look {
        let expected = self.expected.get(id).cloned().unwrap_or_default();
        let verdict = self.run.how_far(id, &expected);
        let kind = GroupKind::of(id);
        let mut look = Look {
            object: id.clone(),
            verdict,
            signs: Vec::new(),
            fails: Fails::AtOnce,
            trace: String::new(),
            silence: None,
        };
        let under_way = matches!(look.verdict, Readiness::InProgress(_) | Readiness::Unknown(_));
        if !under_way {
            return look;
        }
        self.run.watches.look_around(id, |object, evidence| {
            let tolerance = self.tolerance(&kind).of(object);
            look.fails = tolerance.fails;
            look.silence = tolerance.no_activity;
            let version = |object: &serde_json::Value| {
                let metadata = object.get("metadata");
                let text = |name: &str| metadata.and_then(|m| m.get(name)).and_then(serde_json::Value::as_str);
                format!("{}@{};", text("uid").unwrap_or_default(), text("resourceVersion").unwrap_or_default())
            };
            let events = evidence.events.values().flatten().copied();
            let all = evidence.pods.iter().chain(&evidence.sets).copied().chain(events).chain([object]);
            look.trace = all.map(version).collect();
            let is_unseen = object["metadata"]["generation"].as_i64().unwrap_or(0) < expected.generation;
            if pods::runs_pods(&kind) && !is_unseen {
                look.signs = pods::signs(&kind, object, evidence, &tolerance);
            }
        });
        look
    }

    /// Returns how much the service lets pass.
    fn tolerance(&self, kind: &GroupKind) -> Tolerance {
        let entry = self.run.desired.source.index.services.get(self.name);
        let sync = entry.map(|entry| entry.sync.clone()).unwrap_or_default();
        let silence = (!pods::runs_pods(kind)).then_some(SILENCE);
        Tolerance {
            failures_allowed: i64::from(sync.failures_allowed),
            unschedulable: Duration::from_secs(sync.unschedulable_seconds),
            no_activity: sync.no_activity_seconds.map(Duration::from_secs).or(silence),
            probes: BTreeMap::new(),
            fails: Fails::AtOnce,
        }
    }
}

impl Since {
    /// Judges what was seen, with regard to what was seen before.
    fn judge(&mut self, looks: Vec<Look>, now: Instant) -> Outlook {
        let seen: Vec<_> = looks.iter().flat_map(|look| &look.signs).map(Sign::key).collect();
        self.signs.retain(|key, _| seen.contains(key));
        let (under_way, bringing) = (
            looks.iter().filter(|look| look.is_under_way()).count(),
            looks.iter().filter(|look| look.may_bring()).count(),
        );
        let mut outlook = Outlook::default();
        for mut look in looks {
            let held_back = match look.fails {
                Fails::AtTheEnd => under_way > usize::from(look.is_under_way()),
                Fails::AtOnce | Fails::Never => bringing > usize::from(look.may_bring()),
            };
            let sign = self.ripe(std::mem::take(&mut look.signs), held_back, now, &mut outlook);
            let object = look.object.clone();
            if let Some(sign) = sign {
                outlook.failed.push(Failure { object, message: sign.text(), sign: Some(sign) });
                continue;
            }
            let verdict = self.settled(look, now, &mut outlook);
            match verdict {
                Readiness::Failed(message) => outlook.failed.push(Failure { object, message, sign: None }),
                other => outlook.waiting.extend(other.missing().map(|message| Waiting { object, message })),
            }
        }
        outlook
    }

    /// Returns the first sign that has lasted as long as it must.
    fn ripe(&mut self, signs: Vec<Sign>, held_back: bool, now: Instant, outlook: &mut Outlook) -> Option<Sign> {
        let mut ripe = None;
        for sign in signs {
            let due = *self.signs.entry(sign.key()).or_insert(now) + sign.lasts;
            if due > now {
                outlook.look_at(due);
            } else if ripe.is_none() && !(sign.may_be_brought && held_back) {
                ripe = Some(sign);
            }
        }
        ripe
    }

    /// Returns the verdict, with regard to how long nothing has changed.
    fn settled(&mut self, look: Look, now: Instant, outlook: &mut Outlook) -> Readiness {
        let lasts = match (&look.verdict, look.silence) {
            (Readiness::Unknown(_), _) => SETTLES,
            (Readiness::InProgress(_), Some(silence)) => silence,
            _ => {
                self.traces.remove(&look.object);
                return look.verdict;
            }
        };
        let trace = self.traces.entry(look.object).or_insert_with(|| (look.trace.clone(), now));
        if trace.0 != look.trace {
            *trace = (look.trace, now);
        }
        let due = trace.1 + lasts;
        match look.verdict {
            verdict if now < due => {
                outlook.look_at(due);
                verdict
            }
            Readiness::InProgress(why) => {
                Readiness::Failed(format!("nothing happened for {} s: {why}", lasts.as_secs()))
            }
            _ => Readiness::Current,
        }
    }
}
