//! What the store knows about the bytes it keeps, as JSON files.
//!
//! ```text
//! records/<sha512>.json      an image: what it is, where it came from, and when its bytes were
//!                            last known to be right
//! names/<name>.<arch>.json   which bytes a name means today, and how it came by them
//! ```
//! A file that cannot be read or is of another version counts as missing: what it says can be had
//! again. Tests: below, and `crates/plasmavmc-host/tests/image`.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use plasmavmc_types::{DiskFormat, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::super::catalogue::Arch;
use super::super::digest::{Digest, Sha512};
use super::super::name::ImageName;
pub(super) use crate::base::mtime_ns;
use crate::{HostError, publish};

/// The version of both kinds of file.
const VERSION: u32 = 1;

/// Where an image came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Origin {
    /// From its publisher, or a mirror.
    Downloaded {
        /// The publisher's URL.
        url: String,
        /// The digest the publisher gives; none where a pin was all that was asked.
        publisher: Option<Digest>,
        /// The entity tag or time the server gave.
        validator: Option<String>,
    },
    /// From a file.
    Imported {
        /// The file.
        from: PathBuf,
    },
    /// From this host's own packages.
    Built,
}

/// An image the store has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    /// The name it was stored under.
    pub(super) name: ImageName,
    pub(super) arch: Arch,
    pub(super) sha512: Sha512,
    pub(super) size_bytes: u64,
    pub(super) format: DiskFormat,
    pub(super) origin: Origin,
    pub(super) stored_at: Timestamp,
    /// The file's time of change when its bytes were last compared with the digest; none where they
    /// were found to differ.
    trusted_mtime_ns: Option<i64>,
}

/// What an image is, before it is stored.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) name: ImageName,
    pub(super) arch: Arch,
    pub(super) sha512: Sha512,
    pub(super) size_bytes: u64,
    pub(super) format: DiskFormat,
    pub(super) origin: Origin,
}

impl Record {
    /// The record of an image stored at `stored_at`, whose file is `found` and was just compared.
    pub(super) fn new(facts: Facts, stored_at: Timestamp, found: &Metadata) -> Self {
        let Facts { name, arch, sha512, size_bytes, format, origin } = facts;
        let trusted_mtime_ns = Some(mtime_ns(found));
        Self { version: VERSION, name, arch, sha512, size_bytes, format, origin, stored_at, trusted_mtime_ns }
    }

    /// Whether a file with this metadata has the image's bytes, as far as can be told without
    /// reading it: nobody changed it since they were compared.
    pub(super) fn trusts(&self, found: &Metadata) -> bool {
        found.is_file() && found.len() == self.size_bytes && self.trusted_mtime_ns == Some(mtime_ns(found))
    }

    /// The same, after the bytes of `found` were compared and were right.
    pub(super) fn trusting(self, found: &Metadata) -> Self {
        Self { trusted_mtime_ns: Some(mtime_ns(found)), ..self }
    }

    /// The same bytes, had from elsewhere too.
    pub(super) fn with_origin(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }

    /// The same bytes under another of their names.
    pub(super) fn under(self, pointer: &Pointer) -> Self {
        let origin = pointer.origin.clone().unwrap_or(self.origin);
        Self { name: pointer.name.clone(), arch: pointer.arch, origin, ..self }
    }

    /// The same, after the bytes were compared and were wrong.
    pub(super) fn distrusting(self) -> Self {
        Self { trusted_mtime_ns: None, ..self }
    }
}

/// Which bytes a name means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pointer {
    version: u32,
    pub(super) name: ImageName,
    pub(super) arch: Arch,
    pub(super) sha512: Sha512,
    /// Where this name has them from: the same bytes can be built under one name and imported under
    /// another. None in files of versions that did not note it.
    #[serde(default)]
    pub(super) origin: Option<Origin>,
}

impl Pointer {
    pub(super) fn new(name: ImageName, arch: Arch, sha512: Sha512, origin: Origin) -> Self {
        Self { version: VERSION, name, arch, sha512, origin: Some(origin) }
    }
}

/// A value kept in a JSON file.
pub(super) trait Kept: Serialize + DeserializeOwned {
    fn version(&self) -> u32;
}

impl Kept for Record {
    fn version(&self) -> u32 {
        self.version
    }
}

impl Kept for Pointer {
    fn version(&self) -> u32 {
        self.version
    }
}

/// The value in the file at `path`; none where there is none that this program can read.
pub(super) fn read<T: Kept>(path: &Path) -> Option<T> {
    let value: T = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    (value.version() == VERSION).then_some(value)
}

/// Every value in the directory `dir`, in the order of the file names.
pub(super) fn read_all<T: Kept>(dir: &Path) -> Vec<T> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .filter_map(|path| read(path))
        .collect()
}

/// Writes a value, whole.
pub(super) fn write<T: Kept>(path: &Path, value: &T) -> Result<(), HostError> {
    let text = serde_json::to_vec_pretty(value).expect("records hold only JSON values");
    publish::write(path, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(found: &Metadata) -> Record {
        let facts = Facts {
            name: "x".parse().unwrap(),
            arch: Arch::X86_64,
            sha512: Sha512::from_bytes([7; 64]),
            size_bytes: found.len(),
            format: DiskFormat::Raw,
            origin: Origin::Built,
        };
        Record::new(facts, Timestamp::from_unix_millis(1), found)
    }

    #[test]
    fn a_file_is_trusted_until_it_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        fs::write(&path, b"abc").unwrap();
        let found = fs::metadata(&path).unwrap();
        let record = record(&found);
        assert!(record.trusts(&found));
        assert!(!record.clone().distrusting().trusts(&found));
        assert!(!record.trusts(&fs::metadata(dir.path()).unwrap()), "a directory was trusted");
        let later = found.modified().unwrap() + std::time::Duration::from_nanos(1);
        fs::File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
        let touched = fs::metadata(&path).unwrap();
        assert!(!record.trusts(&touched));
        assert!(record.trusting(&touched).trusts(&touched));
    }

    #[test]
    fn what_cannot_be_read_counts_as_missing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.json");
        assert!(read::<Record>(&path).is_none());
        let whole = record(&fs::metadata(dir.path()).unwrap());
        write(&path, &whole).unwrap();
        assert_eq!(read::<Record>(&path), Some(whole.clone()));
        assert_eq!(read_all::<Record>(dir.path()), std::slice::from_ref(&whole));
        write(&path, &Record { version: 2, ..whole }).unwrap();
        assert!(read::<Record>(&path).is_none());
        fs::write(&path, b"{\"version\":1").unwrap();
        assert!(read::<Record>(&path).is_none() && read_all::<Record>(dir.path()).is_empty());
    }
}
