//! A session: which streams there are, and what each frame of the host's does to them.
//!
//! ```text
//!            Hello                Hello, noise, or the host went: every stream is cancelled
//!  none ───────────────► on ──────────────────────────────────────────────────────────► on | none
//! ```
//!
//! Without a session every frame but a hello is ignored, pings too: a host that still believes in a
//! session of an agent that was restarted shall find out. Handling a frame never waits. Tests:
//! `tests/it`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use castra_agent_proto::limits::{MAX_STREAMS, PROTOCOL};
use castra_agent_proto::message::{
    Hello, HelloReply, Publication, Report, body, session_frame, stream_frame,
};
use castra_agent_proto::request::{FailureCode, Outcome, Request};
use castra_agent_proto::{Frame, Kind};

use crate::failure::failed;
use crate::inbox::Inbox;
use crate::outbox::Outbox;
use crate::port::Shared;
use crate::stream::{self, Link};

/// Stack of a stream's thread: buffers are on the heap, and nothing recurses.
const STACK: usize = 128 * 1024;
/// Threads at once: those of cancelled streams end a little later than their streams.
const MAX_THREADS: usize = 2 * MAX_STREAMS;

/// The streams that are served, by their number.
pub(crate) type Streams = Arc<Mutex<HashMap<u32, Arc<Inbox>>>>;

/// The streams, whoever panicked.
pub(crate) fn locked(streams: &Streams) -> MutexGuard<'_, HashMap<u32, Arc<Inbox>>> {
    streams.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The agent's end of the session.
pub(crate) struct Session {
    shared: Arc<Shared>,
    streams: Streams,
    threads: Arc<AtomicUsize>,
    /// Counts sessions, so that a thread of an old one is told apart.
    number: u64,
    is_on: bool,
}

impl Session {
    /// None yet.
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, streams: Streams::default(), threads: Arc::default(), number: 0, is_on: false }
    }

    fn outbox(&self) -> &Outbox {
        &self.shared.outbox
    }

    /// Ends the session and everything it runs.
    pub(crate) fn end(&mut self) {
        self.is_on = false;
        self.outbox().begin(None);
        for (_, inbox) in locked(&self.streams).drain() {
            inbox.cancel();
        }
    }

    /// Takes a frame.
    pub(crate) fn handle(&mut self, frame: Frame) {
        if frame.kind == Kind::Hello {
            if let Some(hello) = body(&frame) {
                self.hello(hello);
            }
            return;
        }
        if !self.is_on {
            return;
        }
        match frame.kind {
            Kind::Ping if frame.payload.len() == 8 => {
                self.outbox().answer(&Frame::session(Kind::Pong, frame.payload));
            }
            Kind::Publish => {
                if let Some(publication) = Publication::parse(&frame.payload) {
                    self.shared.bus.deliver(&publication);
                }
            }
            Kind::Open => self.open(&frame),
            Kind::Cancel => {
                if let Some(inbox) = locked(&self.streams).remove(&frame.stream) {
                    inbox.cancel();
                }
            }
            Kind::Data | Kind::Hole | Kind::Credit | Kind::End | Kind::Signal | Kind::Resize => {
                // What comes for a stream that is done was on its way when it ended.
                let inbox = locked(&self.streams).get(&frame.stream).cloned();
                if let Some(inbox) = inbox {
                    inbox.put(frame);
                }
            }
            _ => {}
        }
    }

    fn hello(&mut self, hello: Hello) {
        self.end();
        self.number += 1;
        self.is_on = true;
        self.outbox().begin(Some(self.number));
        let facts = &self.shared.facts;
        let reply = HelloReply {
            protocol: PROTOCOL,
            session: hello.session,
            vm: hello.vm,
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            boot_id: facts.boot_id.clone(),
            capabilities: facts.capabilities(),
            agent_started_ms: facts.agent_started_ms,
            uptime_ms: crate::facts::uptime_ms(),
        };
        self.outbox().answer(&session_frame(Kind::HelloReply, &reply));
        for (stage, uptime_ms) in self.shared.stages() {
            self.outbox().report(&Report::Stage { stage, uptime_ms });
        }
    }

    fn open(&mut self, frame: &Frame) {
        let refuse = |code, why| {
            self.outbox().answer(&stream_frame(Kind::Done, frame.stream, &failed(code, why)));
        };
        if frame.stream == 0 {
            return;
        }
        if let Some(running) = locked(&self.streams).remove(&frame.stream) {
            running.cancel();
            return refuse(FailureCode::Invalid, "a stream with this number is open");
        }
        let Some(request) = body::<Request>(frame) else {
            return refuse(FailureCode::Unsupported, "this agent knows no such request");
        };
        let too_many =
            locked(&self.streams).len() >= MAX_STREAMS || self.threads.load(Ordering::Relaxed) >= MAX_THREADS;
        if too_many {
            return refuse(FailureCode::Busy, "too many streams are open");
        }
        if self.start(frame.stream, request).is_err() {
            locked(&self.streams).remove(&frame.stream);
            refuse(FailureCode::Busy, "the guest has no room for another thread");
        }
    }

    fn start(&self, stream: u32, request: Request) -> std::io::Result<()> {
        let inbox = Arc::new(Inbox::new()?);
        locked(&self.streams).insert(stream, Arc::clone(&inbox));
        let link = Link::new(self.number, stream, inbox, Arc::clone(&self.shared), Arc::clone(&self.streams));
        let counted = Counted::new(&self.threads);
        std::thread::Builder::new().name(format!("stream-{stream}")).stack_size(STACK).spawn(move || {
            let outcome = stream::serve(request, &link);
            drop(counted);
            link.finish(outcome);
        })?;
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end();
    }
}

/// One of the threads, for as long as it works.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(threads: &Arc<AtomicUsize>) -> Self {
        threads.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(threads))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How a stream that nobody can hear any more is told apart from one with an outcome.
pub(crate) type Served = Result<Outcome, stream::Stop>;
