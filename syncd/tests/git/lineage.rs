//! How a commit stands to an earlier one, found out from shallow copies.

use syncd::git::{GitLimits, GitRepo, GitSettings};
use syncd::repo::{Lineage, Repo, RepoError, Revision};

use crate::git_repository::Repository;
use crate::{copies, settings};

fn empty_commits(origin: &Repository, number: usize) -> Revision {
    for _ in 0..number {
        origin.git(&["commit", "--quiet", "--allow-empty", "--message", "more"]);
    }
    Revision(origin.tip())
}

fn opened(origin: &Repository, cache: &tempfile::TempDir, generations: usize) -> GitRepo {
    let limits = GitLimits { generations, ..GitLimits::default() };
    GitRepo::open(GitSettings { limits, cache: Some(cache.path().to_owned()), ..settings(&origin.url()) }).unwrap()
}

fn packs(cache: &tempfile::TempDir) -> usize {
    let [copy] = &copies(cache.path())[..] else { panic!("one copy") };
    let files = std::fs::read_dir(copy.join("objects/pack")).unwrap();
    files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|e| e == "pack")).count()
}

#[tokio::test]
async fn one_commit_or_one_merge_is_proved_by_the_tip_alone() {
    let origin = Repository::new();
    let cache = tempfile::tempdir().unwrap();
    let repo = opened(&origin, &cache, 1_000);
    let first = Revision(origin.commit("first", &[("a", "1")]));
    repo.fetch(&first).await.unwrap();
    let second = Revision(origin.commit("second", &[("a", "2")]));
    repo.fetch(&second).await.unwrap();
    assert_eq!(repo.lineage(&second, &first).await, Ok(Lineage::Descends));
    assert_eq!(repo.lineage(&second, &second).await, Ok(Lineage::Descends));

    origin.git(&["checkout", "--quiet", "-b", "feature", &first.0]);
    origin.commit("far", &[("b", "1")]);
    empty_commits(&origin, 5);
    origin.git(&["checkout", "--quiet", "main"]);
    origin.git(&["merge", "--quiet", "--no-ff", "--message", "merged", "feature"]);
    let merged = Revision(origin.tip());
    repo.fetch(&merged).await.unwrap();
    let before = packs(&cache);
    assert_eq!(repo.lineage(&merged, &second).await, Ok(Lineage::Descends));
    assert_eq!(packs(&cache), before, "nothing more was fetched");
}

#[tokio::test]
async fn many_commits_at_once_are_proved_by_fetching_what_lies_between() {
    let origin = Repository::new();
    let cache = tempfile::tempdir().unwrap();
    let repo = opened(&origin, &cache, 1_000);
    let first = Revision(origin.commit("first", &[("a", "1")]));
    empty_commits(&origin, 3);
    repo.fetch(&first).await.unwrap();
    for (number, fetches) in [(10, 1), (40, 2)] {
        let before = Revision(origin.tip());
        let tip = empty_commits(&origin, number);
        repo.fetch(&tip).await.unwrap();
        let at_tip = packs(&cache);
        assert_eq!(repo.lineage(&tip, &before).await, Ok(Lineage::Descends), "{number}");
        assert!(packs(&cache) - at_tip <= fetches, "{number}");
        // The shallow tip is still what the next fetch builds on.
        assert_eq!(repo.tip().await.unwrap(), tip);
    }
}

#[tokio::test]
async fn a_rewritten_history_is_recognised() {
    let origin = Repository::new();
    let cache = tempfile::tempdir().unwrap();
    let repo = opened(&origin, &cache, 1_000);
    let root = Revision(origin.commit("root", &[("a", "0")]));
    let first = Revision(origin.commit("first", &[("a", "1")]));
    repo.fetch(&first).await.unwrap();
    origin.git(&["commit", "--quiet", "--amend", "--message", "first, amended"]);
    let amended = Revision(origin.tip());
    repo.fetch(&amended).await.unwrap();
    assert_eq!(repo.lineage(&amended, &first).await, Ok(Lineage::Rewritten));
    assert_eq!(repo.lineage(&amended, &root).await, Ok(Lineage::Descends));
    let again = packs(&cache);
    assert_eq!(repo.lineage(&amended, &first).await, Ok(Lineage::Rewritten));
    origin.git(&["reset", "--quiet", "--hard", &root.0]);
    assert_eq!(repo.tip().await.unwrap(), root);
    repo.fetch(&root).await.unwrap();
    assert_eq!(repo.lineage(&root, &amended).await, Ok(Lineage::Rewritten), "going back is a rewriting too");
    origin.git(&["checkout", "--quiet", "--orphan", "other"]);
    origin.commit("another beginning", &[("a", "9")]);
    origin.git(&["branch", "--force", "main", "other"]);
    let other = Revision(origin.tip());
    repo.fetch(&other).await.unwrap();
    assert_eq!(repo.lineage(&other, &first).await, Ok(Lineage::Rewritten));
    assert!(packs(&cache) - again <= 3);
}

#[tokio::test]
async fn what_lies_too_far_back_is_not_proved_and_not_asked_for_again() {
    let origin = Repository::new();
    let cache = tempfile::tempdir().unwrap();
    let repo = opened(&origin, &cache, 20);
    let first = Revision(origin.commit("first", &[("a", "1")]));
    repo.fetch(&first).await.unwrap();
    let near = empty_commits(&origin, 10);
    let tip = empty_commits(&origin, 20);
    repo.fetch(&tip).await.unwrap();
    let far = Ok(Lineage::Unproven { generations: 20 });
    assert_eq!(repo.lineage(&tip, &first).await, far);
    std::fs::rename(origin.path().join(".git"), origin.path().join("gone")).unwrap();
    assert_eq!(repo.lineage(&tip, &first).await, far, "known without asking");
    assert_eq!(repo.lineage(&tip, &near).await, Ok(Lineage::Descends), "what was fetched is enough");
    let unknown = Revision("1".repeat(40));
    assert!(repo.lineage(&tip, &unknown).await.is_err(), "the server is asked, and does not answer");
    assert!(matches!(repo.lineage(&unknown, &tip).await, Err(RepoError::Local(_))));
}
