//! One environment of the demo: the daemon's own parts, one cycle at a time, with its metrics served over HTTP.
//!
//! Runs in this process what `syncd run` runs, but says when the next cycle begins, so that a step is over when its cycle is. Knows
//! neither the history nor what is expected. Invariant: what is told comes from the events and reports of the cycle.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use syncd::config::Settings;
use syncd::context::Clock;
use syncd::cycle::{Mode, Request};
use syncd::daemon::{self, Listener as _, Pace, Reconciler};
use syncd::git::{GitLimits, GitRepo, GitSettings, Signers};
use syncd::http::{self, Face};
use syncd::kube::{Connection, KubeCluster, OnTraffic, Timeouts, Traffic};
use syncd::metrics::{CountedRepo, Form, Metrics};
use syncd::report::{Event, Observer, Outcome, Report, ServiceState};
use tokio::net::TcpListener;
use tokio::sync::watch;
use ulid::Ulid;

use crate::cluster::STATE_NAMESPACE;
use crate::repository::Repository;

/// Metrics that the demo shows; all others are at the address.
const SHOWN: [&str; 5] = [
    "syncd_index_commit_timestamp_seconds",
    "syncd_service_state",
    "syncd_apply_total",
    "syncd_prune_total",
    "syncd_cycles_total",
];

/// An environment and its daemon.
pub struct Environment {
    name: &'static str,
    reconciler: Reconciler<CountedRepo<GitRepo>, KubeCluster>,
    metrics: Arc<Metrics>,
    face: Arc<Face>,
    address: SocketAddr,
}

impl Environment {
    /// Prepares the daemon of an environment and serves its metrics. Does not touch the cluster yet.
    pub async fn start(name: &'static str, repository: &Repository, kubeconfig: &Path, verbose: bool) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let metrics = Arc::new(Metrics::new(name, Arc::clone(&clock)));
        let face = Arc::new(Face::new(Arc::clone(&metrics), Arc::clone(&clock), pace().silence_max()));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        #[expect(
            clippy::disallowed_methods,
            reason = "the pages live as long as the process and own nothing that must be ended"
        )]
        tokio::spawn(http::serve(listener, Arc::clone(&face)));
        let repo = GitRepo::open(GitSettings {
            url: repository.url(),
            reference: "main".to_owned(),
            access: Default::default(),
            signers: Signers::default(),
            cache: None,
            limits: GitLimits::default(),
        })?;
        let told = Arc::clone(&metrics);
        let on_traffic: OnTraffic = Arc::new(move |traffic| {
            if let Traffic::Answered(fact) = traffic {
                told.request(fact.verb, fact.code, fact.duration);
            }
        });
        let connection = Connection { kubeconfig: Some(kubeconfig.to_owned()), context: None };
        let cluster = KubeCluster::connect(&connection, STATE_NAMESPACE, Timeouts::default(), on_traffic).await?;
        let observer: Arc<dyn Observer> = Arc::new(Progress { name, verbose, face: Arc::clone(&face) });
        let repo = CountedRepo::new(repo, Arc::clone(&metrics));
        let reconciler = Reconciler::new(repo, cluster, Settings::new(name, STATE_NAMESPACE), clock, observer);
        Ok(Environment { name, reconciler, metrics, face, address })
    }

    /// Returns where its metrics are.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs one cycle.
    pub async fn cycle(&mut self) -> Report {
        let request = Request { id: Ulid::new().to_string(), mode: Mode::Auto };
        let (_never, superseded) = watch::channel(false);
        let report = self.reconciler.reconcile(&request, superseded).await;
        self.face.report(&report);
        println!("  {:<10}  {}", self.name, report.result.as_str());
        report
    }

    /// Prints the metrics that tell how it stands, without those that are zero.
    pub fn print_metrics(&self) {
        println!("\nmetrics of {}, from http://{}/metrics", self.name, self.address);
        let text = self.metrics.text(Form::Classic);
        let shown =
            text.lines().filter(|line| SHOWN.iter().any(|name| line.starts_with(name)) && !line.ends_with(" 0"));
        for line in shown {
            println!("  {line}");
        }
    }

    /// Follows the repository as the daemon does, until `stop`.
    pub async fn follow(mut self, stop: watch::Receiver<bool>) {
        let tip = self.reconciler.tip();
        daemon::run(&mut self.reconciler, &*tip, &pace(), &*self.face, Ulid::new, stop).await;
    }
}

fn pace() -> Pace {
    Pace { poll: Duration::from_secs(2), ..Pace::default() }
}

struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the time of day enters the demo")]
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }
}

/// Prints what happens while it happens.
struct Progress {
    name: &'static str,
    verbose: bool,
    face: Arc<Face>,
}

impl Observer for Progress {
    fn observe(&self, event: &Event) {
        self.face.observe(event);
        let name = self.name;
        match event {
            Event::Waiting { service, waiting_for } => {
                if let Some(first) = waiting_for.first() {
                    println!("  {name:<10}  {service}: waiting for {}: {}", first.object, first.message);
                }
            }
            Event::Object { service, object } => {
                let is_trouble = matches!(object.outcome, Outcome::Failed | Outcome::Withheld);
                if self.verbose || is_trouble {
                    let error = object.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
                    println!("  {name:<10}  {service}: {} {}{error}", object.object, object.outcome.as_str());
                }
            }
            Event::ServiceFinished { service, report } => {
                let state = report.state.as_str();
                let (applied, deleted, seconds) = (report.applied, report.deleted, report.seconds);
                if (applied, deleted) != (0, 0) || report.state != ServiceState::Synced {
                    println!("  {name:<10}  {service}: {state}, {applied} applied, {deleted} deleted, {seconds:.1} s");
                }
            }
            Event::Held(held) => {
                println!("  {name:<10}  {} deletions are held: plan {}", held.deletions, held.id.short());
            }
            Event::Drift { service, object, what, .. } => println!("  {name:<10}  {service}: {object}: {what}"),
            Event::Suspended(suspended) => {
                suspended.0.iter().for_each(|suspension| println!("  {name:<10}  {suspension}"));
            }
            Event::Failed(error) => println!("  {name:<10}  {}", error.message),
            Event::Revision { .. }
            | Event::Planned { .. }
            | Event::ServiceStarted { .. }
            | Event::ServiceApplied { .. } => {}
        }
    }
}
