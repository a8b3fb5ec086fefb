//! The VMs of workspaces as they are now: what `ports`, the preflight and `doctor` look at.
//!
//! Reads only, through the reading half of the backend. A workspace or a VM that cannot be read is
//! part of the answer, so that it never hides the others. Tests: `tests/it/ports.rs`,
//! `tests/it/doctor.rs`, `tests/it/records.rs`.

use plasmavmc_hypervisor::{Observe, block_on};
use plasmavmc_types::{DiskSpec, VmHandle, VmName, VmSpec, VmStatus};

use super::backend;
use super::error::Error;
use super::fan_out::fan_out;
use super::output::Diagnostic;
use super::selection::{Target, WorkspaceSelection, targets};
use super::session::Session;

/// One VM the backend knows.
#[derive(Debug)]
pub(crate) struct ObservedVm {
    /// Its name.
    pub(crate) name: VmName,
    /// What it is now; none where that cannot be told.
    pub(crate) status: Option<VmStatus>,
    /// What it was last started as; none where that cannot be told.
    pub(crate) spec: Option<VmSpec>,
    /// Why something cannot be told.
    pub(crate) fault: Option<plasmavmc_hypervisor::Error>,
}

impl ObservedVm {
    /// Looks at a VM.
    pub(crate) fn look(backend: &dyn Observe, vm: &VmHandle) -> Self {
        let (status, spec) = (block_on(backend.get_status(vm)), block_on(backend.get_spec(vm)));
        let name = vm.name.clone();
        let (status, no_status) = split(status);
        let (spec, no_spec) = split(spec);
        Self { name, status, spec, fault: no_status.or(no_spec) }
    }

    /// Whether a process runs it, or may: what cannot be told counts as live.
    pub(crate) fn may_live(&self) -> bool {
        self.status.as_ref().is_none_or(|status| status.state.is_live())
    }

    /// What a person should know of it: that something cannot be told, or a disk is gone.
    pub(crate) fn warnings(&self, target: &Target) -> Vec<Diagnostic> {
        let about = format!("workspace `{}`", target.id);
        let fault = self.fault.as_ref().map(|fault| Diagnostic::failure(&about, fault));
        fault.into_iter().chain(self.lost_disk()).collect()
    }

    /// That a disk was deleted under it, which its QEMU goes on with.
    fn lost_disk(&self) -> Option<Diagnostic> {
        self.status.as_ref().filter(|status| status.state.is_live())?;
        lost_disk(&self.name, &self.spec.as_ref()?.disks)
    }
}

/// That a disk of a VM that lives is not where it was.
pub(crate) fn lost_disk(vm: &VmName, disks: &[DiskSpec]) -> Option<Diagnostic> {
    let is_gone = |disk: &&DiskSpec| !disk.read_only && matches!(disk.path.try_exists(), Ok(false));
    let lost = disks.iter().find(is_gone)?.path.display();
    let text = format!("the disk `{lost}` was deleted under VM `{vm}`: what is on it is lost when it stops");
    let hint = format!("save what matters first: `castra cp {vm}:<path> .`; then `castra down {vm}`");
    Some(Diagnostic::warning(text).with_hint(hint))
}

fn split<T, E>(result: Result<T, E>) -> (Option<T>, Option<E>) {
    match result {
        Ok(value) => (Some(value), None),
        Err(error) => (None, Some(error)),
    }
}

/// One workspace and the VMs its backend knows.
#[derive(Debug)]
pub(crate) struct ObservedWorkspace {
    /// The workspace.
    pub(crate) target: Target,
    /// Its VMs, or why they cannot be listed.
    pub(crate) vms: Result<Vec<ObservedVm>, Error>,
}

impl ObservedWorkspace {
    /// Its VMs; none where they cannot be listed.
    pub(crate) fn vms(&self) -> &[ObservedVm] {
        self.vms.as_deref().unwrap_or_default()
    }

    /// What a person should know of VMs of which something cannot be told.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = Diagnostic> {
        self.vms().iter().flat_map(|vm| vm.warnings(&self.target))
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
    for known in targets(session, &WorkspaceSelection::Known)?.targets {
        // A project's own config tells more of its workspace than the snapshot of its last `up`.
        if !wanted.iter().any(|target| target.is_same_place(&known)) {
            wanted.push(known);
        }
    }
    wanted.sort_by(|a, b| a.id.cmp(&b.id));
    let vms = fan_out(&wanted, observe);
    Ok(wanted.into_iter().zip(vms).map(|(target, vms)| ObservedWorkspace { target, vms }).collect())
}

pub(crate) fn observe(target: &Target) -> Result<Vec<ObservedVm>, Error> {
    let backend = backend::observer(&target.layout);
    let known = block_on(backend.list_vms())?;
    Ok(fan_out(&known, |vm| ObservedVm::look(&*backend, vm)))
}
