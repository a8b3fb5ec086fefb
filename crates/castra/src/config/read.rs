//! Reads a config within bounds: nothing that is not a file, nothing without an end.
//!
//! A FIFO or a device is never opened for reading its content: what is there is looked at first,
//! and opening does not wait. Symlinks are followed. Tests: below.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use super::FILE_NAME;
use super::error::{ConfigError, NotAFile};
use super::limits::MAX_FILE_BYTES;

/// The bytes of the config at `path`.
///
/// # Errors
/// [`ConfigError`] where it is not there, not a file, too large or not readable.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let io = |action| move |source| ConfigError::from_io(action, path, source);
    // Not waiting matters to a FIFO that takes the file's place between a look and the opening.
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(nonblock).open(path).map_err(io("open"))?;
    check_kind(path, &file.metadata().map_err(io("read"))?)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(io("read"))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(ConfigError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}

/// Looks at what is at `path` without opening it; none where nothing is.
pub(super) fn look(path: &Path) -> Result<Option<Metadata>, ConfigError> {
    match fs::metadata(path) {
        Ok(metadata) => {
            check_kind(path, &metadata)?;
            Ok(Some(metadata))
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(source) => Err(ConfigError::from_io("look at", path, source)),
    }
}

fn check_kind(path: &Path, metadata: &Metadata) -> Result<(), ConfigError> {
    let kind = metadata.file_type();
    let found = if kind.is_file() {
        return Ok(());
    } else if kind.is_dir() {
        NotAFile::Directory { holds_config: path.join(FILE_NAME).is_file() }
    } else if kind.is_fifo() {
        NotAFile::Fifo
    } else if kind.is_socket() {
        NotAFile::Socket
    } else {
        NotAFile::Device
    };
    Err(ConfigError::NotAFile { path: path.to_owned(), found })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_not_a_file_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, 0o600.into()).unwrap();
        let kind = |path: &Path| match read(path) {
            Err(ConfigError::NotAFile { found, .. }) => found,
            other => panic!("{}: {other:?}", path.display()),
        };
        assert_eq!(kind(&fifo), NotAFile::Fifo);
        assert_eq!(kind(Path::new("/dev/zero")), NotAFile::Device);
        assert_eq!(kind(dir.path()), NotAFile::Directory { holds_config: false });
        fs::write(dir.path().join(FILE_NAME), "").unwrap();
        assert_eq!(kind(dir.path()), NotAFile::Directory { holds_config: true });
    }

    #[test]
    fn a_symlink_is_followed_and_a_broken_one_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("real"), "x").unwrap();
        symlink("real", dir.path().join("link")).unwrap();
        symlink("nowhere", dir.path().join("broken")).unwrap();
        symlink("loop", dir.path().join("loop")).unwrap();
        assert_eq!(read(&dir.path().join("link")).unwrap(), b"x");
        assert!(matches!(read(&dir.path().join("broken")), Err(ConfigError::Missing { .. })));
        assert!(matches!(read(&dir.path().join("loop")), Err(ConfigError::Io { .. })));
        assert!(look(&dir.path().join("broken")).unwrap().is_none());
    }

    #[test]
    fn a_file_above_the_limit_is_refused_and_one_at_it_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        let file = File::create(&path).unwrap();
        file.set_len(MAX_FILE_BYTES).unwrap();
        assert_eq!(read(&path).unwrap().len() as u64, MAX_FILE_BYTES);
        // Sparse: a terabyte that is never read.
        file.set_len(1 << 40).unwrap();
        assert!(matches!(read(&path), Err(ConfigError::TooLarge { .. })));
    }
}
