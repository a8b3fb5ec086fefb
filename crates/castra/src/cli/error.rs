//! What a command can fail with, and how that is reported.

use plasmavmc_cli::EdgeError;
use plasmavmc_term::{Report, SourceFault, StdoutError, Width};
use plasmavmc_types::{ErrorKind, Explain};

use super::terminal::TerminalError;
use crate::config::ConfigError;
use crate::core::error::Error;
use crate::env::EnvError;

/// A failed command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The operation failed.
    #[error(transparent)]
    Operation(#[from] Error),
    /// The user's directories are not known.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// The terminal cannot be used.
    #[error(transparent)]
    Terminal(#[from] TerminalError),
    /// The answer cannot be given, or the place of the command cannot be told.
    #[error(transparent)]
    Edge(#[from] EdgeError),
}

impl From<StdoutError> for CliError {
    fn from(error: StdoutError) -> Self {
        EdgeError::from(error).into()
    }
}

impl CliError {
    fn inner(&self) -> &dyn Explain {
        match self {
            Self::Operation(error) => error,
            Self::Env(error) => error,
            Self::Terminal(error) => error,
            Self::Edge(error) => error,
        }
    }

    /// The failure as it is shown: a config's faults where they are, several VMs' one by one.
    pub(crate) fn report(&self, width: Width) -> Report {
        match self {
            Self::Operation(error) => report(error, width),
            other => Report::of(other),
        }
    }
}

fn report(error: &Error, width: Width) -> Report {
    let own = match error {
        Error::Config(ConfigError::Faulty { text, faults, .. }) => {
            let faults: Vec<SourceFault<'_>> =
                faults.iter().map(|fault| SourceFault::of(fault, text)).collect();
            Report::of(error).with_faults(&faults, width)
        }
        _ => Report::of(error),
    };
    error.failures().iter().fold(own, |report_so_far, failure| {
        report_so_far.with_failure(failure.vm.as_str(), report(&failure.error, width))
    })
}

impl Explain for CliError {
    fn kind(&self) -> ErrorKind {
        self.inner().kind()
    }

    fn hints(&self) -> Vec<String> {
        self.inner().hints()
    }
}
