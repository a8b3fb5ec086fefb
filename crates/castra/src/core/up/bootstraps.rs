//! The bootstraps of an `up`: whether they can be done, what a plan says of them, and doing them once
//! their guests are up. Tests: `tests/it/bootstrap.rs`.

use plasmavmc_engine::{Step, VmPlan};
use plasmavmc_host::{Layout, failpoint};
use plasmavmc_hypervisor::Observe;
use plasmavmc_types::{BootstrapMode, VmHandle};

use super::vm::definition;
use super::{UpOptions, WaitFor};
use crate::config::{Bootstrap, Project, VmConfig};
use crate::core::bootstrap::{self, BootstrapOutcome, Bootstraps, FirstStep};
use crate::core::error::Error;
use crate::core::output::Diagnostic;

/// Whether every bootstrap that is to run can be.
///
/// # Errors
/// [`Error::BootstrapInput`]; a VM that is named and not there, or has none.
pub(super) fn check(project: &Project, vms: &[&VmConfig], options: &UpOptions) -> Result<(), Error> {
    options.bootstrap.check(project)?;
    for vm in vms {
        if let Some((bootstrap, _)) = to_run(vm, options) {
            bootstrap::look(&vm.name, bootstrap)?;
        }
    }
    Ok(())
}

/// What a plan says of a VM's bootstrap.
pub(super) fn plan(
    observer: &dyn Observe,
    layout: &Layout,
    vm: &VmConfig,
    plan: &VmPlan,
    options: &UpOptions,
) -> Result<Option<Step>, Error> {
    let (Some(bootstrap), Some(mode)) = (&vm.bootstrap, options.bootstrap.mode_of(vm)) else {
        return Ok(None);
    };
    let known = definition(observer, &vm.name)?;
    let spec = known.filter(|_| !plan.steps.contains(&Step::CreateOverlay));
    bootstrap::plan(layout, &vm.name, bootstrap, mode, spec.as_ref())
        .map(|decision| Some(Step::Bootstrap(decision)))
}

/// Sets a guest up that is up, or tells why that is left out.
///
/// # Errors
/// As [`Bootstraps::run`].
pub(super) fn run(
    bootstraps: &Bootstraps<'_>,
    vm: &VmConfig,
    handle: &VmHandle,
    options: &UpOptions,
) -> Result<(Option<BootstrapOutcome>, Option<Diagnostic>), Error> {
    let Some((bootstrap, mode)) = to_run(vm, options) else { return Ok((None, None)) };
    if options.wait == WaitFor::None {
        let name = &vm.name;
        let note = Diagnostic::note(format!("VM `{name}` was not bootstrapped: its guest is not waited for"));
        return Ok((None, Some(note.with_hint(format!("`castra bootstrap {name}` does it")))));
    }
    let outcome = bootstraps.run(bootstrap, handle, mode, FirstStep::default(), options.timeout)?;
    failpoint::hit("bootstrap.done");
    Ok((Some(outcome), None))
}

/// The bootstrap of a VM and when it runs; none where there is none, or it is not to run.
fn to_run<'a>(vm: &'a VmConfig, options: &UpOptions) -> Option<(&'a Bootstrap, BootstrapMode)> {
    let mode = options.bootstrap.mode_of(vm).filter(|mode| *mode != BootstrapMode::Skip)?;
    Some((vm.bootstrap.as_ref()?, mode))
}
