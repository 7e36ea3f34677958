//! Functions over strings: cutting, padding, case, quoting, splitting, joining.
//!
//! Go strings are bytes: lengths and offsets count bytes, cuts may split a rune, and some of Sprig's helpers read bytes as if they were
//! Latin-1. Source: Sprig v3.3.0 `strings.go`, Masterminds/goutils v1.1.1, Go 1.26 `strings`.

use super::unicode;
use super::{Outcome, bounds};
use crate::gotemplate::{Call, FunctionError, print};
use crate::value::{Elem, List, Map, Oversized, STRING_LIST, STRING_MAP, Str, Value};

/// Sprig's `strval`: the text of any value.
pub(super) fn text_of(value: &Value) -> Result<Str, Oversized> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bytes(bytes) => Ok(Str::from(&bytes[..])),
        other => print::to_text(other),
    }
}

/// Sprig's `strslice`: the texts of a list without its nils; of anything else a list of one, of nil none.
pub(super) fn texts_of(value: &Value) -> Result<Vec<Str>, Oversized> {
    match value {
        Value::Nil => Ok(Vec::new()),
        Value::List(list) => list.borrow().iter().filter(|item| !matches!(item, Value::Nil)).map(text_of).collect(),
        Value::Bytes(bytes) => Ok(bytes.iter().map(|byte| Str::from(byte.to_string())).collect()),
        other => Ok(vec![text_of(other)?]),
    }
}

fn map_runes(text: &Str, map: impl FnMut(char) -> char) -> Value {
    Value::from(text.to_str_lossy().chars().map(map).collect::<String>())
}

pub(super) fn abbrev(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::Int(width), Value::String(text)] = args else { return Err(FunctionError::shape()) };
    Ok(Value::from(if *width < 4 { text.clone() } else { abbreviate(text, 0, *width) }))
}

pub(super) fn abbrevboth(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::Int(left), Value::Int(right), Value::String(text)] = args else { return Err(FunctionError::shape()) };
    let too_narrow = *right < 4 || (*left > 0 && *right < 7);
    Ok(Value::from(if too_narrow { text.clone() } else { abbreviate(text, *left, *right) }))
}

/// Cuts to `width` bytes with `...` on the sides where something is missing; `left` should stay visible.
fn abbreviate(text: &Str, left: i64, width: i64) -> Str {
    let bytes = text.as_bytes();
    let len = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    if width < 4 || len == 0 {
        return Str::empty();
    }
    if len <= width {
        return text.clone();
    }
    let keep = width - 3;
    let left = left.min(len).min(len - keep);
    let at = |n: i64| usize::try_from(n).unwrap_or(0);
    if left <= 4 {
        return Str::from([&bytes[..at(keep)], b"..."].concat());
    }
    if left + keep < len {
        let rest = abbreviate(&Str::from(&bytes[at(left)..]), 0, keep);
        return Str::from([b"...", rest.as_bytes()].concat());
    }
    Str::from([b"...", &bytes[at(len - keep)..]].concat())
}

pub(super) fn trunc(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::Int(count), Value::String(text)] = args else { return Err(FunctionError::shape()) };
    let len = text.len();
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    Ok(Value::from(match (*count < 0, wanted < len) {
        (_, false) => text.clone(),
        (true, true) => text.slice(len - wanted, len),
        (false, true) => text.slice(0, wanted),
    }))
}

pub(super) fn substr(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::Int(start), Value::Int(end), Value::String(text)] = args else { return Err(FunctionError::shape()) };
    let len = i64::try_from(text.len()).unwrap_or(i64::MAX);
    let (from, to) = if *start < 0 {
        (None, Some(*end))
    } else if *end < 0 || *end > len {
        (Some(*start), None)
    } else {
        (Some(*start), Some(*end))
    };
    let (from, to) = bounds::checked(from, to, text.len())?;
    Ok(Value::from(text.slice(from, to)))
}

pub(super) fn trim(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(text)] = args else { return Err(FunctionError::shape()) };
    Ok(Value::from(trim_runes(text, char::is_whitespace)))
}

/// `trimAll` and `trimall`.
pub(super) fn trim_all(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(cutset), Value::String(text)] = args else { return Err(FunctionError::shape()) };
    let cutset = cutset.to_str_lossy();
    Ok(Value::from(trim_runes(text, |c| cutset.contains(c))))
}

fn trim_runes(text: &Str, cut: impl Fn(char) -> bool) -> Str {
    if let Some(text) = text.as_str() {
        return Str::from(text.trim_matches(cut));
    }
    let kept: Vec<_> = text.runes().map(|(at, rune, width)| (at, at + width, cut(rune))).collect();
    let start = kept.iter().find(|(_, _, cut)| !cut).map_or(text.len(), |(at, _, _)| *at);
    let end = kept.iter().rev().find(|(_, _, cut)| !cut).map_or(start, |(_, end, _)| *end);
    text.slice(start, end)
}

pub(super) fn trim_suffix(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(suffix), Value::String(text)] = args else { return Err(FunctionError::shape()) };
    Ok(Value::from(match text.as_bytes().strip_suffix(suffix.as_bytes()) {
        Some(rest) => text.slice(0, rest.len()),
        None => text.clone(),
    }))
}

pub(super) fn trim_prefix(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(prefix), Value::String(text)] = args else { return Err(FunctionError::shape()) };
    Ok(Value::from(if text.as_bytes().starts_with(prefix.as_bytes()) {
        text.slice(prefix.len(), text.len())
    } else {
        text.clone()
    }))
}

pub(super) fn upper(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(text)] = args else { return Err(FunctionError::shape()) };
    Ok(map_runes(text, unicode::to_upper))
}

pub(super) fn lower(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(text)] = args else { return Err(FunctionError::shape()) };
    Ok(map_runes(text, unicode::to_lower))
}

/// `strings.Title`: title case after every separator.
pub(super) fn title(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(text)] = args else { return Err(FunctionError::shape()) };
    let mut previous = ' ';
    Ok(map_runes(text, |c| {
        let starts_word = is_separator(std::mem::replace(&mut previous, c));
        if starts_word { unicode::to_title(c) } else { c }
    }))
}

fn is_separator(c: char) -> bool {
    if c.is_ascii() {
        return !(c.is_ascii_alphanumeric() || c == '_');
    }
    !(unicode::is_letter(c) || unicode::is_digit(c)) && c.is_whitespace()
}

pub(super) fn untitle(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(text)] = args else { return Err(FunctionError::shape()) };
    let mut starts_word = true;
    Ok(map_runes(text, |c| {
        if c.is_whitespace() {
            starts_word = true;
            c
        } else if std::mem::take(&mut starts_word) {
            unicode::to_lower(c)
        } else {
            c
        }
    }))
}

pub(super) fn swapcase(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(text)] = args else { return Err(FunctionError::shape()) };
    let mut after_space = true;
    Ok(map_runes(text, |c| {
        if unicode::is_upper(c) || unicode::is_title(c) {
            after_space = false;
            unicode::to_lower(c)
        } else if unicode::is_lower(c) {
            if std::mem::take(&mut after_space) { unicode::to_title(c) } else { unicode::to_upper(c) }
        } else {
            after_space = c.is_whitespace();
            c
        }
    }))
}

pub(super) fn repeat(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::Int(count), Value::String(text)] = args else { return Err(FunctionError::shape()) };
    Ok(Value::from(Str::from(repeated(call, text.as_bytes(), *count)?)))
}

fn repeated(call: &Call<'_>, bytes: &[u8], count: i64) -> Result<Vec<u8>, FunctionError> {
    let count = usize::try_from(count).map_err(|_| "strings: negative Repeat count")?;
    call.check_bytes(bytes.len().saturating_mul(count))?;
    Ok(bytes.repeat(count))
}

/// `DeleteWhiteSpace`: reads bytes as Latin-1, so a text outside of ASCII comes out garbled where anything is deleted.
pub(super) fn nospace(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(text)] = args else { return Err(FunctionError::shape()) };
    let latin = |byte: &u8| char::from(*byte);
    if !text.as_bytes().iter().map(latin).any(char::is_whitespace) {
        return Ok(Value::from(text.clone()));
    }
    Ok(Value::from(text.as_bytes().iter().map(latin).filter(|c| !c.is_whitespace()).collect::<String>()))
}

/// The first byte of every word, read as Latin-1.
pub(super) fn initials(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(text)] = args else { return Err(FunctionError::shape()) };
    let mut gap = true;
    let mut out = String::new();
    for c in text.as_bytes().iter().map(|byte| char::from(*byte)) {
        if c.is_whitespace() {
            gap = true;
        } else if std::mem::take(&mut gap) {
            out.push(c);
        }
    }
    Ok(Value::from(out))
}

pub(super) fn wrap(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::Int(width), Value::String(text)] = args else { return Err(FunctionError::shape()) };
    Ok(Value::from(wrapped(text.as_bytes(), *width, b"\n", false)))
}

pub(super) fn wrap_with(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::Int(width), Value::String(separator), Value::String(text)] = args else {
        return Err(FunctionError::shape());
    };
    let separator: &[u8] = if separator.is_empty() { b"\n" } else { separator.as_bytes() };
    call.check_bytes(text.len().saturating_mul(separator.len() + 1))?;
    Ok(Value::from(wrapped(text.as_bytes(), *width, separator, true)))
}

/// Wraps at spaces; a word longer than a line is cut where `cut_words`, else it overflows.
fn wrapped(text: &[u8], width: i64, separator: &[u8], cut_words: bool) -> Str {
    let width = usize::try_from(width.max(1)).unwrap_or(usize::MAX);
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while rest.len() > width {
        if let Some(after) = rest.strip_prefix(b" ") {
            rest = after;
            continue;
        }
        let space = rest[..=width].iter().rposition(|b| *b == b' ');
        let (line, after) = match space {
            Some(at) => (at, at + 1),
            None if cut_words => (width, width),
            None => match rest[width..].iter().position(|b| *b == b' ') {
                Some(at) => (width + at, width + at + 1),
                None => break,
            },
        };
        out.extend_from_slice(&rest[..line]);
        out.extend_from_slice(separator);
        rest = &rest[after..];
    }
    out.extend_from_slice(rest);
    Str::from(out)
}

pub(super) fn contains(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(part), Value::String(text)] = args else { return Err(FunctionError::shape()) };
    Ok(Value::Bool(find(text.as_bytes(), part.as_bytes()).is_some()))
}

pub(super) fn has_prefix(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(part), Value::String(text)] = args else { return Err(FunctionError::shape()) };
    Ok(Value::Bool(text.as_bytes().starts_with(part.as_bytes())))
}

pub(super) fn has_suffix(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(part), Value::String(text)] = args else { return Err(FunctionError::shape()) };
    Ok(Value::Bool(text.as_bytes().ends_with(part.as_bytes())))
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    match (std::str::from_utf8(text), std::str::from_utf8(part)) {
        (Ok(text), Ok(part)) => text.find(part),
        _ if part.is_empty() => Some(0),
        _ => text.windows(part.len()).position(|window| window == part),
    }
}

pub(super) fn quote(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let texts: Vec<Str> =
        args.iter().filter(|v| !matches!(v, Value::Nil)).map(text_of).collect::<Result<_, Oversized>>()?;
    let bytes = texts.iter().map(|text| text.len() + 3).sum();
    Ok(Value::from(Str::build(bytes, |out| {
        for (n, text) in texts.iter().enumerate() {
            if n > 0 {
                out.push(' ');
            }
            print::append_quoted(out, text.as_bytes());
        }
    })))
}

pub(super) fn squote(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let mut out = Vec::new();
    for value in args.iter().filter(|v| !matches!(v, Value::Nil)) {
        if !out.is_empty() {
            out.push(b' ');
        }
        out.push(b'\'');
        out.extend_from_slice(print::to_text(value)?.as_bytes());
        out.push(b'\'');
    }
    Ok(Value::from(Str::from(out)))
}

pub(super) fn cat(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let texts: Result<Vec<Str>, Oversized> =
        args.iter().filter(|v| !matches!(v, Value::Nil)).map(print::to_text).collect();
    Ok(Value::from(join_bytes(&texts?, b" ")))
}

pub(super) fn indent(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::Int(spaces), Value::String(text)] = args else { return Err(FunctionError::shape()) };
    indented(call, *spaces, text, "")
}

pub(super) fn nindent(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::Int(spaces), Value::String(text)] = args else { return Err(FunctionError::shape()) };
    indented(call, *spaces, text, "\n")
}

fn indented(call: &Call<'_>, spaces: i64, text: &Str, before: &str) -> Outcome {
    let lines = 1 + text.as_bytes().iter().filter(|b| **b == b'\n').count();
    let width = usize::try_from(spaces).map_err(|_| "strings: negative Repeat count")?;
    let len = before.len().saturating_add(text.len()).saturating_add(lines.saturating_mul(width));
    call.check_bytes(len)?;
    let Some(text) = text.as_str() else {
        let pad = " ".repeat(width);
        let mut out = before.as_bytes().to_vec();
        out.extend_from_slice(pad.as_bytes());
        for byte in text.as_bytes() {
            out.push(*byte);
            if *byte == b'\n' {
                out.extend_from_slice(pad.as_bytes());
            }
        }
        return Ok(Value::from(Str::from(out)));
    };
    const SPACES: &str = "                                                                ";
    let pad = |out: &mut String| match SPACES.get(..width) {
        Some(spaces) => out.push_str(spaces),
        None => out.extend(std::iter::repeat_n(' ', width)),
    };
    Ok(Value::from(Str::build(len, |out| {
        out.push_str(before);
        pad(out);
        let mut rest = text;
        while let Some(end) = rest.find('\n') {
            let (line, after) = rest.split_at(end + 1);
            out.push_str(line);
            pad(out);
            rest = after;
        }
        out.push_str(rest);
    })))
}

pub(super) fn replace(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(old), Value::String(new), Value::String(text)] = args else {
        return Err(FunctionError::shape());
    };
    let (Some(old_text), Some(new_text), Some(text)) = (old.as_str(), new.as_str(), text.as_str()) else {
        return Ok(Value::from(replaced_bytes(text, old, new)));
    };
    if !text.contains(old_text) {
        return Ok(Value::from(text));
    }
    let hits = text.matches(old_text).count();
    call.check_bytes(text.len().saturating_add(hits.saturating_mul(new_text.len())))?;
    Ok(Value::from(text.replace(old_text, new_text)))
}

fn replaced_bytes(text: &Str, old: &Str, new: &Str) -> Str {
    let mut out = Vec::new();
    if old.is_empty() {
        out.extend_from_slice(new.as_bytes());
        for (at, _, width) in text.runes() {
            out.extend_from_slice(&text.as_bytes()[at..at + width]);
            out.extend_from_slice(new.as_bytes());
        }
        return Str::from(out);
    }
    let mut rest = text.as_bytes();
    while let Some(at) = find(rest, old.as_bytes()) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(new.as_bytes());
        rest = &rest[at + old.len()..];
    }
    out.extend_from_slice(rest);
    Str::from(out)
}

pub(super) fn plural(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [one, many, Value::Int(count)] = args else { return Err(FunctionError::shape()) };
    Ok(if *count == 1 { one.clone() } else { many.clone() })
}

/// `toString`.
pub(super) fn to_string(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [value] = args else { return Err(FunctionError::shape()) };
    Ok(Value::from(text_of(value)?))
}

/// `toStrings`.
pub(super) fn to_strings(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [value] = args else { return Err(FunctionError::shape()) };
    match value {
        Value::List(list) if list.list_type().elem == Elem::String => Ok(Value::List(list.retyped(&STRING_LIST))),
        other => Ok(Value::strings(texts_of(other)?)),
    }
}

pub(super) fn join(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(separator), list] = args else { return Err(FunctionError::shape()) };
    let texts = texts_of(list)?;
    call.check_bytes(separator.len().saturating_mul(texts.len()))?;
    Ok(Value::from(join_bytes(&texts, separator.as_bytes())))
}

fn join_bytes(texts: &[Str], separator: &[u8]) -> Str {
    let parts: Vec<&[u8]> = texts.iter().map(Str::as_bytes).collect();
    Str::from(parts.join(separator))
}

/// `sortAlpha`. A `[]string` is sorted in place, for all who hold it.
pub(super) fn sort_alpha(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [value] = args else { return Err(FunctionError::shape()) };
    match value {
        Value::List(list) if list.list_type().name == STRING_LIST.name => {
            list.update(|items| items.sort_by(|a, b| a.as_string().cmp(&b.as_string())));
            Ok(Value::List(list.retyped(&STRING_LIST)))
        }
        Value::List(_) | Value::Bytes(_) => {
            let mut texts = texts_of(value)?;
            texts.sort();
            Ok(Value::strings(texts))
        }
        other => Ok(Value::strings([text_of(other)?])),
    }
}

/// `strings.SplitN`: `None` splits everywhere, `Some(0)` gives nothing.
pub(super) fn split_text(text: &Str, separator: &Str, parts_max: Option<usize>) -> Vec<Str> {
    let max = parts_max.unwrap_or(usize::MAX);
    if max == 0 {
        return Vec::new();
    }
    let mut parts = Vec::new();
    let mut from = 0;
    if separator.is_empty() {
        for (at, _, width) in text.runes() {
            if parts.len() + 1 == max {
                break;
            }
            parts.push(text.slice(at, at + width));
            from = at + width;
        }
        if from < text.len() {
            parts.push(text.slice(from, text.len()));
        }
        return parts;
    }
    while parts.len() + 1 < max {
        let Some(at) = find(&text.as_bytes()[from..], separator.as_bytes()) else { break };
        parts.push(text.slice(from, from + at));
        from += at + separator.len();
    }
    parts.push(text.slice(from, text.len()));
    parts
}

fn numbered(parts: Vec<Str>) -> Value {
    let entries = parts.into_iter().enumerate().map(|(n, part)| (Str::from(format!("_{n}")), Value::from(part)));
    Value::Map(Map::typed(&STRING_MAP, entries.collect()))
}

pub(super) fn split(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(separator), Value::String(text)] = args else { return Err(FunctionError::shape()) };
    call.check_bytes(text.len().saturating_mul(24))?;
    Ok(numbered(split_text(text, separator, None)))
}

pub(super) fn splitn(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(separator), Value::Int(n), Value::String(text)] = args else {
        return Err(FunctionError::shape());
    };
    call.check_bytes(text.len().saturating_mul(24))?;
    Ok(numbered(split_text(text, separator, usize::try_from(*n).ok())))
}

pub(super) fn split_list(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(separator), Value::String(text)] = args else { return Err(FunctionError::shape()) };
    call.check_bytes(text.len().saturating_mul(24))?;
    Ok(Value::List(List::strings(split_text(text, separator, None))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abbreviations_keep_their_width() {
        let text = Str::from("foo bar baz quux");
        for (left, width, expected) in
            [(0, 9, "foo ba..."), (5, 10, "...ar b..."), (12, 10, "...az quux"), (0, 40, "foo bar baz quux")]
        {
            assert_eq!(abbreviate(&text, left, width), expected, "{left} {width}");
        }
    }

    #[test]
    fn wrapping_cuts_words_only_when_asked() {
        let text = b"Hello World abcdefghijkl mn";
        assert_eq!(wrapped(text, 5, b"\n", false), "Hello\nWorld\nabcdefghijkl\nmn");
        assert_eq!(wrapped(text, 5, b"|", true), "Hello|World|abcde|fghij|kl mn");
    }
}
