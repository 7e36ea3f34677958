//! What came of a run, for people and for programs.
//!
//! People get the changes and a summary on standard output and what is wrong, with the lines it is wrong in, on standard error.
//! Programs get one JSON object on standard output. Decides nothing: everything it says was found out elsewhere.
//! Invariant: the same outcome is the same text, byte for byte.

use std::collections::BTreeSet;
use std::io::{self, Write};

use serde::Serialize;

use crate::diagnostic::{Color, Diagnostics, Severity};
use crate::layout::{Changes, Generated};
use crate::source::SourceTree;

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Exit {
    /// 0: done, or nothing differs.
    Ok,
    /// 1: `check` found that `_gen` differs from what `render` would write.
    Differs,
    /// 2: the repository or the command line has mistakes; nothing was written.
    Refused,
    /// 3: the disk failed, or the generator has a bug.
    Failed,
}

impl Exit {
    /// Returns the exit code.
    pub fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Differs => 1,
            Exit::Refused => 2,
            Exit::Failed => 3,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Command {
    /// To write `_gen`.
    Render,
    /// To compare it.
    Check,
}

/// What came of it.
#[derive(Debug)]
pub enum Outcome {
    /// Everything was generated; what differed from `_gen`, which `render` has written by now.
    Generated {
        /// What was generated; warnings included.
        generated: Generated,
        /// How `_gen` differed.
        changes: Changes,
    },
    /// There are mistakes.
    Refused(Diagnostics),
}

/// How to say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text(Color),
    /// For programs.
    Json,
}

/// Returns how a process ends that did `command` with this outcome.
pub fn exit(command: Command, outcome: &Outcome) -> Exit {
    match outcome {
        Outcome::Refused(_) => Exit::Refused,
        Outcome::Generated { changes, .. } if command == Command::Check && !changes.is_empty() => Exit::Differs,
        Outcome::Generated { .. } => Exit::Ok,
    }
}

/// Says what came of `command`, to standard output and standard error.
///
/// # Errors
/// Those of the two writers.
pub fn write(
    command: Command,
    outcome: &Outcome,
    format: Format,
    tree: &SourceTree,
    streams: (&mut dyn Write, &mut dyn Write),
) -> io::Result<()> {
    let (out, err) = streams;
    match format {
        Format::Json => {
            let report = Report::of(command, outcome, exit(command, outcome));
            writeln!(out, "{}", serde_json::to_string_pretty(&report).map_err(io::Error::other)?)?;
        }
        Format::Text(color) => {
            write_diagnostics(diagnostics(outcome), color, tree, err)?;
            if let Outcome::Generated { generated, changes } = outcome {
                write_changes(command, generated, changes, out)?;
            }
        }
    }
    out.flush()
}

fn diagnostics(outcome: &Outcome) -> &Diagnostics {
    match outcome {
        Outcome::Generated { generated, .. } => &generated.warnings,
        Outcome::Refused(diagnostics) => diagnostics,
    }
}

fn write_diagnostics(
    diagnostics: &Diagnostics,
    color: Color,
    tree: &SourceTree,
    err: &mut dyn Write,
) -> io::Result<()> {
    let source = |path: &str| tree.get(path).and_then(|content| std::str::from_utf8(content).ok());
    for diagnostic in diagnostics.iter() {
        writeln!(err, "{}\n", diagnostic.render(color, &source))?;
    }
    if diagnostics.has_errors() {
        let (errors, warnings) = (diagnostics.count(Severity::Error), diagnostics.count(Severity::Warning));
        let warnings = if warnings > 0 { format!(", {}", counted(warnings, "warning")) } else { String::new() };
        writeln!(err, "{}{warnings}; nothing was written", counted(errors, "error"))?;
    }
    Ok(())
}

fn write_changes(command: Command, generated: &Generated, changes: &Changes, out: &mut dyn Write) -> io::Result<()> {
    let counts = [
        counted(generated.environments.len(), "environment"),
        counted(generated.services(), "service"),
        counted(generated.objects(), "object"),
    ];
    let counts = counts.join(", ");
    let written = changes.missing.len() + changes.changed.len();
    match command {
        Command::Render => {
            let removed = changes.stale.len();
            let removed = if removed > 0 { format!(", {removed} removed") } else { String::new() };
            writeln!(out, "{counts}; {} written{removed}, {} unchanged", counted(written, "file"), changes.unchanged)
        }
        Command::Check if changes.is_empty() => writeln!(out, "{counts}; _gen is current"),
        Command::Check => {
            let kinds: [(&str, &BTreeSet<String>); 3] =
                [("missing", &changes.missing), ("changed", &changes.changed), ("stale", &changes.stale)];
            for (kind, paths) in kinds {
                for path in paths {
                    writeln!(out, "{kind:<8} {path}")?;
                }
            }
            let differing = counted(written + changes.stale.len(), "file");
            writeln!(out, "{counts}; {differing} of _gen not current: run `generator render` and commit _gen")
        }
    }
}

/// `1 file`, `2 files`.
fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// The JSON object. Fields may be added; those that are there keep their meaning.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'r> {
    command: Command,
    outcome: Exit,
    diagnostics: &'r Diagnostics,
    #[serde(flatten)]
    generated: Option<Figures<'r>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Figures<'r> {
    environments: usize,
    services: usize,
    objects: usize,
    missing: &'r BTreeSet<String>,
    changed: &'r BTreeSet<String>,
    stale: &'r BTreeSet<String>,
    unchanged: usize,
}

impl<'r> Report<'r> {
    fn of(command: Command, outcome: &'r Outcome, exit: Exit) -> Self {
        let generated = match outcome {
            Outcome::Refused(_) => None,
            Outcome::Generated { generated, changes } => Some(Figures {
                environments: generated.environments.len(),
                services: generated.services(),
                objects: generated.objects(),
                missing: &changes.missing,
                changed: &changes.changed,
                stale: &changes.stale,
                unchanged: changes.unchanged,
            }),
        };
        Report { command, outcome: exit, diagnostics: diagnostics(outcome), generated }
    }
}
