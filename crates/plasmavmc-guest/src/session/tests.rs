//! A guest in one variable against a session: what it hears, what it says, and time as a number.

mod frames;

use proptest::prelude::*;

use super::*;
use crate::testing::reply as answer;

const IDLE: Load = Load { unsent: 0, streams: 0 };

fn draw() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed).to_string()
}

fn new(now: u64) -> Session {
    Session::new("web".parse().unwrap(), draw, now)
}

/// The frames a session has to say.
fn said(session: &mut Session) -> Vec<Frame> {
    let mut decoder = Decoder::default();
    decoder.push(&session.take_output());
    std::iter::from_fn(|| decoder.next_frame()).collect()
}

fn events(session: &mut Session) -> Vec<SessionEvent> {
    std::iter::from_fn(|| session.next_event()).collect()
}

fn hello(session: &mut Session) -> Hello {
    let frame = said(session).into_iter().rfind(|frame| frame.kind == Kind::Hello);
    body(&frame.expect("it says hello")).unwrap()
}

fn reply(session: &mut Session, reply: &HelloReply, now: u64) {
    session.receive(&session_frame(Kind::HelloReply, reply).to_bytes(), now);
}

/// A session that is on since `now`, its first ping answered.
fn on(now: u64) -> Session {
    let mut session = new(now);
    let hello = hello(&mut session);
    reply(&mut session, &answer(&hello), now);
    pong(&mut session, now);
    events(&mut session);
    session
}

/// Answers every ping.
fn pong(session: &mut Session, now: u64) {
    for frame in said(session).into_iter().filter(|frame| frame.kind == Kind::Ping) {
        session.receive(&Frame::session(Kind::Pong, frame.payload).to_bytes(), now);
    }
}

#[test]
fn a_guest_that_answers_is_accepted_and_pinged_at_once() {
    let mut session = new(1_000);
    let hello = hello(&mut session);
    assert_eq!((hello.vm.as_str(), hello.protocol), ("web", PROTOCOL));
    reply(&mut session, &answer(&hello), 1_040);
    let said = said(&mut session);
    assert_eq!(body::<Outcome>(&said[0]), Some(Outcome::Ok));
    assert_eq!(said[1].kind, Kind::Ping);
    session.receive(&Frame::session(Kind::Pong, said[1].payload.clone()).to_bytes(), 1_060);
    let accepted =
        HelloReply { capabilities: vec!["bus-v1".into(), "exec".into(), "files".into()], ..answer(&hello) };
    assert_eq!(
        events(&mut session),
        [
            SessionEvent::Accepted(accepted),
            SessionEvent::Alive { at_ms: 1_000 },
            SessionEvent::Alive { at_ms: 1_040 }
        ]
    );
}

#[test]
fn an_answer_counts_from_when_its_question_was_asked() {
    let mut session = on(1_000);
    session.tick(2_000, IDLE);
    // The broker was stopped for a minute, and the guest may have frozen meanwhile.
    pong(&mut session, 62_000);
    assert_eq!(events(&mut session), [SessionEvent::Alive { at_ms: 2_000 }]);
}

#[test]
fn a_hello_is_said_again_until_it_is_answered_and_then_filled_up() {
    let mut session = new(0);
    let first = hello(&mut session);
    assert_eq!(session.deadline(), 1_000);
    session.tick(1_000, IDLE);
    assert!(session.take_filler(), "nothing completes a frame the agent waits for");
    assert_eq!(hello(&mut session).session, first.session);
    session.tick(2_000, IDLE);
    let again = hello(&mut session);
    assert_eq!(again.session, first.session);
    session.tick(3_000, Load { unsent: 1, streams: 0 });
    assert!(session.take_output().is_empty(), "a guest that reads nothing is told more and more");
    reply(&mut session, &answer(&first), 3_500);
    assert!(session.is_on());
    // What was not said proves nothing: the answer is to the hello before.
    assert!(events(&mut session).contains(&SessionEvent::Alive { at_ms: 2_000 }));
}

#[test]
fn an_agent_in_the_middle_of_a_frame_is_freed_by_the_filler() {
    let mut agent = Decoder::default();
    agent.push(&Frame::stream(Kind::Data, 3, vec![0; 60_000]).to_bytes()[..500]);
    let mut session = new(0);
    let mut heard = Vec::new();
    for now in [0, 1_000] {
        session.tick(now, IDLE);
        agent.push(&if session.take_filler() { frame::filler() } else { Vec::new() });
        agent.push(&session.take_output());
        heard.extend(std::iter::from_fn(|| agent.next_frame()));
    }
    assert!(heard.iter().any(|frame| frame.kind == Kind::Hello), "{heard:?}");
}

#[test]
fn every_frame_counts_until_the_session_is_on_and_then_those_beside_streams() {
    let data = Frame::stream(Kind::Data, 3, vec![7; 100]).to_bytes();
    let mut session = new(0);
    session.receive(&data.repeat(50), 10);
    assert_eq!(session.take_said(), Said { frames: 50, bytes: 50 * data.len() as u64 });
    let mut session = on(20);
    session.take_said();
    session.receive(&data.repeat(50), 30);
    assert_eq!(session.take_said(), Said::default(), "the switch counts what streams carry");
}

#[test]
fn what_is_left_of_an_agent_that_died_does_not_hide_the_next_ones_reply() {
    let mut session = new(0);
    let hello = hello(&mut session);
    session.receive(&Frame::stream(Kind::Data, 3, vec![7; 50_000]).to_bytes()[..100], 10);
    reply(&mut session, &answer(&hello), 20);
    assert!(!session.is_on(), "the reply is taken for the frame's rest");
    session.tick(1_000, IDLE);
    reply(&mut session, &answer(&hello), 1_010);
    assert!(session.is_on());
}

#[test]
fn a_guest_that_is_not_accepted_is_told_why_and_asked_again_much_later() {
    let mut session = new(0);
    let hello = hello(&mut session);
    let other = HelloReply { vm: "db".into(), ..answer(&hello) };
    reply(&mut session, &other, 10);
    let reason = "the agent says it is VM \"db\"".to_owned();
    assert_eq!(events(&mut session), [SessionEvent::Declined { reason: reason.clone() }]);
    assert_eq!(body::<Outcome>(&said(&mut session)[0]), Some(Outcome::Declined { reason }));
    // It cannot go on as if it had been.
    reply(&mut session, &answer(&hello), 20);
    assert!(!session.is_on() && events(&mut session).is_empty());
    assert!(session.deadline() >= PAUSE_MAX_MS);
    session.tick(session.deadline(), IDLE);
    assert_ne!(self::hello(&mut session).session, hello.session);
}

#[test]
fn a_reply_to_another_session_counts_for_nothing() {
    let mut session = new(0);
    let hello = hello(&mut session);
    let stale = HelloReply { session: "of yesterday".into(), ..answer(&hello) };
    reply(&mut session, &stale, 10);
    assert!(!session.is_on() && events(&mut session).is_empty());
}

#[test]
fn pings_are_two_seconds_apart_and_at_the_same_moments_for_all() {
    let (mut a, mut b) = (on(100), on(1_700));
    assert_eq!((a.deadline(), b.deadline()), (2_000, 2_000));
    for session in [&mut a, &mut b] {
        session.tick(2_001, IDLE);
        assert_eq!(session.deadline(), 4_000);
    }
}

#[test]
fn a_silent_guest_begins_anew_unless_streams_would_be_lost() {
    for (streams, bound) in [(0, SILENCE_MS), (1, BUSY_SILENCE_MS)] {
        let mut session = on(0);
        let load = Load { unsent: 0, streams };
        let mut now = 0;
        while events(&mut session).is_empty() {
            assert!(now <= bound + KEEPALIVE_MS, "it waits for ever");
            now = session.deadline();
            session.tick(now, load);
        }
        assert!(now >= bound && !session.is_on());
    }
}

#[test]
fn noise_ends_a_session_and_each_time_for_longer() {
    let mut session = on(0);
    let mut pauses = Vec::new();
    let mut now = 0;
    for _ in 0..12 {
        session.receive(b"\xCAjunk", now);
        assert_eq!(events(&mut session), [SessionEvent::Lost(Loss::Noise)]);
        assert!(session.take_said().bytes > 0);
        pauses.push(session.deadline() - now);
        now = session.deadline();
        session.tick(now, IDLE);
        let hello = hello(&mut session);
        reply(&mut session, &answer(&hello), now);
        pong(&mut session, now);
        events(&mut session);
    }
    assert_eq!(pauses[..3], [100, 200, 400]);
    assert_eq!(pauses.last(), Some(&PAUSE_MAX_MS));
}

#[test]
fn frames_of_the_host_are_not_taken_from_a_guest() {
    let hostile = [
        Frame::session(Kind::Hello, vec![]),
        Frame::session(Kind::Ping, vec![0; 8]),
        Frame::session(Kind::Outcome, b"{}".to_vec()),
        Frame::stream(Kind::Open, 1, *b"{}"),
        Frame::stream(Kind::Publish, 9, *b"\x01ab"),
        Frame::session(Kind::Data, b"x".to_vec()),
        Frame::session(Kind::Attach, b"{}".to_vec()),
        Frame::session(Kind::Pong, vec![1; 3]),
        Frame::session(Kind::Pong, u64::MAX.to_le_bytes().to_vec()),
    ];
    for frame in hostile {
        let mut session = on(0);
        session.receive(&frame.to_bytes(), 10);
        assert_eq!(events(&mut session), [SessionEvent::Lost(Loss::Protocol)], "{frame:?}");
    }
}

#[test]
fn what_a_guest_reports_is_told() {
    let mut session = on(0);
    let report = Report::Stage { stage: GuestStage::Network, uptime_ms: 5 };
    session.receive(&session_frame(Kind::Report, &report).to_bytes(), 10);
    session.receive(&session_frame(Kind::Report, &Report::Dropped { messages: 3 }).to_bytes(), 10);
    session.receive(&Frame::session(Kind::Report, b"{\"report\":\"new\"}".to_vec()).to_bytes(), 10);
    let publication = Publication::new("a/b", b"hi".to_vec()).unwrap();
    session.receive(&Frame::session(Kind::Publish, publication.to_payload()).to_bytes(), 10);
    let data = Frame::stream(Kind::Data, 4, *b"x");
    session.receive(&data.to_bytes(), 10);
    assert_eq!(
        events(&mut session),
        [
            SessionEvent::Stage { stage: GuestStage::Network, uptime_ms: 5 },
            SessionEvent::Dropped { messages: 3 },
            SessionEvent::Published(publication),
            SessionEvent::Stream(data)
        ]
    );
    assert_eq!(session.take_said().frames, 2 + 4, "the reply, the pong, and what was reported");
}

#[test]
fn a_restarted_guest_is_greeted_at_once_under_another_number() {
    let mut session = new(0);
    let first = hello(&mut session);
    reply(&mut session, &answer(&first), 0);
    events(&mut session);
    session.take_output();
    session.port_closed(500);
    assert_eq!(events(&mut session), [SessionEvent::Lost(Loss::Restart)]);
    let second = hello(&mut session);
    assert_ne!(second.session, first.session);
    // An answer to a ping of the session before comes late, and does no harm.
    reply(&mut session, &answer(&second), 600);
    session.receive(&Frame::session(Kind::Pong, 1_u64.to_le_bytes().to_vec()).to_bytes(), 600);
    assert!(session.is_on());
}

#[test]
fn news_of_the_port_that_come_late_end_no_session_that_began_since() {
    let mut session = on(0);
    session.port_opened(LATE_MS);
    assert!(session.is_on());
    session.port_opened(LATE_MS + 1);
    assert!(!session.is_on(), "its agent was replaced between two news");
    let session_before = hello(&mut session).session;
    session.port_opened(LATE_MS + 2);
    session.port_closed(LATE_MS + 2);
    session.tick(session.deadline(), IDLE);
    assert_eq!(hello(&mut session).session, session_before);
}

#[test]
fn a_guest_that_comes_and_goes_is_greeted_at_once_a_few_times_and_then_now_and_then() {
    let (mut session, mut greeted) = (on(0), Vec::new());
    for now in (0..3_600_000).step_by(500) {
        session.tick(now, IDLE);
        if let Some(hello) = said(&mut session).into_iter().rfind(|frame| frame.kind == Kind::Hello) {
            reply(&mut session, &answer(&body(&hello).unwrap()), now);
            greeted.push(now);
        }
        session.port_closed(now);
        events(&mut session);
    }
    let (burst, seconds) = RESTARTS;
    assert_eq!(greeted.iter().filter(|at| **at < 30_000).count(), burst as usize);
    assert!(greeted.len() <= (burst + 3_600 / seconds + 1) as usize, "{} times", greeted.len());
    assert!(*greeted.last().unwrap() > 3_500_000, "it is never forgotten");
}

proptest! {
    #[test]
    fn nothing_a_guest_sends_panics_or_piles_up(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 0..30),
        greeted: bool,
    ) {
        let mut session = if greeted { on(0) } else { new(0) };
        let mut now = 0;
        for piece in pieces {
            session.receive(&piece, now);
            now = now.max(session.deadline());
            session.tick(now, IDLE);
            events(&mut session);
            session.take_output();
            prop_assert!(session.decoder.buffered() <= 2 * castra_agent_proto::limits::MAX_PAYLOAD);
            prop_assert!(session.deadline() > now);
        }
    }

    #[test]
    fn no_age_is_ever_younger_than_its_question(steps in prop::collection::vec(0..9_000_u64, 1..40)) {
        let mut session = on(0);
        let mut now = 0;
        for step in steps {
            now += step;
            session.tick(now, IDLE);
            let asked: Vec<u64> = session.pings.iter().map(|(_, at)| *at).collect();
            if !session.is_on() {
                break;
            }
            pong(&mut session, now + 1);
            for event in events(&mut session) {
                let SessionEvent::Alive { at_ms } = event else { panic!("{event:?}") };
                prop_assert!(asked.contains(&at_ms));
            }
        }
    }
}
