//! `bkt man`.

use std::path::PathBuf;

use clap::Args;
use plasmavmc_term::exit::OK;

use crate::cli::docs::{man_pages, write_pages};
use crate::cli::error::CliError;
use crate::cli::face::Face;

const EXAMPLES: &str = "\
Examples:
  bkt man --out ~/.local/share/man/man1
  bkt man | man -l -              read the page of bkt itself";

/// Write the manual pages
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ManArgs {
    /// Write one page per command into this directory, instead of bkt's own to standard output
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &ManArgs, face: &Face) -> Result<u8, CliError> {
    let pages = man_pages();
    match &args.out {
        Some(dir) => write_pages(&Face::current_dir()?.join(dir), &pages)?,
        None => face.out.raw(pages.first().map(|page| page.text.as_bytes()).unwrap_or_default())?,
    }
    Ok(OK)
}
