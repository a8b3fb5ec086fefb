//! The host's end of the guest channel, as plain as can be: says hello until it is heard, and runs
//! scripts.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use castra_agent_proto::limits::{KEEPALIVE_MS, PROTOCOL};
use castra_agent_proto::message::{Hello, HelloReply, body, session_frame, stream_frame};
use castra_agent_proto::request::{Exec, Outcome, Request};
use castra_agent_proto::{Decoder, Frame, Kind, frame};

/// How often a hello is repeated.
const PATIENCE: Duration = Duration::from_millis(500);

/// A session with the agent in a guest.
pub(crate) struct Session {
    port: UnixStream,
    decoder: Decoder,
    next: u32,
}

impl Session {
    /// Waits for the agent and tells who it says it is.
    pub(crate) fn begin(port: UnixStream, bound: Duration) -> (Self, HelloReply) {
        port.set_read_timeout(Some(PATIENCE)).expect("a socket has timeouts");
        let mut session = Self { port, decoder: Decoder::default(), next: 1 };
        let deadline = Instant::now() + bound;
        for number in 0.. {
            assert!(Instant::now() < deadline, "the agent did not answer within {bound:?}");
            session.decoder.reset();
            let name = format!("s{number}");
            let hello = Hello {
                protocol: PROTOCOL,
                session: name.clone(),
                vm: "web".into(),
                keepalive_ms: KEEPALIVE_MS,
            };
            session.send(&frame::filler());
            session.send(&session_frame(Kind::Hello, &hello).to_bytes());
            while let Some(frame) = session.next_frame() {
                if let Some(reply) = body::<HelloReply>(&frame).filter(|reply| reply.session == name) {
                    return (session, reply);
                }
            }
        }
        unreachable!("the loop ends at its deadline")
    }

    fn send(&mut self, bytes: &[u8]) {
        self.port.write_all(bytes).expect("QEMU takes what is for the guest");
    }

    /// The next frame; none where none comes for a while.
    fn next_frame(&mut self) -> Option<Frame> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(frame) = self.decoder.next_frame() {
                return Some(frame);
            }
            match self.port.read(&mut buffer) {
                Ok(0) => panic!("QEMU went"),
                Ok(count) => self.decoder.push(&buffer[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return None;
                }
                Err(error) => panic!("the port breaks: {error}"),
            }
        }
    }

    /// What a script prints, in less than a window, and how it ends.
    pub(crate) fn sh(&mut self, script: &str, bound: Duration) -> (String, Option<Outcome>) {
        let stream = self.next;
        self.next += 1;
        let exec = Exec {
            argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
            env: Vec::new(),
            cwd: None,
            user: None,
            terminal: None,
            stdin: false,
        };
        self.send(&stream_frame(Kind::Open, stream, &Request::Exec(exec)).to_bytes());
        let deadline = Instant::now() + bound;
        let mut said = Vec::new();
        while Instant::now() < deadline {
            match self.next_frame() {
                Some(frame) if frame.stream == stream && matches!(frame.kind, Kind::Data | Kind::Stderr) => {
                    said.extend(frame.payload);
                }
                Some(frame) if frame.stream == stream && frame.kind == Kind::Done => {
                    return (String::from_utf8_lossy(&said).into_owned(), body(&frame));
                }
                _ => {}
            }
        }
        panic!("`{script}` did not end within {bound:?}");
    }
}
