//! What `bkt vm start` and `bkt vm stop` share: VMs are told one after the other, and each answers.

use plasmavmc_libvirt::virsh::Connection;
use plasmavmc_term::exit::OK;

use super::targets::{self, Which};
use crate::cli::error::{CliError, none_failed};
use crate::cli::face::Face;
use crate::cli::outcomes::{PowerOutcomes, PoweredVm};
use crate::cli::render;
use crate::manifest::{ManifestError, VmManifest};
use crate::subsystem::Failure;
use crate::vm::power::{PowerError, PowerOutcome, Target};

/// Does `act` to each of the VMs, whatever became of the others, and answers.
pub(super) fn each(
    which: &Which,
    face: &Face,
    mut act: impl FnMut(&Connection, &Target) -> Result<PowerOutcome, PowerError>,
) -> Result<u8, CliError> {
    let place = face.place()?;
    let manifest = match place.manifest() {
        Ok(file) => file.manifest,
        // A VM that is named needs no manifest.
        Err(ManifestError::NotFound { .. }) if !which.all => VmManifest::default(),
        Err(error) => return Err(error.into()),
    };
    let connection = place.connection(&manifest)?;
    let observed = connection.reader().observe()?;
    let targets = match which.all {
        true => targets::all(&manifest, &observed),
        false => targets::find(&which.vms, &manifest, &observed)?,
    };
    let mut outcome = PowerOutcomes { uri: connection.shown_uri(), vms: Vec::new() };
    let mut failures = Vec::new();
    for target in targets {
        match act(&connection, &target) {
            Ok(done) => outcome.vms.push(PoweredVm { vm: target.name, outcome: done }),
            Err(error) => failures.push(Failure { target: target.name, error: Box::new(error) }),
        }
    }
    if !failures.is_empty() {
        outcome.vms.iter().for_each(|vm| face.voice.note(&render::powered(vm)));
    }
    none_failed(failures)?;
    face.answer(&outcome, render::power)?;
    Ok(OK)
}
