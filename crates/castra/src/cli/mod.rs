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
mod terminal;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use plasmavmc_term::{ColorMode, OutputFormat, Report, Stderr, Stdout, StdoutError, is_closed_stdout};

use self::args::Args;
use self::commands::broker;
use self::error::UsageError;
use self::face::{Face, session};
use crate::core::broker::ServeOptions;

/// Runs the command this process was asked for.
pub fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    run(&words)
}

/// Runs the broker this process was asked for, and no other command.
pub fn broker_main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    match broker::asked(&words) {
        Some(options) => serve(options),
        None => {
            Stderr::new(ColorMode::Never).say("castra-broker is started by castra, as `castra up` does");
            plasmavmc_term::exit::exit_code(plasmavmc_types::ErrorKind::Usage).into()
        }
    }
}

fn run(words: &[OsString]) -> ExitCode {
    if let Some(options) = broker::asked(words) {
        return serve(options);
    }
    let args = match Args::try_parse_from(words) {
        Ok(args) => args,
        Err(error) => return no_command(&error, words),
    };
    let (out, err) = (Stdout::new(args.global.color), Stderr::new(args.global.color));
    let format = args.global.format();
    let session = match session() {
        Ok(session) => session,
        Err(error) => return error.report(err.width()).show(format, &out, &err).into(),
    };
    let face = Face::new(&args.global, session, out, err);
    match commands::run(&args.command, &face) {
        Ok(code) => code.into(),
        // Whoever read it has seen enough.
        Err(error) if is_closed_stdout(&error) => ExitCode::SUCCESS,
        Err(error) => error.report(face.err.width()).show(format, &face.out, &face.err).into(),
    }
}

/// Is the broker of a workspace; its standard error is the broker's log.
fn serve(options: ServeOptions) -> ExitCode {
    let Err(error) = broker::run(options) else { return ExitCode::SUCCESS };
    let (out, err) = (Stdout::new(ColorMode::Never), Stderr::new(ColorMode::Never));
    error.report(err.width()).show(OutputFormat::Human, &out, &err).into()
}

/// Answers words that are no command: help and version are asked for, the rest is a mistake.
fn no_command(error: &clap::Error, words: &[OsString]) -> ExitCode {
    let json = words.iter().take_while(|word| *word != "--").any(|word| word == "--json");
    let color = args::color_of(words);
    let (out, err) = (Stdout::new(color), Stderr::new(color));
    let text = error.render().ansi().to_string();
    if !error.use_stderr() {
        return match out.print(&text) {
            Err(error @ StdoutError::Write { .. }) => {
                Report::of(&error).show(OutputFormat::Human, &out, &err).into()
            }
            Ok(()) | Err(StdoutError::Closed) => ExitCode::SUCCESS,
        };
    }
    let usage = UsageError::new(error);
    if json {
        return Report::of(&usage).show(OutputFormat::Json, &out, &err).into();
    }
    err.say(&text);
    plasmavmc_term::exit::exit_code(plasmavmc_types::ErrorKind::Usage).into()
}
