//! Base images: what the catalogue and the store have, and getting them there and away.
//!
//! ```text
//! list    catalogue + store, and which projects use what     reads only
//! pull    publisher ──► store, and castra.lock of the project
//! import  a file ──► store                                   under a name of one's own
//! build   packages of this host ──► store
//! verify  store: every byte against its digest
//! rm      store ──► nothing; workspaces keep their own link or copy
//! ```
//!
//! Owns: the operations behind `castra image`, and `Images`, through which `up` gets its base
//! images. Never does: download or hash itself (that is `plasmavmc_host::image`). Tests: in each
//! file, and `tests/it/images.rs`.

mod build;
mod list;
mod provide;
mod pull;
mod remove;
mod row;
mod take;
mod verify;

pub use build::{ImageBuildOptions, image_build};
pub(crate) use list::image_names;
pub use list::{ImageListOutcome, image_list};
pub(crate) use provide::{Images, Shelf};
pub use pull::{ImagePullOptions, ImagePullOutcome, PulledImage, image_pull};
pub use remove::{ImageRemoveOptions, ImageRemoveOutcome, RemovedImage, image_remove};
pub use row::{ImageRow, ImageSource, StoredRow};
pub use take::{ImageImportOptions, ImageStoredOutcome, image_import};
pub use verify::{ImageCheck, ImageVerifyOptions, ImageVerifyOutcome, VerifiedImage, image_verify};

use plasmavmc_host::image::{Arch, ImageName, catalogue};

use super::error::Error;

/// The processor of this host, which is the one images are got for.
fn host_arch() -> Result<Arch, Error> {
    Arch::host().ok_or(Error::NoImagesForHost { arch: std::env::consts::ARCH })
}

/// The name an image has in the store: aliases such as `debian` lead to a release.
fn stored_name(name: &ImageName) -> String {
    catalogue::find(name.as_str()).map_or_else(|| name.to_string(), |known| known.name().to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use plasmavmc_host::image::{ImageError, Lockfile, Pin};

    use super::*;
    use crate::core::recorder::Recorder;
    use crate::core::session::Session;
    use crate::env::UserDirs;

    fn session(home: &Path) -> Session {
        let dirs = UserDirs::from_values(Some(home.join("castra").into()), None).unwrap();
        Session::new(dirs, home)
    }

    /// A raw disk: empty but for the signature a boot sector ends with.
    fn disk(byte: u8) -> Vec<u8> {
        let mut disk = vec![byte; 4096];
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        disk
    }

    fn import(session: &Session, name: &str, content: &[u8]) -> Result<ImageStoredOutcome, Error> {
        fs::write(session.cwd.join("disk.raw"), content).unwrap();
        let options = ImageImportOptions { path: "disk.raw".into(), name: name.parse().unwrap() };
        image_import(session, &options).map(|output| output.value)
    }

    fn check_of(session: &Session, name: &str) -> ImageCheck {
        let options = ImageVerifyOptions { images: vec![name.parse().unwrap()] };
        image_verify(session, &options, &|_| {}).unwrap().value.images[0].check
    }

    #[test]
    fn an_image_of_ones_own_is_listed_verified_and_removed() {
        let home = tempfile::tempdir().unwrap();
        let session = session(home.path());
        let stored = import(&session, "mine", &disk(7)).unwrap();
        let listed = image_list(&session).unwrap().value.images;
        let row = listed.iter().find(|row| row.name == "mine").unwrap();
        assert_eq!(row.stored.as_ref(), Some(&stored.stored));
        assert_eq!(
            row.source,
            ImageSource::Imported { from: home.path().canonicalize().unwrap().join("disk.raw") }
        );
        assert_eq!(check_of(&session, "mine"), ImageCheck::Intact);

        fs::set_permissions(&stored.stored.path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&stored.stored.path, disk(8)).unwrap();
        assert_eq!(check_of(&session, "mine"), ImageCheck::Altered);

        let options = ImageRemoveOptions { images: vec!["mine".parse().unwrap()] };
        let removed = image_remove(&session, &options).unwrap();
        assert_eq!((removed.value.images.len(), removed.diagnostics.len()), (1, 0));
        assert!(removed.value.images[0].reclaimed_bytes >= 4096);
        assert!(matches!(image_remove(&session, &options), Err(Error::Image(ImageError::Unknown { .. }))));
    }

    #[test]
    fn listing_makes_no_store() {
        let home = tempfile::tempdir().unwrap();
        let listed = image_list(&session(home.path())).unwrap().value.images;
        assert!(listed.iter().any(|row| row.aliases.contains(&"alpine".to_owned())), "{listed:?}");
        assert!(listed.iter().all(|row| row.stored.is_none()));
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0, "reading wrote something");
    }

    #[test]
    fn an_image_of_ones_own_reaches_the_workspace_and_is_not_pinned() {
        let home = tempfile::tempdir().unwrap();
        let session = session(home.path());
        let stored = import(&session, "mine", &disk(7)).unwrap();
        let images = Images::open(&session).unwrap();
        let name = "mine".parse().unwrap();
        let (lock, dir) = (home.path().join("castra.lock"), home.path().join("images"));
        let at_hand = || images.at_hand(&name, &Lockfile::default(), &dir);
        assert_eq!(at_hand().unwrap().as_ref(), Some(&stored.stored.path));
        let sink = Recorder::forwarding(&|_| {});
        let shelf = Shelf { dir: &dir, lock_path: &lock, in_use: &|_| false };
        let provide = || images.provide(&[&name], &shelf, &sink).map(|mut paths| paths.remove(0));
        let there = provide().unwrap();
        assert_eq!(there.parent(), Some(dir.as_path()));
        assert_eq!(fs::read(&there).unwrap(), disk(7));
        assert!(!lock.exists(), "nobody else could download it");

        image_remove(&session, &ImageRemoveOptions { images: vec![name.clone()] }).unwrap();
        assert_eq!(at_hand().unwrap().as_ref(), Some(&there), "the workspace has it still");
        assert_eq!(provide().unwrap(), there);
        fs::remove_file(&there).unwrap();
        fs::write(&there, disk(8)).unwrap();
        assert!(matches!(provide(), Err(Error::Image(ImageError::Unknown { .. }))), "those are other bytes");
    }

    #[test]
    fn two_names_of_one_image_with_different_bytes_are_refused_before_a_file_is_touched() {
        let home = tempfile::tempdir().unwrap();
        let session = session(home.path());
        // The store is filled by hand: there is no publisher here.
        let images = Images::open(&session).unwrap();
        let dir = home.path().join("images");
        let lock_path = home.path().join("castra.lock");
        let mut lock = Lockfile::default();
        for (name, byte) in [("debian", 7), ("debian-13", 8)] {
            let stored = import(&session, &format!("by-hand-{byte}"), &disk(byte)).unwrap().stored;
            lock.set(Pin {
                name: name.parse().unwrap(),
                arch: images.arch,
                url: "https://example.org/debian.qcow2".to_owned(),
                sha512: stored.sha512.parse().unwrap(),
                size_bytes: 4096,
            });
        }
        lock.save(&lock_path).unwrap();
        let sink = Recorder::forwarding(&|_| {});
        let shelf = Shelf { dir: &dir, lock_path: &lock_path, in_use: &|_| false };
        let names: [ImageName; 2] = ["debian", "debian-13"].map(|name| name.parse().unwrap());
        let error = images.provide(&[&names[0], &names[1]], &shelf, &sink).unwrap_err();
        assert!(matches!(error, Error::ImagesDiffer { .. }), "{error:?}");
        assert!(!dir.exists());
        images.provide(&[&names[0]], &shelf, &sink).unwrap();
    }

    #[test]
    fn what_nobody_can_deliver_is_told_before_anything_is_made() {
        let home = tempfile::tempdir().unwrap();
        let images = Images::open(&session(home.path())).unwrap();
        let dir = home.path().join("images");
        let at_hand = |name: &str| images.at_hand(&name.parse().unwrap(), &Lockfile::default(), &dir);
        assert_eq!(at_hand("alpine").unwrap(), None, "a publisher has it");
        assert!(matches!(at_hand("tiny"), Err(Error::Image(ImageError::NotBuilt { .. }))));
        assert!(matches!(at_hand("nothing-like-it"), Err(Error::Image(ImageError::Unknown { .. }))));
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_mirror_that_is_no_url_is_refused_with_its_text() {
        let home = tempfile::tempdir().unwrap();
        let session = Session { mirror: Some("ftp://m".to_owned()), ..session(home.path()) };
        let error = Images::open(&session).unwrap_err();
        assert!(matches!(error, Error::Mirror(_)) && error.to_string().contains("ftp://m"), "{error}");
        let empty = Session { mirror: Some(String::new()), ..session };
        assert!(Images::open(&empty).is_ok(), "an empty variable counts as not set");
    }
}
