//! The VMs that a command is told by name.

use clap::Args;
use plasmavmc_libvirt::virsh::Observed;

use crate::cli::error::CliError;
use crate::manifest::{VmManifest, nearest};
use crate::vm::power::{PowerError, Target};

/// Which VMs: those that are named, or all.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// The VMs
    #[arg(value_name = "VM", required_unless_present = "all")]
    pub(super) vms: Vec<String>,

    /// Every VM of the manifest
    #[arg(long, conflicts_with = "vms")]
    pub(super) all: bool,
}

/// Refuses names that the manifest does not list.
pub(super) fn check_listed(names: &[String], manifest: &VmManifest) -> Result<(), CliError> {
    let known: Vec<&str> = manifest.vms.keys().map(AsRef::as_ref).collect();
    check_known(names, "the manifest", &known)
}

/// Refuses names that are none of those `place` knows.
pub(super) fn check_known(names: &[String], place: &'static str, known: &[&str]) -> Result<(), CliError> {
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let near = nearest(name, known).map(str::to_owned);
            Err(CliError::NoSuchVm { name: name.clone(), place, near })
        }
    }
}

/// The VMs of those names, in their order, each once.
pub(super) fn find(
    names: &[String],
    manifest: &VmManifest,
    observed: &[Observed],
) -> Result<Vec<Target>, PowerError> {
    let mut targets: Vec<Target> = Vec::new();
    for name in names {
        let found = observed.iter().find(|one| one.name == *name).ok_or_else(|| PowerError::NoSuchVm {
            name: name.clone(),
            listed: manifest.vms.contains_key(name.as_str()),
        })?;
        if targets.iter().all(|target| target.id != found.id) {
            targets.push(Target {
                name: name.clone(),
                id: found.id,
                saved: found.managed_save,
                persistent: found.persistent,
            });
        }
    }
    Ok(targets)
}

/// The VMs that the manifest lists and libvirt has: what `--all` means. Others of the host are none of a
/// manifest's business.
pub(super) fn all(manifest: &VmManifest, observed: &[Observed]) -> Vec<Target> {
    let is_listed = |one: &&Observed| manifest.vms.contains_key(one.name.as_str());
    let target = |one: &Observed| Target {
        name: one.name.clone(),
        id: one.id,
        saved: one.managed_save,
        persistent: one.persistent,
    };
    observed.iter().filter(is_listed).map(target).collect()
}
