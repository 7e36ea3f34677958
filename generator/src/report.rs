//! What came of a run, for people and for programs.
//!
//! People get the changes and a summary on standard output and what is wrong, with the lines it is wrong in, on standard error.
//! Programs get one JSON object on standard output, code hosts SARIF or annotations. Decides nothing: everything it says was found out
//! elsewhere.
//! Invariant: the same outcome is the same text, byte for byte.

use std::collections::BTreeSet;
use std::io::{self, Write};

use serde::Serialize;

pub mod github;
pub mod sarif;

use crate::diagnostic::{Color, Diagnostic, Diagnostics, Place, Severity};
use crate::layout::{Changes, Generated};
use crate::source::SourceTree;

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Exit {
    /// 0: done, and nothing differs.
    Ok,
    /// 1: what was compared differs, such as `_gen` from what `render` would write.
    Differs,
    /// 2: the repository or the command line has mistakes; nothing was written.
    Refused,
    /// 3: the disk or git failed, or the generator has a bug.
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
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// To write `_gen`.
    Render,
    /// To compare it with what the sources give.
    Check,
    /// To say what is wrong with the sources.
    Validate,
    /// To say what differs, object by object.
    Diff,
    /// To say where values come from.
    Explain,
    /// To hold `_gen` against its own index.
    IndexVerify,
    /// To make a service or an environment.
    New,
    /// To make git run the generator.
    Hook,
    /// To print what a chart renders to.
    Template,
    /// To say what syncd must be allowed.
    Rbac,
}

impl Command {
    /// Tells whether someone may expect that it has written to the repository.
    fn may_write(self) -> bool {
        matches!(self, Command::Render | Command::Check | Command::Validate | Command::New | Command::Hook)
    }
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
    /// For programs: one object.
    Json,
    /// For code hosts and editors, see [`sarif`].
    Sarif,
    /// For GitHub Actions, see [`github`]; what is not a diagnostic is text.
    Github,
}

/// Returns how a process ends that did `command` with this outcome.
pub fn exit(command: Command, outcome: &Outcome) -> Exit {
    match outcome {
        Outcome::Refused(_) => Exit::Refused,
        Outcome::Generated { changes, .. } if command == Command::Check && !changes.is_empty() => Exit::Differs,
        Outcome::Generated { .. } => Exit::Ok,
    }
}

/// Says what came of `render`, `check` or `validate`, to standard output and standard error.
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
    let exit = exit(command, outcome);
    match outcome {
        Outcome::Refused(diagnostics) => {
            Answer::<()> { command, exit, diagnostics, text: "", fields: None }.write(format, tree, streams)
        }
        Outcome::Generated { generated, changes } => {
            let mut diagnostics = generated.warnings.clone();
            // What `render` found wrong with `_gen` it has mended.
            let mended = (command == Command::Render).then_some(Severity::Warning);
            let faults = generated.faults.iter().cloned();
            diagnostics.extend(faults.map(|one| Diagnostic { severity: mended.unwrap_or(one.severity), ..one }));
            if exit == Exit::Differs && matches!(format, Format::Sarif | Format::Github) {
                diagnostics.extend(differences(changes));
            }
            let figures = Figures::of(generated, (command != Command::Validate).then_some(changes));
            let text = generated_text(command, generated, changes);
            Answer { command, exit, diagnostics: &diagnostics, text: &text, fields: Some(&figures) }
                .write(format, tree, streams)
        }
    }
}

/// What a command has to say, whatever the form.
#[derive(Debug)]
pub struct Answer<'a, T> {
    /// What was asked for.
    pub command: Command,
    /// How the process ends.
    pub exit: Exit,
    /// What is wrong, and what someone should look at.
    pub diagnostics: &'a Diagnostics,
    /// For people, complete lines; empty where there is nothing but diagnostics.
    pub text: &'a str,
    /// For programs: the fields beside `command`, `outcome` and `diagnostics`.
    pub fields: Option<&'a T>,
}

impl<T: Serialize> Answer<'_, T> {
    /// Says it, to standard output and standard error; the lines that diagnostics show are out of `tree`.
    ///
    /// # Errors
    /// Those of the two writers.
    pub fn write(
        &self,
        format: Format,
        tree: &SourceTree,
        (out, err): (&mut dyn Write, &mut dyn Write),
    ) -> io::Result<()> {
        match format {
            Format::Json => {
                let Answer { command, exit: outcome, diagnostics, fields, .. } = *self;
                let report = Report { command, outcome, diagnostics, fields };
                writeln!(out, "{}", serde_json::to_string_pretty(&report).map_err(io::Error::other)?)?;
            }
            Format::Sarif => writeln!(out, "{}", sarif::write(self.diagnostics))?,
            Format::Github => write!(out, "{}{}", github::write(self.diagnostics), self.text)?,
            Format::Text(color) => {
                write_diagnostics(self.command, self.diagnostics, color, tree, err)?;
                out.write_all(self.text.as_bytes())?;
            }
        }
        out.flush()
    }
}

fn write_diagnostics(
    command: Command,
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
        let end = if command.may_write() { "; nothing was written" } else { "" };
        writeln!(err, "{}{warnings}{end}", counted(errors, "error"))?;
    }
    Ok(())
}

/// Returns how the files of `_gen` differ: word and paths.
fn kinds(changes: &Changes) -> [(&'static str, &BTreeSet<String>); 3] {
    [("missing", &changes.missing), ("changed", &changes.changed), ("stale", &changes.stale)]
}

/// Returns what differs, said as diagnostics for those who only take such.
fn differences(changes: &Changes) -> impl Iterator<Item = Diagnostic> {
    kinds(changes).into_iter().flat_map(|(kind, paths)| {
        paths.iter().map(move |path| {
            Diagnostic::error("not-current", format!("this file is {kind}: it is not what the sources give"))
                .at(Place::file(path))
                .hint("run `generator render` and commit _gen")
        })
    })
}

fn generated_text(command: Command, generated: &Generated, changes: &Changes) -> String {
    let counts = [
        counted(generated.environments.len(), "environment"),
        counted(generated.services(), "service"),
        counted(generated.objects(), "object"),
    ];
    let counts = counts.join(", ");
    let written = changes.missing.len() + changes.changed.len();
    match command {
        Command::Check if changes.is_empty() => format!("{counts}; _gen is current\n"),
        Command::Check => {
            let mut text = String::new();
            for (kind, paths) in kinds(changes) {
                text.extend(paths.iter().map(|path| format!("{kind:<8} {path}\n")));
            }
            let differing = counted(written + changes.stale.len(), "file");
            text + &format!("{counts}; {differing} of _gen not current: run `generator render` and commit _gen\n")
        }
        Command::Validate => match generated.warnings.count(Severity::Warning) {
            0 => format!("{counts}; nothing is wrong\n"),
            warnings => format!("{counts}; no error, {}\n", counted(warnings, "warning")),
        },
        _ => {
            let removed = changes.stale.len();
            let removed = if removed > 0 { format!(", {removed} removed") } else { String::new() };
            format!("{counts}; {} written{removed}, {} unchanged\n", counted(written, "file"), changes.unchanged)
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
struct Report<'r, T> {
    command: Command,
    outcome: Exit,
    diagnostics: &'r Diagnostics,
    #[serde(flatten)]
    fields: Option<&'r T>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Figures<'r> {
    environments: usize,
    services: usize,
    objects: usize,
    #[serde(flatten)]
    files: Option<Files<'r>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Files<'r> {
    missing: &'r BTreeSet<String>,
    changed: &'r BTreeSet<String>,
    stale: &'r BTreeSet<String>,
    unchanged: usize,
}

impl<'r> Figures<'r> {
    fn of(generated: &Generated, changes: Option<&'r Changes>) -> Self {
        Figures {
            environments: generated.environments.len(),
            services: generated.services(),
            objects: generated.objects(),
            files: changes.map(|changes| Files {
                missing: &changes.missing,
                changed: &changes.changed,
                stale: &changes.stale,
                unchanged: changes.unchanged,
            }),
        }
    }
}
