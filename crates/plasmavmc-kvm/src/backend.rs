//! [`KvmBackend`]: the port, on QEMU. One file a verb does the work; this one only names them.
//!
//! ```text
//! create ──► record ── start ──► QEMU (holds the live lock, its sockets, its journal)
//!                        ▲          │ ends, however
//!                        └── settle ◄┘ by whoever writes next; reading never settles
//! ```
//!
//! No resident process: QEMU outlives the command that started it, and every later command finds it
//! by its identity. Tests: `tests/it/`, the conformance suite among them.

use std::path::PathBuf;
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use plasmavmc_host::Layout;
use plasmavmc_hypervisor::{
    BackendCapabilities, Error, EventSink, HypervisorBackend, Observe, StopMethod, VmEvents,
};
use plasmavmc_types::{
    Accelerator, BackendName, Firmware, StopReason, VmHandle, VmId, VmName, VmSpec, VmStatus,
};

use crate::locate::{Live, locate};
use crate::offer::Offer;
use crate::record::{self, Record};
use crate::{fault, firmware};

/// What the backend is given.
#[derive(Debug, Clone)]
pub struct KvmConfig {
    /// Where it keeps its files.
    pub layout: Layout,
    /// QEMU's program, an absolute path.
    pub qemu: PathBuf,
    /// Accelerators that have run guest code on this host, fastest first: what `auto` chooses from.
    /// Where it is empty, TCG.
    pub accelerators: Vec<Accelerator>,
}

/// QEMU, with KVM, HVF or TCG as its accelerator.
pub struct KvmBackend<'s> {
    pub(crate) config: KvmConfig,
    pub(crate) sink: Arc<dyn EventSink + Send + Sync + 's>,
    /// QEMUs this process has started: where it lives on, it has to reap them.
    pub(crate) children: Mutex<Vec<Child>>,
}

impl<'s> KvmBackend<'s> {
    /// The backend's name.
    pub const NAME: BackendName = BackendName::new("kvm");

    /// A backend for the VMs of one workspace. Events of its launches go to `sink`.
    pub fn new(config: KvmConfig, sink: Arc<dyn EventSink + Send + Sync + 's>) -> Self {
        Self { config, sink, children: Mutex::default() }
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.config.layout
    }

    /// A VM's record, or [`Error::UnknownVm`].
    pub(crate) fn record(&self, vm: &VmName) -> Result<Record, Error> {
        let record = Record::load(self.layout(), vm).map_err(fault::record(vm))?;
        record.ok_or_else(|| Error::UnknownVm { vm: vm.clone() })
    }

    /// The process that runs a VM, by all that is known of it.
    pub(crate) fn locate(&self, vm: &VmName, record: Option<&Record>) -> Result<Option<Live>, Error> {
        locate(self.layout(), vm, record).map_err(fault::during(vm, "look for its process"))
    }

    /// A VM's record and its live process. A process is found although the record cannot be read:
    /// nothing that runs is ever out of sight.
    ///
    /// # Errors
    /// [`Error::UnknownVm`] where there is neither.
    pub(crate) fn find(&self, vm: &VmName) -> Result<(Option<Record>, Option<Live>), Error> {
        self.reap();
        let record = self.record(vm);
        let live = self.locate(vm, record.as_ref().ok())?;
        match (record, live) {
            (record, Some(live)) => Ok((record.ok(), Some(live))),
            (record, None) => Ok((Some(record?), None)),
        }
    }

    /// Reaps the children that have ended, so that no zombie stays while this process lives.
    pub(crate) fn reap(&self) {
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }

    pub(crate) fn offer(&self) -> Result<Offer, Error> {
        Offer::read(&self.config.qemu, &self.layout().qemu_offer()).map_err(fault::offer)
    }
}

#[async_trait]
impl Observe for KvmBackend<'_> {
    fn name(&self) -> BackendName {
        Self::NAME
    }

    async fn capabilities(&self) -> Result<BackendCapabilities, Error> {
        let offer = self.offer()?;
        let uefi = firmware::installed().map(|_| Firmware::Uefi);
        Ok(BackendCapabilities {
            version: offer.version.to_string(),
            accelerators: self.config.accelerators.clone(),
            machines: offer.machines(),
            firmware: std::iter::once(Firmware::Bios).chain(uefi).collect(),
            pause: true,
            detached: true,
        })
    }

    async fn get_status(&self, vm: &VmHandle) -> Result<VmStatus, Error> {
        self.status(&vm.name)
    }

    async fn get_spec(&self, vm: &VmHandle) -> Result<VmSpec, Error> {
        Ok(self.record(&vm.name)?.spec)
    }

    async fn list_vms(&self) -> Result<Vec<VmHandle>, Error> {
        let list = fault::host("list its VMs");
        let names = record::names(self.layout()).map_err(list)?;
        let handle = |name: VmName| match Record::load(self.layout(), &name) {
            Ok(record) => record.map(|record| record.handle()),
            Err(_) => Some(VmHandle { id: VmId::UNREADABLE, name }),
        };
        Ok(names.into_iter().filter_map(handle).collect())
    }
}

#[async_trait]
impl HypervisorBackend for KvmBackend<'_> {
    async fn create_vm(&self, spec: &VmSpec) -> Result<VmHandle, Error> {
        self.create(spec)
    }

    async fn start_vm(&self, vm: &VmHandle) -> Result<VmStatus, Error> {
        self.start(&vm.name)
    }

    async fn stop_vm(&self, vm: &VmHandle, method: StopMethod) -> Result<(), Error> {
        self.stop(&vm.name, method)
    }

    async fn wait_stopped(&self, vm: &VmHandle, timeout: Duration) -> Result<Option<StopReason>, Error> {
        self.wait(&vm.name, timeout)
    }

    async fn delete_vm(&self, vm: &VmHandle) -> Result<(), Error> {
        self.delete(&vm.name)
    }

    async fn pause_vm(&self, vm: &VmHandle) -> Result<(), Error> {
        self.pause(&vm.name)
    }

    async fn resume_vm(&self, vm: &VmHandle) -> Result<(), Error> {
        self.resume(&vm.name)
    }

    async fn reset_vm(&self, vm: &VmHandle) -> Result<(), Error> {
        self.reset(&vm.name)
    }

    async fn events(&self, vm: &VmHandle) -> Result<Box<dyn VmEvents>, Error> {
        self.subscribe(&vm.name)
    }
}
