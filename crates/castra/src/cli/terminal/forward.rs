//! Signals that a program in a guest is to get instead of this one.
//!
//! ```text
//!  HUP, TERM, INT, QUIT, USR1, USR2 ─► the program; HUP, and the third that should have ended it, leave
//!  WINCH, CONT ──────────────────────► its terminal's size
//! ```
//!
//! A handler notes the number and writes a byte into a pipe. What a signal means is decided without
//! I/O. Tests: below, `tests/it/exec.rs`.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use plasmavmc_guest::client::{Nudge, Signal, Size};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::{SigId, flag, low_level};

use super::TerminalError;

const CAUGHT: [i32; 8] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT];

/// How often a person asks a program to end before they are let go without it.
const PATIENCE: u32 = 3;

/// Signals on their way to a program. Once it is dropped they mean nothing: the process is about to
/// end.
#[derive(Debug)]
pub(crate) struct Forwarded {
    wake: UnixStream,
    flags: Vec<(i32, Arc<AtomicBool>)>,
    ids: Vec<SigId>,
    meaning: Meaning,
}

/// What signals mean, one after the other.
#[derive(Debug, Default)]
struct Meaning {
    asked_to_end: u32,
    /// The signal that made this process leave the program.
    left_with: Option<i32>,
}

impl Forwarded {
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
        let mut forwarded = Self { wake, flags: Vec::new(), ids: Vec::new(), meaning: Meaning::default() };
        for signal in CAUGHT {
            let noted = Arc::new(AtomicBool::new(false));
            forwarded.ids.push(flag::register(signal, Arc::clone(&noted))?);
            // After the flag, so that whoever is woken finds it.
            forwarded.ids.push(low_level::pipe::register(signal, sender.try_clone()?)?);
            forwarded.flags.push((signal, noted));
        }
        Ok(forwarded)
    }

    /// A descriptor that becomes readable when a signal comes.
    ///
    /// # Errors
    /// [`TerminalError::Signals`].
    pub(crate) fn wake(&self) -> Result<UnixStream, TerminalError> {
        self.wake.try_clone().map_err(|source| TerminalError::Signals { source })
    }

    /// What came means for the program, whose terminal has that size.
    pub(crate) fn take(&mut self, size: impl Fn() -> Option<Size>) -> Vec<Nudge> {
        let mut bytes = [0; 64];
        while self.wake.read(&mut bytes).is_ok_and(|count| count > 0) {}
        let came = self.flags.iter().filter(|(_, noted)| noted.swap(false, Ordering::SeqCst));
        let came: Vec<i32> = came.map(|(signal, _)| *signal).collect();
        came.into_iter().flat_map(|signal| self.meaning.of(signal, &size)).collect()
    }

    /// The signal that made this process leave the program.
    pub(crate) const fn left_with(&self) -> Option<i32> {
        self.meaning.left_with
    }
}

impl AsFd for Forwarded {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        for id in self.ids.drain(..) {
            low_level::unregister(id);
        }
    }
}

impl Meaning {
    fn of(&mut self, signal: i32, size: &impl Fn() -> Option<Size>) -> Vec<Nudge> {
        let passed = match signal {
            SIGWINCH | SIGCONT => return size().map(Nudge::Resize).into_iter().collect(),
            SIGUSR1 => return vec![Nudge::Signal(Signal::Usr1)],
            SIGUSR2 => return vec![Nudge::Signal(Signal::Usr2)],
            SIGHUP => Signal::Hup,
            SIGINT => Signal::Int,
            SIGQUIT => Signal::Quit,
            _ => Signal::Term,
        };
        self.asked_to_end += 1;
        // Without a terminal there is nobody left to wait.
        if signal == SIGHUP || self.asked_to_end >= PATIENCE {
            self.left_with = Some(signal);
            return vec![Nudge::Signal(passed), Nudge::Leave];
        }
        vec![Nudge::Signal(passed)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size() -> Option<Size> {
        Some(Size { columns: 80, rows: 24 })
    }

    #[test]
    fn a_signal_goes_to_the_program_and_the_third_lets_its_caller_go() {
        let mut meaning = Meaning::default();
        assert_eq!(meaning.of(SIGINT, &size), [Nudge::Signal(Signal::Int)]);
        assert_eq!(meaning.of(SIGUSR1, &size), [Nudge::Signal(Signal::Usr1)]);
        assert_eq!(meaning.of(SIGTERM, &size), [Nudge::Signal(Signal::Term)]);
        assert_eq!(meaning.left_with, None);
        assert_eq!(meaning.of(SIGINT, &size), [Nudge::Signal(Signal::Int), Nudge::Leave]);
        assert_eq!(meaning.left_with, Some(SIGINT));
    }

    #[test]
    fn a_terminal_that_goes_takes_its_program_with_it() {
        let mut meaning = Meaning::default();
        assert_eq!(meaning.of(SIGHUP, &size), [Nudge::Signal(Signal::Hup), Nudge::Leave]);
    }

    #[test]
    fn a_size_is_told_where_there_is_one() {
        let mut meaning = Meaning::default();
        assert_eq!(meaning.of(SIGWINCH, &size), size().map(Nudge::Resize).into_iter().collect::<Vec<_>>());
        assert_eq!(meaning.of(SIGCONT, &|| None), []);
    }
}
