//! The bytes of a qcow2 version 3 overlay nobody has written to yet. Pure.
//!
//! Four things in clusters of 64 KiB: header, refcount table, one refcount block, and an L1 table
//! of zeros, which says of every guest cluster "ask the backing file". Tests: below, and with
//! `qemu-img` as the oracle in `tests/qcow2_oracle.rs`.

use plasmavmc_types::{ByteSize, DiskFormat};

use super::{EXT_BACKING_FORMAT, EXT_MADE_ON, MAGIC, MAX_BACKING_NAME, is_protocol_name};

/// 64 KiB clusters, as `qemu-img create` makes them.
const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// Guest bytes that one L1 entry maps: one cluster of 8-byte L2 entries.
const PER_L1_ENTRY: u64 = CLUSTER * (CLUSTER / 8);
/// The largest disk an L1 table of QEMU's 32 MiB can map: 2 PiB.
const MAX_VIRTUAL: u64 = (32 << 20) / 8 * PER_L1_ENTRY;
const HEADER_LEN: u32 = 104;
const REFCOUNT_TABLE: u64 = CLUSTER;
const REFCOUNT_BLOCK: u64 = 2 * CLUSTER;
const L1_TABLE: u64 = 3 * CLUSTER;
/// Refcounts of 16 bits: two to the power of 4.
const REFCOUNT_ORDER: u32 = 4;

/// The longest note in a header, in bytes: a base's name and a few facts.
const MAX_NOTE: usize = 4096;

/// An empty overlay: what to write where, in a file of [`Self::file_len`] bytes of zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmptyOverlay {
    pieces: [Piece; 3],
    file_len: u64,
}

/// Bytes with their place in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where they begin, in bytes from the beginning of the file.
    pub offset: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Why no overlay can be described.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EmptyOverlayError {
    /// The backing file's name does not fit a qcow2 header.
    #[error("the path of the base image has {len} bytes; a qcow2 header holds 1 to {MAX_BACKING_NAME}")]
    NameLength {
        /// Its length in bytes.
        len: usize,
    },
    /// QEMU would read the name as a protocol.
    #[error("the path of the base image, `{name}`, would be read as a protocol and not as a file")]
    Protocol {
        /// The name.
        name: String,
    },
    /// The note does not fit its place.
    #[error("a note of {len} bytes is longer than the {MAX_NOTE} an overlay holds")]
    NoteLength {
        /// Its length in bytes.
        len: usize,
    },
    /// The disk is larger than this format maps with its cluster size.
    #[error("a disk of {size} is larger than the 2 PiB an overlay can map")]
    TooLarge {
        /// The size asked for.
        size: ByteSize,
    },
}

impl EmptyOverlay {
    /// Describes an overlay of `virtual_size`, rounded up to whole sectors of 512 bytes, over
    /// `backing_name` of `backing_format`, with the note `made_on` in its header: at most
    /// as many bytes as fit beside the header, or nothing.
    ///
    /// # Errors
    /// [`EmptyOverlayError`].
    pub fn over(
        backing_name: &[u8],
        backing_format: DiskFormat,
        virtual_size: ByteSize,
        made_on: &[u8],
    ) -> Result<Self, EmptyOverlayError> {
        if backing_name.is_empty() || backing_name.len() > MAX_BACKING_NAME {
            return Err(EmptyOverlayError::NameLength { len: backing_name.len() });
        }
        if is_protocol_name(backing_name) {
            let name = String::from_utf8_lossy(backing_name).into_owned();
            return Err(EmptyOverlayError::Protocol { name });
        }
        if made_on.len() > MAX_NOTE {
            return Err(EmptyOverlayError::NoteLength { len: made_on.len() });
        }
        if virtual_size.as_bytes() > MAX_VIRTUAL {
            return Err(EmptyOverlayError::TooLarge { size: virtual_size });
        }
        let size = virtual_size.as_bytes().next_multiple_of(512);
        let l1_entries = size.div_ceil(PER_L1_ENTRY);
        let clusters = L1_TABLE / CLUSTER + (l1_entries * 8).div_ceil(CLUSTER);
        let one: [u8; 2] = 1_u16.to_be_bytes();
        let counts = (0..clusters).flat_map(|_| one).collect();
        let extensions = extensions(backing_format, made_on);
        let pieces = [
            Piece { offset: 0, bytes: header(backing_name, &extensions, size, l1_entries) },
            Piece { offset: REFCOUNT_TABLE, bytes: REFCOUNT_BLOCK.to_be_bytes().to_vec() },
            Piece { offset: REFCOUNT_BLOCK, bytes: counts },
        ];
        Ok(Self { pieces, file_len: clusters * CLUSTER })
    }

    /// What to write, in the order of the file.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The length of the file in bytes.
    pub const fn file_len(&self) -> u64 {
        self.file_len
    }
}

/// The header extensions, with the end mark of 8 zero bytes.
fn extensions(backing_format: DiskFormat, made_on: &[u8]) -> Vec<u8> {
    let format = (EXT_BACKING_FORMAT, backing_format.as_str().as_bytes());
    let note = (!made_on.is_empty()).then_some((EXT_MADE_ON, made_on));
    let mut bytes = Vec::with_capacity(256);
    for (kind, data) in [Some(format), note].into_iter().flatten() {
        bytes.extend(kind.to_be_bytes());
        bytes.extend(narrow(data.len() as u64).to_be_bytes());
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    bytes.resize(bytes.len() + 8, 0);
    bytes
}

/// The header, its extensions and the backing name.
fn header(backing_name: &[u8], extensions: &[u8], size: u64, l1_entries: u64) -> Vec<u8> {
    let name_at = u64::from(HEADER_LEN) + extensions.len() as u64;
    let mut bytes = Vec::with_capacity(512);
    bytes.extend(MAGIC);
    bytes.extend(3_u32.to_be_bytes());
    bytes.extend(name_at.to_be_bytes());
    bytes.extend(narrow(backing_name.len() as u64).to_be_bytes());
    bytes.extend(CLUSTER_BITS.to_be_bytes());
    bytes.extend(size.to_be_bytes());
    bytes.extend(0_u32.to_be_bytes()); // not encrypted
    bytes.extend(narrow(l1_entries).to_be_bytes());
    bytes.extend(L1_TABLE.to_be_bytes());
    bytes.extend(REFCOUNT_TABLE.to_be_bytes());
    bytes.extend(1_u32.to_be_bytes()); // clusters of the refcount table
    bytes.extend(0_u32.to_be_bytes()); // snapshots
    bytes.extend(0_u64.to_be_bytes()); // where they begin
    bytes.extend([0; 24]); // no incompatible, compatible or autoclear features
    bytes.extend(REFCOUNT_ORDER.to_be_bytes());
    bytes.extend(HEADER_LEN.to_be_bytes());
    bytes.extend(extensions);
    bytes.extend(backing_name);
    bytes
}

/// A length that its caller has bounded far below 2^32.
fn narrow(length: u64) -> u32 {
    u32::try_from(length).expect("names and notes are short, and L1 tables have at most 2^22 entries")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_backing_names_are_refused() {
        let over = |name: &str| EmptyOverlay::over(name.as_bytes(), DiskFormat::Qcow2, ByteSize::gib(1), b"");
        for name in ["json:{}", "nbd://host/export", "fat:rw:/etc"] {
            assert!(matches!(over(name), Err(EmptyOverlayError::Protocol { .. })), "{name}");
        }
        assert_eq!(over(""), Err(EmptyOverlayError::NameLength { len: 0 }));
        let long = format!("/{}", "a".repeat(1023));
        assert_eq!(over(&long), Err(EmptyOverlayError::NameLength { len: 1024 }));
        assert!(over(&long[..1023]).is_ok());
    }

    #[test]
    fn the_longest_name_and_note_lie_in_the_first_cluster() {
        let over = |note: &[u8]| EmptyOverlay::over(&[b'a'; 1023], DiskFormat::Qcow2, ByteSize::gib(1), note);
        assert!((over(&[1; MAX_NOTE]).unwrap().pieces()[0].bytes.len() as u64) < CLUSTER);
        assert_eq!(over(&[1; MAX_NOTE + 1]), Err(EmptyOverlayError::NoteLength { len: MAX_NOTE + 1 }));
    }

    #[test]
    fn the_largest_disk_still_fits_one_refcount_block() {
        let largest = EmptyOverlay::over(b"/b", DiskFormat::Raw, ByteSize::bytes(MAX_VIRTUAL), b"").unwrap();
        assert!(largest.pieces()[2].bytes.len() as u64 <= CLUSTER);
        let error =
            EmptyOverlay::over(b"/b", DiskFormat::Raw, ByteSize::bytes(MAX_VIRTUAL + 1), b"").unwrap_err();
        assert!(matches!(error, EmptyOverlayError::TooLarge { .. }));
    }
}
