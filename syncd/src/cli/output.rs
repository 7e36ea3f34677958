//! What commands print: text for people, or the same as JSON or YAML for programs.
//!
//! Colours are for terminals, and not where `NO_COLOR` says so (<https://no-color.org>). Knows no command. Invariant: whoever closed our output wants no more of it, and that is no failure.

use std::io::{IsTerminal, Write};

use serde::Serialize;

/// In which form a command answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Output {
    Text,
    Json,
    Yaml,
}

/// Prints an answer: `text`, or `value`.
pub(super) fn print(form: Output, text: &str, value: &impl Serialize) {
    let value = || serde_json::to_value(value).expect("an answer has string keys only");
    let out = match form {
        Output::Text => text.to_owned(),
        Output::Json => format!("{:#}\n", value()),
        Output::Yaml => manifest::yaml::write(&value()),
    };
    say(&out);
}

/// Prints text.
pub(super) fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Tells whether people look at our output in colours.
pub(super) fn is_colored() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal() && !refused
}
