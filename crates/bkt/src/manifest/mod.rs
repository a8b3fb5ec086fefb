//! `vms.json`: found, read with every fault at once, and changed without losing what else is in it.
//!
//! ```text
//! find, load ─► syntax ─► walk, read ─► check ─► VmManifest
//!   (I/O)       └────────── pure: parse ───────┘ or every Fault
//! ```
//!
//! Owns: the format, its limits, its rules, its JSON Schema. Never does: print, ask libvirt, look at a
//! disk. Tests: beside each part, and `tests/manifest`.

mod check;
mod code;
mod definition;
mod document;
mod edit;
mod error;
mod file;
mod iso;
pub mod limits;
mod name;
mod path;
mod read;
mod reference;
mod rule;
mod schema;
mod syntax;
mod walk;
mod words;

pub use code::FaultCode;
pub use definition::{IsoSource, VmDefinition, VmManifest};
pub use edit::Edits;
pub use error::ManifestError;
pub use file::{DEFAULT_PATH, ManifestFile, find};
pub use name::{BadName, DomainName};
pub use path::collapse;
pub(crate) use plasmavmc_source::nearest;
pub use plasmavmc_source::{FileError, FileProblem, NotAFile, Position, Related, Span};
pub use read::{Environment, parse, parse_bytes};
pub use reference::reference_markdown;
pub use schema::schema;
pub use words::{
    BootChoice, CpuChoice, CpuChoiceError, DiskBus, GraphicsChoice, Memory, NetworkChoice, NetworkError,
    TpmChoice,
};

/// One fault of a manifest.
pub type Fault = plasmavmc_source::Fault<FaultCode>;

/// The faults of a manifest found so far.
type Faults<'a> = plasmavmc_source::Faults<'a, rule::Rule>;
