//! `castra broker`: the process that serves a workspace's guest channels. Hidden: `castra up` starts it.

use std::path::PathBuf;

use clap::Args;
use plasmavmc_term::exit::OK;

use crate::cli::error::CliError;
use crate::cli::face::Face;
use crate::core::broker::{ServeOptions, Stay, serve};

/// Serve the guest channels of a workspace until no VM lives
#[derive(Debug, Args)]
pub(crate) struct BrokerArgs {
    /// The workspace's root
    #[arg(long, value_name = "DIR")]
    root: PathBuf,

    /// Stay without a VM too, until `castra down`
    #[arg(long)]
    stay: bool,
}

pub(super) fn run(args: &BrokerArgs, face: &Face) -> Result<u8, CliError> {
    let stay = if args.stay { Stay::UntilDown } else { Stay::WithVms };
    let options = ServeOptions { root: face.session.cwd.join(&args.root), stay };
    serve(&face.session, &options, &|_| {})?;
    Ok(OK)
}
