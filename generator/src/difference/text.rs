//! A [`Difference`] for people at a terminal.
//!
//! One line an object, below it one block a field ([`manifest::difference::text`]). Decides nothing.

use manifest::difference::text::{GREEN, Paint, RED, YELLOW, write_field};

use super::{Action, Difference, ObjectChange, Service, counted};
use crate::diagnostic::Color;

/// Returns the text; for no difference one line that says so.
pub fn write(difference: &Difference, color: Color) -> String {
    let paint = Paint { colored: color == Color::On };
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
