//! `bkt vm stop`.

use std::time::Duration;

use clap::Args;
use plasmavmc_term::exit::OK;

use super::targets;
use crate::cli::error::CliError;
use crate::cli::face::Face;
use crate::cli::outcomes::{PowerOutcomes, PoweredVm};
use crate::cli::render;
use crate::manifest::ManifestError;
use crate::subsystem::Failure;
use crate::vm::power::{PowerNotice, STOP_BOUND, StopHow, stop};

const EXAMPLES: &str = "\
Examples:
  bkt vm stop win11                  its guest is asked to power off, and waited for
  bkt vm stop --timeout 600 win11    a guest that installs updates first
  bkt vm stop --all                  every VM of the manifest, one after the other
  bkt vm stop --force win11          pull its plug: what is not on its disk yet is lost

A guest that does not power off in time is a failure (exit code 8), and the VM goes on running.";

/// Stop VMs: by their power button, or by pulling their plug
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StopArgs {
    /// The VMs
    #[arg(value_name = "VM", required_unless_present = "all")]
    vms: Vec<String>,

    /// Every VM of the manifest
    #[arg(long, conflicts_with = "vms")]
    all: bool,

    /// End the VM's process at once; what its guest has not written to disk yet is lost
    #[arg(long, conflicts_with = "timeout")]
    force: bool,

    /// How long each guest may take to power off, in seconds [default: 120]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: Option<u64>,
}

pub(super) fn run(args: &StopArgs, face: &Face) -> Result<u8, CliError> {
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
    let how = match args.force {
        true => StopHow::Force,
        false => StopHow::Ask { bound: args.timeout.map_or(STOP_BOUND, Duration::from_secs) },
    };
    let mut outcome = PowerOutcomes { uri: connection.shown_uri(), vms: Vec::new() };
    let mut failures = Vec::new();
    for target in &targets {
        let mut tell = |notice: PowerNotice| match notice {
            PowerNotice::Asked { .. } => face.note(&format!("{}: {notice}", target.name)),
            _ => face.warn(&format!("{}: {notice}", target.name)),
        };
        match stop(&connection, target, how, &mut tell) {
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
