//! BLAKE3-256: what makes two contents the same.
//!
//! A hash of a file is the plain BLAKE3 of its bytes, so that `b3sum` prints what the index says. A hash over several things is made by
//! [`Parts`], which labels and length-prefixes each of them, so that no two lists collide by concatenation. Knows nothing of what it
//! hashes. Invariant: 64 lower-case hexadecimal digits in text form, nothing else is accepted.

use std::fmt;
use std::io::{self, BufWriter, Write};
use std::str::FromStr;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A BLAKE3-256 hash. Its text form is 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; 32]);

/// A text that is not a [`Hash`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a BLAKE3-256 hash: expected 64 lower-case hexadecimal digits")]
pub struct ParseHashError;

impl Hash {
    /// Returns the hash of `bytes`, as `b3sum` prints it.
    pub fn of(bytes: &[u8]) -> Self {
        Hash(*blake3::hash(bytes).as_bytes())
    }

    /// Returns the hash of all that is written, of which nothing is kept.
    pub(crate) fn of_written(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Self {
        let mut out = BufWriter::with_capacity(BLOCK_BYTES, blake3::Hasher::new());
        write(&mut out).and_then(|()| out.flush()).expect("a hash takes every byte");
        Hash(*out.get_ref().finalize().as_bytes())
    }

    /// Returns what follows its text form, if `text` begins with it. Nothing is written for that.
    pub(crate) fn strip_from<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let (digits, rest) = text.split_first_chunk::<64>()?;
        let is = |byte: &u8, pair: &[u8]| pair == [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
        self.0.iter().zip(digits.chunks_exact(2)).all(|(byte, pair)| is(byte, pair)).then_some(rest)
    }

    /// Returns the first 12 digits, for people.
    pub fn short(&self) -> String {
        self.to_string().chars().take(12).collect()
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from(self.0).to_hex())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl FromStr for Hash {
    type Err = ParseHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let canonical = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !canonical {
            return Err(ParseHashError);
        }
        blake3::Hash::from_hex(text).map(|hash| Hash(*hash.as_bytes())).map_err(|_| ParseHashError)
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&blake3::Hash::from(self.0).to_hex())
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Digits)
    }
}

/// Reads a hash off a text that is only borrowed: an index has two for each service.
struct Digits;

impl Visitor<'_> for Digits {
    type Value = Hash;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a BLAKE3-256 hash")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Hash, E> {
        text.parse().map_err(E::custom)
    }
}

/// A hash over labelled parts, in the order in which they are added.
///
/// `context` separates uses: the same parts under two contexts give two unrelated hashes. Use one fixed sentence for each use,
/// for example `"syncd deletions 1"`.
pub struct Parts {
    hasher: blake3::Hasher,
    /// What is not hashed yet: many bytes at once go several times as fast as few.
    waiting: Vec<u8>,
}

/// Bytes that are hashed at once.
const BLOCK_BYTES: usize = 32 << 10;

impl Parts {
    /// Starts a hash for one use.
    pub fn new(context: &'static str) -> Self {
        Parts { hasher: blake3::Hasher::new_derive_key(context), waiting: Vec::new() }
    }

    /// Adds one part under a label. Label and part are length-prefixed.
    pub fn add(&mut self, label: &str, part: &[u8]) -> &mut Self {
        for bytes in [label.as_bytes(), part] {
            let length = u64::try_from(bytes.len()).expect("a length in memory fits 64 bits");
            self.waiting.extend_from_slice(&length.to_le_bytes());
            self.waiting.extend_from_slice(bytes);
        }
        if self.waiting.len() >= BLOCK_BYTES {
            self.hasher.update(&self.waiting);
            self.waiting.clear();
        }
        self
    }

    /// Returns the hash of what was added so far.
    pub fn finish(&self) -> Hash {
        Hash(*self.hasher.clone().update(&self.waiting).finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_is_b3sums_and_round_trips() {
        let hash = Hash::of(b"");
        assert_eq!(hash.to_string(), "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_eq!(hash.strip_from(format!("{hash}, and more").as_bytes()), Some(&b", and more"[..]));
        assert_eq!(hash.strip_from(&hash.to_string().as_bytes()[1..]), None);
        assert_eq!(Hash::of(b"x").strip_from(hash.to_string().as_bytes()), None);
        assert_eq!(hash.short(), "af1349b9f5f9");
        let written = Hash::of_written(|out| (0..9_000).try_for_each(|number| write!(out, "{number} ")));
        assert_eq!(written, Hash::of((0..9_000).map(|number| format!("{number} ")).collect::<String>().as_bytes()));
    }

    #[test]
    fn other_text_forms_are_refused() {
        let upper = Hash::of(b"").to_string().to_uppercase();
        for text in ["", "af13", &upper, &"g".repeat(64), &"0".repeat(65)] {
            assert_eq!(text.parse::<Hash>(), Err(ParseHashError), "{text}");
        }
    }

    #[test]
    fn parts_do_not_collide_by_concatenation() {
        let of = |parts: &[(&str, &[u8])]| {
            let mut hash = Parts::new("test");
            for (label, part) in parts {
                hash.add(label, part);
            }
            hash.finish()
        };
        assert_ne!(of(&[("a", b"bc")]), of(&[("ab", b"c")]));
        assert_ne!(of(&[("a", b"b"), ("c", b"d")]), of(&[("a", b"bcd")]));
        assert_ne!(of(&[]), Parts::new("other test").finish());
    }

    #[test]
    fn many_parts_are_hashed_as_one_stream() {
        let (mut parts, mut stream) = (Parts::new("test"), blake3::Hasher::new_derive_key("test"));
        for number in 0..5_000_u64 {
            parts.add("part", &number.to_le_bytes());
            stream
                .update(&4_u64.to_le_bytes())
                .update(b"part")
                .update(&8_u64.to_le_bytes())
                .update(&number.to_le_bytes());
            if number % 1_000 == 0 {
                assert_eq!(parts.finish(), Hash(*stream.finalize().as_bytes()), "after {number}");
            }
        }
        assert_eq!(parts.finish(), Hash(*stream.finalize().as_bytes()));
    }
}
