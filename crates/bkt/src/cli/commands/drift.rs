//! `bkt drift`.

use clap::Args;
use plasmavmc_term::exit::{OK, PENDING};

use super::registry;
use crate::cli::error::{CliError, none_failed};
use crate::cli::face::Face;
use crate::cli::outcomes::{DriftOutcome, Part};
use crate::cli::render;

const EXAMPLES: &str = "\
Examples:
  bkt drift                ends with 0 where nothing differs, with 2 where something does
  bkt drift --json | jq '.outcome.subsystems[].summary.operations[]'

Each line tells who changed it: the manifest, somebody by hand, or both.";

/// Show what differs between manifests and host, with every subsystem
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DriftArgs {}

pub(super) fn run(_: &DriftArgs, face: &Face) -> Result<u8, CliError> {
    let answers = registry(face)?.drift();
    none_failed(answers.failed)?;
    let subsystems: Vec<Part> =
        answers.answers.into_iter().map(|(id, summary)| Part { subsystem: id.to_owned(), summary }).collect();
    let clean = subsystems.iter().all(|part| part.summary.is_clean());
    face.answer(&DriftOutcome { subsystems, clean }, render::drift)?;
    Ok(if clean { OK } else { PENDING })
}
