//! How `up` gets the images its config names.
//!
//! [`Images::at_hand`] reads only; [`Images::provide`] fetches, links into the workspace and pins.
//! Tests: `tests/it/images.rs`.

use std::path::{Path, PathBuf};

use plasmavmc_host::image::{
    Arch, BaseInUse, DownloadPolicy, Freshness, ImageError, ImageName, Lockfile, Place, Store, StoredImage,
    Wanted, resolve,
};
use plasmavmc_hypervisor::EventSink;

use super::host_arch;
use crate::core::error::Error;
use crate::core::session::Session;

/// The image store, as one user sees it.
#[derive(Debug)]
pub(crate) struct Images {
    pub(super) store: Store,
    pub(super) arch: Arch,
    pub(super) policy: DownloadPolicy,
}

impl Images {
    /// The store of `session`'s user. Touches nothing.
    ///
    /// # Errors
    /// [`Error::Mirror`]; [`Error::NoImagesForHost`].
    pub(crate) fn open(session: &Session) -> Result<Self, Error> {
        let mirror = session.mirror.as_deref().filter(|text| !text.trim().is_empty());
        let mirror = mirror.map(str::parse).transpose()?;
        Ok(Self {
            store: Store::new(session.image_store()),
            arch: host_arch()?,
            policy: DownloadPolicy { mirror, ..DownloadPolicy::default() },
        })
    }

    /// Where the image `name` is, if it needs no download: the one `lock` pins, else the one the
    /// name means today. Reads only.
    ///
    /// # Errors
    /// [`Error::Image`] where it is not at hand and no publisher has it.
    pub(crate) fn at_hand(&self, name: &ImageName, lock: &Lockfile) -> Result<Option<PathBuf>, Error> {
        let wanted = Wanted::new(name.clone(), self.arch).pinned_by(lock);
        let resolved = resolve(&wanted)?;
        if let Some(pin) = &wanted.pin {
            let listed = self.store.list();
            let pinned =
                listed.into_iter().find(|listed| listed.trusted && listed.image.sha512 == pin.sha512);
            return Ok(pinned.map(|listed| listed.image.path));
        }
        if let Some(found) = self.store.find(name, self.arch) {
            return Ok(Some(found.path));
        }
        match resolved.place {
            Place::Web(_) => Ok(None),
            // What is there but in doubt is compared by `provide`.
            Place::Store(_) if self.store.named(name, self.arch).is_some() => Ok(None),
            Place::Store(Some(built)) => {
                Err(ImageError::NotBuilt { name: resolved.name, target: built.target }.into())
            }
            Place::Store(None) => Err(ImageError::Unknown { name: resolved.name, arch: self.arch }.into()),
        }
    }

    /// Gets the image `name`, puts it into the workspace's image directory `dir`, and pins it in the
    /// lock file at `lock_path` unless it is pinned. Gives its file in the workspace.
    ///
    /// # Errors
    /// [`Error::Image`], [`Error::Lockfile`].
    pub(crate) fn provide(
        &self,
        name: &ImageName,
        lock_path: &Path,
        dir: &Path,
        in_use: BaseInUse,
        sink: &dyn EventSink,
    ) -> Result<PathBuf, Error> {
        let wanted = Wanted::new(name.clone(), self.arch).pinned_by(&Lockfile::load(lock_path)?);
        let image = self.ensure(&wanted, sink)?;
        let there = self.store.materialise(&image, dir, in_use)?;
        pin(&[wanted], &image, lock_path)?;
        Ok(there.path)
    }

    /// The image that is wanted, downloaded where need be.
    pub(super) fn ensure(&self, wanted: &Wanted, sink: &dyn EventSink) -> Result<StoredImage, Error> {
        let mut report = |progress: plasmavmc_host::image::ImageProgress| sink.emit(None, progress.into());
        Ok(self.store.ensure(wanted, &self.policy, &mut report)?)
    }
}

/// Pins `image` under every name it was wanted by; tells whether the lock file changed.
///
/// An image nobody else can download is not pinned.
///
/// # Errors
/// [`Error::Lockfile`].
pub(super) fn pin(wanted: &[Wanted], image: &StoredImage, lock_path: &Path) -> Result<bool, Error> {
    // Read again: a download takes minutes, in which another command may have pinned another image.
    let mut lock = Lockfile::load(lock_path)?;
    let mut changed = false;
    for wanted in wanted {
        if let Some(pin) = image.pin(wanted) {
            let keep = wanted.freshness == Freshness::AsStored && lock.pin(&pin.name, pin.arch).is_some();
            if !keep {
                changed |= lock.pin(&pin.name, pin.arch) != Some(&pin);
                lock.set(pin);
            }
        }
    }
    if changed {
        lock.save(lock_path)?;
    }
    Ok(changed)
}
