//! `up` for one VM: lock, observe, plan, drive the steps, unlock, wait.

use std::fs;
use std::path::Path;
use std::time::{Instant, SystemTime};

use plasmavmc_engine::{
    BootstrapDecision, DesiredVm, ImageState, ObservedVm, OverlayState, Step, VmPlan, plan_up,
};
use plasmavmc_guest::clock::boot_ms;
use plasmavmc_host::{FileLock, Layout, failpoint, overlay};
use plasmavmc_hypervisor::{EventSink, Observe, block_on};
use plasmavmc_types::{
    EventKind, Persistence, PortForward, ShareSpec, Stage, VmHandle, VmId, VmName, VmSpec, VmState, VmStatus,
};

use super::base::BaseImages;
use super::drift::drifted;
use super::hold::Hold;
use super::served::Served;
use super::wait::Wait;
use super::{Change, StageTime, UpOptions, VmOutcome, WaitFor, bootstraps, records, seed, spec};
use crate::config::{Lifecycle, Project, VmConfig};
use crate::core::backend::Launcher;
use crate::core::bootstrap::{self, BootstrapOutcome, Bootstraps};
use crate::core::down::{discard_disposable, lock_bound};
use crate::core::error::Error;
use crate::core::mounts;
use crate::core::operation::{Operation, OperationKind, in_progress, state_with};
use crate::core::output::Diagnostic;
use crate::core::preflight::{Blocker, Blockers};
use crate::core::project::WorkspaceId;
use crate::core::ready::{RunTiming, note, phases};
use crate::core::session::Session;

/// What every VM of one `up` shares.
pub(super) struct VmUp<'a> {
    pub(super) session: &'a Session,
    pub(super) project: &'a Project,
    pub(super) workspace: &'a WorkspaceId,
    pub(super) lifecycle: &'a Lifecycle,
    pub(super) layout: &'a Layout,
    pub(super) launcher: &'a Launcher<'a>,
    pub(super) images: &'a BaseImages,
    pub(super) sink: &'a dyn EventSink,
    pub(super) options: &'a UpOptions,
    pub(super) hold: &'a Hold,
    pub(super) broker: Served<'a>,
    pub(super) bootstraps: Bootstraps<'a>,
}

/// A VM that runs, before its guest was waited for.
struct Launched {
    handle: VmHandle,
    status: VmStatus,
    change: Change,
    at: Instant,
    console_before: u64,
    notes: Vec<Diagnostic>,
    shares: Vec<ShareSpec>,
    /// What leads into it now: the config's may be for its next run.
    forwards: Vec<PortForward>,
}

impl VmUp<'_> {
    /// Brings one VM up.
    pub(super) fn run(&self, vm: &VmConfig) -> Result<(VmOutcome, Vec<Diagnostic>), Error> {
        let (operation, mut launched) = self.hold.launch(|| {
            let _lock = FileLock::acquire(&self.layout.vm_lock(&vm.name), lock_bound(self.lifecycle))?;
            let operation = Operation::begin(self.layout, &vm.name, OperationKind::Starting)?;
            failpoint::hit("up.locked");
            Ok::<_, Error>((operation, self.launch(vm)?))
        })?;
        failpoint::hit("up.launched");
        self.broker.another();
        let mut wait = Wait {
            backend: &*self.launcher.backend,
            vm: &launched.handle,
            layout: self.layout,
            sink: self.sink,
            serial_log: &self.layout.serial_log(&vm.name),
            console_before: launched.console_before,
            launched: launched.at,
            launched_ms: (launched.change == Change::Started).then(|| since_boot(launched.at)),
            window_ms: self.bootstraps.channel.freshness_window_ms(),
            timeout: self.options.timeout,
            timeline: Vec::new(),
        };
        wait.reached(Stage::Machine);
        wait.run(self.options.wait, &launched.forwards)?;
        drop(operation);
        failpoint::hit("up.ready");
        let (bootstrap, note) = self.set_up(vm, &launched, &mut wait)?;
        let ready_ms = wait.elapsed_ms();
        if launched.change == Change::Started {
            self.note_timing(vm, &launched, &wait.timeline, ready_ms);
        }
        self.sink.emit(Some(&vm.name), EventKind::VmReady { elapsed_ms: ready_ms });
        launched.notes.extend(note);
        let outcome = VmOutcome {
            vm: vm.name.clone(),
            change: launched.change,
            state: launched.status.state.summary(),
            pid: launched.status.pid,
            accelerator: launched.status.accelerator,
            forwards: launched.forwards.iter().map(Into::into).collect(),
            phases: match launched.change {
                Change::Started => phases(&wait.timeline),
                Change::AlreadyRunning => Vec::new(),
            },
            timeline: wait.timeline,
            ready_ms,
            bootstrap,
        };
        Ok((outcome, launched.notes))
    }

    /// Does what is left to do in a guest that is up: its folders, then its bootstrap.
    fn set_up(
        &self,
        vm: &VmConfig,
        launched: &Launched,
        wait: &mut Wait<'_>,
    ) -> Result<(Option<BootstrapOutcome>, Option<Diagnostic>), Error> {
        if self.options.wait != WaitFor::None && !launched.shares.is_empty() {
            let deadline = launched.at + self.options.timeout;
            mounts::mount_all(self.layout, &vm.name, &launched.shares, deadline, self.sink)?;
            wait.look();
            wait.reached(Stage::Mounts);
        }
        let done = bootstraps::run(&self.bootstraps, vm, &launched.handle, self.options)?;
        if let Some(outcome) = &done.0 {
            wait.look();
            if matches!(outcome.decision, BootstrapDecision::Run(_)) {
                wait.reached(Stage::Bootstrap);
            }
        }
        Ok(done)
    }

    /// Keeps note of how long it took. Best effort: a full disk is no reason to call a VM that is up
    /// failed.
    fn note_timing(&self, vm: &VmConfig, launched: &Launched, stages: &[StageTime], ready_ms: u64) {
        let Some(accelerator) = launched.status.accelerator else { return };
        let run = RunTiming {
            launched_at: (SystemTime::now() - launched.at.elapsed()).into(),
            accelerator,
            waited_for: self.options.wait,
            ready_ms,
            stages: stages.to_vec(),
        };
        let _ = note(self.layout, &vm.name, run);
    }

    /// Drives the plan up to the point where the VM runs. The VM's lock is held.
    fn launch(&self, vm: &VmConfig) -> Result<Launched, Error> {
        let observed = observe(&*self.launcher.backend, self.layout, vm, ImageState::Ready)?;
        let refused = |source| Error::Refused { vm: vm.name.clone(), source };
        let plan = plan_up(&desired(vm), observed).map_err(refused)?;
        let known = definition(&*self.launcher.backend, &vm.name)?;
        refuse_loss(vm, &plan, known.as_ref())?;
        let id = known.as_ref().map_or_else(VmId::generate, |spec| spec.id);
        let base = self.images.base(vm);
        let shares = self.shares(vm, known.as_ref(), &plan)?;
        let wanted = spec::spec(self.workspace, vm, id, base, &self.layout.seed(&vm.name), shares);
        let handle = VmHandle { id, name: vm.name.clone() };
        let serial_log = self.layout.serial_log(&vm.name);
        let mut launched = Launched {
            handle: handle.clone(),
            status: VmStatus::NEVER_RAN,
            change: Change::AlreadyRunning,
            at: Instant::now(),
            console_before: length(&serial_log),
            notes: Vec::new(),
            shares: wanted.shares.clone(),
            forwards: vm.port_forwards.clone(),
        };
        for step in &plan.steps {
            match step {
                Step::LeaveRunning => {
                    launched.status = block_on(self.launcher.backend.start_vm(&handle))?;
                    launched.console_before = launched.status.console_start.unwrap_or(0);
                    launched.shares = known.as_ref().map(|spec| spec.shares.clone()).unwrap_or_default();
                    launched.forwards = known.iter().flat_map(VmSpec::port_forwards).cloned().collect();
                    launched.notes.extend(drifted(known.as_ref(), &wanted, self.workspace));
                    let pid = launched.status.pid.unwrap_or_default();
                    self.sink.emit(Some(&vm.name), EventKind::VmAlreadyRunning { pid });
                }
                Step::DiscardOverlay => self.discard(vm, known.as_ref())?,
                Step::KeepOverlay => {
                    // First, so that a record never names an image its disk does not lie on.
                    overlay::verify(&vm.overlay, base)?;
                    self.define(&wanted)?;
                    self.overlay_event(vm, false);
                }
                Step::CreateOverlay => {
                    self.define(&wanted)?;
                    // What was done on the disk before this one says nothing of this one.
                    bootstrap::forget(self.layout, &vm.name)?;
                    overlay::prepare(&vm.overlay, base, None, overlay::Existing::Refuse)?;
                    failpoint::hit("up.overlay-created");
                    self.overlay_event(vm, true);
                }
                Step::WriteSeed => {
                    let path = seed::write(self.session, self.workspace, self.layout, vm, &wanted)?;
                    failpoint::hit("up.seed-written");
                    self.sink.emit(Some(&vm.name), EventKind::SeedPrepared { path });
                }
                Step::StartVm => {
                    launched.at = Instant::now();
                    self.tell_accelerator(vm)?;
                    launched.status = self.start(vm, &handle)?;
                    // Shorter now: it had grown too long and was put aside.
                    if length(&serial_log) < launched.console_before {
                        launched.console_before = 0;
                    }
                    launched.change = Change::Started;
                }
                // Done before, or once the VM's lock is given back.
                Step::FetchImage { .. } | Step::AwaitReady | Step::Bootstrap(_) => {}
            }
        }
        Ok(launched)
    }

    /// The folders the VM is given; those it has, where it runs already and they are not there any more.
    fn shares(&self, vm: &VmConfig, known: Option<&VmSpec>, plan: &VmPlan) -> Result<Vec<ShareSpec>, Error> {
        match mounts::shares(self.session, self.project, vm) {
            Ok(shares) => Ok(shares),
            Err(_) if !plan.steps.contains(&Step::StartVm) => {
                Ok(known.map(|spec| spec.shares.clone()).unwrap_or_default())
            }
            Err(errors) => {
                let blocker = |source| Blocker::Mount { vm: vm.name.clone(), source };
                Err(Blockers { blockers: errors.into_iter().map(blocker).collect() }.into())
            }
        }
    }

    /// Writes down what the VM is, before its overlay is made: an overlay that is found later
    /// without its VM's record is nobody's, and is not touched.
    fn define(&self, spec: &VmSpec) -> Result<(), Error> {
        block_on(self.launcher.backend.create_vm(spec))?;
        failpoint::hit("up.defined");
        Ok(())
    }

    /// Says which accelerator is tried first, and why; fails where none can run the VM.
    fn tell_accelerator(&self, vm: &VmConfig) -> Result<(), Error> {
        let refused = |source| Error::Accelerator { vm: vm.name.clone(), source };
        let choices = self.launcher.verdict.choose(vm.accelerator).map_err(refused)?;
        if let Some(first) = choices.first() {
            let (accelerator, reason) = (first.accelerator, first.reason.clone());
            self.sink.emit(Some(&vm.name), EventKind::AcceleratorChosen { accelerator, reason });
        }
        Ok(())
    }

    fn start(&self, vm: &VmConfig, handle: &VmHandle) -> Result<VmStatus, Error> {
        block_on(self.launcher.backend.start_vm(handle)).map_err(|error| {
            // A VM that never ran has written nothing worth keeping.
            let live = block_on(self.launcher.backend.get_status(handle)).is_ok_and(|s| s.state.is_live());
            if !live && vm.persistence == Persistence::Disposable {
                let _ = overlay::discard(&vm.overlay);
            }
            match error {
                plasmavmc_hypervisor::Error::PortInUse { vm, forward } => {
                    let holder = crate::core::ports::holder(self.session, &forward);
                    Error::PortHeld { vm, forward, holder }
                }
                other => other.into(),
            }
        })
    }

    /// Discards what a stopped run left, as `down` would have.
    fn discard(&self, vm: &VmConfig, known: Option<&VmSpec>) -> Result<(), Error> {
        if !is_ours(self.layout, vm, known) {
            return Err(Error::ForeignOverlay { vm: vm.name.clone(), path: vm.overlay.clone() });
        }
        let handle = known.map(|spec| VmHandle { id: spec.id, name: spec.name.clone() });
        let found = match &handle {
            Some(handle) => block_on(self.launcher.backend.get_status(handle))?.stop_reason,
            None => None,
        };
        let disks = known.map(|spec| spec.disks.as_slice()).unwrap_or_default();
        discard_disposable(self.layout.root(), &vm.name, disks, found.as_ref(), self.sink)?;
        if vm.overlay.exists() {
            let reclaimed_bytes = overlay::discard(&vm.overlay)?.as_bytes();
            let path = vm.overlay.clone();
            self.sink.emit(Some(&vm.name), EventKind::EphemeralLayerDiscarded { path, reclaimed_bytes });
        }
        failpoint::hit("up.old-overlay-discarded");
        Ok(())
    }

    fn overlay_event(&self, vm: &VmConfig, created: bool) {
        let base = self.images.base(vm).file().path.clone();
        let event = EventKind::OverlayPrepared { path: vm.overlay.clone(), base, created };
        self.sink.emit(Some(&vm.name), event);
    }
}

/// A moment that has passed, in milliseconds since the host's boot.
fn since_boot(moment: Instant) -> u64 {
    let passed = u64::try_from(moment.elapsed().as_millis()).unwrap_or(u64::MAX);
    boot_ms().saturating_sub(passed)
}

/// What is wanted of a VM, for the plan.
pub(super) fn desired(vm: &VmConfig) -> DesiredVm {
    DesiredVm { name: vm.name.clone(), image: vm.base_image.to_string(), persistence: vm.persistence }
}

/// What is there of a VM, for the plan.
pub(super) fn observe(
    backend: &dyn Observe,
    layout: &Layout,
    vm: &VmConfig,
    image: ImageState,
) -> Result<ObservedVm, Error> {
    let overlay = if vm.overlay.exists() { OverlayState::Present } else { OverlayState::Absent };
    let state = match definition(backend, &vm.name)? {
        None => VmState::Stopped,
        Some(spec) => {
            let handle = VmHandle { id: spec.id, name: spec.name };
            let observed = block_on(backend.get_status(&handle))?.state;
            // An `up` that waits for the guest is no reason to refuse another.
            match in_progress(layout, &vm.name) {
                Some(OperationKind::Starting) | None => observed,
                stopping => state_with(observed, stopping),
            }
        }
    };
    Ok(ObservedVm { state, image, overlay })
}

/// What a VM was defined as, if it ever was.
pub(super) fn definition(backend: &dyn Observe, name: &VmName) -> Result<Option<VmSpec>, Error> {
    let known = block_on(backend.list_vms())?;
    match known.into_iter().find(|vm| vm.name == *name) {
        Some(vm) => Ok(Some(block_on(backend.get_spec(&vm))?)),
        None => Ok(None),
    }
}

/// Fails where a plan discards a disk that its VM's record says is to be kept: whoever took
/// `persistent = true` out of the config did not ask for what was written to be deleted.
///
/// # Errors
/// [`Error::PersistentDisk`].
pub(super) fn refuse_loss(vm: &VmConfig, plan: &VmPlan, known: Option<&VmSpec>) -> Result<(), Error> {
    let disks = known.map(|spec| spec.disks.as_slice()).unwrap_or_default();
    if plan.steps.contains(&Step::DiscardOverlay) && records::keeps(disks, &vm.overlay) {
        return Err(Error::PersistentDisk { vm: vm.name.clone(), path: vm.overlay.clone() });
    }
    Ok(())
}

/// Does the same for every VM before anything was made. Reads only; what else is wrong with a VM is told
/// when its turn comes, and keeps no other from starting.
///
/// # Errors
/// [`Error::PersistentDisk`].
pub(super) fn refuse_losses(backend: &dyn Observe, layout: &Layout, vms: &[&VmConfig]) -> Result<(), Error> {
    for vm in vms.iter().filter(|vm| vm.persistence == Persistence::Disposable && vm.overlay.exists()) {
        let observed = observe(backend, layout, vm, ImageState::Ready);
        let plan = observed.ok().and_then(|observed| plan_up(&desired(vm), observed).ok());
        if let (Some(plan), Ok(known)) = (plan, definition(backend, &vm.name)) {
            refuse_loss(vm, &plan, known.as_ref())?;
        }
    }
    Ok(())
}

/// Whether the file at the overlay's path may be discarded: the VM had it as its disk, or it lies
/// in the workspace, where everything is Castra's.
fn is_ours(layout: &Layout, vm: &VmConfig, known: Option<&VmSpec>) -> bool {
    vm.overlay.starts_with(layout.root())
        || known.is_some_and(|spec| spec.disks.iter().any(|disk| !disk.read_only && disk.path == vm.overlay))
            && (!vm.overlay.exists() || overlay::is_own(&vm.overlay).unwrap_or(false))
}

/// How long a file is; 0 where there is none.
fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |meta| meta.len())
}
