//! Two people change two services; git merges what both have rendered.

#![expect(clippy::disallowed_methods, reason = "tests work on scratch folders")]

mod repository;

use repository::Repository;

/// A repository with `count` services in two environments, rendered and committed on the branch `main`.
fn committed(count: usize) -> Repository {
    let repository = Repository::example();
    for i in 0..count {
        let folder = format!("services/many{i:02}");
        repository.write(&format!("{folder}/config.yaml"), "image: nginx\nteam: t\n");
        repository.write(&format!("{folder}/version"), "1.0\n");
        repository.write(&format!("{folder}/staging/config.yaml"), "");
        repository.write(&format!("{folder}/production/config.yaml"), "");
    }
    repository.git(&["init", "--quiet", "--initial-branch", "main"]);
    repository.commit("start");
    repository
}

/// Makes the branches `one` and `other` of main, and stays on the latter.
fn branch(repository: &Repository, one: impl Fn(&Repository), other: impl Fn(&Repository)) {
    repository.git(&["checkout", "--quiet", "-b", "one"]);
    one(repository);
    repository.commit("one");
    repository.git(&["checkout", "--quiet", "-b", "other", "main"]);
    other(repository);
    repository.commit("other");
}

/// Makes two branches, merges them, and expects that `check` is content with what git made of it.
fn merge(repository: &Repository, one: impl Fn(&Repository), other: impl Fn(&Repository)) {
    branch(repository, one, other);
    repository.git(&["merge", "--quiet", "--no-edit", "one"]);
    let run = repository.run(&["check"]);
    assert_eq!((run.code, run.err.as_str()), (0, ""), "{}", run.out);
}

fn bump(service: &str) -> impl Fn(&Repository) {
    let path = format!("services/{service}/version");
    move |repository| {
        repository.write(&path, "2.0\n");
    }
}

#[test]
fn versions_of_two_services() {
    merge(&committed(10), bump("many02"), bump("many07"));
}

#[test]
fn versions_of_two_neighbours() {
    merge(&committed(10), bump("many04"), bump("many05"));
}

#[test]
fn a_new_service_and_a_removed_one() {
    let add = |repository: &Repository| {
        repository
            .write("services/many035/config.yaml", "image: nginx\nteam: t\n")
            .write("services/many035/version", "1\n");
        repository.write("services/many035/staging/config.yaml", "");
    };
    merge(&committed(10), add, |repository| {
        repository.remove("services/many07");
    });
}

#[test]
fn a_new_last_service_and_the_one_before_it() {
    let add = |repository: &Repository| {
        let config = "image: nginx\nteam: t\n";
        repository.write("services/zulu/config.yaml", config).write("services/zulu/version", "1\n");
        repository.write("services/zulu/staging/config.yaml", "");
    };
    merge(&committed(10), add, bump("many09"));
}

#[test]
fn a_version_and_a_dependency() {
    let depend = |repository: &Repository| {
        repository.write("services/many05/sync.yaml", "dependsOn: [many06]\n");
    };
    merge(&committed(10), bump("many02"), depend);
}

#[test]
fn after_a_conflict_rendering_repairs() {
    let repository = committed(3);
    repository.git(&["checkout", "--quiet", "-b", "one"]);
    repository.write("services/many01/version", "2.0\n").commit("one");
    repository.git(&["checkout", "--quiet", "-b", "other", "main"]);
    repository.write("services/many01/version", "3.0\n").commit("other");
    assert!(
        !repository.try_git(&["merge", "--quiet", "--no-edit", "one"]).status.success(),
        "the same line was changed"
    );

    let run = repository.run(&["render"]);
    assert_eq!(run.code, 2, "the version itself is in conflict: {}", run.err);
    repository.write("services/many01/version", "3.0\n").render();
    repository.git(&["add", "--all"]);
    repository.git(&["commit", "--quiet", "--no-edit"]);
    assert_eq!(repository.run(&["check"]).code, 0);
}

/// Merges the branch `one` into `other`, both made here, and expects a conflict.
fn conflict(repository: &Repository, one: impl Fn(&Repository), other: impl Fn(&Repository)) {
    branch(repository, one, other);
    let merged = repository.try_git(&["merge", "--quiet", "--no-edit", "one"]);
    assert!(!merged.status.success(), "git merged it by itself");
}

/// Renders once and commits; `_gen` must be what a fresh render of the merged sources gives.
fn repair(repository: &Repository) {
    let run = repository.run(&["render"]);
    assert_eq!((run.code, run.err.as_str()), (0, ""), "{}", run.out);
    repository.git(&["add", "--all"]);
    repository.git(&["commit", "--quiet", "--no-edit"]);
    assert_eq!(repository.run(&["check"]).code, 0);
    assert_eq!(repository.run(&["index", "verify"]).code, 0);
    let repaired = repository.generated();
    assert!(repaired.values().all(|text| !text.contains("<<<<<<<") && !text.contains(">>>>>>>")));
    repository.remove("_gen").render();
    assert_eq!(repository.generated(), repaired, "nothing is left of the merge");
    assert_eq!(repository.git(&["status", "--porcelain"]), "");
}

/// One branch sets a variable, the other the port; the sources merge, what they render to does not, nor does the index.
fn both_in_conflict() -> Repository {
    let repository = committed(3);
    let config = "image: nginx\nteam: t\n\n# Variables.\nenvironment:\n  A: one\n\n# More words,\n# so that the two changes\n# are far apart.\n\nresources:\n  memoryMiB: 50\n";
    repository.write("services/many01/config.yaml", config).commit("room");
    let set = |from: &'static str, to: &'static str, service: &'static str| {
        move |repository: &Repository| {
            repository.edit("services/many01/config.yaml", from, to);
            // A new service each, in the same place of the index.
            repository.write(&format!("services/{service}/config.yaml"), "image: nginx\nteam: t\n");
            repository
                .write(&format!("services/{service}/version"), "1\n")
                .write(&format!("services/{service}/staging/config.yaml"), "");
        }
    };
    conflict(
        &repository,
        set("A: one", "A: one\n  B: two", "new1"),
        set("image: nginx\nteam: t\n", "image: nginx\nteam: t\nfiles: {/etc/x: x}\n", "new2"),
    );
    repository
}

#[test]
fn markers_in_the_index_and_in_the_manifests() {
    let repository = both_in_conflict();
    let conflicts = repository.git(&["diff", "--name-only", "--diff-filter=U"]);
    assert!(!conflicts.contains("services/"), "the sources merged: {conflicts}");
    for path in ["_gen/staging/index.json", "_gen/staging/many01/resources.yaml"] {
        assert!(repository.read(path).contains("<<<<<<<"), "{path} has no markers; in conflict are {conflicts}");
    }
    assert_eq!(repository.run(&["check"]).code, 1);
    let diff = repository.run(&["diff"]);
    assert!(diff.code == 2 && diff.err.contains("also after a conflicting merge"), "{}", diff.err);
    let verify = repository.run(&["index", "verify"]);
    assert!(verify.code == 2 && verify.err.contains("_gen/staging/index.json:"), "{}", verify.err);
    repair(&repository);
}

#[test]
fn half_of_one_side_and_half_of_the_other() {
    let halves: [&[[&str; 2]]; 4] = [
        &[["--ours", "_gen/staging/index.json"], ["--theirs", "_gen/staging/many01/resources.yaml"]],
        &[["--theirs", "_gen/staging/index.json"], ["--ours", "_gen/staging/many01/resources.yaml"]],
        &[["--ours", "_gen"]],
        &[["--theirs", "_gen/staging"]],
    ];
    for half in halves {
        let repository = both_in_conflict();
        for [side, path] in half {
            repository.git(&["checkout", side, "--", path]);
            repository.git(&["add", path]);
        }
        assert_eq!(repository.run(&["check"]).code, 1, "{half:?}");
        repair(&repository);
    }
}

#[test]
fn a_service_that_one_side_removes_and_the_other_changes() {
    let repository = committed(3);
    let remove = |repository: &Repository| {
        repository.remove("services/many01");
    };
    let change = |repository: &Repository| {
        repository.write("services/many01/staging/config.yaml", "environment: {A: b}\n");
    };
    conflict(&repository, remove, change);
    assert!(repository.path("_gen/staging/many01/resources.yaml").exists(), "git left the changed file there");
    repository.git(&["rm", "-r", "--quiet", "--force", "services/many01"]);
    repair(&repository);
    assert!(!repository.path("_gen/staging/many01").exists());
}
