//! `castra.lock`: comes with a repository, so from anyone.

use plasmavmc_host::image::Lockfile;

/// What is read as a lock is written as one text, and that text means the same.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(lock) = Lockfile::parse(text) else { return };
    let written = lock.to_text();
    let read = Lockfile::parse(&written).unwrap_or_else(|error| panic!("{error:?}: {written}"));
    assert_eq!(read, lock, "{written}");
    assert_eq!(read.to_text(), written);
}
