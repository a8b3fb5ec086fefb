//! A guest's way up as a person reads it: how long each part took, from when each stage was reached.
//!
//! Stages come from different watchers (QEMU, the console, the agent's reports, the SSH banner, `up`
//! itself), and some guests tell of fewer. A part begins where the last one that is known ended, so that the parts
//! add up to the whole. Pure. Tests: below.

use plasmavmc_types::Stage;
use schemars::JsonSchema;
use serde::Serialize;

use crate::core::up::StageTime;

/// One part of the way up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Phase {
    /// What was going on.
    pub phase: PhaseName,
    /// How long, in milliseconds.
    pub took_ms: u64,
}

/// What goes on in a part of the way up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PhaseName {
    /// QEMU starts.
    Launch,
    /// Firmware and boot loader.
    Firmware,
    /// The kernel, up to its first process.
    Kernel,
    /// The init system, up to a network address.
    Network,
    /// cloud-init.
    CloudInit,
    /// Until an SSH server listens.
    Sshd,
    /// Until the agent and the broker greeted each other.
    Handshake,
    /// Until the SSH server answered through the forward.
    Ssh,
    /// Until the folders of the host were mounted.
    Mounts,
    /// The bootstrap.
    Bootstrap,
}

impl PhaseName {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Launch => "launch",
            Self::Firmware => "firmware",
            Self::Kernel => "kernel",
            Self::Network => "network",
            Self::CloudInit => "cloud-init",
            Self::Sshd => "sshd",
            Self::Handshake => "handshake",
            Self::Ssh => "ssh",
            Self::Mounts => "mounts",
            Self::Bootstrap => "bootstrap",
        }
    }
}

/// What ends when a stage is reached; none where a stage ends nothing of its own.
const fn ended_by(stage: Stage) -> Option<PhaseName> {
    match stage {
        Stage::Machine => Some(PhaseName::Launch),
        Stage::Console => None,
        Stage::Kernel => Some(PhaseName::Firmware),
        Stage::Init => Some(PhaseName::Kernel),
        Stage::Network => Some(PhaseName::Network),
        Stage::CloudInit => Some(PhaseName::CloudInit),
        Stage::Sshd => Some(PhaseName::Sshd),
        Stage::Handshake => Some(PhaseName::Handshake),
        Stage::Ssh => Some(PhaseName::Ssh),
        Stage::Mounts => Some(PhaseName::Mounts),
        Stage::Bootstrap => Some(PhaseName::Bootstrap),
    }
}

/// The parts of the way up, in the order in which they ended.
pub fn phases(stages: &[StageTime]) -> Vec<Phase> {
    let mut ends: Vec<(u64, Stage, PhaseName)> = stages
        .iter()
        .filter_map(|reached| Some((reached.at_ms, reached.stage, ended_by(reached.stage)?)))
        .collect();
    ends.sort_by_key(|(at_ms, stage, _)| (*at_ms, *stage));
    let mut before = 0;
    ends.into_iter()
        .map(|(at_ms, _, phase)| {
            let took_ms = at_ms - before;
            before = at_ms;
            Phase { phase, took_ms }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(stage: Stage, at_ms: u64) -> StageTime {
        StageTime { stage, at_ms }
    }

    #[test]
    fn each_part_begins_where_the_one_before_ended() {
        let stages = [
            at(Stage::Machine, 90),
            at(Stage::Console, 900),
            at(Stage::Kernel, 400),
            at(Stage::Init, 2_400),
            at(Stage::Ssh, 4_000),
            at(Stage::Handshake, 3_000),
            at(Stage::Bootstrap, 9_000),
            at(Stage::Network, 2_900),
        ];
        let parts: Vec<_> = phases(&stages).iter().map(|it| (it.phase.as_str(), it.took_ms)).collect();
        let expected = [
            ("launch", 90),
            ("firmware", 310),
            ("kernel", 2_000),
            ("network", 500),
            ("handshake", 100),
            ("ssh", 1_000),
            ("bootstrap", 5_000),
        ];
        assert_eq!(parts, expected);
    }

    #[test]
    fn a_guest_that_tells_nothing_has_the_parts_that_are_seen_from_outside() {
        let parts = phases(&[at(Stage::Machine, 90), at(Stage::Console, 800), at(Stage::Ssh, 5_000)]);
        assert_eq!(parts.iter().map(|it| it.took_ms).collect::<Vec<_>>(), [90, 4_910]);
    }

    proptest! {
        #[test]
        fn the_parts_add_up_to_the_last_stage(times in prop::collection::vec(0..100_000_u64, 10)) {
            use Stage as S;
            let all = [
                S::Machine, S::Kernel, S::Init, S::Network, S::CloudInit, S::Sshd, S::Handshake, S::Ssh,
                S::Mounts, S::Bootstrap,
            ];
            let stages: Vec<_> = all.into_iter().zip(&times).map(|(stage, ms)| at(stage, *ms)).collect();
            let sum: u64 = phases(&stages).iter().map(|it| it.took_ms).sum();
            prop_assert_eq!(sum, times.into_iter().max().unwrap());
        }
    }
}
