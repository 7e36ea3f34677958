//! What stands between the tokens, and what YAML 1.1 makes of it where YAML 1.2 makes something else.
//!
//! Two things: white space at the beginning of a line must not hold tabs in block context, and U+0085, U+2028 and U+2029 end lines. Both are
//! rare, so this is in the way only of texts in which the survey has seen one. Knows events by their spans, never their meaning.
//! Invariant: the gaps and the scalars it is shown are the whole text, in order. Source of the rules: goyaml.v2 `scannerc.go`.

use granit_parser::{Event, ScalarStyle, Span};

use super::explain;
use super::read::ReadError;
use super::source::{self, Survey, is_old_break};

/// Watches the text between events.
pub(super) struct Gaps<'t> {
    text: &'t str,
    survey: Survey,
    /// All before has been looked at.
    cursor: usize,
    next_gap: Part,
}

/// What a part of the text is to the scanner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// A plain scalar.
    Plain,
    /// A gap after a plain scalar, which takes in all white space in search of its next line.
    AfterPlain,
    /// Any other gap.
    Gap,
}

/// Where a gap is.
#[derive(Debug, Clone, Copy)]
struct Context {
    flow: bool,
    /// Column from 0 of the block collection around, if any.
    column: Option<usize>,
}

impl<'t> Gaps<'t> {
    /// Returns nothing to watch where the survey has seen nothing.
    pub(super) fn new(text: &'t str, survey: Survey) -> Option<Self> {
        let needed = survey.old_breaks || survey.leading_tabs;
        needed.then_some(Gaps { text, survey, cursor: 0, next_gap: Part::Gap })
    }

    /// Looks at what stands before an event, and at the event itself if it is a scalar. `flow` and `column` describe the innermost
    /// collection that is open before the event, and the innermost one in block style.
    ///
    /// # Errors
    /// A tab that indents; a line break of YAML 1.1 that would change the meaning of the text.
    pub(super) fn pass(
        &mut self,
        event: &Event<'_>,
        span: Span,
        flow: bool,
        column: Option<usize>,
    ) -> Result<(), ReadError> {
        let (Some(start), Some(end)) = (span.start.byte_offset(), span.end.byte_offset()) else { return Ok(()) };
        let context = Context { flow, column };
        if start > self.cursor {
            self.look_at_gap(start, context)?;
        }
        let Event::Scalar(_, style, ..) = event else { return Ok(()) };
        let scalar = self.text.get(start..end).unwrap_or_default();
        let quoted = matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted);
        if self.survey.old_breaks {
            self.look_for_old_breaks(start, scalar, quoted)?;
        }
        if *style == ScalarStyle::Plain && self.survey.leading_tabs {
            self.look_for_tabs(start, scalar, Part::Plain, context)?;
        }
        self.cursor = self.cursor.max(end);
        self.next_gap = if *style == ScalarStyle::Plain { Part::AfterPlain } else { Part::Gap };
        Ok(())
    }

    fn look_at_gap(&mut self, end: usize, context: Context) -> Result<(), ReadError> {
        let gap = self.text.get(self.cursor..end).unwrap_or_default();
        if self.survey.old_breaks {
            self.look_for_old_breaks(self.cursor, gap, false)?;
        }
        if self.survey.leading_tabs {
            self.look_for_tabs(self.cursor, gap, self.next_gap, context)?;
        }
        self.cursor = end;
        self.next_gap = Part::Gap;
        Ok(())
    }

    /// Looks at the beginnings of all lines of a part but the first.
    fn look_for_tabs(&self, offset: usize, text: &str, part: Part, context: Context) -> Result<(), ReadError> {
        let mut plain = part != Part::Gap;
        let mut line_start = (offset == 0).then_some(0);
        for (at, char) in text.char_indices() {
            match (char, line_start) {
                ('\n' | '\r', _) => line_start = Some(at + 1),
                (' ', _) | ('\t', None) => {}
                ('\t', Some(start)) => {
                    let indents = context.column.is_some_and(|column| at - start <= column);
                    let refused = if plain { indents } else { !context.flow };
                    if refused {
                        let at = source::position(self.text, offset + at);
                        return Err(ReadError { message: explain::TAB.to_owned(), at });
                    }
                }
                _ => {
                    line_start = None;
                    plain = part == Part::Plain;
                }
            }
        }
        Ok(())
    }

    /// Line breaks of YAML 1.1 are kept inside quotes, where they stand between other characters; elsewhere they would end a line.
    fn look_for_old_breaks(&self, offset: usize, text: &str, quoted: bool) -> Result<(), ReadError> {
        for (at, char) in text.char_indices().filter(|(_, char)| is_old_break(*char)) {
            let before = text.get(..at).and_then(|before| before.chars().next_back());
            let after = text.get(at + char.len_utf8()..).and_then(|after| after.chars().next());
            let folds =
                |neighbour: Option<char>| neighbour.is_none_or(|char| char.is_ascii_whitespace() || char == '\\');
            if quoted && char != '\u{85}' && !folds(before) && !folds(after) {
                continue;
            }
            let code = u32::from(char);
            let message = format!("U+{code:04X} ends a line in YAML 1.1; write \"\\u{code:04x}\" in double quotes");
            return Err(ReadError { message, at: source::position(self.text, offset + at) });
        }
        Ok(())
    }
}
