//! Why there is no project: no config, one that cannot be read, or one with faults.
//!
//! Tests: in `read.rs` and `discover.rs`.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use plasmavmc_types::{ErrorKind, Explain};

use super::limits::MAX_FILE_BYTES;
use super::{FILE_NAME, Fault};

/// Why there is no project. Its `Display` never repeats its source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The search found none.
    #[error("no `{FILE_NAME}` in `{}` or a directory above it", searched_from.display())]
    NotFound {
        /// Where the search began.
        searched_from: PathBuf,
    },
    /// No search was wanted, and no config was named.
    #[error("no config is named and none may be searched for")]
    NotNamed,
    /// The named config is not there.
    #[error("there is no config at `{}`", path.display())]
    Missing {
        /// The path as given.
        path: PathBuf,
    },
    /// What is there is no file.
    #[error("the config `{}` is {found}, not a file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it is.
        found: NotAFile,
    },
    /// The file is larger than any config.
    #[error("the config `{}` is larger than {} MiB", path.display(), MAX_FILE_BYTES >> 20)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The search left the user's own directories and found somebody else's config.
    #[error("`{}` belongs to another user (id {owner})", path.display())]
    ForeignOwner {
        /// The config.
        path: PathBuf,
        /// The id of its owner.
        owner: u32,
    },
    /// The path of the config is not plain text, as QMP, TOML and terminals take it.
    #[error("the path of the config, `{}`, is not UTF-8 or holds a control character", path.display().to_string().escape_debug())]
    UnusablePath {
        /// The path.
        path: PathBuf,
    },
    /// A file operation failed.
    #[error("failed to {action} `{}`", path.display())]
    Io {
        /// What was being done, as an infinitive: "open".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The config has faults.
    #[error("`{}` has {}", path.display(), count(faults.len()))]
    Faulty {
        /// The config.
        path: PathBuf,
        /// Its text, to show the faults in; what was not UTF-8 in it is replaced.
        text: String,
        /// The faults, in the order of the text.
        faults: Vec<Fault>,
    },
}

/// What something is that should be a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAFile {
    /// A directory.
    Directory {
        /// Whether a config is in it.
        holds_config: bool,
    },
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A device.
    Device,
}

impl fmt::Display for NotAFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Directory { .. } => "a directory",
            Self::Fifo => "a named pipe",
            Self::Socket => "a socket",
            Self::Device => "a device",
        })
    }
}

impl ConfigError {
    pub(super) fn from_io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Missing { path },
            _ => Self::Io { action, path, source },
        }
    }
}

impl Explain for ConfigError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotNamed => ErrorKind::Usage,
            _ => ErrorKind::Config,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::NotFound { .. } => {
                "write one with `castra init`, name one with `--config PATH`, or name the workspace of VMs that run: `--workspace ID`".to_owned()
            }
            Self::NotNamed => "name one with `--config PATH`, or the workspace of VMs that run with `--workspace ID`".to_owned(),
            Self::Missing { path } => format!("write one with `castra init --config {}`", path.display()),
            Self::NotAFile { path, found: NotAFile::Directory { holds_config: true } } => {
                format!("name the file in it: `--config {}`", path.join(FILE_NAME).display())
            }
            Self::ForeignOwner { path, .. } => {
                format!("if you trust it, name it: `--config {}`", path.display())
            }
            Self::Faulty { .. } => "`castra schema` prints the format, for editors that complete and check it".to_owned(),
            Self::NotAFile { .. } | Self::TooLarge { .. } => "name a file with `--config PATH`".to_owned(),
            Self::UnusablePath { .. } => "rename the directory with `mv`".to_owned(),
            Self::Io { path, .. } => format!("see what is there: `ls -ld {}`", path.display()),
        };
        vec![hint]
    }
}

fn count(faults: usize) -> String {
    if faults == 1 { "a fault".to_owned() } else { format!("{faults} faults") }
}
