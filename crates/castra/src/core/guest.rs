//! The way to a guest's agent: which VM is meant, and a channel to it.
//!
//! ```text
//!  which VM? ─► attach ─► there
//!                 │ no broker, and the VM runs
//!                 └─► start one, attach again
//! ```
//!
//! Never does: start a VM. Tests: below, `tests/it/exec.rs`.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use plasmavmc_guest::client::{Channel, ClientError};
use plasmavmc_guest::record::SessionRecord;
use plasmavmc_host::Layout;
use plasmavmc_host::process::PidFile;
use plasmavmc_hypervisor::block_on;
use plasmavmc_types::{VmName, VmState};

use super::backend;
use super::broker::{self, Ensured, Stay};
use super::error::Error;
use super::output::Diagnostic;
use super::project::WorkspaceId;
use super::selection::{Target, WorkspaceSelection, target};
use super::session::Session;

/// How long a guest that is not reachable is waited for, unless said otherwise: its agent may be
/// starting again.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(5);

/// How old a run may be whose guest counts as booting while nothing was heard of its agent, unless said
/// otherwise: what was just started is waited for longer.
pub const BOOT_WAIT: Duration = Duration::from_secs(120);

/// Which guest.
#[derive(Debug, Clone)]
pub struct GuestSelection {
    /// Which workspace.
    pub workspace: WorkspaceSelection,
    /// Which VM; may be left out where there is only one.
    pub vm: Option<VmName>,
    /// How long it may take to become reachable.
    pub wait: Duration,
    /// How long after its launch it may take to become reachable for the first time; zero for no longer
    /// than `wait`.
    pub boot_wait: Duration,
}

impl Default for GuestSelection {
    fn default() -> Self {
        Self { workspace: WorkspaceSelection::default(), vm: None, wait: DEFAULT_WAIT, boot_wait: BOOT_WAIT }
    }
}

/// A guest that can be spoken to.
#[derive(Debug)]
pub struct Guest {
    /// Its workspace.
    pub workspace: WorkspaceId,
    /// The line to its agent.
    pub channel: Channel,
}

/// Opens a line to a guest's agent, whose waits end, the one for the guest among them, once `interrupt` can
/// be read. `told` hears of it where a guest that boots is waited for longer, and where the config is of no
/// use.
///
/// # Errors
/// [`Error::NotRunning`] where its VM does not run; [`Error::Guest`] where it is not reachable in time.
pub fn connect(
    session: &Session,
    selection: &GuestSelection,
    interrupt: Option<BorrowedFd<'_>>,
    told: &mut dyn FnMut(Diagnostic),
) -> Result<Guest, Error> {
    let target = target(session, &selection.workspace)?;
    target.note.iter().cloned().for_each(&mut *told);
    let vm = known_vms(&target)?.choose(selection.vm.as_ref())?;
    let attach = |wait| Channel::attach_unless(&target.layout, &vm, wait, interrupt);
    let mut channel = once_reachable(session, &target, &vm, selection, told, attach)?;
    let layout = target.layout.clone();
    channel.watched_by(move || stands_still(&layout, &vm));
    Ok(Guest { workspace: target.id, channel })
}

/// Does what needs a guest that is reachable, given how long that may take; `told` hears of it where a guest
/// that boots is waited for longer.
pub(crate) fn once_reachable<T>(
    session: &Session,
    target: &Target,
    vm: &VmName,
    selection: &GuestSelection,
    told: &mut dyn FnMut(Diagnostic),
    mut attempt: impl FnMut(Duration) -> Result<T, ClientError>,
) -> Result<T, Error> {
    match with_broker(session, target, Some(vm), || attempt(selection.wait)) {
        Err(Error::Guest(error @ ClientError::Unreachable { .. })) => {
            let Some(left) = boots(target, vm, selection.boot_wait) else { return Err(error.into()) };
            let message = format!("the guest of VM `{vm}` boots: it is waited for {} s more", left.as_secs());
            told(Diagnostic::note(message).with_hint("`--wait SECONDS` sets how long"));
            with_broker(session, target, Some(vm), || attempt(left))
        }
        done => done,
    }
}

/// Whether a VM is paused, or its QEMU does not answer.
fn stands_still(layout: &Layout, vm: &VmName) -> bool {
    let backend = backend::observer(layout);
    let known = block_on(backend.list_vms()).unwrap_or_default();
    let Some(handle) = known.into_iter().find(|handle| handle.name == *vm) else { return false };
    block_on(backend.get_status(&handle))
        .is_ok_and(|status| status.state == VmState::Paused || (status.state.is_live() && !status.responsive))
}

/// How long a guest may go on booting; none where its agent was heard of in this run, or the run is older
/// than `bound`.
fn boots(target: &Target, vm: &VmName, bound: Duration) -> Option<Duration> {
    let layout = &target.layout;
    let run = PidFile::read(&layout.pid_file(vm))?.token;
    let backend = backend::observer(layout);
    let handle = block_on(backend.list_vms()).ok()?.into_iter().find(|handle| handle.name == *vm)?;
    let status = block_on(backend.get_status(&handle)).ok()?;
    let is_greeted = SessionRecord::read(layout, vm).is_some_and(|record| record.run == run);
    time_left(status.state, status.uptime?, is_greeted, bound)
}

/// The same, decided. Pure. A guest that is frozen does not boot.
fn time_left(state: VmState, up: Duration, is_greeted: bool, bound: Duration) -> Option<Duration> {
    let boots = matches!(state, VmState::Starting | VmState::Running) && !is_greeted;
    bound.checked_sub(up).filter(|left| boots && !left.is_zero())
}

/// Does what needs the broker; starts one where there is none and the VM runs, or any where none is
/// named.
pub(crate) fn with_broker<T>(
    session: &Session,
    target: &Target,
    vm: Option<&VmName>,
    mut attempt: impl FnMut() -> Result<T, ClientError>,
) -> Result<T, Error> {
    match attempt() {
        Err(ClientError::NoBroker { .. } | ClientError::UnknownVm { .. } | ClientError::BrokerGone) => {}
        done => return Ok(done?),
    }
    match vm {
        Some(vm) if !runs(target, Some(vm))? => return Err(Error::NotRunning { vm: vm.clone() }),
        None if !runs(target, None)? => return Err(Error::NothingRuns),
        _ => {}
    }
    // One that does not answer is told by the attempt itself.
    if let Ensured::Failed(error) = broker::ensure(session, &target.layout, Stay::WithVms) {
        return Err(error.into());
    }
    Ok(attempt()?)
}

/// Whether a VM runs, or any where none is named.
fn runs(target: &Target, vm: Option<&VmName>) -> Result<bool, Error> {
    let backend = backend::observer(&target.layout);
    for handle in block_on(backend.list_vms())? {
        if vm.is_none_or(|vm| handle.name == *vm)
            && block_on(backend.get_status(&handle))?.state != VmState::Stopped
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The VMs of a workspace by name: those of its config, and those that were ever started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownVms(Vec<VmName>);

/// The VMs of a workspace.
///
/// # Errors
/// [`Error`] where its records cannot be read.
pub fn known_vms(target: &Target) -> Result<KnownVms, Error> {
    let configured = target.project.iter().flat_map(|project| &project.vms).map(|vm| vm.name.clone());
    let mut known: Vec<VmName> = configured.collect();
    known.extend(block_on(backend::observer(&target.layout).list_vms())?.into_iter().map(|vm| vm.name));
    known.sort();
    known.dedup();
    Ok(KnownVms(known))
}

impl KnownVms {
    #[cfg(test)]
    pub(crate) fn of(known: Vec<VmName>) -> Self {
        Self(known)
    }

    /// The VM asked for, or the only one there is.
    ///
    /// # Errors
    /// [`Error::UnknownVm`], [`Error::WhichVm`].
    pub fn choose(self, asked: Option<&VmName>) -> Result<VmName, Error> {
        match (asked, self.0.as_slice()) {
            (Some(vm), known) if known.contains(vm) => Ok(vm.clone()),
            (Some(vm), _) => Err(Error::UnknownVm { vm: vm.to_string(), known: self.0 }),
            (None, [only]) => Ok(only.clone()),
            (None, _) => Err(Error::WhichVm { known: self.0 }),
        }
    }

    /// The VM of that name.
    pub fn named(&self, name: &str) -> Option<&VmName> {
        self.0.iter().find(|vm| vm.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_guest_that_was_just_started_and_never_heard_of_is_waited_for_longer() {
        let left = |state, up, is_greeted| time_left(state, Duration::from_secs(up), is_greeted, BOOT_WAIT);
        assert_eq!(left(VmState::Running, 20, false), Some(Duration::from_secs(100)));
        assert_eq!(left(VmState::Running, 20, true), None);
        assert_eq!(left(VmState::Running, 120, false), None);
        assert_eq!(left(VmState::Paused, 20, false), None);
        assert_eq!(time_left(VmState::Running, Duration::from_secs(1), false, Duration::ZERO), None);
    }
}
