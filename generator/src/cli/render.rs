//! `generator render`: makes `_gen` what it ought to be. The only command that writes it.

use clap::Args;

use super::repository::{self, compare, say};
use super::{CliError, Shared};
use crate::disk;
use crate::report::{Command, Exit, Outcome};

/// Nothing but what every command takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {}

pub(super) fn run(_: &Arguments, shared: &Shared) -> Result<Exit, CliError> {
    let repository = repository::generated(shared)?;
    let outcome = match repository.generated {
        Err(diagnostics) => Outcome::Refused(diagnostics),
        Ok(mut generated) => {
            let lock = disk::Lock::acquire(&shared.root)?;
            let committed = disk::read_generated(&shared.root)?;
            let (files, changes) = compare(&mut generated, &committed);
            if !changes.is_empty() {
                lock.replace(&files, &committed)?;
            }
            Outcome::Generated { generated, changes }
        }
    };
    say(shared, Command::Render, &outcome, &repository.tree)
}
