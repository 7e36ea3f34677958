//! Whether `_gen` is what its own indexes say, without rendering anything.
//!
//! What `syncd` would refuse, found before it is pushed: a hash that is another, a file that is missing, a file that nobody lists, an object
//! that two services have. Looks at `_gen` alone, so it also holds where the charts are not at hand. Knows no disk. Invariant: where it
//! finds nothing, every byte below an environment is covered by the index of that environment.

use std::collections::{BTreeMap, BTreeSet};

use manifest::Hash;
use manifest::index::{Entry, Index, ROOT};
use manifest::object::ObjectRef;
use serde::Serialize;

use crate::committed;
use crate::diagnostic::{Diagnostic, Diagnostics, Place, suggest};
use crate::source::SourceTree;

const WHICH: &str = "on the disk";
const RENDER: &str = "run `generator render` and commit _gen";

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Findings {
    /// Environments that were looked at.
    pub environments: usize,
    /// Services in them, by their indexes.
    pub services: usize,
    /// Objects in those that could be read.
    pub objects: usize,
    /// What does not match.
    #[serde(skip)]
    pub differences: Diagnostics,
    /// What could not be read, or is not there at all.
    #[serde(skip)]
    pub refused: Diagnostics,
}

/// Verifies all of `_gen`, or one environment. `foreign` are paths in it that are neither files nor folders.
pub fn verify(tree: &SourceTree, foreign: &[String], only: Option<&str>) -> Findings {
    let mut findings = Findings::default();
    let names: BTreeSet<&str> = tree.folders(ROOT).into_iter().collect();
    if let Some(only) = only.filter(|only| !names.contains(only)) {
        let diagnostic = Diagnostic::error("unknown-name", format!("there is no environment `{only}` in {ROOT}"));
        findings.refused.push(match suggest(only, names.iter().copied()) {
            Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
            None => diagnostic,
        });
    }
    if names.is_empty() && only.is_none() {
        let message = format!("there is no environment in {ROOT}");
        findings.refused.push(Diagnostic::error("no-index", message).hint("run `generator render`"));
    }
    for name in names.into_iter().filter(|name| only.is_none_or(|only| only == *name)) {
        findings.environments += 1;
        match committed::index(tree, name, WHICH) {
            Ok(Some(index)) => environment(tree, &index, &mut findings),
            Ok(None) => {
                let place = Place::file(format!("{ROOT}/{name}"));
                let message = format!("{ROOT}/{name} has no index.json: syncd takes that for a broken repository");
                findings.refused.push(Diagnostic::error("no-index", message).at(place).hint(RENDER));
            }
            Err(diagnostic) => findings.refused.push(*diagnostic),
        }
    }
    let concerned = |path: &&String| {
        only.is_none_or(|only| path.strip_prefix(&format!("{ROOT}/{only}")).is_some_and(|rest| rest.starts_with('/')))
    };
    findings.differences.extend(foreign.iter().filter(concerned).map(|path| {
        let message = "this is neither a file nor a folder, so no index can cover it";
        Diagnostic::error("stray-file", message).at(Place::file(path)).hint("remove it")
    }));
    findings
}

fn environment(tree: &SourceTree, index: &Index, findings: &mut Findings) {
    let name = &index.environment;
    let path = Index::path(name);
    if tree.get(&path) != Some(index.to_json().as_bytes()) {
        let message = "the index says what it should, but not in the bytes that `render` writes";
        findings.differences.push(Diagnostic::error("not-canonical", message).at(Place::file(&path)).hint(RENDER));
    }
    let mut owners: BTreeMap<ObjectRef, &str> = BTreeMap::new();
    for (service, entry) in &index.services {
        findings.services += 1;
        for id in content(tree, name, (service, entry), findings) {
            if let Some(other) = owners.get(&id) {
                let message = format!("{id} is in service `{other}` and in service `{service}`");
                let place = Place::file(Index::resources_path(name, service));
                let first = Place::file(Index::resources_path(name, other));
                let diagnostic = Diagnostic::error("duplicate-object", message).at(place).related(first, "and here");
                findings.differences.push(diagnostic.hint(RENDER));
            }
            owners.insert(id, service);
        }
    }
    let listed: BTreeSet<String> =
        index.services.keys().map(|service| Index::resources_path(name, service)).chain([path]).collect();
    for (below, _) in tree.below(&format!("{ROOT}/{name}")) {
        let path = format!("{ROOT}/{name}/{below}");
        if !listed.contains(&path) {
            let message = "no index lists this file";
            findings.differences.push(Diagnostic::error("stray-file", message).at(Place::file(path)).hint(RENDER));
        }
    }
}

/// Holds the manifests of one service against its entry; returns the objects, as far as they can be read.
fn content(
    tree: &SourceTree,
    environment: &str,
    (service, entry): (&str, &Entry),
    findings: &mut Findings,
) -> Vec<ObjectRef> {
    let path = Index::resources_path(environment, service);
    let differs =
        |code: &'static str, message: String| Diagnostic::error(code, message).at(Place::file(&path)).hint(RENDER);
    let Some(bytes) = tree.get(&path) else {
        findings
            .differences
            .push(differs("missing-file", format!("the index lists service `{service}`, but this file is missing")));
        return Vec::new();
    };
    let hash = Hash::of(bytes);
    if hash != entry.content {
        let message =
            format!("the content hash is {}..., but the index says {}...", hash.short(), entry.content.short());
        findings.differences.push(differs("hash-mismatch", message));
    }
    match committed::manifests(&path, bytes, WHICH) {
        Ok(manifests) => {
            findings.objects += manifests.len();
            if manifests.len() != entry.objects {
                let message = format!("there are {} objects, but the index says {}", manifests.len(), entry.objects);
                findings.differences.push(differs("count-mismatch", message));
            }
            manifests.into_iter().map(|manifest| manifest.id).collect()
        }
        Err(diagnostic) => {
            findings.refused.push(*diagnostic);
            Vec::new()
        }
    }
}
