//! Which text may stand without quotes.
//!
//! Text is plain only where every reader agrees that it is text: goyaml.v2 as in `kubectl`, readers of the YAML 1.1 types at yaml.org/type,
//! and readers of the YAML 1.2 core schema. Where in doubt, quotes: they cost two characters. The tables are fixed here and owe nothing to
//! a version of Unicode. Knows nothing of where the text will stand, but that it is never inside `[]` or `{}`.
//! Invariant: text of class [`Class::Plain`] is on one line and free of `: ` and ` #`.

use super::resolve::{self, Plain};

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// As it is.
    Plain,
    /// As a literal block: several lines, all of them visible.
    Lines,
    /// In double quotes.
    Quoted,
}

/// Returns how `text` is written.
pub(super) fn class(text: &str) -> Class {
    if is_identifier(text) {
        return Class::Plain;
    }
    let mut several_lines = false;
    let mut tabs = false;
    for char in text.chars() {
        match char {
            '\n' => several_lines = true,
            '\t' => tabs = true,
            _ if is_visible(char) => {}
            _ => return Class::Quoted,
        }
    }
    if several_lines {
        // White space alone would be lost on a reviewer.
        return if text.trim_ascii().is_empty() { Class::Quoted } else { Class::Lines };
    }
    if tabs || is_syntax(text) || may_be_typed(text) { Class::Quoted } else { Class::Plain }
}

/// Returns whether `text` is made of letters, digits and a few marks that mean nothing, begins with a letter, and is no word that some reader
/// types: nearly every key, and most texts.
fn is_identifier(text: &str) -> bool {
    /// As long as the longest word that some reader types.
    const WORD_BYTES_MAX: usize = 8;
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/'))
        && (bytes.len() > WORD_BYTES_MAX || !may_be_typed(text))
}

/// Returns whether a character can be written as it is, so that a reviewer sees it and every reader keeps it: not controls, not line and
/// paragraph separators, not spaces other than U+0020, not characters without width or that turn the direction of writing.
pub(super) fn is_visible(char: char) -> bool {
    match char {
        ' '..='~' => true,
        '\0'..='\u{a0}' => false,
        '\u{ad}' | '\u{61c}' | '\u{1680}' | '\u{180e}' => false,
        '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}' => false,
        '\u{3000}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' => false,
        '\u{e0000}'..='\u{e007f}' => false,
        // The last two of every plane are no characters.
        _ => u32::from(char) & 0xfffe != 0xfffe,
    }
}

/// Returns whether `text` would be taken for syntax.
fn is_syntax(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return true };
    let begins = match first {
        b' ' | b'?' | b':' | b',' | b'[' | b']' | b'{' | b'}' | b'#' | b'&' | b'*' | b'!' | b'|' | b'>' | b'\''
        | b'"' | b'%' | b'@' | b'`' => true,
        // Command line options are text; lists, document markers and numbers are not.
        b'-' => !text
            .trim_start_matches('-')
            .starts_with(|char: char| char.is_ascii_alphabetic() || char == '/' || char == '_'),
        b'.' => !text
            .get(1..)
            .unwrap_or_default()
            .starts_with(|char: char| char.is_ascii_alphabetic() || char == '/' || char == '_'),
        _ => false,
    };
    begins || matches!(last, b' ' | b':') || text.contains(": ") || text.contains(" #")
}

/// Returns whether some reader may take `text` for something else than text.
fn may_be_typed(text: &str) -> bool {
    const WORDS: [&str; 13] =
        ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf", "infinity", "none"];
    if resolve::plain(text) != Plain::Text || matches!(text, "=" | "<<") {
        return true;
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let word = unsigned.strip_prefix('.').unwrap_or(unsigned);
    WORDS.iter().any(|known| known.len() == word.len() && known.eq_ignore_ascii_case(word)) || looks_numeric(unsigned)
}

/// Returns whether text without its sign is made like a number, a date or a time: `1_000`, `0x1F`, `1:30`, `1e3`, `2001-12-14T21:59:43Z`,
/// and also `1.2.3` and `10.0.0.1`, which the float of YAML 1.1 admits.
fn looks_numeric(unsigned: &str) -> bool {
    let bytes = unsigned.as_bytes();
    match bytes {
        [b'0', b'x' | b'X' | b'o' | b'O' | b'b' | b'B', ..] => true,
        [b'0'..=b'9' | b'.' | b'_', ..] => bytes.iter().all(|byte| {
            byte.is_ascii_digit()
                || matches!(
                    byte,
                    b'_' | b'.' | b',' | b':' | b'+' | b'-' | b' ' | b'e' | b'E' | b't' | b'T' | b'z' | b'Z'
                )
        }),
        _ => false,
    }
}
