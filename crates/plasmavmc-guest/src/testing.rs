//! What the tests of several modules play: an end of a connection that speaks frames, and a guest's
//! answer to a hello.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use castra_agent_proto::limits::PROTOCOL;
use castra_agent_proto::message::{Hello, HelloReply};
use castra_agent_proto::{Decoder, Frame};

/// How long the other end may take on a busy machine.
const BOUND: Duration = Duration::from_secs(20);

/// Frames over a socket.
pub(crate) struct Line {
    pub(crate) stream: UnixStream,
    decoder: Decoder,
}

impl Line {
    pub(crate) fn new(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(BOUND)).unwrap();
        stream.set_write_timeout(Some(BOUND)).unwrap();
        Self { stream, decoder: Decoder::default() }
    }

    pub(crate) fn send(&mut self, frame: &Frame) {
        self.stream.write_all(&frame.to_bytes()).unwrap();
    }

    /// The next frame; none at the end.
    pub(crate) fn try_next(&mut self) -> Option<Frame> {
        let mut buffer = [0; 64 * 1024];
        loop {
            if let Some(frame) = self.decoder.next_frame() {
                return Some(frame);
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.decoder.push(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("nothing came: {error}"),
            }
        }
    }

    pub(crate) fn next(&mut self) -> Frame {
        self.try_next().expect("the connection lives")
    }
}

/// What a guest's agent answers.
pub(crate) fn reply(hello: &Hello) -> HelloReply {
    HelloReply {
        protocol: PROTOCOL,
        session: hello.session.clone(),
        vm: hello.vm.clone(),
        agent: "0.1.0".into(),
        boot_id: "b".into(),
        capabilities: vec!["files".into(), "exec".into(), "bus-v1".into()],
        agent_started_ms: 0,
        uptime_ms: 0,
    }
}
