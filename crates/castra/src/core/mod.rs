//! The operations of a project, as a library: typed options in, outcomes and events out.
//!
//! One module per operation; what most programs need of them is here too. `docs/library.md` shows
//! how it is used.
//!
//! Never does: print, or read the process's environment.

mod backend;
pub mod bootstrap;
pub mod broker;
pub mod bus;
pub mod clean;
pub mod clock;
pub mod console;
pub mod copy;
pub mod doctor;
pub mod down;
pub mod error;
pub mod exec;
mod fan_out;
mod former;
pub mod guest;
pub mod images;
pub mod init;
mod litter;
pub mod logs;
pub mod mounts;
mod observed;
pub mod operation;
pub mod output;
pub mod ports;
pub mod preflight;
pub mod project;
pub mod ready;
pub mod recorder;
pub mod selection;
pub mod session;
pub mod ssh;
pub mod status;
mod strays;
pub mod up;
pub mod workspace;

pub use down::{DownOptions, DownOutcome, down};
pub use error::Error;
pub use output::OperationOutput;
pub use plasmavmc_types::{ErrorKind, Event, EventKind, Explain, VmName, VmSummary};
pub use recorder::Observer;
pub use selection::{ProjectSelection, WorkspaceSelection, project};
pub use session::Session;
pub use status::{StatusOptions, StatusOutcome, status};
pub use up::{UpOptions, UpOutcome, WaitFor, plan, up};
