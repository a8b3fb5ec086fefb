//! A qcow2 header: an image comes from anywhere.
//! Hands libFuzzer's bytes to `castra_fuzz::qcow2`, where the claims are.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| castra_fuzz::qcow2::check(data));
