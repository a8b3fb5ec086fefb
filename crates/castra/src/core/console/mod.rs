//! `console`: an interactive line to a VM's serial console.
//!
//! Owns: finding the VM, its one line at a time, and carrying bytes both ways. Never does: touch the
//! terminal's mode, handle signals or print: whoever owns the terminal does, and hands in where bytes
//! come from and go to. Tests: `pump`, and `tests/it/console.rs`.

mod pump;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use plasmavmc_host::socket::{Connected, connect};
use plasmavmc_host::{FileLock, Layout};
use plasmavmc_types::VmName;
use schemars::JsonSchema;
use serde::Serialize;

pub use pump::{ESCAPE, Escape};

use self::pump::Pump;
use super::error::Error;
use super::guest::known_vms;
use super::output::Diagnostic;
use super::project::WorkspaceId;
use super::selection::{WorkspaceSelection, target};
use super::session::Session;

/// What `console` is asked.
#[derive(Debug, Clone, Default)]
pub struct ConsoleOptions {
    /// Which workspace.
    pub selection: WorkspaceSelection,
    /// Which VM; may be left out where there is only one.
    pub vm: Option<VmName>,
}

/// An open line to a VM's serial console. Nobody else has one until it is dropped.
#[derive(Debug)]
pub struct Console {
    workspace: WorkspaceId,
    vm: VmName,
    stream: UnixStream,
    sent_bytes: u64,
    received_bytes: u64,
    note: Option<Diagnostic>,
    _lock: FileLock,
}

/// Where a console's bytes come from and go to.
pub struct Ends<'a> {
    /// What is typed.
    pub input: BorrowedFd<'a>,
    /// Whether the escape key in the input ends the line.
    pub escape: Escape,
    /// Takes what the guest writes.
    pub output: &'a mut dyn FnMut(&[u8]) -> io::Result<()>,
    /// Ends the line as soon as it can be read: a signal that came.
    pub stop: Option<BorrowedFd<'a>>,
}

/// What a console did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ConsoleOutcome {
    /// The workspace.
    #[schemars(with = "String")]
    pub workspace: WorkspaceId,
    /// The VM.
    #[schemars(with = "String")]
    pub vm: VmName,
    /// Why it ended.
    pub end: ConsoleEnd,
    /// Bytes given to the guest.
    pub sent_bytes: u64,
    /// Bytes the guest wrote.
    pub received_bytes: u64,
}

/// Why a console ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConsoleEnd {
    /// The escape key was pressed.
    Left,
    /// The input ended and the guest fell silent.
    InputEnded,
    /// The VM stopped.
    VmStopped,
    /// It was asked to stop from outside.
    Interrupted,
}

/// Opens a line to a VM's serial console.
///
/// # Errors
/// [`Error`] where the VM is not known or does not run, or someone else has its console.
pub fn console(session: &Session, options: &ConsoleOptions) -> Result<Console, Error> {
    let target = target(session, &options.selection)?;
    let vm = known_vms(&target)?.choose(options.vm.as_ref())?;
    let layout = &target.layout;
    let not_running = || Error::NotRunning { vm: vm.clone() };
    let taken = || Error::ConsoleTaken { vm: vm.clone() };
    // Asked first: a lock in a workspace that was never used would be a file out of nowhere.
    if !layout.serial_socket(&vm).exists() {
        return Err(not_running());
    }
    // QEMU lets a second connection wait in silence, which would look like a dead guest.
    let lock = FileLock::try_acquire(&layout.console_lock(&vm))?.ok_or_else(taken)?;
    match connect(layout.root(), &Layout::serial_socket_name(&vm))? {
        Connected::Stream(stream) => Ok(Console {
            workspace: target.id.clone(),
            vm,
            stream,
            sent_bytes: 0,
            received_bytes: 0,
            note: target.note.clone(),
            _lock: lock,
        }),
        Connected::Refused => Err(not_running()),
        Connected::Busy => Err(taken()),
    }
}

impl Console {
    /// The VM.
    pub fn vm(&self) -> &VmName {
        &self.vm
    }

    /// What a person should know about how it was found.
    pub fn note(&self) -> Option<&Diagnostic> {
        self.note.as_ref()
    }

    /// Carries bytes both ways until the line ends. May be called again after an interruption.
    ///
    /// # Errors
    /// Where an end cannot be read or written.
    pub fn run(&mut self, ends: Ends<'_>) -> io::Result<ConsoleOutcome> {
        self.stream.set_nonblocking(true)?;
        let mut pump = Pump::new(self.stream.as_fd(), ends);
        let end = pump.run();
        self.sent_bytes += pump.sent_bytes();
        self.received_bytes += pump.received_bytes();
        Ok(ConsoleOutcome {
            workspace: self.workspace.clone(),
            vm: self.vm.clone(),
            end: end?,
            sent_bytes: self.sent_bytes,
            received_bytes: self.received_bytes,
        })
    }
}
