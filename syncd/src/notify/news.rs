//! What is worth telling: problems by cause when they begin and when they end, and how far a commit is.
//!
//! Pure: a fold over events and reports. A cause that holds for many services is one; services that only wait for a failed one are not
//! told of. Invariants: a cause is told when it begins and when it ends, never in between; an end is told only of what was told.

use std::collections::{BTreeMap, BTreeSet};

use smol_str::SmolStr;

use crate::report::{CycleResult, Event, Report, ServiceReport, ServiceState, Stage, printable};

/// Reports in a row with trouble at the repository or the API before it is told: one hiccup is not news.
const TROUBLE_REPORTS: u32 = 3;
/// Services that are named; the others are counted.
const NAMED_MAX: usize = 10;
/// Longest text of a cause, in characters.
const TEXT_MAX: usize = 600;

/// What a problem is about. Receivers choose among these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// A service is not what the revision says.
    Failure,
    /// Deletions wait for an approval.
    Held,
    /// The repository cannot be read, or a revision is refused.
    Source,
    /// Somebody keeps changing what is applied.
    Fight,
    /// State or cluster cannot be read or written.
    Cluster,
}

/// Something to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// A problem began or ended.
    Problem {
        /// What it is about.
        kind: Kind,
        /// Whether it ended.
        is_solved: bool,
        /// One line.
        title: String,
        /// What is known of it; empty at the end of it.
        text: String,
        /// Services that have it.
        services: Vec<String>,
        /// Revision in force.
        revision: Option<String>,
        /// First line of its message.
        subject: Option<String>,
    },
    /// How far a commit is.
    Commit {
        /// The commit.
        revision: String,
        /// How far.
        progress: Progress,
        /// One line.
        text: String,
    },
}

/// How far a commit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It is being applied, or waits for an approval.
    Pending,
    /// Everything is as it says.
    Success,
    /// Something is not.
    Failure,
    /// A newer one came before it was done.
    Superseded,
}

/// One cause, which is one thing to tell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    Stage(Stage),
    Held(String),
    Fight(String),
    /// What services fail of, without their own names.
    Failure(String),
}

#[derive(Debug, Clone)]
struct Problem {
    kind: Kind,
    title: String,
    text: String,
    services: BTreeSet<String>,
    /// Reports in a row that had it.
    seen: u32,
    is_told: bool,
}

/// The fold.
#[derive(Debug, Default)]
pub struct Teller {
    open: BTreeMap<Cause, Problem>,
    /// What was last told of a commit.
    commit: Option<(String, Progress, String)>,
}

impl Teller {
    /// Hears an event.
    pub fn hear(&mut self, event: &Event) -> Vec<News> {
        match event {
            Event::Revision { revision, .. } => {
                self.commit(&revision.0, Progress::Pending, "being applied".to_owned()).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// Hears a report.
    pub fn end(&mut self, report: &Report) -> Vec<News> {
        let mut now = problems(report);
        let mut news = Vec::new();
        let mut ended = Vec::new();
        for (cause, before) in std::mem::take(&mut self.open) {
            match now.get_mut(&cause) {
                Some(problem) => {
                    problem.seen += before.seen;
                    problem.is_told = before.is_told;
                }
                // Of a service that was not looked at to the end nothing new is known.
                None if before.services.iter().any(|name| is_undecided(report, name)) => {
                    self.open.insert(cause, before);
                }
                None => ended.push(before),
            }
        }
        for problem in now.values_mut() {
            let needed = if matches!(problem.kind, Kind::Source | Kind::Cluster) { TROUBLE_REPORTS } else { 1 };
            if !problem.is_told && problem.seen >= needed {
                problem.is_told = true;
                news.push(told(problem, report, false));
            }
        }
        // Services that now fail of something else have not been mended.
        let failing: BTreeSet<&String> = now.values().flat_map(|problem| &problem.services).collect();
        for before in ended {
            let has_moved = !before.services.is_empty() && before.services.iter().all(|name| failing.contains(name));
            if before.is_told && !has_moved {
                news.push(told(&before, report, true));
            }
        }
        self.open.append(&mut now);
        if let Some(revision) = &report.revision {
            let (progress, text) = progress(report);
            news.extend(self.commit(&revision.0, progress, text));
        }
        news
    }

    fn commit(&mut self, revision: &str, progress: Progress, text: String) -> Option<News> {
        let now = (revision.to_owned(), progress, text);
        if self.commit.as_ref() == Some(&now) {
            return None;
        }
        self.commit = Some(now.clone());
        let (revision, progress, text) = now;
        Some(News::Commit { revision, progress, text })
    }
}

fn is_undecided(report: &Report, name: &str) -> bool {
    let undecided = [ServiceState::Superseded, ServiceState::Blocked];
    report.services.get(name).is_some_and(|service| undecided.contains(&service.state))
}

fn told(problem: &Problem, report: &Report, is_solved: bool) -> News {
    News::Problem {
        kind: problem.kind,
        is_solved,
        title: problem.title.clone(),
        text: if is_solved { String::new() } else { problem.text.clone() },
        services: problem.services.iter().cloned().collect(),
        revision: report.revision.as_ref().map(|revision| revision.0.clone()),
        subject: report.commit.as_ref().map(|commit| printable(&commit.subject)),
    }
}

/// Names some, counts the others: `a, b, c and 7 more`.
pub(super) fn named<'a, N: AsRef<str> + 'a>(names: impl ExactSizeIterator<Item = &'a N>) -> String {
    let total = names.len();
    let some: Vec<&str> = names.take(NAMED_MAX).map(AsRef::as_ref).collect();
    let more = if total > some.len() { format!(" and {} more", total - some.len()) } else { String::new() };
    format!("{}{more}", some.join(", "))
}

fn problems(report: &Report) -> BTreeMap<Cause, Problem> {
    let mut all: BTreeMap<Cause, Problem> = BTreeMap::new();
    let new = |kind, title: String, text: &str| {
        let text: String = printable(text).chars().take(TEXT_MAX).collect();
        Problem { kind, title: printable(&title), text, services: BTreeSet::new(), seen: 1, is_told: false }
    };
    for error in &report.errors {
        let (kind, title) = match error.stage {
            Stage::Source => (Kind::Source, "the repository cannot be read"),
            Stage::Revision => (Kind::Source, "a revision is refused"),
            Stage::History => (Kind::Source, "the history was rewritten"),
            Stage::Index => (Kind::Source, "the index cannot be followed"),
            Stage::State => (Kind::Cluster, "the recorded state cannot be read or written"),
            Stage::Live => (Kind::Cluster, "the cluster cannot be read"),
            Stage::Plan => (Kind::Cluster, "a cycle was given up"),
        };
        all.entry(Cause::Stage(error.stage)).or_insert_with(|| new(kind, title.to_owned(), &error.message));
    }
    if let Some(held) = &report.held {
        let title = format!("{} deletions wait for an approval", held.deletions);
        let text =
            format!("{} are let through unasked; to let exactly these through: syncd approve {}", held.limit, held.id);
        all.insert(Cause::Held(held.id.to_string()), new(Kind::Held, title, &text));
    }
    for fight in &report.fights {
        let manager = fight.manager.as_deref().unwrap_or("somebody");
        let title = format!("{manager} keeps changing {}", fight.object);
        let problem = all
            .entry(Cause::Fight(fight.object.to_string()))
            .or_insert_with(|| new(Kind::Fight, title, &fight.fields.join(", ")));
        problem.services.insert(fight.service.clone());
    }
    for (name, service) in &report.services {
        if !matches!(service.state, ServiceState::Failed | ServiceState::RolledBack) {
            continue;
        }
        let (cause, text) = failure(name, service);
        let problem = all.entry(Cause::Failure(cause)).or_insert_with(|| new(Kind::Failure, String::new(), &text));
        problem.services.insert(name.to_string());
    }
    for problem in all.values_mut().filter(|problem| problem.kind == Kind::Failure) {
        let number = problem.services.len();
        let what = if number == 1 { "service" } else { "services" };
        problem.title = format!("{number} {what} failed: {}", named(problem.services.iter()));
    }
    all
}

/// Returns what a service fails of, and the same without what is its own, by which others with the same trouble are found.
fn failure(name: &str, service: &ServiceReport) -> (String, String) {
    let of_cause = service.causes.first().map(|cause| format!("{}: {}", cause.reason, cause.message));
    let of_object = || service.objects.iter().find_map(|object| object.error.clone());
    let error = service.error.clone().or_else(of_object).unwrap_or_else(|| "not synced".to_owned());
    let text = match &of_cause {
        Some(cause) => format!("{error} ({cause})"),
        None => error.clone(),
    };
    // The word of a kubelet or a controller is a better name of the cause than a sentence with names and numbers in it.
    let key = match service.causes.first() {
        Some(cause) => cause.reason.clone(),
        None => without_own(&error, name, service),
    };
    (key, text)
}

/// Takes names of the service and of its objects, and all digits, out of a text.
fn without_own(text: &str, name: &str, service: &ServiceReport) -> String {
    let objects =
        service.objects.iter().flat_map(|object| [object.object.name.as_str(), object.object.namespace.as_str()]);
    let mut own: Vec<&str> = objects.chain([name]).filter(|own| own.len() > 1).collect();
    own.sort_by_key(|own| std::cmp::Reverse(own.len()));
    let text = own.iter().fold(text.to_owned(), |text, own| text.replace(own, "*"));
    text.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect()
}

fn progress(report: &Report) -> (Progress, String) {
    let all = report.services.len();
    let of = |states: &[ServiceState]| -> Vec<&SmolStr> {
        report.services.iter().filter(|(_, service)| states.contains(&service.state)).map(|(name, _)| name).collect()
    };
    let failed = of(&[ServiceState::Failed, ServiceState::RolledBack, ServiceState::Blocked]);
    let synced =
        all - of(&[ServiceState::Held, ServiceState::Suspended, ServiceState::Superseded]).len() - failed.len();
    let counted = format!("{synced} of {all} services are synced");
    match (report.result, &report.held) {
        (CycleResult::Superseded, _) => (Progress::Superseded, "a newer revision came".to_owned()),
        _ if !failed.is_empty() => (Progress::Failure, format!("{counted}; not: {}", named(failed.into_iter()))),
        (_, Some(held)) => (Progress::Pending, format!("{counted}; {} deletions wait for an approval", held.deletions)),
        (CycleResult::Synced | CycleResult::Unchanged, None) => (Progress::Success, counted),
        // The revision in force is well: what is refused is another one, or not known.
        (CycleResult::Held, None) if synced == all => (Progress::Success, counted),
        (CycleResult::Held, None) => (Progress::Pending, counted),
        (CycleResult::Failed, None) => (Progress::Failure, counted),
    }
}
