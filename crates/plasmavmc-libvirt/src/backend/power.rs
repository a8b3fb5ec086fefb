//! Starting, stopping, freezing: what is asked is noted in the domain before it is asked.
//!
//! Every verb looks at the state first, and again where libvirt refused: somebody else may have been faster.
//! Tests: the conformance suite, `tests/it/backend.rs`.

use std::time::{Duration, Instant};

use plasmavmc_host::process::BootId;
use plasmavmc_hypervisor::{Error, StopMethod};
use plasmavmc_types::{Explain, StopReason, VmHandle, VmState, VmStatus};

use super::find::{Found, is_refusal};
use super::record::{Note, RUN};
use super::{LibvirtBackend, fault};
use crate::virsh::VirshError;

/// How often a VM whose process is out of sight is asked whether it has stopped.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// How long libvirt is left alone after a VM's process ended: it has to see that first.
const SETTLE: Duration = Duration::from_millis(20);

/// How long a process that was ended in order may take: what libvirt itself waits, and a little.
const TERMINATE_BOUND: Duration = Duration::from_secs(30);

impl LibvirtBackend {
    pub(super) fn start(&self, vm: &VmHandle) -> Result<VmStatus, Error> {
        let found = self.find(vm)?;
        if !found.vm_state().is_live() {
            let boot = BootId::current().map_err(fault::host("tell this boot from others"))?;
            self.note(&found, &Note::begun(boot))?;
            let started = self.connection.writer().start(found.id);
            if let Err(source) = started {
                // Somebody else's start may have come first.
                if !self.find(vm)?.vm_state().is_live() {
                    return Err(launch_error(&found, source));
                }
            }
        }
        Ok(self.status_of(&self.find(vm)?))
    }

    pub(super) fn stop(&self, vm: &VmHandle, method: StopMethod) -> Result<(), Error> {
        let found = self.find(vm)?;
        if !found.vm_state().is_live() {
            return Ok(());
        }
        let boot = BootId::current().map(|boot| boot.to_string()).unwrap_or_default();
        let boot = found.note.as_ref().map_or(boot, |note| note.boot.clone());
        // Noted first: libvirt does not tell who ended it. A note that fails must not keep a VM alive.
        let _ = self.note(&found, &Note { boot, asked: Some(method) });
        let writer = self.connection.writer();
        let asked = match method {
            StopMethod::Powerdown => writer.shutdown(found.id),
            StopMethod::Terminate => writer.destroy(found.id, true),
            StopMethod::Kill => writer.destroy(found.id, false),
        };
        let Err(error) = asked else { return Ok(()) };
        if is_refusal(&error) && !self.find(vm)?.vm_state().is_live() {
            return Ok(());
        }
        match (method, error) {
            (StopMethod::Terminate, VirshError::Refused { .. }) => {
                Err(Error::Unresponsive { vm: vm.name.clone(), what: "end", bound: TERMINATE_BOUND })
            }
            (_, error) => Err(fault::during(&vm.name, "stop it")(error)),
        }
    }

    /// Waits until a VM is stopped, at most `timeout`: on its process where that is in sight.
    pub(super) fn wait(&self, vm: &VmHandle, timeout: Duration) -> Result<Option<StopReason>, Error> {
        let end = Instant::now().checked_add(timeout);
        loop {
            let found = self.find(vm)?;
            if !found.vm_state().is_live() {
                // A VM that never ran is as stopped as one that was asked to be.
                return Ok(Some(found.stop_reason().unwrap_or(StopReason::Requested)));
            }
            let left = end.map_or(timeout, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Ok(None);
            }
            match self.process(found.id, &found.name) {
                Some(process) => {
                    let ended = process.exits_within(left).map_err(fault::host("wait for a process"))?;
                    if ended {
                        std::thread::sleep(SETTLE);
                    }
                }
                None => std::thread::sleep(left.min(ASK_EVERY)),
            }
        }
    }

    pub(super) fn pause(&self, vm: &VmHandle) -> Result<(), Error> {
        let found = self.find(vm)?;
        match found.vm_state() {
            VmState::Paused => Ok(()),
            VmState::Running => {
                let asked = self.connection.writer().suspend(found.id);
                self.settled(vm, asked, "pause it", |state| state == VmState::Paused)
            }
            state => Err(Error::WrongState { vm: found.name, state, action: "paused" }),
        }
    }

    pub(super) fn resume(&self, vm: &VmHandle) -> Result<(), Error> {
        let found = self.find(vm)?;
        match found.vm_state() {
            VmState::Running => Ok(()),
            VmState::Paused => {
                let asked = self.connection.writer().resume(found.id);
                self.settled(vm, asked, "resume it", |state| state == VmState::Running)
            }
            state => Err(Error::WrongState { vm: found.name, state, action: "resumed" }),
        }
    }

    pub(super) fn reset(&self, vm: &VmHandle) -> Result<(), Error> {
        let found = self.find(vm)?;
        match found.vm_state() {
            VmState::Running | VmState::Paused => {
                let asked = self.connection.writer().reset(found.id);
                self.settled(vm, asked, "reset it", |_| false)
            }
            state => Err(Error::WrongState { vm: found.name, state, action: "reset" }),
        }
    }

    /// The outcome of a change; a refusal counts as done where the VM is as it was to be.
    fn settled(
        &self,
        vm: &VmHandle,
        asked: Result<(), VirshError>,
        action: &'static str,
        done: impl Fn(VmState) -> bool,
    ) -> Result<(), Error> {
        match asked {
            Err(error) if is_refusal(&error) && done(self.find(vm)?.vm_state()) => Ok(()),
            Err(error) => Err(fault::during(&vm.name, action)(error)),
            Ok(()) => Ok(()),
        }
    }

    /// Writes the note on a run into its domain.
    fn note(&self, found: &Found, note: &Note) -> Result<(), Error> {
        let (namespace, prefix) = RUN;
        let written =
            self.connection.writer().set_metadata(found.id, namespace, prefix, Some(&note.to_xml()));
        written.map_err(fault::during(&found.name, "note its run"))
    }
}

fn launch_error(found: &Found, source: VirshError) -> Error {
    let log = format!("QEMU's own words: `sudo tail /var/log/libvirt/qemu/{}.log`", found.name);
    let hints = source.hints().into_iter().chain([log]).collect();
    match source {
        VirshError::NoDomain { .. } => Error::UnknownVm { vm: found.name.clone() },
        VirshError::TimedOut { bound, .. } => {
            Error::Unresponsive { vm: found.name.clone(), what: "start it", bound }
        }
        source => Error::Launch { vm: found.name.clone(), hints, source: Box::new(source) },
    }
}
