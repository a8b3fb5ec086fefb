//! The qcow2 format, as far as an empty overlay and an honest look at a base image need it.
//!
//! Owns: reading the header ([`parse_header`]), and the bytes of an overlay nobody has written to
//! yet. Never does: I/O, or touch a guest's clusters: whatever converts, resizes, commits or
//! repairs an image is `qemu-img`'s work. Called by [`crate::base`] and [`crate::overlay`].
//!
//! Format: QEMU, `docs/interop/qcow2.rst`. Tests: in each file, with `qemu-img` as the oracle in
//! `tests/qcow2_oracle.rs`.

mod empty;
mod header;
mod parse;

pub use empty::{EmptyOverlay, EmptyOverlayError, Piece};
pub use header::{Backing, Compression, Header, HeaderError, Table, Version};
pub(crate) use parse::cluster_size_hint;
pub use parse::parse_header;

/// The first four bytes of every qcow2 file: `QFI` and 0xfb.
pub const MAGIC: [u8; 4] = *b"QFI\xfb";

/// The longest name of a backing file, in bytes (the format's own limit).
pub const MAX_BACKING_NAME: usize = 1023;

/// Header extension that names the backing file's format.
const EXT_BACKING_FORMAT: u32 = 0xe279_2aca;

/// Header extension of Castra's own: what an overlay was made on. QEMU keeps the extensions it does
/// not know, whatever it changes in a header.
const EXT_MADE_ON: u32 = 0xca57_7a0b;

/// Whether QEMU would read `name` as a protocol (`nbd:…`, `json:{…}`) and not as a file.
///
/// QEMU's rule: a colon that comes before any slash. Such a name could make QEMU open anything, on
/// the network too, so Castra follows none of them and writes none.
pub fn is_protocol_name(name: &[u8]) -> bool {
    name.iter().find(|byte| matches!(byte, b':' | b'/')) == Some(&b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_before_any_slash_makes_a_protocol() {
        for name in ["json:{\"driver\":\"nbd\"}", "nbd://host/x", "file:/etc/passwd", "a:b", ":"] {
            assert!(is_protocol_name(name.as_bytes()), "{name}");
        }
        for name in ["/a:b", "./a:b", "base.qcow2", "", "a/b:c"] {
            assert!(!is_protocol_name(name.as_bytes()), "{name}");
        }
    }
}
