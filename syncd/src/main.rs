//! The program. Everything is in the library; here are the process's runtime, its crypto provider and its last words.

use std::process::ExitCode;

use clap::Parser;
use syncd::cli::{self, Cli, CliError, Exit};

fn main() -> ExitCode {
    // Before anything else: two TLS users, kube and the Git transport, must find one provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = Cli::parse();
    let exit = run(cli).unwrap_or_else(|error| {
        eprintln!("syncd: {error:#}");
        error.downcast_ref().map_or(Exit::Internal, CliError::exit)
    });
    ExitCode::from(exit as u8)
}

fn run(cli: Cli) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    Ok(runtime.block_on(cli::execute(cli))?)
}
