//! A qcow2 header: an image comes from anywhere.

use std::os::unix::ffi::OsStrExt;

use plasmavmc_host::qcow2::{EmptyOverlay, Header, MAX_BACKING_NAME, is_protocol_name, parse_header};
use plasmavmc_types::DiskFormat;

/// What is read as a header keeps the format's limits, depends on its first cluster alone, and can
/// be the base of an overlay whose header is read as it was meant.
pub fn check(bytes: &[u8]) {
    let Ok(header) = parse_header(bytes) else { return };
    check_limits(&header);
    let cluster = usize::try_from(header.cluster_size()).expect("2 MiB at most");
    let mut whole = bytes.to_vec();
    whole.resize(cluster.max(bytes.len()), 0xa5);
    assert_eq!(parse_header(&whole).as_ref(), Ok(&header), "what follows the input changed it");
    assert_eq!(parse_header(&whole[..cluster]).as_ref(), Ok(&header), "it lies beyond the first cluster");
    check_overlay(&header);
}

/// The limits of QEMU's `docs/interop/qcow2.rst`.
fn check_limits(header: &Header) {
    assert!((9..=21).contains(&header.cluster_bits));
    assert!(header.refcount_bits.is_power_of_two() && header.refcount_bits <= 64);
    assert!(header.snapshots <= 65_536);
    assert!(header.l1.entries <= 4 << 20);
    for table in [header.l1, header.refcount_table] {
        assert!(table.offset.is_multiple_of(header.cluster_size()) && table.offset >> 56 == 0, "{table:?}");
        assert!(table.end() <= header.least_len());
    }
    if let Some(backing) = &header.backing {
        let name = backing.name.as_os_str().as_bytes();
        assert!((1..=MAX_BACKING_NAME).contains(&name.len()) && !name.contains(&0), "{name:?}");
        assert!(backing.format.as_ref().is_none_or(|format| format.chars().count() <= 15));
    }
}

/// An overlay over what the header names, of the size it has.
fn check_overlay(header: &Header) {
    let Some(backing) = &header.backing else { return };
    let name = backing.name.as_os_str().as_bytes();
    let note = header.made_on.as_deref().unwrap_or_default();
    let Ok(overlay) = EmptyOverlay::over(name, DiskFormat::Qcow2, header.virtual_size, note) else { return };
    assert!(!is_protocol_name(name));
    let mut cluster = overlay.pieces()[0].bytes.clone();
    cluster.resize(1 << 16, 0);
    let read = parse_header(&cluster).expect("our own header");
    assert_eq!(read.made_on.as_deref().unwrap_or_default(), note);
    assert_eq!(read.backing.expect("an overlay has a base").name, backing.name);
    let sectors = header.virtual_size.as_bytes().div_ceil(512);
    assert_eq!(read.virtual_size.as_bytes(), sectors * 512);
}
