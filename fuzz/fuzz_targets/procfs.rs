//! What the kernel tells of processes and sockets, in which program names are anyone's choice.
//! Hands libFuzzer's bytes to `castra_fuzz::procfs`, where the claims are.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| castra_fuzz::procfs::check(data));
