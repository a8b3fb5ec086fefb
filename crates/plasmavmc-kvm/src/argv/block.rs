//! Disks and firmware as block nodes with names of their own.
//!
//! A disk `root` becomes the nodes `root` (its format) and `root-file` (its bytes), and, where it
//! lies on another file, `root-base` and `root-base-file`. A qcow2 file without a declared base gets
//! an explicit "no base": what its header names is never opened. Tests: [`super::golden`].

use std::path::Path;

use plasmavmc_types::{BackingSpec, DiskFormat, DiskSpec};
use serde_json::{Value, json};

use super::{Bus, push, slot};
use crate::firmware::UefiFiles;

/// Whether a node may be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    ReadWrite,
    ReadOnly,
}

/// A disk and its device.
pub(super) fn disk(argv: &mut Vec<String>, disk: &DiskSpec, bus: Bus, index: u8) {
    let name = disk.id.as_str();
    let access = if disk.read_only { Access::ReadOnly } else { Access::ReadWrite };
    let base = disk.backing.as_ref().map(|backing| base(argv, name, backing));
    blockdev(argv, &file(&format!("{name}-file"), &disk.path, access));
    blockdev(argv, &format(name, disk.format, base.as_deref(), access));
    let device = bus.virtio("blk", slot::DISKS + index);
    push(argv, "-device", format!("{device},id={name}-disk,drive={name},bootindex={index}"));
}

/// What lies under a disk; returns the name of its node.
fn base(argv: &mut Vec<String>, disk: &str, backing: &BackingSpec) -> String {
    let name = format!("{disk}-base");
    blockdev(argv, &file(&format!("{name}-file"), &backing.path, Access::ReadOnly));
    blockdev(argv, &format(&name, backing.format, None, Access::ReadOnly));
    name
}

/// The firmware's code, read-only, and its variables.
pub(super) fn firmware(argv: &mut Vec<String>, uefi: &UefiFiles) {
    let parts = [("uefi-code", &uefi.code, Access::ReadOnly), ("uefi-vars", &uefi.vars, Access::ReadWrite)];
    for (name, path, access) in parts {
        blockdev(argv, &file(&format!("{name}-file"), path, access));
        blockdev(argv, &format(name, DiskFormat::Raw, None, access));
    }
}

fn blockdev(argv: &mut Vec<String>, node: &Value) {
    push(argv, "-blockdev", node.to_string());
}

/// The bytes of a file.
fn file(name: &str, path: &Path, access: Access) -> Value {
    json!({
        "driver": "file",
        "node-name": name,
        // Paths that are not UTF-8 are refused by `check`.
        "filename": path.to_string_lossy(),
        "read-only": access == Access::ReadOnly,
        "discard": "unmap",
    })
}

/// The disk in the node `<name>-file`.
fn format(name: &str, format: DiskFormat, base: Option<&str>, access: Access) -> Value {
    let mut node = json!({
        "driver": format.as_str(),
        "node-name": name,
        "file": format!("{name}-file"),
        "read-only": access == Access::ReadOnly,
        "discard": "unmap",
    });
    if format == DiskFormat::Qcow2 {
        node["backing"] = json!(base);
    }
    node
}
