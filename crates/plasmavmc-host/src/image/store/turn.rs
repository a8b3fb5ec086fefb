//! Turns: of all that want one image at once, one works and the others watch.

use std::thread;
use std::time::{Duration, Instant};

use super::super::catalogue::Arch;
use super::super::download::{DownloadPolicy, Report, peek};
use super::super::error::ImageError;
use super::super::name::ImageName;
use super::super::progress::ImageProgress;
use super::{Store, key};
use crate::{FileLock, LockError};

/// Time between two looks at the lock.
const POLL: Duration = Duration::from_millis(20);

/// How long the renames of another image may take.
const PUBLISH_BOUND: Duration = Duration::from_secs(60);

impl Store {
    /// Waits for the turn to work on an image, and reports how far the one before has got.
    ///
    /// Waits for as long as that one makes headway, and `policy.patience` longer.
    pub(super) fn turn(
        &self,
        name: &ImageName,
        arch: Arch,
        policy: &DownloadPolicy,
        report: &mut Report<'_>,
    ) -> Result<FileLock, ImageError> {
        let key = key(name, arch);
        let path = self.root.join("locks").join(format!("{key}.lock"));
        let failed = |source| ImageError::Lock { name: name.clone(), source };
        let mut seen = None;
        let (mut moved, mut reported) = (Instant::now(), Instant::now());
        loop {
            if let Some(lock) = FileLock::try_acquire(&path).map_err(failed)? {
                return Ok(lock);
            }
            let now = peek(&self.partial(), &key);
            if now != seen {
                (seen, moved) = (now, Instant::now());
            }
            if moved.elapsed() >= policy.patience {
                let waited_secs = policy.patience.as_secs();
                return Err(failed(LockError::Busy { path, waited_secs }));
            }
            if let Some((done_bytes, total_bytes)) = now
                && reported.elapsed() >= policy.report_every
            {
                reported = Instant::now();
                report(ImageProgress::Progress { image: name.to_string(), done_bytes, total_bytes });
            }
            thread::sleep(POLL);
        }
    }

    /// Waits for the turn to give or take names; held for a few renames only. Two images can share
    /// their bytes, so the lock of one image does not protect those.
    pub(super) fn naming(&self, name: &ImageName) -> Result<FileLock, ImageError> {
        let path = self.root.join("locks").join("names.lock");
        FileLock::acquire(&path, PUBLISH_BOUND)
            .map_err(|source| ImageError::Lock { name: name.clone(), source })
    }
}
