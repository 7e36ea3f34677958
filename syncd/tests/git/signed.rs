//! Commits signed by the real `ssh-keygen` and `gpg`, by right and wrong keys.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use syncd::git::{GitRepo, GitSettings, Signers};
use syncd::repo::{Repo, RepoError, Revision};

use crate::git_repository::Repository;
use crate::settings;

/// Tells whether programs are here; says so if not, and the test has nothing to ask.
fn are_here(programs: &[&str]) -> bool {
    let missing = programs.iter().find(|program| {
        let started = Command::new(program).arg("--version").stdin(Stdio::null()).output();
        started.is_err()
    });
    if let Some(missing) = missing {
        println!("SKIPPED: there is no {missing} here");
    }
    missing.is_none()
}

fn opened(origin: &Repository, signers: Signers) -> GitRepo {
    GitRepo::open(GitSettings { signers, ..settings(&origin.url()) }).unwrap()
}

async fn verdict(repo: &GitRepo, commit: &str) -> Result<(), String> {
    let revision = Revision(commit.to_owned());
    repo.fetch(&revision).await.unwrap();
    match repo.verify(&revision).await {
        Ok(()) => Ok(()),
        Err(RepoError::Unverified(reason)) => Err(reason),
        Err(error) => panic!("{error}"),
    }
}

async fn refused(repo: &GitRepo, commit: &str, part: &str) {
    let reason = verdict(repo, commit).await.expect_err(part);
    assert!(reason.contains(part), "`{reason}` without `{part}`");
}

/// Changes a commit under its signature; returns the id of what that gives.
fn tampered(origin: &Repository, commit: &str, from: &str, to: &str) -> String {
    let text = origin.git(&["cat-file", "commit", commit]) + "\n";
    assert!(text.contains(from));
    let file = origin.path().join(".git/tampered");
    fs::write(&file, text.replace(from, to)).unwrap();
    let id = origin.git(&["hash-object", "-t", "commit", "-w", ".git/tampered"]);
    origin.git(&["branch", "--force", "tampered", &id]);
    id
}

fn ssh_key(folder: &Path, name: &str) -> (PathBuf, String) {
    let path = folder.join(name);
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&path);
    assert!(keygen.status().unwrap().success());
    let public = fs::read_to_string(path.with_extension("pub")).unwrap();
    let public = public.split(' ').take(2).collect::<Vec<_>>().join(" ");
    (path, public)
}

#[tokio::test]
async fn only_commits_signed_by_an_allowed_ssh_key_are_vouched_for() {
    if !are_here(&["ssh-keygen"]) {
        return;
    }
    let origin = Repository::new();
    let folder = tempfile::tempdir().unwrap();
    let (ada, ada_public) = ssh_key(folder.path(), "ada");
    let (eve, eve_public) = ssh_key(folder.path(), "eve");
    let unsigned = origin.commit("unsigned", &[("a", "1")]);
    origin.git(&["config", "gpg.format", "ssh"]);
    origin.git(&["config", "commit.gpgSign", "true"]);
    origin.git(&["config", "user.signingKey", ada.to_str().unwrap()]);
    let by_ada = origin.commit("by ada", &[("a", "2")]);
    origin.git(&["config", "user.signingKey", eve.to_str().unwrap()]);
    let by_eve = origin.commit("by eve", &[("a", "3")]);
    origin.git(&["config", "commit.gpgSign", "false"]);

    let allowed = folder.path().join("allowed");
    fs::write(&allowed, format!("# who may sign\nada@example.com namespaces=\"git\" {ada_public}\n")).unwrap();
    let repo = opened(&origin, Signers { allowed_signers_file: Some(allowed.clone()), gpg_keyring_file: None });
    assert_eq!(verdict(&repo, &by_ada).await, Ok(()));
    refused(&repo, &unsigned, "it is not signed").await;
    refused(&repo, &by_eve, "which is not allowed to (No principal matched.)").await;
    refused(&repo, &tampered(&origin, &by_ada, "by ada", "by eva"), "its signature does not fit").await;
    let tree = origin.git(&["rev-parse", &format!("{by_eve}^{{tree}}")]);
    let ada_tree = origin.git(&["rev-parse", &format!("{by_ada}^{{tree}}")]);
    refused(&repo, &tampered(&origin, &by_ada, &ada_tree, &tree), "its signature does not fit").await;

    // The file is read anew: keys come and go without a restart.
    fs::write(&allowed, format!("eve@example.com {eve_public}\n")).unwrap();
    assert_eq!(verdict(&repo, &by_eve).await, Ok(()));
    refused(&repo, &by_ada, "which is not allowed to").await;
    fs::write(&allowed, format!("ada@example.com valid-before=\"20200101\" {ada_public}\n")).unwrap();
    refused(&repo, &by_ada, "has expired").await;
    fs::write(&allowed, format!("ada@example.com namespaces=\"file\" {ada_public}\n")).unwrap();
    refused(&repo, &by_ada, "not permitted for use in signature namespace").await;
    fs::remove_file(&allowed).unwrap();
    assert!(matches!(repo.verify(&Revision(by_ada.clone())).await, Err(RepoError::Local(_))));

    let nobody = opened(&origin, Signers::default());
    assert_eq!(verdict(&nobody, &unsigned).await, Ok(()), "nobody asks for signatures");
}

/// A keyring in a folder of its own, without an agent that would outlive the test.
struct Gpg(tempfile::TempDir);

impl Gpg {
    /// Makes a key for `name`, as if it were `at`; returns nothing where this gpg cannot.
    fn new(name: &str, at: &str) -> Option<Self> {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::Builder::new().prefix("gpg-").tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let gpg = Gpg(folder);
        let made = gpg.run(&["--faked-system-time", at, "--quick-gen-key", name, "ed25519", "sign", "1y"]);
        made.then_some(gpg)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("gpg");
        command.env("GNUPGHOME", self.0.path()).args(["--batch", "--quiet", "--yes", "--pinentry-mode", "loopback"]);
        command.args(["--passphrase", ""]).stderr(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> bool {
        self.command().args(arguments).status().unwrap().success()
    }

    fn export(&self, armor: bool) -> Vec<u8> {
        let mut command = self.command();
        command.args(armor.then_some("--armor")).arg("--export");
        command.output().unwrap().stdout
    }

    /// Writes a program that git calls to sign: gpg with this folder, as if it were `at`.
    fn program(&self, at: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.0.path().join("sign");
        let (home, time) = (self.0.path().display(), format!("--faked-system-time {at}"));
        let text =
            format!("#!/bin/sh\nGNUPGHOME={home} exec gpg {time} --pinentry-mode loopback --passphrase '' \"$@\"\n");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf").env("GNUPGHOME", self.0.path()).args(["--kill", "all"]).status();
    }
}

#[tokio::test]
async fn only_commits_signed_by_an_openpgp_key_of_the_keyring_are_vouched_for() {
    if !are_here(&["gpg", "gpgv", "gpgconf"]) {
        return;
    }
    // A key is valid from the moment it was made: the clock of whoever runs this test is later.
    let (now, long_ago) = ("20260101T000000", "20200101T000000");
    let keys = (Gpg::new("Ada <ada@example.com>", now), Gpg::new("Old <old@example.com>", long_ago));
    let (Some(ada), Some(old)) = keys else {
        println!("SKIPPED: this gpg makes no ed25519 keys");
        return;
    };
    let origin = Repository::new();
    let unsigned = origin.commit("unsigned", &[("a", "1")]);
    let signed = |gpg: &Gpg, who: &str, at: &str| {
        origin.git(&["config", "gpg.program", gpg.program(at).to_str().unwrap()]);
        origin.git(&["commit", "--quiet", "--allow-empty", &format!("--gpg-sign={who}@example.com"), "--message", who]);
        origin.tip()
    };
    let by_ada = signed(&ada, "ada", now);
    let by_old = signed(&old, "old", long_ago);
    let folder = tempfile::tempdir().unwrap();
    let keyring = folder.path().join("keyring");
    let repo = opened(&origin, Signers { allowed_signers_file: None, gpg_keyring_file: Some(keyring.clone()) });

    for armor in [false, true] {
        fs::write(&keyring, ada.export(armor)).unwrap();
        // A year is long, but not for ever: the key may have expired when this test runs.
        let verdict = verdict(&repo, &by_ada).await;
        assert!(
            verdict == Ok(()) || verdict.as_ref().is_err_and(|reason| reason.contains("has expired")),
            "{verdict:?}"
        );
        refused(&repo, &unsigned, "it is not signed").await;
        refused(&repo, &by_old, "which is not in the keyring").await;
        refused(&repo, &tampered(&origin, &by_ada, "\n\nada", "\n\neva"), "does not fit").await;
    }
    fs::write(&keyring, [ada.export(true), old.export(true)].concat()).unwrap();
    refused(&repo, &by_old, "that signed it has expired").await;
    fs::write(&keyring, "").unwrap();
    refused(&repo, &by_ada, "which is not in the keyring").await;

    let allowed = folder.path().join("allowed");
    fs::write(&allowed, "").unwrap();
    let other = opened(&origin, Signers { allowed_signers_file: Some(allowed), gpg_keyring_file: None });
    refused(&other, &by_ada, "signed with an OpenPGP key, and none is allowed").await;
}
