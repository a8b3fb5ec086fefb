//! The command line: arguments in, an operation of [`crate::core`] in the middle, text or JSON out.
//!
//! ```text
//! args ──► commands/<verb> ──► core::<verb> ──► render/<verb> ──► standard output
//!                                   │ events ──► events ────────► standard error, or JSON lines
//! ```
//!
//! Owns: the words of the command line and how answers look. Never does: decide what happens to a VM,
//! or touch a file of a workspace. Rendering is pure. Tests: in each file; `tests/it` runs the command.

mod args;
mod commands;
mod docs;
mod error;
mod events;
mod face;
mod render;
mod schemas;
mod terminal;

use std::ffi::OsString;
use std::process::ExitCode;

use plasmavmc_cli::pages::Page;
use plasmavmc_cli::{CommandLine, Manner, Voice};
use plasmavmc_term::exit::exit_code;
use plasmavmc_term::{ColorMode, Report, Width};
use plasmavmc_types::{ErrorKind, Explain};

use self::args::Args;
use self::commands::broker;
use self::error::CliError;
use self::face::{Face, session};
use crate::core::broker::ServeOptions;

/// Runs the command this process was asked for.
pub fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    match broker::asked(&words) {
        Some(options) => serve(options),
        None => plasmavmc_cli::run::<Args>(&words),
    }
}

/// Runs the broker this process was asked for, and no other command.
pub fn broker_main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    match broker::asked(&words) {
        Some(options) => serve(options),
        None => {
            log().err.say("castra-broker is started by castra, as `castra up` does");
            exit_code(ErrorKind::Usage).into()
        }
    }
}

/// Is the broker of a workspace; its standard error is the broker's log.
fn serve(options: ServeOptions) -> ExitCode {
    let Err(error) = broker::run(options) else { return ExitCode::SUCCESS };
    let voice = log();
    voice.fail(&error.report(voice.err.width()));
    exit_code(error.kind()).into()
}

/// The voice of a broker.
fn log() -> Voice {
    Voice::new(Manner { color: ColorMode::Never, ..Manner::default() })
}

impl CommandLine for Args {
    type Error = CliError;

    fn manner(&self) -> Manner {
        self.global.manner()
    }

    fn run(&self, voice: &Voice) -> Result<u8, CliError> {
        commands::run(&self.command, &Face::new(&self.global, session()?, voice))
    }

    fn report(error: &CliError, width: Width) -> Report {
        error.report(width)
    }

    fn pages(root: &clap::Command) -> Vec<Page> {
        docs::pages(root)
    }
}
