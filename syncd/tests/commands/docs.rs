//! docs/syncd.md is held to the program: every command is there, with the help it has. `UPDATE_DOCS=1` writes what is missing.

use super::*;

#[path = "../../../generator/tests/help_page/mod.rs"]
mod help_page;

/// What every command of a group has stands on the page once.
const SHARED: [&str; 3] = ["Source", "Cluster", "Logs"];
/// Where it stands.
const WHOLE: [&str; 2] = ["run", "bootstrap"];

fn without_what_many_have(path: &str, command: clap::Command) -> clap::Command {
    let ids: Vec<_> = command.get_arguments().filter(|one| is_shared(one)).map(|one| one.get_id().clone()).collect();
    // What is set where the test runs is not on the page.
    let command = command.mut_args(|argument| {
        let hidden = argument.is_hide_set() || argument.get_id() == "help";
        argument.hide(hidden).hide_env_values(true)
    });
    match WHOLE.contains(&path) {
        true => command,
        false => ids.into_iter().fold(command, |command, id| command.mut_arg(id, |argument| argument.hide(true))),
    }
}

fn is_shared(argument: &clap::Arg) -> bool {
    argument.get_help_heading().is_some_and(|heading| SHARED.contains(&heading))
}

#[test]
fn the_page_says_what_the_program_says() {
    let page = help_page::hold("syncd.md", &syncd::cli::command(), without_what_many_have);
    for (exit, meaning) in syncd::cli::EXIT_CODES {
        let code = exit as u8;
        assert!(page.contains(&format!("| {code} |")), "exit code {code}, {meaning}, is not on the page");
    }
}

#[tokio::test]
async fn there_are_completions_for_each_shell_and_a_page_for_each_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, text) = run(World::bare("completions"), &[shell]).await;
        assert!(code == 0 && text.contains("uninstall"), "{shell}: {text}");
    }
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = run(World::bare("man"), &[folder.path().to_str().unwrap()]).await;
    assert_eq!((code, text.as_str()), (0, ""));
    for page in ["syncd.1", "syncd-once.1", "syncd-adopt-kahoy.1"] {
        let text = std::fs::read_to_string(folder.path().join(page)).unwrap();
        assert!(text.starts_with(".ie") && text.contains("Exit codes"), "{page}: {text}");
    }
    let (code, text) = run(World::bare("man"), &[]).await;
    assert!(code == 0 && text.contains("syncd"), "{text}");
    let (code, _) = run(World::bare("man"), &["/dev/null/nowhere"]).await;
    assert_eq!(code, 2);
}
