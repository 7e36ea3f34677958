//! Holds COMPATIBILITY.md to the code: what it says is refused is refused, and what is refused or limited stands in it.
#![expect(clippy::disallowed_methods, reason = "a test reads its data")]

use std::path::{Path, PathBuf};

use generator::helm::{self, Capabilities, Options, Request};
use generator::source::SourceTree;
use regex::Regex;

fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn files(folder: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path.to_string_lossy(), found);
        } else {
            found.push(path);
        }
    }
}

fn page() -> String {
    file("COMPATIBILITY.md")
}

/// Returns what the first group of a pattern finds in a text.
fn all(pattern: &str, text: &str) -> Vec<String> {
    let pattern = Regex::new(pattern).expect("a pattern");
    pattern.captures_iter(text).map(|found| found[1].to_owned()).collect()
}

fn render(template: &str) -> Result<String, String> {
    let mut tree = SourceTree::default();
    tree.insert("c/Chart.yaml", "apiVersion: v2\nname: c\nversion: 0.1.0\n");
    tree.insert("c/templates/t.yaml", template);
    let chart = helm::load(&tree, "c").expect("a chart");
    let request = Request {
        release_name: "r".to_owned(),
        namespace: "n".to_owned(),
        layers: Vec::new(),
        set: Vec::new(),
        capabilities: Capabilities::default(),
        is_upgrade: false,
    };
    match helm::render(&chart, &request, &Options::default()) {
        Ok(rendered) => Ok(rendered.files[0].text.clone()),
        Err(wrong) => Err(wrong.iter().map(|one| one.code).collect::<Vec<_>>().join(",")),
    }
}

#[test]
fn what_is_said_to_be_refused_is_refused() {
    let page = page();
    let calls: Vec<&str> = page.lines().filter(|line| line.starts_with("{{")).collect();
    assert!(calls.len() > 10, "{calls:?}");
    for call in calls {
        assert_eq!(render(call), Err("nondeterministic".to_owned()), "{call}");
    }
}

#[test]
fn what_is_refused_is_said() {
    let page = page();
    let mut sources = Vec::new();
    files("src/sprig", &mut sources);
    let mut names = Vec::new();
    for path in sources.iter().filter(|path| path.extension().is_some_and(|ending| ending == "rs")) {
        names.extend(all(r#"refuse\(call, "(\w+)""#, &std::fs::read_to_string(path).expect("a source")));
    }
    names.extend(all(r#"Function::\w+\("(\w+)", .*\brandom::"#, &file("src/sprig/mod.rs")));
    assert!(names.len() > 8, "{names:?}");
    let flags = file("src/cli/template/flags.rs");
    let refused = flags.split("REFUSED: ").nth(1).expect("a list").split("];").next().expect("its end").to_owned();
    names.extend(all(r#"\("([a-z-]+)", (?:true|false)"#, &refused).into_iter().map(|flag| format!("--{flag}")));
    for name in names {
        let said = Regex::new(&format!(r"(?:^|[^\w-]){}(?:[^\w-]|$)", regex::escape(&name))).expect("a pattern");
        assert!(said.is_match(&page), "COMPATIBILITY.md does not say that {name} is refused");
    }
}

#[test]
fn limits_and_knowing_differences_are_said() {
    let page = page();
    let mut limits = Vec::new();
    for source in [
        "src/gotemplate/limits.rs",
        "src/sprig/templates.rs",
        "src/disk.rs",
        "src/disk/chart.rs",
        "src/helm/archive.rs",
        "src/helm/strvals.rs",
        "src/helm/package.rs",
        "src/helm/release_name.rs",
    ] {
        limits.extend(all(r"pub const (\w+_MAX): ", &file(source)));
    }
    assert!(limits.len() > 12, "{limits:?}");
    let mut cases = Vec::new();
    files("tests/helm", &mut cases);
    let has_own_words = |path: &&PathBuf| std::fs::read_to_string(path).expect("a case").contains("\"ours\":");
    let cases = cases.iter().filter(has_own_words);
    let cases = cases.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned());
    for name in limits.into_iter().chain(cases) {
        assert!(page.contains(&format!("`{name}`")), "COMPATIBILITY.md does not say anything about {name}");
    }
}
