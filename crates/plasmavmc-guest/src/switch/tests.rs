//! Two commands and a guest.

use castra_agent_proto::limits::WINDOW;
use castra_agent_proto::message::body;
use castra_agent_proto::window::credit;
use proptest::prelude::*;

use super::*;

const A: ClientId = ClientId(7);
const B: ClientId = ClientId(9);

fn frame(kind: Kind, stream: u32, payload: &[u8]) -> Frame {
    Frame::stream(kind, stream, payload)
}

/// Opens a stream; its number at the guest.
fn open(switch: &mut Switch, client: ClientId, stream: u32) -> u32 {
    match switch.from_client(client, frame(Kind::Open, stream, b"{}")) {
        FromClient::ToGuest(frame) => frame.stream,
        other => panic!("{other:?}"),
    }
}

fn to(client: ClientId, frame: Frame, paid: Paid) -> FromGuest {
    FromGuest::ToClient { client, frame, paid }
}

fn code(frame: &Frame) -> FailureCode {
    match body(frame) {
        Some(Outcome::Failed(failure)) => failure.code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn streams_of_two_commands_with_the_same_number_are_kept_apart() {
    let mut switch = Switch::default();
    let (a, b) = (open(&mut switch, A, 1), open(&mut switch, B, 1));
    assert_ne!(a, b);
    for (client, number) in [(A, a), (B, b)] {
        let sent = switch.from_client(client, frame(Kind::Data, 1, b"in"));
        assert_eq!(sent, FromClient::ToGuest(frame(Kind::Data, number, b"in")));
        let got = switch.from_guest(frame(Kind::Stderr, number, b"out"));
        assert_eq!(got, to(client, frame(Kind::Stderr, 1, b"out"), Paid::Yes));
    }
    assert_eq!(switch.from_guest(frame(Kind::Done, a, b"{}")), to(A, frame(Kind::Done, 1, b"{}"), Paid::No));
    assert_eq!(switch.from_guest(frame(Kind::Data, a, b"late")), FromGuest::Stray);
    assert_eq!(switch.len(), 1);
}

#[test]
fn a_guest_that_sends_more_than_it_was_granted_loses_that_stream_alone() {
    let mut switch = Switch::default();
    let (a, b) = (open(&mut switch, A, 1), open(&mut switch, B, 1));
    let piece = vec![0; WINDOW as usize / 4];
    for _ in 0..4 {
        assert!(matches!(switch.from_guest(frame(Kind::Data, a, &piece)), FromGuest::ToClient { .. }));
    }
    let FromGuest::Overrun { client, outcome, cancel } = switch.from_guest(frame(Kind::Stderr, a, b"!"))
    else {
        panic!("it was let through")
    };
    assert_eq!((client, outcome.stream, code(&outcome)), (A, 1, FailureCode::Io));
    assert_eq!(cancel, frame(Kind::Cancel, a, b""));
    assert!(matches!(switch.from_guest(frame(Kind::Data, b, b"x")), FromGuest::ToClient { .. }));
}

#[test]
fn what_a_command_grants_may_be_sent() {
    let mut switch = Switch::default();
    let a = open(&mut switch, A, 1);
    let piece = vec![0; 64 * 1024];
    for _ in 0..16 {
        assert!(matches!(switch.from_guest(frame(Kind::Data, a, &piece)), FromGuest::ToClient { .. }));
        let grant = credit(piece.len() as u32);
        assert_eq!(
            switch.from_client(A, frame(Kind::Credit, 1, &grant)),
            FromClient::ToGuest(frame(Kind::Credit, a, &grant))
        );
    }
}

#[test]
fn a_guest_cannot_grant_what_nobody_sent() {
    for grant in [credit(1), credit(0), credit(u32::MAX), b"abc".to_vec()] {
        let mut switch = Switch::default();
        let a = open(&mut switch, A, 1);
        assert!(matches!(switch.from_guest(frame(Kind::Credit, a, &grant)), FromGuest::Overrun { .. }));
    }
}

#[test]
fn a_command_that_breaks_a_rule_is_told_apart_from_one_that_is_late() {
    let mut switch = Switch::default();
    open(&mut switch, A, 1);
    let too_much = vec![0; 64 * 1024];
    for _ in 0..4 {
        assert!(matches!(switch.from_client(A, frame(Kind::Data, 1, &too_much)), FromClient::ToGuest(_)));
    }
    for broken in [
        frame(Kind::Data, 1, b"x"),
        frame(Kind::Open, 1, b"{}"),
        frame(Kind::Open, 0, b"{}"),
        frame(Kind::Done, 1, b"{}"),
        frame(Kind::Ping, 5, b""),
        frame(Kind::Credit, 1, &credit(1)),
    ] {
        assert_eq!(switch.from_client(A, broken.clone()), FromClient::Broken, "{broken:?}");
    }
    assert_eq!(switch.from_client(A, frame(Kind::Data, 2, b"x")), FromClient::Nothing);
    assert_eq!(switch.from_client(B, frame(Kind::Cancel, 1, b"")), FromClient::Nothing);
}

#[test]
fn the_stream_too_many_is_refused_and_there_is_room_again_after_a_cancel() {
    let mut switch = Switch::default();
    for stream in 1..=MAX_STREAMS as u32 {
        open(&mut switch, A, stream);
    }
    let FromClient::Answer(answer) = switch.from_client(B, frame(Kind::Open, 1, b"{}")) else {
        panic!("it was let through")
    };
    assert_eq!((answer.stream, code(&answer)), (1, FailureCode::Busy));
    assert!(matches!(switch.from_client(A, frame(Kind::Cancel, 3, b"")), FromClient::ToGuest(_)));
    open(&mut switch, B, 1);
}

#[test]
fn whoever_goes_takes_only_its_own_streams() {
    let mut switch = Switch::default();
    let (a1, a2, _) = (open(&mut switch, A, 1), open(&mut switch, A, 2), open(&mut switch, B, 1));
    assert_eq!(switch.client_gone(A), [frame(Kind::Cancel, a1, b""), frame(Kind::Cancel, a2, b"")]);
    let lost = switch.guest_gone("it went");
    let [(client, frame)] = &lost[..] else { panic!("{lost:?}") };
    assert_eq!((*client, frame.stream, code(frame)), (B, 1, FailureCode::Lost));
    assert!(switch.is_empty());
}

proptest! {
    #[test]
    fn no_command_ever_holds_more_than_it_granted(
        steps in prop::collection::vec((any::<bool>(), 0..70_000_u32), 1..200),
    ) {
        let mut switch = Switch::default();
        let a = open(&mut switch, A, 1);
        let (mut granted, mut got) = (u64::from(WINDOW), 0_u64);
        for (from_guest, size) in steps {
            if from_guest {
                let size = size.min(65_536) as usize;
                match switch.from_guest(frame(Kind::Data, a, &vec![0; size])) {
                    FromGuest::ToClient { frame, .. } => got += frame.payload.len() as u64,
                    _ => break,
                }
            } else if matches!(switch.from_client(A, frame(Kind::Credit, 1, &credit(size))), FromClient::ToGuest(_)) {
                granted += u64::from(size);
            }
            prop_assert!(got <= granted && granted - got <= u64::from(WINDOW));
        }
    }
}
