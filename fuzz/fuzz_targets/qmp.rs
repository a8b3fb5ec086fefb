//! What a QEMU sends on its control socket, or whoever took its place.
//! Hands libFuzzer's bytes to `castra_fuzz::qmp`, where the claims are.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| castra_fuzz::qmp::check(data));
