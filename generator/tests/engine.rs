//! Holds `release::ENGINE` to its promise: while it is the same, the same input renders to the same objects with the same verdict.
//!
//! `tests/engine.txt` has a line for each chart of the tests: a hash of its input, and one of what came of it. An input that has changed, or is
//! new, is recorded anew by `UPDATE_ENGINE=1 cargo test -p generator --test engine`; where the input is the same and the outcome is another,
//! that only works after ENGINE was raised.

#![expect(clippy::disallowed_methods, reason = "the record is a file")]

mod charts;
mod request;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use generator::diagnostic::Diagnostics;
use generator::generate;
use generator::helm::{self, Options};
use generator::release::ENGINE;
use manifest::hash::Parts;

/// What goes in, and what comes of it; each by a hash, and the latter in words where it is refused.
type Record = BTreeMap<String, (String, String)>;

fn hash<'p>(parts: impl IntoIterator<Item = (&'p str, &'p [u8])>) -> String {
    let mut hash = Parts::new("generator test record 1");
    for (label, part) in parts {
        hash.add(label, part);
    }
    hash.finish().short()
}

fn refused(wrong: &Diagnostics) -> String {
    let codes: BTreeSet<&str> = wrong.iter().map(|one| one.code).collect();
    format!("refused {}", codes.into_iter().collect::<Vec<_>>().join(","))
}

fn record() -> Record {
    let generic = charts::generic();
    let outcome = match generate(&generic) {
        Ok(made) => {
            let files = made.files();
            let files = files.iter().filter(|(path, _)| !path.ends_with("/index.json"));
            format!("{} {}", hash(files), made.warnings.iter().count())
        }
        Err(wrong) => refused(&wrong),
    };
    let mut record = Record::from([("generic".to_owned(), (hash(generic.iter()), outcome))]);
    for charts::Case { name, tree, releases } in charts::recorded() {
        let chart = helm::load(&tree, "chart");
        for (i, files) in releases.into_iter().enumerate() {
            let values = files.iter().map(|(file, text)| (file.as_str(), text.as_bytes()));
            let input = hash(tree.iter().chain(values));
            let request = request::request(&serde_json::Value::Null, &files);
            let outcome = match (&chart, request) {
                (Err(wrong), _) => refused(wrong),
                (_, Err(_)) => "refused values".to_owned(),
                (Ok(chart), Ok(request)) => match helm::render(chart, &request, &Options::default()) {
                    Err(wrong) => refused(&wrong),
                    Ok(made) => {
                        let files = made.crds.iter().chain(&made.files);
                        hash(files.map(|file| (file.path.as_str(), file.text.as_bytes())))
                    }
                },
            };
            record.insert(format!("{name}-{i}"), (input, outcome));
        }
    }
    record
}

#[test]
fn the_same_input_has_the_same_outcome_while_the_engine_is_the_same() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engine.txt");
    let recorded = std::fs::read_to_string(&path).unwrap_or_default();
    let mut expected = format!("engine {ENGINE}\n");
    let pool = rayon::ThreadPoolBuilder::new().stack_size(8 << 20).build().expect("threads");
    let now = pool.install(record);
    for (name, (input, outcome)) in &now {
        writeln!(expected, "{name} {input} {outcome}").expect("a string takes everything");
    }
    if recorded == expected {
        return;
    }
    if recorded.starts_with(&format!("engine {ENGINE}\n")) {
        let known = recorded.lines().skip(1).filter_map(|line| {
            let (name, rest) = line.split_once(' ')?;
            let (input, outcome) = rest.split_once(' ')?;
            Some((name, input, outcome))
        });
        let changed: Vec<String> = known
            .filter_map(|(name, input, outcome)| {
                let (input_now, outcome_now) = now.get(name)?;
                let differs = input == input_now && outcome != outcome_now;
                differs.then(|| format!("{name}: {outcome} -> {outcome_now}"))
            })
            .collect();
        assert!(
            changed.is_empty(),
            "the same input has another outcome than before, so an index that names it is not to be believed: raise ENGINE in \
             src/release.rs, then record with UPDATE_ENGINE=1\n{}",
            changed.join("\n")
        );
    }
    assert!(std::env::var_os("UPDATE_ENGINE").is_some(), "charts or ENGINE have changed: record with UPDATE_ENGINE=1");
    std::fs::write(&path, expected).expect("written");
}
