//! One request on its way: what was sent, what came, what may still be sent. Cancels when it is
//! dropped before its outcome came. Tests: in `tests`.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use castra_agent_proto::limits::MAX_PAYLOAD;
use castra_agent_proto::message::{body, stream_frame};
use castra_agent_proto::request::{Failure, FailureCode, Outcome, Request};
use castra_agent_proto::window::{ReceiveWindow, SendWindow, credit, parse_credit};
use castra_agent_proto::{Frame, Kind};
use plasmavmc_types::VmName;
use rustix::event::PollFlags;

use super::link::{Link, Ready};
use super::{ClientError, SILENCE};

/// A request on its way.
#[derive(Debug)]
pub(crate) struct Stream<'c> {
    link: &'c mut Link,
    vm: &'c VmName,
    id: u32,
    window: SendWindow,
    used: ReceiveWindow,
    is_open: bool,
}

/// What came on a stream.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// It is being served.
    Opened(Frame),
    /// Bytes, by the kind of their frame.
    Bytes(Frame),
    /// Zeros.
    Hole(u64),
    /// No more bytes.
    End,
    /// The outcome, which is no failure.
    Done(Outcome),
}

impl<'c> Stream<'c> {
    /// Sends `request`, where one frame holds it.
    pub(crate) fn open(
        link: &'c mut Link,
        vm: &'c VmName,
        id: u32,
        request: &Request,
    ) -> Result<Self, ClientError> {
        let open = stream_frame(Kind::Open, id, request);
        if open.payload.len() > MAX_PAYLOAD {
            return Err(ClientError::TooLong { bytes: open.payload.len() });
        }
        link.send(&open);
        let (window, used) = (SendWindow::default(), ReceiveWindow::default());
        Ok(Self { link, vm, id, window, used, is_open: true })
    }

    /// What came and was not taken yet; credit is noted on the way.
    pub(crate) fn take(&mut self) -> Result<Option<Incoming>, ClientError> {
        while let Some(frame) = self.link.take_frame() {
            // What a stream that was cancelled still says.
            if frame.stream != self.id {
                continue;
            }
            self.link.is_heard = true;
            match frame.kind {
                Kind::Credit => {
                    if !parse_credit(&frame.payload).is_some_and(|bytes| self.window.grant(bytes)) {
                        return Err(self.broke("credit beyond the window"));
                    }
                }
                Kind::Opened => return Ok(Some(Incoming::Opened(frame))),
                Kind::Data | Kind::Stderr => return Ok(Some(Incoming::Bytes(frame))),
                Kind::Hole => {
                    let Ok(bytes) = frame.payload.as_slice().try_into() else {
                        return Err(self.broke("a hole without a length"));
                    };
                    return Ok(Some(Incoming::Hole(u64::from_le_bytes(bytes))));
                }
                Kind::End => return Ok(Some(Incoming::End)),
                Kind::Done => return self.done(&frame).map(Some),
                _ => return Err(self.broke("a frame that no guest sends on a stream")),
            }
        }
        Ok(None)
    }

    fn done(&mut self, frame: &Frame) -> Result<Incoming, ClientError> {
        self.is_open = false;
        match body::<Outcome>(frame) {
            Some(Outcome::Failed(failure)) => Err(ClientError::failed(self.vm, &failure)),
            Some(outcome) => Ok(Incoming::Done(outcome)),
            None => {
                let message = "its answer cannot be read".to_owned();
                Err(ClientError::failed(self.vm, &Failure { code: FailureCode::Io, message }))
            }
        }
    }

    /// Waits until something came, one of `ends` is ready, or time is up.
    pub(crate) fn wait(
        &mut self,
        ends: &[(BorrowedFd<'_>, PollFlags)],
        bound: Option<Duration>,
    ) -> Result<Ready, ClientError> {
        self.link.wait(ends, bound)
    }

    /// Waits until the guest says something: its first word soon, any other within [`SILENCE`], unless its
    /// VM stands still.
    pub(crate) fn wait_for_guest(&mut self) -> Result<(), ClientError> {
        let (begun, look) = (Instant::now(), self.link.opening);
        let bound = if self.link.is_heard { SILENCE.max(look) } else { look };
        loop {
            let left = bound.saturating_sub(begun.elapsed());
            if !self.wait(&[], Some(left.min(look)))?.timed_out {
                return Ok(());
            }
            if begun.elapsed() >= bound || self.link.stands_still() {
                return Err(self.silent(begun.elapsed()));
            }
        }
    }

    /// Fails where the caller was interrupted; for work that waits for nobody.
    pub(crate) fn look_for_interruption(&mut self) -> Result<(), ClientError> {
        self.link.look_for_interruption()
    }

    /// The next that came, however long it takes to come within [`SILENCE`].
    pub(crate) fn next(&mut self) -> Result<Incoming, ClientError> {
        loop {
            if let Some(incoming) = self.take()? {
                return Ok(incoming);
            }
            self.wait_for_guest()?;
        }
    }

    /// The outcome, of a request that sends nothing else.
    pub(crate) fn outcome(mut self) -> Result<Outcome, ClientError> {
        loop {
            match self.next()? {
                Incoming::Done(outcome) => return Ok(outcome),
                Incoming::Opened(_) => {}
                _ => return Err(self.broke("bytes where none were asked for")),
            }
        }
    }

    /// Notes that bytes of the guest went where they belong, so that it may send others.
    pub(crate) fn handed_on(&mut self, bytes: usize) {
        if let Some(grant) = self.used.used(bytes) {
            self.send(Kind::Credit, &credit(grant));
        }
    }

    /// How many bytes may be offered to the guest now.
    pub(crate) fn may_send(&self) -> usize {
        if self.link.has_room() { self.window.available() } else { 0 }
    }

    /// Sends what [`Self::may_send`] allows.
    pub(crate) fn send_bytes(&mut self, kind: Kind, payload: &[u8]) {
        let granted = self.window.spend(payload.len());
        debug_assert!(granted, "more was sent than was granted");
        self.send(kind, payload);
    }

    /// Sends what needs no credit.
    pub(crate) fn send(&mut self, kind: Kind, payload: &[u8]) {
        self.link.send_parts(kind, self.id, payload);
    }

    /// The guest said nothing for that long.
    pub(crate) fn silent(&self, waited: Duration) -> ClientError {
        let vm = self.vm.clone();
        match self.link.stands_still() {
            true => ClientError::Frozen { vm, waited },
            false => ClientError::GuestSilent { vm, waited },
        }
    }

    pub(crate) fn broke(&self, what: &'static str) -> ClientError {
        ClientError::Protocol { vm: self.vm.clone(), what }
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        if self.is_open {
            self.send(Kind::Cancel, &[]);
        }
    }
}
