//! `syncd approve`: lets through what is held, by its name.
//!
//! Reads what is held from the recorded state, and writes the approval beside it; the daemon reads that. Invariant: what is approved is what
//! is held now, or a commit that was named in full.

use clap::Args;

use super::arguments::{Reach, commit_id, plan_id};
use super::output::say;
use super::{CliError, Exit};
use crate::cluster::ClusterError;
use crate::repo::Revision;
use crate::{approval, state};

pub(super) const HELP: &str =
    "`syncd status` and the Event `DeletionsHeld` tell the plan; the daemon hears of the approval at its next poll.

Exit codes:
   0  approved
   1  no such plan is held; a commit can be approved beforehand
   2  wrong usage: the arguments cannot work
   4  the cluster or the recorded state could not be read or written";

#[derive(Debug, Args)]
pub(super) struct Approve {
    /// The plan, or the first 8 characters of it or more; or the full id of a commit that is held because the history was rewritten
    #[arg(value_name = "PLAN-ID", value_parser = plan_id)]
    plan: String,
    #[command(flatten)]
    reach: Reach,
}

pub(super) async fn run(arguments: &Approve) -> Result<Exit, CliError> {
    let Approve { plan, reach } = arguments;
    let (environment, namespace) = (&reach.environment, &reach.namespace);
    let cluster = reach.quietly().await?;
    let state = state::read(&cluster, environment).await.map_err(|error| CliError::State(error.to_string()))?;
    let root = state.root.map(|stored| stored.root);
    // A plan's id is as long as a commit's of SHA-256; a repository has commits of one length.
    let is_commits_length = |id: &Revision| root.as_ref().is_none_or(|root| root.commit.0.len() == id.0.len());
    let commit = commit_id(plan).ok().filter(is_commits_length);
    let held = root.and_then(|root| root.held);
    let failed = |error: ClusterError| CliError::State(error.message);
    let is_plan = held.as_ref().is_some_and(|held| held.id.to_string().starts_with(plan.as_str()));
    if let (false, Some(revision)) = (is_plan, commit) {
        let approvals = approval::read(&cluster, environment, namespace).await.map_err(failed)?;
        let id = approval::of_revision(&revision);
        approval::add(&cluster, environment, approvals, id).await.map_err(failed)?;
        say(&format!("approved: revision {revision}, wherever it comes from\n"));
        return Ok(Exit::Synced);
    }
    let Some(held) = held.as_ref().filter(|held| held.id.to_string().starts_with(plan.as_str())) else {
        let held = held.map(|held| held.id.to_string());
        return Err(CliError::NotHeld { environment: environment.clone(), plan: plan.clone(), held });
    };
    let approvals = approval::read(&cluster, environment, namespace).await.map_err(failed)?;
    approval::add(&cluster, environment, approvals, held.id).await.map_err(failed)?;
    say(&format!("approved: {held}; plan {}\n", held.id));
    Ok(Exit::Synced)
}
