//! `generator completions`: what a shell has to know to complete command lines. Writes to standard output alone.

use std::io;

use clap::Args;
use clap_complete::Shell;

use super::{CliError, written};
use crate::report::Exit;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The shell
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::command(), "generator", &mut text);
    written(io::Write::write_all(&mut io::stdout().lock(), &text))?;
    Ok(Exit::Ok)
}
