//! What all workspaces share, as `clean --global` sees it: images nobody uses any more, and links to
//! workspaces that are gone.
//!
//! An imported image stays: its bytes may be nowhere else. Reads only but for [`Unused::remove`].
//! Tests: `tests/it/clean.rs`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use plasmavmc_host::image::{Arch, ImageName, Listed, Origin, Store};
use plasmavmc_host::{FileLock, HostError, publish};
use plasmavmc_types::CleanupKind;

use super::CleanItem;
use super::survey::file_id;
use super::vms::entries;
use crate::core::error::Error;

/// Blocks of 512 bytes, whatever the file system's own size is (POSIX, `sys/stat.h`).
const BLOCK: u64 = 512;

/// An image of the shared store no workspace has a link to.
#[derive(Debug)]
pub(super) struct Unused {
    name: ImageName,
    arch: Arch,
    /// Its file, for people.
    pub(super) item: CleanItem,
}

impl Unused {
    /// Takes it out of the store.
    ///
    /// # Errors
    /// [`Error::Image`].
    pub(super) fn remove(&self, store: &Store) -> Result<(), Error> {
        Ok(store.remove(&self.name, self.arch).map(drop)?)
    }
}

/// The images that no link leads to once the files of `going` are removed.
pub(super) fn unused(store: &Store, going: &[CleanItem]) -> Vec<Unused> {
    let listed = store.list();
    let key = |listed: &Listed| (listed.image.name.clone(), listed.image.arch);
    let mut names: Vec<_> = listed.iter().map(key).collect();
    names.dedup();
    let of_name = |(name, arch): (ImageName, Arch)| {
        let images: Vec<&Listed> = listed.iter().filter(|it| key(it) == (name.clone(), arch)).collect();
        // Removing a name removes all bytes it ever meant, so all of them have to be unused.
        let unused = images.iter().all(|it| is_unused(it, going));
        let first = images.first().filter(|_| unused)?;
        let bytes = images.iter().map(|it| blocks(&it.image.path)).sum();
        let item = CleanItem { path: first.image.path.clone(), kind: CleanupKind::Image, bytes };
        Some(Unused { name, arch, item })
    };
    names.into_iter().filter_map(of_name).collect()
}

fn is_unused(listed: &Listed, going: &[CleanItem]) -> bool {
    let path = &listed.image.path;
    let Ok(meta) = fs::metadata(path) else { return false };
    let id = file_id(path);
    let leaving = going.iter().filter(|item| file_id(&item.path) == id).count() as u64;
    !matches!(listed.image.origin, Origin::Imported { .. }) && meta.nlink().saturating_sub(leaving) <= 1
}

fn blocks(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |meta| meta.blocks() * BLOCK)
}

/// What interrupted downloads left in the store, but for those that go on right now.
pub(super) fn partial_downloads(store: &Store) -> Result<Vec<CleanItem>, HostError> {
    let locks: Vec<PathBuf> = entries(&store.root().join("locks"))?;
    let mut items = Vec::new();
    for path in entries(&store.root().join("partial"))? {
        let lock = locks.iter().find(|lock| is_lock_of(lock, &path));
        if lock.is_none_or(|lock| matches!(FileLock::try_acquire(lock), Ok(Some(_)))) {
            let bytes = plasmavmc_host::disk::usage(&path)?.as_bytes();
            items.push(CleanItem { path, kind: CleanupKind::Partial, bytes });
        }
    }
    Ok(items)
}

/// Whether `lock` is the lock of the image `partial` is a part of: `<key>.lock` and `<key>.part`.
fn is_lock_of(lock: &Path, partial: &Path) -> bool {
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str().map(ToOwned::to_owned));
    let (Some(lock), Some(partial)) = (name(lock), name(partial)) else { return false };
    lock.strip_suffix(".lock")
        .is_some_and(|key| partial.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')))
}

/// Removes a file, a link, or a directory with all that is in it.
///
/// # Errors
/// [`HostError`] where it is there and cannot be removed.
pub(super) fn remove(path: &Path) -> Result<(), HostError> {
    use plasmavmc_host::IoContext;
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path).context("remove", path),
        Ok(_) => publish::remove(path).map(drop),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_is_guarded_by_the_lock_of_its_own_image() {
        let is_lock = |lock: &str, part: &str| is_lock_of(Path::new(lock), Path::new(part));
        assert!(is_lock("/s/locks/debian-12.x86_64.lock", "/s/partial/debian-12.x86_64.part"));
        assert!(!is_lock("/s/locks/debian.x86_64.lock", "/s/partial/debian-12.x86_64.part"));
        assert!(!is_lock("/s/locks/debian.x86_64", "/s/partial/debian.x86_64.part"));
    }
}
