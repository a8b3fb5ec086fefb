//! Whether a workspace can be forgotten: its project's directory is gone, nothing of it runs, and nothing
//! is left in it but what says whose it was.
//!
//! The looking is separate from the removing, and removes nothing it does not know. Tests: below,
//! `tests/it/clean.rs`.

use std::fs;
use std::path::{Path, PathBuf};

use plasmavmc_guest::freshness::BrokerLock;
use plasmavmc_guest::presence::lock_state;
use plasmavmc_host::{HostError, IoContext, Layout};

use crate::core::workspace::{WorkspaceRecord, links_to};
use crate::env::UserDirs;

/// The directory of the project the workspace is of, where that is gone.
pub(super) fn abandoned_by(layout: &Layout) -> Option<PathBuf> {
    let record = WorkspaceRecord::read(layout).ok().flatten()?;
    let directory = record.workspace.config.parent()?.to_owned();
    let is_gone = matches!(directory.try_exists(), Ok(false));
    (is_gone && lock_state(layout) == BrokerLock::Free).then_some(directory)
}

/// A file beside those in `removed` that would be lost with the workspace; none where it can go.
///
/// # Errors
/// [`HostError`] where a directory cannot be read.
pub(super) fn left_in(layout: &Layout, removed: &[&Path]) -> Result<Option<PathBuf>, HostError> {
    left_below(layout.root(), layout, removed)
}

fn left_below(dir: &Path, layout: &Layout, removed: &[&Path]) -> Result<Option<PathBuf>, HostError> {
    for entry in fs::read_dir(dir).context("list", dir)? {
        let entry = entry.context("list", dir)?;
        let path = entry.path();
        if removed.contains(&path.as_path()) || is_formal(&path, layout) {
            continue;
        }
        let found = match entry.file_type().context("look at", &path)?.is_dir() {
            true => left_below(&path, layout, removed)?,
            false => Some(path),
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Whether a file only says whose the workspace is, keeps commands apart, or opens guests that are gone.
fn is_formal(path: &Path, layout: &Layout) -> bool {
    [layout.workspace_record(), layout.config_snapshot(), layout.ssh_config()].contains(&path.to_owned())
        || path.starts_with(layout.locks())
        || path.starts_with(layout.keys())
}

/// Removes the workspace, which [`left_in`] found to hold nothing, and the links to it.
///
/// # Errors
/// [`HostError`] where something cannot be removed.
pub(super) fn forget(dirs: &UserDirs, layout: &Layout) -> Result<(), HostError> {
    let links = links_to(dirs, layout);
    // First of all: what is without a record is no workspace, whatever interrupts this.
    let record = layout.workspace_record();
    fs::remove_file(&record).context("remove", &record)?;
    fs::remove_dir_all(layout.root()).context("remove", layout.root())?;
    links.iter().try_for_each(|link| crate::core::workspace::forget(link))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_nobody_knows_keeps_its_workspace() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        for path in [layout.workspace_record(), layout.ssh_config(), layout.locks().join("web.lock")] {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        fs::create_dir(layout.logs()).unwrap();
        let log = layout.logs().join("web.log");
        fs::write(&log, "").unwrap();
        assert_eq!(left_in(&layout, &[&log]).unwrap(), None);
        assert_eq!(left_in(&layout, &[&layout.logs()]).unwrap(), None);
        assert_eq!(left_in(&layout, &[]).unwrap(), Some(log));
    }
}
