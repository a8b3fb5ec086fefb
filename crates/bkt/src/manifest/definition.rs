//! What a manifest says, once it is known to be right.
//!
//! Every value is valid and every path absolute. What is `None` was not said, and what was not said is
//! not managed. Tests: with the reading.

use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;

use plasmavmc_host::image::Digest;
use plasmavmc_types::MacAddr;

use super::name::DomainName;
use super::words::{BootChoice, CpuChoice, DiskBus, GraphicsChoice, Memory, NetworkChoice, TpmChoice};
use crate::vm::Field;

/// The manifest `vms.json`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VmManifest {
    /// The libvirt connection it is meant for, such as `qemu:///system`.
    pub uri: Option<String>,
    /// The VMs by name, which is the name of the libvirt domain.
    pub vms: BTreeMap<DomainName, VmDefinition>,
}

/// One VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmDefinition {
    /// `title`. `Some(None)` is a VM that is to have none (`null`).
    pub title: Option<Option<String>>,
    /// `memory_gb` or `memory_mb`.
    pub memory: Memory,
    /// `vcpus`.
    pub vcpus: NonZeroU32,
    /// `cpu_model`.
    pub cpu_model: Option<CpuChoice>,
    /// `disk_path`: absolute, without `.` and `..`.
    pub disk_path: PathBuf,
    /// `disk_size_gb`.
    pub disk_size_gb: NonZeroU64,
    /// `disk_bus`.
    pub disk_bus: Option<DiskBus>,
    /// `create_if_missing`.
    pub create_if_missing: bool,
    /// `boot`.
    pub boot: BootChoice,
    /// `secure_boot`; never `true` with [`BootChoice::Bios`].
    pub secure_boot: Option<bool>,
    /// `tpm`; not said, it is `none`.
    pub tpm: TpmChoice,
    /// `network`.
    pub network: NetworkChoice,
    /// `mac`; never said with [`NetworkChoice::None`].
    pub mac: Option<MacAddr>,
    /// `graphics`.
    pub graphics: GraphicsChoice,
    /// `iso_sources`. `Some` of nothing are drives that are to be empty.
    pub iso_sources: Option<Vec<IsoSource>>,
    /// `autostart`.
    pub autostart: Option<bool>,
    /// `unmanaged_fields`: fields that are left as they are, whatever else is said of them. They count
    /// for a VM that is yet to be made.
    pub unmanaged_fields: BTreeSet<Field>,
}

/// Where an installer's medium is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IsoSource {
    /// A file of the host.
    Path {
        /// As it is written, perhaps with `~/`.
        written: String,
        /// The file: absolute, without `.` and `..`.
        path: PathBuf,
    },
    /// Something on the web, fetched only when a person asks for it.
    Url {
        /// `http` or `https`, with a host.
        url: String,
        /// What it must be, where the manifest says so.
        checksum: Option<Digest>,
    },
}
