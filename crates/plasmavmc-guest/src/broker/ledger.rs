//! What the broker writes down: records, its log, and the events it tells. Nothing that cannot be
//! written stops it: the next keepalive writes again, and ages tell meanwhile.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::time::SystemTime;

use plasmavmc_host::process::{BootId, Process, ProcessIdentity};
use plasmavmc_host::{HostError, Layout, publish};
use plasmavmc_types::{Timestamp, VmName};

use super::log::Log;
use crate::record::SessionRecord;

/// Where the broker writes.
#[derive(Debug)]
pub(super) struct Ledger {
    layout: Layout,
    broker: ProcessIdentity,
    pub(super) log: Log,
}

impl Ledger {
    /// The ledger of this process.
    ///
    /// # Errors
    /// [`HostError`] where the directory of records cannot be made.
    pub(super) fn open(layout: Layout) -> Result<Self, HostError> {
        publish::private_dir(&layout.sessions())?;
        publish::private_dir(&layout.logs())?;
        let log = File::options().append(true).create(true).mode(0o600).open(layout.broker_log());
        let broker = Process::of_this_process()?.identity();
        Ok(Self { layout, broker, log: Log(log.ok()) })
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// This process.
    pub(super) fn broker(&self) -> ProcessIdentity {
        self.broker
    }

    /// The boot of the host.
    pub(super) fn boot_id(&self) -> BootId {
        self.broker.boot_id
    }

    /// Writes a record.
    pub(super) fn keep(&self, vm: &VmName, record: &SessionRecord) {
        // On a full disk ages grow, which is the truth for whoever reads.
        let _ = record.write(&self.layout, vm);
    }
}

/// The time of the wall clock.
pub(super) fn now() -> Timestamp {
    SystemTime::now().into()
}
