//! How a command speaks: over which streams, to a person or a program, and how much.

use plasmavmc_term::{ColorMode, OutputFormat, ProgressMode, Report, Stderr, Stdout, StdoutError, Transfer};
use serde::Serialize;

use crate::Schema;
use crate::error::EdgeError;

/// How much a person wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Detail {
    /// Answers and failures (`--quiet`).
    Quiet,
    /// Progress and notes too.
    #[default]
    Normal,
    /// Everything (`--verbose`).
    Full,
}

/// How a command is asked to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Manner {
    /// To a person or a program.
    pub format: OutputFormat,
    /// When in colour.
    pub color: ColorMode,
    /// How much.
    pub detail: Detail,
}

/// The two streams of a command, and the manner in which it speaks over them.
pub struct Voice {
    /// Standard output: data.
    pub out: Stdout,
    /// Standard error: talk.
    pub err: Stderr,
    /// To a person or a program.
    pub format: OutputFormat,
    /// How much.
    pub detail: Detail,
}

/// The line that ends a command's JSON output.
#[derive(Serialize)]
struct OutcomeLine<'a, T> {
    outcome: &'a T,
}

impl Voice {
    /// The voice of this process.
    pub fn new(manner: Manner) -> Self {
        let Manner { format, color, detail } = manner;
        Self { out: Stdout::new(color), err: Stderr::new(color), format, detail }
    }

    /// Gives the answer: as one line of JSON, or as the text made of it.
    ///
    /// # Errors
    /// [`EdgeError::Stdout`] where standard output does not take it.
    pub fn answer<T: Serialize>(
        &self,
        outcome: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), EdgeError> {
        let given = match self.format {
            OutputFormat::Json => self.out.json(&OutcomeLine { outcome }),
            OutputFormat::Human => self.out.print(&text(outcome)),
        };
        Ok(given?)
    }

    /// Prints a schema: on one line for a program, laid out for a person.
    ///
    /// # Errors
    /// [`EdgeError::Stdout`] where standard output does not take it.
    pub fn schema(&self, schema: &Schema) -> Result<(), EdgeError> {
        let value = schema.to_value();
        let given: Result<(), StdoutError> = match self.format {
            OutputFormat::Json => self.out.json(&value),
            OutputFormat::Human => self.out.print(&format!("{value:#}")),
        };
        Ok(given?)
    }

    /// Shows a failure, on the stream its format belongs to.
    pub fn fail(&self, report: &Report) {
        report.show(self.format, &self.out, &self.err);
    }

    /// Tells a person what is going on; a program reads it in the answer.
    pub fn note(&self, text: &str) {
        if self.talks() {
            self.err.say(text);
        }
    }

    /// Warns a person, even one who wants quiet; a program reads it in the answer.
    pub fn warn(&self, text: &str) {
        if self.format == OutputFormat::Human {
            self.err.warn(text);
        }
    }

    /// Tells a person what to do next.
    pub fn hint(&self, text: &str) {
        if self.talks() {
            self.err.hint(text);
        }
    }

    /// Shows how far a transfer is.
    pub fn transfer(&self) -> Transfer {
        self.err.transfer(self.progress_mode())
    }

    /// How progress is shown: to a person who does not want quiet.
    pub fn progress_mode(&self) -> ProgressMode {
        if self.talks() { self.err.progress_mode() } else { ProgressMode::Off }
    }

    fn talks(&self) -> bool {
        self.format == OutputFormat::Human && self.detail > Detail::Quiet
    }
}
