//! The files people write: found, read within bounds, and all that is wrong with them told at once.
//!
//! ```text
//! Format: nearest, read ─► text_of ─► the face's own parser ─► Faults ─► every Fault, in order
//!         (I/O)            └─────────────────────── pure ──────────────────────────────┘
//! ```
//!
//! Owns: the bounded reader, positions, faults and their collection, what a message repeats of a file and
//! which word may have been meant. Never does: know a syntax (TOML, JSON) or a rule; each face brings its
//! own as a [`Rule`], and words its own hints. Tests: in each file.

mod code;
mod error;
mod fault;
mod file;
mod position;
mod words;

pub use code::Code;
pub use error::{FileError, FileProblem, NotAFile, count_faults};
pub use fault::{At, Fault, Faults, MAX_FAULTS, Related, Rule, text_of};
pub use file::Format;
pub use position::{BYTE_ORDER_MARK, Position, SourceMap, Span};
pub use words::{did_you_mean, list, nearest, shown};
