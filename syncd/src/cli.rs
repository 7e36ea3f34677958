//! The command line: from arguments and environment variables to settings, from a report to an exit code.
//!
//! Everything that is only known at the start of a process is decided here: connections, files, signals, the system's clock. Knows no
//! cycle from inside. Each command has a file of its own. Invariant: every way to end has a documented exit code ([`EXIT_CODES`]).

use std::path::Path;
use std::sync::Arc;

use clap::{CommandFactory, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use ulid::Ulid;

use crate::cycle::Clock;
use crate::daemon::Reconciler;
use crate::election::{Election, Fence};
use crate::git::GitRepo;
use crate::kube::{KubeCluster, OnTraffic, Traffic};
use crate::metrics::{CountedRepo, Metrics};
use crate::report::{Event, Observer};
use crate::rules::Rules;
use crate::state::root_name;

mod ahead;
mod approve;
mod arguments;
mod bootstrap;
mod completions;
mod diff;
mod error;
mod explain;
mod history;
mod kahoy;
mod man;
mod once;
mod orphans;
mod output;
mod plan;
mod run;
mod source;
mod status;
mod suspend;
mod uninstall;

use arguments::Common;
use bootstrap::Bootstrap;
pub use error::CliError;

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Every service is synced; or `run` was asked to stop.
    Synced = 0,
    /// At least one service is not.
    Failed = 1,
    /// The arguments cannot work.
    Usage = 2,
    /// The repository or its index cannot be followed.
    Source = 3,
    /// The cluster cannot be read or written.
    Cluster = 4,
    /// Everything else is synced, but something waits for a decision.
    Held = 5,
    /// It was asked to stop before the end.
    Interrupted = 6,
    /// A command that compares found something to do.
    Differs = 7,
    /// A fault of syncd.
    Internal = 70,
}

/// Every exit code with its meaning, as `--help` shows them.
pub const EXIT_CODES: [(Exit, &str); 9] = [
    (Exit::Synced, "every service is synced; run: was asked to stop"),
    (Exit::Failed, "at least one service failed, or is blocked by one that did"),
    (Exit::Usage, "wrong usage: the arguments cannot work"),
    (Exit::Source, "the repository, its revision or index was refused; the last good revision stays in force"),
    (Exit::Cluster, "the cluster or the recorded state could not be read or written"),
    (Exit::Held, "all else is synced, but deletions or a record wait for a decision, or something is suspended"),
    (Exit::Interrupted, "asked to stop before the end"),
    (Exit::Differs, "diff, and plan --exit-code: there is something to do"),
    (Exit::Internal, "a fault of syncd"),
];

fn exit_code_help() -> String {
    let rows: Vec<String> =
        EXIT_CODES.iter().map(|(exit, meaning)| format!("  {:>2}  {meaning}", *exit as u8)).collect();
    format!("Exit codes:\n{}", rows.join("\n"))
}

/// Keeps one environment's cluster equal to the rendered manifests in Git.
#[derive(Debug, Parser)]
#[command(name = "syncd", version, after_help = exit_code_help())]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Polls the repository and keeps the cluster equal to it, until it is asked to stop
    #[command(after_help = exit_code_help())]
    Run(run::Run),
    /// Does one cycle, prints what was done, and ends
    #[command(after_help = exit_code_help())]
    Once(once::Once),
    /// Lets deletions through that are held: exactly those of this plan, and no others
    #[command(after_help = approve::HELP)]
    Approve(approve::Approve),
    /// Looks at what another tool left behind
    #[command(subcommand)]
    Adopt(Adopt),
    /// Shows what a running syncd did last: services, causes of failures, what is held
    #[command(after_help = status::HELP)]
    Status(status::Status),
    /// Shows what the next cycle would do, and why, without doing it
    #[command(after_help = plan::HELP)]
    Plan(Box<plan::PlanOf>),
    /// Shows what the cluster would have that it has not, object by object, field by field
    #[command(after_help = diff::HELP)]
    Diff(Box<diff::Diff>),
    /// Says of one object whose it is, where it comes from, what differs, and what happens next
    #[command(after_help = explain::HELP)]
    Explain(Box<explain::Explain>),
    /// Shows the cycles of a running syncd that did something: when, at which revision, how they ended
    #[command(after_help = history::HELP)]
    History(history::History),
    /// Lists what carries syncd's labels and is in no record, and what is recorded and wanted by nobody
    #[command(after_help = orphans::HELP)]
    Orphans(orphans::OrphansOf),
    /// Ends the care of an environment: forgets what is recorded, with or without deleting it
    #[command(after_help = uninstall::HELP)]
    Uninstall(uninstall::Uninstall),
    /// Writes what a shell has to know to complete command lines
    Completions(completions::Completions),
    /// Writes the manual: one page a command
    Man(man::Man),
    /// Leaves the environment, a service or an object alone until it is resumed, or for a time; or lists what is
    #[command(after_help = suspend::HELP)]
    Suspend(suspend::Suspend),
    /// Ends what was suspended
    #[command(after_help = suspend::RESUME_HELP)]
    Resume(suspend::Resume),
    /// Prints, or applies, what syncd is in a cluster: namespace, account, roles, Deployment, and what goes with it
    #[command(after_help = bootstrap::HELP)]
    Bootstrap(Bootstrap),
}

#[derive(Debug, Subcommand)]
enum Adopt {
    /// Tells which objects Kahoy recorded and no service wants; deletes them if their plan is named
    #[command(after_help = kahoy::HELP)]
    Kahoy(Box<kahoy::Kahoy>),
}

/// Returns the whole command line, as the help, the manual and the completions have it.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Does what the arguments say.
///
/// # Errors
/// See [`CliError`]; each has an exit code.
pub async fn execute(cli: Cli) -> Result<Exit, CliError> {
    match cli.command {
        Command::Run(arguments) => run::run(arguments).await,
        Command::Once(arguments) => once::run(arguments).await,
        Command::Approve(arguments) => approve::run(&arguments).await,
        Command::Status(arguments) => status::run(&arguments).await,
        Command::Plan(arguments) => plan::run(&arguments).await,
        Command::Diff(arguments) => diff::run(&arguments).await,
        Command::Explain(arguments) => explain::run(&arguments).await,
        Command::History(arguments) => history::run(&arguments).await,
        Command::Orphans(arguments) => orphans::run(&arguments).await,
        Command::Uninstall(arguments) => uninstall::run(&arguments).await,
        Command::Completions(arguments) => Ok(completions::run(&arguments)),
        Command::Man(arguments) => man::run(&arguments),
        Command::Suspend(arguments) => suspend::run(&arguments).await,
        Command::Resume(arguments) => suspend::resume(&arguments).await,
        Command::Adopt(Adopt::Kahoy(arguments)) => kahoy::run(*arguments).await,
        Command::Bootstrap(arguments) => bootstrap::run(&arguments).await,
    }
}

/// Returns the election that this process takes part in. Its name is new at each start: a process never takes itself for the one before.
fn election(common: &Common) -> Election {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "syncd" } else { host.trim() };
    Election {
        lease: root_name(common.environment()),
        identity: format!("{host}_{}", Ulid::new()),
        duration: common.lease_duration,
    }
}

/// Over a real repository and a real cluster.
type Real = Reconciler<CountedRepo<GitRepo>, KubeCluster>;

async fn reconciler(
    common: &Common,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
    fence: &Fence,
) -> Result<Real, CliError> {
    let repo = common.planning.source.open()?;
    let told = Arc::clone(&metrics);
    let on_traffic: OnTraffic = Arc::new(move |traffic| match traffic {
        Traffic::Begun => told.in_flight(1.0),
        Traffic::Ended => told.in_flight(-1.0),
        Traffic::Answered(fact) => told.request(fact.verb, fact.code, fact.duration),
        Traffic::WatchRestarted => told.watch_restarted(),
    });
    let cluster = common.planning.reach.connect(on_traffic).await?.fenced(fence);
    let settings = common.settings()?;
    Ok(Reconciler::new(CountedRepo::new(repo, metrics), cluster, settings, clock, observer))
}

/// Reads the rules of a file.
fn rules(path: Option<&Path>) -> Result<Rules, CliError> {
    let Some(path) = path else { return Ok(Rules::default()) };
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|source| CliError::RulesFile { path: path.to_owned(), source })?;
    Rules::with_file(&text).map_err(|source| CliError::Rules { path: path.to_owned(), source })
}

/// Returns what becomes true at SIGTERM or SIGINT.
fn stop_on_signal() -> Result<watch::Receiver<bool>, CliError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(CliError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(CliError::Signals)?;
    let (stop, stopped) = watch::channel(false);
    #[expect(clippy::disallowed_methods, reason = "it only waits for a signal, for as long as the process lives")]
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to stop");
        stop.send_replace(true);
        stop.closed().await;
    });
    Ok(stopped)
}

struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the time of day enters")]
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }
}

/// Tells two.
struct Both<A, B>(A, Arc<B>);

impl<A: Observer, B: Observer> Observer for Both<A, B> {
    fn observe(&self, event: &Event) {
        self.0.observe(event);
        self.1.observe(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_has_a_variable() {
        for command in Cli::command().get_subcommands() {
            for argument in
                command.get_arguments().filter(|argument| argument.get_long().is_some_and(|name| name != "help"))
            {
                let name = argument.get_long().expect("filtered").replace('-', "_").to_uppercase();
                let variable = argument.get_env().and_then(|variable| variable.to_str()).map(str::to_owned);
                assert_eq!(variable, Some(format!("SYNCD_{name}")), "of {}", command.get_name());
            }
        }
    }

    #[test]
    fn exit_codes_are_told_once_each() {
        let mut codes: Vec<u8> = EXIT_CODES.iter().map(|(exit, _)| *exit as u8).collect();
        assert!(codes.is_sorted());
        codes.dedup();
        assert_eq!(codes.len(), EXIT_CODES.len());
        assert!(Cli::command().render_help().to_string().contains("70  a fault of syncd"));
    }
}
