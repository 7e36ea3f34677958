//! `generator index`: what can be asked of `_gen` alone.

use clap::{Args, Subcommand};

use super::{CliError, Shared};
use crate::diagnostic::Diagnostics;
use crate::report::{Answer, Command, Exit};
use crate::{disk, integrity};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Asked,
}

#[derive(Debug, Subcommand)]
enum Asked {
    /// Holds _gen against its own indexes: hashes, counts, missing and stray files, objects that come twice. Renders nothing
    Verify {
        /// Only this environment
        #[arg(long, value_name = "ENV")]
        environment: Option<String>,
    },
}

pub(super) fn run(arguments: &Arguments, shared: &Shared) -> Result<Exit, CliError> {
    let Asked::Verify { environment } = &arguments.command;
    let committed = disk::read_generated(&shared.root)?;
    let findings = integrity::verify(&committed.files, &committed.foreign, environment.as_deref());
    let exit = match (findings.refused.is_empty(), findings.differences.is_empty()) {
        (false, _) => Exit::Refused,
        (true, false) => Exit::Differs,
        (true, true) => Exit::Ok,
    };
    let diagnostics: Diagnostics = findings.refused.iter().chain(findings.differences.iter()).cloned().collect();
    let text = match exit {
        Exit::Ok => format!(
            "environments: {}, services: {}, objects: {}; _gen is what its indexes say\n",
            findings.environments, findings.services, findings.objects
        ),
        Exit::Differs | Exit::Refused | Exit::Failed => String::new(),
    };
    shared.say(
        &Answer {
            command: Command::IndexVerify,
            exit,
            diagnostics: &diagnostics,
            text: &text,
            fields: Some(&findings),
        },
        &committed.files,
    )
}
