//! The VMs as a subsystem: what `bkt sync`, `bkt capture`, `bkt status` and `bkt drift` see of them.
//!
//! Owns: which words of the VMs' own plan everyone understands. Never does: decide or write by itself.
//! Tests: on real libvirt in `tests/it`.

use plasmavmc_libvirt::virsh::Connection;

use super::apply::NotApplied;
use super::into_manifest::{captured, taken};
use super::observe::observe;
use super::plan::{Action, Decision, Entry, Options, VmPlan, manifest_id};
use super::status::{VmStatus, status};
use super::sync::{SyncError, execute, plan_sync, with_backups};
use super::{Capture, CaptureOptions, Field, Outcome, Place, capture};
use crate::manifest::{Environment, ManifestFile};
use crate::subsystem::{
    Failure, Operation, Plan, Report, Standing, Subsystem, SubsystemError, Summary, Told, Verb,
};

/// The id of this subsystem.
const ID: &str = "vm";

/// The VMs of a host.
#[derive(Debug, Clone)]
pub struct VmSubsystem {
    place: Place,
    options: Options,
}

impl VmSubsystem {
    /// The VMs of that place, synced with those options.
    pub const fn new(place: Place, options: Options) -> Self {
        Self { place, options }
    }
}

fn failed(error: impl plasmavmc_types::Explain + Send + Sync + 'static) -> SubsystemError {
    SubsystemError::new(ID, error)
}

impl Subsystem for VmSubsystem {
    fn id(&self) -> &'static str {
        ID
    }

    fn name(&self) -> &'static str {
        "virtual machines"
    }

    fn plan_sync(&self) -> Result<Box<dyn Plan + '_>, SubsystemError> {
        let manifest = self.place.manifest().map_err(failed)?;
        let connection = self.place.connection(&manifest.manifest).map_err(failed)?;
        let options = Options { manifest: Some(manifest_id(&manifest.path)), ..self.options.clone() };
        let plan = plan_sync(&connection, &manifest.manifest, &options).map_err(failed)?;
        let plan = with_backups(plan, &self.place.state());
        Ok(Box::new(SyncPlan { subsystem: self, manifest, options, connection, plan }))
    }

    fn plan_capture(&self) -> Result<Box<dyn Plan + '_>, SubsystemError> {
        let manifest = self.place.manifest_or_begin().map_err(failed)?;
        let connection = self.place.connection(&manifest.manifest).map_err(failed)?;
        let observation = observe(&connection, &manifest.manifest).map_err(failed)?;
        let capture = capture(&manifest.manifest, &observation, &CaptureOptions::default());
        Ok(Box::new(CapturePlan { subsystem: self, manifest, capture }))
    }

    fn status(&self) -> Result<Vec<Standing>, SubsystemError> {
        let manifest = self.place.manifest().map_err(failed)?;
        let connection = self.place.connection(&manifest.manifest).map_err(failed)?;
        let observation = observe(&connection, &manifest.manifest).map_err(failed)?;
        let status = status(&manifest.manifest, &observation, Some(manifest_id(&manifest.path)));
        Ok(status.vms.iter().map(standing).collect())
    }

    fn drift(&self) -> Result<Summary, SubsystemError> {
        let manifest = self.place.manifest().map_err(failed)?;
        let connection = self.place.connection(&manifest.manifest).map_err(failed)?;
        let options = Options { manifest: Some(manifest_id(&manifest.path)), ..Options::default() };
        let plan = plan_sync(&connection, &manifest.manifest, &options).map_err(failed)?;
        Ok(summary(&plan))
    }
}

/// What a sync does to the VMs.
struct SyncPlan<'s> {
    subsystem: &'s VmSubsystem,
    manifest: ManifestFile,
    options: Options,
    connection: Connection,
    plan: VmPlan,
}

impl Plan for SyncPlan<'_> {
    fn describe(&self) -> Summary {
        summary(&self.plan)
    }

    fn is_empty(&self) -> bool {
        self.plan.is_empty()
    }

    fn execute(self: Box<Self>, told: &mut Told<'_>) -> Result<Report, SubsystemError> {
        let mut done = Vec::new();
        let mut hear = |name: &str, result: Result<&super::apply::Done, &super::apply::ApplyError>| {
            if let Ok(one) = result {
                for step in &one.steps {
                    let line = format!("{name}: {step}");
                    told(&line);
                    done.push(line);
                }
            }
        };
        let edits = taken(&self.plan);
        if !edits.is_empty() {
            let env = Environment { file: &self.manifest.path, home: self.subsystem.place.dirs.home() };
            let (text, _) = edits.apply(&self.manifest.text, env).map_err(failed)?;
            self.manifest.replace(&text).map_err(failed)?;
        }
        let (options, state) = (&self.options, self.subsystem.place.state());
        let report =
            execute(&self.plan, &self.manifest.manifest, options, &self.connection, &state, &mut hear)
                .map_err(|error: SyncError| failed(error))?;
        let warnings = report
            .done
            .iter()
            .flat_map(|one| one.warnings.iter().map(|text| format!("{}: {text}", one.name)));
        let warnings = warnings.collect();
        let failure = |(target, error): (String, _)| {
            let error = Box::new(NotApplied::new(target.clone(), error));
            Failure { target, error }
        };
        Ok(Report {
            done,
            warnings,
            failed: report.failed.into_iter().map(failure).collect(),
            left: self.plan.leaves_something() || self.plan.waits(),
        })
    }
}

/// What a capture writes into the manifest.
struct CapturePlan<'s> {
    subsystem: &'s VmSubsystem,
    manifest: ManifestFile,
    capture: Capture,
}

impl Plan for CapturePlan<'_> {
    fn describe(&self) -> Summary {
        let mut summary = Summary::default();
        for one in &self.capture.vms {
            use Outcome as O;
            let verb = match one.outcome {
                O::Change | O::Add => Verb::Capture,
                O::Lossy | O::Unsayable => Verb::Leave,
                O::Unchanged | O::Missing => continue,
            };
            let values = one
                .values
                .iter()
                .map(|(field, value)| format!("{field}: {}", super::plan::shown(Some(value))));
            let losses = one.losses.iter().map(|loss| format!("cannot say {}: {}", loss.found, loss.why));
            summary.operations.push(Operation {
                verb,
                target: one.name.clone(),
                details: values.chain(losses).collect(),
            });
        }
        summary
    }

    fn is_empty(&self) -> bool {
        self.capture.is_empty()
    }

    fn execute(self: Box<Self>, told: &mut Told<'_>) -> Result<Report, SubsystemError> {
        let left = !self.capture.is_lossless();
        if self.capture.is_empty() {
            return Ok(Report { left, ..Report::default() });
        }
        let edits = captured(&self.capture);
        let env = Environment { file: &self.manifest.path, home: self.subsystem.place.dirs.home() };
        let (text, _) = edits.apply(&self.manifest.text, env).map_err(failed)?;
        self.manifest.replace(&text).map_err(failed)?;
        let line = format!("wrote {}", self.manifest.path.display());
        told(&line);
        Ok(Report { done: vec![line], left, ..Report::default() })
    }
}

/// How a VM stands, with every reason for which it is not as the manifest has it.
fn standing(vm: &VmStatus) -> Standing {
    let changes = vm.changes.iter().map(ToString::to_string);
    let refusal = vm.refusal.iter().map(ToString::to_string);
    Standing {
        target: vm.name.clone(),
        state: vm.word().to_owned(),
        differs: changes.chain(refusal).chain(waiting(&vm.pending)).collect(),
        clean: vm.is_clean(),
    }
}

/// The fields that a running VM takes on later, in a line.
fn waiting(pending: &[Field]) -> Option<String> {
    let fields: Vec<&str> = pending.iter().map(|field| field.as_str()).collect();
    (!fields.is_empty()).then(|| format!("{}: at its next cold boot", fields.join(", ")))
}

/// A plan of VMs in words that every subsystem shares.
fn summary(plan: &VmPlan) -> Summary {
    let mut summary = Summary::default();
    for entry in &plan.vms {
        summary
            .notes
            .extend(entry.notes.iter().map(|note| format!("{}: {}", entry.name, note.line(&entry.name))));
        let mut left: Vec<String> = details(entry, false);
        let differs = entry.notes.iter().filter(|note| note.is_a_difference());
        left.extend(differs.map(ToString::to_string));
        let made: Vec<String> = details(entry, true);
        let verb = match &entry.action {
            Action::Keep => None,
            Action::Create { .. } => Some(Verb::Create),
            Action::Adopt => Some(Verb::Adopt),
            Action::Update => Some(Verb::Update),
            Action::Prune | Action::Release => Some(Verb::Remove),
            Action::Refuse { refusal } => {
                let details = vec![refusal.to_string(), refusal.hint(&entry.name)];
                summary.operations.push(Operation { verb: Verb::Leave, target: entry.name.clone(), details });
                continue;
            }
        };
        if let Some(verb) = verb {
            let details = made.into_iter().chain(entry.disk.iter().map(ToString::to_string)).collect();
            summary.operations.push(Operation { verb, target: entry.name.clone(), details });
        }
        if let Some(line) = waiting(&entry.pending) {
            let target = entry.name.clone();
            summary.operations.push(Operation { verb: Verb::Wait, target, details: vec![line] });
        }
        if !left.is_empty() {
            summary.operations.push(Operation {
                verb: Verb::Leave,
                target: entry.name.clone(),
                details: left,
            });
        }
    }
    summary
}

/// The changes of a VM that are made, or those that are not.
fn details(entry: &Entry, made: bool) -> Vec<String> {
    let is_made = |decision: Decision| matches!(decision, Decision::Make | Decision::TakeTheirs);
    entry.changes.iter().filter(|change| is_made(change.decision) == made).map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::super::PowerState;
    use super::super::status::Belonging;
    use super::*;

    #[test]
    fn what_is_not_as_the_manifest_has_it_says_why() {
        let mut vm = VmStatus::new("web", Belonging::Managed);
        vm.state = Some(PowerState::Running);
        assert!(standing(&vm).clean && standing(&vm).differs.is_empty());
        vm.pending = vec![Field::Memory, Field::Vcpus];
        let pending = standing(&vm);
        assert_eq!(
            (pending.clean, &pending.differs[..]),
            (false, &["memory, vcpus: at its next cold boot".to_owned()][..])
        );
    }

    #[test]
    fn what_waits_for_a_cold_boot_is_drift_as_it_is_for_the_status() {
        let observation = super::super::plan::Observation::default();
        let mut plan = super::super::plan::plan(&Default::default(), &observation, &Options::default());
        assert!(summary(&plan).is_clean());
        let entry = serde_json::json!({
            "name": "web", "id": null, "standing": "running", "action": "keep", "changes": [], "disk": null,
            "pending": ["memory"], "notes": [], "digest": null, "applied": null,
        });
        plan.vms.push(serde_json::from_value(entry).unwrap());
        assert!(!summary(&plan).is_clean());
        assert_eq!(summary(&plan).operations[0].verb, Verb::Wait);
    }
}
