//! Finding a VM of ours again: its domain, its record, its process.
//!
//! By UUID, and only where our element is in its metadata. Tests: `tests/it/backend.rs`.

use std::path::PathBuf;

use plasmavmc_host::process::{BootId, Process};
use plasmavmc_hypervisor::Error;
use plasmavmc_types::{Accelerator, StopReason, VmHandle, VmId, VmName, VmSpec, VmState, VmStatus};

use super::fault::{self, DomainFault};
use super::record::{self, Note};
use super::{LibvirtBackend, reason};
use crate::domain::DomainXml;
use crate::virsh::{Connection, DomainState, Observed, VirshError};
use crate::xml;

/// A VM of ours as it is now.
pub(super) struct Found {
    pub(super) id: VmId,
    pub(super) name: VmName,
    pub(super) state: DomainState,
    /// libvirt's word for why it is in that state.
    pub(super) reason: String,
    pub(super) spec: VmSpec,
    pub(super) note: Option<Note>,
    /// What it will be at its next boot.
    pub(super) xml: DomainXml,
}

impl LibvirtBackend {
    /// A VM of ours.
    ///
    /// # Errors
    /// [`Error::UnknownVm`] where there is no such domain, or it is none of ours.
    pub(super) fn find(&self, vm: &VmHandle) -> Result<Found, Error> {
        self.find_with(&self.connection, vm)
    }

    fn find_with(&self, connection: &Connection, vm: &VmHandle) -> Result<Found, Error> {
        let look = fault::during(&vm.name, "look for it");
        let unknown = || Error::UnknownVm { vm: vm.name.clone() };
        let reader = connection.reader();
        let observed = if vm.id == VmId::UNREADABLE {
            let all = reader.observe().map_err(look)?;
            all.into_iter().find(|domain| domain.name == vm.name.as_str())
        } else {
            reader.observe_one(vm.id).map_err(look)?
        };
        let observed = observed.ok_or_else(unknown)?;
        let record = record::read(&observed.inactive).ok_or_else(unknown)?;
        let unreadable =
            |reason| fault::domain(&vm.name, "read its record", DomainFault::Unreadable { reason });
        let spec = record.spec.map_err(unreadable)?;
        let Observed { id, state, reason, inactive: xml, .. } = observed;
        Ok(Found { id, name: spec.name.clone(), state, reason, spec, note: record.note, xml })
    }

    /// Every VM of ours, in the order of their names.
    pub(super) fn list(&self) -> Result<Vec<VmHandle>, Error> {
        let observed = self.connection.reader().observe().map_err(fault::host("list its VMs"))?;
        let handle = |domain: &Observed| {
            let record = record::read(&domain.inactive)?;
            let id = if record.spec.is_ok() { domain.id } else { VmId::UNREADABLE };
            Some(VmHandle { id, name: domain.name.parse().ok()? })
        };
        Ok(observed.iter().filter_map(handle).collect())
    }

    /// What a VM is now. Where libvirt does not answer in time, a process that runs it still tells.
    pub(super) fn status(&self, vm: &VmHandle) -> Result<VmStatus, Error> {
        match self.find_with(&self.quick, vm) {
            Ok(found) => Ok(self.status_of(&found)),
            Err(error @ Error::Unresponsive { .. }) => {
                let Some(process) = self.process(vm.id, &vm.name) else { return Err(error) };
                Ok(VmStatus {
                    state: VmState::Running,
                    pid: Some(process.pid()),
                    uptime: Some(process.uptime()),
                    accelerator: None,
                    responsive: false,
                    stop_reason: None,
                    console_start: None,
                })
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn status_of(&self, found: &Found) -> VmStatus {
        let state = vm_state(found.state);
        if !state.is_live() {
            return VmStatus { stop_reason: found.stop_reason(), ..VmStatus::NEVER_RAN };
        }
        let process = self.process(found.id, &found.name);
        VmStatus {
            state,
            pid: process.as_ref().map(Process::pid),
            uptime: process.as_ref().map(Process::uptime),
            accelerator: found.accelerator(),
            responsive: true,
            stop_reason: None,
            console_start: None,
        }
    }

    /// The QEMU that runs a VM, where it is on this host. Known by its UUID, not by the pid alone.
    pub(super) fn process(&self, id: VmId, name: &VmName) -> Option<Process> {
        let uri = self.connection.reader().uri().unwrap_or_default();
        let pid = std::fs::read_to_string(pid_file(&uri, name)?).ok()?;
        let process = Process::of_pid(pid.trim().parse().ok()?).ok().flatten()?;
        process.has_argument(&id.to_string()).unwrap_or(false).then_some(process)
    }
}

/// Where libvirt writes the pid of the QEMU that runs a domain; none where that is another host's.
fn pid_file(uri: &str, name: &VmName) -> Option<PathBuf> {
    let file = format!("{name}.pid");
    let local = uri.strip_prefix("qemu:///")?;
    if local.starts_with("session") {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR")?;
        return Some(PathBuf::from(runtime).join("libvirt/qemu/run").join(file));
    }
    Some(PathBuf::from("/run/libvirt/qemu").join(file))
}

impl Found {
    /// Its handle.
    pub(super) fn handle(&self) -> VmHandle {
        VmHandle { id: self.id, name: self.name.clone() }
    }

    /// Its state as the port has it.
    pub(super) fn vm_state(&self) -> VmState {
        vm_state(self.state)
    }

    /// Why it is stopped; none where it never ran.
    pub(super) fn stop_reason(&self) -> Option<StopReason> {
        Self::reason_of(&self.reason, self.note.as_ref())
    }

    /// Why a VM is stopped, from libvirt's word and our note.
    pub(super) fn reason_of(reason: &str, note: Option<&Note>) -> Option<StopReason> {
        let boot = BootId::current().map(|boot| boot.to_string()).unwrap_or_default();
        reason::decide(reason, note, &boot)
    }

    fn accelerator(&self) -> Option<Accelerator> {
        let document = xml::read(self.xml.as_str()).ok()?;
        match document.root_element().attribute("type")? {
            "kvm" => Some(Accelerator::Kvm),
            "qemu" => Some(Accelerator::Tcg),
            _ => None,
        }
    }
}

/// libvirt's state as the port's.
pub(super) fn vm_state(state: DomainState) -> VmState {
    match state {
        DomainState::NoState => VmState::Starting,
        DomainState::Running | DomainState::Blocked => VmState::Running,
        // The guest of a crashed one is kept, frozen, for whoever looks into it.
        DomainState::Paused | DomainState::PmSuspended | DomainState::Crashed => VmState::Paused,
        DomainState::InShutdown => VmState::ShuttingDown,
        DomainState::ShutOff => VmState::Stopped,
    }
}

/// Whether a failed change was one that is no longer needed or possible, so that the state is looked at again.
pub(super) fn is_refusal(error: &VirshError) -> bool {
    matches!(error, VirshError::Refused { .. } | VirshError::TimedOut { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pid_is_looked_for_where_that_libvirt_keeps_it() {
        let name: VmName = "web".parse().unwrap();
        let system = pid_file("qemu:///system", &name);
        assert_eq!(system, Some(PathBuf::from("/run/libvirt/qemu/web.pid")));
        assert_eq!(pid_file("qemu+ssh://host/system", &name), None);
        assert_eq!(pid_file("test:///default", &name), None);
    }

    #[test]
    fn only_a_domain_that_is_shut_off_is_stopped() {
        for state in DomainState::ALL {
            assert_eq!(vm_state(state).is_live(), state != DomainState::ShutOff, "{state:?}");
        }
    }
}
