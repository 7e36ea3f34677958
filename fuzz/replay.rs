//! Replays a corpus on stable: every file in `fuzz/corpus/<door>/` goes through its door, as it is and bent a little.
//!
//! Shared by the tests of the crates that have doors. A search it is not: that is `cargo fuzz run <door>`, see `fuzz/Cargo.toml`. Invariant:
//! the same corpus gives the same inputs, on any machine.

#![allow(clippy::disallowed_methods, reason = "a test reads its data")]
#![allow(clippy::allow_attributes, reason = "not every crate forbids what another does")]

use std::path::Path;

/// A door and its name, which is that of its corpus.
pub type Door = (&'static str, fn(&[u8]));

/// Bent copies of each input: enough to notice a door that falls off, too few to be a search.
const BENT: u64 = 12;

/// Bytes that mean something to a parser.
const BYTES: &[u8] = b"{}[]:-.,\"'\n \t|&*!%@0129aZ\x00\xff\xc3";

/// Returns the corpus of a door, by name.
fn corpus(door: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("fuzz/corpus").join(door);
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("corpus of {door}: {error}"));
    let mut inputs: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            (path.display().to_string(), std::fs::read(&path).expect("a file"))
        })
        .collect();
    inputs.sort();
    assert!(inputs.len() >= 5, "only {} inputs for `{door}`", inputs.len());
    inputs
}

/// Sends every input of every corpus through its door.
pub fn as_they_are(doors: &[Door]) {
    for (name, door) in doors {
        for (path, bytes) in corpus(name) {
            assert!(std::panic::catch_unwind(|| door(&bytes)).is_ok(), "{path} breaks `{name}`");
        }
    }
}

/// Sends every input through its door with a few bytes changed.
pub fn bent(doors: &[Door]) {
    for (name, door) in doors {
        let inputs = corpus(name);
        for (path, bytes) in &inputs {
            for seed in 1..=BENT {
                let bent = bend(bytes, &inputs, seed);
                let shown = String::from_utf8_lossy(&bent).into_owned();
                assert!(
                    std::panic::catch_unwind(|| door(&bent)).is_ok(),
                    "{path}, bent by {seed}, breaks `{name}`:\n{shown}"
                );
            }
        }
    }
}

/// Returns an input with a few bytes changed, cut out, doubled, or taken from another: the same for the same seed.
fn bend(bytes: &[u8], others: &[(String, Vec<u8>)], seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ bytes.len() as u64;
    let mut any = |below: usize| {
        // Marsaglia's xorshift.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap_or_default() % below.max(1)
    };
    let mut bent = bytes.to_vec();
    for _ in 0..=any(4) {
        let at = any(bent.len() + 1);
        let end = (at + any(12)).min(bent.len());
        match any(4) {
            0 if at < bent.len() => bent[at] = BYTES[any(BYTES.len())],
            1 => drop(bent.drain(at..end)),
            2 => {
                let doubled = bent[at..end].repeat(2 + any(40));
                bent.splice(at..end, doubled);
            }
            _ => {
                let other = &others[any(others.len())].1;
                let from = any(other.len() + 1);
                let part = other[from..(from + any(40)).min(other.len())].to_vec();
                bent.splice(at..end, part);
            }
        }
    }
    bent
}
