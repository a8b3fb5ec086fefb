//! The image a workspace has already: `images/<file>` and what `images/<file>.sha512` says of it.
//!
//! It outlives the store's own copy, so that `image rm` harms no workspace. Reads only. Tests:
//! `crates/plasmavmc-host/tests/image/workspace.rs`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use plasmavmc_types::DiskFormat;

use super::super::catalogue::{self, Arch};
use super::super::digest::Sha512;
use super::super::download::{Digests, hash_file};
use super::super::name::ImageName;
use crate::HostError;

/// An image in a workspace, as its sidecar tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cached {
    /// Its file.
    pub path: PathBuf,
    /// The digest it had when it was put there.
    pub sha512: Sha512,
}

impl Cached {
    /// The image `name` in the `images/` directory `dir`; none where there is none with a sidecar.
    /// Its bytes are not read.
    pub fn find(name: &ImageName, arch: Arch, dir: &Path) -> Option<Self> {
        let name = catalogue::canonical(name);
        // Which format it has is told by the name alone: the store has forgotten it.
        [DiskFormat::Qcow2, DiskFormat::Raw].into_iter().find_map(|format| {
            let path = dir.join(catalogue::file_name(&name, arch, format));
            let sha512 = noted_digest(&path).filter(|_| path.is_file())?;
            Some(Self { path, sha512 })
        })
    }

    /// Whether its bytes still have the digest. Reads all of them.
    ///
    /// # Errors
    /// [`HostError`] where they cannot be read.
    pub fn is_intact(&self) -> Result<bool, HostError> {
        Ok(hash_file(&self.path, Digests::Sha512)?.0.sha512 == self.sha512)
    }
}

/// The sidecar of an image file.
pub(super) fn sidecar(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".sha512");
    name.into()
}

pub(super) fn sidecar_text(sha512: Sha512, path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!("{sha512}  {name}\n")
}

/// The digest the sidecar of the image at `path` gives.
pub(super) fn noted_digest(path: &Path) -> Option<Sha512> {
    let mut text = String::new();
    // A digest, two spaces and a file name: anything longer is not ours.
    File::open(sidecar(path)).ok()?.take(4096).read_to_string(&mut text).ok()?;
    let (hex, _) = text.split_once("  ")?;
    hex.parse().ok().filter(|sha512| sidecar_text(*sha512, path) == text)
}
