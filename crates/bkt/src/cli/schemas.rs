//! The JSON Schemas of the manifest, of a plan's file, and of every line the commands print with `--json`.
//!
//! Tests: `tests/cli/json.rs` holds real output against them.

use plasmavmc_cli::{Lines, Schema, document_of};

use super::outcomes::{
    CaptureOutcome, DriftOutcome, FetchOutcome, PowerOutcomes, StatusOutcome, SyncOutcome, VmStatusOutcome,
    WholeOutcome,
};
use crate::manifest;
use crate::vm::plan_file::PlanFile;

/// Everything that has a schema.
pub(crate) const SCHEMAS: &[Schema] = &[
    Schema::file("manifest", "manifests/vms.json", manifest::schema),
    Schema::file("plan-file", "the file of `bkt vm sync --out`", document_of::<PlanFile>),
    Schema::lines("error", "the last line of a command that failed", Lines::error),
    Schema::lines(
        "vm-sync",
        "lines of `bkt vm sync --json` and `bkt vm plan --json`",
        Lines::answer::<SyncOutcome>,
    ),
    Schema::lines("vm-capture", "lines of `bkt vm capture --json`", Lines::answer::<CaptureOutcome>),
    Schema::lines("vm-status", "lines of `bkt vm status --json`", Lines::answer::<VmStatusOutcome>),
    Schema::lines(
        "vm-power",
        "lines of `bkt vm start --json` and `bkt vm stop --json`",
        Lines::answer::<PowerOutcomes>,
    ),
    Schema::lines("vm-fetch", "lines of `bkt vm fetch --json`", Lines::answer::<FetchOutcome>),
    Schema::lines(
        "sync",
        "lines of `bkt sync --json` and `bkt capture --json`",
        Lines::answer::<WholeOutcome>,
    ),
    Schema::lines("status", "lines of `bkt status --json`", Lines::answer::<StatusOutcome>),
    Schema::lines("drift", "lines of `bkt drift --json`", Lines::answer::<DriftOutcome>),
];
