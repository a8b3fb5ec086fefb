//! What `status` tells of guest channels: read from the session records, never asked of the broker.
//!
//! Looks at a lock and at one small file a VM. Only a broker that was started within the last second is
//! given a moment, at most [`PROBE_MS`], to greet the guests that the one before it knew; nothing else
//! is ever waited for. Tests: `tests/it/broker.rs`.

use std::thread;
use std::time::Duration;

use castra_agent_proto::message::Outcome;
use plasmavmc_guest::clock::boot_ms;
use plasmavmc_guest::freshness::{BrokerLock, Evidence, Freshness, Reach, judge};
use plasmavmc_guest::presence::{holder, lock_state};
use plasmavmc_guest::record::SessionRecord;
use plasmavmc_host::process::{BootId, PidFile, ProcessIdentity};
use plasmavmc_types::VmName;

use crate::config::Channel;
use crate::core::selection::Target;
use crate::core::status::{BrokerState, ChannelFault};

/// How long a broker counts as just started, in milliseconds.
const COLD_MS: u64 = 1_000;
/// The longest a broker that just started is waited for, in milliseconds: all VMs together.
const PROBE_MS: u64 = 400;
/// Time between two looks meanwhile.
const POLL: Duration = Duration::from_millis(10);

/// Whether a VM runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Process {
    /// It does.
    Live,
    /// It does not.
    None,
}

/// What is told of one guest's channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GuestChannel {
    pub(crate) broker: BrokerState,
    pub(crate) age_ms: Option<u64>,
    pub(crate) fault: Option<ChannelFault>,
}

/// The guest channels of a workspace, as they are now.
pub(crate) struct Channels<'a> {
    target: &'a Target,
    lock: BrokerLock,
    holder: Option<ProcessIdentity>,
    boot_id: Option<BootId>,
    window_ms: u64,
    /// Until when a guest that is not reachable yet is waited for.
    probe_until_ms: u64,
}

impl<'a> Channels<'a> {
    /// Looks whether there is a broker, and since when.
    pub(crate) fn look(target: &'a Target) -> Self {
        let lock = lock_state(&target.layout);
        let project = target.project.as_ref();
        let channel = project.map_or_else(Channel::default, |project| project.channel);
        let boot_id = BootId::current().ok();
        let holder = holder(&target.layout);
        let started_ms = holder.map(|broker| broker.started_after_boot().as_millis());
        let started_ms = started_ms.and_then(|started| u64::try_from(started).ok());
        let now = boot_ms();
        let is_cold = started_ms.is_some_and(|started| now.saturating_sub(started) < COLD_MS);
        let probe_until_ms = if is_cold { now + PROBE_MS } else { 0 };
        Self { target, lock, holder, boot_id, window_ms: channel.freshness_window_ms(), probe_until_ms }
    }

    /// What is known of a VM's guest.
    pub(crate) fn of(&self, vm: &VmName, process: Process) -> GuestChannel {
        let layout = &self.target.layout;
        loop {
            let run = match process {
                Process::Live => PidFile::read(&layout.pid_file(vm)).map(|pidfile| pidfile.token),
                Process::None => None,
            };
            let record = SessionRecord::read(layout, vm);
            let now_ms = boot_ms();
            let freshness = match self.boot_id {
                Some(boot_id) => judge(Evidence {
                    broker: self.lock,
                    holder: self.holder,
                    run,
                    boot_id,
                    record: record.as_ref(),
                    now_ms,
                    window_ms: self.window_ms,
                }),
                None => Freshness { reach: Reach::Offline, age_ms: None },
            };
            let record = record.filter(|record| Some(record.run) == run);
            // Only of a guest that an earlier broker knew is an answer to be expected.
            let is_known = record.as_ref().is_some_and(|record| record.outcome == Outcome::Ok);
            if freshness.reach == Reach::Reachable || !is_known || now_ms >= self.probe_until_ms {
                return channel(freshness, record);
            }
            thread::sleep(POLL);
        }
    }
}

fn channel(freshness: Freshness, record: Option<SessionRecord>) -> GuestChannel {
    let broker = match freshness.reach {
        Reach::Offline => BrokerState::Offline,
        Reach::Waiting => BrokerState::Waiting,
        Reach::Reachable => BrokerState::Reachable,
    };
    let fault = match record {
        Some(SessionRecord { outcome: Outcome::Declined { reason }, .. }) => {
            Some(ChannelFault::Declined { reason })
        }
        Some(SessionRecord { flooded: true, .. }) => Some(ChannelFault::Flooded),
        _ => None,
    };
    GuestChannel { broker, age_ms: freshness.age_ms, fault }
}
