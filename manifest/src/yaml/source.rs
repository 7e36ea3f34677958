//! From bytes to text that YAML 1.1 and YAML 1.2 see alike.
//!
//! The parser speaks YAML 1.2, `kubectl` YAML 1.1. This is where they disagree about characters: which may occur at all, and which end a
//! line. Knows no token and no value. Invariant: a text that passed [`survey`] holds only characters that both versions allow.

use std::borrow::Cow;

use super::read::{Position, ReadError};

/// Decodes the bytes of a file: UTF-8, or UTF-16 of either byte order after a byte order mark, which is dropped.
///
/// # Errors
/// Bytes that are no text. (`kubectl` puts U+FFFD in their place, which loses them.)
pub fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, ReadError> {
    match bytes {
        [0xff, 0xfe, rest @ ..] => decode_utf16(rest, u16::from_le_bytes).map(Cow::Owned),
        [0xfe, 0xff, rest @ ..] => decode_utf16(rest, u16::from_be_bytes).map(Cow::Owned),
        [0xef, 0xbb, 0xbf, rest @ ..] => decode_utf8(rest).map(Cow::Borrowed),
        _ => decode_utf8(bytes).map(Cow::Borrowed),
    }
}

fn decode_utf8(bytes: &[u8]) -> Result<&str, ReadError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let (valid, _) = bytes.split_at(error.valid_up_to());
        let at = position(&String::from_utf8_lossy(valid), usize::MAX);
        ReadError { message: "this is not UTF-8 text; save the file as UTF-8".to_owned(), at }
    })
}

fn decode_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, ReadError> {
    let (units, rest) = bytes.as_chunks::<2>();
    let mut text = String::with_capacity(bytes.len());
    let mut whole = rest.is_empty();
    for decoded in char::decode_utf16(units.iter().copied().map(unit)) {
        match decoded {
            Ok(char) => text.push(char),
            Err(_) => {
                whole = false;
                break;
            }
        }
    }
    if whole {
        return Ok(text);
    }
    let at = position(&text, usize::MAX);
    Err(ReadError { message: "this is not UTF-16 text; save the file as UTF-8".to_owned(), at })
}

/// Returns the line and column of the byte `offset` of `text`; of its end where `offset` is beyond it.
pub(super) fn position(text: &str, offset: usize) -> Position {
    let before = text.get(..offset).unwrap_or(text).as_bytes();
    let mut line = 1;
    let mut line_start = 0;
    for (at, byte) in before.iter().enumerate() {
        let ends_line = *byte == b'\n' || (*byte == b'\r' && before.get(at + 1) != Some(&b'\n'));
        if ends_line {
            line += 1;
            line_start = at + 1;
        }
    }
    // A carriage return whose line feed lies behind `offset` ends no line yet; such an offset is never asked for.
    let in_line = before.split_at(line_start).1;
    let column = 1 + in_line.iter().filter(|byte| (**byte as i8) >= -0x40).count();
    Position { line, column }
}

/// What a text holds that is rare and needs a closer look.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Survey {
    /// U+0085, U+2028 or U+2029: line breaks in YAML 1.1, plain characters in 1.2.
    pub old_breaks: bool,
    /// A tab among the white space that begins a line.
    pub leading_tabs: bool,
    /// A tab or a carriage return, anywhere.
    pub tabs_or_returns: bool,
}

/// Looks at every byte once.
///
/// # Errors
/// The first character that YAML 1.1 does not allow.
pub(super) fn survey(text: &str) -> Result<Survey, ReadError> {
    let mut survey = Survey::default();
    let bytes = text.as_bytes();
    let mut blank_so_far = true;
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'\n' => blank_so_far = true,
            b'\r' => {
                blank_so_far = true;
                survey.tabs_or_returns = true;
            }
            b'\t' => {
                survey.leading_tabs |= blank_so_far;
                survey.tabs_or_returns = true;
            }
            b' ' => {}
            0x21..=0x7e => blank_so_far = false,
            0x00..=0x1f | 0x7f => return Err(forbidden(text, at)),
            0xc2 | 0xe2 | 0xef => {
                blank_so_far = false;
                let next = (bytes.get(at + 1).copied().unwrap_or(0), bytes.get(at + 2).copied().unwrap_or(0));
                match (byte, next) {
                    (0xc2, (0x85, _)) | (0xe2, (0x80, 0xa8 | 0xa9)) => survey.old_breaks = true,
                    (0xc2, (0x80..=0x9f, _)) | (0xef, (0xbb, 0xbf) | (0xbf, 0xbe | 0xbf)) => {
                        return Err(forbidden(text, at));
                    }
                    _ => {}
                }
            }
            0x80.. => blank_so_far = false,
        }
    }
    Ok(survey)
}

fn forbidden(text: &str, offset: usize) -> ReadError {
    let char = text.get(offset..).and_then(|rest| rest.chars().next()).unwrap_or_default();
    let escape = u32::from(char);
    let message = match char {
        '\u{feff}' => "a byte order mark is allowed at the very start only; remove it".to_owned(),
        _ if escape < 0x100 => {
            format!("the control character U+{escape:04X} is not allowed; write \"\\x{escape:02x}\" in double quotes")
        }
        _ => format!("the character U+{escape:04X} is not allowed; write \"\\u{escape:04x}\" in double quotes"),
    };
    ReadError { message, at: position(text, offset) }
}

/// Returns whether `char` ends a line in YAML 1.1 and not in 1.2.
pub(super) fn is_old_break(char: char) -> bool {
    matches!(char, '\u{85}' | '\u{2028}' | '\u{2029}')
}
