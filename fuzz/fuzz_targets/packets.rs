//! Any packets at a director that has a service for each of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lvs_core::testkit::fuzz::packets(data));
