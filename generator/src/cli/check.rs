//! `generator check`: tells whether `_gen` is current. Writes nothing.

use clap::Args;

use super::repository::{self, Rendering, Repository, compare, say};
use super::{CliError, Shared};
use crate::report::{Command, Exit, Outcome};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    rendering: Rendering,
}

pub(super) fn run(arguments: &Arguments, shared: &Shared) -> Result<Exit, CliError> {
    let Repository { tree, committed, generated } = repository::generated(shared, arguments.rendering)?;
    let outcome = match generated {
        Err(diagnostics) => Outcome::Refused(diagnostics),
        Ok(mut generated) => {
            let (_, changes) = compare(&mut generated, &committed);
            Outcome::Generated { generated, changes }
        }
    };
    say(shared, Command::Check, &outcome, &tree)
}
