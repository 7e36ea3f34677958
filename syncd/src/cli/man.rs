//! `syncd man`: the manual, out of the same command line as the help.
//!
//! Invariant: the same program writes the same pages.

use std::path::PathBuf;

use clap::Args;
use clap_mangen::Man as Page;

use super::output::say;
use super::{CliError, Exit, command};

#[derive(Debug, Args)]
pub(super) struct Man {
    /// Folder for all pages, syncd.1, syncd-once.1, ...; without it the first one is printed
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

pub(super) fn run(arguments: &Man) -> Result<Exit, CliError> {
    let whole = command().disable_help_subcommand(true);
    let Some(folder) = &arguments.folder else {
        let mut text = Vec::new();
        Page::new(whole).render(&mut text).expect("memory takes any text");
        say(&String::from_utf8_lossy(&text));
        return Ok(Exit::Synced);
    };
    let written = std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(whole, folder));
    written.map_err(|source| CliError::Written { path: folder.clone(), source })?;
    Ok(Exit::Synced)
}
