//! `castra ports`.

use clap::Args;
use plasmavmc_term::exit::OK;

use crate::cli::args::WorkspaceArgs;
use crate::cli::error::CliError;
use crate::cli::face::Face;
use crate::cli::render;
use crate::core::ports::{PortsOptions, ports};

const EXAMPLES: &str = "\
Examples:
  castra ports                       every forward of every known workspace
  castra ports --config castra.toml  only those of the project here
  castra ports --json | jq '.outcome.workspaces[].forwards[] | select(.state == \"conflict\")'";

/// Show port forwards, which of them are active, and who is in their way
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PortsArgs {
    #[command(flatten)]
    workspace: WorkspaceArgs,
}

pub(super) fn run(args: &PortsArgs, face: &Face) -> Result<u8, CliError> {
    let options = PortsOptions { selection: face.workspaces(args.workspace.workspace.as_ref()) };
    face.answer(&ports(&face.session, &options)?, render::ports)?;
    Ok(OK)
}
