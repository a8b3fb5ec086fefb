//! A QEMU that answers nothing is still seen, told apart, and can be ended.

use std::time::{Duration, Instant};

use plasmavmc_host::process::{Process, ProcessState};
use plasmavmc_host::socket::{self, Connected};
use plasmavmc_hypervisor::{Error, HypervisorBackend, StopMethod, block_on};
use plasmavmc_types::{StopReason, VmHandle, VmState, VmStatus};
use rustix::process::Signal;

use crate::bench::Bench;
use castra_testkit::eventually;

/// The bound of a status: its QMP wait of 150 ms, and as much again for a busy machine.
const STATUS_BOUND: Duration = Duration::from_millis(900);

fn freeze(status: &VmStatus) -> Process {
    let process = Process::of_pid(status.pid.unwrap()).unwrap().unwrap();
    process.signal(Signal::STOP).unwrap();
    eventually("SIGSTOP", || process.state().unwrap() == ProcessState::Stopped);
    process
}

fn timed_status(bench: &Bench, vm: &VmHandle) -> VmStatus {
    let start = Instant::now();
    let status = bench.status(vm);
    assert!(start.elapsed() < STATUS_BOUND, "a status took {:?}", start.elapsed());
    status
}

#[test]
fn a_frozen_qemu_keeps_its_last_known_state() {
    let bench = Bench::new();
    let (vm, started) = bench.start("web");
    block_on(bench.backend.pause_vm(&vm)).unwrap();
    let process = freeze(&started);
    let status = timed_status(&bench, &vm);
    assert_eq!((status.state, status.responsive, status.pid), (VmState::Paused, false, started.pid));
    process.signal(Signal::CONT).unwrap();
    block_on(bench.backend.resume_vm(&vm)).unwrap();
    freeze(&started);
    let status = timed_status(&bench, &vm);
    assert_eq!((status.state, status.responsive), (VmState::Running, false));
    let result = block_on(bench.backend.stop_vm(&vm, StopMethod::Powerdown));
    assert!(matches!(result, Err(Error::Unresponsive { .. })), "{result:?}");
    block_on(bench.backend.start_vm(&vm)).expect("starting a live VM changes nothing");
}

#[test]
fn a_frozen_qemu_ends_in_order_on_sigterm() {
    let bench = Bench::new();
    let (vm, started) = bench.start("web");
    freeze(&started);
    block_on(bench.backend.stop_vm(&vm, StopMethod::Terminate)).unwrap();
    assert_eq!(bench.wait_stopped(&vm), StopReason::Terminated);
}

#[test]
fn a_frozen_qemu_ends_on_sigkill() {
    let bench = Bench::new();
    let (vm, started) = bench.start("web");
    freeze(&started);
    block_on(bench.backend.stop_vm(&vm, StopMethod::Kill)).unwrap();
    assert_eq!(bench.wait_stopped(&vm), StopReason::Killed);
}

#[test]
fn someone_else_on_the_control_socket_does_not_hold_a_status_up() {
    let bench = Bench::new();
    let (vm, started) = bench.start("web");
    let connected = socket::connect(bench.layout().root(), "web.qmp").unwrap();
    let Connected::Stream(_other) = connected else { panic!("not connected: {connected:?}") };
    let status = timed_status(&bench, &vm);
    assert_eq!((status.state, status.responsive, status.pid), (VmState::Running, false, started.pid));
}

#[test]
fn a_lost_control_socket_hides_no_live_vm() {
    let bench = Bench::new();
    let (vm, started) = bench.start("web");
    std::fs::remove_file(bench.layout().qmp_socket(&vm.name)).unwrap();
    let status = timed_status(&bench, &vm);
    assert_eq!((status.state, status.responsive, status.pid), (VmState::Running, false, started.pid));
    block_on(bench.backend.stop_vm(&vm, StopMethod::Terminate)).unwrap();
    assert_eq!(bench.wait_stopped(&vm), StopReason::Terminated);
}
