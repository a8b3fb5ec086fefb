//! A connection to the broker: frames out, frames in, and one place that waits.
//!
//! Never blocks but in [`Link::wait`], which ends when a frame can be read or written, when one of the
//! caller's own ends is ready, when time is up, or when the caller is interrupted. Tests: in `tests`.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use castra_agent_proto::frame::encode;
use castra_agent_proto::limits::MAX_PAYLOAD;
use castra_agent_proto::message::{Attach, Attached, body, session_frame};
use castra_agent_proto::{Decoder, Frame, Kind};
use plasmavmc_host::Layout;
use plasmavmc_host::socket::{Connected, connect};
use plasmavmc_types::VmName;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::{ClientError, OPENING};

/// How long the broker may take to answer what this connection is for. It answers from memory, within
/// a millisecond where the host is idle.
const ANSWER: Duration = Duration::from_secs(5);

/// Bytes that wait to be written before a stream offers no more.
const PENDING: usize = 2 * MAX_PAYLOAD;

/// A connection to the broker.
#[derive(Debug)]
pub(crate) struct Link {
    stream: UnixStream,
    decoder: Decoder,
    out: Vec<u8>,
    written: usize,
    block: Vec<u8>,
    interrupt: Option<OwnedFd>,
    /// Whether the guest said something on this connection.
    pub(crate) is_heard: bool,
    /// How long it may take to say its first word, and how long it is silent before the host is asked
    /// whether it stands still.
    pub(crate) opening: Duration,
    stands_still: Option<Watch>,
}

/// Tells whether the VM of a guest stands still.
struct Watch(Box<dyn Fn() -> bool + Send>);

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

/// What a wait ended with.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    /// Which of the caller's ends are ready, in their order.
    pub(crate) ends: Vec<bool>,
    /// Nothing happened in time.
    pub(crate) timed_out: bool,
}

impl Link {
    /// Connects to the broker of a workspace for `what`, which is about `vm`; waits end once `interrupt` can
    /// be read, this one among them.
    pub(crate) fn attach(
        layout: &Layout,
        what: &Attach,
        vm: Option<&VmName>,
        interrupt: Option<BorrowedFd<'_>>,
    ) -> Result<Self, ClientError> {
        let stream = match connect(layout.root(), Layout::BROKER_SOCKET_NAME)? {
            Connected::Stream(stream) => stream,
            Connected::Refused => return Err(ClientError::NoBroker { root: layout.root().to_owned() }),
            Connected::Busy => return Err(ClientError::BrokerBusy),
        };
        let mut link = Self::over(stream)?;
        if let Some(fd) = interrupt {
            link.interrupted_by(fd).map_err(ClientError::Connection)?;
        }
        let attach = session_frame(Kind::Attach, what);
        if attach.payload.len() > MAX_PAYLOAD {
            return Err(ClientError::TooLong { bytes: attach.payload.len() });
        }
        link.send(&attach);
        match link.next_frame(Some(ANSWER)) {
            Ok(Some(frame)) => match body::<Attached>(&frame).filter(|_| frame.kind == Kind::Attached) {
                Some(Attached::Ok) => Ok(link),
                Some(Attached::Refused { code, message }) => {
                    Err(ClientError::refused(code, &message, vm, Duration::ZERO))
                }
                None => Err(ClientError::BrokerGone),
            },
            Ok(None) => Err(ClientError::BrokerSilent { root: layout.root().to_owned(), waited: ANSWER }),
            Err(error) => Err(error),
        }
    }

    fn over(stream: UnixStream) -> Result<Self, ClientError> {
        stream.set_nonblocking(true).map_err(ClientError::Connection)?;
        Ok(Self {
            stream,
            decoder: Decoder::default(),
            out: Vec::new(),
            written: 0,
            block: vec![0; 4 * MAX_PAYLOAD],
            interrupt: None,
            is_heard: false,
            opening: OPENING,
            stands_still: None,
        })
    }

    /// Ends every wait from here on once `fd` can be read.
    pub(crate) fn interrupted_by(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.interrupt = Some(fd.try_clone_to_owned()?);
        Ok(())
    }

    /// Asks `stands_still` from here on about a guest that is silent for long.
    pub(crate) fn watched_by(&mut self, stands_still: impl Fn() -> bool + Send + 'static) {
        self.stands_still = Some(Watch(Box::new(stands_still)));
    }

    /// Whether the guest's VM stands still, as far as anybody is there to be asked.
    pub(crate) fn stands_still(&self) -> bool {
        self.stands_still.as_ref().is_some_and(|watch| (watch.0)())
    }

    /// Fails where the caller was interrupted, and waits for nothing.
    pub(crate) fn look_for_interruption(&self) -> Result<(), ClientError> {
        match &self.interrupt {
            Some(fd) => pause(Duration::ZERO, Some(fd.as_fd())),
            None => Ok(()),
        }
    }

    /// Queues a frame, and writes what the broker takes at once.
    pub(crate) fn send(&mut self, frame: &Frame) {
        self.send_parts(frame.kind, frame.stream, &frame.payload);
    }

    /// As [`Self::send`], of a payload that lies elsewhere.
    pub(crate) fn send_parts(&mut self, kind: Kind, stream: u32, payload: &[u8]) {
        encode(kind, stream, payload, &mut self.out);
        // Whatever is wrong shows at the next wait, with what the broker said before.
        let _ = self.flush();
    }

    /// Whether a stream may offer more.
    pub(crate) fn has_room(&self) -> bool {
        self.out.len() - self.written < PENDING
    }

    /// Whether everything was written.
    pub(crate) fn is_flushed(&self) -> bool {
        self.out.len() == self.written
    }

    fn flush(&mut self) -> Result<(), ClientError> {
        while !self.is_flushed() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // What it said before it went may still be read, and says more.
                Err(error) if is_gone(&error) => break,
                Err(error) => return Err(ClientError::Connection(error)),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }

    /// A frame that was read already.
    pub(crate) fn take_frame(&mut self) -> Option<Frame> {
        self.decoder.next_frame()
    }

    /// Reads what is there.
    pub(crate) fn receive(&mut self) -> Result<(), ClientError> {
        match self.stream.read(&mut self.block) {
            Ok(0) => Err(ClientError::BrokerGone),
            Ok(count) => {
                self.decoder.push(&self.block[..count]);
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => Ok(()),
            Err(error) if is_gone(&error) => Err(ClientError::BrokerGone),
            Err(error) => Err(ClientError::Connection(error)),
        }
    }

    /// The next frame; none where none came within `bound`.
    pub(crate) fn next_frame(&mut self, bound: Option<Duration>) -> Result<Option<Frame>, ClientError> {
        let until = bound.map(|bound| Instant::now() + bound);
        loop {
            if let Some(frame) = self.take_frame() {
                return Ok(Some(frame));
            }
            if self.wait(&[], until.map(|until| until.saturating_duration_since(Instant::now())))?.timed_out {
                return Ok(None);
            }
        }
    }

    /// Waits for the broker or one of `ends`, writing what is pending and reading what comes
    /// meanwhile. Whoever waits has taken every frame before: one that waits is lost with the broker.
    pub(crate) fn wait(
        &mut self,
        ends: &[(BorrowedFd<'_>, PollFlags)],
        bound: Option<Duration>,
    ) -> Result<Ready, ClientError> {
        let mut flags = PollFlags::IN;
        if !self.is_flushed() {
            flags |= PollFlags::OUT;
        }
        let mut fds = vec![PollFd::from_borrowed_fd(self.stream.as_fd(), flags)];
        fds.extend(ends.iter().map(|(fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)));
        fds.extend(self.interrupt.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
        match poll(&mut fds, bound.map(timespec).as_ref()) {
            Ok(0) => return Ok(Ready { timed_out: true, ends: vec![false; ends.len()] }),
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Ready { ends: vec![false; ends.len()], ..Ready::default() }),
            Err(error) => return Err(ClientError::Connection(error.into())),
        }
        let is_ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let readable = fds[0].revents().intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR);
        if is_ready.get(1 + ends.len()).copied().unwrap_or(false) {
            return Err(ClientError::Interrupted);
        }
        self.flush()?;
        if readable {
            self.receive()?;
        }
        Ok(Ready { ends: is_ready[1..=ends.len()].to_vec(), timed_out: false })
    }
}

/// Waits that long, or until the caller is interrupted, which is an error.
pub(crate) fn pause(time: Duration, interrupt: Option<BorrowedFd<'_>>) -> Result<(), ClientError> {
    let fd = interrupt.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    match poll(fd.into_iter().collect::<Vec<_>>().as_mut_slice(), Some(&timespec(time))) {
        Ok(1..) => Err(ClientError::Interrupted),
        Ok(0) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(ClientError::Connection(error.into())),
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::NotConnected)
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}
