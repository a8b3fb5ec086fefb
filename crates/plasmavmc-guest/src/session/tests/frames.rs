//! A million frames of a guest that keeps no rule: right ones at the wrong time, mutated ones, noise.

use castra_agent_proto::limits::MAX_PAYLOAD;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::*;
use crate::switch::{ClientId, FromGuest, Switch};

const FRAMES: usize = 1_000_000;
/// Frames handed over at once.
const BATCH: usize = 20;

/// What a guest may send, and what only a host may.
fn seeds() -> Vec<Vec<u8>> {
    let stage = Report::Stage { stage: GuestStage::Sshd, uptime_ms: 1 };
    let hello = Hello { protocol: PROTOCOL, session: "0".into(), vm: "web".into(), keepalive_ms: 1 };
    let frames = [
        session_frame(Kind::HelloReply, &answer(&hello)),
        session_frame(Kind::Hello, &hello),
        Frame::session(Kind::Pong, vec![0; 8]),
        Frame::session(Kind::Pong, 1_u64.to_le_bytes().to_vec()),
        Frame::session(Kind::Publish, b"\x03abctext".to_vec()),
        session_frame(Kind::Report, &stage),
        session_frame(Kind::Report, &Report::Dropped { messages: u64::MAX }),
        Frame::stream(Kind::Opened, 1, *b"{\"pid\":1}"),
        Frame::stream(Kind::Data, 1, vec![7; 300]),
        Frame::stream(Kind::Stderr, 2, vec![7; 30]),
        Frame::stream(Kind::Hole, 3, u64::MAX.to_le_bytes()),
        Frame::stream(Kind::Credit, 1, u32::MAX.to_le_bytes()),
        Frame::stream(Kind::End, 2, []),
        Frame::stream(Kind::Done, 3, *b"{\"outcome\":\"ok\"}"),
        Frame::stream(Kind::Open, 4, *b"{}"),
    ];
    frames.iter().map(Frame::to_bytes).collect()
}

/// One frame, mostly as it should be.
fn frame(dice: &mut impl Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut roll = |sides: usize| usize::try_from(dice.next_u64() % sides as u64).unwrap();
    let mut bytes = seeds[roll(seeds.len())].clone();
    match roll(40) {
        0 => {
            let at = roll(bytes.len());
            bytes[at] ^= 1 << roll(8);
        }
        1 => bytes[8..12].copy_from_slice(&u32::MAX.to_le_bytes()),
        2 => bytes.truncate(roll(bytes.len())),
        3 => bytes.iter_mut().for_each(|byte| *byte = roll(256).to_le_bytes()[0]),
        _ => {}
    }
    bytes
}

/// Memory of this process, in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_million_frames_of_any_kind_end_nothing_and_pile_nothing_up() {
    let (seeds, mut dice) = (seeds(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let (mut session, mut switch, mut now) = (on(0), Switch::default(), 0);
    let (mut streams, mut greeted, mut passed) = (0, 0, 0);
    let before = resident_kib();
    for _ in 0..FRAMES / BATCH {
        let batch: Vec<u8> = (0..BATCH).flat_map(|_| frame(&mut dice, &seeds)).collect();
        session.receive(&batch, now);
        while let Some(event) = session.next_event() {
            match event {
                SessionEvent::Stream(frame) => match switch.from_guest(frame) {
                    FromGuest::ToClient { .. } => passed += 1,
                    FromGuest::Overrun { .. } | FromGuest::Stray => {}
                },
                SessionEvent::Lost(_) => switch = Switch::default(),
                _ => {}
            }
        }
        while switch.len() < 3 {
            streams += 1;
            switch.from_client(ClientId(1), Frame::stream(Kind::Open, streams, *b"{}"));
        }
        assert!(session.decoder.buffered() <= 2 * MAX_PAYLOAD && session.pings.len() <= PINGS_MAX);
        now = session.deadline().max(now + 1);
        session.tick(now, IDLE);
        assert!(session.output.len() <= 1024, "{} bytes", session.output.len());
        if let Some(hello) = said(&mut session).into_iter().rfind(|frame| frame.kind == Kind::Hello) {
            reply(&mut session, &answer(&body(&hello).unwrap()), now);
            greeted += 1;
        }
    }
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB more are held");
    assert!(greeted > 1_000 && passed > 1_000, "{greeted} sessions, {passed} frames passed on");
}
