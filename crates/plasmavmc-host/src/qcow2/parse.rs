//! Reads a qcow2 header from bytes. Pure and total: every input gives a header or an error.
//!
//! The limits are QEMU's own, so that what is accepted here also opens there. Tests: below, with
//! properties over random and damaged bytes.

use std::ffi::OsStr;
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use plasmavmc_types::ByteSize;

use super::header::{COMPRESSION, EXTENDED_L2};
use super::{
    Backing, Compression, EXT_BACKING_FORMAT, EXT_MADE_ON, Header, HeaderError, MAGIC, MAX_BACKING_NAME,
    Table, Version,
};

/// Length of a version 2 header, and of the part both versions share.
const V2_LEN: u64 = 72;
/// Least length of a version 3 header.
const V3_LEN: u64 = 104;
/// Most bytes of an L1 table that QEMU loads.
const MAX_L1_BYTES: u64 = 32 << 20;
/// Most bytes of a refcount table that QEMU loads.
const MAX_REFCOUNT_TABLE_BYTES: u64 = 8 << 20;
/// Most snapshots QEMU loads.
const MAX_SNAPSHOTS: u64 = 65_536;
/// Longest name of a format that QEMU accepts as the backing format.
const MAX_FORMAT_NAME: u64 = 15;

/// The cluster size that the first bytes of a file claim; none where they hold no valid one.
///
/// The header with its extensions and the backing name lies within the first cluster, so this is
/// how much of a file [`parse_header`] can need.
pub(crate) fn cluster_size_hint(bytes: &[u8]) -> Option<u64> {
    let bits = Fields(bytes).u32(20).ok()?;
    (9..=21).contains(&bits).then(|| 1 << bits)
}

/// Reads the header from the beginning of a file: its first cluster, or all of it where it is
/// shorter.
///
/// Feature bits that are not known do not fail here: see [`Header::unknown_features`].
///
/// # Errors
/// [`HeaderError`]: whatever the bytes, never a panic.
pub fn parse_header(bytes: &[u8]) -> Result<Header, HeaderError> {
    if !bytes.starts_with(&MAGIC) {
        return Err(HeaderError::Magic);
    }
    let fields = Fields(bytes);
    let version = match fields.u32(4)? {
        2 => Version::V2,
        3 => Version::V3,
        found => return Err(HeaderError::Version { found }),
    };
    let cluster_bits = fields.within(20, "cluster_bits", 9..=21, "9 to 21")?;
    let cluster_size = 1_u64 << cluster_bits;
    let extras = Extras::parse(&fields, version, cluster_size)?;
    let virtual_size = fields.u64(24)?;
    let crypt_method = fields.within(32, "crypt_method", 0..=2, "0 (none), 1 (AES) or 2 (LUKS)")?;
    let l1 = l1_table(&fields, cluster_size, virtual_size, extras.incompatible)?;
    let refcount_table = refcount_table(&fields, cluster_size)?;
    let snapshots = snapshots(&fields, cluster_size)?;
    let (backing, extensions) = backing(&fields, cluster_size, extras.header_len)?;
    Ok(Header {
        version,
        virtual_size: ByteSize::bytes(virtual_size),
        cluster_bits,
        backing,
        made_on: extensions.made_on,
        encrypted: crypt_method != 0,
        l1,
        refcount_table,
        refcount_bits: 1 << extras.refcount_order,
        snapshots,
        compression: extras.compression,
        incompatible: extras.incompatible,
        compatible: extras.compatible,
    })
}

/// What version 3 added; for version 2, what its absence means.
struct Extras {
    incompatible: u64,
    compatible: u64,
    refcount_order: u32,
    header_len: u64,
    compression: Compression,
}

impl Extras {
    fn parse(fields: &Fields<'_>, version: Version, cluster_size: u64) -> Result<Self, HeaderError> {
        if version == Version::V2 {
            return Ok(Self {
                incompatible: 0,
                compatible: 0,
                refcount_order: 4,
                header_len: V2_LEN,
                compression: Compression::Zlib,
            });
        }
        let incompatible = fields.u64(72)?;
        let header_len = u64::from(fields.u32(100)?);
        if header_len < V3_LEN || header_len > cluster_size || !header_len.is_multiple_of(8) {
            let rule = "a multiple of 8 from 104 to the cluster size";
            return Err(HeaderError::Field { field: "header_length", value: header_len, rule });
        }
        let method = if header_len > V3_LEN { fields.take(104, 1)?[0] } else { 0 };
        if (method != 0) != (incompatible & COMPRESSION != 0) {
            let rule = "0 exactly where the compression feature bit is not set";
            return Err(HeaderError::Field { field: "compression_type", value: method.into(), rule });
        }
        Ok(Self {
            incompatible,
            compatible: fields.u64(80)?,
            refcount_order: fields.within(96, "refcount_order", 0..=6, "0 to 6")?,
            header_len,
            compression: match method {
                0 => Compression::Zlib,
                1 => Compression::Zstd,
                other => Compression::Unknown(other),
            },
        })
    }
}

fn l1_table(
    fields: &Fields<'_>,
    cluster_size: u64,
    virtual_size: u64,
    incompatible: u64,
) -> Result<Table, HeaderError> {
    let entries = u64::from(fields.u32(36)?);
    if entries * 8 > MAX_L1_BYTES {
        return Err(HeaderError::Field { field: "l1_size", value: entries, rule: "at most 4194304" });
    }
    let l2_entry = if incompatible & EXTENDED_L2 != 0 { 16 } else { 8 };
    let covered_by_entry = cluster_size * (cluster_size / l2_entry);
    if entries < virtual_size.div_ceil(covered_by_entry) {
        let rule = "large enough to map the whole disk";
        return Err(HeaderError::Field { field: "l1_size", value: entries, rule });
    }
    // A disk of no size needs no table, and QEMU then takes any offset.
    let offset = if entries == 0 { 0 } else { fields.aligned(40, "l1_table_offset", cluster_size)? };
    Ok(Table { offset, entries })
}

fn refcount_table(fields: &Fields<'_>, cluster_size: u64) -> Result<Table, HeaderError> {
    let clusters = u64::from(fields.u32(56)?);
    if clusters == 0 || clusters * cluster_size > MAX_REFCOUNT_TABLE_BYTES {
        let rule = "at least 1, and at most 8 MiB in all";
        return Err(HeaderError::Field { field: "refcount_table_clusters", value: clusters, rule });
    }
    let offset = fields.aligned(48, "refcount_table_offset", cluster_size)?;
    Ok(Table { offset, entries: clusters * cluster_size / 8 })
}

fn snapshots(fields: &Fields<'_>, cluster_size: u64) -> Result<u32, HeaderError> {
    let count = fields.u32(60)?;
    if u64::from(count) > MAX_SNAPSHOTS {
        let rule = "at most 65536";
        return Err(HeaderError::Field { field: "nb_snapshots", value: count.into(), rule });
    }
    if count > 0 {
        fields.aligned(64, "snapshots_offset", cluster_size)?;
    }
    Ok(count)
}

fn backing(
    fields: &Fields<'_>,
    cluster_size: u64,
    header_len: u64,
) -> Result<(Option<Backing>, Extensions), HeaderError> {
    let offset = fields.u64(8)?;
    if offset == 0 {
        return Ok((None, extensions(fields, header_len, cluster_size)?));
    }
    if offset < header_len || offset >= cluster_size {
        let rule = "after the header and within the first cluster";
        return Err(HeaderError::Field { field: "backing_file_offset", value: offset, rule });
    }
    let len = u64::from(fields.u32(16)?);
    if len == 0 || len > (MAX_BACKING_NAME as u64).min(cluster_size - offset) {
        let rule = "1 to 1023, and end within the first cluster";
        return Err(HeaderError::Field { field: "backing_file_size", value: len, rule });
    }
    let name = fields.take(offset, len)?;
    if let Some(at) = name.iter().position(|&byte| byte == 0) {
        let rule = "text without NUL bytes";
        return Err(HeaderError::Field { field: "backing_file_name", value: at as u64, rule });
    }
    let extensions = extensions(fields, header_len, offset)?;
    let backing =
        Backing { name: PathBuf::from(OsStr::from_bytes(name)), format: extensions.backing_format.clone() };
    Ok((Some(backing), extensions))
}

/// The header extensions that are of interest here.
#[derive(Default)]
struct Extensions {
    backing_format: Option<String>,
    made_on: Option<Vec<u8>>,
}

/// Walks the header extensions from `at` to `end`.
fn extensions(fields: &Fields<'_>, mut at: u64, end: u64) -> Result<Extensions, HeaderError> {
    let mut found = Extensions::default();
    while at + 8 <= end {
        let (kind, len) = (fields.u32(at)?, u64::from(fields.u32(at + 4)?));
        if kind == 0 {
            break;
        }
        let data = at + 8;
        if len > end - data {
            let rule = "within the room for header extensions";
            return Err(HeaderError::Field { field: "header_extension_length", value: len, rule });
        }
        match kind {
            EXT_BACKING_FORMAT if len > MAX_FORMAT_NAME => {
                let rule = "at most 15 bytes long";
                return Err(HeaderError::Field { field: "backing_format_length", value: len, rule });
            }
            EXT_BACKING_FORMAT => {
                let format = String::from_utf8_lossy(fields.take(data, len)?);
                found.backing_format = Some(format.into_owned());
            }
            EXT_MADE_ON => found.made_on = Some(fields.take(data, len)?.to_vec()),
            _ => {}
        }
        at = data + len.next_multiple_of(8);
    }
    Ok(found)
}

/// Big-endian fields of a byte slice, each read within bounds.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&self, at: u64, len: u64) -> Result<&'a [u8], HeaderError> {
        let needed = at.saturating_add(len);
        let range = usize::try_from(at).ok().zip(usize::try_from(needed).ok());
        range
            .and_then(|(from, to)| self.0.get(from..to))
            .ok_or(HeaderError::Short { found: self.0.len() as u64, needed })
    }

    fn u32(&self, at: u64) -> Result<u32, HeaderError> {
        Ok(self.take(at, 4)?.iter().fold(0, |value, &byte| value << 8 | u32::from(byte)))
    }

    fn u64(&self, at: u64) -> Result<u64, HeaderError> {
        Ok(self.take(at, 8)?.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    fn within(
        &self,
        at: u64,
        field: &'static str,
        range: RangeInclusive<u32>,
        rule: &'static str,
    ) -> Result<u32, HeaderError> {
        let value = self.u32(at)?;
        if range.contains(&value) {
            Ok(value)
        } else {
            Err(HeaderError::Field { field, value: value.into(), rule })
        }
    }

    /// An offset of something in the file: a multiple of the cluster size, below 2^56, not 0.
    fn aligned(&self, at: u64, field: &'static str, cluster_size: u64) -> Result<u64, HeaderError> {
        let value = self.u64(at)?;
        if value == 0 || !value.is_multiple_of(cluster_size) || value >> 56 != 0 {
            let rule = "a multiple of the cluster size, not 0, below 2^56";
            return Err(HeaderError::Field { field, value, rule });
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use plasmavmc_types::DiskFormat;
    use proptest::prelude::*;

    use super::*;
    use crate::qcow2::EmptyOverlay;

    /// The first cluster of a valid image over `/images/base.qcow2`.
    fn valid() -> Vec<u8> {
        let overlay =
            EmptyOverlay::over(b"/images/base.qcow2", DiskFormat::Qcow2, ByteSize::gib(10), b"").unwrap();
        let mut cluster = vec![0; 1 << 16];
        let header = &overlay.pieces()[0];
        cluster[..header.bytes.len()].copy_from_slice(&header.bytes);
        cluster
    }

    fn with(at: usize, bytes: &[u8]) -> Result<Header, HeaderError> {
        let mut image = valid();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        parse_header(&image)
    }

    #[test]
    fn every_field_outside_its_range_is_named() {
        let cases: &[(usize, &[u8], &str)] = &[
            (20, &[0, 0, 0, 8], "cluster_bits"),
            (20, &[0xff; 4], "cluster_bits"),
            (8, &[0xff; 8], "backing_file_offset"),
            (8, &[0, 0, 0, 0, 0, 0, 0, 1], "backing_file_offset"),
            (16, &[0, 0, 4, 0], "backing_file_size"),
            (16, &[0; 4], "backing_file_size"),
            (24, &[0x7f; 8], "l1_size"),
            (32, &[0, 0, 0, 3], "crypt_method"),
            (36, &[0xff; 4], "l1_size"),
            (36, &[0, 0, 0, 19], "l1_size"),
            (40, &[0; 8], "l1_table_offset"),
            (40, &[0, 0, 0, 0, 0, 3, 0, 1], "l1_table_offset"),
            (48, &[0xff; 8], "refcount_table_offset"),
            (56, &[0; 4], "refcount_table_clusters"),
            (56, &[0, 0, 0, 129], "refcount_table_clusters"),
            (60, &[0, 1, 0, 1], "nb_snapshots"),
            (60, &[0, 0, 0, 1], "snapshots_offset"),
            (96, &[0, 0, 0, 7], "refcount_order"),
            (100, &[0, 0, 0, 96], "header_length"),
            (100, &[0, 0, 0, 105], "header_length"),
            (100, &[0x7f, 0, 0, 0], "header_length"),
            (79, &[8], "compression_type"),
            (108, &[0xff; 4], "header_extension_length"),
            (108, &[0, 0, 0, 16], "backing_format_length"),
        ];
        for (at, bytes, name) in cases {
            match with(*at, bytes) {
                Err(HeaderError::Field { field, .. }) => assert_eq!(field, *name, "at {at}"),
                other => panic!("{bytes:?} at {at}: {other:?}, expected a fault in {name}"),
            }
        }
        assert_eq!(with(0, b"QFI\0"), Err(HeaderError::Magic));
        assert_eq!(with(4, &[0, 0, 0, 4]), Err(HeaderError::Version { found: 4 }));
        assert_eq!(parse_header(b"QFI\xfb\0\0\0\x03"), Err(HeaderError::Short { found: 8, needed: 24 }));
    }

    #[test]
    fn features_are_told_apart() {
        let header = with(72, &[0x80, 0, 0, 0, 0, 0, 0, 0b0111]).unwrap();
        assert_eq!(header.unknown_features(), 1 << 63);
        assert!(header.is_marked_corrupt() && header.has_external_data());
        assert_eq!(parse_header(&valid()).unwrap().unknown_features(), 0);
    }

    #[test]
    fn a_version_2_image_has_the_meaning_of_its_missing_fields() {
        let mut image = valid();
        image[7] = 2;
        image[72..].fill(0);
        image[8..20].fill(0);
        let header = parse_header(&image).unwrap();
        assert_eq!((header.version, header.refcount_bits), (Version::V2, 16));
        assert_eq!((header.compression, header.backing), (Compression::Zlib, None));
    }

    #[test]
    fn a_nul_in_a_backing_name_is_refused() {
        let offset = usize::from(u16::from_be_bytes([valid()[14], valid()[15]]));
        let error = with(offset + 3, &[0]).unwrap_err();
        assert!(matches!(error, HeaderError::Field { field: "backing_file_name", value: 3, .. }));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = parse_header(&bytes);
            let _ = parse_header(&[&MAGIC[..], &bytes].concat());
        }

        #[test]
        fn no_damage_makes_it_panic_or_point_outside(
            damage in proptest::collection::vec((0_usize..160, any::<u8>()), 1..6),
            len in 0_usize..65_536,
        ) {
            let mut image = valid();
            for (at, byte) in damage {
                image[at] = byte;
            }
            let _ = parse_header(&image[..len]);
            if let Ok(header) = parse_header(&image) {
                prop_assert!(header.least_len() <= (1 << 56) + (32 << 20));
                prop_assert!((9..=21).contains(&header.cluster_bits));
            }
        }

        #[test]
        fn what_is_written_is_read_back(
            name in "/[a-z0-9 ,:=é]{1,200}",
            note in proptest::collection::vec(any::<u8>(), 0..200),
            gib in 1_u64..5_000,
        ) {
            let size = ByteSize::gib(gib);
            let overlay = EmptyOverlay::over(name.as_bytes(), DiskFormat::Raw, size, &note).unwrap();
            let mut cluster = overlay.pieces()[0].bytes.clone();
            cluster.resize(1 << 16, 0);
            let header = parse_header(&cluster).unwrap();
            prop_assert_eq!(header.virtual_size, size);
            prop_assert!(header.least_len() <= overlay.file_len());
            prop_assert_eq!(header.made_on.unwrap_or_default(), note);
            prop_assert_eq!(header.backing, Some(Backing { name: name.into(), format: Some("raw".into()) }));
        }
    }
}
