//! `syncd run`: the daemon as a process, with its pages, its webhook, and those who are told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use manifest::ObjectRef;
use smol_str::SmolStr;
use tokio::net::TcpListener;
use tokio::time::Instant;
use ulid::Ulid;

use super::arguments::{Common, duration};
use super::{Both, CliError, Exit, SystemClock, election, reconciler, stop_on_signal};
use crate::cycle::{Clock, Takeover};
use crate::daemon::{self, Listener, Pace};
use crate::election::Fence;
use crate::http::{self, Face};
use crate::leader::{self, Leadership, Surroundings};
use crate::logs::{self, Logged};
use crate::metrics::Metrics;
use crate::notify::{self, Notifier, OnResult};
use crate::report::{Event, Observer, Report};
use crate::webhook::{self, Webhook};

#[derive(Debug, Args)]
pub(super) struct Run {
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

pub(super) async fn run(arguments: Run) -> Result<Exit, CliError> {
    let Run { common, poll_interval, poll_interval_max, cycle_timeout, notify_config, listen, .. } = arguments;
    let webhook = arguments.webhook_listen.zip(arguments.webhook_secret_file);
    logs::install(common.log_format, common.log_level);
    let pace = Pace { poll: poll_interval, slowest: poll_interval_max, silence: cycle_timeout, ..Pace::default() };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics = Arc::new(Metrics::new(common.environment(), Arc::clone(&clock)));
    let face = Arc::new(Face::new(Arc::clone(&metrics), Arc::clone(&clock), pace.silence_max()));
    let listener = TcpListener::bind(listen).await.map_err(|source| CliError::Listen { address: listen, source })?;
    let notifier = notifier(notify_config.as_deref(), common.environment(), &metrics)?;
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
    tracing::info!(environment = common.environment(), %listen, version = env!("CARGO_PKG_VERSION"), "syncd started");
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

    fn recorded(&self, objects: BTreeMap<ObjectRef, SmolStr>) {
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
