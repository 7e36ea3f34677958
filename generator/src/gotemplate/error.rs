//! What can go wrong with a template, in Go's words and with our places.
//!
//! [`ParseError`] is one place in one text. [`ExecError`] is a stack: the place that failed, and for each template
//! around it the place that called. `Display` gives Go's message; `diagnostic` gives ours. Knows template names, not
//! files: the caller says which name is which file.

use super::print::quote;
use super::set::Source;
use crate::diagnostic::{Diagnostic, Place};
use std::fmt;
use std::sync::Arc;

/// A text that is no template.
#[derive(Debug, Clone)]
pub struct ParseError {
    /// The text.
    pub source: Arc<Source>,
    /// The line Go reports: that of the last token read, 0 where there is none.
    pub line: usize,
    /// What is wrong, in Go's words.
    pub message: String,
    /// First byte of the offending text.
    pub start: usize,
    /// End of the offending text.
    pub end: usize,
    /// A stable code.
    pub code: &'static str,
    /// What to write instead.
    pub hint: Option<String>,
}

impl ParseError {
    pub(super) fn new(source: &Arc<Source>, line: usize, message: impl Into<String>, start: usize, end: usize) -> Self {
        let source = Arc::clone(source);
        ParseError { source, line, message: message.into(), start, end, code: "template-syntax", hint: None }
    }

    pub(super) fn code(mut self, code: &'static str) -> ParseError {
        self.code = code;
        self
    }

    pub(super) fn suggest(mut self, meant: Option<&str>) -> ParseError {
        self.hint = meant.map(|meant| format!("did you mean `{meant}`?"));
        self
    }

    /// Returns the diagnostic; `file` gives the repository path of a template name, `None` where it is no file.
    pub fn diagnostic(&self, file: &dyn Fn(&str) -> Option<String>) -> Diagnostic {
        let hint = self.hint.clone().or_else(|| syntax_hint(&self.message).map(str::to_owned));
        let diagnostic = Diagnostic { hint, ..Diagnostic::error(self.code, self.message.clone()) };
        match place(&self.source, self.start, self.end, file) {
            Some(place) => diagnostic.at(place),
            None => diagnostic,
        }
    }
}

/// Returns what is most often behind a message of the parser.
fn syntax_hint(message: &str) -> Option<&'static str> {
    Some(match message {
        "unexpected EOF" => "an `if`, `with`, `range`, `define` or `block` above has no `{{ end }}`",
        "unexpected {{end}}" => "there is an `{{ end }}` too many, or what it ends is missing",
        "unexpected {{else}}" => "there is no `if`, `with` or `range` for this `else`",
        "unterminated quoted string" => "close the string with `\"` within its action",
        message if message.starts_with("unexpected \"}\"") => "an action ends with `}}`",
        message if message.starts_with("missing value for") => {
            "write what it tests, such as `{{ if .Values.enabled }}`"
        }
        _ => return None,
    })
}

/// Functions whose message is that of the author of the chart.
const SPEAKING: [&str; 2] = ["fail", "required"];

/// Go's message: `template: NAME:LINE: TEXT`.
impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "template: {}:{}: {}", self.source.name, self.line, self.message)
    }
}

impl std::error::Error for ParseError {}

/// An execution that failed.
#[derive(Debug, Clone)]
pub struct ExecError {
    /// Where it failed, then who called, innermost first; empty where no template was entered.
    pub levels: Vec<Level>,
    /// What went wrong, in Go's words, without any place.
    pub message: String,
    /// A stable code.
    pub code: &'static str,
    /// What to do about it.
    pub hint: Option<String>,
    /// The values that the failing action read, where it is known where they come from.
    pub involved: Vec<Involved>,
}

/// A value that a failing action read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Involved {
    /// As the template writes it, such as `.Values.image.tag`.
    pub written: String,
    /// Keys and list indices from the data given to the execution.
    pub path: Vec<String>,
    /// How many parts of the path are there.
    pub reached: usize,
    /// A key that is there and much like the first that is not.
    pub meant: Option<String>,
    /// The type of what was reached last, nil where there is no value at the end of the path.
    pub found: &'static str,
}

/// One template on the way to a failure.
#[derive(Debug, Clone)]
pub struct Level {
    /// The name of the executing template.
    pub template: String,
    /// The text it stands in.
    pub source: Arc<Source>,
    /// The byte of the text Go points at.
    pub pos: usize,
    /// The node at work, as Go prints it.
    pub node: String,
    /// What this level says about what lies inside it.
    pub call: Called,
    /// Where in the data of the execution the text comes from that this level gave to a function such as `tpl`.
    pub text: Option<Vec<String>>,
}

/// How a level came to the failure inside it.
#[derive(Debug, Clone)]
pub enum Called {
    /// It is the one that failed, in its own words.
    Failed,
    /// It failed in a function of this name.
    FailedIn(String),
    /// It executed the inner level by `{{template}}`; Go's message leaves such levels out.
    Template,
    /// It called this function, which executed the inner level and says this much before the inner message.
    Function(String, String),
}

impl ExecError {
    /// Returns Go's message: each level's words before those of the level inside it.
    fn text(&self) -> String {
        let mut text = String::new();
        for level in self.levels.iter().rev() {
            let words = match &level.call {
                Called::Failed => "",
                Called::FailedIn(function) => &format!("error calling {function}: "),
                Called::Template => continue,
                Called::Function(function, preamble) => &format!("error calling {function}: {preamble}"),
            };
            let (location, template) = (level.location(), quote(level.template.as_bytes()));
            text.push_str(&format!("template: {location}: executing {template} at <{}>: {words}", level.node));
        }
        text + &self.message
    }

    /// Returns the diagnostic: the innermost place that lies in a file, the message without Go's nesting, and the
    /// callers as trace. `file` gives the repository path of a template name, `None` where it is no file.
    pub fn diagnostic(&self, file: &dyn Fn(&str) -> Option<String>) -> Diagnostic {
        let mut message = match self.levels.first().map(|level| &level.call) {
            // The author of the chart speaks: nothing stands before that.
            Some(Called::FailedIn(function)) if !SPEAKING.contains(&function.as_str()) => {
                format!("{function}: {}", self.message)
            }
            _ => self.message.clone(),
        };
        if let [inner, outer, ..] = &self.levels[..]
            && let Called::Function(function, _) = &outer.call
            && file(&inner.source.name.to_str_lossy()).is_none()
        {
            let line = 1 + inner.source.text.as_bytes()[..inner.span().0].iter().filter(|&&b| b == b'\n').count();
            message.push_str(&format!(", at `{}` in line {line} of the text given to {function}", inner.node));
        }
        let mut diagnostic = Diagnostic { hint: self.hint.clone(), ..Diagnostic::error(self.code, message) };
        for level in &self.levels {
            let (start, end) = level.span();
            let Some(place) = place(&level.source, start, end, file) else { continue };
            if diagnostic.place.is_none() {
                diagnostic = diagnostic.at(place);
            } else {
                let label = match &level.call {
                    Called::Function(function, _) => format!("called by {function}"),
                    _ => "called by template".to_owned(),
                };
                diagnostic = diagnostic.related(place, label);
            }
        }
        diagnostic
    }
}

/// Go's message, nested as Go nests it.
impl fmt::Display for ExecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl std::error::Error for ExecError {}

impl Level {
    /// Returns `NAME:LINE:COLUMN` as Go counts: columns in bytes, from 0, but on the first line from the start.
    pub fn location(&self) -> String {
        let before = &self.source.text.as_bytes()[..self.pos.min(self.source.text.len())];
        let line = 1 + before.iter().filter(|&&b| b == b'\n').count();
        let column = before.iter().rposition(|&b| b == b'\n').map_or(before.len(), |at| before.len() - at - 1);
        format!("{}:{line}:{column}", self.source.name)
    }

    /// Returns the bytes of source the node covers, as far as they can be told: Go points into the middle of `.a.b`.
    fn span(&self) -> (usize, usize) {
        let (text, node) = (self.source.text.as_bytes(), self.node.as_bytes());
        let pos = self.pos.min(text.len());
        let written = (0..=node.len().min(pos)).map(|back| pos - back).find(|&start| text[start..].starts_with(node));
        if let Some(start) = written.filter(|_| !node.is_empty()) {
            return (start, start + node.len());
        }
        let width = text[pos..].iter().take_while(|b| !b.is_ascii_whitespace() && !b"(){}|".contains(b)).count();
        (pos, pos + width.max(1))
    }
}

/// Returns the place of a span in a file, or `None` where the text is none.
fn place(source: &Source, start: usize, end: usize, file: &dyn Fn(&str) -> Option<String>) -> Option<Place> {
    let name = source.name.to_str_lossy();
    Some(Place::of_bytes(file(&name)?, source.text.as_bytes(), start, end))
}
