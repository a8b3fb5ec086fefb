//! Runs a program: its input, output, signals, and how it ended.
//!
//! ```text
//!  started ─► running ─► ended ─► drained, or what it left behind had its second ─► Done
//! ```
//!
//! Owns: the loop that moves bytes between the windows and the program's pipes. Whatever the program
//! wrote before it ended is sent before Done, however slow the host reads; a process it left behind
//! that keeps the pipes open is given [`GRACE`]. Tests: `tests/it/exec.rs`.

use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use castra_agent_proto::Kind;
use castra_agent_proto::request::{Exec, Opened, Outcome};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::process::Process;
use super::{Link, Stop};
use crate::inbox::Piece;
use crate::session::Served;

/// How long a program's pipes may stay open after its end, in time in which the host reads.
const GRACE: Duration = Duration::from_secs(1);
/// How often a process is looked at where the kernel has no handles on processes.
const WITHOUT_HANDLE: Duration = Duration::from_millis(20);
/// Bytes read from a program at once: what a pipe holds.
const READ: usize = super::CHUNK;
/// What ends the input of a terminal.
const END_OF_INPUT: u8 = 0x04;

/// Runs it.
pub(super) fn serve(exec: &Exec, link: &Link) -> Served {
    let process = Process::start(exec, link)?;
    link.opened(&Opened { pid: Some(process.id()), entry: None })?;
    let mut run = Run {
        link,
        process,
        input: Vec::new(),
        written: 0,
        input_ended: false,
        buffer: vec![0; READ],
        ended: None,
    };
    let status = run.run()?;
    Ok(outcome(status))
}

fn outcome(status: ExitStatus) -> Outcome {
    match (status.code(), status.signal()) {
        (Some(code), _) => Outcome::Exited { code },
        (None, signal) => Outcome::Signaled { signal: signal.unwrap_or(0) },
    }
}

struct Run<'a> {
    link: &'a Link,
    process: Process,
    /// Input the program did not take yet, from `written` on.
    input: Vec<u8>,
    written: usize,
    input_ended: bool,
    buffer: Vec<u8>,
    ended: Option<Ended>,
}

/// A program that ended, and what is left to do.
struct Ended {
    status: ExitStatus,
    /// Bytes it wrote before its end that were not read yet.
    owed: u64,
    grace: Duration,
}

/// What of the program is ready, in the order it is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ready {
    Inbox,
    Stdin,
    Output(Kind),
    Handle,
}

impl Run<'_> {
    fn run(&mut self) -> Result<ExitStatus, Stop> {
        loop {
            self.link.check()?;
            self.take_orders()?;
            let began = Instant::now();
            let may_send = self.link.inbox.available() > 0;
            let all = self.wait();
            if let Some(ended) = &mut self.ended
                && may_send
                && !all.iter().any(|ready| matches!(ready, Ready::Output(_)))
            {
                ended.owed = 0;
            }
            for ready in all {
                match ready {
                    Ready::Inbox => self.link.inbox.drain_wakes(),
                    Ready::Stdin => self.write_input()?,
                    Ready::Output(kind) => self.read_output(kind)?,
                    Ready::Handle => {}
                }
            }
            self.note_end();
            let is_drained = self.process.pipes.stdout.is_none() && self.process.pipes.stderr.is_none();
            if let Some(ended) = &mut self.ended {
                if is_drained {
                    return Ok(ended.status);
                }
                if may_send && ended.owed == 0 {
                    ended.grace = ended.grace.saturating_sub(began.elapsed());
                    if ended.grace.is_zero() {
                        return Ok(ended.status);
                    }
                }
            }
        }
    }

    /// Does what the host said since the last look.
    fn take_orders(&mut self) -> Result<(), Stop> {
        while let Some(signal) = self.link.inbox.take_signal() {
            self.process.signal(&signal);
        }
        if let Some(size) = self.link.inbox.take_size() {
            self.process.resize(size);
        }
        while self.written == self.input.len() && !self.input_ended {
            match self.link.inbox.take() {
                Some(Piece::Data(bytes)) if self.process.pipes.stdin.is_none() => {
                    // The program does not read any more: that is for it to decide, not a fault.
                    self.link.used(bytes.len())?;
                }
                Some(Piece::Data(bytes)) => (self.input, self.written) = (bytes, 0),
                Some(Piece::Hole(_)) => return Err(super::invalid("a program's input has no holes")),
                Some(Piece::End) => {
                    self.input_ended = true;
                    match self.process.pipes.terminal {
                        Some(_) => (self.input, self.written) = (vec![END_OF_INPUT], 0),
                        None => self.process.pipes.stdin = None,
                    }
                }
                None => break,
            }
        }
        Ok(())
    }

    /// Waits until something can be done; tells what.
    fn wait(&self) -> Vec<Ready> {
        let pipes = &self.process.pipes;
        let mut wanted = vec![(self.link.inbox.as_fd(), PollFlags::IN, Ready::Inbox)];
        if self.written < self.input.len() {
            wanted.extend(pipes.stdin.iter().map(|fd| (fd.as_fd(), PollFlags::OUT, Ready::Stdin)));
        }
        if self.link.inbox.available() > 0 {
            for (pipe, kind) in [(&pipes.stdout, Kind::Data), (&pipes.stderr, Kind::Stderr)] {
                wanted.extend(pipe.iter().map(|fd| (fd.as_fd(), PollFlags::IN, Ready::Output(kind))));
            }
        }
        let timeout = match (&self.ended, &self.process.handle) {
            (Some(ended), _) => Some(ended.grace.max(Duration::from_millis(1))),
            (None, None) => Some(WITHOUT_HANDLE),
            (None, Some(handle)) => {
                wanted.push((handle.as_fd(), PollFlags::IN, Ready::Handle));
                None
            }
        };
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut fds: Vec<_> =
            wanted.iter().map(|(fd, flags, _)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
        if poll(&mut fds, timeout.as_ref()).is_err() {
            return Vec::new();
        }
        let ready = fds.iter().map(|fd| !fd.revents().is_empty());
        ready.zip(wanted).filter_map(|(is_ready, (_, _, what))| is_ready.then_some(what)).collect()
    }

    fn write_input(&mut self) -> Result<(), Stop> {
        let Some(stdin) = &self.process.pipes.stdin else { return Ok(()) };
        match rustix::io::write(stdin, &self.input[self.written..]) {
            Ok(count) => {
                self.written += count;
                // The sign for the end of a terminal's input was never in a window.
                if !self.input_ended {
                    self.link.used(count)?;
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => {
                self.process.pipes.stdin = None;
                let left = self.input.len() - std::mem::replace(&mut self.written, self.input.len());
                if !self.input_ended {
                    self.link.used(left)?;
                }
            }
        }
        Ok(())
    }

    fn read_output(&mut self, kind: Kind) -> Result<(), Stop> {
        let pipes = &mut self.process.pipes;
        let pipe = if kind == Kind::Data { &mut pipes.stdout } else { &mut pipes.stderr };
        let room = self.link.inbox.available().min(READ);
        let (Some(fd), true) = (&pipe, room > 0) else { return Ok(()) };
        match rustix::io::read(fd, &mut self.buffer[..room]) {
            Ok(count) if count > 0 => {
                if let Some(ended) = &mut self.ended {
                    ended.owed = ended.owed.saturating_sub(count as u64);
                }
                self.link.data(kind, &self.buffer[..count])?;
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            // A terminal whose other end is closed says that it is broken.
            Ok(_) | Err(_) => *pipe = None,
        }
        Ok(())
    }

    fn note_end(&mut self) {
        if self.ended.is_some() {
            return;
        }
        if let Some(status) = self.process.try_wait() {
            let pipes = &self.process.pipes;
            let outputs = [&pipes.stdout, &pipes.stderr].into_iter().flatten();
            let owed = outputs.map(|fd| rustix::io::ioctl_fionread(fd).unwrap_or(0)).sum();
            self.ended = Some(Ended { status, owed, grace: GRACE });
        }
    }
}
