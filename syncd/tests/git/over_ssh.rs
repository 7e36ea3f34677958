//! Over ssh: a real `sshd` on loopback, with right and wrong keys on either side.

use std::fs;
use std::time::Duration;

use syncd::git::{Access, GitLimits, GitRepo, GitSettings, SshAccess};
use syncd::repo::{Repo, RepoError, Revision};

use crate::git_repository::Repository;
use crate::ssh_server::{SshServer, set_mode};
use crate::{paths, settings};

/// Starts a server; says so where there is no `sshd`, and the test has nothing to ask.
async fn server() -> Option<SshServer> {
    let server = SshServer::start().await;
    if server.is_none() {
        println!("SKIPPED: there is no sshd, ssh or ssh-keygen here");
    }
    server
}

fn over_ssh(url: &str, access: SshAccess) -> GitSettings {
    GitSettings { access: Access { ssh: Some(access), ..Access::default() }, ..settings(url) }
}

fn refusal(result: Result<Revision, RepoError>) -> String {
    result.expect_err("it is refused").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_is_followed_over_ssh() {
    let origin = Repository::new();
    for number in 0..5 {
        origin.commit("before", &[("a", &number.to_string())]);
    }
    let Some(server) = server().await else { return };
    let cache = tempfile::tempdir().unwrap();
    let settings = over_ssh(&server.url(origin.path()), server.access());
    let repo = GitRepo::open(GitSettings { cache: Some(cache.path().to_owned()), ..settings }).unwrap();
    for number in 5..8 {
        let revision = Revision(origin.commit("next", &[("a", &number.to_string())]));
        assert_eq!(repo.tip().await.unwrap(), revision);
        assert_eq!(repo.fetch(&revision).await.unwrap().subject, "next");
        assert_eq!(repo.read(&revision, paths(["a"])).await.unwrap(), [Some(number.to_string().into_bytes())]);
    }
    let copy = crate::only_copy(cache.path());
    let shallow = fs::read_to_string(copy.join("shallow")).unwrap();
    assert_eq!(shallow.lines().count(), 3, "three times the last commit only");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_accepted_is_named_and_its_successor_needs_no_restart() {
    let origin = Repository::new();
    let first = Revision(origin.commit("first", &[("a", "1")]));
    let Some(server) = server().await else { return };
    let access = server.access();
    let repo = GitRepo::open(over_ssh(&server.url(origin.path()), access.clone())).unwrap();
    assert_eq!(repo.tip().await.unwrap(), first);

    let next = server.new_key("next");
    server.authorize(&[&next]);
    let refused = repo.tip().await.unwrap_err();
    assert!(
        matches!(&refused, RepoError::Unauthorized(text) if text.contains("the key was not accepted")),
        "{refused}"
    );
    fs::copy(&next, &access.key_file).unwrap();
    assert_eq!(repo.tip().await.unwrap(), first, "the key file is read anew");

    set_mode(&access.key_file, 0o644);
    assert!(refusal(repo.tip().await).contains("mount it with mode 0400"));
    set_mode(&access.key_file, 0o600);
    fs::write(&access.key_file, "not a key\n").unwrap();
    assert!(refusal(repo.tip().await).contains("no private key that ssh can use"));
    fs::remove_file(&access.key_file).unwrap();
    assert!(refusal(repo.tip().await).contains("cannot read"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_another_key_is_not_talked_to() {
    let origin = Repository::new();
    let first = Revision(origin.commit("first", &[("a", "1")]));
    let Some(server) = server().await else { return };
    let access = server.access();
    let repo = GitRepo::open(over_ssh(&server.url(origin.path()), access.clone())).unwrap();
    let stranger = server.new_key("stranger");
    server.known_hosts(&stranger);
    let refused = repo.tip().await.unwrap_err();
    let reason = "its host key is not the one in the known_hosts file".to_owned();
    assert_eq!(refused, RepoError::Untrusted(reason));
    fs::write(&access.known_hosts_file, "").unwrap();
    let reason = "its host key is not in the known_hosts file".to_owned();
    assert_eq!(repo.tip().await, Err(RepoError::Untrusted(reason)));
    assert_eq!(fs::read_to_string(&access.known_hosts_file).unwrap(), "", "nothing is learned");
    server.known_hosts(&server.path("host"));
    assert_eq!(repo.tip().await.unwrap(), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_is_gone_is_no_empty_one() {
    let origin = Repository::new();
    let first = Revision(origin.commit("first", &[("a", "1")]));
    let Some(server) = server().await else { return };
    let repo = GitRepo::open(over_ssh(&server.url(origin.path()), server.access())).unwrap();
    repo.fetch(&first).await.unwrap();
    fs::rename(origin.path().join(".git"), origin.path().join("gone")).unwrap();
    let gone = repo.tip().await.unwrap_err();
    assert!(
        matches!(&gone, RepoError::NotFound(text) if text.contains("does not appear to be a git repository")),
        "{gone}"
    );
    assert_eq!(repo.read(&first, paths(["a"])).await.unwrap(), [Some(b"1".to_vec())], "what was read still is");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing_is_given_up() {
    let Some(server) = server().await else { return };
    let access = server.access();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ssh://git@{}/a.git", listener.local_addr().unwrap());
    let limits = GitLimits { tip: Duration::from_millis(300), ..GitLimits::default() };
    let repo = GitRepo::open(GitSettings { limits, ..over_ssh(&url, access) }).unwrap();
    assert!(matches!(repo.tip().await, Err(RepoError::Unreachable(_))));
    drop(listener);
    assert!(matches!(repo.tip().await, Err(RepoError::Unreachable(_))), "a refused connection");
}
