//! Fields that differ, for people at a terminal.
//!
//! One block a field; text of several lines is shown by the lines that differ. Decides nothing. Invariant: what a manifest contains is no
//! command to a terminal.

use serde_json::Value;
use similar::TextDiff;

use super::FieldChange;
use crate::yaml;

/// Lines around a changed line of a long text.
const CONTEXT_LINES: usize = 2;

/// Writes a field and what it was and is, so many spaces in.
pub fn write_field(field: &FieldChange, indent: usize, paint: &Paint, out: &mut String) {
    let space = " ".repeat(indent);
    out.push_str(&format!("{space}{}\n", paint.styled("", &field.path)));
    if let (Some(Value::String(before)), Some(Value::String(after))) = (&field.before, &field.after)
        && (before.trim_end().contains('\n') || after.trim_end().contains('\n'))
    {
        write_lines(before, after, &space, paint, out);
        return;
    }
    let sides = [(&field.before, "-", RED), (&field.after, "+", GREEN)];
    for (side, sign, style) in sides {
        for line in side.iter().flat_map(|value| shown(value).lines().map(str::to_owned).collect::<Vec<_>>()) {
            out.push_str(&paint.styled(style, &format!("{sign} {space}{line}")));
            out.push('\n');
        }
    }
}

fn write_lines(before: &str, after: &str, space: &str, paint: &Paint, out: &mut String) {
    let diff = TextDiff::from_lines(before, after);
    for (number, group) in diff.grouped_ops(CONTEXT_LINES).iter().enumerate() {
        if number > 0 {
            out.push_str(&format!("  {space}...\n"));
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let (sign, style) = match change.tag() {
                similar::ChangeTag::Delete => ("-", RED),
                similar::ChangeTag::Insert => ("+", GREEN),
                similar::ChangeTag::Equal => (" ", ""),
            };
            let line = change.value().trim_end_matches(['\n', '\r']);
            let missing = if change.missing_newline() { " (no line end)" } else { "" };
            out.push_str(&paint.styled(style, format!("{sign} {space}{line}{missing}").trim_end()));
            out.push('\n');
        }
    }
}

/// What was.
pub const RED: &str = "\x1b[31m";
/// What is to be.
pub const GREEN: &str = "\x1b[32m";
/// What changes.
pub const YELLOW: &str = "\x1b[33m";
/// A heading.
pub const BOLD: &str = "\x1b[1m";
const RESET: &str = "\x1b[0m";

/// How a terminal is told colours, if it is.
#[derive(Debug, Clone, Copy)]
pub struct Paint {
    /// Whether it is.
    pub colored: bool,
}

impl Paint {
    /// Returns a heading.
    pub fn bold(&self, text: &str) -> String {
        self.styled(BOLD, text)
    }

    /// Returns a text in a style, such as [`RED`]; empty: none.
    pub fn styled(&self, style: &str, text: &str) -> String {
        let text: String = text.chars().map(|c| if is_command(c) && c != '\t' { '\u{fffd}' } else { c }).collect();
        if self.colored && !style.is_empty() { format!("{style}{text}{RESET}") } else { text }
    }
}

/// Writes a value for people: a scalar as it is in YAML, anything else as canonical YAML.
pub fn shown(value: &Value) -> String {
    yaml::write(value).trim_end_matches('\n').to_owned()
}

/// Tells whether a terminal would obey a character instead of showing it: control characters, and those that change the direction in which
/// the rest is read.
pub fn is_command(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
