//! What a qcow2 header says, as values. Never does: read bytes (that is [`super::parse_header`]).
//!
//! Tests: with the parser, in `parse.rs`.

use std::path::PathBuf;

use plasmavmc_types::ByteSize;

/// Incompatible feature: the refcounts may be out of date.
const DIRTY: u64 = 1;
/// Incompatible feature: QEMU found the metadata damaged and refuses to write.
const CORRUPT: u64 = 1 << 1;
/// Incompatible feature: guest data is in another file.
const EXTERNAL_DATA: u64 = 1 << 2;
/// Incompatible feature: the header names its compression.
pub(super) const COMPRESSION: u64 = 1 << 3;
/// Incompatible feature: L2 entries are 16 bytes long.
pub(super) const EXTENDED_L2: u64 = 1 << 4;
const KNOWN: u64 = DIRTY | CORRUPT | EXTERNAL_DATA | COMPRESSION | EXTENDED_L2;

/// What a qcow2 file says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The version of the format.
    pub version: Version,
    /// The size of the disk the guest sees.
    pub virtual_size: ByteSize,
    /// The size of a cluster is two to this power: 9 to 21.
    pub cluster_bits: u32,
    /// What lies under the image; none where it stands alone.
    pub backing: Option<Backing>,
    /// What Castra noted of the file under it when it made the image, as it was written.
    pub made_on: Option<Vec<u8>>,
    /// Whether the guest's data is encrypted.
    pub encrypted: bool,
    /// The first level of the map from guest to file, in entries of 8 bytes.
    pub l1: Table,
    /// The first level of the reference counts, in entries of 8 bytes.
    pub refcount_table: Table,
    /// Bits of one reference count: 1, 2, 4, 8, 16, 32 or 64.
    pub refcount_bits: u32,
    /// How many internal snapshots it holds.
    pub snapshots: u32,
    /// How its compressed clusters are compressed.
    pub compression: Compression,
    /// Features a reader must know, as bits.
    pub incompatible: u64,
    /// Features a reader may ignore, as bits.
    pub compatible: u64,
}

/// The version of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// QEMU 0.9 and later (`compat=0.10`).
    V2,
    /// QEMU 1.1 and later (`compat=1.1`).
    V3,
}

/// How compressed clusters are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Deflate, without a zlib header.
    Zlib,
    /// Zstandard.
    Zstd,
    /// A method of a later QEMU.
    Unknown(u8),
}

/// The file under an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backing {
    /// Its name as written: relative to the image's directory, absolute, or a protocol's.
    pub name: PathBuf,
    /// Its format, where the image states one.
    pub format: Option<String>,
}

/// A table of 8-byte entries within the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// Where it begins, in bytes from the beginning of the file; a multiple of the cluster size.
    pub offset: u64,
    /// How many entries it has.
    pub entries: u64,
}

impl Table {
    /// The first byte after it.
    pub const fn end(self) -> u64 {
        self.offset.saturating_add(self.entries.saturating_mul(8))
    }
}

/// Why bytes are not a qcow2 header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The file does not begin with [`MAGIC`](super::MAGIC).
    #[error("it does not begin with the qcow2 magic number")]
    Magic,
    /// The file ends inside its header.
    #[error("it ends after {found} bytes; its header needs {needed}")]
    Short {
        /// How many bytes there are.
        found: u64,
        /// How many there should be at least.
        needed: u64,
    },
    /// A version that no QEMU so far writes.
    #[error("its qcow2 version is {found}, neither 2 nor 3")]
    Version {
        /// The version it claims.
        found: u32,
    },
    /// A field holds what the format does not allow.
    #[error("its header field `{field}` is {value}: it must be {rule}")]
    Field {
        /// The field's name in the format's description.
        field: &'static str,
        /// What it holds.
        value: u64,
        /// What it may hold.
        rule: &'static str,
    },
}

impl Header {
    /// The size of a cluster in bytes.
    pub const fn cluster_size(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// The feature bits that no QEMU so far defines, but that a reader must know; 0 where none.
    pub const fn unknown_features(&self) -> u64 {
        self.incompatible & !KNOWN
    }

    /// Whether QEMU marked the image as damaged.
    pub const fn is_marked_corrupt(&self) -> bool {
        self.incompatible & CORRUPT != 0
    }

    /// Whether the guest's data is in another file.
    pub const fn has_external_data(&self) -> bool {
        self.incompatible & EXTERNAL_DATA != 0
    }

    /// The least length of a file with this header: its tables lie within it.
    pub fn least_len(&self) -> u64 {
        self.l1.end().max(self.refcount_table.end())
    }
}
