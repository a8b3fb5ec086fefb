//! `bkt vm capture`.

use clap::Args;
use plasmavmc_term::exit::{OK, PENDING};

use crate::cli::error::CliError;
use crate::cli::face::Face;
use crate::cli::outcomes::CaptureOutcome;
use crate::cli::render;
use crate::manifest::{Environment, nearest};
use crate::vm::into_manifest::captured;
use crate::vm::observe::observe;
use crate::vm::{CaptureOptions, capture};

const EXAMPLES: &str = "\
Examples:
  bkt vm capture                   every VM there is, into manifests/vms.json
  bkt vm capture win11             only that VM
  bkt vm capture --check           write nothing: is the manifest still what the VMs are?
  bkt vm capture --lossy old       also what a manifest cannot say all of

A VM that the manifest has keeps its entry: the fields it says take the VM's values, and the order,
the layout and comments of the file stay. A VM that it does not have is added where a manifest can
say all of it; else what would be lost is told, and --lossy adds it. Nothing is removed, no VM is
changed.";

/// Make the manifest say what the VMs are
///
/// Ends with 2 where a VM was left out, or with --check where something would be written.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CaptureArgs {
    /// Only these VMs
    #[arg(value_name = "VM")]
    vms: Vec<String>,

    /// Write nothing; end with 2 where something would be written or cannot be said
    #[arg(long)]
    check: bool,

    /// Add VMs of which a manifest cannot say everything
    #[arg(long)]
    lossy: bool,
}

pub(super) fn run(args: &CaptureArgs, face: &Face) -> Result<u8, CliError> {
    let place = face.place()?;
    let manifest = place.manifest_or_begin()?;
    let connection = place.connection(&manifest.manifest)?;
    let observation = observe(&connection, &manifest.manifest)?;
    let options = CaptureOptions {
        only: (!args.vms.is_empty()).then(|| args.vms.iter().cloned().collect()),
        lossy: args.lossy,
    };
    let capture = capture(&manifest.manifest, &observation, &options);
    if let Some(name) = args.vms.iter().find(|name| capture.vms.iter().all(|one| one.name != **name)) {
        let known: Vec<&str> = observation.domains.iter().map(|seen| seen.domain.name.as_str()).collect();
        let near = nearest(name, &known).map(str::to_owned);
        return Err(CliError::NoSuchVm { name: name.clone(), place: "libvirt", near });
    }
    let writes = !args.check && !capture.is_empty();
    if writes {
        let env = Environment { file: &manifest.path, home: place.dirs.home() };
        let (text, _) = captured(&capture).apply(&manifest.text, env)?;
        manifest.replace(&text)?;
    }
    let outcome = CaptureOutcome::new(manifest.path.clone(), capture, writes);
    let clean = if args.check { outcome.capture.is_empty() && outcome.is_whole } else { outcome.is_whole };
    face.answer(&outcome, render::capture)?;
    Ok(if clean { OK } else { PENDING })
}
