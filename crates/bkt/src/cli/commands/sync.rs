//! `bkt sync`.

use clap::Args;
use plasmavmc_term::exit::{OK, PENDING};

use super::registry;
use crate::cli::error::{CliError, none_failed};
use crate::cli::face::Face;
use crate::cli::outcomes::{Part, WholeOutcome};
use crate::cli::render;
use crate::subsystem::{Failure, Plan};

const EXAMPLES: &str = "\
Examples:
  bkt sync --dry-run       what would change, of every subsystem
  bkt sync                 change it
  bkt vm sync --help       what there is for VMs alone: --adopt, --prune, reviewed plans";

/// Make the host what its manifests say, with every subsystem
///
/// Ends with 2 where something is left that a person has to decide.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SyncArgs {
    /// Change nothing; end with 2 where something would change
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &SyncArgs, face: &Face) -> Result<u8, CliError> {
    let registry = registry(face)?;
    let (plan, failed) = registry.plan_sync();
    whole(plan, failed, args.dry_run, face)
}

/// Shows a plan of every subsystem and, where it is no dry run, executes it.
pub(super) fn whole(
    plan: crate::subsystem::CompositePlan<'_>,
    failed: Vec<crate::subsystem::SubsystemError>,
    dry_run: bool,
    face: &Face,
) -> Result<u8, CliError> {
    let mut failures: Vec<Failure> = failed.into_iter().map(Into::into).collect();
    let described = plan.describe_parts();
    let pending = described.iter().any(|(_, summary)| !summary.is_clean());
    let subsystems: Vec<Part> =
        described.into_iter().map(|(id, summary)| Part { subsystem: id.to_owned(), summary }).collect();
    let mut outcome =
        WholeOutcome { dry_run, subsystems, done: Vec::new(), warnings: Vec::new(), clean: !pending };
    if !dry_run && !plan.is_empty() {
        let report = Box::new(plan).execute(&mut |line| face.voice.note(line))?;
        outcome.clean = !report.left;
        outcome.done = report.done;
        outcome.warnings = report.warnings;
        failures.extend(report.failed);
    }
    outcome.clean &= failures.is_empty();
    outcome.warnings.iter().for_each(|warning| face.voice.warn(warning));
    face.answer(&outcome, render::whole)?;
    none_failed(failures)?;
    Ok(if outcome.clean { OK } else { PENDING })
}
