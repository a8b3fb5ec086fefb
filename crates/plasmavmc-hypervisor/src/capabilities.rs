//! What a backend can do on this host.

use plasmavmc_types::{Accelerator, Firmware, MachineType};
use serde::Serialize;

/// What a backend can do on this host, asked before a spec is handed to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackendCapabilities {
    /// The hypervisor's version, such as `10.0.2`.
    pub version: String,
    /// Accelerators that ran guest code here, fastest first.
    pub accelerators: Vec<Accelerator>,
    /// Machine types it offers.
    pub machines: Vec<MachineType>,
    /// Firmware that is installed.
    pub firmware: Vec<Firmware>,
    /// Whether [`crate::HypervisorBackend::pause_vm`] works.
    pub pause: bool,
    /// Whether a VM of this backend outlives the process that started it.
    pub detached: bool,
}
