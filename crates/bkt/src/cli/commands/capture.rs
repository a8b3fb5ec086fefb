//! `bkt capture`.

use clap::Args;

use super::registry;
use super::sync::whole;
use crate::cli::error::CliError;
use crate::cli::face::Face;

const EXAMPLES: &str = "\
Examples:
  bkt capture --dry-run    what the manifests would say
  bkt capture              write it
  bkt vm capture --help    what there is for VMs alone: single VMs, --check, --lossy";

/// Make the manifests say what the host has, with every subsystem
///
/// Nothing of the host changes, and nothing is removed from a manifest. Ends with 2 where something cannot
/// be said.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CaptureArgs {
    /// Write nothing; end with 2 where something would be written
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &CaptureArgs, face: &Face) -> Result<u8, CliError> {
    let registry = registry(face)?;
    let (plan, failed) = registry.plan_capture();
    whole(plan, failed, args.dry_run, face)
}
