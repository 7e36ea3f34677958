//! `generator hook`: makes git check `_gen` before every commit. Writes the hook of this clone, and nothing that is committed.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{CliError, Shared};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::report::{Answer, Command, Exit};
use crate::source::SourceTree;
use crate::{disk, git, hook};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Asked,
}

#[derive(Debug, Subcommand)]
enum Asked {
    /// Puts a check of _gen into git's pre-commit hook, where core.hooksPath says; leaves alone what else is in it
    Install {
        /// Take it out again
        #[arg(long)]
        uninstall: bool,
        /// How the hook runs the generator
        #[arg(long, value_name = "COMMAND", default_value = "generator")]
        command: String,
    },
}

#[derive(Serialize)]
struct Fields {
    hook: String,
    changed: bool,
}

pub(super) fn run(arguments: &Arguments, shared: &Shared) -> Result<Exit, CliError> {
    let Asked::Install { uninstall, command } = &arguments.command;
    let path = git::hooks_folder(&shared.root)?.join(hook::NAME);
    let old = disk::read_script(&path)?;
    let wanted = if *uninstall {
        Ok(old.as_deref().and_then(hook::uninstall))
    } else {
        hook::install(old.as_deref(), &git::prefix(&shared.root)?, command).map(Some)
    };
    let shown = path.display().to_string();
    let (exit, text, fields, wrong) = match wanted {
        Ok(new) => {
            let changed = new != old;
            if changed {
                disk::write_script(&path, new.as_deref())?;
            }
            let text = match (uninstall, changed) {
                (false, true) => format!("{shown} checks _gen before every commit\n"),
                (false, false) => format!("{shown} checks _gen already\n"),
                (true, true) => format!("{shown} does not check _gen any more\n"),
                (true, false) => format!("{shown} does not check _gen\n"),
            };
            (Exit::Ok, text, Some(Fields { hook: shown, changed }), Diagnostics::new())
        }
        Err(error) => {
            let hint = format!("run `{command} check` in it yourself, or move it to a shell script");
            let wrong = Diagnostic::error("foreign-hook", format!("{error}: {shown}")).hint(hint);
            (Exit::Refused, String::new(), None, wrong.into())
        }
    };
    shared.say(
        &Answer { command: Command::Hook, exit, diagnostics: &wrong, text: &text, fields: fields.as_ref() },
        &SourceTree::default(),
    )
}
