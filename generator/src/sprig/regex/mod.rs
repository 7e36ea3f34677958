//! Regular expressions in Go's syntax.
//!
//! [`syntax`] translates a pattern for the `regex` crate, which matches by the same leftmost-first rule; finding, splitting and
//! replacing follow Go. Source: Go 1.26 `regexp`, Sprig v3.3.0 `regex.go`.

mod syntax;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::Outcome;
use crate::gotemplate::print::quote;
use crate::gotemplate::{Call, FunctionError};
use crate::value::{List, STRING_LIST, Str, Value};

/// Compiled patterns kept a thread: charts match the same few over and over.
const COMPILED_MAX: usize = 256;
/// Bytes a compiled pattern may take.
const COMPILED_BYTES_MAX: usize = 64 << 20;

/// A compiled pattern.
#[derive(Debug)]
struct Pattern {
    regex: regex::Regex,
    /// Names of the groups, the whole match first; empty for one without a name.
    names: Vec<String>,
    is_empty: bool,
}

/// Compiles a pattern, or finds it compiled.
fn compiled(pattern: &Str) -> Result<Rc<Pattern>, String> {
    thread_local! {
        static COMPILED: RefCell<BTreeMap<Str, Result<Rc<Pattern>, String>>> = const { RefCell::new(BTreeMap::new()) };
    }
    COMPILED.with_borrow_mut(|known| {
        if let Some(found) = known.get(pattern.as_bytes()) {
            return found.clone();
        }
        if known.len() >= COMPILED_MAX {
            known.clear();
        }
        let result = compile(pattern);
        known.insert(pattern.clone(), result.clone());
        result
    })
}

fn compile(pattern: &Str) -> Result<Rc<Pattern>, String> {
    let Some(text) = pattern.as_str() else {
        return Err(format!("error parsing regexp: invalid UTF-8: `{}`", pattern.to_str_lossy()));
    };
    let translated = syntax::translate(text).map_err(|error| error.to_string())?;
    let built = regex::RegexBuilder::new(&translated.pattern)
        .size_limit(COMPILED_BYTES_MAX)
        .dfa_size_limit(COMPILED_BYTES_MAX)
        .nest_limit(syntax::NESTING_MAX * 4)
        .build();
    let regex = built.map_err(|_| format!("error parsing regexp: expression too large: `{text}`"))?;
    Ok(Rc::new(Pattern { regex, names: translated.names, is_empty: text.is_empty() }))
}

/// Compiles a pattern as `MustCompile` does: a bad one is a panic with the whole pattern in its text.
fn required(pattern: &Str) -> Result<Rc<Pattern>, FunctionError> {
    compiled(pattern).map_err(|error| {
        let shown =
            if pattern.as_str().is_some_and(|p| !p.contains('`') && p.chars().all(|c| c == '\t' || !c.is_control())) {
                format!("`{pattern}`")
            } else {
                quote(pattern.as_bytes())
            };
        FunctionError::new(format!("regexp: Compile({shown}): {error}"))
    })
}

impl Pattern {
    /// Writes a replacement: `$1`, `$name`, `${name}` and `$$` are known, a group that is not there is empty.
    fn expand(&self, template: &str, groups: &regex::Captures<'_>, out: &mut String) {
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            rest = after;
            if let Some(after) = rest.strip_prefix('$') {
                out.push('$');
                rest = after;
                continue;
            }
            let Some((name, after)) = reference(rest) else {
                out.push('$');
                continue;
            };
            rest = after;
            let group = match name.parse::<usize>() {
                Ok(number) if name.bytes().all(|b| b.is_ascii_digit()) && number < 100_000_000 => groups.get(number),
                _ => self.names.iter().enumerate().filter(|(_, known)| *known == name).find_map(|(n, _)| groups.get(n)),
            };
            out.push_str(group.map_or("", |group| group.as_str()));
        }
        out.push_str(rest);
    }

    fn replaced(&self, text: &str, mut write: impl FnMut(&regex::Captures<'_>, &mut String)) -> String {
        let mut out = String::with_capacity(text.len());
        let mut end = 0;
        for groups in self.regex.captures_iter(text) {
            let whole = groups.get(0).expect("a match has a group 0");
            out.push_str(&text[end..whole.start()]);
            write(&groups, &mut out);
            end = whole.end();
        }
        out.push_str(&text[end..]);
        out
    }

    fn split(&self, text: &str, parts_max: i64) -> Option<Vec<Str>> {
        if parts_max == 0 {
            return None;
        }
        if !self.is_empty && text.is_empty() {
            return Some(vec![Str::empty()]);
        }
        let mut parts = Vec::new();
        let (mut start, mut end) = (0, 0);
        for found in self.regex.find_iter(text) {
            if parts_max > 0 && parts.len() as u64 == parts_max.unsigned_abs() - 1 {
                break;
            }
            end = found.start();
            if found.end() != 0 {
                parts.push(Str::from(&text[start..end]));
            }
            start = found.end();
        }
        if end != text.len() {
            parts.push(Str::from(&text[start..]));
        }
        Some(parts)
    }
}

/// Splits the name off that follows a dollar, with or without braces.
fn reference(text: &str) -> Option<(&str, &str)> {
    let (braced, inner) = text.strip_prefix('{').map_or((false, text), |inner| (true, inner));
    let is_name = |c: char| super::unicode::is_letter(c) || super::unicode::is_digit(c) || c == '_';
    let end = inner.find(|c| !is_name(c)).unwrap_or(inner.len());
    if end == 0 {
        return None;
    }
    let (name, after) = inner.split_at(end);
    if braced { after.strip_prefix('}').map(|after| (name, after)) } else { Some((name, after)) }
}

fn strings(parts: Option<Vec<Str>>) -> Value {
    match parts {
        Some(parts) => Value::strings(parts),
        None => Value::List(List::nil(&STRING_LIST)),
    }
}

/// `regexMatch`: a bad pattern matches nothing.
pub(super) fn regex_match(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(pattern), Value::String(text)] = args else { return Err(FunctionError::shape()) };
    Ok(Value::Bool(compiled(pattern).is_ok_and(|pattern| pattern.regex.is_match(&text.to_str_lossy()))))
}

pub(super) fn must_regex_match(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(pattern), Value::String(text)] = args else { return Err(FunctionError::shape()) };
    Ok(Value::Bool(compiled(pattern)?.regex.is_match(&text.to_str_lossy())))
}

pub(super) fn regex_find(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(pattern), Value::String(text)] = args else { return Err(FunctionError::shape()) };
    Ok(find(&*required(pattern)?, text))
}

pub(super) fn must_regex_find(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(pattern), Value::String(text)] = args else { return Err(FunctionError::shape()) };
    Ok(find(&*compiled(pattern)?, text))
}

fn find(pattern: &Pattern, text: &Str) -> Value {
    Value::from(pattern.regex.find(&text.to_str_lossy()).map_or("", |found| found.as_str()))
}

pub(super) fn regex_find_all(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(pattern), Value::String(text), Value::Int(n)] = args else { return Err(FunctionError::shape()) };
    Ok(find_all(&*required(pattern)?, text, *n))
}

pub(super) fn must_regex_find_all(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(pattern), Value::String(text), Value::Int(n)] = args else { return Err(FunctionError::shape()) };
    Ok(find_all(&*compiled(pattern)?, text, *n))
}

fn find_all(pattern: &Pattern, text: &Str, n: i64) -> Value {
    let text = text.to_str_lossy();
    let max = usize::try_from(n).unwrap_or(usize::MAX);
    let found: Vec<Str> = pattern.regex.find_iter(&text).take(max).map(|found| Str::from(found.as_str())).collect();
    strings((!found.is_empty()).then_some(found))
}

pub(super) fn regex_replace_all(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(pattern), Value::String(text), Value::String(with)] = args else {
        return Err(FunctionError::shape());
    };
    Ok(replace(&*required(pattern)?, text, with))
}

pub(super) fn must_regex_replace_all(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(pattern), Value::String(text), Value::String(with)] = args else {
        return Err(FunctionError::shape());
    };
    Ok(replace(&*compiled(pattern)?, text, with))
}

fn replace(pattern: &Pattern, text: &Str, with: &Str) -> Value {
    let with = with.to_str_lossy();
    Value::from(pattern.replaced(&text.to_str_lossy(), |groups, out| pattern.expand(&with, groups, out)))
}

pub(super) fn regex_replace_all_literal(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(pattern), Value::String(text), Value::String(with)] = args else {
        return Err(FunctionError::shape());
    };
    Ok(replace_literal(&*required(pattern)?, text, with))
}

pub(super) fn must_regex_replace_all_literal(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(pattern), Value::String(text), Value::String(with)] = args else {
        return Err(FunctionError::shape());
    };
    Ok(replace_literal(&*compiled(pattern)?, text, with))
}

fn replace_literal(pattern: &Pattern, text: &Str, with: &Str) -> Value {
    let with = with.to_str_lossy();
    Value::from(pattern.replaced(&text.to_str_lossy(), |_, out| out.push_str(&with)))
}

pub(super) fn regex_split(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(pattern), Value::String(text), Value::Int(n)] = args else { return Err(FunctionError::shape()) };
    Ok(strings(required(pattern)?.split(&text.to_str_lossy(), *n)))
}

pub(super) fn must_regex_split(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(pattern), Value::String(text), Value::Int(n)] = args else { return Err(FunctionError::shape()) };
    Ok(strings(compiled(pattern)?.split(&text.to_str_lossy(), *n)))
}

pub(super) fn regex_quote_meta(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(text)] = args else { return Err(FunctionError::shape()) };
    let mut out = Vec::with_capacity(text.len());
    for byte in text.as_bytes() {
        if br"\.+*?()|[]{}^$".contains(byte) {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    Ok(Value::from(Str::from(out)))
}

#[cfg(test)]
mod tests;
