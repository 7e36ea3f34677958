//! What is wrong with somebody's file, said so that they can fix it.
//!
//! Every module of the generator reports through [`Diagnostic`]: a stable code, a message in the file's own words,
//! the place, how one got there, and what to type instead. Pure: source texts are passed in to render, nothing is read.
//! Invariant: a [`Diagnostics`] collection is sorted and free of duplicates, so the same input gives the same report;
//! messages never carry secret values, only names and places.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is written.
    Error,
    /// Output is written; someone should look.
    Warning,
}

impl Severity {
    /// Returns the word reports print.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// A place in a file of the repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// Path relative to the repository, `/`-separated.
    pub file: String,
    /// Line, from 1; 0 where only the file is known.
    pub line: usize,
    /// Column in characters, from 1; 0 where only the line is known.
    pub column: usize,
    /// Characters to underline, never past the end of the line; 0 for just the position.
    pub length: usize,
}

impl Place {
    /// Returns a place that is a whole file.
    pub fn file(file: impl Into<String>) -> Place {
        Place { file: file.into(), line: 0, column: 0, length: 0 }
    }

    /// Returns a position in a file; line and column count from 1.
    pub fn at(file: impl Into<String>, line: usize, column: usize) -> Place {
        Place { file: file.into(), line, column, length: 0 }
    }

    /// Returns the place of the bytes `start..end` of a text. Where they span lines, the first line is meant.
    pub fn of_bytes(file: impl Into<String>, text: &[u8], start: usize, end: usize) -> Place {
        let start = start.min(text.len());
        let before = &text[..start];
        let line_start = before.iter().rposition(|&b| b == b'\n').map_or(0, |newline| newline + 1);
        let end = end.clamp(start, text.len());
        let end = text[start..end].iter().position(|&b| b == b'\n').map_or(end, |newline| start + newline);
        Place {
            file: file.into(),
            line: 1 + before.iter().filter(|&&b| b == b'\n').count(),
            column: 1 + String::from_utf8_lossy(&text[line_start..start]).chars().count(),
            length: String::from_utf8_lossy(&text[start..end]).chars().count(),
        }
    }

    /// Returns the same place with that many characters underlined.
    #[must_use]
    pub fn length(mut self, length: usize) -> Place {
        self.length = length;
        self
    }
}

/// `file`, `file:line` or `file:line:column`, as far as known.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => write!(f, "{}", self.file),
            (line, 0) => write!(f, "{}:{line}", self.file),
            (line, column) => write!(f, "{}:{line}:{column}", self.file),
        }
    }
}

/// A further place, and what it has to do with the matter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Related {
    /// Where.
    pub place: Place,
    /// What is there, such as `included here` or `first defined here`.
    pub label: String,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Diagnostic {
    /// Where, if it has a place at all.
    pub place: Option<Place>,
    /// How bad.
    pub severity: Severity,
    /// Stable, lower-case, dashed: what scripts match, such as `unknown-function`.
    pub code: &'static str,
    /// What is wrong: lower case, no full stop, no secret values.
    pub message: String,
    /// What stands under the carets; empty for nothing.
    pub label: String,
    /// How one got there: the include stack, outermost last.
    pub trace: Vec<Related>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// Returns an error without a place.
    pub fn error(code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            place: None,
            severity: Severity::Error,
            code,
            message: message.into(),
            label: String::new(),
            trace: Vec::new(),
            hint: None,
        }
    }

    /// Returns a warning without a place.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(code, message) }
    }

    /// Returns the same diagnostic at a place.
    #[must_use]
    pub fn at(mut self, place: Place) -> Diagnostic {
        self.place = Some(place);
        self
    }

    /// Returns the same diagnostic with a word under the carets.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Diagnostic {
        self.label = label.into();
        self
    }

    /// Returns the same diagnostic with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Diagnostic {
        self.hint = Some(hint.into());
        self
    }

    /// Returns the same diagnostic with one more place on the way.
    #[must_use]
    pub fn related(mut self, place: Place, label: impl Into<String>) -> Diagnostic {
        self.trace.push(Related { place, label: label.into() });
        self
    }

    /// Returns the diagnostic as a person reads it: message, source lines with carets, trace, hint.
    ///
    /// `source` gives the text of a file by its repository path; where it has none, the place is named without its line.
    pub fn render<'s>(&'s self, color: Color, source: &dyn Fn(&str) -> Option<&'s str>) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(&*self.message).id(self.code);
        let mut unshown = Vec::new();
        let mut group = Group::with_title(title);
        if let Some(place) = &self.place {
            match snippet(place, AnnotationKind::Primary, &self.label, source) {
                Some(snippet) => group = group.element(snippet),
                None => unshown.push(format!("at {place}")),
            }
        }
        for related in &self.trace {
            match snippet(&related.place, AnnotationKind::Context, &related.label, source) {
                Some(snippet) => group = group.element(snippet),
                None => unshown.push(format!("{} {}", related.label, related.place)),
            }
        }
        for note in unshown {
            group = group.element(Level::NOTE.message(note));
        }
        if let Some(hint) = &self.hint {
            group = group.element(Level::HELP.message(&**hint));
        }
        let renderer = match color {
            Color::On => Renderer::styled(),
            Color::Off => Renderer::plain(),
        };
        renderer.render(&[group])
    }
}

/// `file:line:column: error[code]: message`, the plain one-line form.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}[{}]: {}", self.severity.name(), self.code, self.message)
    }
}

/// Whether rendered diagnostics carry terminal colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    /// Escape sequences for a terminal.
    On,
    /// Plain text.
    Off,
}

/// Returns the source line of a place with its span underlined; `None` where text or line are not there.
fn snippet<'a>(
    place: &'a Place,
    kind: AnnotationKind,
    label: &'a str,
    source: &dyn Fn(&str) -> Option<&'a str>,
) -> Option<Snippet<'a, annotate_snippets::Annotation<'a>>> {
    let text = source(&place.file)?;
    let line = text.split_inclusive('\n').nth(place.line.checked_sub(1)?)?.trim_end_matches(['\n', '\r']);
    let offset = |chars: usize| line.char_indices().nth(chars).map_or(line.len(), |(at, _)| at);
    let first = place.column.saturating_sub(1);
    let start = offset(first);
    let end = if place.column == 0 { line.len() } else { offset(first + place.length) };
    let annotation = kind.span(start..end.max(start)).label((!label.is_empty()).then_some(label));
    Some(Snippet::source(line).line_start(place.line).path(&*place.file).annotation(annotation))
}

/// All that is wrong: sorted by place, without duplicates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Diagnostics(BTreeSet<Diagnostic>);

impl Diagnostics {
    /// Returns an empty collection.
    pub fn new() -> Diagnostics {
        Diagnostics::default()
    }

    /// Adds one; saying the same twice adds nothing.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.insert(diagnostic);
    }

    /// Reports whether anything forbids writing.
    pub fn has_errors(&self) -> bool {
        self.iter().any(|d| d.severity == Severity::Error)
    }

    /// Returns the number of diagnostics of that severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.iter().filter(|d| d.severity == severity).count()
    }

    /// Reports whether nothing is wrong at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Walks the diagnostics by file, line and column; those without a place come first.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter()
    }
}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, diagnostics: I) {
        self.0.extend(diagnostics);
    }
}

impl FromIterator<Diagnostic> for Diagnostics {
    fn from_iter<I: IntoIterator<Item = Diagnostic>>(diagnostics: I) -> Diagnostics {
        Diagnostics(diagnostics.into_iter().collect())
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::collections::btree_set::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Diagnostics {
        Diagnostics(BTreeSet::from([diagnostic]))
    }
}

/// Returns the candidate that was probably meant, `None` where none is near: a third of the letters may be wrong,
/// a swap of neighbours counts as one, case counts nothing. Ties go to the first in order.
pub fn suggest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 64;
    let typed: Vec<char> = typed.chars().flat_map(char::to_lowercase).take(LONGEST + 1).collect();
    if typed.len() > LONGEST {
        return None;
    }
    let allowed = (typed.len() / 3).max(1);
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let letters: Vec<char> = candidate.chars().flat_map(char::to_lowercase).take(LONGEST + 1).collect();
            if letters.len().abs_diff(typed.len()) > allowed {
                return None;
            }
            let distance = edit_distance(&typed, &letters);
            (distance <= allowed && distance < typed.len()).then_some((distance, candidate))
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// Returns the number of insertions, deletions, replacements and swaps of neighbours between two words.
fn edit_distance(a: &[char], b: &[char]) -> usize {
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_form_names_what_is_known() {
        let lost = Diagnostic::error("bad-name", "the name is not a DNS label");
        assert_eq!(lost.to_string(), "error[bad-name]: the name is not a DNS label");
        let found = lost.at(Place::at("services/a/config.yaml", 3, 7));
        assert_eq!(found.to_string(), "services/a/config.yaml:3:7: error[bad-name]: the name is not a DNS label");
        assert_eq!(Diagnostic::warning("w", "m").at(Place::file("x")).to_string(), "x: warning[w]: m");
    }

    #[test]
    fn a_rendered_diagnostic_shows_line_caret_trace_and_hint() {
        let template = "kind: Service\nname: {{ includ \"x\" . }}\n";
        let diagnostic = Diagnostic::error("unknown-function", "function \"includ\" not defined")
            .at(Place::at("charts/a/templates/s.yaml", 2, 10).length(6))
            .related(Place::at("charts/a/templates/gone.tpl", 1, 1), "included from")
            .hint("did you mean `include`?");
        let text = diagnostic.render(Color::Off, &|file| (file == "charts/a/templates/s.yaml").then_some(template));
        insta::assert_snapshot!(text, @r#"
        error[unknown-function]: function "includ" not defined
         --> charts/a/templates/s.yaml:2:10
          |
        2 | name: {{ includ "x" . }}
          |          ^^^^^^
          |
          = note: included from charts/a/templates/gone.tpl:1:1
          = help: did you mean `include`?
        "#);
    }

    #[test]
    fn places_count_characters_and_stay_on_their_line() {
        let text = "a\né {{ .x\n.y }}";
        let start = text.find(".x").expect("there");
        let place = Place::of_bytes("f", text.as_bytes(), start, start + 5);
        assert_eq!(place, Place::at("f", 2, 6).length(2));
        assert_eq!(Place::of_bytes("f", b"", 9, 12), Place::at("f", 1, 1));
    }

    #[test]
    fn a_collection_is_sorted_and_says_nothing_twice() {
        let at = |line| Diagnostic::error("c", "m").at(Place::at("f", line, 1));
        let all: Diagnostics = [at(9), at(2), at(9), Diagnostic::warning("c", "m")].into_iter().collect();
        let lines: Vec<_> = all.iter().map(|d| d.place.as_ref().map(|p| p.line)).collect();
        assert_eq!(lines, [None, Some(2), Some(9)]);
        assert!(all.has_errors());
        assert_eq!(all.count(Severity::Warning), 1);
    }

    #[test]
    fn suggestions_are_near_or_absent() {
        let known = ["include", "indent", "nindent", "toYaml", "int"];
        assert_eq!(suggest("inlcude", known), Some("include"));
        assert_eq!(suggest("toyaml", known), Some("toYaml"));
        assert_eq!(suggest("nident", known), Some("indent"));
        assert_eq!(suggest("frobnicate", known), None);
        assert_eq!(suggest("x", known), None);
    }
}
