//! Why there is no project: no config, one that cannot be read, or one with faults.
//!
//! Tests: in `discover.rs`.

use std::path::PathBuf;

use plasmavmc_source::{FileError, FileProblem, count_faults};
use plasmavmc_types::{ErrorKind, Explain};

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
    /// What is there cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The path of the config is not plain text, as QMP, TOML and terminals take it.
    #[error("the path of the config, `{}`, is not UTF-8 or holds a control character", path.display().to_string().escape_debug())]
    UnusablePath {
        /// The path.
        path: PathBuf,
    },
    /// The config has faults.
    #[error("`{}` has {}", path.display(), count_faults(faults.len()))]
    Faulty {
        /// The config.
        path: PathBuf,
        /// Its text, to show the faults in; what was not UTF-8 in it is replaced.
        text: String,
        /// The faults, in the order of the text.
        faults: Vec<Fault>,
    },
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
            Self::File(FileError { path, problem: FileProblem::Missing, .. }) => {
                format!("write one with `castra init --config {}`", path.display())
            }
            Self::File(error) => return error.hints(),
            Self::Faulty { .. } => "`castra schema` prints the format, for editors that complete and check it".to_owned(),
            Self::UnusablePath { .. } => "rename the directory with `mv`".to_owned(),
        };
        vec![hint]
    }
}
