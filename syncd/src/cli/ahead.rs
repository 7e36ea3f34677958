//! What the commands share that look ahead: `plan`, `diff` and `explain`.
//!
//! They read the repository, the state and the cluster as a cycle does, by the rights of whoever calls. Invariant: no request of theirs
//! writes anything; a dry run asks what a write would do.

use clap::Args;
use tokio::sync::watch;

use super::arguments::{Planning, commit_id};
use super::output::Output;
use super::{CliError, Exit, SystemClock};
use crate::config::{History, Settings};
use crate::context::Context;
use crate::cycle::{Foresight, Mode, foresee};
use crate::git::GitRepo;
use crate::kube::KubeCluster;
use crate::repo::Revision;
use crate::report::{CycleError, Stage, printable};
use crate::suspension::Heard;

#[derive(Debug, Args)]
pub(super) struct Ahead {
    #[command(flatten)]
    planning: Planning,
    /// Look at this commit instead of the tip of the ref, wherever it comes from: its full id
    #[arg(long, env = "SYNCD_REVISION", value_name = "COMMIT", value_parser = commit_id, help_heading = "Source")]
    revision: Option<Revision>,
    /// text for people, json or yaml for programs
    #[arg(short, long, env = "SYNCD_OUTPUT", value_enum, default_value_t = Output::Text, value_name = "FORM")]
    pub(super) output: Output,
}

/// What a command looked at, and what it saw.
pub(super) struct Seen {
    pub(super) repo: GitRepo,
    pub(super) cluster: KubeCluster,
    pub(super) settings: Settings,
    pub(super) foresight: Foresight,
}

impl Ahead {
    /// Returns the environment.
    pub(super) fn environment(&self) -> &str {
        &self.planning.reach.environment
    }

    /// Looks ahead.
    pub(super) async fn look(&self, mode: Mode) -> Result<Seen, CliError> {
        let repo = self.planning.source.open()?;
        let cluster = self.planning.reach.quietly().await?;
        let mut settings = self.planning.settings();
        if let (Some(revision), History::Descendants { accepted }) = (&self.revision, &mut settings.history) {
            accepted.insert(revision.clone());
        }
        let (_superseded, never) = watch::channel(false);
        let heard = Heard::default();
        let context = Context { clock: &SystemClock, observer: &(), superseded: never, heard: &heard };
        let foresight = foresee(&repo, &cluster, &settings, mode, self.revision.as_ref(), &context).await;
        Ok(Seen { repo, cluster, settings, foresight })
    }
}

/// Returns the exit code for the worst of what could not be read; nothing where all could.
pub(super) fn exit_of(errors: &[CycleError]) -> Option<Exit> {
    let failed_at = |stages: &[Stage]| errors.iter().any(|error| stages.contains(&error.stage));
    if failed_at(&[Stage::Plan]) {
        Some(Exit::Internal)
    } else if failed_at(&[Stage::State, Stage::Live]) {
        Some(Exit::Cluster)
    } else if errors.is_empty() {
        None
    } else {
        Some(Exit::Source)
    }
}

/// Returns what could not be read, for people.
pub(super) fn told(errors: &[CycleError]) -> String {
    let lines = errors.iter().map(|error| format!("{}: {}\n", error.stage.as_str(), printable(&error.message)));
    lines.collect()
}
