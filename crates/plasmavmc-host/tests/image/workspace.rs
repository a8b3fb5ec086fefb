//! How a workspace gets its image, and keeps it right.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use plasmavmc_host::image::{Arch, BaseInUse, Cached, How, ImageError, Materialised, StoredImage};

use crate::lab::{Lab, files, image, publisher, sha512, wanted};
use crate::server::Server;

struct Project {
    lab: Lab,
    stored: StoredImage,
    images: PathBuf,
}

impl Project {
    /// A project whose image is in the store.
    fn new() -> Self {
        let bytes = image(200_000, 1);
        let server = Server::start(move |seen| Some(publisher(seen, &bytes)));
        let lab = Lab::new(&server);
        let stored = lab.ensure(&wanted("alpine")).0.unwrap();
        let images = lab.dir.path().join("workspace/images");
        Self { lab, stored, images }
    }

    fn materialise(&self, in_use: BaseInUse) -> Materialised {
        self.lab.store.materialise(&self.stored, &self.images, in_use).unwrap()
    }
}

/// The way files are shared on the file system of the test directory.
fn cheap(how: How) -> bool {
    matches!(how, How::Reflink | How::HardLink)
}

fn overwrite(path: &Path, bytes: &[u8]) {
    // A new file, as an editor or a copy makes it: the store's own stays as it is.
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_workspace_gets_the_file_and_the_sidecar_automation_looks_for() {
    let project = Project::new();
    let there = project.materialise(BaseInUse::No);
    assert!(cheap(there.how), "{there:?}");
    let names: Vec<_> = files(&project.images)
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(names, ["alpine-minimal.qcow2", "alpine-minimal.qcow2.sha512"]);
    let check = Command::new("sha512sum")
        .args(["--check", "--strict", "alpine-minimal.qcow2.sha512"])
        .current_dir(&project.images)
        .output()
        .unwrap();
    assert!(check.status.success(), "{check:?}");
    let before = fs::metadata(&there.path).unwrap().ctime_nsec();
    assert_eq!(project.materialise(BaseInUse::No).how, How::Present);
    assert_eq!(fs::metadata(&there.path).unwrap().ctime_nsec(), before, "a second time wrote something");
}

#[test]
fn two_workspaces_have_one_file() {
    let project = Project::new();
    let other = project.lab.dir.path().join("other/images");
    let one = project.materialise(BaseInUse::No);
    let two = project.lab.store.materialise(&project.stored, &other, BaseInUse::No).unwrap();
    if one.how == How::HardLink {
        let inode = |path: &Path| fs::metadata(path).unwrap().ino();
        assert_eq!(inode(&one.path), inode(&two.path));
    }
    assert_eq!(fs::read(one.path).unwrap(), fs::read(two.path).unwrap());
}

#[test]
fn a_truncated_or_altered_file_is_replaced() {
    let project = Project::new();
    let there = project.materialise(BaseInUse::No);
    let good = fs::read(&there.path).unwrap();
    let mut altered = good.clone();
    altered[100_000] ^= 1;
    for (bad, in_use) in [
        (&good[..1000], BaseInUse::No),
        (altered.as_slice(), BaseInUse::No),
        // An overlay on a damaged file is helped by the bytes it was made on.
        (altered.as_slice(), BaseInUse::Yes),
        (b"".as_slice(), BaseInUse::Yes),
    ] {
        overwrite(&there.path, bad);
        assert!(cheap(project.materialise(in_use).how));
        assert_eq!(fs::read(&there.path).unwrap(), good);
    }
    for bad in ["", "00  alpine-minimal.qcow2\n", "nonsense"] {
        fs::write(project.images.join("alpine-minimal.qcow2.sha512"), bad).unwrap();
        project.materialise(BaseInUse::No);
        let sidecar = fs::read_to_string(project.images.join("alpine-minimal.qcow2.sha512")).unwrap();
        assert_eq!(sidecar, format!("{}  alpine-minimal.qcow2\n", sha512(&good)));
    }
    assert_eq!(files(&project.images).len(), 2, "temporary files were left: {:?}", files(&project.images));
}

#[test]
fn an_overlay_keeps_the_bytes_it_was_made_on() {
    let old = Project::new();
    let there = old.materialise(BaseInUse::No);
    // The publisher has a newer image, and somebody took it.
    let newer = image(200_000, 2);
    let served = newer.clone();
    let server = Server::start(move |seen| Some(publisher(seen, &served)));
    let policy = crate::lab::policy(&server.base());
    let stored = old.lab.store.ensure(&wanted("alpine").latest(), &policy, &mut |_| {}).unwrap();
    assert_eq!(stored.sha512, sha512(&newer));
    let kept = old.lab.store.materialise(&stored, &old.images, BaseInUse::Yes).unwrap();
    assert_eq!(kept, Materialised { path: there.path.clone(), sha512: old.stored.sha512, how: How::Kept });
    assert_eq!(sha512(&fs::read(&there.path).unwrap()), old.stored.sha512);
    let replaced = old.lab.store.materialise(&stored, &old.images, BaseInUse::No).unwrap();
    assert!(cheap(replaced.how));
    assert_eq!(fs::read(&there.path).unwrap(), *newer);
}

#[test]
fn an_overlay_gets_no_other_bytes_where_those_it_was_made_on_are_damaged() {
    let old = Project::new();
    let there = old.materialise(BaseInUse::No);
    let good = fs::read(&there.path).unwrap();
    let newer = image(200_000, 2);
    let served = newer.clone();
    let server = Server::start(move |seen| Some(publisher(seen, &served)));
    let policy = crate::lab::policy(&server.base());
    let stored = old.lab.store.ensure(&wanted("alpine").latest(), &policy, &mut |_| {}).unwrap();
    overwrite(&there.path, b"damaged");
    let restored = old.lab.store.materialise(&stored, &old.images, BaseInUse::Yes).unwrap();
    assert_eq!(restored.sha512, old.stored.sha512);
    assert_eq!(fs::read(&there.path).unwrap(), good, "the store had the bytes still");

    overwrite(&there.path, b"damaged");
    fs::remove_file(&old.stored.path).unwrap();
    let error = old.lab.store.materialise(&stored, &old.images, BaseInUse::Yes).unwrap_err();
    assert!(matches!(error, ImageError::BaseLost { .. }), "{error:?}");
    assert_eq!(fs::read(&there.path).unwrap(), b"damaged");
}

#[test]
fn bytes_an_overlay_lies_on_stay_where_their_sidecar_is_lost() {
    let project = Project::new();
    let there = project.materialise(BaseInUse::No);
    overwrite(&there.path, &image(200_000, 3));
    fs::remove_file(project.images.join("alpine-minimal.qcow2.sha512")).unwrap();
    assert_eq!(project.materialise(BaseInUse::Yes).how, How::Kept);
    assert_eq!(fs::read(&there.path).unwrap(), *image(200_000, 3));
}

#[test]
fn a_workspaces_own_file_is_found_by_any_of_its_names_and_believed_while_it_is_intact() {
    let project = Project::new();
    let find = |name: &str| Cached::find(&name.parse().unwrap(), project.stored.arch, &project.images);
    assert_eq!(find("alpine"), None);
    let there = project.materialise(BaseInUse::No);
    let cached = Cached { path: there.path.clone(), sha512: there.sha512 };
    assert_eq!((find("alpine"), find("alpine-3.23")), (Some(cached.clone()), Some(cached.clone())));
    assert!(cached.is_intact().unwrap());
    overwrite(&there.path, b"damaged");
    assert!(!cached.is_intact().unwrap());
    fs::remove_file(&there.path).unwrap();
    assert_eq!(find("alpine"), None);
}

#[test]
fn a_workspace_on_another_file_system_gets_a_copy() {
    let project = Project::new();
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else {
        eprintln!("skipped: no second file system");
        return;
    };
    if fs::metadata(other.path()).unwrap().dev() == fs::metadata(&project.stored.path).unwrap().dev() {
        eprintln!("skipped: no second file system");
        return;
    }
    let images = other.path().join("images");
    let materialise = || project.lab.store.materialise(&project.stored, &images, BaseInUse::No).unwrap();
    let there = materialise();
    assert_eq!(there.how, How::Copy);
    assert_eq!(sha512(&fs::read(&there.path).unwrap()), project.stored.sha512);
    assert_eq!(fs::metadata(&there.path).unwrap().permissions().mode() & 0o777, 0o444);
    assert_eq!(materialise().how, How::Present);
}

#[test]
fn images_of_two_processors_lie_side_by_side() {
    let foreign = if Arch::host() == Some(Arch::X86_64) { Arch::Aarch64 } else { Arch::X86_64 };
    let project = Project::new();
    let image = StoredImage { arch: foreign, ..project.stored.clone() };
    assert_eq!(image.file_name(), format!("{foreign}-alpine-minimal.qcow2"));
}
