//! `generator check`: tells whether `_gen` is current. Writes nothing.

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
            let (_, changes) = compare(&mut generated, &disk::read_generated(&shared.root)?);
            Outcome::Generated { generated, changes }
        }
    };
    say(shared, Command::Check, &outcome, &repository.tree)
}
