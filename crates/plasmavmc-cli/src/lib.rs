//! What every command line of Castra shares: how it begins and ends, how it speaks, what it says of itself.
//!
//! ```text
//! words ──► CommandLine ──► its run ──► Voice ──► standard output, standard error
//!              │ no command                 ▲
//!              └──► help, or a mistake ─────┘ ──► exit code
//! ```
//!
//! A face gives data: its words ([`CommandLine`]), what its commands print ([`Schema`]), titles of pages. Owns:
//! what happens before and after a command, the commands about the command line itself ([`OwnCommand`]), the
//! shapes of `--json`, generated pages. Never does: know a face, a VM or a file of theirs; decide how things
//! look, which is the terminal crate's. Tests: in each file; each face's command is tested as a whole.

mod command_line;
mod error;
mod own;
pub mod pages;
#[cfg(test)]
mod sample;
mod schema;
mod voice;
mod words;

pub use command_line::{CommandLine, run};
pub use error::{EdgeError, current_dir};
pub use own::OwnCommand;
pub use schema::{Lines, Schema, document_of};
pub use voice::{Detail, Manner, Voice};
pub use words::{color, one_of};
