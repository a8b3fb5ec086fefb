//! What every backend must do, as one suite that the fake and the real backends run.
//!
//! Each check is a claim about one method and leaves no VM behind. A check panics with the claim it
//! tests, so a backend's own test is one call of [`run`]. The guests it starts need not boot: a
//! disk that loops for ever does.

use std::time::{Duration, Instant};

use plasmavmc_types::{
    AcceleratorChoice, ByteSize, Firmware, MachineType, StopReason, VmHandle, VmId, VmName, VmResources,
    VmSpec, VmState,
};

use crate::{Error, HypervisorBackend, StopMethod, VmEvent, block_on};

/// What the suite needs to know of the backend under test.
pub struct Bench {
    make_spec: Box<dyn Fn(&str) -> VmSpec>,
    /// How long a state may take to appear.
    patience: Duration,
}

impl Bench {
    /// For a backend whose VMs change state at once.
    pub fn quick(make_spec: impl Fn(&str) -> VmSpec + 'static) -> Self {
        Self { make_spec: Box::new(make_spec), patience: Duration::from_secs(1) }
    }

    /// For a backend of real processes: each state may take up to `patience` to appear.
    pub fn patient(make_spec: impl Fn(&str) -> VmSpec + 'static, patience: Duration) -> Self {
        Self { make_spec: Box::new(make_spec), patience }
    }
}

/// One processor, 64 MiB, no disk, no network: the smallest VM a backend can be asked for.
///
/// # Panics
/// Where `name` is not a VM name.
pub fn small_spec(name: &str) -> VmSpec {
    VmSpec {
        id: VmId::generate(),
        name: name.parse().expect("the suite's names are valid"),
        resources: VmResources { cpus: std::num::NonZeroU32::MIN, memory: ByteSize::mib(64) },
        machine: MachineType::Q35,
        firmware: Firmware::Bios,
        accelerator: AcceleratorChoice::Tcg,
        disks: Vec::new(),
        networks: Vec::new(),
        shares: Vec::new(),
    }
}

/// Runs the whole suite.
///
/// # Panics
/// With the claim that does not hold.
pub fn run(backend: &dyn HypervisorBackend, bench: &Bench) {
    let suite = Suite { backend, bench };
    suite.a_created_vm_is_stopped_and_listed();
    suite.creating_again_updates_a_stopped_vm();
    suite.a_live_vm_is_never_redefined();
    suite.starting_twice_changes_nothing();
    suite.stopping_a_stopped_vm_succeeds();
    suite.terminate_ends_a_vm_and_says_so();
    suite.kill_ends_a_vm_and_says_so();
    suite.a_stopped_vm_can_be_started_again();
    suite.pause_and_resume_are_idempotent();
    suite.a_stopped_vm_cannot_be_paused_or_reset();
    suite.reset_keeps_the_process();
    suite.a_live_vm_is_never_deleted();
    suite.deleting_twice_succeeds();
    suite.an_unknown_vm_is_an_error_not_a_stopped_vm();
    suite.waiting_for_a_live_vm_ends_in_time();
    suite.a_subscriber_sees_the_end();
}

struct Suite<'a> {
    backend: &'a dyn HypervisorBackend,
    bench: &'a Bench,
}

impl Suite<'_> {
    fn spec(&self, name: &str) -> VmSpec {
        (self.bench.make_spec)(name)
    }

    fn create(&self, name: &str) -> VmHandle {
        block_on(self.backend.create_vm(&self.spec(name))).expect("create_vm")
    }

    fn start(&self, vm: &VmHandle) {
        block_on(self.backend.start_vm(vm)).expect("start_vm");
        self.expect_state(vm, VmState::Running);
    }

    fn state(&self, vm: &VmHandle) -> VmState {
        block_on(self.backend.get_status(vm)).expect("get_status").state
    }

    /// Waits, within the bench's patience, until the VM is in `wanted`.
    fn expect_state(&self, vm: &VmHandle, wanted: VmState) {
        let start = Instant::now();
        while self.state(vm) != wanted {
            assert!(
                start.elapsed() < self.bench.patience,
                "`{}` is {}, not {wanted}",
                vm.name,
                self.state(vm)
            );
            std::thread::yield_now();
        }
    }

    fn stop(&self, vm: &VmHandle, method: StopMethod) -> StopReason {
        block_on(self.backend.stop_vm(vm, method)).expect("stop_vm");
        block_on(self.backend.wait_stopped(vm, self.bench.patience))
            .expect("wait_stopped")
            .unwrap_or_else(|| panic!("`{}` did not stop", vm.name))
    }

    fn remove(&self, vm: &VmHandle) {
        self.stop(vm, StopMethod::Kill);
        block_on(self.backend.delete_vm(vm)).expect("delete_vm");
    }

    fn a_created_vm_is_stopped_and_listed(&self) {
        let vm = self.create("created");
        assert_eq!(self.state(&vm), VmState::Stopped);
        let listed = block_on(self.backend.list_vms()).expect("list_vms");
        assert!(listed.contains(&vm), "a created VM is listed");
        self.remove(&vm);
    }

    fn creating_again_updates_a_stopped_vm(&self) {
        let vm = self.create("twice");
        let mut again = VmSpec { id: vm.id, ..self.spec("twice") };
        again.resources.memory = ByteSize::mib(96);
        assert_eq!(block_on(self.backend.create_vm(&again)).expect("create_vm"), vm);
        assert_eq!(block_on(self.backend.get_spec(&vm)).expect("get_spec"), again);
        let named: Vec<_> = block_on(self.backend.list_vms()).expect("list_vms");
        assert_eq!(named.iter().filter(|v| v.name == vm.name).count(), 1, "one name, one VM");
        self.remove(&vm);
    }

    fn a_live_vm_is_never_redefined(&self) {
        let spec = self.spec("live");
        let vm = block_on(self.backend.create_vm(&spec)).expect("create_vm");
        self.start(&vm);
        block_on(self.backend.create_vm(&spec)).expect("the same spec is no change");
        let mut other = spec;
        other.resources.memory = ByteSize::mib(96);
        let result = block_on(self.backend.create_vm(&other));
        assert!(matches!(result, Err(Error::WrongState { .. })), "{result:?}");
        self.remove(&vm);
    }

    fn starting_twice_changes_nothing(&self) {
        let vm = self.create("started");
        self.start(&vm);
        let first = block_on(self.backend.get_status(&vm)).expect("get_status").pid;
        let second = block_on(self.backend.start_vm(&vm)).expect("start_vm").pid;
        assert!(first.is_some() && first == second, "{first:?} became {second:?}");
        self.remove(&vm);
    }

    fn stopping_a_stopped_vm_succeeds(&self) {
        let vm = self.create("stopped");
        for method in [StopMethod::Powerdown, StopMethod::Terminate, StopMethod::Kill] {
            block_on(self.backend.stop_vm(&vm, method)).expect("stop_vm");
        }
        assert_eq!(self.state(&vm), VmState::Stopped);
        self.remove(&vm);
    }

    fn terminate_ends_a_vm_and_says_so(&self) {
        let vm = self.create("terminated");
        self.start(&vm);
        assert_eq!(self.stop(&vm, StopMethod::Terminate), StopReason::Terminated);
        let status = block_on(self.backend.get_status(&vm)).expect("get_status");
        assert_eq!((status.state, status.pid), (VmState::Stopped, None));
        assert_eq!(status.stop_reason, Some(StopReason::Terminated));
        self.remove(&vm);
    }

    fn kill_ends_a_vm_and_says_so(&self) {
        let vm = self.create("killed");
        self.start(&vm);
        assert_eq!(self.stop(&vm, StopMethod::Kill), StopReason::Killed);
        self.remove(&vm);
    }

    fn a_stopped_vm_can_be_started_again(&self) {
        let vm = self.create("again");
        self.start(&vm);
        self.stop(&vm, StopMethod::Kill);
        self.start(&vm);
        let status = block_on(self.backend.get_status(&vm)).expect("get_status");
        assert_eq!(status.stop_reason, None, "a live VM has no reason to be stopped");
        self.remove(&vm);
    }

    fn pause_and_resume_are_idempotent(&self) {
        let vm = self.create("paused");
        self.start(&vm);
        for _ in 0..2 {
            block_on(self.backend.pause_vm(&vm)).expect("pause_vm");
            self.expect_state(&vm, VmState::Paused);
        }
        for _ in 0..2 {
            block_on(self.backend.resume_vm(&vm)).expect("resume_vm");
            self.expect_state(&vm, VmState::Running);
        }
        self.remove(&vm);
    }

    fn a_stopped_vm_cannot_be_paused_or_reset(&self) {
        let vm = self.create("unpausable");
        let paused = block_on(self.backend.pause_vm(&vm));
        let resumed = block_on(self.backend.resume_vm(&vm));
        let reset = block_on(self.backend.reset_vm(&vm));
        for result in [paused, resumed, reset] {
            assert!(matches!(result, Err(Error::WrongState { .. })), "{result:?}");
        }
        assert!(block_on(self.backend.events(&vm)).is_err(), "a stopped VM has no events");
        self.remove(&vm);
    }

    fn reset_keeps_the_process(&self) {
        let vm = self.create("reset");
        self.start(&vm);
        let before = block_on(self.backend.get_status(&vm)).expect("get_status").pid;
        block_on(self.backend.reset_vm(&vm)).expect("reset_vm");
        self.expect_state(&vm, VmState::Running);
        assert_eq!(block_on(self.backend.get_status(&vm)).expect("get_status").pid, before);
        self.remove(&vm);
    }

    fn a_live_vm_is_never_deleted(&self) {
        let vm = self.create("undeletable");
        self.start(&vm);
        let result = block_on(self.backend.delete_vm(&vm));
        assert!(matches!(result, Err(Error::WrongState { .. })), "{result:?}");
        assert_eq!(self.state(&vm), VmState::Running);
        self.remove(&vm);
    }

    fn deleting_twice_succeeds(&self) {
        let vm = self.create("deleted");
        for _ in 0..2 {
            block_on(self.backend.delete_vm(&vm)).expect("delete_vm");
        }
        assert!(!block_on(self.backend.list_vms()).expect("list_vms").contains(&vm));
    }

    fn an_unknown_vm_is_an_error_not_a_stopped_vm(&self) {
        let name: VmName = "nobody".parse().expect("a valid name");
        let vm = VmHandle { id: VmId::generate(), name };
        assert!(matches!(block_on(self.backend.get_status(&vm)), Err(Error::UnknownVm { .. })));
        assert!(matches!(block_on(self.backend.start_vm(&vm)), Err(Error::UnknownVm { .. })));
        let stopped = block_on(self.backend.stop_vm(&vm, StopMethod::Kill));
        assert!(matches!(stopped, Err(Error::UnknownVm { .. })));
    }

    fn waiting_for_a_live_vm_ends_in_time(&self) {
        let vm = self.create("waited");
        self.start(&vm);
        let (start, bound) = (Instant::now(), Duration::from_millis(50));
        assert_eq!(block_on(self.backend.wait_stopped(&vm, bound)).expect("wait_stopped"), None);
        assert!(start.elapsed() < bound + self.bench.patience);
        self.remove(&vm);
    }

    fn a_subscriber_sees_the_end(&self) {
        let vm = self.create("watched");
        self.start(&vm);
        let mut events = block_on(self.backend.events(&vm)).expect("events");
        self.stop(&vm, StopMethod::Terminate);
        let start = Instant::now();
        loop {
            let event = block_on(events.next(Duration::from_millis(50))).expect("next");
            if let Some(VmEvent::Stopped(reason)) = event {
                assert_eq!(reason, StopReason::Terminated);
                break;
            }
            assert!(start.elapsed() < self.bench.patience, "the end was never reported");
        }
        assert_eq!(block_on(events.next(Duration::ZERO)).expect("next"), None, "nothing follows the end");
        self.remove(&vm);
    }
}
