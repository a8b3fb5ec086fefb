//! The one reader of files that people write: nothing that is not a file, nothing without an end.
//!
//! ```text
//! an option names it   that file                                   named
//! (nothing)            the nearest here, or in a directory above   nearest
//! ```
//!
//! The search goes up to the root of the file system. Above where it begins it takes only files of the user
//! or of root: in a shared directory such as `/tmp` anybody could put one that everything below it would
//! follow. A FIFO or a device is never opened for its content: what is there is looked at first, and opening
//! does not wait. Symlinks are followed. Reads only. Tests: below.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{FileError, FileProblem, NotAFile};

/// A format of files that people write, as its messages speak of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Format {
    /// What a file of the format is called: `config`.
    pub noun: &'static str,
    /// Where one lies, from the directory it belongs to: `castra.toml`.
    pub place: &'static str,
    /// The option that names one: `--config`.
    pub option: &'static str,
    /// The largest that is read, in bytes.
    pub max_bytes: u64,
}

impl Format {
    /// The name of a file of the format.
    pub fn file_name(&self) -> &OsStr {
        Path::new(self.place).file_name().unwrap_or(self.place.as_ref())
    }

    /// The file that a person named, relative to a directory.
    ///
    /// # Errors
    /// [`FileError`] where it is not there, or is no file.
    pub fn named(&'static self, current_dir: &Path, named: &Path) -> Result<PathBuf, FileError> {
        let path = current_dir.join(named);
        match self.look(&path)? {
            Some(_) => Ok(path),
            None => Err(self.error(named, FileProblem::Missing)),
        }
    }

    /// The nearest file at or above `from`; none where none is.
    ///
    /// # Errors
    /// [`FileError`] where the nearest is somebody else's, or is no file.
    pub fn nearest(&'static self, from: &Path) -> Result<Option<PathBuf>, FileError> {
        let user = rustix::process::geteuid().as_raw();
        for directory in from.ancestors() {
            let path = directory.join(self.place);
            let Some(metadata) = self.look(&path)? else { continue };
            let owner = metadata.uid();
            return match directory == from || is_trusted(owner, user) {
                true => Ok(Some(path)),
                false => Err(self.error(&path, FileProblem::ForeignOwner { owner })),
            };
        }
        Ok(None)
    }

    /// The bytes of the file at `path`.
    ///
    /// # Errors
    /// [`FileError`] where it is not there, not a file, too large or not readable.
    pub fn read(&'static self, path: &Path) -> Result<Vec<u8>, FileError> {
        let io = |action| move |source| self.failed(action, path, source);
        // Not waiting matters to a FIFO that takes the file's place between a look and the opening.
        let nonblock = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let file = File::options().read(true).custom_flags(nonblock).open(path).map_err(io("open"))?;
        self.check_kind(path, &file.metadata().map_err(io("read"))?)?;
        let mut bytes = Vec::new();
        file.take(self.max_bytes + 1).read_to_end(&mut bytes).map_err(io("read"))?;
        if bytes.len() as u64 > self.max_bytes {
            return Err(self.error(path, FileProblem::TooLarge));
        }
        Ok(bytes)
    }

    /// Looks at what is at `path` without opening it; none where nothing is.
    ///
    /// # Errors
    /// [`FileError`] where what is there is no file, or cannot be looked at.
    pub fn look(&'static self, path: &Path) -> Result<Option<Metadata>, FileError> {
        match fs::metadata(path) {
            Ok(metadata) => {
                self.check_kind(path, &metadata)?;
                Ok(Some(metadata))
            }
            Err(error) if is_missing(&error) => Ok(None),
            Err(source) => Err(self.failed("look at", path, source)),
        }
    }

    /// Whether what is at `path` is a file.
    ///
    /// # Errors
    /// [`FileError`] where it is something else.
    pub fn check_kind(&'static self, path: &Path, metadata: &Metadata) -> Result<(), FileError> {
        let kind = metadata.file_type();
        let found = if kind.is_file() {
            return Ok(());
        } else if kind.is_dir() {
            NotAFile::Directory { holds_one: path.join(self.file_name()).is_file() }
        } else if kind.is_fifo() {
            NotAFile::Fifo
        } else if kind.is_socket() {
            NotAFile::Socket
        } else {
            NotAFile::Device
        };
        Err(self.error(path, FileProblem::NotAFile(found)))
    }

    /// The error for an operation on the file, or on the way to it, that failed.
    pub fn failed(&'static self, action: &'static str, path: &Path, source: io::Error) -> FileError {
        let problem =
            if is_missing(&source) { FileProblem::Missing } else { FileProblem::Io { action, source } };
        self.error(path, problem)
    }

    fn error(&'static self, path: &Path, problem: FileProblem) -> FileError {
        FileError { format: self, path: path.to_owned(), problem }
    }
}

/// Whether a file that was not asked for may be used.
const fn is_trusted(owner: u32, user: u32) -> bool {
    owner == user || owner == 0
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use plasmavmc_types::Explain;

    use super::*;

    static MENU: Format =
        Format { noun: "menu", place: "kitchen/menu.txt", option: "--menu", max_bytes: 1 << 20 };

    /// A kitchen without a menu in a directory that is canonical, and a directory below that.
    fn place() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let below = root.join("a/b");
        fs::create_dir_all(&below).unwrap();
        fs::create_dir(root.join("kitchen")).unwrap();
        (dir, root, below)
    }

    fn problem<T: std::fmt::Debug>(result: Result<T, FileError>) -> FileProblem {
        result.unwrap_err().problem
    }

    #[test]
    fn the_nearest_upwards_is_found_and_a_named_one_is_the_one() {
        let (_dir, root, below) = place();
        let menu = root.join("kitchen/menu.txt");
        assert_eq!(MENU.nearest(&below).unwrap(), None);
        fs::write(&menu, "").unwrap();
        assert_eq!(MENU.nearest(&below).unwrap(), Some(menu.clone()));
        assert_eq!(MENU.nearest(&root).unwrap(), Some(menu));
        fs::write(below.join("x"), "").unwrap();
        assert_eq!(MENU.named(&below, "x".as_ref()).unwrap(), below.join("x"));
        for named in ["y", "y/z", "x/z"] {
            let error = MENU.named(&below, named.as_ref()).unwrap_err();
            assert_eq!(error.to_string(), format!("there is no menu at `{named}`"));
        }
    }

    #[test]
    fn only_the_user_and_root_are_trusted_above_where_the_search_begins() {
        assert!(is_trusted(1000, 1000) && is_trusted(0, 1000));
        assert!(!is_trusted(1001, 1000) && !is_trusted(1000, 0));
        let (_dir, root, below) = place();
        let menu = root.join("kitchen/menu.txt");
        fs::write(&menu, "").unwrap();
        // Giving a file away needs root; elsewhere the rule above is all that can be tried.
        if chown(&menu, Some(4242), None).is_err() {
            return;
        }
        let error = MENU.nearest(&below).unwrap_err();
        assert_eq!(error.to_string(), format!("`{}` belongs to another user (id 4242)", menu.display()));
        assert_eq!(error.hints(), [format!("if you trust it, name it: `--menu {}`", menu.display())]);
        assert!(MENU.nearest(&root).is_ok());
        assert!(MENU.named(&below, &menu).is_ok());
    }

    #[test]
    fn what_is_not_a_file_is_refused_at_once() {
        let (_dir, root, _) = place();
        let fifo = root.join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, 0o600.into()).unwrap();
        let kind = |path: &Path| match problem(MENU.read(path)) {
            FileProblem::NotAFile(found) => found,
            other => panic!("{}: {other:?}", path.display()),
        };
        assert_eq!(kind(&fifo), NotAFile::Fifo);
        assert_eq!(kind(Path::new("/dev/zero")), NotAFile::Device);
        let kitchen = root.join("kitchen");
        assert_eq!(kind(&kitchen), NotAFile::Directory { holds_one: false });
        fs::write(kitchen.join("menu.txt"), "").unwrap();
        assert_eq!(kind(&kitchen), NotAFile::Directory { holds_one: true });
        let error = MENU.look(&kitchen).unwrap_err();
        assert_eq!(error.to_string(), format!("the menu `{}` is a directory, not a file", kitchen.display()));
        let inside = kitchen.join("menu.txt");
        assert_eq!(error.hints(), [format!("name the file in it: `--menu {}`", inside.display())]);
    }

    #[test]
    fn a_symlink_is_followed_and_a_broken_one_is_not_there() {
        let (_dir, root, _) = place();
        fs::write(root.join("real"), "x").unwrap();
        symlink("real", root.join("link")).unwrap();
        symlink("nowhere", root.join("broken")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        assert_eq!(MENU.read(&root.join("link")).unwrap(), b"x");
        assert!(matches!(problem(MENU.read(&root.join("broken"))), FileProblem::Missing));
        assert!(matches!(problem(MENU.read(&root.join("loop"))), FileProblem::Io { .. }));
        assert!(MENU.look(&root.join("broken")).unwrap().is_none());
    }

    #[test]
    fn a_file_above_the_limit_is_refused_and_one_at_it_is_not() {
        let (_dir, root, _) = place();
        let path = root.join("large");
        let file = File::create(&path).unwrap();
        file.set_len(MENU.max_bytes).unwrap();
        assert_eq!(MENU.read(&path).unwrap().len() as u64, MENU.max_bytes);
        // Sparse: a terabyte that is never read.
        file.set_len(1 << 40).unwrap();
        let error = MENU.read(&path).unwrap_err();
        assert_eq!(error.to_string(), format!("the menu `{}` is larger than 1 MiB", path.display()));
    }
}
