//! `bkt completions`.

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};
use plasmavmc_term::exit::OK;

use crate::cli::args;
use crate::cli::error::CliError;
use crate::cli::face::Face;

const EXAMPLES: &str = "\
Examples:
  bkt completions bash > ~/.local/share/bash-completion/completions/bkt
  bkt completions zsh > ~/.zfunc/_bkt
  bkt completions fish > ~/.config/fish/completions/bkt.fish";

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs, face: &Face) -> Result<u8, CliError> {
    let mut script = Vec::new();
    generate(args.shell, &mut args::Args::command(), "bkt", &mut script);
    face.out.raw(&script)?;
    Ok(OK)
}
