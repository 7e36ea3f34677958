//! `sandbox serve`: the model API on loopback. It is never a production target.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use sandbox::http;
use sandbox::{Cluster, Settings};

/// A model of the Kubernetes API in memory, for tests and for trying things out. Never a production target: it has no authentication,
/// keeps nothing, and listens on loopback only.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves the API until interrupted
    ///
    /// Pods become ready by themselves; the annotation `sandbox/behaviour` on a pod template makes them do otherwise: never-ready, crash-loop,
    /// flaky=N, out-of-memory, fail, succeed, slow=30s, ready-after=8s, image-pull-error, invalid-image-name, config-error, unschedulable, stuck-terminating.
    ///
    /// GET, PUT and DELETE /sandbox/faults show, set and clear what goes wrong on purpose; GET and DELETE /sandbox/requests show and clear the
    /// log of requests; POST /sandbox/advance?seconds=N moves time; POST /sandbox/compact and /sandbox/drop-watches do to watches what they say.
    Serve {
        /// Where to listen; only loopback is allowed, port 0 takes any free port
        #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
        listen: SocketAddr,
        /// File to write a kubeconfig to
        #[arg(long, value_name = "FILE")]
        kubeconfig: Option<PathBuf>,
        /// Namespace that exists from the start; may be given several times
        #[arg(long = "namespace", value_name = "NAME")]
        namespaces: Vec<String>,
        /// How fast time runs, as a multiple of the wall clock
        #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
        speed: f64,
        /// Number of nodes
        #[arg(long, default_value_t = 3, value_name = "COUNT")]
        nodes: u32,
        /// Seed of uids and generated names
        #[arg(long, default_value_t = 0, value_name = "NUMBER")]
        seed: u64,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let Command::Serve { listen, kubeconfig, namespaces, speed, nodes, seed } = Arguments::parse().command;
    let cluster = Cluster::new(Settings { namespaces, nodes, seed, ..Settings::default() });
    let server = http::serve(cluster, listen, speed).await?;
    if let Some(path) = &kubeconfig {
        http::write_kubeconfig(path, &server.url())?;
    }
    println!("sandbox API on {} (in memory, no authentication, never for production)", server.url());
    if let Some(path) = &kubeconfig {
        println!("kubectl --kubeconfig {} get namespaces", path.display());
    }
    tokio::signal::ctrl_c().await.context("cannot wait for an interrupt")?;
    server.stop().await;
    Ok(())
}
