//! Replays on stable what `fuzz/` starts from and what it has found: every file in `fuzz/corpus/<door>/` goes through its door.

#![expect(clippy::disallowed_methods, reason = "a test reads its data")]

use std::path::Path;

mod fuzzed;

#[test]
fn no_input_of_the_corpus_breaks_anything() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("fuzz/corpus");
    for (name, door) in fuzzed::DOORS {
        let entries = std::fs::read_dir(corpus.join(name)).unwrap_or_else(|error| panic!("corpus of {name}: {error}"));
        let mut count = 0;
        for entry in entries {
            let path = entry.expect("an entry").path();
            let bytes = std::fs::read(&path).expect("a file");
            assert!(std::panic::catch_unwind(|| door(&bytes)).is_ok(), "{} breaks `{name}`", path.display());
            count += 1;
        }
        assert!(count >= 5, "only {count} inputs for `{name}`");
    }
}
