//! What happens in a history: commits, deaths, other people. Plain data, so that it can be drawn, printed, shortened and played again.

use crate::model::services::Service;
use crate::weather::Weather;

/// One thing that happens.
#[derive(Debug, Clone)]
pub enum Step {
    /// A commit on the tip.
    Commit(Vec<Service>),
    /// A force-push: a commit beside the tip.
    Rewrite(Vec<Service>),
    /// A force-push: the ref points at the commit before again.
    Back,
    /// Seconds go by.
    Wait(u64),
    /// Time goes by until everything is as the tip wants it; that it does in time is checked.
    Settle,
    /// A process ends at once, and is started again.
    Kill(usize),
    /// A process is asked to end, and is started again.
    Stop(usize),
    /// A process stands still for so many seconds, and goes on.
    Pause(usize, u64),
    /// For so many seconds no request of a process arrives, and nobody answers.
    Cut(usize, u64),
    /// Somebody deletes an object.
    Remove(String),
    /// Somebody changes a field of an object that we apply.
    Edit(String),
    /// Somebody takes the owner labels off an object.
    Unlabel(String),
    /// Somebody creates an object that nobody owns.
    Create(String),
    /// Somebody creates an object with the marks of another tool.
    CreateMarked(String),
    /// Admission refuses an object from now on.
    Deny(String),
    /// Admission takes everything again.
    Allow,
    /// For so many seconds an API group answers 503.
    Outage(String, u64),
    /// For so many seconds the repository does not answer.
    RepositoryDown(u64),
    /// Every watch ends.
    DropWatches,
    /// Every watch ends, and what it could go on from is forgotten: 410.
    Compact,
    /// The API server is started again: nobody is answered for so many seconds, and every watch ends.
    Restart(u64),
    /// The time of day jumps by so many seconds, for everybody.
    Jump(i64),
    /// People approve what is held.
    Approve,
    /// People want this left alone, and nothing else: `environment`, `service NAME`, or an object.
    Suspend(String),
    /// People want nothing left alone any more.
    Resume,
}

/// A history.
#[derive(Debug, Clone)]
pub struct History {
    pub name: String,
    /// One: it acts alone, and nobody is asked. More: one of them leads.
    pub processes: usize,
    /// Bytes of one ConfigMap of state: small ones are split.
    pub state_bytes: usize,
    pub steps: Vec<Step>,
    pub weather: Weather,
    /// Services that cannot become ready, or are not taken, for as long as the history has faults.
    pub bad: Vec<String>,
}

impl History {
    /// Tells whether anything is suspended in it.
    pub fn suspends(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Suspend(_)))
    }

    pub fn new(name: &str, steps: Vec<Step>) -> Self {
        History {
            name: name.to_owned(),
            processes: 1,
            state_bytes: 200 << 10,
            steps,
            weather: Weather::Calm,
            bad: Vec::new(),
        }
    }
}
