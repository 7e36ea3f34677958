//! A [`Difference`] for people at a terminal.
//!
//! One line an object, below it one block a field. Text of several lines is shown by the lines that differ. Decides nothing.

use similar::TextDiff;

use super::{Action, Difference, FieldChange, ObjectChange, Service, counted, shown};
use crate::diagnostic::Color;
use serde_json::Value;

/// Lines around a changed line of a long text.
const CONTEXT_LINES: usize = 2;

/// Returns the text; for no difference one line that says so.
pub fn write(difference: &Difference, color: Color) -> String {
    let paint = Paint { color };
    let mut out = String::new();
    for (environment, content) in &difference.environments {
        for (name, service) in &content.services {
            out.push_str(&paint.bold(&format!("{environment}/{name}")));
            out.push('\n');
            write_service(service, &paint, &mut out);
            out.push('\n');
        }
    }
    out.push_str(&summary(difference));
    out.push('\n');
    out
}

/// `production/app1: ...` in one line: what differs in all.
pub(super) fn summary(difference: &Difference) -> String {
    if difference.is_empty() {
        return "no difference".to_owned();
    }
    match counted(&difference.counts()) {
        objects if objects.is_empty() => "no object differs, only settings of services".to_owned(),
        objects => format!("objects: {objects}"),
    }
}

/// Writes what differs in a service, two spaces in.
pub(super) fn write_service(service: &Service, paint: &Paint, out: &mut String) {
    for field in &service.settings {
        write_field(field, 2, paint, out);
    }
    for object in &service.objects {
        write_object(object, paint, out);
    }
}

fn write_object(change: &ObjectChange, paint: &Paint, out: &mut String) {
    let line = match &change.moved_from {
        Some(service) => format!("{} (moved here from service {service})", change.object),
        None => change.object.to_string(),
    };
    let (sign, style) = match change.action {
        Action::Added => ("+", GREEN),
        Action::Changed => ("~", YELLOW),
        Action::Moved => (">", YELLOW),
        Action::Removed => ("-", RED),
    };
    out.push_str(&paint.styled(style, &format!("{sign} {line}")));
    out.push('\n');
    for field in &change.fields {
        write_field(field, 4, paint, out);
    }
}

fn write_field(field: &FieldChange, indent: usize, paint: &Paint, out: &mut String) {
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

const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const BOLD: &str = "\x1b[1m";
const RESET: &str = "\x1b[0m";

/// How a terminal is told colours, if it is.
pub(super) struct Paint {
    pub(super) color: Color,
}

impl Paint {
    fn bold(&self, text: &str) -> String {
        self.styled(BOLD, text)
    }

    fn styled(&self, style: &str, text: &str) -> String {
        // What a manifest contains is no command to a terminal.
        let text: String = text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect();
        match self.color {
            Color::On if !style.is_empty() => format!("{style}{text}{RESET}"),
            Color::On | Color::Off => text,
        }
    }
}
