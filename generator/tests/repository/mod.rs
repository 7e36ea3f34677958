//! A scratch repository on disk, the generator run in it as people run it, and git.
//!
//! What a test may not depend on is set here once: no inherited environment, no git configuration, no clock in commits.

#![allow(dead_code, reason = "each test program uses its own part")]
#![allow(clippy::allow_attributes, reason = "expect would fail in the programs that use everything")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests work on scratch folders")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// The root of this project's own repository.
pub fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the workspace").to_owned()
}

/// A repository in a scratch folder that is gone with it.
pub struct Repository {
    folder: TempDir,
}

/// What a run of the generator came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Repository {
    pub fn new() -> Self {
        Repository { folder: TempDir::new().expect("a scratch folder") }
    }

    /// A copy of the apps of the example that this project keeps; syncd itself is `syncd/tests/bootstrap.rs`' to look at.
    pub fn example() -> Self {
        let repository = Repository::new();
        for name in ["services", "charts", "generator.yaml"] {
            copy(&project().join(name), &repository.root().join(name));
        }
        fs::remove_dir_all(repository.path("services/syncd")).expect("it is there");
        repository
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("inside the repository")).expect("a folder");
        fs::write(&path, content).expect("written");
        self
    }

    pub fn remove(&self, path: &str) -> &Self {
        let path = self.path(path);
        if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.expect("removed");
        self
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub fn edit(&self, path: &str, from: &str, to: &str) -> &Self {
        let text = self.read(path);
        assert!(text.contains(from), "{path} has no `{from}`");
        self.write(path, text.replace(from, to))
    }

    /// Runs the generator in the repository.
    pub fn run(&self, arguments: &[&str]) -> Run {
        self.run_with(arguments, &[])
    }

    /// Runs it with these environment variables and no others, but for the path on which it finds git.
    pub fn run_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_generator"));
        command.current_dir(self.root()).args(arguments).env_clear().envs(environment.iter().copied());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let Output { status, stdout, stderr } = command.output().expect("the generator starts");
        let text = |bytes| String::from_utf8(bytes).expect("the generator writes UTF-8");
        Run { code: status.code().expect("not killed"), out: text(stdout), err: text(stderr) }
    }

    /// Renders; panics where that fails.
    pub fn render(&self) -> String {
        let run = self.run(&["render"]);
        assert_eq!((run.code, run.err.as_str()), (0, ""), "{}", run.out);
        run.out
    }

    /// Every file of `_gen`, by path from the root of the repository.
    pub fn generated(&self) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        collect(self.root(), &self.path("_gen"), &mut files);
        files
    }

    /// Runs git in the repository; panics where that fails.
    pub fn git(&self, arguments: &[&str]) -> String {
        let output = self.try_git(arguments);
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {arguments:?}: {err}{}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stdout).expect("git writes UTF-8")
    }

    pub fn try_git(&self, arguments: &[&str]) -> Output {
        const DATE: &str = "2026-01-01T00:00:00Z";
        let mut command = Command::new("git");
        command.current_dir(self.root()).args(arguments);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "test").env(format!("GIT_{role}_EMAIL"), "test@example.com");
            command.env(format!("GIT_{role}_DATE"), DATE);
        }
        command.output().expect("git starts")
    }

    /// Renders and commits everything.
    pub fn commit(&self, message: &str) {
        self.render();
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", message]);
    }
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).expect("a folder");
        for entry in fs::read_dir(from).expect("a folder") {
            let name = entry.expect("an entry").file_name();
            copy(&from.join(&name), &to.join(&name));
        }
    } else {
        fs::copy(from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    }
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            let name = path.strip_prefix(root).expect("below the root").to_str().expect("UTF-8").to_owned();
            files.insert(name, fs::read_to_string(&path).expect("text"));
        }
    }
}
