//! `bkt vm`: the VMs alone, with everything that is special about them.

mod capture;
mod fetch;
mod flags;
mod plan;
mod power;
mod start;
mod status;
mod stop;
mod sync;
mod targets;

use clap::{Args, Subcommand};

use crate::cli::error::CliError;
use crate::cli::face::Face;

const EXAMPLES: &str = "\
Examples:
  bkt vm capture           write manifests/vms.json from the VMs there are
  bkt vm sync --dry-run    what would change, and when each change takes effect
  bkt vm sync              change it
  bkt vm status            what every VM is doing, and what differs from the manifest
  bkt vm start win11
  bkt vm stop --all        every VM of the manifest, by its own power button";

/// Virtual machines, through virsh
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct VmArgs {
    #[command(subcommand)]
    command: VmCommand,
}

#[derive(Debug, Subcommand)]
enum VmCommand {
    Sync(sync::SyncArgs),
    Plan(plan::PlanArgs),
    Capture(capture::CaptureArgs),
    Status(status::StatusArgs),
    Start(start::StartArgs),
    Stop(stop::StopArgs),
    Fetch(fetch::FetchArgs),
}

pub(super) fn run(args: &VmArgs, face: &Face) -> Result<u8, CliError> {
    match &args.command {
        VmCommand::Sync(args) => sync::run(args, face),
        VmCommand::Plan(args) => plan::run(args, face),
        VmCommand::Capture(args) => capture::run(args, face),
        VmCommand::Status(args) => status::run(args, face),
        VmCommand::Start(args) => start::run(args, face),
        VmCommand::Stop(args) => stop::run(args, face),
        VmCommand::Fetch(args) => fetch::run(args, face),
    }
}
