//! `bkt vm plan`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::flags::PlanFlags;
use super::sync::{findings, shown};
use crate::cli::error::CliError;
use crate::cli::face::Face;
use crate::cli::outcomes::SyncOutcome;
use crate::manifest::VmManifest;
use crate::vm::observe::read_dumps;
use crate::vm::plan::{Observation, plan};
use crate::vm::sync::{plan_sync, with_backups};

const EXAMPLES: &str = "\
Examples:
  bkt vm plan                      as `bkt vm sync --dry-run`
  bkt vm plan --against dumps      without libvirt: dumps holds NAME.xml from `virsh dumpxml --inactive`

What a dump does not tell (autostart, the sizes of disks, whether a VM runs) is not compared, and no file
is looked at: a disk that two VMs share by different names, or under an overlay, is not found.";

/// Show what a sync would do, also without libvirt
///
/// Ends with 2 where something would change, or is left.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    flags: PlanFlags,

    /// Compare with the domains that were dumped into this directory
    #[arg(long, value_name = "DIR", conflicts_with = "connect")]
    against: Option<PathBuf>,
}

/// What a folder of dumps should have had, and has not: without a word every VM would seem to be missing.
fn unused(dir: &Path, observation: &Observation, manifest: &VmManifest) -> Vec<String> {
    if observation.domains.is_empty() && observation.unreadable.is_empty() {
        return vec![format!("`{}` holds no NAME.xml: every VM counts as missing", dir.display())];
    }
    let strange = observation.unreadable.iter().filter(|it| !manifest.vms.contains_key(it.name.as_str()));
    strange
        .map(|it| {
            format!(
                "`{}` is no domain's XML, and was passed over: {}",
                dir.join(format!("{}.xml", it.name)).display(),
                it.why
            )
        })
        .collect()
}

pub(super) fn run(args: &PlanArgs, face: &Face) -> Result<u8, CliError> {
    let place = face.place()?;
    let manifest = place.manifest()?;
    let options = args.flags.options(&manifest)?;
    let outcome = match &args.against {
        Some(dir) => {
            let observation = read_dumps(&place.current_dir.join(dir))?;
            for warning in unused(dir, &observation, &manifest.manifest) {
                face.voice.warn(&warning);
            }
            let plan = plan(&manifest.manifest, &observation, &options);
            SyncOutcome::new(Some(manifest.path), plan, Vec::new())
        }
        None => {
            let connection = place.connection(&manifest.manifest)?;
            let plan = plan_sync(&connection, &manifest.manifest, &options)?;
            let plan = with_backups(plan, &place.state());
            let findings = findings(&connection, &plan)?;
            SyncOutcome::new(Some(manifest.path), plan, findings)
        }
    };
    shown(&outcome.dry(), face)
}
