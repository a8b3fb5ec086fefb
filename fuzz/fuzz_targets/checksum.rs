//! A publisher's checksum file, or whatever a mirror or a captive portal answers instead.
//! Hands libFuzzer's bytes to `castra_fuzz::checksum`, where the claims are.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| castra_fuzz::checksum::check(data));
