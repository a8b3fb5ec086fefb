//! Disks on real file systems, by the real `qemu-img`.

#![expect(clippy::unwrap_used, reason = "a set-up that fails is a test that fails")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use plasmavmc_host::HostError;
use plasmavmc_host::disk_image::{DiskImageError, check, create, grow, info};
use plasmavmc_host::exec::Dialogue;
use plasmavmc_types::{ByteSize, DiskFormat, Explain};

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A directory, and a path in it where nothing is.
fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a, b:c.qcow2");
    (dir, path)
}

fn names(dir: &Path) -> Vec<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_new_disk_is_whole_private_and_alone() {
    let (dir, path) = place();
    create(&path, ByteSize::gib(80)).unwrap();
    let found = info(&path, DiskFormat::Qcow2).unwrap();
    assert_eq!(found.virtual_size, ByteSize::gib(80));
    assert!(found.allocated < ByteSize::mib(1), "{}", found.allocated);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(names(dir.path()), ["a, b:c.qcow2"]);
}

#[test]
fn nothing_that_exists_is_touched() {
    let (dir, path) = place();
    for make in [
        |path: &Path| fs::write(path, "precious").unwrap(),
        |path: &Path| symlink("/nowhere", path).unwrap(),
        |path: &Path| fs::create_dir(path).unwrap(),
    ] {
        make(&path);
        let before = fs::symlink_metadata(&path).unwrap().modified().unwrap();
        let error = create(&path, ByteSize::gib(1)).unwrap_err();
        assert!(matches!(error, DiskImageError::Exists { .. }), "{error}");
        assert_eq!(fs::symlink_metadata(&path).unwrap().modified().unwrap(), before);
        assert_eq!(names(dir.path()).len(), 1);
        fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)).unwrap();
    }
}

#[test]
fn a_place_that_others_could_change_is_refused() {
    let (dir, path) = place();
    mode(dir.path(), 0o777);
    let error = check(&path).unwrap_err();
    assert!(matches!(&error, DiskImageError::Unsafe { at, .. } if at == dir.path()), "{error}");
    assert!(error.hints()[0].contains("namei -l"), "{:?}", error.hints());
    mode(dir.path(), 0o1777);
    check(&path).unwrap();
    if rustix::process::geteuid().is_root() {
        let (link, theirs) = (dir.path().join("link"), dir.path().join("theirs"));
        fs::create_dir(&theirs).unwrap();
        symlink(&theirs, &link).unwrap();
        check(&link.join("x")).unwrap();
        std::os::unix::fs::lchown(&link, Some(65533), None).unwrap();
        assert!(matches!(check(&link.join("x")), Err(DiskImageError::Unsafe { at, .. }) if at == link));
        std::os::unix::fs::lchown(&link, Some(0), None).unwrap();
        std::os::unix::fs::chown(&theirs, Some(65533), None).unwrap();
        assert!(matches!(check(&link.join("x")), Err(DiskImageError::Unsafe { at, .. }) if at == theirs));
    }
}

#[test]
fn a_path_says_where_the_disk_is_whoever_asks() {
    let (dir, _) = place();
    for path in ["disk.qcow2", "", "/", "/tmp/../etc/disk"] {
        let error = create(Path::new(path), ByteSize::gib(1)).unwrap_err();
        assert!(matches!(error, DiskImageError::NotAbsolute { .. }), "{path}: {error}");
    }
    let error = create(&dir.path().join("no/such/disk"), ByteSize::gib(1)).unwrap_err();
    assert!(matches!(error, DiskImageError::NoDirectory { .. }), "{error}");
    for size in [0, 1000] {
        let error = create(&dir.path().join("disk"), ByteSize::bytes(size)).unwrap_err();
        assert!(matches!(error, DiskImageError::BadSize { .. }), "{error}");
    }
    assert!(names(dir.path()).is_empty());
}

#[test]
fn a_size_that_no_disk_can_have_leaves_nothing_behind() {
    let (dir, path) = place();
    let error = create(&path, ByteSize::bytes(u64::MAX - 511)).unwrap_err();
    assert!(matches!(error, DiskImageError::Host { .. }), "{error}");
    assert!(names(dir.path()).is_empty());
}

#[test]
fn a_disk_grows_and_never_shrinks() {
    let (_dir, path) = place();
    create(&path, ByteSize::gib(2)).unwrap();
    let size = || info(&path, DiskFormat::Qcow2).unwrap().virtual_size;
    assert_eq!(grow(&path, DiskFormat::Qcow2, ByteSize::gib(3)).unwrap(), ByteSize::gib(2));
    assert_eq!(size(), ByteSize::gib(3));
    let bytes = fs::read(&path).unwrap();
    grow(&path, DiskFormat::Qcow2, ByteSize::gib(3)).unwrap();
    let error = grow(&path, DiskFormat::Qcow2, ByteSize::gib(2)).unwrap_err();
    assert!(matches!(error, DiskImageError::WouldShrink { .. }), "{error}");
    assert!(fs::read(&path).unwrap() == bytes, "the disk was written to");
}

#[test]
fn the_format_is_what_was_said_never_what_the_file_looks_like() {
    let (_dir, path) = place();
    create(&path, ByteSize::gib(2)).unwrap();
    let raw = info(&path, DiskFormat::Raw).unwrap();
    let sectors = fs::metadata(&path).unwrap().len().next_multiple_of(512);
    assert_eq!(raw.virtual_size, ByteSize::bytes(sectors));
    fs::write(&path, vec![0; 4096]).unwrap();
    assert!(info(&path, DiskFormat::Qcow2).is_err());
}

#[test]
fn what_is_no_file_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [&pipe, dir.path(), Path::new("/dev/null")] {
        let error = info(path, DiskFormat::Raw).unwrap_err();
        assert!(matches!(error, DiskImageError::NotAFile { .. }), "{error}");
    }
    assert!(matches!(info(&dir.path().join("x"), DiskFormat::Raw), Err(DiskImageError::Host { .. })));
}

#[test]
fn a_disk_in_use_is_measured_and_not_grown() {
    let (_dir, path) = place();
    create(&path, ByteSize::gib(1)).unwrap();
    // It holds the disk as a VM would, from its first answer until it is dropped.
    let mut command = Command::new("qemu-io");
    command.args(["-f", "qcow2"]).arg(&path);
    let mut holder = Dialogue::start(command).unwrap();
    let mut opened = |output: &[u8]| String::from_utf8_lossy(output).contains("1 GiB");
    holder.ask(b"length\n", Duration::from_secs(30), 1 << 16, &mut opened).unwrap();
    let error = grow(&path, DiskFormat::Qcow2, ByteSize::gib(2)).unwrap_err();
    assert!(matches!(&error, DiskImageError::Host { source: HostError::InUse { .. }, .. }), "{error}");
    assert_eq!(info(&path, DiskFormat::Qcow2).unwrap().virtual_size, ByteSize::gib(1));
}
