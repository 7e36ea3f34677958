//! A [`Difference`] as a comment on a pull request: a table of what changes where, and a fold for each service.
//!
//! Forges cut or refuse comments that are too long (GitHub at 65,536 characters), so this one is never longer than [`BYTES_MAX`]: folds
//! that do not fit are left out and counted. Invariant: nothing that a manifest contains can end a fold or a code block.

use manifest::difference::text::Paint;

use super::text::{summary, write_service};
use super::{Action, Difference, Service, counted};

/// Longest text, in bytes.
pub const BYTES_MAX: usize = 60_000;
/// Part of it that the table may have.
const TABLE_BYTES_MAX: usize = 20_000;
/// Room for the last sentence.
const END_BYTES: usize = 300;

/// Returns the text.
pub fn write(difference: &Difference) -> String {
    let mut out = format!("### Rendered manifests: {}\n", summary(difference));
    if difference.is_empty() {
        return out;
    }
    let services: Vec<(String, &Service)> = difference
        .environments
        .iter()
        .flat_map(|(environment, content)| {
            content.services.iter().map(move |(name, service)| (format!("{environment}/{name}"), service))
        })
        .collect();
    table(&services, &mut out);
    let mut left_out = 0;
    for (name, service) in &services {
        let fold = fold(name, service);
        if out.len() + fold.len() + END_BYTES <= BYTES_MAX {
            out.push_str(&fold);
        } else {
            left_out += 1;
        }
    }
    if left_out > 0 {
        out.push_str(&format!(
            "\nThe details of {left_out} of {} services do not fit in a comment: `generator diff` shows them.\n",
            services.len()
        ));
    }
    out
}

fn table(services: &[(String, &Service)], out: &mut String) {
    let head: Vec<&str> = Action::ALL.iter().map(|action| action.name()).collect();
    out.push_str(&format!("\n| service | {} |\n|---|--:|--:|--:|--:|\n", head.join(" | ")));
    for (number, (name, service)) in services.iter().enumerate() {
        let counts = service.counts();
        let cells: Vec<String> = Action::ALL
            .iter()
            .map(|action| counts.get(action).map_or_else(String::new, |count| format!("{count} ")))
            .collect();
        let row = format!("| {name} | {}|\n", cells.join("| "));
        if out.len() + row.len() > TABLE_BYTES_MAX {
            out.push_str(&format!("\n... and {} more services.\n", services.len() - number));
            break;
        }
        out.push_str(&row);
    }
}

fn fold(name: &str, service: &Service) -> String {
    let mut text = String::new();
    write_service(service, &Paint { colored: false }, &mut text);
    let counts = counted(&service.counts());
    let counts = if counts.is_empty() { "settings".to_owned() } else { counts };
    let fence = fence(&text);
    format!("\n<details><summary><b>{name}</b>: {counts}</summary>\n\n{fence}diff\n{text}{fence}\n\n</details>\n")
}

/// Returns a fence that is longer than any in the text.
fn fence(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}
