//! What libvirt, or whoever wrote a dump, says a domain is.
//! Hands libFuzzer's bytes to `castra_fuzz::domain`, where the claims are.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| castra_fuzz::domain::check(data));
