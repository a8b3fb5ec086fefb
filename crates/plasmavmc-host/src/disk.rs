//! Disk space: what a file takes, and what a directory has left.
//!
//! A file takes its allocated blocks, not its length: an overlay of 10 GiB that a guest has barely
//! written to takes a few KiB. Never does: change anything. Tests: below.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use plasmavmc_types::ByteSize;

use crate::{HostError, IoContext};

/// The unit of `st_blocks`, whatever the file system's block size is (POSIX, `sys/stat.h`).
const BLOCK: u64 = 512;

/// What removing the file or symbolic link `path` would free; zero where it does not exist.
///
/// A file with other hard links frees nothing: the bytes stay under its other names.
///
/// # Errors
/// [`HostError::Io`].
pub fn usage(path: &Path) -> Result<ByteSize, HostError> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.nlink() > 1 && !meta.is_dir() => Ok(ByteSize::bytes(0)),
        Ok(meta) => Ok(ByteSize::bytes(meta.blocks() * BLOCK)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(ByteSize::bytes(0)),
        Err(error) => Err(error).context("inspect", path),
    }
}

/// The room this user has left on the file system that holds `path`, or would hold it: of a path
/// that does not exist, the nearest parent counts.
///
/// # Errors
/// [`HostError::Io`].
pub fn free(path: &Path) -> Result<ByteSize, HostError> {
    let existing = nearest_existing(path);
    let stats = rustix::fs::statvfs(&existing).context("inspect the file system of", &existing)?;
    Ok(ByteSize::bytes(stats.f_bavail.saturating_mul(stats.f_frsize)))
}

/// `path`, or the nearest of its parents that exists.
pub(crate) fn nearest_existing(path: &Path) -> PathBuf {
    let existing = path.ancestors().find(|ancestor| ancestor.exists());
    match existing {
        Some(found) if !found.as_os_str().is_empty() => found.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparse_file_takes_what_is_allocated_and_not_its_length() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sparse");
        let file = fs::File::create(&path).unwrap();
        file.set_len(1 << 30).unwrap();
        assert!(usage(&path).unwrap() < ByteSize::mib(1));
        fs::write(&path, vec![1; 1 << 20]).unwrap();
        fs::File::open(&path).unwrap().sync_all().unwrap();
        assert!(usage(&path).unwrap() >= ByteSize::mib(1));
    }

    #[test]
    fn a_second_name_for_the_same_bytes_frees_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("a"), dir.path().join("b"));
        fs::write(&path, [1; 8192]).unwrap();
        fs::hard_link(&path, &link).unwrap();
        assert_eq!(usage(&link).unwrap(), ByteSize::bytes(0));
        assert_eq!(usage(&dir.path().join("missing")).unwrap(), ByteSize::bytes(0));
    }

    #[test]
    fn the_free_room_of_a_path_to_be_made_is_that_of_its_parent() {
        let dir = tempfile::tempdir().unwrap();
        assert!(free(&dir.path().join("not/yet/there")).unwrap() > ByteSize::bytes(0));
        assert_eq!(nearest_existing(&dir.path().join("x/y")), dir.path());
        assert_eq!(nearest_existing(Path::new("no-such-thing/y")), Path::new("."));
    }
}
