//! The terminal as consoles and programs in guests need it: raw while they have it, as it was whatever
//! ends them.
//!
//! Owns: the mode of the terminal, and the signals that end a console or go to a program. Never does: carry bytes (that
//! is `core::console`). Tests: `tests/it/console.rs`, on a pseudo-terminal.

mod forward;
mod leave;
mod raw;
mod signals;

use std::io;

use plasmavmc_types::{ErrorKind, Explain};

pub(crate) use forward::Forwarded;
pub(crate) use leave::LeavingKeys;
pub(crate) use raw::RawMode;
pub(crate) use signals::{Caught, Signals, die_of};

/// Why the terminal cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TerminalError {
    /// Its mode cannot be read or set.
    #[error("the terminal's mode cannot be set")]
    Mode {
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Signals cannot be waited for.
    #[error("signals cannot be waited for")]
    Signals {
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Bytes cannot be carried.
    #[error("the connection between the terminal and the console broke")]
    Carry {
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

impl Explain for TerminalError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Io
    }
}
