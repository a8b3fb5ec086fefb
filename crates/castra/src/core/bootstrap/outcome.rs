//! What a bootstrap did.

use std::path::PathBuf;

use plasmavmc_engine::BootstrapDecision;
use plasmavmc_types::{BootstrapDigest, VmName};
use schemars::JsonSchema;
use serde::Serialize;

use super::tell::StepOutcome;

/// The way a bootstrap took into its guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// The guest channel.
    Channel,
    /// SSH: the guest has no agent that could be spoken to.
    Ssh,
}

/// What a bootstrap of one VM did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BootstrapOutcome {
    /// The VM.
    #[schemars(with = "String")]
    pub vm: VmName,
    /// Whether it ran, and why.
    #[serde(flatten)]
    pub decision: BootstrapDecision,
    /// The way into the guest.
    pub transport: Transport,
    /// What it was made of: the SHA-256 of all that decides what it does.
    pub digest: BootstrapDigest,
    /// Its steps.
    pub steps: Vec<StepOutcome>,
    /// The run's log; null where nothing was done.
    pub log: Option<PathBuf>,
}

impl BootstrapOutcome {
    /// Milliseconds that all its steps took.
    pub fn total_ms(&self) -> u64 {
        self.steps.iter().map(|step| step.duration_ms).sum()
    }
}
