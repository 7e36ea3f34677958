//! Bytes through the door `chart`, see `generator/tests/fuzzed`.
#![no_main]

#[path = "../../generator/tests/fuzzed/mod.rs"]
mod fuzzed;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzed::chart(bytes));
