//! Applies a plan, one VM after the other, and proves that the plan happened and no more.
//!
//! ```text
//!  lock (one for each libvirt)
//!   └ for each VM: dump with secrets ─► is it the XML the plan was made from? ─► back it up ─► edit
//!       ─► define ─► dump again ─► is everything that changed planned? ─► autostart, media, done
//!                                   └ no, or nobody knows: define the old XML
//!                                     again, read it again, and say so
//! ```
//!
//! Killed at any step it leaves the old VM or the new one, whole: libvirt replaces a definition at once, and
//! a disk has its name only when it is finished. One VM's failure does not keep the others from theirs.
//! Never does: stop, start or destroy a VM. Tests: `tests/it/sync*.rs`, on real libvirt.

mod backup;
mod create;
mod error;
mod failed;
mod undo;
mod update;

use std::time::Duration;

use plasmavmc_host::FileLock;
use plasmavmc_libvirt::virsh::Connection;

pub use backup::StateDir;
pub use error::ApplyError;
pub use failed::NotApplied;
pub use undo::{Now, Trouble, Unproved};

use super::plan::{Action, Entry, VmPlan};

/// How long another sync is waited for: each of its steps is bounded, and few take seconds.
const LOCK_BOUND: Duration = Duration::from_secs(120);

/// What was done to one VM.
#[derive(Debug)]
pub struct Done {
    /// Its name.
    pub name: String,
    /// What was done, for a person, in order.
    pub steps: Vec<String>,
    /// What a person should know of it.
    pub warnings: Vec<String>,
}

/// What became of a plan.
#[derive(Debug, Default)]
pub struct Report {
    /// The VMs that are as planned.
    pub done: Vec<Done>,
    /// Those that are not.
    pub failed: Vec<(String, ApplyError)>,
}

/// Takes the lock of the one who may change what this libvirt has.
///
/// # Errors
/// [`ApplyError::Lock`].
pub fn lock(state: &StateDir, uri: &str) -> Result<FileLock, ApplyError> {
    Ok(FileLock::acquire(&state.lock(uri), LOCK_BOUND)?)
}

/// Applies a plan. The caller holds the lock. `told` hears of each VM as it is done.
pub fn apply(
    plan: &VmPlan,
    connection: &Connection,
    state: &StateDir,
    told: &mut dyn FnMut(&str, Result<&Done, &ApplyError>),
) -> Report {
    let mut report = Report::default();
    for entry in plan.vms.iter().filter(|entry| !entry.is_empty()) {
        match apply_entry(entry, connection, state) {
            Ok(done) => {
                told(&entry.name, Ok(&done));
                report.done.push(done);
            }
            Err(error) => {
                told(&entry.name, Err(&error));
                report.failed.push((entry.name.clone(), error));
            }
        }
    }
    report
}

fn apply_entry(entry: &Entry, connection: &Connection, state: &StateDir) -> Result<Done, ApplyError> {
    match &entry.action {
        Action::Create { blueprint } => create::create(entry, blueprint, connection),
        Action::Adopt | Action::Update | Action::Release => update::update(entry, connection, state),
        Action::Prune => update::prune(entry, connection, state),
        Action::Keep | Action::Refuse { .. } => Ok(Done::new(entry)),
    }
}

impl Done {
    fn new(entry: &Entry) -> Self {
        Self { name: entry.name.clone(), steps: Vec::new(), warnings: Vec::new() }
    }

    fn step(&mut self, text: impl Into<String>) {
        self.steps.push(text.into());
    }

    fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }
}
