//! What a VM does, in more words than a change has to heed.
//!
//! Tests: with the status.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Standing;

/// What a VM does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PowerState {
    /// The guest runs.
    Running,
    /// The guest is frozen; its memory is kept.
    Paused,
    /// The guest sleeps (ACPI S3).
    Asleep,
    /// The guest is on its way down.
    ShuttingDown,
    /// The guest crashed.
    Crashed,
    /// It is off, and its next start resumes a saved state.
    Saved,
    /// It is off.
    Stopped,
}

impl PowerState {
    /// What a change has to heed of it. A crashed guest's process may be there still: `is_active` tells.
    pub const fn standing(self, is_active: bool) -> Standing {
        match self {
            Self::Saved if !is_active => Standing::Saved,
            _ if is_active => Standing::Running,
            _ => Standing::Stopped,
        }
    }

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Asleep => "asleep",
            Self::ShuttingDown => "shutting down",
            Self::Crashed => "crashed",
            Self::Saved => "saved",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for PowerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
