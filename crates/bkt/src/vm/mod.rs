//! The subsystem of virtual machines.
//!
//! ```text
//!  vms.json ─► VmDefinition ─► wanted ──┐
//!  virsh ────► Domain ───────► current ─┼─► plan ─► VmPlan ─► apply ─► virsh define, and a proof
//!              └► mark ──────► applied ─┘     │        └► plan_file, reviewed, applied later
//!                                             └► status, drift; capture goes the other way
//! ```
//!
//! Everything that can differ between a manifest and a domain is a [`Field`] with a value in the words of
//! the manifest ([`Values`]). So there is one comparison, one account of drift and one capture, and what is
//! special about a field is in one place: how it is read, edited, and when a change takes effect.
//! Why it is so: `docs/adr/0009-host-face.md`.

mod applied;
pub mod apply;
mod capture;
mod current;
mod edits;
pub mod fetch;
mod field;
mod forecast;
mod ground;
pub mod into_manifest;
mod losses;
mod media;
pub mod observe;
mod place;
pub mod plan;
pub mod plan_file;
pub mod power;
mod power_state;
pub mod preflight;
#[cfg(test)]
mod sample;
pub mod stale;
pub mod status;
mod subsystem;
pub mod sync;
mod wanted;

pub use applied::Applied;
pub use capture::{Capture, CaptureOptions, Captured, Loss, Outcome, capture, remade};
pub use current::{Beside, Current, Meant, Unsaid, current};
pub use edits::edits;
pub use field::{Field, Values};
pub use forecast::{Allowed, Blocker, Danger, Forecast, Situation, Standing};
pub use place::Place;
pub use power_state::PowerState;
pub use subsystem::VmSubsystem;
pub use wanted::{Absent, Wanted, fetched_path, medium_path, said, wanted};
