//! Writes a file of the host's: whole under its name, or not at all.
//!
//! ```text
//!  .castra-…part (0600) ── Data, Hole ──► End ─► owner, mode, time ─► flushed ─► renamed
//!        └── cancelled, lost, failed: removed
//! ```
//!
//! Tests: below, `tests/it/files.rs`.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use castra_agent_proto::request::{Failure, FailureCode, Opened, Outcome, Write};
use rustix::fs::{Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid};

use super::{Link, Stop};
use crate::failure::{at, failure};
use crate::inbox::Piece;
use crate::session::Served;

/// How the names of unfinished files begin.
const PREFIX: &str = ".castra-";

/// Takes the file's bytes, then gives it its name.
pub(super) fn serve(write: &Write, link: &Link) -> Served {
    let path = destination(&link.path(&write.path)?)?;
    let owner = write.owner.as_deref().map(|owner| find_owner(owner, link)).transpose()?;
    let mut file = Unfinished::create(&path)?;
    link.opened(&Opened::default())?;
    let fail = |error: std::io::Error| at("write", &path, &error);
    let mut length: u64 = 0;
    loop {
        match link.next_piece()? {
            Piece::Data(bytes) => {
                file.file.write_all(&bytes).map_err(fail)?;
                length = length.saturating_add(bytes.len() as u64);
                link.used(bytes.len())?;
            }
            Piece::Hole(zeros) => {
                length = length.saturating_add(zeros);
                rustix::fs::seek(&file.file, rustix::fs::SeekFrom::Start(length))
                    .map_err(|error| fail(error.into()))?;
            }
            Piece::End => break,
        }
    }
    file.file.set_len(length).map_err(fail)?;
    file.finish(&path, write, owner, || link.check())?;
    Ok(Outcome::Ok)
}

/// Where the file goes: a link is followed, as every program that opens the file would do.
fn destination(path: &Path) -> Result<PathBuf, Failure> {
    let wrong = |what: &str| {
        failure(FailureCode::WrongKind, &format!("cannot write `{}`: it is {what}", path.display()))
    };
    if path.file_name().is_none() || path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(wrong("a directory"));
    }
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Err(wrong("a directory")),
        Ok(meta) if !meta.is_file() => Err(wrong("not a file")),
        Ok(_) => path.canonicalize().map_err(|error| at("find", path, &error)),
        Err(_) if path.is_symlink() => Err(wrong("a link that leads nowhere")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(path.to_owned()),
        Err(error) => Err(at("look at", path, &error)),
    }
}

/// A user, or `user:group`.
fn find_owner(owner: &str, link: &Link) -> Result<(Uid, Gid), Failure> {
    let users = link.users();
    let (name, group) = owner.split_once(':').map_or((owner, None), |(name, group)| (name, Some(group)));
    let missing =
        |what: &str, name: &str| failure(FailureCode::NotFound, &format!("the guest has no {what} `{name}`"));
    let user = users.find(name).ok_or_else(|| missing("user", name))?;
    let gid = match group {
        Some(group) => users.group(group).ok_or_else(|| missing("group", group))?,
        None => user.gid,
    };
    Ok((Uid::from_raw(user.uid), Gid::from_raw(gid)))
}

/// A file without its final name. Gone when dropped.
struct Unfinished {
    file: File,
    path: PathBuf,
}

impl Unfinished {
    fn create(destination: &Path) -> Result<Self, Stop> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let directory = destination.parent().unwrap_or(Path::new("/"));
        // A process that had the same number in an earlier boot may have left one: the next is free.
        for _ in 0..100 {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let path = directory.join(format!("{PREFIX}{}-{number}.part", std::process::id()));
            match File::options().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => return Ok(Self { file, path }),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(at("write", destination, &error).into()),
            }
        }
        let what = format!("`{}` is full of unfinished files", directory.display());
        Err(failure(FailureCode::Io, &what).into())
    }

    /// Gives the file everything it shall have, its name last and only where it is still wanted: flushing
    /// may take long, and whoever gave it up may have written another meanwhile.
    fn finish(
        self,
        path: &Path,
        write: &Write,
        owner: Option<(Uid, Gid)>,
        is_wanted: impl FnOnce() -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        self.settle(write, owner).map_err(|error| at("write", path, &error))?;
        is_wanted()?;
        Ok(fs::rename(&self.path, path).map_err(|error| at("write", path, &error))?)
    }

    fn settle(&self, write: &Write, owner: Option<(Uid, Gid)>) -> std::io::Result<()> {
        if let Some((uid, gid)) = owner {
            rustix::fs::fchown(&self.file, Some(uid), Some(gid))?;
        }
        // After the owner: a change of owner takes the set-user bits away.
        rustix::fs::fchmod(&self.file, Mode::from_raw_mode(write.mode & 0o7777))?;
        if let Some(seconds) = write.modified_s {
            let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
            let modified = Timespec { tv_sec: seconds, tv_nsec: 0 };
            rustix::fs::futimens(&self.file, &Timestamps { last_access: omit, last_modification: modified })?;
        }
        Ok(rustix::fs::fdatasync(&self.file)?)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After the rename there is nothing of this name: names are not used twice.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_up_while_it_is_flushed_gets_no_name_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let write = Write { path: String::new(), mode: 0o644, owner: None, modified_s: None };
        let names = || fs::read_dir(dir.path()).unwrap().count();
        let finish = |bytes: &[u8], is_wanted: &dyn Fn() -> Result<(), Stop>| {
            let mut file = Unfinished::create(&path).unwrap();
            file.file.write_all(bytes).unwrap();
            file.finish(&path, &write, None, is_wanted)
        };
        finish(b"newer", &|| Ok(())).unwrap();
        let given_up = finish(b"older", &|| {
            assert_eq!(names(), 2, "it was asked too late");
            Err(Stop::Gone)
        });
        assert!(matches!(given_up, Err(Stop::Gone)));
        assert_eq!((fs::read(&path).unwrap().as_slice(), names()), (&b"newer"[..], 1));
    }
}
