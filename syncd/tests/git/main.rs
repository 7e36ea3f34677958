//! Wire tests of the Git edge: real repositories, real git on the other side, over files, https and ssh.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]
#![expect(clippy::disallowed_methods, reason = "tests run their servers beside them")]

#[path = "../git_repository/mod.rs"]
mod git_repository;
#[path = "../git_server/mod.rs"]
mod git_server;
mod https;
mod lineage;
mod over_ssh;
mod signed;
mod ssh_server;

use std::path::{Path, PathBuf};
use std::time::Duration;

use syncd::git::{Access, Credentials, GitLimits, GitRepo, GitSettings, Signers, SourceError};
use syncd::repo::{Lineage, Repo, RepoError, Revision};

use git_repository::Repository;
use git_server::HttpsServer;

fn settings(url: &str) -> GitSettings {
    GitSettings {
        url: url.to_owned(),
        reference: "main".to_owned(),
        access: Access::default(),
        signers: Signers::default(),
        cache: None,
        limits: GitLimits::default(),
    }
}

fn open(url: &str) -> GitRepo {
    GitRepo::open(settings(url)).unwrap()
}

/// Opens a copy in a folder, with limits of its own.
fn open_within(origin: &Repository, cache: &tempfile::TempDir, limits: GitLimits) -> GitRepo {
    GitRepo::open(GitSettings { cache: Some(cache.path().to_owned()), limits, ..settings(&origin.url()) }).unwrap()
}

fn paths<const N: usize>(paths: [&str; N]) -> Vec<String> {
    paths.map(str::to_owned).to_vec()
}

#[tokio::test]
async fn a_commit_is_read_without_a_work_tree() {
    let origin = Repository::new();
    let first =
        origin.commit("first\n\nbody", &[("_gen/staging/index.json", "{}\n"), ("a/b/c.txt", "deep"), ("x", "")]);
    let repo = open(&origin.url());
    let tip = repo.tip().await.unwrap();
    assert_eq!(tip, Revision(first));
    let commit = repo.fetch(&tip).await.unwrap();
    assert_eq!((commit.author.as_str(), commit.subject.as_str()), ("Ada Lovelace", "first"));
    assert_eq!(commit.committed_at_seconds, 1_767_323_045);
    let wanted = paths(["a/b/c.txt", "_gen/staging/index.json", "missing", "a/missing/c", "x", "x/y"]);
    let expected: Vec<Option<Vec<u8>>> = [Some("deep"), Some("{}\n"), None, None, Some(""), None]
        .map(|text| text.map(|text| text.as_bytes().to_vec()))
        .to_vec();
    assert_eq!(repo.read(&tip, wanted).await.unwrap(), expected);
    assert_eq!(repo.read(&tip, Vec::new()).await.unwrap(), Vec::<Option<Vec<u8>>>::new());
}

#[tokio::test]
async fn what_is_no_regular_file_is_refused() {
    let origin = Repository::new();
    std::os::unix::fs::symlink("real", origin.path().join("link")).unwrap();
    origin.commit("odd", &[("real", "content"), ("folder/file", "12345")]);
    let module = origin.tip();
    origin.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{module},module")]);
    origin.git(&["commit", "--quiet", "--message", "module"]);
    let repo = GitRepo::open(GitSettings {
        limits: GitLimits { file_bytes: 4, ..GitLimits::default() },
        ..settings(&origin.url())
    });
    let repo = repo.unwrap();
    let tip = repo.tip().await.unwrap();
    repo.fetch(&tip).await.unwrap();
    let cases = [
        ("link", "`link` is a symlink"),
        ("link/x", "`link` is a symlink"),
        ("module", "`module` is a submodule"),
        ("folder", "it is a folder"),
        ("folder/file", "it has 5 bytes, more than 4"),
    ];
    for (path, reason) in cases {
        let refused = RepoError::NotAcceptable { path: path.to_owned(), reason: reason.to_owned() };
        assert_eq!(repo.read(&tip, paths([path])).await, Err(refused), "{path}");
    }
}

#[tokio::test]
async fn a_missing_ref_is_a_failure_and_not_an_absence() {
    let origin = Repository::new();
    let empty = open(&origin.url());
    assert_eq!(empty.tip().await, Err(RepoError::NoRef("refs/heads/main".to_owned())));
    drop(empty);
    origin.commit("first", &[("a", "1")]);
    origin.git(&["branch", "main2"]);
    origin.git(&["tag", "--annotate", "--message", "tagged", "v1"]);
    let named = |reference: &str| {
        GitRepo::open(GitSettings { reference: reference.to_owned(), ..settings(&origin.url()) }).unwrap()
    };
    for missing in ["mai", "refs/heads/other", "refs/tags/v2"] {
        assert!(matches!(named(missing).tip().await, Err(RepoError::NoRef(_))), "{missing}");
    }
    let tag = named("refs/tags/v1");
    let tip = tag.tip().await.unwrap();
    assert_eq!(tip.0, origin.tip(), "an annotated tag is followed to its commit");
    assert_eq!(tag.fetch(&tip).await.unwrap().subject, "first");
    assert!(matches!(open("file:///nowhere/at/all").tip().await, Err(RepoError::NotFound(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_tags_the_highest_version_is_followed() {
    let origin = Repository::new();
    origin.commit("first", &[("a", "1")]);
    origin.git(&["tag", "v1.9.0"]);
    let second = Revision(origin.commit("second", &[("a", "2")]));
    origin.git(&["tag", "--annotate", "--message", "tagged", "v1.10.0"]);
    origin.commit("third", &[("a", "3")]);
    for other in ["v2.0.0-rc.1", "v3", "w9.0.0", "v1.10.0x"] {
        origin.git(&["tag", other]);
    }
    let mut followed = vec![settings(&origin.url())];
    let server = https(&origin, None, false).await;
    followed.extend(server.as_ref().map(|server| over_https(server, None)));
    for settings in followed {
        let repo = GitRepo::open(GitSettings { reference: "refs/tags/v*".to_owned(), ..settings }).unwrap();
        assert_eq!(repo.tip().await.unwrap(), second);
        assert_eq!(repo.fetch(&second).await.unwrap().subject, "second");
        assert_eq!(repo.read(&second, paths(["a"])).await.unwrap(), [Some(b"2".to_vec())]);
    }
    let none = GitRepo::open(GitSettings { reference: "refs/tags/x*".to_owned(), ..settings(&origin.url()) }).unwrap();
    assert_eq!(none.tip().await, Err(RepoError::NoRef("refs/tags/x*".to_owned())));
}

#[tokio::test]
async fn a_rewritten_history_is_fetched_and_the_old_commit_stays_readable() {
    let origin = Repository::new();
    let first = Revision(origin.commit("first", &[("a", "1")]));
    let repo = open(&origin.url());
    repo.fetch(&first).await.unwrap();
    origin.git(&["checkout", "--quiet", "--orphan", "again"]);
    let second = Revision(origin.commit("rewritten", &[("a", "2")]));
    origin.git(&["branch", "--force", "main", "again"]);
    assert_eq!(repo.tip().await.unwrap(), second);
    assert_eq!(repo.fetch(&second).await.unwrap().subject, "rewritten");
    assert_eq!(repo.read(&first, paths(["a"])).await.unwrap(), [Some(b"1".to_vec())]);
    assert_eq!(repo.read(&second, paths(["a"])).await.unwrap(), [Some(b"2".to_vec())]);
}

#[tokio::test]
async fn a_ref_that_moves_between_tip_and_fetch_does_no_harm() {
    let origin = Repository::new();
    let first = Revision(origin.commit("first", &[("a", "1")]));
    let repo = open(&origin.url());
    assert_eq!(repo.tip().await.unwrap(), first);
    origin.commit("second", &[("a", "2")]);
    assert_eq!(repo.fetch(&first).await.unwrap().subject, "first");
    assert_eq!(repo.read(&first, paths(["a"])).await.unwrap(), [Some(b"1".to_vec())]);
    let unknown = Revision("1234567890123456789012345678901234567890".to_owned());
    assert!(repo.fetch(&unknown).await.is_err());
    assert!(matches!(repo.read(&unknown, paths(["a"])).await, Err(RepoError::Local(_))));
}

#[tokio::test]
async fn only_the_last_commit_is_fetched() {
    let origin = Repository::new();
    for number in 0..5 {
        origin.commit("more", &[("a", &number.to_string())]);
    }
    let cache = tempfile::tempdir().unwrap();
    let repo = GitRepo::open(GitSettings { cache: Some(cache.path().to_owned()), ..settings(&origin.url()) }).unwrap();
    let tip = repo.tip().await.unwrap();
    repo.fetch(&tip).await.unwrap();
    let copy = only_copy(cache.path());
    let shallow = std::fs::read_to_string(copy.join("shallow")).unwrap();
    assert_eq!(shallow.trim(), tip.0, "the history ends at the tip");
}

/// Opens a cache that was closed a moment ago. A process that another test forks holds the lock until it becomes git.
fn reopen(settings: impl Fn() -> GitSettings) -> GitRepo {
    for _ in 0..REOPEN_TRIES_MAX {
        match GitRepo::open(settings()) {
            Err(SourceError::Cache(RepoError::Local(text))) if text.contains("in use") => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
    panic!("the cache stays in use");
}

const REOPEN_TRIES_MAX: usize = 1_000_000;

/// Returns the only copy in a cache.
fn only_copy(cache: &Path) -> PathBuf {
    let copies = copies(cache);
    assert_eq!(copies.len(), 1, "{copies:?}");
    copies[0].clone()
}

fn copies(cache: &Path) -> Vec<PathBuf> {
    let mut copies: Vec<PathBuf> = std::fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path()).collect();
    copies.retain(|path| path.is_dir());
    copies.sort();
    copies
}

#[tokio::test]
async fn a_cache_survives_a_killed_process() {
    let origin = Repository::new();
    let first = Revision(origin.commit("first", &[("a", "1")]));
    let cache = tempfile::tempdir().unwrap();
    let cached = || GitSettings { cache: Some(cache.path().to_owned()), ..settings(&origin.url()) };
    let repo = GitRepo::open(cached()).unwrap();
    repo.fetch(&first).await.unwrap();
    let Err(SourceError::Cache(RepoError::Local(text))) = GitRepo::open(cached()) else { panic!("two at a time") };
    assert!(text.contains("in use by another process"), "{text}");
    drop(repo);

    let copy = only_copy(cache.path());
    for leftover in ["shallow.lock", "refs/syncd/tip.lock", "objects/pack/.tmpAbCdEf"] {
        std::fs::write(copy.join(leftover), "half").unwrap();
    }
    let second = Revision(origin.commit("second", &[("a", "2")]));
    let repo = reopen(cached);
    repo.fetch(&second).await.unwrap();
    assert_eq!(repo.read(&first, paths(["a"])).await.unwrap(), [Some(b"1".to_vec())], "what was here still is");
    drop(repo);

    std::fs::write(copy.join("config"), "[core").unwrap();
    let repo = reopen(cached);
    repo.fetch(&second).await.unwrap();
    assert_eq!(repo.read(&second, paths(["a"])).await.unwrap(), [Some(b"2".to_vec())], "a broken copy is begun anew");
}

#[tokio::test]
async fn half_a_clone_takes_nobodys_place() {
    let origin = Repository::new();
    let first = Revision(origin.commit("first", &[("a", "1")]));
    let cache = tempfile::tempdir().unwrap();
    let limits = GitLimits { packs: 0, ..GitLimits::default() };
    let cached = || GitSettings { cache: Some(cache.path().to_owned()), limits, ..settings(&origin.url()) };
    let repo = GitRepo::open(cached()).unwrap();
    repo.fetch(&first).await.unwrap();
    let copy = only_copy(cache.path());
    // The next fetch needs a new copy, and the server goes away.
    let second = Revision(origin.commit("second", &[("a", "2")]));
    std::fs::rename(origin.path().join(".git"), origin.path().join("away")).unwrap();
    assert!(repo.fetch(&second).await.is_err());
    assert_eq!(only_copy(cache.path()), copy, "nothing half is left");
    drop(repo);
    // A process that was killed meanwhile leaves half of one.
    let name = copy.file_name().unwrap().to_str().unwrap().replace("-1.git", "-2.git.half");
    std::fs::create_dir_all(cache.path().join(name).join("objects/pack")).unwrap();
    let repo = reopen(cached);
    assert_eq!(repo.read(&first, paths(["a"])).await.unwrap(), [Some(b"1".to_vec())]);
    assert_eq!(only_copy(cache.path()), copy);
    std::fs::rename(origin.path().join("away"), origin.path().join(".git")).unwrap();
    repo.fetch(&second).await.unwrap();
    assert_eq!(repo.read(&second, paths(["a"])).await.unwrap(), [Some(b"2".to_vec())]);
}

#[tokio::test]
async fn a_damaged_object_is_noticed() {
    let origin = Repository::new();
    let first = Revision(origin.commit("first", &[("a", "the content of a file, long enough to be found")]));
    let cache = tempfile::tempdir().unwrap();
    let repo = GitRepo::open(GitSettings { cache: Some(cache.path().to_owned()), ..settings(&origin.url()) }).unwrap();
    repo.fetch(&first).await.unwrap();
    let copy = only_copy(cache.path());
    let blob = origin.git(&["rev-parse", "HEAD:a"]);
    let other = origin.git(&["rev-parse", "HEAD"]);
    // Another object under the blob's name, in front of the pack.
    let (folder, name) = blob.split_at(2);
    let forged = format!(".git/objects/{}/{}", &other[..2], &other[2..]);
    std::fs::create_dir_all(copy.join("objects").join(folder)).unwrap();
    std::fs::copy(origin.path().join(forged), copy.join("objects").join(folder).join(name)).unwrap();
    let pack = copy.join("objects/pack");
    std::fs::remove_dir_all(&pack).unwrap();
    for id in [origin.git(&["rev-parse", "HEAD"]), origin.git(&["rev-parse", "HEAD^{tree}"])] {
        let file = format!("{}/{}", &id[..2], &id[2..]);
        std::fs::create_dir_all(copy.join("objects").join(&id[..2])).unwrap();
        std::fs::copy(origin.path().join(".git/objects").join(&file), copy.join("objects").join(&file)).unwrap();
    }
    drop(repo);
    std::fs::rename(origin.path().join(".git"), origin.path().join("away")).unwrap();
    let reopened = || reopen(|| GitSettings { cache: Some(cache.path().to_owned()), ..settings(&origin.url()) });
    let repo = reopened();
    for _ in 0..2 {
        assert!(matches!(repo.read(&first, paths(["a"])).await, Err(RepoError::Corrupt(_))));
    }
    drop(repo);
    std::fs::rename(origin.path().join("away"), origin.path().join(".git")).unwrap();
    let content = b"the content of a file, long enough to be found".to_vec();
    assert_eq!(reopened().read(&first, paths(["a"])).await.unwrap(), [Some(content)], "it is begun anew");
}

#[tokio::test]
async fn a_damaged_pack_is_fetched_again() {
    let origin = Repository::new();
    let first = Revision(origin.commit("first", &[("a", "1"), ("b", "2")]));
    let cache = tempfile::tempdir().unwrap();
    let cached = || GitSettings { cache: Some(cache.path().to_owned()), ..settings(&origin.url()) };
    for half in [false, true] {
        let repo = reopen(cached);
        repo.fetch(&first).await.unwrap();
        drop(repo);
        let pack = only_copy(cache.path()).join("objects/pack");
        let pack = std::fs::read_dir(pack).unwrap().map(|file| file.unwrap().path());
        let pack = pack.into_iter().find(|path| path.extension().is_some_and(|e| e == "pack")).unwrap();
        let mut bytes = std::fs::read(&pack).unwrap();
        if half {
            bytes.truncate(bytes.len() / 2);
        } else {
            let middle = 12..bytes.len() - 20;
            bytes[middle].iter_mut().for_each(|byte| *byte ^= 0x55);
        }
        let mut permissions = std::fs::metadata(&pack).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
        std::fs::set_permissions(&pack, permissions).unwrap();
        std::fs::write(&pack, bytes).unwrap();
        let repo = reopen(cached);
        repo.fetch(&first).await.unwrap();
        let read = repo.read(&first, paths(["a", "b"])).await;
        assert_eq!(read.unwrap(), [Some(b"1".to_vec()), Some(b"2".to_vec())], "half: {half}");
    }
}

#[tokio::test]
async fn packs_are_bounded() {
    let origin = Repository::new();
    let cache = tempfile::tempdir().unwrap();
    let limits = GitLimits { packs: 3, ..GitLimits::default() };
    let repo = open_within(&origin, &cache, limits);
    let mut revisions = Vec::new();
    for number in 0..14 {
        let revision = Revision(origin.commit("more", &[("a", &number.to_string())]));
        repo.fetch(&revision).await.unwrap();
        if let Some(before) = revisions.last() {
            assert!(repo.read(before, paths(["a"])).await.is_ok(), "the revision before {number} is still readable");
        }
        assert_eq!(repo.read(&revision, paths(["a"])).await.unwrap(), [Some(number.to_string().into_bytes())]);
        for copy in copies(cache.path()) {
            let files = std::fs::read_dir(copy.join("objects/pack")).unwrap();
            let packs =
                files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|e| e == "pack")).count();
            assert!(packs <= limits.packs + 1, "{packs} packs in {copy:?}");
        }
        assert!(copies(cache.path()).len() <= 2);
        revisions.push(revision);
    }
    drop(repo);
    reopen(|| GitSettings { cache: Some(cache.path().to_owned()), ..settings(&origin.url()) });
    only_copy(cache.path());
}

/// More commits are refused than two copies hold, and the one in force is read all the while.
#[tokio::test]
async fn the_revision_in_force_is_readable_however_many_others_come() {
    let origin = Repository::new();
    let cache = tempfile::tempdir().unwrap();
    let limits = GitLimits { packs: 3, ..GitLimits::default() };
    let repo = open_within(&origin, &cache, limits);
    let in_force = Revision(origin.commit("in force", &[("a", "1")]));
    repo.fetch(&in_force).await.unwrap();
    for number in 0..13 {
        let refused = Revision(origin.commit("refused", &[("a", &format!("refused {number}"))]));
        repo.fetch(&refused).await.unwrap();
        let read = repo.read(&in_force, paths(["a"])).await;
        assert_eq!(read.unwrap(), [Some(b"1".to_vec())], "after {number} others");
    }
    // And not only because it was looked at each time.
    for number in 0..13 {
        repo.fetch(&Revision(origin.commit("refused", &[("b", &number.to_string())]))).await.unwrap();
    }
    assert_eq!(repo.read(&in_force, paths(["a"])).await.unwrap(), [Some(b"1".to_vec())]);
}

#[tokio::test]
async fn a_new_copy_that_cannot_be_begun_stops_no_fetch() {
    let origin = Repository::new();
    let cache = tempfile::tempdir().unwrap();
    let limits = GitLimits { packs: 3, ..GitLimits::default() };
    let repo = open_within(&origin, &cache, limits);
    let first = only_copy(cache.path());
    let in_the_way = PathBuf::from(first.to_str().unwrap().replace("-1.git", "-2.git.half"));
    std::fs::write(&in_the_way, "no folder").unwrap();
    for number in 0..12 {
        let revision = Revision(origin.commit("more", &[("a", &number.to_string())]));
        repo.fetch(&revision).await.unwrap_or_else(|error| panic!("commit {number}: {error}"));
        assert_eq!(repo.read(&revision, paths(["a"])).await.unwrap(), [Some(number.to_string().into_bytes())]);
    }
    std::fs::remove_file(&in_the_way).unwrap();
    for number in 0..4 {
        repo.fetch(&Revision(origin.commit("more", &[("b", &number.to_string())]))).await.unwrap();
    }
    assert!(copies(cache.path()).iter().any(|copy| copy.to_str().unwrap().ends_with("-2.git")), "it is begun later");
}

#[tokio::test]
async fn bytes_of_packs_are_bounded() {
    let origin = Repository::new();
    let cache = tempfile::tempdir().unwrap();
    let limits = GitLimits { added_bytes: 100_000, ..GitLimits::default() };
    let repo = open_within(&origin, &cache, limits);
    let file = |number: usize| format!("{}{number}", "a line of a file that changes at its end only\n".repeat(1_000));
    let (mut most, mut begun) = (0, std::collections::BTreeSet::new());
    for number in 0..20 {
        let revision = Revision(origin.commit("more", &[("a", &file(number))]));
        repo.fetch(&revision).await.unwrap();
        assert_eq!(repo.read(&revision, paths(["a"])).await.unwrap(), [Some(file(number).into_bytes())]);
        most = most.max(disk_bytes(cache.path()));
        begun.extend(copies(cache.path()));
    }
    assert!(begun.len() > 3, "{begun:?}");
    assert!(most < 500_000, "{most} bytes");
}

/// A process that lives for hundreds of commits: it fetches each of them, with the limits that it has.
#[tokio::test]
async fn one_process_fetches_hundreds_of_commits() {
    const COMMITS: usize = 130;
    let origin = Repository::new();
    let cache = tempfile::tempdir().unwrap();
    let repo = open_within(&origin, &cache, GitLimits::default());
    assert!(COMMITS > 2 * GitLimits::default().packs, "a new copy is begun twice");
    let mut before = None;
    for number in 0..COMMITS {
        let revision = Revision(origin.commit("more", &[("a", &number.to_string())]));
        repo.fetch(&revision).await.unwrap_or_else(|error| panic!("commit {number}: {error}"));
        assert_eq!(repo.read(&revision, paths(["a"])).await.unwrap(), [Some(number.to_string().into_bytes())]);
        if let Some(before) = before.replace(revision.clone()) {
            assert_eq!(repo.lineage(&revision, &before).await.unwrap(), Lineage::Descends, "commit {number}");
        }
    }
    assert!(copies(cache.path()).len() <= 2);
    assert!(mapped_packs(cache.path()) <= 4, "what was read before is not kept in memory");
}

/// Returns how many packs under a folder this process has mapped into memory. Nothing where that cannot be asked.
fn mapped_packs(folder: &Path) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let folder = folder.to_str().unwrap();
    maps.lines().filter(|line| line.contains(folder) && line.ends_with(".pack")).count()
}

#[tokio::test]
async fn a_fetch_over_the_limit_is_stopped() {
    let origin = Repository::new();
    // Text that does not compress: the digits of a linear congruence.
    let mut state = 1_u64;
    let mut noise = String::new();
    while noise.len() < 300_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        noise.push_str(&state.to_string());
    }
    let revision = Revision(origin.commit("large", &[("a", &noise)]));
    let limits = GitLimits { fetch_bytes: 50_000, ..GitLimits::default() };
    let repo = GitRepo::open(GitSettings { limits, ..settings(&origin.url()) }).unwrap();
    let Err(RepoError::TooLarge(text)) = repo.fetch(&revision).await else { panic!("not stopped") };
    assert!(text.contains("more than 50000 bytes"), "{text}");
    let cases = [
        (GitLimits { fetch_objects: 2, ..GitLimits::default() }, "more than 2 objects"),
        (GitLimits { unpacked_bytes: 200_000, ..GitLimits::default() }, "more than 200000 bytes of unpacked objects"),
    ];
    for (limits, expected) in cases {
        let repo = GitRepo::open(GitSettings { limits, ..settings(&origin.url()) }).unwrap();
        let Err(RepoError::TooLarge(text)) = repo.fetch(&revision).await else { panic!("not stopped: {expected}") };
        assert!(text.contains(expected), "{text}");
    }
}

/// Serves a repository; says so where git comes without `http-backend`, and the test has nothing to ask.
async fn https(origin: &Repository, login: Option<&str>, old: bool) -> Option<HttpsServer> {
    let server = HttpsServer::start(origin, login, old).await;
    if server.is_none() {
        println!("SKIPPED: this git has no http-backend");
    }
    server
}

fn over_https(server: &HttpsServer, credentials: Option<Credentials>) -> GitSettings {
    let access = Access { credentials, ca_file: Some(server.ca_file.clone()), ..Access::default() };
    GitSettings { access, ..settings(&server.url) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_over_https_costs_two_small_requests_and_an_unchanged_tip_no_more() {
    let origin = Repository::new();
    for number in 0..30 {
        origin.git(&["commit", "--quiet", "--allow-empty", "--message", "more"]);
        origin.git(&["branch", &format!("branch-{number}")]);
    }
    origin.commit("last", &[("a", "1")]);
    let Some(server) = https(&origin, None, false).await else { return };
    let repo = GitRepo::open(over_https(&server, None)).unwrap();
    let tip = repo.tip().await.unwrap();
    let poll = server.take_served();
    let requests: Vec<&str> = poll.iter().map(|served| served.request.as_str()).collect();
    assert_eq!(requests, ["GET /info/refs", "POST /git-upload-pack"]);
    assert!(poll.iter().map(|served| served.body_bytes).sum::<usize>() < 400, "one ref of 31 is told: {poll:?}");

    repo.fetch(&tip).await.unwrap();
    assert!(server.take_served().len() >= 3, "the pack is fetched");
    repo.fetch(&tip).await.unwrap();
    repo.read(&tip, paths(["a"])).await.unwrap();
    assert_eq!(server.take_served(), [], "what is here is not asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_sent_at_once_and_read_anew_each_time() {
    let origin = Repository::new();
    let first = origin.commit("first", &[("a", "1")]);
    let Some(server) = https(&origin, Some("x-access-token:right"), false).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let secret_file = folder.path().join("token");
    std::fs::write(&secret_file, "right\n").unwrap();
    let credentials = Credentials { username: None, secret_file: secret_file.clone() };
    let repo = GitRepo::open(over_https(&server, Some(credentials))).unwrap();
    assert_eq!(repo.tip().await.unwrap().0, first);
    assert!(
        server.take_served().iter().all(|served| served.status == 200),
        "nothing is asked without credentials first"
    );

    std::fs::write(&secret_file, "wrong-secret").unwrap();
    let refused = repo.tip().await.unwrap_err();
    let expired = "the credentials were not accepted: they are wrong, expired or revoked".to_owned();
    assert_eq!(refused, RepoError::Unauthorized(expired));
    assert!(server.take_served().len() <= 2, "wrong credentials are not tried again and again");
    std::fs::write(&secret_file, "").unwrap();
    assert!(matches!(repo.tip().await, Err(RepoError::Unauthorized(text)) if text.contains("must hold one line")));
    std::fs::remove_file(&secret_file).unwrap();
    assert!(matches!(repo.tip().await, Err(RepoError::Local(text)) if text.contains("cannot read")));
    std::fs::write(&secret_file, "right").unwrap();
    assert_eq!(repo.tip().await.unwrap().0, first);

    let nobody = GitRepo::open(over_https(&server, None)).unwrap();
    let text = "it asks for credentials, and none are configured".to_owned();
    assert_eq!(nobody.tip().await, Err(RepoError::Unauthorized(text)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_nobody_vouches_for_is_not_trusted() {
    let origin = Repository::new();
    origin.commit("first", &[("a", "1")]);
    let Some(server) = https(&origin, None, false).await else { return };
    let trusting = GitSettings { access: Access::default(), ..over_https(&server, None) };
    let Err(RepoError::Untrusted(text)) = GitRepo::open(trusting).unwrap().tip().await else { panic!("trusted") };
    assert!(text.contains("certificate"), "{text}");
    assert_eq!(server.take_served(), []);
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, "not a certificate").unwrap();
    let access = Access { ca_file: Some(ca_file), ..Access::default() };
    let repo = GitRepo::open(GitSettings { access, ..over_https(&server, None) }).unwrap();
    assert!(matches!(repo.tip().await, Err(RepoError::Local(text)) if text.contains("no PEM certificate")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/a.git", listener.local_addr().unwrap());
    let limits = GitLimits { tip: Duration::from_millis(200), ..GitLimits::default() };
    let repo = GitRepo::open(GitSettings { limits, ..settings(&url) }).unwrap();
    let silent = tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            open.push(listener.accept().await.unwrap());
        }
    });
    assert!(matches!(repo.tip().await, Err(RepoError::Unreachable(_))));
    silent.abort();
    let _ = silent.await;
    assert!(matches!(repo.tip().await, Err(RepoError::Unreachable(_))), "a refused connection is no panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_the_old_protocol_is_followed_too() {
    let origin = Repository::new();
    origin.commit("first", &[("a", "1")]);
    let second = Revision(origin.commit("second", &[("a", "2")]));
    origin.git(&["branch", "maintenance"]);
    let Some(server) = https(&origin, None, true).await else { return };
    let repo = GitRepo::open(over_https(&server, None)).unwrap();
    assert_eq!(repo.tip().await.unwrap(), second);
    assert_eq!(repo.fetch(&second).await.unwrap().subject, "second");
    assert_eq!(repo.read(&second, paths(["a"])).await.unwrap(), [Some(b"2".to_vec())]);
    let other = GitSettings { reference: "mai".to_owned(), ..over_https(&server, None) };
    assert!(matches!(GitRepo::open(other).unwrap().tip().await, Err(RepoError::NoRef(_))));
}

/// Months of polls, in short: what is kept on disk and in the process does not grow with them.
#[tokio::test]
async fn disk_and_open_files_stay_bounded_over_thousands_of_polls() {
    const COMMITS: usize = 150;
    const POLLS_EACH: usize = 14;
    let origin = Repository::new();
    let commits: Vec<String> =
        (0..COMMITS).map(|n| origin.commit("more", &[("a", &n.to_string().repeat(999))])).collect();
    let cache = tempfile::tempdir().unwrap();
    let limits = GitLimits { packs: 10, ..GitLimits::default() };
    let repo = open_within(&origin, &cache, limits);
    let mut after_warming_up = (0, 0);
    for (number, commit) in commits.iter().enumerate() {
        origin.git(&["update-ref", "refs/heads/main", commit]);
        for _ in 0..POLLS_EACH {
            assert_eq!(repo.tip().await.unwrap().0, *commit);
        }
        let revision = Revision(commit.clone());
        repo.fetch(&revision).await.unwrap();
        repo.read(&revision, paths(["a"])).await.unwrap();
        let now = (disk_bytes(cache.path()), open_files());
        if number == 25 {
            after_warming_up = now;
        }
        if number > 25 {
            let (bytes, files) = after_warming_up;
            assert!(now.0 <= bytes * 3 / 2, "{} bytes at commit {number}, {bytes} at 25", now.0);
            assert!(now.1 <= files + 40, "{} open files at commit {number}, {files} at 25", now.1);
        }
    }
}

fn disk_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| if entry.path().is_dir() { disk_bytes(&entry.path()) } else { entry.metadata().unwrap().len() })
        .sum()
}

/// Returns how many files this process has open; other tests run beside this one. Nothing where that cannot be asked.
fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}
