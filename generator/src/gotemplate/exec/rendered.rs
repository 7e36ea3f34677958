//! What an execution wrote, and where it came from.

use crate::gotemplate::Origins;
use crate::value::Text;

/// What an execution wrote.
#[derive(Debug, Default)]
pub struct Rendered {
    /// The text.
    pub text: Text,
    /// Where its bytes come from; empty unless asked for.
    pub origins: Origins,
}

impl Rendered {
    /// Removes every occurrence of a text, as Helm removes `<no value>`, and keeps the origins right.
    pub fn remove(&mut self, needle: &str) {
        // Nearly all texts have not even its first character.
        let first = needle.chars().next();
        if self.text.as_str().zip(first).is_some_and(|(text, first)| !text.contains(first)) {
            return;
        }
        let bytes = self.text.as_bytes();
        let mut removed = Vec::new();
        let mut from = 0;
        while let Some(at) = find(&bytes[from..], needle.as_bytes()) {
            removed.push(from + at..from + at + needle.len());
            from += at + needle.len();
        }
        if removed.is_empty() {
            return;
        }
        let mut kept = Text::with_capacity(bytes.len());
        let mut from = 0;
        for range in &removed {
            kept.push_bytes(&bytes[from..range.start]);
            from = range.end;
        }
        kept.push_bytes(&bytes[from..]);
        self.text = kept;
        self.origins.remove(&removed);
    }
}

fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    let &first = needle.first()?;
    let mut from = 0;
    while let Some(at) = text[from..].iter().position(|&b| b == first) {
        if text[from + at..].starts_with(needle) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}
