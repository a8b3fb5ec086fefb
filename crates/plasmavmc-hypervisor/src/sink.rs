//! Where events go.

use plasmavmc_types::{EventKind, VmName};

/// Takes events as they happen. Must not block for long: it is called between steps.
pub trait EventSink: Sync {
    /// Takes one event; `vm` is none for the workspace or the host.
    fn emit(&self, vm: Option<&VmName>, kind: EventKind);
}
