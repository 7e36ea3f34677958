//! What any bytes may do to `syncd`, one function a door: what a cluster or a repository could answer, or somebody could write over its records.
//!
//! Shared by `fuzz/`, which searches for bytes that break one, and by `tests/fuzz_corpus.rs`, which replays on stable what was found and what
//! the search starts from. A function panics where a law is broken; limits are set low, so that a slow answer is a finding, too.

#![allow(dead_code, reason = "each target uses its own function")]
#![allow(clippy::allow_attributes, reason = "expect would fail in the program that uses all of them")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a server for a test, and a test that fails may panic"
)]

mod git;
mod kube;
mod state;

pub use git::git;
pub use kube::kube;
pub use state::state;

/// A door and its name, which is that of its corpus.
pub type Door = (&'static str, fn(&[u8]));

pub const DOORS: [Door; 3] = [("state", state), ("kube", kube), ("git", git)];

/// Divides an input into parts, at lines that say so.
fn parts(bytes: &[u8]) -> Vec<&[u8]> {
    const LINE: &[u8] = b"\n=====\n";
    let mut parts = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(LINE.len()).position(|window| window == LINE) {
        parts.push(&rest[..at]);
        rest = &rest[at + LINE.len()..];
    }
    parts.push(rest);
    parts
}
