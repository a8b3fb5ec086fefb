//! Commands to a live QEMU: pause, resume, reset, and the power button.
//!
//! The transition table of the types decides what a state allows. Every answer is bounded.
//! Tests: the conformance suite, `tests/it/unresponsive.rs`.

use std::time::Duration;

use plasmavmc_host::Layout;
use plasmavmc_host::process::ProcessState;
use plasmavmc_host::socket::{self, Connected};
use plasmavmc_hypervisor::Error;
use plasmavmc_types::{VmInput, VmName, VmState};

use crate::backend::KvmBackend;
use crate::locate::Live;
use crate::qmp::{Client, Continue, Powerdown, QmpError, QueryStatus, Reset, Stop};
use crate::{fault, status};

/// How long QEMU may take for one command. Its main loop can be held up by a disk.
const COMMAND_BOUND: Duration = Duration::from_secs(2);

/// A session with a live QEMU, and what it said its state was.
struct Session {
    client: Client,
    state: VmState,
}

impl KvmBackend<'_> {
    /// Freezes the guest.
    pub(crate) fn pause(&self, vm: &VmName) -> Result<(), Error> {
        self.control(vm, "paused", "pause", |session| match session.state {
            VmState::Paused => Ok(Some(())),
            state if state.next(VmInput::PauseRequested).is_ok() => {
                session.client.execute(&Stop {}, COMMAND_BOUND).map(|_| Some(()))
            }
            _ => Ok(None),
        })
    }

    /// Lets the guest run on.
    pub(crate) fn resume(&self, vm: &VmName) -> Result<(), Error> {
        self.control(vm, "resumed", "run on", |session| match session.state {
            VmState::Running => Ok(Some(())),
            state if state.next(VmInput::ResumeRequested).is_ok() => {
                session.client.execute(&Continue {}, COMMAND_BOUND).map(|_| Some(()))
            }
            _ => Ok(None),
        })
    }

    /// Presses the reset button.
    pub(crate) fn reset(&self, vm: &VmName) -> Result<(), Error> {
        self.control(vm, "reset", "reset the guest", |session| {
            match session.state.next(VmInput::ResetRequested) {
                Ok(_) => session.client.execute(&Reset {}, COMMAND_BOUND).map(|_| Some(())),
                Err(_) => Ok(None),
            }
        })
    }

    /// Presses the power button. A frozen guest is let run on: it could not react.
    pub(crate) fn powerdown(&self, vm: &VmName, live: &Live) -> Result<(), Error> {
        let what = "take a power-down request";
        let result = self.session(vm, live, what).and_then(|mut session| {
            let qmp = |error| qmp_error(vm, what, error);
            session.client.execute(&Powerdown {}, COMMAND_BOUND).map_err(qmp)?;
            if session.state == VmState::Paused {
                session.client.execute(&Continue {}, COMMAND_BOUND).map_err(qmp)?;
            }
            Ok(())
        });
        // A QEMU that ended meanwhile has done what was asked.
        if result.is_err() && has_ended(live) { Ok(()) } else { result }
    }

    /// Runs `command` in a session; its `None` means that the state does not allow it.
    fn control(
        &self,
        vm: &VmName,
        participle: &'static str,
        what: &'static str,
        command: impl FnOnce(&mut Session) -> Result<Option<()>, QmpError>,
    ) -> Result<(), Error> {
        let denied = |state| Error::WrongState { vm: vm.clone(), state, action: participle };
        let (_, Some(live)) = self.find(vm)? else { return Err(denied(VmState::Stopped)) };
        let result = self.session(vm, &live, what).and_then(|mut session| {
            let done = command(&mut session).map_err(|error| qmp_error(vm, what, error))?;
            done.ok_or_else(|| denied(session.state))
        });
        if result.is_err() && has_ended(&live) { Err(denied(VmState::Stopped)) } else { result }
    }

    fn session(&self, vm: &VmName, live: &Live, what: &'static str) -> Result<Session, Error> {
        let unresponsive = || Error::Unresponsive { vm: vm.clone(), what, bound: COMMAND_BOUND };
        if live.process.state().is_ok_and(|state| state == ProcessState::Stopped) {
            return Err(unresponsive());
        }
        let connected = socket::connect(self.layout().root(), &Layout::qmp_socket_name(vm));
        let connected = connected.map_err(fault::during(vm, "connect to its control socket"))?;
        let Connected::Stream(stream) = connected else { return Err(unresponsive()) };
        let qmp = |error| qmp_error(vm, what, error);
        let mut client = Client::start(stream, COMMAND_BOUND).map_err(qmp)?;
        let state = client.execute(&QueryStatus {}, COMMAND_BOUND).map_err(qmp)?.status;
        Ok(Session { client, state: status::state(state) })
    }
}

fn has_ended(live: &Live) -> bool {
    /// How long a process takes from closing its socket to its end, at most.
    const ENDING: Duration = Duration::from_millis(100);
    live.process.exits_within(ENDING).unwrap_or(false)
}

fn qmp_error(vm: &VmName, what: &'static str, error: QmpError) -> Error {
    match error {
        QmpError::Timeout { bound, .. } => Error::Unresponsive { vm: vm.clone(), what, bound },
        error => fault::during(vm, "control it")(error),
    }
}
