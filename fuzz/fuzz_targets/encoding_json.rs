//! `entry::encoding_json`, by libFuzzer.
#![no_main]

#[path = "../entry.rs"]
#[allow(dead_code, reason = "each target calls its own")]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry::encoding_json(data));
