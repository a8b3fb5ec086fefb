//! Running a program in a guest, with everything a program has.
//!
//! ```text
//!   input ──► Data ──► standard input       as far as the guest granted
//!   nudges ─► Signal, Resize
//!   output ◄─ pending ◄─ Data, Stderr       granted anew once it was written
//! ```
//!
//! One `poll` over all of it: a reader that takes nothing stops the program's output and nothing else.
//! Tests: in `tests`.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use castra_agent_proto::limits::MAX_PAYLOAD;
use castra_agent_proto::request::{self, Exec, Outcome, Request, Size};
use castra_agent_proto::{Frame, Kind};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::stream::{Incoming, Stream};
use super::{Channel, ClientError};

/// Bytes a pipe that is ready takes without blocking: PIPE_BUF of Linux.
const WITHOUT_BLOCKING: usize = 4096;

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With this code.
    Exited(u8),
    /// By this signal's number.
    Signaled(u8),
}

impl Ended {
    /// The code a shell would show: the program's own, or 128 and the signal.
    pub const fn shell_code(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::Signaled(signal) => 128_u8.saturating_add(signal),
        }
    }
}

/// Where a program's input comes from.
#[derive(Default)]
pub enum Input<'a> {
    /// Nowhere: it reads nothing.
    #[default]
    Nothing,
    /// A pipe, file or terminal.
    Fd(BorrowedFd<'a>),
    /// What a person types at a terminal, who may want to leave a program that does not answer: told
    /// what was typed, the function tells after how many of these bytes they leave.
    Keys(BorrowedFd<'a>, &'a mut dyn FnMut(&[u8]) -> Option<usize>),
    /// Bytes at hand.
    Bytes(&'a [u8]),
}

/// Where a program's output goes.
#[derive(Default)]
pub enum Output<'a> {
    /// Nowhere.
    #[default]
    Discard,
    /// A pipe, file or terminal. One that takes nothing holds up the program and nobody else.
    Fd(BorrowedFd<'a>),
    /// Something that takes bytes at once.
    Write(&'a mut dyn io::Write),
}

/// What is done to a running program from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nudge {
    /// It gets a signal.
    Signal(Signal),
    /// Its terminal has another size.
    Resize(Size),
    /// Nobody waits for it any more: it is cancelled.
    Leave,
}

/// A signal for a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "their names are all there is to say")]
pub enum Signal {
    Hup,
    Int,
    Quit,
    Term,
    Kill,
    Usr1,
    Usr2,
    Stop,
    Cont,
}

impl Signal {
    /// Its name as the agent knows it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hup => "HUP",
            Self::Int => "INT",
            Self::Quit => "QUIT",
            Self::Term => "TERM",
            Self::Kill => "KILL",
            Self::Usr1 => "USR1",
            Self::Usr2 => "USR2",
            Self::Stop => "STOP",
            Self::Cont => "CONT",
        }
    }
}

/// Where nudges come from: `take` is asked once `wake` can be read, and reads it empty.
pub struct Nudges<'a> {
    /// Becomes readable when there is a nudge.
    pub wake: BorrowedFd<'a>,
    /// All there are.
    pub take: &'a mut dyn FnMut() -> Vec<Nudge>,
}

/// What a program is connected to. By default nothing.
#[derive(Default)]
pub struct ExecIo<'a> {
    /// Its standard input.
    pub stdin: Input<'a>,
    /// Its standard output; all it writes where it has a terminal.
    pub stdout: Output<'a>,
    /// Its standard error.
    pub stderr: Output<'a>,
    /// What happens to it meanwhile.
    pub nudges: Option<Nudges<'a>>,
}

impl Channel {
    /// Runs a program to its end.
    ///
    /// # Errors
    /// [`ClientError`]: the program could not be started, or was lost or left; the guest ends one that
    /// nobody waits for.
    pub fn exec(&mut self, exec: &Exec, io: ExecIo<'_>) -> Result<Ended, ClientError> {
        let exec = Exec { stdin: !matches!(io.stdin, Input::Nothing), ..exec.clone() };
        let opening = Some(Opening { until: Instant::now() + self.opening, bound: self.opening });
        let stream = self.open(&Request::Exec(exec))?;
        let [out, err] = [io.stdout, io.stderr].map(|to| Pending { to, bytes: Vec::new(), at: 0 });
        let mut running = Running { stream, input: io.stdin, out, err, nudges: io.nudges, opening };
        let ended = running.run()?;
        running.drain()?;
        Ok(ended)
    }
}

/// A program at work.
struct Running<'c, 'io> {
    stream: Stream<'c>,
    input: Input<'io>,
    out: Pending<'io>,
    err: Pending<'io>,
    nudges: Option<Nudges<'io>>,
    /// Until the guest says that the program runs; from then on it may be silent for ever.
    opening: Option<Opening>,
}

/// The wait for a program's start.
#[derive(Debug, Clone, Copy)]
struct Opening {
    until: Instant,
    bound: Duration,
}

/// The ends a program's wait watches beside the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Input,
    Out,
    Err,
    Nudge,
}

impl<'io> Running<'_, 'io> {
    fn run(&mut self) -> Result<Ended, ClientError> {
        loop {
            while let Some(incoming) = self.stream.take()? {
                self.opening = None;
                match incoming {
                    Incoming::Bytes(frame) => self.output(&frame)?,
                    Incoming::Done(outcome) => return self.ended(&outcome),
                    Incoming::Opened(_) | Incoming::End => {}
                    Incoming::Hole(_) => return Err(self.stream.broke("a hole in a program's output")),
                }
            }
            self.offer_bytes();
            let watched = self.watched();
            let ends: Vec<_> = watched.iter().map(|(_, fd, flags)| (*fd, *flags)).collect();
            let left = self.opening.map(|opening| opening.until.saturating_duration_since(Instant::now()));
            if let (Some(Duration::ZERO), Some(Opening { bound, .. })) = (left, self.opening) {
                return Err(self.stream.silent(bound));
            }
            let ready = self.stream.wait(&ends, left)?.ends;
            for (end, _) in watched.iter().zip(ready).filter(|(_, ready)| *ready) {
                match end.0 {
                    End::Input => self.offer_input()?,
                    End::Out => self.stream.handed_on(self.out.write_some()?),
                    End::Err => self.stream.handed_on(self.err.write_some()?),
                    End::Nudge => self.nudge()?,
                }
            }
        }
    }

    fn watched(&self) -> Vec<(End, BorrowedFd<'io>, PollFlags)> {
        let mut watched = Vec::with_capacity(4);
        match self.input {
            Input::Fd(fd) | Input::Keys(fd, _) if self.stream.may_send() > 0 => {
                watched.push((End::Input, fd, PollFlags::IN));
            }
            _ => {}
        }
        for (end, pending) in [(End::Out, &self.out), (End::Err, &self.err)] {
            watched.extend(pending.waits_for().map(|fd| (end, fd, PollFlags::OUT)));
        }
        watched.extend(self.nudges.iter().map(|nudges| (End::Nudge, nudges.wake, PollFlags::IN)));
        watched
    }

    fn output(&mut self, frame: &Frame) -> Result<(), ClientError> {
        let pending = if frame.kind == Kind::Stderr { &mut self.err } else { &mut self.out };
        let taken = pending.take(&frame.payload)?;
        self.stream.handed_on(taken);
        Ok(())
    }

    /// Sends input that is at hand.
    fn offer_bytes(&mut self) {
        let Input::Bytes(mut bytes) = self.input else { return };
        while !bytes.is_empty() && self.stream.may_send() > 0 {
            let (now, later) = bytes.split_at(bytes.len().min(self.stream.may_send()).min(MAX_PAYLOAD));
            self.stream.send_bytes(Kind::Data, now);
            bytes = later;
        }
        if bytes.is_empty() {
            self.end_input();
        } else {
            self.input = Input::Bytes(bytes);
        }
    }

    /// Sends input that can be read now.
    fn offer_input(&mut self) -> Result<(), ClientError> {
        let (Input::Fd(fd) | Input::Keys(fd, _)) = self.input else { return Ok(()) };
        let mut block = [0; MAX_PAYLOAD];
        let room = self.stream.may_send().min(block.len());
        match rustix::io::read(fd, &mut block[..room]) {
            // EIO is how a terminal says that it is gone.
            Ok(0) | Err(Errno::IO) => self.end_input(),
            Ok(count) => {
                let leaves = match &mut self.input {
                    Input::Keys(_, leaves) => leaves(&block[..count]),
                    _ => None,
                };
                self.stream.send_bytes(Kind::Data, &block[..leaves.unwrap_or(count).min(count)]);
                if leaves.is_some() {
                    return Err(ClientError::Interrupted);
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(ClientError::Input(error.into())),
        }
        Ok(())
    }

    fn end_input(&mut self) {
        self.input = Input::Nothing;
        self.stream.send(Kind::End, &[]);
    }

    fn nudge(&mut self) -> Result<(), ClientError> {
        let Some(nudges) = &mut self.nudges else { return Ok(()) };
        for nudge in (nudges.take)() {
            let (kind, body) = match nudge {
                Nudge::Leave => return Err(ClientError::Interrupted),
                Nudge::Signal(signal) => {
                    let signal = request::Signal { signal: signal.as_str().to_owned() };
                    (Kind::Signal, serde_json::to_vec(&signal))
                }
                Nudge::Resize(size) => (Kind::Resize, serde_json::to_vec(&size)),
            };
            self.stream.send(kind, &body.expect("plain values serialise"));
        }
        Ok(())
    }

    /// Writes what is left once the program ended.
    fn drain(&mut self) -> Result<(), ClientError> {
        for end in [End::Out, End::Err] {
            loop {
                let pending = if end == End::Out { &mut self.out } else { &mut self.err };
                let Some(fd) = pending.waits_for() else { break };
                let mut fds = vec![PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
                fds.extend(
                    self.nudges.iter().map(|nudges| PollFd::from_borrowed_fd(nudges.wake, PollFlags::IN)),
                );
                match poll(&mut fds, None) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => return Err(ClientError::Output(error.into())),
                }
                let is_ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
                if is_ready[0] {
                    pending.write_some()?;
                } else if is_ready.get(1) == Some(&true) {
                    self.nudge_after_the_end()?;
                }
            }
        }
        Ok(())
    }

    /// A program that ended takes no signal: whoever sends one wants to leave.
    fn nudge_after_the_end(&mut self) -> Result<(), ClientError> {
        let Some(nudges) = &mut self.nudges else { return Ok(()) };
        match (nudges.take)().iter().any(|nudge| !matches!(nudge, Nudge::Resize(_))) {
            true => Err(ClientError::Interrupted),
            false => Ok(()),
        }
    }

    fn ended(&self, outcome: &Outcome) -> Result<Ended, ClientError> {
        match *outcome {
            Outcome::Exited { code } => u8::try_from(code).ok().map(Ended::Exited),
            Outcome::Signaled { signal } => {
                u8::try_from(signal).ok().filter(|signal| *signal > 0).map(Ended::Signaled)
            }
            _ => None,
        }
        .ok_or_else(|| self.stream.broke("an outcome that no program has"))
    }
}

/// Output on its way to where it goes. Holds at most what the guest was granted.
struct Pending<'a> {
    to: Output<'a>,
    bytes: Vec<u8>,
    at: usize,
}

impl<'a> Pending<'a> {
    /// What has to be writable, where something waits.
    fn waits_for(&self) -> Option<BorrowedFd<'a>> {
        match self.to {
            Output::Fd(fd) if self.at < self.bytes.len() => Some(fd),
            _ => None,
        }
    }

    /// Takes bytes; tells how many are done with.
    fn take(&mut self, bytes: &[u8]) -> Result<usize, ClientError> {
        match &mut self.to {
            Output::Discard => Ok(bytes.len()),
            Output::Write(write) => {
                write.write_all(bytes).and_then(|()| write.flush()).map_err(ClientError::Output)?;
                Ok(bytes.len())
            }
            Output::Fd(_) => {
                if self.at >= MAX_PAYLOAD {
                    self.bytes.drain(..self.at);
                    self.at = 0;
                }
                self.bytes.extend_from_slice(bytes);
                Ok(0)
            }
        }
    }

    /// Writes what can be written without blocking; tells how much.
    fn write_some(&mut self) -> Result<usize, ClientError> {
        let Output::Fd(fd) = self.to else { return Ok(0) };
        let rest = &self.bytes[self.at..];
        match rustix::io::write(fd, &rest[..rest.len().min(WITHOUT_BLOCKING)]) {
            Ok(count) => {
                self.at += count;
                if self.at == self.bytes.len() {
                    self.bytes.clear();
                    self.at = 0;
                }
                Ok(count)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(error) => Err(ClientError::Output(error.into())),
        }
    }
}
