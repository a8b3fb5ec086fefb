//! Advisory locks on files (`flock`): one writer per VM and per download; a workspace is shared by
//! those who bring its VMs up, and had alone by whoever clears it out.
//!
//! The kernel frees a lock when its last holder dies, however it dies, so no lock is ever stale.
//! The file itself stays; an empty lock file means nothing. Tests: below.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use plasmavmc_types::{ErrorKind, Explain};

use crate::{HostError, IoContext, plain, publish};

/// A lock on a file, freed when dropped. Exclusive, unless it was asked for as a shared one.
#[derive(Debug)]
pub struct FileLock {
    file: File,
}

/// Why a lock could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Someone else holds it, and went on holding it.
    #[error("another command has held `{}` for over {waited_secs} s", path.display())]
    Busy {
        /// The lock file.
        path: PathBuf,
        /// How long was waited.
        waited_secs: u64,
    },
    /// The lock file cannot be used.
    #[error("no lock can be taken")]
    Host {
        /// What went wrong with the file.
        #[source]
        source: HostError,
    },
}

/// Time between two looks at a lock that someone holds.
const POLL: Duration = Duration::from_millis(10);

/// How a file is locked: alone, or with others.
type TryLock = fn(&File) -> Result<(), TryLockError>;

impl FileLock {
    /// Takes the lock at once; none where someone else holds it. Makes the file and its directory
    /// where they are missing.
    ///
    /// # Errors
    /// [`LockError::Host`].
    pub fn try_acquire(path: &Path) -> Result<Option<Self>, LockError> {
        Self::try_lock(path, File::try_lock)
    }

    /// Takes the lock, waiting at most `bound`.
    ///
    /// # Errors
    /// [`LockError::Busy`] after the bound; [`LockError::Host`].
    pub fn acquire(path: &Path, bound: Duration) -> Result<Self, LockError> {
        Self::wait(path, bound, File::try_lock)
    }

    /// Takes the lock together with whoever else asks so, waiting at most `bound` for the one who
    /// has it alone.
    ///
    /// # Errors
    /// [`LockError::Busy`] after the bound; [`LockError::Host`].
    pub fn acquire_shared(path: &Path, bound: Duration) -> Result<Self, LockError> {
        Self::wait(path, bound, File::try_lock_shared)
    }

    fn try_lock(path: &Path, lock: TryLock) -> Result<Option<Self>, LockError> {
        let host = |source| LockError::Host { source };
        if let Some(dir) = path.parent() {
            publish::private_dir(dir).map_err(host)?;
        }
        let file = open(path).context("open", path).map_err(host)?;
        match lock(&file) {
            Ok(()) => Ok(Some(Self { file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).context("lock", path).map_err(host),
        }
    }

    fn wait(path: &Path, bound: Duration, lock: TryLock) -> Result<Self, LockError> {
        let start = Instant::now();
        loop {
            if let Some(lock) = Self::try_lock(path, lock)? {
                return Ok(lock);
            }
            if start.elapsed() >= bound {
                return Err(LockError::Busy { path: path.to_owned(), waited_secs: bound.as_secs() });
            }
            thread::sleep(POLL);
        }
    }

    /// Whether somebody holds the lock alone. Writes nothing, and makes no file.
    ///
    /// # Errors
    /// [`HostError::Io`].
    pub fn is_held(path: &Path) -> Result<bool, HostError> {
        let Some(file) = plain::open(path)? else { return Ok(false) };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error).context("lock", path),
        }
    }

    /// The locked file, to be inherited by a child that shall go on holding the lock.
    pub fn as_file(&self) -> &File {
        &self.file
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    // Its holder writes its name into it: that must not go into whatever a link leads to.
    let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags).open(path)
}

impl Explain for LockError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Busy { .. } => ErrorKind::Conflict,
            Self::Host { source } => source.kind(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Busy { path, .. } => {
                vec![format!("see who holds it with `fuser -v {}`, or try again", path.display())]
            }
            Self::Host { source } => source.hints(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_waits_for_its_bound_and_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("locks/web.lock");
        assert!(!FileLock::is_held(&path).unwrap());
        assert!(!path.exists(), "looking made the file");
        let first = FileLock::try_acquire(&path).unwrap().expect("nobody holds it");
        assert!(FileLock::is_held(&path).unwrap());
        assert!(FileLock::try_acquire(&path).unwrap().is_none());
        let error = FileLock::acquire(&path, Duration::from_millis(20)).unwrap_err();
        assert!(matches!(error, LockError::Busy { .. }));
        drop(first);
        assert!(!FileLock::is_held(&path).unwrap());
        assert!(FileLock::try_acquire(&path).unwrap().is_some());
    }

    #[test]
    fn a_lock_is_never_taken_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (file, path) = (dir.path().join("file"), dir.path().join("web.lock"));
        std::fs::write(&file, "kept").unwrap();
        std::os::unix::fs::symlink(&file, &path).unwrap();
        assert!(matches!(FileLock::try_acquire(&path), Err(LockError::Host { .. })));
        assert!(FileLock::is_held(&path).is_err());
    }

    #[test]
    fn those_who_share_keep_out_only_who_wants_it_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("locks/web.lock");
        let soon = Duration::from_millis(20);
        let one = FileLock::acquire_shared(&path, soon).unwrap();
        let two = FileLock::acquire_shared(&path, soon).unwrap();
        drop(one);
        assert!(FileLock::try_acquire(&path).unwrap().is_none(), "one of two still holds it");
        drop(two);
        let _alone = FileLock::try_acquire(&path).unwrap().expect("nobody holds it");
        assert!(matches!(FileLock::acquire_shared(&path, soon), Err(LockError::Busy { .. })));
    }
}
