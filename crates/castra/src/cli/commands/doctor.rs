//! `castra doctor`.

use clap::Args;
use plasmavmc_term::exit::{OK, exit_code};
use plasmavmc_types::ErrorKind;

use crate::cli::error::CliError;
use crate::cli::face::Face;
use crate::cli::render;
use crate::core::doctor::{CheckStatus, doctor};

const EXAMPLES: &str = "\
Examples:
  castra doctor
  castra doctor --json | jq -r '.outcome.checks[] | select(.status != \"ok\") | .hints[]'

Reads only: nothing is repaired. Exits with 4 where something does not work.";

/// Look at everything Castra depends on, and say what is wrong
///
/// QEMU and its tools, which accelerator has run a guest and how fast, disk space, the workspaces and
/// what dead commands left in them, and the images.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DoctorArgs {}

pub(super) fn run(_: &DoctorArgs, face: &Face) -> Result<u8, CliError> {
    let output = doctor(&face.session);
    face.answer(&output, render::doctor)?;
    Ok(match output.value.status {
        CheckStatus::Ok | CheckStatus::Warning => OK,
        CheckStatus::Problem => exit_code(ErrorKind::Preflight),
    })
}
