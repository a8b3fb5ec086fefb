//! `castra.lock`: comes with a repository, so from anyone.
//! Hands libFuzzer's bytes to `castra_fuzz::lockfile`, where the claims are.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| castra_fuzz::lockfile::check(data));
