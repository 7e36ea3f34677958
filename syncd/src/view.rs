//! What a running `syncd` knows of itself, put in order for whoever looks: services by urgency, what changed last, history, drift.
//!
//! A fold over [`Event`]s and [`Report`]s, and a [`Snapshot`] of it that the page and the API show word for word: there is nothing on the
//! page that the API does not say. Knows no HTTP, no HTML and no clock (times are given). Invariants: what is kept is bounded by the index
//! and by [`KEPT`]; nothing is here that an event or a report did not say, so nothing secret is.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use manifest::ObjectRef;
use serde::{Serialize, Serializer};
use smol_str::SmolStr;

use crate::report::{
    self, Cause, CycleError, CycleResult, Event, Fight, ObjectReport, Outcome, Report, ServiceReport, ServiceState,
    Suspension, Trigger, Waiting,
};

/// Cycles and changes by others that are remembered; the older ones are forgotten.
pub const KEPT: usize = 100;
/// Objects of the last change that are remembered for each service, and orphans that are listed; the others are counted.
pub const OBJECTS_MAX: usize = 50;
/// Services on one page.
pub const PAGE: usize = 100;

/// How a service stands, as far as it is known at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It is being worked on.
    Applying,
    /// It is applied, and not ready yet.
    Waiting,
    /// As its last cycle left it.
    Ended(ServiceState),
}

impl Standing {
    /// All of them, the most urgent first.
    pub const ALL: [Standing; 10] = [
        Standing::Ended(ServiceState::Failed),
        Standing::Ended(ServiceState::RolledBack),
        Standing::Ended(ServiceState::Held),
        Standing::Ended(ServiceState::Suspended),
        Standing::Ended(ServiceState::Blocked),
        Standing::Waiting,
        Standing::Applying,
        Standing::Ended(ServiceState::Superseded),
        Standing::Ended(ServiceState::Synced),
        Standing::Ended(ServiceState::Removed),
    ];

    /// Returns the word used on the page and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Standing::Applying => "applying",
            Standing::Waiting => "waiting",
            Standing::Ended(state) => state.as_str(),
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Standing::ALL.into_iter().find(|standing| standing.as_str() == word)
    }

    fn urgency(self) -> usize {
        Standing::ALL.iter().position(|other| *other == self).unwrap_or(Standing::ALL.len())
    }
}

impl Serialize for Standing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What was done to a service when something was last done to it, by this process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// RFC 3339, UTC.
    pub at: String,
    /// Revision; absent when none was in force.
    pub revision: Option<String>,
    /// First line of its message.
    pub subject: Option<String>,
    /// The objects, at most [`OBJECTS_MAX`].
    pub objects: Arc<[ObjectReport]>,
    /// How many there were.
    pub total: usize,
}

/// A cycle that did something, or that ended otherwise than the one before.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Past {
    /// ULID.
    pub id: String,
    /// RFC 3339, UTC.
    pub ended_at: String,
    /// Duration.
    pub seconds: f64,
    /// Why it looked at more than nothing.
    pub trigger: Trigger,
    /// How it ended.
    pub result: CycleResult,
    /// Revision in force.
    pub revision: Option<String>,
    /// Author of that commit.
    pub author: Option<String>,
    /// First line of its message.
    pub subject: Option<String>,
    /// Number of objects that were applied.
    pub applied: usize,
    /// Number of objects that were deleted.
    pub deleted: usize,
    /// Services of which objects were applied or deleted, at most [`OBJECTS_MAX`].
    pub changed: Vec<String>,
    /// Services that are not synced, at most [`OBJECTS_MAX`].
    pub unsynced: Vec<String>,
    /// What went wrong outside of single services.
    pub errors: Vec<CycleError>,
}

/// A change that somebody else made to what was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DriftSeen {
    /// RFC 3339, UTC.
    pub at: String,
    /// The service.
    pub service: String,
    /// The object.
    pub object: ObjectRef,
    /// What was found, and who did it.
    pub what: String,
    /// `corrected`, `backed-off` or `reported`.
    pub action: &'static str,
}

/// A service that is being worked on.
#[derive(Debug, Default)]
struct Running {
    touched: usize,
    waiting_for: Vec<Waiting>,
}

/// The fold.
#[derive(Debug, Default)]
pub struct View {
    version: u64,
    report: Option<Arc<Report>>,
    running: BTreeMap<String, Running>,
    /// Reports of services that ended in a cycle that still runs.
    ended: BTreeMap<String, ServiceReport>,
    changes: Arc<BTreeMap<String, Change>>,
    history: VecDeque<Arc<Past>>,
    drift: VecDeque<Arc<DriftSeen>>,
}

impl View {
    /// Counts what was heard; equal numbers, equal snapshots.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns the last report.
    pub fn report(&self) -> Option<&Arc<Report>> {
        self.report.as_ref()
    }

    /// Hears an event of a cycle.
    pub fn hear(&mut self, event: &Event, now: Timestamp) {
        match event {
            Event::ServiceStarted { service } => {
                self.running.insert(service.clone(), Running::default());
            }
            Event::Object { service, .. } => self.running.entry(service.clone()).or_default().touched += 1,
            Event::Waiting { service, waiting_for } => {
                self.running.entry(service.clone()).or_default().waiting_for.clone_from(waiting_for);
            }
            Event::ServiceFinished { service, report } => {
                self.running.remove(service);
                self.ended.insert(service.clone(), report.clone());
            }
            Event::Drift { service, object, what, action } => {
                let seen = DriftSeen {
                    at: now.to_string(),
                    service: service.clone(),
                    object: object.clone(),
                    what: what.clone(),
                    action: action.as_str(),
                };
                remember(&mut self.drift, Arc::new(seen));
            }
            // The report says it.
            Event::Revision { .. }
            | Event::Planned { .. }
            | Event::ServiceApplied { .. }
            | Event::Held(_)
            | Event::Suspended(_)
            | Event::Failed(_) => return,
        }
        self.version += 1;
    }

    /// Hears the report of a cycle.
    pub fn end(&mut self, report: Arc<Report>) {
        self.running.clear();
        self.ended.clear();
        let nothing = report::Services::default();
        let last = self.report.as_ref().map_or(&nothing, |last| &last.services);
        let is_news =
            self.report.as_ref().is_none_or(|last| last.result != report.result || last.errors != report.errors);
        // What is remembered of a service that was not looked at is told again with every report.
        let is_new = |(name, service): &(&SmolStr, &ServiceReport)| last.get(name) != Some(*service);
        let news: BTreeMap<&SmolStr, &ServiceReport> = report.services.since(last).filter(is_new).collect();
        if is_news || report.trigger != Trigger::None {
            remember(&mut self.history, Arc::new(past(&report, &news)));
        }
        let changes = Arc::make_mut(&mut self.changes);
        changes
            .extend(news.into_iter().filter_map(|(name, service)| Some((name.to_string(), change(&report, service)?))));
        report.services.gone_since(last).for_each(|name| drop(changes.remove(name.as_str())));
        self.report = Some(report);
        self.version += 1;
    }

    /// Forgets everything: somebody else acts.
    pub fn forget(&mut self) {
        *self = View { version: self.version + 1, ..View::default() };
    }

    /// Puts it in order.
    pub fn snapshot(&self) -> Snapshot {
        let mut rows: Vec<Row> = self.names().map(|name| self.row(name)).collect();
        rows.sort_by(|a, b| (a.state.urgency(), &a.name).cmp(&(b.state.urgency(), &b.name)));
        let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
        rows.iter().for_each(|row| *counts.entry(row.state.as_str()).or_default() += 1);
        let waiting = self.running.iter().map(|(name, running)| (name.clone(), running.waiting_for.clone())).collect();
        Snapshot {
            version: self.version,
            report: self.report.clone(),
            counts,
            rows,
            waiting,
            ended: self.ended.clone(),
            changes: Arc::clone(&self.changes),
            history: self.history.iter().rev().cloned().collect(),
            drift: self.drift.iter().rev().cloned().collect(),
        }
    }

    /// Returns every service that is known of, once.
    fn names(&self) -> impl Iterator<Item = &str> {
        let reported = self.report.iter().flat_map(|report| report.services.keys()).map(SmolStr::as_str);
        let now = self.running.keys().chain(self.ended.keys()).map(String::as_str);
        let all: std::collections::BTreeSet<&str> = reported.chain(now).collect();
        all.into_iter()
    }

    fn last(&self, name: &str) -> Option<&ServiceReport> {
        self.ended.get(name).or_else(|| self.report.as_ref()?.services.get(name))
    }

    fn row(&self, name: &str) -> Row {
        let last = self.last(name);
        let (state, message) = match (self.running.get(name), last) {
            (Some(running), _) if !running.waiting_for.is_empty() => {
                (Standing::Waiting, waits_for(&running.waiting_for))
            }
            (Some(running), _) => (Standing::Applying, Some(counted(running.touched, "object"))),
            (None, Some(last)) => (Standing::Ended(last.state), told(last)),
            (None, None) => (Standing::Applying, None),
        };
        let changed_at = self.changes.get(name).map(|change| change.at.clone());
        let (failures, version) = last.map(|last| (last.failures, last.version.clone())).unwrap_or_default();
        Row { name: name.to_owned(), state, version, message, failures, changed_at }
    }
}

fn remember<T>(kept: &mut VecDeque<T>, new: T) {
    if kept.len() == KEPT {
        kept.pop_front();
    }
    kept.push_back(new);
}

fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn waits_for(waiting: &[Waiting]) -> Option<String> {
    let first = waiting.first()?;
    let more = if waiting.len() > 1 { format!(" (and {} more)", waiting.len() - 1) } else { String::new() };
    Some(format!("{}: {}{more}", first.object, first.message))
}

/// Returns why a service stands as it does, in one line.
fn told(service: &ServiceReport) -> Option<String> {
    let cause = service.causes.first().map(|cause| match cause.message.is_empty() {
        true => format!("{}: {}", cause.object, cause.reason),
        false => format!("{}: {}: {}", cause.object, cause.reason, cause.message),
    });
    service.error.clone().or(cause).or_else(|| waits_for(&service.waiting_for)).or_else(|| {
        (service.withheld > 0).then(|| format!("{} no longer wanted, and kept", counted(service.withheld, "object")))
    })
}

fn is_change(object: &ObjectReport) -> bool {
    matches!(object.outcome, Outcome::Created | Outcome::Configured | Outcome::Deleted | Outcome::Failed)
}

fn change(report: &Report, service: &ServiceReport) -> Option<Change> {
    let changes = service.objects.iter().filter(|object| is_change(object));
    let total = changes.clone().count();
    let is_all = total == service.objects.len() && total <= OBJECTS_MAX;
    (service.applied + service.deleted > 0 && total > 0).then(|| Change {
        at: report.ended_at.clone(),
        revision: report.revision.as_ref().map(ToString::to_string),
        subject: report.commit.as_ref().map(|commit| commit.subject.clone()),
        total,
        objects: if is_all { Arc::clone(&service.objects) } else { changes.take(OBJECTS_MAX).cloned().collect() },
    })
}

fn past(report: &Report, news: &BTreeMap<&SmolStr, &ServiceReport>) -> Past {
    let is_changed = |service: &ServiceReport| service.applied + service.deleted > 0;
    let changed = news.iter().filter(|(_, service)| is_changed(service)).map(|(name, _)| name.to_string());
    let is_unsynced = |state| !matches!(state, ServiceState::Synced | ServiceState::Removed);
    let unsynced =
        report.services.iter().filter(|(_, service)| is_unsynced(service.state)).map(|(name, _)| name.to_string());
    Past {
        id: report.id.clone(),
        ended_at: report.ended_at.clone(),
        seconds: report.seconds,
        trigger: report.trigger,
        result: report.result,
        revision: report.revision.as_ref().map(ToString::to_string),
        author: report.commit.as_ref().map(|commit| commit.author.clone()),
        subject: report.commit.as_ref().map(|commit| commit.subject.clone()),
        applied: report.applied_resources.len(),
        deleted: report.deleted_resources.len(),
        changed: changed.take(OBJECTS_MAX).collect(),
        unsynced: unsynced.take(OBJECTS_MAX).collect(),
        errors: report.errors.clone(),
    }
}

/// One service in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Name.
    pub name: String,
    /// How it stands.
    pub state: Standing,
    /// Version that the index in force names; absent for a service that left it.
    pub version: Option<SmolStr>,
    /// Why it stands so, or what it waits for; absent where there is nothing to say.
    pub message: Option<String>,
    /// Failures in a row.
    pub failures: u32,
    /// When this process last changed something of it. RFC 3339, UTC.
    pub changed_at: Option<String>,
}

/// Which services to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Text that name, version or message must hold, in any case; empty: all.
    pub text: String,
    /// How they must stand; absent: any way.
    pub state: Option<Standing>,
    /// Which page, from 1; a page that does not exist is the last one.
    pub page: usize,
}

/// Everything that can be shown at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// [`View::version`].
    pub version: u64,
    /// The last report.
    pub report: Option<Arc<Report>>,
    /// Number of services by how they stand.
    pub counts: BTreeMap<&'static str, usize>,
    /// Every service, the most urgent first, then by name.
    pub rows: Vec<Row>,
    /// Cycles, the last one first.
    pub history: Vec<Arc<Past>>,
    /// Changes that others made, the last one first.
    pub drift: Vec<Arc<DriftSeen>>,
    /// Of services that are being worked on.
    waiting: BTreeMap<String, Vec<Waiting>>,
    ended: BTreeMap<String, ServiceReport>,
    changes: Arc<BTreeMap<String, Change>>,
}

/// The environment as a whole.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Overview<'a> {
    /// Environment.
    pub environment: &'a str,
    /// How the last cycle ended.
    pub result: CycleResult,
    /// RFC 3339, UTC.
    pub ended_at: &'a str,
    /// Duration of the last cycle.
    pub seconds: f64,
    /// Revision in force.
    pub revision: Option<&'a str>,
    /// Author of that commit.
    pub author: Option<&'a str>,
    /// First line of its message.
    pub subject: Option<&'a str>,
    /// Committer's date. RFC 3339, UTC.
    pub committed_at: Option<String>,
    /// Number of services.
    pub services: usize,
    /// Number of services by how they stand; a way in which none stands is left out.
    pub states: &'a BTreeMap<&'static str, usize>,
    /// Deletions that wait for an approval.
    pub held: Option<Held>,
    /// What people want left alone: nothing of it is written.
    pub suspended: &'a [Suspension],
    /// Objects that somebody keeps changing.
    pub fights: &'a [Fight],
    /// Objects with our label that no record holds, at most [`OBJECTS_MAX`].
    pub orphans: &'a [ObjectRef],
    /// How many there are.
    pub orphans_total: usize,
    /// What went wrong outside of single services.
    pub errors: &'a [CycleError],
}

/// Deletions that wait for an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Held {
    /// The plan.
    pub plan: String,
    /// How many objects would be deleted.
    pub deletions: usize,
    /// How many would have been let through unasked.
    pub limit: usize,
    /// What to type to let exactly these through.
    pub command: String,
}

/// A page of services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Services<'a> {
    /// Number of services.
    pub total: usize,
    /// Number of those that the filter lets through.
    pub matching: usize,
    /// This page, from 1.
    pub page: usize,
    /// Number of pages, at least 1.
    pub pages: usize,
    /// The services of this page.
    pub services: Vec<&'a Row>,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Service<'a> {
    /// What the list says.
    #[serde(flatten)]
    pub row: &'a Row,
    /// What it waits for.
    pub waiting_for: &'a [Waiting],
    /// Why objects are not ready.
    pub causes: &'a [Cause],
    /// What happened to its objects in the last cycle that looked at it.
    pub objects: &'a [ObjectReport],
    /// Number of objects that needed nothing.
    pub unchanged: usize,
    /// What was done when something was last done to it, by this process.
    pub last_change: Option<&'a Change>,
}

impl Snapshot {
    /// Returns the environment as a whole; nothing before the end of the first cycle.
    pub fn overview(&self) -> Option<Overview<'_>> {
        let report = self.report.as_deref()?;
        let commit = report.commit.as_ref();
        let date = |seconds| Timestamp::from_second(seconds).ok().map(|at| at.to_string());
        Some(Overview {
            environment: &report.environment,
            result: report.result,
            ended_at: &report.ended_at,
            seconds: report.seconds,
            revision: report.revision.as_ref().map(|revision| revision.0.as_str()),
            author: commit.map(|commit| commit.author.as_str()),
            subject: commit.map(|commit| commit.subject.as_str()),
            committed_at: commit.and_then(|commit| date(commit.committed_at_seconds)),
            services: self.rows.len(),
            states: &self.counts,
            held: report.held.as_ref().map(|held| Held {
                plan: held.id.to_string(),
                deletions: held.deletions,
                limit: held.limit,
                command: format!("syncd approve {}", held.id),
            }),
            suspended: &report.suspended.0,
            fights: &report.fights,
            orphans: &report.orphans[..report.orphans.len().min(OBJECTS_MAX)],
            orphans_total: report.orphans.len(),
            errors: &report.errors,
        })
    }

    /// Returns a page of services.
    pub fn services(&self, filter: &Filter) -> Services<'_> {
        let text = filter.text.to_lowercase();
        let holds = |value: &str| value.to_lowercase().contains(&text);
        let is_wanted = |row: &&Row| {
            filter.state.is_none_or(|state| row.state == state)
                && (text.is_empty()
                    || holds(&row.name)
                    || row.version.as_deref().is_some_and(holds)
                    || row.message.as_deref().is_some_and(holds))
        };
        let matching: Vec<&Row> = self.rows.iter().filter(is_wanted).collect();
        let pages = matching.len().div_ceil(PAGE).max(1);
        let page = filter.page.clamp(1, pages);
        let services = matching.iter().skip((page - 1) * PAGE).take(PAGE).copied().collect();
        Services { total: self.rows.len(), matching: matching.len(), page, pages, services }
    }

    /// Returns one service; nothing where there is none of this name.
    pub fn service(&self, name: &str) -> Option<Service<'_>> {
        let row = self.rows.iter().find(|row| row.name == name)?;
        let last = self.ended.get(name).or_else(|| self.report.as_ref()?.services.get(name));
        Some(Service {
            row,
            waiting_for: self.waiting.get(name).or(last.map(|last| &last.waiting_for)).map_or(&[], Vec::as_slice),
            causes: last.map_or(&[], |last| &last.causes),
            objects: last.map_or(&[], |last| &last.objects),
            unchanged: last.map_or(0, |last| last.unchanged),
            last_change: self.changes.get(name),
        })
    }
}
