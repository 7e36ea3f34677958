//! The demo's Git repository: a copy of this one's example, changed, rendered and committed as a person would.
//!
//! Uses the real generator and the real git, without the user's configuration. Knows no cluster. Invariant: what is committed is what
//! the generator wrote.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use manifest::Index;
use tokio::process::Command;
use tokio::time::timeout;

/// Longest time for one git command.
const GIT_MAX: Duration = Duration::from_secs(60);

/// A repository with the example in it.
pub struct Repository {
    folder: PathBuf,
}

impl Repository {
    /// Copies the apps of the example to `folder` and makes it a repository without commits. Without syncd itself: here two of them run beside
    /// one cluster, and in it there is none.
    pub fn create(folder: &Path) -> Result<Self> {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the crate is in a workspace")?;
        fs::create_dir_all(folder)?;
        for name in ["services", "charts"] {
            copy(&example.join(name), &folder.join(name)).with_context(|| format!("cannot copy {name}"))?;
        }
        fs::remove_dir_all(folder.join("services/syncd")).context("cannot leave out syncd")?;
        fs::copy(example.join("generator.yaml"), folder.join("generator.yaml"))
            .context("cannot copy generator.yaml")?;
        Ok(Repository { folder: folder.to_owned() })
    }

    /// Returns the URL that `syncd` polls.
    pub fn url(&self) -> String {
        format!("file://{}", self.folder.display())
    }

    /// Returns the folder of the services.
    pub fn services(&self) -> PathBuf {
        self.folder.join("services")
    }

    /// Runs `generator render`.
    pub async fn render(&self) -> Result<()> {
        let arguments = ["generator", "render", "--root"].map(OsString::from).into_iter();
        let arguments: Vec<OsString> = arguments.chain([self.folder.clone().into_os_string()]).collect();
        let exit = tokio::task::spawn_blocking(move || generator::cli::run(arguments)).await??;
        ensure!(exit == generator::report::Exit::Ok, "the generator refused the services");
        Ok(())
    }

    /// Commits everything, also when nothing changed.
    pub async fn commit(&self, message: &str) -> Result<()> {
        if !self.folder.join(".git").exists() {
            self.git(&["init", "--quiet", "--initial-branch=main"]).await?;
        }
        self.git(&["add", "--all"]).await?;
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]).await
    }

    /// Returns how many objects the indexes of `environments` name.
    pub fn objects(&self, environments: &[&str]) -> Result<usize> {
        let mut objects = 0;
        for environment in environments {
            let bytes = fs::read(self.folder.join(Index::path(environment)))?;
            objects += Index::parse(&bytes, environment)?.services.values().map(|entry| entry.objects).sum::<usize>();
        }
        Ok(objects)
    }

    async fn git(&self, arguments: &[&str]) -> Result<()> {
        let person = ["AUTHOR", "COMMITTER"]
            .map(|role| [(format!("GIT_{role}_NAME"), "demo"), (format!("GIT_{role}_EMAIL"), "demo@example.test")]);
        let mut command = Command::new("git");
        command.args(arguments).current_dir(&self.folder).kill_on_drop(true);
        command
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .envs(person.into_iter().flatten());
        let output = timeout(GIT_MAX, command.output()).await.context("git does not end")?.context("cannot run git")?;
        ensure!(
            output.status.success(),
            "git {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
