//! The smaller commands, on real repositories: `index verify`, `rbac`, `new`, `hook`, `completions`, and what all of them have in common.

#![expect(clippy::disallowed_methods, reason = "tests work on scratch folders")]

mod repository;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use repository::{Repository, Run};

fn ok(run: &Run) -> &str {
    assert_eq!((run.code, run.err.as_str()), (0, ""), "{}", run.out);
    &run.out
}

fn refused(repository: &Repository, arguments: &[&str], code: i32, words: &str) {
    let run = repository.run(arguments);
    assert_eq!((run.code, run.out.as_str()), (code, ""), "{arguments:?}: {}", run.err);
    assert!(run.err.contains(words), "{arguments:?}: {}", run.err);
}

#[test]
fn an_index_is_verified_without_the_sources() {
    let repository = Repository::example();
    refused(&repository, &["index", "verify"], 2, "there is no environment in _gen");
    repository.render();
    repository.remove("services").remove("charts").remove("generator.yaml");
    let verify = ["index", "verify"];
    assert_eq!(
        ok(&repository.run(&verify)),
        "environments: 2, services: 4, objects: 24; _gen is what its indexes say\n"
    );

    let app1 = repository.read("_gen/staging/app1/resources.yaml");
    let index = repository.read("_gen/staging/index.json");
    repository.write("_gen/staging/app1/resources.yaml", app1.replace("nginx", "caddy"));
    refused(&repository, &verify, 1, "error[hash-mismatch]");
    assert_eq!(repository.run(&["index", "verify", "--environment", "production"]).code, 0);
    repository.write("_gen/staging/app1/resources.yaml", app1.rsplit_once("---\n").expect("several objects").0);
    refused(&repository, &verify, 1, "but the index says");
    repository.write("_gen/staging/app1/resources.yaml", &app1);
    repository.write("_gen/staging/app4/resources.yaml", &app1);
    refused(&repository, &verify, 1, "error[duplicate-object]");
    repository.remove("_gen/staging/app4/resources.yaml");
    refused(&repository, &verify, 1, "error[missing-file]");
    repository.write("_gen/staging/index.json", index.replace("\n  ", "\n    "));
    refused(&repository, &verify, 1, "error[not-canonical]");
    repository.write("_gen/staging/index.json", index.replace("\"format\": 1", "\"format\": 2"));
    refused(&repository, &verify, 2, "index format 2 is unknown");
    repository.write("_gen/staging/index.json", format!("<<<<<<< HEAD\n{index}"));
    refused(&repository, &verify, 2, "_gen/staging/index.json:1:1");
    repository.remove("_gen/staging/index.json");
    refused(&repository, &verify, 2, "_gen/staging has no index.json");
    repository.remove("_gen/staging");
    assert_eq!(repository.run(&verify).code, 0);
    repository.write("_gen/production/app9/resources.yaml", "").write("_gen/production/notes.txt", "");
    symlink("nowhere", repository.path("_gen/production/link")).expect("a link");
    let run = repository.run(&verify);
    assert_eq!((run.code, run.err.matches("error[stray-file]").count()), (1, 3), "{}", run.err);
    refused(&repository, &["index", "verify", "--environment", "producton"], 2, "did you mean `production`?");
    let json = repository.run(&["index", "verify", "--format", "json"]);
    assert!(json.code == 1 && json.out.contains("\"code\": \"stray-file\""), "{}", json.out);
}

#[test]
fn roles_for_what_an_environment_has() {
    let repository = Repository::example();
    refused(&repository, &["rbac", "--environment", "staging"], 2, "there is no environment `staging` in _gen");
    repository.git(&["init", "--quiet", "--initial-branch", "main"]);
    repository.commit("start");
    let run =
        repository.run(&["rbac", "--environment", "staging", "--namespace", "gitops", "--service-account", "bot"]);
    let kinds = |text: &str| {
        let lines = text.lines().filter(|line| line.starts_with("  - ") || line.starts_with("  name"));
        lines
            .map(str::trim)
            .filter(|line| line.starts_with("- ") && !line.ends_with('"'))
            .map(str::to_owned)
            .collect::<std::collections::BTreeSet<_>>()
    };
    let found = kinds(ok(&run));
    for kind in [
        "- deployments",
        "- services",
        "- configmaps",
        "- secrets",
        "- serviceaccounts",
        "- horizontalpodautoscalers",
        "- leases",
    ] {
        assert!(found.contains(kind), "{kind} is not among {found:?}");
    }
    assert!(!found.contains("- ingresses") && !found.contains("- cronjobs"), "{found:?}");
    assert!(run.out.contains("name: bot\n  namespace: gitops\n") && !run.out.contains('*'), "{}", run.out);
    assert_eq!(
        repository.run(&["rbac", "--environment", "staging", "--namespace", "gitops", "--service-account", "bot"]),
        run,
        "the same once more"
    );

    repository.remove("services/app1/staging").remove("services/app4");
    repository.render();
    let now = repository.run(&["rbac", "--environment", "staging"]);
    assert!(!ok(&now).contains("deployments"), "{}", now.out);
    let since = repository.run(&["rbac", "--environment", "staging", "--since", "main"]);
    assert!(ok(&since).contains("- deployments"), "{}", since.out);
    refused(&repository, &["rbac", "--environment", "staging", "--since", "nowhere"], 3, "git knows no revision");
    refused(&repository, &["rbac"], 2, "--environment <ENV>");
}

#[test]
fn a_new_service_renders_as_it_is() {
    let repository = Repository::example();
    repository.render();
    let run =
        repository.run(&["new", "service", "shop", "--set", "team=c-team", "--set", "httpService.internalPort=3000"]);
    insta::assert_snapshot!(
        "new-service",
        format!("{}\n-- services/shop/config.yaml --\n{}", ok(&run), repository.read("services/shop/config.yaml"))
    );
    repository.render();
    assert_eq!(repository.run(&["check"]).code, 0);
    assert!(repository.read("_gen/production/shop/resources.yaml").contains("containerPort: 3000"));

    let before = repository.read("services/shop/config.yaml");
    refused(&repository, &["new", "service", "shop"], 2, "there is a service `shop` already");
    assert_eq!(repository.read("services/shop/config.yaml"), before);
    refused(&repository, &["new", "service", "Shop"], 2, "`Shop` is not a valid service name");
    refused(&repository, &["new", "service", "a", "--chart", "genric"], 2, "did you mean `generic`?");
    refused(&repository, &["new", "service", "a", "--environment", "stagign"], 2, "did you mean `staging`?");
    refused(&repository, &["new", "service", "a", "--set", "image"], 2, "there is no `=` in it");
    refused(&repository, &["new", "service", "a", "--set", "image=[", "--set", "a..b=1"], 2, "is not YAML");
    refused(
        &repository,
        &["new", "service", "a", "--set", "image=x", "--set", "image.tag=1"],
        2,
        "below a value that is no map",
    );
    refused(&repository, &["new", "service", "a", "--set", "scalability.replicas=no"], 2, "nothing was written");
    assert!(!repository.path("services/a").exists());
}

#[test]
fn a_new_service_of_any_chart() {
    let repository = Repository::example();
    repository.write("charts/other/Chart.yaml", "apiVersion: v2\nname: other\nversion: 1.0.0\n");
    repository.write("charts/other/values.yaml", "owner: {name: '', mail: ''}\nport: 1\nneeded: null\n");
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  owner: {{ required \"who?\" .Values.owner.name }}\n  needed: {{ required \"what?\" .Values.needed }}\n";
    repository.write("charts/other/templates/c.yaml", template);
    let run =
        repository.run(&["new", "service", "odd", "--chart", "other", "--environment", "staging", "--version", "7"]);
    insta::assert_snapshot!(
        "new-service-other",
        format!("{}\n-- services/odd/config.yaml --\n{}", ok(&run), repository.read("services/odd/config.yaml"))
    );
    repository.render();
    assert_eq!(repository.run(&["check"]).code, 0);
    // What no text can mend is refused, with the diagnostics of a render.
    repository.write("charts/other/templates/d.yaml", "{{ fail \"never\" }}");
    refused(&repository, &["new", "service", "odder", "--chart", "other"], 2, "never");
    assert!(!repository.path("services/odder").exists());
}

#[test]
fn a_new_environment_like_another_or_empty() {
    let repository = Repository::example();
    repository.write("services/_defaults/staging/config.yaml", "labels: {kind: test}\n");
    let text = repository.read("generator.yaml");
    repository.write(
        "generator.yaml",
        text.replace("staging: {}", "staging: # of the platform team\n    kubernetesVersion: \"1.34\""),
    );
    repository.render();
    let run = repository.run(&["new", "env", "qa", "--from", "staging"]);
    insta::assert_snapshot!(
        "new-env",
        format!("{}\n-- generator.yaml --\n{}", ok(&run), repository.read("generator.yaml"))
    );
    repository.render();
    assert_eq!(repository.run(&["check"]).code, 0);
    assert!(repository.read("_gen/qa/app1/resources.yaml").contains("kind: test"));
    assert_eq!(ok(&repository.run(&["new", "env", "zoo"])).lines().next(), Some("changed  generator.yaml"));
    repository.render();
    assert!(repository.read("_gen/zoo/index.json").contains("\"services\": {}"));

    refused(&repository, &["new", "env", "qa"], 2, "there is an environment `qa` already");
    refused(&repository, &["new", "env", "q_a"], 2, "`q_a` is not a valid environment name");
    refused(&repository, &["new", "env", "b", "--from", "stagign"], 2, "did you mean `staging`?");
    repository.edit("services/app1/config.yaml", "image:", "image: [");
    refused(&repository, &["new", "env", "b", "--from", "staging"], 2, "services/app1/config.yaml");
}

#[test]
fn environments_are_listed_in_every_form_of_the_file() {
    let cases = [
        ("", "environments:\n  new: {}\n  production: {}\n  staging: {}\n"),
        (
            "# Words.\nkubernetesVersion: \"1.33\"",
            "# Words.\nkubernetesVersion: \"1.33\"\nenvironments:\n  new: {}\n  production: {}\n  staging: {}\n",
        ),
        ("environments: {production: {}, staging: {}}\n", "environments: {new: {}, production: {}, staging: {}}\n"),
        (
            "environments:\n  # First.\n  production:\n  staging: {}\n",
            "environments:\n  # First.\n  new: {}\n  production:\n  staging: {}\n",
        ),
        (
            "environments: {production: {}, staging: {}} # one line\n",
            "environments: {new: {}, production: {}, staging: {}} # one line\n",
        ),
    ];
    for (before, after) in cases {
        let repository = Repository::example();
        repository.write("generator.yaml", before);
        ok(&repository.run(&["new", "env", "new"]));
        assert_eq!(repository.read("generator.yaml"), after);
    }
    let repository = Repository::example();
    repository.write("generator.yaml", "kubernetesVersion: \"1.33\"\n...\n");
    refused(&repository, &["new", "env", "new"], 2, "by hand");
}

#[test]
fn the_hook_checks_what_is_committed() {
    let repository = Repository::example();
    refused(&repository, &["hook", "install"], 3, "not a git repository");
    repository.git(&["init", "--quiet", "--initial-branch", "main"]);
    repository.commit("start");
    let generator = env!("CARGO_BIN_EXE_generator");
    let install = ["hook", "install", "--command", generator];
    assert!(ok(&repository.run(&install)).ends_with(".git/hooks/pre-commit checks _gen before every commit\n"));
    assert!(ok(&repository.run(&install)).ends_with("checks _gen already\n"));

    let commit = || {
        repository.git(&["add", "--all"]);
        repository.try_git(&["commit", "--quiet", "--message", "change"]).status.success()
    };
    repository.edit("services/app1/version", "1.19.2-alpine", "1.20");
    assert!(!commit(), "_gen is not current");
    repository.render();
    repository.git(&["add", "services"]);
    assert!(
        !repository.try_git(&["commit", "--quiet", "--message", "half"]).status.success()
            || repository.git(&["status", "--porcelain"]).is_empty(),
        "_gen is not staged"
    );
    assert!(commit(), "both are");
    repository.write("README.md", "Words.\n");
    repository.edit("services/app1/version", "1.20", "1.21");
    repository.git(&["add", "README.md"]);
    assert!(
        repository.try_git(&["commit", "--quiet", "--message", "words"]).status.success(),
        "a commit of something else is not held up"
    );

    assert!(ok(&repository.run(&["hook", "install", "--uninstall"])).ends_with("does not check _gen any more\n"));
    assert!(!repository.path(".git/hooks/pre-commit").exists());
    assert!(commit(), "nothing checks");
}

#[test]
fn a_hook_that_is_there_goes_on_and_the_folder_is_the_configured_one() {
    let repository = Repository::example();
    repository.git(&["init", "--quiet", "--initial-branch", "main"]);
    repository.git(&["config", "core.hooksPath", "my hooks"]);
    let path = "my hooks/pre-commit";
    let theirs = "#!/bin/sh\ntouch theirs-ran\nexit 0\n";
    repository.write(path, theirs);
    ok(&repository.run(&["hook", "install", "--command", env!("CARGO_BIN_EXE_generator")]));
    let mode = fs::metadata(repository.path(path)).expect("the hook").permissions().mode();
    assert_eq!(mode & 0o111, 0o111, "it can be run");
    repository.render();
    repository.git(&["add", "services", "charts", "generator.yaml", "_gen"]);
    repository.git(&["commit", "--quiet", "--message", "start"]);
    assert!(repository.path("theirs-ran").exists());
    ok(&repository.run(&["hook", "install", "--uninstall"]));
    assert_eq!(repository.read(path), theirs);
    repository.write(path, "#!/usr/bin/env python3\n");
    refused(&repository, &["hook", "install"], 2, "no shell script");
    assert_eq!(repository.read(path), "#!/usr/bin/env python3\n");
}

#[test]
fn completions_know_every_command() {
    let repository = Repository::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let run = repository.run(&["completions", shell]);
        for word in ["render", "diff", "explain", "against"] {
            assert!(ok(&run).contains(word), "{shell} does not know {word}");
        }
    }
    refused(&repository, &["completions", "csh"], 2, "possible values: bash");
}
