//! Both ends of an FTP control connection say anything.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lvs_core::testkit::fuzz::ftp(data));
