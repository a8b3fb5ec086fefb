//! `castra console`.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use clap::Args;
use plasmavmc_term::exit::OK;
use plasmavmc_term::{OutputFormat, StdoutError};
use plasmavmc_types::VmName;
use serde::Serialize;

use crate::cli::args::WorkspaceArgs;
use crate::cli::error::CliError;
use crate::cli::face::Face;
use crate::cli::render;
use crate::cli::terminal::{Caught, RawMode, Signals, TerminalError, die_of};
use crate::core::console::{Console, ConsoleEnd, ConsoleOptions, ConsoleOutcome, Ends, Escape, console};
use crate::core::output::OperationOutput;

const EXAMPLES: &str = "\
Examples:
  castra console                     the project's only VM
  castra console web
  echo uptime | castra console web   type a line, show what it answers, and leave

Ctrl-] leaves; the VM goes on running. Every other key, Ctrl-C too, goes to the guest. Where the input
is a pipe, the console is left two seconds after its end and the guest's last word.";

/// Talk to a guest over its serial console
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ConsoleArgs {
    /// The VM; may be left out where there is only one
    #[arg(value_name = "VM")]
    vm: Option<VmName>,

    #[command(flatten)]
    workspace: WorkspaceArgs,
}

/// A line of what the guest wrote, for programs.
#[derive(Serialize)]
struct ConsoleLine<'a> {
    console: &'a str,
}

pub(super) fn run(args: &ConsoleArgs, face: &Face) -> Result<u8, CliError> {
    let options =
        ConsoleOptions { selection: face.workspace(args.workspace.workspace.as_ref()), vm: args.vm.clone() };
    let mut line = console(&face.session, &options)?;
    face.diagnose_all(line.note().map(std::slice::from_ref).unwrap_or_default());
    let typed = io::stdin().is_terminal();
    if typed {
        face.voice
            .err
            .say(&format!("console of VM `{}`: Ctrl-] leaves, Enter may bring a prompt", line.vm()));
    }
    let outcome = carry(&mut line, face, if typed { Escape::Leaves } else { Escape::IsData })?;
    face.answer(&OperationOutput::new(outcome), render::console)?;
    Ok(OK)
}

/// Carries bytes until the line ends. Whatever happens, the terminal is then as it was.
fn carry(line: &mut Console, face: &Face, escape: Escape) -> Result<ConsoleOutcome, CliError> {
    let mut signals = Signals::catch()?;
    loop {
        let raw = RawMode::enter(io::stdin())?;
        let mut failed = None;
        let mut output = |bytes: &[u8]| {
            show(face, bytes).map_err(|error| {
                failed = Some(error);
                io::Error::from(io::ErrorKind::BrokenPipe)
            })
        };
        let stdin = io::stdin();
        let ends = Ends { input: stdin.as_fd(), escape, output: &mut output, stop: Some(signals.wake()) };
        let ended = line.run(ends);
        drop(raw);
        if let Some(error) = failed {
            return Err(error.into());
        }
        let outcome = ended.map_err(|source| TerminalError::Carry { source })?;
        if outcome.end != ConsoleEnd::Interrupted {
            return Ok(outcome);
        }
        match signals.take() {
            Caught::Continue => {}
            Caught::End(signal) => {
                die_of(signal);
                return Ok(outcome);
            }
        }
    }
}

fn show(face: &Face, bytes: &[u8]) -> Result<(), StdoutError> {
    match face.voice.format {
        OutputFormat::Human => face.voice.out.raw(bytes),
        OutputFormat::Json => face.voice.out.json(&ConsoleLine { console: &String::from_utf8_lossy(bytes) }),
    }
}
