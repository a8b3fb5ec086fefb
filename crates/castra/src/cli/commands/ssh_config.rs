//! `castra ssh-config`.

use clap::Args;
use plasmavmc_term::exit::OK;
use plasmavmc_types::VmName;

use crate::cli::args::WorkspaceArgs;
use crate::cli::error::CliError;
use crate::cli::face::Face;
use crate::cli::render;
use crate::core::ssh::{SshConfigOptions, Write, ssh_config};

const EXAMPLES: &str = "\
Examples:
  castra ssh-config --write      put it into the workspace; says the line for ~/.ssh/config
  castra ssh-config web          only this VM
  castra ssh-config > ssh.conf && ssh -F ssh.conf web

Each VM goes by its own name and by <project>.<vm>: `ssh shop.web`, `scp f shop.web:`, editors and Ansible.
What `--write` wrote is kept true by every `castra up`.";

/// Print the configuration with which plain ssh reaches the guests
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SshConfigArgs {
    /// Only these VMs
    #[arg(value_name = "VM")]
    vms: Vec<VmName>,

    /// Put it into the workspace instead of printing it, and say how plain ssh is told of it
    #[arg(long, conflicts_with = "vms")]
    write: bool,

    #[command(flatten)]
    workspace: WorkspaceArgs,
}

pub(super) fn run(args: &SshConfigArgs, face: &Face) -> Result<u8, CliError> {
    let options = SshConfigOptions {
        selection: face.workspace(args.workspace.workspace.as_ref()),
        vms: args.vms.clone(),
        write: if args.write { Write::Yes } else { Write::No },
    };
    face.answer(&ssh_config(&face.session, &options)?, render::ssh_config)?;
    Ok(OK)
}
