//! The shutdown ladder as a state machine without I/O.
//!
//! ```text
//!  Asking ──timeout or refused──► Terminating ──timeout──► Killing ──timeout──► GivenUp
//!    └────────────── exited ───────────┴──────── exited ──────┴──► Done
//! ```
//!
//! Inputs: [`Ladder::handle_exited`], [`Ladder::handle_refused`], [`Ladder::handle_timeout`], each
//! with the present time. Outputs, to be polled after every input: [`Ladder::poll_action`],
//! [`Ladder::poll_event`], and [`Ladder::deadline`], the time at which `handle_timeout` must be
//! called. Never does: wait, signal, read a clock. The driver is [`crate::stop`]. Tests: below, and
//! a property over random inputs.

use std::collections::VecDeque;
use std::time::Duration;

use plasmavmc_hypervisor::StopMethod;
use plasmavmc_types::{Escalation, EventKind, ShutdownOutcome};

/// How long each rung gets. A zero skips the first two rungs; SIGKILL is always sent in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LadderPolicy {
    /// Time the guest gets to power off.
    pub graceful: Duration,
    /// Time the process gets after SIGTERM.
    pub sigterm: Duration,
    /// Time the process gets after SIGKILL.
    pub sigkill: Duration,
}

/// Time between two presses of the guest's power button.
///
/// A guest that is still booting loses the first press; a guest on its way down ignores the next.
const PRESS_AGAIN: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rung {
    Asking,
    Terminating,
    Killing,
    Over(ShutdownOutcome),
}

/// One shutdown in progress.
#[derive(Debug)]
pub struct Ladder {
    policy: LadderPolicy,
    rung: Rung,
    requested_at: Duration,
    rung_since: Duration,
    press_again_at: Duration,
    actions: VecDeque<StopMethod>,
    events: VecDeque<EventKind>,
}

impl Ladder {
    /// Begins a shutdown at `now`.
    pub fn new(policy: LadderPolicy, now: Duration) -> Self {
        let mut ladder = Self {
            policy,
            rung: Rung::Asking,
            requested_at: now,
            rung_since: now,
            press_again_at: now.saturating_add(PRESS_AGAIN),
            actions: VecDeque::new(),
            events: VecDeque::new(),
        };
        ladder.events.push_back(EventKind::ShutdownRequested {
            graceful_wait_ms: millis(policy.graceful),
            sigterm_wait_ms: millis(policy.sigterm),
            sigkill_wait_ms: millis(policy.sigkill),
        });
        if policy.graceful.is_zero() {
            ladder.terminate(now);
        } else {
            ladder.actions.push_back(StopMethod::Powerdown);
            ladder.events.push_back(EventKind::CooperativeAttempted { timeout_ms: millis(policy.graceful) });
        }
        ladder
    }

    /// What to ask of the backend now, in order.
    pub fn poll_action(&mut self) -> Option<StopMethod> {
        self.actions.pop_front()
    }

    /// What happened, in order.
    pub fn poll_event(&mut self) -> Option<EventKind> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] must be called; none once the shutdown is over.
    pub fn deadline(&self) -> Option<Duration> {
        let end = self.rung_since.saturating_add(self.patience()?);
        Some(if self.rung == Rung::Asking { end.min(self.press_again_at) } else { end })
    }

    /// How the shutdown ended; none while it goes on.
    pub fn outcome(&self) -> Option<ShutdownOutcome> {
        match self.rung {
            Rung::Over(outcome) => Some(outcome),
            Rung::Asking | Rung::Terminating | Rung::Killing => None,
        }
    }

    /// The VM's process is gone.
    pub fn handle_exited(&mut self, now: Duration) {
        let outcome = match self.rung {
            Rung::Asking => {
                let elapsed_ms = millis(now.saturating_sub(self.rung_since));
                self.events.push_back(EventKind::CooperativeSucceeded { elapsed_ms });
                ShutdownOutcome::Graceful
            }
            Rung::Terminating => ShutdownOutcome::Terminated,
            Rung::Killing => ShutdownOutcome::Killed,
            Rung::Over(_) => return,
        };
        self.finish(outcome, now);
    }

    /// The last action could not be delivered: the next rung follows at once.
    pub fn handle_refused(&mut self, reason: String, now: Duration) {
        match self.rung {
            // Only the first press matters: the guest that took it may be too busy for the next.
            Rung::Asking if now.saturating_sub(self.rung_since) < PRESS_AGAIN => {
                self.events.push_back(EventKind::CooperativeUnavailable { reason });
                self.terminate(now);
            }
            Rung::Terminating => self.kill(now),
            Rung::Asking | Rung::Killing | Rung::Over(_) => {}
        }
    }

    /// Time has passed. Does nothing before [`Self::deadline`].
    pub fn handle_timeout(&mut self, now: Duration) {
        let Some(patience) = self.patience() else { return };
        if now.saturating_sub(self.rung_since) < patience {
            if self.rung == Rung::Asking && now >= self.press_again_at {
                self.press_again_at = now.saturating_add(PRESS_AGAIN);
                self.actions.push_back(StopMethod::Powerdown);
            }
            return;
        }
        match self.rung {
            Rung::Asking => {
                let waited_ms = millis(now.saturating_sub(self.rung_since));
                self.events.push_back(EventKind::CooperativeTimedOut { waited_ms });
                self.terminate(now);
            }
            Rung::Terminating => self.kill(now),
            Rung::Killing => self.finish(ShutdownOutcome::StillRunning, now),
            Rung::Over(_) => {}
        }
    }

    fn patience(&self) -> Option<Duration> {
        match self.rung {
            Rung::Asking => Some(self.policy.graceful),
            Rung::Terminating => Some(self.policy.sigterm),
            Rung::Killing => Some(self.policy.sigkill),
            Rung::Over(_) => None,
        }
    }

    fn terminate(&mut self, now: Duration) {
        if self.policy.sigterm.is_zero() {
            return self.kill(now);
        }
        self.climb(Rung::Terminating, StopMethod::Terminate, Escalation::Sigterm, now);
    }

    fn kill(&mut self, now: Duration) {
        self.climb(Rung::Killing, StopMethod::Kill, Escalation::Sigkill, now);
    }

    fn climb(&mut self, rung: Rung, method: StopMethod, signal: Escalation, now: Duration) {
        self.rung = rung;
        self.rung_since = now;
        self.actions.clear();
        self.actions.push_back(method);
        let timeout_ms = millis(self.patience().unwrap_or_default());
        self.events.push_back(EventKind::Escalation { signal, timeout_ms });
    }

    fn finish(&mut self, outcome: ShutdownOutcome, now: Duration) {
        self.rung = Rung::Over(outcome);
        self.actions.clear();
        let total_ms = millis(now.saturating_sub(self.requested_at));
        self.events.push_back(EventKind::ShutdownComplete { outcome, total_ms });
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POLICY: LadderPolicy = LadderPolicy {
        graceful: Duration::from_secs(20),
        sigterm: Duration::from_secs(10),
        sigkill: Duration::from_secs(5),
    };

    fn at(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn drain(ladder: &mut Ladder) -> (Vec<StopMethod>, Vec<EventKind>) {
        let actions = std::iter::from_fn(|| ladder.poll_action()).collect();
        let events = std::iter::from_fn(|| ladder.poll_event()).collect();
        (actions, events)
    }

    #[test]
    fn a_guest_that_obeys_is_never_signalled() {
        let mut ladder = Ladder::new(POLICY, at(100));
        let (actions, events) = drain(&mut ladder);
        assert_eq!(actions, [StopMethod::Powerdown]);
        assert_eq!(events.len(), 2);
        ladder.handle_exited(at(102));
        let (actions, events) = drain(&mut ladder);
        assert_eq!(actions, []);
        assert_eq!(
            events,
            [
                EventKind::CooperativeSucceeded { elapsed_ms: 2_000 },
                EventKind::ShutdownComplete { outcome: ShutdownOutcome::Graceful, total_ms: 2_000 },
            ]
        );
        assert_eq!((ladder.outcome(), ladder.deadline()), (Some(ShutdownOutcome::Graceful), None));
    }

    #[test]
    fn each_rung_follows_when_the_last_ran_out_of_time() {
        let mut ladder = Ladder::new(POLICY, at(0));
        drain(&mut ladder);
        ladder.handle_timeout(at(20));
        let (actions, events) = drain(&mut ladder);
        assert_eq!(actions, [StopMethod::Terminate]);
        assert_eq!(
            events,
            [
                EventKind::CooperativeTimedOut { waited_ms: 20_000 },
                EventKind::Escalation { signal: Escalation::Sigterm, timeout_ms: 10_000 },
            ]
        );
        assert_eq!(ladder.deadline(), Some(at(30)));
        ladder.handle_timeout(at(30));
        assert_eq!(drain(&mut ladder).0, [StopMethod::Kill]);
        ladder.handle_exited(at(31));
        let complete = EventKind::ShutdownComplete { outcome: ShutdownOutcome::Killed, total_ms: 31_000 };
        assert_eq!(drain(&mut ladder).1, [complete]);
    }

    #[test]
    fn a_process_that_survives_sigkill_is_reported_not_waited_for() {
        let mut ladder = Ladder::new(POLICY, at(0));
        for now in [20, 30, 35] {
            ladder.handle_timeout(at(now));
        }
        assert_eq!(ladder.outcome(), Some(ShutdownOutcome::StillRunning));
    }

    #[test]
    fn a_guest_that_cannot_be_asked_costs_no_wait() {
        let mut ladder = Ladder::new(POLICY, at(0));
        drain(&mut ladder);
        ladder.handle_refused("no monitor".to_owned(), at(1));
        let (actions, events) = drain(&mut ladder);
        assert_eq!(actions, [StopMethod::Terminate]);
        assert_eq!(events[0], EventKind::CooperativeUnavailable { reason: "no monitor".to_owned() });
    }

    #[test]
    fn the_power_button_is_pressed_again_for_a_guest_that_was_booting() {
        let mut ladder = Ladder::new(POLICY, at(0));
        drain(&mut ladder);
        assert_eq!(ladder.deadline(), Some(PRESS_AGAIN));
        ladder.handle_timeout(PRESS_AGAIN);
        assert_eq!(drain(&mut ladder), (vec![StopMethod::Powerdown], vec![]));
    }

    #[test]
    fn a_guest_that_took_the_first_press_keeps_its_time() {
        let mut ladder = Ladder::new(POLICY, at(0));
        ladder.handle_timeout(PRESS_AGAIN);
        ladder.handle_refused("busy".to_owned(), PRESS_AGAIN);
        assert_eq!(ladder.deadline(), Some(PRESS_AGAIN * 2), "still asking");
    }

    #[test]
    fn a_zero_wait_skips_its_rung() {
        let policy = LadderPolicy { graceful: Duration::ZERO, sigterm: Duration::ZERO, ..POLICY };
        let mut ladder = Ladder::new(policy, at(0));
        assert_eq!(drain(&mut ladder).0, [StopMethod::Kill]);
    }

    proptest! {
        /// Whatever happens in whatever order, the ladder ends within the sum of its waits, never
        /// goes down a rung, and says exactly once how it ended.
        #[test]
        fn it_always_ends_and_never_goes_back(inputs in prop::collection::vec((0u8..3, 0u64..8), 0..40)) {
            let mut ladder = Ladder::new(POLICY, Duration::ZERO);
            let (mut now, mut highest, mut complete) = (Duration::ZERO, 0, 0);
            let mut check = |ladder: &mut Ladder| {
                let (actions, events) = drain(ladder);
                for action in actions {
                    let rank = match action {
                        StopMethod::Powerdown => 0,
                        StopMethod::Terminate => 1,
                        StopMethod::Kill => 2,
                    };
                    prop_assert!(rank >= highest);
                    highest = rank;
                }
                complete +=
                    events.iter().filter(|e| matches!(e, EventKind::ShutdownComplete { .. })).count();
                prop_assert!(complete <= 1);
                prop_assert_eq!(complete == 1, ladder.outcome().is_some());
                Ok(())
            };
            check(&mut ladder)?;
            for (input, secs) in inputs {
                now += Duration::from_secs(secs);
                match input {
                    0 => ladder.handle_timeout(now),
                    1 => ladder.handle_refused(String::new(), now),
                    _ if secs == 7 => ladder.handle_exited(now),
                    _ => {}
                }
                check(&mut ladder)?;
            }
            for _ in 0..64 {
                let Some(deadline) = ladder.deadline() else { break };
                now = now.max(deadline);
                ladder.handle_timeout(now);
                check(&mut ladder)?;
            }
            prop_assert!(ladder.outcome().is_some());
        }
    }
}
