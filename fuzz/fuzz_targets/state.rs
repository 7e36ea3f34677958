//! Bytes through the door `state`, see `syncd/tests/fuzzed`.
#![no_main]

#[path = "../../syncd/tests/fuzzed/mod.rs"]
mod fuzzed;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzed::state(bytes));
