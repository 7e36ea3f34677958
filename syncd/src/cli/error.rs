//! Why a command could not begin, or not end as it should; and the exit code that goes with it.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::Exit;
use crate::git::SourceError;
use crate::kube::ConnectError;
use crate::report::Stage;
use crate::rules::RulesError;
use crate::{desired, notify};

/// Why a command could not begin, or not end as it should.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The repository's settings cannot work.
    #[error("the source cannot be used")]
    Source(#[from] SourceError),
    /// The cluster's settings cannot work.
    #[error("the cluster cannot be used")]
    Cluster(#[from] ConnectError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file of receivers cannot be read.
    #[error("cannot read the receivers of notifications {path:?}")]
    NotifyFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file of receivers cannot be used.
    #[error("the receivers of notifications {path:?} cannot be used")]
    Notify {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: notify::ConfigError,
    },
    /// The file of rules cannot be read.
    #[error("cannot read the readiness rules {path:?}")]
    RulesFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file of rules says something that is none.
    #[error("the readiness rules {path:?} cannot be used")]
    Rules {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: RulesError,
    },
    /// The report cannot be written.
    #[error("cannot write the report to {path:?}")]
    Report {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The repository cannot be read.
    #[error("the repository cannot be read")]
    Unreadable(#[source] desired::SourceError),
    /// A cluster could not reach it.
    #[error("a cluster cannot reach the repository {repository:?}; expected https://… or ssh://…")]
    OutOfReach {
        /// Its URL.
        repository: String,
    },
    /// The recorded state cannot be read or written.
    #[error("the recorded state could not be read or written: {0}")]
    State(String),
    /// There is nothing to approve by that name.
    #[error("environment `{environment}` holds no plan `{plan}`; {}", held_instead(held.as_deref()))]
    NotHeld {
        /// The environment.
        environment: String,
        /// What was asked for.
        plan: String,
        /// What is held.
        held: Option<String>,
    },
    /// What is to be suspended cannot be, as it was said.
    #[error("{0}")]
    Suspend(String),
    /// What is to be resumed is not suspended.
    #[error("in environment `{environment}`, {scope} is not suspended by itself; {}", suspended_instead(before))]
    NotSuspended {
        /// The environment.
        environment: String,
        /// What was named.
        scope: String,
        /// What is suspended.
        before: Vec<String>,
    },
    /// A running syncd acts for the environment.
    #[error("`{holder}` leads environment `{environment}` and acts for it; stop it, or pass --no-leader-election")]
    Led {
        /// The environment.
        environment: String,
        /// Its leader.
        holder: String,
    },
    /// A running syncd does not answer.
    #[error("there is no status at http://{address}")]
    Status {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// A running syncd has no answer.
    #[error("there is no status at http://{address}: {why}")]
    NoStatus {
        /// The address.
        address: SocketAddr,
        /// What it said instead.
        why: String,
    },
    /// There is no such service.
    #[error("environment `{environment}` has no service `{service}`")]
    NoService {
        /// The environment.
        environment: String,
        /// What was asked for.
        service: String,
    },
    /// A folder cannot be written to.
    #[error("cannot write to {path:?}")]
    Written {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The object cannot be one.
    #[error("{0}")]
    Object(String),
    /// Nobody said yes.
    #[error("nothing was done: pass --yes, or type the environment's name on a terminal")]
    Unconfirmed,
    /// A running syncd acts for the environment that is to be left.
    #[error(
        "`{holder}` acts for environment `{environment}`; scale it down first: kubectl --namespace syncd scale deployment/syncd --replicas 0"
    )]
    Acts {
        /// The environment.
        environment: String,
        /// Its leader.
        holder: String,
    },
    /// A plan was refused by its second opinion.
    #[error("the plan is not carried out: {0}")]
    Fault(String),
    /// Signals cannot be received.
    #[error("cannot receive signals")]
    Signals(#[source] std::io::Error),
}

fn suspended_instead(before: &[String]) -> String {
    match before {
        [] => "nothing is".to_owned(),
        before => format!("what is: {}; --all resumes everything", before.join(", ")),
    }
}

fn held_instead(held: Option<&str>) -> String {
    held.map_or_else(|| "nothing is held".to_owned(), |held| format!("held is `{held}`"))
}

impl CliError {
    /// Returns the exit code that goes with it.
    pub fn exit(&self) -> Exit {
        match self {
            CliError::Source(SourceError::Cache(_)) | CliError::Unreadable(_) => Exit::Source,
            CliError::Led { .. } | CliError::Acts { .. } | CliError::State(_) => Exit::Cluster,
            CliError::Status { .. }
            | CliError::NoStatus { .. }
            | CliError::NotHeld { .. }
            | CliError::NotSuspended { .. } => Exit::Failed,
            CliError::Source(_)
            | CliError::Cluster(_)
            | CliError::NotifyFile { .. }
            | CliError::Notify { .. }
            | CliError::OutOfReach { .. }
            | CliError::RulesFile { .. }
            | CliError::Rules { .. }
            | CliError::Suspend(_)
            | CliError::Listen { .. }
            | CliError::NoService { .. }
            | CliError::Object(_)
            | CliError::Unconfirmed
            | CliError::Written { .. }
            | CliError::Report { .. } => Exit::Usage,
            CliError::Signals(_) | CliError::Fault(_) => Exit::Internal,
        }
    }

    /// Returns the part of a cycle that could not even begin.
    pub(super) fn stage(&self) -> Stage {
        match self {
            CliError::Source(_) | CliError::Unreadable(_) | CliError::OutOfReach { .. } => Stage::Source,
            CliError::Cluster(_) => Stage::Live,
            CliError::Led { .. }
            | CliError::Acts { .. }
            | CliError::State(_)
            | CliError::NotHeld { .. }
            | CliError::NotSuspended { .. } => Stage::State,
            CliError::NotifyFile { .. }
            | CliError::Notify { .. }
            | CliError::RulesFile { .. }
            | CliError::Rules { .. }
            | CliError::Suspend(_)
            | CliError::Listen { .. }
            | CliError::Report { .. }
            | CliError::Status { .. }
            | CliError::NoStatus { .. }
            | CliError::NoService { .. }
            | CliError::Object(_)
            | CliError::Unconfirmed
            | CliError::Written { .. }
            | CliError::Fault(_)
            | CliError::Signals(_) => Stage::Plan,
        }
    }
}
