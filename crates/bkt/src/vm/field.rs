//! The fields in which a manifest and a domain can differ.
//!
//! Pure. Tests: below.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One field of a VM, by its name in the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// The title people see: text, or null where there is none.
    Title,
    /// Memory in MiB: a number. `memory_gb` and `memory_mb` are two ways to write it.
    Memory,
    /// Virtual processors: a number.
    Vcpus,
    /// The processor the guest sees: `host-passthrough`, `host-model`, `maximum` or a model's name.
    CpuModel,
    /// The first disk's file: text.
    DiskPath,
    /// The first disk's size in GiB: a number.
    DiskSizeGb,
    /// The first disk's bus: text.
    DiskBus,
    /// `uefi` or `bios`.
    Boot,
    /// Whether UEFI insists on signed boot loaders: true or false.
    SecureBoot,
    /// `2.0` or `none`.
    Tpm,
    /// A libvirt network by name, `bridge:NAME`, `user` or `none`.
    Network,
    /// The first card's address: text.
    Mac,
    /// `spice`, `vnc` or `none`.
    Graphics,
    /// The media of the CD-ROM drives: paths in order.
    IsoSources,
    /// Whether it starts with the host: true or false.
    Autostart,
}

/// Fields with their values, each as JSON in the words of the manifest. A field that is not there is not
/// managed (wanted), or cannot be said (current).
pub type Values = BTreeMap<Field, Value>;

impl Field {
    /// Every field.
    pub const ALL: [Self; 15] = [
        Self::Title,
        Self::Memory,
        Self::Vcpus,
        Self::CpuModel,
        Self::DiskPath,
        Self::DiskSizeGb,
        Self::DiskBus,
        Self::Boot,
        Self::SecureBoot,
        Self::Tpm,
        Self::Network,
        Self::Mac,
        Self::Graphics,
        Self::IsoSources,
        Self::Autostart,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Title => "title",
            Self::Memory => "memory",
            Self::Vcpus => "vcpus",
            Self::CpuModel => "cpu_model",
            Self::DiskPath => "disk_path",
            Self::DiskSizeGb => "disk_size_gb",
            Self::DiskBus => "disk_bus",
            Self::Boot => "boot",
            Self::SecureBoot => "secure_boot",
            Self::Tpm => "tpm",
            Self::Network => "network",
            Self::Mac => "mac",
            Self::Graphics => "graphics",
            Self::IsoSources => "iso_sources",
            Self::Autostart => "autostart",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_written_as_it_is_shown() {
        for field in Field::ALL {
            assert_eq!(serde_json::to_value(field).unwrap(), field.as_str());
        }
    }
}
