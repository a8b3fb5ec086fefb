//! Streams between commands and one guest: which belongs to whom, and that nobody sends more than was
//! granted. Without I/O.
//!
//! ```text
//!  client 7, stream 1 ─┐                      ┌─ stream 41
//!  client 9, stream 1 ─┴─► Switch ◄───────────┴─ stream 42     the guest's numbers, never used twice
//! ```
//!
//! Payloads pass as they are; only numbers change. The other end's credit is counted on the way, so a
//! guest that sends more than it was granted loses that stream and nothing else, and what a client
//! has not read yet is bounded by what it granted. Tests: below.

use std::collections::BTreeMap;

use castra_agent_proto::limits::MAX_STREAMS;
use castra_agent_proto::message::stream_frame;
use castra_agent_proto::request::{Failure, FailureCode, Outcome};
use castra_agent_proto::window::{SendWindow, parse_credit};
use castra_agent_proto::{Frame, Kind};

/// One connection of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub u64);

/// Streams of one guest.
#[derive(Debug, Default)]
pub struct Switch {
    /// By the guest's number.
    routes: BTreeMap<u32, Route>,
    last: u32,
}

#[derive(Debug)]
struct Route {
    client: ClientId,
    /// The client's number.
    stream: u32,
    /// What the guest may still send.
    guest: SendWindow,
    /// What the client may still send.
    host: SendWindow,
}

/// What becomes of a frame from a client.
#[derive(Debug, PartialEq, Eq)]
pub enum FromClient {
    /// It goes to the guest.
    ToGuest(Frame),
    /// The client is answered without the guest.
    Answer(Frame),
    /// Its stream is over already.
    Nothing,
    /// No client may send that.
    Broken,
}

/// What becomes of a frame from the guest.
#[derive(Debug, PartialEq, Eq)]
pub enum FromGuest {
    /// It goes to a client.
    ToClient {
        /// Which.
        client: ClientId,
        /// The frame.
        frame: Frame,
        /// Whether it cost the guest credit, and so is bounded by that.
        paid: Paid,
    },
    /// The guest sent more than it may: the client gets the outcome, the guest a cancel.
    Overrun {
        /// Which.
        client: ClientId,
        /// The outcome.
        outcome: Frame,
        /// The cancel.
        cancel: Frame,
    },
    /// It belongs to no stream; one that was cancelled, mostly.
    Stray,
}

/// Whether a frame cost credit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paid {
    /// It did.
    Yes,
    /// It did not.
    No,
}

impl Switch {
    /// Streams that are open.
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether no stream is open.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// Takes a frame from a client.
    pub fn from_client(&mut self, client: ClientId, mut frame: Frame) -> FromClient {
        if frame.kind == Kind::Open {
            return self.open(client, frame);
        }
        let known =
            self.routes.iter_mut().find(|(_, route)| (route.client, route.stream) == (client, frame.stream));
        let Some((number, route)) = known else {
            return if is_from_host(frame.kind) { FromClient::Nothing } else { FromClient::Broken };
        };
        let number = *number;
        let allowed = match frame.kind {
            Kind::Data => route.host.spend(frame.payload.len()),
            Kind::Credit => parse_credit(&frame.payload).is_some_and(|bytes| route.guest.grant(bytes)),
            kind => is_from_host(kind),
        };
        if !allowed {
            return FromClient::Broken;
        }
        if frame.kind == Kind::Cancel {
            self.routes.remove(&number);
        }
        frame.stream = number;
        FromClient::ToGuest(frame)
    }

    fn open(&mut self, client: ClientId, mut frame: Frame) -> FromClient {
        let taken = |route: &Route| (route.client, route.stream) == (client, frame.stream);
        if frame.stream == 0 || self.routes.values().any(taken) {
            return FromClient::Broken;
        }
        if self.routes.len() >= MAX_STREAMS {
            let message = format!("the guest serves {MAX_STREAMS} streams at once, and all are in use");
            return FromClient::Answer(failed(frame.stream, FailureCode::Busy, message));
        }
        let number = self.unused();
        let (guest, host) = (SendWindow::default(), SendWindow::default());
        self.routes.insert(number, Route { client, stream: frame.stream, guest, host });
        frame.stream = number;
        FromClient::ToGuest(frame)
    }

    /// A number that no stream has, and that none had for as long as numbers last.
    fn unused(&mut self) -> u32 {
        loop {
            self.last = self.last.wrapping_add(1);
            if self.last != 0 && !self.routes.contains_key(&self.last) {
                return self.last;
            }
        }
    }

    /// Takes a frame from the guest: of a kind that a guest may send on a stream.
    pub fn from_guest(&mut self, mut frame: Frame) -> FromGuest {
        let number = frame.stream;
        let Some(route) = self.routes.get_mut(&number) else { return FromGuest::Stray };
        let size = frame.payload.len();
        let (allowed, paid) = match frame.kind {
            Kind::Data | Kind::Stderr => (route.guest.spend(size), size > 0),
            Kind::Credit => {
                let bytes = parse_credit(&frame.payload).unwrap_or_default();
                (bytes > 0 && route.host.grant(bytes), true)
            }
            _ => (true, false),
        };
        let client = route.client;
        if !allowed {
            let message = "the guest sent more than it was granted".to_owned();
            let outcome = failed(route.stream, FailureCode::Io, message);
            self.routes.remove(&number);
            return FromGuest::Overrun { client, outcome, cancel: cancel(number) };
        }
        frame.stream = route.stream;
        if frame.kind == Kind::Done {
            self.routes.remove(&number);
        }
        FromGuest::ToClient { client, frame, paid: if paid { Paid::Yes } else { Paid::No } }
    }

    /// Ends the streams of a client that went: what the guest is to be told.
    pub fn client_gone(&mut self, client: ClientId) -> Vec<Frame> {
        let gone: Vec<u32> = self
            .routes
            .iter()
            .filter(|(_, route)| route.client == client)
            .map(|(number, _)| *number)
            .collect();
        gone.into_iter()
            .map(|number| {
                self.routes.remove(&number);
                cancel(number)
            })
            .collect()
    }

    /// Ends every stream because the guest went: what each client is to be told.
    pub fn guest_gone(&mut self, why: &str) -> Vec<(ClientId, Frame)> {
        std::mem::take(&mut self.routes)
            .into_values()
            .map(|route| (route.client, failed(route.stream, FailureCode::Lost, why.to_owned())))
            .collect()
    }
}

/// Whether a host may send that on a stream.
fn is_from_host(kind: Kind) -> bool {
    use Kind::{Cancel, Credit, Data, End, Hole, Resize, Signal};
    matches!(kind, Data | Hole | Credit | End | Cancel | Signal | Resize)
}

fn cancel(stream: u32) -> Frame {
    Frame::stream(Kind::Cancel, stream, Vec::new())
}

/// The last frame of a stream that the broker ends.
pub(crate) fn failed(stream: u32, code: FailureCode, message: String) -> Frame {
    stream_frame(Kind::Done, stream, &Outcome::Failed(Failure { code, message }))
}

#[cfg(test)]
mod tests;
