//! Drives the shutdown ladder through the port: the one loop every face stops a VM with.
//!
//! Owns no decision; those are the [`Ladder`]'s. Waits only inside the backend's bounded
//! `wait_stopped`, and reads time only from the [`Clock`] it is given. Tests: below, on the fake.

use plasmavmc_hypervisor::{Clock, Error, EventSink, HypervisorBackend};
use plasmavmc_types::{ShutdownOutcome, StopReason, VmHandle};

use crate::{Ladder, LadderPolicy};

/// Stops a VM: asks, then signals, then kills, each for as long as the policy says.
///
/// A VM that is stopped already is left alone and reported as
/// [`ShutdownOutcome::AlreadyStopped`], without events of the ladder.
///
/// # Errors
/// Where the backend cannot tell whether the VM lives. A rung that cannot be taken is not an
/// error; the next one follows.
pub async fn stop(
    backend: &dyn HypervisorBackend,
    vm: &VmHandle,
    policy: LadderPolicy,
    clock: &dyn Clock,
    sink: &dyn EventSink,
) -> Result<(ShutdownOutcome, Option<StopReason>), Error> {
    if let Some(reason) = backend.wait_stopped(vm, std::time::Duration::ZERO).await? {
        return Ok((ShutdownOutcome::AlreadyStopped, Some(reason)));
    }
    let mut ladder = Ladder::new(policy, clock.now());
    let mut reason = None;
    loop {
        while let Some(method) = ladder.poll_action() {
            publish(&mut ladder, vm, sink);
            if let Err(error) = backend.stop_vm(vm, method).await {
                ladder.handle_refused(error.to_string(), clock.now());
            }
        }
        publish(&mut ladder, vm, sink);
        let Some(deadline) = ladder.deadline() else { break };
        let wait = deadline.saturating_sub(clock.now());
        reason = backend.wait_stopped(vm, wait).await?;
        if reason.is_some() {
            ladder.handle_exited(clock.now());
        } else {
            ladder.handle_timeout(clock.now());
        }
    }
    let outcome = ladder.outcome().unwrap_or(ShutdownOutcome::StillRunning);
    Ok((outcome, reason))
}

fn publish(ladder: &mut Ladder, vm: &VmHandle, sink: &dyn EventSink) {
    while let Some(event) = ladder.poll_event() {
        sink.emit(Some(&vm.name), event);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use plasmavmc_hypervisor::{FakeBackend, FakeBehaviour, block_on, conformance};
    use plasmavmc_types::{EventKind, VmName};

    use super::*;

    /// Advances three seconds at every look.
    #[derive(Default)]
    struct LeapingClock(AtomicU64);

    impl Clock for LeapingClock {
        fn now(&self) -> Duration {
            Duration::from_secs(self.0.fetch_add(3, Ordering::Relaxed))
        }
    }

    #[derive(Default)]
    struct Names(Mutex<Vec<String>>);

    impl EventSink for Names {
        fn emit(&self, _vm: Option<&VmName>, kind: EventKind) {
            let value = serde_json::to_value(&kind).unwrap();
            self.0.lock().unwrap().push(value["event"].as_str().unwrap().to_owned());
        }
    }

    fn stop_a_guest_that(behaviour: FakeBehaviour) -> (ShutdownOutcome, Vec<String>) {
        let backend = FakeBackend::new();
        let vm = block_on(backend.create_vm(&conformance::small_spec("web"))).unwrap();
        block_on(backend.start_vm(&vm)).unwrap();
        backend.set_behaviour(&vm, behaviour).unwrap();
        let policy = LadderPolicy {
            graceful: Duration::from_secs(20),
            sigterm: Duration::from_secs(10),
            sigkill: Duration::from_secs(5),
        };
        let names = Names::default();
        let (outcome, _) = block_on(stop(&backend, &vm, policy, &LeapingClock::default(), &names)).unwrap();
        (outcome, names.0.into_inner().unwrap())
    }

    #[test]
    fn the_events_of_each_kind_of_guest_come_in_order() {
        let begin = ["ShutdownRequested", "CooperativeAttempted"];
        let cases: [(_, _, &[&str]); 4] = [
            (FakeBehaviour::Obedient, ShutdownOutcome::Graceful, &["CooperativeSucceeded"]),
            (
                FakeBehaviour::IgnoresPowerdown,
                ShutdownOutcome::Terminated,
                &["CooperativeTimedOut", "Escalation"],
            ),
            (
                FakeBehaviour::IgnoresSigterm,
                ShutdownOutcome::Killed,
                &["CooperativeTimedOut", "Escalation", "Escalation"],
            ),
            (
                FakeBehaviour::Immortal,
                ShutdownOutcome::StillRunning,
                &["CooperativeTimedOut", "Escalation", "Escalation"],
            ),
        ];
        for (behaviour, expected, middle) in cases {
            let (outcome, names) = stop_a_guest_that(behaviour);
            let wanted: Vec<&str> = begin.iter().chain(middle).copied().chain(["ShutdownComplete"]).collect();
            assert_eq!((outcome, names.iter().map(String::as_str).collect()), (expected, wanted));
        }
    }

    #[test]
    fn stop_is_idempotent() {
        let backend = FakeBackend::new();
        let vm = block_on(backend.create_vm(&conformance::small_spec("web"))).unwrap();
        let names = Names::default();
        let policy =
            LadderPolicy { graceful: Duration::ZERO, sigterm: Duration::ZERO, sigkill: Duration::ZERO };
        let (outcome, _) = block_on(stop(&backend, &vm, policy, &LeapingClock::default(), &names)).unwrap();
        assert_eq!(outcome, ShutdownOutcome::AlreadyStopped);
        assert!(names.0.into_inner().unwrap().is_empty());
    }
}
