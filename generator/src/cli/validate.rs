//! `generator validate`: all that `render` would refuse, said without looking at `_gen`. Writes nothing.

use clap::Args;

use super::repository::{self, say};
use super::{CliError, Shared};
use crate::layout::Changes;
use crate::report::{Command, Exit, Outcome};

/// Nothing but what every command takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {}

pub(super) fn run(_: &Arguments, shared: &Shared) -> Result<Exit, CliError> {
    let repository = repository::rendered(shared)?;
    let outcome = match repository.generated {
        Err(diagnostics) => Outcome::Refused(diagnostics),
        Ok(generated) => Outcome::Generated { generated, changes: Changes::default() },
    };
    say(shared, Command::Validate, &outcome, &repository.tree)
}
