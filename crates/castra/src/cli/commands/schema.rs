//! `castra schema`.

use clap::Args;
use plasmavmc_cli::Schema;
use plasmavmc_term::exit::OK;

use crate::cli::error::CliError;
use crate::cli::face::Face;
use crate::cli::schemas::SCHEMAS;

const EXAMPLES: &str = "\
Examples:
  castra schema > castra.schema.json     for editors: put `#:schema castra.schema.json` into castra.toml
  castra schema status                   every line of `castra status --json`";

/// Print the JSON Schema of castra.toml, or of a command's --json output
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SchemaArgs {
    /// What to describe
    #[arg(value_name = "WHAT", default_value = "config", value_parser = Schema::named(SCHEMAS))]
    schema: &'static Schema,
}

pub(super) fn run(args: &SchemaArgs, face: &Face) -> Result<u8, CliError> {
    face.voice.schema(args.schema)?;
    Ok(OK)
}
