//! Signals that end a console, noticed between two reads instead of in the middle of one.
//!
//! A handler only notes the number and writes a byte into a pipe, which the console waits for beside
//! its other ends.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::{SigId, flag, low_level};

use super::TerminalError;

/// The signals whose default would end the process with the terminal raw.
const ENDING: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// What came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caught {
    /// A signal that ends the process.
    End(i32),
    /// The process was stopped and goes on: the shell has set the terminal's mode meanwhile.
    Continue,
}

/// Signals being caught. Once it is dropped they mean nothing: the process is about to end.
#[derive(Debug)]
pub(crate) struct Signals {
    wake: UnixStream,
    last: Arc<AtomicUsize>,
    ids: Vec<SigId>,
}

impl Signals {
    /// Catches the signals from here on.
    ///
    /// # Errors
    /// [`TerminalError::Signals`].
    pub(crate) fn catch() -> Result<Self, TerminalError> {
        Self::register().map_err(|source| TerminalError::Signals { source })
    }

    fn register() -> io::Result<Self> {
        let (wake, sender) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let mut signals = Self { wake, last: Arc::default(), ids: Vec::new() };
        for signal in ENDING.into_iter().chain([SIGCONT]) {
            if signal != SIGCONT {
                let number = usize::try_from(signal).map_err(io::Error::other)?;
                signals.ids.push(flag::register_usize(signal, Arc::clone(&signals.last), number)?);
            }
            // After the number, so that whoever is woken finds it.
            signals.ids.push(low_level::pipe::register(signal, sender.try_clone()?)?);
        }
        Ok(signals)
    }

    /// Becomes readable when a signal comes.
    pub(crate) fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// What came.
    pub(crate) fn take(&mut self) -> Caught {
        let mut bytes = [0; 64];
        while self.wake.read(&mut bytes).is_ok_and(|count| count > 0) {}
        match i32::try_from(self.last.swap(0, Ordering::SeqCst)) {
            Ok(signal @ 1..) => Caught::End(signal),
            _ => Caught::Continue,
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.ids.drain(..) {
            low_level::unregister(id);
        }
    }
}

/// Ends this process as `signal` would have.
pub(crate) fn die_of(signal: i32) {
    // Only fails for signals that do not end a process.
    let _ = low_level::emulate_default_handler(signal);
}
