//! What is otherwise than when a plan was made: the VMs, their disks, the manifest.
//!
//! Whoever reviewed a plan reviewed what it was made from. Pure; who looks again is `sync.rs` and, just before
//! each definition, `apply`. Tests: in `plan_file.rs`, and on real libvirt in `tests/it/stale.rs`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::plan::{Action, Change, Decision, DiskStep, Entry, FileSeen, Files, Observation, Seen, VmPlan};
use super::{Field, Standing, Values, said, wanted};
use crate::manifest::VmDefinition;

/// One VM that is not what it was when the plan was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Stale {
    /// The VM.
    pub name: String,
    /// What is otherwise.
    pub what: String,
}

/// The disks that a plan makes, or makes VMs with, which are looked at again before it is applied.
pub fn disks(plan: &VmPlan) -> Vec<PathBuf> {
    let of = |entry: &Entry| match (&entry.action, &entry.disk) {
        (_, Some(DiskStep::Create { path, .. })) => Some(path.clone()),
        (Action::Create { blueprint }, _) => blueprint.text(Field::DiskPath).map(PathBuf::from),
        _ => None,
    };
    plan.vms.iter().filter_map(of).collect()
}

/// What the disk that a plan makes, or makes a VM with, has become since, where it was looked at.
pub fn stale_disk(entry: &Entry, files: &Files) -> Option<&'static str> {
    match (&entry.action, &entry.disk) {
        (_, Some(DiskStep::Create { path, .. })) => match files.get(path)? {
            FileSeen::Missing => None,
            _ => Some("has a disk now that was to be made"),
        },
        (Action::Create { blueprint }, _) => match files.get(Path::new(blueprint.text(Field::DiskPath)?))? {
            FileSeen::Missing => Some("has lost the disk that was there"),
            FileSeen::Disk { format, .. } if *format != blueprint.disk_format => {
                Some("has a disk of another format now")
            }
            FileSeen::NotPlain { .. } => Some("has something else in its disk's place now"),
            _ => None,
        },
        _ => None,
    }
}

/// What a VM does otherwise than when the plan was made: a change takes effect at another time then, and one
/// of a VM with a saved state may not fit that.
pub fn stale_standing(entry: &Entry, now: Standing) -> Option<&'static str> {
    match (entry.standing, now) {
        (Some(before), now) if before == now => None,
        (_, Standing::Running) => Some("was started"),
        (_, Standing::Saved) => Some("was saved"),
        (_, Standing::Stopped) => Some("was stopped"),
    }
}

/// The VMs of a plan to which it can no longer be applied.
pub fn stale(plan: &VmPlan, observation: &Observation) -> Vec<Stale> {
    let by_id: BTreeMap<_, &Seen> = observation.domains.iter().map(|seen| (seen.domain.id, seen)).collect();
    let is_named = |name: &str| observation.domains.iter().any(|seen| seen.domain.name == name);
    let mut stale = Vec::new();
    for entry in plan.vms.iter().filter(|entry| !entry.is_empty()) {
        let what = match (entry.id, &entry.action) {
            (_, Action::Create { .. }) if is_named(&entry.name) => Some("exists now".to_owned()),
            (_, Action::Create { .. }) => stale_disk(entry, &observation.files).map(str::to_owned),
            (Some(id), _) => match by_id.get(&id) {
                None => Some("is gone".to_owned()),
                Some(seen) if seen.domain.name != entry.name => {
                    Some(format!("was renamed to `{}`", seen.domain.name))
                }
                Some(seen) if Some(&seen.digest) != entry.digest.as_ref() => Some("was edited".to_owned()),
                Some(seen) => stale_standing(entry, seen.standing())
                    .or_else(|| stale_disk(entry, &observation.files))
                    .map(str::to_owned),
            },
            (None, _) => Some("has no UUID in the plan".to_owned()),
        };
        stale.extend(what.map(|what| Stale { name: entry.name.clone(), what }));
    }
    stale
}

/// What a manifest wants otherwise than when the plan was made.
pub fn stale_wish(entry: &Entry, definition: Option<&VmDefinition>) -> Option<String> {
    let leaves = matches!(entry.action, Action::Prune | Action::Release);
    let Some(definition) = definition else {
        return (!leaves).then(|| "left the manifest".to_owned());
    };
    let (planned, now): (Values, Values) = match &entry.action {
        Action::Prune | Action::Release => return Some("is in the manifest again".to_owned()),
        Action::Create { blueprint } => (blueprint.values.clone(), said(definition, &|_| true).values),
        _ => {
            let of_plan = |one: &&Change| matches!(one.decision, Decision::Make | Decision::TakeTheirs);
            let planned = entry.changes.iter().filter(of_plan);
            (planned.map(|one| (one.field, one.to.clone())).collect(), wanted(definition, &|_| true).values)
        }
    };
    let differs = |field: &Field| match (planned.get(field), now.get(field), &entry.action) {
        // A medium that was not there when the plan was made is not in it.
        (Some(Value::Array(planned)), Some(Value::Array(now)), _) => {
            !planned.iter().all(|one| now.contains(one))
        }
        // What a manifest leaves open was decided in the plan.
        (Some(_), None, Action::Create { .. }) => false,
        (None, Some(_), Action::Create { .. }) => true,
        (Some(planned), now, _) => Some(planned) != now,
        (None, ..) => false,
    };
    let field = Field::ALL.into_iter().find(differs)?;
    Some(format!("is to have another `{field}` by the manifest now"))
}
