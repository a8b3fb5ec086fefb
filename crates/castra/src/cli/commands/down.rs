//! `castra down`.

use clap::Args;
use plasmavmc_term::exit::OK;
use plasmavmc_types::VmName;

use crate::cli::args::WorkspaceArgs;
use crate::cli::error::CliError;
use crate::cli::face::Face;
use crate::cli::render;
use crate::core::down::{DownOptions, Patience, down};
use crate::core::selection::targets;

const EXAMPLES: &str = "\
Examples:
  castra down                        every VM of every known workspace
  castra down --config castra.toml   only those of the project here
  castra down web                    only that VM of the project here
  castra down --workspace shop-0123456789ab
  castra down --now                  do not wait for the guests

A guest is asked to power off (ACPI) and given time; then QEMU gets SIGTERM, then SIGKILL. The waits
are in castra.toml under [lifecycle].";

/// Shut VMs down and discard their disks
///
/// Without a config or workspace, every VM of every known workspace. What a guest has written is lost
/// unless its VM is `persistent`; the disk space it took is told.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DownArgs {
    /// Only these VMs; of several projects' VMs of one name, that of the project here
    #[arg(value_name = "VM")]
    vms: Vec<VmName>,

    #[command(flatten)]
    workspace: WorkspaceArgs,

    /// Do not ask the guests: SIGTERM at once
    #[arg(long)]
    now: bool,
}

pub(super) fn run(args: &DownArgs, face: &Face) -> Result<u8, CliError> {
    let options = DownOptions {
        selection: face.workspaces(args.workspace.workspace.as_ref()),
        vms: args.vms.clone(),
        patience: if args.now { Patience::None } else { Patience::Configured },
    };
    let projects =
        targets(&face.session, &options.selection)?.targets.into_iter().filter_map(|target| target.project);
    let names: Vec<VmName> = projects.flat_map(|project| project.vms).map(|vm| vm.name).collect();
    let events = face.watch(&names);
    let outcome = down(&face.session, &options, &|event| events.show(event));
    drop(events);
    face.answer(&outcome?, render::down)?;
    Ok(OK)
}
