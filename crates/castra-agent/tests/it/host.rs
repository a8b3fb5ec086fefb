//! A host for tests: sends requests, keeps the windows, and collects what comes back.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use castra_agent::{Config, Hangup, serve};
use castra_agent_proto::limits::{MAX_PAYLOAD, PROTOCOL};
use castra_agent_proto::message::{Hello, HelloReply, body, session_frame, stream_frame};
use castra_agent_proto::request::{Exec, Opened, Outcome, Request};
use castra_agent_proto::window::{ReceiveWindow, SendWindow, credit, parse_credit};
use castra_agent_proto::{Decoder, Frame, Kind};

/// How long anything may take on a busy machine.
pub(crate) const BOUND: Duration = Duration::from_secs(30);

/// A host with an agent of its own.
pub(crate) struct Host {
    pub(crate) port: UnixStream,
    decoder: Decoder,
    later: VecDeque<Frame>,
    agent: Option<JoinHandle<std::io::Result<()>>>,
    next: u32,
    pub(crate) dir: tempfile::TempDir,
}

/// What came of a stream.
#[derive(Debug, Default)]
pub(crate) struct Got {
    pub(crate) opened: Option<Opened>,
    pub(crate) data: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) holes: u64,
    pub(crate) outcome: Option<Outcome>,
}

impl Host {
    /// One without a session.
    pub(crate) fn connect() -> Self {
        let (port, theirs) = UnixStream::pair().unwrap();
        port.set_read_timeout(Some(BOUND)).unwrap();
        port.set_write_timeout(Some(BOUND)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let config = Config {
            helper: PathBuf::from(env!("CARGO_BIN_EXE_castra-agent")),
            root: PathBuf::from("/"),
            socket: Some(dir.path().join("agent.sock")),
            stages: None,
        };
        let theirs = OwnedFd::from(theirs);
        let agent = std::thread::spawn(move || serve(&theirs, config, Hangup::End));
        Self { port, decoder: Decoder::default(), later: VecDeque::new(), agent: Some(agent), next: 1, dir }
    }

    /// One with a session.
    pub(crate) fn greeted() -> Self {
        let mut host = Self::connect();
        host.hello("s");
        host
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("agent.sock")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn hello(&mut self, session: &str) -> HelloReply {
        let hello = Hello {
            protocol: PROTOCOL,
            session: session.to_owned(),
            vm: "web".to_owned(),
            keepalive_ms: 2000,
        };
        self.send(&session_frame(Kind::Hello, &hello));
        loop {
            let frame = self.next_frame();
            if let Some(reply) = body::<HelloReply>(&frame).filter(|it| it.session == session) {
                return reply;
            }
        }
    }

    pub(crate) fn send(&mut self, frame: &Frame) {
        self.port.write_all(&frame.to_bytes()).unwrap();
    }

    pub(crate) fn next_frame(&mut self) -> Frame {
        self.later.pop_front().unwrap_or_else(|| self.read_frame())
    }

    fn read_frame(&mut self) -> Frame {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            if let Some(frame) = self.decoder.next_frame() {
                return frame;
            }
            let count = self.port.read(&mut buffer).expect("the agent answers in time");
            assert!(count > 0, "the agent went");
            self.decoder.push(&buffer[..count]);
            assert_eq!(self.decoder.take_skipped(), 0, "the agent sent noise");
        }
    }

    /// Waits for the answer to a ping: everything sent before is handled by then.
    pub(crate) fn settle(&mut self) {
        self.send(&Frame::session(Kind::Ping, b"12345678".to_vec()));
        loop {
            let frame = self.read_frame();
            if frame.kind == Kind::Pong {
                return;
            }
            self.later.push_back(frame);
        }
    }

    pub(crate) fn open(&mut self, request: &Request) -> u32 {
        let stream = self.next;
        self.next += 1;
        self.send(&stream_frame(Kind::Open, stream, request));
        stream
    }

    /// Runs a script of the shell's.
    pub(crate) fn sh(&mut self, script: &str) -> Got {
        let stream = self.open(&Request::Exec(shell(script)));
        self.finish(stream, &[])
    }

    /// The outcome of a request without input.
    pub(crate) fn ask(&mut self, request: &Request) -> Got {
        let stream = self.open(request);
        self.finish(stream, &[])
    }

    /// Sends `input` as the window allows, and collects everything until the stream is done.
    pub(crate) fn finish(&mut self, stream: u32, input: &[u8]) -> Got {
        let (mut got, mut send, mut receive) =
            (Got::default(), SendWindow::default(), ReceiveWindow::default());
        let (mut sent, mut ended) = (0, false);
        while got.outcome.is_none() {
            while sent < input.len() && send.available() > 0 {
                let count = send.available().min(input.len() - sent).min(MAX_PAYLOAD);
                assert!(send.spend(count));
                self.send(&Frame::stream(Kind::Data, stream, &input[sent..sent + count]));
                sent += count;
            }
            if sent == input.len() && !input.is_empty() && !std::mem::replace(&mut ended, true) {
                self.send(&Frame::stream(Kind::End, stream, []));
            }
            let frame = self.next_frame();
            if frame.stream != stream {
                continue;
            }
            let bytes = if matches!(frame.kind, Kind::Data | Kind::Stderr) { frame.payload.len() } else { 0 };
            if frame.kind == Kind::Credit {
                assert!(send.grant(parse_credit(&frame.payload).unwrap()), "more than a window was granted");
            }
            got.take(&frame);
            if let Some(granted) = receive.used(bytes) {
                self.send(&Frame::stream(Kind::Credit, stream, credit(granted)));
            }
        }
        got
    }
}

impl Got {
    fn take(&mut self, frame: &Frame) {
        match frame.kind {
            Kind::Opened => self.opened = body(frame),
            Kind::Data => self.data.extend_from_slice(&frame.payload),
            Kind::Stderr => self.stderr.extend_from_slice(&frame.payload),
            Kind::Hole => {
                let length = u64::from_le_bytes(frame.payload.as_slice().try_into().unwrap());
                self.holes += length;
                self.data.resize(self.data.len() + usize::try_from(length).unwrap(), 0);
            }
            Kind::Done => self.outcome = body(frame),
            _ => {}
        }
    }

    pub(crate) fn code(&self) -> Option<i32> {
        match self.outcome {
            Some(Outcome::Exited { code }) => Some(code),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.data).into_owned()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.port.shutdown(std::net::Shutdown::Both);
        let ended = self.agent.take().unwrap().join();
        if !std::thread::panicking() {
            ended.expect("the agent does not panic").expect("the agent ends well");
        }
    }
}

/// A script of the shell's.
pub(crate) fn shell(script: &str) -> Exec {
    Exec {
        argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
        env: Vec::new(),
        cwd: None,
        user: None,
        terminal: None,
        stdin: false,
    }
}

/// Waits until something holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + BOUND;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A path as a request has it.
pub(crate) fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
