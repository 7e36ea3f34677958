//! Quoted Go strings: how `%q`, `quote` and error messages write them, and how literals are read back.
//!
//! Truth: Go's `strconv.Quote`, `QuoteToASCII`, `Unquote` and `unicode.IsPrint`. What is printable is decided by the
//! general categories of Unicode 15, the version Go 1.26 knows.

use crate::value::{Str, Text};
use regex::Regex;
use std::sync::LazyLock;

static PRINTABLE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[[\p{L}\p{M}\p{N}\p{P}\p{S}]&&\p{age:15.0}]$").expect("a valid constant pattern"));
static LETTER_OR_DIGIT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[[\p{L}\p{Nd}]&&\p{age:15.0}]$").expect("a valid constant pattern"));

/// Reports what Go's `unicode.IsPrint` does: letters, marks, numbers, punctuation, symbols and the plain space.
pub fn is_print(rune: char) -> bool {
    if rune.is_ascii() {
        return (' '..='~').contains(&rune);
    }
    PRINTABLE.is_match(rune.encode_utf8(&mut [0; 4]))
}

/// Reports whether Go's lexer takes the rune for a part of an identifier.
pub(crate) fn is_alphanumeric(rune: char) -> bool {
    if rune.is_ascii() {
        return rune == '_' || rune.is_ascii_alphanumeric();
    }
    LETTER_OR_DIGIT.is_match(rune.encode_utf8(&mut [0; 4]))
}

/// Returns `strconv.Quote` of a string.
pub fn quote(text: &[u8]) -> String {
    quote_with(text, '"', Charset::Unicode)
}

/// Appends `strconv.Quote` of a string.
pub(crate) fn append_quoted(out: &mut String, text: &[u8]) {
    append_with(out, text, '"', Charset::Unicode);
}

/// Which runes stay as they are inside quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    Unicode,
    Ascii,
}

/// Returns the string inside quotes of either kind, escaped as Go escapes it.
pub(super) fn quote_with(text: &[u8], mark: char, charset: Charset) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    append_with(&mut out, text, mark, charset);
    out
}

fn append_with(out: &mut String, text: &[u8], mark: char, charset: Charset) {
    out.push(mark);
    // Nearly all strings need no escape.
    let is_plain = |b: &u8| matches!(b, b' '..=b'~') && *b != b'\\' && char::from(*b) != mark;
    if text.iter().all(is_plain)
        && let Ok(plain) = std::str::from_utf8(text)
    {
        out.push_str(plain);
        out.push(mark);
        return;
    }
    for (at, rune, width) in crate::value::runes(text) {
        if width == 1 && rune == char::REPLACEMENT_CHARACTER {
            out.push_str(&format!("\\x{:02x}", text[at]));
        } else {
            escape(out, rune, mark, charset);
        }
    }
    out.push(mark);
}

fn escape(out: &mut String, rune: char, mark: char, charset: Charset) {
    if rune == mark || rune == '\\' {
        out.push('\\');
        return out.push(rune);
    }
    if is_print(rune) && (charset == Charset::Unicode || rune.is_ascii()) {
        return out.push(rune);
    }
    match rune {
        '\x07' => out.push_str("\\a"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x0b' => out.push_str("\\v"),
        _ => {
            let code = u32::from(rune);
            out.push_str(&match code {
                0..0x20 | 0x7f => format!("\\x{code:02x}"),
                0x80..0x1_0000 => format!("\\u{code:04x}"),
                _ => format!("\\U{code:08x}"),
            });
        }
    }
}

/// Reports whether `%#q` may use a raw string: no backquote and no control character but the tab.
pub(super) fn can_backquote(text: &[u8]) -> bool {
    crate::value::runes(text).all(|(_, rune, width)| {
        !(width == 1 && rune == char::REPLACEMENT_CHARACTER
            || rune == '\u{feff}'
            || (rune < ' ' && rune != '\t')
            || rune == '`'
            || rune == '\x7f')
    })
}

/// Returns the string a Go literal denotes, `None` where it is malformed. The quotes are included in `literal`.
pub(crate) fn unquote(literal: &[u8]) -> Option<Str> {
    let (&mark, rest) = literal.split_first()?;
    let (&last, body) = rest.split_last()?;
    if mark != last {
        return None;
    }
    match mark {
        b'`' => {
            if body.contains(&b'`') {
                return None;
            }
            // As in Go source, carriage returns are dropped from raw strings.
            if body.contains(&b'\r') {
                return Some(Str::from(body.iter().copied().filter(|&b| b != b'\r').collect::<Vec<_>>()));
            }
            Some(Str::from(body))
        }
        b'"' => {
            if body.contains(&b'\n') {
                return None;
            }
            if !body.contains(&b'\\') {
                return if body.contains(&b'"') { None } else { Some(Str::from(body)) };
            }
            let mut out = Text::with_capacity(body.len());
            let mut rest = body;
            while !rest.is_empty() {
                let (unit, tail) = unquote_char(rest, b'"')?;
                match unit {
                    Unit::Rune(rune) => out.push(rune),
                    Unit::Byte(byte) => out.push_bytes(&[byte]),
                    Unit::Surrogate => return None,
                }
                rest = tail;
            }
            Some(Str::from(out))
        }
        _ => None,
    }
}

/// One character of a literal: a rune, or a single byte written as `\x` or octal.
pub(crate) enum Unit {
    Rune(char),
    Byte(u8),
    /// A `\u` escape of a surrogate half: never valid.
    Surrogate,
}

/// Reads one character of a literal inside quotes of the given kind; `None` where it is malformed.
pub(crate) fn unquote_char(text: &[u8], mark: u8) -> Option<(Unit, &[u8])> {
    let (&first, rest) = text.split_first()?;
    if first == mark {
        return None;
    }
    if first != b'\\' {
        let (rune, width) = crate::value::first_rune(text)?;
        let unit = if width == 1 && first >= 0x80 { Unit::Byte(first) } else { Unit::Rune(rune) };
        return Some((unit, &text[width..]));
    }
    let (&escaped, rest) = rest.split_first()?;
    let simple = match escaped {
        b'a' => '\x07',
        b'b' => '\x08',
        b'f' => '\x0c',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'v' => '\x0b',
        b'\\' => '\\',
        b'\'' | b'"' if escaped == mark => char::from(escaped),
        b'x' => return hex(rest, 2).and_then(|(n, rest)| Some((Unit::Byte(u8::try_from(n).ok()?), rest))),
        b'u' | b'U' => {
            let (n, rest) = hex(rest, if escaped == b'u' { 4 } else { 8 })?;
            return match char::from_u32(n) {
                Some(rune) => Some((Unit::Rune(rune), rest)),
                None if n <= 0x10_ffff => Some((Unit::Surrogate, rest)),
                None => None,
            };
        }
        b'0'..=b'7' => {
            let digits = rest.get(..2).filter(|digits| digits.iter().all(|d| (b'0'..=b'7').contains(d)))?;
            let n = digits.iter().fold(u32::from(escaped - b'0'), |n, d| n * 8 + u32::from(d - b'0'));
            return Some((Unit::Byte(u8::try_from(n).ok()?), &rest[2..]));
        }
        _ => return None,
    };
    Some((Unit::Rune(simple), rest))
}

fn hex(text: &[u8], digits: usize) -> Option<(u32, &[u8])> {
    let mut n = 0_u32;
    for &byte in text.get(..digits)? {
        n = n.checked_mul(16)? + char::from(byte).to_digit(16)?;
    }
    Some((n, &text[digits..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_strconv_does() {
        let cases: [(&[u8], &str); 8] = [
            (b"plain", "\"plain\""),
            (b"a\"b\\c'", "\"a\\\"b\\\\c'\""),
            (b"\x07\x08\x0c\n\r\t\x0b\x00\x7f", "\"\\a\\b\\f\\n\\r\\t\\v\\x00\\x7f\""),
            ("é€😀".as_bytes(), "\"é€😀\""),
            ("\u{a0}\u{200b}\u{e000}".as_bytes(), "\"\\u00a0\\u200b\\ue000\""),
            ("\u{10ffff}".as_bytes(), "\"\\U0010ffff\""),
            (b"\xff\xe2\x82", "\"\\xff\\xe2\\x82\""),
            ("\u{fffd}".as_bytes(), "\"\u{fffd}\""),
        ];
        for (text, want) in cases {
            assert_eq!(quote(text), want);
        }
        assert_eq!(quote_with("é😀".as_bytes(), '"', Charset::Ascii), "\"\\u00e9\\U0001f600\"");
        assert_eq!(quote_with(b"'\"", '\'', Charset::Unicode), "'\\'\"'");
    }

    #[test]
    fn reads_back_what_it_quotes_and_refuses_what_go_refuses() {
        for text in [&b"a\"b\\c\n\x00"[..], "é\u{200b}😀".as_bytes(), b"\xff\x80"] {
            assert_eq!(unquote(quote(text).as_bytes()), Some(Str::from(text)));
        }
        assert_eq!(unquote(b"`a\r\nb\\n`"), Some(Str::from("a\nb\\n")));
        assert_eq!(unquote(br#""\101\x41\u0041""#), Some(Str::from("AAA")));
        for bad in [
            &br#""\'""#[..],
            br#""\q""#,
            br#""\400""#,
            br#""\ud800""#,
            br#""\x4""#,
            br#"""#,
            b"\"a\nb\"",
            b"`a``",
            b"'a'",
        ] {
            assert_eq!(unquote(bad), None, "{}", bad.escape_ascii());
        }
    }
}
