//! What of `_gen` need not be rendered again.
//!
//! A service is taken as it is committed where its entry in the index names the very inputs that the sources give now (see
//! [`release`](crate::release)), and its `resources.yaml` is what that entry says: the same hash, as many objects, and each of them with an
//! identity that can be read off the canonical form. Everything else is rendered: a service that is new or changed, one whose file was edited,
//! all of an environment whose index is torn by a merge. This module finds what could be taken; whether it is, [`crate::generate_over`] says,
//! which knows the inputs.
//!
//! Trusted is one thing: that whoever wrote an entry rendered what it names. Whoever changes `resources.yaml` and the hash of its content
//! together, by hand, is believed here, and found by a render of everything. Knows no disk and renders nothing. Invariant: what is taken would
//! not be rendered to other bytes, or with a word about it, by the generator that wrote its entry.

use std::collections::BTreeMap;

use manifest::Hash;
use manifest::index::{Entry, Index, ROOT};
use rayon::prelude::*;

use crate::committed::{self, Identity};
use crate::source::{Content, SourceTree};
use crate::validation;

/// `_gen` as it is committed.
#[derive(Debug)]
pub struct Shortcut<'c> {
    committed: &'c SourceTree,
    /// By environment; those that can be read.
    indexes: BTreeMap<&'c str, Index>,
}

/// What is committed of one service, in the file that its entry means.
#[derive(Debug)]
pub struct Committed<'c> {
    /// Its entry.
    pub entry: &'c Entry,
    /// Its `resources.yaml`.
    pub resources: Content,
    /// The objects in it.
    pub objects: Vec<Identity<'c>>,
    text: &'c [u8],
}

impl<'c> Shortcut<'c> {
    /// Reads the indexes of `committed`. One that cannot be read saves nothing.
    pub fn new(committed: &'c SourceTree) -> Self {
        let read = |environment| Some((environment, committed::index(committed, environment, "on the disk").ok()??));
        Shortcut { committed, indexes: committed.folders(ROOT).into_par_iter().filter_map(read).collect() }
    }

    /// Returns what is committed of a service, where its file is what its entry says.
    pub fn committed(&'c self, environment: &str, service: &str) -> Option<Committed<'c>> {
        let entry = self.indexes.get(environment)?.services.get(service)?;
        let path = Index::resources_path(environment, service);
        let (resources, text) = (self.committed.shared(&path)?, self.committed.get(&path)?);
        if Hash::of(text) != entry.content {
            return None;
        }
        let objects = committed::identities(text).filter(|objects| objects.len() == entry.objects)?;
        Some(Committed { entry, resources, objects, text })
    }
}

impl<'c> Committed<'c> {
    /// Returns the texts of the objects that define kinds.
    pub fn definitions(&self) -> Vec<&'c str> {
        let is_definition = |id: &Identity<'_>| id.kind == validation::DEFINITION;
        if !self.objects.iter().any(is_definition) {
            return Vec::new();
        }
        let text = std::str::from_utf8(self.text).unwrap_or_default();
        let documents = committed::documents(text).zip(&self.objects);
        documents.filter(|(_, id)| is_definition(id)).map(|(document, _)| document).collect()
    }
}
