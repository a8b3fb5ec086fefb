//! What fails at the edge itself, whatever the command.

use std::path::PathBuf;
use std::{env, io};

use plasmavmc_term::StdoutError;
use plasmavmc_types::{ErrorKind, Explain};

/// A failure of the edge. Its `Display` never repeats its source.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// Standard output does not take the answer.
    #[error("the answer cannot be given")]
    Stdout(#[from] StdoutError),
    /// The directory the command runs in is gone, or may not be read.
    #[error("the current directory cannot be told")]
    CurrentDir {
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A page cannot be written.
    #[error("failed to {action} `{}`", path.display())]
    Page {
        /// What was being done, as an infinitive: "write".
        action: &'static str,
        /// The page or its directory.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

impl Explain for EdgeError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Stdout(error) => error.kind(),
            Self::CurrentDir { .. } | Self::Page { .. } => ErrorKind::Io,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Stdout(error) => error.hints(),
            Self::CurrentDir { .. } => vec!["go to a directory that exists: `cd ~`".to_owned()],
            Self::Page { .. } => Vec::new(),
        }
    }
}

/// The directory the command runs in.
///
/// # Errors
/// [`EdgeError::CurrentDir`] where it is gone, or may not be read.
pub fn current_dir() -> Result<PathBuf, EdgeError> {
    env::current_dir().map_err(|source| EdgeError::CurrentDir { source })
}
