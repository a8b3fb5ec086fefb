//! Images of one's own, checking and removing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use plasmavmc_host::base::BaseImageError;
use plasmavmc_host::image::{Arch, BaseInUse, Check, ImageError, ImageName, Origin};
use plasmavmc_types::{DiskFormat, Explain};

use crate::lab::{Lab, image, overlay, publisher, sha512, wanted};
use crate::server::Server;

const ARCH: Arch = Arch::X86_64;

fn name(text: &str) -> ImageName {
    text.parse().unwrap()
}

/// A lab without a network, and a file in it.
fn offline(file: &str, bytes: &[u8]) -> (Lab, PathBuf) {
    let lab = Lab::at("http://127.0.0.1:1");
    let path = lab.dir.path().join(file);
    fs::write(&path, bytes).unwrap();
    (lab, path)
}

/// The bytes of a raw disk with a boot sector.
fn boot_disk(bytes: usize) -> Vec<u8> {
    let mut disk = vec![7; bytes];
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk
}

#[test]
fn an_imported_image_is_found_by_name_without_a_network() {
    for (file, bytes, format) in [
        ("a.qcow2", image(300_000, 1).to_vec(), DiskFormat::Qcow2),
        ("a.img", boot_disk(300_032), DiskFormat::Raw),
    ] {
        let (lab, path) = offline(file, &bytes);
        let stored = lab.store.import(&path, &name("mine"), ARCH).unwrap();
        assert_eq!(
            (stored.format, stored.sha512, stored.size_bytes),
            (format, sha512(&bytes), bytes.len() as u64)
        );
        assert_eq!(stored.origin, Origin::Imported { from: fs::canonicalize(&path).unwrap() });
        assert_eq!(stored.file_name(), format!("mine.{format}"));
        assert_eq!(lab.ensure(&wanted("mine")).0.unwrap(), stored);
        assert_eq!(stored.pin(&wanted("mine")), None, "nobody else can get it");
        fs::remove_file(&path).unwrap();
        assert_eq!(fs::read(&stored.path).unwrap(), bytes);
        assert_eq!(fs::metadata(&stored.path).unwrap().permissions().mode() & 0o777, 0o444);
        assert!(lab.partials().is_empty());
    }
}

#[test]
fn a_built_image_is_asked_to_be_built_and_then_found() {
    let (lab, path) = offline("tiny.qcow2", &image(100_000, 1));
    let error = lab.ensure(&wanted("tiny")).0.unwrap_err();
    assert!(matches!(error, ImageError::NotBuilt { target: "tiny", .. }), "{error:?}");
    assert_eq!(error.hints(), ["build it: `castra image build tiny`"]);
    assert!(!lab.store.root().exists(), "a question made a store");
    assert_eq!(lab.store.import(&path, &name("tiny"), ARCH).unwrap().origin, Origin::Built);
    assert!(lab.ensure(&wanted("tiny")).0.is_ok());
}

#[test]
fn an_unknown_name_is_told_with_the_one_that_was_meant() {
    let lab = Lab::at("http://127.0.0.1:1");
    let error = lab.ensure(&wanted("debain")).0.unwrap_err();
    assert!(matches!(error, ImageError::Unknown { .. }), "{error:?}");
    assert!(error.hints()[0].contains("debian"), "{:?}", error.hints());
    assert!(!lab.store.root().exists());
}

#[test]
fn what_is_no_image_of_its_own_is_not_imported() {
    let (lab, path) = offline("x", &overlay(4096));
    let import = |path: &PathBuf, as_name: &str| lab.store.import(path, &name(as_name), ARCH).unwrap_err();
    assert!(matches!(import(&path, "x"), ImageError::Overlay { .. }));
    assert!(matches!(import(&path, "debian"), ImageError::NameTaken { .. }));
    let dir = lab.dir.path().to_owned();
    let unfit = |path: &PathBuf| match import(path, "x") {
        ImageError::Unfit { source, .. } => *source,
        other => panic!("{other:?}"),
    };
    assert!(matches!(unfit(&dir), BaseImageError::NotAFile { .. }));
    assert!(matches!(import(&dir.join("none"), "x"), ImageError::Host { .. }));
    for (bytes, what) in [(&b""[..], "empty"), (b"<html>", "page"), (&image(1000, 1), "cut off")] {
        fs::write(&path, bytes).unwrap();
        let error = unfit(&path);
        let told = matches!(error, BaseImageError::NotAnImage { .. } | BaseImageError::Truncated { .. });
        assert!(told, "{what}: {error:?}");
    }
    assert!(lab.finals().is_empty());
}

#[test]
fn an_altered_local_image_is_never_used() {
    let (lab, path) = offline("a.qcow2", &image(100_000, 1));
    let stored = lab.store.import(&path, &name("mine"), ARCH).unwrap();
    let mut altered = fs::read(&stored.path).unwrap();
    altered[5000] ^= 1;
    fs::set_permissions(&stored.path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&stored.path, altered).unwrap();
    let error = lab.ensure(&wanted("mine")).0.unwrap_err();
    assert!(matches!(error, ImageError::Damaged { .. }), "{error:?}");
    assert!(lab.store.find(&name("mine"), ARCH).is_none());
    // The same name can be given anew.
    lab.store.import(&path, &name("mine"), ARCH).unwrap();
    assert!(lab.ensure(&wanted("mine")).0.is_ok());
}

#[test]
fn an_altered_published_image_is_downloaded_again() {
    let bytes = image(200_000, 1);
    let served = bytes.clone();
    let server = Server::start(move |seen| Some(publisher(seen, &served)));
    let lab = Lab::new(&server);
    let stored = lab.ensure(&wanted("alpine")).0.unwrap();
    fs::set_permissions(&stored.path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&stored.path, &bytes[..150_000]).unwrap();
    assert_eq!(fs::read(lab.ensure(&wanted("alpine")).0.unwrap().path).unwrap(), *bytes);
    assert_eq!(server.seen_for(".qcow2").len(), 2);
    // Only touched: the bytes are compared, and nothing is downloaded.
    fs::File::options()
        .append(true)
        .open(&stored.path)
        .and_then(|file| file.set_modified(std::time::SystemTime::UNIX_EPOCH))
        .unwrap();
    assert!(lab.store.find(&name("alpine"), ARCH).is_none());
    lab.ensure(&wanted("alpine")).0.unwrap();
    assert!(lab.store.find(&name("alpine"), ARCH).is_some());
    assert_eq!(server.seen_for(".qcow2").len(), 2);
}

#[test]
fn verify_finds_what_time_and_size_do_not_show() {
    let bytes = image(200_000, 1);
    let served = bytes.clone();
    let server = Server::start(move |seen| Some(publisher(seen, &served)));
    let lab = Lab::new(&server);
    let stored = lab.ensure(&wanted("alpine")).0.unwrap();
    let verify = || lab.store.verify(&stored, &mut |_| {}).unwrap();
    assert_eq!(verify(), Check::Intact);
    let time = fs::metadata(&stored.path).unwrap().modified().unwrap();
    let mut altered = bytes.to_vec();
    altered[9000] ^= 1;
    fs::set_permissions(&stored.path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&stored.path, &altered).unwrap();
    fs::File::options().append(true).open(&stored.path).unwrap().set_modified(time).unwrap();
    assert!(lab.store.find(&name("alpine"), ARCH).is_some(), "nothing shows yet");
    assert_eq!(verify(), Check::Altered { actual: sha512(&altered), size_bytes: 200_000 });
    assert!(lab.store.find(&name("alpine"), ARCH).is_none(), "what is known to be wrong is trusted");
    assert_eq!(fs::read(lab.ensure(&wanted("alpine")).0.unwrap().path).unwrap(), *bytes);
    fs::remove_file(&stored.path).unwrap();
    assert_eq!(verify(), Check::Missing);
}

#[test]
fn bytes_with_two_names_keep_where_each_name_has_them_from() {
    let (lab, path) = offline("a.qcow2", &image(100_000, 1));
    let imported = Origin::Imported { from: fs::canonicalize(&path).unwrap() };
    let origin = |of: &str| lab.store.find(&name(of), ARCH).unwrap().origin;
    for order in [["tiny", "mine"], ["mine", "tiny"]] {
        for each in order {
            lab.store.import(&path, &name(each), ARCH).unwrap();
        }
        assert_eq!((origin("tiny"), origin("mine")), (Origin::Built, imported.clone()), "{order:?}");
        lab.store.remove(&name("tiny"), ARCH).unwrap();
        let left: Vec<_> = lab.store.list().into_iter().map(|it| (it.image.name, it.image.origin)).collect();
        assert_eq!(left, [(name("mine"), imported.clone())], "{order:?}");
        lab.store.remove(&name("mine"), ARCH).unwrap();
    }
}

#[test]
fn removing_an_image_harms_no_workspace() {
    let (lab, path) = offline("a.qcow2", &image(100_000, 1));
    let stored = lab.store.import(&path, &name("mine"), ARCH).unwrap();
    lab.store.import(&path, &name("twin"), ARCH).unwrap();
    let images = lab.dir.path().join("workspace/images");
    let there = lab.store.materialise(&stored, &images, BaseInUse::No).unwrap();
    // The other name still leads to the bytes.
    assert_eq!(lab.store.remove(&name("mine"), ARCH).unwrap().files, 0);
    assert!(lab.ensure(&wanted("twin")).0.is_ok() && lab.ensure(&wanted("mine")).0.is_err());
    let removed = lab.store.remove(&name("twin"), ARCH).unwrap();
    assert_eq!(removed.files, 1);
    assert!(removed.workspace_links == 1 && removed.freed_bytes == 0 || removed.freed_bytes >= 100_000);
    assert!(lab.finals().is_empty() && lab.store.list().is_empty());
    assert_eq!(sha512(&fs::read(there.path).unwrap()), stored.sha512);
    assert!(matches!(lab.store.remove(&name("twin"), ARCH), Err(ImageError::Unknown { .. })));
}
