//! One connection of a command: what it is for, what it has said, what it has not read yet.
//!
//! ```text
//!  New ──Attach──► Streams | Tail | Publish | Closing
//! ```
//!
//! Bounded: one frame that is not whole, and [`QUEUE_MAX`] bytes it has not read. Tests: `broker/tests`.

use std::io::{self, ErrorKind, Read};
use std::os::unix::net::UnixStream;

use castra_agent_proto::message::{Attached, RefusedCode, session_frame};
use castra_agent_proto::{Decoder, Frame, Kind};
use plasmavmc_types::VmName;

use crate::bus::Filter;
use crate::outgoing::Outgoing;

/// Bytes a command may leave unread. More than all streams of one guest together were granted.
const QUEUE_MAX: usize = 12 << 20;
/// Bytes of bus messages a listener may leave unread; those that come then are dropped.
const TAIL_MAX: usize = 1 << 20;
/// How long a connection may take to say what it is for.
pub(super) const ATTACH_MS: u64 = 2_000;

/// What a connection is for.
#[derive(Debug)]
pub(super) enum Role {
    /// It has not said.
    New {
        /// Until when it shall.
        until: u64,
    },
    /// Streams to a guest.
    Streams(VmName),
    /// Listening to the bus.
    Tail(Filter),
    /// One message to a guest.
    Publish(VmName),
    /// Nothing any more; it is closed once it has read its answer.
    Closing {
        /// Or then.
        until: u64,
    },
}

/// A connection.
#[derive(Debug)]
pub(super) struct Peer {
    stream: UnixStream,
    decoder: Decoder,
    out: Outgoing,
    pub(super) role: Role,
}

/// What reading gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// The connection lives.
    Some,
    /// It ended, or is none of ours.
    Gone,
}

impl Peer {
    /// A connection that was just taken. It does not block.
    pub(super) fn new(stream: UnixStream, now: u64) -> Self {
        let role = Role::New { until: now + ATTACH_MS };
        Self { stream, decoder: Decoder::default(), out: Outgoing::default(), role }
    }

    pub(super) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Whether something waits to be written.
    pub(super) fn has_output(&self) -> bool {
        self.out.len() > 0
    }

    /// Reads once.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Heard {
        match self.stream.read(buffer) {
            Ok(0) => Heard::Gone,
            Ok(count) => {
                self.decoder.push(&buffer[..count]);
                Heard::Some
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                Heard::Some
            }
            Err(_) => Heard::Gone,
        }
    }

    /// The next frame it sent; an error where it sent what is none.
    pub(super) fn next_frame(&mut self) -> Result<Option<Frame>, ()> {
        let frame = self.decoder.next_frame();
        if self.decoder.take_skipped() > 0 { Err(()) } else { Ok(frame) }
    }

    /// Queues a frame. An error where it has left too much unread.
    pub(super) fn send(&mut self, frame: &Frame) -> Result<(), ()> {
        if self.out.len() > QUEUE_MAX {
            return Err(());
        }
        self.out.push_with(|bytes| frame.encode(bytes));
        Ok(())
    }

    /// Queues a message of the bus; an error where it is too slow, and the message is dropped.
    pub(super) fn tell(&mut self, message: &Frame) -> Result<(), ()> {
        if self.out.len() > TAIL_MAX { Err(()) } else { self.send(message) }
    }

    /// Lets it in as `role`.
    pub(super) fn attach(&mut self, role: Role) {
        self.role = role;
        let _ = self.send(&session_frame(Kind::Attached, &Attached::Ok));
    }

    /// Closes, once it has read what it was sent.
    pub(super) fn close(&mut self, now: u64) {
        self.role = Role::Closing { until: now + ATTACH_MS };
    }

    /// Answers and closes.
    pub(super) fn finish(&mut self, answer: &Attached, now: u64) {
        let _ = self.send(&session_frame(Kind::Attached, answer));
        self.close(now);
    }

    /// Turns it away.
    pub(super) fn refuse(&mut self, code: RefusedCode, message: impl Into<String>, now: u64) {
        self.finish(&Attached::Refused { code, message: message.into() }, now);
    }

    /// Writes as much as it reads now.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush(&mut self.stream)
    }

    /// When it is closed although it is still there.
    pub(super) fn deadline(&self) -> Option<u64> {
        match self.role {
            Role::New { until } | Role::Closing { until } => Some(until),
            _ => None,
        }
    }

    /// Whether it is to be closed now.
    pub(super) fn is_over(&self, now: u64) -> bool {
        let answered = matches!(self.role, Role::Closing { .. }) && !self.has_output();
        answered || self.deadline().is_some_and(|until| until <= now)
    }
}
