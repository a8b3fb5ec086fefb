//! [`LibvirtBackend`]: the port, on libvirt's QEMU driver. One file a verb does the work.
//!
//! ```text
//! create ──► domain with our element in its metadata ── start ──► QEMU, libvirt's child
//!                 ▲   └ the spec, whole                             │ ends, however
//!                 └── why it ended: libvirt's reason, and what we noted before we asked
//! ```
//!
//! The spec and what was asked last stand in the domain's own metadata: no files beside libvirt's. A domain
//! without our element is none of ours: never listed, never touched. Not done here: port forwards, microvm
//! (see `offer.rs`). Tests: in each file; `tests/it/`, the conformance suite among them.

mod define;
mod events;
mod fault;
mod find;
mod offer;
mod power;
mod reason;
mod record;
mod render;

use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use plasmavmc_hypervisor::{BackendCapabilities, Error, HypervisorBackend, Observe, StopMethod, VmEvents};
use plasmavmc_types::{
    Accelerator, BackendName, Firmware, MachineType, StopReason, VmHandle, VmSpec, VmStatus,
};

use crate::facts::HostFacts;
use crate::virsh::Connection;

/// How long libvirt has to tell a VM's state: the port's second.
const STATUS_BOUND: Duration = Duration::from_secs(1);

/// What the backend is given.
#[derive(Debug)]
pub struct LibvirtConfig {
    /// Which libvirt.
    pub connection: Connection,
    /// Accelerators that have run guest code on this host, fastest first: what `auto` chooses from. Where it
    /// is empty, TCG.
    pub accelerators: Vec<Accelerator>,
}

/// libvirt's QEMU driver, with KVM or TCG.
pub struct LibvirtBackend {
    connection: Connection,
    /// The same, for questions that must be answered soon.
    quick: Connection,
    accelerators: Vec<Accelerator>,
    facts: OnceLock<HostFacts>,
}

impl LibvirtBackend {
    /// The backend's name.
    pub const NAME: BackendName = BackendName::new("libvirt");

    /// A backend for the VMs of Castra's on one libvirt.
    pub fn new(config: LibvirtConfig) -> Self {
        let quick = config.connection.clone().with_question_bound(STATUS_BOUND);
        Self {
            connection: config.connection,
            quick,
            accelerators: config.accelerators,
            facts: OnceLock::new(),
        }
    }

    /// The same backend, whose libvirt has `bound` to tell a VM's state: for hosts slower than people.
    #[must_use]
    pub fn with_status_bound(self, bound: Duration) -> Self {
        Self { quick: self.quick.with_question_bound(bound), ..self }
    }

    /// What libvirt can do here, asked once.
    fn facts(&self) -> Result<&HostFacts, Error> {
        if let Some(facts) = self.facts.get() {
            return Ok(facts);
        }
        let facts = self.connection.reader().host().map_err(fault::host("tell what it can do"))?;
        Ok(self.facts.get_or_init(|| facts))
    }
}

#[async_trait]
impl Observe for LibvirtBackend {
    fn name(&self) -> BackendName {
        Self::NAME
    }

    async fn capabilities(&self) -> Result<BackendCapabilities, Error> {
        let facts = self.facts()?;
        let version = facts.versions.hypervisor.as_deref().unwrap_or("unknown");
        let runs = |accelerator: &Accelerator| {
            offer::kind_of(*accelerator).is_some_and(|it| facts.kind(it).is_some())
        };
        let uefi = facts.kinds.iter().any(|kind| kind.uefi).then_some(Firmware::Uefi);
        Ok(BackendCapabilities {
            version: version.trim_start_matches("QEMU ").to_owned(),
            accelerators: self.accelerators.iter().copied().filter(runs).collect(),
            machines: vec![MachineType::Q35],
            firmware: std::iter::once(Firmware::Bios).chain(uefi).collect(),
            pause: true,
            detached: true,
        })
    }

    async fn get_status(&self, vm: &VmHandle) -> Result<VmStatus, Error> {
        self.status(vm)
    }

    async fn get_spec(&self, vm: &VmHandle) -> Result<VmSpec, Error> {
        Ok(self.find(vm)?.spec)
    }

    async fn list_vms(&self) -> Result<Vec<VmHandle>, Error> {
        self.list()
    }
}

#[async_trait]
impl HypervisorBackend for LibvirtBackend {
    async fn create_vm(&self, spec: &VmSpec) -> Result<VmHandle, Error> {
        self.create(spec)
    }

    async fn start_vm(&self, vm: &VmHandle) -> Result<VmStatus, Error> {
        self.start(vm)
    }

    async fn stop_vm(&self, vm: &VmHandle, method: StopMethod) -> Result<(), Error> {
        self.stop(vm, method)
    }

    async fn wait_stopped(&self, vm: &VmHandle, timeout: Duration) -> Result<Option<StopReason>, Error> {
        self.wait(vm, timeout)
    }

    async fn delete_vm(&self, vm: &VmHandle) -> Result<(), Error> {
        self.delete(vm)
    }

    async fn pause_vm(&self, vm: &VmHandle) -> Result<(), Error> {
        self.pause(vm)
    }

    async fn resume_vm(&self, vm: &VmHandle) -> Result<(), Error> {
        self.resume(vm)
    }

    async fn reset_vm(&self, vm: &VmHandle) -> Result<(), Error> {
        self.reset(vm)
    }

    async fn events(&self, vm: &VmHandle) -> Result<Box<dyn VmEvents>, Error> {
        self.subscribe(vm)
    }
}
