//! A sync from end to end: look, decide, and, once a person has seen the plan, apply exactly that.
//!
//! Two syncs at once end well: the second waits for the lock, looks again, and finds that nothing is left to
//! do; or, where something else was changed meanwhile, that its plan is out of date. Tests: `tests/it`.

use plasmavmc_host::FileLock;
use plasmavmc_libvirt::virsh::{Connection, VirshError};
use plasmavmc_types::{ErrorKind, Explain};

use super::apply::{self, ApplyError, Done, Report, StateDir};
use super::observe::{look, observe};
use super::plan::{Action, Note, Options, VmPlan, is_here, plan};
use super::plan_file::{Machine, PlanFile, PlanFileError};
use super::stale::{Stale, disks, stale};
use crate::manifest::{ManifestFile, VmManifest};

/// Why nothing of a plan was applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// libvirt could not be asked.
    #[error("the VMs could not be looked at")]
    Virsh {
        /// Why not.
        #[source]
        source: VirshError,
    },
    /// The lock could not be had.
    #[error("nothing was changed")]
    Apply {
        /// Why not.
        #[source]
        source: ApplyError,
    },
    /// VMs were changed between the look and the lock.
    #[error("nothing was changed: meanwhile {}", stale.iter().map(|one| format!("`{}` {}", one.name, one.what)).collect::<Vec<_>>().join(", "))]
    Disturbed {
        /// The VMs.
        stale: Vec<Stale>,
    },
    /// The plan is for something else.
    #[error("nothing was changed")]
    Plan {
        /// Why not.
        #[source]
        source: PlanFileError,
    },
}

/// Hears of each VM as it is done.
pub type Told<'a> = dyn FnMut(&str, Result<&Done, &ApplyError>) + 'a;

/// Decides what a sync does. Changes nothing.
///
/// # Errors
/// [`SyncError::Virsh`].
pub fn plan_sync(
    connection: &Connection,
    manifest: &VmManifest,
    options: &Options,
) -> Result<VmPlan, SyncError> {
    let observation = observe(connection, manifest).map_err(|source| SyncError::Virsh { source })?;
    Ok(plan(manifest, &observation, options))
}

/// The plan with a word on each VM that it makes anew although its XML was kept: somebody may want that back.
pub fn with_backups(mut plan: VmPlan, state: &StateDir) -> VmPlan {
    for entry in plan.vms.iter_mut().filter(|entry| matches!(entry.action, Action::Create { .. })) {
        entry.notes.extend(state.last_backup(&entry.name).map(|path| Note::Kept { path }));
    }
    plan
}

/// Applies a plan that was made a moment ago from this manifest. What another sync did meanwhile is done.
///
/// # Errors
/// [`SyncError`] where nothing was applied; what failed for single VMs is in the report.
pub fn execute(
    shown: &VmPlan,
    manifest: &VmManifest,
    options: &Options,
    connection: &Connection,
    state: &StateDir,
    told: &mut Told<'_>,
) -> Result<Report, SyncError> {
    if shown.is_empty() {
        return Ok(Report::default());
    }
    let _lock = apply::lock(state, &shown.uri).map_err(|source| SyncError::Apply { source })?;
    let observation = observe(connection, manifest).map_err(|source| SyncError::Virsh { source })?;
    let stale = stale(shown, &observation);
    if stale.is_empty() {
        return Ok(apply::apply(shown, connection, state, told));
    }
    let again = plan(manifest, &observation, options);
    // A VM to which nothing can be done any more is not one to which all was done.
    let is_refused = |name: &str| {
        let mut refused = again.vms.iter().filter(|entry| matches!(entry.action, Action::Refuse { .. }));
        refused.any(|entry| entry.name == name)
    };
    if again.is_empty() && !stale.iter().any(|one| is_refused(&one.name)) {
        return Ok(Report::default());
    }
    Err(SyncError::Disturbed { stale })
}

/// Applies a plan from a file, whole or not at all.
///
/// # Errors
/// [`SyncError`] where nothing was applied; what failed for single VMs is in the report.
pub fn execute_file(
    file: &PlanFile,
    connection: &Connection,
    state: &StateDir,
    told: &mut Told<'_>,
) -> Result<Report, SyncError> {
    Ok(hold(file, connection, state)?.apply(told))
}

/// A plan of a file with what has changed since of what its VMs do: one that is off now waits for no boot.
///
/// # Errors
/// [`SyncError::Virsh`].
pub fn as_vms_stand(mut plan: VmPlan, connection: &Connection) -> Result<VmPlan, SyncError> {
    let waiting: Vec<_> =
        plan.vms.iter().filter(|entry| entry.waits()).filter_map(|entry| entry.id).collect();
    for id in waiting {
        let now = connection.reader().observe_one(id).map_err(|source| SyncError::Virsh { source })?;
        // A saved one goes on from where it was: that is no cold boot.
        if now.is_some_and(|now| !now.state.is_active() && !now.managed_save) {
            plan.is_off(id);
        }
    }
    Ok(plan)
}

/// A plan of a file that holds, for as long as this is kept: nobody else syncs this libvirt meanwhile.
#[derive(Debug)]
pub struct Held<'a> {
    _lock: FileLock,
    file: &'a PlanFile,
    connection: &'a Connection,
    state: &'a StateDir,
}

/// Takes the lock of a plan's libvirt, and finds that the plan still holds. Changes nothing.
///
/// # Errors
/// [`SyncError`] where it does not.
pub fn hold<'a>(
    file: &'a PlanFile,
    connection: &'a Connection,
    state: &'a StateDir,
) -> Result<Held<'a>, SyncError> {
    let virsh = |source| SyncError::Virsh { source };
    let lock = apply::lock(state, &file.plan.uri).map_err(|source| SyncError::Apply { source })?;
    let mut observation = observe(connection, &VmManifest::default()).map_err(virsh)?;
    if is_here(&observation.uri) {
        let looked = disks(&file.plan).into_iter().map(|path| {
            let file = look(&path);
            (path, file)
        });
        observation.files.extend(looked);
    }
    let here = Machine::of(connection).map_err(virsh)?;
    file.check(&observation, &here).map_err(|source| SyncError::Plan { source })?;
    Ok(Held { _lock: lock, file, connection, state })
}

impl Held<'_> {
    /// Whether a manifest still wants what the plan is of.
    ///
    /// # Errors
    /// [`SyncError::Plan`] with every VM of which it wants something else.
    pub fn is_of(&self, manifest: &ManifestFile) -> Result<(), SyncError> {
        self.file.check_manifest(manifest).map_err(|source| SyncError::Plan { source })
    }

    /// Applies the plan.
    pub fn apply(self, told: &mut Told<'_>) -> Report {
        apply::apply(&self.file.plan, self.connection, self.state, told)
    }
}

impl Explain for SyncError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Virsh { source } => source.kind(),
            Self::Apply { source } => source.kind(),
            Self::Disturbed { .. } => ErrorKind::Conflict,
            Self::Plan { source } => source.kind(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Virsh { source } => source.hints(),
            Self::Apply { source } => source.hints(),
            Self::Disturbed { .. } => vec!["look again, and do it then: `bkt vm sync`".to_owned()],
            Self::Plan { source } => source.hints(),
        }
    }
}
