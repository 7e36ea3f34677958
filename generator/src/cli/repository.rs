//! The repository of a command: read once, generated in memory, compared with `_gen`, and what came of it said.
//!
//! What the commands on services have in common. Writes nothing but the report.

use std::io;

use clap::Args;

use super::progress::Progress;
use super::{CliError, Shared, written};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::disk::{self, Committed, Input};
use crate::layout::Changes;
use crate::report::{self, Command, Exit, Outcome};
use crate::source::SourceTree;
use crate::{Extent, Generated, generate_over};

/// A repository, and what is generated from it.
pub(super) struct Repository {
    pub(super) tree: SourceTree,
    /// `_gen` as it is on the disk.
    pub(super) committed: Committed,
    /// Or everything that is wrong.
    pub(super) generated: Result<Generated, Diagnostics>,
}

/// How much is rendered.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Rendering {
    /// Render every service, also those that _gen has from the same inputs already; and say where they render to something
    /// else than it has
    #[arg(long)]
    full: bool,
}

impl Rendering {
    fn extent(self) -> Extent {
        if self.full { Extent::Everything } else { Extent::Changes }
    }
}

/// Reads the repository and its `_gen`, and generates every environment.
pub(super) fn generated(shared: &Shared, rendering: Rendering) -> Result<Repository, CliError> {
    shared.on_threads(|| {
        let (input, committed) = rayon::join(|| disk::read(&shared.root), || disk::read_generated(&shared.root));
        Ok(generated_over(input?, committed?, rendering.extent(), shared))
    })?
}

/// Reads the repository without its `_gen`, and renders all of it.
pub(super) fn rendered(shared: &Shared) -> Result<Repository, CliError> {
    shared.on_threads(|| {
        let input = disk::read(&shared.root)?;
        Ok(generated_over(input, Committed::default(), Extent::Everything, shared))
    })?
}

fn generated_over(input: Input, committed: Committed, extent: Extent, shared: &Shared) -> Repository {
    let Input { tree, diagnostics } = input;
    let progress = Progress::on(shared.shows_progress());
    let generated = generate_over(&tree, &committed.files, extent, &|done, all| progress.show(done, all));
    drop(progress);
    Repository { generated: settle(generated, diagnostics), tree, committed }
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
pub(super) fn compare(generated: &mut Generated, committed: &Committed) -> (SourceTree, Changes) {
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
