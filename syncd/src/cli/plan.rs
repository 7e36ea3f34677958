//! `syncd plan`: what the next cycle would do, and why, without doing it.

use clap::Args;
use serde_json::json;

use super::ahead::{Ahead, Seen, exit_of, told};
use super::output::print;
use super::{CliError, Exit};
use crate::cycle::Mode;
use crate::report::printable;

pub(super) const HELP: &str = "Reads what a cycle reads, by the rights of the kubeconfig, and writes nothing: get and list, and what the plan may delete \
is looked into. It knows what a new process knows: a running syncd also knows of pauses after failures, and of changes that its watches told it.

Exit codes:
   0  planned; with --exit-code: there is nothing to do
   1  at least one service cannot be planned for; the plan says why
   2  wrong usage: the arguments cannot work
   3  the repository, its revision or index was refused; what is planned is the revision in force
   4  the cluster or the recorded state could not be read
   7  with --exit-code: there is something to do
  70  a fault of syncd: the plan was refused by its second opinion";

#[derive(Debug, Args)]
pub(super) struct PlanOf {
    #[command(flatten)]
    ahead: Ahead,
    /// Plan as if every object were applied again
    #[arg(long, env = "SYNCD_FULL")]
    full: bool,
    /// Tell by the exit code whether there is something to do
    #[arg(long, env = "SYNCD_EXIT_CODE")]
    exit_code: bool,
}

pub(super) async fn run(arguments: &PlanOf) -> Result<Exit, CliError> {
    let mode = if arguments.full { Mode::Full } else { Mode::Auto };
    let Seen { foresight, .. } = arguments.ahead.look(mode).await?;
    let environment = arguments.ahead.environment();
    let (plan, errors) = (&foresight.plan, &foresight.errors);
    let commit = foresight.source.as_ref().map(|source| (&source.revision, &source.commit));
    let value = json!({
        "environment": environment,
        "revision": commit.map(|(revision, _)| revision),
        "subject": commit.map(|(_, commit)| &commit.subject),
        "plan": plan,
        "planId": plan.as_ref().map(crate::plan::Plan::id),
        "errors": errors,
    });
    let mut text = match (plan, commit) {
        // Names come from outside, and lines are the plan's own.
        (Some(plan), _) => plan.to_string().lines().map(|line| printable(line) + "\n").collect(),
        (None, Some((revision, _))) if errors.is_empty() => {
            format!("nothing to do for {environment} at {}\n", revision.short())
        }
        (None, _) => String::new(),
    };
    text.push_str(&told(errors));
    print(arguments.ahead.output, &text, &value);
    let is_stuck = plan.iter().any(|plan| plan.services.values().any(|service| service.problem.is_some()));
    let is_idle = plan.as_ref().is_none_or(crate::plan::Plan::is_idle);
    Ok(match exit_of(errors) {
        Some(exit) => exit,
        None if is_stuck => Exit::Failed,
        None if arguments.exit_code && !is_idle => Exit::Differs,
        None => Exit::Synced,
    })
}
