//! A disk that is full, on a real small file system. Needs the right to mount one.

use std::path::Path;
use std::process::Command;

use plasmavmc_host::image::{ImageError, Store};
use plasmavmc_types::{ErrorKind, Explain};

use crate::lab::{ETAG, Lab, checksums, files, finals, image, policy, sha512, wanted};
use crate::server::{Answer, Server};

const SIZE: usize = 6_000_000;

/// A mounted file system in memory; unmounted when dropped.
struct SmallDisk<'a> {
    at: &'a Path,
}

impl<'a> SmallDisk<'a> {
    /// None where this user may not mount.
    fn mount(at: &'a Path, options: &str) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "castra-test"]).arg(at);
        if mount.output().is_ok_and(|output| output.status.success()) {
            return Some(Self { at });
        }
        eprintln!("skipped: mounting a tmpfs needs root");
        None
    }

    fn grow(&self, size: &str) {
        let options = format!("remount,size={size}");
        assert!(Command::new("mount").args(["-o", &options]).arg(self.at).status().unwrap().success());
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.at).status();
    }
}

fn assert_full(error: &ImageError) {
    assert!(matches!(error, ImageError::Host { .. }), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Preflight, "{error:?}");
    assert!(error.hints().iter().any(|hint| hint.contains("free some space")), "{:?}", error.hints());
}

#[test]
fn a_full_disk_is_told_and_the_download_goes_on_when_there_is_space() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(dir.path(), "size=4m") else { return };
    let bytes = image(SIZE, 1);
    let served = bytes.clone();
    // Without a length, so that the lack of space shows only while writing.
    let server = Server::start(move |seen| {
        checksums(&seen.path, &served).or_else(|| {
            let answer = Answer::file(seen, &served, ETAG);
            Some(if seen.nth == 0 { answer.without("Content-Length") } else { answer })
        })
    });
    let store = Store::new(dir.path().join("store"));
    let policy = policy(&server.base());
    let error = store.ensure(&wanted("alpine"), &policy, &mut |_| {}).unwrap_err();
    assert_full(&error);
    assert!(finals(&store).is_empty());
    disk.grow("32m");
    let stored = store.ensure(&wanted("alpine"), &policy, &mut |_| {}).unwrap();
    assert_eq!(stored.sha512, sha512(&bytes));
    assert!(server.seen_for(".qcow2")[1].range().is_some(), "what was there was thrown away");
}

#[test]
fn what_cannot_fit_is_not_begun() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_disk) = SmallDisk::mount(dir.path(), "size=4m") else { return };
    let bytes = image(SIZE, 1);
    let served = bytes.clone();
    let server = Server::start(move |seen| {
        checksums(&seen.path, &served).or_else(|| Some(Answer::file(seen, &served, ETAG)))
    });
    let store = Store::new(dir.path().join("store"));
    let error = store.ensure(&wanted("alpine"), &policy(&server.base()), &mut |_| {}).unwrap_err();
    assert_full(&error);
    let written: u64 =
        files(&store.root().join("partial")).iter().map(|path| path.metadata().unwrap().len()).sum();
    assert!(written < 1000, "{written} bytes were written");
}

#[test]
fn an_import_that_does_not_fit_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_disk) = SmallDisk::mount(dir.path(), "size=4m") else { return };
    let lab = Lab::at("http://127.0.0.1:1");
    let file = lab.dir.path().join("mine.qcow2");
    std::fs::write(&file, &*image(SIZE, 1)).unwrap();
    let store = Store::new(dir.path().join("store"));
    let name = "mine".parse().unwrap();
    let error = store.import(&file, &name, plasmavmc_host::image::Arch::X86_64).unwrap_err();
    assert_full(&error);
    assert!(finals(&store).is_empty() && files(&store.root().join("partial")).is_empty());
}
