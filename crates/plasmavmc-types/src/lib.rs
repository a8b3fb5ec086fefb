//! The data every part of Castra speaks: names, sizes, specs, states and events.
//!
//! Owns: values, their parsing and their text form. Never does: I/O, async, clocks, processes.
//! A value that exists is valid: each type's `FromStr`/`TryFrom` is its only door, and after it no
//! `Option` means "not parsed yet". Tests: in each file.

mod bootstrap;
mod event;
mod explain;
mod handle;
mod id;
mod name;
mod net;
mod size;
mod spec;
mod state;
mod status;
mod time;

pub use bootstrap::{BootstrapDigest, BootstrapDigestError, BootstrapMode, BootstrapStep, StepStatus};
pub use event::{CleanupKind, Escalation, Event, EventKind, HandshakeOutcome, ShutdownOutcome, Stage};
pub use explain::{ErrorKind, Explain, repeated_source};
pub use handle::{BackendName, VmHandle};
pub use id::{ParseIdError, RunToken, VmId};
pub use name::{NameError, VmName};
pub use net::{GuestPort, HostPort, MacAddr, MacError, PortError, PortForward, Protocol};
pub use size::{ByteSize, ByteSizeError};
pub use spec::{
    Accelerator, AcceleratorChoice, BackingSpec, DeviceId, DeviceIdError, DiskFormat, DiskSpec, Firmware,
    MachineType, NetworkKind, NetworkSpec, Persistence, ShareSpec, VmResources, VmSpec,
};
pub use state::{IllegalTransition, VmInput, VmState, VmSummary};
pub use status::{StopReason, VmStatus};
pub use time::{Timestamp, TimestampError};
