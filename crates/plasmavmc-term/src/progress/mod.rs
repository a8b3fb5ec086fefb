//! Progress on standard error: what happened as lines, what is awaited as moving ones.
//!
//! ```text
//!    0 ms  web  QEMU launched (pid 4242, tcg)
//!   1.2 s  web  machine runs
//! ⠙ web  waiting for the guest  4s
//! ```
//!
//! Without a terminal only the lines are written, so a log of a build reads well. [`Timeline`] takes
//! events; which line they make is decided in `lines`, without I/O. Tests: there and below.

mod bars;
mod lines;
mod transfer;

use std::sync::{Mutex, PoisonError};

use indicatif::MultiProgress;
use plasmavmc_types::{Event, VmName};

use crate::Stderr;
use bars::Bars;
use lines::Lines;
pub use transfer::Transfer;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProgressMode {
    /// As lines, and what is awaited as moving ones below them.
    Bars,
    /// As lines.
    Lines,
    /// Not at all.
    Off,
}

/// The progress of one command. Takes events from any thread; what moves is gone when it is dropped.
pub struct Timeline<'a> {
    stderr: &'a Stderr,
    state: Mutex<State>,
}

struct State {
    mode: ProgressMode,
    lines: Lines,
    bars: Bars,
}

impl<'a> Timeline<'a> {
    pub(crate) fn new(stderr: &'a Stderr, bars: MultiProgress, mode: ProgressMode, vms: &[VmName]) -> Self {
        let name_width = vms.iter().map(|vm| vm.as_str().len()).max().unwrap_or(0);
        let state = State { mode, lines: Lines::new(name_width), bars: Bars::new(bars, name_width) };
        Self { stderr, state: Mutex::new(state) }
    }

    /// Shows an event.
    pub fn event(&self, event: &Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.mode == ProgressMode::Off {
            return;
        }
        if let Some(line) = state.lines.line(event) {
            self.stderr.say(&line);
        }
        match state.mode {
            ProgressMode::Bars => state.bars.event(event),
            ProgressMode::Lines => {
                if let Some(line) = state.lines.milestone(event) {
                    self.stderr.say(&line);
                }
            }
            ProgressMode::Off => {}
        }
    }
}

impl Drop for Timeline<'_> {
    fn drop(&mut self) {
        self.state.get_mut().unwrap_or_else(PoisonError::into_inner).bars.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeline_takes_events_from_many_threads() {
        fn is_sync<T: Sync + Send>() {}
        is_sync::<Timeline<'_>>();
        is_sync::<crate::Stdout>();
    }
}
