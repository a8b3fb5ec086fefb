//! What a VM shall be: the one typed description every face produces and every backend takes.
//!
//! Owns: the spec and its parts. Never does: say where files of a run live (a backend decides) or
//! what a VM is now ([`crate::VmStatus`]). Tests: below.

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ByteSize, MacAddr, PortForward, VmId, VmName};

/// A VM as it shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmSpec {
    /// Its identity, kept across starts.
    pub id: VmId,
    /// Its name, unique within its backend.
    pub name: VmName,
    /// Processors and memory.
    pub resources: VmResources,
    /// The machine QEMU emulates.
    pub machine: MachineType,
    /// What runs before the boot loader.
    pub firmware: Firmware,
    /// How guest code is to be run.
    pub accelerator: AcceleratorChoice,
    /// Its disks; the guest boots from the first.
    pub disks: Vec<DiskSpec>,
    /// Its network cards.
    pub networks: Vec<NetworkSpec>,
    /// Folders of the host that the guest may mount.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<ShareSpec>,
}

impl VmSpec {
    /// The port forwards of all its network cards.
    pub fn port_forwards(&self) -> impl Iterator<Item = &PortForward> {
        self.networks.iter().flat_map(|network| match &network.kind {
            NetworkKind::User { forwards } => forwards,
        })
    }
}

/// Processors and memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmResources {
    /// Virtual processors.
    pub cpus: NonZeroU32,
    /// Guest memory.
    pub memory: ByteSize,
}

/// The machine type, without the version a backend pins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MachineType {
    /// PCI Express, ACPI, firmware: boots any disk image.
    #[default]
    Q35,
    /// virtio-mmio only, no PCI and no firmware menu: boots a kernel the host hands over.
    Microvm,
}

/// What runs before the boot loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Firmware {
    /// SeaBIOS, built into QEMU.
    #[default]
    Bios,
    /// UEFI (EDK II).
    Uefi,
}

/// Something that can run guest code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// Linux's kernel virtual machine.
    Kvm,
    /// Apple's Hypervisor framework.
    Hvf,
    /// QEMU's own translator: works everywhere, slower.
    Tcg,
}

impl Accelerator {
    /// The name QEMU's `-accel` takes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Hvf => "hvf",
            Self::Tcg => "tcg",
        }
    }
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How the accelerator is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AcceleratorChoice {
    /// The fastest one that has run guest code on this host.
    #[default]
    Auto,
    /// KVM or nothing.
    Kvm,
    /// HVF or nothing.
    Hvf,
    /// TCG.
    Tcg,
}

impl AcceleratorChoice {
    /// The accelerator a person insisted on; none for `auto`.
    pub const fn required(self) -> Option<Accelerator> {
        match self {
            Self::Auto => None,
            Self::Kvm => Some(Accelerator::Kvm),
            Self::Hvf => Some(Accelerator::Hvf),
            Self::Tcg => Some(Accelerator::Tcg),
        }
    }
}

/// The name of a disk or network card inside a VM: stable, so that a checkpoint can name it again.
///
/// A letter, then letters, digits, `-`, `_` or `.`; at most 24 bytes, so that a QEMU node name made
/// from it stays within QEMU's 31.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceId(String);

/// Why a text is not a [`DeviceId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a device id: a letter, then up to 23 letters, digits, `-`, `_` or `.`")]
pub struct DeviceIdError {
    text: String,
}

impl DeviceId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DeviceId {
    type Err = DeviceIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let begins = text.starts_with(|c: char| c.is_ascii_alphabetic());
        if begins && text.len() <= 24 && text.chars().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(DeviceIdError { text: text.to_owned() })
        }
    }
}

impl TryFrom<String> for DeviceId {
    type Error = DeviceIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DeviceId> for String {
    fn from(id: DeviceId) -> Self {
        id.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One disk. The format is always stated: a guest that writes a qcow2 header into a raw disk must
/// never have it believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskSpec {
    /// Its id inside the VM.
    pub id: DeviceId,
    /// The file, absolute.
    pub path: PathBuf,
    /// The format of the file.
    pub format: DiskFormat,
    /// What lies under it; opened read-only.
    pub backing: Option<BackingSpec>,
    /// Whether the guest may not write to it.
    pub read_only: bool,
    /// What becomes of the file once the VM has stopped. Backends only keep note of it: the face
    /// that made the file discards it.
    pub persistence: Persistence,
}

/// Whether what a guest writes outlives its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Persistence {
    /// Discarded after shutdown.
    #[default]
    Disposable,
    /// Kept until someone removes it.
    Persistent,
}

/// The file under an overlay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackingSpec {
    /// The file, absolute.
    pub path: PathBuf,
    /// The format of the file.
    pub format: DiskFormat,
}

/// The format of a disk file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DiskFormat {
    /// QEMU copy-on-write, version 2 or 3.
    Qcow2,
    /// The bytes of the disk.
    Raw,
}

impl DiskFormat {
    /// The name of QEMU's block driver.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
        }
    }
}

impl fmt::Display for DiskFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One network card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// Its id inside the VM.
    pub id: DeviceId,
    /// What it is connected to.
    pub kind: NetworkKind,
    /// Its address.
    pub mac: MacAddr,
}

/// One folder of the host that the guest may mount, as a 9p file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareSpec {
    /// Its id inside the VM, which is also the tag the guest mounts it by.
    pub id: DeviceId,
    /// The folder: absolute, with every link followed.
    pub path: PathBuf,
    /// Where the guest is to see it: an absolute path. Backends only keep note of it: the face mounts it.
    pub mount_point: String,
    /// Whether the guest may not write to it.
    pub read_only: bool,
}

/// What a network card is connected to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
#[non_exhaustive]
pub enum NetworkKind {
    /// User-mode NAT: no privileges needed, reached from the host through forwards only.
    User {
        /// The ports of the host that lead into the guest.
        forwards: Vec<PortForward>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_id_always_fits_a_qemu_node_name() {
        assert!("root".parse::<DeviceId>().is_ok() && "a".repeat(24).parse::<DeviceId>().is_ok());
        for text in ["", "0", "-a", "a,b", "a b", "a=b", &"a".repeat(25)] {
            assert!(text.parse::<DeviceId>().is_err(), "{text:?} was accepted");
        }
    }
}
