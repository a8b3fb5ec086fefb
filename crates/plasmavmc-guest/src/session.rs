//! One session with the agent in one guest. Without I/O: bytes and times in, bytes and events out.
//!
//! ```text
//!             reply accepted                 noise, broken rule, silence, restart
//!  Greeting ────────────────► On ──────────────────────────────────────────┐
//!   ▲  │ reply declined                                                    │
//!   │  └─────────────────► Quiet ◄─────────────────────────────────────────┘
//!   └──────────────────────── │ after a while that grows with each fault
//! ```
//!
//! Whoever drives it hands in what was read ([`Session::receive`]), calls [`Session::tick`] when
//! [`Session::deadline`] has come, and after both takes the events, the filler and the output. A guest is not
//! trusted: whatever it sends, a session holds at most one frame and the events of one read.
//! Times are milliseconds of one clock that never goes back. Tests: below; `fuzz/`.

use std::collections::VecDeque;

use castra_agent_proto::limits::{KEEPALIVE_MS, PROTOCOL};
use castra_agent_proto::message::{
    GuestStage, Hello, HelloReply, Outcome, Publication, Report, body, session_frame,
};
use castra_agent_proto::{Decoder, Frame, Kind, frame};
use plasmavmc_types::VmName;

use crate::meter::Bucket;

/// Time without an answer after which a hello is said again.
const RESEND_MS: u64 = 1_000;
/// Hellos said a second apart; then they come every [`SLOW_RESEND_MS`].
const QUICK_RESENDS: u32 = 30;
/// As [`RESEND_MS`], once nobody has answered for long.
const SLOW_RESEND_MS: u64 = 5_000;
/// Every so many hellos, bytes go before it that complete a frame the agent may be waiting for.
const FILLER_EVERY: u32 = 8;
/// Time without an answered ping after which a session begins anew.
const SILENCE_MS: u64 = 10_000;
/// The same while streams are open, which a new session would end: the guest may only be paused.
const BUSY_SILENCE_MS: u64 = 120_000;
/// How late it can be told that a port was opened: QEMU tells one change a second, and its journal is
/// read a little later.
const LATE_MS: u64 = 1_500;
/// Pings whose answers are waited for.
const PINGS_MAX: usize = 64;
/// The first pause after a fault; each further fault doubles it.
const PAUSE_MS: u64 = 100;
/// The longest pause after a fault, and the one after a hello that was declined.
const PAUSE_MAX_MS: u64 = 30_000;
/// A session that lasted so long forgives earlier faults.
const GOOD_MS: u64 = 60_000;
/// Restarts of a guest or its agent that are answered at once, and the seconds between those that follow:
/// each is told of in logs that nobody bounds.
const RESTARTS: (u32, u32) = (20, 30);

/// Something a session tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionEvent {
    /// The guest is there: what it says of itself, checked.
    Accepted(HelloReply),
    /// A guest is there and not accepted.
    Declined {
        /// Why.
        reason: String,
    },
    /// The guest answered what was sent at that time.
    Alive {
        /// When.
        at_ms: u64,
    },
    /// The session is over, and its streams with it.
    Lost(Loss),
    /// The guest's boot got further.
    Stage {
        /// How far.
        stage: GuestStage,
        /// Milliseconds since its kernel started.
        uptime_ms: u64,
    },
    /// Messages its agent has dropped so far.
    Dropped {
        /// How many.
        messages: u64,
    },
    /// A guest program says something on the bus.
    Published(Publication),
    /// A frame of a stream.
    Stream(Frame),
}

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Bytes came that are no frame.
    Noise,
    /// A frame came that no guest may send.
    Protocol,
    /// No ping was answered for long.
    Silence,
    /// The guest or its agent restarted.
    Restart,
}

impl Loss {
    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Noise => "the guest sent what is no frame",
            Self::Protocol => "the guest sent a frame that only the host may send",
            Self::Silence => "the guest's agent does not answer any more",
            Self::Restart => "the guest or its agent was restarted",
        }
    }
}

/// What a session has to know of the things around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Bytes of its output that could not be written yet.
    pub unsent: usize,
    /// Streams that are open.
    pub streams: usize,
}

/// Frames and bytes that came beside the streams of a session, since this was asked last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Said {
    /// Frames.
    pub frames: u64,
    /// Bytes.
    pub bytes: u64,
}

#[derive(Debug)]
enum State {
    Greeting { session: String, said_at: u64, tried_at: u64, hellos: u32 },
    On { since: u64, heard_at: u64, next_ping: u64 },
    Quiet { until: u64 },
}

/// A session.
#[derive(Debug)]
pub struct Session {
    vm: VmName,
    draw: fn() -> String,
    state: State,
    decoder: Decoder,
    output: Vec<u8>,
    /// Whether a filler goes before the output.
    fills: bool,
    events: VecDeque<SessionEvent>,
    said: Said,
    /// The number of the last ping, never used twice.
    last_ping: u64,
    /// The first ping of this session: an answer to an earlier one was on its way.
    first_ping: u64,
    /// Pings not answered yet, with their times.
    pings: VecDeque<(u64, u64)>,
    faults: u32,
    /// Restarts that are answered at once, in seconds.
    restarts: Bucket,
}

impl Session {
    /// A session that begins with a hello now. `draw` makes a text that was never used before.
    pub fn new(vm: VmName, draw: fn() -> String, now: u64) -> Self {
        let mut session = Self {
            vm,
            draw,
            state: State::Quiet { until: now },
            decoder: Decoder::default(),
            output: Vec::new(),
            fills: false,
            events: VecDeque::new(),
            said: Said::default(),
            last_ping: 0,
            first_ping: 1,
            pings: VecDeque::new(),
            faults: 0,
            restarts: Bucket::new(RESTARTS.0 * RESTARTS.1, 1, now),
        };
        session.greet(now);
        session
    }

    /// Whether the guest was accepted.
    pub fn is_on(&self) -> bool {
        matches!(self.state, State::On { .. })
    }

    /// The next event.
    pub fn next_event(&mut self) -> Option<SessionEvent> {
        self.events.pop_front()
    }

    /// Whether [`frame::filler`] is to be written before the output, as far as it goes at once: zeros
    /// complete a frame and begin none. Guests that read nothing are many, and none shall cost that much.
    pub fn take_filler(&mut self) -> bool {
        std::mem::take(&mut self.fills)
    }

    /// What is to be written to the guest.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// What came beside streams since this was asked last.
    pub fn take_said(&mut self) -> Said {
        std::mem::take(&mut self.said)
    }

    /// When [`Self::tick`] wants to be called.
    pub fn deadline(&self) -> u64 {
        match self.state {
            State::Greeting { tried_at, hellos, .. } => tried_at + resend_after(hellos),
            State::On { next_ping, .. } => next_ping,
            State::Quiet { until } => until,
        }
    }

    /// Sends a frame, where the session is on.
    pub fn send(&mut self, frame: &Frame) {
        if self.is_on() {
            frame.encode(&mut self.output);
        }
    }

    /// The guest's end of the port was closed: its agent ended, or the guest restarted. A hello is
    /// laid before the port for whoever opens it next.
    pub fn port_closed(&mut self, now: u64) {
        if self.is_on() {
            self.restarted(now);
        }
    }

    /// The guest's end of the port was opened. Of several changes within a second only the last is
    /// told, and late: a session older than that was another agent's.
    pub fn port_opened(&mut self, now: u64) {
        if let State::On { since, .. } = self.state
            && now.saturating_sub(since) > LATE_MS
        {
            self.restarted(now);
        }
    }

    fn restarted(&mut self, now: u64) {
        self.lose(Loss::Restart);
        match self.restarts.owe(RESTARTS.1.into(), now) {
            0 => self.greet(now),
            owed => self.quiet(now + owed),
        }
    }

    /// Takes what the guest sent.
    pub fn receive(&mut self, bytes: &[u8], now: u64) {
        if matches!(self.state, State::Quiet { .. }) {
            self.said.bytes += bytes.len() as u64;
            return;
        }
        self.decoder.push(bytes);
        while let Some(frame) = self.decoder.next_frame() {
            // Before the session is on there is no stream, and so nobody else who would count.
            if frame.stream == 0 || !self.is_on() {
                self.said.frames += 1;
                self.said.bytes += (frame.payload.len() + frame::HEADER + frame::TRAILER) as u64;
            }
            // What a frame came after is no frame of this session.
            if self.noise(now) || self.frame(frame, now).is_err() {
                return;
            }
        }
        self.noise(now);
    }

    /// Does what is due.
    pub fn tick(&mut self, now: u64, load: Load) {
        if now < self.deadline() {
            return;
        }
        match self.state {
            State::Quiet { .. } => self.greet(now),
            State::Greeting { .. } => self.greet_again(now, load),
            State::On { heard_at, .. } => {
                let bound = if load.streams == 0 { SILENCE_MS } else { BUSY_SILENCE_MS };
                if now.saturating_sub(heard_at) >= bound {
                    self.lose(Loss::Silence);
                    self.greet(now);
                } else {
                    self.ping(now, load);
                }
            }
        }
    }

    fn greet(&mut self, now: u64) {
        let session = (self.draw)();
        self.decoder.reset();
        self.decoder.take_skipped();
        self.hello(&session);
        self.state = State::Greeting { session, said_at: now, tried_at: now, hellos: 1 };
    }

    fn greet_again(&mut self, now: u64, load: Load) {
        let State::Greeting { session, said_at, tried_at, hellos } = &mut self.state else { return };
        *tried_at = now;
        // A guest that reads nothing has every hello still before it: its answer will be to an older one.
        if load.unsent > 0 {
            return;
        }
        *said_at = now;
        *hellos += 1;
        let (session, fill) = (session.clone(), *hellos % FILLER_EVERY == 2);
        // Nor does this end wait for the rest of a frame whose sender went.
        self.decoder.reset();
        self.fills |= fill;
        self.hello(&session);
    }

    fn hello(&mut self, session: &str) {
        let hello = Hello {
            protocol: PROTOCOL,
            session: session.to_owned(),
            vm: self.vm.to_string(),
            keepalive_ms: KEEPALIVE_MS,
        };
        session_frame(Kind::Hello, &hello).encode(&mut self.output);
    }

    fn ping(&mut self, now: u64, load: Load) {
        if let State::On { next_ping, .. } = &mut self.state {
            // All sessions ping at the same moments, so that their broker wakes up once for all.
            *next_ping = (now / KEEPALIVE_MS + 1) * KEEPALIVE_MS;
        }
        if load.unsent > 0 {
            return;
        }
        self.last_ping += 1;
        if self.pings.len() == PINGS_MAX {
            self.pings.pop_front();
        }
        self.pings.push_back((self.last_ping, now));
        Frame::session(Kind::Ping, self.last_ping.to_le_bytes().to_vec()).encode(&mut self.output);
    }

    /// Whether bytes were skipped that a session does not survive.
    fn noise(&mut self, now: u64) -> bool {
        let skipped = self.decoder.take_skipped();
        self.said.bytes += skipped;
        let broken = skipped > 0 && self.is_on();
        if broken {
            self.fault(Loss::Noise, now);
        }
        broken
    }

    fn frame(&mut self, frame: Frame, now: u64) -> Result<(), ()> {
        if let State::Greeting { session, said_at, .. } = &self.state {
            if frame.kind == Kind::HelloReply
                && let Some(reply) = body::<HelloReply>(&frame)
                && reply.session == *session
            {
                let said_at = *said_at;
                return self.reply(reply, said_at, now);
            }
            // Whatever else comes is of an earlier session.
            return Ok(());
        }
        match (frame.kind, frame.stream) {
            // A hello may be said twice and answered twice.
            (Kind::HelloReply, 0) => Ok(()),
            (Kind::Pong, 0) => self.pong(&frame.payload, now),
            (Kind::Publish, 0) => {
                self.events.extend(Publication::parse(&frame.payload).map(SessionEvent::Published));
                Ok(())
            }
            (Kind::Report, 0) => {
                self.events.extend(body::<Report>(&frame).map(|report| match report {
                    Report::Stage { stage, uptime_ms } => SessionEvent::Stage { stage, uptime_ms },
                    Report::Dropped { messages } => SessionEvent::Dropped { messages },
                }));
                Ok(())
            }
            (
                Kind::Opened | Kind::Data | Kind::Stderr | Kind::Hole | Kind::Credit | Kind::End | Kind::Done,
                1..,
            ) => {
                self.events.push_back(SessionEvent::Stream(frame));
                Ok(())
            }
            _ => self.broken(now),
        }
    }

    fn reply(&mut self, reply: HelloReply, said_at: u64, now: u64) -> Result<(), ()> {
        match reply.check(self.vm.as_str()) {
            Ok(reply) => {
                session_frame(Kind::Outcome, &Outcome::Ok).encode(&mut self.output);
                self.state = State::On { since: now, heard_at: now, next_ping: now };
                self.first_ping = self.last_ping + 1;
                self.pings.clear();
                self.events.push_back(SessionEvent::Accepted(reply));
                // The hello may have waited for the guest's end for long; the ping tells exactly.
                self.events.push_back(SessionEvent::Alive { at_ms: said_at });
                self.ping(now, Load { unsent: 0, streams: 0 });
                Ok(())
            }
            Err(declined) => {
                let reason = declined.to_string();
                let outcome = Outcome::Declined { reason: reason.clone() };
                session_frame(Kind::Outcome, &outcome).encode(&mut self.output);
                self.events.push_back(SessionEvent::Declined { reason });
                self.quiet(now + PAUSE_MAX_MS);
                Err(())
            }
        }
    }

    fn pong(&mut self, payload: &[u8], now: u64) -> Result<(), ()> {
        let Ok(number) = payload.try_into().map(u64::from_le_bytes) else { return self.broken(now) };
        if number > self.last_ping {
            return self.broken(now);
        }
        if number < self.first_ping {
            return Ok(());
        }
        while let Some((ping, at_ms)) = self.pings.front().copied()
            && ping <= number
        {
            self.pings.pop_front();
            if ping == number {
                if let State::On { heard_at, .. } = &mut self.state {
                    *heard_at = now;
                }
                self.events.push_back(SessionEvent::Alive { at_ms });
            }
        }
        Ok(())
    }

    fn broken(&mut self, now: u64) -> Result<(), ()> {
        self.fault(Loss::Protocol, now);
        Err(())
    }

    /// Ends a session whose guest broke a rule, and lets some time pass before the next.
    fn fault(&mut self, loss: Loss, now: u64) {
        if let State::On { since, .. } = self.state
            && now.saturating_sub(since) >= GOOD_MS
        {
            self.faults = 0;
        }
        let pause = PAUSE_MS.saturating_mul(1 << self.faults.min(20)).min(PAUSE_MAX_MS);
        self.faults += 1;
        self.lose(loss);
        self.quiet(now + pause);
    }

    fn lose(&mut self, loss: Loss) {
        if self.is_on() {
            self.events.push_back(SessionEvent::Lost(loss));
        }
        self.pings.clear();
    }

    fn quiet(&mut self, until: u64) {
        self.state = State::Quiet { until };
        self.decoder = Decoder::default();
    }
}

fn resend_after(hellos: u32) -> u64 {
    if hellos <= QUICK_RESENDS { RESEND_MS } else { SLOW_RESEND_MS }
}

#[cfg(test)]
mod tests;
