//! Who is starting or stopping a VM at this moment.
//!
//! A command writes a marker that names itself before it changes a VM and removes it afterwards. A
//! marker whose command is dead means nothing, so a crash leaves no VM "starting" for ever.
//! `status` reads markers and never removes one. Tests: below.

use std::fs;
use std::path::PathBuf;

use plasmavmc_host::process::{Process, ProcessIdentity};
use plasmavmc_host::{HostError, Layout, publish};
use plasmavmc_types::{VmName, VmState};
use serde::{Deserialize, Serialize};

/// What a command is doing to a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// `up` waits for its guest.
    Starting,
    /// `down` waits for its end.
    ShuttingDown,
}

#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    kind: OperationKind,
    by: ProcessIdentity,
}

/// A marker that is removed when dropped.
#[derive(Debug)]
pub struct Operation {
    path: PathBuf,
    text: Vec<u8>,
}

impl Operation {
    /// Marks a VM as being started or stopped by this process.
    ///
    /// # Errors
    /// [`HostError`] where the marker cannot be written.
    pub fn begin(layout: &Layout, vm: &VmName, kind: OperationKind) -> Result<Self, HostError> {
        let path = layout.operation(vm);
        if let Some(dir) = path.parent() {
            publish::private_dir_below(layout.root(), dir)?;
        }
        let marker = Marker { kind, by: Process::of_this_process()?.identity() };
        let text = serde_json::to_vec(&marker).expect("plain values serialise");
        publish::write_for_this_boot(&path, &text)?;
        Ok(Self { path, text })
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        // Another command may have put its own marker in place; and a marker of a process that
        // ends means nothing, so that leaving it behind is only untidy.
        if fs::read(&self.path).is_ok_and(|text| text == self.text) {
            let _ = publish::remove(&self.path);
        }
    }
}

/// What a live command is doing to a VM, if one is.
pub fn in_progress(layout: &Layout, vm: &VmName) -> Option<OperationKind> {
    let marker: Marker = serde_json::from_slice(&fs::read(layout.operation(vm)).ok()?).ok()?;
    Process::open(marker.by).ok().flatten().map(|_| marker.kind)
}

/// A VM's state as its process and the commands at work on it show it.
pub fn state_with(observed: VmState, operation: Option<OperationKind>) -> VmState {
    match (observed, operation) {
        (VmState::Running, Some(OperationKind::Starting)) => VmState::Starting,
        (VmState::Running | VmState::Starting, Some(OperationKind::ShuttingDown)) => VmState::ShuttingDown,
        (state, _) => state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_holds_while_its_command_lives_and_goes_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let vm: VmName = "web".parse().unwrap();
        let operation = Operation::begin(&layout, &vm, OperationKind::Starting).unwrap();
        assert_eq!(in_progress(&layout, &vm), Some(OperationKind::Starting));
        drop(operation);
        assert_eq!(in_progress(&layout, &vm), None);
        assert!(!layout.operation(&vm).exists());
    }

    #[test]
    fn an_up_that_ends_leaves_the_marker_of_a_down() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let vm: VmName = "web".parse().unwrap();
        let up = Operation::begin(&layout, &vm, OperationKind::Starting).unwrap();
        let _down = Operation::begin(&layout, &vm, OperationKind::ShuttingDown).unwrap();
        drop(up);
        assert_eq!(in_progress(&layout, &vm), Some(OperationKind::ShuttingDown));
    }

    #[test]
    fn a_marker_of_a_dead_command_means_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let vm: VmName = "web".parse().unwrap();
        let mut by = Process::of_this_process().unwrap().identity();
        by.start_time += 1;
        publish::private_dir(layout.operation(&vm).parent().unwrap()).unwrap();
        let marker = Marker { kind: OperationKind::ShuttingDown, by };
        publish::write(&layout.operation(&vm), &serde_json::to_vec(&marker).unwrap()).unwrap();
        assert_eq!(in_progress(&layout, &vm), None);
    }

    #[test]
    fn a_stopped_vm_stays_stopped_whatever_a_command_is_doing() {
        for kind in [OperationKind::Starting, OperationKind::ShuttingDown] {
            assert_eq!(state_with(VmState::Stopped, Some(kind)), VmState::Stopped);
        }
        assert_eq!(state_with(VmState::Running, Some(OperationKind::Starting)), VmState::Starting);
        assert_eq!(state_with(VmState::Running, None), VmState::Running);
    }
}
