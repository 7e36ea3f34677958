//! An [`Explanation`] for people: one line a value where there are many, all that is known where there is one.

use serde_json::Value;

use super::{Explained, Explanation, Extent, Origin};

/// Longest value that is shown whole in a line.
const VALUE_CHARS_MAX: usize = 60;

/// Returns the text. `detailed` shows what a value overrides and who reads it.
pub fn write(explanation: &Explanation, detailed: bool) -> String {
    let Explanation { service, environment, chart, version, values } = explanation;
    let mut out = format!("{service} in {environment}: chart {chart}, version {version}\n\n");
    if detailed {
        out.extend(values.iter().map(details));
        return out;
    }
    let left = |value: &Explained| format!("{}: {}", value.path, shown(value.value.as_ref()));
    let width = values.iter().map(|value| left(value).chars().count()).max().unwrap_or(0);
    for value in values {
        let place = value.set_by.as_ref().map_or_else(|| "Helm".to_owned(), |origin| origin.place.to_string());
        out.push_str(&format!("{:<width$}  {place}\n", left(value)));
    }
    out
}

fn details(explained: &Explained) -> String {
    let Explained { path, value, set_by, overrides, read_by } = explained;
    let mut out = format!("{path}: {}\n", shown(value.as_ref()));
    let line = |word: &str, rest: String| format!("  {word:<11}{rest}\n");
    match (set_by, value) {
        (Some(origin), Some(_)) => out.push_str(&line("set by", origin.place.to_string())),
        (Some(origin), None) => out.push_str(&line("removed by", origin.place.to_string())),
        (None, _) => out.push_str(&line("set by", "Helm: the values of a subchart are a map".to_owned())),
    }
    for Origin { place, value } in overrides {
        out.push_str(&line("overrides", format!("{place}: {}", shown(Some(value)))));
    }
    for reader in read_by {
        let extent = match reader.extent {
            Extent::Value => "",
            Extent::Part => " (a part of it)",
            Extent::Around => " (with all around it)",
            Extent::Perhaps => " (perhaps: the key is computed)",
        };
        out.push_str(&line("read by", format!("{}{extent}", reader.place)));
    }
    if read_by.is_empty() {
        out.push_str(&line("read by", "no template, as far as can be told without rendering".to_owned()));
    }
    out
}

fn shown(value: Option<&Value>) -> String {
    let Some(value) = value else { return "(not set)".to_owned() };
    let text = value.to_string();
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
