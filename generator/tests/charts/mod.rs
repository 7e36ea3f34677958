//! The form of the files in `tests/helm`: sections, each under a line `-- NAME --`. Described in `conformance/helm/cmd/charts`.

/// Returns the sections of a file in their order: name and text.
pub fn sections(text: &str) -> Vec<(String, String)> {
    let header = |line: &str| line.strip_prefix("-- ").and_then(|rest| rest.strip_suffix(" --\n")).map(str::to_owned);
    let mut sections: Vec<(String, String)> = Vec::new();
    for line in text.split_inclusive('\n') {
        match (header(line), sections.last_mut()) {
            (Some(name), _) => sections.push((name, String::new())),
            (None, Some((_, text))) => text.push_str(line),
            (None, None) => {}
        }
    }
    for (name, text) in &mut sections {
        if let Some(plain) = name.strip_suffix(" | json") {
            *text = serde_json::from_str(text).expect("a JSON string");
            *name = plain.to_owned();
        }
    }
    sections
}
