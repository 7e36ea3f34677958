//! `generator render`: makes `_gen` what it ought to be. The only command that writes it.

use clap::Args;

use super::repository::{self, compare, say};
use super::{CliError, Shared};
use crate::disk;
use crate::report::{Command, Exit, Outcome};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Exit with 1 where _gen was not current and has been written, so that a hook does not let the commit pass without it
    #[arg(long)]
    exit_code: bool,
}

pub(super) fn run(arguments: &Arguments, shared: &Shared) -> Result<Exit, CliError> {
    let repository = repository::generated(shared)?;
    let outcome = match repository.generated {
        Err(diagnostics) => Outcome::Refused(diagnostics),
        Ok(mut generated) => {
            let lock = disk::Lock::acquire(&shared.root)?;
            let committed = disk::read_generated(&shared.root)?;
            let (files, changes) = compare(&mut generated, &committed);
            if !changes.is_empty() {
                shared.on_threads(|| lock.replace(&files, &committed))??;
            }
            Outcome::Generated { generated, changes }
        }
    };
    let exit = say(shared, Command::Render, &outcome, &repository.tree)?;
    let has_written = matches!(&outcome, Outcome::Generated { changes, .. } if !changes.is_empty());
    Ok(if arguments.exit_code && has_written { Exit::Differs } else { exit })
}
