//! What a new VM is made from: the manifest's values, and what it leaves open, decided.
//!
//! Everything is decided when the plan is made, so that a reviewed plan makes what was reviewed; only the
//! UUID is drawn when it is applied. Pure. Tests: with the planning.

use std::path::PathBuf;

use plasmavmc_types::DiskFormat;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Host;
use crate::vm::{Field, Values};

/// What a new VM is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Blueprint {
    /// The `type` of the domain: `kvm` or `qemu`.
    pub kind: String,
    /// The program that runs it, where libvirt is not to choose.
    pub emulator: Option<PathBuf>,
    /// The architecture.
    pub arch: String,
    /// The format of its disk.
    pub disk_format: DiskFormat,
    /// Every field with its value.
    pub values: Values,
}

/// The bus of a disk where the manifest names none.
const DEFAULT_BUS: &str = "virtio";

impl Blueprint {
    /// Fills in what the manifest leaves open.
    pub(super) fn new(mut said: Values, host: Option<&Host>, disk_format: DiskFormat) -> Self {
        let host = host.cloned().unwrap_or_else(Host::unknown);
        let windows_11 = said[&Field::Boot] == "uefi" && said[&Field::Tpm] == "2.0";
        if said[&Field::Boot] == "uefi" {
            // Written out either way: libvirt's own choice depends on the order of the host's firmware files.
            said.entry(Field::SecureBoot).or_insert_with(|| json!(windows_11 && host.enrolled_keys));
        }
        said.entry(Field::CpuModel).or_insert_with(|| json!(host.cpu_model));
        said.entry(Field::DiskBus).or_insert_with(|| json!(DEFAULT_BUS));
        Self { kind: host.kind, emulator: host.emulator, arch: host.arch, disk_format, values: said }
    }

    /// A field's text.
    pub fn text(&self, field: Field) -> Option<&str> {
        self.values.get(&field).and_then(Value::as_str)
    }

    /// A field's number; zero where it has none.
    pub fn number(&self, field: Field) -> u64 {
        self.values.get(&field).and_then(Value::as_u64).unwrap_or_default()
    }
}
