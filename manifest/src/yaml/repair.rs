//! Turns what YAML 1.1 allows into what YAML 1.2 allows too, where they differ in white space only.
//!
//! `kubectl` takes lines of quoted text that are indented less than their mapping, and tabs that indent lines inside `[]` and `{}`; the
//! parser stops there. Charts have both: `"{{ .Values.text }}"` with a text of several lines is the first. So where the parser stops, the white
//! space at the beginning of these lines is replaced and the text is read again. Knows tokens only as far as to find the end of a quote or
//! bracket. Invariant: line numbers stay; nothing but white space at the beginning of lines inside the [`Region`]s is changed; a
//! region that the parser then sees otherwise is an error.

use std::collections::BTreeMap;
use std::ops::Range;

use granit_parser::{ErrorKind, Event, ScalarStyle, Span, StructureStyle};

use super::read::{Document, Position, ReadError};

/// Most repairs of one text: each costs another reading from the beginning, of no more bytes in all than the text may grow to.
const REPAIRS_MAX: usize = 50;

/// Where the parser stopped.
pub(super) struct Stop {
    pub kind: ErrorKind,
    pub error: ReadError,
    /// Offset of the error.
    pub offset: usize,
    /// End of the last event before it.
    pub resume: usize,
    /// Offset of the outermost `[` or `{` that is open, if an event has told of one.
    pub flow_start: Option<usize>,
}

/// What has been repaired so far.
#[derive(Default)]
pub(super) struct Repairs {
    regions: Vec<Region>,
    /// By how many columns lines were moved to the right.
    shifts: BTreeMap<usize, usize>,
    /// Bytes that were read in vain.
    read_again: usize,
}

/// A quoted scalar or flow collection whose lines were indented anew.
struct Region {
    range: Range<usize>,
    /// The error that the repair is to remedy.
    error: ReadError,
}

impl Repairs {
    /// Returns the text with the place repaired where the parser stopped, or `None` if there is no remedy. The text grows to `bytes_max` at
    /// most.
    pub(super) fn attempt(&mut self, text: &str, stop: &Stop, bytes_max: usize) -> Option<String> {
        self.read_again = self.read_again.saturating_add(text.len());
        if self.regions.len() >= REPAIRS_MAX || self.read_again > bytes_max {
            return None;
        }
        let quoted = match stop.kind {
            ErrorKind::InvalidQuotedScalarIndent | ErrorKind::TabInIndentation => true,
            ErrorKind::TabInBlockIndentation => false,
            _ => return None,
        };
        let range = if quoted {
            surrounding(text, stop, Token::Quoted, quoted_end)?
        } else {
            match stop.flow_start {
                Some(start) => start..flow_end(text, start)?,
                None => surrounding(text, stop, Token::Open, flow_end)?,
            }
        };
        let (before, rest) = text.split_at_checked(range.start)?;
        let (inside, after) = rest.split_at_checked(range.len())?;
        let column = before.bytes().rev().take_while(|byte| !matches!(byte, b'\n' | b'\r')).count();
        let first_line = super::source::position(text, range.start).line;
        // A quoted scalar may stand no further left than its opening quote; brackets need blanks in place of tabs only.
        let indent = if quoted { column + 1 } else { 0 };
        let grown = inside.bytes().filter(|byte| matches!(byte, b'\n' | b'\r')).count().checked_mul(indent)?;
        if text.len().checked_add(grown)? > bytes_max {
            return None;
        }
        let repaired = self.indent(inside, indent, first_line)?;
        // It may be shorter: of a line of white space nothing stays.
        let moved = |end: usize| (end + repaired.len()).saturating_sub(inside.len());
        for Region { range: earlier, .. } in &mut self.regions {
            // An earlier region lies before this one or around it.
            if earlier.end > range.start {
                earlier.end = moved(earlier.end);
            }
        }
        let error = self.restore_error(stop.error.clone());
        self.regions.push(Region { range: range.start..moved(range.end), error });
        Some([before, &repaired, after].concat())
    }

    /// Replaces the white space at the beginning of all lines but the first by blanks: as many, and at least `indent`.
    fn indent(&mut self, inside: &str, indent: usize, first_line: usize) -> Option<String> {
        let mut out = String::with_capacity(inside.len());
        let mut line_number = first_line;
        for line in inside.split_inclusive('\n') {
            if line_number == first_line {
                out.push_str(line);
                line_number += 1;
                continue;
            }
            let content = line.trim_start_matches([' ', '\t']);
            if content.starts_with("---")
                || content.starts_with("...")
                || content.contains('\r') && !content.ends_with("\r\n")
            {
                return None; // a document may end here, or a line in an old way
            }
            let had = line.len() - content.len();
            let has = if content.trim_ascii_start().is_empty() { 0 } else { had.max(indent) };
            if has > had {
                *self.shifts.entry(line_number).or_default() += has - had;
            }
            out.extend(std::iter::repeat_n(' ', has));
            out.push_str(content);
            line_number += 1;
        }
        Some(out)
    }

    /// Returns what the parser must see when it reads the repaired text.
    pub(super) fn expected(&self) -> Expected<'_> {
        Expected { regions: &self.regions, begun: 0, ended: 0 }
    }

    /// Returns the error that was to be remedied, for when the remedy was none.
    ///
    /// # Panics
    /// Without a repair there is nothing to misjudge.
    pub(super) fn misjudged(&self) -> ReadError {
        self.regions.first().expect("a repair was made").error.clone()
    }

    /// Restores the position of an error.
    pub(super) fn restore_error(&self, error: ReadError) -> ReadError {
        ReadError { at: self.restore(error.at), ..error }
    }

    /// Returns where a position of the repaired text stands in the original.
    pub(super) fn restore(&self, at: Position) -> Position {
        let shift = self.shifts.get(&at.line).copied().unwrap_or(0);
        Position { line: at.line, column: at.column.saturating_sub(shift).max(1) }
    }

    /// Restores all positions of a document.
    pub(super) fn restore_document(&self, document: &mut Document) {
        if self.shifts.is_empty() {
            return;
        }
        document.start = self.restore(document.start);
        for at in document.marks.values.values_mut().chain(document.marks.keys.values_mut()) {
            *at = self.restore(*at);
        }
    }
}

/// Checks off the regions that the parser sees as they were taken.
pub(super) struct Expected<'r> {
    regions: &'r [Region],
    begun: usize,
    ended: usize,
}

impl Expected<'_> {
    /// Takes note of a quoted scalar, or of the beginning or end of a flow collection.
    pub(super) fn see(&mut self, event: &Event<'_>, span: Span) {
        let (begins, ends) = match event {
            Event::Scalar(_, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted, ..) => (true, true),
            Event::SequenceStart(StructureStyle::Flow, ..) | Event::MappingStart(StructureStyle::Flow, ..) => {
                (true, false)
            }
            Event::SequenceEnd | Event::MappingEnd => (false, true),
            _ => return,
        };
        let region_at = |offset: Option<usize>, edge: fn(&Region) -> usize| {
            offset.is_some_and(|offset| self.regions.iter().any(|region| edge(region) == offset))
        };
        self.begun += usize::from(begins && region_at(span.start.byte_offset(), |region| region.range.start));
        self.ended += usize::from(ends && region_at(span.end.byte_offset(), |region| region.range.end));
    }

    /// Returns whether every region was seen to begin and to end.
    pub(super) fn all_seen(&self) -> bool {
        self.begun == self.regions.len() && self.ended >= self.regions.len()
    }
}

/// What begins at an offset, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Quoted,
    Open,
    Close,
    Other,
}

/// Returns the range of the first token of a kind between the last event and the error that is still open at the error.
fn surrounding(text: &str, stop: &Stop, kind: Token, end_of: fn(&str, usize) -> Option<usize>) -> Option<Range<usize>> {
    let mut at = stop.resume;
    while at < stop.offset {
        let (token, start, end) = next_token(text, at)?;
        if token == kind {
            let end = end_of(text, start)?;
            if end > stop.offset {
                return Some(start..end);
            }
        }
        at = end;
    }
    None
}

/// Returns the kind, start and end of the first token from `at` on, past white space and comments. Of a bracket only the bracket itself.
fn next_token(text: &str, at: usize) -> Option<(Token, usize, usize)> {
    let bytes = text.as_bytes();
    let mut start = at;
    loop {
        match bytes.get(start)? {
            b' ' | b'\t' | b'\n' | b'\r' => start += 1,
            b'#' => start += bytes.get(start..)?.iter().take_while(|byte| !matches!(byte, b'\n' | b'\r')).count(),
            _ => break,
        }
    }
    let ends_run = |byte: &u8| byte.is_ascii_whitespace() || b",[]{}".contains(byte);
    match bytes.get(start)? {
        b'"' | b'\'' => Some((Token::Quoted, start, quoted_end(text, start)?)),
        b'[' | b'{' => Some((Token::Open, start, start + 1)),
        b']' | b'}' => Some((Token::Close, start, start + 1)),
        b',' | b':' => Some((Token::Other, start, start + 1)),
        _ => {
            let run = bytes.get(start..)?.iter().take_while(|byte| !ends_run(byte)).count();
            Some((Token::Other, start, start + run))
        }
    }
}

/// Returns the offset after the quote that closes the one at `start`.
fn quoted_end(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let quote = *bytes.get(start)?;
    let mut at = start + 1;
    loop {
        match *bytes.get(at)? {
            b'\\' if quote == b'"' => at += 2,
            byte if byte == quote && quote == b'\'' && bytes.get(at + 1) == Some(&quote) => at += 2,
            byte if byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
}

/// Returns the offset after the bracket that closes the one at `start`.
fn flow_end(text: &str, start: usize) -> Option<usize> {
    let mut open = 0usize;
    let mut at = start;
    loop {
        let (token, _, end) = next_token(text, at)?;
        match token {
            Token::Open => open += 1,
            Token::Close => open -= 1,
            Token::Quoted | Token::Other => {}
        }
        if open == 0 {
            return Some(end);
        }
        at = end;
    }
}
