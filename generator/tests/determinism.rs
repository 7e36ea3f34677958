//! The same input gives the same bytes, whoever renders it, where, and with how many threads.

#![expect(clippy::disallowed_methods, reason = "tests work on scratch folders")]

mod charts;
mod repository;
mod request;

use std::collections::BTreeMap;

use generator::generate;
use generator::helm::{self, Options};
use rayon::prelude::*;
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

fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).stack_size(8 << 20);
    pool.build().expect("threads").install(work)
}

/// Every text of many releases of a chart that are rendered at once, or what is wrong.
fn rendered(case: &charts::Case) -> Vec<Result<Vec<(String, String)>, String>> {
    let said = |wrong| format!("{wrong:#?}");
    let chart = match helm::load(&case.tree, "chart").map_err(said) {
        Ok(chart) => chart,
        Err(wrong) => return vec![Err(wrong)],
    };
    let releases: Vec<_> = std::iter::repeat_n(&case.releases, 8).flatten().collect();
    let render = |files: &Vec<(String, String)>| {
        let request = request::request(&serde_json::Value::Null, files)?;
        let rendered = helm::render(&chart, &request, &Options::default()).map_err(said)?;
        Ok(rendered.crds.into_iter().chain(rendered.files).map(|file| (file.path, file.text)).collect())
    };
    releases.into_par_iter().map(render).collect()
}

#[test]
fn every_chart_renders_to_the_same_with_any_number_of_threads() {
    let (mut charts, mut texts) = (0, 0);
    for case in charts::recorded() {
        let one = on_threads(1, || rendered(&case));
        for threads in [2, 8] {
            assert_eq!(on_threads(threads, || rendered(&case)), one, "{} with {threads} threads", case.name);
        }
        charts += 1;
        texts += one.iter().flatten().map(Vec::len).sum::<usize>();
    }
    assert!(charts >= 60 && texts >= 500, "{charts} charts, {texts} texts");

    let tree = charts::generic();
    let generated = || generate(&tree).map(|made| (made.files(), made.warnings)).expect("nothing is wrong");
    let one = on_threads(1, generated);
    for threads in [2, 8] {
        assert_eq!(on_threads(threads, generated), one, "the chart of this project with {threads} threads");
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
    let run = Repository::new().run(&["check", "--full", "--root", project().to_str().expect("UTF-8")]);
    assert_eq!((run.code, run.err.as_str()), (0, ""), "{}", run.out);
}
