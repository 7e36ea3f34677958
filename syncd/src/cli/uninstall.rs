//! `syncd uninstall`: ends the care of an environment, with everything that syncd made there or without.
//!
//! Shows what it would do before it does anything. Invariants: without a yes nothing is changed; what was interrupted can be called again.

use std::fmt::Write as _;
use std::io::{BufRead, IsTerminal, Write as _};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use ulid::Ulid;

use super::arguments::{Reach, lease_duration};
use super::output::say;
use super::{CliError, Exit, SystemClock, stop_on_signal};
use crate::config::Settings;
use crate::context::Context;
use crate::election::Election;
use crate::kube::KubeCluster;
use crate::leader;
use crate::progress::{Form, Progress};
use crate::report::printable;
use crate::state::{self, Reading, State, root_name};
use crate::suspension::Heard;
use crate::uninstall::{Removal, delete, forget, has_ended, look, unfinished};

pub(super) const HELP: &str = "Scale the daemon down first: kubectl --namespace syncd scale deployment/syncd --replicas 0. Both forms refuse while one acts; one that takes no part in the election is not seen.

--keep removes what syncd knows: records, root, approvals, suspensions, Lease. All objects stay as they are, with the labels syncd/environment \
and syncd/service and the annotation syncd/hash, by which a later installation takes them in again. --delete first deletes what is recorded, as a \
prune does: with the recorded uid, only with our label, in the reverse order, nothing that is annotated syncd/prune: disabled or is syncd itself, \
no namespace and no definition with something of others in it. What waits for an approval elsewhere is deleted here: the yes is the approval. \
The records go when the objects are gone; after an interruption call it again.

Exit codes:
   0  done
   1  something could not be deleted and is still recorded; call it again
   2  wrong usage: the arguments cannot work, or nobody said yes
   4  the cluster or the recorded state could not be read or written, or a syncd acts for the environment
   6  asked to stop before the end; call it again
  70  a fault of syncd: the plan was refused by its second opinion";

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(super) struct Uninstall {
    #[command(flatten)]
    reach: Reach,
    /// Forget everything, and leave every object as it is
    #[arg(long, env = "SYNCD_KEEP", group = "what")]
    keep: bool,
    /// Delete everything that is recorded, then forget it
    #[arg(long, env = "SYNCD_DELETE", group = "what")]
    delete: bool,
    /// Do it without a question
    #[arg(long, env = "SYNCD_YES")]
    yes: bool,
    /// How long a leader that fell silent is left alone, as the daemons were told
    #[arg(long, env = "SYNCD_LEASE_DURATION", default_value = "15s", value_parser = lease_duration, value_name = "TIME", help_heading = "Cluster")]
    lease_duration: Duration,
}

pub(super) async fn run(arguments: &Uninstall) -> Result<Exit, CliError> {
    let Uninstall { reach, .. } = arguments;
    let cluster = reach.quietly().await?;
    let settings = Settings::new(&reach.environment, &reach.namespace);
    let state = read(&cluster, &settings).await?;
    let removal = match arguments.delete {
        true => Some(removal(&cluster, &settings, &state).await?),
        false => None,
    };
    say(&told(&state, removal.as_ref(), &settings));
    nobody_acts(&cluster, arguments).await?;
    if !arguments.yes && !is_confirmed(&reach.environment) {
        return Err(CliError::Unconfirmed);
    }
    if let Some(removal) = removal {
        let exit = delete_all(&cluster, &settings, state, &removal).await?;
        if exit != Exit::Synced {
            return Ok(exit);
        }
        // A daemon that came back meanwhile would have begun to make everything anew.
        nobody_acts(&cluster, arguments).await?;
    }
    let gone = forget(&cluster, &settings).await.map_err(|error| CliError::State(error.message))?;
    say(&format!("forgotten: {gone} ConfigMaps of environment {}, and its Lease\n", reach.environment));
    Ok(Exit::Synced)
}

async fn read(cluster: &KubeCluster, settings: &Settings) -> Result<State, CliError> {
    state::read(cluster, &settings.environment).await.map_err(|error| CliError::State(error.to_string()))
}

async fn removal(cluster: &KubeCluster, settings: &Settings, state: &State) -> Result<Removal, CliError> {
    let unreadable = state.services.values().find_map(|reading| match reading {
        Reading::Unreadable { reason } => Some(reason.clone()),
        Reading::Stored(_) => None,
    });
    if let Some(reason) = unreadable {
        return Err(CliError::State(reason));
    }
    look(cluster, settings, state, true).await.map_err(|violations| CliError::Fault(violations.join("; ")))
}

/// Returns what would be done, for people.
fn told(state: &State, removal: Option<&Removal>, settings: &Settings) -> String {
    let mut text = String::new();
    let objects = state.records().map(|(_, record)| record.held.len()).sum::<usize>();
    if let Some(removal) = removal {
        for line in removal.plan.to_string().lines().chain(removal.unread.iter().map(String::as_str)) {
            let _ = writeln!(text, "{}", printable(line));
        }
    }
    let environment = &settings.environment;
    let _ = match removal {
        Some(removal) => {
            let (deleted, kept) = (
                removal.plan.deletes().count(),
                removal.plan.services.values().map(|s| s.withheld.len()).sum::<usize>(),
            );
            writeln!(
                text,
                "{environment}: {objects} objects are recorded; {deleted} are deleted, {kept} stay; then everything is forgotten"
            )
        }
        None => writeln!(
            text,
            "{environment}: {objects} objects are recorded; all stay as they are, and everything is forgotten"
        ),
    };
    text
}

/// Refuses to act beside a syncd that does.
async fn nobody_acts(cluster: &KubeCluster, arguments: &Uninstall) -> Result<(), CliError> {
    let environment = &arguments.reach.environment;
    let lease = root_name(environment);
    let election = Election { lease, identity: Ulid::new().to_string(), duration: arguments.lease_duration };
    match leader::rival(cluster, &election).await {
        Ok(None) => Ok(()),
        Ok(Some(holder)) => Err(CliError::Acts { environment: environment.clone(), holder }),
        Err(error) => Err(CliError::State(error.message)),
    }
}

/// Asks on a terminal, for the environment's name: a yes is typed too quickly.
fn is_confirmed(environment: &str) -> bool {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return false;
    }
    eprint!("Type the name of the environment to go on: ");
    let _ = std::io::stderr().flush();
    let mut line = String::new();
    stdin.lock().read_line(&mut line).is_ok() && line.trim() == environment
}

/// Deletes what was planned, and tells how it ended.
async fn delete_all(
    cluster: &KubeCluster,
    settings: &Settings,
    state: State,
    removal: &Removal,
) -> Result<Exit, CliError> {
    let stop = stop_on_signal()?;
    let form = if std::io::stderr().is_terminal() { Form::Table } else { Form::Lines };
    let progress = Arc::new(Progress::new(form, std::io::stderr()));
    let heard = Heard::default();
    let context = Context { clock: &SystemClock, observer: &*progress, superseded: stop.clone(), heard: &heard };
    let ended = delete(cluster, settings, &context, state, removal).await;
    let ended = ended.map_err(|error| CliError::State(error.to_string()))?;
    let mut text = String::new();
    for (name, report) in ended.iter().filter(|(_, report)| !has_ended(report)) {
        let why = report.error.as_deref().unwrap_or(report.state.as_str());
        let _ = writeln!(text, "{}", printable(&format!("service {name}: {why}")));
    }
    let left = read(cluster, settings).await?;
    let open = unfinished(&left);
    if open.is_empty() {
        for (name, record) in left.records() {
            for (id, held) in &record.held {
                let why = held.leftover.as_deref().unwrap_or("it is kept");
                let _ = writeln!(text, "{}", printable(&format!("stays: {id} (service {name}): {why}")));
            }
        }
        let _ = writeln!(text, "deleted: {} objects", ended.values().map(|report| report.deleted).sum::<usize>());
        say(&text);
        return Ok(Exit::Synced);
    }
    let names = open.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    let _ = writeln!(text, "not all is gone: {names}; nothing is forgotten, call it again");
    say(&text);
    Ok(if *stop.borrow() { Exit::Interrupted } else { Exit::Failed })
}
