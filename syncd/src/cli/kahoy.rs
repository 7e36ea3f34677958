//! `syncd adopt kahoy`: what Kahoy recorded and nobody wants any more, told; deleted only when a plan is named.
//!
//! Reads the repository as a cycle does. Knows nothing of how it is decided. Invariant: without `--delete` nothing is changed.

use std::fmt::Write as _;
use std::io::Write as _;

use std::sync::Arc;

use clap::Args;

use super::arguments::{Common, dns_label, plan_id};
use super::{CliError, Exit, SystemClock, reconciler};
use crate::cycle::Clock;
use crate::desired;
use crate::election::Fence;
use crate::kahoy::{self, Fate, Findings, Storage, Why};
use crate::metrics::Metrics;
use crate::repo::{Repo, RepoError};
use crate::state;

pub(super) const HELP: &str =
    "Objects that the repository wants are taken over by the ordinary cycles; Kahoy's Secrets are left as they are.

Exit codes:
   0  nothing is left that nobody wants, or all of it was deleted
   1  something is, or could not be deleted; or no such plan
   2  wrong usage: the arguments cannot work
   3  the repository or its index could not be read
   4  the cluster or the recorded state could not be read or written";

#[derive(Debug, Args)]
pub(super) struct Kahoy {
    #[command(flatten)]
    common: Common,
    /// Namespace of Kahoy's Secrets: its --kube-provider-namespace
    #[arg(long, env = "SYNCD_STORAGE_NAMESPACE", default_value = "default", value_name = "NAME", value_parser = dns_label)]
    storage_namespace: String,
    /// Kahoy's --kube-provider-id
    #[arg(long, env = "SYNCD_STORAGE_ID", value_name = "ID")]
    storage_id: String,
    /// Delete exactly what this plan names: as it was told before, or the first 8 characters of it or more
    #[arg(long, env = "SYNCD_DELETE", value_name = "PLAN-ID", value_parser = plan_id)]
    delete: Option<String>,
}

pub(super) async fn run(arguments: Kahoy) -> Result<Exit, CliError> {
    let Kahoy { common, storage_namespace: namespace, storage_id: id, delete } = arguments;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics = Arc::new(Metrics::new(common.environment(), Arc::clone(&clock)));
    let reconciler = reconciler(&common, metrics, clock, Arc::new(()), &Fence::none()).await?;
    let (repo, cluster, settings) = (reconciler.tip(), reconciler.cluster(), reconciler.settings());
    let environment = &settings.environment;
    let state = state::read(&*cluster, environment).await.map_err(|error| CliError::State(error.to_string()))?;
    let unreadable = |error: RepoError| CliError::Unreadable(error.into());
    let revision = repo.tip().await.map_err(unreadable)?;
    let commit = repo.fetch(&revision).await.map_err(unreadable)?;
    let in_force = state.root.as_ref().map(|stored| stored.root.commit.clone()).filter(|commit| *commit != revision);
    let checked = desired::check_revision(&*repo, &revision, in_force.as_ref(), &settings.history).await;
    checked.map_err(CliError::Unreadable)?;
    let source = desired::read_index(&*repo, &revision, commit, (environment, None), &settings.limits).await;
    let source = source.map_err(CliError::Unreadable)?;
    let names = source.index.services.keys().cloned().collect();
    let desired = desired::read_services(&*repo, &source, &names, &state, settings).await.map_err(unreadable)?;
    let storage = Storage { namespace, id };
    let found = kahoy::look(&*cluster, &storage, &desired, &state, settings).await;
    let found = found.map_err(|error| CliError::State(error.message))?;
    let plan = found.plan(environment);
    let (text, exit) = match delete {
        None => (told(&found, &plan.to_string()), if found.orphans().is_empty() { Exit::Synced } else { Exit::Failed }),
        Some(named) if !found.orphans().is_empty() && plan.to_string().starts_with(&named) => {
            let failed = kahoy::delete(&*cluster, &found, environment).await;
            let mut text = format!("deleted: {} objects\n", found.orphans().len() - failed.len());
            for (id, why) in &failed {
                let _ = writeln!(text, "not deleted: {id}: {why}");
            }
            (text, if failed.is_empty() { Exit::Synced } else { Exit::Failed })
        }
        Some(named) => (format!("there is no plan `{named}`\n{}", told(&found, &plan.to_string())), Exit::Failed),
    };
    // Whoever closed our output wants no more of it.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(exit)
}

/// Returns what was found, for people.
fn told(found: &Findings, plan: &str) -> String {
    let mut text = String::new();
    let (mut wanted, mut gone) = (0, 0);
    for (id, fate) in &found.objects {
        let line = match fate {
            Fate::Wanted { .. } => {
                wanted += 1;
                continue;
            }
            Fate::Gone => {
                gone += 1;
                continue;
            }
            Fate::Orphan { uid } => format!("orphan {id} (uid {uid}): no service wants it"),
            Fate::Kept(Why::Foreign(owner)) => format!("keep {id}: it belongs to {owner}"),
            Fate::Kept(Why::Ours) => format!("keep {id}: it is syncd's already"),
            Fate::Kept(Why::PruneDisabled) => format!("keep {id}: it is annotated `syncd/prune: disabled`"),
            Fate::Kept(Why::Shell) => format!("keep {id}: more would go with it; delete it by hand"),
            Fate::Kept(Why::Unread(why)) => format!("keep {id}: it could not be read: {why}"),
        };
        let _ = writeln!(text, "{line}");
    }
    for secret in &found.unreadable {
        let _ = writeln!(text, "unreadable: {secret} names no object");
    }
    let _ = writeln!(text, "{} objects recorded by Kahoy: {wanted} wanted, {gone} gone", found.objects.len());
    if let Some(service) = &found.unproven {
        let _ = writeln!(text, "nothing can be deleted: it is not known what service `{service}` wants");
    } else if !found.orphans().is_empty() {
        let count = found.orphans().len();
        let _ = writeln!(text, "to delete exactly these {count} orphans: --delete {plan}");
    }
    text
}
