//! `generator diff`: what differs between a state of `_gen` and what the sources give. Writes nothing.

use std::io;

use clap::Args;
use serde::Serialize;

use super::repository::{self, Rendering, Repository, compare};
use super::{CliError, FormatName, Shared};
use crate::diagnostic::{Diagnostic, Diagnostics, suggest};
use crate::difference::{self, Difference, Scope};
use crate::git;
use crate::report::{Answer, Command, Exit};
use crate::source::SourceTree;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Compare with _gen as it was at this revision of git (`main`, `HEAD~1`, a commit); default: _gen as it is on the disk
    #[arg(long, value_name = "REV")]
    against: Option<String>,
    /// Only this environment
    #[arg(long, value_name = "ENV")]
    environment: Option<String>,
    /// Only this service
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
    #[command(flatten)]
    rendering: Rendering,
}

#[derive(Serialize)]
struct Fields<'f> {
    difference: &'f Difference,
}

pub(super) fn run(arguments: &Arguments, shared: &Shared) -> Result<Exit, CliError> {
    let Repository { tree, committed, generated } = repository::generated(shared, arguments.rendering)?;
    let generated = match generated {
        Ok(generated) => generated,
        Err(diagnostics) => return say(shared, &tree, &Difference::default(), &diagnostics),
    };
    let mut generated = generated;
    let (after, _) = compare(&mut generated, &committed);
    let (before, which) = match &arguments.against {
        None => (committed.files, "on the disk".to_owned()),
        Some(revision) => (git::generated_at(&shared.root, revision)?, format!("at {revision}")),
    };
    let scope = Scope { environment: arguments.environment.clone(), service: arguments.service.clone() };
    let wrong = unknown(&scope, &before, &after);
    let compared = if wrong.is_empty() {
        difference::between(&before, &after, &scope, [&which, "as rendered"])
    } else {
        Err(wrong)
    };
    match compared {
        Ok(difference) => say(shared, &tree, &difference, &generated.warnings),
        Err(diagnostics) => say(shared, &before, &Difference::default(), &diagnostics),
    }
}

/// Returns what the arguments name and neither side has.
fn unknown(scope: &Scope, before: &SourceTree, after: &SourceTree) -> Diagnostics {
    let folders = |folder: &str| {
        let mut names = before.folders(folder);
        names.extend(after.folders(folder));
        names
    };
    let environments = folders(manifest::index::ROOT);
    let wanted: Vec<&str> = match scope.environment.as_deref() {
        Some(only) => vec![only],
        None => environments.clone(),
    };
    let services = wanted.iter().flat_map(|name| folders(&format!("{}/{name}", manifest::index::ROOT)));
    let services: Vec<&str> = services.collect();
    let asked = [("environment", &scope.environment, environments), ("service", &scope.service, services)];
    let mut wrong = Diagnostics::new();
    for (what, name, known) in asked {
        if let Some(name) = name.as_deref().filter(|name| !known.contains(name)) {
            let diagnostic =
                Diagnostic::error("unknown-name", format!("there is no {what} `{name}`, neither before nor after"));
            wrong.push(match suggest(name, known) {
                Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
                None => diagnostic,
            });
        }
    }
    wrong
}

fn say(
    shared: &Shared,
    tree: &SourceTree,
    difference: &Difference,
    diagnostics: &Diagnostics,
) -> Result<Exit, CliError> {
    let refused = diagnostics.has_errors();
    let exit = match (refused, difference.is_empty()) {
        (true, _) => Exit::Refused,
        (false, true) => Exit::Ok,
        (false, false) => Exit::Differs,
    };
    let text = match shared.format {
        _ if refused => String::new(),
        FormatName::Markdown => difference::to_markdown(difference),
        _ => difference::to_text(difference, shared.color_of(&io::stdout())),
    };
    let fields = Fields { difference };
    let fields = (!refused).then_some(&fields);
    shared.say(&Answer { command: Command::Diff, exit, diagnostics, text: &text, fields }, tree)
}
