//! `castra bus`.

use std::io::{self, Read};
use std::ops::ControlFlow;

use clap::{Args, Subcommand};
use plasmavmc_term::exit::OK;
use plasmavmc_types::VmName;

use crate::cli::args::{ReachArgs, WorkspaceArgs};
use crate::cli::error::CliError;
use crate::cli::face::Face;
use crate::cli::render;
use crate::cli::terminal::{Caught, Signals, TerminalError, die_of};
use crate::core::bus::{MAX_MESSAGE, PublishOptions, TailOptions, publish, tail};
use crate::core::logs::Follow;

const EXAMPLES: &str = "\
Examples:
  castra bus publish --vm web --topic deploy v2
  date | castra bus publish --topic clock -      to the project's only VM
  castra bus tail                                what was said lately
  castra bus tail --follow --topic build         and what comes, on one topic
  castra bus tail --follow --json | jq -r .bus.text

In the guest, `castra-agent publish --topic build done` says something. Order is kept per VM. Who is too
slow loses messages: their numbers are then missing, and counted.";

const PUBLISH_EXAMPLES: &str = "\
Examples:
  castra bus publish --vm web --topic deploy v2
  date | castra bus publish --topic clock -";

const TAIL_EXAMPLES: &str = "\
Examples:
  castra bus tail                                what was said lately
  castra bus tail --follow --topic build         and what comes, on one topic
  castra bus tail -n 0 --follow                  only what comes

The broker keeps the last messages of each VM for as long as it lives.";

/// Messages between guests and the host
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct BusArgs {
    #[command(subcommand)]
    command: BusCommand,
}

#[derive(Debug, Subcommand)]
enum BusCommand {
    Publish(PublishArgs),
    Tail(TailArgs),
}

/// Send a message to a guest
#[derive(Debug, Args)]
#[command(after_help = PUBLISH_EXAMPLES)]
struct PublishArgs {
    /// The VM; may be left out where there is only one
    #[arg(long, value_name = "VM")]
    vm: Option<VmName>,

    /// What it is about: letters, digits and any of `. _ - /`
    #[arg(short, long, value_name = "TOPIC")]
    topic: String,

    /// The message; `-` reads it from standard input
    #[arg(value_name = "MESSAGE")]
    message: String,

    #[command(flatten)]
    reach: ReachArgs,

    #[command(flatten)]
    workspace: WorkspaceArgs,
}

/// Show messages of guests and to them
#[derive(Debug, Args)]
#[command(after_help = TAIL_EXAMPLES)]
struct TailArgs {
    /// Only of this VM
    #[arg(long, value_name = "VM")]
    vm: Option<VmName>,

    /// Only on this topic
    #[arg(short, long, value_name = "TOPIC")]
    topic: Option<String>,

    /// Go on showing what comes, until interrupted
    #[arg(short, long)]
    follow: bool,

    /// Only the last messages of those that were [default: all that are kept]
    #[arg(short = 'n', long = "tail", value_name = "MESSAGES")]
    last: Option<usize>,

    #[command(flatten)]
    workspace: WorkspaceArgs,
}

pub(super) fn run(args: &BusArgs, face: &Face) -> Result<u8, CliError> {
    match &args.command {
        BusCommand::Publish(args) => run_publish(args, face),
        BusCommand::Tail(args) => run_tail(args, face),
    }
}

fn run_publish(args: &PublishArgs, face: &Face) -> Result<u8, CliError> {
    let message = match args.message.as_str() {
        "-" => from_input().map_err(|source| TerminalError::Carry { source })?,
        text => text.as_bytes().to_vec(),
    };
    let options = PublishOptions {
        guest: face.guest(args.workspace.workspace.as_ref(), args.vm.clone(), &args.reach),
        topic: args.topic.clone(),
        message,
    };
    face.answer(
        &publish(&face.session, &options, &mut |note| face.diagnose_all(&[note]))?,
        render::published,
    )?;
    Ok(OK)
}

/// Standard input, up to one byte more than a message may have.
fn from_input() -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::stdin().take(MAX_MESSAGE as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn run_tail(args: &TailArgs, face: &Face) -> Result<u8, CliError> {
    let options = TailOptions {
        workspace: face.workspace(args.workspace.workspace.as_ref()),
        vm: args.vm.clone(),
        topic: args.topic.clone(),
        last: args.last.unwrap_or(usize::MAX),
        follow: if args.follow { Follow::Yes } else { Follow::No },
    };
    let mut signals = Signals::catch()?;
    let mut failed = None;
    let outcome = tail(
        &face.session,
        &options,
        Some(signals.wake()),
        &mut |message| match render::bus_message(message, face.voice.format, &face.voice.out) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        },
    )?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    if let Caught::End(signal) = signals.take() {
        die_of(signal);
    }
    face.answer(&outcome, render::heard)?;
    Ok(OK)
}
