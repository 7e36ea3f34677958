//! The command line: what can be asked for, and what all commands have in common.
//!
//! A command is a module below: its arguments, and `run`, which reads, decides by what is elsewhere, writes and returns how the process is
//! to end. To add one: a module, a line in [`Command`] and one in [`Command::run`]. Invariant: only a command that says so in its help
//! writes to the disk, and only after everything it was asked for turned out right.

mod check;
mod completions;
mod diff;
mod explain;
mod hook;
mod index;
mod new;
mod progress;
mod rbac;
mod render;
mod repository;
mod template;
mod validate;

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use serde::Serialize;

use crate::diagnostic::Color;
use crate::disk::DiskError;
use crate::git::GitError;
use crate::report::{Answer, Exit, Format};
use crate::source::SourceTree;

/// Stack of a thread that renders: templates nest deeper than most programs.
const STACK_BYTES: usize = 8 << 20;

const EXIT_CODES: &str = "Exit codes, of every command:
  0  done, and nothing differs
  1  something differs: _gen from what the sources give (`check`, `diff`, `render --exit-code`), or from its own index
     (`index verify`)
  2  the repository or the command line has mistakes; nothing was written
  3  the disk or git failed, or the generator has a bug";

/// Renders services/ through the charts in charts/ into _gen/.
#[derive(Debug, Parser)]
#[command(name = "generator", version, max_term_width = 120)]
struct Cli {
    #[command(flatten)]
    shared: Shared,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
struct Shared {
    /// Root of the repository: the folder with services/ and charts/
    #[arg(long, global = true, value_name = "DIR", default_value = ".")]
    root: PathBuf,
    /// How many threads render; default: one for each core. The output does not depend on it
    #[arg(long, global = true, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// How to say what came of it
    #[arg(long, global = true, value_enum, default_value_t = FormatName::Text)]
    format: FormatName,
    /// Whether text is in colours
    #[arg(long, global = true, value_enum, default_value_t = When::Auto)]
    color: When,
}

/// What can be asked for. Listed in the order of the help.
#[derive(Debug, Subcommand)]
enum Command {
    /// Writes _gen: what is new or changed is written, what is no longer generated is removed, all in one step
    Render(render::Arguments),
    /// Renders in memory and compares with _gen: lists what is missing, changed or stale, and writes nothing
    Check(check::Arguments),
    /// Renders in memory and says what is wrong, in the sources or in what they render to; writes nothing and looks at no _gen
    Validate(validate::Arguments),
    /// Says what differs between _gen and what the sources give: object by object, field by field, without the values of Secrets
    Diff(diff::Arguments),
    /// Says where the values of a service come from: the line that set each, what that overrides, and the template lines that read it
    Explain(explain::Arguments),
    /// Prints what a chart on this disk renders to, as `helm template` does; needs no repository
    Template(Box<template::Arguments>),
    /// Asks something of _gen alone, without the sources
    Index(index::Arguments),
    /// Says what syncd must be allowed to do in an environment: roles and bindings, as YAML, for exactly the kinds and namespaces in _gen
    Rbac(rbac::Arguments),
    /// Makes a service or an environment that renders; writes new files only
    New(new::Arguments),
    /// Makes git check _gen before every commit
    Hook(hook::Arguments),
    /// Writes what a shell has to know to complete command lines
    Completions(completions::Arguments),
}

impl Command {
    fn run(&self, shared: &Shared) -> Result<Exit, CliError> {
        match self {
            Command::Render(arguments) => render::run(arguments, shared),
            Command::Check(arguments) => check::run(arguments, shared),
            Command::Validate(arguments) => validate::run(arguments, shared),
            Command::Diff(arguments) => diff::run(arguments, shared),
            Command::Explain(arguments) => explain::run(arguments, shared),
            Command::Template(arguments) => template::run(arguments, shared),
            Command::Index(arguments) => index::run(arguments, shared),
            Command::Rbac(arguments) => rbac::run(arguments, shared),
            Command::New(arguments) => new::run(arguments, shared),
            Command::Hook(arguments) => hook::run(arguments, shared),
            Command::Completions(arguments) => completions::run(arguments),
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormatName {
    /// For people: results on standard output, what is wrong on standard error
    Text,
    /// For programs: one object on standard output
    Json,
    /// For code hosts and editors: what is wrong as SARIF 2.1.0 on standard output, and nothing else
    Sarif,
    /// For GitHub Actions: what is wrong as annotations of a workflow, the rest as text, on standard output
    Github,
    /// For a comment on a pull request; only `diff` has this one
    Markdown,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum When {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    Always,
    Never,
}

impl Shared {
    /// Returns whether standard error gets colours.
    fn color(&self) -> Color {
        self.color_of(&io::stderr())
    }

    /// Returns whether a stream gets colours.
    fn color_of(&self, stream: &impl IsTerminal) -> Color {
        match self.color {
            When::Always => Color::On,
            When::Never => Color::Off,
            When::Auto if stream.is_terminal() && !no_color() => Color::On,
            When::Auto => Color::Off,
        }
    }

    /// Tells whether someone watches standard error: a person at a terminal, not the log of a build.
    fn shows_progress(&self) -> bool {
        matches!(self.format, FormatName::Text | FormatName::Markdown) && io::stderr().is_terminal() && !is_build()
    }

    /// Returns a path that was typed, from the root on where there is one.
    fn beside_root(&self, path: &str) -> PathBuf {
        if self.root.as_os_str() == "." { PathBuf::from(path) } else { self.root.join(path) }
    }

    fn format(&self) -> Format {
        match self.format {
            FormatName::Text => Format::Text(self.color()),
            FormatName::Json => Format::Json,
            FormatName::Sarif => Format::Sarif,
            FormatName::Github => Format::Github,
            FormatName::Markdown => Format::Text(Color::Off),
        }
    }

    /// Says an answer in the form that was asked for, and returns how the process is to end.
    fn say<T: Serialize>(&self, answer: &Answer<'_, T>, tree: &SourceTree) -> Result<Exit, CliError> {
        let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
        written(answer.write(self.format(), tree, (&mut out, &mut err)))?;
        Ok(answer.exit)
    }

    /// Does `work` on threads that can hold a deep template.
    fn on_threads<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, CliError> {
        let threads = self.threads.map_or(0, NonZeroUsize::get);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).stack_size(STACK_BYTES);
        Ok(pool.build().map_err(CliError::Threads)?.install(work))
    }
}

fn no_color() -> bool {
    is_set("NO_COLOR")
}

/// Tells whether the terminal is one that only records, or one that cannot go back in a line.
fn is_build() -> bool {
    is_set("CI") || variable("TERM").is_some_and(|term| term == "dumb")
}

fn is_set(name: &str) -> bool {
    variable(name).is_some_and(|value| !value.is_empty())
}

#[expect(clippy::disallowed_methods, reason = "says how a terminal looks, and reaches no file")]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// Why a run did not come to an end.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// See [`DiskError`].
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// See [`GitError`].
    #[error(transparent)]
    Git(#[from] GitError),
    /// Standard output or standard error does not take what is written to it.
    #[error("cannot write the report")]
    Report(#[source] io::Error),
    /// The system has no threads left.
    #[error("cannot start the threads that render")]
    Threads(#[source] rayon::ThreadPoolBuildError),
}

/// Does what the command line asks for, and returns how the process is to end.
///
/// # Errors
/// See [`CliError`]. Mistakes in the repository and on the command line are no errors: they are reported, and end in [`Exit::Refused`].
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<Exit, CliError> {
    match parse(arguments) {
        Ok(cli) => cli.command.run(&cli.shared),
        Err(error) => {
            error.print().map_err(CliError::Report)?;
            Ok(if error.use_stderr() { Exit::Refused } else { Exit::Ok })
        }
    }
}

/// Returns the whole command line, as the help and the completions have it.
pub fn command() -> clap::Command {
    fn with_exit_codes(command: clap::Command) -> clap::Command {
        command.after_help(EXIT_CODES).mut_subcommands(with_exit_codes)
    }
    with_exit_codes(Cli::command())
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let matches = command().try_get_matches_from(arguments)?;
    let cli = Cli::from_arg_matches(&matches)?;
    if matches!(cli.shared.format, FormatName::Markdown) && !matches!(cli.command, Command::Diff(_)) {
        return Err(command().error(ErrorKind::InvalidValue, "only `diff` has the format `markdown`"));
    }
    Ok(cli)
}

/// Takes the outcome of writing to a standard stream: whoever reads has read enough, as `head` does.
fn written(result: io::Result<()>) -> Result<(), CliError> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::Report(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}
