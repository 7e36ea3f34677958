//! Asks `git` what only it knows: what `_gen` was at a revision, and where hooks belong.
//!
//! Runs the `git` command, because a repository may use whatever git can (worktrees, alternates, partial clones), and two questions do not
//! warrant a second implementation. Reads only: it moves no reference and touches neither index nor work tree. What a person has configured
//! does not reach an answer: no user or system configuration, no pager, no prompt, no replaced objects, no hooks' environment. The one
//! exception is [`hooks_folder`], because git itself will look where that configuration says.
//! Invariant: a revision is never read as an option, and what is read of it is exactly the files it has.

#![expect(clippy::disallowed_methods, reason = "what git's environment is, is decided here")]

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use manifest::index::ROOT;

use crate::source::SourceTree;

/// Why git has no answer.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// It cannot be started.
    #[error("cannot run git")]
    Start(#[source] io::Error),
    /// What it said about it.
    #[error("git {action}: {message}")]
    Failed {
        /// What was asked.
        action: &'static str,
        /// Its words.
        message: String,
    },
    /// There is no such revision.
    #[error("git knows no revision `{revision}`; in a shallow clone, fetch it first")]
    Revision {
        /// As it was given.
        revision: String,
    },
    /// It answered what it never does.
    #[error("git {action} gave an answer that is not understood")]
    Answer {
        /// What was asked.
        action: &'static str,
    },
}

/// Whose configuration counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Configuration {
    /// The repository's.
    Own,
    /// The user's, too.
    Users,
}

/// Returns `_gen` as it was at a revision, by path from the root of our repository, which may be a folder of git's. Links and submodules
/// have no content and are left out; they are nothing that `render` writes.
///
/// # Errors
/// See [`GitError`].
pub fn generated_at(root: &Path, revision: &str) -> Result<SourceTree, GitError> {
    const LIST: &str = "ls-tree";
    const READ: &str = "cat-file";
    let commit = commit(root, revision)?;
    let prefix = text("rev-parse", ask(root, Configuration::Own, "rev-parse", ["rev-parse", "--show-prefix"], None)?)?;
    let of = format!("{commit}:{}{ROOT}", prefix.trim_end_matches('\n'));
    let exists = run(root, Configuration::Own, ["cat-file", "-e", &of], None)?;
    let mut tree = SourceTree::default();
    if !exists.status.success() {
        return Ok(tree);
    }
    let listed = ask(root, Configuration::Own, LIST, ["ls-tree", "-r", "-z", "--full-tree", &of], None)?;
    let mut files = Vec::new();
    for line in text(LIST, listed)?.split_terminator('\0') {
        let (about, path) = line.split_once('\t').ok_or(GitError::Answer { action: LIST })?;
        let about: Vec<&str> = about.split(' ').collect();
        if let ["100644" | "100755", "blob", object] = about[..] {
            files.push((path.to_owned(), object.to_owned()));
        }
    }
    let request: String = files.iter().map(|(_, object)| format!("{object}\n")).collect();
    let answer = ask(root, Configuration::Own, READ, ["cat-file", "--batch"], Some(request.into_bytes()))?;
    let mut rest = answer.as_slice();
    for (path, _) in files {
        let (content, after) = blob(rest).ok_or(GitError::Answer { action: READ })?;
        tree.insert(format!("{ROOT}/{path}"), content);
        rest = after;
    }
    Ok(tree)
}

/// Reads one answer of `cat-file --batch`: `<object> blob <size>`, the bytes, a newline.
fn blob(answer: &[u8]) -> Option<(&[u8], &[u8])> {
    let newline = answer.iter().position(|&b| b == b'\n')?;
    let head = std::str::from_utf8(&answer[..newline]).ok()?;
    let (_, size) = head.split_once(" blob ")?;
    let start = newline + 1;
    let end = start.checked_add(size.parse().ok()?)?;
    Some((answer.get(start..end)?, answer.get(end + 1..)?))
}

fn commit(root: &Path, revision: &str) -> Result<String, GitError> {
    let asked = format!("{revision}^{{commit}}");
    let arguments = ["rev-parse", "--verify", "--quiet", "--end-of-options", &asked];
    let output = run(root, Configuration::Own, arguments, None)?;
    if !output.status.success() {
        let inside = run(root, Configuration::Own, ["rev-parse", "--git-dir"], None)?;
        return Err(if inside.status.success() {
            GitError::Revision { revision: revision.to_owned() }
        } else {
            failed("rev-parse", &inside)
        });
    }
    Ok(text("rev-parse", output.stdout)?.trim_end().to_owned())
}

/// Returns the folder in which git looks for hooks, `core.hooksPath` of the user included; it need not exist.
///
/// # Errors
/// See [`GitError`].
pub fn hooks_folder(root: &Path) -> Result<PathBuf, GitError> {
    let arguments = ["rev-parse", "--path-format=absolute", "--git-path", "hooks"];
    let answer = text("rev-parse", ask(root, Configuration::Users, "rev-parse", arguments, None)?)?;
    Ok(PathBuf::from(answer.trim_end_matches('\n')))
}

/// Returns the way from the top of git's work tree to `root`: empty, or with a `/` at its end.
///
/// # Errors
/// See [`GitError`].
pub fn prefix(root: &Path) -> Result<String, GitError> {
    let answer = ask(root, Configuration::Own, "rev-parse", ["rev-parse", "--show-prefix"], None)?;
    Ok(text("rev-parse", answer)?.trim_end_matches('\n').to_owned())
}

fn text(action: &'static str, bytes: Vec<u8>) -> Result<String, GitError> {
    String::from_utf8(bytes).map_err(|_| GitError::Answer { action })
}

fn ask<const N: usize>(
    root: &Path,
    configuration: Configuration,
    action: &'static str,
    arguments: [&str; N],
    input: Option<Vec<u8>>,
) -> Result<Vec<u8>, GitError> {
    let output = run(root, configuration, arguments, input)?;
    if output.status.success() { Ok(output.stdout) } else { Err(failed(action, &output)) }
}

fn failed(action: &'static str, output: &Output) -> GitError {
    let said = String::from_utf8_lossy(&output.stderr);
    let message = said.trim().strip_prefix("fatal: ").unwrap_or(said.trim()).to_owned();
    GitError::Failed { action, message }
}

fn run<const N: usize>(
    root: &Path,
    configuration: Configuration,
    arguments: [&str; N],
    input: Option<Vec<u8>>,
) -> Result<Output, GitError> {
    let mut command = Command::new("git");
    // Within a hook, git sets variables that would make another repository or index ours.
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_gits(name)) {
        command.env_remove(name);
    }
    if configuration == Configuration::Own {
        command
            .env("GIT_CONFIG_GLOBAL", if cfg!(windows) { "NUL" } else { "/dev/null" })
            .env("GIT_CONFIG_NOSYSTEM", "1");
    }
    command
        .env("LC_ALL", "C")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .env("GIT_OPTIONAL_LOCKS", "0");
    command.current_dir(root).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command.spawn().map_err(GitError::Start)?;
    let pipe = child.stdin.take();
    // Fed from beside, so that neither side waits for the other with a full pipe.
    std::thread::scope(|scope| {
        if let (Some(mut pipe), Some(input)) = (pipe, input) {
            // git that has died says so itself.
            scope.spawn(move || pipe.write_all(&input));
        }
        child.wait_with_output().map_err(GitError::Start)
    })
}

fn is_gits(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with("GIT_"))
}
