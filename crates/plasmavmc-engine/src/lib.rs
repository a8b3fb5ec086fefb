//! The decisions of Castra, as functions without I/O.
//!
//! Owns: the plan (what to do for a desired and an observed state), the admission of requests,
//! whether a bootstrap runs, who changed a value (drift), the shutdown ladder, and the one loop that drives
//! the ladder through the port. Never does: read a clock, a file, a process or the environment:
//! `clippy.toml` beside this crate forbids it.
//! Tests: in each file, tables and properties; none sleeps.

mod admission;
mod bootstrap;
mod drift;
mod drive;
mod ladder;
mod plan;

pub use admission::{Admission, Refusal, Request, admit};
pub use bootstrap::{
    BootstrapDecision, CannotResume, Check, FirstStep, Recorded, RunReason, SkipReason, Staged, can_begin,
    decide_bootstrap,
};
pub use drift::{Drift, compare};
pub use drive::stop;
pub use ladder::{Ladder, LadderPolicy};
pub use plan::{DesiredVm, ImageState, ObservedVm, OverlayState, Plan, Step, VmPlan, plan_up};
