//! How fast `syncd` is and what it costs, against what the same API server takes without it: each row of `docs/performance.md` is one command.
//!
//!     cargo bench -p syncd                             # every row, small, on the sandbox
//!     cargo bench -p syncd -- cold --services 1000     # one row
//!     conformance/kubernetes/benchmark cold ...        # the same on a fresh real control plane
//!
//! The cluster is the real control plane that `KUBECONFIG` and `CONTROL_PLANE_DIR` name, else the sandbox in a process of its own. `syncd` is always
//! the real program in a process of its own, with its defaults. Measures and judges nothing: no figure makes it fail; what a row
//! says is in `docs/performance.md`.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot measure may panic")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads clocks and starts processes")]

#[path = "speed/change.rs"]
mod change;
#[path = "speed/cold.rs"]
mod cold;
#[path = "speed/drift.rs"]
mod drift;
#[path = "speed/fleet.rs"]
mod fleet;
#[path = "../tests/git_repository/mod.rs"]
mod git_repository;
#[path = "speed/memory.rs"]
mod memory;
#[path = "speed/pages.rs"]
mod pages;
#[path = "speed/peers.rs"]
mod peers;
#[path = "speed/plane.rs"]
mod plane;
#[path = "speed/process.rs"]
mod process;
#[path = "speed/resync.rs"]
mod resync;
#[path = "speed/scaling.rs"]
mod scaling;
#[path = "speed/table.rs"]
mod table;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
#[command(about = "How fast syncd is, row by row")]
struct Arguments {
    #[command(subcommand)]
    row: Option<Row>,
    /// What cargo adds; it says nothing here
    #[arg(long, global = true, hide = true)]
    bench: bool,
}

/// How much of it.
#[derive(Args, Clone, Copy)]
pub struct Size {
    /// Services of four objects each
    #[arg(long, default_value_t = 100)]
    pub services: usize,
    /// Repetitions; the median counts
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// Replicas of each Deployment
    #[arg(long, default_value_t = 0)]
    pub replicas: u32,
}

#[derive(Subcommand)]
enum Row {
    /// An empty cluster becomes a full one: `syncd once` beside a load generator that only sends the bodies
    Cold {
        #[command(flatten)]
        size: Size,
        /// Requests that the load generator has under way, by commas; the best one counts
        #[arg(long, value_delimiter = ',', default_value = "8,16,32,64")]
        concurrency: Vec<usize>,
    },
    /// The same fleet by other tools, those that are there
    Peers {
        #[command(flatten)]
        size: Size,
    },
    /// One service of many changes
    One {
        #[command(flatten)]
        size: Size,
    },
    /// Nothing changes: what a poll costs
    Poll {
        #[command(flatten)]
        size: Size,
    },
    /// Everything is applied again, and nothing has changed
    Resync {
        #[command(flatten)]
        size: Size,
    },
    /// An object is deleted behind the back of `syncd`
    Drift {
        #[command(flatten)]
        size: Size,
    },
    /// Peak and idle memory
    Memory {
        #[command(flatten)]
        size: Size,
        /// Cycles after which the memory is looked at again; 0: none
        #[arg(long, default_value_t = 0)]
        cycles: u64,
        /// Commits of one change each after which the memory is looked at again; 0: none
        #[arg(long, default_value_t = 0)]
        changes: usize,
    },
    /// Time, processor time and memory by the number of services
    Scaling {
        /// Numbers of services
        #[arg(long, value_delimiter = ',', default_value = "100,1000")]
        services: Vec<usize>,
        /// Picture of it, SVG
        #[arg(long)]
        plot: Option<PathBuf>,
    },
    /// A sync while the page and /metrics are asked for
    Pages {
        #[command(flatten)]
        size: Size,
        /// Requests a second
        #[arg(long, default_value_t = 200)]
        rate: u32,
    },
    /// Writes a fleet as a repository, to look at or to profile
    Make { folder: PathBuf, services: usize },
    /// Serves the sandbox; what the others start where there is no control plane
    #[command(hide = true)]
    Sandbox { kubeconfig: PathBuf },
}

#[tokio::main]
async fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments = Arguments::parse();
    let Some(row) = arguments.row else { return every().await };
    match row {
        Row::Cold { size, concurrency } => cold::measure(size, &concurrency).await,
        Row::Peers { size } => peers::measure(size).await,
        Row::One { size } => change::one(size).await,
        Row::Poll { size } => change::poll(size).await,
        Row::Resync { size } => resync::measure(size).await,
        Row::Drift { size } => drift::measure(size).await,
        Row::Memory { size, cycles, changes } => memory::measure(size, cycles, changes).await,
        Row::Scaling { services, plot } => scaling::measure(&services, plot.as_deref()).await,
        Row::Pages { size, rate } => pages::measure(size, rate).await,
        Row::Make { folder, services } => {
            let fleet = fleet::Fleet::new(services, 0, "bench");
            fleet.commit_in(&folder);
        }
        Row::Sandbox { kubeconfig } => plane::serve_sandbox(&kubeconfig).await,
    }
}

/// Every row, so small that it is over in a minute.
async fn every() {
    let size = Size { services: 50, rounds: 3, replicas: 0 };
    cold::measure(size, &[8, 32]).await;
    change::one(size).await;
    change::poll(size).await;
    resync::measure(size).await;
    drift::measure(size).await;
    memory::measure(size, 0, 0).await;
    scaling::measure(&[50, 100], None).await;
    pages::measure(size, 200).await;
}
