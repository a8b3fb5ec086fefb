//! Writes files whole: a temporary name, fsync, rename, fsync of the directory.
//!
//! A reader sees the old file or the new one, never a part; a crash leaves at most a temporary
//! file whose name begins with [`TEMPORARY_PREFIX`], which `castra clean` removes. What means nothing
//! once the host has restarted is not flushed: each fsync costs a start milliseconds. Tests: below.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use tempfile::NamedTempFile;

use crate::{HostError, IoContext};

/// How the names of unfinished files begin.
pub const TEMPORARY_PREFIX: &str = ".castra-tmp-";

/// Creates a directory and its parents, each readable by this user only (0700).
///
/// Directories that exist keep their mode.
///
/// # Errors
/// [`HostError::Io`] where one cannot be made.
pub fn private_dir(path: &Path) -> Result<(), HostError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).context("create directory", path)
}

/// As [`private_dir`], for a directory below `root`: none of the directories in between, nor itself,
/// may be a symbolic link. `root` may be reached through one.
///
/// A workspace can come with a repository somebody has cloned: it must not choose where else on the
/// host Castra writes.
///
/// # Errors
/// [`HostError::Malformed`] where one is a link or a file; [`HostError::Io`].
pub fn private_dir_below(root: &Path, path: &Path) -> Result<(), HostError> {
    private_dir(root)?;
    let Ok(below) = path.strip_prefix(root) else { return private_dir(path) };
    let mut dir = root.to_owned();
    for part in below {
        dir.push(part);
        match fs::DirBuilder::new().mode(0o700).create(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => own_dir(&dir)?,
            result => result.context("create directory", &dir)?,
        }
    }
    Ok(())
}

fn own_dir(dir: &Path) -> Result<(), HostError> {
    let kind = fs::symlink_metadata(dir).context("inspect", dir)?.file_type();
    if kind.is_dir() {
        return Ok(());
    }
    let what = if kind.is_symlink() { "a symbolic link, which is not followed" } else { "a file" };
    let reason = format!("it is {what}");
    Err(HostError::Malformed { path: dir.to_owned(), expected: "a directory", reason })
}

/// Replaces `path` with `bytes`, readable by this user only (0600).
///
/// # Errors
/// [`HostError::Io`]; `path` is then as it was before.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), HostError> {
    let mut file = temporary(path)?;
    file.write_all(bytes).context("write", path)?;
    persist(file, path)
}

/// As [`write()`], without waiting for the disk: for files that mean nothing once the host has
/// restarted, and whose readers take a torn one for none.
///
/// # Errors
/// [`HostError::Io`]; `path` is then as it was before.
pub fn write_for_this_boot(path: &Path, bytes: &[u8]) -> Result<(), HostError> {
    let mut file = temporary(path)?;
    file.write_all(bytes).context("write", path)?;
    file.persist(path).map_err(|error| error.error).context("rename a file to", path).map(drop)
}

/// A temporary file beside `path`, to be filled and handed to [`persist`].
///
/// # Errors
/// [`HostError::Io`] where it cannot be made.
pub fn temporary(path: &Path) -> Result<NamedTempFile, HostError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    // Opened here and not by the crate, whose errors name a file that was never made.
    let open = |path: &Path| File::options().read(true).write(true).create_new(true).mode(0o600).open(path);
    tempfile::Builder::new().prefix(TEMPORARY_PREFIX).make_in(dir, open).context("create a file in", dir)
}

/// Gives a finished temporary file its name, replacing what was there.
///
/// # Errors
/// [`HostError::Io`]; the temporary file is then gone and `path` is as it was before.
pub fn persist(file: NamedTempFile, path: &Path) -> Result<(), HostError> {
    file.as_file().sync_all().context("flush", path)?;
    file.persist(path).map_err(|error| error.error).context("rename a file to", path)?;
    sync_dir(path)
}

/// Gives a finished temporary file its name, unless that name is taken: then nothing changes.
/// Tells whether it was given.
///
/// # Errors
/// [`HostError::Io`]; the temporary file is then gone and `path` is as it was before.
pub fn persist_new(file: NamedTempFile, path: &Path) -> Result<bool, HostError> {
    file.as_file().sync_all().context("flush", path)?;
    match file.persist_noclobber(path) {
        Ok(_) => sync_dir(path).map(|()| true),
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error.error).context("rename a file to", path),
    }
}

/// Gives a finished and flushed file its final name, replacing what was there.
///
/// # Errors
/// [`HostError::Io`]; where the rename failed, both files are as they were.
pub fn rename(from: &Path, to: &Path) -> Result<(), HostError> {
    fs::rename(from, to).context("rename a file to", to)?;
    sync_dir(to)
}

/// Makes the names in the directory of `path` durable.
fn sync_dir(path: &Path) -> Result<(), HostError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    File::open(dir).and_then(|dir| dir.sync_all()).context("flush directory", dir)
}

/// Removes a file; one that does not exist counts as removed. Tells whether it was there.
///
/// # Errors
/// [`HostError::Io`] where it exists and cannot be removed.
pub fn remove(path: &Path) -> Result<bool, HostError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).context("remove", path),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_litter() {
        for write in [write, write_for_this_boot] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("record");
            write(&path, b"old").unwrap();
            fs::create_dir(dir.path().join("sub")).unwrap();
            assert!(write(&dir.path().join("sub"), b"new").is_err(), "a directory was replaced");
            assert_eq!(fs::read(&path).unwrap(), b"old");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        }
    }

    #[test]
    fn an_unfinished_file_is_named_in_no_error() {
        use std::error::Error;
        let dir = tempfile::tempdir().unwrap();
        let error = temporary(&dir.path().join("none/record")).unwrap_err();
        let source = error.source().unwrap().to_string();
        assert!(source.starts_with("No such file or directory"), "{source}");
        assert!(!source.contains(TEMPORARY_PREFIX), "{source}");
    }

    #[test]
    fn what_is_written_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let nested = dir.path().join("a/b");
        private_dir(&nested).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        for write in [write, write_for_this_boot] {
            write(&nested.join("f"), b"x").unwrap();
            assert_eq!((mode(&nested), mode(&nested.join("f"))), (0o700, 0o600));
            fs::remove_file(nested.join("f")).unwrap();
        }
    }

    #[test]
    fn below_a_root_no_link_stands_for_a_directory() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let (real, root) = (dir.path().join("real"), dir.path().join("root"));
        fs::create_dir_all(real.join("a")).unwrap();
        symlink(&real, &root).unwrap();
        private_dir_below(&root, &root.join("a/b/c")).unwrap();
        private_dir_below(&root, &root).unwrap();
        assert!(real.join("a/b/c").is_dir());
        symlink(dir.path(), root.join("a/link")).unwrap();
        fs::write(root.join("a/file"), "").unwrap();
        for (name, what) in
            [("a/link", "a symbolic link"), ("a/link/real", "a symbolic link"), ("a/file/x", "a file")]
        {
            let error = private_dir_below(&root, &root.join(name)).unwrap_err().to_string();
            assert!(error.contains(&format!("is not a directory: it is {what}")), "{name}: {error}");
        }
    }

    #[test]
    fn removing_what_is_not_there_succeeds() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!remove(&dir.path().join("x")).unwrap());
    }
}
