//! A `castra.toml`: comes with a repository, so from anyone.
//! Hands libFuzzer's bytes to `castra_fuzz::config`, where the claims are.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| castra_fuzz::config::check(data));
