//! What the host sent to one stream and its thread did not use yet.
//!
//! Owns: the stream's windows, both ways. Bounded by the window and by a number of pieces; a host
//! that sends more spoils the stream, not the agent. The descriptor is readable when there may be
//! something new, so that a thread waits for it and for its program at once. Tests: below.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use castra_agent_proto::limits::{MAX_PAYLOAD, WINDOW};
use castra_agent_proto::message::body;
use castra_agent_proto::request::{Signal, Size};
use castra_agent_proto::window::{ReceiveWindow, SendWindow, parse_credit};
use castra_agent_proto::{Frame, Kind};
use rustix::event::{EventfdFlags, eventfd};

/// Pieces that wait at once. A window of a sparse file with blocks of 1 KiB has half of them.
const MAX_PIECES: usize = 1024;
/// Signals that wait at once; more are dropped.
const MAX_SIGNALS: usize = 32;

/// A part of what a stream carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Bytes.
    Data(Vec<u8>),
    /// So many zeros.
    Hole(u64),
    /// No more.
    End,
}

/// The inbox of a stream. Filled by the session, emptied by the stream's thread.
#[derive(Debug)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    wake: OwnedFd,
}

#[derive(Debug, Default)]
struct State {
    pieces: VecDeque<Piece>,
    /// Bytes received and not granted again.
    outstanding: usize,
    receive: ReceiveWindow,
    send: SendWindow,
    ended: bool,
    signals: VecDeque<String>,
    size: Option<Size>,
    cancelled: bool,
    fault: Option<&'static str>,
}

impl Inbox {
    /// An empty one.
    pub(crate) fn new() -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { state: Mutex::default(), wake })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // It fails only where the counter is full, and then it is readable anyway.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// Takes a frame of this stream.
    pub(crate) fn put(&self, frame: Frame) {
        self.state().put(frame);
        self.wake();
    }

    /// Nobody waits for the stream any more.
    pub(crate) fn cancel(&self) {
        self.state().cancelled = true;
        self.wake();
    }

    /// Whether nobody waits for the stream any more.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.state().cancelled
    }

    /// What the host did that it must not.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        self.state().fault
    }

    /// The next piece.
    pub(crate) fn take(&self) -> Option<Piece> {
        self.state().pieces.pop_front()
    }

    /// The next signal.
    pub(crate) fn take_signal(&self) -> Option<String> {
        self.state().signals.pop_front()
    }

    /// The size the terminal has now, where it changed.
    pub(crate) fn take_size(&self) -> Option<Size> {
        self.state().size.take()
    }

    /// Notes bytes that were used; tells what to grant the host.
    pub(crate) fn used(&self, bytes: usize) -> Option<u32> {
        let mut state = self.state();
        let granted = state.receive.used(bytes)?;
        state.outstanding = state.outstanding.saturating_sub(granted as usize);
        Some(granted)
    }

    /// Bytes that may be sent now.
    pub(crate) fn available(&self) -> usize {
        self.state().send.available()
    }

    /// Notes bytes that are sent; false where they were not granted.
    #[must_use]
    pub(crate) fn spend(&self, bytes: usize) -> bool {
        self.state().send.spend(bytes)
    }

    /// Makes the descriptor unreadable until something new comes.
    pub(crate) fn drain_wakes(&self) {
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

impl State {
    fn put(&mut self, frame: Frame) {
        match frame.kind {
            Kind::Data => self.put_data(frame.payload),
            Kind::Hole => match <[u8; 8]>::try_from(frame.payload) {
                Ok(length) => self.put_hole(u64::from_le_bytes(length)),
                Err(_) => self.fault = Some("a hole is 8 bytes"),
            },
            Kind::End => {
                if !self.ended {
                    self.pieces.push_back(Piece::End);
                }
                self.ended = true;
            }
            Kind::Credit => {
                let is_granted = parse_credit(&frame.payload).is_some_and(|bytes| self.send.grant(bytes));
                if !is_granted {
                    self.fault = Some("more was granted than a window holds");
                }
            }
            Kind::Signal => {
                if let Some(Signal { signal }) = body(&frame)
                    && self.signals.len() < MAX_SIGNALS
                {
                    self.signals.push_back(signal);
                }
            }
            Kind::Resize => self.size = body(&frame).or(self.size),
            _ => {}
        }
    }

    fn put_data(&mut self, bytes: Vec<u8>) {
        self.outstanding += bytes.len();
        if self.ended || self.outstanding > WINDOW as usize {
            self.fault = Some("more was sent than was granted");
            self.pieces.clear();
            return;
        }
        match self.pieces.back_mut() {
            Some(Piece::Data(last)) if last.len() + bytes.len() <= MAX_PAYLOAD => last.extend(bytes),
            _ => self.push(Piece::Data(bytes)),
        }
    }

    fn put_hole(&mut self, length: u64) {
        match self.pieces.back_mut() {
            Some(Piece::Hole(last)) => *last = last.saturating_add(length),
            _ if self.ended => self.fault = Some("a hole came after the end"),
            _ => self.push(Piece::Hole(length)),
        }
    }

    fn push(&mut self, piece: Piece) {
        if self.pieces.len() >= MAX_PIECES {
            self.fault = Some("too many pieces were sent at once");
            self.pieces.clear();
            return;
        }
        self.pieces.push_back(piece);
    }
}

#[cfg(test)]
mod tests {
    use castra_agent_proto::window::credit;

    use super::*;

    fn frame(kind: Kind, payload: impl Into<Vec<u8>>) -> Frame {
        Frame::stream(kind, 1, payload)
    }

    #[test]
    fn small_pieces_are_joined_and_keep_their_order() {
        let inbox = Inbox::new().unwrap();
        for byte in *b"abc" {
            inbox.put(frame(Kind::Data, [byte]));
        }
        inbox.put(frame(Kind::Hole, 5_u64.to_le_bytes()));
        inbox.put(frame(Kind::Hole, 6_u64.to_le_bytes()));
        inbox.put(frame(Kind::End, []));
        assert_eq!(inbox.take(), Some(Piece::Data(b"abc".to_vec())));
        assert_eq!(inbox.take(), Some(Piece::Hole(11)));
        assert_eq!((inbox.take(), inbox.take(), inbox.fault()), (Some(Piece::End), None, None));
    }

    #[test]
    fn a_host_that_sends_more_than_granted_spoils_its_stream_and_holds_nothing() {
        let inbox = Inbox::new().unwrap();
        for _ in 0..WINDOW as usize / MAX_PAYLOAD {
            inbox.put(frame(Kind::Data, vec![0; MAX_PAYLOAD]));
        }
        assert_eq!(inbox.fault(), None);
        inbox.put(frame(Kind::Data, [0]));
        assert!(inbox.fault().is_some() && inbox.take().is_none());
    }

    #[test]
    fn what_was_used_may_be_sent_again() {
        let inbox = Inbox::new().unwrap();
        for _ in 0..100 {
            inbox.put(frame(Kind::Data, vec![0; MAX_PAYLOAD]));
            assert!(inbox.take().is_some());
            assert_eq!(inbox.used(MAX_PAYLOAD), Some(u32::try_from(MAX_PAYLOAD).unwrap()));
        }
        assert_eq!(inbox.fault(), None);
    }

    #[test]
    fn a_host_that_sends_many_tiny_pieces_is_bounded() {
        let inbox = Inbox::new().unwrap();
        for _ in 0..MAX_PIECES {
            inbox.put(frame(Kind::Data, [0]));
            inbox.put(frame(Kind::Hole, 1_u64.to_le_bytes()));
        }
        assert!(inbox.fault().is_some());
        for _ in 0..10 * MAX_SIGNALS {
            inbox.put(frame(Kind::Signal, *br#"{"signal":"TERM"}"#));
        }
        assert_eq!(std::iter::from_fn(|| inbox.take_signal()).count(), MAX_SIGNALS);
    }

    #[test]
    fn more_credit_than_a_window_is_a_fault() {
        let inbox = Inbox::new().unwrap();
        assert!(inbox.spend(10));
        inbox.put(frame(Kind::Credit, credit(10)));
        assert_eq!((inbox.fault(), inbox.available()), (None, WINDOW as usize));
        inbox.put(frame(Kind::Credit, credit(1)));
        assert!(inbox.fault().is_some());
    }
}
