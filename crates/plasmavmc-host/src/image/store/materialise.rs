//! Puts a stored image where a workspace expects it: `images/<file>` and `images/<file>.sha512`.
//!
//! ```text
//!   same bytes, unchanged ──────────────────────────► Present   nothing is written
//!   other bytes, intact, an overlay needs them ─────► Kept      nothing is written
//!   other bytes, damaged, an overlay needs them ────► restored from the store, or refused
//!   anything else ── reflink, or hard link, or copy ► replaced, whole, by rename
//! ```
//! A hard link costs no bytes, a reflink protects the store from a workspace that writes to its
//! file; a copy is the last resort, for a workspace on another file system. The sidecar is written
//! last and is what `sha512sum -c` reads. Tests: `crates/plasmavmc-host/tests/image/workspace.rs`.

use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::super::digest::Sha512;
use super::super::download::{Digests, ensure_space, hash_file};
use super::super::error::ImageError;
use super::cached::{noted_digest, sidecar, sidecar_text};
use super::record::mtime_ns;
use super::{Store, StoredImage};
use crate::{HostError, IoContext, publish};

/// Whether an overlay in the workspace was made on the image file that is there.
///
/// An overlay holds only what differs from the bytes under it: put other bytes there, and the
/// guest's disk is destroyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaseInUse {
    /// None was.
    No,
    /// At least one was, so an intact file is kept even if the store means other bytes today.
    Yes,
}

/// How the workspace has its image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It was there.
    Present,
    /// It was there with other bytes, which an overlay needs.
    Kept,
    /// It shares the store's blocks until one of both is written to.
    Reflink,
    /// It is the store's file under a second name.
    HardLink,
    /// It is a file of its own.
    Copy,
}

/// An image in a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Materialised {
    /// Its file.
    pub path: PathBuf,
    /// The digest of its bytes; not the store's where it was kept.
    pub sha512: Sha512,
    /// How it got there.
    pub how: How,
}

impl Store {
    /// Gives the workspace whose `images/` directory is `dir` the bytes of `image`.
    ///
    /// Cheap where they are there: sizes and times are compared, no byte is read. A file that was
    /// truncated or altered is replaced.
    ///
    /// # Errors
    /// [`ImageError::BaseLost`] where an overlay needs bytes that are nowhere any more;
    /// [`ImageError::Host`]. The workspace's file is then as it was.
    pub fn materialise(
        &self,
        image: &StoredImage,
        dir: &Path,
        in_use: BaseInUse,
    ) -> Result<Materialised, ImageError> {
        let path = dir.join(image.file_name());
        let object = fs::symlink_metadata(&image.path).context("open", &image.path)?;
        let there = fs::symlink_metadata(&path).ok();
        let same_file = there.as_ref().is_some_and(|there| alike(there, &object));
        let noted = noted_digest(&path);
        let done = |how, sha512| Ok(Materialised { path: path.clone(), sha512, how });
        if same_file && noted == Some(image.sha512) {
            return done(How::Present, image.sha512);
        }
        if in_use == BaseInUse::Yes && noted != Some(image.sha512) {
            let found = there
                .as_ref()
                .map(|_| hash_file(&path, Digests::Sha512))
                .transpose()?
                .map(|(hashed, _)| hashed.sha512);
            match (noted, found) {
                // Without a sidecar nobody knows better than the file itself.
                (None, Some(found)) if found != image.sha512 => return done(How::Kept, found),
                (Some(noted), Some(found)) if found == noted => return done(How::Kept, noted),
                (Some(noted), _) => return self.restore(noted, image, &path),
                (None, _) => {}
            }
        }
        publish::private_dir(dir)?;
        let how = if same_file { How::Present } else { place(&image.path, &object, &path)? };
        publish::write(&sidecar(&path), sidecar_text(image.sha512, &path).as_bytes())?;
        done(how, image.sha512)
    }

    /// Puts the bytes an overlay was made on back at `path`, from an earlier image of the store.
    fn restore(&self, noted: Sha512, image: &StoredImage, path: &Path) -> Result<Materialised, ImageError> {
        let lost = || ImageError::BaseLost { name: image.name.clone(), path: path.to_owned(), sha512: noted };
        let record = self.record(noted).filter(|record| self.trusts(record)).ok_or_else(lost)?;
        let object = self.object(record.sha512);
        let found = fs::symlink_metadata(&object).context("open", &object)?;
        let how = place(&object, &found, path)?;
        Ok(Materialised { path: path.to_owned(), sha512: noted, how })
    }
}

/// Whether two files have the same bytes, as far as can be told without reading them: every way a
/// file gets here gives it the size and time of the store's.
fn alike(there: &Metadata, object: &Metadata) -> bool {
    there.is_file() && there.len() == object.len() && mtime_ns(there) == mtime_ns(object)
}

/// Puts the store's file at `path`, replacing what is there, in the cheapest way the file systems
/// allow.
fn place(object: &Path, found: &Metadata, path: &Path) -> Result<How, HostError> {
    let file = publish::temporary(path)?;
    let source = File::open(object).context("open", object)?;
    if rustix::fs::ioctl_ficlone(&file, &source).is_ok() {
        finish(file, found, path)?;
        return Ok(How::Reflink);
    }
    // The temporary file gives the link a name nobody else has.
    let name = file.into_temp_path();
    publish::remove(&name)?;
    match fs::hard_link(object, &name) {
        Ok(()) => {
            publish::rename(&name, path)?;
            // Renaming one link of a file to another does nothing, and leaves both.
            publish::remove(&name)?;
            Ok(How::HardLink)
        }
        Err(error) if needs_copy(&error) => {
            copy(source, found, path)?;
            Ok(How::Copy)
        }
        Err(error) => Err(error).context("link an image to", path),
    }
}

/// Whether a hard link is impossible, rather than something being wrong: another file system, one
/// without links, one file with too many, or a file of another user's.
fn needs_copy(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(error.kind(), K::CrossesDevices | K::Unsupported | K::TooManyLinks | K::PermissionDenied)
}

fn copy(mut source: File, found: &Metadata, path: &Path) -> Result<(), HostError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    ensure_space(dir, found.len())?;
    let mut file = publish::temporary(path)?;
    // `io::copy` lets the kernel move the bytes where it can.
    let copied = io::copy(&mut source, file.as_file_mut()).context("write", path)?;
    file.flush().context("write", path)?;
    if copied != found.len() {
        let reason = format!("{copied} of {} bytes were copied to it", found.len());
        return Err(HostError::Malformed { path: path.to_owned(), expected: "a whole image", reason });
    }
    finish(file, found, path)
}

/// Gives a copy the store's time, so that it is known again without reading it, and its name.
fn finish(file: NamedTempFile, found: &Metadata, path: &Path) -> Result<(), HostError> {
    let modified = found.modified().context("measure", path)?;
    file.as_file().set_modified(modified).context("set the time of", path)?;
    file.as_file().set_permissions(Permissions::from_mode(0o444)).context("set the mode of", path)?;
    publish::persist(file, path)
}
