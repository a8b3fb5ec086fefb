//! What was observed of libvirt's domains and networks.
//!
//! Tests: with the parsing; `tests/it/`.

use plasmavmc_types::VmId;
use serde::{Deserialize, Serialize};

use crate::domain::DomainXml;

/// A domain as libvirt has it at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Its UUID.
    pub id: VmId,
    /// Its name, which may be anything but `/` and a line break.
    pub name: String,
    /// Its state.
    pub state: DomainState,
    /// Why it is in that state, in libvirt's word, such as `booted`, `destroyed` or `unknown`.
    pub reason: String,
    /// Whether its definition outlives its run.
    pub persistent: bool,
    /// Whether it is started with the host.
    pub autostart: bool,
    /// Whether its memory was saved: the next start resumes that.
    pub managed_save: bool,
    /// Whether libvirt keeps snapshots of it, so that it cannot be undefined.
    pub snapshots: bool,
    /// Whether libvirt keeps checkpoints of it, so that it cannot be undefined.
    pub checkpoints: bool,
    /// What it will be at its next cold boot. Of a transient domain: what it is, as for a next boot.
    pub inactive: DomainXml,
    /// What it is now; none where it does not run.
    pub live: Option<DomainXml>,
}

/// The state of a domain (`virDomainState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DomainState {
    /// libvirt does not know.
    NoState,
    /// The guest runs.
    Running,
    /// The guest waits for something. Other hypervisors than QEMU say so.
    Blocked,
    /// The guest is frozen; its memory is kept.
    Paused,
    /// The guest is on its way down.
    InShutdown,
    /// Nothing runs.
    ShutOff,
    /// The guest's kernel crashed and its memory is kept, or nothing runs any more.
    Crashed,
    /// The guest suspended itself (ACPI S3).
    PmSuspended,
}

impl DomainState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::NoState,
        Self::Running,
        Self::Blocked,
        Self::Paused,
        Self::InShutdown,
        Self::ShutOff,
        Self::Crashed,
        Self::PmSuspended,
    ];

    /// virsh's words for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoState => "no state",
            Self::Running => "running",
            Self::Blocked => "idle",
            Self::Paused => "paused",
            Self::InShutdown => "in shutdown",
            Self::ShutOff => "shut off",
            Self::Crashed => "crashed",
            Self::PmSuspended => "pmsuspended",
        }
    }

    /// Whether a process runs it, so that a start is no start.
    pub const fn is_active(self) -> bool {
        !matches!(self, Self::ShutOff | Self::NoState)
    }
}

/// A network of libvirt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NetworkState {
    /// Its name.
    pub name: String,
    /// Whether it is up.
    pub active: bool,
    /// Whether it is brought up with the host.
    pub autostart: bool,
    /// The bridge of the host behind it, where it has one.
    pub bridge: Option<String>,
}
