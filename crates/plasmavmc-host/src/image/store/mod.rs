//! The image store: every image once on disk, found by its digest, shared by all workspaces.
//!
//! ```text
//! <root>/                    ~/.castra/images, 0700
//!   sha512/<hex>             the bytes, 0444; a file here was verified before it had this name
//!   records/<hex>.json       what they are, where they came from, when they were last known good
//!   names/<name>.<arch>.json which bytes a name means today
//!   partial/<name>.<arch>.*  downloads and imports under way
//!   locks/<name>.<arch>.lock held while an image is got, checked or removed
//! ```
//!
//! Storing goes: bytes under a temporary name, flush, compare, record, rename, name. A crash between
//! any two leaves nothing that is believed: a record without bytes counts as missing, bytes without a
//! name are found again by their digest. Trust is cheap and revocable: size and time of change as
//! they were when the bytes were compared; if either differs, the bytes are compared again.
//! Reading ([`Store::find`], [`Store::list`]) never writes. Tests: `crates/plasmavmc-host/tests/image`.

mod cached;
mod fetch;
mod fit;
mod import;
mod materialise;
mod record;
mod remove;
mod turn;
mod unfinished;
mod verify;

use std::fs;
use std::path::{Path, PathBuf};

use plasmavmc_types::{DiskFormat, Timestamp};

pub use cached::Cached;
pub use materialise::{BaseInUse, How, Materialised};
pub use record::Origin;
pub use remove::Removed;
pub use unfinished::Unfinished;
pub use verify::Check;

use super::catalogue::{self, Arch};
use super::digest::Sha512;
use super::download::{DownloadPolicy, Report};
use super::error::ImageError;
use super::lockfile::Pin;
use super::name::ImageName;
use super::resolve::{Expected, Freshness, Place, Resolved, Wanted, resolve};
use crate::publish;
use record::{Pointer, Record};

/// The store at a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    root: PathBuf,
}

/// An image in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredImage {
    /// Its name.
    pub name: ImageName,
    /// The processor it is for.
    pub arch: Arch,
    /// Its file. Only for reading: all workspaces share it.
    pub path: PathBuf,
    /// The digest of its bytes.
    pub sha512: Sha512,
    /// Their number.
    pub size_bytes: u64,
    /// The format of the file.
    pub format: DiskFormat,
    /// Where its name has it from.
    pub origin: Origin,
    /// When it was stored.
    pub stored_at: Timestamp,
}

impl StoredImage {
    /// What `castra.lock` shall say about it, for the one who wanted it; none for images that
    /// nobody else can download.
    pub fn pin(&self, wanted: &Wanted) -> Option<Pin> {
        if let (Some(pin), Freshness::AsStored) = (&wanted.pin, wanted.freshness) {
            return Some(pin.clone());
        }
        let Origin::Downloaded { url, .. } = &self.origin else { return None };
        Some(Pin {
            name: wanted.name.clone(),
            arch: self.arch,
            url: url.clone(),
            sha512: self.sha512,
            size_bytes: self.size_bytes,
        })
    }

    /// Its file name in a workspace's `images/`.
    pub fn file_name(&self) -> String {
        catalogue::file_name(&self.name, self.arch, self.format)
    }
}

/// An image as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The image.
    pub image: StoredImage,
    /// Whether its name means it today; older bytes of the same name stay for the projects that pin
    /// them.
    pub current: bool,
    /// Whether its file is as it was when its bytes were last compared.
    pub trusted: bool,
}

impl Store {
    /// The store at `root`, an absolute path; nothing is made until something is stored.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Its directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Gives the image that is wanted: the stored one, or else a downloaded and verified one.
    ///
    /// Asks no server where the store has it. Of many callers at once, in any process, one
    /// downloads and the others wait for it; waits are bounded by `policy`.
    ///
    /// # Errors
    /// [`ImageError`]; whatever was downloaded until then is kept for the next call, and nothing
    /// unverified has a final name.
    pub fn ensure(
        &self,
        wanted: &Wanted,
        policy: &DownloadPolicy,
        report: &mut Report<'_>,
    ) -> Result<StoredImage, ImageError> {
        let resolved = resolve(wanted)?;
        let stored_will_do = wanted.freshness == Freshness::AsStored;
        let candidate = self.candidate(&resolved);
        if let (true, Some(record)) =
            (stored_will_do, candidate.as_ref().filter(|record| self.trusts(record)))
        {
            return Ok(self.image(record.clone(), &resolved.name));
        }
        if let (Place::Store(built), None) = (&resolved.place, &candidate) {
            return Err(ImageError::absent(&resolved.name, resolved.arch, *built));
        }
        self.prepare()?;
        let _turn = self.turn(&resolved.name, resolved.arch, policy, report)?;
        // Whoever had the turn before may have brought it.
        if let (true, Some(record)) = (stored_will_do, self.candidate(&resolved))
            && let Some(image) = self.recheck(record, &resolved, report)?
        {
            return Ok(image);
        }
        match &resolved.place {
            Place::Web(web) => self.fetch(&resolved, web, policy, report),
            Place::Store(built) => Err(ImageError::absent(&resolved.name, resolved.arch, *built)),
        }
    }

    /// The image a name means today, where its file is as it should be. Reads only.
    pub fn find(&self, name: &ImageName, arch: Arch) -> Option<StoredImage> {
        let name = catalogue::canonical(name);
        let record = self.pointed(&name, arch).filter(|record| self.trusts(record))?;
        Some(self.image(record, &name))
    }

    /// Every image, by name; reads only.
    pub fn list(&self) -> Vec<Listed> {
        let pointers = self.pointers();
        let mut listed = Vec::new();
        for record in record::read_all::<Record>(&self.root.join("records")) {
            if !self.object(record.sha512).exists() {
                continue;
            }
            let trusted = self.trusts(&record);
            let mut current = false;
            for pointer in pointers.iter().filter(|pointer| pointer.sha512 == record.sha512) {
                current |= pointer.name == record.name && pointer.arch == record.arch;
                if pointer.name != record.name || pointer.arch != record.arch {
                    let image = self.image(record.clone(), &pointer.name);
                    listed.push(Listed { image, current: true, trusted });
                }
            }
            let name = record.name.clone();
            listed.push(Listed { image: self.image(record, &name), current, trusted });
        }
        let key = |listed: &Listed| (listed.image.name.clone(), listed.image.arch, !listed.current);
        listed.sort_by_key(key);
        listed
    }

    /// The record that would do for `resolved`, were its bytes trusted.
    fn candidate(&self, resolved: &Resolved) -> Option<Record> {
        if let Place::Web(web) = &resolved.place
            && let Expected::Pinned(pin) = &web.expected
        {
            return self.record(pin.sha512).filter(|record| record.size_bytes == pin.size_bytes);
        }
        self.pointed(&resolved.name, resolved.arch)
    }

    /// The record a name leads to.
    fn pointed(&self, name: &ImageName, arch: Arch) -> Option<Record> {
        let pointer: Pointer = record::read(&self.pointer_path(name, arch))?;
        self.record(pointer.sha512)
    }

    fn record(&self, sha512: Sha512) -> Option<Record> {
        record::read(&self.record_path(sha512)).filter(|record: &Record| record.sha512 == sha512)
    }

    fn pointers(&self) -> Vec<Pointer> {
        record::read_all(&self.root.join("names"))
    }

    fn trusts(&self, record: &Record) -> bool {
        fs::symlink_metadata(self.object(record.sha512)).is_ok_and(|found| record.trusts(&found))
    }

    fn image(&self, record: Record, name: &ImageName) -> StoredImage {
        // The record tells of the name that brought the bytes last.
        let pointer: Option<Pointer> = record::read(&self.pointer_path(name, record.arch));
        let own = pointer.filter(|pointer| pointer.sha512 == record.sha512);
        let origin = own.and_then(|pointer| pointer.origin).unwrap_or(record.origin);
        StoredImage {
            name: name.clone(),
            arch: record.arch,
            path: self.object(record.sha512),
            sha512: record.sha512,
            size_bytes: record.size_bytes,
            format: record.format,
            origin,
            stored_at: record.stored_at,
        }
    }

    fn prepare(&self) -> Result<(), ImageError> {
        for dir in ["sha512", "records", "names", "partial", "locks"] {
            publish::private_dir(&self.root.join(dir))?;
        }
        Ok(())
    }

    fn object(&self, sha512: Sha512) -> PathBuf {
        self.root.join("sha512").join(sha512.to_string())
    }

    fn record_path(&self, sha512: Sha512) -> PathBuf {
        self.root.join("records").join(format!("{sha512}.json"))
    }

    fn pointer_path(&self, name: &ImageName, arch: Arch) -> PathBuf {
        self.root.join("names").join(format!("{}.json", key(name, arch)))
    }

    fn partial(&self) -> PathBuf {
        self.root.join("partial")
    }
}

/// How the files that belong to a name begin.
fn key(name: &ImageName, arch: Arch) -> String {
    format!("{name}.{arch}")
}
