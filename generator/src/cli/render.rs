//! `generator render`: makes `_gen` what it ought to be. The only command that writes it.

use clap::Args;

use super::repository::{self, Rendering, Repository, compare, say};
use super::{CliError, Shared};
use crate::disk;
use crate::report::{Command, Exit, Outcome};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Exit with 1 where _gen was not current and has been written, so that a hook does not let the commit pass without it
    #[arg(long)]
    exit_code: bool,
    #[command(flatten)]
    rendering: Rendering,
}

pub(super) fn run(arguments: &Arguments, shared: &Shared) -> Result<Exit, CliError> {
    // From here on `_gen` is what is read below.
    let lock = disk::Lock::acquire(&shared.root)?;
    let Repository { tree, committed, generated } = repository::generated(shared, arguments.rendering)?;
    let outcome = match generated {
        Err(diagnostics) => Outcome::Refused(diagnostics),
        Ok(mut generated) => {
            let (files, changes) = compare(&mut generated, &committed);
            if !changes.is_empty() {
                shared.on_threads(|| lock.replace(&files, &committed))??;
            }
            Outcome::Generated { generated, changes }
        }
    };
    let exit = say(shared, Command::Render, &outcome, &tree)?;
    let has_written = matches!(&outcome, Outcome::Generated { changes, .. } if !changes.is_empty());
    Ok(if arguments.exit_code && has_written { Exit::Differs } else { exit })
}
