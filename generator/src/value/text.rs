//! Go strings: immutable byte strings that are nearly always UTF-8, and the buffer that builds them.
//!
//! `trunc` may cut a rune in half and `b64dec` may yield binary, so text that is not UTF-8 must survive; yet
//! nearly all text is UTF-8 and must cost no validation. Invariant: bytes that are valid UTF-8 are always held
//! as text, so equality, order and hashing need not care which form they meet.

use std::borrow::{Borrow, Cow};
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

/// Room kept between two strings that are [built](Str::build).
const SPARE_BYTES_MAX: usize = 1 << 20;

/// An immutable, shared Go string.
#[derive(Clone)]
pub struct Str(Repr);

#[derive(Clone)]
enum Repr {
    Text(Arc<str>),
    /// Part of the program: needs no counter.
    Constant(&'static str),
    /// Never valid UTF-8.
    Binary(Arc<[u8]>),
}

impl Str {
    /// Returns the empty string, without allocating.
    pub fn empty() -> Str {
        Str::constant("")
    }

    /// Returns a string that is part of the program, without allocating.
    pub const fn constant(text: &'static str) -> Str {
        Str(Repr::Constant(text))
    }

    /// Returns what is written into a buffer that is there already: for functions that know their result piece by piece.
    pub fn build(bytes: usize, write: impl FnOnce(&mut String)) -> Str {
        thread_local! {
            static SPARE: Cell<String> = const { Cell::new(String::new()) };
        }
        let mut buffer = SPARE.take();
        buffer.reserve(bytes);
        write(&mut buffer);
        let text = Str::from(buffer.as_str());
        buffer.clear();
        if buffer.capacity() <= SPARE_BYTES_MAX {
            SPARE.set(buffer);
        }
        text
    }

    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Text(text) => text.as_bytes(),
            Repr::Constant(text) => text.as_bytes(),
            Repr::Binary(bytes) => bytes,
        }
    }

    /// Returns the text if the string is valid UTF-8, at no cost.
    pub fn as_str(&self) -> Option<&str> {
        match &self.0 {
            Repr::Text(text) => Some(text),
            Repr::Constant(text) => Some(text),
            Repr::Binary(_) => None,
        }
    }

    /// Returns the text with every undecodable byte as U+FFFD: what Go's rune loops see.
    pub fn to_str_lossy(&self) -> Cow<'_, str> {
        match &self.0 {
            Repr::Text(text) => Cow::Borrowed(text),
            Repr::Constant(text) => Cow::Borrowed(text),
            Repr::Binary(bytes) => Cow::Owned(runes(bytes).map(|(_, rune, _)| rune).collect()),
        }
    }

    /// Reports whether both are the same storage, not only the same text.
    pub fn same(&self, other: &Str) -> bool {
        std::ptr::eq(self.as_bytes(), other.as_bytes())
    }

    /// Returns the length in bytes, as Go's `len` does.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Reports whether the string is empty.
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }

    /// Returns the bytes `start..end`; the ends may lie inside a rune.
    ///
    /// # Panics
    /// Where the range lies outside the string, as slicing does.
    pub fn slice(&self, start: usize, end: usize) -> Str {
        match self.as_str().and_then(|text| text.get(start..end)) {
            Some(part) => Str::from(part),
            None => Str::from(&self.as_bytes()[start..end]),
        }
    }

    /// Walks the string rune by rune: byte offset, rune, width. An undecodable byte is U+FFFD of width 1.
    pub fn runes(&self) -> impl Iterator<Item = (usize, char, usize)> + '_ {
        runes(self.as_bytes())
    }
}

/// Walks bytes as Go's `range` over a string does: an undecodable byte is U+FFFD of width 1.
pub(crate) fn runes(bytes: &[u8]) -> impl Iterator<Item = (usize, char, usize)> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (rune, width) = first_rune(&bytes[at..])?;
        at += width;
        Some((at - width, rune, width))
    })
}

/// Decodes the first rune and its width; `None` at the end.
pub(crate) fn first_rune(bytes: &[u8]) -> Option<(char, usize)> {
    let first = *bytes.first()?;
    let width = match first {
        0..=0x7f => return Some((char::from(first), 1)),
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return Some((char::REPLACEMENT_CHARACTER, 1)),
    };
    let decoded = bytes.get(..width).and_then(|head| std::str::from_utf8(head).ok()).and_then(|s| s.chars().next());
    Some(decoded.map_or((char::REPLACEMENT_CHARACTER, 1), |rune| (rune, width)))
}

impl Default for Str {
    fn default() -> Str {
        Str::empty()
    }
}

impl From<&str> for Str {
    fn from(text: &str) -> Str {
        if text.is_empty() { Str::empty() } else { Str(Repr::Text(text.into())) }
    }
}

impl From<&String> for Str {
    fn from(text: &String) -> Str {
        Str::from(text.as_str())
    }
}

impl From<String> for Str {
    fn from(text: String) -> Str {
        Str::from(text.as_str())
    }
}

impl From<Arc<str>> for Str {
    fn from(text: Arc<str>) -> Str {
        Str(Repr::Text(text))
    }
}

impl From<Cow<'_, str>> for Str {
    fn from(text: Cow<'_, str>) -> Str {
        Str::from(text.as_ref())
    }
}

impl From<&[u8]> for Str {
    fn from(bytes: &[u8]) -> Str {
        match std::str::from_utf8(bytes) {
            Ok(text) => Str::from(text),
            Err(_) => Str(Repr::Binary(bytes.into())),
        }
    }
}

impl From<Vec<u8>> for Str {
    fn from(bytes: Vec<u8>) -> Str {
        Str::from(bytes.as_slice())
    }
}

impl From<&Str> for Str {
    fn from(text: &Str) -> Str {
        text.clone()
    }
}

impl PartialEq for Str {
    fn eq(&self, other: &Str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Str {}

impl PartialEq<str> for Str {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for Str {
    fn eq(&self, other: &&str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialOrd for Str {
    fn partial_cmp(&self, other: &Str) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Str {
    fn cmp(&self, other: &Str) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl std::hash::Hash for Str {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl Borrow<[u8]> for Str {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl AsRef<[u8]> for Str {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// Lossy where the string is not UTF-8: for messages, never for output.
impl fmt::Display for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_str_lossy())
    }
}

impl fmt::Debug for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_str() {
            Some(text) => fmt::Debug::fmt(text, f),
            None => write!(f, "b\"{}\"", self.as_bytes().escape_ascii()),
        }
    }
}

/// A growing string. UTF-8 appended to UTF-8 is never validated again; bytes are accepted at any time.
#[derive(Clone, Debug)]
pub struct Text(Buffer);

#[derive(Clone, Debug)]
enum Buffer {
    Text(String),
    Binary(Vec<u8>),
}

impl Text {
    /// Returns an empty buffer.
    pub fn new() -> Text {
        Text(Buffer::Text(String::new()))
    }

    /// Returns an empty buffer with room for `bytes`.
    pub fn with_capacity(bytes: usize) -> Text {
        Text(Buffer::Text(String::with_capacity(bytes)))
    }

    /// Appends text.
    pub fn push_str(&mut self, text: &str) {
        match &mut self.0 {
            Buffer::Text(buffer) => buffer.push_str(text),
            Buffer::Binary(buffer) => buffer.extend_from_slice(text.as_bytes()),
        }
    }

    /// Appends one rune.
    pub fn push(&mut self, rune: char) {
        self.push_str(rune.encode_utf8(&mut [0; 4]));
    }

    /// Appends bytes, whatever they are.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Buffer::Binary(buffer) => buffer.extend_from_slice(bytes),
            Buffer::Text(buffer) => match std::str::from_utf8(bytes) {
                Ok(text) => buffer.push_str(text),
                Err(_) => {
                    let mut binary = std::mem::take(buffer).into_bytes();
                    binary.extend_from_slice(bytes);
                    self.0 = Buffer::Binary(binary);
                }
            },
        }
    }

    /// Appends a Go string.
    pub fn push_string(&mut self, text: &Str) {
        match text.as_str() {
            Some(text) => self.push_str(text),
            None => self.push_bytes(text.as_bytes()),
        }
    }

    /// Returns the length in bytes.
    pub fn len(&self) -> usize {
        match &self.0 {
            Buffer::Text(buffer) => buffer.len(),
            Buffer::Binary(buffer) => buffer.len(),
        }
    }

    /// Reports whether nothing was appended yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the bytes so far.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Buffer::Text(buffer) => buffer.as_bytes(),
            Buffer::Binary(buffer) => buffer,
        }
    }

    /// Returns the text so far, unless something was appended that is not UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        match &self.0 {
            Buffer::Text(buffer) => Some(buffer),
            Buffer::Binary(_) => None,
        }
    }

    /// Empties the buffer and keeps its room.
    pub fn clear(&mut self) {
        match &mut self.0 {
            Buffer::Text(buffer) => buffer.clear(),
            Buffer::Binary(_) => self.0 = Buffer::Text(String::new()),
        }
    }

    /// Returns the finished string as a copy; the buffer can be cleared and used again.
    pub fn to_string_value(&self) -> Str {
        match &self.0 {
            Buffer::Text(buffer) => Str::from(buffer.as_str()),
            Buffer::Binary(buffer) => Str::from(buffer.as_slice()),
        }
    }

    /// Returns the text, or the bytes where they are not UTF-8.
    pub fn into_string(self) -> Result<String, Vec<u8>> {
        match self.0 {
            Buffer::Text(buffer) => Ok(buffer),
            Buffer::Binary(buffer) => String::from_utf8(buffer).map_err(std::string::FromUtf8Error::into_bytes),
        }
    }
}

impl Default for Text {
    fn default() -> Text {
        Text::new()
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_str(text);
        Ok(())
    }
}

impl From<Text> for Str {
    fn from(text: Text) -> Str {
        text.to_string_value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_rune_survives_and_heals() {
        let euro = Str::from("a€b");
        let (left, right) = (euro.slice(0, 2), euro.slice(2, 5));
        assert_eq!(left.as_str(), None);
        assert_eq!(left.as_bytes(), b"a\xe2");
        assert_eq!(right.to_str_lossy(), "\u{fffd}\u{fffd}b");
        let mut joined = Text::new();
        joined.push_string(&left);
        joined.push_string(&right);
        assert_eq!(Str::from(joined).as_str(), Some("a€b"));
    }

    #[test]
    fn runes_decode_as_go_does() {
        let cases: [(&[u8], &str); 5] = [
            (b"\xff", "\u{fffd}"),
            (b"\xe2\x82", "\u{fffd}\u{fffd}"),
            (b"\xed\xa0\x80", "\u{fffd}\u{fffd}\u{fffd}"),
            (b"\xf4\x90\x80\x80", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
            (b"\xc0\x80x", "\u{fffd}\u{fffd}x"),
        ];
        for (bytes, want) in cases {
            assert_eq!(Str::from(bytes).to_str_lossy(), want);
        }
    }

    #[test]
    fn order_is_byte_order_across_forms() {
        let mut all = [Str::from("b"), Str::from(&b"\xff"[..]), Str::from("€"), Str::from("a"), Str::from("")];
        all.sort();
        assert_eq!(
            all.map(|s| s.as_bytes().to_vec()),
            [&b""[..], b"a", b"b", "€".as_bytes(), b"\xff"].map(<[u8]>::to_vec)
        );
    }
}
