//! `bkt vm start`.

use clap::Args;
use plasmavmc_term::exit::OK;

use super::targets;
use crate::cli::error::CliError;
use crate::cli::face::Face;
use crate::cli::outcomes::{PowerOutcomes, PoweredVm};
use crate::cli::render;
use crate::manifest::ManifestError;
use crate::subsystem::Failure;
use crate::vm::power::start;

const EXAMPLES: &str = "\
Examples:
  bkt vm start win11
  bkt vm start --all       every VM of the manifest
  bkt vm start -- --all    a VM that is called `--all`

A VM that runs is left alone; one that is paused goes on, one with a saved state goes on from there.";

/// Start VMs
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StartArgs {
    /// The VMs
    #[arg(value_name = "VM", required_unless_present = "all")]
    vms: Vec<String>,

    /// Every VM of the manifest
    #[arg(long, conflicts_with = "vms")]
    all: bool,
}

pub(super) fn run(args: &StartArgs, face: &Face) -> Result<u8, CliError> {
    let place = face.place()?;
    let manifest = match place.manifest() {
        Ok(file) => file.manifest,
        // A VM that is named needs no manifest.
        Err(ManifestError::NotFound { .. }) if !args.all => Default::default(),
        Err(error) => return Err(error.into()),
    };
    let connection = place.connection(&manifest)?;
    let observed = connection.reader().observe()?;
    let targets = match args.all {
        true => targets::all(&manifest, &observed),
        false => targets::find(&args.vms, &manifest, &observed)?,
    };
    let mut outcome = PowerOutcomes { uri: connection.shown_uri(), vms: Vec::new() };
    let mut failures = Vec::new();
    for target in &targets {
        match start(&connection, target) {
            Ok(done) => outcome.vms.push(PoweredVm { vm: target.name.clone(), outcome: done }),
            Err(error) => failures.push(Failure { target: target.name.clone(), error: Box::new(error) }),
        }
    }
    if !failures.is_empty() {
        outcome.vms.iter().for_each(|vm| face.note(&render::powered(vm)));
        return Err(CliError::Several { failures });
    }
    face.answer(&outcome, render::power)?;
    Ok(OK)
}
