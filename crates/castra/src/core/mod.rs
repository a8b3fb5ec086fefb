//! The operations of a project, as a library: typed options in, outcomes and events out.
//!
//! Never does: print, or read the process's environment.

mod backend;
pub mod clean;
pub mod clock;
pub mod console;
pub mod doctor;
pub mod down;
pub mod error;
mod fan_out;
pub mod images;
pub mod init;
pub mod logs;
mod observed;
pub mod operation;
pub mod output;
pub mod ports;
pub mod preflight;
pub mod project;
pub mod ready;
pub mod recorder;
pub mod schema;
pub mod selection;
pub mod session;
pub mod status;
pub mod up;
pub mod workspace;
