//! A pidfile: whoever may write into the workspace may write into it.

use plasmavmc_host::process::PidFile;

/// What is read as a pidfile names a process, and means the same when it is written again.
pub fn check(bytes: &[u8]) {
    let Some(file) = PidFile::parse(bytes) else { return };
    // Signals to 0 or to a negative pid would go to whole groups.
    assert!(i32::try_from(file.identity.pid).is_ok_and(|pid| pid > 0), "{file:?}");
    assert_eq!(PidFile::parse(file.to_string().as_bytes()), Some(file));
}
