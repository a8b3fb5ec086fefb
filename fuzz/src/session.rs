//! What a guest sends on its port, or whoever took its agent's place; and what its `qemu-guest-agent`
//! says.

use std::collections::VecDeque;

use castra_agent_proto::limits::{MAX_PAYLOAD, MAX_STREAMS, WINDOW};
use castra_agent_proto::{Decoder, Frame, Kind};
use plasmavmc_guest::qga::{Qga, QgaEvent};
use plasmavmc_guest::session::{Load, Session, SessionEvent};
use plasmavmc_guest::switch::{ClientId, FromClient, FromGuest, Switch};

/// The number of every session: an input can answer a hello.
const SESSION: &str = "s";

/// Bytes handed over at once.
const PIECE: usize = 97;

/// A session survives any guest, keeps little, believes no age that was not asked for, and hands a
/// client no more than it granted.
pub fn check(bytes: &[u8]) {
    agent(bytes);
    qga(bytes);
}

fn agent(bytes: &[u8]) {
    let vm = "web".parse().expect("a name");
    let mut session = Session::new(vm, || SESSION.to_owned(), 0);
    let mut client = Client::new();
    let (mut now, mut asked) = (0, VecDeque::from([0]));
    for piece in bytes.chunks(PIECE) {
        // What it asked when it was last ticked, and what it asks because of this piece.
        asked.extend(questions(&mut session).map(|_| now));
        session.receive(piece, now);
        asked.extend(questions(&mut session).map(|_| now));
        let mut accepted = session.is_on();
        while let Some(event) = session.next_event() {
            match event {
                SessionEvent::Accepted(reply) => {
                    assert!(reply.capabilities.is_sorted() && reply.vm == "web");
                    accepted = true;
                }
                SessionEvent::Alive { at_ms } => assert!(asked.contains(&at_ms) || at_ms == now),
                SessionEvent::Lost(_) => client.lost(),
                SessionEvent::Stream(frame) => {
                    assert!(accepted, "a frame of a guest that was not accepted");
                    client.hear(frame);
                }
                _ => {}
            }
        }
        // Some inputs are read fast, some slowly.
        now += u64::from(piece[0]) * 40;
        session.tick(now, Load { unsent: 0, streams: usize::from(piece[0] & 1) });
        assert!(session.deadline() > now, "it would be asked again at once, for ever");
    }
}

/// The frames a session sent whose answer proves that the guest lives.
fn questions(session: &mut Session) -> impl Iterator<Item = Frame> {
    let asks = |frame: &Frame| frame.kind == Kind::Ping || frame.kind == Kind::Hello;
    sent(&session.take_output()).into_iter().filter(asks)
}

/// The frames in a session's output.
fn sent(output: &[u8]) -> Vec<Frame> {
    let mut decoder = Decoder::default();
    decoder.push(output);
    std::iter::from_fn(|| decoder.next_frame()).collect()
}

/// A client with streams 1 to 4 at the guest, that grants nothing.
struct Client {
    switch: Switch,
    got: [usize; MAX_STREAMS],
}

impl Client {
    const ID: ClientId = ClientId(1);

    fn new() -> Self {
        let mut client = Self { switch: Switch::default(), got: [0; MAX_STREAMS] };
        for stream in 1..=4 {
            let opened = client.switch.from_client(Self::ID, Frame::stream(Kind::Open, stream, *b"{}"));
            assert!(matches!(opened, FromClient::ToGuest(_)));
        }
        client
    }

    fn hear(&mut self, frame: Frame) {
        if let FromGuest::ToClient { frame, .. } = self.switch.from_guest(frame) {
            assert!(frame.payload.len() <= MAX_PAYLOAD);
            if matches!(frame.kind, Kind::Data | Kind::Stderr) {
                let got = &mut self.got[frame.stream as usize];
                *got += frame.payload.len();
                assert!(*got <= WINDOW as usize, "more than was granted");
            }
        }
    }

    fn lost(&mut self) {
        self.switch.guest_gone("lost");
        assert!(self.switch.is_empty());
    }
}

fn qga(bytes: &[u8]) {
    let mut qga = Qga::new(0, 0);
    let mut now = 0;
    for piece in bytes.chunks(PIECE) {
        qga.receive(piece, now);
        while let Some(event) = qga.next_event() {
            if let QgaEvent::Accepted { version, capabilities } = event {
                assert!(capabilities.is_sorted() && version.chars().all(|c| matches!(c, ' '..='~')));
            }
        }
        now = now.max(qga.deadline());
        qga.tick(now, 0);
        qga.take_output();
        assert!(qga.deadline() > now);
    }
}
