//! What the commands answer, as data: the value of `outcome` with `--json`, and what the renderers show.
//!
//! A name once released keeps its meaning; new ones may be added. Tests: `tests/it` holds real answers
//! against the schemas made of these.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use crate::subsystem::{Standing, Summary};
use crate::vm::fetch::FetchedMedium;
use crate::vm::plan::{Entry, VmPlan};
use crate::vm::power::PowerOutcome;
use crate::vm::preflight::Finding;
use crate::vm::status::Status;
use crate::vm::{Capture, Outcome};

/// The answer of `bkt vm sync` and `bkt vm plan`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct SyncOutcome {
    /// The manifest; none where a reviewed plan was applied.
    pub(crate) manifest: Option<PathBuf>,
    /// Whether nothing was to be changed.
    pub(crate) dry_run: bool,
    /// What is done, or would be.
    pub(crate) plan: VmPlan,
    /// What is wrong with the host for it.
    pub(crate) findings: Vec<Finding>,
    /// What this run did, VM by VM.
    pub(crate) done: Vec<DoneVm>,
    /// The VMs to which it could not be done.
    pub(crate) failed: Vec<FailedVm>,
    /// Whether values of VMs went into the manifest.
    pub(crate) taken: bool,
    /// Whether everything is as the manifest has it: false where something would change (a dry run), is
    /// left for a person to decide, or waits for a VM's next cold boot.
    pub(crate) clean: bool,
}

/// What was done to one VM.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct DoneVm {
    /// The VM.
    pub(crate) vm: String,
    /// What was done, in order.
    pub(crate) steps: Vec<String>,
    /// What a person should know of it.
    pub(crate) warnings: Vec<String>,
}

/// Why what was planned was not done to a VM; the line of the error says more.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct FailedVm {
    /// The VM.
    pub(crate) vm: String,
    /// Why.
    pub(crate) error: String,
}

/// What this run made of its plan for one VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing was to be done, or nothing yet.
    Planned,
    /// It was done.
    Done,
    /// It failed.
    Failed,
    /// It was done when this run came to it: another one was quicker.
    DoneBefore,
}

impl SyncOutcome {
    pub(crate) fn new(manifest: Option<PathBuf>, plan: VmPlan, findings: Vec<Finding>) -> Self {
        Self {
            manifest,
            dry_run: false,
            plan,
            findings,
            done: Vec::new(),
            failed: Vec::new(),
            taken: false,
            clean: false,
        }
    }

    /// The answer where nothing was to be changed.
    pub(crate) fn dry(mut self) -> Self {
        self.dry_run = true;
        self.clean = self.plan.is_empty() && !self.plan.leaves_something() && !self.plan.is_pending();
        self
    }

    /// The answer where the plan was executed.
    pub(crate) fn done(mut self, done: Vec<DoneVm>, failed: Vec<FailedVm>) -> Self {
        let is_settled = !self.plan.leaves_something() && !self.plan.waits();
        self.clean = is_settled && failed.is_empty();
        (self.done, self.failed) = (done, failed);
        self
    }

    /// What this run made of its plan for that VM.
    pub(crate) fn fate(&self, entry: &Entry) -> Fate {
        if self.dry_run || entry.is_empty() {
            Fate::Planned
        } else if self.failed.iter().any(|one| one.vm == entry.name) {
            Fate::Failed
        } else if self.done.iter().any(|one| one.vm == entry.name) {
            Fate::Done
        } else {
            Fate::DoneBefore
        }
    }
}

/// The answer of `bkt vm capture`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct CaptureOutcome {
    /// The manifest.
    pub(crate) manifest: PathBuf,
    /// Whether it was written.
    pub(crate) wrote: bool,
    /// Whether no VM was left out.
    pub(crate) is_whole: bool,
    /// What was made of each VM.
    #[serde(flatten)]
    pub(crate) capture: Capture,
}

impl CaptureOutcome {
    pub(crate) fn new(manifest: PathBuf, capture: Capture, wrote: bool) -> Self {
        let is_out = |outcome: Outcome| matches!(outcome, Outcome::Lossy | Outcome::Unsayable);
        let is_whole = !capture.vms.iter().any(|one| is_out(one.outcome));
        Self { manifest, wrote, is_whole, capture }
    }
}

/// The answer of `bkt vm status`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct VmStatusOutcome {
    /// The manifest; none where there is none.
    pub(crate) manifest: Option<PathBuf>,
    /// How the VMs stand.
    #[serde(flatten)]
    pub(crate) status: Status,
    /// Whether every VM of the manifest is as it has it, with nothing pending.
    pub(crate) clean: bool,
}

/// The answer of `bkt vm start` and `bkt vm stop`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct PowerOutcomes {
    /// The libvirt connection.
    pub(crate) uri: String,
    /// The VMs.
    pub(crate) vms: Vec<PoweredVm>,
}

/// What became of one VM.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct PoweredVm {
    /// The VM.
    pub(crate) vm: String,
    /// What became of the request.
    pub(crate) outcome: PowerOutcome,
}

/// The answer of `bkt vm fetch`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct FetchOutcome {
    /// The VMs.
    pub(crate) vms: Vec<FetchedVm>,
}

/// The media of one VM.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct FetchedVm {
    /// The VM.
    pub(crate) vm: String,
    /// Its media, which are on the host now.
    pub(crate) media: Vec<FetchedMedium>,
}

/// The answer of `bkt sync` and `bkt capture`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct WholeOutcome {
    /// Whether nothing was to be changed.
    pub(crate) dry_run: bool,
    /// What each subsystem does, or would do.
    pub(crate) subsystems: Vec<Part>,
    /// What was done, one line each.
    pub(crate) done: Vec<String>,
    /// What a person should know of it.
    pub(crate) warnings: Vec<String>,
    /// Whether nothing is left to do.
    pub(crate) clean: bool,
}

/// The answer of `bkt drift`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct DriftOutcome {
    /// What differs, subsystem by subsystem.
    pub(crate) subsystems: Vec<Part>,
    /// Whether nothing differs.
    pub(crate) clean: bool,
}

/// One subsystem's part.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Part {
    /// The subsystem.
    pub(crate) subsystem: String,
    /// Its part.
    pub(crate) summary: Summary,
}

/// The answer of `bkt status`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct StatusOutcome {
    /// How everything stands, subsystem by subsystem.
    pub(crate) subsystems: Vec<PartStatus>,
    /// Whether everything is as its manifest has it.
    pub(crate) clean: bool,
}

/// How the things of one subsystem stand.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct PartStatus {
    /// The subsystem.
    pub(crate) subsystem: String,
    /// Its things.
    pub(crate) things: Vec<Standing>,
}
