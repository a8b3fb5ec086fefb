//! What commands use to speak to a guest, through the broker.
//!
//! ```text
//!  Channel::attach ─► call, stat, list, exec, write_file, read_file ─► typed answers
//!        │ frames of castra_agent_proto::request
//!        ▼
//!   broker.sock
//! ```
//!
//! Blocking, without threads: one `poll` per wait, which ends with the other end, with a bound where
//! the other end should have answered, or with [`Channel::interrupted_by`]. A request that is given up
//! is cancelled in the guest. Two things at once are two channels.
//!
//! Owns: the command's end of streams. Never does: start a broker, print, touch signals or terminals.
//! Tests: `tests`, against a stand-in for the broker, and `crates/castra/tests/it` on real guests.
//!
//! ```no_run
//! use std::time::Duration;
//! use plasmavmc_guest::client::{Channel, Exec, ExecIo, Ended, Output};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let layout = plasmavmc_host::Layout::new("/home/me/.castra/projects/shop-0123456789ab");
//! let mut channel = Channel::attach(&layout, &"web".parse()?, Duration::from_secs(10))?;
//! let mut said = Vec::new();
//! let io = ExecIo { stdout: Output::Write(&mut said), ..ExecIo::default() };
//! let ended = channel.exec(&Exec::of(["uname", "-r"]), io)?;
//! assert_eq!(ended, Ended::Exited(0));
//! # Ok(()) }
//! ```

mod bus;
mod error;
mod exec;
mod link;
mod read;
mod stream;
#[cfg(test)]
mod tests;
mod write;

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use castra_agent_proto::message::Attach;
use plasmavmc_host::Layout;
use plasmavmc_types::VmName;

pub use bus::{Tail, TailWanted, publish};
pub use castra_agent_proto::message::{BusMessage, BusSide, Publication, PublishError};
pub use castra_agent_proto::request::{
    Entry, EntryKind, Exec, FailureCode, Outcome, Request, ShutdownMode, Size, Terminal, Write,
};
pub use error::ClientError;
pub use exec::{Ended, ExecIo, Input, Nudge, Nudges, Output, Signal};
pub use read::Sink;
pub use write::Source;

use self::link::Link;
use self::stream::Stream;

/// Time between two looks at a guest that is not reachable yet.
const LOOK: Duration = Duration::from_millis(50);

/// How long a guest may say nothing while something is asked of it that takes no time of its own. A
/// guest that went is told by the broker long before; this is for one whose disk hangs.
const SILENCE: Duration = Duration::from_secs(120);

/// How long the first answer on a line and the start of a program may take, where the caller has no more
/// patience: the broker may not have noticed yet that the guest stands still.
const OPENING: Duration = Duration::from_secs(5);

/// A line to the agent of one guest. One request at a time.
#[derive(Debug)]
pub struct Channel {
    vm: VmName,
    link: Link,
    last_stream: u32,
    /// How long a program's start may take to be answered.
    opening: Duration,
}

/// Told the bytes that have crossed so far, now and then.
pub type Progress<'a> = &'a mut dyn FnMut(u64);

impl Channel {
    /// Opens a line to the guest of `vm`; waits up to `bound` for it to become reachable.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] where it does not; [`ClientError::NoBroker`] at once.
    pub fn attach(layout: &Layout, vm: &VmName, bound: Duration) -> Result<Self, ClientError> {
        Self::attach_unless(layout, vm, bound, None)
    }

    /// As [`Self::attach`], and from the beginning as [`Self::interrupted_by`] where there is an
    /// `interrupt`.
    ///
    /// # Errors
    /// As [`Self::attach`]; [`ClientError::Interrupted`].
    pub fn attach_unless(
        layout: &Layout,
        vm: &VmName,
        bound: Duration,
        interrupt: Option<BorrowedFd<'_>>,
    ) -> Result<Self, ClientError> {
        let link = attach_within(layout, &Attach::Streams { vm: vm.to_string() }, vm, bound, interrupt)?;
        let mut channel = Self { vm: vm.clone(), link, last_stream: 0, opening: bound.max(OPENING) };
        channel.link.opening = channel.opening;
        Ok(channel)
    }

    /// The VM.
    pub const fn vm(&self) -> &VmName {
        &self.vm
    }

    /// From here on every wait ends with [`ClientError::Interrupted`] once `fd` can be read, and what
    /// was being done is cancelled in the guest.
    ///
    /// # Errors
    /// Where `fd` cannot be duplicated.
    pub fn interrupted_by(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.link.interrupted_by(fd)
    }

    /// Asks `stands_still` from here on, where the guest is silent for long: it then fails at once with
    /// [`ClientError::Frozen`], and not when its patience ends.
    pub fn watched_by(&mut self, stands_still: impl Fn() -> bool + Send + 'static) {
        self.link.watched_by(stands_still);
    }

    /// Asks for something that has an outcome and no bytes: any request but exec, write, read, list.
    ///
    /// # Errors
    /// [`ClientError`]; what the guest could not do is [`ClientError::Guest`].
    pub fn call(&mut self, request: &Request) -> Result<Outcome, ClientError> {
        self.open(request)?.outcome()
    }

    /// What is at `path` in the guest; a link at its end is followed.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn stat(&mut self, path: &str) -> Result<Entry, ClientError> {
        match self.call(&Request::Stat { path: path.to_owned() })? {
            Outcome::Entry { entry } => Ok(entry),
            _ => Err(self.broke("an outcome without an entry")),
        }
    }

    /// Makes a directory and those above it; one that is there is fine.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn make_dir(&mut self, path: &str, mode: u32) -> Result<(), ClientError> {
        self.call(&Request::MakeDir { path: path.to_owned(), mode }).map(drop)
    }

    /// Makes a symbolic link, replacing a link that is there.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn link(&mut self, path: &str, target: &str) -> Result<(), ClientError> {
        self.call(&Request::Link { path: path.to_owned(), target: target.to_owned() }).map(drop)
    }

    /// Begins a stream.
    fn open(&mut self, request: &Request) -> Result<Stream<'_>, ClientError> {
        // Ids wrap after four thousand million requests, of which none is then open.
        self.last_stream = self.last_stream.wrapping_add(1).max(1);
        Stream::open(&mut self.link, &self.vm, self.last_stream, request)
    }

    fn broke(&self, what: &'static str) -> ClientError {
        ClientError::Protocol { vm: self.vm.clone(), what }
    }
}

/// Connects for what needs the guest of `vm`, once it is reachable.
fn attach_within(
    layout: &Layout,
    what: &Attach,
    vm: &VmName,
    bound: Duration,
    interrupt: Option<BorrowedFd<'_>>,
) -> Result<Link, ClientError> {
    let begun = Instant::now();
    loop {
        match Link::attach(layout, what, Some(vm), interrupt) {
            Err(ClientError::Unreachable { .. } | ClientError::BrokerBusy)
                if begun.elapsed() + LOOK < bound =>
            {
                link::pause(LOOK, interrupt)?;
            }
            Err(ClientError::Unreachable { vm, reason, .. }) => {
                return Err(ClientError::Unreachable { vm, waited: begun.elapsed(), reason });
            }
            attached => return attached,
        }
    }
}
