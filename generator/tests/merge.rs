//! Two people change two services; git merges what both have rendered.

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

/// Makes two branches, merges them, and expects that `check` is content with what git made of it.
fn merge(repository: &Repository, one: impl Fn(&Repository), other: impl Fn(&Repository)) {
    repository.git(&["checkout", "--quiet", "-b", "one"]);
    one(repository);
    repository.commit("one");
    repository.git(&["checkout", "--quiet", "-b", "other", "main"]);
    other(repository);
    repository.commit("other");
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
