//! Git repositories for tests: real ones, made by git in temporary folders.
//!
//! Git's own configuration and the clock are shut out. Invariant: the same calls give the same commits.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A repository that commits are made in.
pub struct Repository {
    folder: TempDir,
}

impl Repository {
    /// Makes an empty repository with the branch `main`.
    pub fn new() -> Self {
        let repository = Repository { folder: tempfile::tempdir().expect("a temporary folder") };
        repository.git(&["init", "--quiet", "--initial-branch=main", "."]);
        repository
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn url(&self) -> String {
        format!("file://{}", self.path().display())
    }

    /// Runs git in the repository; returns what it printed.
    pub fn git(&self, arguments: &[&str]) -> String {
        let output = git(self.path()).args(arguments).output().expect("git runs");
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
    }

    /// Writes files and commits them; returns the commit's id.
    pub fn commit(&self, subject: &str, files: &[(&str, &str)]) -> String {
        for (path, content) in files {
            let path = self.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, content).expect("a file");
        }
        self.git(&["add", "--all", "."]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", subject]);
        self.tip()
    }

    pub fn tip(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }
}

/// Prepares git in a folder, the same on every machine.
pub fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(folder).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").env("HOME", folder);
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "Ada Lovelace").env(format!("GIT_{who}_EMAIL"), "ada@example.com");
        command.env(format!("GIT_{who}_DATE"), "2026-01-02T03:04:05Z");
    }
    command
}
