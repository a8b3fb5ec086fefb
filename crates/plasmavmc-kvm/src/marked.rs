//! Finds every process of ours, whichever workspace it belongs to: how `castra doctor` comes across
//! VMs that no workspace knows any more.
//!
//! Reads only. Tests: below.

use std::path::PathBuf;

use plasmavmc_host::HostError;
use plasmavmc_host::process::{Process, find_by_prefix};
use plasmavmc_types::{RunToken, VmName};

use crate::argv::{MARKER_PREFIX, marker, parse_marker};

/// A live process of this user that was launched to run a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkedProcess {
    /// Its process id. No ground for a signal: by then it may be another's.
    pub pid: u32,
    /// The VM.
    pub vm: VmName,
    /// The run it was launched for.
    pub token: RunToken,
    /// The directory it runs in, which is its workspace's root; none where that was not told.
    pub root: Option<PathBuf>,
}

impl MarkedProcess {
    /// The process, held, so that a signal reaches it or nobody; none where it has ended meanwhile.
    ///
    /// # Errors
    /// [`HostError::Io`] where the system cannot be asked.
    pub fn open(&self) -> Result<Option<Process>, HostError> {
        let Some(process) = Process::of_pid(self.pid)? else { return Ok(None) };
        // The pid may be another's by now: the run's token is nobody else's.
        Ok(process.has_argument(&marker(&self.vm, self.token))?.then_some(process))
    }
}

/// Every one of them, oldest first. Where QEMU was started by a script that stays, both are there.
///
/// # Errors
/// [`HostError::Io`] where the processes cannot be listed.
pub fn marked_processes() -> Result<Vec<MarkedProcess>, HostError> {
    let found = find_by_prefix(MARKER_PREFIX)?;
    let marked = found.into_iter().filter_map(|(process, argument)| {
        let (vm, token) = parse_marker(&argument)?;
        Some(MarkedProcess { pid: process.pid(), vm, token, root: process.working_dir() })
    });
    Ok(marked.collect())
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::argv::marker;

    #[test]
    fn a_process_with_our_marker_is_found_and_others_are_not() {
        let (vm, token): (VmName, _) = ("stray".parse().unwrap(), RunToken::generate());
        let dir = tempfile::tempdir().unwrap();
        let start = |argument: &str| {
            // A shell's builtin: it waits for its input without a second process.
            let mut command = Command::new("sh");
            command.args(["-c", "read x", "sh", argument]).current_dir(dir.path()).stdin(Stdio::piped());
            command.spawn().unwrap()
        };
        let mut children = [start(&marker(&vm, token)), start(&format!("guest=castra/stray/{token}"))];
        let loaded = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let found = loop {
            let mut found = marked_processes().unwrap();
            found.retain(|process| process.token == token);
            if !found.is_empty() || std::time::Instant::now() > loaded {
                break found;
            }
            std::thread::yield_now();
        };
        let held = found[0].open().unwrap().map(|process| process.pid());
        let mut other = found[0].clone();
        other.token = RunToken::generate();
        let of_another_run = other.open().unwrap();
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!((held, of_another_run.is_none()), (Some(children[0].id()), true));
        assert!(found[0].open().unwrap().is_none(), "a dead process was opened");
        let root = dir.path().canonicalize().ok();
        assert_eq!(found, [MarkedProcess { pid: children[0].id(), vm, token, root }]);
    }
}
