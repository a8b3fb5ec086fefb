//! `bkt docs`: the pages of `docs/` that are made from the command line's definitions. Hidden: it serves
//! this repository.

use std::path::PathBuf;

use clap::Args;
use plasmavmc_term::exit::OK;

use crate::cli::docs::{markdown_pages, write_pages};
use crate::cli::error::CliError;
use crate::cli::face::Face;

/// Write the generated pages of docs/
#[derive(Debug, Args)]
pub(crate) struct DocsArgs {
    /// The directory
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(super) fn run(args: &DocsArgs, _: &Face) -> Result<u8, CliError> {
    write_pages(&Face::current_dir()?.join(&args.out), &markdown_pages())?;
    Ok(OK)
}
