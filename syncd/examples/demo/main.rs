//! `cargo demo`: the whole walk, from `services/` to a synced cluster, on any machine with Rust and git.
//!
//! Copies this repository's example to a temporary one, starts the model cluster (or takes the one it is pointed at), and plays a history:
//! each step is a change in `services/`, a render, a commit, and one cycle of `syncd` in each environment. Ends with a table, the state of
//! the cluster and of the metrics. Everything is the real thing but the cluster: the generator, Git, the wire, the daemon's own parts.
//! Invariant: exits 0 only if every step did exactly what [`history`] says, and the cluster holds exactly what `_gen` says.

mod cluster;
mod environment;
mod history;
mod repository;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use syncd::report::Report;
use tokio::sync::watch;
use tokio::time::Instant;

use cluster::Target;
use environment::Environment;
use history::{ENVIRONMENTS, Expected, HISTORY, Step};
use repository::Repository;

/// Shows the whole walk: services/ and charts/ become _gen/, a commit, and objects in a Kubernetes API.
#[derive(Parser)]
#[command(name = "cargo demo")]
struct Arguments {
    /// Leave the API, the daemons and their addresses up until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Sync into this cluster instead of the model one; its current context is used
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Say every object that is touched
    #[arg(short, long)]
    verbose: bool,
}

/// What one environment did in one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Done {
    applied: usize,
    deleted: usize,
}

struct Row {
    title: &'static str,
    expected: [Expected; 2],
    done: [Done; 2],
    /// Requests that the API got: reads and writes. `None` for a cluster that does not count them.
    requests: Option<(usize, usize)>,
    duration: Duration,
}

impl Row {
    fn is_as_expected(&self) -> bool {
        let counted = self
            .expected
            .iter()
            .zip(&self.done)
            .all(|(expected, done)| (expected.applied, expected.deleted) == (done.applied, done.deleted));
        let quiet = self.expected.iter().all(|expected| (expected.applied, expected.deleted) == (0, 0));
        counted && !(quiet && self.requests.is_some_and(|(_, writes)| writes > 0))
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    println!("repository  {}", folder.path().join("repository").display());
    let repository = Repository::create(&folder.path().join("repository"))?;
    let target = match &arguments.kubeconfig {
        Some(kubeconfig) => Target::given(kubeconfig.clone()).await?,
        None => Target::model(&folder.path().join("kubeconfig")).await?,
    };
    println!("API         {}, KUBECONFIG={}", target.address(), target.kubeconfig().display());
    let mut environments = Vec::new();
    for name in ENVIRONMENTS {
        let environment = Environment::start(name, &repository, target.kubeconfig(), arguments.verbose).await?;
        println!("syncd       {name}: http://{}/metrics", environment.address());
        environments.push(environment);
    }

    let mut rows = Vec::new();
    for (number, step) in HISTORY.iter().enumerate() {
        println!("\n[{}/{}] {}", number + 1, HISTORY.len(), step.title);
        rows.push(play(step, &repository, &target, &mut environments).await?);
    }

    print_table(&rows);
    let owned = target.owned().await?;
    print_cluster(&owned);
    for environment in &environments {
        environment.print_metrics();
    }
    let wanted = repository.objects(&ENVIRONMENTS)?;
    let surprises = rows.iter().filter(|row| !row.is_as_expected()).count();
    let is_complete = owned.len() == wanted;
    println!(
        "\n{} of {} steps as expected; {} of {wanted} objects in the cluster",
        rows.len() - surprises,
        rows.len(),
        owned.len()
    );

    if arguments.keep {
        keep(environments, &target).await?;
    }
    Ok(if surprises == 0 && is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Makes one change and lets both environments follow it.
async fn play(step: &Step, repository: &Repository, target: &Target, environments: &mut [Environment]) -> Result<Row> {
    let begun = Instant::now();
    (step.change)(&repository.services()).with_context(|| format!("cannot change the services: {}", step.title))?;
    repository.render().await?;
    repository.commit(step.title).await?;
    target.forget_requests();
    let mut done = [Done { applied: 0, deleted: 0 }; 2];
    for (environment, done) in environments.iter_mut().zip(&mut done) {
        let report = environment.cycle().await;
        *done = count(&report);
        ensure!(report.errors.is_empty(), "{}: {:?}", report.environment, report.errors);
    }
    Ok(Row { title: step.title, expected: step.expected, done, requests: target.requests(), duration: begun.elapsed() })
}

fn count(report: &Report) -> Done {
    Done { applied: report.applied_resources.len(), deleted: report.deleted_resources.len() }
}

fn print_table(rows: &[Row]) {
    println!("\n{:<50}  {:>12}  {:>12}  {:>12}  {:>7}", "", ENVIRONMENTS[0], ENVIRONMENTS[1], "requests", "");
    println!("{:<50}  {:>12}  {:>12}  {:>12}  {:>7}", "STEP", "APPLIED/DEL.", "APPLIED/DEL.", "READS/WRITES", "TIME");
    for row in rows {
        let done = row.done.map(|done| format!("{} / {}", done.applied, done.deleted));
        let requests = row.requests.map_or_else(|| "-".to_owned(), |(reads, writes)| format!("{reads} / {writes}"));
        let seconds = row.duration.as_secs_f64();
        let mark = if row.is_as_expected() { String::new() } else { format!("  EXPECTED {:?}", row.expected) };
        println!("{:<50}  {:>12}  {:>12}  {:>12}  {seconds:>5.1} s{mark}", row.title, done[0], done[1], requests);
    }
}

fn print_cluster(owned: &[cluster::Owned]) {
    println!("\n{:<12}  {:<9}  {:<24}  {:<18}  READY", "ENVIRONMENT", "SERVICE", "KIND", "NAME");
    for object in owned {
        println!(
            "{:<12}  {:<9}  {:<24}  {:<18}  {}",
            object.environment, object.service, object.kind, object.name, object.ready
        );
    }
}

/// Turns the environments into daemons, and waits for Ctrl-C.
async fn keep(environments: Vec<Environment>, target: &Target) -> Result<()> {
    println!("\nkept up until Ctrl-C; each commit in the repository is followed within two seconds. Try:");
    println!("  export KUBECONFIG={}", target.kubeconfig().display());
    println!("  kubectl get deployments --all-namespaces --watch");
    let (stop, stopped) = watch::channel(false);
    let daemons = environments.into_iter().map(|environment| environment.follow(stopped.clone()));
    let interrupted = async {
        let result = tokio::signal::ctrl_c().await;
        stop.send_replace(true);
        result
    };
    let (_, result) = tokio::join!(futures::future::join_all(daemons), interrupted);
    result.context("cannot wait for Ctrl-C")
}
