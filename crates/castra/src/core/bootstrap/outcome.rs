//! What a bootstrap did.

use std::path::PathBuf;

use plasmavmc_engine::BootstrapDecision;
use plasmavmc_types::{BootstrapDigest, VmName};
use schemars::JsonSchema;
use serde::Serialize;

use super::tell::StepOutcome;

/// What a bootstrap of one VM did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BootstrapOutcome {
    /// The VM.
    #[schemars(with = "String")]
    pub vm: VmName,
    /// Whether it ran, and why.
    #[serde(flatten)]
    pub decision: BootstrapDecision,
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
