//! Follows texts from where they were written to where they are printed.
//!
//! For a second execution, after the output of the first turned out wrong: what `include` and `tpl` return, and what functions make of it,
//! is remembered with the places that wrote it, by the identity of the text. What a function returned is matched with what it was given line
//! by line, in order, and by content: `nindent`, `trim` or `replace` keep lines, and a line that is not found again counts as written by the
//! action that printed it. Invariant: a byte is said to come from a place only if the line it stands in was written there.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::involved;
use crate::gotemplate::origin::{Origins, Way};
use crate::value::{Str, Value};

/// Functions that keep parts of lines.
const PARTS: [&str; 10] =
    ["quote", "squote", "trim", "trimAll", "trimPrefix", "trimSuffix", "trunc", "print", "printf", "cat"];
/// Texts remembered at most; what comes after is said to be written where it is printed.
const TEXTS_MAX: usize = 100_000;

/// What is known of texts, and the origins of outputs put aside.
#[derive(Debug, Default)]
pub(super) struct Tracer {
    /// By address; the text is kept so that the address stays its own.
    texts: BTreeMap<usize, (Str, Arc<Origins>)>,
    /// Of the outputs put aside while a function's template writes.
    outer: Vec<Origins>,
}

impl Tracer {
    /// Puts the origins of an output aside.
    pub(super) fn begin(&mut self, outer: Origins) {
        self.outer.push(outer);
    }

    /// Takes back the origins put aside last.
    pub(super) fn end(&mut self) -> Origins {
        self.outer.pop().unwrap_or_default()
    }

    /// Remembers what a function made of a text.
    pub(super) fn made(&mut self, function: &str, result: &Value, text: &Str, origins: Origins) {
        let Value::String(result) = result else { return };
        let origins = if result.as_bytes() == text.as_bytes() {
            origins
        } else {
            aligned(result, &[(text.clone(), Arc::new(origins))], PARTS.contains(&function))
        };
        self.remember(result, origins);
    }

    /// Remembers what a function made of its arguments.
    pub(super) fn called(&mut self, function: &str, args: &[Value], result: &Value) {
        let Value::String(result) = result else { return };
        if result.is_empty() || self.of(result).is_some() {
            return;
        }
        let mut known = Vec::new();
        for arg in args {
            match arg {
                Value::String(text) => known.extend(self.of(text).map(|origins| (text.clone(), origins))),
                Value::List(list) => known.extend(list.borrow().iter().filter_map(|item| match item {
                    Value::String(text) => Some((text.clone(), self.of(text)?)),
                    _ => None,
                })),
                _ => {}
            }
        }
        if !known.is_empty() {
            self.remember(result, aligned(result, &known, PARTS.contains(&function)));
        }
    }

    /// Returns where a text comes from.
    pub(super) fn of(&self, text: &Str) -> Option<Arc<Origins>> {
        self.texts.get(&address(text)).map(|(_, origins)| Arc::clone(origins))
    }

    fn remember(&mut self, text: &Str, origins: Origins) {
        if !text.is_empty() && self.texts.len() < TEXTS_MAX {
            self.texts.insert(address(text), (text.clone(), Arc::new(origins)));
        }
    }
}

/// Returns the way of a value that is printed as it stands in the data.
pub(super) fn way_of_value(data: Option<&Value>, value: &Value) -> Option<Arc<Way>> {
    let path = involved::path_to(data?, value)?;
    (!path.is_empty()).then(|| Arc::new(Way { calls: Vec::new(), value: Some(path) }))
}

fn address(text: &Str) -> usize {
    text.as_bytes().as_ptr().addr()
}

/// Returns the origins of a text made of others: line by line, in order, where the content is the same.
fn aligned(result: &Str, known: &[(Str, Arc<Origins>)], parts: bool) -> Origins {
    let mut origins = Origins::default();
    origins.record_unknown(0);
    // The line of each text that comes next.
    let mut next = vec![0; known.len()];
    for (start, line) in lines(result.as_bytes()) {
        for (index, (text, of)) in known.iter().enumerate() {
            let from = next[index];
            let found = lines(&text.as_bytes()[from..]).into_iter().find_map(|(offset, written)| {
                let offset = from + offset;
                let whole = (written == line).then_some((0, 0, line.len()));
                let part = || {
                    if let Some(at) = find(line, written) {
                        return Some((at, 0, written.len()));
                    }
                    find(written, line).map(|at| (0, at, line.len()))
                };
                let (at, inside, len) = whole.or_else(|| parts.then(part).flatten())?;
                Some((start + at, offset + inside, len, offset + written.len()))
            });
            if let Some((to, offset, len, end)) = found {
                origins.copy(to, of, offset..offset + len);
                origins.record_unknown(to + len);
                next[index] = end;
                break;
            }
        }
    }
    origins
}

/// Returns the lines that are not blank, without the space around them, and where they begin.
fn lines(text: &[u8]) -> Vec<(usize, &[u8])> {
    let mut start = 0;
    let mut found = Vec::new();
    for line in text.split(|&b| b == b'\n') {
        let trimmed = line.trim_ascii();
        if !trimmed.is_empty() {
            found.push((start + (line.len() - line.trim_ascii_start().len()), trimmed));
        }
        start += line.len() + 1;
    }
    found
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gotemplate::set::Source;

    #[test]
    fn lines_are_found_again_in_order_and_others_are_not_invented() {
        let source = Arc::new(Source { name: "t".into(), text: "a: 1\nb: 2\na: 1\n".into() });
        let mut written = Origins::default();
        written.record(0, &source, 0, true);
        let text = Str::from("a: 1\nb: 2\na: 1\n");
        let result = Str::from("\n    a: 1\n    new\n    b: 2\n    a: 1");
        let origins = aligned(&result, &[(text, Arc::new(written))], false);
        let line = |wanted: &str, nth: usize| {
            let at = result.as_str().expect("text").match_indices(wanted).nth(nth).expect("there").0;
            origins.locate(at).map(|(_, pos)| pos)
        };
        assert_eq!((line("a: 1", 0), line("b: 2", 0), line("a: 1", 1)), (Some(0), Some(5), Some(10)));
        assert_eq!(line("new", 0), None);
    }

    #[test]
    fn a_part_of_a_line_counts_only_where_the_function_keeps_parts() {
        let source = Arc::new(Source { name: "t".into(), text: "name".into() });
        let known = || {
            let mut written = Origins::default();
            written.record(0, &source, 0, true);
            [(Str::from("name"), Arc::new(written))]
        };
        assert_eq!(aligned(&"\"name\"".into(), &known(), true).locate(1).map(|(_, pos)| pos), Some(0));
        assert!(aligned(&"\"name\"".into(), &known(), false).locate(1).is_none());
    }
}
