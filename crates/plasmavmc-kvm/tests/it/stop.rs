//! Every way a VM ends, and that its reason is known afterwards, whoever watched.

use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

use plasmavmc_host::socket::{self, Connected};
use plasmavmc_hypervisor::{HypervisorBackend, StopMethod, block_on};
use plasmavmc_types::{StopReason, VmState};

use crate::bench::{Bench, PATIENCE};
use castra_testkit::eventually;

#[test]
fn a_guest_that_is_asked_to_power_off_does() {
    let bench = Bench::new();
    let (vm, _) = bench.start_obedient("web");
    block_on(bench.backend.stop_vm(&vm, StopMethod::Powerdown)).unwrap();
    assert_eq!(bench.wait_stopped(&vm), StopReason::Requested);
    assert_eq!(bench.status(&vm).stop_reason, Some(StopReason::Requested));
}

#[test]
fn a_frozen_guest_is_let_run_on_to_power_off() {
    let bench = Bench::new();
    let (vm, _) = bench.start_obedient("web");
    block_on(bench.backend.pause_vm(&vm)).unwrap();
    block_on(bench.backend.stop_vm(&vm, StopMethod::Powerdown)).unwrap();
    assert_eq!(bench.wait_stopped(&vm), StopReason::Requested);
}

#[test]
fn a_guest_that_powers_itself_off_is_told_apart() {
    let bench = Bench::new();
    let (vm, _) = bench.start_obedient("web");
    let connected = socket::connect(bench.layout().root(), "web.serial").unwrap();
    let Connected::Stream(mut console) = connected else { panic!("not connected") };
    console.write_all(b"q").unwrap();
    // Nobody waits for it: a reader finds out by itself.
    eventually("the end", || bench.status(&vm).state == VmState::Stopped);
    assert_eq!(bench.status(&vm).stop_reason, Some(StopReason::GuestPoweroff));
    // Starting it again settles the end first.
    let status = block_on(bench.backend.start_vm(&vm)).unwrap();
    assert_eq!((status.state, status.stop_reason), (VmState::Running, None));
}

#[test]
fn a_guest_that_ignores_its_power_button_is_still_running_at_the_bound() {
    let bench = Bench::new();
    let (vm, started) = bench.start("web");
    block_on(bench.backend.stop_vm(&vm, StopMethod::Powerdown)).unwrap();
    let (start, bound) = (Instant::now(), Duration::from_millis(100));
    assert_eq!(block_on(bench.backend.wait_stopped(&vm, bound)).unwrap(), None);
    assert!(start.elapsed() >= bound);
    assert_eq!(bench.status(&vm).pid, started.pid);
    block_on(bench.backend.stop_vm(&vm, StopMethod::Terminate)).unwrap();
    assert_eq!(bench.wait_stopped(&vm), StopReason::Terminated);
}

#[test]
fn an_end_is_seen_at_once_by_whoever_waits() {
    let bench = Bench::new();
    let (vm, _) = bench.start_obedient("web");
    let other = bench.another();
    let reason = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| block_on(other.wait_stopped(&vm, PATIENCE)).unwrap());
        block_on(bench.backend.stop_vm(&vm, StopMethod::Powerdown)).unwrap();
        waiting.join().unwrap()
    });
    assert_eq!(reason, Some(StopReason::Requested));
}

#[test]
fn deleting_a_vm_leaves_its_disk_and_its_logs() {
    let bench = Bench::new();
    let (vm, _) = bench.start_obedient("web");
    block_on(bench.backend.stop_vm(&vm, StopMethod::Kill)).unwrap();
    bench.wait_stopped(&vm);
    block_on(bench.backend.delete_vm(&vm)).unwrap();
    let layout = bench.layout();
    assert!(bench.path("web.img").exists());
    assert_eq!(bench.said("web"), b"U");
    assert!(fs::read_to_string(layout.vm_log(&vm.name)).unwrap().starts_with("--- launch "));
    for file in [layout.vm_record(&vm.name), layout.journal(&vm.name), layout.pid_file(&vm.name)] {
        assert!(!file.exists(), "{} was left behind", file.display());
    }
}
