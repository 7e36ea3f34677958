//! The contract between `generator` and `syncd`: what a manifest is, when two are the same, and how a tree of them is indexed.
//!
//! `generator` writes `_gen/<env>/<service>/resources.yaml` and `_gen/<env>/index.json`; `syncd` reads them from Git and trusts
//! nothing that does not match its hash. Both sides use this crate and nothing else of each other.
//!
//! - [`yaml`]: YAML read with the typing rules of `kubectl`, and written in the one canonical form.
//! - [`object`]: which Kubernetes object a document is ([`ObjectRef`]), and the document itself ([`Manifest`]).
//! - [`hash`]: BLAKE3-256 over bytes and over labelled parts.
//! - [`index`]: `index.json`, one entry a service.
//! - [`difference`]: which fields of two objects differ, as both programs show it to people.
//! - [`roles`]: what `syncd` must be allowed to do, by what an environment consists of.
//!
//! Pure: no file, no clock, no network. Invariant: the same values give the same bytes, and reading them back gives the same values.

pub mod difference;
pub mod hash;
pub mod index;
pub mod object;
pub mod roles;
pub mod yaml;

pub use hash::Hash;
pub use index::Index;
pub use object::{Manifest, ObjectRef};
