//! The states of a VM and the one table that says which input leads where.
//!
//! ```text
//!            StartRequested          Started             PauseRequested
//!  Stopped ────────────────► Starting ──────► Running ──────────────────► Paused
//!     ▲                         │              │   ▲ ◄──── ResumeRequested ──┘
//!     │ Exited (from any)       │ StopRequested│   │
//!     │                         ▼              ▼   │ ShutdownIgnored
//!     └──────────────────────── ShuttingDown ──────┘
//! ```
//!
//! A live run and the recovery after a crash use the same table. Never does: I/O. An input that
//! does not fit is an error, never a panic. Tests: below, over every pair.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The state of a VM as the engine sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VmState {
    /// No process runs it.
    Stopped,
    /// Its process was launched; the guest is not known to be up.
    Starting,
    /// The guest runs.
    Running,
    /// The guest is frozen; its memory is kept.
    Paused,
    /// It was asked to stop, or stops by itself, and its process still lives.
    ShuttingDown,
}

/// The four states people see (`castra status`): [`VmState::Paused`] counts as running.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum VmSummary {
    /// No process runs it.
    Stopped,
    /// Its process lives; the guest is not up yet.
    Starting,
    /// The guest is up.
    Running,
    /// It is on its way down.
    ShuttingDown,
}

/// Something that happens to a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VmInput {
    /// Someone asked for a start.
    StartRequested,
    /// The guest is up.
    Started,
    /// Someone asked to freeze it.
    PauseRequested,
    /// Someone asked to let it run on.
    ResumeRequested,
    /// Someone asked it to restart without a new process.
    ResetRequested,
    /// Someone asked for a stop, or the guest began one.
    StopRequested,
    /// The guest was asked to stop and did not.
    ShutdownIgnored,
    /// Its process ended, however.
    Exited,
}

/// An input that a state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a VM that is {state} cannot take {input:?}")]
pub struct IllegalTransition {
    /// The state it was in.
    pub state: VmState,
    /// The input that does not fit.
    pub input: VmInput,
}

impl VmState {
    /// Every state.
    pub const ALL: [Self; 5] =
        [Self::Stopped, Self::Starting, Self::Running, Self::Paused, Self::ShuttingDown];

    /// The state after `input`.
    ///
    /// # Errors
    /// [`IllegalTransition`] where the state does not allow the input.
    pub fn next(self, input: VmInput) -> Result<Self, IllegalTransition> {
        use VmInput as I;
        match (self, input) {
            (Self::Stopped, I::StartRequested) => Ok(Self::Starting),
            (Self::Starting, I::Started) => Ok(Self::Running),
            (Self::Running, I::PauseRequested) => Ok(Self::Paused),
            (Self::Paused, I::ResumeRequested) => Ok(Self::Running),
            (Self::Running, I::ResetRequested) => Ok(Self::Running),
            (Self::Starting | Self::Running | Self::Paused, I::StopRequested) => Ok(Self::ShuttingDown),
            (Self::ShuttingDown, I::ShutdownIgnored) => Ok(Self::Running),
            (Self::Starting | Self::Running | Self::Paused | Self::ShuttingDown, I::Exited) => {
                Ok(Self::Stopped)
            }
            (state, input) => Err(IllegalTransition { state, input }),
        }
    }

    /// The state as people see it.
    pub const fn summary(self) -> VmSummary {
        match self {
            Self::Stopped => VmSummary::Stopped,
            Self::Starting => VmSummary::Starting,
            Self::Running | Self::Paused => VmSummary::Running,
            Self::ShuttingDown => VmSummary::ShuttingDown,
        }
    }

    /// Whether a process runs it.
    pub const fn is_live(self) -> bool {
        !matches!(self, Self::Stopped)
    }
}

impl VmInput {
    /// Every input.
    pub const ALL: [Self; 8] = [
        Self::StartRequested,
        Self::Started,
        Self::PauseRequested,
        Self::ResumeRequested,
        Self::ResetRequested,
        Self::StopRequested,
        Self::ShutdownIgnored,
        Self::Exited,
    ];
}

impl fmt::Display for VmState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::ShuttingDown => "shutting_down",
        })
    }
}

impl fmt::Display for VmSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::ShuttingDown => "shutting_down",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use VmInput as I;
    use VmState as S;

    #[test]
    fn the_table_is_exactly_this() {
        let legal = [
            (S::Stopped, I::StartRequested, S::Starting),
            (S::Starting, I::Started, S::Running),
            (S::Running, I::PauseRequested, S::Paused),
            (S::Paused, I::ResumeRequested, S::Running),
            (S::Running, I::ResetRequested, S::Running),
            (S::Starting, I::StopRequested, S::ShuttingDown),
            (S::Running, I::StopRequested, S::ShuttingDown),
            (S::Paused, I::StopRequested, S::ShuttingDown),
            (S::ShuttingDown, I::ShutdownIgnored, S::Running),
            (S::Starting, I::Exited, S::Stopped),
            (S::Running, I::Exited, S::Stopped),
            (S::Paused, I::Exited, S::Stopped),
            (S::ShuttingDown, I::Exited, S::Stopped),
        ];
        for state in S::ALL {
            for input in I::ALL {
                let expected = legal.iter().find(|(s, i, _)| (*s, *i) == (state, input)).map(|l| l.2);
                assert_eq!(state.next(input).ok(), expected, "{state} + {input:?}");
            }
        }
    }

    #[test]
    fn every_live_state_ends_when_its_process_does() {
        for state in S::ALL.into_iter().filter(|s| s.is_live()) {
            assert_eq!(state.next(I::Exited), Ok(S::Stopped));
        }
    }
}
