//! `bkt vm fetch`.

use clap::Args;
use plasmavmc_host::image::{DownloadPolicy, ImageProgress};
use plasmavmc_term::exit::OK;

use super::targets::{Which, check_listed};
use crate::cli::error::{CliError, none_failed};
use crate::cli::face::Face;
use crate::cli::outcomes::{FetchOutcome, FetchedVm};
use crate::cli::render;
use crate::subsystem::Failure;
use crate::vm::fetch::fetch;

const EXAMPLES: &str = "\
Examples:
  bkt vm fetch win11       the media of win11 that its manifest names by URL
  bkt vm fetch --all       those of every VM
  bkt vm sync win11        then puts them into its drives

Each lands beside the VM's disk, where QEMU may read it. A fetch that broke off goes on where it was;
what is there already is not fetched again, only held against its `checksum`, or what it was when it came.";

/// Fetch installation media that a manifest names by URL
///
/// Nothing else of bkt ever downloads anything.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct FetchArgs {
    #[command(flatten)]
    which: Which,
}

pub(super) fn run(args: &FetchArgs, face: &Face) -> Result<u8, CliError> {
    let manifest = face.place()?.manifest()?.manifest;
    check_listed(&args.which.vms, &manifest)?;
    let mut outcome = FetchOutcome { vms: Vec::new() };
    let mut failures = Vec::new();
    for (name, definition) in &manifest.vms {
        if !args.which.all && !args.which.vms.iter().any(|wanted| wanted == name.as_str()) {
            continue;
        }
        let mut bar = face.voice.transfer();
        let mut report = |progress: ImageProgress| match progress {
            ImageProgress::Started { url, .. } => face.voice.note(&format!("{name}: fetching {url}")),
            ImageProgress::Progress { image, done_bytes, total_bytes } => {
                bar.at(done_bytes, total_bytes, &image);
            }
            ImageProgress::Retried { reason, .. } => {
                face.voice.warn(&format!("{name}: trying again: {reason}"));
            }
            ImageProgress::Verified { .. } => {}
        };
        match fetch(definition, &DownloadPolicy::default(), &mut report) {
            Ok(media) => outcome.vms.push(FetchedVm { vm: name.to_string(), media }),
            Err(error) => failures.push(Failure { target: name.to_string(), error: Box::new(error) }),
        }
    }
    none_failed(failures)?;
    face.answer(&outcome, render::fetched)?;
    Ok(OK)
}
