//! `vms.json`: found, read with every fault at once, and changed without losing what else is in it.
//!
//! Owns: the format, its limits, its rules, its JSON Schema. Never does: print, ask libvirt, look at a
//! disk. Tests: beside each part, and `tests/manifest`.

mod definition;
pub mod limits;
mod name;
mod words;

pub use definition::{IsoSource, VmDefinition, VmManifest};
pub use name::{BadName, DomainName};
pub use words::{
    BootChoice, CpuChoice, CpuChoiceError, DiskBus, GraphicsChoice, Memory, NetworkChoice, NetworkError,
    TpmChoice,
};
