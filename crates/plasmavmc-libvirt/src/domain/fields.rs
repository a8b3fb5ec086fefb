//! What a manifest can say of a domain, as its XML has it: the typed projection.
//!
//! Two dumps of one domain, before and after libvirt normalised it, project to equal fields; nothing
//! that libvirt fills in by itself (addresses, controllers, aliases) is here. Tests: with the projection.

use std::path::PathBuf;

use plasmavmc_types::{DiskFormat, MacAddr};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The typed projection of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fields {
    /// `<title>`.
    pub title: Option<String>,
    /// `<memory>` in KiB: the most it can have, whatever unit the XML uses.
    pub memory_kib: u64,
    /// `<vcpu>`: the most it can have.
    pub vcpus: u32,
    /// `<cpu>`.
    pub cpu: CpuModel,
    /// The firmware's kind.
    pub boot: Boot,
    /// Whether UEFI insists on signed boot loaders; none where the XML does not say, or for BIOS.
    pub secure_boot: Option<bool>,
    /// `<tpm>`.
    pub tpm: Option<Tpm>,
    /// Every `<disk device='disk'>`, in the order of their targets: libvirt reorders elements.
    pub disks: Vec<Disk>,
    /// Every `<disk device='cdrom'>`, in the order of their targets.
    pub cdroms: Vec<Cdrom>,
    /// Every `<interface>`, in the order of the XML.
    pub nics: Vec<Nic>,
    /// Every `<graphics>`, in the order of the XML.
    pub graphics: Vec<Graphics>,
}

/// What processor the guest sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CpuModel {
    /// Nothing is said; libvirt or QEMU chooses.
    Unspecified,
    /// `mode='host-passthrough'`.
    HostPassthrough,
    /// `mode='host-model'`.
    HostModel,
    /// `mode='maximum'`.
    Maximum,
    /// A model by name.
    Named(String),
}

/// The firmware's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Boot {
    /// UEFI.
    Uefi,
    /// BIOS.
    Bios,
}

/// A TPM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tpm {
    /// The version that is emulated; none for a passed-through one, or where the XML does not say.
    pub version: Option<TpmVersion>,
    /// Whether it is emulated (`swtpm`) rather than the host's.
    pub emulated: bool,
}

/// The version of an emulated TPM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TpmVersion {
    /// 1.2.
    #[serde(rename = "1.2")]
    V1_2,
    /// 2.0.
    #[serde(rename = "2.0")]
    V2_0,
}

/// Where a disk's or CD-ROM drive's bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A file of the host.
    File(PathBuf),
    /// No medium.
    Empty,
    /// What a manifest has no word for: a block device, a volume, something on a network. Holds the
    /// `type` of the disk.
    Other(String),
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// The name of its target, such as `vda`: unique within a domain.
    pub target: String,
    /// Its bus, such as `virtio`; none where the XML does not say.
    pub bus: Option<String>,
    /// Where its bytes are.
    pub source: Source,
    /// The format libvirt hands to QEMU; none where it is not pinned or is neither of ours.
    pub format: Option<DiskFormat>,
}

/// A CD-ROM drive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cdrom {
    /// The name of its target, such as `sda`.
    pub target: String,
    /// Its bus, such as `sata`.
    pub bus: Option<String>,
    /// The medium.
    pub source: Source,
}

/// A network card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    /// What it is connected to.
    pub network: Network,
    /// Its address; none only in XML that was not defined yet.
    pub mac: Option<MacAddr>,
    /// Its model, such as `virtio`.
    pub model: Option<String>,
}

/// What a network card is connected to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// A libvirt network, by name.
    Named(String),
    /// A bridge of the host, by name.
    Bridge(String),
    /// User-mode NAT (`type='user'`).
    User,
    /// What a manifest has no word for; holds the `type` of the interface.
    Other(String),
}

/// A display.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graphics {
    /// The protocol.
    pub kind: GraphicsKind,
}

/// The protocol of a display.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GraphicsKind {
    /// SPICE.
    Spice,
    /// VNC.
    Vnc,
    /// What a manifest has no word for; holds the `type`.
    Other(String),
}
