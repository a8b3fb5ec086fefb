//! The limits of a manifest, each with its reason.

use std::ops::RangeInclusive;

/// The largest manifest that is read, in bytes: 1,000 VMs take half a MiB, so this is room for 8,000.
pub const MAX_FILE_BYTES: u64 = 4 << 20;

/// Memory of a VM in MiB: up to what 52 bits of a guest's physical addresses reach.
pub const MEMORY_MB: RangeInclusive<u64> = 1..=4 << 30;

/// Memory of a VM in GiB: the same.
pub const MEMORY_GB: RangeInclusive<u64> = 1..=4 << 20;

/// Virtual processors: the most that any machine type of QEMU takes.
pub const VCPUS: RangeInclusive<u64> = 1..=4096;

/// The size of a disk in GiB: up to a PiB, beyond which no file system that qcow2 files stand on goes.
pub const DISK_SIZE_GB: RangeInclusive<u64> = 1..=1 << 20;

/// The longest name of a VM in bytes: libvirt writes `<name>.xml.new`, and a file's name has 255.
pub const MAX_NAME_BYTES: usize = 247;

/// The longest title, in bytes: it is one line of a list.
pub const MAX_TITLE_BYTES: usize = 1024;

/// The longest name of a processor model, in bytes.
pub const MAX_MODEL_BYTES: usize = 64;

/// The longest name of a network interface, in bytes: Linux's `IFNAMSIZ` without its end mark.
pub const MAX_INTERFACE_BYTES: usize = 15;

/// The longest path, in bytes: Linux's `PATH_MAX` without its end mark.
pub const MAX_PATH_BYTES: usize = 4095;

/// The longest name in a path, in bytes: `NAME_MAX` of Linux's file systems.
pub const MAX_PATH_NAME_BYTES: usize = 255;

/// The longest URL, in bytes: what servers are known to take.
pub const MAX_URL_BYTES: usize = 2048;

/// The most media of a VM: SATA drives that libvirt puts on one controller, less a disk.
pub const MAX_ISO_SOURCES: usize = 5;

/// The deepest nesting of a manifest: ours has 5 levels, and keys like comments may hold more.
pub const MAX_NESTING: usize = 32;

pub use plasmavmc_source::MAX_FAULTS;
