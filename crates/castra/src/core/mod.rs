//! The operations of a project, as a library: typed options in, outcomes and events out.
//!
//! Never does: print, or read the process's environment.

pub mod project;
