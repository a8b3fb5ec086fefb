//! Debian's `qemu-guest-agent` with the libraries it needs, for a guest that has neither.
//!
//! The program comes from its package, the libraries from this host, whose QEMU needs them too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use plasmavmc_host::FileLock;

use crate::{BUILD_BOUND, target_dir};

/// Where the program is, in its package and in the archive.
const PROGRAM: &str = "usr/sbin/qemu-ga";

/// An archive to be unpacked at the root of a tiny guest; its program is `/usr/sbin/qemu-ga`. Made by
/// the first test that asks, as [`crate::tiny_image`] is.
///
/// # Panics
/// Where it cannot be made; the message says what the host lacks.
pub fn qga_archive() -> PathBuf {
    let cache = target_dir().join("castra-test");
    let archive = cache.join("qemu-guest-agent.tar");
    let _lock = FileLock::acquire(&cache.join("qga.lock"), BUILD_BOUND).expect("the archive's lock");
    if !archive.exists() {
        let work = cache.join("qga.work");
        let _ = fs::remove_dir_all(&work);
        fs::create_dir_all(&work).expect("a directory to work in");
        make(&work);
        fs::rename(work.join("made.tar"), &archive).expect("an archive was made");
        fs::remove_dir_all(&work).expect("the work can be removed");
    }
    archive
}

fn make(work: &Path) {
    run(work, "apt-get", &["download", "--quiet", "qemu-guest-agent"]);
    let entries = fs::read_dir(work).expect("the directory is there").flatten();
    let package = entries.map(|it| it.path()).find(|path| path.extension().is_some_and(|it| it == "deb"));
    let package = package.expect("apt-get left a package");
    run(work, "dpkg-deb", &["-x", package.to_str().expect("a plain name"), "root"]);
    let listed = run(work, "ldd", &[&format!("root/{PROGRAM}")]);
    let libraries = listed.lines().filter_map(|line| line.split("=> /").nth(1)?.split(' ').next());
    let mut words = vec!["-c", "-h", "-f", "made.tar", "-C", "root", PROGRAM, "-C", "/"];
    words.extend(libraries);
    run(work, "tar", &words);
}

fn run(work: &Path, program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).current_dir(work).output();
    let output = output.unwrap_or_else(|error| panic!("{program} is needed: {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
