//! What the broker writes down: records, its log, and the events it tells. Nothing that cannot be
//! written stops it: the next keepalive writes again, and ages tell meanwhile.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use plasmavmc_host::process::{BootId, Process, ProcessIdentity};
use plasmavmc_host::{HostError, Layout, plain, publish};
use plasmavmc_types::{Timestamp, VmName};

use super::log::Log;
use crate::record::SessionRecord;

/// How long the log may be when a broker starts, in bytes; then it is put aside.
const LOG_MAX: u64 = 16 << 20;

/// Where the broker writes.
#[derive(Debug)]
pub(super) struct Ledger {
    layout: Layout,
    /// The workspace's directory as it was found: device and inode.
    home: Option<(u64, u64)>,
    broker: ProcessIdentity,
    pub(super) log: Log,
}

impl Ledger {
    /// The ledger of this process.
    ///
    /// # Errors
    /// [`HostError`] where the directory of records cannot be made.
    pub(super) fn open(layout: Layout) -> Result<Self, HostError> {
        publish::private_dir_below(layout.root(), &layout.sessions())?;
        publish::private_dir_below(layout.root(), &layout.logs())?;
        plain::clear_links(&layout)?;
        let path = layout.broker_log();
        let log =
            plain::rotate(&path, &path.with_extension("log.1"), LOG_MAX).and_then(|()| plain::append(&path));
        let broker = Process::of_this_process()?.identity();
        Ok(Self { home: id_of(layout.root()), layout, broker, log: Log(log.ok()) })
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

    /// Whether the workspace's directory was removed, or another is in its place.
    pub(super) fn is_homeless(&self) -> bool {
        id_of(self.layout.root()) != self.home
    }

    /// Writes a record.
    pub(super) fn keep(&self, vm: &VmName, record: &SessionRecord) {
        // On a full disk ages grow, which is the truth for whoever reads.
        let _ = record.write(&self.layout, vm);
    }
}

/// Which directory is there.
fn id_of(path: &Path) -> Option<(u64, u64)> {
    path.metadata().ok().map(|found| (found.dev(), found.ino()))
}

/// The time of the wall clock.
pub(super) fn now() -> Timestamp {
    SystemTime::now().into()
}
