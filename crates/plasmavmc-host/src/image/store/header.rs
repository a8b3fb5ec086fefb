//! Tells a qcow2 file from a raw one, and one that stands alone from one that needs other files.
//!
//! Reads the first bytes only (QEMU's `docs/interop/qcow2.rst`). Tests: below.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use plasmavmc_types::DiskFormat;

use super::super::error::Unfit;
use crate::{HostError, IoContext};

/// How a qcow2 file begins.
pub(super) const QCOW2_MAGIC: &[u8] = b"QFI\xfb";

/// The bytes of a version 3 header up to and with the incompatible features.
const HEADER_BYTES: u64 = 80;

/// The incompatible feature "external data file".
const EXTERNAL_DATA: u64 = 1 << 2;

/// The format of the image at `path`, or why it is none.
pub(super) fn inspect(path: &Path) -> Result<Result<DiskFormat, Unfit>, HostError> {
    // What is not a regular file may not be opened either: a FIFO would block.
    let found = std::fs::metadata(path).context("open", path)?;
    if !found.is_file() {
        return Ok(Err(Unfit::NotAFile));
    }
    let file = File::open(path).context("open", path)?;
    let mut header = Vec::new();
    file.take(HEADER_BYTES).read_to_end(&mut header).context("read", path)?;
    Ok(judge(&header))
}

/// What a file that begins with these bytes is.
fn judge(header: &[u8]) -> Result<DiskFormat, Unfit> {
    if header.is_empty() {
        return Err(Unfit::Empty);
    }
    if !header.starts_with(QCOW2_MAGIC) {
        return Ok(DiskFormat::Raw);
    }
    let number = |at: usize, bytes: usize| {
        let field = header.get(at..at + bytes).ok_or(Unfit::BadHeader)?;
        Ok(field.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte)))
    };
    let (version, backing, encryption) = (number(4, 4)?, number(8, 8)?, number(32, 4)?);
    if !(2..=3).contains(&version) {
        return Err(Unfit::BadHeader);
    }
    if backing != 0 {
        return Err(Unfit::HasBackingFile);
    }
    if encryption != 0 {
        return Err(Unfit::Encrypted);
    }
    if version == 3 && number(72, 8)? & EXTERNAL_DATA != 0 {
        return Err(Unfit::HasDataFile);
    }
    Ok(DiskFormat::Qcow2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(version: u8, field: Option<usize>) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES as usize];
        bytes[..4].copy_from_slice(QCOW2_MAGIC);
        bytes[7] = version;
        if let Some(at) = field {
            bytes[at] = 4;
        }
        bytes
    }

    #[test]
    fn only_an_image_that_stands_alone_is_fit() {
        for (bytes, verdict) in [
            (header(2, None), Ok(DiskFormat::Qcow2)),
            (header(3, None), Ok(DiskFormat::Qcow2)),
            (header(2, Some(79)), Ok(DiskFormat::Qcow2)),
            (b"\xeb\x63\x90".to_vec(), Ok(DiskFormat::Raw)),
            (Vec::new(), Err(Unfit::Empty)),
            (header(1, None), Err(Unfit::BadHeader)),
            (header(3, None)[..79].to_vec(), Err(Unfit::BadHeader)),
            (QCOW2_MAGIC.to_vec(), Err(Unfit::BadHeader)),
            (header(3, Some(15)), Err(Unfit::HasBackingFile)),
            (header(3, Some(35)), Err(Unfit::Encrypted)),
            (header(3, Some(79)), Err(Unfit::HasDataFile)),
        ] {
            assert_eq!(judge(&bytes), verdict);
        }
    }

    #[test]
    fn a_directory_is_no_image() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(inspect(dir.path()).unwrap(), Err(Unfit::NotAFile));
        assert!(inspect(&dir.path().join("none")).is_err());
    }
}
