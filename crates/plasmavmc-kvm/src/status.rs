//! What a VM is now. Never writes, and answers within [`QMP_BOUND`] and a little.
//!
//! A QEMU that answers tells its state itself. For one that does not (stopped by a signal, hung, or
//! busy with another client) the journal tells the last known one, and the status says that it did
//! not answer. Tests: `tests/it/identity.rs`, `tests/it/unresponsive.rs`.

use std::path::Path;
use std::time::Duration;

use plasmavmc_host::process::{BootId, ProcessState};
use plasmavmc_host::socket::{self, Connected};
use plasmavmc_host::{HostError, Layout};
use plasmavmc_hypervisor::Error;
use plasmavmc_types::{StopReason, VmName, VmState, VmStatus};

use crate::backend::KvmBackend;
use crate::locate::Live;
use crate::qmp::{Client, QueryStatus, RunState};
use crate::reason::{self, Evidence};
use crate::record::Record;
use crate::{fault, journal, log};

/// How long QEMU may take to tell its state; it takes less than a millisecond.
const QMP_BOUND: Duration = Duration::from_millis(150);

impl KvmBackend<'_> {
    /// What a VM is now.
    pub(crate) fn status(&self, vm: &VmName) -> Result<VmStatus, Error> {
        let (record, live) = self.find(vm)?;
        if let Some(live) = live {
            let state = match ask(self.layout().root(), vm, &live) {
                Some(state) => Some(state),
                // It ended meanwhile, or it lives and does not answer.
                None if live.process.exits_within(Duration::ZERO).unwrap_or(false) => None,
                None => return Ok(self.unresponsive(vm, record.as_ref(), &live)),
            };
            if let Some(state) = state {
                return Ok(live_status(record.as_ref(), &live, state));
            }
        }
        let stop_reason = self.stop_reason(vm, record.as_ref())?;
        Ok(VmStatus { stop_reason, ..VmStatus::NEVER_RAN })
    }

    fn unresponsive(&self, vm: &VmName, record: Option<&Record>, live: &Live) -> VmStatus {
        let state = journal::read(&self.layout().journal(vm)).state();
        VmStatus { responsive: false, ..live_status(record, live, state) }
    }

    /// Why a VM whose process is gone is stopped; none where it never ran.
    pub(crate) fn stop_reason(
        &self,
        vm: &VmName,
        record: Option<&Record>,
    ) -> Result<Option<StopReason>, Error> {
        stop_reason(self.layout(), vm, record).map_err(fault::during(vm, "tell why it stopped"))
    }
}

/// Why a VM whose process is gone is stopped; none where it never ran.
pub(crate) fn stop_reason(
    layout: &Layout,
    vm: &VmName,
    record: Option<&Record>,
) -> Result<Option<StopReason>, HostError> {
    let last_stop = record.and_then(|record| record.last_stop.clone());
    let run = record.and_then(|record| record.run.as_ref());
    if record.is_some() && run.is_none() {
        return Ok(last_stop);
    }
    let said = run.map_or_else(String::new, |run| log::since_launch(&layout.vm_log(vm), run.token));
    let journal = journal::read(&layout.journal(vm));
    let evidence = Evidence { run, boot_id: BootId::current()?, journal: &journal, said: &said };
    // A launch that never got as far as a running QEMU has no end of its own.
    Ok(reason::decide(evidence).or(last_stop))
}

fn live_status(record: Option<&Record>, live: &Live, state: VmState) -> VmStatus {
    let run = record.and_then(|record| record.run.as_ref()).filter(|run| run.token == live.token);
    VmStatus {
        state,
        pid: Some(live.process.pid()),
        uptime: Some(live.process.uptime()),
        accelerator: run.map(|run| run.accelerator),
        responsive: true,
        stop_reason: None,
        console_start: run.and_then(|run| run.console_start),
    }
}

/// Asks QEMU for its state; none where it does not answer in time.
fn ask(root: &Path, vm: &VmName, live: &Live) -> Option<VmState> {
    // A process that a signal stopped will not answer: no need to wait for it.
    if live.process.state().ok()? != ProcessState::Alive {
        return None;
    }
    let connected = socket::connect(root, &Layout::qmp_socket_name(vm)).ok()?;
    let Connected::Stream(stream) = connected else { return None };
    let mut client = Client::start(stream, QMP_BOUND).ok()?;
    client.execute(&QueryStatus {}, QMP_BOUND).ok().map(|reply| state(reply.status))
}

/// QEMU's state as Castra's.
pub(crate) fn state(state: RunState) -> VmState {
    match state {
        RunState::Preconfig | RunState::Prelaunch | RunState::Inmigrate | RunState::RestoreVm => {
            VmState::Starting
        }
        RunState::Running | RunState::Unknown => VmState::Running,
        RunState::Shutdown => VmState::ShuttingDown,
        RunState::Debug
        | RunState::FinishMigrate
        | RunState::InternalError
        | RunState::IoError
        | RunState::Paused
        | RunState::Postmigrate
        | RunState::SaveVm
        | RunState::Suspended
        | RunState::Watchdog
        | RunState::GuestPanicked
        | RunState::Colo => VmState::Paused,
    }
}
