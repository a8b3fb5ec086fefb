//! Whether a guest counts as reachable: one rule, over what is written down. Pure.
//!
//! ```text
//!  broker's lock free ───────────────────────────────► offline
//!  held, and this run's guest accepted by its holder,
//!        not lost, and its last answer at most a
//!        window old ───────────────────────────────────► reachable
//!  held otherwise ───────────────────────────────────► waiting
//! ```
//!
//! Never guesses: whatever is missing, of another run, of another boot or from the future is no
//! evidence. Tests: below, a table and properties.

use castra_agent_proto::limits::KEEPALIVE_MS;
use castra_agent_proto::message::Outcome;
use plasmavmc_host::process::{BootId, ProcessIdentity};
use plasmavmc_types::RunToken;

use crate::record::SessionRecord;

/// How old an answer may be by default, in milliseconds: three keepalives, so that one that was lost
/// and one that came late change nothing.
pub const DEFAULT_WINDOW_MS: u64 = 3 * KEEPALIVE_MS;

/// Whether someone holds the broker's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerLock {
    /// There is a broker. It may hang; ages tell.
    Held,
    /// There is none.
    Free,
}

/// What is known of a guest.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The broker's lock.
    pub broker: BrokerLock,
    /// Who holds it; what another broker wrote down is of a session that ended with it.
    pub holder: Option<ProcessIdentity>,
    /// The run the VM is in; none where it is stopped.
    pub run: Option<RunToken>,
    /// The boot the host runs under.
    pub boot_id: BootId,
    /// The session's record.
    pub record: Option<&'a SessionRecord>,
    /// The time since the host's boot, in milliseconds.
    pub now_ms: u64,
    /// How old an answer may be, in milliseconds.
    pub window_ms: u64,
}

/// Whether a guest can be spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// No broker runs.
    Offline,
    /// A broker runs and has not heard of the guest lately.
    Waiting,
    /// The guest answered within the window.
    Reachable,
}

/// A guest's reach, and what it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// Whether it can be spoken to.
    pub reach: Reach,
    /// Age of the last handshake or answered keepalive of this run, in milliseconds; none where there
    /// was none.
    pub age_ms: Option<u64>,
}

/// Decides whether a guest counts as reachable.
pub fn judge(evidence: Evidence<'_>) -> Freshness {
    let age_ms = evidence.record.and_then(|record| age(record, &evidence));
    let is_on = evidence.record.is_some_and(|record| !record.lost && Some(record.broker) == evidence.holder);
    let reach = match (evidence.broker, age_ms) {
        (BrokerLock::Free, _) => Reach::Offline,
        (BrokerLock::Held, Some(age)) if is_on && age <= evidence.window_ms => Reach::Reachable,
        (BrokerLock::Held, _) => Reach::Waiting,
    };
    Freshness { reach, age_ms }
}

/// The age of the last answer, where it is one of this run.
fn age(record: &SessionRecord, evidence: &Evidence<'_>) -> Option<u64> {
    let of_this_run = evidence.run == Some(record.run) && record.host_boot_id == evidence.boot_id;
    let accepted = record.outcome == Outcome::Ok;
    (of_this_run && accepted).then(|| evidence.now_ms.checked_sub(record.last_seen_ms)).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::record::tests::record;

    const BOOT: BootId = BootId::from_uuid(Uuid::from_u128(1));
    const OTHER_BOOT: BootId = BootId::from_uuid(Uuid::from_u128(2));

    fn declined() -> Outcome {
        Outcome::Declined { reason: "no".into() }
    }

    #[test]
    fn every_case_has_its_word() {
        use BrokerLock::{Free, Held};
        let good = SessionRecord { host_boot_id: BOOT, last_seen_ms: 10_000, ..record() };
        let run = Some(good.run);
        let bad = SessionRecord { outcome: declined(), ..good.clone() };
        let gone = SessionRecord { lost: true, ..good.clone() };
        let before = SessionRecord { broker: ProcessIdentity { pid: 6, ..good.broker }, ..good.clone() };
        let cases = [
            ("fresh", Held, run, BOOT, Some(&good), 10_300, Reach::Reachable, Some(300)),
            ("at the window's edge", Held, run, BOOT, Some(&good), 16_000, Reach::Reachable, Some(6_000)),
            ("just past it", Held, run, BOOT, Some(&good), 16_001, Reach::Waiting, Some(6_001)),
            ("no broker", Free, run, BOOT, Some(&good), 10_300, Reach::Offline, Some(300)),
            ("no record", Held, run, BOOT, None, 10_300, Reach::Waiting, None),
            ("declined", Held, run, BOOT, Some(&bad), 10_300, Reach::Waiting, None),
            ("lost", Held, run, BOOT, Some(&gone), 10_300, Reach::Waiting, Some(300)),
            ("of a broker that died", Held, run, BOOT, Some(&before), 10_300, Reach::Waiting, Some(300)),
            ("stopped", Held, None, BOOT, Some(&good), 10_300, Reach::Waiting, None),
            (
                "another run",
                Held,
                Some(RunToken::generate()),
                BOOT,
                Some(&good),
                10_300,
                Reach::Waiting,
                None,
            ),
            ("another boot", Held, run, OTHER_BOOT, Some(&good), 10_300, Reach::Waiting, None),
            ("from the future", Held, run, BOOT, Some(&good), 9_999, Reach::Waiting, None),
        ];
        for (what, broker, run, boot_id, record, now_ms, reach, age_ms) in cases {
            let holder = Some(good.broker);
            let evidence = Evidence { broker, holder, run, boot_id, record, now_ms, window_ms: 6_000 };
            assert_eq!(judge(evidence), Freshness { reach, age_ms }, "{what}");
        }
    }

    proptest! {
        #[test]
        fn nothing_but_a_fresh_answer_of_this_run_is_reachable(
            held: bool, same_broker: bool, same_run: bool, same_boot: bool, accepted: bool, lost: bool,
            seen in 0..20_000_u64, now_ms in 0..20_000_u64, window_ms in 0..10_000_u64,
        ) {
            let outcome = if accepted { Outcome::Ok } else { declined() };
            let record = SessionRecord { host_boot_id: BOOT, last_seen_ms: seen, outcome, lost, ..record() };
            let evidence = Evidence {
                broker: if held { BrokerLock::Held } else { BrokerLock::Free },
                holder: same_broker.then_some(record.broker),
                run: Some(if same_run { record.run } else { RunToken::generate() }),
                boot_id: if same_boot { BOOT } else { OTHER_BOOT },
                record: Some(&record),
                now_ms,
                window_ms,
            };
            let fresh = now_ms >= seen && now_ms - seen <= window_ms;
            let expected = held && same_broker && same_run && same_boot && accepted && !lost && fresh;
            prop_assert_eq!(judge(evidence).reach == Reach::Reachable, expected);
            prop_assert_eq!(judge(evidence).reach == Reach::Offline, !held);
        }
    }
}
