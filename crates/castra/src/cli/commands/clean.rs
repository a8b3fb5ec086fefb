//! `castra clean`.

use clap::Args;
use plasmavmc_term::exit::OK;

use crate::cli::error::CliError;
use crate::cli::face::Face;
use crate::cli::render;
use crate::core::clean::{CleanMode, CleanOptions, CleanScope, LiveVms, clean};
use crate::core::project::WorkspaceId;

const EXAMPLES: &str = "\
Examples:
  castra clean --dry-run             what would go, and how much space it takes
  castra clean                       the workspace of the project here
  castra clean --workspace shop-0123456789ab
  castra clean --global              every workspace in its default place, and unused images
  castra clean --force               spare live VMs instead of refusing

Images, overlays, logs, pidfiles, sockets and unfinished files go. Disks of persistent VMs, images
put there by hand, and all that belongs to a live VM stay. --global leaves all overlays.";

/// Remove what commands have left behind
///
/// Refuses, and removes nothing, while a VM of the workspace lives.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CleanArgs {
    /// One workspace: that of the project here, or the one of this id [default]
    #[arg(long, value_name = "ID", num_args = 0..=1, conflicts_with = "global")]
    workspace: Option<Option<WorkspaceId>>,

    /// Every workspace in its default place, and images nobody uses
    #[arg(long, conflicts_with_all = ["config", "skip_discovery"])]
    global: bool,

    /// Tell what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,

    /// Go on beside live VMs: nothing of theirs is touched
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &CleanArgs, face: &Face) -> Result<u8, CliError> {
    let id = args.workspace.as_ref().and_then(Option::as_ref);
    let options = CleanOptions {
        scope: if args.global { CleanScope::Global } else { CleanScope::Workspace(face.workspace(id)) },
        mode: if args.dry_run { CleanMode::DryRun } else { CleanMode::Remove },
        live: if args.force { LiveVms::Spare } else { LiveVms::Refuse },
    };
    // A dry run lists in its answer what a real one tells as it goes.
    let events = face.watch(&[]);
    let quiet = args.dry_run && face.voice.format == plasmavmc_term::OutputFormat::Human;
    let outcome = clean(&face.session, &options, &|event| {
        if !quiet {
            events.show(event);
        }
    });
    drop(events);
    face.answer(&outcome?, render::clean)?;
    Ok(OK)
}
