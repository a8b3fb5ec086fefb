//! The client against a stand-in for the broker and the guest behind it, made of the same frames.

mod bus;
mod exec;
mod files;

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixListener;
use std::thread::{self, JoinHandle};

use castra_agent_proto::limits::MAX_PAYLOAD;
use castra_agent_proto::message::{Attached, RefusedCode, body, session_frame, stream_frame};
use castra_agent_proto::request::Failure;
use castra_agent_proto::window::{SendWindow, parse_credit};
use castra_agent_proto::{Frame, Kind};
use plasmavmc_host::socket::listen;
use plasmavmc_types::Explain;

use super::*;
use crate::testing::Line;

/// The other end of one connection.
struct Peer(Line);

impl Peer {
    /// Takes a connection and what it is for.
    fn accept(listener: &UnixListener) -> (Self, Attach) {
        let mut peer = Self(Line::new(listener.accept().unwrap().0));
        let frame = peer.next();
        assert_eq!(frame.kind, Kind::Attach);
        (peer, body(&frame).unwrap())
    }

    /// Takes a connection for streams and lets it go on.
    fn serve(listener: &UnixListener) -> Self {
        let (mut peer, attach) = Self::accept(listener);
        assert_eq!(attach, Attach::Streams { vm: "web".into() });
        peer.send(&session_frame(Kind::Attached, &Attached::Ok));
        peer
    }

    /// The next frame; none where the other end went.
    fn try_next(&mut self) -> Option<Frame> {
        self.0.try_next()
    }

    fn next(&mut self) -> Frame {
        self.0.next()
    }

    fn request(&mut self) -> (u32, Request) {
        let frame = self.next();
        assert_eq!(frame.kind, Kind::Open);
        (frame.stream, body(&frame).unwrap())
    }

    fn send(&mut self, frame: &Frame) {
        self.0.send(frame);
    }

    fn done(&mut self, stream: u32, outcome: &Outcome) {
        self.send(&stream_frame(Kind::Done, stream, outcome));
    }
}

/// A workspace whose broker does `serve`.
struct World {
    dir: tempfile::TempDir,
    broker: JoinHandle<()>,
}

impl World {
    fn new(serve: impl FnOnce(UnixListener) + Send + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = listen(dir.path(), Layout::BROKER_SOCKET_NAME).unwrap();
        Self { dir, broker: thread::spawn(move || serve(listener)) }
    }

    fn layout(&self) -> Layout {
        Layout::new(self.dir.path())
    }

    fn attach(&self) -> Channel {
        Channel::attach(&self.layout(), &vm(), Duration::ZERO).unwrap()
    }

    /// What the stand-in asserted.
    fn end(self) {
        self.broker.join().unwrap();
    }
}

fn vm() -> VmName {
    "web".parse().unwrap()
}

fn refusal(code: RefusedCode) -> Frame {
    session_frame(Kind::Attached, &Attached::Refused { code, message: "no hello yet".into() })
}

#[test]
fn a_workspace_without_a_broker_is_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let error = Channel::attach(&Layout::new(dir.path()), &vm(), Duration::from_secs(60)).unwrap_err();
    assert!(matches!(error, ClientError::NoBroker { .. }), "{error}");
}

#[test]
fn a_guest_that_comes_up_meanwhile_is_waited_for() {
    let world = World::new(|listener| {
        for _ in 0..3 {
            Peer::accept(&listener).0.send(&refusal(RefusedCode::Unreachable));
        }
        Peer::serve(&listener);
    });
    Channel::attach(&world.layout(), &vm(), Duration::from_secs(20)).unwrap();
    world.end();
}

#[test]
fn a_guest_that_does_not_come_is_waited_for_no_longer_than_asked() {
    let world = World::new(|listener| {
        Peer::accept(&listener).0.send(&refusal(RefusedCode::Unreachable));
    });
    let error = Channel::attach(&world.layout(), &vm(), Duration::ZERO).unwrap_err();
    assert!(matches!(&error, ClientError::Unreachable { reason, .. } if reason == "no hello yet"), "{error}");
    assert!(error.hints().iter().any(|hint| hint.contains("castra status")));
    world.end();
}

#[test]
fn whoever_waits_for_a_guest_can_be_interrupted() {
    let (wake, mut waker) = io::pipe().unwrap();
    let world = World::new(|listener| {
        loop {
            let (mut peer, attach) = Peer::accept(&listener);
            // Whoever was interrupted does not hear it.
            let _ = peer.0.stream.write_all(&refusal(RefusedCode::Unreachable).to_bytes());
            if attach != (Attach::Streams { vm: "web".into() }) {
                return;
            }
        }
    });
    let late = thread::spawn(move || {
        thread::sleep(Duration::from_millis(200));
        waker.write_all(b"!").unwrap();
        waker
    });
    let begun = Instant::now();
    let minutes = Duration::from_secs(600);
    let error = Channel::attach_unless(&world.layout(), &vm(), minutes, Some(wake.as_fd())).unwrap_err();
    assert!(matches!(error, ClientError::Interrupted), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    late.join().unwrap();
    Channel::attach(&world.layout(), &"last".parse().unwrap(), Duration::ZERO).unwrap_err();
    world.end();
}

#[test]
fn every_refusal_has_its_error() {
    let codes = [RefusedCode::UnknownVm, RefusedCode::Unsupported, RefusedCode::Busy, RefusedCode::Invalid];
    let world = World::new(move |listener| {
        for code in codes {
            Peer::accept(&listener).0.send(&refusal(code));
        }
    });
    let errors = codes.map(|_| Channel::attach(&world.layout(), &vm(), Duration::ZERO).unwrap_err());
    let [unknown, unsupported, busy, invalid] = errors;
    assert!(matches!(unknown, ClientError::UnknownVm { .. }));
    assert!(matches!(unsupported, ClientError::Unsupported { .. }));
    assert!(matches!(busy, ClientError::BrokerBusy));
    assert!(matches!(invalid, ClientError::Refused { .. }));
    world.end();
}

#[test]
fn a_call_has_its_outcome_and_a_failure_its_kind() {
    let world = World::new(|listener| {
        let mut peer = Peer::serve(&listener);
        let (stream, request) = peer.request();
        assert_eq!(request, Request::MakeDir { path: "/a".into(), mode: 0o755 });
        peer.done(stream, &Outcome::Ok);
        let (stream, _) = peer.request();
        let failure = Failure { code: FailureCode::NotFound, message: "no /b".into() };
        peer.done(stream, &Outcome::Failed(failure));
    });
    let mut channel = world.attach();
    channel.make_dir("/a", 0o755).unwrap();
    let error = channel.stat("/b").unwrap_err();
    assert_eq!(error.guest_code(), Some(FailureCode::NotFound));
    assert_eq!(error.to_string(), "in VM `web`: no /b");
    world.end();
}

/// Sends `length` bytes as far as credit comes; tells when it would have had to wait for some.
fn spout(peer: &mut Peer, stream: u32, length: usize) {
    let (mut window, mut left) = (SendWindow::default(), length);
    while left > 0 {
        let count = left.min(MAX_PAYLOAD).min(window.available());
        if count == 0 {
            let frame = peer.next();
            assert_eq!(frame.kind, Kind::Credit);
            assert!(window.grant(parse_credit(&frame.payload).unwrap()));
            continue;
        }
        assert!(window.spend(count));
        peer.send(&Frame::stream(Kind::Data, stream, vec![b'x'; count]));
        left -= count;
    }
}
