//! Bootstrap: sets a VM up by a script that runs in its guest, once and verified.
//!
//! ```text
//! up, castra bootstrap ─► look at script and payload ─► lock ─► run: steps, events, log
//! up --plan            ─► look, expect what the host noted ─► a decision, nothing done
//! ```
//!
//! Whether it runs is decided by `plasmavmc_engine`; what is recorded on the guest's disk has the last
//! word. Owns: the steps, the digest, staging, the log of each run. Never does: start or stop a VM; a
//! bootstrap that fails leaves its VM up. `docs/BOOTSTRAP.md` is the contract. Tests: in each file;
//! `tests/it/bootstrap.rs` on real guests.

mod capture;
mod channel;
mod choice;
mod digest;
mod door;
mod error;
mod guest;
mod inputs;
mod journal;
mod outcome;
mod record;
mod run;
mod ssh;
mod stage;
mod tell;

use std::path::PathBuf;
use std::time::Duration;

use plasmavmc_engine::{BootstrapDecision, Recorded, SkipReason, decide_bootstrap};
use plasmavmc_host::{FileLock, Layout};
use plasmavmc_hypervisor::{EventSink, Observe, block_on};
use plasmavmc_types::{BootstrapMode, BootstrapStep, VmHandle, VmName, VmSpec};
use schemars::JsonSchema;
use serde::Serialize;

pub use self::choice::{BootstrapChoice, BootstrapChoiceError};
pub use self::error::{BootstrapFailure, Ran, StepFault};
pub use self::guest::GuestFault;
pub use self::inputs::InputError;
pub use self::outcome::{BootstrapOutcome, Transport};
pub use self::tell::StepOutcome;
pub use plasmavmc_engine::FirstStep;

use self::channel::ChannelDoor;
use self::digest::{BaseIdentity, digest};
use self::door::Doors;
pub(crate) use self::error::none_of;
pub(crate) use self::inputs::Inputs;
pub(crate) use self::journal::logs_of;
pub(crate) use self::record::forget;
use self::run::Job;
use super::backend;
use super::broker::{Stay, ensure};
use super::error::{Error, VmFailure};
use super::fan_out::fan_out;
use super::output::OperationOutput;
use super::project::WorkspaceId;
use super::recorder::{Observer, Recorder};
use super::selection::{ProjectSelection, Target, project};
use super::session::Session;
use super::up::DEFAULT_TIMEOUT;
use crate::config::{Bootstrap, Channel, Project, VmConfig};

/// What `bootstrap` is asked.
#[derive(Debug, Clone, Default)]
pub struct BootstrapOptions {
    /// Which project.
    pub project: ProjectSelection,
    /// Which VMs; all that have a bootstrap where empty.
    pub vms: Vec<VmName>,
    /// The step to begin at.
    pub from: FirstStep,
}

/// What `bootstrap` did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BootstrapsOutcome {
    /// The workspace.
    #[schemars(with = "String")]
    pub workspace: WorkspaceId,
    /// Where its state is.
    pub root: PathBuf,
    /// The project's name.
    pub project: String,
    /// What was done to each VM, in the order of the config.
    pub vms: Vec<BootstrapOutcome>,
}

/// Bootstraps VMs that run, whatever was done on their disks before.
///
/// # Errors
/// [`Error`]; where one VM's bootstrap fails the others are still done.
pub fn bootstrap(
    session: &Session,
    options: &BootstrapOptions,
    observer: &Observer<'_>,
) -> Result<OperationOutput<BootstrapsOutcome>, Error> {
    let (project, _) = project(session, &options.project)?;
    let vms = selected(&project, &options.vms)?;
    for (vm, bootstrap) in &vms {
        look(&vm.name, bootstrap)?;
    }
    let target = Target::of_project(project.clone());
    let layout = target.layout.clone();
    let backend = backend::observer(&layout);
    let handles = vms.iter().map(|(vm, _)| running(&*backend, &vm.name)).collect::<Result<Vec<_>, _>>()?;
    let recorder = Recorder::new(&layout, observer);
    let diagnostics = ensure(session, &layout, Stay::WithVms).diagnostic().into_iter().collect();
    let work = Bootstraps { target: &target, backend: &*backend, sink: &recorder, channel: project.channel };
    let jobs: Vec<_> = vms.iter().zip(&handles).collect();
    let results = fan_out(&jobs, |((vm, bootstrap), handle)| {
        (&vm.name, work.run(bootstrap, handle, BootstrapMode::Always, options.from, DEFAULT_TIMEOUT))
    });
    let (mut outcomes, mut failures) = (Vec::new(), Vec::new());
    for (vm, result) in results {
        match result {
            Ok(outcome) => outcomes.push(outcome),
            Err(error) => failures.push(VmFailure { vm: vm.clone(), error: Box::new(error) }),
        }
    }
    Error::from_failures(failures)?;
    let value = BootstrapsOutcome {
        workspace: project.workspace_id.clone(),
        root: layout.root().to_owned(),
        project: project.name.to_string(),
        vms: outcomes,
    };
    Ok(OperationOutput { value, diagnostics })
}

/// The VMs a command is about that have a bootstrap, in the order of the config.
fn selected<'a>(project: &'a Project, names: &[VmName]) -> Result<Vec<(&'a VmConfig, &'a Bootstrap)>, Error> {
    for name in names {
        let Some(vm) = project.vms.iter().find(|vm| vm.name == *name) else {
            let known = project.vms.iter().map(|vm| vm.name.clone()).collect();
            return Err(Error::UnknownVm { vm: name.to_string(), known });
        };
        if vm.bootstrap.is_none() {
            return Err(Error::NoBootstrap { vm: Some(name.clone()) });
        }
    }
    let chosen = project.vms.iter().filter(|vm| names.is_empty() || names.contains(&vm.name));
    let vms: Vec<_> = chosen.filter_map(|vm| Some((vm, vm.bootstrap.as_ref()?))).collect();
    if vms.is_empty() { Err(Error::NoBootstrap { vm: None }) } else { Ok(vms) }
}

/// The VM of that name, which has to run.
fn running(backend: &dyn Observe, vm: &VmName) -> Result<VmHandle, Error> {
    let known = block_on(backend.list_vms())?.into_iter().find(|known| known.name == *vm);
    let handle = known.ok_or_else(|| Error::NotRunning { vm: vm.clone() })?;
    match block_on(backend.get_status(&handle))?.state.is_live() {
        true => Ok(handle),
        false => Err(Error::NotRunning { vm: vm.clone() }),
    }
}

/// Looks at the script and the payload of a VM's bootstrap.
///
/// # Errors
/// [`Error::BootstrapInput`].
pub(crate) fn look(vm: &VmName, bootstrap: &Bootstrap) -> Result<Inputs, Error> {
    Inputs::look(bootstrap).map_err(|source| Error::BootstrapInput { vm: vm.clone(), source })
}

/// What the bootstraps of one command share.
pub(crate) struct Bootstraps<'a> {
    pub(crate) target: &'a Target,
    pub(crate) backend: &'a dyn Observe,
    pub(crate) sink: &'a dyn EventSink,
    pub(crate) channel: Channel,
}

impl Bootstraps<'_> {
    /// Bootstraps a VM that runs, or finds that there is nothing to do. A broker is there; the guest may
    /// take `handshake` to answer, or to let ssh in.
    ///
    /// # Errors
    /// [`Error::Bootstrap`]; [`Error::Lock`] where another command is at the same VM for too long.
    pub(crate) fn run(
        &self,
        bootstrap: &Bootstrap,
        handle: &VmHandle,
        mode: BootstrapMode,
        first: FirstStep,
        handshake: Duration,
    ) -> Result<BootstrapOutcome, Error> {
        let vm = &handle.name;
        let inputs = look(vm, bootstrap)?;
        let (layout, sink) = (&self.target.layout, self.sink);
        let spec = block_on(self.backend.get_spec(handle))?;
        let base = identity(layout, &spec)
            .map_err(|source| Error::BootstrapInput { vm: handle.name.clone(), source })?;
        let bound = longest(handshake, bootstrap.timeout);
        let _lock = FileLock::acquire(&layout.bootstrap_lock(vm), bound)?;
        let job = Job { layout, vm, bootstrap, mode, first, handshake, inputs: &inputs, base, sink };
        let window_ms = self.channel.freshness_window_ms();
        let channel = ChannelDoor { layout, vm: handle, backend: self.backend, window_ms };
        let ssh = super::ssh::own_way(self.target, &spec);
        let mut doors = Doors { channel, ssh: ssh.as_ref(), found: None };
        run::run(&job, &mut doors).map_err(Error::Bootstrap)
    }
}

/// How long a bootstrap may take: the wait for its guest, and each step after it.
fn longest(handshake: Duration, timeout: Duration) -> Duration {
    let steps = BootstrapStep::ALL.len() - 1;
    handshake.saturating_add(timeout.saturating_mul(u32::try_from(steps).unwrap_or(u32::MAX)))
}

/// What lies under the disk of a VM that runs.
fn identity(layout: &Layout, spec: &VmSpec) -> Result<BaseIdentity, InputError> {
    let disk = spec.disks.iter().find(|disk| !disk.read_only);
    match disk.map(|disk| disk.backing.as_ref().map_or(disk.path.as_path(), |backing| &backing.path)) {
        Some(path) => BaseIdentity::of(path, &layout.images()),
        None => Ok(BaseIdentity::none()),
    }
}

/// What `up` would do about a VM's bootstrap, as far as that can be told without its guest. `spec` is
/// what the VM was started with, where its disk is still the same.
///
/// # Errors
/// [`Error::BootstrapInput`].
pub(crate) fn plan(
    layout: &Layout,
    vm: &VmName,
    bootstrap: &Bootstrap,
    mode: BootstrapMode,
    spec: Option<&VmSpec>,
) -> Result<BootstrapDecision, Error> {
    if mode == BootstrapMode::Skip {
        return Ok(BootstrapDecision::Skip(SkipReason::Mode));
    }
    let fault = |source| Error::BootstrapInput { vm: vm.clone(), source };
    let inputs = look(vm, bootstrap)?;
    let (base, recorded) = match spec {
        Some(spec) => (identity(layout, spec).map_err(fault)?, record::expected(layout, vm)),
        None => (BaseIdentity::none(), Recorded::Nothing),
    };
    Ok(decide_bootstrap(mode, &digest(bootstrap, &inputs, &base).map_err(fault)?, &recorded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_bootstrap_waits_as_long_as_the_first_may_take() {
        let seconds = Duration::from_secs;
        // The wait, connect, transfer, apply, verify.
        assert_eq!(longest(seconds(300), seconds(60)), seconds(300 + 4 * 60));
        assert_eq!(longest(Duration::MAX, seconds(1)), Duration::MAX);
    }
}
