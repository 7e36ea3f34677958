//! Mistakes that people make, one repository a file in `tests/mistakes/`, and what the generator says to each.
//!
//! A case is `tests/mistakes/good.txt` with some files replaced and others removed; its snapshot holds every diagnostic. That nothing is
//! written is asserted for all of them. What a text file cannot hold - links, pipes, bytes that are no text - is below.

#![expect(clippy::disallowed_methods, reason = "tests work on scratch folders")]

mod repository;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use repository::{Repository, Run};

#[test]
fn each_is_said_and_nothing_is_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes");
    let mut names: Vec<String> = fs::read_dir(&folder)
        .expect("the folder of cases")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .filter_map(|name| name.strip_suffix(".txt").map(str::to_owned))
        .filter(|name| name != "good")
        .collect();
    names.sort();
    // One mismatch does not hide the others.
    let failed: Vec<&String> =
        names.iter().filter(|name| std::panic::catch_unwind(|| assert_case(&folder, name)).is_err()).collect();
    assert!(failed.is_empty(), "failed cases: {failed:?}");
    assert!(names.len() >= 90, "{} cases were found", names.len());
}

fn assert_case(folder: &Path, name: &str) {
    let repository = good();
    let about = apply(&repository, &fs::read_to_string(folder.join(format!("{name}.txt"))).expect("a case"));
    let run = repository.run(&["render"]);
    assert_refused(&repository, &run, name);
    let check = repository.run(&["check"]);
    assert_eq!((check.code, &check.err), (2, &run.err), "{name}: check says what render says");
    insta::with_settings!({ description => about, omit_expression => true, snapshot_path => "mistakes", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, run.err);
    });
}

#[test]
fn the_good_case_is_good() {
    let good = good();
    let run = good.run(&["render"]);
    assert_eq!(
        (run.code, run.out.as_str()),
        (0, "1 environment, 1 service, 1 object; 2 files written, 0 unchanged\n"),
        "{}",
        run.err
    );
}

#[test]
fn links_are_followed_within_the_repository_and_nowhere_else() {
    let repository = good();
    let outside = tempfile::TempDir::new().expect("a scratch folder");
    fs::write(outside.path().join("config.yaml"), "image: other\n").expect("written");
    for service in ["shared", "out", "nowhere", "loop", "output"] {
        repository.write(&format!("services/{service}/version"), "1.0.0\n");
        repository.write(&format!("services/{service}/staging/config.yaml"), "");
    }
    link("../web/config.yaml", &repository.path("services/shared/config.yaml"));
    link(outside.path().join("config.yaml"), &repository.path("services/out/config.yaml"));
    link("missing.yaml", &repository.path("services/nowhere/config.yaml"));
    repository.write("services/loop/config.yaml", "");
    link("..", &repository.path("services/loop/staging/up"));
    link("../../_gen/x", &repository.path("services/output/config.yaml"));
    fs::create_dir_all(repository.path("_gen/x")).expect("a folder");
    let run = repository.run(&["render"]);
    assert_eq!((run.code, run.out.as_str()), (2, ""));
    insta::assert_snapshot!(run.err);
}

#[test]
fn what_is_no_text_file_is_refused_by_name() {
    let repository = good();
    repository.write("services/web/staging/config.yaml", b"image: ngin\xff\n");
    repository.write("charts/generic/big.txt", vec![b'x'; (5 << 20) + 1]);
    let pipe = std::process::Command::new("mkfifo").arg(repository.path("services/web/pipe")).status();
    assert!(pipe.expect("mkfifo starts").success());
    fs::write(repository.path("services/web").join(OsStr::from_bytes(b"\xfe")), "").expect("written");
    fs::write(repository.path("services/web").join("new\nline"), "").expect("written");
    repository.write(&format!("charts/generic/{}file", "deep/".repeat(40)), "");
    let run = repository.run(&["render"]);
    assert_refused(&repository, &run, "no text files");
    insta::assert_snapshot!(run.err);
}

#[test]
fn an_empty_folder_is_not_passed_over() {
    let repository = good();
    fs::create_dir_all(repository.path("services/api/staging")).expect("folders");
    fs::create_dir_all(repository.path("services/nobody")).expect("a folder");
    let run = repository.run(&["render"]);
    assert_refused(&repository, &run, "empty folders");
    let faults: Vec<&str> =
        run.err.lines().filter(|line| line.contains("at services/") || line.contains("[empty-folder]")).collect();
    assert_eq!(faults.len(), 4, "{}", run.err);
    assert!(run.err.contains("at services/api/staging") && run.err.contains("at services/nobody"), "{}", run.err);
}

#[test]
fn a_generated_folder_that_is_a_link_is_not_written_through() {
    let repository = good();
    let elsewhere = tempfile::TempDir::new().expect("a scratch folder");
    link(elsewhere.path(), &repository.path("_gen"));
    let run = repository.run(&["render"]);
    assert_eq!((run.code, run.out.as_str()), (3, ""));
    assert!(run.err.ends_with("_gen is not a folder\n"), "{}", run.err);
    assert_eq!(fs::read_dir(elsewhere.path()).expect("the folder").count(), 0);
}

#[test]
fn the_command_line_has_mistakes_too() {
    let repository = good();
    for arguments in [&["rendr"][..], &["render", "--threads", "0"], &["render", "--nope"], &[]] {
        let run = repository.run(arguments);
        assert_eq!(run.code, 2, "{arguments:?}: {}", run.err);
    }
    let run = repository.run(&["render", "--root", "missing"]);
    assert_eq!(run.code, 3, "{}", run.err);
    assert!(run.err.starts_with("error: cannot open missing: "), "{}", run.err);
    assert!(repository.generated().is_empty());
}

fn good() -> Repository {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes");
    let repository = Repository::new();
    apply(&repository, &fs::read_to_string(folder.join("good.txt")).expect("the good case"));
    repository
}

fn link(target: impl AsRef<Path>, at: &Path) {
    symlink(target, at).expect("a link");
}

fn assert_refused(repository: &Repository, run: &Run, name: &str) {
    assert_eq!((run.code, run.out.as_str()), (2, ""), "{name}: {}", run.err);
    assert!(run.err.ends_with("; nothing was written\n"), "{name}: {}", run.err);
    for path in ["_gen", "_gen.new", "_gen.old"] {
        assert!(!repository.path(path).exists(), "{name}: {path} was written");
    }
}

/// Writes the files of a case, removes what it removes, and returns what it says about itself.
fn apply(repository: &Repository, case: &str) -> String {
    let mut about = String::new();
    let mut file: Option<(&str, String)> = None;
    let finish = |file: Option<(&str, String)>| {
        if let Some((path, content)) = file {
            repository.write(path, content);
        }
    };
    for line in case.split_inclusive('\n') {
        let header = line.trim_end().strip_prefix("-- ").and_then(|rest| rest.strip_suffix(" --"));
        match (header, &mut file) {
            (Some(path), _) => {
                finish(file.take());
                match path.strip_prefix("without ") {
                    Some(path) => {
                        repository.remove(path);
                    }
                    None => file = Some((path, String::new())),
                }
            }
            (None, Some((_, content))) => content.push_str(line),
            (None, None) => about.push_str(line),
        }
    }
    finish(file);
    about.trim().to_owned()
}
