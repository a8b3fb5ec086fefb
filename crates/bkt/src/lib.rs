//! `bkt`: what a host is to have, declared in manifests, compared with what it has, and applied.
//!
//! ```text
//! manifests/vms.json ─► manifest ─► wanted Values ──┐
//!                                                   ├─► plan ─► Plan ─► apply ─► virsh, qemu-img
//! virsh -r ─► domains ─► current Values, mark ──────┘    │ --dry-run, --out        (the only writer)
//!                                                        ▼ prints this
//! ```
//!
//! Owns: manifests, the registry of subsystems, the plan and its execution, the command line. Never does:
//! name a program (the libvirt backend names `virsh`, the host crate `qemu-img`), write while it plans.
//! Tests: in each file; `tests/it` runs the command against libvirt.

pub mod cli;
pub mod env;
pub mod manifest;
pub mod subsystem;
pub mod vm;
