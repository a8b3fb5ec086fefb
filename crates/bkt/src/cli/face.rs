//! What every command works with: the two streams, how the person wants it, and where things are.

use std::path::PathBuf;

use plasmavmc_term::{OutputFormat, ProgressMode, Stderr, Stdout, Transfer, Width};
use serde::Serialize;

use super::args::GlobalArgs;
use super::error::CliError;
use crate::env::UserDirs;
use crate::vm::Place;

/// What every command works with.
pub(crate) struct Face {
    pub(crate) out: Stdout,
    pub(crate) err: Stderr,
    pub(crate) format: OutputFormat,
    quiet: bool,
    manifest: Option<PathBuf>,
    connect: Option<String>,
}

/// The line that ends a command's JSON output.
#[derive(Serialize)]
struct OutcomeLine<'a, T> {
    outcome: &'a T,
}

impl Face {
    /// The face of this process.
    pub(crate) fn new(args: &GlobalArgs) -> Self {
        Self {
            out: Stdout::new(args.color),
            err: Stderr::new(args.color),
            format: args.format(),
            quiet: args.quiet,
            manifest: args.manifest.clone(),
            connect: args.connect.clone(),
        }
    }

    /// The current directory.
    pub(crate) fn current_dir() -> Result<PathBuf, CliError> {
        std::env::current_dir().map_err(|source| CliError::CurrentDir { source })
    }

    /// Where the VMs are declared, and which libvirt has them.
    pub(crate) fn place(&self) -> Result<Place, CliError> {
        Ok(Place {
            current_dir: Self::current_dir()?,
            dirs: UserDirs::from_process()?,
            manifest: self.manifest.clone(),
            connect: self.connect.clone(),
        })
    }

    /// How wide an answer may be.
    pub(crate) const fn width(&self) -> Width {
        self.out.width()
    }

    /// Gives the answer: as one line of JSON, or as text.
    pub(crate) fn answer<T: Serialize>(
        &self,
        outcome: &T,
        render: impl FnOnce(&T, Width) -> String,
    ) -> Result<(), CliError> {
        match self.format {
            OutputFormat::Json => Ok(self.out.json(&OutcomeLine { outcome })?),
            OutputFormat::Human => Ok(self.out.print(&render(outcome, self.width()))?),
        }
    }

    /// Tells a person what is going on; a program reads it in the answer.
    pub(crate) fn note(&self, text: &str) {
        if self.format == OutputFormat::Human && !self.quiet {
            self.err.say(text);
        }
    }

    /// Warns a person; a program reads it in the answer.
    pub(crate) fn warn(&self, text: &str) {
        if self.format == OutputFormat::Human {
            self.err.warn(text);
        }
    }

    /// Tells a person what to do next.
    pub(crate) fn hint(&self, text: &str) {
        if self.format == OutputFormat::Human && !self.quiet {
            self.err.hint(text);
        }
    }

    /// Shows how far a transfer is.
    pub(crate) fn transfer(&self) -> Transfer {
        let mode = match (self.format, self.quiet) {
            (OutputFormat::Human, false) => self.err.progress_mode(),
            _ => ProgressMode::Off,
        };
        self.err.transfer(mode)
    }
}
