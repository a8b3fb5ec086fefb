//! What all workspaces share, as `clean --global` sees it: images nobody uses any more, what
//! interrupted commands left, and links to workspaces that are gone.
//!
//! An imported image stays: its bytes may be nowhere else. Reads only but for [`Unused::remove`].
//! Tests: `tests/it/clean.rs`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use plasmavmc_host::image::{Arch, ImageName, Listed, Origin, Store, catalogue};
use plasmavmc_host::{FileLock, HostError, publish};
use plasmavmc_types::CleanupKind;

use super::CleanItem;
use super::survey::file_id;
use super::vms::entries;
use crate::core::error::Error;
use crate::core::litter;

/// Blocks of 512 bytes, whatever the file system's own size is (POSIX, `sys/stat.h`).
const BLOCK: u64 = 512;

/// A name in the shared store that nobody uses.
#[derive(Debug)]
pub(super) struct Unused {
    name: ImageName,
    arch: Arch,
    /// Its file, for people; none where it goes with another name.
    pub(super) item: Option<CleanItem>,
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

/// The images that no config of a known VM names, `named` being those that are, and that no link leads
/// to once the files of `going` are removed.
pub(super) fn unused(store: &Store, going: &[CleanItem], named: &[String]) -> Vec<Unused> {
    let listed = store.list();
    let key = |listed: &Listed| (listed.image.name.clone(), listed.image.arch);
    let mut names: Vec<_> = listed.iter().map(key).collect();
    names.dedup();
    let stays = |it: &Listed| named.contains(&it.image.name.to_string()) || !is_unused(it, going);
    // Removing a name removes all bytes it ever meant, so all of them have to be unused.
    names.retain(|name| !listed.iter().any(|it| key(it) == *name && stays(it)));
    // A name whose bytes another one keeps would free nothing.
    while let Some(shared) = names.iter().position(|name| {
        let mut own = listed.iter().filter(|it| key(it) == *name);
        let kept = |it: &Listed| {
            listed.iter().any(|other| other.image.path == it.image.path && !names.contains(&key(other)))
        };
        own.any(kept)
    }) {
        names.remove(shared);
    }
    let mut seen: Vec<&Path> = Vec::new();
    let mut of_name = |(name, arch): (ImageName, Arch)| {
        let own = listed.iter().filter(|it| key(it) == (name.clone(), arch));
        let files: Vec<&Path> =
            own.map(|it| it.image.path.as_path()).filter(|path| !seen.contains(path)).collect();
        seen.extend(&files);
        let bytes = files.iter().map(|path| blocks(path)).sum();
        let item = files.first().map(|first| CleanItem {
            path: first.to_path_buf(),
            kind: CleanupKind::Image,
            bytes,
        });
        Unused { name, arch, item }
    };
    names.into_iter().map(&mut of_name).collect()
}

fn is_unused(listed: &Listed, going: &[CleanItem]) -> bool {
    let image = &listed.image;
    // A name that is not the catalogue's can only have been given by an import.
    let imported =
        matches!(image.origin, Origin::Imported { .. }) || catalogue::find(image.name.as_str()).is_none();
    let Ok(meta) = fs::metadata(&image.path) else { return false };
    let id = file_id(&image.path);
    let leaving = going.iter().filter(|item| file_id(&item.path) == id).count() as u64;
    !imported && meta.nlink().saturating_sub(leaving) <= 1
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

/// What builds of images that were ended have left.
pub(super) fn unfinished_builds(cache: &Path) -> Result<Vec<CleanItem>, HostError> {
    let item = |path: PathBuf| {
        let bytes = plasmavmc_host::disk::usage(&path)?.as_bytes();
        Ok(CleanItem { path, kind: CleanupKind::Partial, bytes })
    };
    litter::abandoned(cache).into_iter().map(item).collect()
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

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = vec![7; 4096];
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        fs::write(dir.path().join("disk.raw"), disk).unwrap();
        let store = Store::new(dir.path().join("images"));
        (dir, store)
    }

    fn names(unused: &[Unused]) -> Vec<String> {
        unused.iter().map(|it| it.name.to_string()).collect()
    }

    #[test]
    fn an_imported_image_stays_though_the_same_bytes_were_built_later() {
        let (dir, store) = store();
        let take = |name: &str| {
            store.import(&dir.path().join("disk.raw"), &name.parse().unwrap(), Arch::X86_64).unwrap()
        };
        take("tiny");
        assert_eq!(names(&unused(&store, &[], &[])), ["tiny"]);
        take("mytiny");
        store.remove(&"tiny".parse().unwrap(), Arch::X86_64).unwrap();
        take("tiny");
        assert_eq!(names(&unused(&store, &[], &[])), [""; 0]);
        store.remove(&"mytiny".parse().unwrap(), Arch::X86_64).unwrap();
        assert_eq!(names(&unused(&store, &[], &[])), ["tiny"]);
    }

    #[test]
    fn an_image_that_a_config_names_stays() {
        let (dir, store) = store();
        store.import(&dir.path().join("disk.raw"), &"tiny".parse().unwrap(), Arch::X86_64).unwrap();
        assert_eq!(names(&unused(&store, &[], &["tiny".to_owned()])), [""; 0]);
    }

    #[test]
    fn a_file_with_two_names_is_listed_and_counted_once() {
        let (dir, store) = store();
        for name in ["tiny", "debian-built"] {
            store.import(&dir.path().join("disk.raw"), &name.parse().unwrap(), Arch::X86_64).unwrap();
        }
        let found = unused(&store, &[], &[]);
        assert_eq!((names(&found).len(), found.iter().filter(|it| it.item.is_some()).count()), (2, 1));
        assert_eq!(names(&unused(&store, &[], &["tiny".to_owned()])), [""; 0]);
    }

    #[test]
    fn a_download_is_guarded_by_the_lock_of_its_own_image() {
        let is_lock = |lock: &str, part: &str| is_lock_of(Path::new(lock), Path::new(part));
        assert!(is_lock("/s/locks/debian-12.x86_64.lock", "/s/partial/debian-12.x86_64.part"));
        assert!(!is_lock("/s/locks/debian.x86_64.lock", "/s/partial/debian-12.x86_64.part"));
        assert!(!is_lock("/s/locks/debian.x86_64", "/s/partial/debian.x86_64.part"));
    }
}
