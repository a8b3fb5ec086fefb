//! Answers as people read them: outcomes in, text out.
//!
//! Pure: no I/O, no clock, no environment. What programs read is the same outcome as JSON. Meaning never
//! depends on colour. Tests: in each file, as snapshots over fixed outcomes.

mod capture;
mod plan;
mod power;
mod status;
mod style;
mod whole;

pub(crate) use capture::capture;
pub(crate) use plan::sync;
pub(crate) use power::{fetched, power, powered};
pub(crate) use status::vm_status;
pub(crate) use whole::{drift, status, whole};

#[cfg(test)]
mod samples;
