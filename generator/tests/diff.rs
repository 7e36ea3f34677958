//! `generator diff`, on real repositories with real git.

mod repository;

use repository::Repository;

fn committed() -> Repository {
    let repository = Repository::example();
    repository.git(&["init", "--quiet", "--initial-branch", "main"]);
    repository.commit("start");
    repository
}

#[test]
fn against_the_disk_and_against_a_revision() {
    let repository = committed();
    let run = repository.run(&["diff"]);
    assert_eq!((run.code, run.out.as_str(), run.err.as_str()), (0, "no difference\n", ""));

    repository.edit("services/app1/config.yaml", "memoryMiB: 15", "memoryMiB: 16").edit(
        "services/app4/config.yaml",
        "maxReplicas: 2",
        "maxReplicas: 3",
    );
    let run = repository.run(&["diff"]);
    assert_eq!((run.code, run.err.as_str()), (1, ""));
    insta::assert_snapshot!("diff", run.out);
    assert_eq!(repository.run(&["diff", "--against", "HEAD"]), run);
    insta::assert_snapshot!(
        "diff-service",
        repository.run(&["diff", "--service", "app1", "--environment", "staging"]).out
    );

    repository.render();
    assert_eq!(repository.run(&["diff"]).code, 0, "_gen is current now");
    assert_eq!(repository.run(&["diff", "--against", "main"]), run, "and still differs from the commit");
    let markdown = repository.run(&["diff", "--against", "main", "--format", "markdown"]);
    assert_eq!(markdown.code, 1);
    insta::assert_snapshot!("diff-markdown", markdown.out);
    let json = repository.run(&["diff", "--against", "main", "--format", "json", "--service", "app4"]);
    insta::assert_snapshot!("diff-json", json.out);
    let colored = repository.run(&["diff", "--against", "main", "--color", "always"]);
    assert!(colored.out.contains("\x1b[32m"), "{}", colored.out);
    assert!(!run.out.contains('\x1b'), "no terminal, no colours");
}

#[test]
fn a_repository_below_the_top_of_gits_and_inside_a_hook() {
    let repository = Repository::new();
    let example = Repository::example();
    let inner = repository.path("platform");
    let copied = std::process::Command::new("cp").arg("-r").arg(example.root()).arg(&inner).status();
    assert!(copied.expect("cp starts").success());
    repository.git(&["init", "--quiet", "--initial-branch", "main"]);
    assert_eq!(repository.run(&["render", "--root", "platform"]).code, 0);
    repository.git(&["add", "--all"]);
    repository.git(&["commit", "--quiet", "--message", "start"]);
    let hook = [("GIT_DIR", "/nowhere"), ("GIT_INDEX_FILE", "/nowhere/index")];
    let run = repository.run_with(&["diff", "--root", "platform", "--against", "HEAD"], &hook);
    assert_eq!((run.code, run.out.as_str(), run.err.as_str()), (0, "no difference\n", ""));
    repository.edit("platform/services/app1/version", "1.19.2-alpine", "1.20");
    let run = repository.run_with(&["diff", "--root", "platform", "--against", "HEAD"], &hook);
    assert!(run.code == 1 && run.out.contains("image"), "{run:?}");
}

#[test]
fn a_service_that_is_renamed_keeps_what_keeps_its_name() {
    let repository = committed();
    // The objects of a chart that names them itself move with the service.
    repository.write("charts/fixed/Chart.yaml", "apiVersion: v2\nname: fixed\nversion: 1.0.0\n");
    repository.write("charts/fixed/templates/c.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shared, namespace: all}\ndata: {v: {{ .Values.tag | quote }}}\n");
    repository.write("services/one/chart", "fixed\n").write("services/one/version", "1\n");
    repository.write("services/one/config.yaml", "").write("services/one/staging/config.yaml", "");
    repository.commit("fixed");
    repository.git(&["mv", "services/one", "services/two"]);
    let run = repository.run(&["diff", "--service", "two"]);
    assert!(run.out.contains("> ConfigMap all/shared (moved here from service one)"), "{}", run.out);
    assert!(run.out.ends_with("objects: 1 moved\n"), "{}", run.out);
}

#[test]
fn one_mistake_of_each_kind() {
    let repository = committed();
    let refused = |arguments: &[&str], code: i32, words: &str| {
        let run = repository.run(arguments);
        assert_eq!((run.code, run.out.as_str()), (code, ""), "{arguments:?} {}", run.err);
        assert!(run.err.contains(words), "{arguments:?}: {}", run.err);
    };
    refused(&["diff", "--against", "nowhere"], 3, "git knows no revision `nowhere`");
    refused(&["diff", "--against", "--all"], 2, "unexpected argument '--all'");
    refused(&["diff", "--against=--all"], 3, "git knows no revision `--all`");
    refused(&["diff", "--service", "app0"], 2, "did you mean `app1`?");
    refused(&["diff", "--environment", "stagign"], 2, "did you mean `staging`?");
    refused(&["check", "--format", "markdown"], 2, "only `diff` has the format `markdown`");
    repository.write("_gen/staging/index.json", "<<<<<<< HEAD\n");
    refused(&["diff"], 2, "the index on the disk cannot be read");
    repository.render();
    repository.edit("services/app1/config.yaml", "image: nginx", "imgae: nginx");
    refused(&["diff"], 2, "imgae");
    let elsewhere = Repository::example();
    let run = elsewhere.run(&["diff", "--against", "HEAD"]);
    assert!(run.code == 3 && run.err.contains("not a git repository"), "{run:?}");
}

#[test]
fn what_is_wrong_in_the_words_of_code_hosts() {
    let repository = committed();
    repository.edit("services/app1/config.yaml", "image: nginx", "image: nginx\nimage: caddy");
    for format in ["sarif", "github"] {
        let run = repository.run(&["validate", "--format", format]);
        assert_eq!((run.code, run.err.as_str()), (2, ""));
        insta::assert_snapshot!(format!("refused-{format}"), run.out);
    }
    repository.edit("services/app1/config.yaml", "image: nginx\nimage: caddy", "image: caddy");
    let run = repository.run(&["check", "--format", "github"]);
    assert_eq!(run.code, 1);
    insta::assert_snapshot!("stale-github", run.out);
    let run = repository.run(&["validate"]);
    assert_eq!((run.code, run.out.as_str()), (0, "2 environments, 4 services, 24 objects; nothing is wrong\n"));
}
