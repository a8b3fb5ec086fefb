//! A directory that is filled with what someone else names: nothing is ever written through a link.
//!
//! Every name is used relative to the open directory and without following what is there, so that a
//! link that was put in the way leads nowhere. The directory itself is named by the user and may be
//! reached over links. A file has its name once it is whole. Tests: below.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;

use crate::publish::TEMPORARY_PREFIX;
use crate::{HostError, IoContext};

/// Permission bits that are taken over. What makes a program run as another user is not for a guest
/// to give.
const PERMISSIONS: u32 = 0o777;

/// The umask where the kernel does not tell.
const USUAL_UMASK: u32 = 0o022;

/// A directory to be filled.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    path: PathBuf,
    /// Whether it was made now, and not there before.
    is_new: bool,
    /// Permissions that nothing new has: the user's umask.
    umask: u32,
}

/// A file that is not whole yet. Gone when dropped.
#[derive(Debug)]
pub struct NewFile<'a> {
    folder: &'a Folder,
    file: File,
    temporary: String,
}

impl Folder {
    /// The directory at `path`, which is there.
    ///
    /// # Errors
    /// [`HostError::Io`].
    pub fn open(path: &Path) -> Result<Self, HostError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty()).context("open directory", path)?;
        Ok(Self { fd, path: path.to_owned(), is_new: false, umask: umask() })
    }

    /// Its path, as it was named.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory `name` in it, made where it is missing; for the time being its owner alone has
    /// any right to one that is made.
    ///
    /// # Errors
    /// [`HostError`] where something that is no directory has the name, a link to one included.
    pub fn enter(&self, name: &OsStr) -> Result<Self, HostError> {
        let path = self.named(name)?;
        let is_new = match rustix::fs::mkdirat(&self.fd, name, Mode::RWXU) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(error).context("create directory", &path),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd =
            rustix::fs::openat(&self.fd, name, flags, Mode::empty()).context("enter directory", &path)?;
        Ok(Self { fd, path, is_new, umask: self.umask })
    }

    /// A file that will be called `name`.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn file(&self, name: &OsStr) -> Result<NewFile<'_>, HostError> {
        let path = self.named(name)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let (fd, temporary) = self.under_a_free_name(&path, |temporary| {
            rustix::fs::openat(&self.fd, temporary, flags, Mode::RUSR | Mode::WUSR)
        })?;
        Ok(NewFile { folder: self, file: fd.into(), temporary })
    }

    /// A symbolic link called `name`, in the place of what is no directory.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn link(&self, name: &OsStr, target: &str) -> Result<(), HostError> {
        let path = self.named(name)?;
        let ((), temporary) =
            self.under_a_free_name(&path, |temporary| rustix::fs::symlinkat(target, &self.fd, temporary))?;
        self.rename(&temporary, name, &path)
    }

    /// Gives the directory itself permissions, as far as the umask lets, and the time of its last change;
    /// one that was there before keeps its own.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn settle(&self, mode: u32, modified_s: i64) -> Result<(), HostError> {
        if !self.is_new {
            return Ok(());
        }
        settle(&self.fd, mode & !self.umask, modified_s).context("set the permissions of", &self.path)
    }

    fn named(&self, name: &OsStr) -> Result<PathBuf, HostError> {
        let bytes = name.as_bytes();
        if matches!(bytes, b"" | b"." | b"..") || bytes.iter().any(|byte| matches!(byte, b'/' | b'\0')) {
            let expected = "the name of a file";
            let reason = "it leads elsewhere".to_owned();
            return Err(HostError::Malformed { path: PathBuf::from(name), expected, reason });
        }
        Ok(self.path.join(name))
    }

    fn under_a_free_name<T>(
        &self,
        path: &Path,
        make: impl Fn(&str) -> Result<T, Errno>,
    ) -> Result<(T, String), HostError> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let name = format!("{TEMPORARY_PREFIX}{}-{number}", std::process::id());
            match make(&name) {
                Ok(made) => return Ok((made, name)),
                // A process that had the same number and was killed left one: the next is free.
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error).context("create", path),
            }
        }
    }

    fn rename(&self, temporary: &str, name: &OsStr, path: &Path) -> Result<(), HostError> {
        rustix::fs::renameat(&self.fd, temporary, &self.fd, name)
            .inspect_err(|_| {
                let _ = rustix::fs::unlinkat(&self.fd, temporary, AtFlags::empty());
            })
            .context("rename a file to", path)
    }
}

impl NewFile<'_> {
    /// The file, open for writing.
    pub const fn as_file(&self) -> &File {
        &self.file
    }

    /// Gives the file its permissions, as far as the umask lets, and its name, in the place of what is no
    /// directory. It is not flushed: a copy means
    /// nothing that could not be copied again.
    ///
    /// # Errors
    /// [`HostError`]; the file is then gone, and what had the name still has it.
    pub fn finish(self, name: &OsStr, mode: u32, modified_s: i64) -> Result<(), HostError> {
        let path = self.folder.named(name)?;
        let mode = mode & !self.folder.umask;
        settle(&self.file, mode, modified_s).context("set the permissions of", &path)?;
        self.folder.rename(&self.temporary, name, &path)
    }
}

impl Drop for NewFile<'_> {
    fn drop(&mut self) {
        // After the rename there is nothing of this name: names are not used twice.
        let _ = rustix::fs::unlinkat(&self.folder.fd, self.temporary.as_str(), AtFlags::empty());
    }
}

/// The umask of this process, read: to ask the kernel for it is to change it for a moment.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let said = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    said.and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok()).unwrap_or(USUAL_UMASK)
}

fn settle(fd: impl AsFd, mode: u32, modified_s: i64) -> Result<(), Errno> {
    let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let modified = Timespec { tv_sec: modified_s, tv_nsec: 0 };
    rustix::fs::futimens(&fd, &Timestamps { last_access: omit, last_modification: modified })?;
    rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode & PERMISSIONS))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_has_its_name_once_it_is_whole_and_no_more_rights_than_it_was_given() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let file = folder.file(OsStr::new("a")).unwrap();
        file.as_file().write_all(b"whole").unwrap();
        assert!(!dir.path().join("a").exists());
        file.finish(OsStr::new("a"), 0o4_754, 1_000_000_000).unwrap();
        let meta = dir.path().join("a").metadata().unwrap();
        assert_eq!((meta.mode() & 0o7777, meta.mtime()), (0o754, 1_000_000_000));
        assert_eq!(names(dir.path()), ["a"]);
    }

    #[test]
    fn a_file_that_is_given_up_leaves_nothing_and_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "old").unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        drop(folder.file(OsStr::new("a")).unwrap());
        assert_eq!(names(dir.path()), ["a"]);
        assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"old");
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(outside.path().join("precious"), "old").unwrap();
        symlink(outside.path(), dir.path().join("dir")).unwrap();
        symlink(outside.path().join("precious"), dir.path().join("file")).unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        assert!(folder.enter(OsStr::new("dir")).is_err(), "a link was entered");
        let file = folder.file(OsStr::new("file")).unwrap();
        file.as_file().write_all(b"new").unwrap();
        file.finish(OsStr::new("file"), 0o600, 0).unwrap();
        folder.link(OsStr::new("dir"), "elsewhere").unwrap();
        assert_eq!(names(outside.path()), ["precious"]);
        assert_eq!(fs::read(outside.path().join("precious")).unwrap(), b"old");
        assert_eq!(fs::read(dir.path().join("file")).unwrap(), b"new");
        assert_eq!(fs::read_link(dir.path().join("dir")).unwrap(), Path::new("elsewhere"));
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        for name in ["", ".", "..", "../x", "/tmp/x", "a/b", "a\0"] {
            assert!(
                folder.enter(OsStr::new(name)).is_err() && folder.link(OsStr::new(name), "x").is_err(),
                "{name:?}"
            );
            assert!(folder.file(OsStr::new(name)).is_err(), "{name:?}");
        }
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn a_directory_in_the_way_of_a_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        assert!(folder.file(OsStr::new("a")).unwrap().finish(OsStr::new("a"), 0o600, 0).is_err());
        assert!(folder.link(OsStr::new("a"), "x").is_err());
        assert_eq!(names(dir.path()), ["a"]);
    }

    #[test]
    fn a_directory_that_was_there_keeps_what_it_has_and_nothing_new_passes_the_umask() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |name: &str| dir.path().join(name).metadata().unwrap().mode() & 0o777;
        fs::create_dir(dir.path().join("old")).unwrap();
        let before = dir.path().join("old").metadata().unwrap();
        let folder = Folder { umask: 0o027, ..Folder::open(dir.path()).unwrap() };
        for name in ["old", "new"] {
            folder.enter(OsStr::new(name)).unwrap().settle(0o777, 5).unwrap();
        }
        folder.file(OsStr::new("file")).unwrap().finish(OsStr::new("file"), 0o666, 5).unwrap();
        let inside = folder.enter(OsStr::new("new")).unwrap();
        inside.file(OsStr::new("file")).unwrap().finish(OsStr::new("file"), 0o666, 5).unwrap();
        assert_eq!((mode("new"), mode("file"), mode("new/file")), (0o750, 0o640, 0o640));
        let after = dir.path().join("old").metadata().unwrap();
        assert_eq!((after.mode(), after.mtime()), (before.mode(), before.mtime()));
    }

    #[test]
    fn the_umask_is_the_one_of_this_process() {
        // What the kernel gives a directory that is asked for with every permission.
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("all")).unwrap();
        assert_eq!(0o777 & !umask(), dir.path().join("all").metadata().unwrap().mode() & 0o777);
    }
}
