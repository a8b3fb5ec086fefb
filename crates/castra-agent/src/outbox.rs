//! What goes to the host: one queue of frames that the port's thread empties.
//!
//! ```text
//!  session (answers) ──► frames ─┐
//!  streams (wait for room) ─┘    ├─► port
//!  bus (bounded, drops) ► bus ───┘
//! ```
//!
//! Owns: the order, and what is dropped. Answers of the session always fit: while the queue is long
//! the port's thread reads no more questions. A stream waits for room. Messages of the bus have a
//! queue of their own, which outlives sessions; one more than fits is dropped and counted. A new
//! session throws away what was for the old one, except the rest of a frame that has begun. Tests:
//! below.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use castra_agent_proto::message::{Publication, Report, session_frame};
use castra_agent_proto::{Frame, Kind};
use rustix::event::{EventfdFlags, eventfd};

use crate::inbox::Inbox;

/// Bytes that wait before streams have to.
const ROOM: usize = 192 * 1024;
/// Bytes and messages of the bus that wait.
const BUS_BYTES: usize = 256 * 1024;
const BUS_MESSAGES: usize = 1024;
/// How long a stream waits before it looks whether anyone still wants it.
const PATIENCE: Duration = Duration::from_millis(200);

/// The stream is not wanted any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// The queue.
#[derive(Debug)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    room: Condvar,
    wake: OwnedFd,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Bytes of the frame under way that were written.
    written: usize,
    /// The frame under way.
    current: Option<Vec<u8>>,
    bus: VecDeque<Vec<u8>>,
    bus_bytes: usize,
    bus_turn: bool,
    dropped: u64,
    told_dropped: u64,
    /// The number of the session; none while there is no session.
    session: Option<u64>,
}

impl Outbox {
    /// An empty one, without a session.
    pub(crate) fn new() -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { state: Mutex::default(), room: Condvar::new(), wake })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// Makes the descriptor unreadable until something new comes.
    pub(crate) fn drain_wakes(&self) {
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
    }

    /// Throws away what was for the session so far; `session` is the one from now on.
    pub(crate) fn begin(&self, session: Option<u64>) {
        let mut state = self.state();
        state.frames.clear();
        state.bytes = 0;
        state.session = session;
        state.told_dropped = 0;
        self.room.notify_all();
    }

    /// The other end went in the middle of a frame: nobody wants the rest.
    pub(crate) fn lose(&self) {
        self.begin(None);
        let mut state = self.state();
        state.current = None;
        state.written = 0;
    }

    /// An answer of the session: never waits.
    pub(crate) fn answer(&self, frame: &Frame) {
        self.state().push(frame.to_bytes());
        self.wake();
    }

    /// An answer, where a session is on.
    pub(crate) fn report(&self, report: &Report) {
        let mut state = self.state();
        if state.session.is_some() {
            state.push(session_frame(Kind::Report, report).to_bytes());
            drop(state);
            self.wake();
        }
    }

    /// A frame of a stream of `session`: waits for room, until nobody wants it.
    pub(crate) fn send(&self, session: u64, inbox: &Inbox, frame: Vec<u8>) -> Result<(), Gone> {
        let mut state = self.state();
        loop {
            if state.session != Some(session) || inbox.is_cancelled() {
                return Err(Gone);
            }
            if state.bytes < ROOM {
                state.push(frame);
                drop(state);
                self.wake();
                return Ok(());
            }
            let waited = self.room.wait_timeout(state, PATIENCE);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A message on the bus; false where it was dropped.
    pub(crate) fn publish(&self, publication: &Publication) -> bool {
        let frame = Frame::session(Kind::Publish, publication.to_payload()).to_bytes();
        let mut state = self.state();
        if state.bus.len() >= BUS_MESSAGES || state.bus_bytes + frame.len() > BUS_BYTES {
            state.dropped += 1;
            return false;
        }
        state.bus_bytes += frame.len();
        state.bus.push_back(frame);
        drop(state);
        self.wake();
        true
    }

    /// Whether so much waits that no more questions should be read.
    pub(crate) fn is_full(&self) -> bool {
        self.state().bytes >= 2 * ROOM
    }

    /// Whether something waits to be written.
    pub(crate) fn has_some(&self) -> bool {
        let state = self.state();
        state.current.is_some()
            || !state.frames.is_empty()
            || (state.session.is_some() && !state.bus.is_empty())
    }

    /// Hands `write` the next bytes and notes how many it took. False where nothing waits.
    pub(crate) fn write_with(&self, write: impl FnOnce(&[u8]) -> io::Result<usize>) -> io::Result<bool> {
        // The frame under way leaves the queue, so nobody waits for the lock while it is written.
        let Some((frame, from)) = self.state().begin_frame() else { return Ok(false) };
        let result = write(&frame[from..]);
        let mut state = self.state();
        let written = from + *result.as_ref().unwrap_or(&0);
        if written < frame.len() {
            state.written = written;
            state.current = Some(frame);
        }
        drop(state);
        self.room.notify_all();
        result.map(|_| true)
    }
}

impl AsFd for Outbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

impl State {
    fn push(&mut self, frame: Vec<u8>) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    /// The frame to write, and from which byte on.
    fn begin_frame(&mut self) -> Option<(Vec<u8>, usize)> {
        if let Some(current) = self.current.take() {
            return Some((current, std::mem::take(&mut self.written)));
        }
        if self.session.is_some() && self.bus.is_empty() && self.dropped > self.told_dropped {
            self.told_dropped = self.dropped;
            let report = Report::Dropped { messages: self.dropped };
            self.push(session_frame(Kind::Report, &report).to_bytes());
        }
        let bus_may = self.session.is_some() && !self.bus.is_empty();
        self.bus_turn = bus_may && (self.frames.is_empty() || !self.bus_turn);
        if self.bus_turn {
            let frame = self.bus.pop_front()?;
            self.bus_bytes -= frame.len();
            return Some((frame, 0));
        }
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.len();
        Some((frame, 0))
    }
}

#[cfg(test)]
mod tests {
    use castra_agent_proto::Decoder;

    use super::*;

    fn written(outbox: &Outbox) -> Vec<Frame> {
        let mut decoder = Decoder::default();
        // In small pieces, as a port that is nearly full takes them.
        while outbox
            .write_with(|bytes| {
                let count = bytes.len().min(7);
                decoder.push(&bytes[..count]);
                Ok(count)
            })
            .unwrap()
        {}
        let frames = std::iter::from_fn(|| decoder.next_frame()).collect();
        assert_eq!((decoder.buffered(), decoder.take_skipped()), (0, 0));
        frames
    }

    fn message(number: usize) -> Publication {
        Publication::new("t", number.to_string().into_bytes()).unwrap()
    }

    #[test]
    fn messages_keep_their_order_and_wait_for_a_session() {
        let outbox = Outbox::new().unwrap();
        for number in 0..3 {
            assert!(outbox.publish(&message(number)));
        }
        assert!(written(&outbox).is_empty());
        outbox.begin(Some(1));
        let got: Vec<_> =
            written(&outbox).iter().map(|it| Publication::parse(&it.payload).unwrap()).collect();
        assert_eq!(got, [message(0), message(1), message(2)]);
    }

    #[test]
    fn messages_that_do_not_fit_are_counted_and_reported() {
        let outbox = Outbox::new().unwrap();
        let kept = (0..BUS_MESSAGES + 5).filter(|number| outbox.publish(&message(*number))).count();
        assert_eq!(kept, BUS_MESSAGES);
        outbox.begin(Some(1));
        let frames = written(&outbox);
        assert_eq!(frames.len(), BUS_MESSAGES + 1);
        let report = castra_agent_proto::message::body::<Report>(frames.last().unwrap());
        assert_eq!(report, Some(Report::Dropped { messages: 5 }));
    }

    #[test]
    fn a_new_session_gets_the_rest_of_a_frame_and_nothing_else_of_the_old_one() {
        let outbox = Outbox::new().unwrap();
        let inbox = Inbox::new().unwrap();
        outbox.begin(Some(1));
        let frame = |letter: u8| Frame::stream(Kind::Data, 1, vec![letter; 10]);
        outbox.send(1, &inbox, frame(b'a').to_bytes()).unwrap();
        outbox.send(1, &inbox, frame(b'b').to_bytes()).unwrap();
        let mut bytes = Vec::new();
        outbox
            .write_with(|all| {
                bytes.extend_from_slice(&all[..5]);
                Ok(5)
            })
            .unwrap();
        outbox.begin(Some(2));
        assert_eq!(outbox.send(1, &inbox, frame(b'c').to_bytes()), Err(Gone));
        outbox.send(2, &inbox, frame(b'd').to_bytes()).unwrap();
        while outbox
            .write_with(|all| {
                bytes.extend_from_slice(all);
                Ok(all.len())
            })
            .unwrap()
        {}
        assert_eq!(bytes, [frame(b'a').to_bytes(), frame(b'd').to_bytes()].concat());
    }

    #[test]
    fn a_stream_waits_for_room_and_stops_when_it_is_not_wanted() {
        let outbox = Outbox::new().unwrap();
        let inbox = Inbox::new().unwrap();
        outbox.begin(Some(1));
        for _ in 0..ROOM / 1024 {
            outbox.send(1, &inbox, vec![0; 1024]).unwrap();
        }
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| outbox.send(1, &inbox, vec![0; 1024]));
            inbox.cancel();
            assert_eq!(waits.join().unwrap(), Err(Gone));
        });
    }
}
