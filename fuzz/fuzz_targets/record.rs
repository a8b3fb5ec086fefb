#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| castra_fuzz::record::check(data));
