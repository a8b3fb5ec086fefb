//! A hypervisor that exists in memory, for tests of the pure layers.
//!
//! It follows the same transition table as a real one, and its guests can be told to ignore a
//! powerdown, to ignore SIGTERM, or to fail at start. Time does not pass in it: a guest that
//! obeys a request is stopped at once, one that does not never stops. Tests: [`crate::conformance`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use plasmavmc_types::{
    Accelerator, BackendName, Firmware, MachineType, StopReason, VmHandle, VmInput, VmName, VmSpec, VmState,
    VmStatus,
};

use crate::{BackendCapabilities, Error, HypervisorBackend, Observe, StopMethod, VmEvent, VmEvents};

/// How a fake guest behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FakeBehaviour {
    /// Does what it is asked.
    #[default]
    Obedient,
    /// Does not power off when asked; ends on SIGTERM.
    IgnoresPowerdown,
    /// Ends on SIGKILL only.
    IgnoresSigterm,
    /// Never ends, as a process stuck in the kernel.
    Immortal,
    /// Fails at every start.
    FailsAtStart,
}

/// A hypervisor in memory. Clones share their VMs.
#[derive(Clone, Default)]
pub struct FakeBackend {
    vms: Arc<Mutex<BTreeMap<VmName, FakeVm>>>,
}

struct FakeVm {
    spec: VmSpec,
    state: VmState,
    behaviour: FakeBehaviour,
    stop_reason: Option<StopReason>,
    subscribers: Vec<Arc<Mutex<VecDeque<VmEvent>>>>,
}

impl FakeBackend {
    /// The backend's name.
    pub const NAME: BackendName = BackendName::new("fake");

    /// A hypervisor without VMs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how a VM's guest behaves from now on.
    ///
    /// # Errors
    /// [`Error::UnknownVm`].
    pub fn set_behaviour(&self, vm: &VmHandle, behaviour: FakeBehaviour) -> Result<(), Error> {
        self.with(vm, |fake| {
            fake.behaviour = behaviour;
            Ok(())
        })
    }

    /// Lets the guest power itself off.
    ///
    /// # Errors
    /// [`Error::UnknownVm`]; [`Error::WrongState`] where it is stopped.
    pub fn power_off_from_inside(&self, vm: &VmHandle) -> Result<(), Error> {
        self.with(vm, |fake| {
            fake.apply(VmInput::Exited, "powered off")?;
            fake.ended(StopReason::GuestPoweroff);
            Ok(())
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<VmName, FakeVm>> {
        self.vms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, vm: &VmHandle, f: impl FnOnce(&mut FakeVm) -> Result<T, Error>) -> Result<T, Error> {
        match self.lock().get_mut(&vm.name) {
            Some(fake) => f(fake),
            None => Err(Error::UnknownVm { vm: vm.name.clone() }),
        }
    }
}

impl FakeVm {
    /// Takes an input, or says that the state does not allow it.
    fn apply(&mut self, input: VmInput, action: &'static str) -> Result<(), Error> {
        let state = self.state;
        self.state =
            state.next(input).map_err(|_| Error::WrongState { vm: self.spec.name.clone(), state, action })?;
        if self.state.is_live() && self.state != state {
            self.publish(&VmEvent::State(self.state));
        }
        Ok(())
    }

    fn ended(&mut self, reason: StopReason) {
        self.stop_reason = Some(reason.clone());
        self.publish(&VmEvent::Stopped(reason));
        self.subscribers.clear();
    }

    fn publish(&self, event: &VmEvent) {
        for subscriber in &self.subscribers {
            subscriber.lock().unwrap_or_else(PoisonError::into_inner).push_back(event.clone());
        }
    }

    /// Whether the guest ends when asked this way, and why it then is stopped.
    fn answer(&self, method: StopMethod) -> Option<StopReason> {
        use FakeBehaviour as B;
        match (method, self.behaviour) {
            (StopMethod::Powerdown, B::Obedient | B::FailsAtStart) => Some(StopReason::Requested),
            (StopMethod::Terminate, B::Obedient | B::FailsAtStart | B::IgnoresPowerdown) => {
                Some(StopReason::Terminated)
            }
            (StopMethod::Kill, B::Immortal) => None,
            (StopMethod::Kill, _) => Some(StopReason::Killed),
            (StopMethod::Powerdown | StopMethod::Terminate, _) => None,
        }
    }
}

#[async_trait]
impl Observe for FakeBackend {
    fn name(&self) -> BackendName {
        Self::NAME
    }

    async fn capabilities(&self) -> Result<BackendCapabilities, Error> {
        Ok(BackendCapabilities {
            version: "0".to_owned(),
            accelerators: vec![Accelerator::Tcg],
            machines: vec![MachineType::Q35],
            firmware: vec![Firmware::Bios],
            pause: true,
            detached: false,
        })
    }

    async fn get_status(&self, vm: &VmHandle) -> Result<VmStatus, Error> {
        self.with(vm, |fake| {
            let live = fake.state.is_live();
            Ok(VmStatus {
                state: fake.state,
                pid: live.then_some(1),
                uptime: live.then_some(Duration::ZERO),
                accelerator: live.then_some(Accelerator::Tcg),
                responsive: true,
                stop_reason: fake.stop_reason.clone().filter(|_| !live),
                console_start: None,
            })
        })
    }

    async fn get_spec(&self, vm: &VmHandle) -> Result<VmSpec, Error> {
        self.with(vm, |fake| Ok(fake.spec.clone()))
    }

    async fn list_vms(&self) -> Result<Vec<VmHandle>, Error> {
        let handle = |fake: &FakeVm| VmHandle { id: fake.spec.id, name: fake.spec.name.clone() };
        Ok(self.lock().values().map(handle).collect())
    }
}

#[async_trait]
impl HypervisorBackend for FakeBackend {
    async fn create_vm(&self, spec: &VmSpec) -> Result<VmHandle, Error> {
        let mut vms = self.lock();
        match vms.get_mut(&spec.name) {
            Some(fake) if fake.state.is_live() && fake.spec != *spec => {
                return Err(Error::WrongState {
                    vm: spec.name.clone(),
                    state: fake.state,
                    action: "redefined",
                });
            }
            Some(fake) => fake.spec = spec.clone(),
            None => {
                let fake = FakeVm {
                    spec: spec.clone(),
                    state: VmState::Stopped,
                    behaviour: FakeBehaviour::default(),
                    stop_reason: None,
                    subscribers: Vec::new(),
                };
                vms.insert(spec.name.clone(), fake);
            }
        }
        Ok(VmHandle { id: spec.id, name: spec.name.clone() })
    }

    async fn start_vm(&self, vm: &VmHandle) -> Result<VmStatus, Error> {
        self.with(vm, |fake| {
            if fake.state.is_live() {
                return Ok(());
            }
            if fake.behaviour == FakeBehaviour::FailsAtStart {
                return Err(Error::Launch {
                    vm: vm.name.clone(),
                    hints: Vec::new(),
                    source: "the fake was told to fail".into(),
                });
            }
            fake.apply(VmInput::StartRequested, "started")?;
            fake.apply(VmInput::Started, "started")
        })?;
        self.get_status(vm).await
    }

    async fn stop_vm(&self, vm: &VmHandle, method: StopMethod) -> Result<(), Error> {
        self.with(vm, |fake| {
            if !fake.state.is_live() {
                return Ok(());
            }
            if fake.state != VmState::ShuttingDown {
                fake.apply(VmInput::StopRequested, "stopped")?;
            }
            if let Some(reason) = fake.answer(method) {
                fake.apply(VmInput::Exited, "stopped")?;
                fake.ended(reason);
            }
            Ok(())
        })
    }

    async fn wait_stopped(&self, vm: &VmHandle, _timeout: Duration) -> Result<Option<StopReason>, Error> {
        self.with(vm, |fake| {
            let reason = fake.stop_reason.clone().unwrap_or(StopReason::Requested);
            Ok((!fake.state.is_live()).then_some(reason))
        })
    }

    async fn delete_vm(&self, vm: &VmHandle) -> Result<(), Error> {
        let mut vms = self.lock();
        match vms.get(&vm.name) {
            Some(fake) if fake.state.is_live() => {
                Err(Error::WrongState { vm: vm.name.clone(), state: fake.state, action: "deleted" })
            }
            _ => {
                vms.remove(&vm.name);
                Ok(())
            }
        }
    }

    async fn pause_vm(&self, vm: &VmHandle) -> Result<(), Error> {
        self.with(vm, |fake| match fake.state {
            VmState::Paused => Ok(()),
            _ => fake.apply(VmInput::PauseRequested, "paused"),
        })
    }

    async fn resume_vm(&self, vm: &VmHandle) -> Result<(), Error> {
        self.with(vm, |fake| match fake.state {
            VmState::Running => Ok(()),
            _ => fake.apply(VmInput::ResumeRequested, "resumed"),
        })
    }

    async fn reset_vm(&self, vm: &VmHandle) -> Result<(), Error> {
        self.with(vm, |fake| {
            fake.apply(VmInput::ResetRequested, "reset")?;
            fake.publish(&VmEvent::Reset);
            Ok(())
        })
    }

    async fn events(&self, vm: &VmHandle) -> Result<Box<dyn VmEvents>, Error> {
        self.with(vm, |fake| {
            if !fake.state.is_live() {
                return Err(Error::WrongState { vm: vm.name.clone(), state: fake.state, action: "watched" });
            }
            let queue = Arc::<Mutex<VecDeque<VmEvent>>>::default();
            fake.subscribers.push(Arc::clone(&queue));
            Ok(Box::new(FakeEvents { queue }) as Box<dyn VmEvents>)
        })
    }
}

struct FakeEvents {
    queue: Arc<Mutex<VecDeque<VmEvent>>>,
}

#[async_trait]
impl VmEvents for FakeEvents {
    async fn next(&mut self, _timeout: Duration) -> Result<Option<VmEvent>, Error> {
        Ok(self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;

    #[test]
    fn the_fake_passes_the_conformance_suite() {
        conformance::run(&FakeBackend::new(), &conformance::Bench::quick(conformance::small_spec));
    }
}
