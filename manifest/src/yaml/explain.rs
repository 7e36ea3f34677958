//! Says what is wrong with a text and what to do about it.
//!
//! The parser's errors are terse and written for people who know its tokens; here they get the words of an author of manifests. It also
//! refuses the few notations that the parser, which speaks YAML 1.2, reads otherwise than `kubectl`, which speaks 1.1.
//! Invariant: every message is in lower case, without a full stop.

use granit_parser::{ErrorKind, ScanError, Span};

use super::compose::position;
use super::read::{Position, ReadError};
use super::resolve::Plain;

/// Returns the error of the parser in our words. `depth_max` is the nesting it was told to allow.
pub(super) fn syntax(error: &ScanError, text: &str, depth_max: usize) -> ReadError {
    let at = position(*error.marker());
    let rest = error.marker().byte_offset().and_then(|offset| text.get(offset..)).unwrap_or_default();
    let message = match error.kind() {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart => TAB.to_owned(),
        ErrorKind::DirectiveDisallowed => "directives such as `%YAML` are not supported; remove the line".to_owned(),
        ErrorKind::UnknownAnchor => {
            let name = rest
                .split(|char: char| char.is_ascii_whitespace() || ",[]{}".contains(char))
                .next()
                .unwrap_or_default();
            format!("the alias `{name}` has no anchor before it; a value that begins with `*` must be quoted")
        }
        ErrorKind::RecursionLimitExceeded => too_deep(depth_max),
        ErrorKind::MappingValueNotAllowed => {
            "a mapping is not allowed here; quote a value that contains `: `, and check the indentation".to_owned()
        }
        ErrorKind::ExpectedBlockMappingKey => "expected a key here; check the indentation".to_owned(),
        ErrorKind::ExpectedBlockSequenceEntry => "expected `- ` here; check the indentation".to_owned(),
        ErrorKind::BlockSequenceEntryNotAllowed => {
            "a list is not allowed here; begin it on a line of its own".to_owned()
        }
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            "expected `:` after this key; check the indentation, and quote text of several lines".to_owned()
        }
        ErrorKind::UnexpectedCharacter { character } => {
            format!("a value cannot begin with `{}`; quote it", character.escape_default())
        }
        ErrorKind::InvalidQuotedScalarIndent => {
            "this line is not indented enough to go on with the quoted text above; is its quote closed?".to_owned()
        }
        ErrorKind::UnclosedQuotedScalar => "this quote is never closed".to_owned(),
        ErrorKind::UnclosedFlowCollection { open } => format!("this `{open}` is never closed"),
        ErrorKind::UnknownQuotedScalarEscape => {
            "unknown escape; write `\\\\` for a backslash, or use single quotes".to_owned()
        }
        kind => kind.to_string(),
    };
    ReadError { message, at }
}

/// What to say about a tab in the white space that begins a line.
pub(super) const TAB: &str = "a tab cannot indent; use spaces";

pub(super) fn too_deep(limit: usize) -> String {
    format!("nested deeper than {limit} levels")
}

/// Explains why `written` has no value in JSON.
pub(super) fn not_finite(written: &str) -> String {
    format!("`{written}` has no JSON value; quote it if it is text")
}

/// Explains why a scalar is no key.
pub(super) fn key_without_name(meaning: Plain, written: &str) -> String {
    match meaning {
        Plain::Null if written.is_empty() => "a key is missing before `:`".to_owned(),
        Plain::Null => format!("`{written}` is null, which cannot be a key; quote it"),
        _ => format!("`{written}` is too large a number for a key; quote it"),
    }
}

/// Says that a key is there twice; `first` is where it stands for the first time, if known.
pub(super) fn duplicate(key: &str, written: &str, first: Option<Position>) -> String {
    let meaning = if key == written.trim_matches(['"', '\'']) { String::new() } else { format!(" (read as `{key}`)") };
    let first = match first {
        Some(Position { line, column }) => format!(", first used on line {line}, column {column}"),
        None => String::new(),
    };
    format!("duplicate key `{written}`{meaning}{first}; keep one of them")
}

/// Explains why the mapping or list at a position is no key.
pub(super) fn collection_as_key(text: &str, at: Position) -> String {
    let line = text.lines().nth(at.line - 1).unwrap_or_default();
    let braces = |from: usize| line.chars().skip(from).take(2).eq(['{', '{']);
    // The parser stops at the second brace; its column counts from 1.
    if braces(at.column - 1) || at.column > 1 && braces(at.column - 2) {
        return "a mapping cannot be a key; `{{` is a template expression: render it first, or quote the value"
            .to_owned();
    }
    "a mapping or a list cannot be a key; quote it if it is text".to_owned()
}

/// Refuses escapes in a double-quoted scalar that JSON and YAML 1.2 have and YAML 1.1 has not: `\/` and pairs of surrogates.
pub(super) fn old_escapes(text: &str, span: Span) -> Result<(), ReadError> {
    let raw = span.slice(text).unwrap_or_default();
    let mut rest = raw;
    while let Some((_, escape)) = rest.split_once('\\') {
        let surrogate = matches!(escape.as_bytes(), [b'u', b'd' | b'D', b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F', ..]);
        let (message, length) = match escape.chars().next() {
            Some('/') => ("the escape `\\/` is JSON's and not known to YAML 1.1; write `/`", 1),
            Some('u') if surrogate => (
                "a pair of surrogates is JSON's and not known to YAML 1.1; write the character, or `\\U` and eight digits",
                1,
            ),
            Some(char) => ("", char.len_utf8()),
            None => break,
        };
        if !message.is_empty() {
            let offset = span.start.byte_offset().unwrap_or(0) + raw.len() - escape.len() - 1;
            return Err(ReadError { message: message.to_owned(), at: super::source::position(text, offset) });
        }
        rest = escape.get(length..).unwrap_or_default();
    }
    Ok(())
}

/// Refuses names of anchors that end elsewhere in YAML 1.1, which knows letters, digits, `-` and `_` only.
pub(super) fn anchor(name: &str, at: Position) -> Result<(), ReadError> {
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
        return Ok(());
    }
    let message = format!(
        "the anchor name `{name}` may hold letters, digits, `-` and `_` only; quote a value that begins with `&` or `*`"
    );
    Err(ReadError { message, at })
}

/// Refuses, inside `[]` and `{}`, what ends elsewhere in YAML 1.1: text that has a `?`, text that ends in `:` right before a bracket or a
/// comma, a tag right before one.
pub(super) fn old_flow(text: &str, scalar: Span, plain: bool) -> Result<(), ReadError> {
    const ENDS: [char; 5] = [',', '[', ']', '{', '}'];
    let after = |span: Span| span.end.byte_offset().and_then(|end| text.get(end..)).unwrap_or_default();
    let refuse = |message: &str, span: Span| Err(ReadError { message: message.to_owned(), at: position(span.start) });
    let written = scalar.slice(text).unwrap_or_default();
    if plain && written.contains('?') {
        return refuse("`?` inside brackets begins a key in YAML 1.1; quote text that has one", scalar);
    }
    if plain && !written.is_empty() && after(scalar).strip_prefix(':').is_some_and(|rest| rest.starts_with(ENDS)) {
        return refuse("YAML 1.1 and 1.2 disagree about this `:`; put a space after it, or quote the text", scalar);
    }
    match scalar.tag_span() {
        Some(tag) if after(tag).starts_with(ENDS) => refuse("put a space after this tag", tag),
        Some(_) | None => Ok(()),
    }
}
