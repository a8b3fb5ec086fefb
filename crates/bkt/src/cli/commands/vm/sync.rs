//! `bkt vm sync`.

use std::path::{Path, PathBuf};

use clap::Args;
use plasmavmc_cli::Voice;
use plasmavmc_libvirt::virsh::Connection;
use plasmavmc_term::exit::{OK, PENDING};

use super::flags::PlanFlags;
use crate::cli::error::{CliError, none_failed};
use crate::cli::face::Face;
use crate::cli::outcomes::{DoneVm, FailedVm, SyncOutcome};
use crate::cli::render;
use crate::manifest::{Environment, ManifestError, ManifestFile};
use crate::subsystem::Failure;
use crate::vm::Place;
use crate::vm::apply::{ApplyError, Done, NotApplied, Report};
use crate::vm::into_manifest::taken;
use crate::vm::plan::{VmPlan, is_here};
use crate::vm::plan_file::{Machine, PlanFile};
use crate::vm::preflight::{Facts, Finding, by_cause, preflight};
use crate::vm::sync::{as_vms_stand, execute, hold, plan_sync, with_backups};

const EXAMPLES: &str = "\
Examples:
  bkt vm sync --dry-run              what would change, and when each change takes effect
  bkt vm sync                        change it
  bkt vm sync win11                  only that VM
  bkt vm sync --adopt --dry-run      what would change of VMs that were not made here
  bkt vm sync --take-theirs memory   write memory that somebody changed by hand into the manifest
  bkt vm sync --out plan.json        keep the plan for a review; change nothing
  bkt vm sync --plan plan.json       do exactly that, or nothing where a VM is no longer what it was

A VM is never stopped, destroyed or undefined (but by --prune). What a running VM cannot take on
waits for its next cold boot. Every change is proved: what is not in the plan is as it was, or the
VM is put back.";

/// Make the VMs what the manifest says
///
/// Ends with 2 where something is left that a person has to decide, or waits for a VM's next cold boot.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SyncArgs {
    #[command(flatten)]
    flags: PlanFlags,

    /// Change nothing; end with 2 where something would change
    #[arg(long)]
    dry_run: bool,

    /// Change nothing, and write the plan into a file
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    out: Option<PathBuf>,

    /// Apply the plan of a file, whole or not at all
    #[arg(long, value_name = "FILE", conflicts_with_all = ["out", "vms", "adopt", "prune", "take_theirs",
        "keep_mine", "allow_firmware_change", "allow_disk_change", "grow_disks"])]
    plan: Option<PathBuf>,
}

pub(super) fn run(args: &SyncArgs, face: &Face) -> Result<u8, CliError> {
    let place = face.place()?;
    if let Some(path) = &args.plan {
        return from_file(path, args.dry_run, &place, face);
    }
    if let Some(out) = &args.out {
        PlanFile::may_write(&place.current_dir.join(out))?;
    }
    let manifest = place.manifest()?;
    let options = args.flags.options(&manifest)?;
    let connection = place.connection(&manifest.manifest)?;
    let plan = with_backups(plan_sync(&connection, &manifest.manifest, &options)?, &place.state());
    let findings = findings(&connection, &plan)?;
    let mut outcome = SyncOutcome::new(Some(manifest.path.clone()), plan, findings);
    if let Some(out) = &args.out {
        let path = place.current_dir.join(out);
        PlanFile::new(outcome.plan.clone(), Machine::of(&connection)?).write(&path)?;
        face.voice.note(&format!("wrote {}", path.display()));
    }
    if args.dry_run || args.out.is_some() {
        return shown(&outcome.dry(), face);
    }
    warn_of(&outcome.findings, face);
    outcome.taken = take_theirs(&outcome.plan, &manifest, &place)?;
    let mut told = teller(face.voice);
    let report =
        execute(&outcome.plan, &manifest.manifest, &options, &connection, &place.state(), &mut told)?;
    finish(outcome, report, face)
}

/// Applies the plan of a file.
fn from_file(path: &Path, dry_run: bool, place: &Place, face: &Face) -> Result<u8, CliError> {
    let file = PlanFile::read(&place.current_dir.join(path))?;
    // The plan is for one libvirt and no other, whatever else is said.
    let uri = place.connect.clone().unwrap_or_else(|| file.plan.uri.clone());
    let connection = Connection::new(Some(uri))?;
    let outcome = SyncOutcome::new(None, as_vms_stand(file.plan.clone(), &connection)?, Vec::new());
    if dry_run {
        return shown(&outcome.dry(), face);
    }
    let state = place.state();
    let held = hold(&file, &connection, &state)?;
    // Before anything is written: a plan that is out of date changes no manifest either.
    let manifest = match place.manifest() {
        Ok(manifest) => Some(manifest),
        // Who applies a reviewed plan needs no manifest, unless that is to change.
        Err(ManifestError::NotFound { .. }) if file.plan.taken().is_empty() => None,
        Err(error) => return Err(error.into()),
    };
    if let Some(manifest) = manifest {
        held.is_of(&manifest)?;
        take_theirs(&file.plan, &manifest, place)?;
    }
    finish(outcome, held.apply(&mut teller(face.voice)), face)
}

/// Writes into the manifest what somebody changed by hand and is to stay. Tells whether there was any.
fn take_theirs(plan: &VmPlan, manifest: &ManifestFile, place: &Place) -> Result<bool, CliError> {
    let edits = taken(plan);
    if edits.is_empty() {
        return Ok(false);
    }
    let env = Environment { file: &manifest.path, home: place.dirs.home() };
    let (text, _) = edits.apply(&manifest.text, env)?;
    manifest.replace(&text)?;
    Ok(true)
}

/// What is wrong with the host for a plan that does something.
pub(super) fn findings(connection: &Connection, plan: &VmPlan) -> Result<Vec<Finding>, CliError> {
    // What this machine has says nothing of another.
    if plan.is_empty() || !is_here(&plan.uri) {
        return Ok(Vec::new());
    }
    Ok(preflight(plan, &Facts::gather(connection, plan)?))
}

/// VMs that a warning names; of more it tells the number.
const NAMED: usize = 3;

fn warn_of(findings: &[Finding], face: &Face) {
    for (vms, finding) in by_cause(findings) {
        let more = match vms.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let vms = vms[..vms.len().min(NAMED)].join(", ");
        face.voice.warn(&format!("{vms}{more}: {finding}"));
        face.voice.hint(&finding.next);
    }
}

/// Shows a plan that is not executed.
pub(super) fn shown(outcome: &SyncOutcome, face: &Face) -> Result<u8, CliError> {
    face.answer(outcome, render::sync)?;
    warn_of(&outcome.findings, face);
    Ok(if outcome.clean { OK } else { PENDING })
}

/// Tells a person of each VM as it is done.
fn teller(voice: &Voice) -> impl FnMut(&str, Result<&Done, &ApplyError>) + '_ {
    move |name, result| match result {
        Ok(done) => done.steps.iter().for_each(|step| voice.note(&format!("{name}: {step}"))),
        Err(error) => voice.warn(&format!("{name}: {error}")),
    }
}

fn finish(outcome: SyncOutcome, report: Report, face: &Face) -> Result<u8, CliError> {
    for done in &report.done {
        done.warnings.iter().for_each(|warning| face.voice.warn(&format!("{}: {warning}", done.name)));
    }
    let done = |one: Done| DoneVm { vm: one.name, steps: one.steps, warnings: one.warnings };
    let why = |(vm, error): &(String, ApplyError)| FailedVm { vm: vm.clone(), error: error.to_string() };
    let failed = report.failed.iter().map(why).collect();
    let outcome = outcome.done(report.done.into_iter().map(done).collect(), failed);
    // Also where some failed: the others were changed, and nobody should have to look for which.
    face.answer(&outcome, render::sync)?;
    let failure = |(target, error): (String, ApplyError)| {
        let error = Box::new(NotApplied::new(target.clone(), error));
        Failure { target, error }
    };
    none_failed(report.failed.into_iter().map(failure).collect())?;
    Ok(if outcome.clean { OK } else { PENDING })
}
