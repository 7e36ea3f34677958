//! What any bytes may do to us, one function a door: each takes what a stranger could send and must return, whatever it is.
//!
//! Shared by `fuzz/`, which searches for bytes that break one, and by `tests/fuzz_corpus.rs`, which replays on stable what was found and what
//! the search starts from. A function panics where a law is broken; limits are set low, so that a slow answer is a finding, too.

#![allow(dead_code, reason = "each target uses its own function")]
#![allow(clippy::allow_attributes, reason = "expect would fail in the program that uses all of them")]

use std::io::Write;
use std::sync::{Arc, LazyLock};

use flate2::Compression;
use flate2::write::GzEncoder;
use generator::diagnostic::{Color, Diagnostic};
use generator::gotemplate::{Executor, Functions, Limits, Options, TemplateSet};
use generator::helm::strvals::{self, Notation};
use generator::helm::{self, Layer, Request, stream};
use generator::source::SourceTree;
use generator::sprig::{FUNCTIONS, Host};
use generator::value::from_json;
use manifest::index::Index;
use manifest::yaml::{self, DuplicateKeys, Settings};

/// A door and its name, which is that of its corpus.
pub type Door = (&'static str, fn(&[u8]));

pub const DOORS: [Door; 6] = [
    ("template", template),
    ("values", values),
    ("chart", chart),
    ("archive", archive),
    ("set", set),
    ("index", index),
];

static TABLE: LazyLock<Arc<Functions>> = LazyLock::new(|| Arc::new(Functions::new(&[FUNCTIONS])));

/// A template text, parsed and executed with every function there is.
pub fn template(bytes: &[u8]) {
    let mut set = TemplateSet::new("gotpl", Arc::clone(&TABLE));
    let file = |name: &str| Some(name.to_owned());
    let text = String::from_utf8_lossy(bytes);
    if let Err(error) = set.parse("t", bytes) {
        return show(&error.diagnostic(&file), &text);
    }
    let data = serde_json::json!({
        "Values": {"name": "web", "n": 3, "list": ["a", 1, null, {"k": "v"}], "map": {"a": {"b": "c"}}, "none": null},
        "Release": {"Name": "web-staging"},
    });
    let limits = Limits { depth: 100, output_bytes: 1 << 20, steps: 50_000 };
    let mut host = Host::new(false);
    let options = Options { limits, origins: true, ..Options::default() };
    match Executor::new(Arc::new(set), &mut host, options).execute("t", from_json(&data)) {
        Err(error) => show(&error.diagnostic(&file), &text),
        Ok(mut rendered) => {
            rendered.remove("<no value>");
            for offset in 0..rendered.text.as_bytes().len().min(200) {
                let (source, pos) = rendered.origins.locate(offset).expect("every byte was written by something");
                assert!(pos <= source.text.len());
            }
        }
    }
}

/// A message is for people: it has words, and its place can be shown.
fn show(diagnostic: &Diagnostic, text: &str) {
    assert!(!diagnostic.message.is_empty());
    assert!(!diagnostic.render(Color::Off, &|_| Some(text)).is_empty());
}

/// A YAML text; what is read is written, and read again as the same.
pub fn values(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for duplicate_keys in [DuplicateKeys::Refuse, DuplicateKeys::LastWins] {
        let settings = Settings { duplicate_keys, marks: true, ..Settings::default() };
        let Ok(documents) = yaml::read(text, &settings) else { continue };
        for document in documents {
            let written = yaml::write(&document.value);
            let again = yaml::read(&written, &Settings::default()).expect("what we write can be read");
            let value = again.into_iter().next().map(|document| document.value).unwrap_or_default();
            assert_eq!(value, document.value, "{written}");
            assert_eq!(yaml::write(&value), written);
        }
    }
}

/// A chart with its subcharts as text: `-- path --` before each file; `layer` is a file of values.
pub fn chart(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut files: Vec<(String, String)> = Vec::new();
    for line in text.split_inclusive('\n') {
        match line.strip_prefix("-- ").and_then(|rest| rest.strip_suffix(" --\n")) {
            Some(path) => files.push((path.to_owned(), String::new())),
            None => {
                if let Some((_, content)) = files.last_mut() {
                    content.push_str(line);
                }
            }
        }
    }
    let clean = |path: &str| path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    let mut tree = SourceTree::default();
    let mut layers = Vec::new();
    for (path, content) in files.into_iter().filter(|(path, _)| clean(path)) {
        if path == "layer" {
            let settings = Settings { marks: true, ..Settings::default() };
            let documents = yaml::read(&content, &settings).unwrap_or_default();
            layers.extend(documents.into_iter().map(|document| {
                Arc::new(Layer { file: "layer".to_owned(), value: document.value, marks: document.marks.into() })
            }));
        } else {
            tree.insert(format!("chart/{path}"), content);
        }
    }
    render(&tree, layers);
}

/// A subchart in an archive: the bytes of a tar file, which is packed here so that the search need not guess checksums.
pub fn archive(bytes: &[u8]) {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes).expect("into memory");
    let mut tree = SourceTree::default();
    tree.insert("chart/Chart.yaml", "apiVersion: v2\nname: chart\nversion: 0.1.0\n");
    tree.insert("chart/charts/sub.tgz", packed.finish().expect("into memory"));
    tree.insert("chart/charts/raw.tgz", bytes);
    let _ = helm::load(&tree, "chart");
    let files: SourceTree = tree.iter().filter(|(path, _)| !path.ends_with("raw.tgz")).collect();
    render(&files, Vec::new());
}

fn render(tree: &SourceTree, layers: Vec<Arc<Layer>>) {
    let Ok(chart) = helm::load(tree, "chart") else { return };
    let request = request(layers, vec![("tag".to_owned(), "1.0".into())]);
    if let Ok(provenance) = chart.provenance(&request) {
        let fields = provenance.values().as_object().into_iter().flatten();
        fields.for_each(|(key, _)| drop(provenance.of(&[key])));
    }
    if let Ok(rendered) = helm::render(&chart, &request, &helm::Options::default()) {
        let _ = stream::template_output(&rendered, &stream::Selection::default());
    }
}

fn request(layers: Vec<Arc<Layer>>, set: Vec<(String, serde_json::Value)>) -> Request {
    Request {
        release_name: "web".to_owned(),
        namespace: "default".to_owned(),
        layers,
        set: set.into_iter().map(|(path, value)| helm::Setting::Value { path, value }).collect(),
        capabilities: helm::Capabilities::default(),
        is_upgrade: false,
    }
}

/// Lines of `--set`, in each notation, set one after the other.
pub fn set(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let notations = [Notation::Typed, Notation::Text, Notation::Json, Notation::Literal];
    let parsed = notations
        .into_iter()
        .flat_map(|notation| text.lines().filter_map(move |line| strvals::parse(line, notation).ok()));
    let _ = helm::values(&BARE, &request(Vec::new(), parsed.flatten().collect()));
}

/// A chart of nothing.
static BARE: LazyLock<helm::Chart> = LazyLock::new(|| {
    let mut tree = SourceTree::default();
    tree.insert("chart/Chart.yaml", "apiVersion: v2\nname: chart\nversion: 0.1.0\n");
    helm::load(&tree, "chart").expect("a chart")
});

/// An index; what is read is written, and read again as the same.
pub fn index(bytes: &[u8]) {
    let Ok(index) = Index::parse(bytes, "staging") else { return };
    let text = index.to_json();
    assert_eq!(Index::parse(text.as_bytes(), "staging").expect("what we write can be read").to_json(), text);
}
