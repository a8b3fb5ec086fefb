//! Finds the process that runs a VM, and is never wrong about a stranger.
//!
//! ```text
//! pidfile ── identity matches, and its command line shows the marker or nothing ──► it lives
//!    │ missing, garbage, of another run, or of a process that is gone
//!    ▼
//! record's run ── a process of this user carries the marker ──────────► it lives
//!    │ none
//!    ▼
//! stopped
//! ```
//!
//! A pidfile of the record's own run whose process is gone settles it at once, unless the live lock
//! is held: then QEMU was started by a script that stayed and died before it. So the processes are
//! only searched where there is reason to. Where the lock is held and nothing is found, someone is
//! starting the VM, or QEMU is so far gone that it shows no command line: that is not for here to
//! tell. Never does: change anything. Tests: `tests/it/identity.rs`, `tests/it/wrapped.rs`.

use plasmavmc_host::process::{BootId, PidFile, Process, find_by_argument};
use plasmavmc_host::{FileLock, HostError, Layout};
use plasmavmc_types::{RunToken, VmName};

use crate::argv;
use crate::record::Record;

/// The live process of a VM.
#[derive(Debug)]
pub(crate) struct Live {
    /// The process.
    pub(crate) process: Process,
    /// The run it was launched for.
    pub(crate) token: RunToken,
    /// How it was found.
    pub(crate) found: Found,
}

/// How a live process was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Its pidfile names it.
    Pidfile,
    /// Only its command line tells: its launcher died before the pidfile, or the pidfile was lost.
    CommandLine,
}

/// The process that runs the VM; none where it is stopped.
pub(crate) fn locate(
    layout: &Layout,
    vm: &VmName,
    record: Option<&Record>,
) -> Result<Option<Live>, HostError> {
    let pidfile = PidFile::read(&layout.pid_file(vm));
    if let Some(PidFile { identity, token }) = pidfile
        && let Some(process) = Process::open(identity)?
        // A process that was killed shows nothing for as long as the kernel takes its memory back.
        && process.shows_argument(&argv::marker(vm, token))? != Some(false)
    {
        return Ok(Some(Live { process, token, found: Found::Pidfile }));
    }
    let Some(run) = record.and_then(|record| record.run.as_ref()) else { return Ok(None) };
    let is_over = pidfile.is_some_and(|pidfile| pidfile.token == run.token);
    if run.boot_id != BootId::current()? || is_over && !FileLock::is_held(&layout.live_lock(vm))? {
        return Ok(None);
    }
    // The oldest: where QEMU is started by a script that stays, the script.
    let found = find_by_argument(&argv::marker(vm, run.token))?.into_iter().next();
    Ok(found.map(|process| Live { process, token: run.token, found: Found::CommandLine }))
}
