//! Takes a disk image of one's own into the store.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use super::super::catalogue::{self, Arch, Known};
use super::super::download::{Digests, DownloadPolicy, Hashed, Hashing, ensure_space, remove_part};
use super::super::error::ImageError;
use super::super::name::ImageName;
use super::fit;
use super::record::{Facts, Origin};
use super::{Store, StoredImage, key};
use crate::{HostError, IoContext, failpoint, publish};

/// The size of the blocks in which a file is copied.
const COPY_BYTES: usize = 256 << 10;

impl Store {
    /// Copies the qcow2 or raw image at `path` into the store and lets `name` mean it from now on.
    ///
    /// The file itself stays as it is. A name of the catalogue's that is built here (`tiny`) is
    /// taken as the result of such a build.
    ///
    /// # Errors
    /// [`ImageError::NameTaken`] for a published image's name; [`ImageError::Unfit`] for what is no
    /// image; [`ImageError::Overlay`] for one that needs another file; [`ImageError::Lock`], [`ImageError::Host`].
    pub fn import(&self, path: &Path, name: &ImageName, arch: Arch) -> Result<StoredImage, ImageError> {
        let origin = match catalogue::find(name.as_str()) {
            Some(Known::Published(_)) => return Err(ImageError::NameTaken { name: name.clone() }),
            Some(Known::Built(_)) => Origin::Built,
            None => Origin::Imported { from: fs::canonicalize(path).context("open", path)? },
        };
        fit::inspect(path, &path.display().to_string())?;
        self.prepare()?;
        let _turn = self.turn(name, arch, &DownloadPolicy::default(), &mut |_| {})?;
        // A fixed name: what a crash leaves is overwritten by the next import.
        let copy = self.partial().join(format!("{}.import", key(name, arch)));
        let stored = self.copy_in(path, &copy, name, arch, origin);
        if stored.is_err() {
            publish::remove(&copy)?;
        }
        stored
    }

    fn copy_in(
        &self,
        path: &Path,
        copy: &Path,
        name: &ImageName,
        arch: Arch,
        origin: Origin,
    ) -> Result<StoredImage, ImageError> {
        let (hashed, size_bytes) = copy_hashed(path, copy)?;
        // The copy is judged, not the file: that one may have changed meanwhile.
        let format = fit::inspect(copy, &path.display().to_string())?;
        failpoint::hit("image-verified");
        let facts = Facts { name: name.clone(), arch, sha512: hashed.sha512, size_bytes, format, origin };
        self.install(copy, None, facts)
    }

    /// Removes what an interrupted download or import of an image left.
    pub(super) fn drop_partial(&self, name: &ImageName, arch: Arch) -> Result<(), HostError> {
        let key = key(name, arch);
        remove_part(&self.partial(), &key)?;
        publish::remove(&self.partial().join(format!("{key}.import"))).map(drop)
    }
}

/// Copies a file whole, flushed, and hashes the bytes that were written.
fn copy_hashed(from: &Path, to: &Path) -> Result<(Hashed, u64), HostError> {
    let mut source = File::open(from).context("open", from)?;
    let size = source.metadata().context("measure", from)?.len();
    publish::remove(to)?;
    let mut options = File::options();
    let mut copy = options.write(true).create_new(true).mode(0o600).open(to).context("create", to)?;
    ensure_space(to.parent().unwrap_or(Path::new(".")), size)?;
    let hashing = Hashing::start(Digests::Sha512).context("start a thread to hash", to)?;
    let mut copied = 0;
    loop {
        let mut block = Vec::with_capacity(COPY_BYTES);
        let read = (&mut source).take(COPY_BYTES as u64).read_to_end(&mut block).context("read", from)?;
        if read == 0 {
            break;
        }
        copy.write_all(&block).context("write", to)?;
        copied += read as u64;
        hashing.update(&Arc::new(block));
    }
    copy.sync_all().context("flush", to)?;
    Ok((hashing.finish(), copied))
}
