//! `bkt schema`.

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use plasmavmc_term::OutputFormat;
use plasmavmc_term::exit::OK;

use crate::cli::error::CliError;
use crate::cli::face::Face;
use crate::cli::schemas::Schema;

const EXAMPLES: &str = "\
Examples:
  bkt schema > manifests/vms.schema.json   for editors: put \"$schema\": \"vms.schema.json\" into vms.json
  bkt schema vm-status                     every line of `bkt vm status --json`";

/// Print the JSON Schema of the manifest, or of a command's --json output
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SchemaArgs {
    /// What to describe
    #[arg(value_name = "WHAT", default_value = "manifest", value_parser = schemas())]
    schema: Schema,
}

fn schemas() -> impl TypedValueParser<Value = Schema> {
    let value = |schema: Schema| PossibleValue::new(schema.as_str()).help(schema.describes());
    PossibleValuesParser::new(Schema::ALL.map(value))
        .map(|word| Schema::named(&word).expect("every word on the list is a schema"))
}

pub(super) fn run(args: &SchemaArgs, face: &Face) -> Result<u8, CliError> {
    let schema = args.schema.to_value();
    match face.format {
        OutputFormat::Json => face.out.json(&schema)?,
        OutputFormat::Human => face.out.print(&format!("{schema:#}"))?,
    }
    Ok(OK)
}
