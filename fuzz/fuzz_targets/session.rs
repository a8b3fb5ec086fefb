//! What a guest sends on its port, or whoever took its agent's place; and what its `qemu-guest-agent`
//! says.
//! Hands libFuzzer's bytes to `castra_fuzz::session`, where the claims are.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| castra_fuzz::session::check(data));
