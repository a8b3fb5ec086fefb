//! The only place that names `virsh`.
//!
//! ```text
//! Connection ─► Reader   `virsh -r`: libvirt itself refuses what would change anything
//!     └───────► Writer   `virsh`, one process a change
//! ```
//!
//! Owns: running the program within bounds and in English, many questions in one process
//! (`session.rs`), parsing what it prints (`parse.rs`), telling a daemon that is down, hung or refuses from
//! a fault of ours. Every domain is addressed by its UUID: names may be `1` or `--all`. Never does: decide
//! what to change, write to virsh's own history. Tests: in each file; on real libvirt in `tests/it/`.

mod error;
mod observed;
mod parse;
mod program;
mod reader;
mod session;
mod writer;

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

pub use error::VirshError;
pub use observed::{DomainState, NetworkState, Observed};
pub use reader::Reader;
pub use writer::Writer;

use crate::virsh::program::VIRSH;

/// How long libvirt has to answer a question. It takes milliseconds.
pub const QUESTION_BOUND: Duration = Duration::from_secs(10);

/// Which libvirt is spoken to, and with which `virsh`. Opens nothing by itself.
#[derive(Debug, Clone)]
pub struct Connection {
    virsh: PathBuf,
    uri: Option<String>,
    question_bound: Duration,
    /// The URI libvirt itself tells, once it was asked.
    canonical: OnceLock<String>,
}

impl Connection {
    /// A connection to `uri`, or to what `LIBVIRT_DEFAULT_URI` or else virsh chooses.
    ///
    /// # Errors
    /// [`VirshError::Host`] where virsh is not installed; [`VirshError::BadUri`].
    pub fn new(uri: Option<String>) -> Result<Self, VirshError> {
        let missing = || plasmavmc_host::HostError::MissingProgram {
            program: VIRSH.name().to_owned(),
            package: VIRSH.package(),
        };
        let virsh = VIRSH.find().ok_or_else(|| VirshError::Host { source: missing() })?;
        Self::with_virsh(virsh, uri)
    }

    /// As [`Self::new`], with that program in the place of the installed one.
    ///
    /// # Errors
    /// [`VirshError::BadUri`].
    pub fn with_virsh(virsh: impl Into<PathBuf>, uri: Option<String>) -> Result<Self, VirshError> {
        if let Some(uri) = uri.as_deref()
            && (uri.is_empty() || uri.starts_with('-') || uri.contains(char::is_control))
        {
            return Err(VirshError::BadUri { uri: uri.to_owned() });
        }
        Ok(Self { virsh: virsh.into(), uri, question_bound: QUESTION_BOUND, canonical: OnceLock::new() })
    }

    /// The same connection, whose questions have `bound` in the place of [`QUESTION_BOUND`].
    #[must_use]
    pub fn with_question_bound(self, bound: Duration) -> Self {
        Self { question_bound: bound, ..self }
    }

    /// The half that cannot change anything.
    pub fn reader(&self) -> Reader<'_> {
        Reader::new(self)
    }

    /// The half that changes.
    pub fn writer(&self) -> Writer<'_> {
        Writer::new(self)
    }

    /// The URI for people: what libvirt told, else what was asked for.
    pub fn shown_uri(&self) -> String {
        let asked = || self.uri.clone().unwrap_or_else(|| "the default libvirt".to_owned());
        parse::without_password(&self.canonical.get().cloned().unwrap_or_else(asked))
    }
}
