//! Why something could not be measured.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use plasmavmc_types::{ErrorKind, Explain};

/// Why a row could not be measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// A program could not be run.
    #[error("failed to run `{program}`")]
    Run {
        program: String,
        #[source]
        source: io::Error,
    },
    /// A program ran and failed.
    #[error("`{command}` failed: {said}")]
    Failed { command: String, said: String },
    /// A file, socket or process of the measurement.
    #[error("failed to {action} `{}`", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Something did not happen in time.
    #[error("waited {} s for {what}", bound.as_secs())]
    Timeout { what: &'static str, bound: Duration },
    /// A program answered something else than was expected.
    #[error("{what} is not as expected: {found}")]
    Unexpected { what: &'static str, found: String },
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl Explain for BenchError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Io
    }
}

/// Names what an I/O error was about.
pub(crate) trait IoAbout<T> {
    fn about(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T, BenchError>;
}

impl<T> IoAbout<T> for io::Result<T> {
    fn about(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T, BenchError> {
        self.map_err(|source| BenchError::Io { action, path: path.into(), source })
    }
}
