//! What was done: events while a cycle runs, one report at its end.
//!
//! The report is a superset of Kahoy's (`version: v1`, the same names for the same things), so that scripts that read that one can read
//! this one. Always made, on failure too. Knows neither metrics nor HTTP; both are built from these values. Invariant: nothing here
//! holds a value of an object, only names, reasons and the server's words.

mod services;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use manifest::difference::text::is_command;
use manifest::index::DriftPolicy;
use manifest::{Hash, ObjectRef};
use serde::{Deserialize, Serialize, Serializer};
use smol_str::SmolStr;

use crate::repo::{CommitInfo, Revision};

pub use services::Services;

/// The report's format, as Kahoy names it.
pub const VERSION: &str = "v1";

/// Returns text from outside (versions, commit subjects, logs, servers' words) as people are shown it: on one line, without control
/// characters and without those that change the direction in which the rest is read.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if is_command(c) { ' ' } else { c }).collect()
}

/// One cycle, from its start to its end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Always [`VERSION`].
    pub version: String,
    /// ULID of the cycle, given by the caller.
    pub id: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// RFC 3339, UTC.
    pub ended_at: String,
    /// Objects that were applied and accepted: by service, then in the order of the plan.
    pub applied_resources: Vec<Resource>,
    /// Objects that are gone because of this cycle, in the same order.
    pub deleted_resources: Vec<Resource>,
    /// Environment.
    pub environment: String,
    /// Revision in force; absent as long as none was ever read.
    pub revision: Option<Revision>,
    /// What that commit says of itself; absent when it was not fetched by this process.
    pub commit: Option<CommitInfo>,
    /// Hash over the index in force.
    pub index: Option<Hash>,
    /// Id of the plan; absent when nothing had to be planned.
    pub plan: Option<Hash>,
    /// Why the cycle looked at more than nothing.
    pub trigger: Trigger,
    /// How it ended.
    pub result: CycleResult,
    /// Duration of the whole cycle.
    pub seconds: f64,
    /// Duration of its parts.
    pub phases: Phases,
    /// All services of the index in force, and those that were removed from it and still hold objects.
    pub services: Services,
    /// Deletions that wait for approval.
    pub held: Option<HeldDeletions>,
    /// What people have suspended, as far as it is in force: nothing of it is written.
    #[serde(skip_serializing_if = "Suspended::is_empty")]
    pub suspended: Suspended,
    /// Objects with the environment's owner label that no record holds. Never touched.
    pub orphans: Vec<ObjectRef>,
    /// Objects that somebody keeps changing after they were corrected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fights: Vec<Fight>,
    /// What went wrong outside of single services: source, state, plan.
    pub errors: Vec<CycleError>,
}

/// An object that somebody keeps changing after it was corrected: it is corrected less and less often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fight {
    /// The object.
    pub object: ObjectRef,
    /// The service.
    pub service: String,
    /// The field manager of whoever changes it, as the server has it; absent where it does not say.
    pub manager: Option<String>,
    /// The fields, as far as they are known.
    pub fields: Vec<String>,
    /// How often the pause has grown.
    pub times: u32,
    /// Pause between two corrections.
    pub pause_seconds: u64,
}

/// What is done about a change that somebody made to what was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriftAction {
    /// It is taken back.
    Corrected,
    /// It is taken back later: somebody makes it again and again.
    BackedOff {
        /// The pause.
        pause_seconds: u64,
    },
    /// It is told.
    Reported,
}

impl DriftAction {
    /// Returns the word used in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            DriftAction::Corrected => "corrected",
            DriftAction::BackedOff { .. } => "backed-off",
            DriftAction::Reported => "reported",
        }
    }
}

/// An object that was handled. Written in Kahoy's words, which are seven times as long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// The service.
    pub service: SmolStr,
    /// The object.
    pub object: ObjectRef,
    /// API version; empty where it is not known (an object that was recorded without).
    pub api_version: SmolStr,
}

impl Resource {
    /// Names an object of a service.
    pub fn new(service: &str, object: &ObjectRef, api_version: &SmolStr) -> Self {
        Resource { service: service.into(), object: object.clone(), api_version: api_version.clone() }
    }
}

impl Serialize for Resource {
    /// Writes `id` (`group|core/version/Kind/namespace|default/name`), `group` (the service), `gvk` (`group/version/Kind`; the core group is
    /// empty: `/v1/Service`), `api_version`, `kind`, `namespace` (empty for a cluster-scoped object) and `name`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Words<'a> {
            id: String,
            group: &'a str,
            gvk: String,
            api_version: &'a str,
            kind: &'a str,
            namespace: &'a str,
            name: &'a str,
        }
        let ObjectRef { group, kind, namespace, name } = &self.object;
        let version = self.api_version.rsplit_once('/').map_or(self.api_version.as_str(), |(_, version)| version);
        let or = |text: &'static str, said: &SmolStr| if said.is_empty() { text.into() } else { said.clone() };
        let words = Words {
            id: format!("{}/{version}/{kind}/{}/{name}", or("core", group), or("default", namespace)),
            group: &self.service,
            gvk: format!("{group}/{version}/{kind}"),
            api_version: &self.api_version,
            kind,
            namespace,
            name,
        };
        words.serialize(serializer)
    }
}

/// Why a cycle looked at more than the tip of the ref.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// Nothing was new: nothing was asked of the cluster.
    None,
    /// The process has just started, or lost track: what exists was compared with what is recorded.
    Start,
    /// The index changed.
    Changed,
    /// A service that had failed was due again.
    Retry,
    /// Somebody else changed objects that were applied.
    Drift,
    /// A full sync was due or asked for.
    Full,
}

impl Trigger {
    /// Returns the word used in reports, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Trigger::None => "none",
            Trigger::Start => "start",
            Trigger::Changed => "changed",
            Trigger::Retry => "retry",
            Trigger::Drift => "drift",
            Trigger::Full => "full",
        }
    }
}

/// How a cycle ended. The worst thing that happened gives the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CycleResult {
    /// Nothing to do, and every service is synced.
    Unchanged,
    /// Every service is synced.
    Synced,
    /// A newer revision came while this one was being waited for.
    Superseded,
    /// Everything else is synced, but deletions wait for approval, something is suspended, or the source is not to be followed.
    Held,
    /// At least one service is not synced.
    Failed,
}

impl CycleResult {
    /// Returns the word used in reports, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            CycleResult::Unchanged => "unchanged",
            CycleResult::Synced => "synced",
            CycleResult::Superseded => "superseded",
            CycleResult::Held => "held",
            CycleResult::Failed => "failed",
        }
    }
}

/// Durations in seconds of the parts of a cycle. Parts that did not happen took 0.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Phases {
    /// Asking for the tip, fetching, reading and verifying.
    pub source: f64,
    /// Reading state and live objects.
    pub read: f64,
    /// Planning and verifying the plan.
    pub plan: f64,
    /// Writing intents, applying, waiting, pruning, settling.
    pub execute: f64,
}

/// How a service stands at the end of a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    /// What the index says is applied, ready and recorded.
    Synced,
    /// It left the index and everything it held is gone; its record too.
    Removed,
    /// Left alone because a newer revision came.
    Superseded,
    /// What the index says did not become ready; what was ready last is applied and ready instead, until the content changes.
    RolledBack,
    /// Left alone because a service that it depends on is not ready.
    Blocked,
    /// Left alone because people said so, it or one of its objects, until they say otherwise or the time is over.
    Suspended,
    /// Left alone until someone decides: deletions over the fuse, a record that cannot be read.
    Held,
    /// Something went wrong; `error` says what.
    Failed,
}

impl ServiceState {
    /// Returns the word used in reports, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            ServiceState::Synced => "synced",
            ServiceState::Removed => "removed",
            ServiceState::Superseded => "superseded",
            ServiceState::RolledBack => "rolled_back",
            ServiceState::Blocked => "blocked",
            ServiceState::Suspended => "suspended",
            ServiceState::Held => "held",
            ServiceState::Failed => "failed",
        }
    }

    /// All states, for metrics that must show zeros.
    pub const ALL: [ServiceState; 8] = [
        ServiceState::Synced,
        ServiceState::Removed,
        ServiceState::Superseded,
        ServiceState::RolledBack,
        ServiceState::Blocked,
        ServiceState::Suspended,
        ServiceState::Held,
        ServiceState::Failed,
    ];
}

/// One service at the end of a cycle.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServiceReport {
    /// How it stands.
    pub state: ServiceState,
    /// Version that the index in force names; absent for a service that left it.
    pub version: Option<SmolStr>,
    /// Number of objects that were applied.
    pub applied: usize,
    /// Number of objects that were deleted.
    pub deleted: usize,
    /// Number of objects that needed nothing.
    pub unchanged: usize,
    /// Number of objects on which something failed.
    pub failed: usize,
    /// Number of objects that are no longer wanted and were kept.
    pub withheld: usize,
    /// Duration from the first request to the last.
    pub seconds: f64,
    /// Why it is not synced.
    pub error: Option<String>,
    /// What was still waited for when it was given up.
    pub waiting_for: Vec<Waiting>,
    /// Why objects that were waited for are not ready, for the first few.
    pub causes: Vec<Cause>,
    /// Every object that was touched or withheld, in the order of the plan. Shared by all who remember it.
    pub objects: Arc<[ObjectReport]>,
    /// Failures in a row; 0 when it is not failed.
    pub failures: u32,
    /// Bytes of its record in the cluster; 0 when it was not read or written by this process.
    pub state_bytes: usize,
}

/// Why an object is not going to be ready, as its pod, its events and its logs tell it. All of it is redacted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// The object that was waited for.
    pub object: ObjectRef,
    /// The pod that tells it; absent where none does.
    pub pod: Option<String>,
    /// The container.
    pub container: Option<String>,
    /// One word, as a kubelet, scheduler or controller calls it.
    pub reason: String,
    /// One line.
    pub message: String,
    /// How the container ended last.
    pub exit_code: Option<i64>,
    /// How often it was started again.
    pub restarts: i64,
    /// The last events of the object and of the pod: `type reason (xcount): message`.
    pub events: Vec<String>,
    /// The last lines of the container's log.
    pub log: Vec<String>,
    /// The last lines of the log of its run before.
    pub previous_log: Vec<String>,
    /// Why no log is shown, where there might be one.
    pub log_withheld: Option<String>,
}

/// An object that is not ready, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// The object.
    pub object: ObjectRef,
    /// What is missing, with numbers.
    pub message: String,
}

/// What happened to one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObjectReport {
    /// The object.
    pub object: ObjectRef,
    /// What happened.
    pub outcome: Outcome,
    /// Why it was planned or withheld.
    pub reason: String,
    /// What failed, in the server's words.
    pub error: Option<String>,
}

/// What happened to one object, in the words of `kubectl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It did not exist, as far as was known.
    Created,
    /// It existed and was applied.
    Configured,
    /// It was applied and the server found nothing to change.
    Unchanged,
    /// It is gone.
    Deleted,
    /// A request for it failed, or it never became ready.
    Failed,
    /// It is no longer wanted, and was kept.
    Withheld,
}

impl Outcome {
    /// Returns the word used in reports, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Created => "created",
            Outcome::Configured => "configured",
            Outcome::Unchanged => "unchanged",
            Outcome::Deleted => "deleted",
            Outcome::Failed => "failed",
            Outcome::Withheld => "withheld",
        }
    }

    /// Tells whether an apply was accepted.
    pub fn is_applied(self) -> bool {
        matches!(self, Outcome::Created | Outcome::Configured | Outcome::Unchanged)
    }

    /// All outcomes, for metrics that must show zeros.
    pub const ALL: [Outcome; 6] = [
        Outcome::Created,
        Outcome::Configured,
        Outcome::Unchanged,
        Outcome::Deleted,
        Outcome::Failed,
        Outcome::Withheld,
    ];
}

/// Deletions that wait for approval: all of a plan, where they are more than the fuse lets through; else those that take more along than the
/// object itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldDeletions {
    /// What an approval must name: a hash over exactly these deletions.
    pub id: Hash,
    /// How many there are.
    pub deletions: usize,
    /// How many would have been let through, had none been of an object that takes more along.
    pub limit: usize,
}

impl fmt::Display for HeldDeletions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HeldDeletions { deletions, limit, .. } = self;
        match deletions {
            _ if deletions > limit => write!(f, "{deletions} deletions, {limit} are let through unasked"),
            1 => f.write_str("1 deletion that takes more along than the object itself"),
            _ => write!(f, "{deletions} deletions that take more along than the object itself"),
        }
    }
}

/// What a suspension is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuspendedScope {
    /// All that is managed.
    Environment,
    /// All objects of a service, and those that it wants.
    Service(String),
    /// One object, whichever service wants it.
    Object(ObjectRef),
}

impl SuspendedScope {
    /// Returns the word for its kind, as metrics have it.
    pub fn kind(&self) -> &'static str {
        match self {
            SuspendedScope::Environment => "environment",
            SuspendedScope::Service(_) => "service",
            SuspendedScope::Object(_) => "object",
        }
    }

    /// All of these words, for metrics that must show zeros.
    pub const KINDS: [&str; 3] = ["environment", "service", "object"];
}

impl fmt::Display for SuspendedScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SuspendedScope::Environment => f.write_str("the environment"),
            SuspendedScope::Service(name) => write!(f, "service `{name}`"),
            SuspendedScope::Object(id) => write!(f, "{id}"),
        }
    }
}

/// That people want something left alone, why, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suspension {
    /// Of what.
    pub scope: SuspendedScope,
    /// Why, in their words; one line.
    pub reason: String,
    /// Since when; RFC 3339.
    pub since: String,
    /// Until when; RFC 3339. Absent: until it is resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

impl fmt::Display for Suspension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Suspension { scope, reason, since, until } = self;
        let until = until.as_ref().map(|until| format!(" until {until}")).unwrap_or_default();
        write!(f, "{scope} is suspended since {since}{until}: {}", printable(reason))
    }
}

/// The suspensions that are in force; of each thing at most one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Suspended(pub Vec<Suspension>);

impl Suspended {
    /// Tells whether nothing is suspended.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the suspension of exactly this.
    pub fn of(&self, scope: &SuspendedScope) -> Option<&Suspension> {
        self.0.iter().find(|suspension| suspension.scope == *scope)
    }

    /// Returns what keeps everything as it is.
    pub fn environment(&self) -> Option<&Suspension> {
        self.of(&SuspendedScope::Environment)
    }

    /// Returns what keeps a whole service as it is: a suspension of the environment, or its own.
    pub fn service(&self, name: &str) -> Option<&Suspension> {
        let is_its = |one: &&Suspension| matches!(&one.scope, SuspendedScope::Service(service) if service == name);
        self.environment().or_else(|| self.0.iter().find(is_its))
    }

    /// Returns what keeps an object as it is, whichever service wants it: a suspension of the environment, or its own.
    pub fn object(&self, id: &ObjectRef) -> Option<&Suspension> {
        let is_its = |one: &&Suspension| matches!(&one.scope, SuspendedScope::Object(object) if object == id);
        self.environment().or_else(|| self.0.iter().find(is_its))
    }

    /// Tells whether something of `before` is not suspended any more.
    pub fn lifts(&self, before: &Suspended) -> bool {
        before.0.iter().any(|suspension| self.of(&suspension.scope).is_none())
    }
}

/// Something that went wrong outside of single services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CycleError {
    /// Where.
    pub stage: Stage,
    /// What, and what follows from it.
    pub message: String,
}

/// Parts of a cycle that can fail as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The repository could not be asked or fetched. The last good revision stays in force.
    Source,
    /// The revision is not to be followed: nobody who may vouches for it. The last good one stays in force.
    Revision,
    /// The revision does not descend from the one in force, or that cannot be proved. The last good one stays in force.
    History,
    /// The index could not be followed. The last good revision stays in force.
    Index,
    /// The state could not be read or written.
    State,
    /// The cluster could not be read.
    Live,
    /// The plan broke an invariant and was not carried out: a fault of `syncd`.
    Plan,
}

impl Stage {
    /// All of them.
    pub const ALL: [Stage; 7] =
        [Stage::Source, Stage::Revision, Stage::History, Stage::Index, Stage::State, Stage::Live, Stage::Plan];

    /// Returns the word used in reports, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Source => "source",
            Stage::Revision => "revision",
            Stage::History => "history",
            Stage::Index => "index",
            Stage::State => "state",
            Stage::Live => "live",
            Stage::Plan => "plan",
        }
    }
}

/// Something that just happened in a cycle.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A revision that was not in force before was fetched and its index accepted.
    Revision {
        /// The revision.
        revision: Revision,
        /// What it says of itself.
        commit: CommitInfo,
    },
    /// A plan was made and is about to be carried out.
    Planned {
        /// Its id.
        plan: Hash,
        /// Why there is one.
        trigger: Trigger,
        /// Services in it.
        services: usize,
        /// Objects to apply.
        applies: usize,
        /// Objects to delete.
        deletes: usize,
        /// Objects that are no longer wanted and are kept.
        withheld: usize,
    },
    /// A service begins: everything that it waits for is ready.
    ServiceStarted {
        /// The service.
        service: String,
    },
    /// An object was touched, failed, or was withheld.
    Object {
        /// The service.
        service: String,
        /// What happened to which object.
        object: ObjectReport,
    },
    /// All objects of a service are applied; what is left is that they become ready, and deletions.
    ServiceApplied {
        /// The service.
        service: String,
    },
    /// A service waits; told again when what it waits for changes.
    Waiting {
        /// The service.
        service: String,
        /// For what.
        waiting_for: Vec<Waiting>,
    },
    /// A service ended.
    ServiceFinished {
        /// The service.
        service: String,
        /// How it stands.
        report: ServiceReport,
    },
    /// Deletions are held, for the first time or other ones than before.
    Held(HeldDeletions),
    /// Other things are suspended than before; empty: nothing is any more.
    Suspended(Suspended),
    /// Somebody else changed an object that was applied.
    Drift {
        /// The service.
        service: String,
        /// The object.
        object: ObjectRef,
        /// What was found, with the field manager of whoever did it.
        what: String,
        /// What is done about it.
        action: DriftAction,
    },
    /// Something went wrong outside of single services.
    Failed(CycleError),
}

/// Hears what happens while it happens: logs, the demo's progress. Must not block.
pub trait Observer: Send + Sync {
    /// Hears one event.
    fn observe(&self, event: &Event);

    /// Hears, when the state was read anew, which objects are recorded and by which services.
    fn recorded(&self, _objects: BTreeMap<ObjectRef, SmolStr>) {}

    /// Hears, at least when the source in force changes, which services say themselves what is done about drift.
    fn drift_policies(&self, _policies: BTreeMap<String, DriftPolicy>) {}

    /// Hears what is suspended, whenever that is something else than before.
    fn suspended(&self, _suspended: &Suspended) {}
}

impl Observer for () {
    fn observe(&self, _event: &Event) {}
}
