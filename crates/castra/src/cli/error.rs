//! What a command can fail with, and how that is reported.

use plasmavmc_term::{Report, SourceFault, StdoutError, Width};
use plasmavmc_types::{ErrorKind, Explain};

use super::terminal::TerminalError;
use crate::config::{ConfigError, Fault};
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
    /// Standard output does not take the answer.
    #[error("the answer cannot be given")]
    Stdout(#[from] StdoutError),
    /// The terminal cannot be used.
    #[error(transparent)]
    Terminal(#[from] TerminalError),
    /// The directory the command runs in is gone, or may not be read.
    #[error("the current directory cannot be told")]
    CurrentDir {
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A generated page cannot be written.
    #[error(transparent)]
    Host(#[from] plasmavmc_host::HostError),
}

impl CliError {
    fn inner(&self) -> Option<&dyn Explain> {
        match self {
            Self::Operation(error) => Some(error),
            Self::Env(error) => Some(error),
            Self::Stdout(error) => Some(error),
            Self::Terminal(error) => Some(error),
            Self::Host(error) => Some(error),
            Self::CurrentDir { .. } => None,
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
            let shown: Vec<Shown> = faults.iter().map(Shown::of).collect();
            let faults = faults.iter().zip(&shown).map(|(fault, shown)| shown.source_fault(fault, text));
            Report::of(error).with_faults(&faults.collect::<Vec<_>>(), width)
        }
        _ => Report::of(error),
    };
    error.failures().iter().fold(own, |report_so_far, failure| {
        report_so_far.with_failure(failure.vm.as_str(), report(&failure.error, width))
    })
}

/// The texts of a fault that are made for showing it.
struct Shown {
    file: String,
    label: String,
}

impl Shown {
    fn of(fault: &Fault) -> Self {
        let label = fault.related.as_ref();
        Self {
            file: fault.file.display().to_string(),
            label: label.map(|it| format!("{} (line {})", it.label, it.position.line)).unwrap_or_default(),
        }
    }

    fn source_fault<'a>(&'a self, fault: &'a Fault, text: &'a str) -> SourceFault<'a> {
        SourceFault {
            file: &self.file,
            source: text,
            code: fault.code.as_str(),
            message: &fault.message,
            label: &self.label,
            span: Some(fault.span.start..fault.span.end),
            help: fault.suggestion.as_deref(),
        }
    }
}

impl Explain for CliError {
    fn kind(&self) -> ErrorKind {
        self.inner().map_or(ErrorKind::Io, Explain::kind)
    }

    fn hints(&self) -> Vec<String> {
        match self.inner() {
            Some(inner) => inner.hints(),
            None => vec!["go to a directory that exists: `cd ~`".to_owned()],
        }
    }
}

/// Words that are no command, for programs: people see the text with its usage.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct UsageError {
    message: String,
}

impl UsageError {
    /// The first paragraph of what the parser says.
    pub(crate) fn new(error: &clap::Error) -> Self {
        let text = error.to_string();
        let first = text.split("\n\n").next().unwrap_or_default();
        let lines: Vec<&str> = first.trim_start_matches("error: ").lines().map(str::trim).collect();
        Self { message: lines.join(" ") }
    }
}

impl Explain for UsageError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }

    fn hints(&self) -> Vec<String> {
        vec!["`castra help` lists the commands, `castra help <command>` what each takes".to_owned()]
    }
}
