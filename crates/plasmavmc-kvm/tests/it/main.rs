//! The QEMU backend on real QEMUs under TCG.
//!
//! Most need no operating system: a boot sector is a guest. Every QEMU started here
//! is ended by the bench it belongs to, also when a test fails.

#![expect(clippy::unwrap_used, reason = "a set-up that fails is a test that fails")]

mod bench;
mod conformance;
mod events;
mod identity;
mod launch;
mod launch_faults;
mod linux;
mod qmp;
mod serial;
mod stop;
mod unresponsive;
mod wrapped;
