//! `syncd once`: one cycle, what it did as text and as a report, and an exit code for the worst that happened.
//!
//! Invariant: the report is left behind whatever happens after the arguments were understood.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use ulid::Ulid;

use super::arguments::Common;
use super::{Both, CliError, Exit, Real, SystemClock, election, reconciler, stop_on_signal};
use crate::cycle::{Clock, Mode, Request};
use crate::daemon::failed_report;
use crate::election::Fence;
use crate::leader;
use crate::logs::{self, Logged};
use crate::metrics::Metrics;
use crate::progress::{Form, Progress};
use crate::report::{CycleError, CycleResult, Observer, Report, ServiceState, Stage};
use crate::summary;

#[derive(Debug, Args)]
pub(super) struct Once {
    #[command(flatten)]
    common: Common,
    /// Write the report of the cycle to this file, or to standard output with `-`
    #[arg(long, env = "SYNCD_REPORT", value_name = "FILE")]
    report: Option<PathBuf>,
    /// Apply every object again, also those that are recorded as applied
    #[arg(long, env = "SYNCD_FULL")]
    full: bool,
}

pub(super) async fn run(arguments: Once) -> Result<Exit, CliError> {
    let Once { common, report: path, full } = arguments;
    logs::install(common.log_format, common.log_level);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics = Arc::new(Metrics::new(common.environment(), Arc::clone(&clock)));
    let observer = progress(&common);
    let mode = if full { Mode::Full } else { Mode::Auto };
    let request = Request { id: Ulid::new().to_string(), mode };
    let begun = match reconciler(&common, metrics, Arc::clone(&clock), observer, &Fence::none()).await {
        Ok(reconciler) => alone(&common, reconciler.expecting_nothing_late()).await,
        error => error,
    };
    let mut reconciler = match begun {
        Ok(reconciler) => reconciler,
        Err(error) => {
            let failure = CycleError { stage: error.stage(), message: told(&error) };
            leave_report(path.as_deref(), &failed_report(&request, common.environment(), &*clock, failure))?;
            return Err(error);
        }
    };
    let stop = stop_on_signal()?;
    let report = reconciler.reconcile(&request, stop.clone()).await;
    let to_stdout = path.as_deref() == Some(Path::new("-"));
    let text = summary::text(&report);
    // Whoever closed our output wants no more of it.
    let _ = if to_stdout {
        std::io::stderr().write_all(text.as_bytes())
    } else {
        std::io::stdout().write_all(text.as_bytes())
    };
    leave_report(path.as_deref(), &report)?;
    Ok(exit_of(&report, *stop.borrow()))
}

/// Refuses to act beside a syncd that leads. What cannot be asked stops nothing: the cycle itself tells what is wrong.
async fn alone(common: &Common, reconciler: Real) -> Result<Real, CliError> {
    if !common.no_leader_election
        && let Ok(Some(holder)) = leader::rival(&*reconciler.cluster(), &election(common)).await
    {
        return Err(CliError::Led { environment: common.environment().to_owned(), holder });
    }
    Ok(reconciler)
}

/// Returns who tells how a single cycle goes on: on a terminal a table in place of the log, elsewhere lines between those of the log.
fn progress(common: &Common) -> Arc<dyn Observer> {
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let is_plain = common.log_format == logs::Format::Text && common.log_level <= logs::Level::Info;
    match (is_terminal && is_plain, common.log_format) {
        (true, _) => Arc::new(Progress::new(Form::Table, std::io::stderr())),
        (false, logs::Format::Text) => Arc::new(Both(Logged, Arc::new(Progress::new(Form::Lines, std::io::stderr())))),
        (false, logs::Format::Json) => Arc::new(Logged),
    }
}

/// Returns the exit code for the worst thing that happened.
fn exit_of(report: &Report, interrupted: bool) -> Exit {
    let failed_at = |stages: &[Stage]| report.errors.iter().any(|error| stages.contains(&error.stage));
    if failed_at(&[Stage::Plan]) {
        Exit::Internal
    } else if failed_at(&[Stage::State, Stage::Live]) {
        Exit::Cluster
    } else if report
        .services
        .values()
        .any(|service| matches!(service.state, ServiceState::Failed | ServiceState::RolledBack | ServiceState::Blocked))
    {
        Exit::Failed
    } else if failed_at(&[Stage::Source, Stage::Revision, Stage::History, Stage::Index]) {
        Exit::Source
    } else if interrupted || report.result == CycleResult::Superseded {
        Exit::Interrupted
    } else {
        match report.result {
            CycleResult::Held => Exit::Held,
            CycleResult::Failed => Exit::Failed,
            CycleResult::Unchanged | CycleResult::Synced | CycleResult::Superseded => Exit::Synced,
        }
    }
}

fn leave_report(path: Option<&Path>, report: &Report) -> Result<(), CliError> {
    let Some(path) = path else { return Ok(()) };
    write_report(path, report).map_err(|source| CliError::Report { path: path.to_owned(), source })
}

/// Returns an error with its causes, on one line.
fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Writes the report as a whole or not at all.
fn write_report(path: &Path, report: &Report) -> std::io::Result<()> {
    let mut json = serde_json::to_vec_pretty(report).expect("a report has string keys only");
    json.push(b'\n');
    if path == Path::new("-") {
        return std::io::stdout().write_all(&json);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    let mut file = tempfile::Builder::new().prefix(".report-").permissions(permissions).tempfile_in(folder)?;
    file.write_all(&json)?;
    file.as_file().sync_all()?;
    file.persist(path).map(|_| ()).map_err(|error| error.error)
}
