//! Files of a workspace, opened without following a link.
//!
//! A workspace can come with a repository somebody cloned, symbolic links and all: none of them may lead
//! what Castra or a guest writes into another file of the user's, or lead one of those into a guest.
//! Owns: opening, emptying, rotating, reading; and clearing links away before a workspace is used. Never
//! does: publish ([`crate::publish`] replaces a link by a file of its own). Tests: below.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use crate::{HostError, IoContext, Layout, publish};

/// Folders in a workspace are at most this deep: `metadata/keys/x` is two.
const MAX_DEPTH: usize = 4;

/// Opens a log for appending, readable by this user only where it is made now.
///
/// # Errors
/// [`HostError::Io`].
pub fn append(path: &Path) -> Result<File, HostError> {
    make_way(path)?;
    made_private(File::options().append(true)).open(path).context("open", path)
}

/// Empties a file, or makes an empty one, readable by this user only.
///
/// # Errors
/// [`HostError::Io`].
pub fn empty(path: &Path) -> Result<(), HostError> {
    make_way(path)?;
    made_private(File::options().write(true).truncate(true)).open(path).map(drop).context("empty", path)
}

/// Puts a log aside that has grown longer than `limit` bytes, in the place of the one before it.
///
/// # Errors
/// [`HostError::Io`].
pub fn rotate(path: &Path, before: &Path, limit: u64) -> Result<(), HostError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() && found.len() > limit => {
            fs::rename(path, before).context("put aside", path)
        }
        _ => Ok(()),
    }
}

/// Opens a plain file for reading, whatever stands there: neither a link nor a pipe is waited for.
///
/// # Errors
/// [`HostError::Malformed`] where it is no plain file; [`HostError::Io`].
pub fn open(path: &Path) -> Result<Option<File>, HostError> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = match File::options().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if is_link(path) => return Err(no_plain_file(path, &error.to_string())),
        Err(error) => return Err(error).context("open", path),
    };
    if file.metadata().context("inspect", path)?.is_file() {
        return Ok(Some(file));
    }
    Err(no_plain_file(path, "it is something else"))
}

/// Reads a plain file whole, at most `limit` bytes of it; none where there is none.
///
/// # Errors
/// As [`open`].
pub fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, HostError> {
    let Some(file) = open(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).context("read", path)?;
    Ok(Some(bytes))
}

/// Removes every symbolic link from where a workspace keeps records, keys, locks and logs. Castra makes
/// none there. Files stay as they are.
///
/// # Errors
/// [`HostError::Io`] where one cannot be removed.
pub fn clear_links(layout: &Layout) -> Result<(), HostError> {
    [layout.metadata(), layout.logs()].iter().try_for_each(|dir| clear(dir, MAX_DEPTH))
}

fn clear(dir: &Path, depth: usize) -> Result<(), HostError> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_symlink() {
            publish::remove(&entry.path())?;
        } else if kind.is_dir() && depth > 0 {
            clear(&entry.path(), depth - 1)?;
        }
    }
    Ok(())
}

/// A file that is made private, and never reached through a link.
fn made_private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.create(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
}

/// Removes what is no file from a log's place.
fn make_way(path: &Path) -> Result<(), HostError> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => publish::remove(path).map(drop),
        _ => Ok(()),
    }
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink())
}

fn no_plain_file(path: &Path, reason: &str) -> HostError {
    HostError::Malformed { path: path.to_owned(), expected: "a plain file", reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_planted_link_leads_neither_words_out_nor_secrets_in() {
        let dir = tempfile::tempdir().unwrap();
        let (secret, log) = (dir.path().join("secret"), dir.path().join("log"));
        fs::write(&secret, "secret").unwrap();
        symlink(&secret, &log).unwrap();
        assert!(matches!(read(&log, 100), Err(HostError::Malformed { .. })));
        drop(append(&log).unwrap());
        assert!(log.symlink_metadata().unwrap().is_file());
        fs::remove_file(&log).unwrap();
        symlink(&secret, &log).unwrap();
        empty(&log).unwrap();
        assert_eq!(fs::read_to_string(&secret).unwrap(), "secret");
        assert_eq!(read(&secret, 3).unwrap().as_deref(), Some(&b"sec"[..]));
        assert_eq!(read(&dir.path().join("none"), 3).unwrap(), None);
    }

    #[test]
    fn links_go_from_where_records_and_logs_are_and_what_they_led_to_stays() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("w"));
        let other = dir.path().join("other");
        fs::create_dir_all(layout.keys()).unwrap();
        fs::create_dir_all(&other).unwrap();
        fs::write(other.join("precious"), "").unwrap();
        fs::write(layout.keys().join("kept"), "").unwrap();
        symlink(&other, layout.sessions()).unwrap();
        symlink(other.join("precious"), layout.keys().join("web")).unwrap();
        symlink(&other, layout.root().join("images")).unwrap();
        clear_links(&layout).unwrap();
        assert!(layout.sessions().symlink_metadata().is_err());
        assert!(layout.keys().join("web").symlink_metadata().is_err());
        assert!(layout.keys().join("kept").exists() && other.join("precious").exists());
        assert!(layout.images().is_symlink(), "a person may keep images elsewhere");
    }

    #[test]
    fn a_log_is_put_aside_only_when_it_has_grown_too_long() {
        let dir = tempfile::tempdir().unwrap();
        let (log, before) = (dir.path().join("log"), dir.path().join("log.1"));
        fs::write(&log, "12345").unwrap();
        rotate(&log, &before, 5).unwrap();
        assert!(!before.exists());
        rotate(&log, &before, 4).unwrap();
        assert_eq!(fs::read_to_string(&before).unwrap(), "12345");
    }
}
