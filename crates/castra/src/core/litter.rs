//! Temporary files whose command died: which ones nobody writes any more. Reads only. Tests: below.
//!
//! A command that works on one for minutes holds a lock beside it, `<file>.lock`: free, the command is
//! gone. Of all others their age tells.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use plasmavmc_host::FileLock;
use plasmavmc_host::publish::TEMPORARY_PREFIX;

/// A file without a lock that was not touched for this long belongs to no command: the longest write
/// between two others takes minutes.
const ABANDONED_AFTER: Duration = Duration::from_secs(3600);

/// The lock a command holds while it works on a temporary file.
pub(crate) fn lock_of(path: &Path) -> PathBuf {
    let mut lock = path.as_os_str().to_owned();
    lock.push(".lock");
    lock.into()
}

/// The temporary files in a directory that nobody is writing, in the order of their names.
pub(crate) fn abandoned(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = entries.filter(|path| is_temporary(path) && is_abandoned(path)).collect();
    found.sort();
    found
}

fn is_temporary(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(TEMPORARY_PREFIX))
}

fn is_abandoned(path: &Path) -> bool {
    let is_lock = path.extension().is_some_and(|end| end == "lock");
    let lock = if is_lock { path.to_owned() } else { lock_of(path) };
    // Asking makes the file, and looking must not.
    if lock.exists() {
        return matches!(FileLock::try_acquire(&lock), Ok(Some(_)));
    }
    let touched = path.symlink_metadata().and_then(|meta| meta.modified());
    let idle = touched.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
    idle.is_some_and(|idle| idle >= ABANDONED_AFTER)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_file_is_abandoned_once_its_command_is_gone_or_it_is_old() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(format!("{TEMPORARY_PREFIX}{name}"));
        for name in ["fresh", "old", "built"] {
            fs::write(path(name), "").unwrap();
        }
        fs::write(dir.path().join("a-persons"), "").unwrap();
        let old = SystemTime::now() - ABANDONED_AFTER * 2;
        File::options().append(true).open(path("old")).unwrap().set_modified(old).unwrap();
        let lock = FileLock::try_acquire(&lock_of(&path("built"))).unwrap().unwrap();
        assert_eq!(abandoned(dir.path()), [path("old")]);
        drop(lock);
        assert_eq!(abandoned(dir.path()), [path("built"), path("built.lock"), path("old")]);
        assert!(abandoned(&dir.path().join("none")).is_empty());
    }
}
