//! `down`: stops VMs, each over the shutdown ladder, and discards what is disposable.
//!
//! Works from what `up` wrote down, so it needs neither the config nor its directory. An overlay is
//! deleted only after the VM's process is known to be gone, under the VM's lock. A VM that stopped
//! by itself is cleaned up the same way. Tests: `tests/it/down.rs`.

use plasmavmc_engine::{LadderPolicy, stop};
use plasmavmc_host::{FileLock, failpoint, overlay};
use plasmavmc_hypervisor::{EventSink, HypervisorBackend, block_on};
use plasmavmc_types::{
    ByteSize, DiskSpec, EventKind, Persistence, ShutdownOutcome, StopReason, VmHandle, VmName,
};
use schemars::JsonSchema;
use serde::Serialize;

use super::backend;
use super::clock::MonotonicClock;
use super::error::{Error, VmFailure};
use super::fan_out::fan_out;
use super::operation::{Operation, OperationKind};
use super::output::OperationOutput;
use super::project::WorkspaceId;
use super::recorder::{Observer, Recorder};
use super::selection::{Target, WorkspaceSelection, targets};
use super::session::Session;
use super::up::LOCK_BOUND;
use crate::config::Lifecycle;

/// What `down` is asked.
#[derive(Debug, Clone, Default)]
pub struct DownOptions {
    /// Which workspaces.
    pub selection: WorkspaceSelection,
    /// Which VMs; all of them where empty.
    pub vms: Vec<VmName>,
    /// Whether guests are asked first.
    pub patience: Patience,
}

/// How long a guest is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Patience {
    /// As the config says.
    #[default]
    Configured,
    /// Not at all: SIGTERM at once.
    None,
}

/// What `down` did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DownOutcome {
    /// Every workspace it looked at.
    pub workspaces: Vec<WorkspaceDown>,
}

/// What `down` did in one workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WorkspaceDown {
    /// The workspace.
    #[schemars(with = "String")]
    pub id: WorkspaceId,
    /// Its project.
    pub project: String,
    /// Its VMs.
    pub vms: Vec<VmDown>,
}

/// What became of one VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct VmDown {
    /// The VM.
    #[schemars(with = "String")]
    pub vm: VmName,
    /// How it ended.
    pub outcome: ShutdownOutcome,
    /// Why it is stopped.
    pub stop_reason: Option<StopReason>,
    /// Disk space its overlay took.
    pub reclaimed_bytes: u64,
}

/// Stops the VMs of the selected workspaces, all at once.
///
/// # Errors
/// [`Error`] where a workspace or VM is not known, before any is stopped; [`Error::Vms`] where some
/// VM could not be stopped, after all others were.
pub fn down(
    session: &Session,
    options: &DownOptions,
    observer: &Observer<'_>,
) -> Result<OperationOutput<DownOutcome>, Error> {
    let targets = targets(session, &options.selection)?;
    let events = Recorder::forwarding(observer);
    let shutdowns: Vec<_> = targets
        .iter()
        .map(|target| Shutdown {
            target,
            backend: backend::writer(&target.layout),
            sink: events.keeping(&target.layout),
            policy: policy(target, options.patience),
        })
        .collect();
    let jobs = jobs(&shutdowns, &options.vms)?;
    let results = fan_out(&jobs, |(shutdown, vm)| shutdown.run(vm));
    let mut workspaces: Vec<_> = targets
        .iter()
        .map(|target| WorkspaceDown {
            id: target.id.clone(),
            project: target.project_name(),
            vms: Vec::new(),
        })
        .collect();
    let mut failures = Vec::new();
    for ((shutdown, vm), result) in jobs.iter().zip(results) {
        match result {
            Ok(outcome) => {
                let of = workspaces.iter_mut().find(|workspace| workspace.id == shutdown.target.id);
                of.expect("each job is of a target").vms.push(outcome);
            }
            Err(error) => failures.push(VmFailure { vm: vm.name.clone(), error: Box::new(error) }),
        }
    }
    Error::from_failures(failures)?;
    Ok(OperationOutput::new(DownOutcome { workspaces }))
}

/// The VMs to stop, each with its workspace.
fn jobs<'a, 'b>(
    shutdowns: &'b [Shutdown<'a>],
    wanted: &[VmName],
) -> Result<Vec<(&'b Shutdown<'a>, VmHandle)>, Error> {
    let mut all = Vec::new();
    for shutdown in shutdowns {
        let vms = block_on(shutdown.backend.list_vms())?;
        all.extend(vms.into_iter().map(|vm| (shutdown, vm)));
    }
    if let Some(unknown) = wanted.iter().find(|name| all.iter().all(|(_, vm)| vm.name != **name)) {
        let known = all.into_iter().map(|(_, vm)| vm.name).collect();
        return Err(Error::UnknownVm { vm: unknown.to_string(), known });
    }
    all.retain(|(_, vm)| wanted.is_empty() || wanted.contains(&vm.name));
    Ok(all)
}

/// The waits of a workspace: its config's, else the last `up`'s, else the defaults.
fn policy(target: &Target, patience: Patience) -> LadderPolicy {
    let lifecycle = target.project.as_ref().map_or_else(Lifecycle::default, |project| project.lifecycle);
    let graceful = match patience {
        Patience::Configured => lifecycle.graceful_shutdown_wait,
        Patience::None => std::time::Duration::ZERO,
    };
    LadderPolicy { graceful, sigterm: lifecycle.sigterm_wait, sigkill: lifecycle.sigkill_wait }
}

/// One workspace's shutdown.
struct Shutdown<'a> {
    target: &'a Target,
    backend: Box<dyn HypervisorBackend>,
    sink: Recorder<'a>,
    policy: LadderPolicy,
}

impl Shutdown<'_> {
    fn run(&self, vm: &VmHandle) -> Result<VmDown, Error> {
        let layout = &self.target.layout;
        let _lock = FileLock::acquire(&layout.vm_lock(&vm.name), LOCK_BOUND)?;
        let _operation = Operation::begin(layout, &vm.name, OperationKind::ShuttingDown)?;
        failpoint::hit("down.marked");
        let before = block_on(self.backend.get_status(vm))?;
        let clock = MonotonicClock::new();
        let (outcome, reason) = block_on(stop(&*self.backend, vm, self.policy, &clock, &self.sink))?;
        failpoint::hit("down.stopped");
        if outcome == ShutdownOutcome::StillRunning {
            return Err(Error::WouldNotDie { vm: vm.name.clone(), pid: before.pid });
        }
        let reclaimed = self.discard(vm, reason.as_ref().filter(|_| !before.state.is_live()))?;
        failpoint::hit("down.discarded");
        Ok(VmDown {
            vm: vm.name.clone(),
            outcome,
            stop_reason: reason,
            reclaimed_bytes: reclaimed.as_bytes(),
        })
    }

    /// Discards the disposable disks of a stopped VM. `found` is why it had stopped before anyone
    /// asked.
    fn discard(&self, vm: &VmHandle, found: Option<&StopReason>) -> Result<ByteSize, Error> {
        let mut disks = block_on(self.backend.get_spec(vm))?.disks;
        let config = self.target.project.as_ref().and_then(|project| project.vm(vm.name.as_str()));
        for disk in &mut disks {
            // Whoever wrote `persistent = true` while it ran wants to keep what it wrote.
            if config.is_some_and(|config| config.persistence == Persistence::Persistent) {
                disk.persistence = Persistence::Persistent;
            }
        }
        discard_disposable(&vm.name, &disks, found, &self.sink)
    }
}

/// Discards the disposable disks of a VM that is known to be stopped, under its lock.
///
/// # Errors
/// [`Error::Host`] where a file cannot be removed.
pub(crate) fn discard_disposable(
    vm: &VmName,
    disks: &[DiskSpec],
    found: Option<&StopReason>,
    sink: &dyn EventSink,
) -> Result<ByteSize, Error> {
    let mut reclaimed = 0;
    for disk in disks.iter().filter(|disk| !disk.read_only && disk.path.exists()) {
        if let Some(reason) = found {
            sink.emit(Some(vm), EventKind::VmFoundStopped { reason: reason.clone() });
        }
        match disk.persistence {
            Persistence::Disposable => {
                let bytes = overlay::discard(&disk.path)?.as_bytes();
                reclaimed += bytes;
                let path = disk.path.clone();
                sink.emit(Some(vm), EventKind::EphemeralLayerDiscarded { path, reclaimed_bytes: bytes });
            }
            Persistence::Persistent => {
                let size_bytes = plasmavmc_host::disk::usage(&disk.path)?.as_bytes();
                let path = disk.path.clone();
                sink.emit(Some(vm), EventKind::PersistentLayerKept { path, size_bytes });
            }
        }
    }
    Ok(ByteSize::bytes(reclaimed))
}
