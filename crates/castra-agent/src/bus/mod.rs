//! The bus inside the guest: a local socket on which programs publish, and hear what the host says.
//!
//! ```text
//!  castra-agent publish ─► Publish ─► outbox ─► host        each is answered: taken, or dropped
//!  castra-agent tail    ─► Attach Tail ◄─ Publish ◄─ host
//! ```
//!
//! Owns: the socket and its connections, which speak the frames of the port. Any program of the
//! guest may publish; only the agent's own user hears the host. One thread, one poll; connections,
//! their input and their output are bounded, and one that does not read loses messages. Tests:
//! `tests/it/bus.rs`.

pub(crate) mod client;

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use castra_agent_proto::message::{Attach, Attached, Publication, RefusedCode, body, session_frame};
use castra_agent_proto::{Decoder, Frame, Kind};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use crate::port::Shared;

/// Where guest programs find the agent.
pub(crate) const SOCKET: &str = "/run/castra-agent.sock";

/// Connections at once.
const MAX_CLIENTS: usize = 64;
/// Bytes that wait for a connection before messages to it are dropped.
const MAX_WAITING: usize = 128 * 1024;
/// Messages of the host's that wait for the bus's thread.
const MAX_INCOMING: usize = 64;

/// What the host publishes, on its way to the bus's thread.
#[derive(Debug)]
pub(crate) struct Bus {
    incoming: Mutex<VecDeque<Publication>>,
    wake: OwnedFd,
}

impl Bus {
    pub(crate) fn new() -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { incoming: Mutex::default(), wake })
    }

    /// Hands a message of the host's to who listens. Never waits; what does not fit is lost.
    pub(crate) fn deliver(&self, publication: &Publication) {
        let mut incoming = self.incoming.lock().unwrap_or_else(PoisonError::into_inner);
        if incoming.len() < MAX_INCOMING {
            incoming.push_back(publication.clone());
            drop(incoming);
            let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
        }
    }

    fn take(&self) -> VecDeque<Publication> {
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        std::mem::take(&mut *self.incoming.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Serves the socket in a thread of its own until `stop` closes.
pub(crate) fn start(shared: &Arc<Shared>, stop: &Arc<OwnedFd>) -> io::Result<()> {
    let Some(path) = &shared.config.socket else { return Ok(()) };
    let listener = match listen(path) {
        Ok(listener) => Some(listener),
        Err(error) => {
            // The channel is worth having without a bus.
            let _ = writeln!(io::stderr(), "castra-agent: cannot listen on `{}`: {error}", path.display());
            None
        }
    };
    let (shared, stop) = (Arc::clone(shared), Arc::clone(stop));
    std::thread::Builder::new()
        .name("bus".to_owned())
        .stack_size(64 * 1024)
        .spawn(move || Server { shared, listener, clients: Vec::new() }.run(&stop))?;
    Ok(())
}

/// A socket that every program of the guest may connect to.
fn listen(path: &Path) -> io::Result<UnixListener> {
    if UnixStream::connect(path).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    // What an agent that was killed left behind.
    let _ = fs::remove_file(path);
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

struct Server {
    shared: Arc<Shared>,
    listener: Option<UnixListener>,
    clients: Vec<Client>,
}

impl Server {
    fn run(&mut self, stop: &OwnedFd) {
        loop {
            let mut fds =
                vec![PollFd::new(stop, PollFlags::IN), PollFd::new(&self.shared.bus.wake, PollFlags::IN)];
            fds.extend(self.clients.iter().map(|client| PollFd::new(client, client.wanted())));
            if let Some(listener) = self.listener.as_ref().filter(|_| self.clients.len() < MAX_CLIENTS) {
                fds.push(PollFd::new(listener, PollFlags::IN));
            }
            if poll(&mut fds, None).is_err() {
                continue;
            }
            let ready: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
            if !ready[0].is_empty() {
                return;
            }
            for publication in self.shared.bus.take() {
                self.clients.iter_mut().for_each(|client| client.hear(&publication));
            }
            let mut flags = ready[2..].iter();
            let outbox = &self.shared.outbox;
            self.clients.retain_mut(|client| {
                let is_ready = flags.next().is_some_and(|flags| !flags.is_empty());
                client.flush().is_ok()
                    && (!is_ready || client.read(|publication| outbox.publish(publication)).is_ok())
            });
            self.accept();
        }
    }

    fn accept(&mut self) {
        let Some(listener) = &self.listener else { return };
        while self.clients.len() < MAX_CLIENTS {
            let Ok((stream, _)) = listener.accept() else { return };
            if stream.set_nonblocking(true).is_ok() {
                let decoder = Decoder::default();
                self.clients.push(Client { stream, decoder, waiting: Vec::new(), tail: None });
            }
        }
    }
}

/// A connection of a guest program's.
struct Client {
    stream: UnixStream,
    decoder: Decoder,
    waiting: Vec<u8>,
    tail: Option<Tail>,
}

/// What a listener wants to hear.
struct Tail {
    topic: Option<String>,
}

/// The connection breaks a rule, or is over.
struct Over;

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Client {
    fn wanted(&self) -> PollFlags {
        let mut wanted = PollFlags::empty();
        if self.waiting.len() < MAX_WAITING {
            wanted |= PollFlags::IN;
        }
        if !self.waiting.is_empty() {
            wanted |= PollFlags::OUT;
        }
        wanted
    }

    fn hear(&mut self, publication: &Publication) {
        let wants = |tail: &Tail| tail.topic.as_ref().is_none_or(|topic| *topic == publication.topic);
        if self.waiting.len() < MAX_WAITING && self.tail.as_ref().is_some_and(wants) {
            Frame::session(Kind::Publish, publication.to_payload()).encode(&mut self.waiting);
        }
    }

    fn flush(&mut self) -> Result<(), Over> {
        while !self.waiting.is_empty() {
            match self.stream.write(&self.waiting) {
                Ok(0) => return Err(Over),
                Ok(count) => drop(self.waiting.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Over),
            }
        }
        Ok(())
    }

    /// Reads once, so that no connection keeps the others waiting.
    fn read(&mut self, mut publish: impl FnMut(&Publication) -> bool) -> Result<(), Over> {
        let mut buffer = [0; 8 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => return Err(Over),
            Ok(count) => self.decoder.push(&buffer[..count]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return Ok(());
            }
            Err(_) => return Err(Over),
        }
        while let Some(frame) = self.decoder.next_frame() {
            let answer = match frame.kind {
                Kind::Publish => match Publication::parse(&frame.payload) {
                    Some(publication) if publish(&publication) => Attached::Ok,
                    Some(_) => refused(RefusedCode::Busy, "dropped: the channel to the host is full"),
                    None => refused(RefusedCode::Invalid, "that is no message with a topic"),
                },
                Kind::Attach => self.attach(&frame),
                _ => return Err(Over),
            };
            session_frame(Kind::Attached, &answer).encode(&mut self.waiting);
        }
        if self.decoder.take_skipped() > 0 {
            return Err(Over);
        }
        self.flush()
    }

    fn attach(&mut self, frame: &Frame) -> Attached {
        let Some(Attach::Tail { topic, .. }) = body(frame) else {
            return refused(RefusedCode::Invalid, "guest programs publish, or listen");
        };
        let peer = rustix::net::sockopt::socket_peercred(&self.stream);
        if !peer.is_ok_and(|peer| peer.uid == rustix::process::geteuid()) {
            return refused(RefusedCode::Unsupported, "only the agent's own user may listen");
        }
        self.tail = Some(Tail { topic });
        Attached::Ok
    }
}

fn refused(code: RefusedCode, message: &str) -> Attached {
    Attached::Refused { code, message: message.to_owned() }
}
