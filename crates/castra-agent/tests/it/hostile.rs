//! A host that floods and sends junk: the agent goes on, and holds no more memory than it may.

use std::io::Write;

use castra_agent_proto::message::{body, stream_frame};
use castra_agent_proto::request::{FailureCode, Outcome, Request};
use castra_agent_proto::{Frame, Kind};

use crate::host::{Host, shell, text};

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

#[test]
fn mutated_frames_neither_end_the_agent_nor_make_it_grow() {
    let mut host = Host::greeted();
    let path = text(&host.path("target"));
    let seeds: Vec<Vec<u8>> = vec![
        stream_frame(Kind::Open, 1, &Request::Stat { path: path.clone() }).to_bytes(),
        stream_frame(Kind::Open, 2, &Request::List { path: path.clone() }).to_bytes(),
        stream_frame(Kind::Open, 3, &Request::Read { path }).to_bytes(),
        Frame::stream(Kind::Data, 1, vec![b'x'; 200]).to_bytes(),
        Frame::stream(Kind::Credit, 2, u32::MAX.to_le_bytes()).to_bytes(),
        Frame::stream(Kind::Hole, 3, u64::MAX.to_le_bytes()).to_bytes(),
        Frame::stream(Kind::End, 3, []).to_bytes(),
        Frame::stream(Kind::Signal, 1, *br#"{"signal":"KILL"}"#).to_bytes(),
        Frame::stream(Kind::Cancel, 1, []).to_bytes(),
        Frame::session(Kind::Ping, vec![0; 8]).to_bytes(),
        Frame::session(Kind::Publish, vec![3, b'a', b'b', b'c', 1]).to_bytes(),
    ];
    let mut reader = host.port.try_clone().unwrap();
    let drain = std::thread::spawn(move || {
        let mut buffer = [0; 64 * 1024];
        while std::io::Read::read(&mut reader, &mut buffer).is_ok_and(|count| count > 0) {}
    });
    let before = resident_kib();
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let mut bytes = Vec::new();
    for round in 0..1_000_000_u32 {
        let mut frame = seeds[usize::try_from(dice.roll(seeds.len() as u64)).unwrap()].clone();
        if dice.roll(3) > 0 {
            let at = usize::try_from(dice.roll(frame.len() as u64)).unwrap();
            frame[at] ^= 1 << dice.roll(8);
        }
        bytes.extend(frame);
        if round % 50 == 0 {
            let hello = br#"{"protocol":1,"session":"x","vm":"web","keepalive_ms":1}"#;
            bytes.extend(Frame::session(Kind::Hello, hello.to_vec()).to_bytes());
            host.port.write_all(&bytes).unwrap();
            bytes.clear();
        }
    }
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 64 * 1024, "the agent grew by {grown} KiB");
    host.port.shutdown(std::net::Shutdown::Both).unwrap();
    drain.join().unwrap();
}

/// Memory of this process, which serves the agent too.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_host_that_asks_and_never_reads_is_not_read_any_more() {
    let mut host = Host::greeted();
    host.port.set_write_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
    let before = resident_kib();
    let pings: Vec<u8> = (0..1000).flat_map(|_| Frame::session(Kind::Ping, vec![0; 8]).to_bytes()).collect();
    let mut sent = 0;
    while host.port.write_all(&pings).is_ok() {
        sent += pings.len();
        assert!(sent < 64 << 20, "the agent swallows everything");
    }
    assert!(resident_kib().saturating_sub(before) < 32 * 1024);
}

#[test]
fn a_host_that_sends_more_than_was_granted_loses_the_stream_alone() {
    let mut host = Host::greeted();
    let mut exec = shell("sleep 1000");
    exec.stdin = true;
    let stream = host.open(&Request::Exec(exec));
    for _ in 0..8 {
        host.send(&Frame::stream(Kind::Data, stream, vec![0; 64 * 1024]));
    }
    // What the program's pipe took is granted again; the rest was too much.
    let done = std::iter::from_fn(|| Some(host.next_frame())).find(|frame| frame.kind == Kind::Done);
    let outcome = done.as_ref().and_then(body);
    assert!(matches!(outcome, Some(Outcome::Failed(it)) if it.code == FailureCode::Invalid));
    assert_eq!(host.sh("exit 0").code(), Some(0));
}
