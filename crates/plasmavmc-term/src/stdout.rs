//! Standard output: data only.
//!
//! Every write is flushed, so that a reader at the other end of a pipe never waits for a buffer.
//! A reader that went away is [`StdoutError::Closed`], which ends a command quietly. Safe to share
//! between threads; a text is written in one piece. Tests: below.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use plasmavmc_types::{ErrorKind, Explain};
use serde::Serialize;

use crate::screen::{ColorMode, Width, plain};
use crate::{json, text};

/// Standard output.
pub struct Stdout {
    sink: Mutex<Box<dyn Write + Send>>,
    color: bool,
    width: Width,
}

/// Standard output did not take what was written.
#[derive(Debug, thiserror::Error)]
pub enum StdoutError {
    /// Its reader went away (`castra … | head`): nobody is left to tell, so it ends the command
    /// with success and without a word.
    #[error("standard output was closed")]
    Closed,
    /// It cannot be written.
    #[error("failed to write to standard output")]
    Write {
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

impl Stdout {
    /// The process's standard output, coloured as `color` says.
    pub fn new(color: ColorMode) -> Self {
        let stdout = io::stdout();
        Self {
            color: color.wants_color(&stdout),
            width: Width::of(&stdout),
            sink: Mutex::new(Box::new(stdout)),
        }
    }

    /// Writes to `sink` instead, without colour: for tests of what a command prints.
    pub fn to(sink: impl Write + Send + 'static, width: Width) -> Self {
        Self { sink: Mutex::new(Box::new(sink)), color: false, width }
    }

    /// How wide a line may get.
    pub const fn width(&self) -> Width {
        self.width
    }

    /// Whether a person reads it at a terminal.
    pub const fn is_terminal(&self) -> bool {
        matches!(self.width, Width::Columns(_))
    }

    /// Writes `text`, ended with a newline if it has none. Styles in it are kept only where colour
    /// is wanted.
    ///
    /// # Errors
    /// [`StdoutError`].
    pub fn print(&self, text: &str) -> Result<(), StdoutError> {
        let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        let text = if self.color { text.to_owned() } else { plain(text) };
        self.write(format!("{text}{newline}").as_bytes())
    }

    /// Writes `value` as one line of JSON.
    ///
    /// # Errors
    /// [`StdoutError`].
    pub fn json(&self, value: &impl Serialize) -> Result<(), StdoutError> {
        let line = json::line(value).map_err(|source| StdoutError::Write { source })?;
        self.write(line.as_bytes())
    }

    /// Writes what a guest or a program said: as it is into a pipe or a file, and with its control
    /// characters shown instead of obeyed on a terminal.
    ///
    /// # Errors
    /// [`StdoutError`].
    pub fn foreign(&self, bytes: &[u8]) -> Result<(), StdoutError> {
        if !self.is_terminal() {
            return self.write(bytes);
        }
        // Consoles end their lines with CR LF, which is no danger and would only be noise.
        let shown = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
        self.write(text::printable(&shown).as_bytes())
    }

    /// Writes bytes as they are: an interactive console, a shell completion script.
    ///
    /// # Errors
    /// [`StdoutError`].
    pub fn raw(&self, bytes: &[u8]) -> Result<(), StdoutError> {
        self.write(bytes)
    }

    fn write(&self, bytes: &[u8]) -> Result<(), StdoutError> {
        // A thread that panicked while writing leaves a line unfinished, not a broken writer.
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        sink.write_all(bytes).and_then(|()| sink.flush()).map_err(|source| match source.kind() {
            io::ErrorKind::BrokenPipe => StdoutError::Closed,
            _ => StdoutError::Write { source },
        })
    }
}

impl Explain for StdoutError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Io
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use super::*;

    /// A writer whose bytes can be read while it is lent to a [`Stdout`].
    #[derive(Clone, Default)]
    pub(crate) struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Shared {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A pipe whose reader went away.
    pub(crate) fn gone() -> io::PipeWriter {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        writer
    }

    #[test]
    fn a_reader_that_went_away_is_told_apart_from_a_fault() {
        assert!(matches!(Stdout::to(gone(), Width::Unlimited).print("x"), Err(StdoutError::Closed)));
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        assert!(matches!(Stdout::to(full, Width::Unlimited).print("x"), Err(StdoutError::Write { .. })));
    }

    #[test]
    fn text_ends_with_one_newline_and_carries_no_colour_into_a_pipe() {
        let (shared, style) = (Shared::default(), crate::screen::style::ERROR);
        let out = Stdout::to(shared.clone(), Width::Unlimited);
        out.print(&crate::styled(style, "a")).unwrap();
        out.print("b\n").unwrap();
        out.print("").unwrap();
        assert_eq!(shared.text(), "a\nb\n");
    }

    #[test]
    fn a_guests_bytes_pass_a_pipe_unchanged_and_a_terminal_tamed() {
        let said = b"\x1b[31mlogin:\r\n\xff";
        let (pipe, terminal) = (Shared::default(), Shared::default());
        Stdout::to(pipe.clone(), Width::Unlimited).foreign(b"\x1b[31m\r\n").unwrap();
        Stdout::to(terminal.clone(), Width::columns(80)).foreign(said).unwrap();
        assert_eq!(pipe.text(), "\u{1b}[31m\r\n");
        assert_eq!(terminal.text(), "\\u{1b}[31mlogin:\n\u{fffd}");
    }
}
