//! Diagnostics as workflow commands of GitHub Actions, which become annotations on the lines of a pull request.
//!
//! Source: GitHub's reference of workflow commands, and `toolkit/packages/core/src/command.ts` for what is escaped where.
//! Invariant: one line a diagnostic, whatever it says: nothing in a message can end its command or begin another.

use crate::diagnostic::{Diagnostic, Diagnostics};

/// Returns the commands, one a line; nothing for no diagnostics.
pub fn write(diagnostics: &Diagnostics) -> String {
    diagnostics.iter().map(command).collect()
}

fn command(diagnostic: &Diagnostic) -> String {
    let mut properties = Vec::new();
    if let Some(place) = &diagnostic.place {
        properties.push(("file", place.file.clone()));
        if place.line > 0 {
            properties.push(("line", place.line.to_string()));
        }
        if place.line > 0 && place.column > 0 {
            properties.push(("col", place.column.to_string()));
            if place.length > 0 {
                properties.push(("endColumn", (place.column + place.length - 1).to_string()));
            }
        }
    }
    properties.push(("title", diagnostic.code.to_owned()));
    let properties: Vec<String> =
        properties.into_iter().map(|(name, value)| format!("{name}={}", property(&value))).collect();
    let trace = diagnostic.trace.iter().map(|related| format!("\n{}: {}", related.label, related.place));
    let hint = diagnostic.hint.iter().map(|hint| format!("\nhelp: {hint}"));
    let message: String = std::iter::once(diagnostic.message.clone()).chain(trace).chain(hint).collect();
    format!("::{} {}::{}\n", diagnostic.severity.name(), properties.join(","), data(&message))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Place;

    #[test]
    fn one_command_a_diagnostic() {
        let diagnostics: Diagnostics = [
            Diagnostic::error("unknown-key", "100% unknown:\r\n::error::key, `x`")
                .at(Place::at("services/a,b:c/100%.yaml", 3, 7).length(5))
                .related(Place::at("charts/c/values.yaml", 2, 1), "required by")
                .hint("did you mean `y`?"),
            Diagnostic::warning("no-effect", "no effect").at(Place::file("f")),
            Diagnostic::warning("no-place", "somewhere"),
        ]
        .into_iter()
        .collect();
        insta::assert_snapshot!(write(&diagnostics), @"
        ::warning title=no-place::somewhere
        ::warning file=f,title=no-effect::no effect
        ::error file=services/a%2Cb%3Ac/100%25.yaml,line=3,col=7,endColumn=11,title=unknown-key::100%25 unknown:%0D%0A::error::key, `x`%0Arequired by: charts/c/values.yaml:2:1%0Ahelp: did you mean `y`?
        ");
    }
}
