//! The repository of a command: read once, generated in memory, compared with `_gen`, and what came of it said.
//!
//! What the commands on services have in common. Writes nothing but the report.

use std::collections::BTreeMap;
use std::io;

use super::{CliError, Shared, written};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::disk::{self, Committed, Input};
use crate::layout::Changes;
use crate::report::{self, Command, Exit, Outcome};
use crate::source::SourceTree;
use crate::{Generated, generate};

/// A repository, and what is generated from it.
pub(super) struct Repository {
    pub(super) tree: SourceTree,
    /// Or everything that is wrong.
    pub(super) generated: Result<Generated, Diagnostics>,
}

/// Reads the repository and generates every environment.
pub(super) fn generated(shared: &Shared) -> Result<Repository, CliError> {
    let Input { tree, diagnostics } = disk::read(&shared.root)?;
    let generated = shared.on_threads(|| generate(&tree))?;
    Ok(Repository { generated: settle(generated, diagnostics), tree })
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

/// Returns every file of `_gen` as it ought to be, and how the committed one differs.
pub(super) fn compare(generated: &mut Generated, committed: &Committed) -> (BTreeMap<String, String>, Changes) {
    generated.retain(&committed.files);
    let files = generated.files();
    let mut changes = Changes::between(&files, &committed.files);
    changes.stale.extend(committed.foreign.iter().cloned());
    (files, changes)
}

/// Says what came of `command`, in the form that was asked for.
pub(super) fn say(shared: &Shared, command: Command, outcome: &Outcome, tree: &SourceTree) -> Result<Exit, CliError> {
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    written(report::write(command, outcome, shared.format(), tree, (&mut out, &mut err)))?;
    Ok(report::exit(command, outcome))
}
