//! docs/generator.md is held to the program: every command is there, with the help it has. `UPDATE_DOCS=1` writes what is missing.

#![expect(clippy::disallowed_methods, reason = "reads a page of the project, and writes it when asked to")]

mod help_page;

/// The exit codes and the flags that every command has stand on the page once.
fn without_what_all_have(path: &str, command: clap::Command) -> clap::Command {
    let mut command = command.after_help("");
    if path.is_empty() {
        return command;
    }
    let global: Vec<_> = command
        .get_arguments()
        .filter(|argument| argument.is_global_set())
        .map(|argument| argument.get_id().clone())
        .collect();
    for id in global {
        command = command.mut_arg(id, |argument| argument.hide(true));
    }
    command.mut_arg("help", |argument| argument.hide(true))
}

#[test]
fn the_page_says_what_the_program_says() {
    let page = help_page::hold("generator.md", &generator::cli::command(), without_what_all_have);
    for code in ["| 0 |", "| 1 |", "| 2 |", "| 3 |"] {
        assert!(page.contains(code), "exit code {code} is not on the page");
    }
}
