//! What `syncd` must be allowed to do in an environment, out of `_gen`.
//!
//! Reads one or more states of `_gen`; what follows from their objects is in [`manifest::roles`].
//!
//! Invariant: what has just been left out of `_gen` can no longer be deleted by a `syncd` with the new roles: the state before is given as
//! well, for as long as that takes.

use manifest::index::{Index, ROOT};
use manifest::object::Manifest;
use manifest::roles;

use crate::committed;
use crate::diagnostic::{Diagnostic, Diagnostics, Place, suggest};
use crate::source::SourceTree;

pub use manifest::roles::{Roles, Subject};

/// Derives the roles from one or more states of `_gen`: the one there is, and those whose objects may still have to be deleted. With them come
/// warnings of what was guessed.
///
/// # Errors
/// An environment without an index, an index or manifests that cannot be read.
pub fn derive(states: &[(&SourceTree, &str)], subject: &Subject<'_>) -> Result<(Roles, Diagnostics), Diagnostics> {
    let mut diagnostics = Diagnostics::new();
    let mut manifests = Vec::new();
    for (tree, which) in states {
        match objects(tree, subject.environment, which) {
            Ok(found) => manifests.extend(found),
            Err(wrong) => diagnostics.extend(wrong),
        }
    }
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }
    let roles = roles::derive(&manifests, subject);
    for guess in &roles.guesses {
        let hint = "compare with `kubectl api-resources`; where it is wrong, correct the roles";
        let message = format!("{guess}: no CRD in {ROOT} says so");
        diagnostics.push(Diagnostic::warning("guessed-resource", message).hint(hint));
    }
    Ok((roles, diagnostics))
}

fn objects(tree: &SourceTree, environment: &str, which: &str) -> Result<Vec<Manifest>, Diagnostics> {
    let Some(index) = committed::index(tree, environment, which).map_err(|wrong| Diagnostics::from(*wrong))? else {
        let diagnostic =
            Diagnostic::error("unknown-name", format!("there is no environment `{environment}` in {ROOT} {which}"));
        return Err(match suggest(environment, tree.folders(ROOT)) {
            Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
            None => diagnostic.hint("run `generator render`"),
        }
        .into());
    };
    let mut wrong = Diagnostics::new();
    let mut found = Vec::new();
    for service in index.services.keys() {
        let path = Index::resources_path(environment, service);
        match tree.get(&path).map(|bytes| committed::manifests(&path, bytes, which)) {
            Some(Ok(manifests)) => found.extend(manifests),
            Some(Err(diagnostic)) => wrong.push(*diagnostic),
            None => wrong.push(Diagnostic::error("missing-file", "the index lists this file").at(Place::file(path))),
        }
    }
    if wrong.has_errors() { Err(wrong) } else { Ok(found) }
}

#[cfg(test)]
mod tests;
