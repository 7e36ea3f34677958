//! What `_gen` looks like: from objects to files, and from two trees of files to what differs.
//!
//! ```text
//! _gen/<env>/index.json                  what the environment consists of, see [`manifest::index`]
//! _gen/<env>/<service>/resources.yaml    its objects, in install order, `---` between them; empty where it has none
//! ```
//!
//! An environment never vanishes silently, because `syncd` takes a missing index for a broken repository and deletes nothing: where the
//! last service of one is gone, its index stays, with no service in it, and that is what makes `syncd` delete what it had.
//! Knows no disk. Invariant: the same objects give the same bytes, whatever the order in which they come.

use std::collections::{BTreeMap, BTreeSet};

use manifest::index::{Entry, Index, ROOT};
use manifest::object::{Manifest, is_dns_label};
use manifest::yaml;

use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::source::{Content, SourceTree};

/// Everything that was generated.
#[derive(Debug, Clone, Default)]
pub struct Generated {
    /// Environments by name.
    pub environments: BTreeMap<String, Environment>,
    /// What someone should look at; there are no errors among them.
    pub warnings: Diagnostics,
    /// What is wrong with `_gen` as it is committed: it says that it was rendered from these sources, and they do not render to it.
    pub faults: Diagnostics,
}

/// One environment.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Its index.
    pub index: Index,
    /// Text of `resources.yaml`, by service.
    pub resources: BTreeMap<String, Content>,
}

impl Environment {
    /// Returns an environment without services.
    pub fn new(name: &str) -> Self {
        Environment {
            index: Index { environment: name.to_owned(), services: BTreeMap::new() },
            resources: BTreeMap::new(),
        }
    }

    /// Adds a service.
    pub fn insert(&mut self, service: &str, entry: Entry, resources: Content) {
        self.index.services.insert(service.to_owned(), entry);
        self.resources.insert(service.to_owned(), resources);
    }
}

impl Generated {
    /// Returns the text of every file below `_gen`, by path from the root of the repository.
    pub fn files(&self) -> SourceTree {
        let mut files = SourceTree::default();
        for (name, environment) in &self.environments {
            files.insert(Index::path(name), environment.index.to_json());
            for (service, resources) in &environment.resources {
                files.insert(Index::resources_path(name, service), resources.clone());
            }
        }
        files
    }

    /// Keeps, without services, each environment that `committed` has an index of and that is gone otherwise, and says so.
    pub fn retain(&mut self, committed: &SourceTree) {
        for name in committed.folders(ROOT) {
            let path = Index::path(name);
            if self.environments.contains_key(name) || !is_dns_label(name) || committed.get(&path).is_none() {
                continue;
            }
            self.environments.insert(name.to_owned(), Environment::new(name));
            let message = format!(
                "no service is left in environment `{name}`; its index is kept, so that syncd deletes what it had"
            );
            let hint =
                format!("when that is done, delete {ROOT}/{name}; to keep the environment, list it in generator.yaml");
            self.warnings.push(Diagnostic::warning("empty-environment", message).at(Place::file(path)).hint(hint));
        }
    }

    /// Returns the number of services, each counted in each of its environments.
    pub fn services(&self) -> usize {
        self.environments.values().map(|environment| environment.index.services.len()).sum()
    }

    /// Returns the number of objects in all environments.
    pub fn objects(&self) -> usize {
        self.environments
            .values()
            .flat_map(|environment| environment.index.services.values())
            .map(|entry| entry.objects)
            .sum()
    }
}

/// Returns the text of `resources.yaml`, and sorts the manifests into its order.
pub fn resources(manifests: &mut [Manifest]) -> String {
    manifests.sort_by(|a, b| a.order().cmp(&b.order()));
    let documents: Vec<String> = manifests.iter().map(|manifest| yaml::write(&manifest.value)).collect();
    documents.join("---\n")
}

/// What differs between a generated and a committed tree, by path from the root of the repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Generated, not committed.
    pub missing: BTreeSet<String>,
    /// Both, with different bytes.
    pub changed: BTreeSet<String>,
    /// Committed, not generated.
    pub stale: BTreeSet<String>,
    /// Both, with the same bytes.
    pub unchanged: usize,
}

impl Changes {
    /// Compares two trees. A file directly in `_gen` belongs to nobody here and is not compared.
    pub fn between(generated: &SourceTree, committed: &SourceTree) -> Self {
        let mut changes = Changes::default();
        for (path, new) in generated.iter() {
            match committed.get(path) {
                None => drop(changes.missing.insert(path.to_owned())),
                Some(old) if old == new => changes.unchanged += 1,
                Some(_) => drop(changes.changed.insert(path.to_owned())),
            }
        }
        for (below, _) in committed.below(ROOT).filter(|(below, _)| below.contains('/')) {
            let path = format!("{ROOT}/{below}");
            if generated.get(&path).is_none() {
                changes.stale.insert(path);
            }
        }
        changes
    }

    /// Tells whether the trees are the same.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.changed.is_empty() && self.stale.is_empty()
    }
}
