//! The command line: arguments in, a subsystem in the middle, text or JSON out.
//!
//! ```text
//! args ──► commands/<verb> ──► subsystem, vm ──► render/<verb> ──► standard output
//!                                                notes ──────────► standard error
//! ```
//!
//! Owns: the words of the command line, how answers look, and the exit codes: 0 where everything is as the
//! manifest has it, 2 where changes or drift are pending, others by the kind of the failure. Never does:
//! decide what happens to a VM. Rendering is pure. Tests: in each file; `tests/it` runs the command.

mod args;
mod commands;
mod docs;
mod error;
mod face;
mod outcomes;
mod render;
mod schemas;

use std::ffi::OsString;
use std::process::ExitCode;

use plasmavmc_cli::pages::Page;
use plasmavmc_cli::{CommandLine, Manner, Voice};
use plasmavmc_term::exit::exit_code_beside_pending;
use plasmavmc_term::{Report, Width};
use plasmavmc_types::ErrorKind;

use self::args::Args;
use self::error::CliError;
use self::face::Face;

/// Runs the command this process was asked for.
pub fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    plasmavmc_cli::run::<Args>(&words)
}

impl CommandLine for Args {
    type Error = CliError;

    const EXIT_CODE: fn(ErrorKind) -> u8 = exit_code_beside_pending;

    fn manner(&self) -> Manner {
        self.global.manner()
    }

    fn run(&self, voice: &Voice) -> Result<u8, CliError> {
        commands::run(&self.command, &Face::new(&self.global, voice))
    }

    fn report(error: &CliError, width: Width) -> Report {
        error.report(width)
    }

    fn pages(root: &clap::Command) -> Vec<Page> {
        docs::pages(root)
    }
}
