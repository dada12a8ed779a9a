//! Any bytes as synchronisation messages, with packets in between.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lvs_core::testkit::fuzz::sync(data));
