//! What a plan is made from: the domains, the files they and the manifest name, the host.
//!
//! Pure values; who fills them in is `observe.rs`. A dump in a folder fills in less, and the plan is made
//! by the same function. Tests: with the planning.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use plasmavmc_libvirt::domain::{Disk, Domain, DomainXml, Source};
use plasmavmc_types::{ByteSize, DiskFormat, VmId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::vm::{Beside, PowerState, Standing};

/// Everything that was seen before a plan is made.
#[derive(Debug, Clone, Default)]
pub struct Observation {
    /// The libvirt connection, as libvirt itself names it; of dumps, the folder.
    pub uri: String,
    /// The domains, in the order of their names.
    pub domains: Vec<Seen>,
    /// Domains whose XML cannot be read.
    pub unreadable: Vec<Unreadable>,
    /// The files that were looked at.
    pub files: Files,
    /// What the disks' paths really are.
    pub grounds: Grounds,
    /// What the host offers to a new VM; none where nobody asked.
    pub host: Option<Host>,
}

/// Whether a connection leads to this machine: its URI names no host.
pub fn is_here(uri: &str) -> bool {
    uri.split_once("://").is_some_and(|(_, rest)| rest.starts_with('/'))
}

impl Observation {
    /// Whether the VMs are on another machine, whose files nobody here can look at or make.
    pub fn is_elsewhere(&self) -> bool {
        self.uri.contains("://") && !is_here(&self.uri)
    }
}

/// A domain.
#[derive(Debug, Clone)]
pub struct Seen {
    /// What it will be at its next cold boot.
    pub domain: Domain,
    /// What it is now, where it runs.
    pub live: Option<Domain>,
    /// The XML that `domain` was read from, in which a change is tried; none where nobody has it.
    pub xml: Option<DomainXml>,
    /// The digest of that XML.
    pub digest: String,
    /// What it does.
    pub state: PowerState,
    /// Whether a process runs it.
    pub is_active: bool,
    /// Whether its definition outlives its run.
    pub persistent: bool,
    /// Whether it starts with the host; none where that is not known.
    pub autostart: Option<bool>,
    /// What libvirt keeps of it and would not undefine it with.
    pub kept: Option<Kept>,
}

/// What libvirt keeps of a domain beside its definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// Snapshots.
    Snapshots,
    /// Checkpoints.
    Checkpoints,
}

/// A domain whose XML cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Its UUID.
    pub id: Option<VmId>,
    /// Its name.
    pub name: String,
    /// Why not.
    pub why: String,
}

/// What the host offers to a new VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The `type` of a new domain: `kvm` where guests run on it, else `qemu`.
    pub kind: String,
    /// The program that runs it, where libvirt is not to choose.
    pub emulator: Option<PathBuf>,
    /// The architecture.
    pub arch: String,
    /// The processor of a new domain, in the manifest's word.
    pub cpu_model: String,
    /// Whether there is a UEFI firmware with keys enrolled, as Windows 11 wants it.
    pub enrolled_keys: bool,
}

/// A file, looked at without following its last link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileSeen {
    /// There is nothing of that name.
    Missing,
    /// A disk image.
    Disk {
        /// The size it shows to the guest.
        size: ByteSize,
        /// Its format, as its first bytes say.
        format: DiskFormat,
        /// The length of the file: the size of the disk where a domain reads it as raw.
        length: ByteSize,
    },
    /// It is there, and this user cannot read what is in it.
    Unreadable,
    /// Something else than a plain file, such as `a symbolic link`.
    NotPlain {
        /// What it is.
        what: String,
    },
}

/// What a disk's path really is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ground {
    /// Where it leads, without links, as far as it exists.
    pub real: PathBuf,
    /// The device and the number of its file; none where there is none.
    pub file: Option<(u64, u64)>,
    /// Whether the folder it is in is there.
    pub has_folder: bool,
    /// The files that lie under it: it is an overlay on them.
    pub under: BTreeSet<PathBuf>,
}

/// What paths really are. One that is not there was not looked at, and is compared by its words alone.
pub type Grounds = BTreeMap<PathBuf, Ground>;

/// The files that were looked at. One that is not there was not looked at, and nothing is concluded.
pub type Files = BTreeMap<PathBuf, FileSeen>;

impl Seen {
    /// What it does now, as far as a change is concerned.
    pub fn standing(&self) -> Standing {
        self.state.standing(self.is_active)
    }

    /// What is known of it beside its XML, where `disk` is the one that is meant. A disk that the domain
    /// reads as raw is as long as its file, whatever a guest has written into it.
    pub fn beside(&self, files: &Files, disk: Option<&Disk>) -> Beside {
        let disk_size = disk.and_then(|disk| match (files.get(disk_file(disk)?)?, disk.format) {
            (FileSeen::Disk { length, .. }, Some(DiskFormat::Raw)) => Some(*length),
            (FileSeen::Disk { size, .. }, _) => Some(*size),
            _ => None,
        });
        Beside { autostart: self.autostart, disk_size }
    }
}

/// The file of a disk, where it has one.
pub fn disk_file(disk: &Disk) -> Option<&Path> {
    match &disk.source {
        Source::File(path) => Some(path),
        Source::Empty | Source::Other(_) => None,
    }
}

impl Host {
    /// A host nobody asked: what most have.
    pub fn unknown() -> Self {
        Self {
            kind: "kvm".to_owned(),
            emulator: None,
            arch: "x86_64".to_owned(),
            cpu_model: "host-passthrough".to_owned(),
            enrolled_keys: false,
        }
    }
}
