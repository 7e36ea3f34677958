//! The command line: what can be asked for, and the order in which it is done.
//!
//! Reads, generates, compares, writes, reports; each of them is elsewhere. Invariant: where there is a mistake, and in `check`,
//! nothing on the disk is touched.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand, ValueEnum};

use crate::diagnostic::{Color, Diagnostic, Diagnostics};
use crate::disk::{self, Committed, DiskError, Input};
use crate::layout::Changes;
use crate::report::{self, Command, Exit, Format, Outcome};
use crate::source::SourceTree;
use crate::{Generated, generate};

/// Stack of a thread that renders: templates nest deeper than most programs.
const STACK_BYTES: usize = 8 << 20;

const EXIT_CODES: &str = "Exit codes:
  0  done; for `check`: _gen is current
  1  `check`: _gen differs from what `render` would write
  2  the repository or the command line has mistakes; nothing was written
  3  the disk failed, or the generator has a bug";

/// Renders services/ through the charts in charts/ into _gen/.
#[derive(Debug, Parser)]
#[command(name = "generator", version, after_help = EXIT_CODES, max_term_width = 120)]
struct Cli {
    /// Root of the repository: the folder with services/ and charts/
    #[arg(long, global = true, value_name = "DIR", default_value = ".")]
    root: PathBuf,
    /// How many threads render; default: one for each core. The output does not depend on it
    #[arg(long, global = true, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// text: changes and summary on standard output, what is wrong on standard error; json: one object on standard output
    #[arg(long, global = true, value_enum, default_value_t = FormatName::Text)]
    format: FormatName,
    /// Whether what is wrong is said in colours
    #[arg(long, global = true, value_enum, default_value_t = When::Auto)]
    color: When,
    #[command(subcommand)]
    command: Asked,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Asked {
    /// Writes _gen: what is new or changed is written, what is no longer generated is removed, all in one step
    Render,
    /// Renders in memory and compares with _gen: lists what is missing, changed or stale, and writes nothing
    Check,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormatName {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum When {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    Always,
    Never,
}

/// Why a run did not come to an end.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// See [`DiskError`].
    #[error(transparent)]
    Disk(#[from] DiskError),
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
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            error.print().map_err(CliError::Report)?;
            return Ok(if error.use_stderr() { Exit::Refused } else { Exit::Ok });
        }
    };
    let threads = cli.threads.map_or(0, NonZeroUsize::get);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .stack_size(STACK_BYTES)
        .build()
        .map_err(CliError::Threads)?;
    let Input { tree, diagnostics } = disk::read(&cli.root)?;
    let generated = pool.install(|| generate(&tree));
    let (command, outcome) = match cli.command {
        Asked::Render => (Command::Render, render(&cli.root, generated, diagnostics)?),
        Asked::Check => (Command::Check, check(&cli.root, generated, diagnostics)?),
    };
    say(&cli, command, &outcome, &tree)
}

fn render(root: &Path, generated: Result<Generated, Diagnostics>, refused: Diagnostics) -> Result<Outcome, CliError> {
    let mut generated = match settle(generated, refused) {
        Ok(generated) => generated,
        Err(diagnostics) => return Ok(Outcome::Refused(diagnostics)),
    };
    let lock = disk::Lock::acquire(root)?;
    let committed = disk::read_generated(root)?;
    let (files, changes) = compare(&mut generated, &committed);
    if !changes.is_empty() {
        lock.replace(&files, &committed)?;
    }
    Ok(Outcome::Generated { generated, changes })
}

fn check(root: &Path, generated: Result<Generated, Diagnostics>, refused: Diagnostics) -> Result<Outcome, CliError> {
    let mut generated = match settle(generated, refused) {
        Ok(generated) => generated,
        Err(diagnostics) => return Ok(Outcome::Refused(diagnostics)),
    };
    let committed = disk::read_generated(root)?;
    let (_, changes) = compare(&mut generated, &committed);
    Ok(Outcome::Generated { generated, changes })
}

fn compare(generated: &mut Generated, committed: &Committed) -> (std::collections::BTreeMap<String, String>, Changes) {
    generated.retain(&committed.files);
    let files = generated.files();
    let mut changes = Changes::between(&files, &committed.files);
    changes.stale.extend(committed.foreign.iter().cloned());
    (files, changes)
}

/// Joins what the disk refused with what generating found. A file that was not read leaves a gap; what is said about the gap, and the
/// folders around it, is left out.
fn settle(generated: Result<Generated, Diagnostics>, refused: Diagnostics) -> Result<Generated, Diagnostics> {
    if refused.is_empty() {
        return generated;
    }
    let gaps: Vec<String> = refused.iter().filter_map(|one| Some(one.place.as_ref()?.file.clone())).collect();
    let is_gap = |diagnostic: &Diagnostic| {
        let file = diagnostic.place.as_ref().map_or("", |place| place.file.as_str());
        gaps.iter().any(|gap| gap.strip_prefix(file).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    };
    let mut all = refused;
    let found = generated.map_or_else(|diagnostics| diagnostics, |generated| generated.warnings);
    all.extend(found.into_iter().filter(|diagnostic| !is_gap(diagnostic)));
    Err(all)
}

fn say(cli: &Cli, command: Command, outcome: &Outcome, tree: &SourceTree) -> Result<Exit, CliError> {
    let color = match cli.color {
        When::Always => Color::On,
        When::Never => Color::Off,
        When::Auto if io::stderr().is_terminal() && !no_color() => Color::On,
        When::Auto => Color::Off,
    };
    let format = match cli.format {
        FormatName::Text => Format::Text(color),
        FormatName::Json => Format::Json,
    };
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    match report::write(command, outcome, format, tree, (&mut out, &mut err)) {
        // Whoever reads has read enough, as `head` does.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::Report(error)),
        Ok(()) | Err(_) => Ok(report::exit(command, outcome)),
    }
}

#[expect(clippy::disallowed_methods, reason = "says how a terminal looks, and reaches no file")]
fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}
