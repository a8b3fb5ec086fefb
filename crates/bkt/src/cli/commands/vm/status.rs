//! `bkt vm status`.

use clap::Args;
use plasmavmc_term::exit::{OK, PENDING};

use super::targets::check_known;
use crate::cli::error::CliError;
use crate::cli::face::Face;
use crate::cli::outcomes::VmStatusOutcome;
use crate::cli::render;
use crate::manifest::{ManifestError, VmManifest};
use crate::vm::observe::observe;
use crate::vm::plan::manifest_id;
use crate::vm::status::status;

const EXAMPLES: &str = "\
Examples:
  bkt vm status            every VM of the manifest, and every other VM there is
  bkt vm status win11      only that VM
  bkt vm status --json | jq '.outcome.vms[] | {name, state, pending}'

Reads only, through a connection that cannot write. Without a manifest it shows the VMs there are.";

/// Show what every VM is doing, and what differs from the manifest
///
/// Ends with 2 where a VM of the manifest is missing, differs from it, or runs with other values than it
/// will have after its next cold boot.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StatusArgs {
    /// Only these VMs
    #[arg(value_name = "VM")]
    vms: Vec<String>,
}

pub(super) fn run(args: &StatusArgs, face: &Face) -> Result<u8, CliError> {
    let place = face.place()?;
    let (path, manifest) = match place.manifest() {
        Ok(file) => (Some(file.path), file.manifest),
        Err(ManifestError::NotFound { .. }) => (None, VmManifest::default()),
        Err(error) => return Err(error.into()),
    };
    let connection = place.connection(&manifest)?;
    let mut status = status(&manifest, &observe(&connection, &manifest)?, path.as_deref().map(manifest_id));
    check_known(&args.vms, "libvirt", &status.vms.iter().map(|vm| vm.name.as_str()).collect::<Vec<_>>())?;
    if !args.vms.is_empty() {
        status.vms.retain(|vm| args.vms.contains(&vm.name));
    }
    let clean = status.is_clean();
    face.answer(&VmStatusOutcome { manifest: path, status, clean }, render::vm_status)?;
    Ok(if clean { OK } else { PENDING })
}
