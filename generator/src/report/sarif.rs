//! Diagnostics as SARIF 2.1.0, which code hosts and editors show beside the lines they are about.
//!
//! One run, one rule a code, one result a diagnostic; the trace becomes related locations. Columns count Unicode code points, as ours
//! do. Source: OASIS Static Analysis Results Interchange Format 2.1.0, sections 3.14 (run), 3.27 (result), 3.28 (location).
//! Invariant: the same diagnostics give the same text, and paths are relative to the root of the repository.

use serde_json::{Value, json};

use crate::diagnostic::{Diagnostic, Diagnostics, Place, Related};

/// Returns the log, without a final newline.
pub fn write(diagnostics: &Diagnostics) -> String {
    let mut codes: Vec<&str> = diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
    codes.sort_unstable();
    codes.dedup();
    let results: Vec<Value> = diagnostics.iter().map(|diagnostic| result(diagnostic, &codes)).collect();
    let rules: Vec<Value> = codes.iter().map(|code| json!({ "id": code })).collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "generator", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    format!("{log:#}")
}

fn result(diagnostic: &Diagnostic, codes: &[&str]) -> Value {
    let text = match &diagnostic.hint {
        Some(hint) => format!("{}\n{hint}", diagnostic.message),
        None => diagnostic.message.clone(),
    };
    let rule = codes.binary_search(&diagnostic.code).expect("every code is a rule");
    let mut result = json!({
        "ruleId": diagnostic.code,
        "ruleIndex": rule,
        "level": diagnostic.severity.name(),
        "message": { "text": text },
    });
    if let Some(place) = &diagnostic.place {
        result["locations"] = json!([{ "physicalLocation": location(place) }]);
    }
    if !diagnostic.trace.is_empty() {
        let related = |(id, Related { place, label }): (usize, &Related)| json!({ "id": id, "message": { "text": label }, "physicalLocation": location(place) });
        result["relatedLocations"] = diagnostic.trace.iter().enumerate().map(related).collect();
    }
    result
}

fn location(place: &Place) -> Value {
    let mut location = json!({ "artifactLocation": { "uri": uri(&place.file), "uriBaseId": "%SRCROOT%" } });
    if place.line > 0 {
        let mut region = json!({ "startLine": place.line });
        if place.column > 0 {
            region["startColumn"] = json!(place.column);
            region["endColumn"] = json!(place.column + place.length);
        }
        location["region"] = region;
    }
    location
}

/// Returns a path as a relative reference (RFC 3986).
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_traces_and_hints() {
        let diagnostics: Diagnostics = [
            Diagnostic::error("unknown-key", "unknown key `imgae`\"")
                .at(Place::at("services/ä b/config.yaml", 3, 7).length(5))
                .related(Place::file("charts/generic/values.schema.json"), "required by")
                .hint("did you mean `image`?"),
            Diagnostic::warning("no-effect", "no effect").at(Place::at("f", 2, 0)),
            Diagnostic::warning("no-place", "somewhere"),
        ]
        .into_iter()
        .collect();
        insta::assert_snapshot!(write(&diagnostics));
        insta::assert_snapshot!("nothing", write(&Diagnostics::new()));
    }
}
