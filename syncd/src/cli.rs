//! The command line: from arguments and environment variables to settings, from a report to an exit code.
//!
//! Everything that is only known at the start of a process is decided here: connections, files, signals, the system's clock. Knows no
//! cycle from inside. Invariant: every way to end has a documented exit code ([`EXIT_CODES`]), and `once` leaves its report behind
//! whatever happens after the arguments were understood.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use manifest::ObjectRef;
use manifest::index::DriftPolicy;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Instant;
use ulid::Ulid;

use crate::adoption::TOOLS;
use crate::approval;
use crate::cluster::ClusterError;
use crate::config::{History, Settings};
use crate::cycle::{Clock, Mode, Request, Takeover};
use crate::daemon::{self, Listener, Pace, Reconciler, failed_report};
use crate::desired;
use crate::election::{Election, Fence};
use crate::git::{GitRepo, SourceError};
use crate::http::{self, Face};
use crate::kube::{ConnectError, Connection, KubeCluster, OnTraffic, Timeouts, Traffic};
use crate::leader::{self, Leadership, Surroundings};
use crate::logs::{self, Logged};
use crate::metrics::{CountedRepo, Metrics};
use crate::notify::{self, Notifier, OnResult};
use crate::progress::{Form, Progress};
use crate::repo::Revision;
use crate::report::{CycleError, CycleResult, Event, Observer, Report, ServiceState, Stage};
use crate::rules::{Rules, RulesError};
use crate::state::{self, root_name};
use crate::summary;
use crate::webhook::{self, Webhook};

mod approve;
mod bootstrap;
mod kahoy;
mod source;

use bootstrap::Bootstrap;
use source::SourceArguments;

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
    /// A fault of syncd.
    Internal = 70,
}

/// Every exit code with its meaning, as `--help` shows them.
pub const EXIT_CODES: [(Exit, &str); 8] = [
    (Exit::Synced, "every service is synced; run: was asked to stop"),
    (Exit::Failed, "at least one service failed, or is blocked by one that did"),
    (Exit::Usage, "wrong usage: the arguments cannot work"),
    (Exit::Source, "the repository, its revision or index was refused; the last good revision stays in force"),
    (Exit::Cluster, "the cluster or the recorded state could not be read or written"),
    (Exit::Held, "all else is synced, but deletions or a record wait for a decision"),
    (Exit::Interrupted, "asked to stop before the end"),
    (Exit::Internal, "a fault of syncd"),
];

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
    Run(Run),
    /// Does one cycle, prints what was done, and ends
    #[command(after_help = exit_code_help())]
    Once(Once),
    /// Lets deletions through that are held: exactly those of this plan, and no others
    #[command(after_help = approve::HELP)]
    Approve(approve::Approve),
    /// Looks at what another tool left behind
    #[command(subcommand)]
    Adopt(Adopt),
    /// Shows what a running syncd did last: services, causes of failures, what is held
    #[command(after_help = STATUS_HELP)]
    Status(StatusOf),
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

const STATUS_HELP: &str = "From outside of the cluster: kubectl port-forward --namespace syncd deployment/syncd 9102

Exit codes:
   0  every service is synced
   1  at least one service is not, or something is held; or there was no answer
   2  wrong usage: the arguments cannot work";

#[derive(Debug, Args)]
struct Run {
    #[command(flatten)]
    common: Common,
    /// Time between two polls of the repository, give or take a fifth
    #[arg(long, env = "SYNCD_POLL_INTERVAL", default_value = "15s", value_parser = duration, value_name = "TIME")]
    poll_interval: Duration,
    /// Longest time between two polls while the repository or the cluster cannot be read
    #[arg(long, env = "SYNCD_POLL_INTERVAL_MAX", default_value = "5m", value_parser = duration, value_name = "TIME")]
    poll_interval_max: Duration,
    /// A cycle in which nothing happens for this long is given up; longer than the longest timeout of a service
    #[arg(long, env = "SYNCD_CYCLE_TIMEOUT", default_value = "1h", value_parser = duration, value_name = "TIME")]
    cycle_timeout: Duration,
    /// Address of the webhook, POST /webhook, which means: poll now. Apart from the other pages, as it is meant for the outside
    #[arg(long, env = "SYNCD_WEBHOOK_LISTEN", value_name = "ADDRESS", requires = "webhook_secret_file")]
    webhook_listen: Option<SocketAddr>,
    /// File with the secret that whoever calls the webhook proves to know, at least 16 bytes; read anew for each call
    #[arg(long, env = "SYNCD_WEBHOOK_SECRET_FILE", value_name = "FILE", requires = "webhook_listen")]
    webhook_secret_file: Option<PathBuf>,
    /// YAML file of whom to tell what happens: chats, webhooks, statuses of commits (docs/notifications.md)
    #[arg(long, env = "SYNCD_NOTIFY_CONFIG", value_name = "FILE")]
    notify_config: Option<PathBuf>,
    /// Address of the status page, /metrics, /healthz, /readyz, /status and /api/v1/status; there is no authentication
    #[arg(long, env = "SYNCD_LISTEN", default_value = "127.0.0.1:9102", value_name = "ADDRESS")]
    listen: SocketAddr,
}

#[derive(Debug, Args)]
struct StatusOf {
    /// Where it listens
    #[arg(long, env = "SYNCD_ADDRESS", default_value = "127.0.0.1:9102", value_name = "ADDRESS")]
    address: SocketAddr,
    /// text for people, json for programs: the whole report
    #[arg(short, long, env = "SYNCD_OUTPUT", value_enum, default_value_t = Output::Text, value_name = "FORM")]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Text,
    Json,
}

#[derive(Debug, Args)]
struct Once {
    #[command(flatten)]
    common: Common,
    /// Write the report of the cycle to this file, or to standard output with `-`
    #[arg(long, env = "SYNCD_REPORT", value_name = "FILE")]
    report: Option<PathBuf>,
    /// Apply every object again, also those that are recorded as applied
    #[arg(long, env = "SYNCD_FULL")]
    full: bool,
}

#[derive(Debug, Args)]
struct Common {
    /// Environment to keep: the folder of _gen, and the owner label of every object
    #[arg(long, env = "SYNCD_ENVIRONMENT", value_name = "NAME", value_parser = dns_label)]
    environment: String,
    #[command(flatten)]
    source: SourceArguments,
    /// Follow the ref also to where it does not descend from the revision in force
    #[arg(long, env = "SYNCD_ALLOW_REWRITTEN_HISTORY", help_heading = "Source")]
    allow_rewritten_history: bool,
    /// Commit that is followed although it does not descend from the revision in force: its full id
    #[arg(long, env = "SYNCD_ACCEPT_REVISION", value_name = "COMMIT", value_parser = commit_id, help_heading = "Source")]
    accept_revision: Option<Revision>,
    /// Namespace of syncd's own state
    #[arg(long, env = "SYNCD_NAMESPACE", default_value = "syncd", value_name = "NAME", value_parser = dns_label, help_heading = "Cluster")]
    namespace: String,
    /// Kubeconfig of the cluster; the pod's service account if not given
    #[arg(long, env = "SYNCD_KUBECONFIG", value_name = "FILE", help_heading = "Cluster")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; its current one if not given
    #[arg(long, env = "SYNCD_CONTEXT", value_name = "NAME", requires = "kubeconfig", help_heading = "Cluster")]
    context: Option<String>,
    /// Requests to the cluster in flight at the same time
    #[arg(long, env = "SYNCD_CONCURRENCY", default_value_t = 32, value_name = "NUMBER", value_parser = at_least_one, help_heading = "Cluster")]
    concurrency: usize,
    /// Time between two full syncs, each of which applies every object again
    #[arg(long, env = "SYNCD_FULL_SYNC_INTERVAL", default_value = "12h", value_parser = duration, value_name = "TIME", help_heading = "Cluster")]
    full_sync_interval: Duration,
    /// What to do about changes that others make to what was applied, between two full syncs, unless a service says otherwise (sync.yaml)
    #[arg(long, env = "SYNCD_DRIFT", default_value = "correct", value_name = "POLICY", help_heading = "Cluster")]
    drift: Drift,
    /// YAML file of rules that tell when objects of custom kinds are ready, over the built-in ones
    #[arg(long, env = "SYNCD_READINESS_RULES", value_name = "FILE", help_heading = "Cluster")]
    readiness_rules: Option<PathBuf>,
    /// Take over objects of these tools, by commas, without asking; otherwise the manifest must say so by `syncd/adopt`
    #[arg(long, env = "SYNCD_ADOPT", value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(TOOLS), value_name = "TOOLS", help_heading = "Cluster")]
    adopt: Vec<String>,
    /// How long a leader that fell silent is left alone before another syncd of the environment takes over; the same for all of them
    #[arg(long, env = "SYNCD_LEASE_DURATION", default_value = "15s", value_parser = lease_duration, value_name = "TIME", help_heading = "Cluster")]
    lease_duration: Duration,
    /// Do not ask the Lease who leads. Then somebody else has to see to it that there is one syncd for the environment
    #[arg(long, env = "SYNCD_NO_LEADER_ELECTION", help_heading = "Cluster")]
    no_leader_election: bool,
    /// Form of log lines
    #[arg(long, env = "SYNCD_LOG_FORMAT", default_value = "text", value_name = "FORMAT", help_heading = "Logs")]
    log_format: logs::Format,
    /// How much is logged
    #[arg(long, env = "SYNCD_LOG_LEVEL", default_value = "info", value_name = "LEVEL", help_heading = "Logs")]
    log_level: logs::Level,
}

/// What is done about drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Drift {
    /// Take them back within seconds
    Correct,
    /// Say them in logs and metrics
    Report,
    /// Do not look
    Ignore,
}

impl From<Drift> for DriftPolicy {
    fn from(drift: Drift) -> Self {
        match drift {
            Drift::Correct => DriftPolicy::Correct,
            Drift::Report => DriftPolicy::Report,
            Drift::Ignore => DriftPolicy::Ignore,
        }
    }
}

fn exit_code_help() -> String {
    let rows: Vec<String> =
        EXIT_CODES.iter().map(|(exit, meaning)| format!("  {:>2}  {meaning}", *exit as u8)).collect();
    format!("Exit codes:\n{}", rows.join("\n"))
}

/// Reads a time such as `15s`, `12h` or `1m 30s`.
fn duration(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration =
        text.parse().map_err(|_| "expected a time such as `15s`, `5m` or `12h`".to_owned())?;
    let duration = Duration::try_from(parsed).map_err(|_| "a time cannot be negative".to_owned())?;
    if duration.is_zero() { Err("a time of zero would never rest".to_owned()) } else { Ok(duration) }
}

/// So many characters of a hash are hardly ever the same by chance.
fn plan_id(text: &str) -> Result<String, String> {
    match text.len() >= 8 && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')) {
        true => Ok(text.to_owned()),
        false => Err("expected at least 8 characters of the plan's hash".to_owned()),
    }
}

/// Kubernetes counts the duration of a Lease in whole seconds.
fn lease_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        time if time.subsec_nanos() == 0 => Ok(time),
        _ => Err("a Lease lasts whole seconds".to_owned()),
    }
}

fn dns_label(text: &str) -> Result<String, String> {
    if manifest::object::is_dns_label(text) {
        Ok(text.to_owned())
    } else {
        Err(manifest::object::DNS_LABEL_RULE.to_owned())
    }
}

fn commit_id(text: &str) -> Result<Revision, String> {
    let is_id = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_id { Ok(Revision(text.to_owned())) } else { Err("expected the full id of a commit".to_owned()) }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a number, at least 1".to_owned()),
        Ok(number) => Ok(number),
    }
}

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
    /// Signals cannot be received.
    #[error("cannot receive signals")]
    Signals(#[source] std::io::Error),
}

fn held_instead(held: Option<&str>) -> String {
    held.map_or_else(|| "nothing is held".to_owned(), |held| format!("held is `{held}`"))
}

impl CliError {
    /// Returns the exit code that goes with it.
    pub fn exit(&self) -> Exit {
        match self {
            CliError::Source(SourceError::Cache(_)) | CliError::Unreadable(_) => Exit::Source,
            CliError::Led { .. } | CliError::State(_) => Exit::Cluster,
            CliError::Status { .. } | CliError::NotHeld { .. } => Exit::Failed,
            CliError::Source(_)
            | CliError::Cluster(_)
            | CliError::NotifyFile { .. }
            | CliError::Notify { .. }
            | CliError::OutOfReach { .. }
            | CliError::RulesFile { .. }
            | CliError::Rules { .. }
            | CliError::Listen { .. }
            | CliError::Report { .. } => Exit::Usage,
            CliError::Signals(_) => Exit::Internal,
        }
    }

    /// Returns the part of a cycle that could not even begin.
    fn stage(&self) -> Stage {
        match self {
            CliError::Source(_) | CliError::Unreadable(_) | CliError::OutOfReach { .. } => Stage::Source,
            CliError::Cluster(_) => Stage::Live,
            CliError::Led { .. } | CliError::State(_) | CliError::NotHeld { .. } => Stage::State,
            CliError::NotifyFile { .. }
            | CliError::Notify { .. }
            | CliError::RulesFile { .. }
            | CliError::Rules { .. }
            | CliError::Listen { .. }
            | CliError::Report { .. }
            | CliError::Status { .. }
            | CliError::Signals(_) => Stage::Plan,
        }
    }
}

/// Does what the arguments say.
///
/// # Errors
/// See [`CliError`]; each has an exit code.
pub async fn execute(cli: Cli) -> Result<Exit, CliError> {
    match cli.command {
        Command::Run(arguments) => run(arguments).await,
        Command::Once(arguments) => once(arguments).await,
        Command::Approve(arguments) => approve::run(&arguments).await,
        Command::Status(arguments) => status(&arguments).await,
        Command::Adopt(Adopt::Kahoy(arguments)) => kahoy::run(*arguments).await,
        Command::Bootstrap(arguments) => bootstrap::run(&arguments).await,
    }
}

async fn run(arguments: Run) -> Result<Exit, CliError> {
    let Run { common, poll_interval, poll_interval_max, cycle_timeout, notify_config, listen, .. } = arguments;
    let webhook = arguments.webhook_listen.zip(arguments.webhook_secret_file);
    logs::install(common.log_format, common.log_level);
    let pace = Pace { poll: poll_interval, slowest: poll_interval_max, silence: cycle_timeout, ..Pace::default() };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics = Arc::new(Metrics::new(&common.environment, Arc::clone(&clock)));
    let face = Arc::new(Face::new(Arc::clone(&metrics), Arc::clone(&clock), pace.silence_max()));
    let listener = TcpListener::bind(listen).await.map_err(|source| CliError::Listen { address: listen, source })?;
    let notifier = notifier(notify_config.as_deref(), &common.environment, &metrics)?;
    let heard = Arc::new(Heard { face: Arc::clone(&face), notifier });
    let observer: Arc<dyn Observer> = Arc::new(Both(Logged, Arc::clone(&heard)));
    let fence = if common.no_leader_election { Fence::none() } else { Fence::shut() };
    let mut reconciler = reconciler(&common, metrics, Arc::clone(&clock), observer, &fence).await?;
    let stop = stop_on_signal()?;
    // Port 0 asks for any: say which it is.
    let listen = listener.local_addr().unwrap_or(listen);
    let pages = Arc::clone(&face);
    #[expect(
        clippy::disallowed_methods,
        reason = "the pages live as long as the process and own nothing that must be ended"
    )]
    let pages = tokio::spawn(http::serve(listener, pages));
    tracing::info!(environment = common.environment, %listen, version = env!("CARGO_PKG_VERSION"), "syncd started");
    if let Some((address, secret_file)) = webhook {
        let listener = TcpListener::bind(address).await.map_err(|source| CliError::Listen { address, source })?;
        let address = listener.local_addr().unwrap_or(address);
        let webhook = Arc::new(Webhook::new(secret_file, reconciler.tip().poll_now()));
        #[expect(
            clippy::disallowed_methods,
            reason = "it lives as long as the process and owns nothing that must be ended"
        )]
        tokio::spawn(webhook::serve(listener, webhook));
        tracing::info!(%address, "the webhook is listened for");
    }
    if common.no_leader_election {
        let tip = reconciler.tip();
        face.leadership(&Leadership::Leads { takeover: Takeover::Clean });
        let watches = reconciler.watches();
        tokio::select! {
            () = daemon::run(&mut reconciler, &*tip, &pace, &*heard, Ulid::new, stop) => {}
            never = watches => match never {},
        }
    } else {
        let tell = |leadership: &Leadership| {
            logs::leadership(leadership);
            face.leadership(leadership);
        };
        let (election, clock, listener) = (&election(&common), &*clock, &*heard);
        let around = Surroundings { election, fence: &fence, pace: &pace, clock, listener, tell: &tell };
        leader::lead(&mut reconciler, &around, Ulid::new, stop).await;
    }
    pages.abort();
    tracing::info!("syncd stopped");
    Ok(Exit::Synced)
}

async fn once(arguments: Once) -> Result<Exit, CliError> {
    let Once { common, report: path, full } = arguments;
    logs::install(common.log_format, common.log_level);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics = Arc::new(Metrics::new(&common.environment, Arc::clone(&clock)));
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
            leave_report(path.as_deref(), &failed_report(&request, &common.environment, &*clock, failure))?;
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
        return Err(CliError::Led { environment: common.environment.clone(), holder });
    }
    Ok(reconciler)
}

/// Returns the election that this process takes part in. Its name is new at each start: a process never takes itself for the one before.
fn election(common: &Common) -> Election {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "syncd" } else { host.trim() };
    Election {
        lease: root_name(&common.environment),
        identity: format!("{host}_{}", Ulid::new()),
        duration: common.lease_duration,
    }
}

/// Longest time for an answer of a running syncd, which has it ready.
const STATUS_TIMEOUT: Duration = Duration::from_secs(10);

async fn status(arguments: &StatusOf) -> Result<Exit, CliError> {
    let address = arguments.address;
    let no_answer = |source| CliError::Status { address, source };
    let client = reqwest::Client::builder().no_proxy().timeout(STATUS_TIMEOUT).build().map_err(no_answer)?;
    let page = async |path: &str| {
        let response = client.get(format!("http://{address}{path}")).send().await?.error_for_status()?;
        response.text().await
    };
    let json = page("/api/v1/status").await.map_err(no_answer)?;
    let text = match arguments.output {
        Output::Text => page("/status").await.map_err(no_answer)?,
        Output::Json => format!("{json}\n"),
    };
    // Whoever closed our output wants no more of it.
    let _ = std::io::stdout().write_all(text.as_bytes());
    let report: serde_json::Value = serde_json::from_str(&json).unwrap_or_default();
    let is_fine = [CycleResult::Synced, CycleResult::Unchanged].iter().any(|fine| report["result"] == fine.as_str());
    Ok(if is_fine { Exit::Synced } else { Exit::Failed })
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

/// Over a real repository and a real cluster.
type Real = Reconciler<CountedRepo<GitRepo>, KubeCluster>;

async fn reconciler(
    common: &Common,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
    fence: &Fence,
) -> Result<Real, CliError> {
    let repo = common.source.open()?;
    let connection = Connection { kubeconfig: common.kubeconfig.clone(), context: common.context.clone() };
    let told = Arc::clone(&metrics);
    let on_traffic: OnTraffic = Arc::new(move |traffic| match traffic {
        Traffic::Begun => told.in_flight(1.0),
        Traffic::Ended => told.in_flight(-1.0),
        Traffic::Answered(fact) => told.request(fact.verb, fact.code, fact.duration),
        Traffic::WatchRestarted => told.watch_restarted(),
    });
    let cluster = KubeCluster::connect(&connection, &common.namespace, Timeouts::default(), on_traffic).await?;
    let cluster = cluster.fenced(fence);
    let settings = Settings {
        rules: rules(common.readiness_rules.as_deref())?,
        adopt: common.adopt.iter().cloned().collect(),
        concurrency: common.concurrency,
        full_sync_interval: common.full_sync_interval,
        drift: common.drift.into(),
        history: match common.allow_rewritten_history {
            true => History::Any,
            false => History::Descendants { accepted: common.accept_revision.clone().into_iter().collect() },
        },
        ..Settings::new(&common.environment, &common.namespace)
    };
    Ok(Reconciler::new(CountedRepo::new(repo, metrics), cluster, settings, clock, observer))
}

/// Returns who tells others, if anybody is to be told.
fn notifier(path: Option<&Path>, environment: &str, metrics: &Arc<Metrics>) -> Result<Option<Notifier>, CliError> {
    let Some(path) = path else { return Ok(None) };
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|source| CliError::NotifyFile { path: path.to_owned(), source })?;
    let metrics = Arc::clone(metrics);
    let count: OnResult = Arc::new(move |receiver, result, number| metrics.notifications(receiver, result, number));
    let notifier = notify::Config::read(&text)
        .and_then(|config| Notifier::start(config, environment, notify::Pace::default(), &count));
    notifier.map(Some).map_err(|source| CliError::Notify { path: path.to_owned(), source })
}

/// Reads the rules of a file.
fn rules(path: Option<&Path>) -> Result<Rules, CliError> {
    let Some(path) = path else { return Ok(Rules::default()) };
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|source| CliError::RulesFile { path: path.to_owned(), source })?;
    Rules::with_file(&text).map_err(|source| CliError::Rules { path: path.to_owned(), source })
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
/// Everyone outside who hears of cycles.
struct Heard {
    face: Arc<Face>,
    notifier: Option<Notifier>,
}

impl Observer for Heard {
    fn observe(&self, event: &Event) {
        self.face.observe(event);
        self.notifier.iter().for_each(|notifier| notifier.hear(event));
    }

    fn recorded(&self, objects: BTreeMap<ObjectRef, String>) {
        self.face.recorded(objects);
    }
}

impl Listener for Heard {
    fn beat(&self) {
        self.face.beat();
    }

    fn last_event(&self) -> Option<Instant> {
        self.face.last_event()
    }

    fn report(&self, report: &Report) {
        self.face.report(report);
        self.notifier.iter().for_each(|notifier| notifier.end(report));
    }
}

struct Both<A, B>(A, Arc<B>);

impl<A: Observer, B: Observer> Observer for Both<A, B> {
    fn observe(&self, event: &Event) {
        self.0.observe(event);
        self.1.observe(event);
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

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

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(duration("15s"), Ok(Duration::from_secs(15)));
        assert_eq!(duration("12h"), Ok(Duration::from_secs(43_200)));
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        for text in ["", "15", "-3s", "0s", "soon"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
