//! What a person is told who interrupts `castra up`: what stays, how to go on, how to undo it.
//!
//! ```text
//! events ─► which VMs run ─┐
//! a signal ────────────────┴─► said on standard error ─► the process ends of the signal
//! ```
//!
//! Nothing is undone: every step of `up` can be repeated, so whatever it was at is finished by the next.
//! Tests: below, `tests/it/interrupted.rs`.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::thread;

use plasmavmc_types::{Event, EventKind, VmName};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::cli::error::CliError;
use crate::cli::face::Face;
use crate::cli::terminal::{Caught, Signals, TerminalError, die_of};

/// Which VMs an `up` has left running so far.
#[derive(Debug)]
pub(super) struct Progress {
    meant: Vec<VmName>,
    running: Mutex<BTreeSet<VmName>>,
}

impl Progress {
    /// Of the VMs that are meant to run, none does.
    pub(super) fn of(meant: Vec<VmName>) -> Self {
        Self { meant, running: Mutex::default() }
    }

    /// Takes note of an event.
    pub(super) fn note(&self, event: &Event) {
        let runs = matches!(
            event.kind,
            EventKind::VmLaunched { .. } | EventKind::VmAdopted { .. } | EventKind::VmAlreadyRunning { .. }
        );
        if let Some(vm) = event.vm.as_ref().filter(|_| runs) {
            self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(vm.clone());
        }
    }

    /// What stays, and what to type.
    fn told(&self) -> (String, &'static str) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let (up, not): (Vec<_>, Vec<_>) = self.meant.iter().partition(|vm| running.contains(*vm));
        let mut parts = Vec::new();
        if !up.is_empty() {
            parts.push(format!("{} on", several(&up, "runs", "run")));
        }
        if !not.is_empty() {
            parts.push(several(&not, "was not started", "were not started"));
        }
        let hint = match up.is_empty() {
            true => "nothing has to be undone; `castra up` begins again",
            false => "`castra up` goes on from there, `castra down` stops what runs",
        };
        (format!("interrupted: {}", parts.join(", ")), hint)
    }
}

fn several(vms: &[&VmName], one: &str, many: &str) -> String {
    let names: Vec<String> = vms.iter().map(|vm| format!("`{vm}`")).collect();
    match vms.len() {
        1 => format!("VM {} {one}", names[0]),
        _ => format!("VMs {} {many}", names.join(", ")),
    }
}

/// Does `work`; where a signal ends the process meanwhile, says what stays first.
///
/// # Errors
/// What `work` fails with; [`CliError::Terminal`] where signals cannot be waited for.
pub(super) fn telling<T>(
    face: &Face,
    progress: &Progress,
    work: impl FnOnce() -> Result<T, CliError>,
) -> Result<T, CliError> {
    let mut signals = Signals::catch()?;
    let (over, end) = UnixStream::pair().map_err(|source| TerminalError::Signals { source })?;
    thread::scope(|scope| {
        scope.spawn(move || {
            while !is_over(&signals, &over) {
                if let Caught::End(signal) = signals.take() {
                    let (text, hint) = progress.told();
                    face.voice.err.say(&text);
                    face.voice.err.hint(hint);
                    die_of(signal);
                }
            }
        });
        let done = work();
        // Also where it panics: the thread ends when this end of the pair is closed.
        drop(end);
        done
    })
}

/// Waits for a signal; tells whether the work was over first.
fn is_over(signals: &Signals, over: &UnixStream) -> bool {
    let mut fds = [
        PollFd::from_borrowed_fd(signals.wake(), PollFlags::IN),
        PollFd::from_borrowed_fd(over.as_fd(), PollFlags::IN),
    ];
    match poll(&mut fds, None) {
        Ok(_) => fds[0].revents().is_empty() && !fds[1].revents().is_empty(),
        Err(Errno::INTR) => false,
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use plasmavmc_types::Timestamp;

    use super::*;

    #[test]
    fn what_runs_and_what_does_not_is_told_with_what_to_type() {
        let names = |text: &str| text.split(' ').map(|name| name.parse().unwrap()).collect::<Vec<VmName>>();
        let progress = Progress::of(names("web db cache"));
        let event = |vm: &str, kind| {
            let at = Timestamp::from_unix_millis(1);
            progress.note(&Event { seq: 1, at, vm: vm.parse().ok(), kind });
        };
        assert_eq!(
            progress.told(),
            (
                "interrupted: VMs `web`, `db`, `cache` were not started".to_owned(),
                "nothing has to be undone; `castra up` begins again"
            )
        );
        event("web", EventKind::VmAlreadyRunning { pid: 1 });
        event("db", EventKind::VmReady { elapsed_ms: 1 });
        let (text, hint) = progress.told();
        assert_eq!(text, "interrupted: VM `web` runs on, VMs `db`, `cache` were not started");
        assert_eq!(hint, "`castra up` goes on from there, `castra down` stops what runs");
        event("db", EventKind::VmAdopted { pid: 2 });
        event("cache", EventKind::VmAdopted { pid: 3 });
        assert_eq!(progress.told().0, "interrupted: VMs `web`, `db`, `cache` run on");
    }
}
