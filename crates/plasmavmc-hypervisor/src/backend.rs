//! The two halves of a backend: reading and changing.
//!
//! `status` is handed `&dyn Observe`, so it cannot change anything. Every method is idempotent
//! where that makes sense (starting what runs, stopping what is stopped) and bounded in time.
//! Tests: [`crate::conformance`].

use std::time::Duration;

use async_trait::async_trait;
use plasmavmc_types::{BackendName, StopReason, VmHandle, VmSpec, VmState, VmStatus};

use crate::{BackendCapabilities, Error};

/// The reading half of a backend. Never changes anything, on disk or in a VM.
#[async_trait]
pub trait Observe: Send + Sync {
    /// The backend's name.
    fn name(&self) -> BackendName;

    /// What this backend can do on this host.
    ///
    /// # Errors
    /// Where the host cannot be asked.
    async fn capabilities(&self) -> Result<BackendCapabilities, Error>;

    /// What a VM is now. Answers within a second even when the hypervisor does not.
    ///
    /// # Errors
    /// [`Error::UnknownVm`] where the backend has no such VM.
    async fn get_status(&self, vm: &VmHandle) -> Result<VmStatus, Error>;

    /// What a VM was defined as.
    ///
    /// # Errors
    /// [`Error::UnknownVm`] where the backend has no such VM.
    async fn get_spec(&self, vm: &VmHandle) -> Result<VmSpec, Error>;

    /// Every VM the backend knows, in the order of their names.
    ///
    /// One whose record cannot be read is among them, as [`plasmavmc_types::VmId::UNREADABLE`]: what
    /// is wrong with it is told by whoever asks for it, and hides no other.
    ///
    /// # Errors
    /// Where the backend's records cannot be listed.
    async fn list_vms(&self) -> Result<Vec<VmHandle>, Error>;
}

/// How a VM is asked to stop: the rungs of the shutdown ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StopMethod {
    /// Asks the guest to power off (ACPI). The guest may take its time, or ignore it.
    Powerdown,
    /// Ends the VM's process in order; its disks are flushed and closed.
    Terminate,
    /// Ends the VM's process at once.
    Kill,
}

/// The changing half of a backend.
#[async_trait]
pub trait HypervisorBackend: Observe {
    /// Defines a VM, or updates the definition of a stopped one.
    ///
    /// # Errors
    /// [`Error::WrongState`] where a live VM has another spec; [`Error::Unsupported`] where the
    /// spec asks for what [`BackendCapabilities`] does not offer.
    async fn create_vm(&self, spec: &VmSpec) -> Result<VmHandle, Error>;

    /// Starts a stopped VM. Starting a live one succeeds and changes nothing.
    ///
    /// Returns once the hypervisor answers and the guest's processors run, or [`Error::Launch`].
    ///
    /// # Errors
    /// [`Error::UnknownVm`], [`Error::Launch`], [`Error::PortInUse`].
    async fn start_vm(&self, vm: &VmHandle) -> Result<VmStatus, Error>;

    /// Asks a VM to stop and returns at once; [`Self::wait_stopped`] tells when it did. Stopping a
    /// stopped VM succeeds.
    ///
    /// # Errors
    /// [`Error::UnknownVm`]; [`Error::Unresponsive`] where the hypervisor does not take the request.
    async fn stop_vm(&self, vm: &VmHandle, method: StopMethod) -> Result<(), Error>;

    /// Waits until a VM is stopped, at most `timeout`. `None` where it still lives.
    ///
    /// # Errors
    /// [`Error::UnknownVm`].
    async fn wait_stopped(&self, vm: &VmHandle, timeout: Duration) -> Result<Option<StopReason>, Error>;

    /// Forgets a stopped VM and removes what the backend keeps of it. Never touches its disks.
    /// Deleting an unknown VM succeeds.
    ///
    /// # Errors
    /// [`Error::WrongState`] where it lives.
    async fn delete_vm(&self, vm: &VmHandle) -> Result<(), Error>;

    /// Freezes a running VM. Pausing a paused one succeeds.
    ///
    /// # Errors
    /// [`Error::WrongState`] where it does not run.
    async fn pause_vm(&self, vm: &VmHandle) -> Result<(), Error>;

    /// Lets a paused VM run on. Resuming a running one succeeds.
    ///
    /// # Errors
    /// [`Error::WrongState`] where it is not live.
    async fn resume_vm(&self, vm: &VmHandle) -> Result<(), Error>;

    /// Restarts the guest without a new process, as a reset button does.
    ///
    /// # Errors
    /// [`Error::WrongState`] where it does not run.
    async fn reset_vm(&self, vm: &VmHandle) -> Result<(), Error>;

    /// Subscribes to what the hypervisor reports of a live VM from now on.
    ///
    /// # Errors
    /// [`Error::WrongState`] where it is not live.
    async fn events(&self, vm: &VmHandle) -> Result<Box<dyn VmEvents>, Error>;
}

/// Something a hypervisor reported of a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum VmEvent {
    /// Its state changed.
    State(VmState),
    /// The guest was reset.
    Reset,
    /// The guest's kernel reported a crash.
    GuestPanicked,
    /// A disk failed to read or write.
    BlockError {
        /// The device's id.
        device: String,
        /// What went wrong.
        reason: String,
    },
    /// The VM stopped; nothing follows.
    Stopped(StopReason),
}

/// A subscription to one VM's events.
#[async_trait]
pub trait VmEvents: Send {
    /// The next event, waiting at most `timeout`; `None` where none came. After
    /// [`VmEvent::Stopped`] always `None`.
    ///
    /// # Errors
    /// [`Error::Unresponsive`] where the connection to the hypervisor broke although the VM lives.
    async fn next(&mut self, timeout: Duration) -> Result<Option<VmEvent>, Error>;
}
