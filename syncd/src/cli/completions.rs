//! `syncd completions`: what a shell has to know to complete command lines. Writes to standard output alone.

use clap::Args;
use clap_complete::Shell;

use super::output::say;
use super::{Exit, command};

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

pub(super) fn run(arguments: &Completions) -> Exit {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut command(), "syncd", &mut text);
    say(&String::from_utf8_lossy(&text));
    Exit::Synced
}
