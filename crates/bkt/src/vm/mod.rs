//! The subsystem of virtual machines.
//!
//! Everything that can differ between a manifest and a domain is a [`Field`] with a value in the words of
//! the manifest ([`Values`]). So there is one comparison, one account of drift and one capture, and what is
//! special about a field is in one place: how it is read, edited, and when a change takes effect.

mod field;

pub use field::{Field, Values};
