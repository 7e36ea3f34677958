//! docs/generator.md is held to the program: every command is there, with the help it has. `UPDATE_DOCS=1` writes what is missing.

#![expect(clippy::disallowed_methods, reason = "reads a page of the project, and writes it when asked to")]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// Columns of the help on the page.
const WIDTH: usize = 110;

fn help(path: &str) -> String {
    let mut command = generator::cli::command().term_width(WIDTH).max_term_width(WIDTH).disable_help_subcommand(true);
    command.build();
    let mut command = &mut command;
    for name in path.split_whitespace() {
        command = command.find_subcommand_mut(name).unwrap_or_else(|| panic!("there is no command `{path}`"));
    }
    // The exit codes and the flags that every command has stand on the page once.
    let mut command = command.clone().after_help("").term_width(WIDTH);
    if !path.is_empty() {
        let global: Vec<_> = command
            .get_arguments()
            .filter(|argument| argument.is_global_set())
            .map(|argument| argument.get_id().clone())
            .collect();
        for id in global {
            command = command.mut_arg(id, |argument| argument.hide(true));
        }
        command = command.mut_arg("help", |argument| argument.hide(true));
    }
    let text = command.render_long_help().to_string();
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

#[test]
fn the_page_says_what_the_program_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/generator.md");
    let page = fs::read_to_string(&path).expect("the page");
    let mut expected = String::new();
    let mut documented = BTreeSet::new();
    let mut skipping = false;
    for line in page.split_inclusive('\n') {
        if line.trim_end() == "<!-- end -->" {
            skipping = false;
        }
        if !skipping {
            expected.push_str(line);
        }
        if let Some(command) = line.trim_end().strip_prefix("<!-- help:").and_then(|rest| rest.strip_suffix("-->")) {
            expected.push_str(&help(command.trim()));
            documented.insert(command.trim().to_owned());
            skipping = true;
        }
    }
    let mut all = BTreeSet::from([String::new()]);
    commands(&generator::cli::command(), "", &mut all);
    assert_eq!(documented, all, "commands on the page, and commands there are");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &expected).expect("written");
    } else {
        assert!(page == expected, "docs/generator.md is not what --help says: run this test with UPDATE_DOCS=1");
    }
    for code in ["| 0 |", "| 1 |", "| 2 |", "| 3 |"] {
        assert!(page.contains(code), "exit code {code} is not on the page");
    }
}
