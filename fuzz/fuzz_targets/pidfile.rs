//! A pidfile: whoever may write into the workspace may write into it.
//! Hands libFuzzer's bytes to `castra_fuzz::pidfile`, where the claims are.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| castra_fuzz::pidfile::check(data));
