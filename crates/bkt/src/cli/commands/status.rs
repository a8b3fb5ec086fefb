//! `bkt status`.

use clap::Args;
use plasmavmc_term::exit::{OK, PENDING};

use super::registry;
use crate::cli::error::{CliError, none_failed};
use crate::cli::face::Face;
use crate::cli::outcomes::{PartStatus, StatusOutcome};
use crate::cli::render;

const EXAMPLES: &str = "\
Examples:
  bkt status               how everything stands that a manifest declares
  bkt vm status            the same of VMs, with what is pending and why";

/// Show how everything stands, with every subsystem
///
/// Reads only. Ends with 2 where something is not as its manifest has it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StatusArgs {}

pub(super) fn run(_: &StatusArgs, face: &Face) -> Result<u8, CliError> {
    let answers = registry(face)?.status();
    none_failed(answers.failed)?;
    let subsystems: Vec<PartStatus> = answers
        .answers
        .into_iter()
        .map(|(id, things)| PartStatus { subsystem: id.to_owned(), things })
        .collect();
    let clean = subsystems.iter().all(|part| part.things.iter().all(|thing| thing.clean));
    face.answer(&StatusOutcome { subsystems, clean }, render::status)?;
    Ok(if clean { OK } else { PENDING })
}
