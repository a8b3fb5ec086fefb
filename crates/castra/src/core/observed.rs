//! The VMs of workspaces as they are now: what `ports`, the preflight and `doctor` look at.
//!
//! Reads only, through the reading half of the backend. A workspace that cannot be read is part of
//! the answer, so that it never hides the others. Tests: `tests/it/ports.rs`, `tests/it/doctor.rs`.

use plasmavmc_hypervisor::{Observe, block_on};
use plasmavmc_types::{VmHandle, VmName, VmSpec, VmStatus};

use super::backend;
use super::error::Error;
use super::fan_out::fan_out;
use super::selection::{Target, WorkspaceSelection, targets};
use super::session::Session;

/// One VM the backend knows.
#[derive(Debug, Clone)]
pub(crate) struct ObservedVm {
    /// Its name.
    pub(crate) name: VmName,
    /// What it is now.
    pub(crate) status: VmStatus,
    /// What it was last started as.
    pub(crate) spec: VmSpec,
}

/// One workspace and the VMs its backend knows.
#[derive(Debug)]
pub(crate) struct ObservedWorkspace {
    /// The workspace.
    pub(crate) target: Target,
    /// Its VMs, or why they cannot be told.
    pub(crate) vms: Result<Vec<ObservedVm>, Error>,
}

impl ObservedWorkspace {
    /// Its VMs; none where they cannot be told.
    pub(crate) fn vms(&self) -> &[ObservedVm] {
        self.vms.as_deref().unwrap_or_default()
    }
}

/// Observes `targets` and every other known workspace, in the order of their ids.
///
/// # Errors
/// [`Error`] where the known workspaces cannot be listed.
pub(crate) fn everywhere(
    session: &Session,
    mut wanted: Vec<Target>,
) -> Result<Vec<ObservedWorkspace>, Error> {
    for known in targets(session, &WorkspaceSelection::Known)? {
        // A project's own config tells more of its workspace than the snapshot of its last `up`.
        if wanted.iter().all(|target| target.id != known.id) {
            wanted.push(known);
        }
    }
    wanted.sort_by(|a, b| a.id.cmp(&b.id));
    let vms = fan_out(&wanted, observe);
    Ok(wanted.into_iter().zip(vms).map(|(target, vms)| ObservedWorkspace { target, vms }).collect())
}

fn observe(target: &Target) -> Result<Vec<ObservedVm>, Error> {
    let backend = backend::observer(&target.layout);
    let known = block_on(backend.list_vms())?;
    fan_out(&known, |vm| observe_vm(&*backend, vm)).into_iter().collect()
}

fn observe_vm(backend: &dyn Observe, vm: &VmHandle) -> Result<ObservedVm, Error> {
    let status = block_on(backend.get_status(vm))?;
    let spec = block_on(backend.get_spec(vm))?;
    Ok(ObservedVm { name: vm.name.clone(), status, spec })
}
