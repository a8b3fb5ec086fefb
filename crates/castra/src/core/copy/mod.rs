//! `cp`: files and directories into a guest and out of it, over its channel.
//!
//! ```text
//!  places ─► route ─► tree: what there is ─► push or pull, file by file
//!  (pure)                                     temporary name beside, then its own
//! ```
//!
//! A file is whole under its name or is not there, whoever ends the copy. What a guest names is data:
//! nothing is written outside the destination or through a link. Never does: follow a link in a tree,
//! give a file from a guest more than permissions. Tests: in each file, `tests/it/cp.rs`.

mod error;
mod place;
mod pull;
mod push;
mod tree;

use std::io::Write;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Instant;

use plasmavmc_guest::client::{Channel, ClientError};
use plasmavmc_host::HostError;
use plasmavmc_types::VmName;
use schemars::JsonSchema;
use serde::Serialize;

pub use error::CopyError;
pub use place::Place;

use self::place::{Here, Route};
use super::error::Error;
use super::guest::{GuestSelection, connect};
use super::output::{Diagnostic, OperationOutput};
use super::project::WorkspaceId;
use super::session::Session;

/// What is to be copied. Relative paths here begin in the session's directory.
#[derive(Debug, Clone)]
pub struct CopyOptions {
    /// Which workspace, and how long the guest may take to become reachable. The VM is named by the
    /// places.
    pub guest: GuestSelection,
    /// What.
    pub sources: Vec<Place>,
    /// Where.
    pub destination: Place,
    /// Who shall own what is copied into a guest: a user of it, or `user:group`; root where not said.
    pub owner: Option<String>,
}

/// What a copy is connected to.
pub struct CopyIo<'a> {
    /// Standard input, for [`Place::Stream`] as a source.
    pub input: BorrowedFd<'a>,
    /// Standard output, for [`Place::Stream`] as the destination.
    pub output: &'a mut dyn Write,
    /// Ends the copy once it can be read: what is unfinished is then removed.
    pub interrupt: Option<BorrowedFd<'a>>,
    /// Told how far it is.
    pub progress: &'a mut dyn FnMut(&CopyProgress<'_>),
    /// Told where a guest that boots is waited for longer.
    pub told: &'a mut dyn FnMut(Diagnostic),
}

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyProgress<'a> {
    /// Bytes that crossed, zeros that did not have to among them.
    pub done_bytes: u64,
    /// All there are; none where a stream is copied.
    pub total_bytes: Option<u64>,
    /// The file being copied.
    pub file: &'a str,
}

/// Which way a copy went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CopyDirection {
    /// Into the guest.
    ToGuest,
    /// Out of it.
    FromGuest,
}

/// What a copy did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CopyOutcome {
    /// The workspace.
    #[schemars(with = "String")]
    pub workspace: WorkspaceId,
    /// The VM.
    #[schemars(with = "String")]
    pub vm: VmName,
    /// Which way.
    pub direction: CopyDirection,
    /// What was copied.
    #[serde(flatten)]
    pub copied: Copied,
    /// How long it took.
    pub elapsed_ms: u64,
}

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Copied {
    /// Files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Symbolic links.
    pub links: u64,
    /// Bytes of all files, holes among them.
    pub bytes: u64,
}

/// Copies into a guest or out of it.
///
/// # Errors
/// [`Error::Copy`]; what was copied before stays, and nothing is half under its name.
pub fn copy(
    session: &Session,
    options: &CopyOptions,
    io: CopyIo<'_>,
) -> Result<OperationOutput<CopyOutcome>, Error> {
    let begun = Instant::now();
    let route = place::route(&options.sources, &options.destination)?;
    let (Route::Push { vm, .. } | Route::Pull { vm, .. }) = &route;
    let selection = GuestSelection { vm: vm.clone(), ..options.guest.clone() };
    let mut guest = connect(session, &selection, io.interrupt, io.told)?;
    let vm = guest.channel.vm().clone();
    let CopyIo { input, output, progress, .. } = io;
    let mut copier = Copier {
        channel: &mut guest.channel,
        cwd: &session.cwd,
        progress,
        copied: Copied::default(),
        total: None,
    };
    let (direction, skipped) = match &route {
        Route::Push { sources, to, .. } => {
            let owner = options.owner.as_deref();
            (CopyDirection::ToGuest, copier.push(sources, to, owner, input)?)
        }
        Route::Pull { sources, to, .. } => (CopyDirection::FromGuest, copier.pull(sources, to, output)?),
    };
    let copied = copier.copied;
    let elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let outcome = CopyOutcome { workspace: guest.workspace, vm, direction, copied, elapsed_ms };
    let told = skipped.into_iter().map(|place| {
        Diagnostic::warning(format!("`{place}` is neither a file, a directory nor a link, and was left out"))
    });
    Ok(OperationOutput { value: outcome, diagnostics: told.collect() })
}

/// A copy at work.
struct Copier<'a> {
    channel: &'a mut Channel,
    cwd: &'a Path,
    progress: &'a mut dyn FnMut(&CopyProgress<'_>),
    copied: Copied,
    total: Option<u64>,
}

/// Calls `told` with how far the copy is while `file` is at work on it.
fn report<'p>(
    progress: &'p mut dyn FnMut(&CopyProgress<'_>),
    before: u64,
    total: Option<u64>,
    file: &'p str,
) -> impl FnMut(u64) + 'p {
    move |bytes| {
        let done_bytes = before.saturating_add(bytes);
        progress(&CopyProgress { done_bytes, total_bytes: total, file });
    }
}

/// An error of the channel, with the path of the host where it is the host's.
fn at(path: &Path, error: ClientError) -> CopyError {
    let host = |action, source| CopyError::Host(HostError::Io { action, path: path.to_owned(), source });
    match error {
        ClientError::Input(source) => host("read", source),
        ClientError::Output(source) if source.kind() != std::io::ErrorKind::BrokenPipe => {
            host("write", source)
        }
        error => CopyError::Guest(error),
    }
}

/// Whether a path as text says that it is a directory.
fn says_directory(path: &str) -> bool {
    path.ends_with('/')
}

/// Whether several things may go to one place, and where it is a directory.
fn checked_end(several: bool, is_directory: bool, place: &dyn Fn() -> String) -> Result<bool, CopyError> {
    match (several, is_directory) {
        (true, false) => Err(CopyError::NotADirectory { place: place() }),
        _ => Ok(is_directory),
    }
}

/// The host's end as a path.
fn path_of(here: &Here) -> Option<&Path> {
    match here {
        Here::Path(path) => Some(path),
        Here::Stream => None,
    }
}
