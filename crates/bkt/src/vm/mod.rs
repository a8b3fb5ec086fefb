//! The subsystem of virtual machines.
//!
//! Everything that can differ between a manifest and a domain is a [`Field`] with a value in the words of
//! the manifest ([`Values`]). So there is one comparison, one account of drift and one capture, and what is
//! special about a field is in one place: how it is read, edited, and when a change takes effect.

mod applied;
mod current;
mod edits;
mod field;
mod forecast;
mod media;
#[cfg(test)]
mod sample;
mod wanted;

pub use applied::Applied;
pub use current::{Beside, Current, Meant, Unsaid, current};
pub use edits::edits;
pub use field::{Field, Values};
pub use forecast::{Allowed, Blocker, Danger, Forecast, Situation, Standing};
pub use wanted::{Absent, Wanted, fetched_path, medium_path, said, wanted};
