//! A page of docs/ that is held to the `--help` of a program: every command is on it, with the help that it has.
//!
//! For the tests of both programs. A block stands between `<!-- help: COMMAND -->` and `<!-- end -->`. Invariant: without `UPDATE_DOCS` nothing is
//! written.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

/// Columns of the help on the page.
pub const WIDTH: usize = 110;

/// Holds a page to a program; returns it. `shown` changes the command of a path before its help is taken.
pub fn hold(page: &str, whole: &clap::Command, shown: impl Fn(&str, clap::Command) -> clap::Command) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
    let text = std::fs::read_to_string(&path).expect("the page");
    let mut expected = String::new();
    let mut documented = BTreeSet::new();
    let mut skipping = false;
    for line in text.split_inclusive('\n') {
        if line.trim_end() == "<!-- end -->" {
            skipping = false;
        }
        if !skipping {
            expected.push_str(line);
        }
        if let Some(command) = line.trim_end().strip_prefix("<!-- help:").and_then(|rest| rest.strip_suffix("-->")) {
            expected.push_str(&help(whole, command.trim(), &shown));
            documented.insert(command.trim().to_owned());
            skipping = true;
        }
    }
    let mut all = BTreeSet::from([String::new()]);
    commands(whole, "", &mut all);
    assert_eq!(documented, all, "commands on the page, and commands there are");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &expected).expect("written");
    } else {
        assert!(text == expected, "docs/{page} is not what --help says: run this test with UPDATE_DOCS=1");
    }
    text
}

fn help(whole: &clap::Command, path: &str, shown: impl Fn(&str, clap::Command) -> clap::Command) -> String {
    let mut command = whole.clone().term_width(WIDTH).max_term_width(WIDTH).disable_help_subcommand(true);
    command.build();
    let mut command = &mut command;
    for name in path.split_whitespace() {
        command = command.find_subcommand_mut(name).unwrap_or_else(|| panic!("there is no command `{path}`"));
    }
    let text = shown(path, command.clone()).term_width(WIDTH).render_long_help().to_string();
    let usage = text.find("Usage:").expect("a help has a usage");
    let mut block = String::from("```text\n");
    for line in text[usage..].trim_end().lines() {
        writeln!(block, "{}", line.trim_end()).expect("written");
    }
    block + "```\n"
}

fn commands(command: &clap::Command, path: &str, found: &mut BTreeSet<String>) {
    let below: Vec<&clap::Command> = command.get_subcommands().filter(|one| one.get_name() != "help").collect();
    if below.is_empty() {
        found.insert(path.to_owned());
    }
    for one in below {
        commands(one, format!("{path} {}", one.get_name()).trim(), found);
    }
}
