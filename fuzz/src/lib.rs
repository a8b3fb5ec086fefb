//! Castra's parsers on hostile input: what must hold for every input, beyond "no panic".
//!
//! Owns: one module a target, each a `check` over any bytes that panics where a claim does not
//! hold. The targets in `fuzz_targets/` only hand libFuzzer's bytes over; time and memory are bounded
//! by `scripts/fuzz`. Begins with the inputs in `seeds/`: one of each kind, and every input that once
//! was a fault.

#![forbid(unsafe_code)]

pub mod agent;
pub mod checksum;
pub mod config;
pub mod domain;
pub mod lockfile;
pub mod pidfile;
pub mod procfs;
pub mod qcow2;
pub mod qmp;
pub mod record;
pub mod session;
