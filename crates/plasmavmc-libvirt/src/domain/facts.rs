//! What a manifest cannot say of a domain, and a plan must heed: what a change would break.
//!
//! Tests: with the projection.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What else a domain's XML says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Facts {
    /// `type` of the domain: `kvm`, `qemu`, `test`.
    pub kind: String,
    /// `<os><type arch=>`.
    pub arch: Option<String>,
    /// `<os><type machine=>`, with its version once libvirt defined it.
    pub machine: Option<String>,
    /// The firmware's files, where they are chosen.
    pub loader: Option<Loader>,
    /// Whether `<os firmware=>` lets libvirt choose the firmware.
    pub firmware_auto: bool,
    /// Whether NUMA cells give the memory, so that `<memory>` is computed from them.
    pub numa: bool,
    /// Processors that `<cpu><topology>` multiplies to, where they cannot change by themselves. One socket
    /// of single-threaded cores, as a new VM has it, follows their number, and is not here.
    pub topology_vcpus: Option<u32>,
    /// `<vcpu current=>`, where fewer than all are on.
    pub vcpus_current: Option<u32>,
    /// Whether single processors are listed (`<vcpus>`) or pinned (`<cputune>`).
    pub vcpus_listed: bool,
    /// `<currentMemory>` in KiB, where it is less than the memory.
    pub memory_current_kib: Option<u64>,
    /// Whether memory can be plugged in (`<maxMemory>`).
    pub memory_slots: bool,
    /// Devices a manifest has no word for, as `kind` (such as `hostdev`) and how many; those that
    /// libvirt adds to every domain are left out.
    pub others: Vec<(String, u32)>,
    /// Namespaces of elements that are not libvirt's own, such as that of `qemu:commandline`.
    pub foreign: Vec<String>,
    /// Whether a graphics password is there, or was when secrets were dumped.
    pub has_secrets: bool,
}

/// The firmware's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loader {
    /// The code.
    pub path: PathBuf,
    /// The variables: boot entries, keys. Theirs is the one copy.
    pub nvram: Option<PathBuf>,
}
