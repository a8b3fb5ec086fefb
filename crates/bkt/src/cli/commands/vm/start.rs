//! `bkt vm start`.

use clap::Args;

use super::power;
use super::targets::Which;
use crate::cli::error::CliError;
use crate::cli::face::Face;
use crate::vm::power::start;

const EXAMPLES: &str = "\
Examples:
  bkt vm start win11
  bkt vm start --all       every VM of the manifest
  bkt vm start -- --all    a VM that is called `--all`

A VM that runs is left alone; one that is paused goes on, one with a saved state goes on from there.";

/// Start VMs
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StartArgs {
    #[command(flatten)]
    which: Which,
}

pub(super) fn run(args: &StartArgs, face: &Face) -> Result<u8, CliError> {
    power::each(&args.which, face, start)
}
