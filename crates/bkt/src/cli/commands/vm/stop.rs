//! `bkt vm stop`.

use std::time::Duration;

use clap::Args;

use super::power;
use super::targets::Which;
use crate::cli::error::CliError;
use crate::cli::face::Face;
use crate::vm::power::{PowerNotice, STOP_BOUND, StopHow, stop};

const EXAMPLES: &str = "\
Examples:
  bkt vm stop win11                  its guest is asked to power off, and waited for
  bkt vm stop --timeout 600 win11    a guest that installs updates first
  bkt vm stop --all                  every VM of the manifest, one after the other
  bkt vm stop --force win11          pull its plug: what is not on its disk yet is lost

A guest that does not power off in time is a failure (exit code 8), and the VM goes on running.";

/// Stop VMs: by their power button, or by pulling their plug
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StopArgs {
    #[command(flatten)]
    which: Which,

    /// End the VM's process at once; what its guest has not written to disk yet is lost
    #[arg(long, conflicts_with = "timeout")]
    force: bool,

    /// Stop a transient VM too: its definition is kept nowhere, and goes with it
    #[arg(long)]
    lose_definition: bool,

    /// How long each guest may take to power off, in seconds [default: 120]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: Option<u64>,
}

pub(super) fn run(args: &StopArgs, face: &Face) -> Result<u8, CliError> {
    let how = match args.force {
        true => StopHow::Force,
        false => StopHow::Ask { bound: args.timeout.map_or(STOP_BOUND, Duration::from_secs) },
    };
    power::each(&args.which, face, |connection, target| {
        let mut tell = |notice: PowerNotice| match notice {
            PowerNotice::Asked { .. } => face.voice.note(&format!("{}: {notice}", target.name)),
            _ => face.voice.warn(&format!("{}: {notice}", target.name)),
        };
        stop(connection, target, how, args.lose_definition, &mut tell)
    })
}
