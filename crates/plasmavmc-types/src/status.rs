//! What a VM is now, as observed.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Accelerator, VmState};

/// What was observed of a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VmStatus {
    /// Its state.
    pub state: VmState,
    /// The process that runs it; none when stopped.
    pub pid: Option<u32>,
    /// Time since that process started; none when stopped.
    pub uptime: Option<Duration>,
    /// What runs its guest code; none when stopped or not known.
    pub accelerator: Option<Accelerator>,
    /// Whether the hypervisor answered within its bound; true when stopped.
    pub responsive: bool,
    /// Why it is stopped; none when it lives or never ran.
    pub stop_reason: Option<StopReason>,
    /// How long the log of its console was when this run began; none when stopped or not known.
    pub console_start: Option<u64>,
}

impl VmStatus {
    /// A VM that never ran.
    pub const NEVER_RAN: Self = Self {
        state: VmState::Stopped,
        pid: None,
        uptime: None,
        accelerator: None,
        responsive: true,
        stop_reason: None,
        console_start: None,
    };
}

/// Why a VM is stopped.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum StopReason {
    /// The guest powered itself off.
    GuestPoweroff,
    /// The guest followed a request to power off.
    Requested,
    /// Its process was ended with SIGTERM.
    Terminated,
    /// Its process was ended with SIGKILL by `castra down`.
    Killed,
    /// Its process vanished without saying why: it crashed, or something else killed it.
    Vanished,
    /// Its process ended by itself with an error.
    Failed {
        /// The last thing it said.
        message: String,
    },
    /// The host was restarted since.
    HostRestarted,
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GuestPoweroff => f.write_str("the guest powered off"),
            Self::Requested => f.write_str("powered off on request"),
            Self::Terminated => f.write_str("ended with SIGTERM"),
            Self::Killed => f.write_str("ended with SIGKILL"),
            Self::Vanished => f.write_str("its process vanished: crashed, or killed by something else"),
            Self::Failed { message } => write!(f, "failed: {message}"),
            Self::HostRestarted => f.write_str("the host was restarted"),
        }
    }
}
