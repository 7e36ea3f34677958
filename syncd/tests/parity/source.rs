//! A source that cannot be followed: the last good revision stays in force, with a reason, and nothing is asked of the cluster that writes.

use serde_json::Value;

use crate::git_repository::Repository;
use crate::world::{World, service};

/// What one run of the real program came to.
async fn once(world: &mut World, repository: &Repository, arguments: &[&str]) -> Value {
    let report = world.once(repository, arguments).await;
    let result = report["result"].as_str().unwrap();
    let revision = report["revision"].as_str().unwrap_or("no revision");
    world.transcript.line(&format!("report: {result} at {revision}"));
    for error in report["errors"].as_array().unwrap() {
        let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        world.transcript.line(&format!("  {}: {}", text("stage"), text("message")));
    }
    world.look().await;
    report
}

fn push(world: &mut World, repository: &Repository, content: &str) -> String {
    let objects = [world.config_map("a", content)];
    world.push(repository, &[service("app1", &objects)])
}

pub async fn a_source_that_fails_holds_the_last_good_revision(world: &mut World) {
    let repository = Repository::new();
    world.transcript.call(repository.path().display().to_string(), "<repository>");
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let cached = ["--cache-dir", cache.to_str().unwrap()];
    world.title("a good revision");
    let good = push(world, &repository, "1");
    once(world, &repository, &[]).await;

    world.title("nobody vouches for the next one");
    let unsigned = push(world, &repository, "2");
    let signers = folder.path().join("signers");
    std::fs::write(&signers, "").unwrap();
    once(world, &repository, &["--allowed-signers-file", signers.to_str().unwrap()]).await;

    world.title("the history is rewritten");
    repository.git(&["reset", "--quiet", "--hard", &good]);
    repository.git(&["commit", "--quiet", "--amend", "--message", "rewritten"]);
    let rewritten = push(world, &repository, "3");
    once(world, &repository, &[]).await;
    world.title("another revision is accepted, which changes nothing; then this one");
    once(world, &repository, &["--accept-revision", &unsigned]).await;
    world.approve(&rewritten).await;
    once(world, &repository, &cached).await;

    world.title("the repository is gone");
    let (git, away) = (repository.path().join(".git"), repository.path().join("away"));
    std::fs::rename(&git, &away).unwrap();
    once(world, &repository, &cached).await;
    world.title("a new machine knows what is recorded, and cannot read it");
    once(world, &repository, &[]).await;
    std::fs::rename(&away, &git).unwrap();

    world.title("half of it is there again: the commit, without the file that it names");
    let tip = push(world, &repository, "4");
    let blob = repository.git(&["rev-parse", &format!("{tip}:_gen/{}/app1/resources.yaml", world.name)]);
    let object = git.join("objects").join(&blob[..2]).join(&blob[2..]);
    std::fs::rename(&object, folder.path().join("object")).unwrap();
    once(world, &repository, &cached).await;
    world.title("all of it");
    std::fs::rename(folder.path().join("object"), &object).unwrap();
    once(world, &repository, &cached).await;
}
