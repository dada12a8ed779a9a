//! Rules, packets and time in any order.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lvs_core::testkit::fuzz::operations(data));
