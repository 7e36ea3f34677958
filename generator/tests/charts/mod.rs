//! The charts of the tests, and the form of the files in `tests/helm`: sections, each under a line `-- NAME --`. Described in
//! `conformance/helm/cmd/charts`.

#![allow(dead_code, reason = "each test program uses its own part")]
#![allow(clippy::allow_attributes, reason = "expect would fail in the programs that use everything")]
#![allow(clippy::disallowed_methods, reason = "tests and benchmarks read their cases")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use generator::SourceTree;

/// Returns the sections of a file in their order: name and text.
pub fn sections(text: &str) -> Vec<(String, String)> {
    let header = |line: &str| line.strip_prefix("-- ").and_then(|rest| rest.strip_suffix(" --\n")).map(str::to_owned);
    let mut sections: Vec<(String, String)> = Vec::new();
    for line in text.split_inclusive('\n') {
        match (header(line), sections.last_mut()) {
            (Some(name), _) => sections.push((name, String::new())),
            (None, Some((_, text))) => text.push_str(line),
            (None, None) => {}
        }
    }
    for (name, text) in &mut sections {
        if let Some(plain) = name.strip_suffix(" | json") {
            *text = serde_json::from_str(text).expect("a JSON string");
            *name = plain.to_owned();
        }
    }
    sections
}

/// Packs files, path and text, into an archive.
pub fn pack(files: &[(String, String)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, text.as_bytes()).expect("a file in an archive");
    }
    archive.into_inner().and_then(GzEncoder::finish).expect("an archive")
}

/// A chart of `tests/helm`, and the values of each of its releases: files, low to high. What the command line says beside these is left out.
pub struct Case {
    pub name: String,
    /// The files of the chart, below `chart`.
    pub tree: SourceTree,
    pub releases: Vec<Vec<(String, String)>>,
}

/// Returns every chart of `tests/helm`; some of them are to be refused.
pub fn recorded() -> Vec<Case> {
    let all = files(&tests().join("helm")).into_iter();
    all.map(|(path, text)| of_sections(path.trim_end_matches(".txt"), &text)).collect()
}

fn of_sections(name: &str, text: &str) -> Case {
    let mut case = Case { name: name.to_owned(), tree: SourceTree::default(), releases: Vec::new() };
    let mut layers = BTreeMap::new();
    let mut archives: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let mut named: Vec<Vec<String>> = Vec::new();
    for (section, text) in sections(text) {
        if let Some(layer) = section.strip_prefix("layer ") {
            layers.insert(layer.to_owned(), text);
        } else if section.starts_with("render ") {
            let options: serde_json::Value = serde_json::from_str(&text).expect("options are JSON");
            let names = options["layers"].as_array().into_iter().flatten();
            named.push(names.filter_map(|name| name.as_str().map(str::to_owned)).collect());
        } else if let Some((archive, inner)) = section.split_once(".tgz/") {
            archives.entry(format!("{archive}.tgz")).or_default().push((inner.to_owned(), text));
        } else if !section.starts_with("want ") && !section.starts_with("command ") {
            case.tree.insert(format!("chart/{section}"), text);
        }
    }
    for (path, files) in archives {
        case.tree.insert(format!("chart/{path}"), pack(&files));
    }
    named.sort();
    named.dedup();
    let with_text = |name: String| layers.get(&name).cloned().map(|text| (name, text));
    case.releases = named.into_iter().map(|names| names.into_iter().filter_map(with_text).collect()).collect();
    case
}

/// Returns a repository with the chart of this project, and a service for each case that the tests have for it.
pub fn generic() -> SourceTree {
    let mut tree = SourceTree::default();
    for (path, text) in files(&tests().join("../../charts/generic")) {
        tree.insert(format!("charts/generic/{path}"), text);
    }
    for (path, text) in files(&tests().join("generic")) {
        if let Some(name) = path.strip_suffix(".yaml") {
            tree.insert(format!("services/{name}/version"), "1.2.3\n");
            tree.insert(format!("services/{name}/config.yaml"), text);
            tree.insert(format!("services/{name}/test/config.yaml"), "");
        }
    }
    tree
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// Returns the text files below a folder, by path from there on.
fn files(folder: &Path) -> BTreeMap<String, String> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() { collect(&entry, found) } else { found.push(entry) }
        }
    }
    let mut found = Vec::new();
    collect(folder, &mut found);
    let named = found.into_iter().map(|path| {
        let name = path.strip_prefix(folder).expect("below it").to_str().expect("UTF-8").to_owned();
        (name, std::fs::read_to_string(&path).expect("text"))
    });
    named.collect()
}
