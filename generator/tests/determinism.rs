//! The same input gives the same bytes, whoever renders it, where, and with how many threads.

#![expect(clippy::disallowed_methods, reason = "tests work on scratch folders")]

mod repository;

use std::collections::BTreeMap;

use repository::{Repository, project};

/// The example, grown by enough services that threads have something to race for.
fn many() -> Repository {
    let repository = Repository::example();
    repository.write("generator.yaml", "kubernetesVersion: '1.33'\napiVersions: [monitoring.coreos.com/v1]\n");
    for i in 0..40 {
        let folder = format!("services/many{i}");
        let config = format!("image: nginx\nteam: t\nenvironment: {{b: '{i}', a: 1000000, c: [1, {{x: true}}]}}\n");
        repository.write(&format!("{folder}/config.yaml"), config);
        repository.write(&format!("{folder}/version"), format!("1.{i}\n"));
        for environment in ["staging", "production"] {
            repository.write(&format!("{folder}/{environment}/config.yaml"), "metrics: {enable: true}\n");
        }
    }
    repository
}

#[test]
fn neither_place_nor_locale_nor_threads_reach_an_output() {
    let mut all: Vec<BTreeMap<String, String>> = Vec::new();
    let settings: [(&str, [(&str, &str); 5]); 4] = [
        ("1", [("TZ", "UTC"), ("LANG", "C"), ("LC_ALL", "C"), ("HOME", "/"), ("USER", "root")]),
        (
            "8",
            [
                ("TZ", "Asia/Kathmandu"),
                ("LANG", "tr_TR.UTF-8"),
                ("LC_ALL", "tr_TR.UTF-8"),
                ("HOME", "/nowhere"),
                ("USER", "x"),
            ],
        ),
        ("2", [("TZ", "America/St_Johns"), ("LANG", "de_DE.UTF-8"), ("LC_ALL", ""), ("HOME", ""), ("USER", "y")]),
        ("3", [("TZ", ""), ("LANG", ""), ("LC_ALL", ""), ("HOME", ""), ("USER", "")]),
    ];
    for (threads, environment) in settings {
        let repository = many();
        let run = repository.run_with(&["render", "--threads", threads], &environment);
        assert_eq!((run.code, run.err.as_str()), (0, ""));
        all.push(repository.generated());
    }
    assert_eq!(all[0].len(), 86, "4 and 80 services, 2 indexes");
    for other in &all[1..] {
        assert_eq!(&all[0], other);
    }
}

#[test]
fn diagnostics_do_not_depend_on_threads_either() {
    let repository = many();
    for i in 0..40 {
        repository.write(&format!("services/many{i}/staging/config.yaml"), "team: ''\n");
    }
    let one = repository.run(&["render", "--threads", "1"]);
    assert_eq!(one.code, 2);
    assert_eq!(one, repository.run(&["render", "--threads", "8"]));
}

#[test]
fn rendering_again_touches_nothing() {
    let repository = many();
    repository.render();
    let stamp = |path: &str| std::fs::metadata(repository.path(path)).and_then(|file| file.modified()).expect("a file");
    let path = "_gen/staging/app1/resources.yaml";
    let before = (stamp("_gen"), stamp(path));
    assert_eq!(repository.render(), "2 environments, 84 services, 584 objects; 0 files written, 86 unchanged\n");
    assert_eq!((stamp("_gen"), stamp(path)), before);

    repository.write("services/many1/version", "2.0\n");
    assert_eq!(repository.render(), "2 environments, 84 services, 584 objects; 4 files written, 82 unchanged\n");
    assert_eq!(stamp(path), before.1, "what did not change is the same file");
}

#[test]
fn what_this_repository_keeps_is_current() {
    let run = Repository::new().run(&["check", "--root", project().to_str().expect("UTF-8")]);
    assert_eq!((run.code, run.err.as_str()), (0, ""), "{}", run.out);
}
