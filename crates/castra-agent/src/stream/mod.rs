//! Streams: a request each, served by a thread of its own.
//!
//! ```text
//!  Open ─► serve ─► [Opened ─► Data ⇄ Credit ...] ─► Done
//!              └──── cancelled at any point: it cleans up and says nothing more
//! ```
//!
//! Owns: the thread's end of a stream ([`Link`]). Every wait of a thread ends when its stream is
//! cancelled. Tests: `tests/it`.

mod exec;
mod process;
mod read;
mod system;
mod tree;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use castra_agent_proto::message::stream_frame;
use castra_agent_proto::request::{Failure, FailureCode, Opened, Outcome, Request};
use castra_agent_proto::window::credit;
use castra_agent_proto::{Frame, Kind, frame};
use rustix::event::{PollFd, PollFlags, poll};

use crate::failure::failure;
use crate::inbox::{Inbox, Piece};
use crate::outbox::Gone;
use crate::port::{Config, Shared};
use crate::session::{Served, Streams, locked};
use crate::users::Users;

/// Bytes of a data frame: with header and trailer a frame is two full writes to a virtio-serial port.
const CHUNK: usize = 64 * 1024 - frame::HEADER - frame::TRAILER;

/// Why a thread stops serving.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Nobody waits for the stream.
    Gone,
    /// It cannot be served.
    Failed(Failure),
}

impl From<Gone> for Stop {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// A failure of the host's making.
fn invalid(message: &str) -> Stop {
    Stop::Failed(failure(FailureCode::Invalid, message))
}

/// Does what `request` asks.
pub(crate) fn serve(request: Request, link: &Link) -> Served {
    match request {
        Request::Exec(exec) => exec::serve(&exec, link),
        Request::Write(write) => write::serve(&write, link),
        Request::Read { path } => read::serve(&link.path(&path)?, link),
        Request::Stat { path } => tree::stat(&path, &link.path(&path)?),
        Request::List { path } => tree::list(&link.path(&path)?, link),
        Request::MakeDir { path, mode } => tree::make_dir(&link.path(&path)?, mode),
        Request::Link { path, target } => tree::make_link(&link.path(&path)?, &target),
        Request::Mount { tag, target, file_system, read_only } => {
            system::mount(&system::Mount { tag, target, file_system, read_only })
        }
        Request::Shutdown { mode } => system::shutdown(mode),
        Request::SetTime { unix_ns } => system::set_time(unix_ns),
    }
}

/// A thread's end of its stream.
#[derive(Debug)]
pub(crate) struct Link {
    session: u64,
    stream: u32,
    inbox: Arc<Inbox>,
    shared: Arc<Shared>,
    streams: Streams,
}

impl Link {
    pub(crate) fn new(
        session: u64,
        stream: u32,
        inbox: Arc<Inbox>,
        shared: Arc<Shared>,
        streams: Streams,
    ) -> Self {
        Self { session, stream, inbox, shared, streams }
    }

    fn config(&self) -> &Config {
        &self.shared.config
    }

    fn users(&self) -> Users {
        Users::read(&self.config().root)
    }

    /// A path of a request: relative ones begin in the agent's home.
    fn path(&self, path: &str) -> Result<PathBuf, Stop> {
        if path.is_empty() || path.contains('\0') {
            return Err(invalid("a path has at least one letter, and none of them is zero"));
        }
        if path.starts_with('/') {
            return Ok(PathBuf::from(path));
        }
        let me = self.users().by_uid(rustix::process::geteuid().as_raw());
        Ok(Path::new(&me.map_or_else(|| "/".to_owned(), |me| me.home)).join(path))
    }

    /// The first answer.
    fn opened(&self, opened: &Opened) -> Result<(), Gone> {
        self.send(&stream_frame(Kind::Opened, self.stream, opened))
    }

    /// Sends bytes that [`Inbox::available`] allows.
    fn data(&self, kind: Kind, bytes: &[u8]) -> Result<(), Stop> {
        if !self.inbox.spend(bytes.len()) {
            return Err(invalid("the window is smaller than it was"));
        }
        let mut frame = Vec::with_capacity(frame::HEADER + bytes.len() + frame::TRAILER);
        frame::encode(kind, self.stream, bytes, &mut frame);
        Ok(self.shared.outbox.send(self.session, &self.inbox, frame)?)
    }

    /// Sends bytes however many they are, as fast as the host grants.
    fn data_all(&self, mut bytes: &[u8]) -> Result<(), Stop> {
        while !bytes.is_empty() {
            let count = self.wait_for_window()?.min(bytes.len()).min(CHUNK);
            self.data(Kind::Data, &bytes[..count])?;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    fn hole(&self, length: u64) -> Result<(), Gone> {
        self.send(&Frame::stream(Kind::Hole, self.stream, length.to_le_bytes()))
    }

    fn end(&self) -> Result<(), Gone> {
        self.send(&Frame::stream(Kind::End, self.stream, []))
    }

    /// Notes bytes of the host's that were used, and grants more where it is time.
    fn used(&self, bytes: usize) -> Result<(), Gone> {
        match self.inbox.used(bytes) {
            Some(granted) => self.send(&Frame::stream(Kind::Credit, self.stream, credit(granted))),
            None => Ok(()),
        }
    }

    fn send(&self, frame: &Frame) -> Result<(), Gone> {
        self.shared.outbox.send(self.session, &self.inbox, frame.to_bytes())
    }

    /// Whether the stream is wanted, and the host keeps the rules.
    fn check(&self) -> Result<(), Stop> {
        if self.inbox.is_cancelled() {
            return Err(Stop::Gone);
        }
        self.inbox.fault().map_or(Ok(()), |fault| Err(invalid(fault)))
    }

    /// Waits for something new from the host.
    fn wait(&self) -> Result<(), Stop> {
        // A stream that ends makes its inbox readable too, so this wait is bounded by the session.
        let _ = poll(&mut [PollFd::new(&*self.inbox, PollFlags::IN)], None);
        self.inbox.drain_wakes();
        self.check()
    }

    /// Waits until something may be sent; tells how much.
    fn wait_for_window(&self) -> Result<usize, Stop> {
        loop {
            self.check()?;
            match self.inbox.available() {
                0 => self.wait()?,
                available => return Ok(available),
            }
        }
    }

    /// Waits for the next piece.
    fn next_piece(&self) -> Result<Piece, Stop> {
        loop {
            self.check()?;
            match self.inbox.take() {
                Some(piece) => return Ok(piece),
                None => self.wait()?,
            }
        }
    }

    /// The stream is over.
    pub(crate) fn finish(&self, served: Served) {
        let mut streams = locked(&self.streams);
        // Its number may be another stream's by now.
        if streams.get(&self.stream).is_some_and(|inbox| Arc::ptr_eq(inbox, &self.inbox)) {
            streams.remove(&self.stream);
        }
        drop(streams);
        let outcome = match served {
            Ok(outcome) => outcome,
            Err(Stop::Failed(failure)) => Outcome::Failed(failure),
            Err(Stop::Gone) => return,
        };
        // Where the stream is gone, nobody misses it.
        let _ = self.send(&stream_frame(Kind::Done, self.stream, &outcome));
    }
}
