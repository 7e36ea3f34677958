//! Holds the house to its own rules: which module may know which, and what every file must say first.
//!
//! Reads the source texts of all crates; knows nothing of their meaning. It lives in the lowest crate because that one builds in
//! seconds. Invariant: a rule that is written down in ARCHITECTURE.md and can be read off a text is checked here.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules by floor, lowest first; modules of one floor may not know each other. A module knows itself and what is below it.
const FLOORS: [(&str, &[&[&str]]); 2] = [
    (
        "generator",
        &[
            &["source", "diagnostic"],
            &["value"],
            &["gotemplate"],
            &["sprig"],
            &["helm"],
            &["file"],
            &["settings"],
            &["service", "validation"],
            &["rendered", "release"],
            &["committed", "explain", "layout"],
            &["difference", "integrity", "rbac", "shortcut"],
            &["lib"],
            &["hook", "scaffold"],
            &["disk", "git"],
            &["report"],
            &["cli"],
            &["main"],
        ],
    ),
    (
        "syncd",
        &[
            &["bootstrap", "cluster", "repo", "redact", "sought", "listening", "yaml_file"],
            &["adoption", "ownership", "rules"],
            &["config", "report"],
            &["suspension"],
            &["context", "election", "state"],
            &["approval", "desired", "live"],
            &["drift", "readiness"],
            &["plan"],
            &["execute"],
            &["cycle"],
            &["daemon", "difference", "kahoy", "kube", "git", "notify", "progress", "webhook"],
            &["explain", "leader", "summary", "uninstall", "view"],
            &["logs", "metrics", "page"],
            &["http"],
            &["cli"],
            &["lib"],
            &["main"],
        ],
    ),
];

/// Longer files have grown out of one purpose.
const LINES_MAX: usize = 950;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn sources(crate_name: &str) -> BTreeMap<PathBuf, String> {
    let folder = root().join(crate_name).join("src");
    let mut files = Vec::new();
    rust_files(&folder, &mut files);
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("UTF-8");
        (path.strip_prefix(&folder).expect("below it").to_owned(), text)
    };
    files.into_iter().map(read).collect()
}

/// Returns the module that a file belongs to: `plan` for `plan.rs`, `plan/order.rs`.
fn module(path: &Path) -> String {
    let first = path.components().next().expect("a file has a name");
    first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// Returns the modules named by `crate::x` or, in the binary, `<crate>::x`, outside comments.
fn known<'a>(text: &'a str, crate_name: &str) -> Vec<&'a str> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut names = Vec::new();
    for line in code {
        for prefix in ["crate::", &format!("{crate_name}::")] {
            for (at, _) in line.match_indices(prefix) {
                let before = line[..at].chars().next_back();
                if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
                    continue;
                }
                let rest = &line[at + prefix.len()..];
                let inside = rest.strip_prefix('{').map_or(rest, |list| list.split('}').next().unwrap_or(list));
                let parts: Vec<&str> = if rest.starts_with('{') { inside.split(',').collect() } else { vec![inside] };
                names.extend(parts.into_iter().map(|part| {
                    let part = part.trim();
                    let end = part.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(part.len());
                    &part[..end]
                }));
            }
        }
    }
    names.retain(|name| name.starts_with(|c: char| c.is_ascii_lowercase()));
    names
}

#[test]
fn imports_go_down_only() {
    let mut faults = Vec::new();
    for (crate_name, floors) in FLOORS {
        let floor_of = |name: &str| floors.iter().position(|floor| floor.contains(&name));
        for (path, text) in sources(crate_name) {
            let here = module(&path);
            let Some(floor) = floor_of(&here) else {
                faults.push(format!(
                    "{crate_name}: module `{here}` has no floor: name it in FLOORS and in ARCHITECTURE.md"
                ));
                continue;
            };
            for name in known(&text, crate_name) {
                let Some(other) = floor_of(name) else { continue };
                if name != here && other >= floor {
                    faults.push(format!("{crate_name}/src/{}: `{here}` must not know `{name}`", path.display()));
                }
            }
        }
    }
    faults.dedup();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_contract_knows_neither_side() {
    for (crate_name, others) in [
        ("manifest", ["generator", "syncd", "sandbox", "schema"].as_slice()),
        ("schema", &["generator", "syncd", "sandbox", "manifest"]),
        ("generator", &["syncd", "sandbox", "kube"]),
    ] {
        for (path, text) in sources(crate_name) {
            for other in others {
                let known = text
                    .lines()
                    .any(|line| !line.trim_start().starts_with("//") && line.contains(&format!("use {other}::")));
                assert!(!known, "{crate_name}/src/{} must not know `{other}`", path.display());
            }
        }
    }
}

#[test]
fn every_file_says_why_it_exists_and_stays_readable() {
    let mut faults = Vec::new();
    for crate_name in ["manifest", "schema", "generator", "syncd", "sandbox"] {
        for (path, text) in sources(crate_name) {
            let name = format!("{crate_name}/src/{}", path.display());
            if !text.starts_with("//! ") {
                faults.push(format!("{name}: does not open with `//!` and why it exists"));
            }
            let lines = text.lines().count();
            if lines > LINES_MAX {
                faults.push(format!("{name}: {lines} lines; split it by meaning"));
            }
            let shunned = ["utils", "util", "common", "helpers", "misc"];
            if shunned.contains(&module(&path).as_str())
                || shunned.iter().any(|word| path.ends_with(format!("{word}.rs")))
            {
                faults.push(format!("{name}: name it after what it knows"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
