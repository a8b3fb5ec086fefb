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

use clap::Parser;
use plasmavmc_term::exit::{OK, exit_code_beside_pending};
use plasmavmc_term::{OutputFormat, Report, Stderr, Stdout, StdoutError, is_closed_stdout};

use self::args::Args;
use self::error::UsageError;
use self::face::Face;

/// Runs the command this process was asked for.
pub fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    run(&words).into()
}

fn run(words: &[OsString]) -> u8 {
    let args = match Args::try_parse_from(words) {
        Ok(args) => args,
        Err(error) => return no_command(&error, words),
    };
    let face = Face::new(&args.global);
    match commands::run(&args.command, &face) {
        Ok(code) => code,
        // Whoever read it has seen enough.
        Err(error) if is_closed_stdout(&error) => OK,
        Err(error) => show(&error.report(face.err.width()), face.format, &face.out, &face.err),
    }
}

/// Shows a failure and tells its exit code.
fn show(report: &Report, format: OutputFormat, out: &Stdout, err: &Stderr) -> u8 {
    report.show(format, out, err);
    exit_code_beside_pending(report.kind)
}

/// Answers words that are no command: help and version are asked for, the rest is a mistake.
fn no_command(error: &clap::Error, words: &[OsString]) -> u8 {
    let json = words.iter().take_while(|word| *word != "--").any(|word| word == "--json");
    let color = args::color_of(words);
    let (out, err) = (Stdout::new(color), Stderr::new(color));
    let text = error.render().ansi().to_string();
    if !error.use_stderr() {
        return match out.print(&text) {
            Err(error @ StdoutError::Write { .. }) => {
                show(&Report::of(&error), OutputFormat::Human, &out, &err)
            }
            Ok(()) | Err(StdoutError::Closed) => OK,
        };
    }
    if json {
        return show(&Report::of(&UsageError::new(error)), OutputFormat::Json, &out, &err);
    }
    err.say(&text);
    exit_code_beside_pending(plasmavmc_types::ErrorKind::Usage)
}
