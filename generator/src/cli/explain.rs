//! `generator explain`: where the values of a service come from, and who reads them. Writes nothing.

use clap::Args;

use super::{CliError, Shared};
use crate::diagnostic::Diagnostics;
use crate::disk::{self, Input};
use crate::explain::{self, Question};
use crate::report::{Answer, Command, Exit};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Name of the service
    service: String,
    /// Name of the environment
    #[arg(value_name = "ENV")]
    environment: String,
    /// Path of a value, with dots between keys (`httpService.public.host`, `list.0`; `\.` for a dot in a key): what it overrides and which
    /// template lines read it. Default: every value, and the line that set it
    #[arg(value_name = "VALUE.PATH")]
    path: Option<String>,
}

pub(super) fn run(arguments: &Arguments, shared: &Shared) -> Result<Exit, CliError> {
    let Input { tree, diagnostics } = disk::read(&shared.root)?;
    let Arguments { service, environment, path } = arguments;
    let question = Question { service, environment, path: path.as_deref() };
    let explained = shared.on_threads(|| explain::explain(&tree, &question))?;
    let (exit, text, fields, wrong) = match explained {
        Ok(explanation) => {
            let text = explain::to_text(&explanation, path.is_some());
            (Exit::Ok, text, Some(explanation), Diagnostics::new())
        }
        // A file that was not read may be why.
        Err(wrong) => (Exit::Refused, String::new(), None, wrong.into_iter().chain(diagnostics).collect()),
    };
    shared.say(
        &Answer { command: Command::Explain, exit, diagnostics: &wrong, text: &text, fields: fields.as_ref() },
        &tree,
    )
}
