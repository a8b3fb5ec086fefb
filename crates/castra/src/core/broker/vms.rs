//! What the broker sees of a workspace's VMs, and what it does when one ends by itself.
//!
//! A guest that powered itself off has its disposable disk discarded, as `down` would have: under the
//! VM's lock, and only where no command holds it. Whatever else ended a VM is left for a person to
//! look into. A guest that booted again by itself gets its folders back. One that resets itself again
//! and again is not told of each time: the log would have no end.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread::Scope;

use plasmavmc_guest::broker::{LiveVm, PortNews, Vms};
use plasmavmc_guest::clock::boot_ms;
use plasmavmc_guest::meter::Bucket;
use plasmavmc_host::{FileLock, Layout};
use plasmavmc_hypervisor::{EventSink, VmEvent, block_on};
use plasmavmc_kvm::{JournalNews, JournalWatch, PortChange, live_processes};
use plasmavmc_types::{EventKind, HandshakeOutcome, Persistence, StopReason, VmName};

use crate::core::backend;
use crate::core::down::discard_disposable;
use crate::core::error::Error;
use crate::core::mounts::Remounts;
use crate::core::recorder::Recorder;
use crate::core::selection::{Discovery, ProjectSelection, Synthesis, project};
use crate::core::session::Session;
use crate::core::workspace::WorkspaceRecord;

/// Resets and faults of a VM's disks that are told of at once, and the seconds until one more is.
const TOLD: (u32, u32) = (20, 30);

/// The VMs of a workspace.
pub(super) struct WorkspaceVms<'scope, 'env> {
    pub(super) session: &'env Session,
    pub(super) layout: Layout,
    pub(super) sink: &'env Recorder<'env>,
    pub(super) journals: JournalWatch,
    pub(super) remounts: &'env Remounts<'env>,
    /// Where their threads live.
    pub(super) scope: &'scope Scope<'scope, 'env>,
    /// What may still be told of what QEMU reports of a VM, in seconds.
    pub(super) allowed: BTreeMap<VmName, Bucket>,
}

impl WorkspaceVms<'_, '_> {
    /// Tells what QEMU reports of a VM, where that is not too often.
    fn report(&mut self, vm: &VmName, kind: EventKind) {
        let now = boot_ms();
        let (burst, seconds) = TOLD;
        let full = || Bucket::new(burst * seconds, 1, now);
        if self.allowed.entry(vm.clone()).or_insert_with(full).take(seconds.into(), now) {
            self.sink.emit(Some(vm), kind);
        }
    }

    /// Discards what the guest wrote, where it powered itself off and nobody is at work on it.
    fn settle(&self, vm: &VmName) -> Result<(), Error> {
        let Some(_lock) = FileLock::try_acquire(&self.layout.vm_lock(vm))? else { return Ok(()) };
        let backend = backend::writer(&self.layout);
        let known = block_on(backend.list_vms())?;
        let Some(handle) = known.into_iter().find(|handle| handle.name == *vm) else { return Ok(()) };
        // Only looked at: what is left of a VM that crashed is evidence.
        if block_on(backend.get_status(&handle))?.stop_reason != Some(StopReason::GuestPoweroff) {
            return Ok(());
        }
        let Some(reason) = block_on(backend.wait_stopped(&handle, std::time::Duration::ZERO))? else {
            return Ok(());
        };
        let Some(keeps) = self.keeps(vm) else { return Ok(()) };
        let mut disks = block_on(backend.get_spec(&handle))?.disks;
        for disk in disks.iter_mut().filter(|_| keeps) {
            disk.persistence = Persistence::Persistent;
        }
        discard_disposable(self.layout.root(), vm, &disks, Some(&reason), self.sink)?;
        Ok(())
    }

    /// Whether the config keeps the VM's disk now: whoever wrote `persistent = true` while it ran wants
    /// to keep what it wrote. None where that cannot be told: the record or the config may be there and
    /// cannot be read.
    fn keeps(&self, vm: &VmName) -> Option<bool> {
        let record = WorkspaceRecord::read(&self.layout).ok()?;
        let Some(record) = record else { return Some(false) };
        let config = record.workspace.config;
        if !config.try_exists().ok()? {
            return Some(false);
        }
        let selection =
            ProjectSelection { config: Some(config), discovery: Discovery::Skip, synthesis: Synthesis::Deny };
        let (project, _) = project(self.session, &selection).ok()?;
        Some(project.vm(vm.as_str()).is_some_and(|vm| vm.persistence == Persistence::Persistent))
    }
}

impl Vms for WorkspaceVms<'_, '_> {
    fn live(&mut self) -> Vec<LiveVm> {
        let live = live_processes(&self.layout).unwrap_or_default();
        for vm in &live {
            // Without its journal a VM is served all the same, only later.
            let _ = self.journals.follow(&vm.vm, vm.token);
        }
        live.into_iter().map(|live| LiveVm { vm: live.vm, run: live.token, process: live.process }).collect()
    }

    fn watch(&self) -> Option<BorrowedFd<'_>> {
        Some(self.journals.as_fd())
    }

    fn news(&mut self) -> Vec<(VmName, PortNews)> {
        let mut ports = Vec::new();
        for (vm, news) in self.journals.news() {
            match news {
                JournalNews::AgentPort(PortChange::Opened) => ports.push((vm, PortNews::Opened)),
                JournalNews::AgentPort(PortChange::Closed) => ports.push((vm, PortNews::Closed)),
                JournalNews::Vm(VmEvent::Reset) => {
                    self.report(&vm, EventKind::GuestReset);
                    ports.push((vm, PortNews::Closed));
                }
                JournalNews::Vm(VmEvent::GuestPanicked) => {
                    self.sink.emit(Some(&vm), EventKind::GuestPanicked);
                }
                JournalNews::Vm(VmEvent::BlockError { device, reason }) => {
                    self.report(&vm, EventKind::BlockError { device, reason });
                }
                JournalNews::Vm(_) => {}
            }
        }
        ports
    }

    fn stopped(&mut self, vm: &VmName) {
        self.journals.forget(vm);
        self.allowed.remove(vm);
        // Whatever cannot be done now, the next `up` or `down` does.
        let _ = self.settle(vm);
    }

    fn tell(&mut self, vm: Option<&VmName>, kind: EventKind) {
        let greeted = matches!(kind, EventKind::GuestHandshake { outcome: HandshakeOutcome::Ok, .. });
        self.sink.emit(vm, kind);
        if let Some(vm) = vm.filter(|_| greeted) {
            self.remounts.greeted(self.scope, vm);
        }
    }
}
