//! Replays on stable what `fuzz/` starts from and what it has found, for the doors through which people and charts talk to the generator.

mod fuzzed;
#[path = "../../fuzz/replay.rs"]
mod replay;

#[test]
fn no_input_of_the_corpus_breaks_anything() {
    replay::as_they_are(&fuzzed::DOORS);
}

#[test]
fn nor_does_it_when_bent() {
    replay::bent(&fuzzed::DOORS);
}
