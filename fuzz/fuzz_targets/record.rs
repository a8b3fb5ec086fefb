//! A session's record, as `status` reads it: whatever wrote it.
//! Hands libFuzzer's bytes to `castra_fuzz::record`, where the claims are.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| castra_fuzz::record::check(data));
