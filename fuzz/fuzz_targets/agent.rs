//! What a guest's agent reads from its port, whoever writes there.
//! Hands libFuzzer's bytes to `castra_fuzz::agent`, where the claims are.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| castra_fuzz::agent::check(data));
