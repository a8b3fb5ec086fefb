//! Failures of the host, each with the path or the program it happened to.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use plasmavmc_types::{ErrorKind, Explain};

/// A failed operation on the host. Its `Display` never repeats its source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
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
    /// A program is not installed.
    #[error("`{program}` is not installed")]
    MissingProgram {
        /// The program.
        program: String,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// A program could not be started.
    #[error("failed to run `{program}`")]
    Spawn {
        /// The program.
        program: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A program ran and failed.
    #[error("`{command}` failed with {status}: {stderr}")]
    CommandFailed {
        /// The command line, for people.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it said.
        stderr: String,
    },
    /// A program was stopped because it took too long.
    #[error("`{command}` did not end within {bound_secs} s and was stopped")]
    CommandTimedOut {
        /// The command line, for people.
        command: String,
        /// How long it had.
        bound_secs: u64,
    },
    /// A program that was asked something ended before its answer was whole.
    #[error("`{command}` ended with {status} in the middle of an answer: {stderr}")]
    CommandEnded {
        /// The command line, for people.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it said.
        stderr: String,
    },
    /// A program was stopped because it wrote more than any answer expected of it.
    #[error("`{command}` wrote more than {limit} bytes and was stopped")]
    CommandWroteTooMuch {
        /// The command line, for people.
        command: String,
        /// How many bytes it was allowed.
        limit: usize,
    },
    /// A file that was to be deleted is in use.
    #[error("`{}` is in use by another process", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The system gives no random bytes to make a key of.
    #[error("the system gives no random bytes")]
    NoRandomness,
    /// A file does not hold what it should.
    #[error("`{}` is not {expected}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it should be, with its article: "a workspace record".
        expected: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl Explain for HostError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::MissingProgram { .. } => ErrorKind::Preflight,
            Self::Io { source, .. } if is_host_condition(source) => ErrorKind::Preflight,
            Self::CommandTimedOut { .. } => ErrorKind::Timeout,
            Self::InUse { .. } => ErrorKind::Conflict,
            Self::Io { .. }
            | Self::Spawn { .. }
            | Self::CommandFailed { .. }
            | Self::CommandEnded { .. }
            | Self::CommandWroteTooMuch { .. }
            | Self::NoRandomness
            | Self::Malformed { .. } => ErrorKind::Io,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::MissingProgram { package, .. } => {
                vec![format!("install it: `sudo apt-get install {package}`")]
            }
            Self::Io { source, path, .. } => io_hint(source, path).into_iter().collect(),
            Self::InUse { path } => {
                vec![format!("see by which with `fuser -v {}`, and stop it", path.display())]
            }
            // What the kernel says of itself cannot be moved away.
            Self::Malformed { path, .. } if !path.starts_with("/proc") => {
                let path = path.display();
                vec![format!("put back what was in it, or move it away: `mv {path} {path}.broken`")]
            }
            _ => Vec::new(),
        }
    }
}

/// Whether the host, not the program, has to change for the operation to succeed.
fn is_host_condition(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(error.kind(), K::PermissionDenied | K::StorageFull | K::QuotaExceeded | K::ReadOnlyFilesystem)
}

fn io_hint(error: &io::Error, path: &Path) -> Option<String> {
    let folder = path.parent().unwrap_or(path).display();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(format!(
            "free some space (`df -h {folder}`, `castra clean --dry-run`) or move the workspace with `[project] state_dir`"
        )),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Some(format!(
            "make `{folder}` writable for you, or move the workspace with `[project] state_dir`"
        )),
        _ => None,
    }
}

/// Adds what was being done, and to which file, to an I/O error.
pub trait IoContext<T> {
    /// Turns an [`io::Error`] into a [`HostError::Io`].
    ///
    /// # Errors
    /// The error it was given, with its context.
    fn context(self, action: &'static str, path: &Path) -> Result<T, HostError>;
}

impl<T> IoContext<T> for Result<T, io::Error> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, HostError> {
        self.map_err(|source| HostError::Io { action, path: path.to_owned(), source })
    }
}

impl<T> IoContext<T> for Result<T, rustix::io::Errno> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, HostError> {
        self.map_err(io::Error::from).context(action, path)
    }
}
