//! Any text as rules.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lvs_core::testkit::fuzz::rules(data));
