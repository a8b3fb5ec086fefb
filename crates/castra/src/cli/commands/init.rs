//! `castra init`.

use clap::Args;
use plasmavmc_term::exit::OK;

use crate::cli::error::CliError;
use crate::cli::face::Face;
use crate::cli::render;
use crate::config::ProjectName;
use crate::core::init::{InitOptions, Replace, init};

const EXAMPLES: &str = "\
Examples:
  castra init                      castra.toml in this directory
  castra init --name shop          a project that is not called as its directory
  castra init --config vms/castra.toml
  castra init --force              replace the castra.toml that is there";

/// Write a castra.toml that works as it is
///
/// The project is called after its directory and has one VM on the default image, with SSH forwarded.
/// Tells where the VMs' state will be, and how to keep it beside the config instead.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InitArgs {
    /// What the project is called
    #[arg(long)]
    name: Option<ProjectName>,

    /// Replace a file that is there
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &InitArgs, face: &Face) -> Result<u8, CliError> {
    let options = InitOptions {
        config: face.config(),
        name: args.name.clone(),
        replace: if args.force { Replace::Yes } else { Replace::No },
    };
    face.answer(&init(&face.session, &options)?, render::init)?;
    Ok(OK)
}
