//! Reads the YAML that nearly every manifest is written in, line by line: block mappings and lists, scalars of one line, literal blocks.
//!
//! Rendered text is the largest part of what is read, and a parser for all of YAML spends most of its time on what it could be. What is not plainly
//! of this kind - flow collections, anchors, tags, folded text, scalars of several lines, tabs, and all that is wrong - is left to `compose`,
//! which knows all of YAML and says what is wrong. What a scalar means is asked of `resolve` here, too.
//! Invariant: what comes out is what `compose` makes of the same text, positions included.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::compose::{Extent, Marking};
use super::read::{DEPTH_MAX, Document, DuplicateKeys, Marks, Position, Settings};
use super::resolve;

/// Deepest nesting that is read here: calls nest as collections do.
const NESTING_MAX: usize = 64;
/// Longest key, with room below what the parser takes.
const KEY_BYTES_MAX: usize = 1_000;

/// Reads a text that has passed the survey and has no tab, no carriage return and no old line break in it; `None` leaves it to `compose`.
pub(super) fn read(text: &str, settings: &Settings, extent: Extent) -> Option<Vec<Document>> {
    let line = Line { kind: Kind::End, number: 0, start: 0, end: 0, indent: 0 };
    let marking = settings.marks.then(Marking::default);
    let nodes = settings.limits.nodes;
    let mut reader = Reader { text, settings, next: 0, line, nodes, marking, root: None };
    let documents = reader.documents()?;
    // What stands behind the first document is looked at by the parser only.
    (extent == Extent::All || documents.len() < 2).then_some(documents)
}

struct Reader<'t> {
    text: &'t str,
    settings: &'t Settings,
    /// Where the line after the one at hand begins.
    next: usize,
    line: Line,
    /// Values that may still come.
    nodes: usize,
    marking: Option<Marking>,
    /// Where the first value of the document stands.
    root: Option<Position>,
}

/// A line, or the rest of one behind the dashes of lists.
#[derive(Clone, Copy)]
struct Line {
    kind: Kind,
    /// From 1.
    number: usize,
    /// Offset of its first character that is no space.
    start: usize,
    /// Offset of its end, without the spaces there.
    end: usize,
    /// Column of `start`, from 0.
    indent: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Content,
    /// `---`.
    Marker,
    /// There is no line any more.
    End,
}

impl<'t> Reader<'t> {
    fn documents(&mut self) -> Option<Vec<Document>> {
        let mut documents = Vec::new();
        let mut marker = None;
        self.advance()?;
        loop {
            let line = self.line;
            if line.kind != Kind::Content {
                if let Some(start) = marker.take() {
                    documents.push(Document { value: self.null()?, marks: Marks::default(), start });
                }
                if line.kind == Kind::End {
                    break;
                }
                marker = Some(Position { line: line.number, column: 1 });
                self.advance()?;
                continue;
            }
            if let Some(marking) = &mut self.marking {
                marking.pointer.clear();
            }
            let value = self.block(0)?;
            if self.line.kind == Kind::Content {
                return None;
            }
            let marks = self.marking.as_mut().map(|marking| std::mem::take(&mut marking.marks)).unwrap_or_default();
            documents.push(Document { value, marks, start: self.root.take()? });
            marker = None;
        }
        (documents.len() <= self.settings.limits.documents).then_some(documents)
    }

    fn bytes(&self) -> &'t [u8] {
        self.text.as_bytes()
    }

    /// Goes on to the next line that is neither blank nor a comment.
    fn advance(&mut self) -> Option<()> {
        let bytes = self.bytes();
        let mut number = self.line.number;
        loop {
            if self.next >= bytes.len() {
                self.line = Line { kind: Kind::End, number, start: bytes.len(), end: bytes.len(), indent: 0 };
                return Some(());
            }
            let begin = self.next;
            let line_end = self.end_of_line(begin);
            self.next = line_end + 1;
            number += 1;
            let line = &bytes[begin..line_end];
            let Some(indent) = line.iter().position(|byte| *byte != b' ') else { continue };
            if line[indent] == b'#' {
                continue;
            }
            let end = begin + line.len() - line.iter().rev().take_while(|byte| **byte == b' ').count();
            let mut kind = Kind::Content;
            if indent == 0 {
                match line {
                    [b'-', b'-', b'-'] => kind = Kind::Marker,
                    [b'-', b'-', b'-', b' ', ..] | [b'.', b'.', b'.', ..] | [b'%', ..] => return None,
                    _ => {}
                }
            }
            self.line = Line { kind, number, start: begin + indent, end, indent };
            return Some(());
        }
    }

    fn end_of_line(&self, from: usize) -> usize {
        self.text.as_bytes()[from..].iter().position(|byte| *byte == b'\n').map_or(self.text.len(), |at| from + at)
    }

    /// Reads the collection that begins with the line at hand, in so many others.
    fn block(&mut self, depth: usize) -> Option<Value> {
        if self.begins_item() { self.list(false, depth) } else { self.mapping(depth) }
    }

    /// Reports whether the line begins with the dash of an item.
    fn begins_item(&self) -> bool {
        matches!(&self.bytes()[self.line.start..self.line.end], [b'-'] | [b'-', b' ', ..])
    }

    /// Counts and marks a value.
    fn enter(&mut self, at: Position) -> Option<()> {
        self.root.get_or_insert(at);
        self.nodes = self.nodes.checked_sub(1)?;
        match &mut self.marking {
            Some(marking) => marking.mark_value(self.settings.limits, at).ok(),
            None => Some(()),
        }
    }

    fn pointer_len(&self) -> usize {
        self.marking.as_ref().map_or(0, |marking| marking.pointer.len())
    }

    fn open(&mut self, depth: usize) -> Option<usize> {
        if depth >= self.settings.limits.depth.min(DEPTH_MAX).min(NESTING_MAX) {
            return None;
        }
        self.enter(Position { line: self.line.number, column: self.line.indent + 1 })?;
        Some(self.pointer_len())
    }

    fn close(&mut self, pointer_len: usize) {
        if let Some(marking) = &mut self.marking {
            marking.pointer.truncate(pointer_len);
        }
    }

    fn mapping(&mut self, depth: usize) -> Option<Value> {
        let pointer_len = self.open(depth)?;
        let indent = self.line.indent;
        let mut entries = Map::new();
        loop {
            let line = self.line;
            if line.kind != Kind::Content || line.indent < indent {
                break;
            }
            if line.indent > indent || self.begins_item() {
                return None;
            }
            let (key, after) = self.key(line)??;
            if let Some(marking) = &mut self.marking {
                marking.descend(pointer_len, &key);
                let at = Position { line: line.number, column: indent + 1 };
                marking.mark_key(self.settings.limits, at).ok()?;
            }
            let value = match self.value_start(after, line.end) {
                Some(start) => self.scalar(start, indent)?,
                None => {
                    self.advance()?;
                    let is_below = self.line.kind == Kind::Content && self.line.indent >= indent;
                    if is_below && self.line.indent > indent {
                        self.block(depth + 1)?
                    } else if is_below && self.begins_item() {
                        self.list(true, depth + 1)?
                    } else {
                        self.null()?
                    }
                }
            };
            let known = entries.insert(key, value).is_some();
            if known && (self.settings.duplicate_keys == DuplicateKeys::Refuse || self.marking.is_some()) {
                return None;
            }
        }
        self.close(pointer_len);
        Some(Value::Object(entries))
    }

    /// Reads a list; one that is not indented below its key ends where the next key stands.
    fn list(&mut self, is_flush: bool, depth: usize) -> Option<Value> {
        let pointer_len = self.open(depth)?;
        let indent = self.line.indent;
        let mut items = Vec::new();
        loop {
            let line = self.line;
            if line.kind != Kind::Content || line.indent < indent {
                break;
            }
            if line.indent > indent {
                return None;
            }
            if !self.begins_item() {
                if is_flush {
                    break;
                }
                return None;
            }
            if let Some(marking) = &mut self.marking {
                marking.descend(pointer_len, &items.len().to_string());
            }
            let item = match self.value_start(line.start + 1, line.end) {
                Some(start) => {
                    // What stands behind the dash is a line of its own.
                    self.line = Line { start, indent: indent + (start - line.start), ..line };
                    if self.begins_item() {
                        self.list(false, depth + 1)?
                    } else if self.key(self.line)?.is_some() {
                        self.mapping(depth + 1)?
                    } else {
                        self.scalar(start, indent)?
                    }
                }
                None => {
                    self.advance()?;
                    if self.line.kind == Kind::Content && self.line.indent > indent {
                        self.block(depth + 1)?
                    } else {
                        self.null()?
                    }
                }
            };
            items.push(item);
        }
        self.close(pointer_len);
        Some(Value::Array(items))
    }

    /// A value that is not written.
    fn null(&mut self) -> Option<Value> {
        // Where it is said to stand is the parser's business.
        if self.marking.is_some() {
            return None;
        }
        self.nodes = self.nodes.checked_sub(1)?;
        Some(Value::Null)
    }

    /// Returns where the value of a line begins; `None` where there is none, or a comment.
    fn value_start(&self, from: usize, end: usize) -> Option<usize> {
        let spaces = self.bytes()[from..end].iter().position(|byte| *byte != b' ')?;
        (self.bytes()[from + spaces] != b'#').then_some(from + spaces)
    }

    /// Reads the key that a line begins with, and where it ends. The inner `None` says that the line has none.
    fn key(&self, line: Line) -> Option<Option<(String, usize)>> {
        let bytes = &self.bytes()[line.start..line.end];
        let is_colon = |at: usize| matches!(bytes[at..], [b':'] | [b':', b' ', ..]);
        let (key, colon) = match bytes.first()? {
            b'"' | b'\'' => {
                let (text, after) = self.quoted(line.start, line.end)?;
                let colon = after - line.start;
                match bytes.get(colon) {
                    Some(b':') if is_colon(colon) => (text.into_owned(), colon),
                    // Spaces before a colon, or something else behind the quotes.
                    Some(_) if bytes[colon..].contains(&b':') => return None,
                    _ => return Some(None),
                }
            }
            first => {
                let mut colon = None;
                for (at, byte) in bytes.iter().enumerate() {
                    match byte {
                        b':' if is_colon(at) => {
                            colon = Some(at);
                            break;
                        }
                        b'#' if at > 0 && bytes[at - 1] == b' ' => break,
                        _ => {}
                    }
                }
                let Some(colon) = colon else { return Some(None) };
                if begins_something_else(*first) || *first == b'-' || bytes[..colon].ends_with(b" ") {
                    return None;
                }
                let text = &self.text[line.start..line.start + colon];
                if text == "<<" {
                    return None;
                }
                (resolve::key(resolve::plain(text), Cow::Borrowed(text))?, colon)
            }
        };
        (colon <= KEY_BYTES_MAX).then_some(Some((key, line.start + colon + 1)))
    }

    /// Reads the scalar, or the empty collection, that begins at an offset of the line at hand; `indent` is that of what it is in.
    fn scalar(&mut self, start: usize, indent: usize) -> Option<Value> {
        let bytes = self.bytes();
        let line = self.line;
        let column = if self.marking.is_some() {
            let begin = line.start - line.indent;
            self.text.get(begin..start)?.chars().count() + 1
        } else {
            start - (line.start - line.indent) + 1
        };
        let at = Position { line: line.number, column };
        let rest = &bytes[start..line.end];
        let value = match rest[0] {
            b'"' | b'\'' => {
                let (text, after) = self.quoted(start, line.end)?;
                self.ends(after, line.end)?;
                Value::String(text.into_owned())
            }
            b'|' => {
                return self.literal(start + 1, indent);
            }
            b'[' if rest.get(1) == Some(&b']') => {
                self.ends(start + 2, line.end)?;
                Value::Array(Vec::new())
            }
            b'{' if rest.get(1) == Some(&b'}') => {
                self.ends(start + 2, line.end)?;
                Value::Object(Map::new())
            }
            b'-' if matches!(rest, [_] | [_, b' ', ..]) => return None,
            first if begins_something_else(first) => return None,
            _ => {
                let mut end = rest.len();
                for (at, byte) in rest.iter().enumerate() {
                    match byte {
                        b':' if matches!(rest[at + 1..], [] | [b' ', ..]) => return None,
                        b'#' if at > 0 && rest[at - 1] == b' ' => {
                            end = at;
                            break;
                        }
                        _ => {}
                    }
                }
                let text = self.text[start..start + end].trim_end_matches(' ');
                resolve::value(resolve::plain(text), Cow::Borrowed(text))?
            }
        };
        self.enter(at)?;
        self.advance()?;
        Some(value)
    }

    /// Makes sure that nothing but a comment follows.
    fn ends(&self, from: usize, end: usize) -> Option<()> {
        match &self.bytes()[from..end] {
            [] => Some(()),
            [b' ', ..] if self.value_start(from, end).is_none() => Some(()),
            _ => None,
        }
    }

    /// Reads text in quotes that ends on its line, and where it ends.
    fn quoted(&self, start: usize, end: usize) -> Option<(Cow<'t, str>, usize)> {
        let bytes = self.bytes();
        let quote = bytes[start];
        let mut text = Cow::Borrowed("");
        let mut from = start + 1;
        loop {
            let special = |byte: &u8| *byte == quote || (quote == b'"' && *byte == b'\\');
            let at = from + bytes[from..end].iter().position(special)?;
            let piece = &self.text[from..at];
            match text {
                Cow::Borrowed("") => text = Cow::Borrowed(piece),
                _ => text.to_mut().push_str(piece),
            }
            let escaped = if quote == b'\'' {
                if bytes[at + 1..end].first() != Some(&b'\'') {
                    return Some((text, at + 1));
                }
                '\''
            } else if bytes[at] == b'"' {
                return Some((text, at + 1));
            } else {
                match bytes[at + 1..end].first()? {
                    b'"' => '"',
                    b'\\' => '\\',
                    b'n' => '\n',
                    b't' => '\t',
                    _ => return None,
                }
            };
            text.to_mut().push(escaped);
            from = at + 2;
        }
    }

    /// Reads a literal block; `from` is behind its bar, `indent` that of what it is in.
    fn literal(&mut self, from: usize, indent: usize) -> Option<Value> {
        let bytes = self.bytes();
        let chomp = bytes[from..self.line.end].first().copied().filter(|byte| matches!(byte, b'-' | b'+'));
        self.ends(from + usize::from(chomp.is_some()), self.line.end)?;
        let mut text = String::new();
        let mut column = None;
        let mut number = self.line.number;
        let mut blank = 0;
        loop {
            let begin = self.next;
            if begin >= bytes.len() {
                break;
            }
            let end = self.end_of_line(begin);
            let line = &bytes[begin..end];
            if line.is_empty() {
                blank += 1;
            } else {
                // A line of spaces is text or not by its length.
                let spaces = line.iter().position(|byte| *byte != b' ')?;
                let column = match column {
                    Some(column) => column,
                    None => {
                        // The parser says that a block stands where its text begins.
                        self.enter(Position { line: number + 1, column: spaces + 1 })?;
                        column = Some(spaces);
                        spaces
                    }
                };
                if column <= indent {
                    return None;
                }
                if spaces < column {
                    break;
                }
                // The last line of a text may lack its end.
                if end == bytes.len() {
                    return None;
                }
                text.extend(std::iter::repeat_n('\n', blank));
                text.push_str(&self.text[begin + column..end]);
                text.push('\n');
                blank = 0;
            }
            number += 1;
            self.next = end + 1;
        }
        column?;
        match chomp {
            Some(b'-') => {
                text.pop();
            }
            Some(_) => text.extend(std::iter::repeat_n('\n', blank)),
            None => {}
        }
        self.line.number = number;
        self.advance()?;
        Some(Value::String(text))
    }
}

/// Reports whether a scalar that begins so is more than text.
fn begins_something_else(first: u8) -> bool {
    matches!(
        first,
        b'[' | b']' | b'{' | b'}' | b'&' | b'*' | b'!' | b'|' | b'>' | b'%' | b'@' | b'`' | b',' | b'?' | b':' | b'#'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::read::read_parsed;
    use super::super::{source, write};
    use super::*;

    /// Reads a text both ways where it can be read here; reports whether it can.
    fn agrees(text: &str) -> bool {
        let Ok(survey) = source::survey(text) else { return false };
        if survey.old_breaks || survey.tabs_or_returns {
            return false;
        }
        let mut read_here = false;
        for (marks, duplicate_keys, extent) in [
            (false, DuplicateKeys::Refuse, Extent::All),
            (true, DuplicateKeys::Refuse, Extent::All),
            (true, DuplicateKeys::LastWins, Extent::All),
            (false, DuplicateKeys::LastWins, Extent::First),
        ] {
            let settings = Settings { duplicate_keys, marks, ..Settings::default() };
            let Some(documents) = read(text, &settings, extent) else { continue };
            read_here |= !marks;
            let parsed = read_parsed(text, survey, &settings, extent);
            let parsed = parsed.unwrap_or_else(|error| panic!("{text:?} is refused: {error} at {:?}", error.at));
            let parts = |documents: &[Document]| -> Vec<_> {
                documents
                    .iter()
                    .map(|d| (d.value.clone(), d.start, d.marks.values.clone(), d.marks.keys.clone()))
                    .collect()
            };
            assert_eq!(parts(&documents), parts(&parsed), "{text:?}, marks: {marks}");
        }
        read_here
    }

    #[test]
    fn what_manifests_are_made_of_is_read_here() {
        for text in [
            "",
            "# nothing\n",
            "a: 1\nb: x y # z\nc: \"q\\\"\\\\\\n\" # d\nd: 'it''s'\ne:\nf: ~\n",
            "---\n# Source: x\na:\n  b:\n  - c: 1\n    d: [] \n  - - e\n    - f\n  -\n    g: {}\n  - \nh:\n  - i\n",
            "a: |\n  x\n\n   y\nb: |-\n  z\n\n\nc: |+ # keep\n    k\n\nd: 1\n",
            "\n---\n---\na: 1\n---\n- b\n---\n",
            "\"a b\": http://x:80/y#z\n'c': -d\n0x10: yes\ntrue: 1.50\n",
            "ä: ö # ü\n",
            "a: --- b\nc: - \n",
        ] {
            assert!(agrees(text) || text.contains("- \n") && text.starts_with("a: ---"), "{text:?}");
        }
    }

    #[test]
    fn what_is_not_plainly_of_this_kind_is_left_to_the_parser() {
        for text in [
            "a: [b]\n",
            "a: {b: c}\n",
            "a: &b c\n",
            "a: *b\n",
            "a: !!str b\n",
            "a: >\n  b\n",
            "a: b\n  c\n",
            "a: \"b\n  c\"\n",
            "<<: a\n",
            "a: b: c\n",
            "a : b\n",
            "? a\n",
            "a: |2\n   b\n",
            "a: |\n  b",
            "b\n",
            "a: 1\na: 2\n",
            "a: .inf\n",
            "~: a\n",
            "--- a\n",
            "...\n",
            "%YAML 1.2\n",
            "a: 1\n b: 2\n",
            " a: 1\nb: 2\n",
            "- a\nb: 1\n",
            "a: |\nb: 1\n",
            "a: \"\\u0041\"\n",
        ] {
            let settings = Settings::default();
            assert!(read(text, &settings, Extent::All).is_none(), "{text:?}");
        }
    }

    fn piece() -> impl Strategy<Value = String> {
        let fragments = prop::sample::select(vec![
            "a:",
            "b: ",
            "- ",
            "-",
            "  ",
            " ",
            "\n",
            "\n",
            "\n\n",
            "\n  ",
            "\n    ",
            "\n- ",
            "\n  - ",
            "c: d",
            "x",
            "1",
            "0x1F",
            "~",
            "\"q\"",
            "\"q: #\"",
            "'s'",
            "'s''t'",
            "\"\\n\"",
            "\"\\\"\"",
            "\"open",
            "|",
            "|-",
            "|+",
            "|\n",
            "|\n  ",
            ": |-\n    ",
            "#",
            " #c",
            "# d: e",
            "---",
            "\n---\n",
            "\n--- ",
            "...",
            ":",
            ": ",
            "?",
            "? ",
            "[]",
            "{}",
            "[",
            "{",
            "]",
            ",",
            "&a ",
            "*a",
            "!t ",
            "<<",
            "<<: ",
            "%",
            "@",
            "`",
            ">",
            "yes",
            "null",
            "1.5",
            "-1",
            "--x",
            ".5",
            "=",
            "key",
            "a b",
            "é",
            "€: ",
            "http://h:1/p",
            "a#b",
            "\\",
            "'",
            "\"",
            "- - ",
            "- a: 1",
            "\na: ",
            "\nb:\n",
            "\n# c\n",
            "-\n",
            "\n -",
            "\n  a: ",
            "\n  b: ",
        ]);
        fragments.prop_map(str::to_owned)
    }

    fn value() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            "[a-z0-9./:#-]{0,8}",
            "[ -~\n]{0,12}",
            prop::sample::select(vec!["yes", "1", "0x1", "~", "", "a: b", "- a", "x #y", "\n", "a\n\n", " a\nb"])
                .prop_map(str::to_owned)
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i32>().prop_map(Value::from),
            text.clone().prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(text.clone(), inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        #[test]
        fn any_text_is_read_alike(pieces in prop::collection::vec(piece(), 0..14)) {
            agrees(&pieces.concat());
        }

        #[test]
        fn any_lines_are_read_alike(lines in prop::collection::vec((0usize..5, prop::collection::vec(piece(), 1..4)), 0..8)) {
            let text: String = lines.iter().map(|(indent, pieces)| format!("{}{}\n", " ".repeat(*indent), pieces.concat())).collect();
            agrees(&text);
        }

        #[test]
        fn the_canonical_form_is_read_alike(value in value()) {
            agrees(&write(&value));
        }
    }
}
