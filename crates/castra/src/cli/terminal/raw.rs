//! Raw mode: every key goes to the guest, and the terminal is as it was afterwards.
//!
//! The mode is put back when the guard is dropped and when the program panics (a release build
//! aborts without dropping anything); signals end the console first (see `signals`). Only SIGKILL
//! leaves a terminal raw, and `stty sane` mends that.

use std::os::fd::{AsFd, OwnedFd};
use std::panic;
use std::sync::{Mutex, Once, PoisonError};

use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcsetattr};

use super::TerminalError;

/// The terminal that is raw now, and what it was before.
static SAVED: Mutex<Option<(OwnedFd, Termios)>> = Mutex::new(None);

/// A terminal in raw mode.
#[derive(Debug)]
pub(crate) struct RawMode(());

impl RawMode {
    /// Makes the terminal behind `input` raw; none where `input` is no terminal.
    ///
    /// # Errors
    /// [`TerminalError::Mode`].
    pub(crate) fn enter(input: impl AsFd) -> Result<Option<Self>, TerminalError> {
        if !isatty(&input) {
            return Ok(None);
        }
        let mode = |source: std::io::Error| TerminalError::Mode { source };
        let before = tcgetattr(&input).map_err(|error| mode(error.into()))?;
        let terminal = input.as_fd().try_clone_to_owned().map_err(mode)?;
        restore_on_panic();
        let mut raw = before.clone();
        raw.make_raw();
        *SAVED.lock().unwrap_or_else(PoisonError::into_inner) = Some((terminal, before));
        let guard = Self(());
        tcsetattr(&input, OptionalActions::Drain, &raw).map_err(|error| mode(error.into()))?;
        Ok(Some(guard))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    let saved = SAVED.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some((terminal, before)) = saved {
        // A terminal that is gone needs no mode.
        let _ = tcsetattr(terminal, OptionalActions::Now, &before);
    }
}

fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            restore();
            report(info);
        }));
    });
}
