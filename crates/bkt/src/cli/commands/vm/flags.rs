//! What a person allows and asks for beside the manifest, for the commands that plan.

use std::collections::BTreeSet;

use clap::Args;
use clap::builder::TypedValueParser;
use plasmavmc_cli::one_of;

use super::targets::check_listed;
use crate::cli::error::CliError;
use crate::manifest::ManifestFile;
use crate::vm::plan::{Options, manifest_id};
use crate::vm::{Danger, Field};

/// What a person allows and asks for beside the manifest.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PlanFlags {
    /// Only these VMs
    #[arg(value_name = "VM")]
    vms: Vec<String>,

    /// Take over VMs of the manifest's names that were not made here, or are in the hands of another
    /// manifest; look at a --dry-run first
    #[arg(long)]
    adopt: bool,

    /// Undefine stopped VMs that were made from the manifest and left it; disks, NVRAM and TPM state
    /// stay, and VMs that were only adopted are let go of as they are
    #[arg(long)]
    prune: bool,

    /// Where somebody edited this field of a VM by hand, write it into the manifest
    #[arg(long, value_name = "FIELD", value_parser = fields(), conflicts_with = "keep_mine")]
    take_theirs: Vec<Field>,

    /// Where somebody edited a VM by hand, overwrite it with the manifest
    #[arg(long)]
    keep_mine: bool,

    /// Allow changes of boot, secure_boot and tpm: the guest may not boot, or ask for its recovery key
    #[arg(long)]
    allow_firmware_change: bool,

    /// Allow changes of disk_path and disk_bus: the guest may not find what it boots from
    #[arg(long)]
    allow_disk_change: bool,

    /// Grow disks that are smaller than disk_size_gb; they cannot be made smaller again
    #[arg(long)]
    grow_disks: bool,
}

/// The fields that can be taken.
fn fields() -> impl TypedValueParser<Value = Field> {
    one_of(Field::ALL.map(|field| (field.as_str(), field)))
}

impl PlanFlags {
    /// The options of a plan for that manifest.
    pub(super) fn options(&self, manifest: &ManifestFile) -> Result<Options, CliError> {
        if !self.prune {
            check_listed(&self.vms, &manifest.manifest)?;
        }
        let dangers = [
            (self.allow_firmware_change, Danger::FirmwareChange),
            (self.allow_disk_change, Danger::DiskChange),
            (self.grow_disks, Danger::GrowDisks),
        ];
        Ok(Options {
            only: (!self.vms.is_empty()).then(|| self.vms.iter().cloned().collect()),
            adopt: self.adopt,
            prune: self.prune,
            allowed: dangers.into_iter().filter(|(given, _)| *given).map(|(_, danger)| danger).collect(),
            keep_mine: self.keep_mine,
            take_theirs: self.take_theirs.iter().copied().collect::<BTreeSet<_>>(),
            manifest: Some(manifest_id(&manifest.path)),
        })
    }
}
