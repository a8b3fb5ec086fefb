//! What a guest's agent told of its boot, on the clock of the launch.
//!
//! The agent counts from its kernel's start and the broker notes when it heard that: the two together
//! tell when the kernel started, as the host sees it, and so when everything after it happened. Pure
//! but for [`guest_stages`] and [`is_reachable`]. Tests: below, and `tests/it/broker.rs` on a real guest.

use castra_agent_proto::message::{GuestStage, Outcome};
use plasmavmc_guest::clock::boot_ms;
use plasmavmc_guest::freshness::{Evidence, Reach, judge};
use plasmavmc_guest::presence::{holder, lock_state};
use plasmavmc_guest::record::SessionRecord;
use plasmavmc_host::Layout;
use plasmavmc_host::process::{BootId, PidFile};
use plasmavmc_types::{Stage, VmName};

use crate::core::up::StageTime;

/// The stages a guest's agent told of since its VM was launched, `launched_ms` after the host's boot;
/// none where no agent greeted the broker since then.
pub fn guest_stages(layout: &Layout, vm: &VmName, launched_ms: u64) -> Vec<StageTime> {
    let record = SessionRecord::read(layout, vm);
    record.map(|record| stages(&record, launched_ms)).unwrap_or_default()
}

/// Whether the guest of a VM that runs answered the broker within the window.
pub fn is_reachable(layout: &Layout, vm: &VmName, window_ms: u64) -> bool {
    let Ok(boot_id) = BootId::current() else { return false };
    let record = SessionRecord::read(layout, vm);
    let evidence = Evidence {
        broker: lock_state(layout),
        holder: holder(layout),
        run: PidFile::read(&layout.pid_file(vm)).map(|pidfile| pidfile.token),
        boot_id,
        record: record.as_ref(),
        now_ms: boot_ms(),
        window_ms,
    };
    judge(evidence).reach == Reach::Reachable
}

fn stages(record: &SessionRecord, launched_ms: u64) -> Vec<StageTime> {
    // A handshake before the launch is one of another run.
    if record.outcome != Outcome::Ok || record.handshake_at_ms < launched_ms {
        return Vec::new();
    }
    let since_launch = |at_ms: u64| at_ms.saturating_sub(launched_ms);
    let mut found = vec![StageTime { stage: Stage::Handshake, at_ms: since_launch(record.handshake_at_ms) }];
    // Only Castra's own agent tells its guest's clock.
    if record.guest_uptime_ms > 0 {
        let kernel_ms = record.handshake_at_ms.saturating_sub(record.guest_uptime_ms);
        found.push(StageTime { stage: Stage::Kernel, at_ms: since_launch(kernel_ms) });
        found.extend(record.stages.iter().map(|(stage, uptime_ms)| StageTime {
            stage: of(*stage),
            // A guest may say anything.
            at_ms: since_launch(kernel_ms.saturating_add(*uptime_ms)),
        }));
    }
    found.sort_by_key(|reached| (reached.at_ms, reached.stage));
    found
}

const fn of(stage: GuestStage) -> Stage {
    match stage {
        GuestStage::Init => Stage::Init,
        GuestStage::Network => Stage::Network,
        GuestStage::CloudInit => Stage::CloudInit,
        GuestStage::Sshd => Stage::Sshd,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use plasmavmc_guest::record::AgentKind;
    use plasmavmc_host::process::Process;

    use super::*;

    /// A guest whose kernel started 1,300 ms after the host's boot and was greeted 3 s later.
    fn record() -> SessionRecord {
        let broker = Process::of_this_process().unwrap().identity();
        SessionRecord {
            run: plasmavmc_types::RunToken::generate(),
            host_boot_id: broker.boot_id,
            broker,
            agent: AgentKind::Castra,
            agent_version: "0.1.0".to_owned(),
            guest_boot_id: "b".to_owned(),
            capabilities: Vec::new(),
            outcome: Outcome::Ok,
            handshake_at_ms: 4_300,
            guest_uptime_ms: 3_000,
            agent_started_ms: 2_900,
            last_seen_ms: 4_300,
            lost: false,
            handshakes: 1,
            dropped: 0,
            flooded: false,
            stages: BTreeMap::from([(GuestStage::Init, 2_500), (GuestStage::Network, 2_800)]),
        }
    }

    #[test]
    fn a_guest_that_runs_is_judged_by_the_window_it_is_given() {
        let dir = tempfile::tempdir().unwrap();
        let (layout, vm): (_, VmName) = (Layout::new(dir.path()), "web".parse().unwrap());
        let presence = plasmavmc_guest::presence::Presence::claim(&layout).unwrap();
        let me = Process::of_this_process().unwrap().identity();
        let record = SessionRecord { last_seen_ms: boot_ms().saturating_sub(4_000), ..record() };
        for dir in [layout.sessions(), layout.pid_file(&vm).parent().unwrap().to_owned()] {
            plasmavmc_host::publish::private_dir(&dir).unwrap();
        }
        record.write(&layout, &vm).unwrap();
        PidFile { identity: me, token: record.run }.write(&layout.pid_file(&vm)).unwrap();
        assert!(is_reachable(&layout, &vm, 60_000) && !is_reachable(&layout, &vm, 3_000));
        drop(presence);
        assert!(!is_reachable(&layout, &vm, 60_000));
    }

    #[test]
    fn what_a_guest_counts_from_its_kernel_is_told_from_the_launch() {
        let found: Vec<_> = stages(&record(), 1_000).iter().map(|it| (it.stage, it.at_ms)).collect();
        let expected =
            [(Stage::Kernel, 300), (Stage::Init, 2_800), (Stage::Network, 3_100), (Stage::Handshake, 3_300)];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_greeting_of_an_earlier_run_or_one_that_was_declined_tells_nothing() {
        assert_eq!(stages(&record(), 4_301), []);
        let declined = Outcome::Declined { reason: "no".to_owned() };
        assert_eq!(stages(&SessionRecord { outcome: declined, ..record() }, 1_000), []);
    }

    #[test]
    fn an_agent_that_tells_no_clock_tells_its_handshake_only() {
        let found = stages(&SessionRecord { guest_uptime_ms: 0, ..record() }, 1_000);
        assert_eq!(found, [StageTime { stage: Stage::Handshake, at_ms: 3_300 }]);
    }

    #[test]
    fn a_guest_that_counts_wildly_overflows_nothing() {
        let far = BTreeMap::from([(GuestStage::Sshd, u64::MAX)]);
        let found = stages(&SessionRecord { guest_uptime_ms: u64::MAX, stages: far, ..record() }, 1_000);
        assert!(found.iter().any(|it| it.stage == Stage::Sshd));
    }
}
