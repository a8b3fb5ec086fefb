//! The only crate that prints: errors, tables, progress, JSON lines and exit codes of every face.
//!
//! Standard output is data, standard error is talk. Owns: how things look, which stream they go to,
//! colour, the width of the terminal, what a closed pipe means. Never does: decide, read files, know
//! a command. What it prints is rendered by functions without I/O; [`Stdout`] and [`Stderr`] are the
//! only two places that write. Tests: in each file, as snapshots of what a person sees.

pub mod exit;
mod fault;
mod json;
mod progress;
mod report;
mod screen;
mod sentence;
mod stderr;
mod stdout;
mod table;
pub mod text;

pub use fault::{SourceFault, render_faults};
pub use json::JsonLines;
pub use progress::{ProgressMode, Timeline, Transfer};
pub use report::{FaultRecord, OutputFormat, Report, VmReport, is_closed_stdout};
pub use screen::{ColorMode, ParseColorModeError, Width, styled};
pub use sentence::{sentence, waiting_for};
pub use stderr::Stderr;
pub use stdout::{Stdout, StdoutError};
pub use table::{Align, Column, Table};
