//! `up`'s share in the workspace's lock: from before the workspace is looked at, or made, until each VM is
//! launched.
//!
//! `clean` has the lock alone, so what `up` has fetched and written down is not removed before a live
//! VM speaks for it. Commands that bring VMs up share it: none waits for another's download. Tests:
//! below, and `tests/it/race.rs`.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use plasmavmc_host::{FileLock, Layout, LockError};

use crate::core::error::Error;
use crate::core::project::WorkspaceId;

/// How long `clean` may take: it looks at every file once and unlinks some.
const LOCK_BOUND: Duration = Duration::from_secs(60);

/// A share in a workspace's lock, let go of when the last of some VMs is launched or has failed.
#[derive(Debug)]
pub(super) struct Hold {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    lock: Option<FileLock>,
    /// How many VMs are still to be launched.
    awaited: usize,
}

impl Hold {
    /// Takes the share, for the time until `vms` of them are launched.
    ///
    /// # Errors
    /// [`Error::WorkspaceBusy`] where `clean` does not come to an end.
    pub(super) fn take(layout: &Layout, id: &WorkspaceId, vms: usize) -> Result<Self, Error> {
        let lock = FileLock::acquire_shared(&layout.workspace_lock(), LOCK_BOUND);
        let lock = lock.map_err(|error| Error::busy(id.as_str(), error))?;
        Ok(Self { state: Mutex::new(State { lock: Some(lock), awaited: vms }) })
    }

    /// Takes it where there is a workspace already, before anything in it is looked at; makes nothing.
    ///
    /// # Errors
    /// As [`Self::take`]. What is wrong with the file itself is told once it has to be made.
    pub(super) fn take_early(layout: &Layout, id: &WorkspaceId, vms: usize) -> Result<Option<Self>, Error> {
        if !layout.workspace_lock().exists() {
            return Ok(None);
        }
        match Self::take(layout, id, vms) {
            Ok(hold) => Ok(Some(hold)),
            Err(Error::Lock(LockError::Host { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Launches one of the VMs.
    pub(super) fn launch<T>(&self, launch: impl FnOnce() -> T) -> T {
        let launched = launch();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.awaited = state.awaited.saturating_sub(1);
        if state.awaited == 0 {
            state.lock = None;
        }
        launched
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_held_until_the_last_vm_is_launched() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let free = || FileLock::try_acquire(&layout.workspace_lock()).unwrap().is_some();
        let id = "web-0123456789ab".parse().unwrap();
        assert!(Hold::take_early(&layout, &id, 2).unwrap().is_none());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "looking made something");
        assert!(free());
        let hold = Hold::take_early(&layout, &id, 2).unwrap().unwrap();
        assert!(!hold.launch(free) && !free());
        assert!(!hold.launch(free), "it was let go of while the last was being launched");
        assert!(free());
    }
}
