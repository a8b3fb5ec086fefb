//! `bkt` on real libvirt (`qemu:///system`): one module per family of claims.

#![expect(clippy::unwrap_used, reason = "a set-up that fails is a test that fails")]

mod capture;
mod disks;
mod lab;
mod names;
mod offline;
mod power;
mod stale;
mod sync;
#[cfg(feature = "failpoints")]
mod sync_crash;
mod undo;
