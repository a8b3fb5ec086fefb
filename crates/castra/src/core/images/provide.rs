//! How `up` gets the images its config names.
//!
//! [`Images::at_hand`] reads only; [`Images::provide`] fetches, links into the workspace and pins.
//!
//! ```text
//! the store has it ──────────────────────────────────► the store's bytes
//! it does not, the workspace has those that are wanted ► they stay (after `image rm`)
//! neither ───────────────────────────────────────────► its publisher, or an error
//! ```
//! Tests: `tests/it/images.rs`, `tests/it/bases.rs`.

use std::path::{Path, PathBuf};

use plasmavmc_host::image::{
    Arch, BaseInUse, Cached, DownloadPolicy, Freshness, ImageError, ImageName, Lockfile, Place, Sha512,
    Store, StoredImage, Wanted, resolve,
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

/// A workspace, as far as images go.
pub(crate) struct Shelf<'a> {
    /// Its `images/` directory.
    pub(crate) dir: &'a Path,
    /// The lock file of its project.
    pub(crate) lock_path: &'a Path,
    /// Whether an overlay lies on a file of that directory.
    pub(crate) in_use: &'a dyn Fn(&Path) -> bool,
}

/// The bytes of an image.
enum Found {
    /// The workspace has them, and the store does not.
    Here(Cached),
    /// The store has them.
    Stored(StoredImage),
}

impl Found {
    fn sha512(&self) -> Sha512 {
        match self {
            Self::Here(cached) => cached.sha512,
            Self::Stored(image) => image.sha512,
        }
    }

    /// Its file in the workspace.
    fn path(&self, dir: &Path) -> PathBuf {
        match self {
            Self::Here(cached) => cached.path.clone(),
            Self::Stored(image) => dir.join(image.file_name()),
        }
    }
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
    /// name means today, else the one that lies in the workspace's image directory `dir`. Reads only.
    ///
    /// # Errors
    /// [`Error::Image`] where it is not at hand and no publisher has it.
    pub(crate) fn at_hand(
        &self,
        name: &ImageName,
        lock: &Lockfile,
        dir: &Path,
    ) -> Result<Option<PathBuf>, Error> {
        let wanted = Wanted::new(name.clone(), self.arch).pinned_by(lock);
        let resolved = resolve(&wanted)?;
        if let Some(pin) = &wanted.pin {
            let listed = self.store.list();
            let pinned =
                listed.into_iter().find(|listed| listed.trusted && listed.image.sha512 == pin.sha512);
            let here = || self.cached(&wanted, dir).map(|cached| cached.path);
            return Ok(pinned.map(|listed| listed.image.path).or_else(here));
        }
        if let Some(found) = self.store.find(name, self.arch) {
            return Ok(Some(found.path));
        }
        match resolved.place {
            Place::Web(_) => Ok(None),
            // What is there but in doubt is compared by `provide`.
            Place::Store(_) if self.store.named(name, self.arch).is_some() => Ok(None),
            Place::Store(built) => match (self.cached(&wanted, dir), built) {
                (Some(cached), _) => Ok(Some(cached.path)),
                (None, Some(built)) => {
                    Err(ImageError::NotBuilt { name: resolved.name, target: built.target }.into())
                }
                (None, None) => Err(ImageError::Unknown { name: resolved.name, arch: self.arch }.into()),
            },
        }
    }

    /// The workspace's own file of an image the store does not have, where by its sidecar it has the
    /// bytes that are wanted.
    fn cached(&self, wanted: &Wanted, dir: &Path) -> Option<Cached> {
        let cached = Cached::find(&wanted.name, self.arch, dir)?;
        let (fits, stored) = match &wanted.pin {
            Some(pin) => (
                pin.sha512 == cached.sha512,
                self.store.list().iter().any(|listed| listed.image.sha512 == pin.sha512),
            ),
            None => {
                let named = self.store.named(&wanted.name, self.arch);
                (true, named.is_some_and(|image| image.path.exists()))
            }
        };
        (fits && !stored).then_some(cached)
    }

    /// Gets the images `names`, puts them into the workspace, and pins them in its lock file unless
    /// they are pinned. Gives their files in the workspace, in the same order.
    ///
    /// # Errors
    /// [`Error::ImagesDiffer`] where two names mean one file with different bytes, before any file is
    /// touched; [`Error::Image`], [`Error::Lockfile`].
    pub(crate) fn provide(
        &self,
        names: &[&ImageName],
        to: &Shelf<'_>,
        sink: &dyn EventSink,
    ) -> Result<Vec<PathBuf>, Error> {
        let lock = Lockfile::load(to.lock_path)?;
        let mut found = Vec::new();
        for name in names {
            let wanted = Wanted::new((*name).clone(), self.arch).pinned_by(&lock);
            let bytes = self.find(&wanted, to, sink)?;
            found.push((wanted, bytes));
        }
        agree(&found, to.dir)?;
        let place = |(wanted, bytes)| match bytes {
            Found::Here(cached) => Ok(cached.path),
            Found::Stored(image) => self.place(wanted, &image, to, sink),
        };
        found.into_iter().map(place).collect()
    }

    fn find(&self, wanted: &Wanted, to: &Shelf<'_>, sink: &dyn EventSink) -> Result<Found, Error> {
        if let Some(cached) = self.cached(wanted, to.dir) {
            // Without a pin, a published image is the newest one, unless a disk needs this one.
            let settled = wanted.pin.is_some() || matches!(resolve(wanted)?.place, Place::Store(_));
            if (settled || (to.in_use)(&cached.path)) && cached.is_intact()? {
                return Ok(Found::Here(cached));
            }
        }
        Ok(Found::Stored(self.ensure(wanted, sink)?))
    }

    /// Puts an image of the store into the workspace, and pins it.
    fn place(
        &self,
        wanted: Wanted,
        image: &StoredImage,
        to: &Shelf<'_>,
        sink: &dyn EventSink,
    ) -> Result<PathBuf, Error> {
        let in_use = |image: &StoredImage| match (to.in_use)(&to.dir.join(image.file_name())) {
            true => BaseInUse::Yes,
            false => BaseInUse::No,
        };
        let there = match self.store.materialise(image, to.dir, in_use(image)) {
            // Another command took it out of the store meanwhile.
            Err(_) if !image.path.exists() => {
                let again = self.ensure(&wanted, sink)?;
                self.store.materialise(&again, to.dir, in_use(&again))?
            }
            there => there?,
        };
        pin(&[wanted], image, to.lock_path)?;
        Ok(there.path)
    }

    /// The image that is wanted, downloaded where need be.
    pub(super) fn ensure(&self, wanted: &Wanted, sink: &dyn EventSink) -> Result<StoredImage, Error> {
        let mut report = |progress: plasmavmc_host::image::ImageProgress| sink.emit(None, progress.into());
        Ok(self.store.ensure(wanted, &self.policy, &mut report)?)
    }
}

/// Fails where two names lead to one file of the workspace and to different bytes: whichever were put
/// there, a disk that was made on the others would be destroyed.
fn agree(found: &[(Wanted, Found)], dir: &Path) -> Result<(), Error> {
    for (index, (wanted, bytes)) in found.iter().enumerate() {
        let mut earlier = found[..index].iter();
        let differs = |(_, other): &&(Wanted, Found)| {
            other.path(dir) == bytes.path(dir) && other.sha512() != bytes.sha512()
        };
        if let Some((other, _)) = earlier.find(differs) {
            return Err(Error::ImagesDiffer { one: other.name.clone(), other: wanted.name.clone() });
        }
    }
    Ok(())
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
