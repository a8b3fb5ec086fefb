//! Why a file that a person wrote cannot be read.
//!
//! Tests: in `file.rs`.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use plasmavmc_types::{ErrorKind, Explain};

use crate::Format;

/// Why a file cannot be read. Its `Display` never repeats its source.
#[derive(Debug)]
pub struct FileError {
    /// What the file should be.
    pub format: &'static Format,
    /// The file, or a directory on the way to it; one that is missing as it was named.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: FileProblem,
}

/// What is wrong with a file.
#[derive(Debug)]
pub enum FileProblem {
    /// It is not there.
    Missing,
    /// What is there is no file.
    NotAFile(NotAFile),
    /// It is larger than any file of its format.
    TooLarge,
    /// The search left the directory it began in and found somebody else's.
    ForeignOwner {
        /// The id of its owner.
        owner: u32,
    },
    /// A file operation failed.
    Io {
        /// What was being done, as an infinitive: "open".
        action: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

/// What something is that should be a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAFile {
    /// A directory.
    Directory {
        /// Whether a file of the format is in it.
        holds_one: bool,
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

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (noun, path) = (self.format.noun, self.path.display());
        match &self.problem {
            FileProblem::Missing => write!(f, "there is no {noun} at `{path}`"),
            FileProblem::NotAFile(found) => write!(f, "the {noun} `{path}` is {found}, not a file"),
            FileProblem::TooLarge => {
                write!(f, "the {noun} `{path}` is larger than {} MiB", self.format.max_bytes >> 20)
            }
            FileProblem::ForeignOwner { owner } => write!(f, "`{path}` belongs to another user (id {owner})"),
            FileProblem::Io { action, .. } => write!(f, "failed to {action} `{path}`"),
        }
    }
}

impl Error for FileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.problem {
            FileProblem::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl Explain for FileError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Config
    }

    fn hints(&self) -> Vec<String> {
        let Format { noun, option, .. } = self.format;
        vec![match &self.problem {
            FileProblem::Missing => format!("name a {noun} that is there with `{option} PATH`"),
            FileProblem::NotAFile(NotAFile::Directory { holds_one: true }) => {
                let inside = self.path.join(self.format.file_name());
                format!("name the file in it: `{option} {}`", inside.display())
            }
            FileProblem::NotAFile(_) | FileProblem::TooLarge => format!("name a file with `{option} PATH`"),
            FileProblem::ForeignOwner { .. } => {
                format!("if you trust it, name it: `{option} {}`", self.path.display())
            }
            FileProblem::Io { .. } => format!("see what is there: `ls -ld {}`", self.path.display()),
        }]
    }
}

/// How many faults a file has, in words.
pub fn count_faults(faults: usize) -> String {
    if faults == 1 { "a fault".to_owned() } else { format!("{faults} faults") }
}
