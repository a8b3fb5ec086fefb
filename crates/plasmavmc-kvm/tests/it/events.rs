//! What QEMU reports reaches every subscriber.

use std::time::Duration;

use plasmavmc_hypervisor::{HypervisorBackend, StopMethod, VmEvent, block_on};
use plasmavmc_types::{StopReason, VmState};

use crate::bench::{Bench, PATIENCE};

#[test]
fn several_subscribers_see_the_same_and_a_status_is_not_held_up() {
    let bench = Bench::new();
    let (vm, _) = bench.start("web");
    let mut first = block_on(bench.backend.events(&vm)).unwrap();
    block_on(bench.backend.pause_vm(&vm)).unwrap();
    let mut second = block_on(bench.another().events(&vm)).unwrap();
    assert!(bench.status(&vm).responsive);
    block_on(bench.backend.resume_vm(&vm)).unwrap();
    block_on(bench.backend.reset_vm(&vm)).unwrap();
    block_on(bench.backend.stop_vm(&vm, StopMethod::Terminate)).unwrap();
    let rest = [
        VmEvent::State(VmState::Running),
        VmEvent::Reset,
        VmEvent::State(VmState::ShuttingDown),
        VmEvent::Stopped(StopReason::Terminated),
    ];
    let mut next = |expected: &VmEvent| {
        assert_eq!(block_on(first.next(PATIENCE)).unwrap().as_ref(), Some(expected));
    };
    next(&VmEvent::State(VmState::Paused));
    rest.iter().for_each(&mut next);
    for expected in &rest {
        assert_eq!(block_on(second.next(PATIENCE)).unwrap().as_ref(), Some(expected));
    }
    assert_eq!(block_on(first.next(Duration::from_secs(1))).unwrap(), None);
}

#[test]
fn a_quiet_vm_has_no_event_within_the_bound() {
    let bench = Bench::new();
    let (vm, _) = bench.start("web");
    let mut events = block_on(bench.backend.events(&vm)).unwrap();
    assert_eq!(block_on(events.next(Duration::from_millis(30))).unwrap(), None);
}
